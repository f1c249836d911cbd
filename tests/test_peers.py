"""Reaching other nodes: real TLS, real OCSP ports, servers that are away, wrong, or slow."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from node.network.ocsp_responder import OcspResponder
from node.network.peers import PeerAddress, PeerRoutes, Peers
from node.network.tls import TlsIdentity, peers_listener
from scripts.issuing import Identity
from tests.pki import NOON, Pki
from tests.scripted_server import OK, Scripted, answering, serving
from trust.errors import ExchangeError, NetworkFailure, UntrustedPeer
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId, ServerId, ServiceId
from trust.pki.certificates import certificate_hash
from trust.pki.identities import AuthIdentity
from trust.pki.ocsp import CertificateStatus

CONSUMER = ClientId("TEST", "GOV", "2")
OWNER = ClientId("TEST", "GOV", "1")
REGISTRY = ClientId("TEST", "GOV", "1", "registry")
ARCHIVE = ClientId("TEST", "GOV", "1", "archive")
SERVICE = ServiceId(REGISTRY, "people")
PKI = Pki()
PKI_BELOW = Pki(intermediate=True)
HEADERS = (("x-proxy-version", "7.8.0"),)


def server_id(code: str) -> ServerId:
    return ServerId(OWNER, code)


@dataclass
class Node:
    """A provider's node: a message port that follows a script, and an OCSP port."""

    server: Server
    auth: Identity
    pki: Pki = field(default_factory=lambda: PKI)
    messages: Scripted = field(default_factory=Scripted)
    ocsp_port: int = 0
    ocsp_asked: int = 0
    ocsp: bytes = b""
    gate: asyncio.Barrier | None = None

    @property
    def address(self) -> PeerAddress:
        return PeerAddress("127.0.0.1", self.messages.port, self.ocsp_port)

    async def handle_ocsp(self, request: web.BaseRequest) -> web.StreamResponse:
        """Port 5577; with a gate, nothing is answered before it opens."""
        if self.gate is not None:
            await self.gate.wait()
        return await OcspResponder(self.find_ocsp).handle(request)

    def find_ocsp(self, digest: str) -> bytes | None:
        self.ocsp_asked += 1
        for certificate in (self.auth.certificate, *self.pki.chain):
            if digest == certificate_hash(certificate, "sha1").hex():
                if certificate is self.auth.certificate:
                    return self.ocsp
                return self.pki.ocsp(certificate, issuer=self.pki.root)
        return None


Script = Callable[[Scripted, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def listening_identity(auth: Identity, chain: Sequence[object] = ()) -> TlsIdentity:
    return TlsIdentity.from_key((auth.certificate, *chain), auth.key.private_key)  # type: ignore[arg-type]  # certificates


@asynccontextmanager
async def node(
    code: str,
    script: Script | None = None,
    *,
    pki: Pki = PKI,
    clients: Sequence[ClientId] = (REGISTRY,),
    tls: ssl.SSLContext | None = None,
    shows: Identity | None = None,
    gate: asyncio.Barrier | None = None,
) -> AsyncIterator[Node]:
    """A node of the provider; `shows` is what it presents instead of its own certificate."""
    auth = pki.auth(server_id(code))
    server = pki.server(server_id(code), auth, clients=clients, address=f"{code}.example")
    found = Node(server, auth, pki, ocsp=pki.ocsp(auth.certificate), gate=gate)
    context = tls or peers_listener(listening_identity(shows or auth, pki.chain)).context
    runner = web.ServerRunner(web.Server(found.handle_ocsp))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.ocsp_port = runner.addresses[0][1]
    try:
        async with serving(script or answering(*[OK] * 100), context) as messages:
            found.messages = messages
            yield found
    finally:
        await runner.cleanup()


def own_identity(pki: Pki = PKI) -> AuthIdentity:
    own = pki.auth(ServerId(CONSUMER, "OWN"))
    return AuthIdentity(own.key, own.certificate, (), (b"own ocsp",))


@asynccontextmanager
async def peers_of(*nodes: Node, routes: PeerRoutes | None = None) -> AsyncIterator[Peers]:
    addresses = {one.server.address or "": one.address for one in nodes}
    base = routes or PeerRoutes(connect=timedelta(seconds=5))
    own = own_identity()
    found = Peers(replace(base, addresses={**base.addresses, **addresses}), lambda: own)
    try:
        yield found
    finally:
        await found.close()
        assert (found.idle, found.in_use) == (0, 0)


def conf_of(*servers: Server, pki: Pki = PKI, number: int = 1) -> GlobalConf:
    members = {OWNER: ("registry", "archive"), CONSUMER: ()}
    return pki.conf(members, servers, number=number)


async def pieces(*found: bytes) -> AsyncIterator[bytes]:
    for one in found:
        yield one


async def ask(
    peers: Peers,
    conf: GlobalConf,
    *,
    service: ServiceId = SERVICE,
    target: str | None = None,
    at: datetime = NOON,
) -> str:
    """One exchange; the code of the server that answered."""
    wanted = None if target is None else server_id(target)
    async with peers.reach(service, wanted, conf, at) as peer:
        answer = await peer.send(HEADERS, b"request")
        assert await answer.read(100) == b"hi"
        return peer.server.id.server_code


async def refused(peers: Peers, conf: GlobalConf, *, target: str | None = None) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        await ask(peers, conf, target=target)
    return caught.value


async def test_a_provider_is_reached_judged_and_asked() -> None:
    async with node("A") as a, peers_of(a) as peers:
        assert await ask(peers, conf_of(a.server)) == "A"
        (request,) = a.messages.requests
        assert request == (
            b"POST / HTTP/1.1\r\nHost: A.example:5500\r\nx-proxy-version: 7.8.0\r\n"
            b"Content-Length: 7\r\n\r\nrequest"
        )
        assert peers.own_ocsp_responses() == (b"own ocsp",)


async def test_a_streamed_request_is_chunked() -> None:
    async def script(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        state.requests.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)
        await reader.read()

    async with node("A", script) as a, peers_of(a) as peers:
        async with peers.reach(SERVICE, None, conf_of(a.server), NOON) as peer:
            answer = await peer.send(HEADERS, pieces(b"re", b"quest"))
            assert await answer.read(10) == b"hi"
        assert a.messages.requests[0].endswith(b"2\r\nre\r\n5\r\nquest\r\n0\r\n\r\n")


async def test_connections_and_ocsp_responses_are_kept() -> None:
    async with node("A") as a, peers_of(a) as peers:
        conf = conf_of(a.server)
        for _ in range(3):
            await ask(peers, conf)
        assert a.messages.connections == 1
        assert a.ocsp_asked == 1
        assert peers.idle == 1


async def test_an_intermediate_is_asked_about_and_judged_with() -> None:
    async with node("A", pki=PKI_BELOW) as a, peers_of(a) as peers:
        assert await ask(peers, conf_of(a.server, pki=PKI_BELOW)) == "A"
        assert a.ocsp_asked == 2


async def test_a_kept_connection_is_judged_again_under_a_new_trust_list() -> None:
    async with node("A") as a, peers_of(a) as peers:
        await ask(peers, conf_of(a.server))
        gone = replace(a.server, auth_cert_hashes=(b"another",))
        failure = await refused(peers, conf_of(gone, number=2))
        assert isinstance(failure, UntrustedPeer)
        assert "not associated with any security server" in failure.text
        assert len(a.messages.requests) == 1
        assert await ask(peers, conf_of(a.server, number=3)) == "A"


async def test_a_kept_connection_is_judged_again_when_its_ocsp_response_is_stale() -> None:
    async with node("A") as a, peers_of(a) as peers:
        conf = conf_of(a.server)
        await ask(peers, conf)
        later = NOON + timedelta(minutes=5)
        await ask(peers, conf, at=later)
        assert a.ocsp_asked == 1
        stale = NOON + timedelta(hours=2)
        with pytest.raises(UntrustedPeer, match="too old"):
            await ask(peers, conf, at=stale)
        assert len(a.messages.requests) == 2
        a.ocsp = PKI.ocsp(
            a.auth.certificate, age=-timedelta(hours=2), next_update=timedelta(hours=9)
        )
        await ask(peers, conf, at=stale)


async def test_a_kept_connection_is_judged_again_for_another_provider() -> None:
    async with node("A", clients=[REGISTRY, ARCHIVE]) as a, peers_of(a) as peers:
        conf = conf_of(a.server)
        await ask(peers, conf)
        await ask(peers, conf, service=ServiceId(ARCHIVE, "files"))
        await ask(peers, conf)
        assert a.messages.connections == 1
        assert a.ocsp_asked == 1


@pytest.mark.parametrize(
    ("status", "age", "code"),
    [
        (CertificateStatus.REVOKED, timedelta(), "cert_validation"),
        (CertificateStatus.UNKNOWN, timedelta(), "cert_validation"),
        (CertificateStatus.GOOD, timedelta(hours=2), "incorrect_validation_info"),
        (CertificateStatus.GOOD, -timedelta(hours=2), "incorrect_validation_info"),
    ],
)
async def test_nothing_is_sent_to_a_peer_without_good_ocsp_response(
    status: CertificateStatus, age: timedelta, code: str
) -> None:
    async with node("A") as a, peers_of(a) as peers:
        a.ocsp = PKI.ocsp(a.auth.certificate, status=status, age=age)
        failure = await refused(peers, conf_of(a.server))
        assert isinstance(failure, UntrustedPeer)
        assert failure.code == f"ssl_authentication_failed.invalid_cert_path.{code}"
        assert a.messages.requests == []


async def test_nothing_is_sent_to_a_peer_whose_ocsp_response_is_no_such_thing() -> None:
    async with node("A") as a, peers_of(a) as peers:
        a.ocsp = b"nonsense"
        assert isinstance(await refused(peers, conf_of(a.server)), UntrustedPeer)
        assert a.messages.requests == []


async def test_nothing_is_sent_to_somebody_with_a_certificate_of_his_own() -> None:
    async with node("A", shows=PKI.stranger) as a, peers_of(a) as peers:
        failure = await refused(peers, conf_of(a.server))
        assert isinstance(failure, UntrustedPeer)
        assert a.messages.requests == []


async def test_nothing_is_sent_to_a_server_that_does_not_host_the_provider() -> None:
    other = PKI.auth(server_id("OTHER"))
    elsewhere = PKI.server(server_id("OTHER"), other, address="other.example")
    async with node("A", shows=other) as a, peers_of(a) as peers:
        a.auth = other
        a.ocsp = PKI.ocsp(other.certificate)
        failure = await refused(peers, conf_of(a.server, elsewhere))
        assert "is not registered at security server SERVER:TEST/GOV/1/OTHER" in failure.text
        assert a.messages.requests == []


async def test_a_named_server_must_show_its_own_certificate() -> None:
    other = PKI.auth(server_id("B"))
    beside = PKI.server(server_id("B"), other, clients=[REGISTRY], address="B.example")
    async with node("A", shows=other) as a, peers_of(a) as peers:
        a.auth = other
        a.ocsp = PKI.ocsp(other.certificate)
        conf = conf_of(a.server, replace(beside, address=None))
        assert await ask(peers, conf) == "B"  # either may answer for the provider
        failure = await refused(peers, conf, target="A")
        assert "belongs to SERVER:TEST/GOV/1/B" in failure.text


async def test_a_chain_without_end_is_refused() -> None:
    chain = tuple(PKI.certify(f"CA {number}", "ca").certificate for number in range(11))
    auth = PKI.auth(server_id("A"))
    tls = peers_listener(listening_identity(auth, chain)).context
    async with node("A", tls=tls) as a, peers_of(a) as peers:
        failure = await refused(peers, conf_of(a.server))
        assert failure.text == "Service provider presented 12 certificates"
        assert a.ocsp_asked == 0


async def test_a_port_without_tls_is_a_failed_handshake() -> None:
    async def plain(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(plain) as messages:
        server = PKI.server(server_id("A"), clients=[REGISTRY], address="A.example")
        lost = Node(server, PKI.stranger, messages=messages)
        async with peers_of(lost) as peers:
            failure = await refused(peers, conf_of(server))
            assert isinstance(failure, UntrustedPeer)
            assert (failure.code, failure.text) == (
                "ssl_authentication_failed",
                "TLS handshake failed",
            )


def away(code: str, port: int) -> Node:
    server = PKI.server(server_id(code), clients=[REGISTRY], address=f"{code}.example")
    return Node(server, PKI.stranger, messages=Scripted(port=port))


async def test_nobody_there_is_a_network_error(unused_tcp_port: int) -> None:
    nobody = away("A", unused_tcp_port)
    async with peers_of(nobody) as peers:
        failure = await refused(peers, conf_of(nobody.server))
        assert (failure.code, failure.text) == (
            "network_error",
            "Could not connect to any target host ([SERVER:TEST/GOV/1/A])",
        )


async def test_another_server_of_the_provider_takes_over(unused_tcp_port: int) -> None:
    nobody = away("A", unused_tcp_port)
    async with node("B") as b, peers_of(nobody, b) as peers:
        conf = conf_of(nobody.server, b.server)
        for _ in range(4):
            assert await ask(peers, conf) == "B"
        failure = await refused(peers, conf, target="A")
        assert failure.code == "network_error"


async def test_a_silent_server_does_not_hold_up_a_quick_one() -> None:
    async def silent(
        _state: Scripted, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.Event().wait()

    async with serving(silent) as deaf, node("B") as b:  # takes connections, speaks no TLS
        slow = away("A", deaf.port)
        async with peers_of(slow, b) as peers, asyncio.timeout(4):  # less than a whole attempt
            assert await ask(peers, conf_of(slow.server, b.server)) == "B"


async def test_a_race_has_one_winner_and_leaves_nothing_open() -> None:
    gate = asyncio.Barrier(2)  # each attempt waits until the other one has come as far
    async with node("A", gate=gate) as a, node("B", gate=gate) as b, peers_of(a, b) as peers:
        assert await ask(peers, conf_of(a.server, b.server)) in ("A", "B")
        assert a.messages.connections + b.messages.connections == 2
        assert len(a.messages.requests) + len(b.messages.requests) == 1
        assert peers.in_use == 0


async def test_a_request_that_was_sent_is_not_sent_again() -> None:
    async with (
        node("A", answering(b"", close=True)) as a,
        node("B", answering(b"", close=True)) as b,
        peers_of(a, b) as peers,
    ):
        failure = await refused(peers, conf_of(a.server, b.server))
        assert isinstance(failure, NetworkFailure)
        assert failure.code == "network_error"
        assert len(a.messages.requests) + len(b.messages.requests) == 1


async def test_the_next_exchange_avoids_a_server_that_broke_off() -> None:
    async with (
        node("A", answering(b"", close=True)) as a,
        node("B") as b,
        peers_of(a, b) as peers,
    ):
        conf = conf_of(a.server, b.server)
        assert isinstance(await refused(peers, conf, target="A"), NetworkFailure)
        for _ in range(3):
            assert await ask(peers, conf) == "B"
        assert len(a.messages.requests) == 1


async def test_an_exchange_left_early_costs_its_connection() -> None:
    async with node("A") as a, peers_of(a) as peers:
        async with peers.reach(SERVICE, None, conf_of(a.server), NOON) as peer:
            assert peer.server.id == server_id("A")
            assert a.messages.requests == []
        assert (peers.idle, peers.in_use) == (1, 0)  # nothing was sent: the connection is good
        with pytest.raises(ZeroDivisionError):
            async with peers.reach(SERVICE, None, conf_of(a.server), NOON) as peer:
                await peer.send(HEADERS, pieces(b"request"))
                raise ZeroDivisionError
        assert (peers.idle, peers.in_use) == (0, 0)


async def test_a_node_without_certificate_reaches_nobody() -> None:
    peers = Peers(PeerRoutes(), lambda: None)
    failure = await refused(peers, conf_of())
    assert (failure.code, failure.text) == (
        "ssl_authentication_failed",
        "Security server has no authentication certificate",
    )


async def test_a_new_certificate_of_our_own_is_shown_on_new_connections() -> None:
    seen: list[bytes | None] = []

    async def look(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        seen.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        await answering(OK, OK)(state, reader, writer)

    async with node("A", look) as a:
        current = own_identity()
        peers = Peers(PeerRoutes(addresses={"A.example": a.address}), lambda: current)
        conf = conf_of(a.server)
        await ask(peers, conf)
        current = own_identity(Pki(kind="rsa2048"))
        await ask(peers, conf)
        await peers.close()
    assert len(set(seen)) == 2


async def test_many_at_once_share_what_there_is() -> None:
    routes = PeerRoutes(connect=timedelta(seconds=5), connections=4)
    async with node("A") as a, peers_of(a, routes=routes) as peers:
        conf = conf_of(a.server)
        found = await asyncio.gather(*(ask(peers, conf) for _ in range(40)))
        assert found == ["A"] * 40
        assert a.messages.connections <= 4


async def test_names_on_the_loopback_network_need_no_map() -> None:
    server = PKI.server(server_id("A"), clients=[REGISTRY], address="127.0.0.2")
    assert PeerRoutes().of(server) == PeerAddress("127.0.0.2", 5500, 5577)
