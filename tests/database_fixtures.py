"""A PostgreSQL server for the tests and a fresh database for each one that asks.

The server belongs to one test process and writes without sync, so a database costs a tenth of a
second and the first one a second more.
"""

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer, PostgresSettings
from scripts.postgres_binaries import find_binaries
from trust.errors import StorageError

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30  # bytes free that make it safe to keep databases in memory
_NUMBERS = itertools.count(1)


def quick_folder() -> Path:
    """A new folder in memory where there is room, else on disk; the caller removes it."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(_MEMORY).free > _ROOM:
            return Path(tempfile.mkdtemp(prefix="sacbe-test-", dir=_MEMORY))
    return Path(tempfile.mkdtemp(prefix="sacbe-test-"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[PostgresServer]:
    """The session's server; its databases are made with `create_database`."""
    try:
        find_binaries()
    except StorageError as error:
        pytest.skip(str(error))
    folder = quick_folder()
    try:
        async with PostgresServer(folder, PostgresSettings(durable=False)) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def database_dsn(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of an empty database that is dropped after the test."""
    name = f"test_{next(_NUMBERS)}"
    yield await postgres_server.create_database(name)
    await postgres_server.drop_database(name)


@pytest_asyncio.fixture(scope="module")
async def module_database_dsn(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of a database that the tests of one file share."""
    name = f"test_module_{next(_NUMBERS)}"
    yield await postgres_server.create_database(name)
    await postgres_server.drop_database(name)
