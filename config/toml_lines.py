"""On which line each key of a TOML document stands, so that an error can point at it.

`tomllib` reads values and forgets where they were. `find_lines` walks over a document that
`tomllib` accepted and notes the line of every key and every list element, by its path:

    [[servers]]                       ("servers",), ("servers", 0): 1
    owner = "EX:GOV:1"                ("servers", 0, "owner"): 2
    names.short = ["a",               ("servers", 0, "names"), (…, "short"), (…, "short", 0): 3
                   "b"]               ("servers", 0, "names", "short", 1): 4

Source: TOML 1.0.
"""

import re
import tomllib
from collections.abc import Mapping

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # between elements
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]*")  # numbers, booleans, dates
_STRINGS = (  # the longer quote first; up to two further quotes belong to a multi-line string
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


def find_lines(text: str) -> Mapping[Path, int]:
    """The first line (from 1) of every key and list element of a document `tomllib` accepts."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.lines: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}  # of arrays of tables, by their path
        self._line = 1
        self._counted = 0

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        while True:
            self._skip(_GAP)
            if self.position >= len(self.text):
                return self.lines
            if self.text.startswith("[", self.position):
                table = self._header()
            else:
                self._key_value(table)

    def _header(self) -> Path:
        """Read `[a.b]` or `[[a.b]]`; the path of the table that is now open."""
        brackets = 2 if self.text.startswith("[[", self.position) else 1
        self.position += brackets
        *outer, last = self._keys()
        self.position += brackets
        table: Path = ()
        for key in outer:
            table = self._note((*table, key))
            if table in self.lengths:
                table = (*table, self.lengths[table] - 1)
        table = self._note((*table, last))
        if brackets == 2:
            index = self.lengths.get(table, 0)
            self.lengths[table] = index + 1
            table = self._note((*table, index))
        return table

    def _key_value(self, table: Path) -> None:
        for key in self._keys():
            table = self._note((*table, key))
        self.position += 1  # the equals sign
        self._skip(_BLANK)
        self._value(table)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            keys.append(self._key())
            self._skip(_BLANK)
            if not self.text.startswith(".", self.position):
                return keys
            self.position += 1

    def _key(self) -> str:
        bare = _BARE_KEY.match(self.text, self.position)
        if bare:
            self.position = bare.end()
            return bare[0]
        start = self.position
        self._string()
        quoted = self.text[start : self.position]
        return str(tomllib.loads(f"key = {quoted}")["key"])

    def _value(self, path: Path) -> None:
        first = self.text[self.position : self.position + 1]
        if first == "[":
            self._list(path)
        elif first == "{":
            self._inline_table(path)
        elif first in ('"', "'"):
            self._string()
        else:
            self._skip(_BARE_VALUE)

    def _list(self, path: Path) -> None:
        self.position += 1
        index = 0
        while True:
            self._skip(_GAP)
            if self.text.startswith("]", self.position):
                break
            self._value(self._note((*path, index)))
            index += 1
            self._skip(_GAP)
            if self.text.startswith(",", self.position):
                self.position += 1
        self.position += 1

    def _inline_table(self, path: Path) -> None:
        self.position += 1
        while True:
            self._skip(_GAP)
            if self.text.startswith("}", self.position):
                break
            self._key_value(path)
            self._skip(_GAP)
            if self.text.startswith(",", self.position):
                self.position += 1
        self.position += 1

    def _string(self) -> None:
        for pattern in _STRINGS:
            match = pattern.match(self.text, self.position)
            if match:
                self.position = match.end()
                return
        raise ValueError(f"no string at offset {self.position}")  # tomllib would have refused it

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.position)
        if match:
            self.position = match.end()

    def _note(self, path: Path) -> Path:
        self._line += self.text.count("\n", self._counted, self.position)
        self._counted = self.position
        self.lines.setdefault(path, self._line)
        return path
