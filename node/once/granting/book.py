"""What stands in the book of grants: for the operator who looks, and what is too old to stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from node.log.records import Side
from node.once.granting.asked import GrantState
from node.once.granting.rows import Grant, grant_by_number, grant_of, transaction, usable
from trust.database import Pool

MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a request; empty where there is nothing to say."""

    time: datetime
    what: str
    who: str
    exchange_id: str
    said: str


@dataclass(frozen=True, slots=True)
class Telling:
    """Something that the other node is to be told and has not taken yet.

    Attributes:
        due: when it is tried next.
        problem: of the last attempt; empty before the first one.
    """

    what: str
    written: datetime
    due: datetime
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class GrantBook:
    """The requests of this node, of both sides; everything raises StorageError."""

    pool: Pool

    async def find(self, number: int) -> Grant:
        """One request; raises StorageError when there is none."""
        async with transaction(self.pool) as connection:
            return await grant_by_number(connection, number)

    async def all(
        self, *, side: Side | None = None, states: Sequence[GrantState] = ()
    ) -> tuple[Grant, ...]:
        """Requests, the newest first; those in some of the states when there are any."""
        rows = await self._fetch(
            "SELECT * FROM grant_request"
            " WHERE ($1::text IS NULL OR side = $1) AND (cardinality($2::text[]) = 0"
            " OR state = ANY($2)) ORDER BY number DESC LIMIT $3",
            None if side is None else side.value,
            [state.value for state in states],
            MOST_LISTED,
        )
        with usable():
            return tuple(map(grant_of, rows))

    async def steps(self, number: int) -> tuple[Step, ...]:
        """Everything that happened to a request, in its order."""
        rows = await self._fetch("SELECT * FROM grant_step WHERE number = $1 ORDER BY id", number)
        return tuple(
            Step(row["time"], row["what"], row["who"], row["exchange_id"], row["said"])
            for row in rows
        )

    async def telling(self, numbers: Sequence[int]) -> dict[int, Telling]:
        """What is to be told next of requests, where anything is."""
        rows = await self._fetch(
            "SELECT DISTINCT ON (number) * FROM grant_message"
            " WHERE ended IS NULL AND number = ANY($1) ORDER BY number, id",
            list(numbers),
        )
        return {
            row["number"]: Telling(
                row["what"], row["written"], row["due"], row["attempts"], row["problem"]
            )
            for row in rows
        }

    async def forget(self, before: datetime) -> None:
        """Remove what ended before a moment, with all its steps."""
        with usable():
            await self.pool.execute(
                "DELETE FROM grant_request WHERE changed_at < $1"
                " AND state NOT IN ('waiting', 'approved')",
                before,
            )

    async def _fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        with usable():
            return await self.pool.fetch(sql, *values)
