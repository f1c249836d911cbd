"""The kind `sql`: which database an address names, and what is needed to reach it."""

from pathlib import Path

from adapters.kinds import Kind
from adapters.sql.database import Database
from adapters.sql.settings import DatabaseSettings, SqlSettings, problems_of
from adapters.sql.source import SqlSource, open_source
from trust.errors import ConfigurationError, ConfigurationProblem, StorageError
from trust.secrets import read_secret

_EXPECTED = "postgresql://user:password@host/database, mariadb://… or sqlite:///file"


async def open_sql(settings: SqlSettings) -> SqlSource:
    """Connect and prepare every query; raises StorageError or ConfigurationError."""
    database = await open_database(settings.database)
    try:
        return await open_source(settings, database)
    except BaseException:
        await database.close()
        raise


async def open_database(settings: DatabaseSettings) -> Database:
    """Open what the address names; only its own driver is loaded."""
    dsn = _read_address(settings.dsn_file)
    scheme = dsn.partition(":")[0]
    try:
        if scheme in ("postgresql", "postgres"):
            from adapters.sql.postgres import open_postgres

            return await open_postgres(dsn, settings.connections, settings.timeout)
        return await _open_by_alchemy(dsn, scheme, settings)
    except ImportError as error:
        text = f"the driver for {scheme} is not installed: {error.name}"
        raise StorageError(text) from None


async def _open_by_alchemy(dsn: str, scheme: str, settings: DatabaseSettings) -> Database:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError

    try:
        url = make_url(dsn)
        if scheme == "sqlite":
            from adapters.sql.sqlite import open_sqlite

            path = settings.dsn_file.parent / (url.database or "")
            return await open_sqlite(path, settings.connections, settings.timeout)
        if scheme in ("mariadb", "mysql"):
            from adapters.sql.mariadb import open_mariadb

            return await open_mariadb(url, settings.connections, settings.timeout)
        from adapters.sql.alchemy import open_other

        return open_other(url, settings.connections, settings.timeout)
    except (ArgumentError, InvalidRequestError, NoSuchModuleError):
        raise _unfit(settings.dsn_file) from None


def _read_address(path: Path) -> str:
    """The address in the file; it is a secret, so an error never shows it."""
    try:
        dsn = read_secret(path).decode("ascii")
    except UnicodeDecodeError:
        dsn = ""
    if "://" not in dsn:
        raise _unfit(path)
    return dsn


def _unfit(path: Path) -> ConfigurationError:
    found = "something else than a database address"
    return ConfigurationError([ConfigurationProblem(str(path), 0, found, _EXPECTED)])


KIND = Kind(SqlSettings, problems_of, open_sql)
