"""One group of records into the table, together and exactly once, whatever happens on the way.

A record has its number before the first attempt and keeps it. So an attempt whose outcome nobody
knows, because the connection broke before the answer, may simply be repeated: what is found under
its number was stored, and an attempt that is still running elsewhere makes ours wait at the
unique index and then fail, after which it is found as well.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import date

import asyncpg

from node.log.rows import ATTACHMENT_COLUMNS, COLUMNS, QUEUE_COLUMNS, USE_COLUMNS, Row
from trust.database import (
    CONNECTION_ERRORS,
    DATABASE_ERRORS,
    Pool,
    PooledConnection,
    describe,
    discard_connection,
    is_lost,
)
from trust.errors import StorageError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between two attempts to reach the database
_TRIAL_ROWS, _TRIAL_BYTES = 550, 1900  # a mebibyte of rows that are not compressed
_SEAL_AT_ONCE = 1 << 20  # bytes that are encrypted without a thread
_NUMBERS_AT_ONCE = 256
_NUMBERS_STAY = 2.0  # seconds; older ones are left out so that numbers grow with time
_KNOWN_DAYS = 16
_OUT_OF_ORDER = (
    asyncpg.InsufficientResourcesError,  # the disk is full, for one
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
_NOT_ENCODABLE = (ValueError, TypeError, OverflowError)  # a value that the driver can't write


_LEAF_COLUMNS = QUEUE_COLUMNS[2:]


def _one_record() -> str:
    """A record with its leaf in one statement: a lone one costs one way to the database."""
    leaf = _places(_LEAF_COLUMNS, len(COLUMNS))
    # Only our own words stand in the text.
    return (
        f"WITH stored AS (INSERT INTO message_record ({', '.join(COLUMNS)})"  # noqa: S608
        f" VALUES ({_places(COLUMNS)}))"
        f" INSERT INTO evidence_queue ({', '.join(QUEUE_COLUMNS)}) VALUES ($1, $2, {leaf})"
    )


def _one_use() -> str:
    """A record with its leaf and its use, likewise."""
    places = _places(USE_COLUMNS, len(COLUMNS) + len(_LEAF_COLUMNS))
    return (
        f"WITH used AS (INSERT INTO data_use ({', '.join(USE_COLUMNS)}) VALUES ({places})),"  # noqa: S608
        f" {_ONE.removeprefix('WITH')}"
    )


def _places(columns: Sequence[str], before: int = 0) -> str:
    return ", ".join(f"${before + place}" for place in range(1, len(columns) + 1))


_ONE = _one_record()
_ONE_USED = _one_use()


class RowsRefused(Exception):
    """The database refused these rows and kept none of them; fewer of them may do better."""


class _TryAgain(Exception):
    """The same rows will do better now.

    Args:
        in_doubt: an earlier attempt of ours may have arrived.
    """

    def __init__(self, *, in_doubt: bool) -> None:
        self.in_doubt = in_doubt


class _Numbers:
    """Record numbers fetched ahead: as many as are needed, more when many are needed quickly."""

    def __init__(self) -> None:
        self._stock: list[int] = []  # the next one last
        self._fetched = float("-inf")

    async def give(self, connection: PooledConnection, rows: Sequence[Row]) -> None:
        lacking = [row for row in rows if not row.number]
        age = time.monotonic() - self._fetched
        if age > _NUMBERS_STAY:
            self._stock.clear()
        if len(self._stock) < len(lacking):
            await self._fetch(connection, len(lacking), in_a_hurry=age < _NUMBERS_STAY)
        for row in lacking:
            row.number = self._stock.pop()

    async def _fetch(self, connection: PooledConnection, count: int, *, in_a_hurry: bool) -> None:
        wanted = max(count, _NUMBERS_AT_ONCE) if in_a_hurry else count
        found = await connection.fetch(
            "SELECT nextval('message_record_number') AS number FROM generate_series(1, $1)", wanted
        )
        self._stock = sorted((row["number"] for row in found), reverse=True)
        self._fetched = time.monotonic()


class GroupWriter:
    """Writes groups one after the other over one connection that it keeps."""

    def __init__(self, pool: Pool) -> None:
        self.trouble: str | None = None  # what is in the way of an attempt under way
        self._pool = pool
        self._connection: PooledConnection | None = None
        self._numbers = _Numbers()
        self._days: set[date] = set()

    async def write(self, rows: Sequence[Row], patience: float) -> frozenset[int]:
        """Store all rows but replays, durably; the numbers of the replays.

        Args:
            patience: seconds that a lost database may take to come back.

        Raises:
            RowsRefused: nothing was stored, and the database is in order.
            StorageError: the database can't be used. Nothing is known to be stored; a row whose
                attempt was in doubt may be.
        """
        deadline = time.monotonic() + patience
        pause = _FIRST_PAUSE
        in_doubt = False
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    replays = await self._attempt(rows, in_doubt=in_doubt)
            except _NOT_ENCODABLE as error:
                raise RowsRefused(f"A record can't be written: {type(error).__name__}") from error
            except CONNECTION_ERRORS as error:
                await self.close()
                in_doubt = True
                failure = _unusable(error)
                self.trouble = str(failure)
                if time.monotonic() + pause > deadline:
                    raise failure from error
            except _TryAgain as error:
                in_doubt = in_doubt or error.in_doubt
                if time.monotonic() + pause > deadline:
                    raise _unusable(error.__cause__ or error) from error
            except asyncpg.PostgresError as error:
                raise _refusal(error) from error
            else:
                self.trouble = None
                return replays
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def probe(self, patience: float, *, room: bool = False) -> None:
        """Commit something; raises StorageError when the database does not take it.

        Args:
            room: write as much as shows that the disk is not full, and take it away again; a row
                that is merely changed finds its place on a full disk, too.
        """
        try:
            async with asyncio.timeout(patience):
                connection = await self._connected()
                async with connection.transaction():
                    await connection.execute("UPDATE message_log_probe SET checked = now()")
                    if room:
                        await _try_room(connection)
        except DATABASE_ERRORS as error:
            await self.close()
            raise _unusable(error) from error
        self.trouble = None

    async def close(self) -> None:
        """Give the connection up; the next group gets a fresh one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await discard_connection(self._pool, connection)

    async def _connected(self) -> PooledConnection:
        if self._connection is not None and is_lost(self._connection):
            await self.close()
        if self._connection is None:
            self._connection = await self._pool.acquire(timeout=5)
        return self._connection

    async def _attempt(self, rows: Sequence[Row], *, in_doubt: bool) -> frozenset[int]:
        connection = await self._connected()
        if in_doubt:
            rows = await self._not_stored(connection, rows)
        await self._numbers.give(connection, rows)
        made = await self._make_place(connection, {row.day for row in rows})
        try:
            return await self._commit(connection, rows, in_doubt=in_doubt)
        except asyncpg.UniqueViolationError as error:
            if not in_doubt:
                raise
            raise _TryAgain(in_doubt=True) from error
        except asyncpg.CheckViolationError as error:
            if made:
                raise
            self._days.clear()  # a partition that we knew was dropped
            raise _TryAgain(in_doubt=False) from error
        except asyncpg.TransactionRollbackError as error:  # a deadlock, for one
            raise _TryAgain(in_doubt=False) from error

    async def _commit(
        self, connection: PooledConnection, rows: Sequence[Row], *, in_doubt: bool
    ) -> frozenset[int]:
        keyed = [row for row in rows if row.key is not None]
        if len(rows) == 1 and not keyed and not rows[0].further:
            [record], _ = await _sealed(rows)
            leaf, use = rows[0].leaf, rows[0].use
            if use is None:
                await connection.execute(_ONE, *record, *leaf)
            else:
                await connection.execute(_ONE_USED, *record, *leaf, *use)
            return frozenset()
        async with connection.transaction():
            replayed = await self._claim_keys(connection, keyed) if keyed else frozenset()
            if replayed and in_doubt:
                await self._check_owners(connection, [r for r in keyed if r.number in replayed])
            await self._copy(connection, [row for row in rows if row.number not in replayed])
        return replayed

    async def _copy(self, connection: PooledConnection, rows: Sequence[Row]) -> None:
        """The records first: their unique index is what settles an attempt that is in doubt."""
        if not rows:
            return
        records, further = await _sealed(rows)
        await connection.copy_records_to_table("message_record", columns=COLUMNS, records=records)
        await connection.copy_records_to_table(
            "evidence_queue",
            columns=QUEUE_COLUMNS,
            records=[(row.number, row.time, *row.leaf) for row in rows],
        )
        if further:
            await connection.copy_records_to_table(
                "message_attachment", columns=ATTACHMENT_COLUMNS, records=further
            )
        if uses := [row.use for row in rows if row.use is not None]:
            await connection.copy_records_to_table("data_use", columns=USE_COLUMNS, records=uses)

    async def _claim_keys(
        self, connection: PooledConnection, rows: Sequence[Row]
    ) -> frozenset[int]:
        """Note the replay keys; the numbers of rows whose key was there already.

        In the order of the keys, so that two workers can't wait for each other.
        """
        ordered = sorted(rows, key=lambda row: row.key or b"")
        claimed = await connection.fetch(
            "INSERT INTO replay_key (key, number, seen)"
            " SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::timestamptz[])"
            " ON CONFLICT (key) DO NOTHING RETURNING number",
            [row.key for row in ordered],
            [row.number for row in ordered],
            [row.time for row in ordered],
        )
        return frozenset(row.number for row in rows) - {row["number"] for row in claimed}

    async def _check_owners(self, connection: PooledConnection, rows: Sequence[Row]) -> None:
        """A key that belongs to its own row's number is no replay: an earlier attempt arrived."""
        if await connection.fetchval(
            "SELECT 1 FROM replay_key WHERE key = ANY($1) AND number = ANY($2) LIMIT 1",
            [row.key for row in rows],
            [row.number for row in rows],
        ):
            raise _TryAgain(in_doubt=True)

    async def _not_stored(self, connection: PooledConnection, rows: Sequence[Row]) -> list[Row]:
        times = [row.time for row in rows]
        found = await connection.fetch(
            "SELECT number FROM message_record WHERE time BETWEEN $1 AND $2 AND number = ANY($3)",
            min(times),
            max(times),
            [row.number for row in rows],
        )
        stored = {row["number"] for row in found}
        return [row for row in rows if row.number not in stored]

    async def _make_place(self, connection: PooledConnection, days: set[date]) -> bool:
        """Make sure of the partitions; whether any of them had to be looked at."""
        unknown = days - self._days
        for day in unknown:
            await connection.execute("SELECT ensure_message_partition($1)", day)
            if len(self._days) >= _KNOWN_DAYS:
                self._days.clear()
            self._days.add(day)
        return bool(unknown)


_Values = list[tuple[object, ...]]


async def _sealed(rows: Sequence[Row]) -> tuple[_Values, _Values]:
    """The rows of both tables, encrypted where that is wanted; large ones in a thread."""
    sealed = any(row.column_key is not None for row in rows)
    if sealed and sum(row.size for row in rows) > _SEAL_AT_ONCE:
        return await asyncio.to_thread(_seal, rows)
    return _seal(rows)


def _seal(rows: Sequence[Row]) -> tuple[_Values, _Values]:
    return [row.record for row in rows], [body for row in rows for body in row.attachments]


async def _try_room(connection: PooledConnection) -> None:
    """Fill a table that is empty before and after; its file is another one at each attempt."""
    await connection.execute("TRUNCATE message_log_trial")
    await connection.execute(
        "INSERT INTO message_log_trial SELECT repeat('-', $1) FROM generate_series(1, $2)",
        _TRIAL_BYTES,
        _TRIAL_ROWS,
    )
    await connection.execute("TRUNCATE message_log_trial")


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The message log's database can't be used: {describe(error)}")


def _refusal(error: asyncpg.PostgresError) -> Exception:
    """Whether the database is out of order, or these rows are to blame."""
    if isinstance(error, _OUT_OF_ORDER):
        return _unusable(error)
    return RowsRefused(f"A record can't be written: {describe(error)}")
