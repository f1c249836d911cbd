"""Who may call whom, and how they are told apart: connections, certificates, rights, servers.

Source: messages.md 7, 8; transport.md 2, 7, 12.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient, LocalGroup
from node.network.tls import TlsIdentity, system_client
from scripts.postgres import PostgresServer
from tests.drafts import split_parts
from tests.instance import (
    CONSUMER,
    PROVIDER,
    Instance,
    NodeUnderTest,
    rest_service,
)
from tests.raw_http import RawMessage, read_message
from tests.scene import System, call, records, unexpected
from tests.simulator import LivePki, RogueConsumer, RogueProvider, exchange_id_of
from tests.tls_certificates import Issued, identity, issue
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import SignedMessage
from trust.evidence.signature_verifier import verify_signature
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServerId
from trust.report import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTTP, NO_AUTH, HTTPS = ConnectionType.HTTP, ConnectionType.HTTPS_NO_AUTH, ConnectionType.HTTPS
TLS = "ssl_authentication_failed"
KNOWN, OTHER = issue("a system"), issue("another system")
SYSTEM_TLS = issue("the provider's system")


def client(code: str) -> ClientId:
    return replace(CONSUMER, subsystem_code=code)


FREE, SHY, PROVEN, BARE = (client(code) for code in ("free", "shy", "proven", "bare"))
GROUPED, NEIGHBOUR = client("grouped"), client("neighbour")
STANDBY, MISPINNED, UNPINNED = (
    replace(PROVIDER, subsystem_code=code) for code in ("standby", "mispinned", "unpinned")
)


@dataclass
class Stage:
    """A provider with two nodes, a consumer's node with many clients, and the systems.

    Attributes:
        rogue: misbehaves on request; a third server, for the subsystem `standby` that it shares
            with the first node.
    """

    instance: Instance
    first: NodeUnderTest
    second: NodeUnderTest
    consumer: NodeUnderTest
    rogue: RogueProvider
    pki: LivePki
    system: System
    secure: System

    async def call(self, caller: ClientId = FREE, service: str = "open") -> RawMessage:
        headers = [("X-Road-Client", caller.path)]
        return await call(self.consumer, "GET", f"/r1/{PROVIDER.path}/{service}", headers)


def offered(system: System, secure: System) -> list[HostedClient]:
    https = f"https://127.0.0.1:{secure.port}/api"
    group = GlobalGroupId("TEST", "grouped")
    everybody = (FREE, SHY, PROVEN, BARE, CONSUMER)
    codes = ("open", "pinned", "unverified")
    services = (
        *(rest_service(system.url, code) for code in ("open", "byglobal", "bylocal", "bymember")),
        rest_service(https, "pinned"),
        rest_service(https, "unverified", verify_tls=False),
    )
    rights = (
        *(AccessRight(one, code) for one in everybody for code in codes),
        AccessRight(group, "byglobal"),
        AccessRight(LocalGroupId("neighbours"), "bylocal"),
        AccessRight(CONSUMER.member, "bymember"),
    )
    neighbours = LocalGroup("neighbours", "", frozenset({NEIGHBOUR}))

    def alone(provider: ClientId, url: str, *certificates: bytes) -> HostedClient:
        one = rest_service(url, "open")
        return HostedClient(
            provider,
            connection=HTTP,
            certificates=certificates,
            services=(replace(one, id=replace(one.id, provider=provider)),),
            rights=(AccessRight(FREE, "open"),),
        )

    return [
        HostedClient(
            PROVIDER,
            connection=HTTP,
            certificates=(OTHER.der, SYSTEM_TLS.der),
            services=services,
            local_groups=(neighbours,),
            rights=rights,
        ),
        alone(STANDBY, system.url),
        alone(MISPINNED, https, OTHER.der),
        alone(UNPINNED, https),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("access")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_NONE
        identity(SYSTEM_TLS).load_into(context)
        secure = await stack.enter_async_context(System().listening(context))
        first = await instance.add("FIRST", PROVIDER, hosted=offered(system, secure))
        second = await instance.add("SECOND", PROVIDER, hosted=offered(system, secure))
        third = await instance.add("THIRD", STANDBY)
        first.entry = replace(first.entry, clients=(PROVIDER, STANDBY, MISPINNED, UNPINNED))
        hosted = [
            HostedClient(FREE, connection=HTTP),
            HostedClient(SHY, connection=NO_AUTH),
            HostedClient(PROVEN, connection=HTTPS, certificates=(KNOWN.der,)),
            HostedClient(BARE, connection=HTTPS),
            *(HostedClient(one, connection=HTTP) for one in (GROUPED, NEIGHBOUR)),
            HostedClient(CONSUMER, connection=HTTP),
            HostedClient(CONSUMER.member, connection=HTTP),
        ]
        muni = await instance.add(
            "MUNI", CONSUMER, hosted=hosted, hash_chain_servers=(second.server,)
        )
        muni.entry = replace(
            muni.entry, clients=(CONSUMER, FREE, SHY, PROVEN, BARE, GROUPED, NEIGHBOUR)
        )
        instance.groups["grouped"] = frozenset({GROUPED})
        await instance.start(first, second, muni)
        pki = LivePki.of(instance)
        rogue = RogueProvider(pki, third, instance.ports)
        await stack.enter_async_context(rogue.listening())
        yield Stage(instance, first, second, muni, rogue, pki, system, secure)


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    for one in (module_stage.system, module_stage.secure, module_stage.rogue):
        one.reset()
    return module_stage


# --- how information systems are told apart ---------------------------------------------------


def shows(issued: Issued | TlsIdentity | None) -> ssl.SSLContext:
    return system_client(identity(issued) if isinstance(issued, Issued) else issued)


@pytest.mark.parametrize(
    ("caller", "plain", "nothing", "known", "other"),
    [
        (FREE, "", "", "", ""),
        (SHY, "specifies HTTPS NO AUTH but client made plaintext connection", "", "", ""),
        (
            PROVEN,
            "specifies HTTPS but did not supply TLS certificate",
            "specifies HTTPS but did not supply TLS certificate",
            "",
            "TLS certificate does not match any IS certificates",
        ),
        (
            BARE,
            "specifies HTTPS but did not supply TLS certificate",
            "specifies HTTPS but did not supply TLS certificate",
            "has no IS certificates",
            "has no IS certificates",
        ),
    ],
)
async def test_connections_of_information_systems(
    stage: Stage, caller: ClientId, plain: str, nothing: str, known: str, other: str
) -> None:
    own = stage.consumer.running.who.internal
    path = f"/r1/{PROVIDER.path}/open"
    headers = [("X-Road-Client", caller.path)]
    for tls, problem in (
        (None, plain),
        (shows(None), nothing),
        (shows(KNOWN), known),
        (shows(OTHER), other),
        (shows(own), ""),  # the node's own certificate may always speak
    ):
        stage.system.reset()
        answer = await call(stage.consumer, "GET", path, headers, tls=tls)
        if not problem:
            assert answer.status == 200, answer.body
            continue
        assert answer.first("x-road-error") == f"server.clientproxy.{TLS}"
        assert json.loads(answer.body)["message"].startswith(f"Client ({caller}) {problem}")
        assert stage.system.connections == 0


@pytest.mark.parametrize(
    ("provider", "service", "problem"),
    [
        (PROVIDER, "pinned", ""),
        (PROVIDER, "unverified", ""),
        (MISPINNED, "open", "IS certificate is not trusted"),
        (UNPINNED, "open", f"Client '{UNPINNED}' has no IS certificates"),
    ],
)
async def test_tls_to_the_provider_s_system(
    stage: Stage, provider: ClientId, service: str, problem: str
) -> None:
    headers = [("X-Road-Client", FREE.path)]
    answer = await call(stage.consumer, "GET", f"/r1/{provider.path}/{service}", headers)
    if not problem:
        assert answer.status == 200, answer.body
        assert stage.secure.last.target == "/api"
        return
    assert answer.first("x-road-error") == f"server.serverproxy.{TLS}"
    assert json.loads(answer.body)["message"] == problem
    assert stage.secure.requests == []


# --- rights -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "service", "allowed"),
    [
        (GROUPED, "byglobal", True),
        (FREE, "byglobal", False),
        (NEIGHBOUR, "bylocal", True),
        (GROUPED, "bylocal", False),
        (CONSUMER.member, "bymember", True),
        (CONSUMER, "bymember", False),  # a member's right is not its subsystem's
        (CONSUMER.member, "open", False),  # nor the other way round
        (FREE, "open", True),
    ],
)
async def test_rights_of_subsystems_groups_and_members(
    stage: Stage, caller: ClientId, service: str, allowed: bool
) -> None:
    answer = await stage.call(caller, service)
    if allowed:
        assert answer.status == 200, answer.body
    else:
        assert answer.first("x-road-error") == "server.serverproxy.access_denied"
        assert stage.system.connections == 0


async def test_a_right_that_is_taken_away_ends_with_the_next_call(stage: Stage) -> None:
    hosted = offered(stage.system, stage.secure)
    assert (await stage.call()).status == 200
    for node in (stage.first, stage.second):
        await stage.instance.apply(node, [replace(hosted[0], rights=()), *hosted[1:]])
    answer = await stage.call()
    assert answer.first("x-road-error") == "server.serverproxy.access_denied"
    for node in (stage.first, stage.second):
        await stage.instance.apply(node, hosted)
    assert (await stage.call()).status == 200


# --- which server -----------------------------------------------------------------------------


async def test_the_server_that_is_named_is_asked_and_no_other(stage: Stage) -> None:
    for node in (stage.first, stage.second):
        named = ("X-Road-Security-Server", node.server.path)
        message = ("X-Road-Id", f"named-{node.server.server_code}")
        headers = [("X-Road-Client", FREE.path), named, message]
        answer = await call(stage.consumer, "GET", f"/r1/{PROVIDER.path}/open", headers)
        assert answer.status == 200
        kept = await records(stage.consumer, message_id=message[1])
        assert {one.peer for one in kept} == {str(node.server)}
        assert len(await records(node, message_id=message[1])) == 2


async def test_old_servers_get_hash_chains_and_others_references(stage: Stage) -> None:
    for node, chained in ((stage.first, False), (stage.second, True)):
        message = ("X-Road-Id", f"form-{node.server.server_code}")
        named = ("X-Road-Security-Server", node.server.path)
        headers = [("X-Road-Client", FREE.path), named, message]
        path = f"/r1/{PROVIDER.path}/open"
        answer = await call(stage.consumer, "POST", path, headers, b"{}")
        assert answer.status == 200, answer.body
        for side in (stage.consumer, node):
            request, response = await records(side, message_id=message[1])
            assert (request.hash_chain is not None) == chained
            assert (request.hash_chain_result is not None) == chained
            assert response.hash_chain is None


@pytest.mark.parametrize(("version", "chained"), [("7.5.1", True), ("7.6.0", False), ("", False)])
async def test_old_consumers_are_answered_with_hash_chains(
    stage: Stage, version: str, chained: bool
) -> None:
    rogue = RogueConsumer(stage.pki, stage.consumer, stage.first.address, stage.instance.ports[0])
    draft = rogue.draft("POST", f"/r1/{PROVIDER.path}/open", b"{}", client=FREE)
    draft.headers["x-proxy-version"] = version
    answer = await rogue.send(draft)
    assert answer is not None
    parts = {part.content_type: part.data for part in split_parts(answer)}
    assert ("application/hash-chain" in parts) == chained
    head, body = parts["application/x-road-rest-response"], parts["application/x-road-rest-body"]
    message = SignedMessage(
        parts["signature/bdoc-1.0/ts"],
        {
            "/message.xml": PartDigest.of("/message.xml", head),
            "/attachment1": PartDigest.of("/attachment1", body),
        },
        hash_chain_result=parts.get("application/hash-chain-result"),
        hash_chain=parts.get("application/hash-chain"),
    )
    conf, at = stage.instance.conf(), stage.pki.at
    assert verify_signature(message, PROVIDER, conf, at).verdict is Outcome.PASSED
    assert len(await records(stage.first, exchange_id=exchange_id_of(draft))) == 2


async def test_faults_are_spelled_as_the_peer_spells_them(stage: Stage) -> None:
    rogue = RogueConsumer(stage.pki, stage.consumer, stage.first.address, stage.instance.ports[0])
    for version, code in (
        ("7.7.1", "Server.ServerProxy.UnknownService"),
        ("7.8.0", "server.serverproxy.unknown_service"),
        ("8.0.0-beta1", "server.serverproxy.unknown_service"),
    ):
        draft = rogue.draft("GET", f"/r1/{PROVIDER.path}/none", client=FREE)
        draft.headers["x-proxy-version"] = version
        answer = await rogue.send(draft)
        assert answer is not None
        assert f"<faultcode>{code}</faultcode>".encode() in answer.body


async def test_a_server_that_is_down_is_not_noticed(stage: Stage) -> None:
    await stage.first.stop()
    try:
        answers = [await stage.call() for _ in range(4)]
    finally:
        await stage.first.start()
    assert [answer.status for answer in answers] == [200] * 4
    assert len(stage.system.requests) == 4


async def test_a_server_in_maintenance_is_not_asked(stage: Stage) -> None:
    before = stage.first.entry
    stage.first.entry = replace(before, maintenance="new disks")
    await stage.instance.publish()
    for number in range(3):
        headers = [("X-Road-Client", FREE.path), ("X-Road-Id", f"maintained-{number}")]
        assert (
            await call(stage.consumer, "GET", f"/r1/{PROVIDER.path}/open", headers)
        ).status == 200
        kept = await records(stage.consumer, message_id=f"maintained-{number}")
        assert {one.peer for one in kept} == {str(stage.second.server)}
    stage.first.entry = before
    await stage.instance.publish()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 404 No\r\n\r\n"])
async def test_no_other_server_is_asked_once_a_request_was_sent(stage: Stage, says: bytes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await read_message(reader)) is not None
        writer.write(says)
        await writer.drain()

    stage.rogue.visit = cut
    reputation = stage.consumer.running.exchanges.peers._reputation
    reputation.forget_all_but([])
    reputation.failed(stage.first.server)  # so the rogue is asked first
    headers = [("X-Road-Client", FREE.path)]
    answer = await call(stage.consumer, "POST", f"/r1/{STANDBY.path}/open", headers, b"{}")
    assert answer.status == 500
    assert stage.rogue.connections == 1
    assert stage.system.connections == 0
    answer = await call(stage.consumer, "POST", f"/r1/{STANDBY.path}/open", headers, b"{}")
    assert answer.status == 200  # by now the rogue is the worse one
    assert len(stage.system.requests) == 1


@pytest.mark.parametrize("hangs", ["handshake", "certificate"])
async def test_another_server_is_asked_while_nothing_was_sent(stage: Stage, hangs: str) -> None:
    reputation = stage.consumer.running.exchanges.peers._reputation
    reputation.forget_all_but([])
    reputation.failed(stage.first.server)
    if hangs == "handshake":
        stage.rogue.listener.replace(None)
    else:
        stage.rogue.show(stage.pki.auth(ServerId(PROVIDER.member, "UNREGISTERED")))
    headers = [("X-Road-Client", FREE.path)]
    answer = await call(stage.consumer, "POST", f"/r1/{STANDBY.path}/open", headers, b"{}")
    assert answer.status == 200, answer.body
    assert stage.rogue.asked == []
    assert len(stage.system.requests) == 1
