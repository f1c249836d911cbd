"""One registry machine: its settings, and its parts put together over a database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.pki.notekey import open_note_key
from trust.registry.configuration_keys import ConfigurationKeys, KeyFolder
from trust.registry.publisher import (
    ExtraParts,
    Publisher,
    PublishingSettings,
    no_extra_parts,
)
from trust.registry.publisher_web import build_app
from trust.registry.registry import Registry
from trust.registry.registry_witness import PublishedList, RegistryWitness
from trust.settings import Bounds, ListenPort, Matching, SettingProblem, required, setting
from trust.witness.witness_store import WitnessStore

MIGRATIONS = Path(__file__).parent / "migrations"

Address = Annotated[
    str,
    Matching(
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?",
        "a host name or IP address, with a port when it is not 80",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryDatabaseSettings:
    """Where the records are kept."""

    dsn_file: Path | None = setting(
        None,
        "file with the address and password; without it a private server is started in data",
        example="database.dsn",
    )
    connections: Annotated[int, Bounds(2, 100)] = setting(4, "connections at the most")
    statement_cache: bool = setting(True, "off behind a pooler that shares connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryKeysSettings:
    """The keys that sign the configuration."""

    folder: Path = required("folder of the encrypted keys", example="keys")
    password_file: Path = required("file with their password", example="keys.password")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryListenSettings:
    """Where the configuration is served."""

    host: str = setting("0.0.0.0", "address to listen on")  # noqa: S104 - nodes are elsewhere
    port: ListenPort = setting(8090, "plain HTTP; nodes ask port 80 unless address names another")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """All of `registry.toml`."""

    address: Address = required(
        "host name by which nodes reach this machine, with the port when it is not 80",
        example="registry.example.org",
    )
    https: bool = setting(
        False, "whether the address answers HTTPS too, by a proxy in front; anchors then say so"
    )
    data: Path = required("folder for what the registry keeps itself", example="/var/lib/sacbe")
    keys: RegistryKeysSettings = required("the keys that sign the configuration")
    database: RegistryDatabaseSettings = setting(
        RegistryDatabaseSettings(), "where the records are kept"
    )
    listen: RegistryListenSettings = setting(
        RegistryListenSettings(), "where the configuration is served"
    )
    publishing: PublishingSettings = setting(
        PublishingSettings(), "what is published, and how often"
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        publishing = self.publishing
        if publishing.validity >= 3 * publishing.interval:
            return []
        return [
            SettingProblem(
                ("publishing", "validity"),
                f"a validity of {publishing.validity} with an interval of {publishing.interval}",
                "at least three intervals, so that a failed round is not felt",
            )
        ]


@dataclass(frozen=True, slots=True)
class RegistryParts:
    """What the commands of a registry work with.

    Attributes:
        pool: the registry's database, for what is built on top of the records.
    """

    settings: RegistrySettings
    pool: Pool
    registry: Registry
    keys: ConfigurationKeys
    witness: WitnessStore
    witness_key: Ed25519PrivateKey


@asynccontextmanager
async def open_registry(
    settings: RegistrySettings, dsn: str, password: bytes, patience: timedelta = timedelta(0)
) -> AsyncIterator[RegistryParts]:
    """Open the database, with its tables brought up to date; raises StorageError.

    Args:
        patience: how long a database that does not answer yet is waited for.
    """
    pool_settings = PoolSettings(
        max_connections=settings.database.connections,
        command_timeout=timedelta(seconds=30),
        statement_cache=200 if settings.database.statement_cache else 0,
        patience=patience,
    )
    pool = await open_pool(dsn, "sacbe-registry", pool_settings)
    try:
        await migrate(pool, "registry", MIGRATIONS)
        folder = KeyFolder(settings.keys.folder, password)
        keys = ConfigurationKeys(pool, folder, settings.address)
        note_key = await asyncio.to_thread(open_note_key, settings.keys.folder, password)
        yield RegistryParts(settings, pool, Registry(pool), keys, WitnessStore(pool), note_key)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), 10)


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that serves its configuration."""

    publisher: Publisher
    host: str
    port: int  # the one that was free, when the settings say 0


def _nothing_more(app: web.Application) -> None:
    """The registry's own addresses alone."""


@asynccontextmanager
async def run_registry(
    parts: RegistryParts,
    extra_parts: ExtraParts = no_extra_parts,
    extend_app: Callable[[web.Application], None] = _nothing_more,
) -> AsyncIterator[RunningRegistry]:
    """Publish and serve until the block ends.

    It serves from the start, also while nothing can be published yet: the reason is then on
    `/health/ready`.

    Args:
        extra_parts: what others add to the configuration, asked in every round.
        extend_app: adds the addresses of others before anything is served.
    """
    settings = parts.settings
    publisher = Publisher(parts.registry, parts.keys, settings.publishing, extra_parts=extra_parts)
    app = build_app(publisher)
    witness = RegistryWitness(
        parts.witness, parts.witness_key, PublishedList(publisher), lambda: datetime.now(UTC)
    )
    witness.add_to(app)
    extend_app(app)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.listen.host, settings.listen.port)
        await site.start()
        host, port = runner.addresses[0][:2]
        publishing = asyncio.create_task(publisher.run(), name="publisher")
        try:
            yield RunningRegistry(publisher, host, port)
        finally:
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing
    finally:
        await runner.cleanup()
