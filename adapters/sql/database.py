"""What every kind of database does for named queries."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from adapters.shapes import Field
from adapters.sql.answers import Column
from adapters.sql.statements import Grammar, Statement


class Database(Protocol):
    """A database to which nothing can be written over this connection."""

    grammar: Grammar

    def quoted(self, name: str) -> str:
        """A column's name as it stands in SQL."""

    async def describe(
        self, statement: Statement, given: Sequence[Field]
    ) -> tuple[tuple[Column, ...], list[str]]:
        """What a statement answers, and which parameters it can't take as they are declared.

        Raises StorageError with the database's own words.
        """

    async def rows(
        self, statement: Statement, values: Mapping[str, object], limit: int
    ) -> list[Sequence[object]]:
        """At most `limit` rows, found within the time limit.

        Raises BadParameter for a value that the database does not take, SourceTimeout, or
        SourceUnavailable with a text that has no value in it.
        """

    async def privileges(self) -> Sequence[str]:
        """What the account may do beyond reading; empty is as it must be."""

    async def problem(self) -> str | None:
        """Why it does not answer now."""

    async def close(self) -> None: ...
