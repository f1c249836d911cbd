"""Rows of a CSV file, read piece by piece: RFC 4180 with the table's own delimiter and quote."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from adapters.files.rows import BadRow, RawRow, RowStream, UnreadableFile, counted
from adapters.files.settings import Table

_QUOTED = "values in their quotes, quotes inside them doubled"


def csv_rows(file: BinaryIO, table: Table, max_row: int) -> RowStream:
    """Read rows; raises UnreadableFile for headings that do not fit and for endless rows.

    A byte order mark is dropped. A row with more or fewer values than there are columns is a bad
    row, an empty line is none.
    """
    lines = _Lines(file, table.encoding, max_row)
    try:
        yield from _rows(lines, table, max_row)
    finally:
        lines.let_go()


def _rows(lines: "_Lines", table: Table, max_row: int) -> RowStream:
    csv.field_size_limit(max_row)  # of the process; the one above is met first
    reader = csv.reader(
        lines, delimiter=table.csv.delimiter, quotechar=table.csv.quote, strict=True
    )
    if table.csv.headings:
        headings = _next_row(reader, lines)
        if headings is None:
            raise UnreadableFile(0, "no headings", "a first row with the names of the columns")
        if isinstance(headings, BadRow):
            raise UnreadableFile(headings.line, headings.found, headings.expected)
        positions, width = _by_heading(headings, table)
    else:
        positions = tuple(int(field.at) - 1 for field in table.field)
        width = 0
    while (row := _next_row(reader, lines)) is not None:
        line = lines.row_begins
        if isinstance(row, BadRow):
            yield row
            continue
        if not row:
            continue
        width = width or len(row)
        if len(row) != width or max(positions) >= width:
            wanted = max(width, max(positions) + 1)
            yield BadRow(line, counted(len(row), "value"), counted(wanted, "value"))
            continue
        yield RawRow(line, tuple(row[position] for position in positions))


def _next_row(reader: "Iterator[list[str]]", lines: "_Lines") -> list[str] | BadRow | None:
    lines.begin_row()
    try:
        return next(reader, None)
    except csv.Error:
        if lines.ended:
            raise UnreadableFile(lines.row_begins, "a quote that is not closed", _QUOTED) from None
        return BadRow(lines.row_begins, "a quote that stands where none may", _QUOTED)


def _by_heading(headings: list[str], table: Table) -> tuple[tuple[int, ...], int]:
    """Where the values of the fields stand, and how many columns there are."""
    found = [heading.strip() for heading in headings]
    missing = [at for at in _wanted(table) if found.count(at) != 1]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        twice = any(name in found for name in missing)
        said = "a heading twice" if twice else f"{counted(len(found), 'heading')} without {names}"
        raise UnreadableFile(1, said, f"one column each with the heading {names}")
    return tuple(found.index(at) for at in _wanted(table)), len(found)


def _wanted(table: Table) -> list[str]:
    return [field.at or field.name for field in table.field]


class _Lines:
    """The lines of a file as text with their ends, counted, each row of bounded length."""

    def __init__(self, file: BinaryIO, encoding: str, max_row: int) -> None:
        # a byte that is not of the encoding becomes a surrogate, which no cell takes
        self._text = io.TextIOWrapper(
            file, encoding=_with_mark(encoding), errors=_errors(encoding), newline=""
        )
        self._max_row = max_row
        self._length = 0
        self._line = 0
        self.row_begins = 0
        self.ended = False

    def let_go(self) -> None:
        """Leave the file open for whoever opened it."""
        self._text.detach()

    def begin_row(self) -> None:
        self._length = 0
        self.row_begins = self._line + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        try:
            line = self._text.readline(self._max_row + 1)
        except UnicodeDecodeError as error:
            found = "bytes that are not of the encoding"
            raise UnreadableFile(self._line + 1, found, self._text.encoding) from error
        if not line:
            self.ended = True
            raise StopIteration
        self._line += 1
        self._length += len(line)
        if self._length > self._max_row:
            found = f"a row of more than {self._max_row} characters"
            raise UnreadableFile(self.row_begins, found, _QUOTED)
        return line


def _with_mark(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower() == "utf-8" else encoding


def _errors(encoding: str) -> str:
    return "strict" if encoding.lower().startswith("utf-16") else "surrogateescape"
