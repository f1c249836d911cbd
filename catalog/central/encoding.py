"""The catalog as bytes: what the registry publishes and every node keeps.

Lines of JSON, packed with xz (`catalog.central.snapshot.lines`). Every text stands once, and
everything else names texts and clients by their place.

A reader believes nothing: sizes and counts are bounded before anything is made of them.
"""

import lzma
from collections.abc import Iterator

from catalog.central.entries import Catalog
from catalog.central.snapshot.reading import malformed, read_catalog
from catalog.central.snapshot.writing import write_catalog

PART_IDENTIFIER = "SACBE-CATALOG"
PART_FILE = "sacbe-catalog.json.xz"
MAX_PACKED_BYTES = 16 << 20
MAX_BYTES = 48 << 20
_MEMORY = 64 << 20  # bytes that unpacking may take
_PIECE = 64 * 1024  # bytes
_EFFORT = 3  # of xz: more takes seven times as long and packs no better


def encode_catalog(catalog: Catalog) -> bytes:
    """The bytes of a catalog; the same for the same catalog."""
    packer = lzma.LZMACompressor(preset=_EFFORT)
    return b"".join((*map(packer.compress, write_catalog(catalog)), packer.flush()))


def decode_catalog(raw: bytes, before: Catalog | None = None) -> Catalog:
    """Read the bytes of a catalog; raises MalformedMessage with a sentence.

    Args:
        before: an earlier version; what is the same in both is then there only once.
    """
    return read_catalog(unpacked(raw), before)


def unpacked(raw: bytes) -> Iterator[bytes]:
    """The text, piece by piece; raises MalformedMessage for what is damaged or too large."""
    if len(raw) > MAX_PACKED_BYTES:
        raise malformed(f"it has {len(raw)} bytes, more than {MAX_PACKED_BYTES}")
    unpacker, size = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY), 0
    while not unpacker.eof:
        try:
            piece = unpacker.decompress(b"" if size else raw, max_length=_PIECE)
        except (lzma.LZMAError, EOFError) as error:
            raise malformed("it can't be unpacked") from error
        size += len(piece)
        if size > MAX_BYTES:
            raise malformed(f"it is larger than {MAX_BYTES} bytes")
        if not piece and not unpacker.eof:
            raise malformed("it is cut off")
        yield piece
    if unpacker.unused_data:
        raise malformed("something follows it")
