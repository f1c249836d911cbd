"""The registry's catalog: composed, numbered, published with the trust list."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import unused_port

from catalog.about import About
from catalog.central.composing import KnownProvider, compose_catalog, providers_of
from catalog.central.description_library import MAX_KEPT_BYTES
from catalog.central.encoding import PART_FILE, PART_IDENTIFIER, decode_catalog
from catalog.central.entries import Availability, CatalogService
from catalog.central.harvest.settings import CatalogSettings
from catalog.central.service import CentralCatalog
from catalog.mapping import EndpointMapping, FieldMapping, ServiceMapping
from catalog.meaning.vocabulary import NO_VOCABULARY, Concept, Vocabulary
from catalog.services import ServiceType
from node.once.catalog_here import CatalogHere
from tests.example_registry import OPERATOR, PERSONS, PORTAL, example_records
from tests.instance import utc_now
from tests.pki import NOON
from trust.configuration.confclient import ConfigurationClient
from trust.configuration.conflocations import Location
from trust.configuration.confparts import parse_anchor
from trust.configuration.confpublish import build_anchor
from trust.configuration.confupdater import ConfigurationUpdater, UpdaterSettings
from trust.configuration.fetch import Fetcher
from trust.database import Pool, migrate, open_pool, try_advisory_lock
from trust.errors import StorageError
from trust.globalconf import Anchor
from trust.ids import ServiceId
from trust.registry.configuration_keys import anchor_of
from trust.registry.publication import SOURCES
from trust.registry.publisher import PublishingSettings
from trust.registry.registry import Registry
from trust.registry.registry_app import (
    MIGRATIONS,
    RegistryKeysSettings,
    RegistryListenSettings,
    RegistrySettings,
    open_registry,
    run_registry,
)

SERVICE = CatalogService(ServiceId(PERSONS, "people"), ServiceType.REST, title="People")
OTHER = CatalogService(ServiceId(PORTAL, "forms"), ServiceType.WSDL, plain=True)
MAPPING = ServiceMapping((EndpointMapping(fields=(FieldMapping("f", "/a/f", "urn:ex:f"),)),))
WORDS = Vocabulary(concepts=(Concept("urn:ex:f", {"en": "A fact"}),))


def known(*services: CatalogService, at: datetime = NOON) -> KnownProvider:
    return KnownProvider(services[0].id.provider, at, at, services=services)


# --- composing ------------------------------------------------------------------------------------


def test_only_whom_a_node_hosts_is_asked() -> None:
    assert providers_of(example_records()) == (PORTAL, PERSONS)


def test_who_is_no_longer_registered_is_in_no_catalog() -> None:
    records = example_records()
    asked = (known(SERVICE), known(OTHER))
    whole = compose_catalog(records, asked, {}, WORDS, NOON, timedelta(days=1))
    assert whole.services == (OTHER, SERVICE)
    assert whole.name_of[PERSONS] == "Civil register"
    assert PORTAL not in whole.name_of
    fewer = replace(records, servers=records.servers[1:])
    left = compose_catalog(fewer, asked, {}, WORDS, NOON, timedelta(days=1))
    assert left.services == (SERVICE,)


def test_an_attached_mapping_is_for_plain_services_alone() -> None:
    attached = {SERVICE.id: MAPPING, OTHER.id: MAPPING}
    asked = (known(SERVICE), known(OTHER))
    made = compose_catalog(example_records(), asked, attached, WORDS, NOON, timedelta(days=1))
    assert [one.mapping for one in made.services] == [MAPPING, SERVICE.mapping]


def test_long_silence_is_told() -> None:
    records, day = example_records(), timedelta(days=1)
    soon = compose_catalog(records, (known(SERVICE),), {}, NO_VOCABULARY, NOON + day, day)
    assert soon.services == (SERVICE,)
    late = compose_catalog(records, (known(SERVICE),), {}, NO_VOCABULARY, NOON + 2 * day, day)
    assert late.services == (replace(SERVICE, unheard_since=NOON),)


# --- versions -------------------------------------------------------------------------------------


@dataclass
class Centre:
    """A registry with a catalog, at a time that the test sets."""

    pool: Pool
    now: datetime = NOON
    settings: CatalogSettings = field(default_factory=CatalogSettings)

    def __post_init__(self) -> None:
        self.registry = Registry(self.pool)
        self.catalog = CentralCatalog(self.pool, self.registry, self.settings, lambda: self.now)

    async def told(self, *services: CatalogService) -> None:
        before = {one.id: one for one in await self.catalog.harvest.providers()}
        now = known(*services, at=self.now)
        await self.catalog.harvest.keep(before.get(now.id), now)

    async def renewed(self, **passed: float) -> tuple[str, ...] | None:
        self.now += timedelta(**passed)
        version = await self.catalog.renew_if_changed()
        return None if version is None else version.changes


@pytest_asyncio.fixture
async def centre(database_dsn: str, tmp_path: Path) -> AsyncIterator[Centre]:
    pool = await open_pool(database_dsn, "test")
    await migrate(pool, "registry", MIGRATIONS)
    found = Centre(pool)
    await found.catalog.prepare()
    yield found
    await pool.close()


async def test_nothing_is_published_before_there_is_anything(centre: Centre) -> None:
    assert await centre.renewed() is None
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    assert await centre.renewed() is None
    assert await centre.catalog.parts() == ()


async def test_a_version_is_made_when_something_changed(centre: Centre) -> None:
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    await centre.told(SERVICE)
    first = await centre.renewed()
    assert first is not None
    assert f"+ service {SERVICE.id.colons}: REST" in first
    assert await centre.renewed() is None
    await centre.told(SERVICE)
    assert await centre.renewed(minutes=5) is None
    await centre.catalog.vocabulary.apply(WORDS, by="clerk", at=centre.now)
    changes = await centre.renewed(minutes=5)
    assert changes is not None
    assert all("urn:ex:f" in line for line in changes)
    await centre.told(replace(SERVICE, about=About(description="Who lives where")))
    name = f"service {SERVICE.id.colons}"
    assert await centre.renewed(minutes=5) == (f"+ {name} about: Who lives where",)
    history = await centre.catalog.versions.history(10)
    assert [(one.number, one.services, one.whole) for one in history] == [
        (3, 1, True),
        (2, 1, True),
        (1, 1, True),
    ]


async def test_availability_alone_waits(centre: Centre) -> None:
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    seen = replace(SERVICE, availability=Availability(NOON, 10, 9))
    await centre.told(SERVICE)
    await centre.renewed()
    await centre.told(seen)
    assert await centre.renewed(hours=1) is None
    assert await centre.renewed(hours=23) == ("~ availability",)
    catalog = await centre.catalog.versions.catalog()
    assert catalog is not None
    assert catalog.service[SERVICE.id].availability == Availability(NOON, 10, 9)


async def test_old_versions_keep_what_changed(centre: Centre) -> None:
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    centre.catalog.settings = CatalogSettings(versions=2)
    for number in range(4):
        await centre.told(replace(SERVICE, title=f"Title {number}"))
        assert await centre.renewed(minutes=1)
    history = await centre.catalog.versions.history(10)
    assert [(one.number, one.whole) for one in history] == [
        (4, True), (3, True), (2, False), (1, False),
    ]  # fmt: skip
    assert all(one.changes for one in history)
    assert await centre.catalog.versions.catalog(1) is None
    third = await centre.catalog.versions.catalog(3)
    assert third is not None
    assert third.service[SERVICE.id].title == "Title 2"
    assert await centre.catalog.versions.catalog(9) is None


async def test_two_machines_make_a_version_once(centre: Centre) -> None:
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    await centre.told(SERVICE)
    other = Centre(centre.pool)
    made = await asyncio.gather(centre.renewed(), other.renewed())
    assert sum(one is not None for one in made) == 1
    assert await centre.catalog.parts() == await other.catalog.parts() != ()


async def test_mappings_are_attached_and_taken_away(centre: Centre) -> None:
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    await centre.told(OTHER)
    await centre.renewed()
    store, name = centre.catalog.harvest, f"service {OTHER.id.colons}"
    await store.attach(OTHER.id, MAPPING, by="clerk", at=NOON)
    assert await centre.renewed() == (f"+ {name} field f: /a/f, text, urn:ex:f",)
    assert [one.mapping for one in await store.attached()] == [MAPPING]
    assert await store.detach(OTHER.id, by="clerk", at=NOON)
    assert not await store.detach(OTHER.id, by="clerk", at=NOON)
    assert await centre.renewed() == (f"- {name} field f: /a/f, text, urn:ex:f",)


async def test_one_process_asks_at_a_time(centre: Centre) -> None:
    async with try_advisory_lock(centre.pool, "sacbe catalog harvest") as lock:
        assert lock is not None
        assert await centre.catalog.ask_everybody() is None
    with pytest.raises(StorageError, match="names no node"):
        await centre.registry.apply(example_records(), by="clerk", at=NOON)
        await centre.catalog.ask_everybody()


async def test_a_node_that_is_off_spoils_nothing(centre: Centre) -> None:
    """Nor does a registry whose own node is off ever lose what it knows."""
    await centre.registry.apply(example_records(), by="clerk", at=NOON)
    await centre.told(SERVICE)
    where = f"http://127.0.0.1:{unused_port()}"
    centre.catalog.settings = CatalogSettings(node=where, client=OPERATOR)
    asked = await centre.catalog.ask_everybody(due=True)
    assert asked is not None
    assert not any(one.answered for one in asked)
    assert await centre.catalog.ask_everybody(due=True) is None  # not again before its time
    kept = {one.id: one for one in await centre.catalog.harvest.providers()}
    assert kept[PERSONS].services == (SERVICE,)
    assert "Our own node can't be asked" in kept[PERSONS].problem


async def test_pages_get_the_descriptions_that_are_kept(centre: Centre) -> None:
    library, described = centre.catalog.library, replace(SERVICE, description_digest="d")
    describe = centre.catalog.describing(asyncio.get_running_loop())
    assert await asyncio.to_thread(describe, described) is None
    await library.keep(PERSONS, "d", b"openapi: 3.0.0", NOON)
    await library.keep(PERSONS, "large", bytes(MAX_KEPT_BYTES + 1), NOON)
    assert await asyncio.to_thread(describe, described) == b"openapi: 3.0.0"
    assert await asyncio.to_thread(describe, SERVICE) is None
    assert await library.digests(PERSONS) == {"d"}
    await centre.pool.close()
    assert await asyncio.to_thread(describe, described) is None


# --- publication ----------------------------------------------------------------------------------


@dataclass
class Running:
    centre: Centre
    anchor: Anchor
    url: str
    folder: Path


@pytest_asyncio.fixture
async def running(database_dsn: str, tmp_path: Path) -> AsyncIterator[Running]:
    port = unused_port()
    settings = RegistrySettings(
        address=f"127.0.0.1:{port}",
        data=tmp_path,
        keys=RegistryKeysSettings(folder=tmp_path / "keys", password_file=tmp_path / "none"),
        listen=RegistryListenSettings(host="127.0.0.1", port=port),
        publishing=PublishingSettings(minimum_version=2),
    )

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="the catalog")

    def extend(app: web.Application) -> None:
        app.router.add_get("/catalog", page)

    async with open_registry(settings, database_dsn, b"open sesame") as parts:
        await parts.registry.apply(example_records(), by="clerk", at=NOON)
        for source in SOURCES:
            await parts.keys.create(source, "p256", NOON)
        centre = Centre(parts.pool)
        await centre.catalog.prepare()
        await centre.told(SERVICE)
        await centre.renewed()
        async with run_registry(parts, centre.catalog.parts, extend) as registry:
            await registry.publisher.publish()
            keys = await parts.keys.all()
            anchor = parse_anchor(build_anchor(anchor_of("TEST", "internal", keys, https=False)))
            yield Running(centre, anchor, f"http://127.0.0.1:{port}", tmp_path)


async def test_a_node_gets_the_catalog_with_its_trust_list(running: Running) -> None:
    updater = ConfigurationUpdater(UpdaterSettings(running.folder / "node"), running.anchor)
    await updater.start()
    here = CatalogHere(lambda: updater.conf)
    assert here() is None
    assert await updater.update(), updater.last_error
    catalog = here()
    assert catalog is not None
    assert (catalog.version, catalog.services) == (1, (SERVICE,))
    await updater.close()


@pytest.mark.parametrize("version", range(2, 7))
async def test_every_reader_of_the_trust_list_takes_the_part_as_any_other(
    running: Running, version: int
) -> None:
    fetcher = Fetcher()
    source = running.anchor.sources[0]
    client = ConfigurationClient(running.anchor)
    try:
        url = f"{source.download_url}?version={version}"
        raw = (await fetcher.get(url, max_bytes=1 << 20)).body
        location = Location(source.download_url, source.certificates)
        update = client.read(running.anchor, location, url, raw, utc_now())
        parts = {
            entry: (await fetcher.get(address, max_bytes=1 << 20)).body
            for entry, address in update.missing.items()
        }
        page = await fetcher.get(f"{running.url}/catalog", max_bytes=100)
    finally:
        await fetcher.close()
    conf = client.accept(update, parts)
    assert conf.skipped == {}
    (part,) = [part for part in client.kept.parts if part.identifier == PART_IDENTIFIER]
    assert part.file_name == PART_FILE
    assert decode_catalog(part.raw).services == (SERVICE,)
    assert page.body == b"the catalog"
