"""Keeps a node's view of its services fresh, and keeps the last good one without a database."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from catalog.services import ServerConf
from catalog.stored.store import ServiceStore
from trust.errors import StorageError

_log = logging.getLogger(__name__)


class ServerConfWatcher:
    """Asks the database every few seconds whether the services changed.

    `conf` is the snapshot to go by; an exchange takes it once. While the database does not answer
    it stays as it is: nothing is logged then either, so no exchange happens by it.
    """

    def __init__(
        self,
        store: ServiceStore,
        clock: Callable[[], datetime],
        interval: timedelta = timedelta(seconds=3),
    ) -> None:
        self._store = store
        self._clock = clock
        self._interval = interval
        self._conf: ServerConf | None = None
        self._loading = asyncio.Lock()
        self.last_error: str | None = None
        self.checked_at: datetime | None = None  # when the database last answered

    @property
    def conf(self) -> ServerConf:
        """The latest snapshot; raises StorageError before the first one."""
        if self._conf is None:
            raise StorageError("The services of this node are not loaded yet")
        return self._conf

    async def refresh(self) -> bool:
        """Load the services if they changed; whether they did. Raises StorageError.

        Afterwards `conf` is at least as new as the moment of the call, whoever else refreshes.
        """
        changed = False
        if not await self._is_current():
            async with self._loading:
                if not await self._is_current():  # nobody loaded it while this one waited
                    self._conf = await self._store.load()
                    changed = True
        self.checked_at = self._clock()
        self.last_error = None
        return changed

    async def _is_current(self) -> bool:
        return self._conf is not None and await self._store.version() == self._conf.version

    async def run(self) -> None:
        """Refresh for ever; a failure is remembered, told once, and tried again."""
        while True:
            try:
                if await self.refresh():
                    _log.info("Services loaded, version %d", self.conf.version)
            except StorageError as error:
                if self.last_error is None:
                    _log.warning("Services can't be refreshed: %s", error)
                self.last_error = str(error)
            await asyncio.sleep(self._interval.total_seconds())
