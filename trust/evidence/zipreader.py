"""Read a ZIP file so strictly that every byte of it counts.

Common readers take names and sizes from one of the two places where a ZIP has them and step over
bytes that belong to no entry. Evidence must look the same to all of them, so here both places must
agree, entries fill the file from the first byte to the last, and what no checksum covers (times,
rights, the writer's version, the packed form itself) must be as the known writers leave it: X-Road
(Java), Sacbe, and Info-ZIP as it repacked some of the reference containers.

What makes the file ambiguous is refused at once; what is merely not as written is collected in
`damage` while the content is still read, so that a verification can name the more telling reason.

Source: PKWARE APPNOTE 4.3 to 4.5; docs/decisions/0011-single-bytes-of-a-container.md.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from trust.errors import MalformedMessage

MAX_ENTRIES = 1024
MAX_DIRECTORY_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 2 * 1024 * 1024 * 1024
MAX_RATIO = 200  # unpacked to packed, of the whole file, once it is larger than the next number
RATIO_COUNTS_FROM = 64 * 1024 * 1024
STORED = 0
DEFLATED = 8
CONTAINER_COMMENT = b"mimetype=application/vnd.etsi.asic-e+zip"

_CHUNK = 64 * 1024
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_DESCRIPTOR = struct.Struct("<4s3L")
_FOLLOWED_BY_DESCRIPTOR = 0x0008
_UTF8_NAMES = 0x0800
_NAME = re.compile(rb"(?:(?!\.\.?(?:/|$))[A-Za-z0-9._%+*-]+(?:/(?!$)|/?$))+")


class NotAZip(MalformedMessage):
    """The bytes are no ZIP file at all, not even a damaged one."""

    code = "asic_mime_type_not_found"  # what X-Road says, which reads it as an empty ZIP


class BrokenZip(MalformedMessage):
    """A ZIP file that two readers might read differently, or nobody can read."""

    code = "asic_invalid_container"


@dataclass(frozen=True, slots=True)
class ZipBounds:
    """How much a ZIP file may hold: entries, bytes of its directory, bytes unpacked."""

    entries: int = MAX_ENTRIES
    directory: int = MAX_DIRECTORY_BYTES
    total: int = MAX_TOTAL_BYTES


_CONTAINER_BOUNDS = ZipBounds()


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry as the central directory and its local header agree on it.

    Attributes:
        made_by, internal, external: what the writer says about itself and the file's rights.
        time: DOS time and date, in the writer's own zone, as one number.
        extra, local_extra: further fields of the central and of the local header.
        header, start, end: offsets of the local header, the packed bytes and what follows them.
    """

    name: str
    made_by: int
    needed: int
    flags: int
    method: int
    time: int
    crc: int
    packed_size: int
    size: int
    internal: int
    external: int
    extra: bytes
    local_extra: bytes
    header: int
    start: int
    end: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


def read_entries(source: BinaryIO, bounds: ZipBounds = _CONTAINER_BOUNDS) -> tuple[ZipEntry, ...]:
    """Read the directory and every local header; the entries are in the order of their bytes.

    Raises BrokenZip or NotAZip. Besides `bounds` there is MAX_RATIO for large files. No encryption,
    no ZIP64, methods stored and deflated only.
    """
    length = source.seek(0, 2)
    start, size, count = _read_end(source, length, bounds)
    directory = _read(source, start, size)
    headers = []
    at = 0
    while at < size:
        header, at = _read_central(directory, at)
        headers.append(header)
    if len(headers) != count:
        raise BrokenZip("The ZIP file's directory and its end do not agree")
    entries = []
    expected = 0
    for central in headers:
        entry = _with_local(source, central, expected, start)
        expected = entry.end
        entries.append(entry)
    if expected != start:
        raise BrokenZip("The ZIP file has bytes that belong to no entry")
    _check_sizes(entries, bounds)
    _check_names(entries)
    return tuple(entries)


def _read(source: BinaryIO, start: int, size: int) -> bytes:
    source.seek(start)
    data = source.read(size)
    if len(data) != size:
        raise BrokenZip("The ZIP file is cut off")
    return data


def _read_end(source: BinaryIO, length: int, bounds: ZipBounds) -> tuple[int, int, int]:
    """Start and size of the directory, and the number of entries."""
    for comment in (b"", CONTAINER_COMMENT):
        at = length - _END.size - len(comment)
        if at < 0:
            continue
        tail = _read(source, at, _END.size + len(comment))
        signature, disk, first, here, count, size, start, said = _END.unpack_from(tail)
        if signature != b"PK\5\6" or tail[_END.size :] != comment or said != len(comment):
            continue
        if (disk, first) != (0, 0) or here != count or start + size != at:
            raise BrokenZip("The ZIP file's end does not fit the file")
        if not 0 < count <= bounds.entries or size > bounds.directory:
            raise BrokenZip(f"The ZIP file has no entries, or more than {bounds.entries}")
        return start, size, count
    source.seek(max(0, length - 0x10000))
    if _read(source, 0, min(4, length)) != b"PK\3\4" and b"PK\5\6" not in source.read():
        raise NotAZip("The file is no ZIP file")
    raise BrokenZip("The ZIP file is cut off, or has a comment or bytes behind its end")


@dataclass(frozen=True, slots=True)
class _Central:
    fields: tuple[int, ...]
    name: bytes
    extra: bytes


def _read_central(directory: bytes, at: int) -> tuple[_Central, int]:
    if at + _CENTRAL.size > len(directory):
        raise BrokenZip("The ZIP file's directory is cut off")
    signature, *fields = _CENTRAL.unpack_from(directory, at)
    name_size, extra_size, comment_size, disk = fields[9:13]
    if signature != b"PK\1\2" or comment_size or disk:
        raise BrokenZip("The ZIP file's directory is malformed")
    start = at + _CENTRAL.size
    middle = start + name_size
    end = middle + extra_size
    if end > len(directory):
        raise BrokenZip("The ZIP file's directory is cut off")
    return _Central(tuple(fields), directory[start:middle], directory[middle:end]), end


def _with_local(source: BinaryIO, central: _Central, expected: int, limit: int) -> ZipEntry:
    """Read the local header, which must begin where the entry before it ends, and compare."""
    made_by, needed, flags, method, time, date, crc, packed, size = central.fields[:9]
    internal, external, header = central.fields[13:]
    name = _name(central.name)
    if header != expected:
        raise BrokenZip("The ZIP file's entries do not follow one another")
    signature, *local = _LOCAL.unpack(_read(source, header, _LOCAL.size))
    described = bool(flags & _FOLLOWED_BY_DESCRIPTOR)
    sums = [0, 0, 0] if described else [crc, packed, size]
    if signature != b"PK\3\4" or local[:8] != [needed, flags, method, time, date, *sums]:
        raise BrokenZip(f"{name} is described in two ways")
    rest = _read(source, header + _LOCAL.size, local[8] + local[9])
    if rest[: local[8]] != central.name:
        raise BrokenZip(f"{name} has two names")
    if flags & ~(_FOLLOWED_BY_DESCRIPTOR | _UTF8_NAMES) or method not in (STORED, DEFLATED):
        raise BrokenZip(f"{name} is encrypted or packed in a way that is not accepted")
    if method == STORED and (packed != size or described):
        raise BrokenZip(f"{name} is stored and has two sizes")
    start = header + _LOCAL.size + len(rest)
    end = start + packed + (_DESCRIPTOR.size if described else 0)
    if end > limit:
        raise BrokenZip(f"{name} does not end before the ZIP file's directory")
    if described and _DESCRIPTOR.unpack(_read(source, start + packed, _DESCRIPTOR.size)) != (
        b"PK\7\10", crc, packed, size,
    ):  # fmt: skip
        raise BrokenZip(f"{name} is described in two ways")
    if name.endswith("/") and size:
        raise BrokenZip(f"The folder {name} has a content")
    return ZipEntry(
        name, made_by, needed, flags, method, date << 16 | time, crc, packed, size, internal,
        external, central.extra, rest[local[8] :], header, start, end,
    )  # fmt: skip


def _name(raw: bytes) -> str:
    """A plain relative name: no way up, no drive, nothing that a file system reads differently."""
    if not _NAME.fullmatch(raw) or len(raw) > 255:
        raise BrokenZip("The ZIP file has an entry whose name is not plain")
    return raw.decode("ascii")


def _check_names(entries: Sequence[ZipEntry]) -> None:
    seen = set()
    for entry in entries:
        if entry.name.lower() in seen:
            raise BrokenZip(f"{entry.name} stands in the ZIP file twice")
        seen.add(entry.name.lower())


def _check_sizes(entries: Sequence[ZipEntry], bounds: ZipBounds) -> None:
    total = sum(entry.size for entry in entries)
    packed = sum(entry.packed_size for entry in entries)
    if total > bounds.total or (total > RATIO_COUNTS_FROM and total > MAX_RATIO * packed):
        raise BrokenZip("The ZIP file unpacks to more than is accepted")


# --- content --------------------------------------------------------------------------------------


class Unpacking:
    """One pass over an entry's content.

    After `chunks()` has come to its end, `damage` holds what is wrong with the entry though it
    could be read, and `comparable` tells whether its packed bytes could be judged at all.
    """

    def __init__(self, source: BinaryIO, entry: ZipEntry) -> None:
        self._source = source
        self._entry = entry
        self.damage: list[str] = []
        self.comparable = True

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in pieces of at most 64 KiB; raises BrokenZip."""
        entry = self._entry
        crc = size = 0
        repacking = _Repacking(self._source, entry) if entry.method == DEFLATED else None
        for chunk in self._inflated() if repacking else self._stored():
            crc = zlib.crc32(chunk, crc)
            size += len(chunk)
            if size > entry.size:
                raise BrokenZip(f"{entry.name} is longer than the ZIP file says")
            if repacking:
                repacking.add(chunk)
            yield chunk
        if size != entry.size:
            raise BrokenZip(f"{entry.name} is shorter than the ZIP file says")
        if crc != entry.crc:
            self.damage.append(f"{entry.name} does not have the checksum that the ZIP file states")
        elif repacking:
            self.comparable = repacking.finish()
            if repacking.one_byte_off:
                self.damage.append(f"{entry.name} has a changed byte in its packed form")

    def read(self) -> bytes:
        return b"".join(self.chunks())

    def _stored(self) -> Iterator[bytes]:
        left = self._entry.packed_size
        at = self._entry.start
        while left:
            chunk = _read(self._source, at, min(left, _CHUNK))
            at += len(chunk)
            left -= len(chunk)
            yield chunk

    def _inflated(self) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for packed in self._stored():
                waiting = packed
                while waiting and not inflater.eof:
                    yield inflater.decompress(waiting, _CHUNK)
                    waiting = inflater.unconsumed_tail
                if inflater.eof and inflater.unused_data:
                    break
            while not inflater.eof and (rest := inflater.decompress(b"", _CHUNK)):
                yield rest
        except zlib.error as error:
            raise BrokenZip(f"{self._entry.name} can't be unpacked") from error
        if not inflater.eof or inflater.unused_data:
            raise BrokenZip(f"{self._entry.name} does not fill its place in the ZIP file")


class _Repacking:
    """Packs content again and compares: several packed forms unpack to the same content.

    All known writers deflate by zlib at its default level, so that one form is expected. A form
    that differs from it in one byte is damage; a wholly different one is another program's work.
    """

    def __init__(self, source: BinaryIO, entry: ZipEntry) -> None:
        self._source = source
        self._entry = entry
        self._deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 8)
        self._compared = 0
        self._different = 0

    def add(self, chunk: bytes) -> None:
        if self._different <= 1:
            self._compare(self._deflater.compress(chunk))

    def finish(self) -> bool:
        """Whether the packed form is the expected one, or nearly."""
        if self._different <= 1:
            self._compare(self._deflater.flush())
        return self._different <= 1 and self._compared == self._entry.packed_size

    @property
    def one_byte_off(self) -> bool:
        return self._different == 1 and self._compared == self._entry.packed_size

    def _compare(self, expected: bytes) -> None:
        end = self._compared + len(expected)
        self._source.seek(self._entry.start + self._compared)
        found = self._source.read(len(expected))
        self._compared = end
        if end > self._entry.packed_size:
            self._different = 2
        elif found != expected:
            pairs = zip(found, expected, strict=True)
            self._different += sum(1 for this, that in pairs if this != that)
