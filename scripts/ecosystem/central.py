"""The central operator of the sandbox: declares the instance and hands out the anchor."""

from datetime import UTC, datetime
from pathlib import Path

from catalog.central.harvest.settings import CentralSettings
from catalog.meaning.store import COMPONENT, MIGRATIONS, VocabularyStore
from config.settings import load_settings
from scripts.cataloguing.vocabulary import read_vocabulary
from scripts.databases import read_dsn
from trust.configuration.confpublish import build_anchor
from trust.database import PoolSettings, migrate, open_pool
from trust.errors import StorageError
from trust.registry.configuration_keys import anchor_of
from trust.registry.declaration import RegistryDeclaration
from trust.registry.declaration_files import declaration_problems, load_records
from trust.registry.publication import SOURCES
from trust.registry.registry_app import open_registry
from trust.secrets import read_secret


async def declare(folder: Path) -> bytes:
    """Take over `instance.toml` as `sacbe registry apply` does, with keys where there are none.

    Returns:
        The anchor that the nodes are configured with.
    """
    settings = load_settings(
        CentralSettings, folder / "registry.toml", check=CentralSettings.problems
    )
    records = load_records(
        load_settings(RegistryDeclaration, folder / "instance.toml", check=declaration_problems)
    )
    if settings.database.dsn_file is None:
        raise StorageError("The registry's settings name no database")
    dsn = read_dsn(settings.database.dsn_file)
    async with open_registry(settings, dsn, read_secret(settings.keys.password_file)) as parts:
        now = datetime.now(UTC)
        if not await parts.keys.all():
            for source in SOURCES:
                await parts.keys.create(source, "p256", now)
        if await parts.registry.plan(records):
            await parts.registry.apply(records, by="sandbox", at=now)
        keys = await parts.keys.all()
    await _declare_facts(dsn, folder / "once.toml", now)
    return build_anchor(anchor_of(records.instance.instance, "internal", keys, https=False))


async def _declare_facts(dsn: str, path: Path, at: datetime) -> None:
    """Take over `once.toml` as `sacbe catalog vocabulary apply` does."""
    vocabulary = read_vocabulary(path)
    pool = await open_pool(dsn, "sacbe-sandbox", PoolSettings(max_connections=2))
    try:
        await migrate(pool, COMPONENT, MIGRATIONS)
        await VocabularyStore(pool).apply(vocabulary, by="sandbox", at=at)
    finally:
        await pool.close()
