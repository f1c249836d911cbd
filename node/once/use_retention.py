"""Uses go when the time for which they are kept is over.

They have a time of their own, apart from the messages': a citizen may look back further than the
log reaches. Any number of nodes may share the table; one at a time does a step, and small steps
hold nobody up.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from trust.database import Pool, lock_key, storage_errors
from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
_CLEANER = lock_key("sacbe data use cleaner")
_AT_ONCE = 2000  # rows
_ROUND = timedelta(hours=1)


class UseRetention:
    """One process's cleaner of the uses.

    Attributes:
        problem: why the last round failed, for the health page; None when it did not.

    Args:
        keep: how long uses are kept.
    """

    def __init__(
        self,
        pool: Pool,
        keep: timedelta,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.problem: str | None = None
        self._pool = pool
        self._keep = keep
        self._clock = clock

    async def run(self) -> None:
        """Clean now and then, until cancelled."""
        while True:
            try:
                removed = await self.round()
            except StorageError as error:
                _LOG.warning("%s; it is tried again", error)
                self.problem = str(error)
            except Exception as error:  # noqa: BLE001 - it must not end unseen
                _LOG.exception("Old uses can't be removed")
                self.problem = f"Internal error {type(error).__name__}"
            else:
                self.problem = None
                if removed:
                    _LOG.info("removed %d uses of data", removed)
            await asyncio.sleep(_ROUND.total_seconds())

    async def round(self) -> int:
        """Remove what is too old, unless another node is at it; how many. Raises StorageError."""
        before = self._clock() - self._keep
        removed = 0
        while count := await self._remove_some(before):
            removed += count
        return removed

    async def _remove_some(self, before: datetime) -> int:
        with storage_errors("Old uses can't be removed"):
            async with self._pool.acquire(timeout=10) as connection, connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '1s'")
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _CLEANER):
                    return 0
                answer = await connection.execute(
                    "DELETE FROM data_use WHERE id IN"
                    " (SELECT id FROM data_use WHERE time < $1 ORDER BY time LIMIT $2)",
                    before,
                    _AT_ONCE,
                )
        return int(answer.split()[-1])
