"""What the operator wants to be compared: written down by a command, done by a process of the node.

The node has the keys and the connections, the command has neither; what both have is the database.
"""

import contextlib
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import asyncpg
import msgspec

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.ids import ServerId

_KEPT = timedelta(days=400)
_DEAD = timedelta(seconds=60)  # without a sign of life


class FoundDifference(msgspec.Struct, frozen=True):
    """One exchange on which the two nodes differ.

    Attributes:
        consumer: the server whose client asked, in text form.
        signed: when the request was signed, to the second.
    """

    kind: str
    exchange_id: str
    consumer: str
    signed: datetime
    text: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a comparison.

    Attributes:
        problem: why there was none; empty when there was one.
        exchanges, root: of this node; the others of the peer.
        lost: answers that the consumer's node does not hold, as far as they were met.
        questions: how often the peer was asked.
    """

    problem: str = ""
    equal: bool = False
    exchanges: int = 0
    root: str = ""
    peer_exchanges: int = 0
    peer_root: str = ""
    difference: FoundDifference | None = None
    lost: tuple[FoundDifference, ...] = ()
    questions: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """A comparison that somebody wants.

    Attributes:
        until: the second of the day before which exchanges count.
    """

    id: uuid.UUID
    peer: ServerId
    day: date
    until: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a wish has come.

    Attributes:
        taken: whether a process of the node works on it.
    """

    taken: bool
    text: str
    outcome: Outcome | None


class Wishes:
    """The table that command and node share."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def make(self, wish: Wish, at: datetime) -> None:
        """Write a wish down; raises StorageError."""
        await self._execute(
            "INSERT INTO reconciliation (id, peer, day, until, asked) VALUES ($1, $2, $3, $4, $5)",
            wish.id,
            wish.peer.colons,
            wish.day,
            wish.until,
            at,
        )
        await self._execute("DELETE FROM reconciliation WHERE asked < $1", at - _KEPT)

    async def look(self, id_: uuid.UUID, at: datetime) -> Progress:
        """How far it has come; raises StorageError, also when nobody works on it any more."""
        row = await self._row("SELECT * FROM reconciliation WHERE id = $1", id_)
        if row is None:
            raise StorageError("The comparison was removed")
        if row["outcome"] is not None:
            outcome = msgspec.json.decode(row["outcome"], type=Outcome)
            return Progress(taken=True, text=row["progress"], outcome=outcome)
        if row["beat"] is not None and at - row["beat"] > _DEAD:
            raise StorageError("The node's process that compared has gone; ask again")
        return Progress(taken=row["beat"] is not None, text=row["progress"], outcome=None)

    async def withdraw(self, id_: uuid.UUID) -> bool:
        """Take back what nobody has begun; whether that was so."""
        answer = await self._execute(
            "DELETE FROM reconciliation WHERE id = $1 AND beat IS NULL", id_
        )
        return answer.endswith(" 1")

    async def take(self, at: datetime) -> Wish | None:
        """The oldest wish that nobody has taken, which is ours now; raises StorageError."""
        row = await self._row(
            "UPDATE reconciliation SET beat = $1 WHERE id = ("
            " SELECT id FROM reconciliation WHERE beat IS NULL ORDER BY asked LIMIT 1"
            " FOR UPDATE SKIP LOCKED) RETURNING *",
            at,
        )
        if row is None:
            return None
        return Wish(row["id"], ServerId.from_colons(row["peer"]), row["day"], row["until"])

    async def beat(self, id_: uuid.UUID, at: datetime, text: str | None = None) -> None:
        """Give a sign of life; progress that can't be told is no reason to stop."""
        with contextlib.suppress(StorageError):
            await self._execute(
                "UPDATE reconciliation SET beat = $2, progress = coalesce($3, progress)"
                " WHERE id = $1",
                id_,
                at,
                text,
            )

    async def finish(self, id_: uuid.UUID, outcome: Outcome, at: datetime) -> None:
        """Write down what came of it; raises StorageError."""
        await self._execute(
            "UPDATE reconciliation SET outcome = $2, finished = $3 WHERE id = $1",
            id_,
            msgspec.json.encode(outcome).decode(),
            at,
        )

    async def _row(self, sql: str, *values: object) -> asyncpg.Record | None:
        try:
            return await self._pool.fetchrow(sql, *values)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error

    async def _execute(self, sql: str, *values: object) -> str:
        try:
            return await self._pool.execute(sql, *values)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"Comparisons can't be written down: {describe(error)}")
