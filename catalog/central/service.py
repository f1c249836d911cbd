"""The central catalog of a running registry: harvested, renewed, published.

    central = CentralCatalog(pool, registry, settings.catalog, clock)
    async with run_registry(parts, extra_parts=central.parts): ...
    task = asyncio.create_task(central.run())

Any number of registry machines may do this on one database: one asks at a time, and a version is
made once.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.central.composing import compose_catalog, providers_of
from catalog.central.description_library import DescriptionLibrary
from catalog.central.encoding import PART_FILE, PART_IDENTIFIER
from catalog.central.entries import Catalog, CatalogService
from catalog.central.harvest.asking import open_asker
from catalog.central.harvest.rounds import Asked, Harvester
from catalog.central.harvest.settings import CatalogSettings
from catalog.central.harvest_store import UNUSABLE, HarvestStore, by_service
from catalog.central.versions import CatalogVersion, VersionStore
from catalog.meaning.store import COMPONENT, MIGRATIONS, VocabularyStore
from trust.database import Pool, migrate, storage_errors, try_advisory_lock
from trust.errors import SacbeError
from trust.registry.records import PartRecord
from trust.registry.registry import Registry

_LOG = logging.getLogger(__name__)
_LOCK = "sacbe catalog harvest"
_DESCRIPTION_SECONDS = 10  # that a page waits for one
_LOOK = timedelta(seconds=10)  # how often it is looked whether something was decided
_STATE = """
SELECT (SELECT max(number) FROM vocabulary_version), (SELECT max(number) FROM registry_change),
       (SELECT max(number) FROM catalog_mapping_change), (SELECT max(number) FROM catalog_round),
       (SELECT max(number) FROM catalog_harvest_change)
"""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class CentralCatalog:
    """Everything that the registry does for the catalog.

    Attributes:
        last_error: why the last look or round failed; empty when it did not.
        current: the newest version, as `run` saw it last; None before the first.
    """

    pool: Pool
    registry: Registry
    settings: CatalogSettings
    clock: Callable[[], datetime] = utc_now
    last_error: str = ""
    current: Catalog | None = field(default=None, init=False, repr=False)
    harvest: HarvestStore = field(init=False)
    versions: VersionStore = field(init=False)
    vocabulary: VocabularyStore = field(init=False)
    library: DescriptionLibrary = field(init=False)
    _part: tuple[int, PartRecord] | None = field(init=False, default=None, repr=False)
    _renewed: tuple[object, ...] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.harvest = HarvestStore(self.pool)
        self.versions = VersionStore(self.pool)
        self.vocabulary = VocabularyStore(self.pool)
        self.library = DescriptionLibrary(self.pool)

    async def prepare(self) -> None:
        """Bring the tables up to date; raises StorageError."""
        await migrate(self.pool, COMPONENT, MIGRATIONS)

    async def parts(self) -> Sequence[PartRecord]:
        """The newest version as an optional part of the configuration; none before the first."""
        number = await self.versions.newest_number()
        if number == 0:
            return ()
        if self._part is None or self._part[0] != number:
            newest = await self.versions.newest()
            if newest is None:
                return ()
            self._part = newest.number, PartRecord(PART_IDENTIFIER, PART_FILE, newest.content)
        return (self._part[1],)

    def describing(
        self, loop: asyncio.AbstractEventLoop
    ) -> Callable[[CatalogService], bytes | None]:
        """For pages, which are made in other threads: the description of a service that is kept."""

        def describe(service: CatalogService) -> bytes | None:
            digest = service.description_digest
            if not digest:
                return None
            asked = self.library.get(service.id.provider, digest)
            future = asyncio.run_coroutine_threadsafe(asked, loop)
            try:
                return future.result(_DESCRIPTION_SECONDS)
            except (SacbeError, TimeoutError):
                return None

        return describe

    async def run(self) -> None:
        """Ask in every interval, and renew the catalog when something changed, until cancelled."""
        while True:
            try:
                await self._look()
            except SacbeError as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001 - a defect must not end this for good
                _LOG.exception("The catalog was not looked after")
                self.last_error = type(error).__name__
            else:
                self.last_error = ""
            await asyncio.sleep(_LOOK.total_seconds())

    def _failed(self, text: str) -> None:
        if text != self.last_error:
            _LOG.warning("The catalog was not looked after: %s", text)
        self.last_error = text

    async def _look(self) -> None:
        if self.settings.node and await self._is_due():
            await self.ask_everybody(due=True)
        await self.renew_if_changed()
        if await self.versions.newest_number() != (self.current.version if self.current else 0):
            self.current = await self.versions.catalog()

    async def _is_due(self) -> bool:
        last = await self.harvest.last_round()
        return last is None or self.clock() - last.started_at >= self.settings.interval

    async def ask_everybody(self, *, due: bool = False) -> tuple[Asked, ...] | None:
        """Ask all providers for their services; None when another process is asking.

        Args:
            due: whether to ask only when the interval has passed, seen while nobody else asks.
        Raises StorageError.
        """
        async with try_advisory_lock(self.pool, _LOCK) as lock:
            if lock is None or (due and not await self._is_due()):
                return None
            records = await self.registry.records()
            if records is None:
                return ()
            harvester = Harvester(self.harvest, self.settings, self.clock, self.library)
            async with open_asker(self.settings) as asker:
                return await harvester.round(asker, providers_of(records))

    async def renew_if_changed(self) -> CatalogVersion | None:
        """Make a version when anything that the catalog is made of changed; raises StorageError."""
        state = await self._state()
        if state == self._renewed:
            return None
        version = await self.renew()
        self._renewed = state
        return version

    async def _state(self) -> tuple[object, ...]:
        """What tells whether something changed; the day too, for silence grows by itself."""
        with storage_errors(UNUSABLE):
            row = await self.pool.fetchrow(_STATE)
        return (*(() if row is None else tuple(row)), self.clock().date())

    async def renew(self) -> CatalogVersion | None:
        """Make a version if the catalog of now says something new; raises StorageError."""
        records = await self.registry.records()
        if records is None:
            return None
        catalog = compose_catalog(
            records,
            await self.harvest.providers(),
            by_service(await self.harvest.attached()),
            await self.vocabulary.load(),
            self.clock(),
            self.settings.unheard,
        )
        empty = not catalog.services and not catalog.vocabulary.concepts
        if empty and await self.versions.newest_number() == 0:
            return None  # nobody uses any of this yet
        version = await self.versions.renew(
            catalog, kept=self.settings.versions, availability=self.settings.availability
        )
        if version is not None:
            _LOG.info(
                "Catalog version %d: %d services, %d fields, %d bytes",
                version.number,
                version.services,
                version.fields,
                version.bytes,
            )
        return version
