"""What a node opened and keeps running, ended in the reverse order."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime

log = logging.getLogger("sacbe.node")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Lifetime:
    """The resources and tasks of a node between its start and its end."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        await self.stack.aclose()

    def keep_running(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run something until the end; should it end before, that is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(_tell_if_broken)

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.stack.push_async_callback(stop)


def _tell_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("task %s ended", task.get_name(), exc_info=task.exception())
