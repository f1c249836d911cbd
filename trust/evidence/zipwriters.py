"""What no checksum covers in a ZIP file, compared with how the known writers leave it.

Java (X-Road) and Sacbe write fields that are the same for every entry. Info-ZIP, by which some of
the reference containers were packed again, adds times and owners of its own; what it writes only
once is held to what the rest of the file implies.

Source: PKWARE APPNOTE 4.4 and 4.5, Info-ZIP extrafld.txt;
docs/decisions/0011-single-bytes-of-a-container.md.
"""

import struct
from collections.abc import Iterator, Sequence

from trust.evidence.zipreader import DEFLATED, ZipEntry

_TIMES = 0x5455  # "UT": modification time, in the local header access time as well
_OWNER = 0x7875  # "ux": user and group
_FOLDER_BIT = 0x10  # of DOS attributes
_IS_FILE, _IS_FOLDER = 0o100000, 0o040000


def find_oddities(entries: Sequence[ZipEntry]) -> Iterator[str]:
    """Sentences about fields that no known writer leaves like that."""
    files = [entry for entry in entries if not entry.is_folder]
    if len({entry.made_by for entry in entries}) > 1:
        yield "the entries are by different writers"
    if len({(entry.internal, entry.external) for entry in files}) > 1:
        yield "the entries have different attributes"
    for entry in entries:
        yield from _version_oddities(entry)
        if entry.is_folder and not _folder_rights_fit(entry, files):
            yield f"{entry.name} has rights that do not fit those of the files"
    yield from _extra_oddities(entries)


def _version_oddities(entry: ZipEntry) -> Iterator[str]:
    if entry.needed not in ((20,) if entry.method == DEFLATED else (10, 20)):
        yield f"{entry.name} asks for a reader of version {entry.needed}"


def _folder_rights_fit(folder: ZipEntry, files: Sequence[ZipEntry]) -> bool:
    """A folder has the files' rights, and may be searched by whoever may read it."""
    if folder.internal or not files:
        return False
    mode = files[0].external >> 16
    if mode & 0o170000 != _IS_FILE:
        return folder.external == _FOLDER_BIT
    rights = mode & 0o666
    expected = _IS_FOLDER | rights | (rights & 0o444) >> 2
    return folder.external == expected << 16 | _FOLDER_BIT


def _fields(extra: bytes) -> dict[int, bytes] | None:
    """Extra fields by kind; None when they are malformed or one stands twice."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        if at + 4 > len(extra):
            return None
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind in found or at + 4 + size > len(extra):
            return None
        found[kind] = extra[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _extra_oddities(entries: Sequence[ZipEntry]) -> Iterator[str]:
    owners = set()
    modified = []
    accessed = []
    for entry in entries:
        central, local = _fields(entry.extra), _fields(entry.local_extra)
        if central is None or local is None or list(central) != list(local):
            yield f"{entry.name} has malformed or unequal further fields"
            continue
        if set(central) - {_TIMES, _OWNER} or central.get(_OWNER) != local.get(_OWNER):
            yield f"{entry.name} has further fields that are not known"
            continue
        owners.add((tuple(central), central.get(_OWNER)))
        if _TIMES in central:
            times = _times(central[_TIMES], local[_TIMES])
            if times is None:
                yield f"{entry.name} has two modification times"
                continue
            modified.append(times[0])
            accessed.append((entry.name, *times))
    if len(owners) > 1:
        yield "the entries have different owners or further fields"
    for name, written, read in accessed:
        if read not in (written, _packing_time(modified)):
            yield f"{name} has an access time that nothing confirms"


def _times(central: bytes, local: bytes) -> tuple[int, int] | None:
    """Modification and access time, where both headers agree; without access time twice the one."""
    if len(central) != 5 or central[0] not in (1, 3) or local[:5] != central:
        return None
    expected = 5 if central[0] == 1 else 9
    if len(local) != expected:
        return None
    written = int.from_bytes(central[1:], "little")
    return written, int.from_bytes(local[5:], "little") if local[5:] else written


def _packing_time(modified: Sequence[int]) -> int:
    """When a file was read to be packed: the tick of the ZIP clock after the newest change.

    The clock of a ZIP file ticks every two seconds.
    """
    return (max(modified) | 1) + 1
