"""The database of a node or registry: the operator's own, or a private server in its data folder.

A private server belongs to the process that runs the service; the other commands use it while it
runs and start it for themselves while it does not.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from scripts.postgres import PostgresServer
from trust.database import DATABASE_ERRORS
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.pki.keyfiles import open_folder
from trust.secrets import read_secret


def read_dsn(path: Path) -> str:
    """A database address from its file; raises ConfigurationError."""
    try:
        dsn = read_secret(path).decode("ascii")
    except UnicodeDecodeError:
        dsn = ""
    if not dsn.startswith(("postgresql://", "postgres://")):
        found = "something else than a database address"
        expected = "postgresql://user:password@host/database"
        raise ConfigurationError([ConfigurationProblem(str(path), 0, found, expected)])
    return dsn


@asynccontextmanager
async def database_address(data: Path, name: str, dsn_file: Path | None) -> AsyncIterator[str]:
    """The address of the database `name`, good until the block ends.

    Args:
        data: where a private server has its folder `postgres` when there is no `dsn_file`.
    """
    if dsn_file is not None:
        yield read_dsn(dsn_file)
        return
    notice = data / "postgres" / f"{name}.dsn"
    running = _left_by_another(notice)
    if running is not None and await _answers(running):
        yield running
        return
    open_folder(data)  # or the server would make it, open to every user
    async with PostgresServer(data / "postgres") as server:
        dsn = await server.create_database(name)
        _write_notice(notice, dsn)
        supervision = asyncio.create_task(server.supervise())
        try:
            yield dsn
        finally:
            notice.unlink(missing_ok=True)
            supervision.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervision


def _write_notice(notice: Path, dsn: str) -> None:
    notice.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(notice, flags, 0o600), "w", encoding="ascii") as file:
        file.write(dsn)


def _left_by_another(notice: Path) -> str | None:
    try:
        return notice.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


async def _answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (*DATABASE_ERRORS, ValueError):
        return False
    await connection.close()
    return True
