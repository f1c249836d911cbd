"""Records leave the database when they are archived and old enough, and not before.

Whole days are dropped when every record of them is in an archive file that was read back; of a day
that holds others, the archived records are deleted one by one. Files of bodies go when no record
names them any more. Leaves go when the archive store has the tiles that hold them, so that proofs
can still be made. Replay keys have their own life (`upkeep`).

One node at a time does a step, and steps are small.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe, lock_key
from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
_CLEANER = lock_key("sacbe message log cleaner")
_DAY = timedelta(days=1)
_AT_ONCE = 500  # rows
_LEAVES_AT_ONCE = 20 * 256  # whole tiles
_FILES_AT_ONCE = 2000
_ROUND = timedelta(hours=1)
_SWEEP = timedelta(days=1)
SAFE_AGE = timedelta(days=1)  # of a file that no record names: longer than any commit takes
_BODY_FILE = re.compile(r"[0-9a-f]{32}")
_PROBE_FILE = re.compile(r"probe-[0-9a-f]{32}")

# In archive files that were read back.
_ARCHIVED = """
EXISTS (SELECT FROM log_leaf AS l JOIN archive_entry AS e USING (leaf)
        JOIN archive_file AS f ON f.id = e.file
        WHERE l.number = r.number AND l.time = r.time AND f.stored IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a round took away."""

    days: int = 0
    records: int = 0  # one by one, besides whole days
    leaves: int = 0
    files: int = 0


class Retention:
    """One process's cleaner of the message log.

    Args:
        keep: how long records stay in the database; None leaves them there for ever.
        body_folder: where bodies are in files.
    """

    def __init__(
        self,
        pool: Pool,
        keep: timedelta | None,
        body_folder: Path | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.problem: str | None = None
        self._pool = pool
        self._keep = keep
        self._bodies = body_folder
        self._clock = clock
        self._swept: datetime | None = None

    async def run(self) -> None:
        """Clean now and then, until cancelled."""
        while True:
            try:
                removed = await self.round()
            except StorageError as error:
                _LOG.warning("%s; it is tried again", error)
                self.problem = str(error)
            except Exception as error:  # noqa: BLE001 - it must not end unseen
                _LOG.exception("Old records can't be removed")
                self.problem = f"Internal error {type(error).__name__}"
            else:
                self.problem = None
                if removed != Removed():
                    _LOG.info(
                        "removed %d days, %d records, %d leaves, %d files of bodies",
                        removed.days,
                        removed.records,
                        removed.leaves,
                        removed.files,
                    )
            await asyncio.sleep(_ROUND.total_seconds())

    async def round(self) -> Removed:
        """Remove what is archived and old enough, and files that nothing names."""
        days = records = leaves = files = 0
        if self._keep is not None:
            before = self._clock() - self._keep
            for day in await self._days(before):
                if await self._drop(day):
                    days += 1
                else:
                    records += await self._delete(day)
            leaves = await self._forget_leaves()
        if self._bodies is not None and self._is_time_to_sweep(days + records):
            files = await self._sweep(self._bodies)
        return Removed(days, records, leaves, files)

    def _is_time_to_sweep(self, removed: int) -> bool:
        return bool(removed) or self._swept is None or self._clock() - self._swept >= _SWEEP

    # --- records ----------------------------------------------------------------------------------

    async def _days(self, before: datetime) -> list[date]:
        """The days that lie wholly before a moment, oldest first."""
        with _telling():
            rows = await self._pool.fetch(
                "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
                " WHERE inhparent = 'message_record'::regclass ORDER BY relname"
            )
        days = [_day_of(row["relname"]) for row in rows]
        return [day for day in days if _start(day) + _DAY <= before]

    async def _drop(self, day: date) -> bool:
        """Drop a day if all of it is archived, now and when nobody else can write to it."""
        record, attachment = _partitions(day)
        with _telling():
            # Only names that were made from a date stand in the statements.
            counts = await self._pool.fetchrow(
                f"SELECT count(*) AS all, count(*) FILTER (WHERE {_ARCHIVED}) AS archived"  # noqa: S608
                f" FROM {record} AS r"
            )
            if counts is None or counts["all"] != counts["archived"]:
                return False
            async with _alone(self._pool) as connection:
                if connection is None:
                    return False
                await connection.execute(
                    "LOCK TABLE ONLY message_record, ONLY message_attachment"
                    " IN ACCESS EXCLUSIVE MODE"
                )
                there = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", record)
                if not there:
                    return False
                count = await connection.fetchval(f"SELECT count(*) FROM {record}")  # noqa: S608
                if count != counts["all"]:
                    return False
                await connection.execute(f"DROP TABLE {record}")
                await connection.execute(f"DROP TABLE IF EXISTS {attachment}")
        return True

    async def _delete(self, day: date) -> int:
        """Delete the archived records of a day that holds others, too; how many."""
        deleted = 0
        while True:
            with _telling():
                async with _alone(self._pool) as connection:
                    if connection is None:
                        return deleted
                    count = await _delete_some(connection, day)
            deleted += count
            if count < _AT_ONCE:
                return deleted

    async def _forget_leaves(self) -> int:
        """Delete leaves whose tiles are in the store, with stamps that no record here needs."""
        forgotten = 0
        while True:
            with _telling():
                async with _alone(self._pool) as connection:
                    if connection is None:
                        return forgotten
                    count = await _forget_some(connection)
            forgotten += count
            if count < _LEAVES_AT_ONCE:
                return forgotten

    # --- files of bodies --------------------------------------------------------------------------

    async def _sweep(self, folder: Path) -> int:
        """Remove files that no record names and that are too old to be on their way to one."""
        removed = 0
        latest = self._clock() - SAFE_AGE
        for day in await asyncio.to_thread(_day_folders, folder):
            names = await asyncio.to_thread(_old_files, day, latest)
            for start in range(0, len(names), _FILES_AT_ONCE):
                orphans = await self._unnamed(names[start : start + _FILES_AT_ONCE])
                removed += await asyncio.to_thread(_remove, folder, orphans)
            if day.name < f"{latest:%Y-%m-%d}":
                with contextlib.suppress(OSError):  # it is not empty
                    await asyncio.to_thread(day.rmdir)
        await asyncio.to_thread(_remove_probes, folder, latest)
        self._swept = self._clock()
        return removed

    async def _unnamed(self, names: Sequence[str]) -> list[str]:
        """Those files of one day that no record names."""
        start = _start(date.fromisoformat(names[0].partition("/")[0]))
        with _telling():
            rows = await self._pool.fetch(
                "SELECT name FROM unnest($1::text[]) AS name EXCEPT ALL ("
                " SELECT body_file FROM message_record"
                " WHERE time >= $2 AND time < $3 AND body_file IS NOT NULL UNION ALL"
                " SELECT body_file FROM message_attachment"
                " WHERE time >= $2 AND time < $3 AND body_file IS NOT NULL)",
                list(names),
                start,
                start + _DAY,
            )
        return [row["name"] for row in rows]


async def _delete_some(connection: PooledConnection, day: date) -> int:
    record, attachment = _partitions(day)
    # Only names that were made from a date stand in the statements.
    rows = await connection.fetch(
        f"DELETE FROM {record} WHERE (time, number) IN ("  # noqa: S608
        f" SELECT time, number FROM {record} AS r WHERE {_ARCHIVED} LIMIT {_AT_ONCE})"
        " RETURNING number"
    )
    await connection.execute(
        f"DELETE FROM {attachment} WHERE number = ANY($1)",  # noqa: S608
        [row["number"] for row in rows],
    )
    return len(rows)


async def _forget_some(connection: PooledConnection) -> int:
    """Delete some of the leaves below the first that is needed."""
    end = await connection.fetchval(
        """
        WITH oldest AS (
            SELECT leaf FROM log_leaf JOIN message_record USING (time, number)
            ORDER BY leaf LIMIT 1
        ), needed AS (
            SELECT first_leaf FROM log_stamp, oldest
            WHERE first_leaf <= leaf ORDER BY first_leaf DESC LIMIT 1
        )
        SELECT least(stored, done, (SELECT leaf FROM oldest), (SELECT first_leaf FROM needed))
               / 256 * 256
        FROM log_tree, archive_state
        """
    )
    count: int = await connection.fetchval(
        "WITH gone AS (DELETE FROM log_leaf WHERE leaf IN"
        " (SELECT leaf FROM log_leaf WHERE leaf < $1 ORDER BY leaf LIMIT $2) RETURNING leaf),"
        " entries AS (DELETE FROM archive_entry USING gone WHERE archive_entry.leaf = gone.leaf)"
        " SELECT count(*) FROM gone",
        end,
        _LEAVES_AT_ONCE,
    )
    await connection.execute(
        "DELETE FROM log_stamp WHERE first_leaf + leaves <="
        " least($1, (SELECT min(leaf) FROM log_leaf))",
        end,
    )
    return count


@asynccontextmanager
async def _alone(pool: Pool) -> "AsyncIterator[PooledConnection | None]":
    """A transaction for one step that one process at a time does; None while another is at it.

    Who reads for long is not waited for: the next round tries again.
    """
    async with pool.acquire(timeout=10) as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        held = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _CLEANER)
        yield connection if held else None


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as error:
        raise StorageError(f"Old records can't be removed: {describe(error)}") from error


def _partitions(day: date) -> tuple[str, str]:
    return f"message_record_{day:%Y%m%d}", f"message_attachment_{day:%Y%m%d}"


def _day_of(partition: str) -> date:
    return datetime.strptime(partition[-8:], "%Y%m%d").replace(tzinfo=UTC).date()


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _day_folders(folder: Path) -> list[Path]:
    """The folders of days, which alone are ours to look into."""
    found = []
    with contextlib.suppress(OSError):
        for each in sorted(folder.iterdir()):
            with contextlib.suppress(ValueError):
                if each.name == date.fromisoformat(each.name).isoformat() and each.is_dir():
                    found.append(each)
    return found


def _old_files(day: Path, latest: datetime) -> list[str]:
    """Files of a day that were written before a moment, as records name them."""
    found = []
    with contextlib.suppress(FileNotFoundError):  # another process has removed it
        for each in day.iterdir():
            if _BODY_FILE.fullmatch(each.name) and _is_older(each, latest):
                found.append(f"{day.name}/{each.name}")
    return found


def _is_older(file: Path, latest: datetime) -> bool:
    try:
        return file.stat().st_mtime < latest.timestamp()
    except FileNotFoundError:
        return False


def _remove(folder: Path, names: Sequence[str]) -> int:
    removed = 0
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
            removed += 1
    return removed


def _remove_probes(folder: Path, latest: datetime) -> None:
    """What a process left that died while it tried the folder."""
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            if _PROBE_FILE.fullmatch(each.name) and _is_older(each, latest):
                each.unlink(missing_ok=True)
