"""SQLite files: opened for reading, with an authorizer that lets nothing else through."""

import os
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import aiosqlite
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from adapters.operations import BadParameter, SourceTimeout, SourceUnavailable
from adapters.shapes import AnyValue, Scalar, Shape, ValueType
from adapters.sql.alchemy import AlchemyDatabase, plain_value
from adapters.sql.answers import Column
from adapters.sql.paging import LIMIT
from adapters.sql.statements import Statement
from trust.errors import StorageError

_REPEATED = re.compile(r":[0-9]+$")  # what a view puts behind a name that stands there twice
_STEPS = 1000  # of SQLite's machine between two looks at the clock
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_FUNCTIONS_REFUSED = {"load_extension", "fts3_tokenizer", "writefile", "edit"}
# In the order of SQLite's own rules of affinity, with the names for dates before the numbers.
_AFFINITIES = (
    ("DATETIME", ValueType.DATETIME),
    ("TIMESTAMP", ValueType.DATETIME),
    ("DATE", ValueType.DATE),
    ("BOOL", ValueType.BOOLEAN),
    ("UUID", ValueType.UUID),
    ("INT", ValueType.INTEGER),
    ("CHAR", ValueType.TEXT),
    ("CLOB", ValueType.TEXT),
    ("TEXT", ValueType.TEXT),
    ("BLOB", ValueType.BINARY),
    ("REAL", ValueType.NUMBER),
    ("FLOA", ValueType.NUMBER),
    ("DOUB", ValueType.NUMBER),
    ("DEC", ValueType.DECIMAL),
    ("NUM", ValueType.DECIMAL),
)


class _Deadline:
    """When the query of a connection must have ended; asked from the connection's thread."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = float("inf")

    def passed(self) -> int:
        return int(time.monotonic() > self.at)


class SqliteDatabase(AlchemyDatabase):
    """A file that nothing is written to."""

    probe = "SELECT 1 FROM sqlite_master LIMIT 1"  # which reads the file

    def __init__(self, path: Path, connections: int, timeout: timedelta) -> None:
        self._address = f"file:{quote(str(path))}?mode=ro"
        self._deadlines: WeakKeyDictionary[aiosqlite.Connection, _Deadline] = WeakKeyDictionary()
        engine = create_async_engine(
            "sqlite+aiosqlite:///file",
            async_creator=self._open,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=timeout.total_seconds(),
            pool_reset_on_return=None,  # there is nothing to roll back
            isolation_level="AUTOCOMMIT",
        )
        super().__init__(engine, timeout)

    async def _open(self) -> aiosqlite.Connection:
        connection = await _connect(self._address)
        deadline = self._deadlines[connection] = _Deadline()
        await connection.execute("PRAGMA query_only = ON")
        await connection.execute("PRAGMA trusted_schema = OFF")
        await connection.set_progress_handler(deadline.passed, _STEPS)
        await connection.set_authorizer(_only_reading)
        return connection

    async def rows(
        self, statement: Statement, values: Mapping[str, object], limit: int
    ) -> list[Sequence[object]]:
        """As everywhere, but with one visit to the connection's thread for all that is done."""
        sql, bound = self._text(statement), {**values, LIMIT: limit}
        arguments = tuple(plain_value(bound[name]) for name in statement.places)
        try:
            async with self._patience(), self._engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert isinstance(raw, aiosqlite.Connection)  # noqa: S101 - what _open has made
                visit: Callable[..., Awaitable[list[Sequence[object]]]] = raw._execute
                return await visit(self._fetch, raw, sql, arguments, limit)
        except (TimeoutError, exc.TimeoutError):
            raise SourceTimeout("the query took too long") from None
        except OverflowError:
            text = "the database does not take a value that was given"
            raise BadParameter("", text) from None
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_INTERRUPT:
                raise SourceTimeout("the query took too long") from None
            raise SourceUnavailable(f"{type(error).__name__}, code {_code(error)}") from None
        except (exc.SQLAlchemyError, OSError, ValueError) as error:
            raise SourceUnavailable(type(error).__name__) from None

    def _fetch(
        self, raw: aiosqlite.Connection, sql: str, arguments: tuple[Any, ...], limit: int
    ) -> list[Sequence[object]]:
        """In the connection's thread: run, take the rows, let go of the rest."""
        self._deadlines[raw].at = time.monotonic() + self._timeout.total_seconds()
        cursor = raw._conn.execute(sql, arguments)
        try:
            return cursor.fetchmany(limit)
        finally:
            cursor.close()

    async def privileges(self) -> Sequence[str]:
        return []  # what the file's rights allow does not count: it is open for reading alone

    async def _columns(self, connection: AsyncConnection, sql: str) -> tuple[Column, ...]:
        """The columns by a view of the same text, which has the types of what it shows."""
        await connection.exec_driver_sql(f"SELECT * FROM (\n{sql}\n) LIMIT 0")  # noqa: S608
        describing = await _connect(self._address)
        try:
            await describing.execute(f"CREATE TEMP VIEW answer AS\n{sql}")
            found = await describing.execute_fetchall("PRAGMA temp.table_xinfo(answer)")
        finally:
            await describing.close()
        return tuple(Column(_REPEATED.sub("", str(row[1])), _shape(str(row[2]))) for row in found)


async def _connect(address: str) -> aiosqlite.Connection:
    connecting = aiosqlite.connect(address, uri=True, isolation_level=None)
    connecting._thread.daemon = True  # so that a hanging file can't keep the process
    return await connecting


def _code(error: sqlite3.Error) -> int:
    """SQLite's own number for it; an error of Python's module has none."""
    return getattr(error, "sqlite_errorcode", 0)


def _only_reading(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """What a statement may do, asked when it is prepared; the function's name comes second."""
    if action == sqlite3.SQLITE_PRAGMA and (first, second) == ("read_uncommitted", None):
        return sqlite3.SQLITE_OK  # SQLAlchemy asks when it first sees a database
    if action not in _READING:
        return sqlite3.SQLITE_DENY
    refused = action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _FUNCTIONS_REFUSED
    return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK


def _shape(declared: str) -> Shape:
    """What a declared type promises; an expression has none."""
    for part, kind in _AFFINITIES:
        if part in declared.upper():
            return Scalar(kind, nullable=True)
    return AnyValue()


async def open_sqlite(path: Path, connections: int, longest: timedelta) -> SqliteDatabase:
    """Open the file; raises StorageError when it can't be read."""
    unreadable = StorageError(f"the database can't be opened: {path.name} is no readable database")
    if not os.access(
        path, os.R_OK
    ):  # asked first: a connection that fails leaves its thread behind
        raise unreadable
    database = SqliteDatabase(path, connections, longest)
    if await database.problem() is not None:
        await database.close()
        raise unreadable
    return database
