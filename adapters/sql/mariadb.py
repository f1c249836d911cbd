"""MariaDB through aiomysql: read-only sessions, time and rows bounded by the server.

The driver writes values into the text of the statement. Here every text goes as hexadecimal digits
(`_utf8mb4 X'…'`), so no character that a caller chose ever stands in SQL, whatever the server's
modes and character sets.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiomysql  # type: ignore[import-untyped]  # has no types
from pymysql.constants import CLIENT, FIELD_TYPE  # type: ignore[import-untyped]  # has no types
from sqlalchemy import exc
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from adapters.shapes import AnyValue, Scalar, Shape, ValueType
from adapters.sql.alchemy import AlchemyDatabase, plain_value
from adapters.sql.answers import Column
from adapters.sql.statements import Grammar
from trust.errors import StorageError

_MAX_STATEMENT_TIME = 1969  # MariaDB: the query was ended because of its time
_HARMLESS = {"USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES"}
_GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?P<where>.+?) TO ", re.DOTALL)
_ROLE = re.compile(r"GRANT (?P<role>(?:`[^`]+`|'[^']+'|[\w]+)(?:@\S+)?(?:, ?\S+)*) TO ")
_MOMENT = re.compile(r"[0-9:. -]+")
_BYTES = 63  # the character set that stands for none
_LONG = {FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.BLOB}
_TYPES = {
    FIELD_TYPE.TINY: ValueType.INTEGER,
    FIELD_TYPE.SHORT: ValueType.INTEGER,
    FIELD_TYPE.INT24: ValueType.INTEGER,
    FIELD_TYPE.LONG: ValueType.INTEGER,
    FIELD_TYPE.LONGLONG: ValueType.INTEGER,
    FIELD_TYPE.YEAR: ValueType.INTEGER,
    FIELD_TYPE.FLOAT: ValueType.NUMBER,
    FIELD_TYPE.DOUBLE: ValueType.NUMBER,
    FIELD_TYPE.DECIMAL: ValueType.DECIMAL,
    FIELD_TYPE.NEWDECIMAL: ValueType.DECIMAL,
    FIELD_TYPE.DATE: ValueType.DATE,
    FIELD_TYPE.DATETIME: ValueType.DATETIME,
    FIELD_TYPE.TIMESTAMP: ValueType.DATETIME,
    FIELD_TYPE.VARCHAR: ValueType.TEXT,
    FIELD_TYPE.VAR_STRING: ValueType.TEXT,
    FIELD_TYPE.STRING: ValueType.TEXT,
}


def literal(value: object) -> str:
    """A value in SQL: digits, hexadecimal digits, and the letters of the forms around them."""
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(int(value))
        case Decimal():
            return f"{value:f}"
        case bytes():
            return f"X'{value.hex()}'"
        case datetime() | date():
            text = str(plain_value(value))
            if not _MOMENT.fullmatch(text):
                raise ValueError("no moment")
            return f"'{text}'"
        case str():
            return f"_utf8mb4 X'{value.encode().hex()}'"
        case _:
            return literal(str(value))


class HexConnection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql has no types
    """A connection that never writes a text of a caller's into a statement.

    And that takes one statement at a time, whatever the driver asks for.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS

    def escape(self, obj: object) -> str:
        return literal(obj)


class MariaDatabase(AlchemyDatabase):
    """A pool of read-only sessions."""

    grammar = Grammar.MARIADB

    def __init__(self, url: URL, connections: int, timeout: timedelta) -> None:
        self._url = url
        engine = create_async_engine(
            url.set(drivername="mysql+aiomysql"),
            async_creator=self._open,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=timeout.total_seconds(),
            pool_pre_ping=True,
        )
        super().__init__(engine, timeout)

    async def _open(self) -> aiomysql.Connection:
        url = self._url
        connection = HexConnection(
            host=url.host or "localhost",
            port=url.port or 3306,
            user=url.username,
            password=str(url.password or ""),
            db=url.database,
            unix_socket=url.query.get("unix_socket"),
            charset="utf8mb4",
            init_command="SET SESSION TRANSACTION READ ONLY",
            connect_timeout=self._timeout.total_seconds(),
            autocommit=False,
            program_name="sacbe-adapter",
        )
        await connection._connect()
        return connection

    async def version(self) -> str:
        async with self._patience(), self._engine.connect() as connection:
            found = await connection.exec_driver_sql("SELECT VERSION()")
            return str(found.scalar_one())

    def bounded(self, sql: str, limit: int) -> str:
        seconds = max(0.001, self._timeout.total_seconds())
        variables = f"sql_select_limit = {limit:d}, max_statement_time = {seconds:.3f}"
        return f"SET STATEMENT {variables} FOR {sql}"

    def is_timeout(self, error: exc.DBAPIError) -> bool:
        return bool(error.orig and error.orig.args and error.orig.args[0] == _MAX_STATEMENT_TIME)

    async def privileges(self) -> Sequence[str]:
        try:
            async with self._patience(), self._engine.connect() as connection:
                found = await _grants(connection, "CURRENT_USER()")
                for role in dict.fromkeys(role for grant in found for role in roles_in(grant)):
                    await connection.exec_driver_sql(f"SET ROLE {role}")
                    found += await _grants(connection, "CURRENT_ROLE()")
                await connection.invalidate()  # and with it the role
                beyond = (text for grant in found for text in rights_beyond_reading(grant))
                return list(dict.fromkeys(beyond))
        except (TimeoutError, exc.SQLAlchemyError, OSError) as error:
            text = f"the account's rights can't be read: {type(error).__name__}"
            raise StorageError(text) from None

    async def _columns(self, connection: AsyncConnection, sql: str) -> tuple[Column, ...]:
        text = f"SELECT * FROM (\n{sql}\n) AS answer LIMIT 0"  # noqa: S608 - the operator's SQL
        found = await connection.exec_driver_sql(self._doubled(text))
        result: Any = found.cursor
        fields: Iterable[Any] = result._cursor._result.fields  # the description has no charset
        return tuple(Column(str(one.name), _shape(one.type_code, one.charsetnr)) for one in fields)


async def _grants(connection: AsyncConnection, whose: str) -> list[str]:
    found = await connection.exec_driver_sql(f"SHOW GRANTS FOR {whose}")
    return [str(row[0]) for row in found]


def rights_beyond_reading(grant: str) -> list[str]:
    """What one line of SHOW GRANTS allows that an adapter does not need."""
    match = _GRANT.match(grant)
    if match is None:
        return []
    rights = [part.split("(")[0].strip() for part in re.split(r",\s*(?![^()]*\))", match["what"])]
    beyond = [f"may {right} on {match['where']}" for right in rights if right not in _HARMLESS]
    if grant.rstrip().endswith("WITH GRANT OPTION") or " GRANT OPTION" in grant:
        beyond.append(f"may grant rights on {match['where']}")
    return beyond


def roles_in(grant: str) -> list[str]:
    """The roles that one line of SHOW GRANTS gives."""
    if _GRANT.match(grant):
        return []
    match = _ROLE.match(grant)
    return [part.strip() for part in match["role"].split(",")] if match else []


def _shape(code: int, charset: int) -> Shape:
    """What the server says of a column; texts and bytes differ by their character set alone."""
    kind = _TYPES.get(code)
    if code in _LONG or (kind is ValueType.TEXT and charset == _BYTES):
        kind = ValueType.BINARY if charset == _BYTES else ValueType.TEXT
    return Scalar(kind, nullable=True) if kind is not None else AnyValue()


async def open_mariadb(url: URL, connections: int, longest: timedelta) -> MariaDatabase:
    """Connect with read-only sessions; raises StorageError when the database refuses."""
    database = MariaDatabase(url, connections, longest)
    try:
        version = await database.version()
    except (exc.SQLAlchemyError, OSError) as error:
        await database.close()
        reason = error.orig if isinstance(error, exc.DBAPIError) else type(error).__name__
        raise StorageError(f"the database can't be opened: {reason}") from None
    if "MariaDB" not in version:
        await database.close()
        text = "no MariaDB; for MySQL give an address with a driver, mysql+aiomysql://"
        raise StorageError(f"the database can't be opened: {text}")
    return database
