"""The registry as a witness: it believes owners of registered nodes, and keeps what they say."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import unused_port
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.witness.registry import Announcer
from node.witness.witnesses import Witnesses
from scripts.postgres import PostgresServer
from tests.example_registry import FIRST, example_records
from tests.instance import CONSUMER, Instance, NodeUnderTest
from tests.log_leaves import add_leaves, first_round
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.evidence.asic import build_container
from trust.evidence.checkpoints import Checkpoint, CheckpointOffer
from trust.evidence.merkle import EMPTY_ROOT
from trust.evidence.notes import NoteKey
from trust.globalconf import GlobalConf
from trust.ids import ServerId
from trust.registry import registry_app
from trust.registry.publication import SOURCES
from trust.registry.registry_app import (
    RegistryKeysSettings,
    RegistryListenSettings,
    RegistrySettings,
    open_registry,
    run_registry,
)
from trust.registry.registry_witness import MAX_BODY, PublishedList, RegistryKey, RegistryWitness
from trust.witness.announcement import as_witness, log_origin, sign_checkpoint
from trust.witness.witness_store import WitnessStore
from trust.witness.witnessing import Alarm

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass
class Stage:
    """A node whose checkpoints a registry witnesses."""

    instance: Instance
    node: NodeUnderTest
    pool: Pool
    registry: RegistryWitness
    url: str
    without: bool = False  # whether the registry's trust list has no servers

    @property
    def witnesses(self) -> Witnesses:
        return self.node.running.kept.witnesses

    @property
    def origin(self) -> str:
        return log_origin(self.node.server)

    def conf(self) -> GlobalConf:
        conf = self.instance.conf()
        if not self.without:
            return conf
        own = replace(conf.own, shared=replace(conf.own.shared, servers=()))
        return replace(conf, instances={conf.own_instance: own})

    async def round(self) -> None:
        """The interval is over, and the log has grown."""
        await add_leaves(self.pool, 5)
        await self.again()

    async def again(self) -> None:
        await self.pool.execute("UPDATE witness_peer SET tried = '-infinity'")
        await self.witnesses.rounds.once()

    async def newest(self) -> tuple[int, bytes]:
        found = await self.witnesses.transparency.newest()
        assert found is not None
        return found.size, found.note

    async def post(self, body: bytes) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/witness/checkpoint", data=body) as answer,
        ):
            return answer.status, (await answer.text()).strip()

    def announcer(self, server: ServerId | None = None) -> Announcer:
        running = self.node.running
        return Announcer(
            server or self.node.server,
            running.exchanges.evidence.signers,
            lambda: running.who.updater.conf,
            lambda: datetime.now(UTC),
        )


@pytest_asyncio.fixture
async def stage(
    tmp_path: Path, postgres_server: PostgresServer, database_dsn: str
) -> AsyncIterator[Stage]:
    registry_pool = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=4))
    await migrate(registry_pool, "registry", registry_app.MIGRATIONS)
    port = unused_port()
    async with Instance(tmp_path, postgres_server) as instance:
        node = await instance.add("MUNI", CONSUMER)
        settings = replace(
            node.settings.transparency,
            interval=timedelta(days=1),
            registry=f"http://127.0.0.1:{port}/",
            registry_key=RegistryKey.of(_KEY, instance.name).public.text,
        )
        node.settings = replace(node.settings, transparency=settings)
        found = Stage(
            instance,
            node,
            await open_pool(node.dsn, "sacbe-test", PoolSettings(max_connections=2)),
            RegistryWitness(
                WitnessStore(registry_pool), _KEY, lambda: found.conf(), lambda: datetime.now(UTC)
            ),
            f"http://127.0.0.1:{port}",
        )
        app = web.Application(client_max_size=0)
        found.registry.add_to(app)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await instance.start()
        await first_round(node)
        yield found
        await found.pool.close()
        await node.stop()
        await runner.cleanup()
    await registry_pool.close()


async def test_the_registry_keeps_and_cosigns_checkpoints(stage: Stage) -> None:
    size = 0
    for _ in range(3):
        await stage.round()
        (kept,) = await stage.registry.store.logs()
        size, _ = await stage.newest()
        assert (kept.origin, kept.size) == (stage.origin, size)
        assert stage.witnesses.warning() is None
    key = as_witness(RegistryKey.of(_KEY, stage.instance.name).public)
    line = await stage.pool.fetchrow("SELECT * FROM log_cosignature WHERE size = $1", size)
    assert line is not None
    assert (line["witness"], line["key"]) == ("sacbe-registry/TEST", key.text)


async def test_the_registry_raises_the_alarm_at_the_next_checkpoint(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.round()
    size, _ = await stage.newest()
    log = stage.witnesses.transparency
    other = Checkpoint(stage.origin, size, EMPTY_ROOT)
    note = sign_checkpoint(other, log.key.public, datetime.now(UTC), log.key.sign)
    await stage.pool.execute("UPDATE log_checkpoint SET note = $1", note.raw)
    await stage.round()
    (alarm,) = await stage.registry.store.alarms()
    assert (alarm.alarm, alarm.origin, alarm.note) == (Alarm.FORK, stage.origin, note.raw)
    assert alarm.source.startswith(b"PK")  # the container, for the proof
    assert "ALARM 1 (fork)" in caplog.text
    assert "sacbe-registry/TEST: fork" in str(stage.witnesses.warning())


async def test_a_checkpoint_whose_signature_was_broken_is_an_alarm(stage: Stage) -> None:
    await stage.round()
    size, note = await stage.newest()
    changed = note.replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1))
    await stage.pool.execute("UPDATE log_checkpoint SET note = $1", changed)
    await stage.again()
    (alarm,) = await stage.registry.store.alarms()
    assert alarm.alarm is Alarm.UNSIGNED


async def test_an_announcement_that_is_sent_again_does_nothing(stage: Stage) -> None:
    await stage.round()
    size, note = await stage.newest()
    key = stage.witnesses.transparency.key.public
    offer = CheckpointOffer(0, (), note)
    old = build_container(stage.announcer().container(key, offer))
    assert (await stage.post(old))[0] == 200
    await stage.round()
    grown, _ = await stage.newest()
    assert grown > size
    assert await stage.post(old) == (409, str(grown))
    assert await stage.registry.store.alarms() == []


async def test_only_the_owner_of_a_registered_node_is_heard(stage: Stage) -> None:
    await stage.round()
    _, note = await stage.newest()
    key = stage.witnesses.transparency.key.public
    offer = CheckpointOffer(0, (), note)
    stranger = ServerId(CONSUMER.member, "OTHER")
    for server, named, status, words in (
        (stranger, NoteKey(log_origin(stranger), key.kind, key.public), 403, "is not registered"),
        (stage.node.server, NoteKey("sacbe/TEST/GOV/1001/CIVIL", key.kind, key.public), 400, "own"),
    ):
        container = build_container(stage.announcer(server).container(named, offer))
        answer = await stage.post(container)
        assert answer[0] == status
        assert words in answer[1]
    good = stage.announcer().container(key, offer)
    forged = build_container(replace(good, message=good.message.replace(b"PUT", b"PuT")))
    assert (await stage.post(forged))[0] == 400
    changed = build_container(replace(good, message=good.message + b"X-More:1\r\n"))
    assert (await stage.post(changed))[0] == 400
    stage.without = True
    assert (await stage.post(build_container(good)))[0] == 403
    assert len(await stage.registry.store.logs()) == 1
    assert await stage.registry.store.alarms() == []


@pytest.mark.parametrize("body", [b"", b"x", b"PK\x03\x04" + bytes(1000), bytes(MAX_BODY + 1)])
async def test_garbage_is_refused(stage: Stage, body: bytes) -> None:
    status, _ = await stage.post(body)
    assert status == (413 if len(body) > MAX_BODY else 400)


async def test_a_registry_with_another_key_is_not_believed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.registry.private = Ed25519PrivateKey.generate()
    await stage.round()
    assert "signs with another key" in caplog.text
    assert await stage.pool.fetchval("SELECT count(*) FROM log_cosignature") == 0


async def test_a_registry_that_is_away_is_asked_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.pool.execute("UPDATE witness_peer SET tried = now()")
    store = stage.registry.store
    stage.registry.store = WitnessStore(stage.pool)  # which has the tables, too
    await stage.pool.execute("ALTER TABLE witnessed_log RENAME TO gone")
    await stage.round()
    assert "status 503" in caplog.text
    await stage.pool.execute("ALTER TABLE gone RENAME TO witnessed_log")
    stage.registry.store = store
    await stage.again()
    assert len(await store.logs()) == 1


async def test_a_running_registry_witnesses_by_the_list_that_it_publishes(
    database_dsn: str, tmp_path: Path
) -> None:
    port = unused_port()
    settings = RegistrySettings(
        address=f"127.0.0.1:{port}",
        data=tmp_path,
        keys=RegistryKeysSettings(folder=tmp_path / "keys", password_file=tmp_path / "none"),
        listen=RegistryListenSettings(host="127.0.0.1", port=port),
    )
    async with (
        open_registry(settings, database_dsn, b"open sesame") as parts,
        aiohttp.ClientSession() as session,
    ):
        now = datetime.now(UTC)
        await parts.registry.apply(example_records(), by="clerk", at=now)
        async with run_registry(parts) as running:
            assert PublishedList(running.publisher)() is None
            for path in ("/witness", "/witness/checkpoint"):
                method = "GET" if path == "/witness" else "POST"
                async with session.request(method, f"http://127.0.0.1:{port}{path}") as answer:
                    assert answer.status == 503
            for source in SOURCES:
                await parts.keys.create(source, "p256", now)
            await running.publisher.publish()
            published = PublishedList(running.publisher)
            conf = published()
            assert conf is not None
            assert conf.server(FIRST, now) is not None
            again = published()
            assert again is not None
            assert again.own.shared is conf.own.shared  # read once
            async with session.get(f"http://127.0.0.1:{port}/witness") as answer:
                assert answer.status == 200
                key = NoteKey.parse((await answer.text()).strip())
            assert key == RegistryKey.of(parts.witness_key, "TEST").public
            async with session.post(f"http://127.0.0.1:{port}/witness/checkpoint") as answer:
                assert answer.status == 400
