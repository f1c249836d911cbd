"""What a witness has seen of the logs of others, in PostgreSQL: of nodes and registries alike.

The last checkpoint of every log, and every alarm with what proves it. Whatever is cosigned is
durable before the cosignature leaves; offers of one log are judged one after the other.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe, lock_key
from trust.errors import MalformedMessage, StorageError
from trust.evidence.checkpoints import Checkpoint
from trust.evidence.notes import SignedNote
from trust.witness.announcement import Announcement
from trust.witness.witnessing import Alarm, Behind, Raised, Verdict, judge

_LOG = logging.getLogger(__name__)
_MAX_OPEN = 100  # alarms of one log; more say nothing new


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The last good checkpoint of a log.

    Attributes:
        at: when this was the largest tree, as the log says.
        seen: when it was announced here last.
        open_alarms: that nobody has settled.
    """

    origin: str
    key: str
    size: int
    root: bytes
    at: datetime
    seen: datetime
    open_alarms: int


@dataclass(frozen=True, slots=True)
class KeptAlarm:
    """An alarm with both sides of what proves it.

    Attributes:
        kept: the note that was kept before, None where there was none.
        note: what was announced.
        source: the exchange in whose record the announcement is, or the container of it.
    """

    number: int
    origin: str
    alarm: Alarm
    text: str
    at: datetime
    kept: bytes | None
    note: bytes
    source: bytes
    settled: datetime | None


class WitnessStore:
    """The witness's memory, shared by all processes of a node or registry."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, said: Announcement, source: bytes, at: datetime) -> Verdict:
        """Judge an announcement and keep what follows from it; raises StorageError.

        Args:
            source: where the announcement is, with its signature: for the proof of an alarm.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock($1)", lock_key(f"sacbe witness {said.origin}")
                )
                verdict, kept = await self._judge(connection, said)
                if isinstance(verdict, Raised):
                    await _raise(
                        connection, said.origin, verdict, at, kept, said.offer.note, source
                    )
                elif not isinstance(verdict, Behind):
                    await _keep(connection, said, at)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return verdict

    async def _judge(
        self, connection: PooledConnection, said: Announcement
    ) -> tuple[Verdict, bytes | None]:
        row = await connection.fetchrow(
            "SELECT * FROM witnessed_log WHERE origin = $1", said.origin
        )
        kept = None if row is None else _checkpoint(row)
        verdict = judge(
            kept,
            None if row is None else row["at"],
            said.checkpoint,
            said.at,
            said.offer.old,
            said.offer.proof,
        )
        return verdict, None if row is None else row["note"]

    async def refuse(
        self, origin: str, raised: Raised, note: bytes, source: bytes, at: datetime
    ) -> None:
        """Keep an alarm about an announcement that could not be judged; raises StorageError."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                kept = await connection.fetchval(
                    "SELECT note FROM witnessed_log WHERE origin = $1", origin
                )
                await _raise(connection, origin, raised, at, kept, note, source)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error

    async def logs(self) -> Sequence[KeptLog]:
        """Every log that was announced here; raises StorageError."""
        try:
            rows = await self._pool.fetch(
                "SELECT origin, key, size, root, at, seen, (SELECT count(*) FROM witness_alarm AS a"
                " WHERE a.origin = l.origin AND settled IS NULL) AS open_alarms"
                " FROM witnessed_log AS l ORDER BY origin"
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return [KeptLog(**dict(row)) for row in rows]

    async def alarms(self, *, settled: bool = False) -> Sequence[KeptAlarm]:
        """The alarms that are open, or all of them, oldest first; raises StorageError."""
        try:
            rows = await self._pool.fetch(
                "SELECT number, origin, alarm, text, at, kept, note, source, settled"
                " FROM witness_alarm WHERE $1 OR settled IS NULL ORDER BY number",
                settled,
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return [KeptAlarm(**{**dict(row), "alarm": Alarm(row["alarm"])}) for row in rows]

    async def open_alarms(self) -> int:
        """How many alarms nobody has settled; raises StorageError."""
        try:
            count = await self._pool.fetchval(
                "SELECT count(*) FROM witness_alarm WHERE settled IS NULL"
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return int(count)

    async def settle(self, origin: str, at: datetime) -> int:
        """Mark a log's alarms as dealt with and forget its checkpoint; how many there were.

        The log's next checkpoint is then taken as the first one. The alarms stay, with their proof.
        Raises StorageError.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                answer = await connection.execute(
                    "UPDATE witness_alarm SET settled = $2 WHERE origin = $1 AND settled IS NULL",
                    origin,
                    at,
                )
                count = int(answer.rpartition(" ")[2])
                if count:
                    await connection.execute("DELETE FROM witnessed_log WHERE origin = $1", origin)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return count


def _checkpoint(row: asyncpg.Record) -> Checkpoint | None:
    """The kept checkpoint, as its note says; the columns are for people."""
    try:
        return Checkpoint.parse(SignedNote.parse(row["note"]).text)
    except MalformedMessage as error:
        raise StorageError(f"What was kept of {row['origin']} is damaged: {error.text}") from error


async def _keep(connection: PooledConnection, said: Announcement, at: datetime) -> None:
    await connection.execute(
        "INSERT INTO witnessed_log (origin, key, size, root, note, at, seen)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (origin) DO UPDATE SET"
        " key = excluded.key, size = excluded.size, root = excluded.root, note = excluded.note,"
        " at = greatest(witnessed_log.at, excluded.at), seen = excluded.seen",
        said.origin,
        said.key.text,
        said.checkpoint.size,
        said.checkpoint.root,
        said.offer.note,
        said.at,
        at,
    )


async def _raise(
    connection: PooledConnection,
    origin: str,
    raised: Raised,
    at: datetime,
    kept: bytes | None,
    note: bytes,
    source: bytes,
) -> None:
    """Keep an alarm, once for each note; tell the operator when it is new."""
    count = await connection.fetchval(
        "SELECT count(*) FROM witness_alarm WHERE origin = $1 AND settled IS NULL", origin
    )
    if count >= _MAX_OPEN:
        return
    number = await connection.fetchval(
        "INSERT INTO witness_alarm (origin, alarm, text, at, kept, note, source)"
        " SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM witness_alarm"
        " WHERE origin = $1 AND alarm = $2 AND note = $6 AND settled IS NULL) RETURNING number",
        origin,
        raised.alarm,
        raised.text,
        at,
        kept,
        note,
        source,
    )
    if number is not None:
        _LOG.warning(
            "ALARM %d (%s) about the log %s: %s", number, raised.alarm, origin, raised.text
        )


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The witness's tables can't be used: {describe(error)}")
