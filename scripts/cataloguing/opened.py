"""Where the catalog's commands find it: in the registry's database, or in what a node keeps."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from catalog.central.encoding import PART_IDENTIFIER, decode_catalog
from catalog.central.entries import Catalog
from catalog.central.harvest.settings import CentralSettings
from catalog.central.service import CentralCatalog
from config.settings import load_settings
from node.settings import NodeSettings
from scripts.databases import database_address
from trust.configuration.confstore import load_configuration
from trust.database import PoolSettings, migrate, open_pool
from trust.errors import StorageError
from trust.registry.registry import Registry
from trust.registry.registry_app import MIGRATIONS


def load_central(path: Path) -> CentralSettings:
    """Read `registry.toml`; raises ConfigurationError."""
    return load_settings(
        CentralSettings, path, environment=os.environ, check=CentralSettings.problems
    )


@asynccontextmanager
async def open_central(settings: CentralSettings) -> AsyncIterator[CentralCatalog]:
    """The catalog in the registry's database, with its tables brought up to date."""
    database = settings.database
    pool_settings = PoolSettings(
        max_connections=database.connections,
        statement_cache=200 if database.statement_cache else 0,
    )
    async with database_address(settings.data, "registry", database.dsn_file) as dsn:
        pool = await open_pool(dsn, "sacbe-catalog", pool_settings)
        try:
            await migrate(pool, "registry", MIGRATIONS)
            central = CentralCatalog(pool, Registry(pool), settings.catalog)
            await central.prepare()
            yield central
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pool.close(), 10)


async def registry_catalog(settings: CentralSettings) -> Catalog:
    """The newest version in the registry's database; raises StorageError."""
    async with open_central(settings) as central:
        found = await central.versions.catalog()
    if found is None:
        raise StorageError("There is no version of the catalog yet")
    return found


def node_catalog(path: Path) -> Catalog:
    """What a node keeps, without asking anybody.

    Args:
        path: of its `node.toml`.
    Raises SacbeError with a sentence.
    """
    settings = load_settings(NodeSettings, path, environment=os.environ)
    folder = settings.data / "globalconf"
    if not folder.is_dir():
        raise StorageError(f"{folder} is not there: this node has got no trust list yet")
    conf = load_configuration(folder)
    part = conf.own.optional_parts.get(PART_IDENTIFIER)
    if part is None:
        raise StorageError("This node has got no catalog from its registry yet")
    return decode_catalog(part)
