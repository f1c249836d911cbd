"""A configuration on disk, in the layout of X-Road, so that its own tools can read it.

    <folder>/instance-identifier
    <folder>/<instance>/shared-params.xml            and .metadata beside every part
    <folder>/<instance>/private-params.xml
    <folder>/generations.metadata                    ours: how new the believed directories were

`<folder>` is a symbolic link to a folder beside it. Writing makes a new one and swaps the link, so
that a reader who follows it once never sees two generations mixed.

Source: trust.md 5.3; metadata.md 8; X-Road 7.8 ConfigurationPartMetadata.java,
VersionedConfigurationDirectory.java.
"""

import io
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from trust.configuration.confparts import (
    FETCH_INTERVAL_ID,
    MAX_PART_BYTES,
    MONITORING_ID,
    NEXT_UPDATE_ID,
    OLDEST_VERSION,
    PRIVATE_PARAMETERS_ID,
    SHARED_PARAMETERS_ID,
)
from trust.configuration.confset import (
    ConfigurationSet,
    Generation,
    Part,
    build_global_conf,
    instance_folder,
    instance_of_folder,
)
from trust.configuration.conftypes import read_offset_time, write_time
from trust.errors import MalformedMessage, StorageError
from trust.globalconf import GlobalConf

IDENTIFIER_FILE = "instance-identifier"
GENERATIONS_FILE = "generations.metadata"
METADATA = ".metadata"
MAX_METADATA_BYTES = 64 * 1024
MAX_FILES = 2000
_ATTEMPTS = 5
_IDENTIFIERS = {
    "shared-params.xml": SHARED_PARAMETERS_ID,
    "private-params.xml": PRIVATE_PARAMETERS_ID,
    "monitoring-params.xml": MONITORING_ID,
    "fetchinterval-params.xml": FETCH_INTERVAL_ID,
    "nextupdate-params.xml": NEXT_UPDATE_ID,
}


def load_configuration(folder: Path, *, unknown_expiry: datetime | None = None) -> GlobalConf:
    """Load a configuration for judging evidence: one that says no expiry never expires.

    Instances that can't be read are in `GlobalConf.skipped`, with the reason.

    Args:
        unknown_expiry: until when parts without a readable expiry date are believed; a node
            gives a time long ago.
    Raises MalformedMessage (`malformed_global_conf`) when the folder has no instance identifier
    and StorageError when it can't be read.
    """
    return build_global_conf(load_set(folder), unknown_expiry=unknown_expiry)


def load_set(folder: Path) -> ConfigurationSet:
    """Load all parts as they lie in a folder; raises as `load_configuration`.

    When the folder is swapped and cleaned up meanwhile, the reading starts again.
    """
    for _ in range(_ATTEMPTS):
        try:
            place = folder.resolve(strict=True)
        except OSError as error:
            raise _unreadable(error) from error
        stored = _load_unless_removed(place)
        if stored is not None:
            return stored
    raise StorageError("The configuration changes faster than it can be read")


def _load_unless_removed(place: Path) -> ConfigurationSet | None:
    """Load a folder; None when it has been removed by the end."""
    try:
        stored = ConfigurationSet(_own_instance(place), tuple(_parts(place)), _generations(place))
    except (OSError, MalformedMessage) as error:
        if not place.exists():
            return None
        if isinstance(error, OSError):
            raise _unreadable(error) from error
        raise
    return stored if place.exists() else None


def _unreadable(error: OSError) -> StorageError:
    return StorageError(f"The configuration can't be read: {error.strerror}")


def _own_instance(folder: Path) -> str:
    path = folder / IDENTIFIER_FILE
    if not path.is_file():
        text = f"There is no file '{IDENTIFIER_FILE}'"
        raise MalformedMessage(text, "malformed_global_conf")
    try:
        own = _bounded(path, 2000).decode("utf-8").strip()
        instance_folder(own)
    except (UnicodeDecodeError, MalformedMessage) as error:
        text = f"'{IDENTIFIER_FILE}' holds no name of an instance"
        raise MalformedMessage(text, "malformed_global_conf") from error
    return own


def _bounded(path: Path, limit: int) -> bytes:
    """A file's bytes; of a larger one, one byte more than the limit."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _parts(folder: Path) -> Iterator[Part]:
    count = 0
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            instance = instance_of_folder(place.name)
        except MalformedMessage:
            continue  # no instance is stored under such a name
        for path in sorted(place.iterdir()):
            count += 1
            if count > MAX_FILES:
                raise MalformedMessage(
                    f"There are more than {MAX_FILES} files", "malformed_global_conf"
                )
            if path.is_file() and not path.name.endswith(METADATA):
                yield load_part(path, instance)


def load_part(path: Path, instance: str) -> Part:
    """Read one part with the metadata beside it; raises OSError."""
    metadata = _metadata(path)
    fixed = _IDENTIFIERS.get(path.name)
    return Part(
        identifier=fixed or metadata.get("contentIdentifier") or path.name,
        instance=instance,
        file_name=path.name,
        raw=_bounded(path, MAX_PART_BYTES),
        version=_version(metadata),
        expires=_expires(metadata),
        location=metadata.get("contentLocation", ""),
    )


def _metadata(path: Path) -> Mapping[str, str]:
    """The texts in a part's metadata; none when there are none or they can't be read."""
    try:
        raw = _bounded(path.with_name(path.name + METADATA), MAX_METADATA_BYTES)
        found = json.loads(raw)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, str)}


def _version(metadata: Mapping[str, str]) -> int:
    """The version of the schema; 2 when none is given, as in X-Road."""
    text = metadata.get("configurationVersion", "")
    return int(text) if re.fullmatch("[0-9]{1,4}", text) else OLDEST_VERSION


def _expires(metadata: Mapping[str, str]) -> datetime | None:
    try:
        return read_offset_time(metadata.get("expirationDate", ""))
    except ValueError:
        return None


def _generations(folder: Path) -> Mapping[str, Generation]:
    try:
        found = json.loads(_bounded(folder / GENERATIONS_FILE, MAX_METADATA_BYTES))
        return {
            str(source): Generation(read_offset_time(item["expires"]), str(item["stamp"]))
            for source, item in found.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def save_set(folder: Path, stored: ConfigurationSet) -> None:
    """Write a set beside `folder` and make `folder` a link to it; raises StorageError.

    A real folder in its place is renamed. Parts that did not change are linked, not written again.
    """
    try:
        _save(folder, stored)
    except OSError as error:
        text = f"The configuration can't be written: {error.strerror}"
        raise StorageError(text) from error


def _save(folder: Path, stored: ConfigurationSet) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    previous = folder.resolve() if folder.exists() else None
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}")
    fresh.mkdir(mode=0o755)
    try:
        _write_tree(fresh, stored, previous)
        link = fresh.with_name(fresh.name + ".link")
        link.symlink_to(fresh.name)
        _make_room(folder)
        link.replace(folder)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _sync_folder(folder.parent)
    _remove_old(folder, keep={fresh, previous})


def _make_room(folder: Path) -> None:
    """Move a real folder out of the way and leave it there; a link is replaced in one step."""
    if folder.is_dir() and not folder.is_symlink():
        folder.rename(folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.old"))


def _write_tree(folder: Path, stored: ConfigurationSet, previous: Path | None) -> None:
    _write(folder / IDENTIFIER_FILE, stored.own_instance.encode())
    for part in stored.parts:
        place = folder / instance_folder(part.instance)
        place.mkdir(exist_ok=True)
        before = None if previous is None else previous / place.name / part.file_name
        _write_part(place / part.file_name, part, before)
    for place in (path for path in folder.iterdir() if path.is_dir()):
        _sync_folder(place)
    _write(folder / GENERATIONS_FILE, _build_generations(stored))
    _sync_folder(folder)


def _write_part(path: Path, part: Part, before: Path | None) -> None:
    if before is not None and before.is_file() and before.read_bytes() == part.raw:
        os.link(before, path)
    else:
        _write(path, part.raw)
    _write(path.with_name(path.name + METADATA), build_metadata(part))


def _write(path: Path, raw: bytes) -> None:
    with path.open("xb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_old(folder: Path, keep: set[Path | None]) -> None:
    """Delete generations before the previous one, whose readers have long finished."""
    kept = {path.name for path in keep if path is not None}
    pattern = re.compile(re.escape(f".{folder.name}.") + r"[0-9a-f]{12}(\.link|\.gone)?")
    for path in list(folder.parent.iterdir()):
        if pattern.fullmatch(path.name) and path.name not in kept:
            if path.is_symlink():
                path.unlink(missing_ok=True)
            else:  # renamed first, so that a late reader sees all or nothing
                shutil.rmtree(path.rename(path.with_name(f"{path.name}.gone")), ignore_errors=True)


def build_metadata(part: Part) -> bytes:
    """The JSON that X-Road writes beside a part; what is not known is left out."""
    members = {
        "contentIdentifier": part.identifier,
        "instanceIdentifier": part.instance,
        "expirationDate": None if part.expires is None else write_time(part.expires),
        "contentLocation": part.location or None,
        "configurationVersion": str(part.version),
    }
    known = {name: value for name, value in members.items() if value is not None}
    return json.dumps(known, separators=(",", ":"), ensure_ascii=False).encode()


def _build_generations(stored: ConfigurationSet) -> bytes:
    members = {
        source: {"expires": write_time(generation.expires), "stamp": generation.stamp}
        for source, generation in stored.generations.items()
    }
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def verification_zip(conf: GlobalConf) -> bytes:
    """What `GET /verificationconf` answers: the shared parameters of all instances, to verify by.

    Expired instances are in it as well. Source: metadata.md 8.
    """
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, instance in conf.instances.items():
            place = f"verificationconf/{instance_folder(name)}/shared-params.xml"
            version = json.dumps(
                {"configurationVersion": str(instance.shared.version)}, separators=(",", ":")
            )
            archive.writestr(_zip_entry(place), instance.shared_raw)
            archive.writestr(_zip_entry(place + METADATA), version)
        archive.writestr(_zip_entry(f"verificationconf/{IDENTIFIER_FILE}"), conf.own_instance)
    return memory.getvalue()


def _zip_entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # of 1980: the same configuration gives the same bytes
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
