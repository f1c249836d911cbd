"""Gives every record its place in the log: 0, 1, 2, … without gaps and never changed.

Records are queued with the transaction that stores them, by any number of processes. One
sequencer at a time moves them on in small transactions; which process it runs in does not matter.
Who has the lock of the one row in `log_size` is the sequencer for that moment, so that a process
that dies leaves nothing behind. Numbers are taken in order; a record whose transaction ended later
than that of a higher number comes after it.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg

from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import StorageError
from trust.evidence.evidence_leaf import leaf_data, leaf_hash

_LOG = logging.getLogger(__name__)
_LEAVES_AT_ONCE = 2000
_BACKLOG_AT_ONCE = 500
_SETTLED = timedelta(minutes=10)  # after this long no transaction is open any more
_PAUSE = 0.1  # seconds from a record to its place: others join it meanwhile
_LOOK = 10.0  # seconds; for what a process stored that then ended

_MOVE = """
WITH taken AS (
    DELETE FROM evidence_queue
    WHERE number IN (SELECT number FROM evidence_queue ORDER BY number LIMIT $1)
    RETURNING *
)
INSERT INTO log_leaf (leaf, number, time, leaf_hash, signature_digest)
SELECT $2 + row_number() OVER (ORDER BY number) - 1, number, time, leaf_hash, signature_digest
FROM taken
"""
_OLD_RECORDS = """
SELECT time, number, sha512(message) AS message, sha512(signature) AS signature,
       sha512(hash_chain_result) AS chain_result, sha512(hash_chain) AS chain, body_digest,
       ARRAY(SELECT a.body_digest FROM message_attachment AS a
             WHERE a.time = r.time AND a.number = r.number ORDER BY position) AS further,
       EXISTS (SELECT FROM log_leaf AS l WHERE l.number = r.number)
       OR EXISTS (SELECT FROM evidence_queue AS q WHERE q.number = r.number) AS known
FROM message_record AS r
WHERE (time, number) > ($1, $2) AND time < $3 ORDER BY time, number LIMIT $4
"""


class Sequencer:
    """One process's sequencer; it works when it is woken, and looks now and then."""

    def __init__(
        self, pool: Pool, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.listeners: list[Callable[[], None]] = []  # called when there are new leaves
        self.problem: str | None = None
        self._pool = pool
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There are records in the queue."""
        self._woken.set()

    async def run(self) -> None:
        """Give places until cancelled."""
        while True:
            self._woken.clear()
            more = await self._try_step()
            if not more:
                await self._sleep()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_LOOK):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_PAUSE)

    async def _try_step(self) -> bool:
        try:
            more = await self.step()
        except StorageError as error:
            if self.problem is None:
                _LOG.warning("%s; it is tried again", error)
            self.problem = str(error)
            await asyncio.sleep(_PAUSE)
            return False
        self.problem = None
        return more

    async def step(self, *, old_records: bool = True) -> bool:
        """Give some records their places; whether there may be more. Raises StorageError.

        Args:
            old_records: whether to queue some of those that have no leaf, too.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                first = await connection.fetchval("SELECT leaves FROM log_size FOR UPDATE")
                old = old_records and await self._queue_old_records(connection)
                moved = _count_of(await connection.execute(_MOVE, _LEAVES_AT_ONCE, first))
                if moved:
                    await connection.execute("UPDATE log_size SET leaves = leaves + $1", moved)
        except DATABASE_ERRORS as error:
            raise StorageError(f"Records get no place in the log: {describe(error)}") from error
        if moved:
            for listener in self.listeners:
                listener()
        return old or moved == _LEAVES_AT_ONCE

    async def _queue_old_records(self, connection: PooledConnection) -> bool:
        """Queue some of the records that were stored without a leaf; whether there may be more."""
        backlog = await connection.fetchrow("SELECT time, number, until FROM evidence_backlog")
        if backlog is None:
            return False
        end = min(backlog["until"], self._clock() - _SETTLED)
        if end <= backlog["time"]:
            return False
        rows = await connection.fetch(
            _OLD_RECORDS, backlog["time"], backlog["number"], end, _BACKLOG_AT_ONCE
        )
        await connection.executemany(
            "INSERT INTO evidence_queue VALUES ($1, $2, $3, $4)",
            [(r["number"], r["time"], _leaf_of(r), r["signature"]) for r in rows if not r["known"]],
        )
        full = len(rows) == _BACKLOG_AT_ONCE
        if not full and end == backlog["until"]:
            await connection.execute("DELETE FROM evidence_backlog")
            return False
        place = (rows[-1]["time"], rows[-1]["number"]) if full else (end, 0)
        await connection.execute("UPDATE evidence_backlog SET time = $1, number = $2", *place)
        return full


def _leaf_of(row: asyncpg.Record) -> bytes:
    attachments = [] if row["body_digest"] is None else [row["body_digest"], *row["further"]]
    return leaf_hash(
        leaf_data(row["message"], row["signature"], row["chain_result"], row["chain"], attachments)
    )


def _count_of(answer: str) -> int:
    """How many rows a command's answer speaks of: `INSERT 0 17`."""
    return int(answer.rpartition(" ")[2])
