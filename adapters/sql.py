"""Run named queries on PostgreSQL: read-only transactions, bound values, bounded rows and time.

The texts of the driver's errors quote values of callers and rows, which are personal data: of an
error in a query only its class and SQLSTATE go on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from asyncpg.exceptions._base import DataError as ClientSideDataError

from adapters.queries import BadParameter, Column, PositionalSql, Query, positional
from trust.errors import StorageError

_ARGUMENT = re.compile(r"invalid input for query argument \$([0-9]{1,5}):")  # the driver's words


@dataclass(frozen=True, slots=True)
class Rows:
    rows: tuple[dict[str, object], ...]
    more: bool  # the limit cut the answer


class QueryTimeout(Exception):
    """The database did not answer within the statement timeout."""


class SqlSource:
    """A database behind named queries; its password stays in this process."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", queries: Sequence[Query], timeout: timedelta
    ) -> None:
        self._pool = pool
        self._timeout = timeout
        self._sql = {query.name: positional(query.sql) for query in queries}
        self.queries = {query.name: query for query in queries}

    async def describe(self, query: Query) -> tuple[Column, ...]:
        """Let the database prepare the query: what it answers; StorageError when it can't."""
        try:
            async with self._pool.acquire() as connection:
                statement = await connection.prepare(self._sql[query.name].text)
                return tuple(
                    Column(attribute.name, attribute.type.name)
                    for attribute in statement.get_attributes()
                )
        except (asyncpg.PostgresError, OSError) as error:
            raise StorageError(f"query '{query.name}': {error}") from error

    async def run(self, query: Query, values: Mapping[str, object]) -> Rows:
        """Fetch at most `max_rows` rows.

        Raises BadParameter for a value that the database does not take, such as a number out of
        range, else QueryTimeout or StorageError.
        """
        sql: PositionalSql = self._sql[query.name]
        arguments = [values[name] for name in sql.names]
        limit = 1 if query.single else query.max_rows
        try:
            async with (
                self._pool.acquire(timeout=self._timeout.total_seconds()) as connection,
                connection.transaction(readonly=True),
            ):
                cursor = await connection.cursor(
                    sql.text, *arguments, timeout=self._timeout.total_seconds()
                )
                records = await cursor.fetch(limit + 1)
        except (TimeoutError, asyncpg.QueryCanceledError) as error:
            raise QueryTimeout(query.name) from error
        except (asyncpg.DataError, ClientSideDataError) as error:
            raise _bad_value(error, sql.names) from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StorageError(f"query '{query.name}': {_kind(error)}") from None
        rows = tuple(dict(record) for record in records[:limit])
        return Rows(rows, more=len(records) > limit)

    async def close(self) -> None:
        await self._pool.close()

    async def reachable(self) -> bool:
        try:
            async with self._pool.acquire(timeout=2) as connection:
                return bool(await connection.fetchval("SELECT true", timeout=2))
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False


def _kind(error: Exception) -> str:
    """What kind of error it is, without its text."""
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return f"{name}, SQLSTATE {error.sqlstate}"
    return name


def _bad_value(error: Exception, names: Sequence[str]) -> BadParameter:
    """Which parameter the driver or the database did not take, when the error says so."""
    found = _ARGUMENT.match(str(error))
    number = int(found[1]) if found else 0
    if 0 < number <= len(names):
        name = names[number - 1]
        return BadParameter(name, f"the database does not take the value of parameter '{name}'")
    return BadParameter("", "the database does not take a value that was given")
