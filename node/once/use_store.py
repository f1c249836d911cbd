"""Uses of refused calls in the database, and the calls that count against quotas.

What gives facts is kept with its message (node/log/writer.py). A refusal has no message to be kept
with: it is written apart, a little later, in groups, and never makes anybody wait; under a flood of
refusals some are counted and not kept.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Self

import asyncpg

from catalog.terms import Quota
from node.log.rows import USE_COLUMNS, build_use_row
from node.log.uses import DataUse
from trust.database import DATABASE_ERRORS, Pool, describe, storage_errors
from trust.errors import LoggingFailed
from trust.ids import ClientId

_log = logging.getLogger(__name__)

_MOST_WAITING = 10_000  # refused uses
_MOST_OF_ONE = 600  # refused uses of one client within a minute
_MINUTE = 60.0  # seconds
_GROUP = 500
_PAUSE = 1.0  # seconds between attempts to reach a database that does not answer
_PATIENCE = 5.0  # seconds that the end of the node waits for what is left

_places = ", ".join(f"${place}" for place in range(1, len(USE_COLUMNS) + 1))
# Only our own words stand in the text. An attempt whose outcome nobody knows is repeated.
_INSERT = (
    f"INSERT INTO data_use ({', '.join(USE_COLUMNS)}) VALUES ({_places})"  # noqa: S608
    " ON CONFLICT (exchange_id, side, time) DO NOTHING"
)
_UNUSABLE = "The uses of this node can't be counted"


class UseStore:
    """Uses of one node; any number of its processes share the database.

    Attributes:
        dropped: refused uses that were not kept, for want of room or because no row can hold them.
    """

    def __init__(
        self, pool: Pool, most_waiting: int = _MOST_WAITING, most_of_one: int = _MOST_OF_ONE
    ) -> None:
        self.dropped = 0
        self._most_of_one = most_of_one
        self._refused: Counter[ClientId] = Counter()  # in the minute that runs
        self._minute = 0.0
        self._pool = pool
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[object, ...]] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="refused uses")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what is left, if that is possible soon."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError, *DATABASE_ERRORS):
            async with asyncio.timeout(_PATIENCE):
                await self.flush()
        self.dropped += len(self._waiting)

    @property
    def waiting(self) -> int:
        """Refused uses that are not written yet."""
        return len(self._waiting)

    def keep_apart(self, use: DataUse) -> None:
        """Have a use written soon that has no message to be kept with; never fails."""
        if use.refusal and self._is_flood(use.client):
            self.dropped += 1
            return
        try:
            row = build_use_row(use)
        except LoggingFailed:
            self.dropped += 1
            return
        if len(self._waiting) >= self._most_waiting:
            self.dropped += 1
            return
        self._waiting.append(row)
        self._wake.set()

    def _is_flood(self, client: ClientId) -> bool:
        """Whether a client was refused so often that its refusals are only counted for a while.

        What it asked is refused before anything of it is in the log, so nothing else bounds them.
        """
        minute = time.monotonic() // _MINUTE
        if minute != self._minute:
            self._minute = minute
            self._refused.clear()
        self._refused[client] += 1
        return self._refused[client] > self._most_of_one

    async def take_call(self, grant: int, quota: Quota, at: datetime) -> int | None:
        """Count a call against the quota of a grant, exactly once among all processes.

        A call is counted before the system is asked, whatever becomes of it.

        Returns:
            None when it was counted; else how many calls there were in the quota's time, and this
            one was not counted.

        Raises:
            StorageError: it may be counted.
        """
        with storage_errors(_UNUSABLE):
            found: int | None = await self._pool.fetchval(
                "SELECT take_quota_call($1, $2, $3, $4)", grant, at, quota.per, quota.calls
            )
        return found

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except DATABASE_ERRORS as error:
                _log.warning("Refused uses can't be written: %s", describe(error))
                await asyncio.sleep(_PAUSE)
                self._wake.set()

    async def flush(self) -> None:
        """Write what waits; raises what the database raises, and what is not written waits on."""
        async with self._writing:
            while self._waiting:
                group = list(islice(self._waiting, _GROUP))
                try:
                    await self._pool.executemany(_INSERT, group)
                except asyncpg.DataError:
                    await self._write_alone(group)
                for _ in group:
                    self._waiting.popleft()

    async def _write_alone(self, group: Sequence[tuple[object, ...]]) -> None:
        """One row that the database can't hold takes no other along."""
        for row in group:
            try:
                await self._pool.execute(_INSERT, *row)
            except asyncpg.DataError:
                self.dropped += 1
