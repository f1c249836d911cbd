"""What other nodes are to be told of grants: taken by one process at a time, kept until it is done.

A message that a process has taken is its own for a while. Should that process end, another one
takes the message then: so it may come twice, and who gets it twice takes it for one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.once.granting.asked import GrantState
from node.once.granting.rows import (
    By,
    Grant,
    change_state,
    grant_by_number,
    transaction,
    usable,
    write_step,
)
from node.once.granting.wire import Taken
from trust.database import Pool, PooledConnection

Note = Callable[[PooledConnection], Awaitable[None]]

_LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is ours to send now."""

    id: int
    grant: Grant
    what: str
    body: bytes
    written: datetime
    attempts: int  # with this one


@dataclass(frozen=True, slots=True)
class Outbox:
    """The messages of this node; everything raises StorageError.

    Attributes:
        retry: pause after a first failure.
    """

    pool: Pool
    retry: timedelta

    async def take(self, at: datetime, lease: timedelta) -> Outgoing | None:
        """The message that has been due the longest, ours until the lease ends; None without one.

        Nothing is told of a request before what was to be told earlier has ended.
        """
        async with transaction(self.pool) as connection:
            row = await connection.fetchrow(_TAKE, at, at + lease)
            if row is None:
                return None
            grant = await grant_by_number(connection, row["number"])
        return Outgoing(row["id"], grant, row["what"], row["body"], row["written"], row["attempts"])

    async def put_off(self, sent: Outgoing, problem: str, at: datetime) -> None:
        """It failed; try again after a pause, which is twice as long every time."""
        pause = min(self.retry * 2 ** min(sent.attempts - 1, 16), _LONGEST_PAUSE)
        with usable():
            await self.pool.execute(_PUT_OFF, sent.id, at + pause, problem)

    async def taken(self, sent: Outgoing, answer: Taken, by: By) -> None:
        """The other node has it."""

        async def note(connection: PooledConnection) -> None:
            await connection.execute(
                "UPDATE grant_request SET peer = $2, their_number = $3 WHERE number = $1",
                sent.grant.number,
                answer.server.path,
                answer.number,
            )
            await write_step(connection, sent.grant.number, f"{sent.what}: taken", by)

        await self._end(sent, note, by.at)

    async def give_up(self, sent: Outgoing, problem: str, by: By) -> None:
        """The other node does not take it, and will not."""

        async def note(connection: PooledConnection) -> None:
            number = sent.grant.number
            grant = await grant_by_number(connection, number, lock=True)
            if sent.what == "asked" and grant.state is GrantState.WAITING:
                state = GrantState.NOT_TAKEN
                await change_state(connection, grant, state, by, said=problem)
            else:
                await write_step(connection, number, f"{sent.what}: not taken", by, problem)

        await self._end(sent, note, by.at)

    async def _end(self, sent: Outgoing, note: Note, at: datetime) -> None:
        async with transaction(self.pool) as connection:
            ended = await connection.fetchval(_END, sent.id, at)
            if ended is not None:  # else another process was told so, too
                await note(connection)


_TAKE = """
UPDATE grant_message SET due = $2, attempts = attempts + 1 WHERE id = (
    SELECT id FROM grant_message AS one
    WHERE ended IS NULL AND due <= $1 AND NOT EXISTS (
        SELECT FROM grant_message AS earlier
        WHERE earlier.number = one.number AND earlier.id < one.id AND earlier.ended IS NULL)
    ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
_PUT_OFF = "UPDATE grant_message SET due = $2, problem = $3 WHERE id = $1 AND ended IS NULL"
_END = "UPDATE grant_message SET ended = $2 WHERE id = $1 AND ended IS NULL RETURNING id"
