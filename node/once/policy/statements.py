"""The single policies of a Cedar file, each with the line on which it begins.

The Cedar engine tells what is wrong and not where, and it reads a file as a whole. So files are cut
into policies first: each ends with a semicolon that stands in no text and in no comment. Source:
Cedar policy grammar (docs.cedarpolicy.com/policies/syntax-grammar.html).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|;|[^/";]+|.', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy, or what stands in the place of one."""

    text: str
    line: int  # from 1, of its first word


def split_statements(text: str) -> Iterator[Statement]:
    """Cut a file; what follows the last semicolon is one more unless it is empty."""
    pieces: list[str] = []
    line, begin = 1, 0
    for match in _PIECE.finditer(text):
        piece = match[0]
        comment = piece.startswith("//")
        if not begin and not comment and piece.strip():
            begin = line + _lines_before(piece)
        pieces.append(piece)
        line += piece.count("\n")
        if piece == ";":
            yield Statement("".join(pieces), begin)
            pieces, begin = [], 0
    if begin:
        yield Statement("".join(pieces), begin)


def _lines_before(piece: str) -> int:
    """Line ends before the first word."""
    return piece[: len(piece) - len(piece.lstrip())].count("\n")
