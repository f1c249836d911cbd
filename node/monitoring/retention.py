"""Operational records go when their time is over: whole days at once, the rest to the second.

Any number of nodes may share the tables; one at a time does a step, and small steps hold nobody up.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe, lock_key
from trust.errors import StorageError

_CLEANER = lock_key("sacbe monitoring cleaner")
_DAY = 24 * 3600  # seconds
_AT_ONCE = 600  # seconds' worth of records
_BATCHES_KEPT = _DAY


async def remove_old(pool: Pool, at: datetime, keep: timedelta) -> int:
    """Remove records beyond their time, unless another node is at it; how many were deleted.

    Those of whole days are not counted. Raises StorageError.
    """
    now = int(at.timestamp())
    before = now - int(keep.total_seconds())
    deleted = 0
    try:
        for day in await _days_before(pool, before):
            async with _alone(pool) as connection:
                if connection is not None:
                    await connection.execute(f'DROP TABLE IF EXISTS "{day}"')
        await pool.execute("DELETE FROM operational_batch WHERE stored < $1", now - _BATCHES_KEPT)
        while count := await _delete_oldest(pool, before):
            deleted += count
    except DATABASE_ERRORS as error:
        raise StorageError(
            f"Old operational records can't be removed: {describe(error)}"
        ) from error
    return deleted


@asynccontextmanager
async def _alone(pool: Pool) -> "AsyncIterator[PooledConnection | None]":
    """A transaction for one step that one process at a time does; None while another is at it.

    The lock goes with the transaction, so that it works through a pooler. Who reads for long is
    not waited for: the next round tries again.
    """
    async with pool.acquire(timeout=10) as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        held = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _CLEANER)
        yield connection if held else None


async def _days_before(pool: Pool, before: int) -> list[str]:
    """The partitions whose last second lies before a moment."""
    rows = await pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'operational_record'::regclass ORDER BY name"
    )
    names = [str(row["name"]) for row in rows]
    return [name for name in names if _day_of(name).timestamp() + _DAY <= before]


def _day_of(partition: str) -> datetime:
    return datetime.strptime(partition[-8:], "%Y%m%d").replace(tzinfo=UTC)


async def _delete_oldest(pool: Pool, before: int) -> int:
    """Delete some of what is left before a moment; how many, and 0 when nothing is to be done."""
    async with _alone(pool) as connection:
        if connection is None:
            return 0
        oldest = await connection.fetchval(
            "SELECT min(monitoring_data_ts) FROM operational_record WHERE monitoring_data_ts < $1",
            before,
        )
        if oldest is None:
            return 0
        until = min(before, oldest + _AT_ONCE)
        answer = await connection.execute(
            "DELETE FROM operational_record WHERE monitoring_data_ts < $1", until
        )
        return int(answer.split()[-1])
