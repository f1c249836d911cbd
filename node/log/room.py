"""How much may wait at the same time, counted in pieces and in bytes."""

import asyncio
import contextlib
from collections import deque


class Room:
    """Places in a queue, given in the order they were asked for.

    Something larger than the whole room is let in when it is alone.
    """

    def __init__(self, places: int, size: int) -> None:
        self.used_places = 0
        self.used_bytes = 0
        self._places = places
        self._size = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int, within: float) -> None:
        """Take one place and `size` bytes; raises TimeoutError after `within` seconds."""
        if not self._waiting and self._fits(size):
            self._use(size)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        try:
            async with asyncio.timeout(within):
                await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self.give(size)
            else:
                with contextlib.suppress(ValueError):  # passed over already
                    self._waiting.remove((size, granted))
                self._admit()  # who stood behind it may fit
            raise

    def give(self, size: int) -> None:
        """Give back what `take` got."""
        self.used_places -= 1
        self.used_bytes -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        if self.used_places == 0:
            return True
        return self.used_places < self._places and self.used_bytes + size <= self._size

    def _use(self, size: int) -> None:
        self.used_places += 1
        self.used_bytes += size

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, granted = self._waiting.popleft()
            if not granted.done():
                self._use(size)
                granted.set_result(None)
