"""Rows as the readers of files hand them on, and what is told about bad ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

MAX_TOLD = 50  # problems of one version that are kept; the others are counted


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong in a file; nothing in it repeats a value of a row."""

    file: str
    line: int  # from 1; 0 when the file as a whole is meant
    found: str
    expected: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class RawRow:
    """The values of one row in the order of the table's fields, not yet judged."""

    line: int
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read; reading goes on behind it."""

    line: int
    found: str
    expected: str


RowStream: TypeAlias = Iterator[RawRow | BadRow]


class UnreadableFile(Exception):
    """Nothing behind this place of the file can be read."""

    def __init__(self, line: int, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.line = line
        self.found = found
        self.expected = expected


def counted(number: int, thing: str) -> str:
    """`1 value`, `2 values`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


class Told:
    """The problems of one version: the first few in full, all bad rows counted."""

    def __init__(self) -> None:
        self.problems: list[RowProblem] = []
        self.count = 0

    def add(self, problem: RowProblem) -> None:
        """One more bad row."""
        self.count += 1
        self.add_detail(problem)

    def add_detail(self, problem: RowProblem) -> None:
        """Something else that is wrong with the same row."""
        if len(self.problems) < MAX_TOLD:
            self.problems.append(problem)
