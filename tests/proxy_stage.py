"""Two real nodes of an instance that is called as in X-Road's messages, and those who misbehave.

    stage.system.answer = says(query("getstate.answer"))
    answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.serverproxy.access_denied"

The nodes are real, and so are their sockets; what is made up is the provider's system.
"""

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.services import AccessRight, ConnectionType, HostedClient, Service, ServiceType
from scripts.issuing import Identity
from scripts.postgres import PostgresServer
from tests.instance import Instance, NodeUnderTest
from tests.raw_http import Headers, RawMessage, ask, build_head
from tests.reference_queries import Said, query
from tests.scene import System, answering
from tests.simulator import LivePki, RogueConsumer, RogueProvider
from tests.tls_certificates import issue
from trust.ids import ClientId, ServiceId
from trust.pki.certificates import certificate_hash

EE = "EE"
CONSUMER = ClientId(EE, "BUSINESS", "consumer")
CONSUMER_PART = ClientId(EE, "BUSINESS", "consumer", "subsys1")
PRODUCER = ClientId(EE, "BUSINESS", "producer")
PRODUCER_PART = ClientId(EE, "BUSINESS", "producer", "subsys2")
CODES = ("getState", "test", "testQuery", "testResponse")
KNOWN, OTHER, EXPIRED = issue("a system"), issue("another"), issue("expired", days=-1)


@dataclass
class Stage:
    """Both real nodes, the provider's system, and a second consumer's node that misbehaves."""

    instance: Instance
    consumer: NodeUnderTest
    provider: NodeUnderTest
    system: System
    rogue: RogueConsumer

    async def offer(self, *services: Service, rights: bool = True, **changes: object) -> None:
        """Put these services in the place of what the producer offers."""
        await self.instance.apply(
            self.provider,
            [producer(*services, rights=rights, **changes), producer_part(self.system)],
        )


def soap_service(url: str, code: str, provider: ClientId = PRODUCER, **changes: object) -> Service:
    service = Service(ServiceId(provider, code), ServiceType.WSDL, url)
    return replace(service, **changes)  # type: ignore[arg-type]


def producer(*services: Service, rights: bool = True, **changes: object) -> HostedClient:
    granted = tuple(AccessRight(CONSUMER, one.id.service_code) for one in services)
    client = HostedClient(
        PRODUCER,
        connection=ConnectionType.HTTP,
        services=services,
        rights=granted if rights else (),
    )
    return replace(client, **changes)  # type: ignore[arg-type]


def producer_part(system: System) -> HostedClient:
    return HostedClient(
        PRODUCER_PART,
        connection=ConnectionType.HTTP,
        services=(soap_service(system.url, "getState", PRODUCER_PART),),
        rights=(AccessRight(CONSUMER_PART, "getState"),),
    )


def usual(system: System) -> tuple[Service, ...]:
    return tuple(soap_service(system.url, code) for code in CODES)


def callers(connection: ConnectionType = ConnectionType.HTTP) -> list[HostedClient]:
    certificates = (KNOWN.der, EXPIRED.der)
    return [
        HostedClient(CONSUMER, connection=connection, certificates=certificates),
        HostedClient(CONSUMER_PART, connection=ConnectionType.HTTP),
    ]


@asynccontextmanager
async def proxy_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[Stage]:
    query("getstate.query")  # skips without the reference folder
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server, name=EE))
        system = await stack.enter_async_context(System().listening())
        hosted = [producer(*usual(system)), producer_part(system)]
        provider = await instance.add("PRODUCER", PRODUCER, hosted=hosted)
        provider.entry = replace(provider.entry, clients=(PRODUCER_PART,))
        consumer = await instance.add("CONSUMER", CONSUMER, hosted=callers())
        consumer.entry = replace(consumer.entry, clients=(CONSUMER_PART,))
        await instance.start()
        rogue = RogueConsumer(LivePki.of(instance), consumer, provider.address, instance.ports[0])
        yield Stage(instance, consumer, provider, system, rogue)


# --- calls and what comes of them -----------------------------------------------------------------


async def call(
    node: NodeUnderTest,
    said: Said,
    *,
    method: str = "POST",
    headers: Headers = (),
    tls: ssl.SSLContext | None = None,
) -> RawMessage:
    """Send a message to a node as an information system."""
    port = node.running.ports["systems https" if tls else "systems http"].number
    answer = await ask("127.0.0.1", port, http(said, method, headers), tls=tls)
    assert answer is not None, "the node ended the connection without an answer"
    return answer


def http(said: Said, method: str = "POST", headers: Headers = ()) -> bytes:
    fields = [("Host", "node.example"), ("Content-Type", said.content_type), *headers]
    fields.append(("Content-Length", str(len(said.body))))
    return build_head(f"{method} / HTTP/1.1", fields) + said.body


def says(said: Said, status: str = "200 OK") -> Callable[[RawMessage], bytes]:
    """A system that answers so."""
    return lambda _: answering(said.body, status, [("Content-Type", said.content_type)])


def code_of(answer: RawMessage) -> str:
    """The code of a fault; SOAP faults come with status 200, whoever made them."""
    assert answer.status == 200, (answer.start, answer.body)
    assert (answer.first("content-type") or "").lower() == "text/xml; charset=utf-8"
    assert answer.ended
    found = re.search(rb"<(?:[\w-]+:)?faultcode[^>]*>\s*([^<]*?)\s*</", answer.body)
    assert found is not None, answer.body
    return found[1].decode()


@asynccontextmanager
async def offering(
    stage: Stage, *services: Service, rights: bool = True, **changes: object
) -> AsyncIterator[None]:
    await stage.offer(*services, rights=rights, **changes)
    try:
        yield
    finally:
        await stage.offer(*usual(stage.system))


@asynccontextmanager
async def registered(stage: Stage, **changes: object) -> AsyncIterator[None]:
    """The provider's node with another entry in the configuration."""
    node, before = stage.provider, stage.provider.entry
    node.entry = replace(before, **changes)  # type: ignore[arg-type]
    await stage.instance.publish()
    try:
        yield
    finally:
        node.entry = before
        await stage.instance.publish()


@dataclass
class RogueStage:
    """A real consumer's node, and a node of the producer that does as the test says."""

    consumer: NodeUnderTest
    rogue: RogueProvider
    pki: LivePki
    revoked: Identity  # a certificate that is registered for the rogue's server

    async def code(self, said: Said) -> str:
        """Of the fault that a call ends with, while the rogue listens."""
        async with self.rogue.listening():
            return code_of(await call(self.consumer, said))


@asynccontextmanager
async def rogue_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[RogueStage]:
    query("getstate.query")  # skips without the reference folder
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server, name=EE))
        provider = await instance.add("PRODUCER", PRODUCER)
        consumer = await instance.add("CONSUMER", CONSUMER, hosted=callers())
        pki = LivePki.of(instance)
        revoked = pki.certify("revoked", "auth")
        hashes = (*provider.entry.auth_cert_hashes, certificate_hash(revoked.certificate, "sha256"))
        provider.entry = replace(provider.entry, auth_cert_hashes=hashes)
        await instance.start(consumer)
        rogue = RogueProvider(pki, provider, instance.ports)
        yield RogueStage(consumer, rogue, pki, revoked)
