"""A node's own client believes what a running registry serves, through every change of keys."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import unused_port

from config.describe import describe_settings
from config.settings import load_settings
from tests.example_registry import FIRST, OPERATOR, PERSONS, PORTAL, SECOND, example_records
from trust.configuration.confclient import ConfigurationClient
from trust.configuration.conflocations import Location
from trust.configuration.confparts import parse_anchor
from trust.configuration.confpublish import build_anchor
from trust.configuration.confupdater import ConfigurationUpdater, UpdaterSettings
from trust.configuration.fetch import Fetcher
from trust.errors import ConfigurationError
from trust.globalconf import Anchor
from trust.ids import GlobalGroupId
from trust.registry.configuration_keys import anchor_of
from trust.registry.publication import SOURCES
from trust.registry.publisher import Publisher, PublishingSettings
from trust.registry.registry_app import (
    RegistryDatabaseSettings,
    RegistryKeysSettings,
    RegistryListenSettings,
    RegistryParts,
    RegistrySettings,
    RunningRegistry,
    open_registry,
    run_registry,
)


@dataclass
class Running:
    """A registry that serves on a loopback port."""

    parts: RegistryParts
    registry: RunningRegistry
    folder: Path

    @property
    def publisher(self) -> Publisher:
        return self.registry.publisher

    async def anchor(self) -> Anchor:
        keys = await self.parts.keys.all()
        return parse_anchor(build_anchor(anchor_of("TEST", "internal", keys, https=False)))

    @contextlib.asynccontextmanager
    async def node(self, name: str, anchor: Anchor) -> AsyncIterator[ConfigurationUpdater]:
        """A node's updater; one of the same name finds what the one before kept."""
        updater = ConfigurationUpdater(UpdaterSettings(self.folder / name), anchor)
        await updater.start()
        try:
            yield updater
        finally:
            await updater.close()


@pytest_asyncio.fixture
async def running(database_dsn: str, tmp_path: Path) -> AsyncIterator[Running]:
    port = unused_port()
    settings = RegistrySettings(
        address=f"127.0.0.1:{port}",
        data=tmp_path,
        keys=RegistryKeysSettings(folder=tmp_path / "keys", password_file=tmp_path / "none"),
        database=RegistryDatabaseSettings(),
        listen=RegistryListenSettings(host="127.0.0.1", port=port),
        publishing=PublishingSettings(minimum_version=2),
    )
    async with open_registry(settings, database_dsn, b"open sesame") as parts:
        now = datetime.now(UTC)
        await parts.registry.apply(example_records(), by="clerk", at=now)
        for source in SOURCES:
            await parts.keys.create(source, "p256", now)
        async with run_registry(parts) as registry:
            await registry.publisher.publish()
            yield Running(parts, registry, tmp_path)


async def test_a_node_believes_what_was_declared(running: Running) -> None:
    async with running.node("node", await running.anchor()) as node:
        assert await node.update(), node.last_error
        conf, now = node.conf, datetime.now(UTC)
        assert conf is not None
        assert conf.valid(now)
        assert conf.own.shared.version == 6
        assert [server.id for server in conf.servers_of(PORTAL, now)] == [SECOND]
        assert [server.id for server in conf.servers_of(PERSONS, now)] == [FIRST]
        certificate = example_records().servers[1].auth_certificates[0]
        found = conf.server_of_certificate(certificate, now)
        assert found is not None
        assert found.id == FIRST
        assert conf.in_group(PORTAL, GlobalGroupId("TEST", "readers"), now)
        assert conf.in_group(OPERATOR, GlobalGroupId("TEST", "security-server-owners"), now)
        assert conf.verify_next_update is True
        assert conf.skipped == {}


async def test_a_change_reaches_a_node_with_the_next_generation(running: Running) -> None:
    async with running.node("node", await running.anchor()) as node:
        await node.update()
        records = example_records()
        fewer = replace(records, servers=(records.servers[1],))
        await running.parts.registry.apply(fewer, by="clerk", at=datetime.now(UTC))
        await running.publisher.publish()
        assert await node.update(), node.last_error
        assert node.conf is not None
        assert node.conf.servers_of(PORTAL, datetime.now(UTC)) == ()


@pytest.mark.parametrize("version", range(2, 7))
async def test_every_version_is_believed(running: Running, version: int) -> None:
    anchor = await running.anchor()
    client = ConfigurationClient(anchor)
    source = anchor.sources[0]
    url = f"{source.download_url}?version={version}"
    fetcher = Fetcher()
    try:
        raw = (await fetcher.get(url, max_bytes=1 << 20)).body
        location = Location(source.download_url, source.certificates)
        update = client.read(anchor, location, url, raw, datetime.now(UTC))
        assert update.missing
        parts = {
            entry: (await fetcher.get(address, max_bytes=1 << 20)).body
            for entry, address in update.missing.items()
        }
    finally:
        await fetcher.close()
    conf = client.accept(update, parts)
    assert conf.own.shared.version == version
    certificate = example_records().servers[1].auth_certificates[0]
    found = conf.server_of_certificate(certificate, datetime.now(UTC))
    assert found is not None
    assert found.id == FIRST


async def test_nodes_follow_a_rotation_that_they_saw_begin(running: Running) -> None:
    old_anchor = await running.anchor()
    keys = running.parts.keys
    (old,) = [key for key in await keys.all() if key.source == "internal"]
    async with running.node("node", old_anchor) as node:
        new = await keys.create("internal", "p256", datetime.now(UTC) + timedelta(seconds=1))
        await running.publisher.publish()
        assert await node.update(), node.last_error
        await keys.activate(new.id)
        await keys.delete(old.id)
        await running.publisher.publish()
        assert await node.update(), node.last_error
    async with running.node("node", old_anchor) as restarted:
        assert await restarted.update(), restarted.last_error
    async with running.node("late", old_anchor) as late:
        assert not await late.update()
        assert "global_conf_missing_verification_cert" in late.last_error
    async with running.node("late", await running.anchor()) as late:
        assert await late.update(), late.last_error


def test_the_example_settings_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(describe_settings(RegistrySettings), encoding="utf-8")
    settings = load_settings(RegistrySettings, path, check=RegistrySettings.problems)
    assert settings.address == "registry.example.org"
    assert settings.keys.folder == tmp_path / "keys"
    assert settings.publishing.versions == range(6, 7)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('address = "http://x/"', "'http://x/'"),
        ("publishing = { validity = '2m' }", "0:02:00"),
        ("publishing = { minimum_version = 1 }", "1"),
    ],
)
def test_settings_that_can_not_work_are_refused(tmp_path: Path, line: str, found: str) -> None:
    path = tmp_path / "registry.toml"
    key = line.split(" ")[0]
    values = {"address": '"x"', "data": '"."', "keys": '{ folder = "k", password_file = "p" }'}
    lines = [f"{name} = {value}" for name, value in values.items() if name != key]
    path.write_text("\n".join([*lines, line]), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=found):
        load_settings(RegistrySettings, path, check=RegistrySettings.problems)
