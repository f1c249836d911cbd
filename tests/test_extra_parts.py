"""Optional parts that others add to the published configuration; the trust list comes first."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest_asyncio

from tests.example_registry import example_records
from tests.pki import NOON
from trust.configuration.confparts import MAX_PART_BYTES
from trust.database import migrate, open_pool
from trust.errors import StorageError
from trust.registry.configuration_keys import ConfigurationKeys, KeyFolder
from trust.registry.publication import SOURCES, Generation
from trust.registry.publisher import Publisher, PublishingSettings, with_extra
from trust.registry.records import PartRecord
from trust.registry.registry import Registry

MIGRATIONS = Path(__file__).parents[1] / "trust" / "registry" / "migrations"
EXTRA = PartRecord("OURS", "ours.bin", b"\0whatever")


@dataclass
class Adding:
    """A publisher to which somebody adds parts, or fails to."""

    publisher: Publisher | None = None
    parts: Sequence[PartRecord] | Exception = (EXTRA,)
    now: datetime = NOON

    async def __call__(self) -> Sequence[PartRecord]:
        if isinstance(self.parts, Exception):
            raise self.parts
        return self.parts

    async def publish(self) -> Generation:
        assert self.publisher is not None
        self.now += timedelta(minutes=1)
        return await self.publisher.publish()


@pytest_asyncio.fixture
async def adding(database_dsn: str, tmp_path: Path) -> AsyncIterator[Adding]:
    pool = await open_pool(database_dsn, "test")
    await migrate(pool, "registry", MIGRATIONS)
    registry, settings = Registry(pool), PublishingSettings(minimum_version=2)
    keys = ConfigurationKeys(pool, KeyFolder(tmp_path, b"secret"), "registry.example.test")
    await registry.apply(example_records(), by="clerk", at=NOON)
    for source in SOURCES:
        await keys.create(source, "p256", NOON)
    found = Adding()
    found.publisher = Publisher(registry, keys, settings, lambda: found.now, found)
    yield found
    await pool.close()


def ours(generation: Generation) -> set[bytes]:
    return {raw for path, raw in generation.files.items() if path.endswith("/ours.bin")}


async def test_parts_of_others_are_told_to_own_nodes_alone(adding: Adding) -> None:
    generation = await adding.publish()
    assert ours(generation) == {EXTRA.content}
    for version in range(2, 7):
        assert b"OURS" in generation.directories["internal", version]
        assert b"OURS" not in generation.directories["external", version]


async def test_the_last_parts_go_on_while_others_fail(adding: Adding) -> None:
    await adding.publish()
    for error in (StorageError("away"), ValueError("a defect")):
        adding.parts = error
        assert ours(await adding.publish()) == {EXTRA.content}
    adding.parts = (replace(EXTRA, content=b"newer"),)
    assert ours(await adding.publish()) == {b"newer"}
    adding.parts = ()
    assert ours(await adding.publish()) == set()


async def test_a_trust_list_is_published_though_others_never_answered(adding: Adding) -> None:
    adding.parts = ValueError("a defect")
    assert ours(await adding.publish()) == set()


def test_a_part_that_can_not_be_published_is_left_out() -> None:
    records = example_records()
    bad = (
        PartRecord("SHARED-PARAMETERS", "other.xml", b""),
        PartRecord("OTHER", "private-params.xml", b""),
        PartRecord("NEXTUPDATE", "again.xml", records.parts[0].content),
        PartRecord("LARGE", "large.bin", bytes(MAX_PART_BYTES + 1)),
        PartRecord("PLACE", "../place", b""),
    )
    assert with_extra(records, (*bad, EXTRA, EXTRA)).parts == (*records.parts, EXTRA)
