"""Puts the history of trust lists into the archive store, beside the archive files it judges.

Files of the history never change, so a copy is whole once every name is there. Nothing waits for
this: a store that can't be written is tried again, and the history stays in the node's folder.
"""

import asyncio
import contextlib
import logging
from typing import Protocol

from trust.configuration.confhistory import TrustListKeeper
from trust.errors import StorageError

FOLDER = "trust-lists"  # of the store
_LOG = logging.getLogger(__name__)
_LOOK = 3600.0  # seconds; for what a failure left behind


class Store(Protocol):
    """The archive store; raises StorageError."""

    async def put(self, name: str, content: bytes, *, overwrite: bool = True) -> None: ...

    async def size_of(self, name: str) -> int | None: ...


class TrustListCopies:
    """Copies what the history has and the store has not.

    Args:
        changed: set when the history has one more version.
    """

    def __init__(self, history: TrustListKeeper, store: Store, changed: asyncio.Event) -> None:
        self.problem: str | None = None
        self._history = history
        self._store = store
        self._changed = changed
        self._copied: set[str] = set()

    async def run(self) -> None:
        """Copy until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self.copy()
            except (StorageError, OSError) as error:
                if self.problem is None:
                    _LOG.warning("Trust lists are not copied to the archive store: %s", error)
                self.problem = str(error)
            else:
                self.problem = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()

    async def copy(self) -> int:
        """Copy what is missing, parts before the versions that name them; how many files."""
        count = 0
        for name in await asyncio.to_thread(self._history.names):
            if name in self._copied:
                continue
            place = f"{FOLDER}/{name}"
            if await self._store.size_of(place) is None:
                content = await asyncio.to_thread((self._history.folder / name).read_bytes)
                await self._store.put(place, content)
                count += 1
            self._copied.add(name)
        return count
