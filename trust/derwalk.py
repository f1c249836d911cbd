"""Walking DER by hand, where the bytes of an element matter and no library shows them."""

from collections.abc import Iterator
from typing import NamedTuple

SEQUENCE = 0x30


class Element(NamedTuple):
    """One tag-length-value."""

    tag: int  # the identifier octet
    raw: bytes
    content: bytes


def elements(data: bytes) -> Iterator[Element]:
    """The DER elements that `data` is made of; raises ValueError where it isn't.

    Tags above 30 are not read.
    """
    start = 0
    while start < len(data):
        content, end = _bounds(data, start)
        yield Element(data[start], data[start:end], data[content:end])
        start = end


def _bounds(data: bytes, start: int) -> tuple[int, int]:
    if data[start] & 0x1F == 0x1F or start + 2 > len(data):
        raise ValueError("DER with a long tag or cut off")
    length, content = data[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError("DER with an indefinite or oversized length")
        length = int.from_bytes(data[content : content + size], "big")
        content += size
    if content + length > len(data):
        raise ValueError("DER is cut off")
    return content, content + length


def first_sequence(data: bytes) -> Element:
    """The first SEQUENCE among the elements of `data`; raises ValueError without one."""
    for element in elements(data):
        if element.tag == SEQUENCE:
            return element
    raise ValueError("DER without the expected sequence")
