"""Rows of JSON files, read piece by piece: the elements of one array, or one object a line.

The array is cut into its elements by looking at quotes and brackets alone; each element is then
parsed by itself, so the file is never in memory as a whole.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from adapters.files.rows import BadRow, RawRow, RowStream, UnreadableFile
from adapters.files.settings import BYTE_ORDER_MARK, Table
from adapters.jsontext import MAX_DEPTH, parse_json, parse_pointer, told, value_at

_CHUNK = 64 * 1024
_OBJECT = "a JSON object"
_SPACE = re.compile(rb"[ \t\r\n]*")
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}"]', re.DOTALL)  # a whole text is one mark
_SCALAR = re.compile(rb"[^ \t\r\n,\]}\[{\":]+")


def json_lines(file: BinaryIO, table: Table, max_row: int) -> RowStream:
    """Read one object from each line; empty lines are none."""
    pointers = _pointers(table)
    number = 0
    while line := file.readline(max_row + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if len(line) > max_row:
            raise UnreadableFile(number, f"a line of more than {max_row} bytes", _OBJECT)
        if line.strip():
            yield _row(line, number, pointers)


def json_array(file: BinaryIO, table: Table, max_row: int) -> RowStream:
    """Read the elements of the array at `table.json.rows`; raises UnreadableFile."""
    pointers = _pointers(table)
    scanner = _Scanner(file, max_row)
    for name in parse_pointer(table.json.rows):
        scanner.enter(name)
    for element, line in scanner.elements():
        yield _row(element, line, pointers)
    scanner.finish()


def _pointers(table: Table) -> tuple[tuple[str, ...], ...]:
    return tuple(
        parse_pointer(field.at) if field.at.startswith("/") else (field.at or field.name,)
        for field in table.field
    )


def _row(raw: bytes, line: int, pointers: tuple[tuple[str, ...], ...]) -> RawRow | BadRow:
    try:
        value = parse_json(raw)
    except (ValueError, RecursionError) as error:
        return BadRow(line, f"no JSON: {told(error)}", _OBJECT)
    if not isinstance(value, dict):
        return BadRow(line, "no object", _OBJECT)
    return RawRow(line, tuple(value_at(value, steps) for steps in pointers))


class _Scanner:
    """Goes through JSON text from left to right and cuts out values, by quotes and brackets."""

    def __init__(self, file: BinaryIO, max_value: int) -> None:
        self._file = file
        self._max_value = max_value
        self._held = b""
        self._at = 0  # in what is held; what stands before it is dropped when more is read
        self._line = 1
        self._counted = 0  # in what is held: how far lines are counted
        self._closing = 0  # objects that must end behind the array
        self._more()
        if self._held.startswith(BYTE_ORDER_MARK):
            self._at = len(BYTE_ORDER_MARK)

    def enter(self, name: str) -> None:
        """Go into an object, to the value of a name."""
        self._expect(b"{", "an object")
        self._closing += 1
        if self._peek() == b"}":
            raise self._unreadable("an empty object", f"the name '{name}'")
        while True:
            key, _ = self._value()
            self._expect(b":", "a colon")
            if self._is(key, name):
                return
            self._value()
            if self._peek() != b",":
                raise self._unreadable("the end of an object", f"the name '{name}'")
            self._expect(b",", "a comma")

    def elements(self) -> Iterator[tuple[bytes, int]]:
        """The elements of the array that begins here, each with its line."""
        self._expect(b"[", "an array")
        if self._peek() == b"]":
            self._at += 1
            return
        while True:
            yield self._value()
            if self._peek() == b"]":
                self._at += 1
                return
            self._expect(b",", "a comma or the end of the array")

    def finish(self) -> None:
        """Go to the end of the file; raises UnreadableFile unless it is well-formed."""
        while self._closing:
            if self._peek() == b",":
                self._at += 1
                self._value()
                self._expect(b":", "a colon")
                self._value()
            else:
                self._expect(b"}", "the end of an object")
                self._closing -= 1
        if self._peek():
            raise self._unreadable("more behind the end", "the end of the file")

    def _is(self, key: bytes, name: str) -> bool:
        try:
            return parse_json(key) == name
        except ValueError:
            raise self._unreadable("no JSON", "a name") from None

    def _value(self) -> tuple[bytes, int]:
        """Cut out the value that begins behind the white space."""
        first = self._peek()
        if not first:
            raise self._unreadable("the end of the file", "a value")
        line = self._line_here()
        length = self._length() if first in b'"[{' else self._length_of_scalar()
        raw = self._held[self._at : self._at + length]
        self._at += length
        return raw, line

    def _length(self) -> int:
        """How long the text, list or object is that begins here; what it needs is read."""
        length, depth = 0, 0
        while True:
            match = _MARK.search(self._held, self._at + length)
            if match is None or match[0] == b'"':  # a text that goes on behind what is held
                length = (match.start() if match else len(self._held)) - self._at
                if not self._more():
                    raise self._unreadable("the end of the file", "the end of a value")
                continue
            length = match.end() - self._at
            if match[0] in (b"[", b"{"):
                depth += 1
                if depth > MAX_DEPTH:
                    raise self._unreadable("values nested too deeply", f"{MAX_DEPTH} levels")
            elif match[0] in (b"]", b"}"):
                depth -= 1
            if depth <= 0:
                return length

    def _length_of_scalar(self) -> int:
        length = 0
        while True:
            match = _SCALAR.match(self._held, self._at + length)
            length += len(match[0]) if match else 0
            if self._at + length < len(self._held) or not self._more():
                break
        if length == 0:
            raise self._unreadable("no JSON", "a value")
        return length

    def _peek(self) -> bytes:
        """The next byte that is no white space; empty at the end of the file."""
        while True:
            match = _SPACE.match(self._held, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._held):
                return self._held[self._at : self._at + 1]
            if not self._more():
                return b""

    def _expect(self, mark: bytes, words: str) -> None:
        if self._peek() != mark:
            at_end = self._at >= len(self._held)
            raise self._unreadable("the end of the file" if at_end else "something else", words)
        self._at += 1

    def _more(self) -> bool:
        """Read on, and drop what is behind us; False at the end of the file."""
        if len(self._held) - self._at > self._max_value:
            raise self._unreadable(f"a value of more than {self._max_value} bytes", _OBJECT)
        piece = self._file.read(_CHUNK)
        self._line_here()
        self._held = self._held[self._at :] + piece
        self._at = self._counted = 0
        return bool(piece)

    def _line_here(self) -> int:
        self._line += self._held.count(b"\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _unreadable(self, found: str, expected: str) -> UnreadableFile:
        return UnreadableFile(self._line_here(), found, expected)
