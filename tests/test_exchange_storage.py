"""What can't be kept does not happen: databases that are gone, spool folders that take nothing.

Source: design.md 3; errors.md 7.
"""

import asyncio
import contextlib
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.log.settings import MessageLogSettings
from node.spool import Spool
from scripts.postgres import PostgresServer
from tests.database_proxy import COMMIT, Cut, DatabaseProxy, database_proxy
from tests.drafts import SIGNATURE
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    ready,
    rest_service,
)
from tests.raw_http import RawMessage
from tests.scene import CLIENT, PATH, System, answering, call, records
from tests.simulator import LivePki, RogueConsumer, RogueProvider, exchange_id_of, fault_code
from trust.ids import ClientId

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = ClientId("TEST", "GOV", "1002", "other")
LARGE = bytes(700_000)
# probes come when a test wants them: they commit, too, and would be cut in place of a record
SETTINGS = MessageLogSettings(patience=timedelta(seconds=1), probe_interval=timedelta(hours=1))
LOST = "logging_failed.database_error"


@dataclass
class Stage:
    """Two nodes, each with its own way to its database, and a rogue that sees what leaves."""

    provider: NodeUnderTest
    consumer: NodeUnderTest
    provider_way: DatabaseProxy
    consumer_way: DatabaseProxy
    rogue: RogueProvider
    caller: RogueConsumer
    system: System

    async def call(
        self, message_id: str, body: bytes | None = None, target: str = PATH
    ) -> RawMessage:
        headers = (CLIENT, ("X-Road-Id", message_id))
        return await call(self.consumer, "POST", target, headers, body)

    async def kept(self, node: NodeUnderTest, message_id: str) -> list[bool]:
        """Which records a node has of a message: False for the request, True for the answer."""
        return [one.response for one in await records(node, message_id=message_id)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("storage")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url),),
            rights=(AccessRight(CONSUMER, SERVICE.service_code),),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        muni = await instance.add("MUNI", CONSUMER)
        other = await instance.add("OTHER", ELSEWHERE)
        ways = []
        for node in (civil, muni):
            sockets = stack.enter_context(tempfile.TemporaryDirectory())
            node.dsn, way = await stack.enter_async_context(database_proxy(node.dsn, Path(sockets)))
            node.settings = replace(node.settings, log=SETTINGS)
            ways.append(way)
        await instance.start(civil, muni)
        pki = LivePki.of(instance)
        rogue = RogueProvider(pki, other, instance.ports)
        await stack.enter_async_context(rogue.listening())
        caller = RogueConsumer(pki, muni, civil.address, instance.ports[0])
        yield Stage(civil, muni, ways[0], ways[1], rogue, caller, system)
        for member in reversed(instance.members):
            await member.stop()


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    module_stage.rogue.reset()
    return module_stage


async def reasons(node: NodeUnderTest) -> dict[str, str]:
    return dict((await node.running.health.readiness()).reasons)


async def back(node: NodeUnderTest, way: DatabaseProxy) -> None:
    way.open = True
    message_log = node.running.kept.log
    async with asyncio.timeout(20):
        while not message_log.healthy:
            message_log._probe_due = True
            message_log._wake.set()
            await asyncio.sleep(0.02)
    await ready(node)


# --- databases --------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, b"{}", LARGE])
async def test_without_the_consumer_s_database_no_signature_leaves(
    stage: Stage, body: bytes | None
) -> None:
    """The wire is looked at: a body may have gone by then, but nothing that anybody can prove."""
    said = bytearray()

    async def listening(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            said.extend(data)

    stage.rogue.visit = listening
    message_id = f"unsigned-{len(body or b'')}"
    path = f"/r1/{ELSEWHERE.path}/any"
    stage.consumer_way.close_all()
    try:
        answer = await stage.call(message_id, body, path)
        assert answer.status == 500
        assert answer.first("x-road-error") == f"server.clientproxy.{LOST}"
        assert "log" in await reasons(stage.consumer)
    finally:
        await back(stage.consumer, stage.consumer_way)
    assert (b"x-road-rest-body" in said) == (body is not None)
    assert SIGNATURE.encode() not in said
    assert b"SignatureValue" not in said
    assert await stage.kept(stage.consumer, message_id) == []


@pytest.mark.parametrize("body", [None, LARGE])
async def test_without_the_provider_s_database_the_system_is_not_called(
    stage: Stage, body: bytes | None
) -> None:
    message_id = f"uncalled-{len(body or b'')}"
    stage.provider_way.close_all()
    try:
        answer = await stage.call(message_id, body)
        assert answer.first("x-road-error") == f"server.serverproxy.{LOST}"
        assert "log" in await reasons(stage.provider)
    finally:
        await back(stage.provider, stage.provider_way)
    assert stage.system.connections == 0
    assert await stage.kept(stage.consumer, message_id) == [False]
    assert await stage.kept(stage.provider, message_id) == []
    assert (await stage.call(f"{message_id}-again", body)).status == 200


@pytest.mark.parametrize("answered", [b"", b"x", LARGE])
async def test_an_answer_that_can_not_be_logged_leaves_without_signature(
    stage: Stage, answered: bytes
) -> None:
    """The database is lost while the system works: what it did is done, and nobody says how."""

    def losing(_: RawMessage) -> bytes:
        stage.provider_way.close_all()
        return answering(answered)

    stage.system.answer = losing
    draft = stage.caller.draft("POST", PATH, b"{}")
    try:
        answer = await stage.caller.send(draft)
    finally:
        await back(stage.provider, stage.provider_way)
    assert fault_code(answer) == f"server.serverproxy.{LOST}"
    assert answer is not None
    assert b"SignatureValue" not in answer.body
    kept = await records(stage.provider, exchange_id=exchange_id_of(draft))
    assert [one.response for one in kept] == [False]
    assert len(stage.system.requests) == 1


async def test_a_consumer_is_told_of_an_answer_that_could_not_be_logged(stage: Stage) -> None:
    def losing(_: RawMessage) -> bytes:
        stage.provider_way.close_all()
        return answering(LARGE)

    stage.system.answer = losing
    try:
        answer = await stage.call("half", b"{}")
    finally:
        await back(stage.provider, stage.provider_way)
    assert answer.first("x-road-error") == f"server.serverproxy.{LOST}"
    assert await stage.kept(stage.consumer, "half") == [False]
    assert await stage.kept(stage.provider, "half") == [False]


async def test_an_answer_that_the_consumer_can_not_log_is_not_handed_on(stage: Stage) -> None:
    def losing(_: RawMessage) -> bytes:
        stage.consumer_way.close_all()
        return answering(b"secret")

    stage.system.answer = losing
    try:
        answer = await stage.call("unlogged", b"{}")
    finally:
        await back(stage.consumer, stage.consumer_way)
    assert answer.first("x-road-error") == f"server.clientproxy.{LOST}"
    assert b"secret" not in answer.body
    assert await stage.kept(stage.consumer, "unlogged") == [False]
    assert await stage.kept(stage.provider, "unlogged") == [False, True]


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
@pytest.mark.parametrize("side", ["consumer", "provider"])
async def test_a_connection_that_breaks_around_a_commit_loses_and_doubles_nothing(
    stage: Stage, side: str, cut: Cut
) -> None:
    way = stage.consumer_way if side == "consumer" else stage.provider_way
    message_id = f"{side}-{cut.name}"
    # a request is committed together with its replay key, a lone record by its own statement
    way.commit_mark = COMMIT if side == "provider" else message_id.encode()
    way.cut, before = cut, way.cuts
    answer = await stage.call(message_id, b"{}")
    assert way.cuts == before + 1
    assert answer.status == 200, answer.body
    assert len(stage.system.requests) == 1
    for node in (stage.consumer, stage.provider):
        assert await stage.kept(node, message_id) == [False, True]


# --- the spool --------------------------------------------------------------------------------


@contextlib.contextmanager
def no_spool(node: NodeUnderTest) -> Iterator[None]:
    """The folder is gone, as when its disk is."""
    folder = node.settings.data / "spool"
    shutil.rmtree(folder)
    try:
        yield
    finally:
        folder.mkdir(mode=0o700)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond 400 kB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_consumer_without_spool_carries_what_needs_none(stage: Stage) -> None:
    with no_spool(stage.consumer):
        answer = await stage.call("spool-large", LARGE)
        assert answer.first("x-road-error") == "server.clientproxy.logging_failed"
        assert "spool" in await reasons(stage.consumer)
        assert (await stage.call("spool-small", b"{}")).status == 200
    assert await stage.kept(stage.consumer, "spool-large") == []
    assert len(stage.system.requests) == 1
    assert await reasons(stage.consumer) == {}
    assert (await stage.call("spool-again", LARGE)).status == 200


async def test_a_provider_without_spool_refuses_before_its_system_is_called(stage: Stage) -> None:
    with no_spool(stage.provider):
        answer = await stage.call("provider-spool", LARGE)
        assert answer.first("x-road-error") == "server.serverproxy.logging_failed"
        assert "spool" in await reasons(stage.provider)
    assert stage.system.connections == 0
    assert await stage.kept(stage.provider, "provider-spool") == []
    assert (await stage.call("provider-again", LARGE)).status == 200


async def test_a_large_answer_needs_the_spool_of_both(stage: Stage) -> None:
    stage.system.answer = lambda _: answering(LARGE)
    for node, code in (
        (stage.provider, "server.serverproxy.logging_failed"),
        (stage.consumer, "server.clientproxy.logging_failed"),
    ):
        message_id = f"answer-{code}"
        with no_spool(node):
            answer = await stage.call(message_id, b"{}")
        assert answer.first("x-road-error") == code
        assert await stage.kept(node, message_id) == [False]
    assert (await stage.call("answer-again", b"{}")).body == LARGE


async def test_a_full_disk_is_told_and_leaves_nothing(stage: Stage) -> None:
    with full_disk():
        answer = await stage.call("full", LARGE)
        assert answer.first("x-road-error") == "server.clientproxy.logging_failed"
        draft = stage.caller.draft("POST", PATH, LARGE)
        code = fault_code(await stage.caller.send(draft))
        assert code == "server.serverproxy.logging_failed"
        for node in (stage.consumer, stage.provider):
            assert await reasons(node) == {
                "spool": "The spool folder is full; the body can't be kept"
            }
    assert stage.system.connections == 0
    assert await stage.kept(stage.consumer, "full") == []
    assert await records(stage.provider, exchange_id=exchange_id_of(draft)) == ()
    assert (await stage.call("not-full", LARGE)).status == 200


async def test_a_disk_that_is_nearly_full_is_told_beforehand(tmp_path: Path) -> None:
    assert await Spool(tmp_path, 1 << 30, 1 << 16, 0).problem() is None
    problem = await Spool(tmp_path, 1 << 30, 1 << 16, 1 << 62).problem()
    assert problem == "The spool folder's disk is nearly full; the body can't be kept"
