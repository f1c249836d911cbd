"""Operational records out of the database, in the order in which they were stored."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import asyncpg

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.ids import ClientId

_AT_ONCE = 500
_TABLE = "FROM operational_record WHERE monitoring_data_ts BETWEEN $1 AND $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records are looked for; everything that is given must hold.

    Attributes:
        since, until: seconds of the epoch, both included.
        party: who is client or provider in them.
        provider: who is provider in them.
    """

    since: int
    until: int
    party: ClientId | None = None
    provider: ClientId | None = None

    def select(self, columns: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        """The statement with its parameters; rows come in the order of their storing.

        Only our own words stand in the text; every value is a parameter. Each branch has an index.
        """
        names = ", ".join(dict.fromkeys(("monitoring_data_ts", *columns)))
        head = f"SELECT {names} {_TABLE}"
        order = " ORDER BY monitoring_data_ts"
        window = (self.since, self.until)
        party, provider = self.party, self.provider
        if party is None and provider is None:
            return head + order, window
        if party is None or provider == party:
            return f"{head} AND {_is('provider', 3)}{order}", (*window, _path(provider))
        if provider is not None:
            both = f"{_is('client', 3)} AND {_is('provider', 4)}"
            return f"{head} AND {both}{order}", (*window, party.path, provider.path)
        as_client = f"({head} AND {_is('client', 3)}{order})"
        as_provider = f"({head} AND {_is('provider', 3)} AND client IS DISTINCT FROM $3{order})"
        return f"{as_client} UNION ALL {as_provider}{order}", (*window, party.path)


def _path(client: ClientId | None) -> str | None:
    return None if client is None else client.path


def _is(column: str, place: int) -> str:
    return f"left({column}, 200) = left(${place}::text, 200) AND {column} = ${place}::text"


async def read_records(
    pool: Pool, wanted: Wanted, columns: Sequence[str]
) -> AsyncGenerator[list[asyncpg.Record], None]:
    """The records, some hundred at a time; raises StorageError.

    A connection of the pool is taken until the last one was read.
    """
    sql, values = wanted.select(columns)
    try:
        async with (
            pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            cursor = await connection.cursor(sql, *values)
            while rows := await cursor.fetch(_AT_ONCE):
                yield rows
    except DATABASE_ERRORS as error:
        raise StorageError(f"Operational records can't be read: {describe(error)}") from error
