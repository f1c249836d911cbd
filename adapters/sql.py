"""Run named queries on PostgreSQL: read-only transactions, bound values, bounded rows and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from adapters.queries import Column, PositionalSql, Query, positional
from trust.errors import StorageError


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
        """Fetch at most `max_rows` rows; raises QueryTimeout or StorageError."""
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
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StorageError(f"query '{query.name}': {error}") from error
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
