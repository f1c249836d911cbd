"""The trust list inside a receipt: read from its entries, and compared with an anchor.

A trust list that came with the evidence is only as good as who gave it. With the anchor of an
instance, which its operator publishes, and the directory that was signed, nobody need be believed
but that operator.

Source: metadata.md 8 for the layout; trust.md 5.1 for directories.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from trust.configuration.confdirectory import Directory, parse_directory
from trust.configuration.confparts import (
    NEXT_UPDATE_ID,
    OLDEST_VERSION,
    SHARED_PARAMETERS_ID,
)
from trust.configuration.confset import (
    ConfigurationSet,
    Part,
    build_global_conf,
    instance_folder,
    instance_of_folder,
)
from trust.configuration.conftypes import write_time
from trust.errors import ExchangeError, MalformedMessage
from trust.globalconf import Anchor, GlobalConf, InstanceConf
from trust.report import Check, failed, indeterminate, passed, warning

IDENTIFIER = "instance-identifier"
SHARED_FILE = "shared-params.xml"
METADATA = ".metadata"
DIRECTORY = "directory"
_IDENTIFIERS = {SHARED_FILE: SHARED_PARAMETERS_ID, "nextupdate-params.xml": NEXT_UPDATE_ID}
_MALFORMED = "malformed_global_conf"


def read_trust_list(files: Mapping[str, bytes]) -> GlobalConf:
    """Read the files of `verificationconf/`, by their names in it; raises MalformedMessage.

    An instance that can't be read is left out, and in `skipped`; the own one must be there.
    """
    raw = files.get(IDENTIFIER)
    if raw is None:
        raise MalformedMessage("The receipt has no trust list", _MALFORMED)
    try:
        own = raw.decode("utf-8").strip()
        instance_folder(own)
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{IDENTIFIER} holds no name of an instance", _MALFORMED) from error
    conf = build_global_conf(ConfigurationSet(own, tuple(_parts(files))))
    if own not in conf.instances:
        reason = conf.skipped.get(own, "there are no shared parameters")
        raise MalformedMessage(f"There is no usable trust list of {own}: {reason}", _MALFORMED)
    return conf


def _parts(files: Mapping[str, bytes]) -> Iterator[Part]:
    for path, raw in files.items():
        folder, _, name = path.rpartition("/")
        if not folder or name.endswith(METADATA):
            continue
        if name not in _IDENTIFIERS:
            raise MalformedMessage(f"{path} is no part of a trust list in a receipt", _MALFORMED)
        yield Part(
            identifier=_IDENTIFIERS[name],
            instance=instance_of_folder(folder),
            file_name=name,
            raw=raw,
            version=_version(files.get(path + METADATA, b"")),
            expires=None,
        )


def _version(metadata: bytes) -> int:
    """The version of the schema; 2 when none is given, as in X-Road."""
    try:
        found = json.loads(metadata)["configurationVersion"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return OLDEST_VERSION
    plain = isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 5
    return int(found) if plain else OLDEST_VERSION


def trust_list_files(conf: GlobalConf, instances: Sequence[str]) -> dict[str, bytes]:
    """What `read_trust_list` reads: the own instance, and those of these that are known."""
    wanted = dict.fromkeys((conf.own_instance, *sorted(instances)))
    files = {IDENTIFIER: conf.own_instance.encode()}
    for name in wanted:
        instance = conf.instances.get(name)
        if instance is not None:
            folder = instance_folder(name)
            metadata = {"configurationVersion": str(instance.shared.version)}
            for file, identifier in _IDENTIFIERS.items():
                raw = _raw(instance, identifier)
                if raw is not None:
                    files[f"{folder}/{file}"] = raw
                    files[f"{folder}/{file}{METADATA}"] = json.dumps(
                        metadata, separators=(",", ":")
                    ).encode()
    return files


def _raw(instance: InstanceConf, identifier: str) -> bytes | None:
    if identifier == SHARED_PARAMETERS_ID:
        return instance.shared_raw
    return instance.optional_parts.get(identifier)


# --- anchors --------------------------------------------------------------------------------------


def check_trust_list(
    conf: GlobalConf,
    needed: Sequence[str],
    signed: Mapping[str, bytes],
    anchors: Sequence[Anchor],
) -> Iterator[Check]:
    """Say what the trust list rests upon: on anchors, or on whoever gave the receipt.

    Args:
        needed: instances whose lists the verdict depends on.
        signed: the files of `signed/`, by their names in it.
        anchors: those that the reader trusts; without any, a note is all.
    """
    if not anchors:
        text = (
            "It came in the receipt and is only as good as who gave it; an anchor of the instance,"
            " given beside it, ties it to the instance's operator"
        )
        yield warning("trust_list", text)
        return
    proven: set[str] = set()
    for anchor in anchors:
        folder = f"{instance_folder(anchor.instance)}/{DIRECTORY}"
        if folder not in signed:
            continue
        check, instances = _check_directory(conf, signed[folder], anchor)
        proven |= instances
        yield check
    for name in needed:
        if name not in proven and name in conf.instances:
            text = (
                f"Nothing in the receipt ties the trust list of {name} to an anchor that was given"
            )
            yield indeterminate("trust_list", "global_conf_missing_verification_cert", text)


def _check_directory(conf: GlobalConf, raw: bytes, anchor: Anchor) -> tuple[Check, frozenset[str]]:
    certificates = [one for source in anchor.sources for one in source.certificates]
    try:
        signed = parse_directory(raw)
        certificate = signed.verify(certificates)
        directory = signed.content()
    except ExchangeError as error:
        return failed("trust_list", error.code, f"{anchor.instance}: {error.text}"), frozenset()
    instances = frozenset(_listed(conf, directory))
    if anchor.instance not in instances:
        code = "global_conf_part_downloaded_file_integrity_failure"
        text = f"The trust list of {anchor.instance} is not the one that its operator signed"
        return failed("trust_list", code, text), frozenset()
    digest = hashlib.sha256(certificate).hexdigest()
    text = (
        f"{', '.join(sorted(instances))}: signed by a key of the anchor (SHA-256 of its certificate"
        f" {digest}), to be believed until {write_time(directory.expires)}"
    )
    return passed("trust_list", text), instances


def _listed(conf: GlobalConf, directory: Directory) -> Iterator[str]:
    """The instances whose shared parameters are those of the directory."""
    for name, instance in conf.instances.items():
        entry = directory.entry(SHARED_PARAMETERS_ID, name)
        fits = entry is not None and entry.matches(instance.shared_raw)
        if fits and directory.version == instance.shared.version:
            yield name
