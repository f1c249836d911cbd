"""A snapshot as lines: a head, then rows, each with its kind before the bracket.

    {"format": 2, "instance": "EX", "version": 7, "made_at": "2026-11-21T12:00:00Z", …}
    concept["https://…",["en","Date of birth"],"date",…]
    texts["EX","GOV","1001","persons",…]
    client[2,3,4,5]
    service[0,21,null,…]

Lines are read one by one, so that a large catalog never lies whole in memory as text.
"""

from collections.abc import Iterable, Iterator

MAX_LINE = 8 << 20  # bytes


class BrokenLines(ValueError):
    """What came is not made of such lines."""


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without their ends; raises BrokenLines."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        if len(rest) > MAX_LINE:
            raise BrokenLines(f"a line has more than {MAX_LINE} bytes")
    if rest:
        raise BrokenLines("it is cut off")


def row_of(line: bytes) -> tuple[str, bytes]:
    """The kind and the rest of a line; raises BrokenLines."""
    place = line.find(b"[")
    if place < 0:
        raise BrokenLines("a line is no row")
    return line[:place].decode("ascii", "replace"), line[place:]
