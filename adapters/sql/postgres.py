"""PostgreSQL through asyncpg: read-only sessions, bound values, time and rows bounded there.

The texts of the driver's errors quote values of callers and rows, which are personal data: of an
error in a query only its class and SQLSTATE go on.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

import asyncpg
import msgspec
from asyncpg.exceptions._base import DataError as ClientSideDataError

from adapters.operations import BadParameter, SourceTimeout, SourceUnavailable
from adapters.shapes import AnyValue, Field, ListOf, Scalar, Shape, ValueType
from adapters.sql.answers import Column
from adapters.sql.paging import LIMIT
from adapters.sql.statements import Grammar, Named, Statement, numbered
from trust.errors import StorageError

_ARGUMENT = re.compile(r"invalid input for query argument \$([0-9]{1,5}):")  # the driver's words
_PATIENCE = 2  # seconds beyond the database's own time limit
_TYPES = {
    "bool": ValueType.BOOLEAN,
    "int2": ValueType.INTEGER,
    "int4": ValueType.INTEGER,
    "int8": ValueType.INTEGER,
    "float4": ValueType.NUMBER,
    "float8": ValueType.NUMBER,
    "numeric": ValueType.DECIMAL,
    "date": ValueType.DATE,
    "timestamp": ValueType.DATETIME,
    "timestamptz": ValueType.DATETIME,
    "uuid": ValueType.UUID,
    "bytea": ValueType.BINARY,
    "text": ValueType.TEXT,
    "varchar": ValueType.TEXT,
    "bpchar": ValueType.TEXT,
    "name": ValueType.TEXT,
}
_NUMBERS = {"int2", "int4", "int8", "numeric", "float4", "float8", "money"}
_TAKEN = {
    ValueType.INTEGER: _NUMBERS,
    ValueType.NUMBER: {"numeric", "float4", "float8"},
    ValueType.DECIMAL: {"numeric", "float4", "float8"},
    ValueType.BOOLEAN: {"bool"},
    ValueType.DATE: {"date"},
    ValueType.DATETIME: {"timestamp", "timestamptz"},
    ValueType.UUID: {"uuid"},
    ValueType.BINARY: {"bytea"},
}
_NO_TEXT = {name for name, kind in _TYPES.items() if kind is not ValueType.TEXT}
_PRIVILEGES = """
WITH mine AS (SELECT * FROM pg_roles WHERE pg_has_role(oid, 'MEMBER'))
SELECT 'is a superuser' FROM mine WHERE rolsuper
UNION SELECT 'may create roles' FROM mine WHERE rolcreaterole
UNION SELECT 'may create databases' FROM mine WHERE rolcreatedb
UNION SELECT 'may replicate' FROM mine WHERE rolreplication
UNION SELECT 'is a member of ' || rolname FROM mine
    WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
UNION (SELECT 'may write to ' || quote_ident(nspname) || '.' || quote_ident(relname)
    FROM mine, pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'f') AND nspname <> 'information_schema'
        AND nspname NOT LIKE 'pg\\_%'
        AND (has_table_privilege(mine.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
            OR has_any_column_privilege(mine.oid, c.oid, 'INSERT, UPDATE'))
    LIMIT 20)
ORDER BY 1
"""


class PostgresDatabase:
    """A pool of read-only sessions."""

    grammar = Grammar.POSTGRESQL

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", timeout: timedelta) -> None:
        self._pool = pool
        self._seconds = timeout.total_seconds() + _PATIENCE
        self._texts: dict[Statement, tuple[str, tuple[str, ...]]] = {}

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    async def describe(
        self, statement: Statement, given: Sequence[Field]
    ) -> tuple[tuple[Column, ...], list[str]]:
        try:
            async with self._pool.acquire(timeout=self._seconds) as connection:
                prepared = await connection.prepare(self._bounded(statement)[0])
                columns = tuple(_column(one) for one in prepared.get_attributes())
                taken = dict(zip(statement.names, prepared.get_parameters(), strict=False))
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StorageError(str(error) or "no answer") from None
        unfit = [_unfit(field, taken[field.name].name) for field in given if field.name in taken]
        return columns, [problem for problem in unfit if problem]

    async def rows(
        self, statement: Statement, values: Mapping[str, object], limit: int
    ) -> list[Sequence[object]]:
        sql, names = self._bounded(statement)
        arguments = [limit if name == LIMIT else values[name] for name in names]
        try:
            async with self._pool.acquire(timeout=self._seconds) as connection:
                records = await connection.fetch(sql, *arguments, timeout=self._seconds)
        except (TimeoutError, asyncpg.QueryCanceledError):
            raise SourceTimeout("the query took too long") from None
        except (asyncpg.DataError, ClientSideDataError) as error:
            raise _bad_value(error, names) from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise SourceUnavailable(_kind(error)) from None
        return [_plain(record) for record in records]

    async def privileges(self) -> Sequence[str]:
        try:
            async with self._pool.acquire(timeout=self._seconds) as connection:
                return [str(row[0]) for row in await connection.fetch(_PRIVILEGES)]
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StorageError(f"the account's rights can't be read: {_kind(error)}") from None

    async def problem(self) -> str | None:
        try:
            async with self._pool.acquire(timeout=_PATIENCE) as connection:
                await connection.fetchval("SELECT 1", timeout=_PATIENCE)
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return "the database does not answer"
        return None

    async def close(self) -> None:
        await self._pool.close()

    def _bounded(self, statement: Statement) -> tuple[str, tuple[str, ...]]:
        """The text with numbers, of no more rows than the last of the names says."""
        known = self._texts.get(statement)
        if known is None:
            bounded = statement
            if LIMIT not in statement.names:
                last = Statement((") AS bounded LIMIT ", Named(LIMIT)))
                bounded = statement.within("SELECT * FROM (", last)
            known = self._texts[statement] = numbered(bounded), bounded.names
        return known


async def open_postgres(dsn: str, connections: int, longest: timedelta) -> PostgresDatabase:
    """Connect with read-only sessions; raises StorageError when the database refuses."""
    milliseconds = max(1, int(longest.total_seconds() * 1000))
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,  # more and asyncpg tells of each attempt to restore them, with a traceback
            max_size=connections,
            init=_read_json,
            reset=_nothing_to_reset,
            server_settings={
                "application_name": "sacbe-adapter",
                "default_transaction_read_only": "on",
                "statement_timeout": str(milliseconds),
            },
        )
        async with pool.acquire():
            pass  # it can be opened
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        reason = type(error).__name__ if isinstance(error, ValueError) else error
        raise StorageError(f"the database can't be opened: {reason}") from None
    return PostgresDatabase(pool, longest)


async def _read_json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=msgspec.json.decode
        )


async def _nothing_to_reset(connection: object) -> None:
    """One statement at a time, in a transaction of its own, leaves nothing behind."""


def _column(attribute: asyncpg.Attribute) -> Column:
    name = attribute.type.name
    exact = name in _TYPES
    return Column(attribute.name, _shape(name), exact)


def _shape(name: str) -> Shape:
    if name.endswith("[]"):
        return ListOf(_shape(name.removesuffix("[]")))
    if name in ("json", "jsonb"):
        return AnyValue()
    return Scalar(_TYPES.get(name, ValueType.TEXT), nullable=True)


def _unfit(field: Field, name: str) -> str:
    """Why a parameter can't be what the query makes of it; empty when it can."""
    shape = field.shape
    if not isinstance(shape, Scalar):
        return ""
    if (name in _TAKEN[shape.type]) if shape.type in _TAKEN else (name not in _NO_TEXT):
        return ""
    return (
        f"parameter '{field.name}' is declared as {shape.type.value} and the SQL makes {name} of"
        f" it; write a cast or another type"
    )


def _plain(record: asyncpg.Record) -> tuple[object, ...]:
    """The values of a row, with records inside it as objects."""
    return tuple(dict(v) if isinstance(v, asyncpg.Record) else v for v in record)


def _kind(error: Exception) -> str:
    """What kind of error it is, without its text."""
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return f"{name}, SQLSTATE {error.sqlstate}"
    return name


def _bad_value(error: Exception, names: Sequence[str]) -> BadParameter:
    """Which parameter the driver or the database did not take, when the error says so."""
    found = _ARGUMENT.match(str(error))
    number = int(found[1]) if found else 0
    if 0 < number <= len(names):
        name = names[number - 1]
        return BadParameter(name, f"the database does not take the value of parameter '{name}'")
    return BadParameter("", "the database does not take a value that was given")
