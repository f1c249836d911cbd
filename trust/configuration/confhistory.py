"""The trust lists that a node believed, one after the other: by which of them a moment is judged.

    versions/20261121T120000.123456Z-<16 hex of its digest>.json
    parts/<SHA-256>.gz

A version names the shared parameters of every instance and says from when it counted; it counted
until the next one. A part is stored once, however many versions name it, and no file is ever
changed, so that the same files lie in an archive store as well. With each version goes the signed
directory of the own instance that announced it: whoever has the anchor need not believe the node.

Private parameters are left out: they are for the instance's servers alone, and prove nothing.
"""

import contextlib
import gzip
import hashlib
import json
import os
import re
import secrets
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from trust.configuration.confdirectory import MAX_DIRECTORY_BYTES, read_directory
from trust.configuration.confparts import (
    MAX_PART_BYTES,
    NEXT_UPDATE_ID,
    SHARED_PARAMETERS_ID,
)
from trust.configuration.confset import ConfigurationSet, Part, build_global_conf
from trust.errors import ExchangeError, MalformedMessage, StorageError
from trust.globalconf import Anchor, GlobalConf

VERSIONS, PARTS = "versions", "parts"
MAX_VERSIONS = 20_000
MAX_VERSION_BYTES = 4 << 20
_MAX_PARTS = 500  # of one version
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-([0-9a-f]{16})\.json")
_TIME = "%Y%m%dT%H%M%S.%fZ"
_HEX = re.compile(r"[0-9a-f]{64}")
_KEPT = (SHARED_PARAMETERS_ID, NEXT_UPDATE_ID)  # what a judgement depends on
_IN_MEMORY = 4  # trust lists


@dataclass(frozen=True, slots=True)
class PartEntry:
    """A part of a version: what it is, and the digest under which it is stored."""

    identifier: str
    instance: str
    file_name: str
    version: int
    location: str
    digest: str  # SHA-256 in hex


@dataclass(frozen=True, slots=True)
class TrustListVersion:
    """A trust list that counted from a moment on.

    Attributes:
        since: when the node first believed it (aware, UTC), by its own clock.
        directory: digest of the signed directory of the own instance that announced it; empty when
            the node took the list from its disk.
    """

    since: datetime
    own_instance: str
    parts: tuple[PartEntry, ...]
    directory: str = ""

    @property
    def identity(self) -> str:
        """A digest of what it holds, whenever it counted."""
        lines = [self.own_instance, *sorted(_line(part) for part in self.parts)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def file_name(self) -> str:
        return f"{self.since.astimezone(UTC):{_TIME}}-{self.identity[:16]}.json"

    def build(self) -> bytes:
        """The text of its file."""
        members = {
            "since": f"{self.since.astimezone(UTC):{_TIME}}",
            "ownInstance": self.own_instance,
            "directory": self.directory or None,
            "parts": [
                {
                    "contentIdentifier": part.identifier,
                    "instanceIdentifier": part.instance,
                    "fileName": part.file_name,
                    "configurationVersion": str(part.version),
                    "contentLocation": part.location,
                    "sha256": part.digest,
                }
                for part in self.parts
            ],
        }
        return json.dumps(members, indent=1, ensure_ascii=False).encode()

    @classmethod
    def parse(cls, raw: bytes) -> "TrustListVersion":
        """Read the text, or raise MalformedMessage."""
        if len(raw) > MAX_VERSION_BYTES:
            raise _malformed(f"larger than {MAX_VERSION_BYTES} bytes")
        try:
            read = json.loads(raw)
            version = cls(
                datetime.strptime(read["since"], _TIME).replace(tzinfo=UTC),
                str(read["ownInstance"]),
                tuple(_entry(each) for each in read["parts"][:_MAX_PARTS]),
                str(read["directory"] or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _malformed(type(error).__name__) from error
        if version.directory and not _HEX.fullmatch(version.directory):
            raise _malformed("its directory has no digest")
        return version


def _entry(read: Mapping[str, str]) -> PartEntry:
    entry = PartEntry(
        str(read["contentIdentifier"]),
        str(read["instanceIdentifier"]),
        str(read["fileName"]),
        int(read["configurationVersion"]),
        str(read["contentLocation"]),
        str(read["sha256"]),
    )
    if not _HEX.fullmatch(entry.digest):
        raise ValueError("no digest")
    return entry


def _line(part: PartEntry) -> str:
    """What tells a part from others; its address changes with every signing."""
    return f"{part.identifier} {part.instance} {part.version} {part.digest}"


def _malformed(why: str) -> MalformedMessage:
    return MalformedMessage(f"No version of a trust list: {why}", "malformed_global_conf")


# --- keeping --------------------------------------------------------------------------------------


class TrustListKeeper:
    """Writes what a node believes into a folder, one version per change. For one thread at a time.

    Args:
        limit: versions that are kept; beyond it the oldest go.
    """

    def __init__(self, folder: Path, limit: int = MAX_VERSIONS) -> None:
        self.folder = folder
        self._limit = limit
        self._newest: TrustListVersion | None = None
        self._started = False

    def keep(self, stored: ConfigurationSet, since: datetime, directory: bytes = b"") -> bool:
        """Keep a set unless it is the one that counts already; whether it is a new version.

        Raises StorageError; nothing is half kept then, and the next call tries again.
        """
        try:
            return self._keep(stored, since, directory)
        except OSError as error:
            text = f"The history of trust lists can't be written: {error.strerror}"
            raise StorageError(text) from error

    def _keep(self, stored: ConfigurationSet, since: datetime, directory: bytes) -> bool:
        parts = [part for part in stored.parts if part.identifier in _KEPT]
        if stored.part(SHARED_PARAMETERS_ID, stored.own_instance) is None:
            return False
        entries = tuple(_entry_of(part) for part in parts)
        signed = hashlib.sha256(directory).hexdigest() if directory else ""
        version = TrustListVersion(since, stored.own_instance, entries, signed)
        newest = self._find_newest()
        if newest is not None and newest.identity == version.identity:
            if newest.directory or not directory:
                return False
        elif newest is not None and since <= newest.since:
            return False  # the clock was set back; what counts is told again with a later time
        for entry, part in zip(entries, parts, strict=True):
            self._write(f"{PARTS}/{entry.digest}.gz", gzip.compress(part.raw, mtime=0))
        if directory:
            self._write(f"{PARTS}/{signed}.gz", gzip.compress(directory, mtime=0))
        self._write(f"{VERSIONS}/{version.file_name}", version.build())
        self._newest = version
        self._remove_oldest()
        return True

    def _find_newest(self) -> TrustListVersion | None:
        if not self._started:
            names = _version_names(path.name for path in self._files(VERSIONS))
            for name in reversed(names):
                with contextlib.suppress(MalformedMessage):
                    path = self.folder / VERSIONS / name
                    self._newest = TrustListVersion.parse(path.read_bytes())
                    break
            self._started = True
        return self._newest

    def _files(self, kind: str) -> Iterator[Path]:
        place = self.folder / kind
        return place.iterdir() if place.is_dir() else iter(())

    def _write(self, name: str, raw: bytes) -> None:
        path = self.folder / name
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with fresh.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _remove_oldest(self) -> None:
        """Keep within the limit; parts that no version names any more go as well."""
        names = _version_names(path.name for path in self._files(VERSIONS))
        if len(names) <= self._limit:
            return
        for name in names[: len(names) - self._limit]:
            (self.folder / VERSIONS / name).unlink(missing_ok=True)
        used = set()
        for name in names[len(names) - self._limit :]:
            version = TrustListVersion.parse((self.folder / VERSIONS / name).read_bytes())
            used |= {part.digest for part in version.parts} | {version.directory}
        for path in list(self._files(PARTS)):
            if path.name.removesuffix(".gz") not in used:
                path.unlink(missing_ok=True)

    def names(self) -> tuple[str, ...]:
        """All files by their names below the folder, parts first: a copy in this order is whole."""
        found = [
            f"{kind}/{path.name}"
            for kind in (PARTS, VERSIONS)
            for path in sorted(self._files(kind))
            if not path.name.startswith(".")
        ]
        return tuple(found)


def _entry_of(part: Part) -> PartEntry:
    return PartEntry(
        part.identifier,
        part.instance,
        part.file_name,
        part.version,
        part.location,
        hashlib.sha256(part.raw).hexdigest(),
    )


def _version_names(names: Iterable[str]) -> list[str]:
    """The names of versions, the oldest first."""
    return sorted(name for name in names if _NAME.fullmatch(name))


# --- reading --------------------------------------------------------------------------------------


class Files(Protocol):
    """Where a history lies: a folder, or an archive store."""

    def names(self) -> Sequence[str]:
        """The names of the versions' files; raises StorageError."""

    def read(self, name: str, limit: int) -> bytes:
        """A file by its name below the history; at most one byte more than the limit. Likewise."""


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """A history in a folder."""

    folder: Path

    def names(self) -> Sequence[str]:
        try:
            return [path.name for path in (self.folder / VERSIONS).iterdir()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _unreadable(error) from error

    def read(self, name: str, limit: int) -> bytes:
        try:
            with (self.folder / name).open("rb") as file:
                return file.read(limit + 1)
        except OSError as error:
            raise _unreadable(error) from error


def _unreadable(error: OSError) -> StorageError:
    return StorageError(f"The history of trust lists can't be read: {error.strerror}")


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version in a history: when it counts from, and what is wrong with it, if anything."""

    since: datetime
    version: TrustListVersion | None
    problem: str = ""


@dataclass
class TrustListHistory:
    """Answers which trust list counted at a moment. Reads a list when it is asked for.

    Attributes:
        files: where it lies.
        anchors: of the own instance, one for each generation of its keys: its shared parameters
            are then believed only as far as a directory signed by one of them announced them.
    """

    files: Files
    anchors: Sequence[Anchor] = ()
    versions: tuple[KnownVersion, ...] = field(init=False)
    _loaded: "OrderedDict[int, GlobalConf | None]" = field(init=False, default_factory=OrderedDict)
    _problems: dict[int, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = []
        for name in _version_names(self.files.names())[-MAX_VERSIONS:]:
            since = datetime.strptime(name.partition("-")[0], _TIME).replace(tzinfo=UTC)
            try:
                version = TrustListVersion.parse(
                    self.files.read(f"{VERSIONS}/{name}", MAX_VERSION_BYTES)
                )
                problem = "" if version.file_name == name else "it does not fit its name"
                found.append(KnownVersion(since, None if problem else version, problem))
            except (MalformedMessage, StorageError) as error:
                found.append(KnownVersion(since, None, str(error)))
        self.versions = tuple(found)

    def at(self, moment: datetime) -> GlobalConf | None:
        """The trust list that counted at a moment, without expiry; None when none is known."""
        place = bisect_right(self.versions, moment, key=lambda version: version.since) - 1
        if place < 0:
            return None
        if place not in self._loaded:
            self._loaded[place] = self._load(place)
            while len(self._loaded) > _IN_MEMORY:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(place)
        return self._loaded[place]

    def directory_at(self, moment: datetime) -> bytes | None:
        """A signed directory that announced the list of a moment; None where none was kept.

        A list that was read from the disk may have got its directory a little later.
        """
        place = bisect_right(self.versions, moment, key=lambda version: version.since) - 1
        counted = self.versions[place].version if place >= 0 else None
        for known in self.versions[max(place, 0) :]:
            version = known.version
            if counted is None or version is None or version.identity != counted.identity:
                return None
            if version.directory:
                with contextlib.suppress(MalformedMessage, StorageError):
                    return self._content(version.directory, MAX_DIRECTORY_BYTES)
        return None

    def why_none(self, moment: datetime) -> str:
        """A sentence on why `at` gave none."""
        place = bisect_right(self.versions, moment, key=lambda version: version.since) - 1
        when = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        if not self.versions:
            return f"The history of trust lists is empty; none of {when} is known"
        if place < 0:
            first = f"{self.versions[0].since:%Y-%m-%d %H:%M:%S}Z"
            return f"No trust list of {when} is known: the history begins at {first}"
        problem = self._problems.get(place) or self.versions[place].problem
        return f"The trust list of {when} can't be used: {problem}"

    def _load(self, place: int) -> GlobalConf | None:
        version = self.versions[place].version
        if version is None:
            return None
        try:
            parts = tuple(self._part(entry) for entry in version.parts)
            self._check_origin(version)
            conf = build_global_conf(
                ConfigurationSet(version.own_instance, parts), number=place + 1
            )
        except (ExchangeError, StorageError) as error:
            self._problems[place] = str(error)
            return None
        if version.own_instance not in conf.instances:
            self._problems[place] = conf.skipped.get(version.own_instance, "it has no own instance")
            return None
        return conf

    def _part(self, entry: PartEntry) -> Part:
        raw = self._content(entry.digest, MAX_PART_BYTES)
        return Part(
            entry.identifier, entry.instance, entry.file_name, raw, entry.version, None,
            entry.location,
        )  # fmt: skip

    def _content(self, digest: str, limit: int) -> bytes:
        """A stored file; raises MalformedMessage when it is not what its name says."""
        packed = self.files.read(f"{PARTS}/{digest}.gz", limit)
        unpacking = zlib.decompressobj(wbits=31)
        try:
            raw = unpacking.decompress(packed, limit + 1)
        except zlib.error as error:
            raise _malformed(f"part {digest[:16]} is damaged") from error
        if len(raw) > limit or hashlib.sha256(raw).hexdigest() != digest:
            raise _malformed(f"part {digest[:16]} was altered")
        return raw

    def _check_origin(self, version: TrustListVersion) -> None:
        """With anchors: the own instance's parts must be those of a directory that they signed."""
        if not self.anchors:
            return
        own_anchors = [each for each in self.anchors if each.instance == version.own_instance]
        certificates = [c for each in own_anchors for s in each.sources for c in s.certificates]
        if not certificates:
            raise _malformed(f"it is of {version.own_instance}, for which no anchor was given")
        if not version.directory:
            raise _malformed("its signed directory was not kept")
        raw = self._content(version.directory, MAX_DIRECTORY_BYTES)
        directory = read_directory(raw, certificates, version.since)
        for entry in version.parts:
            announced = directory.entry(entry.identifier, entry.instance)
            own = entry.instance == version.own_instance
            if own and (announced is None or not announced.matches(self._part(entry).raw)):
                raise _malformed(f"the directory does not announce {entry.identifier}")


TrustListAt = Callable[[datetime], GlobalConf | None]
