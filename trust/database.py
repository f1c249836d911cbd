"""PostgreSQL for every part that keeps something: pools, migrations, and "only one does this"."""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
PooledConnection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

# What asyncpg raises when the server, the way to it or the connection is gone.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, crashed, starting, cancelled
)
DATABASE_ERRORS = (*CONNECTION_ERRORS, asyncpg.PostgresError)

_MIGRATION_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_PAUSE = 0.2  # seconds between two attempts to open a database
_MIGRATION_TIMEOUT = 600.0  # seconds, for waiting and for each file


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The bounds of a connection pool."""

    max_connections: int = 10
    command_timeout: timedelta = timedelta(seconds=30)  # of one statement
    connect_timeout: timedelta = timedelta(seconds=10)
    statement_cache: int = 200  # prepared statements per connection; 0 behind a pooling proxy
    idle_in_transaction_timeout: timedelta = timedelta(seconds=60)  # not sent when the cache is 0
    patience: timedelta = timedelta(0)  # for a database that does not answer yet


async def open_pool(dsn: str, name: str, settings: PoolSettings | None = None) -> Pool:
    """Open a pool and make sure that the database answers; raises StorageError otherwise.

    Args:
        dsn: a `postgresql://` address; several hosts may be named, the writable one is used.
        name: shown by PostgreSQL as the application, such as `sacbe-node`.
        settings: with `statement_cache=0` the pool works through a proxy that gives each
            transaction another connection (pgbouncer); prepared statements don't.
    """
    settings = settings or PoolSettings()
    server_settings = {"application_name": name}
    if settings.statement_cache:  # pgbouncer refuses start parameters that it doesn't know
        idle = int(settings.idle_in_transaction_timeout.total_seconds() * 1000)
        server_settings["idle_in_transaction_session_timeout"] = str(idle)
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,  # more and asyncpg tells of each attempt to restore them, with a traceback
            max_size=settings.max_connections,
            command_timeout=settings.command_timeout.total_seconds(),
            timeout=settings.connect_timeout.total_seconds(),
            statement_cache_size=settings.statement_cache,
            server_settings=server_settings,
            target_session_attrs=asyncpg.connect_utils.SessionAttribute.read_write,
        )
        await _answered(pool, settings.patience.total_seconds())
    except (*DATABASE_ERRORS, ValueError) as error:
        raise StorageError(f"The database can't be opened: {describe(error)}") from error
    return pool


async def _answered(pool: Pool, patience: float) -> None:
    """Wait for the first connection: after a crash of the machine a server recovers for a while."""
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            async with pool.acquire():
                return
        except ValueError:  # the address itself is wrong
            raise
        except CONNECTION_ERRORS as error:
            if time.monotonic() + _PAUSE > deadline:
                raise
            if not told:
                _LOG.warning("The database does not answer yet: %s; waiting", describe(error))
                told = True
        await asyncio.sleep(_PAUSE)


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Make of everything that a database fails with a StorageError: `what`, and why."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise StorageError(f"{what}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """What went wrong with the database, in a line without addresses, statements or values."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} ({error.sqlstate})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of SQL statements."""

    number: int
    name: str
    sql: str
    checksum: bytes  # SHA-256 of the file


def load_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read `0001_name.sql`, `0002_name.sql`, … in order; raises StorageError for a gap."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = _MIGRATION_NAME.fullmatch(path.name)
        if match is None:
            raise StorageError(f"{path.name} is no migration name such as 0001_first.sql")
        data = path.read_bytes()
        checksum = hashlib.sha256(data).digest()
        migrations.append(Migration(int(match[1]), path.stem, data.decode(), checksum))
    numbers = [migration.number for migration in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise StorageError(f"The migrations in {folder} are not numbered 1, 2, 3, …: {numbers}")
    return tuple(migrations)


async def migrate(pool: Pool, component: str, folder: Path) -> tuple[str, ...]:
    """Apply what `component`'s database lacks, all or nothing; the names of what was applied.

    Any number of processes may do this at once: one works, the others wait and find it done.
    Raises StorageError when an applied file was edited, when the database was migrated by a
    newer version of this software, or when a statement fails.
    """
    migrations = await asyncio.to_thread(load_migrations, folder)
    try:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock($1)",
                lock_key("sacbe migrations"),
                timeout=_MIGRATION_TIMEOUT,
            )
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration ("
                " component text NOT NULL,"
                " number int NOT NULL,"
                " name text NOT NULL,"
                " checksum bytea NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now(),"
                " PRIMARY KEY (component, number))"
            )
            rows = await connection.fetch(
                "SELECT number, name, checksum FROM schema_migration WHERE component = $1",
                component,
            )
            applied = {row["number"]: (row["name"], row["checksum"]) for row in rows}
            pending = _pending(component, migrations, applied)
            for migration in pending:
                await connection.execute(migration.sql, timeout=_MIGRATION_TIMEOUT)
                await connection.execute(
                    "INSERT INTO schema_migration (component, number, name, checksum)"
                    " VALUES ($1, $2, $3, $4)",
                    component,
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
    except DATABASE_ERRORS as error:
        raise StorageError(f"The {component} tables can't be migrated: {error}") from error
    return tuple(migration.name for migration in pending)


def _pending(
    component: str,
    migrations: tuple[Migration, ...],
    applied: dict[int, tuple[str, bytes]],
) -> tuple[Migration, ...]:
    """The migrations that are not applied; raises StorageError when history differs from ours."""
    if applied and max(applied) > len(migrations):
        newest = applied[max(applied)][0]
        raise StorageError(
            f"The {component} tables were migrated to {newest} by a newer version of this "
            "software; use that version or a copy of the database from before"
        )
    for migration in migrations:
        name, checksum = applied.get(migration.number, (migration.name, migration.checksum))
        if (name, checksum) != (migration.name, migration.checksum):
            raise StorageError(
                f"The migration {name} of the {component} tables was edited after it was "
                "applied; restore the file and put the change into a new one"
            )
    return tuple(m for m in migrations if m.number not in applied)


def lock_key(name: str) -> int:
    """The number of the advisory lock with this name; every process computes the same."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class AdvisoryLock:
    """A held lock. It is lost when its connection is: ask `confirm` before a step that counts."""

    def __init__(self, name: str, connection: PooledConnection) -> None:
        self.name = name
        self._connection = connection

    async def confirm(self) -> None:
        """Raise StorageError unless the lock is still ours."""
        try:
            await self._connection.execute("SELECT 1")
        except DATABASE_ERRORS as error:
            raise StorageError(f"The lock '{self.name}' was lost: {describe(error)}") from error


@asynccontextmanager
async def try_advisory_lock(pool: Pool, name: str) -> AsyncIterator[AdvisoryLock | None]:
    """Do what only one process at a time may do: the lock, or None while somebody has it.

    The lock belongs to the session and takes one connection of the pool while it is held; it
    ends with the process, however that ends. The pool must lead to PostgreSQL itself, not to a
    proxy that shares connections. Raises StorageError when the database can't be asked.
    """
    try:
        connection = await pool.acquire()
    except DATABASE_ERRORS as error:
        raise StorageError(f"The lock '{name}' can't be asked for: {describe(error)}") from error
    try:
        try:
            held = await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock_key(name))
        except DATABASE_ERRORS as error:
            raise StorageError(
                f"The lock '{name}' can't be asked for: {describe(error)}"
            ) from error
        yield AdvisoryLock(name, connection) if held else None
    finally:
        await _give_back(pool, connection)


async def _give_back(pool: Pool, connection: PooledConnection) -> None:
    """Return a connection; a pool gives up all session locks of one that comes back."""
    try:
        await pool.release(connection, timeout=10)
    except DATABASE_ERRORS:
        await discard_connection(pool, connection)


def is_lost(connection: PooledConnection) -> bool:
    """Whether a connection taken from a pool has ended; the pool takes such a one back itself."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


async def discard_connection(pool: Pool, connection: PooledConnection) -> None:
    """Give a connection back that must not be used again."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
    with suppress(*DATABASE_ERRORS):
        await pool.release(connection)
