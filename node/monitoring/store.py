"""Operational records on their way into the database, which an exchange never waits for.

A record is taken at once and kept in memory until it is stored; when more wait than the settings
allow, the oldest are dropped and counted. They are written in batches: at once when nothing was
written lately, else together with what comes within a second. A batch has an id, so one whose
commit is in doubt is simply stored again: it counts once.

Source: monitoring.md 3; X-Road 7.8 OpMonitoringBuffer.java.
"""

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Self

import asyncpg

from node.monitoring.record import COLUMNS, OperationalRecord, row_values
from node.monitoring.retention import remove_old
from node.monitoring.settings import MonitoringSettings
from trust.database import (
    DATABASE_ERRORS,
    Pool,
    PooledConnection,
    describe,
)
from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
_BATCH = 1000
_GATHER = 1.0  # seconds between two writings
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two attempts
_PATIENCE = 20.0  # seconds for one attempt
_FAREWELL = 5.0  # seconds to store what is left when the node stops
_CLEAN_EVERY = timedelta(hours=1)
_REFUSED = (ValueError, TypeError, OverflowError, asyncpg.DataError)


@dataclass(frozen=True, slots=True)
class _Batch:
    records: Sequence[OperationalRecord]
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    def halves(self) -> tuple["_Batch", "_Batch"]:
        middle = len(self.records) // 2
        return _Batch(self.records[:middle]), _Batch(self.records[middle:])


class RecordStore:
    """Takes the records of one process; any number of processes share the tables."""

    def __init__(
        self,
        pool: Pool,
        settings: MonitoringSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.dropped = 0  # for want of room
        self.refused = 0  # by the database, for good
        self.trouble: str | None = None  # why nothing can be stored at the moment
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._waiting: deque[OperationalRecord] = deque()
        self._writing = 0
        self._wake = asyncio.Event()
        self._days: set[date] = set()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._write_on(), name="monitoring writer"),
            asyncio.create_task(self._clean_often(), name="monitoring cleaner"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Store what is left, if that can be done soon."""
        self._stopping.set()
        self._wake.set()
        await asyncio.wait(self._tasks[:1], timeout=_FAREWELL)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.waiting:
            _LOG.warning("%d operational records are lost: %s", self.waiting, self.trouble)

    @property
    def waiting(self) -> int:
        """Records that are not stored yet."""
        return len(self._waiting) + self._writing

    def add(self, record: OperationalRecord) -> None:
        """Take a record; never waits and never fails."""
        if len(self._waiting) >= self._settings.buffer_records:
            self._waiting.popleft()
            if not self.dropped:
                _LOG.warning("Operational records are dropped: %s", self.trouble or "too many")
            self.dropped += 1
        self._waiting.append(record)
        self._wake.set()

    async def _write_on(self) -> None:
        while self._waiting or not self._stopping.is_set():
            await self._wake.wait()
            self._wake.clear()
            for _ in range(0, len(self._waiting), _BATCH):
                await self._write(self._next_batch())
            with contextlib.suppress(TimeoutError):  # let records come together
                await asyncio.wait_for(self._stopping.wait(), _GATHER)
            if self._waiting:
                self._wake.set()

    def _next_batch(self) -> _Batch:
        count = min(_BATCH, len(self._waiting))
        return _Batch([self._waiting.popleft() for _ in range(count)])

    async def _write(self, batch: _Batch) -> None:
        """Store a batch, however long the database is away; drop what it never takes."""
        self._writing = len(batch.records)
        pending = [batch]
        while pending:
            try:
                await self._store(pending[-1])
            except _REFUSED as error:
                refused = pending.pop()
                if len(refused.records) > 1:
                    pending += refused.halves()
                    continue
                self.refused += 1
                _LOG.warning("An operational record can't be stored: %s", describe(error))
            else:
                pending.pop()
            self._writing = sum(len(each.records) for each in pending)

    async def _store(self, batch: _Batch) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._attempt(batch)
            except _REFUSED:
                raise
            except DATABASE_ERRORS as error:
                self._note_trouble(error)
            else:
                self._note_success()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _attempt(self, batch: _Batch) -> None:
        stored = int(self._clock().timestamp())
        async with self._pool.acquire(timeout=5) as connection:
            await self._make_place(connection, datetime.fromtimestamp(stored, UTC).date())
            try:
                await _store_once(connection, batch, stored)
            except asyncpg.CheckViolationError:
                self._days.clear()  # a partition that we knew was dropped
                raise

    async def _make_place(self, connection: PooledConnection, day: date) -> None:
        if day not in self._days:
            await connection.execute("SELECT ensure_operational_partition($1)", day)
            self._days = {day}

    def _note_trouble(self, error: BaseException) -> None:
        if self.trouble is None:
            _LOG.warning("Operational records wait for the database: %s", describe(error))
        self.trouble = f"the database can't be used: {describe(error)}"

    def _note_success(self) -> None:
        if self.trouble is not None:
            _LOG.warning("Operational records are stored again; %d were dropped", self.dropped)
        self.trouble = None

    async def _clean_often(self) -> None:
        while True:
            try:
                await self.clean()
            except StorageError as error:
                _LOG.warning("%s", error)
            await asyncio.sleep(_CLEAN_EVERY.total_seconds())

    async def clean(self) -> int:
        """Remove records beyond their time; how many were deleted. Raises StorageError."""
        return await remove_old(self._pool, self._clock(), self._settings.keep_records_for)


async def _store_once(connection: PooledConnection, batch: _Batch, stored: int) -> None:
    async with connection.transaction():
        is_new = await connection.fetchval(
            "INSERT INTO operational_batch (id, stored) VALUES ($1, $2)"
            " ON CONFLICT DO NOTHING RETURNING true",
            batch.id,
            stored,
        )
        if is_new:  # else an attempt whose answer was lost arrived all the same
            await connection.copy_records_to_table(
                "operational_record",
                columns=("monitoring_data_ts", *COLUMNS),
                records=[(stored, *row_values(record)) for record in batch.records],
            )
