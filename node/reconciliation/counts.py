"""What was counted for comparisons, in the database: any process of the node answers from it.

One process counts for a comparison; should it die, another one counts anew. Of one peer there is
one count at a time, and no next one sooner than the last one took: a peer that asks again and
again costs at most half of what one comparison costs.
"""

import asyncio
import contextlib
import logging
import struct
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from node.log.messagelog import MessageLog
from node.reconciliation.counting import CountedMessage, Window, counted
from node.reconciliation.wire import Comparison, Counting, Refused
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.evidence.exchange_tree import KEY_SIZE, MOST_ENTRIES, Entry, Part, Range, TreeBuilder
from trust.ids import ServerId

_LOG = logging.getLogger(__name__)
_PATIENCE = 900.0  # seconds, of a statement over all messages of a day
_BEAT = 5.0  # seconds
_DEAD = timedelta(seconds=30)  # without a sign of life
_KEPT = timedelta(hours=6)
_DAY = timedelta(days=1)
_ENTRIES_AT_ONCE = 5000
_PART = struct.Struct(">BQ32s")

_ENTRIES = """
INSERT INTO reconciliation_entry
SELECT $1, substring(int4send((signed - $2)::int) FROM 2)
           || sha256(convert_to(consumer || E'\n' || exchange_id, 'UTF8')),
       consumer, exchange_id,
       CASE cardinality(requests) WHEN 1 THEN requests[1] ELSE sha256(all_requests) END,
       CASE cardinality(answers) WHEN 1 THEN answers[1] ELSE sha256(all_answers) END
FROM (
    SELECT exchange_id, CASE WHEN ours THEN $4 ELSE $5 END AS consumer, min(signed) AS signed,
           array_agg(leaf_hash) FILTER (WHERE NOT response) AS requests,
           array_agg(leaf_hash) FILTER (WHERE response) AS answers,
           string_agg(leaf_hash, ''::bytea ORDER BY leaf_hash) FILTER (WHERE NOT response)
               AS all_requests,
           string_agg(leaf_hash, ''::bytea ORDER BY leaf_hash) FILTER (WHERE response)
               AS all_answers
    FROM reconciliation_message WHERE count = $1 GROUP BY exchange_id, ours
) AS exchange
WHERE requests IS NOT NULL AND answers IS NOT NULL AND signed >= $2 AND signed < $3
"""


# Whether archived records of a time are not in the database any more: the record of a leaf is gone,
# or the first leaves of that time are.
_GONE = """
SELECT EXISTS (
    SELECT FROM archive_file AS f JOIN archive_entry AS e ON e.file = f.id
    JOIN log_leaf AS l USING (leaf)
    WHERE f.stored IS NOT NULL AND f.last_time >= $1 AND f.first_time < $2
    AND l.time >= $1 AND l.time < $2
    AND NOT EXISTS (SELECT FROM message_record AS r WHERE r.time = l.time AND r.number = l.number)
) OR EXISTS (
    SELECT FROM archive_file AS f,
    (SELECT leaf, time FROM log_leaf ORDER BY leaf LIMIT 1) AS earliest
    WHERE f.stored IS NOT NULL AND f.last_time >= $1 AND f.first_time < $2
    AND f.first_leaf < earliest.leaf AND earliest.time > $1
)
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted, or is being counted, for one comparison."""

    id: int
    messages: int
    done: bool
    failure: str | None


class Counts:
    """The counts of one node.

    Args:
        server: this node.
        keep: how long archived records stay in the database at least; None: for ever.
    """

    def __init__(
        self,
        pool: Pool,
        log: MessageLog,
        server: ServerId,
        clock: Callable[[], datetime],
        keep: timedelta | None = None,
    ) -> None:
        self._pool = pool
        self._log = log
        self._server = server
        self._clock = clock
        self._keep = keep

    async def claim(
        self, peer: ServerId, of: Comparison, *, own: bool, may_begin: bool = True
    ) -> int | Count | Counting | Refused:
        """What there is for a comparison; a number when it is now the caller's to be counted.

        Raises StorageError.

        Args:
            own: whether we compare, not the peer.
            may_begin: whether the caller has the time to count.
        """
        now = self._clock()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock(hashtextextended($1, 9))", str(peer)
                )
                await connection.execute(
                    "DELETE FROM reconciliation_count WHERE beat < $1", now - _KEPT
                )
                rows = await connection.fetch(
                    "SELECT * FROM reconciliation_count WHERE peer = $1 AND own = $2",
                    str(peer),
                    own,
                )
                found = _known(rows, of, now)
                if found is not None or not may_begin:
                    return found or Counting(0)
                await connection.execute(
                    "DELETE FROM reconciliation_count WHERE peer = $1 AND own = $2", str(peer), own
                )
                number: int = await connection.fetchval(
                    "INSERT INTO reconciliation_count (peer, own, run, day, until, beat)"
                    " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                    str(peer),
                    own,
                    uuid.UUID(of.run),
                    of.day,
                    of.until,
                    now,
                )
                return number
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error

    async def fill(self, number: int, peer: ServerId, of: Comparison) -> None:
        """Count; what goes wrong is written down where the others look."""
        began = time.monotonic()
        beating = asyncio.create_task(self._beat(number), name="reconciliation count")
        try:
            await self._fill(number, peer, Window.of(of.day, of.until, self._log))
        except (StorageError, *DATABASE_ERRORS) as error:
            failure = str(error) if isinstance(error, StorageError) else str(_unusable(error))
            _LOG.warning("A day could not be counted: %s", failure)
            await self._end(number, "failure", failure)
        else:
            await self._end(number, "took", timedelta(seconds=time.monotonic() - began))
        finally:
            beating.cancel()

    async def _beat(self, number: int) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            with contextlib.suppress(*DATABASE_ERRORS):
                await self._pool.execute(
                    "UPDATE reconciliation_count SET beat = $2 WHERE id = $1", number, self._clock()
                )

    async def _end(self, number: int, column: str, value: object) -> None:
        with contextlib.suppress(*DATABASE_ERRORS):  # then it counts as dead, and begins anew
            # Only our own words stand in the text.
            await self._pool.execute(
                f"UPDATE reconciliation_count SET beat = $2, {column} = $3 WHERE id = $1",  # noqa: S608
                number,
                self._clock(),
                value,
            )

    async def _check_there(self, window: Window) -> None:
        """Raise StorageError when records may have left the database, for they were old enough.

        What is gone before that was removed by somebody, and is told as a difference.
        """
        if self._keep is None or window.since + _DAY > self._clock() - self._keep:
            return
        if await self._pool.fetchval(_GONE, window.since, window.until, timeout=_PATIENCE):
            raise StorageError(
                f"Records of {window.since:%Y-%m-%d} have left the database of {self._server} for"
                f" its archive; days are compared for {self._keep.days} days"
            )

    async def _fill(self, number: int, peer: ServerId, window: Window) -> None:
        await self._check_there(window)
        async for messages in counted(self._log, peer, window):
            await self._add(number, messages)
        since, until = int(window.since.timestamp()), int(window.until.timestamp())
        await self._pool.execute(
            _ENTRIES, number, since, until, str(self._server), str(peer), timeout=_PATIENCE
        )
        await self._split(number)
        await self._pool.execute(
            "DELETE FROM reconciliation_message WHERE count = $1", number, timeout=_PATIENCE
        )

    async def _add(self, number: int, messages: Sequence[CountedMessage]) -> None:
        async with self._pool.acquire() as connection:
            await connection.copy_records_to_table(
                "reconciliation_message",
                columns=("count", "exchange_id", "ours", "response", "signed", "leaf_hash"),
                records=[
                    (number, m.exchange_id, m.ours, m.response, m.signed, m.leaf_hash)
                    for m in messages
                ],
            )
            await connection.execute(
                "UPDATE reconciliation_count SET messages = messages + $2 WHERE id = $1",
                number,
                len(messages),
            )

    async def _split(self, number: int) -> None:
        """Store all ranges that are split, from the entries in order."""
        kept: list[Range] = []
        builder = TreeBuilder(kept.append)
        after = b""
        while True:
            entries = await self._entries(number, after, b"\xff" * KEY_SIZE, _ENTRIES_AT_ONCE)
            await asyncio.to_thread(_add_all, builder, entries)
            if len(entries) < _ENTRIES_AT_ONCE:
                builder.end()
            async with self._pool.acquire() as connection:
                await connection.copy_records_to_table(
                    "reconciliation_range",
                    columns=("count", "prefix", "parts"),
                    records=[(number, found.prefix, _packed(found)) for found in kept],
                )
            kept.clear()
            if len(entries) < _ENTRIES_AT_ONCE:
                return
            after = entries[-1].key

    # --- answering --------------------------------------------------------------------------------

    async def range_of(self, count: Count, prefix: bytes) -> Range:
        """What there is of a range; raises StorageError."""
        try:
            packed = await self._pool.fetchval(
                "SELECT parts FROM reconciliation_range WHERE count = $1 AND prefix = $2",
                count.id,
                prefix,
            )
            if packed is not None:
                return Range(prefix, parts=_unpacked(packed))
            last = prefix + b"\xff" * (KEY_SIZE - len(prefix))
            entries = await self._entries(count.id, prefix, last, MOST_ENTRIES)
            return Range(prefix, entries=tuple(entries))
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error

    async def _entries(self, number: int, after: bytes, last: bytes, most: int) -> list[Entry]:
        """Entries with keys above `after`, in order; no key is as short as what one begins with."""
        rows = await self._pool.fetch(
            "SELECT key, consumer, exchange_id, request, response FROM reconciliation_entry"
            " WHERE count = $1 AND key > $2 AND key <= $3 ORDER BY key LIMIT $4",
            number,
            after,
            last,
            most,
        )
        return [Entry(*row) for row in rows]


def _known(
    rows: Sequence[asyncpg.Record], of: Comparison, now: datetime
) -> Count | Counting | Refused | None:
    """What the counts of a peer say to a comparison; None when it may begin."""
    for row in rows:
        over = row["took"] is not None or row["failure"] is not None
        alive = over or now - row["beat"] < _DEAD
        if row["run"] == uuid.UUID(of.run) and alive:
            if (row["day"], row["until"]) != (of.day, of.until):
                return Refused("This comparison began with another day")
            return Count(row["id"], row["messages"], row["took"] is not None, row["failure"])
        if not over and alive:
            return Refused("Another comparison with this node is being counted; come again later")
        if row["took"] is not None and now < row["beat"] + row["took"]:
            return Counting(0)
    return None


def _add_all(builder: TreeBuilder, entries: Sequence[Entry]) -> None:
    for entry in entries:
        builder.add(entry)


def _packed(found: Range) -> bytes:
    return b"".join(_PART.pack(part.byte, part.count, part.hash) for part in found.parts)


def _unpacked(packed: bytes) -> tuple[Part, ...]:
    return tuple(Part(*fields) for fields in _PART.iter_unpack(packed))


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The log can't be counted: {describe(error)}")
