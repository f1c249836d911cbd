"""The node's database, with its tables brought up to date."""

from datetime import timedelta
from pathlib import Path

from node.settings import NodeSettings
from trust.database import Pool, PoolSettings, migrate, open_pool

_NODE = Path(__file__).parent.parent
MIGRATIONS = {
    "catalog": _NODE.parent / "catalog" / "migrations",
    "node": _NODE / "migrations",
}


async def open_database(
    dsn: str, settings: NodeSettings, patience: timedelta = timedelta(0)
) -> Pool:
    """Connect and bring the tables up to date; raises StorageError.

    Args:
        patience: how long a database that does not answer yet is waited for.
    """
    pool = await open_pool(
        dsn,
        "sacbe-node",
        PoolSettings(
            max_connections=settings.database.connections,
            statement_cache=100 if settings.database.statement_cache else 0,
            patience=patience,
        ),
    )
    for component, folder in MIGRATIONS.items():
        await migrate(pool, component, folder)
    return pool
