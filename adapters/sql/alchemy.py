"""Databases through SQLAlchemy's asynchronous core: any that has such a driver.

The SQL is the operator's, in the words of the database; SQLAlchemy gives connections, drivers and
one form of errors. What this class alone can't promise (a time limit in the database, a session
that can't write, the account's rights) its subclasses for certain databases do.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from adapters.operations import BadParameter, SourceTimeout, SourceUnavailable
from adapters.shapes import AnyValue, Field
from adapters.sql.answers import Column
from adapters.sql.paging import LIMIT, SKIP
from adapters.sql.statements import Grammar, Statement
from trust.errors import StorageError

_PATIENCE = 2  # seconds beyond the database's own time limit
_PLACES = {
    "qmark": "?",
    "format": "%s",
    "pyformat": "%({name})s",
    "named": ":{name}",
    "numeric": ":{number}",
    "numeric_dollar": "${number}",
}


class AlchemyDatabase:
    """A pool of connections of one engine."""

    grammar = Grammar.SQLITE
    probe = "SELECT 1"

    def __init__(self, engine: AsyncEngine, timeout: timedelta) -> None:
        self._engine = engine
        self._timeout = timeout
        self._style = engine.dialect.paramstyle
        self._texts: dict[Statement, str] = {}

    def quoted(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote_identifier(name)

    async def describe(
        self, statement: Statement, given: Sequence[Field]
    ) -> tuple[tuple[Column, ...], list[str]]:
        try:
            async with self._patience(), self._engine.connect() as connection:
                return await self._columns(connection, without_values(statement)), []
        except (TimeoutError, exc.SQLAlchemyError, OSError) as error:
            reason = error.orig if isinstance(error, exc.DBAPIError) else error
            raise StorageError(str(reason) or "no answer") from None

    async def rows(
        self, statement: Statement, values: Mapping[str, object], limit: int
    ) -> list[Sequence[object]]:
        sql = self.bounded(self._text(statement), limit)
        arguments = self._arguments(statement, {**values, LIMIT: limit})

        def fetch(connection: Connection) -> list[Sequence[object]]:
            found = connection.exec_driver_sql(sql, arguments, {"stream_results": True})
            with contextlib.closing(found):
                return [tuple(row) for row in found.fetchmany(limit)]

        try:
            async with self._patience(), self._engine.connect() as connection:
                return await connection.run_sync(fetch)
        except (TimeoutError, exc.TimeoutError):
            raise SourceTimeout("the query took too long") from None
        except exc.DataError:
            text = "the database does not take a value that was given"
            raise BadParameter("", text) from None
        except exc.DBAPIError as error:
            if self.is_timeout(error):
                raise SourceTimeout("the query took too long") from None
            raise SourceUnavailable(_kind(error)) from None
        except (exc.SQLAlchemyError, OSError) as error:
            raise SourceUnavailable(type(error).__name__) from None

    async def privileges(self) -> Sequence[str]:
        return [f"has rights that can't be found out on {self._engine.dialect.name}"]

    async def problem(self) -> str | None:
        try:
            async with asyncio.timeout(_PATIENCE), self._engine.connect() as connection:
                await connection.exec_driver_sql(self.probe)
        except (TimeoutError, exc.SQLAlchemyError, OSError):
            return "the database does not answer"
        return None

    async def close(self) -> None:
        await self._engine.dispose()

    def value(self, value: object) -> object:
        """A value as the driver binds it."""
        return value

    def bounded(self, sql: str, limit: int) -> str:
        """The text with whatever makes the database stop after so many rows."""
        return sql

    def is_timeout(self, error: exc.DBAPIError) -> bool:
        """Whether the database ended a query because of its time."""
        return False

    async def _columns(self, connection: AsyncConnection, sql: str) -> tuple[Column, ...]:
        """What a statement without parameters answers; it is run for no rows."""
        text = f"SELECT * FROM (\n{sql}\n) answer WHERE 1 = 0"  # noqa: S608 - the operator's SQL
        found = await connection.exec_driver_sql(self._doubled(text))
        return tuple(Column(name, AnyValue()) for name in list(found.keys()))

    def _text(self, statement: Statement) -> str:
        """The text with places in the driver's style."""
        text = self._texts.get(statement)
        if text is None:
            form, numbers = _PLACES[self._style], list(statement.names)
            text = self._texts[statement] = statement.written(
                lambda name: form.format(name=name, number=numbers.index(name) + 1), self._doubled
            )
        return text

    def _arguments(
        self, statement: Statement, values: Mapping[str, object]
    ) -> "tuple[object, ...] | dict[str, object]":
        """The values as the driver takes them in its style."""
        bound = {name: self.value(values[name]) for name in statement.names}
        if self._style in ("pyformat", "named"):
            return bound
        if self._style.startswith("numeric"):
            return tuple(bound.values())
        return tuple(bound[name] for name in statement.places)

    def _doubled(self, text: str) -> str:
        """Text of the operator's, for a driver that looks for `%` in it."""
        return text.replace("%", "%%") if self._style in ("format", "pyformat") else text

    def _patience(self) -> asyncio.Timeout:
        """Longer than the database's own limit, which is to come first."""
        return asyncio.timeout(self._timeout.total_seconds() + _PATIENCE)


def without_values(statement: Statement) -> str:
    """The statement with nothing in the place of every value, to find out what it answers."""
    return statement.written(lambda name: "0" if name in (LIMIT, SKIP) else "NULL")


def plain_value(value: object) -> object:
    """A value for a driver that knows numbers, texts and bytes only."""
    match value:
        case bool():
            return int(value)
        case Decimal():
            return int(value) if value == int(value) else float(value)
        case datetime():
            moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return moment.isoformat(" ")
        case None | int() | float() | str() | bytes():
            return value
        case UUID():
            return str(value)
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _kind(error: exc.DBAPIError) -> str:
    """What kind of error it is, without its text, which may quote values."""
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    name = type(error.orig).__name__
    return f"{name}, code {code}" if isinstance(code, int) else name


def open_other(url: URL, connections: int, longest: timedelta) -> AlchemyDatabase:
    """Any database with an asynchronous driver: `dialect+driver://…`."""
    engine = create_async_engine(
        url, pool_size=connections, max_overflow=0, pool_timeout=longest.total_seconds()
    )
    return AlchemyDatabase(engine, longest)
