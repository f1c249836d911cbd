"""Judge a configuration that lies on disk: a tree, a signed directory with its parts, an anchor.

A part by itself is judged as well, by the schema of its version. Nothing is fetched. A directory is
verified with the certificates of an anchor, or without one with those in the shared parameters
beside it, which proves no more than that the files belong together.

Source: trust.md 5.1; vectors globalconf, INDEX sections 1 to 6.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from trust.configuration.confdirectory import (
    MAX_DIRECTORY_BYTES,
    Directory,
    DirectoryEntry,
    SignedDirectory,
    parse_directory,
)
from trust.configuration.conflocations import EXTERNAL, INTERNAL
from trust.configuration.confparts import (
    MAX_PART_BYTES,
    NEWEST_VERSION,
    PRIVATE_PARAMETERS_ID,
    SHARED_PARAMETERS_ID,
    check_part,
    parse_anchor,
    parse_shared_parameters,
    part_identifier,
)
from trust.configuration.confset import (
    WRONG_INSTANCE,
    ConfigurationSet,
    Part,
    instance_folder,
    part_file_name,
    read_instance,
    read_private,
)
from trust.configuration.confstore import IDENTIFIER_FILE, METADATA, load_configuration, load_part
from trust.configuration.conftypes import write_time
from trust.errors import ExchangeError, GlobalConfOutdated, MalformedMessage, StorageError
from trust.globalconf import Anchor, GlobalConf, SharedParameters
from trust.report import Outcome

_NO_PRIVATE = "conf_verification.missing_private_params"
_NO_PART = "global_conf_part_download_failure"
_WRONG_DIGEST = "global_conf_part_downloaded_file_integrity_failure"
_NO_CERTIFICATE = "global_conf_missing_verification_cert"
_MALFORMED = "malformed_global_conf"
_HIGHEST_ROOT = 6  # folders above a directory that may be the root of its web server
_DOWNLOAD = "verificationconf"


@dataclass(frozen=True, slots=True)
class ConfigurationVerdict:
    """What a file or folder is worth; empty and None where nothing is known.

    Instance, version and expiry are what the file says, also when it is not believed.
    """

    verdict: Outcome  # passed, failed or indeterminate
    code: str = ""
    reason: str = ""
    instance: str = ""
    version: int | None = None
    expires: datetime | None = None


def judge_configuration(path: Path, anchor: Anchor | None, at: datetime) -> ConfigurationVerdict:
    """Judge what lies at a path, as of `at`; raises StorageError when it can't be read."""
    if path.is_dir():
        return _judge_tree(path, anchor, at)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_PART_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from error
    if not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _DirectoryJudge(path, anchor, at).judge(raw[: MAX_DIRECTORY_BYTES + 1])
    return _judge_xml(path, raw)


def configurations_in(path: Path) -> tuple[Path, ...]:
    """What is to be judged at a path: the signed directories of a web root, or the path itself."""
    if not path.is_dir() or (path / IDENTIFIER_FILE).exists():
        return (path,)
    found = (
        place
        for folder in (path, *sorted(path.glob("V[0-9]*")))
        for place in (folder / INTERNAL, folder / EXTERNAL)
    )
    return tuple(place for place in found if place.is_file()) or (path,)


def _judge_xml(path: Path, raw: bytes) -> ConfigurationVerdict:
    """Judge an anchor, or a part by the schema of its version."""
    try:
        identifier = part_identifier(raw)
        if identifier is None:
            return ConfigurationVerdict(Outcome.PASSED, instance=parse_anchor(raw).instance)
        version = _version_beside(path)
        check_part(identifier, raw, version)
    except MalformedMessage as error:
        return _failed(error)
    return ConfigurationVerdict(Outcome.PASSED, version=version)


def _version_beside(path: Path) -> int:
    """The version in a part's metadata or in its address, else the newest."""
    if path.with_name(path.name + METADATA).is_file():
        return load_part(path, "").version
    found = re.findall(r"/V([2-6])(?=/)", path.absolute().as_posix())
    return int(found[-1]) if found else NEWEST_VERSION


def _failed(error: ExchangeError) -> ConfigurationVerdict:
    return ConfigurationVerdict(Outcome.FAILED, error.code, error.text)


# Trees.


def _judge_tree(folder: Path, anchor: Anchor | None, at: datetime) -> ConfigurationVerdict:
    inner = folder / _DOWNLOAD
    try:
        conf = load_configuration(inner if (inner / IDENTIFIER_FILE).is_file() else folder)
    except MalformedMessage as error:
        return _failed(error)
    own = conf.instances.get(conf.own_instance)
    if own is None:
        return replace(_failed(_no_own(conf)), instance=conf.own_instance)
    known = ConfigurationVerdict(
        Outcome.FAILED,
        instance=conf.own_instance,
        version=own.shared.version,
        expires=own.valid_until,
    )
    if anchor is not None and anchor.instance != conf.own_instance:
        reason = f"The anchor is of {anchor.instance}"
        return replace(known, code=WRONG_INSTANCE, reason=reason)
    if own.expired(at):
        return replace(known, code=GlobalConfOutdated.code, reason=GlobalConfOutdated().text)
    if own.private is None and own.valid_until is not None:
        return replace(known, code=_NO_PRIVATE, reason="There are no private parameters")
    return replace(known, verdict=Outcome.PASSED, reason=_notes(conf))


def _no_own(conf: GlobalConf) -> MalformedMessage:
    own = conf.own_instance
    text = conf.skipped.get(own, f"There are no shared parameters of {own}")
    others = [f"{name}: {reason}" for name, reason in conf.skipped.items() if name != own]
    return MalformedMessage("; ".join([text, *others]), _MALFORMED)


def _notes(conf: GlobalConf) -> str:
    """What an operator should know about a tree that passes."""
    notes = [f"{name} is left out: {reason}" for name, reason in conf.skipped.items()]
    if conf.own.private is None:
        notes.append("it serves for verifying only: there are no private parameters")
    return "; ".join(notes)


# Signed directories.


@dataclass(frozen=True, slots=True)
class _DirectoryJudge:
    """Judges one directory; its parts are looked for where a web server would have them."""

    path: Path
    anchor: Anchor | None
    at: datetime

    def judge(self, raw: bytes) -> ConfigurationVerdict:
        try:
            signed = parse_directory(raw)
        except MalformedMessage as error:
            return _failed(error)
        known = self._said(signed)
        try:
            certificates = self._certificates(signed)
            if not certificates:
                reason = "There is no list of certificates beside it, and no anchor was given"
                undecided = replace(known, verdict=Outcome.INDETERMINATE, code=_NO_CERTIFICATE)
                return replace(undecided, reason=reason)
            signed.verify(certificates)
            missing = self._check(signed.content(), known.instance)
        except ExchangeError as error:
            return replace(known, verdict=Outcome.FAILED, code=error.code, reason=error.text)
        if missing:
            reason = f"Not found beside the directory: {', '.join(missing)}"
            return replace(known, verdict=Outcome.INDETERMINATE, code=_NO_PART, reason=reason)
        return known

    def _said(self, signed: SignedDirectory) -> ConfigurationVerdict:
        """What the directory says of itself, as far as it can be read."""
        try:
            directory = signed.content()
        except MalformedMessage:
            return ConfigurationVerdict(Outcome.PASSED)
        return ConfigurationVerdict(
            Outcome.PASSED,
            instance=self._instance(directory),
            version=directory.version,
            expires=directory.expires,
        )

    def _certificates(self, signed: SignedDirectory) -> Sequence[bytes]:
        """Those of the anchor, or else those announced in the list beside the directory."""
        if self.anchor is not None:
            return [one for source in self.anchor.sources for one in source.certificates]
        directory = signed.content()  # not believed: it only leads to the list
        lists = [entry for entry in directory.entries if entry.identifier == SHARED_PARAMETERS_ID]
        found = [self._find(entry) for entry in lists]
        return [
            certificate
            for raw in found
            if raw is not None
            for certificate in self._announced(parse_shared_parameters(raw, directory.version))
        ]

    def _announced(self, shared: SharedParameters) -> Iterator[bytes]:
        for source in shared.sources:
            if self.path.name != EXTERNAL:
                yield from source.internal_certificates
            if self.path.name != INTERNAL:
                yield from source.external_certificates

    def _instance(self, directory: Directory) -> str:
        """Whose directory it is: the anchor's, or that of its private or first part."""
        if self.anchor is not None:
            return self.anchor.instance
        entries = sorted(
            directory.entries, key=lambda entry: entry.identifier != PRIVATE_PARAMETERS_ID
        )
        return entries[0].instance if entries else ""

    def _check(self, directory: Directory, instance: str) -> list[str]:
        """Check expiry and parts; what could not be found is returned."""
        if self.at > directory.expires:
            text = f"The configuration expired at {write_time(directory.expires)}"
            raise GlobalConfOutdated(text)
        if not any(entry.instance == instance for entry in directory.entries):
            raise MalformedMessage(f"There is no part of {instance}", WRONG_INSTANCE)
        found = {entry: self._find(entry) for entry in directory.entries}
        for entry, raw in found.items():
            if raw is not None:
                _check_entry(entry, raw, directory)
        _check_instances(found, directory, instance)
        return [str(entry) for entry, raw in found.items() if raw is None]

    def _find(self, entry: DirectoryEntry) -> bytes | None:
        for path in self._places(entry):
            if path.is_file():
                with path.open("rb") as file:
                    return file.read(MAX_PART_BYTES + 1)
        return None

    def _places(self, entry: DirectoryEntry) -> Iterator[Path]:
        """Where a part may lie: below a folder above, or in a tree named as the directory."""
        location = urlsplit(entry.location).path.lstrip("/")
        if location and ".." not in location.split("/"):
            for root in list(self.path.absolute().parents)[:_HIGHEST_ROOT]:
                if root != root.parent:
                    yield root / location
        if self.path.suffix:
            tree = self.path.with_suffix("")
            yield tree / instance_folder(entry.instance) / part_file_name(entry)


def _check_entry(entry: DirectoryEntry, raw: bytes, directory: Directory) -> None:
    if not entry.matches(raw):
        text = f"The {entry} has another digest than the directory says"
        raise MalformedMessage(text, _WRONG_DIGEST)
    check_part(entry.identifier, raw, directory.version)


def _check_instances(
    found: Mapping[DirectoryEntry, bytes | None], directory: Directory, own: str
) -> None:
    """Parameters must be of the instance that the directory says."""
    parts = tuple(
        Part(entry.identifier, entry.instance, "", raw, directory.version, directory.expires)
        for entry, raw in found.items()
        if raw is not None
    )
    stored = ConfigurationSet(own, parts)
    for part in parts:
        if part.identifier == SHARED_PARAMETERS_ID:
            read_instance(stored, part.instance)
        elif part.identifier == PRIVATE_PARAMETERS_ID:
            read_private(part)
