"""The private PostgreSQL server of a node or registry that was given no database address.

Folder layout:

    lock                 held while a launcher uses the folder
    superuser.password   of the account postgres, 0600
    databases/           one password file per database, 0600
    data/                PostgreSQL's own
    run/                 the Unix socket, 0700
    server.log           what the server says; no statements and no values stand in it
    binaries/            a copy of the programs, only when root runs them as an account

Clients use the Unix socket: it is faster than TCP and only our user can reach it. TCP on
127.0.0.1 is opened on request.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg

from scripts.postgres_binaries import PostgresBinaries, find_binaries
from scripts.postgres_process import (
    BoundProcess,
    RunAs,
    Way,
    choose_way,
    processes_are_seen,
    workers_in,
)
from trust.database import CONNECTION_ERRORS
from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
_SUPERUSER = "postgres"
_PORT = 5432  # part of the socket's name; the TCP port is another matter
_SOCKET_NAME_LIMIT = 107  # bytes; sun_path has 108 with its closing zero
_LOG_SIZE_KEPT = 4 << 20  # bytes of server.log; a longer one is moved aside at the next start
_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds before a crashed server is started again


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """How the embedded server is run; sized for one institution on a small machine."""

    durable: bool = True  # False: for tests, a power cut or kill may lose everything
    tcp_port: int | None = None  # on 127.0.0.1; None: no TCP, 0: any free port
    max_connections: int = 60
    shared_buffers_mb: int = 32
    start_timeout: float = 60.0  # seconds, recovery after a crash included
    way: Way | None = None  # None: the first that works


def _configuration(settings: PostgresSettings, socket_folder: Path, tcp_port: int | None) -> str:
    """The text of postgresql.conf; ALTER SYSTEM has the last word over it."""
    sync = "on" if settings.durable else "off"
    values = {
        "listen_addresses": "" if tcp_port is None else "127.0.0.1",
        "port": _PORT if tcp_port is None else tcp_port,
        "unix_socket_directories": str(socket_folder),
        "unix_socket_permissions": "0700",
        "max_connections": settings.max_connections,
        "password_encryption": "scram-sha-256",
        "fsync": sync,
        "synchronous_commit": sync,
        "full_page_writes": sync,
        "shared_buffers": f"{settings.shared_buffers_mb}MB",
        "wal_buffers": "2MB",
        "work_mem": "4MB",
        "maintenance_work_mem": "32MB",
        "min_wal_size": "64MB",
        "max_wal_size": "512MB",
        "max_worker_processes": 4,
        "max_parallel_workers_per_gather": 0,
        "autovacuum_max_workers": 2,
        "huge_pages": "off",
        "jit": "off",
        "idle_in_transaction_session_timeout": "60s",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_error_verbosity": "terse",  # its details would name personal data
        "log_min_error_statement": "panic",  # and so would the statements
        "log_checkpoints": "off",
    }
    lines = ["# Written at every start. Use ALTER SYSTEM for settings of your own."]
    lines += [
        f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'" for name, value in values.items()
    ]
    return "\n".join(lines) + "\n"


def _write_secret(path: Path) -> str:
    """Make a random password and keep it in a file that only we can read."""
    password = secrets.token_urlsafe(32)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return password


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PostgresServer:
    """One PostgreSQL server on one folder, a direct child of this process.

    Start it, run `supervise()` in a task beside whatever needs it, and stop it at the end.
    """

    def __init__(self, folder: Path, settings: PostgresSettings | None = None) -> None:
        self.folder = folder.absolute()
        self.settings = settings or PostgresSettings()
        self._process: BoundProcess | None = None
        self._stopping = False
        self._changing = asyncio.Lock()  # held while the server is started or stopped
        self._lock: int | None = None
        self._socket_folder = self.folder / "run"
        self._tcp_port: int | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster; None while no server runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when the server takes connections; raises StorageError with the reason."""
        self._stopping = False
        self._take_lock()
        try:
            async with self._changing:
                await self._launch()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server and wait for it: quickly and cleanly, by force only when it hangs."""
        self._stopping = True
        async with self._changing:
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for number, patience in ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
                process.send(number)
                if await process.ended(patience) is not None:
                    break
        if self._socket_folder != self.folder / "run":
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def supervise(self) -> None:
        """Start the server again whenever it ends by itself, until `stop()`."""
        pause = _FIRST_PAUSE
        while not self._stopping:
            process = self._process
            if process is not None:
                began = time.monotonic()
                code = await process.ended()
                if self._stopping:
                    return
                _LOG.warning("PostgreSQL ended by itself (status %s); starting it again", code)
                if time.monotonic() - began > _LONGEST_PAUSE:
                    pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                async with self._changing:
                    if not self._stopping:
                        await self._launch()
            except (StorageError, OSError) as error:
                if not self._stopping:
                    _LOG.warning("%s; next attempt in %.1f s", error, pause)

    def dsn(self, database: str, role: str, password: str) -> str:
        """The address of a database for asyncpg and psql, by the Unix socket."""
        folder = quote(str(self._socket_folder), safe="")
        port = _PORT if self._tcp_port is None else self._tcp_port
        return f"postgresql://{role}:{quote(password)}@/{database}?host={folder}&port={port}"

    @property
    def superuser_dsn(self) -> str:
        password = (self.folder / "superuser.password").read_text()
        return self.dsn("postgres", _SUPERUSER, password)

    async def create_database(self, name: str) -> str:
        """Make sure that a database with a role of its own exists; the address to use it with.

        Args:
            name: of database and role; lower case letters, digits and underscores.
        """
        if not _DATABASE_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is no database name")
        secret = self.folder / "databases" / f"{name}.password"
        secret.parent.mkdir(mode=0o700, exist_ok=True)
        password = secret.read_text() if secret.exists() else _write_secret(secret)
        connection = await asyncpg.connect(self.superuser_dsn, timeout=30)
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            verb = "ALTER" if known else "CREATE"
            await connection.execute(f"{verb} ROLE {name} LOGIN PASSWORD '{password}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
            await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        finally:
            await connection.close()
        return self.dsn(name, name, password)

    async def drop_database(self, name: str) -> None:
        """Remove a database with its role and password; open connections to it are ended."""
        if not _DATABASE_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is no database name")
        connection = await asyncpg.connect(self.superuser_dsn, timeout=30)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await connection.execute(f"DROP ROLE IF EXISTS {name}")
        finally:
            await connection.close()
        (self.folder / "databases" / f"{name}.password").unlink(missing_ok=True)

    def _take_lock(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise StorageError(
                f"The database folder {self.folder} is in use by process {owner}"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def _data_major(self) -> int | None:
        """The major version that wrote the data folder; None when there is none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StorageError(f"{self.data / 'PG_VERSION'} names no version") from error

    async def _launch(self) -> None:
        run_as = choose_way(self.data, self.settings.way)
        binaries = self._reachable(find_binaries(self._data_major()), run_as)
        await self._await_former_server()
        if not (self.data / "PG_VERSION").exists():
            await self._initialise(binaries, run_as)
        if not (self.folder / "superuser.password").exists():
            raise StorageError(f"{self.folder / 'superuser.password'} is gone")
        self._prepare(run_as)
        with (self.folder / "server.log").open("ab") as log:
            command = [binaries.postgres, "-D", str(self.data)]
            self._process = BoundProcess(run_as, command, signal.SIGINT, log.fileno())
        await self._ready(self._process)

    def _reachable(self, binaries: PostgresBinaries, run_as: RunAs) -> PostgresBinaries:
        """The same programs, copied into our folder when the account can't reach the originals."""
        if run_as.way is not Way.ACCOUNT:
            return binaries
        self.folder.chmod(0o711)  # the account must pass through to its data
        if not run_as.can_run(binaries.postgres):
            copies = self.folder / "binaries"
            copies.mkdir(exist_ok=True)
            binaries = binaries.copied_to(copies / str(binaries.major))
            run_as.own(copies)  # whatever the modes of the originals
            if not run_as.can_run(binaries.postgres):
                raise StorageError(
                    f"The folder {self.folder} can't be reached by the database user"
                )
        return binaries

    async def _initialise(self, binaries: PostgresBinaries, run_as: RunAs) -> None:
        """Make the data folder beside its place and move it there when it is whole."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret = self.folder / "superuser.password"
        _write_secret(secret)
        for path in (fresh, secret):
            run_as.own(path)
        command = [binaries.initdb, "-D", str(fresh), f"--username={_SUPERUSER}"]
        command += [f"--pwfile={secret}", "--auth=scram-sha-256", "--data-checksums"]
        command += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        command += [] if self.settings.durable else ["--no-sync"]
        with (self.folder / "server.log").open("ab") as log:
            process = BoundProcess(run_as, command, signal.SIGKILL, log.fileno())
            try:
                status = await process.ended(self.settings.start_timeout)
            finally:
                process.send(signal.SIGKILL)
        if status != 0:
            raise StorageError(f"initdb failed: {self._last_words()}")
        fresh.rename(self.data)
        if self.settings.durable:
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def _prepare(self, run_as: RunAs) -> None:
        """Bring everything but the data itself into the state that this start needs."""
        log = self.folder / "server.log"
        if log.exists() and log.stat().st_size > _LOG_SIZE_KEPT:
            log.replace(log.with_name("server.log.1"))
        if len(os.fsencode(self._socket_folder / f".s.PGSQL.{_PORT}")) > _SOCKET_NAME_LIMIT:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="sacbe-", dir="/tmp"))
        self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        if self.settings.tcp_port is not None and self._tcp_port is None:
            self._tcp_port = self.settings.tcp_port or _free_port()
        conf = self.data / "postgresql.conf"
        conf.write_text(_configuration(self.settings, self._socket_folder, self._tcp_port))
        for path in (self.data, self._socket_folder, self.folder / "superuser.password", conf):
            run_as.own(path)

    async def _await_former_server(self) -> None:
        """Wait until nobody works in the data folder, then forget a server that is gone.

        We hold the lock, so whoever still works there lost its launcher. The file postmaster.pid
        is removed only when no process is left: by itself PostgreSQL takes a process that was
        not reaped, or that got the same number, for a running server.
        """
        notice = self.data / "postmaster.pid"
        deadline = time.monotonic() + self.settings.start_timeout
        asked = False
        while notice.exists() and (left := workers_in(self.data)):
            if self._stopping or time.monotonic() > deadline:
                raise StorageError(f"Another server still works in {self.data}")
            former = notice.read_text().partition("\n")[0].strip() if notice.exists() else ""
            if not asked and former.isdecimal() and int(former) in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(former), signal.SIGINT)
                asked = True
            await asyncio.sleep(0.05)
        if processes_are_seen():
            notice.unlink(missing_ok=True)

    async def _ready(self, process: BoundProcess) -> None:
        """Wait for the first connection; recovery may take as long as the server says it works."""
        deadline = time.monotonic() + self.settings.start_timeout
        while time.monotonic() < deadline and not self._stopping:
            if process.returncode is not None:
                raise StorageError(f"PostgreSQL did not start: {self._last_words()}")
            try:
                connection = await asyncpg.connect(self.superuser_dsn, timeout=5)
                await connection.close(timeout=5)
            except asyncpg.CannotConnectNowError:
                deadline = time.monotonic() + self.settings.start_timeout
            except CONNECTION_ERRORS:
                pass  # it has not opened its socket yet, or was killed again
            except asyncpg.PostgresError as error:
                raise StorageError(f"PostgreSQL refused its own superuser: {error}") from error
            else:
                return
            await asyncio.sleep(0.02)
        process.send(signal.SIGKILL)
        await process.ended()
        raise StorageError(f"PostgreSQL took no connection: {self._last_words()}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "server.log").read_text(errors="replace")[-4000:].splitlines()
            wanted = [line for line in lines if "FATAL" in line or "error" in line] or lines
            if wanted:
                return wanted[-1].strip()
        return "it left no word why"
