"""A node's database for commands, whether the node runs or not."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from node.parts.database import open_database
from node.settings import NodeSettings
from scripts.databases import database_address
from trust.database import Pool


def node_address(settings: NodeSettings) -> AbstractAsyncContextManager[str]:
    """Where it is, good until the block ends."""
    return database_address(settings.data, "node", settings.database.dsn_file)


@asynccontextmanager
async def node_database(settings: NodeSettings) -> AsyncIterator[Pool]:
    """Connections to it, its tables up to date; raises StorageError."""
    async with node_address(settings) as dsn:
        pool = await open_database(dsn, settings)
        try:
            yield pool
        finally:
            await pool.close()
