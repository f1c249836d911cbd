"""Read ASN.1 as it stands in CMS: a small strict reader for DER, tolerant where BER is customary.

What is written is DER.

Time-stamping services write DER, but some leave the outermost two layers with indefinite length
and some do not sort their sets; both are read. Lengths must be minimal, tags below 31, nothing
may follow an element where none is expected.

Source: X.690 8.1 and 10; the token of 2012 among the reference vectors has indefinite lengths.
"""

from dataclasses import dataclass

SEQUENCE = 0x30
SET = 0x31
INTEGER = 0x02
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
GENERALIZED_TIME = 0x18
_CONSTRUCTED = 0x20
_MAX_DEPTH = 32


class NotAsn1(ValueError):
    """The bytes are no element of the expected kind; the text says where it went wrong."""


@dataclass(frozen=True, slots=True)
class Element:
    """One tag, length and value.

    Attributes:
        raw: the whole element as it stands, which is what signatures and digests cover.
        content: the value; for an indefinite length without its end mark.
    """

    tag: int
    raw: bytes
    content: bytes

    def children(self) -> tuple["Element", ...]:
        """The elements inside a constructed one, which must fill it to the last byte."""
        if not self.tag & _CONSTRUCTED:
            raise NotAsn1(f"an element of tag {self.tag:#04x} has no parts")
        found = []
        at = 0
        while at < len(self.content):
            element, at = _read(self.content, at, _MAX_DEPTH)
            found.append(element)
        return tuple(found)

    def need(self, tag: int) -> "Element":
        """This element, if it has the tag."""
        if self.tag != tag:
            raise NotAsn1(f"tag {self.tag:#04x} where {tag:#04x} was expected")
        return self


def parse_element(data: bytes, tag: int) -> Element:
    """Read bytes that are exactly one element of the given tag, or raise NotAsn1."""
    element, end = _read(data, 0, _MAX_DEPTH)
    if end != len(data):
        raise NotAsn1("bytes follow the element")
    return element.need(tag)


def parse_integer(element: Element) -> int:
    content = element.need(INTEGER).content
    if not content or (len(content) > 1 and (content[0], content[1] >> 7) in ((0, 0), (0xFF, 1))):
        raise NotAsn1("an integer is not in its shortest form")
    return int.from_bytes(content, "big", signed=True)


def parse_oid(element: Element) -> str:
    """Read an object identifier to dotted text."""
    content = element.need(OBJECT_IDENTIFIER).content
    if not content or content[-1] & 0x80 or len(content) > 64:
        raise NotAsn1("an object identifier is cut off or too long")
    arcs: list[int] = []
    value = 0
    for octet in content:
        if octet == 0x80 and value == 0:
            raise NotAsn1("an object identifier is not in its shortest form")
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def parse_octets(element: Element) -> bytes:
    """Read an octet string; one in several pieces, which BER allows, is put together."""
    if element.tag == OCTET_STRING:
        return element.content
    element.need(OCTET_STRING | _CONSTRUCTED)
    return b"".join(piece.need(OCTET_STRING).content for piece in element.children())


def build_element(tag: int, *contents: bytes) -> bytes:
    """Write one element in DER around contents that are DER already."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def build_integer(value: int) -> bytes:
    """Write an INTEGER, zero or more, in its shortest form."""
    return build_element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _read(data: bytes, at: int, depth: int) -> tuple[Element, int]:
    """Read the element that starts at `at`; returns it and where the next one starts."""
    if depth == 0:
        raise NotAsn1("elements are nested too deep")
    if at + 2 > len(data):
        raise NotAsn1("an element is cut off")
    tag = data[at]
    if tag & 0x1F == 0x1F or tag == 0:
        raise NotAsn1(f"tag {tag:#04x} is not used here")
    first = data[at + 1]
    if first == 0x80:
        return _read_indefinite(data, at, depth)
    start, length = at + 2, first
    if first > 0x80:
        start += first & 0x7F
        length = int.from_bytes(data[at + 2 : start], "big")
        if first > 0x84 or start > len(data) or data[at + 2] == 0 or length < 0x80:
            raise NotAsn1("a length is not in its shortest form")
    end = start + length
    if end > len(data):
        raise NotAsn1("an element is cut off")
    return Element(tag, data[at:end], data[start:end]), end


def _read_indefinite(data: bytes, at: int, depth: int) -> tuple[Element, int]:
    if not data[at] & _CONSTRUCTED:
        raise NotAsn1("an indefinite length on an element without parts")
    inside = at + 2
    while data[inside : inside + 2] != b"\0\0":
        _, inside = _read(data, inside, depth - 1)
    return Element(data[at], data[at : inside + 2], data[at + 2 : inside]), inside + 2
