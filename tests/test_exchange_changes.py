"""What changes while nodes run: the trust list ends, certificates are replaced, callers go away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from scripts.postgres import PostgresServer
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    ready,
    rest_service,
    utc_now,
)
from tests.raw_http import RawMessage, build_head, connected, read_message
from tests.scene import CLIENT, PATH, System, answering, call, records
from tests.simulator import LivePki, RogueConsumer, exchange_id_of, fault_code
from trust.pki.certificates import certificate_hash
from trust.pki.keystore import KeyStore

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(2000):
        if happened():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it does not happen")


def believes(node: NodeUnderTest) -> bool:
    conf = node.running.who.updater.conf
    return conf is not None and conf.valid(utc_now())


@dataclass
class Stage:
    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    caller: RogueConsumer
    system: System

    @property
    def nodes(self) -> tuple[NodeUnderTest, NodeUnderTest]:
        return self.provider, self.consumer

    async def quiet(self) -> None:
        """Wait until both nodes are at work for nobody."""
        for node, role in ((self.consumer, "consumer"), (self.provider, "provider")):
            read = node.running.metrics.registry.get_sample_value
            await until(lambda: not read("sacbe_exchanges_running", {"role": role}))  # noqa: B023


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("changes")
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
        await instance.start()
        caller = RogueConsumer(LivePki.of(instance), muni, civil.address, instance.ports[0])
        yield Stage(instance, civil, muni, caller, system)


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


# --- the trust list ---------------------------------------------------------------------------


async def test_without_a_valid_trust_list_nothing_is_exchanged(stage: Stage) -> None:
    instance = stage.instance
    before = instance.valid_for
    instance.valid_for = timedelta(seconds=2.5 - instance._generation - 1)  # publish adds seconds
    await instance.publish()
    await until(lambda: not any(believes(node) for node in stage.nodes))
    stage.system.reset()
    answer = await call(stage.consumer)
    assert answer.first("x-road-error") == "server.clientproxy.global_conf_outdated"
    assert json.loads(answer.body)["message"] == "Global configuration is expired"
    draft = stage.caller.draft("GET", PATH)
    code = fault_code(await stage.caller.send(draft))
    assert code == "server.serverproxy.global_conf_outdated"
    assert await records(stage.provider, exchange_id=exchange_id_of(draft)) == ()
    assert stage.system.connections == 0
    for node in stage.nodes:
        assert "configuration" in (await node.running.health.readiness()).reasons
    instance.valid_for = before
    await instance.publish()
    assert (await call(stage.consumer)).status == 200
    for node in stage.nodes:
        await ready(node)


async def test_a_server_that_leaves_the_trust_list_is_neither_asked_nor_answered(
    stage: Stage,
) -> None:
    muni, civil = stage.consumer, stage.provider
    assert (await call(muni)).status == 200
    before = civil.entry
    civil.entry = replace(before, clients=())
    await stage.instance.publish()
    answer = await call(muni)
    assert answer.first("x-road-error") == "server.clientproxy.unknown_member"
    civil.entry = before
    consumer_before = muni.entry
    muni.entry = replace(consumer_before, clients=())
    await stage.instance.publish()
    stage.system.reset()
    answer = await call(muni)  # over a connection that was good before
    code = "server.serverproxy.service_failed.ssl_authentication_failed"
    assert answer.first("x-road-error") == code
    assert stage.system.connections == 0
    muni.entry = consumer_before
    await stage.instance.publish()
    assert (await call(muni)).status == 200


# --- certificates -----------------------------------------------------------------------------


async def replaced_auth(stage: Stage, node: NodeUnderTest) -> bytes:
    """Make a node another authentication key, as an operator would beside the running node."""
    store = KeyStore.open(node.settings.keys.folder, b"not secret")
    certificate = stage.instance._certified(store, "auth", node.client.member, node.server)
    old = node.entry.auth_cert_hashes
    node.entry = replace(
        node.entry, auth_cert_hashes=(*old, certificate_hash(certificate, "sha256"))
    )
    await stage.instance.publish()
    node.running.who.identity.update()
    await node.running.who.ocsp.update()
    return certificate_hash(certificate, "sha256")


def shown_by(node: NodeUnderTest) -> tuple[bytes, ...]:
    node.running.who.identity.update()
    shown = node.running.who.identity.current
    return () if shown is None else (certificate_hash(shown.certificate, "sha256"),)


async def shows(node: NodeUnderTest, expected: tuple[bytes, ...]) -> None:
    """Wait until a node shows this certificate: OCSP responses come when they come."""
    deadline = asyncio.get_running_loop().time() + 20
    while shown_by(node) != expected:
        assert asyncio.get_running_loop().time() < deadline, node.running.who.ocsp.problems
        await node.running.who.ocsp.update()
        await asyncio.sleep(0.1)


async def test_a_certificate_that_counts_no_longer_is_replaced_at_once(stage: Stage) -> None:
    node = stage.provider
    before = node.entry
    new = await replaced_auth(stage, node)
    assert shown_by(node) == before.auth_cert_hashes
    node.entry = replace(before, auth_cert_hashes=(new,))
    await stage.instance.publish()
    await shows(node, (new,))
    assert (await call(stage.consumer)).status == 200
    node.entry = before
    await stage.instance.publish()
    await shows(node, before.auth_cert_hashes)
    assert (await call(stage.consumer)).status == 200


@pytest.mark.parametrize("side", ["provider", "consumer"])
async def test_an_authentication_certificate_is_replaced_while_exchanges_go_on(
    stage: Stage, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = stage.provider if side == "provider" else stage.consumer
    going_on = True
    told: list[str | None] = []
    before = node.entry

    async def calling() -> None:
        while going_on:
            told.append((await call(stage.consumer, "POST", body=b"{}")).first("x-road-error"))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        callers = [group.create_task(calling()) for _ in range(2)]
        new = await replaced_auth(stage, node)
        assert shown_by(node) == before.auth_cert_hashes  # others may not know the new one yet
        monkeypatch.setattr(node.running.who.identity, "settling", timedelta(0))
        await shows(node, (new,))
        await asyncio.sleep(0.2)
        node.entry = replace(node.entry, auth_cert_hashes=node.entry.auth_cert_hashes[-1:])
        await stage.instance.publish()  # the old one counts no longer, kept connections or not
        await asyncio.sleep(0.2)
        going_on = False
        await asyncio.gather(*callers)
    assert set(told) == {None}
    assert len(told) > 4
    node.entry = before
    await stage.instance.publish()
    node.running.who.identity.update()
    assert (await call(stage.consumer)).status == 200


async def test_a_client_that_leaves_while_its_message_comes_is_refused(stage: Stage) -> None:
    draft = stage.caller.draft("POST", PATH, bytes(50_000))
    wire = draft.http()
    node, before = stage.consumer, stage.consumer.entry
    async with stage.caller.connected() as (reader, writer):
        writer.write(wire[:40_000])  # its head has been judged by now
        await asyncio.sleep(0.3)
        node.entry = replace(before, clients=())
        await stage.instance.publish()
        writer.write(wire[40_000:])
        answer = await read_message(reader, answer_to="POST")
    node.entry = before
    await stage.instance.publish()
    assert fault_code(answer) == "server.serverproxy.service_failed.ssl_authentication_failed"
    assert await records(stage.provider, exchange_id=exchange_id_of(draft)) == ()
    assert stage.system.requests == []
    assert (await call(stage.consumer)).status == 200


async def test_a_node_without_an_authentication_certificate_calls_nobody(stage: Stage) -> None:
    node, before = stage.consumer, stage.consumer.entry
    node.entry = replace(before, auth_cert_hashes=())
    await stage.instance.publish()
    assert shown_by(node) == ()
    answer = await call(node)
    assert answer.first("x-road-error") == "server.clientproxy.ssl_authentication_failed"
    text = "Security server has no authentication certificate"
    assert json.loads(answer.body)["message"] == text
    assert "identity" in (await node.running.health.readiness()).reasons
    node.entry = before
    await stage.instance.publish()
    await shows(node, before.auth_cert_hashes)
    assert (await call(node)).status == 200


@pytest.mark.parametrize("side", ["provider", "consumer"])
async def test_a_member_without_a_signing_key_exchanges_nothing(stage: Stage, side: str) -> None:
    node = stage.provider if side == "provider" else stage.consumer
    keys = node.running.who.keys
    signing = next(entry for entry in keys.entries if entry.use == "sign")
    keys.set_active(signing.id, False)
    await stage.instance.publish()  # what was found out about keys is forgotten
    answer = await call(stage.consumer, headers=(CLIENT, ("X-Road-Id", f"unsigned-{side}")))
    code = {
        "provider": "server.serverproxy.service_failed.cannot_create_signature",
        "consumer": "server.clientproxy.cannot_create_signature",
    }[side]
    assert answer.first("x-road-error") == code
    assert "is not active" in json.loads(answer.body)["message"]
    assert stage.system.connections == 0
    assert await records(stage.provider, message_id=f"unsigned-{side}") == ()
    assert "signing" in (await node.running.health.readiness()).reasons
    keys.set_active(signing.id, True)
    await stage.instance.publish()
    assert (await call(stage.consumer)).status == 200


# --- callers that go away ---------------------------------------------------------------------


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname in ("ERROR", "CRITICAL")]


def wire(message_id: str, length: int) -> bytes:
    headers = [CLIENT, ("Host", "x"), ("X-Road-Id", message_id), ("Content-Length", str(length))]
    return build_head(f"POST {PATH} HTTP/1.1", headers)


async def test_a_system_that_goes_away_while_it_sends_leaves_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    port = stage.consumer.running.ports["systems http"].number
    async with connected("127.0.0.1", port) as (_, writer):
        writer.write(wire("gone-sending", 100_000) + bytes(50_000))
        await writer.drain()
        await asyncio.sleep(0.1)
    await stage.quiet()
    for node in stage.nodes:
        assert await records(node, message_id="gone-sending") == ()
    assert stage.system.connections == 0
    assert errors(caplog) == []


async def test_an_exchange_is_completed_though_its_system_has_gone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()

    async def waiting(_: RawMessage) -> bytes:
        await gone.wait()
        return answering(bytes(100_000))

    stage.system.answer = waiting
    port = stage.consumer.running.ports["systems http"].number
    async with connected("127.0.0.1", port) as (_, writer):
        writer.write(wire("gone-waiting", 2) + b"{}")
        await until(lambda: bool(stage.system.requests))
    gone.set()
    await stage.quiet()
    for node in stage.nodes:
        kept = await records(node, message_id="gone-waiting")
        assert [one.response for one in kept] == [False, True]
    assert errors(caplog) == []


async def test_a_system_that_goes_away_while_it_is_answered(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.system.answer = lambda _: answering(bytes(20_000_000))
    port = stage.consumer.running.ports["systems http"].number
    async with asyncio.timeout(20), connected("127.0.0.1", port) as (reader, writer):
        writer.write(wire("gone-reading", 2) + b"{}")
        await reader.readexactly(100_000)
    await stage.quiet()
    for node in stage.nodes:
        kept = await records(node, message_id="gone-reading")
        assert [one.response for one in kept] == [False, True]
    assert errors(caplog) == []


async def test_a_peer_that_goes_away_while_the_system_works(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It acted on a request that the log has; an answer that nobody takes is not signed."""
    gone = asyncio.Event()

    async def waiting(_: RawMessage) -> bytes:
        await gone.wait()
        return answering(b"done")

    stage.system.answer = waiting
    draft = stage.caller.draft("POST", PATH, b"{}")
    async with stage.caller.connected() as (_, writer):
        writer.write(draft.http())
        await until(lambda: bool(stage.system.requests))
    gone.set()
    await stage.quiet()
    kept = await records(stage.provider, exchange_id=exchange_id_of(draft))
    assert [one.response for one in kept] == [False]
    assert len(stage.system.requests) == 1
    assert errors(caplog) == []


async def test_a_slow_system_keeps_nobody_else_waiting(stage: Stage) -> None:
    slow = asyncio.Event()

    async def some_wait(request: RawMessage) -> bytes:
        if request.target.endswith("/slow"):
            await slow.wait()
        return answering()

    stage.system.answer = some_wait
    waiting = asyncio.create_task(call(stage.consumer, "GET", f"{PATH}/slow"))
    answers = await asyncio.gather(*(call(stage.consumer) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert not waiting.done()
    slow.set()
    assert (await waiting).status == 200
