"""One look for all who want to look: nobody is told what was seen before he asked."""

import asyncio
from collections.abc import Awaitable, Callable


class Together:
    """Does a piece of work for callers that arrive while it is under way, once for all of them.

    Each caller gets a run that began after his call; runs follow each other without a timer.
    """

    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Return when the work was done since now; raises what it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run(self._running), name="shared look")
        await asyncio.shield(self._next)

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await self._work()
