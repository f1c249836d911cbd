"""The downloader against real servers: versions, offline restart, slow and oversized answers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.pki import NOON
from tests.published import VALIDITY, Publisher
from trust.configuration.confdirectory import DirectoryEntry
from trust.configuration.confhistory import FolderFiles, TrustListHistory, TrustListKeeper
from trust.configuration.confstore import load_set
from trust.configuration.confupdater import (
    FEDERATED_AT_ONCE,
    ConfigurationUpdater,
    UpdaterSettings,
)
from trust.configuration.fetch import Fetcher, FetchLimits
from trust.digests import SHA512_URI, digest
from trust.errors import NetworkFailure
from trust.globalconf import Anchor, AnchorSource

MINUTE = timedelta(minutes=1)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """A web server with files by path and query; `handler` takes over when it is set."""

    files: dict[str, bytes] = field(default_factory=dict)
    handler: Handler | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.handler is not None:
            return await self.handler(request)
        if request.path_qs not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[request.path_qs])


@asynccontextmanager
async def _serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    host, port = runner.addresses[0][:2]
    site.address = f"{host}:{port}"
    try:
        yield site
    finally:
        await runner.cleanup()


@dataclass
class Node:
    """An updater with a clock that the test moves."""

    updater: ConfigurationUpdater
    now: datetime = NOON

    def clock(self) -> datetime:
        return self.now


@asynccontextmanager
async def _node(
    folder: Path, anchor: Anchor, *federations: str, now: datetime = NOON
) -> AsyncIterator[Node]:
    settings = UpdaterSettings(
        folder / "globalconf",
        allowed_federations=federations or ("none",),
        limits=FetchLimits(connect_seconds=2, read_seconds=0.5, total_seconds=2),
    )
    updater = ConfigurationUpdater(settings, anchor, clock=lambda: node.now)
    node = Node(updater, now)
    try:
        yield node
    finally:
        await updater.close()


async def test_a_configuration_is_downloaded_and_kept(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        async with _node(tmp_path, publisher.anchor()) as node:
            assert node.updater.conf is None
            assert await node.updater.update()
            conf = node.updater.conf
            assert conf is not None
            assert conf.valid(NOON)
            assert node.updater.last_success == NOON
            assert node.updater.last_error == ""
            assert node.updater.status.source == f"http://{site.address}/internalconf"
        assert {part.instance for part in load_set(tmp_path / "globalconf").parts} == {"TEST"}


async def test_unchanged_parts_are_not_asked_for_again(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        async with _node(tmp_path, publisher.anchor()) as node:
            await node.updater.update()
            number = node.updater.conf.number if node.updater.conf else 0
            site.asked.clear()
            node.now = NOON + MINUTE
            site.files = publisher.publish(node.now)
            assert await node.updater.update()
            assert site.asked == ["/internalconf?version=6"]
            conf = node.updater.conf
            assert conf is not None
            assert conf.number > number
            assert conf.own.valid_until == node.now + VALIDITY


async def test_versions_are_probed_downwards(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address, versions=[3, 4])
        site.files = publisher.publish(NOON)
        async with _node(tmp_path, publisher.anchor()) as node:
            assert await node.updater.update()
            assert site.asked[:3] == [f"/internalconf?version={number}" for number in (6, 5, 4)]
            assert node.updater.conf is not None
            assert node.updater.conf.own.shared.version == 4


async def test_a_source_without_any_version_is_named_so(tmp_path: Path) -> None:
    async with (
        _serving() as site,
        _node(tmp_path, Publisher(address=site.address).anchor()) as node,
    ):
        assert not await node.updater.update()
        assert "global_conf_get_version_failed" in node.updater.last_error
        assert len(site.asked) == 5
        assert node.updater.conf is None


async def test_a_node_starts_offline_and_stops_at_expiry(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        async with _node(tmp_path, publisher.anchor()) as node:
            await node.updater.update()
    async with _node(tmp_path, publisher.anchor(), now=NOON + MINUTE) as node:
        await node.updater.start()
        conf = node.updater.conf
        assert conf is not None
        assert conf.valid(NOON + VALIDITY)
        assert not conf.valid(NOON + VALIDITY + MINUTE)
        assert not await node.updater.update()
        assert "global_conf_download_url_connection_failure" in node.updater.last_error
        assert node.updater.conf is conf
        assert node.updater.last_success is None
        assert node.updater.status.last_attempt == NOON + MINUTE


async def test_rollback_is_refused_across_a_restart(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        old = publisher.publish(NOON)
        site.files = publisher.publish(NOON + MINUTE)
        async with _node(tmp_path, publisher.anchor(), now=NOON + MINUTE) as node:
            assert await node.updater.update()
        site.files = old
        async with _node(tmp_path, publisher.anchor(), now=NOON + MINUTE) as node:
            assert not await node.updater.update()
            assert "global_conf_rollback" in node.updater.last_error
            assert node.updater.conf is not None
            assert node.updater.conf.valid(NOON + MINUTE)


async def test_keys_are_rotated_while_it_runs(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        async with _node(tmp_path, publisher.anchor()) as node:
            for step in range(4):
                node.now = NOON + step * MINUTE
                if step == 1:
                    publisher.rotate("second")
                if step == 2:
                    publisher.activate("second")
                site.files = publisher.publish(node.now)
                assert await node.updater.update(), step


async def test_federated_instances_are_read_and_their_failure_harms_nobody(tmp_path: Path) -> None:
    async with _serving() as site, _serving() as other:
        peer = Publisher("PEER", address=other.address)
        publisher = Publisher(address=site.address, federation=(peer.anchor("external"),))
        site.files, other.files = publisher.publish(NOON), peer.publish(NOON)
        async with _node(tmp_path, publisher.anchor(), "peer") as node:
            assert await node.updater.update()
            conf = node.updater.conf
            assert conf is not None
            assert conf.instance("PEER", NOON) is not None
            assert "/externalconf?version=6" in other.asked
            assert node.updater.status.federation_errors == {}
            other.files = {}
            node.now = NOON + MINUTE
            site.files = publisher.publish(node.now)
            assert await node.updater.update()
            assert list(node.updater.status.federation_errors) == ["PEER"]
            assert "PEER" in (node.updater.conf.instances if node.updater.conf else {})
        async with _node(tmp_path, publisher.anchor(), "none", now=NOON + MINUTE) as node:
            other.asked.clear()
            assert await node.updater.update()
            assert other.asked == []
            assert list(node.updater.conf.instances if node.updater.conf else {}) == ["TEST"]


@dataclass
class Gate:
    """A handler that lets nobody through before it is opened."""

    site: Site
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.set()
        await self.opened.wait()
        return web.Response(body=self.site.files[request.path_qs])


@dataclass
class Visits:
    """A handler that tells when its directory is asked for again."""

    files: dict[str, bytes]
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "version=" in request.path_qs:
            self._came.set()
        return web.Response(body=self.files[request.path_qs])

    async def again(self) -> None:
        self._came.clear()
        await self._came.wait()


_PATIENT = FetchLimits(connect_seconds=60, read_seconds=60, total_seconds=60)


def _patient(folder: Path, anchor: Anchor, **settings: Any) -> ConfigurationUpdater:  # noqa: ANN401
    """An updater that believes everybody and that no limit of a single answer stops."""
    return ConfigurationUpdater(
        UpdaterSettings(folder, allowed_federations=("all",), limits=_PATIENT, **settings),
        anchor,
        clock=lambda: NOON,
    )


async def test_a_hanging_federated_source_does_not_delay_the_own_one(tmp_path: Path) -> None:
    async with _serving() as site, _serving() as other:
        gate = Gate(other)
        other.handler = gate.answer
        peers = [Publisher(f"PEER{n}", address=other.address).anchor("external") for n in range(12)]
        publisher = Publisher(address=site.address, federation=tuple(peers))
        own = Visits(publisher.publish(NOON))
        site.handler = own.answer
        updater = _patient(
            tmp_path, publisher.anchor(), interval=MINUTE / 6000, federation_seconds=60
        )
        running = asyncio.create_task(updater.run())
        try:
            async with asyncio.timeout(30):
                await gate.asked.wait()
                for _ in range(5):
                    await own.again()
            assert updater.last_error == ""
            assert len(other.asked) <= FEDERATED_AT_ONCE
        finally:
            running.cancel()
            gate.opened.set()
            await asyncio.wait((running,))
        assert running.cancelled()


async def test_a_federated_source_has_one_deadline_for_all_its_addresses(tmp_path: Path) -> None:
    async with _serving() as site, _serving() as slow, _serving() as other:
        gate = Gate(slow)
        slow.handler = gate.answer
        sources = tuple(
            AnchorSource(f"http://{slow.address}/{n}/externalconf", (b"none",)) for n in range(9)
        )
        peer = Publisher("PEER", address=other.address)
        federation = (Anchor("SLOW", sources), peer.anchor("external"))
        publisher = Publisher(address=site.address, federation=federation)
        site.files, other.files = publisher.publish(NOON), peer.publish(NOON)
        updater = _patient(tmp_path, publisher.anchor(), federation_seconds=1)
        try:
            async with asyncio.timeout(30):
                assert await updater.update()
            errors = dict(updater.status.federation_errors)
            assert errors == {"SLOW": "it took longer than 1 seconds"}
            assert updater.conf is not None
            assert set(updater.conf.instances) == {"TEST", "PEER"}
        finally:
            gate.opened.set()
            await updater.close()
    assert {part.instance for part in load_set(tmp_path).parts} == {"TEST", "PEER"}


async def test_what_a_source_gives_after_it_was_withdrawn_is_not_believed(tmp_path: Path) -> None:
    async with _serving() as site, _serving() as other:
        gate = Gate(other)
        other.handler = gate.answer
        peer = Publisher("PEER", address=other.address)
        other.files = peer.publish(NOON)
        publisher = Publisher(address=site.address, federation=(peer.anchor("external"),))
        site.files = publisher.publish(NOON)
        updater = _patient(tmp_path, publisher.anchor())
        try:
            assert await updater.update_own()
            federated = asyncio.create_task(updater.update_federated())
            await asyncio.wait_for(gate.asked.wait(), 20)
            publisher.federation = ()
            site.files = publisher.publish(NOON)
            assert await updater.update_own()
            gate.opened.set()
            await federated
            assert "no longer names" in updater.status.federation_errors["PEER"]
            assert updater.conf is not None
            assert list(updater.conf.instances) == ["TEST"]
        finally:
            gate.opened.set()
            await updater.close()


async def test_a_defect_met_at_a_federated_source_does_not_end_the_own_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("a defect")

    async with _serving() as site:
        publisher = Publisher(address=site.address)
        own = Visits(publisher.publish(NOON))
        site.handler = own.answer
        updater = _patient(tmp_path, publisher.anchor(), interval=MINUTE / 6000)
        monkeypatch.setattr(updater, "update_federated", broken)
        running = asyncio.create_task(updater.run())
        async with asyncio.timeout(30):
            for _ in range(3):
                await own.again()
        running.cancel()
        await asyncio.wait((running,))
    assert running.cancelled()
    assert "federated configurations were not updated" in caplog.text


async def test_the_next_location_is_tried_after_a_failure(tmp_path: Path) -> None:
    async with _serving() as broken, _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        broken.files = {"/internalconf?version=6": b"no directory"}
        (source,) = publisher.anchor().sources
        bad = replace(source, download_url=f"http://{broken.address}/internalconf")
        anchor = Anchor("TEST", (bad, source))
        async with _node(tmp_path, anchor) as node:
            for minutes in range(5):  # the order is by chance
                node.now = NOON + minutes * MINUTE
                site.files = publisher.publish(node.now)
                assert await node.updater.update()
                assert node.updater.status.source == source.download_url


async def test_parts_on_another_server_are_not_fetched(tmp_path: Path) -> None:
    async with _serving() as site, _serving() as other:
        publisher = Publisher(address=site.address)
        parts = publisher.parts(6, "internal")
        entries = [
            DirectoryEntry(
                identifier, "TEST", f"http://{other.address}/{name}", digest(SHA512_URI, raw)
            )
            for identifier, (name, raw) in parts.items()
        ]
        site.files = {"/internalconf?version=6": publisher.sign(entries, NOON)}
        other.files = {f"/{name}": raw for name, raw in parts.values()}
        async with _node(tmp_path, publisher.anchor()) as node:
            assert not await node.updater.update()
            assert "another server" in node.updater.last_error
            assert other.asked == []


async def test_a_missing_part_is_named(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        files = publisher.publish(NOON)
        site.files = {path: raw for path, raw in files.items() if "private" not in path}
        async with _node(tmp_path, publisher.anchor()) as node:
            assert not await node.updater.update()
            assert "PRIVATE-PARAMETERS of TEST" in node.updater.last_error
            assert "global_conf_part_download_failure" in node.updater.last_error


async def test_a_server_error_is_no_reason_for_an_older_version(tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async with _serving() as site:
        site.handler = broken
        async with _node(tmp_path, Publisher(address=site.address).anchor()) as node:
            assert not await node.updater.update()
            assert "status 500" in node.updater.last_error
            assert site.asked == ["/internalconf?version=6"]


async def test_a_folder_that_can_not_be_written_is_told_and_the_node_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        async with _node(tmp_path / "file", publisher.anchor()) as node:
            assert not await node.updater.update()
            assert "can't be written" in node.updater.last_error
            assert node.updater.conf is not None
            assert node.updater.conf.valid(NOON)


async def test_a_damaged_folder_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "globalconf").mkdir()
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        async with _node(tmp_path, publisher.anchor()) as node:
            await node.updater.start()
            assert node.updater.conf is None
            assert await node.updater.update()


async def test_running_updates_at_once_and_ends_when_cancelled(tmp_path: Path) -> None:
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        async with _node(tmp_path, publisher.anchor()) as node:
            running = asyncio.create_task(node.updater.run())
            conf = await asyncio.wait_for(node.updater.first(), 20)
            assert conf.valid(NOON)
            assert await node.updater.first() is conf
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


# The bounded GET.


@asynccontextmanager
async def _fetcher(**limits: float) -> AsyncIterator[Fetcher]:
    bounds = {"connect_seconds": 2.0, "read_seconds": 0.3, "total_seconds": 1.0, **limits}
    fetcher = Fetcher(
        FetchLimits(bounds["connect_seconds"], bounds["read_seconds"], bounds["total_seconds"])
    )
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def test_bodies_up_to_the_limit_are_fetched() -> None:
    async with _serving() as site, _fetcher() as fetcher:
        site.files["/a"] = b"x" * 1000
        answer = await fetcher.get(f"http://{site.address}/a", max_bytes=1000)
        assert (answer.status, answer.body) == (200, b"x" * 1000)
        with pytest.raises(NetworkFailure, match="1000 bytes, more than 999"):
            await fetcher.get(f"http://{site.address}/a", max_bytes=999)


async def test_a_body_without_length_is_cut_off_at_the_limit() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"x" * 10_000)
        return response

    async with _serving() as site, _fetcher() as fetcher:
        site.handler = endless
        with pytest.raises(NetworkFailure, match="more than 50000 bytes"):
            await fetcher.get(f"http://{site.address}/", max_bytes=50_000)


async def test_redirects_are_refused() -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with _serving() as site, _fetcher() as fetcher:
        site.handler = away
        with pytest.raises(NetworkFailure, match="redirect"):
            await fetcher.get(f"http://{site.address}/", max_bytes=100)
        assert site.asked == ["/"]


@pytest.mark.parametrize("pause", [0.1, 5])
async def test_slow_bodies_are_given_up(pause: float) -> None:
    """A drip within the read timeout runs into the total one."""

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(100):
                await response.write(b"x")
                await asyncio.sleep(pause)
        return response

    async with _serving() as site, _fetcher() as fetcher:
        site.handler = slow
        with pytest.raises(NetworkFailure, match="took too long"):
            await fetcher.get(f"http://{site.address}/", max_bytes=1000)


async def test_nobody_listening_is_a_network_failure() -> None:
    async with _serving() as site:
        address = site.address
    async with _fetcher() as fetcher:
        with pytest.raises(NetworkFailure, match="The download failed"):
            await fetcher.get(f"http://{address}/", max_bytes=10)
        with pytest.raises(NetworkFailure):
            await fetcher.get("http://", max_bytes=10)


async def test_certificates_of_https_servers_are_verified_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    identity = Publisher().pki.certify("127.0.0.1", "auth", issuer=None)
    (tmp_path / "pem").write_bytes(
        identity.certificate.public_bytes(Encoding.PEM)
        + identity.key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    async with _serving(context) as site, _fetcher() as strict:
        site.files["/a"] = b"x"
        with pytest.raises(NetworkFailure, match="certificate"):
            await strict.get(f"https://{site.address}/a", max_bytes=10)
        lax = Fetcher(verify_tls=False)
        assert (await lax.get(f"https://{site.address}/a", max_bytes=10)).body == b"x"
        await lax.close()


async def test_every_list_that_counted_is_in_the_history(tmp_path: Path) -> None:
    """Also one that was taken from the disk; renewals without a change add nothing."""
    keeper = TrustListKeeper(tmp_path / "history")
    async with _serving() as site:
        publisher = Publisher(address=site.address)
        site.files = publisher.publish(NOON)
        anchor = publisher.anchor()
        settings = UpdaterSettings(tmp_path / "globalconf")
        moments = iter(NOON + step * MINUTE for step in range(100))
        updater = ConfigurationUpdater(
            settings, anchor, clock=lambda: next(moments), history=keeper
        )
        try:
            assert await updater.update()
            assert updater.new_version.is_set()
            site.files = publisher.publish(NOON + 2 * MINUTE)
            assert await updater.update()
            publisher.members = 5
            site.files = publisher.publish(NOON + 4 * MINUTE)
            assert await updater.update()
        finally:
            await updater.close()
    history = TrustListHistory(FolderFiles(tmp_path / "history"), [anchor])
    assert len(history.versions) == 2
    confs = [history.at(version.since) for version in history.versions]
    assert [len(conf.own.shared.members) for conf in confs if conf] == [2, 5]
