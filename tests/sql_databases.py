"""Databases of three makes with the same small register, each with an account that only reads."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiomysql  # type: ignore[import-untyped]  # has no types
import asyncpg
import pytest

from scripts.postgres import PostgresServer

PASSWORD = "only-for-tests"
_PROGRAMS = ("mariadbd", "mariadb-install-db")
PEOPLE = (
    ("1", "Ann", "1990-05-01", "10.50"),
    ("2", "Bo", "2000-01-02", None),
    ("3", "Bo", "2010-01-02", "1.00"),
    ("4", "Bo", "2020-01-02", "2.00"),
)
SCHEMA = """
CREATE TABLE person (
    id varchar(64) PRIMARY KEY, name varchar(500), born date, income decimal(10, 2)
)
"""


@dataclass(frozen=True, slots=True)
class MariaServer:
    """A MariaDB server of the tests' own, over a socket in its folder."""

    socket: Path

    async def execute(self, *statements: str, database: str = "mysql") -> None:
        connection = await aiomysql.connect(
            unix_socket=str(self.socket), user="root", db=database, autocommit=True
        )
        try:
            async with connection.cursor() as cursor:
                for statement in statements:
                    await cursor.execute(statement)
        finally:
            connection.close()

    def address(self, user: str, password: str, database: str) -> str:
        return f"mariadb://{user}:{password}@localhost/{database}?unix_socket={self.socket}"


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def maria_server() -> Iterator[MariaServer]:
    """Start a private server in a temporary folder, or skip with the reason."""
    programs = {name: _program(name) for name in _PROGRAMS}
    for name, path in programs.items():
        if path is None:
            pytest.skip(f"{name} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sacbe-maria-"))
    data, socket = folder / "data", folder / "s"
    common = ["--no-defaults", f"--datadir={data}"]
    user = ["--user=root"] if os.geteuid() == 0 else []
    made = subprocess.run(
        [str(programs["mariadb-install-db"]), *common, *user, "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"mariadb-install-db failed with {made.returncode}")
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [str(programs["mariadbd"]), *common, *user, f"--socket={socket}", "--skip-networking",
         "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        yield MariaServer(socket)
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


async def wait_for(server: MariaServer) -> None:
    for _ in range(300):
        try:
            await server.execute("SELECT 1")
        except Exception:  # noqa: BLE001 - whatever a server that is starting answers
            await asyncio.sleep(0.1)
        else:
            return
    pytest.fail("the MariaDB server does not start")


async def postgres_reader(server: PostgresServer, dsn: str) -> tuple[str, str]:
    """A new account that may connect to a database and nothing more: its name and address."""
    database = dsn.partition("?")[0].rpartition("/")[2]
    role = f"reader_{database}"
    root = await asyncpg.connect(server.superuser_dsn)
    try:
        await root.execute(f"DROP ROLE IF EXISTS {role}")
        await root.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        await root.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
    finally:
        await root.close()
    return role, server.dsn(database, role, PASSWORD)


async def postgres_register(server: PostgresServer, dsn: str) -> str:
    """Fill an empty PostgreSQL database; returns the reader's address."""
    role, address = await postgres_reader(server, dsn)
    owner = await asyncpg.connect(dsn)
    try:
        await owner.execute(SCHEMA)
        for row in PEOPLE:
            await owner.execute(_insert(row))
        await owner.execute(f"GRANT SELECT ON person TO {role}")
    finally:
        await owner.close()
    return address


async def maria_register(server: MariaServer, name: str) -> str:
    """Make and fill a MariaDB database; returns the reader's address."""
    await server.execute(
        f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
        f"CREATE USER {name}@localhost IDENTIFIED BY '{PASSWORD}'",
        f"GRANT SELECT ON {name}.* TO {name}@localhost",
    )
    await server.execute(SCHEMA, *(_insert(row) for row in PEOPLE), database=name)
    return server.address(name, PASSWORD, name)


def sqlite_register(path: Path) -> str:
    """Make and fill a SQLite file; returns its address."""
    connection = sqlite3.connect(path)
    connection.execute(SCHEMA)
    connection.executemany("INSERT INTO person VALUES (?, ?, ?, ?)", PEOPLE)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


def _insert(row: tuple[str | None, ...]) -> str:
    values = ", ".join("NULL" if value is None else f"'{value}'" for value in row)
    return f"INSERT INTO person VALUES ({values})"
