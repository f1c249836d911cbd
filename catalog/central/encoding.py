"""The catalog as bytes: what the registry publishes and every node keeps.

JSON, packed with xz. Every text stands once, in one list, and everything else names texts and
clients by their place there.

    {"format": 1, "instance": …, "version": …, "made_at": …, "texts": ["", …],
     "clients": [[instance, class, code, subsystem?], …], "members": [[client, name], …],
     "services": [[client, code, version?, type, title, about, …], …], "vocabulary": {…}}

A reader believes nothing: sizes and counts are bounded before anything is made of them.
"""

import lzma

from catalog.central.entries import Catalog
from catalog.central.snapshot.reading import malformed, read_catalog
from catalog.central.snapshot.writing import write_catalog

PART_IDENTIFIER = "SACBE-CATALOG"
PART_FILE = "sacbe-catalog.json.xz"
MAX_PACKED_BYTES = 16 << 20
MAX_BYTES = 48 << 20
_MEMORY = 64 << 20  # bytes that unpacking may take
_EFFORT = 3  # of xz: more takes seven times as long and packs no better


def encode_catalog(catalog: Catalog) -> bytes:
    """The bytes of a catalog; the same for the same catalog."""
    return lzma.compress(write_catalog(catalog), preset=_EFFORT)


def decode_catalog(raw: bytes) -> Catalog:
    """Read the bytes of a catalog; raises MalformedMessage with a sentence."""
    return read_catalog(unpack(raw))


def unpack(raw: bytes) -> bytes:
    """The JSON text; raises MalformedMessage for what is damaged or too large."""
    if len(raw) > MAX_PACKED_BYTES:
        raise malformed(f"it has {len(raw)} bytes, more than {MAX_PACKED_BYTES}")
    try:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        plain = unpacker.decompress(raw, max_length=MAX_BYTES)
    except (lzma.LZMAError, EOFError) as error:
        raise malformed("it can't be unpacked") from error
    if not unpacker.eof:
        whole = len(plain) < MAX_BYTES
        raise malformed("it is cut off" if whole else f"it is larger than {MAX_BYTES} bytes")
    if unpacker.unused_data:
        raise malformed("something follows it")
    return plain
