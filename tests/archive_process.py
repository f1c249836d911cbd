"""A program that archives and is killed at a chosen moment.

Arguments: database, folder, url and endpoint of the store, the moment, how often that passes
before, recipients.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.archive import store as archive_store
from node.archive.book import ArchiveBook
from node.archive.settings import ArchiveSettings
from node.archive.store import ArchiveStore, StoreAddress, open_store
from tests.archive_scene import scene, until_archived
from trust.settings import ByteSize

FILE_SIZE = ByteSize(60_000)


def settings_for(address: StoreAddress, recipients: str = "") -> ArchiveSettings:
    return ArchiveSettings(
        store=address.url,
        file_size=FILE_SIZE,
        recipients=Path(recipients) if recipients else None,
    )


class _Death:
    """Kills this process when a moment has come for the last time that it may pass."""

    def __init__(self, passes: int) -> None:
        self._passes = passes

    def __call__(self) -> None:
        if self._passes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passes -= 1


def _before(owner: Any, name: str, die: Callable[[], None]) -> None:  # noqa: ANN401
    real = getattr(owner, name)

    def wrapped(*args: object) -> object:
        die()
        return real(*args)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, die: Callable[[], None]) -> None:  # noqa: ANN401
    real = getattr(owner, name)

    async def wrapped(*args: object) -> object:
        answer = await real(*args)
        die()
        return answer

    setattr(owner, name, wrapped)


MOMENTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "built": lambda die: _before(ArchiveBook, "plan", die),
    "planned": lambda die: _after(ArchiveBook, "plan", die),
    "written, not synced": lambda die: _before(archive_store, "_sync", die),
    "put": lambda die: _after(ArchiveStore, "put", die),
    "read back": lambda die: _before(ArchiveBook, "settle", die),
    "settled": lambda die: _after(ArchiveBook, "settle", die),
    "ended": lambda die: _after(ArchiveBook, "succeed", die),
}


async def run(dsn: str, folder: Path, address: StoreAddress, recipients: str) -> None:
    async with scene(dsn, folder) as one:
        archiver = one.archiver(settings_for(address, recipients), open_store(address))
        await until_archived(archiver)


if __name__ == "__main__":
    dsn, folder, url, endpoint, moment, passes, recipients = sys.argv[1:]
    if moment:
        MOMENTS[moment](_Death(int(passes)))
    credentials = Path(folder) / "store.credentials"
    address = StoreAddress(
        url, endpoint, "us-east-1" if endpoint else "", credentials if endpoint else None
    )
    asyncio.run(run(dsn, Path(folder), address, recipients))
