"""SQL text with named parameters, taken apart once; a value never becomes part of it.

A parameter stands in the text as `:name`. Strings, quoted names, comments, dollar quotes and
`::type` casts are left alone, by the rules of the database that reads them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

_NAME = r"|:(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
_POSTGRESQL = r"""
      [eE]'(?:[^'\\]|\\.|'')*'            # a string with escapes
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"                      # a quoted name
    | --[^\n]*                            # a comment
    | /\*.*?\*/
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$
    | ::                                  # a cast
"""
_MARIADB = r"""
      '(?:[^'\\]|\\.|'')*'
    | "(?:[^"\\]|\\.|"")*"
    | `(?:[^`]|``)*`
    | --[^\n]* | \#[^\n]*
    | /\*.*?\*/
"""
_SQLITE = r"""
      '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | `(?:[^`]|``)*`
    | \[[^\]]*\]
    | --[^\n]*
    | /\*.*?\*/
"""


class Grammar(Enum):
    """How a database's SQL is read."""

    POSTGRESQL = re.compile(_POSTGRESQL + _NAME, re.VERBOSE | re.DOTALL)
    MARIADB = re.compile(_MARIADB + _NAME, re.VERBOSE | re.DOTALL)
    SQLITE = re.compile(_SQLITE + _NAME, re.VERBOSE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Named:
    """The place of a parameter in a statement."""

    name: str


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL in pieces: texts of the operator, and places of parameters."""

    pieces: tuple[str | Named, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """The parameters in the order in which they stand, repeats kept."""
        return tuple(piece.name for piece in self.pieces if isinstance(piece, Named))

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, each once, in the order in which they come."""
        return tuple(dict.fromkeys(self.places))

    def written(self, place: Callable[[str], str], text: Callable[[str], str] = str) -> str:
        """The text, with `place(name)` for each parameter and `text(piece)` for the rest."""
        return "".join(
            place(piece.name) if isinstance(piece, Named) else text(piece) for piece in self.pieces
        )

    def within(self, before: str, after: "Statement") -> "Statement":
        """This statement between two others; on lines of its own, for comments in it."""
        return Statement((before, "\n", *self.pieces, "\n", *after.pieces))


def read_statement(sql: str, grammar: Grammar) -> Statement:
    """Take SQL apart; one semicolon at its end is left away."""
    pieces: list[str | Named] = []
    start = 0
    sql = sql.strip().removesuffix(";")
    for match in grammar.value.finditer(sql):
        if match["name"] is not None:
            pieces += [sql[start : match.start()], Named(match["name"])]
            start = match.end()
    return Statement((*pieces, sql[start:]))


def numbered(statement: Statement) -> str:
    """The text with `$1`, `$2` …; the same name has one number."""
    names = statement.names
    return statement.written(lambda name: f"${names.index(name) + 1}")
