"""Descriptions that an event loop has, for pages that are made in threads beside it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from catalog.central.entries import CatalogService
from catalog.central.faces.description_page import Describe

Fetch = Callable[[CatalogService], Awaitable[bytes | None]]
_PATIENCE = timedelta(seconds=10)


def described_by(fetch: Fetch, patience: timedelta = _PATIENCE) -> Describe:
    """Descriptions by way of the running loop; none for one that is waited for too long."""
    loop = asyncio.get_running_loop()

    async def fetched(service: CatalogService) -> bytes | None:
        return await fetch(service)

    def describe(service: CatalogService) -> bytes | None:
        waiting = asyncio.run_coroutine_threadsafe(fetched(service), loop)
        try:
            return waiting.result(patience.total_seconds())
        except TimeoutError:
            waiting.cancel()
            return None

    return describe
