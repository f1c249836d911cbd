"""Two nodes, services with descriptions behind one of them, and a server that gives those."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from catalog.services import (
    AccessRight,
    ConnectionType,
    Endpoint,
    HostedClient,
    LocalGroup,
    Service,
    ServiceType,
)
from node.exchange.snapshot import Snapshot
from node.metadata.settings import DescriptionSettings
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest, rest_service
from tests.raw_http import RawMessage, ask, build_head
from tests.scene import System, answering
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

OPENAPI = (
    b'{"openapi":"3.0.3","info":{"title":"P","version":"1"},"servers":[{"url":"http://10.1.2.3/api"}],'
    b'"paths":{"/persons/{id}":{"get":{}},"/persons":{"post":{}}}}'
)
WSDL = (
    b'<?xml version="1.0"?><wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"'
    b' xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"><!-- kept --><wsdl:service name="s">'
    b'<wsdl:port name="p" binding="b"><soap:address location="http://10.1.2.3/"/></wsdl:port>'
    b"</wsdl:service></wsdl:definitions>"
)
HIDDEN_WSDL = WSDL.replace(
    b'<?xml version="1.0"?>', b'<?xml version="1.0" encoding="UTF-8"?>'
).replace(b"http://10.1.2.3/", b"http://example.org/xroad-endpoint")
SOAP_NS = "http://schemas.xmlsoap.org/soap/envelope/"
XROAD = "http://x-road.eu/xsd/xroad.xsd"
IDENTIFIERS = "http://x-road.eu/xsd/identifiers"
_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")


@dataclass
class Library(System):
    """Gives documents by path; what is not there is 404."""

    documents: dict[str, bytes] = field(default_factory=dict)  # whole HTTP answers

    def __post_init__(self) -> None:
        self.answer = self._give

    def _give(self, request: RawMessage) -> bytes:
        return self.documents.get(request.target, answering(b"", "404 Not Found"))

    def put(self, path: str, body: bytes, content_type: str | None = None) -> None:
        headers = (("Content-Type", content_type),) if content_type else ()
        self.documents[path] = answering(body, headers=headers)

    def where(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def asked(self) -> list[str]:
        return [request.target for request in self.requests]


def soap_service(url: str, code: str, version: str | None = "v1", **changes: object) -> Service:
    service = Service(ServiceId(PROVIDER, code, version), ServiceType.WSDL, url)
    return replace(service, **changes)  # type: ignore[arg-type]


def offered(library: Library) -> HostedClient:
    """One service for each question about descriptions, and rights of every kind."""
    url, where, right = library.url, library.where, AccessRight
    api = {"type": ServiceType.OPENAPI}
    return HostedClient(
        PROVIDER,
        connection=ConnectionType.HTTP,
        services=(
            rest_service(url),
            rest_service(url, "persons", description_url=where("/openapi.json"), **api),
            rest_service(url, "yaml", description_url=where("/openapi?all"), **api),
            rest_service(url, "gone", description_url=where("/gone.json"), **api),
            rest_service(url, "broken", description_url=where("/broken.json"), **api),
            rest_service(url, "old", description_url=where("/old.json"), **api),
            rest_service(url, "undescribed", **api),
            rest_service(url, "closed", notice="moved house"),
            soap_service(url, "personData", description_url=where("/persons?wsdl")),
            soap_service(url, "plain", None, description_url=where("/persons?wsdl")),
            soap_service(url, "lost", description_url=where("/lost?wsdl"), notice="closed"),
            soap_service(url, "page", description_url=where("/page?wsdl")),
            soap_service(url, "undescribedSoap"),
        ),
        local_groups=(LocalGroup("friends", "", frozenset({CONSUMER})),),
        rights=(
            right(CONSUMER, "people"),
            right(CONSUMER, "persons", Endpoint("GET", "/persons/*")),
            right(LocalGroupId("friends"), "yaml", Endpoint("*", "/**")),
            right(GlobalGroupId(PROVIDER.instance, "towns"), "personData"),
            right(CONSUMER.member, "plain"),  # a member's right is not its subsystem's
            right(LocalGroupId("friends"), "lost"),
        ),
    )


@dataclass
class Stage:
    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    library: Library

    async def rest(self, code: str, query: str = "") -> RawMessage:
        target = f"/r1/{PROVIDER.path}/{code}{query}"
        return await self.ask("GET", target, (("X-Road-Client", CONSUMER.path),))

    async def soap(self, envelope: bytes) -> RawMessage:
        return await self.ask("POST", "/", (("Content-Type", "text/xml"),), body=envelope)

    async def ask(
        self,
        method: str,
        target: str,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        body: bytes | None = None,
    ) -> RawMessage:
        """Ask the consumer's node."""
        length = () if body is None else (("Content-Length", str(len(body))),)
        whole = (("Host", "node.example"), *headers, *length)
        raw = build_head(f"{method} {target} HTTP/1.1", whole) + (body or b"")
        port = self.consumer.running.ports["systems http"].number
        answer = await ask("127.0.0.1", port, raw)
        assert answer is not None
        return answer

    def snapshot(self) -> Snapshot:
        """What the provider's node goes by now."""
        node = self.provider.running
        conf = node.who.updater.conf
        assert conf is not None
        return Snapshot(conf, node.services.conf, self.instance.pki.at)


@asynccontextmanager
async def metadata_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        instance.groups["towns"] = frozenset({CONSUMER})
        library = Library()
        await stack.enter_async_context(library.listening())
        library.put("/openapi.json", OPENAPI, "application/json")
        library.put("/openapi?all", b"openapi: 3.0.0\npaths: {/a: {get: {}}}\n")
        library.put("/broken.json", b"{", "application/json")
        library.put("/old.json", b'{"swagger":"2.0","openapi":"2.0"}', "application/json")
        library.put("/persons?wsdl", WSDL, "text/xml")
        library.put("/page?wsdl", b"<html><body>Welcome", "text/html")
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered(library)])
        civil.settings = replace(
            civil.settings, descriptions=DescriptionSettings(fresh=DescriptionSettings().fresh * 0)
        )
        muni = await instance.add("MUNI", CONSUMER)
        await instance.start()
        yield Stage(instance, civil, muni, library)


def identifier(client: ClientId, prefix: str = "iden") -> str:
    return "".join(
        f"<{prefix}:{name}>{value}</{prefix}:{name}>"
        for name, value in zip(_PARTS, client.parts, strict=False)
    )


def soap_call(
    code: str, body: str = "", *, provider: ClientId = PROVIDER, version: str = "", header: str = ""
) -> bytes:
    """A call of a metadata service, with the prefixes of the examples in metadata.md."""
    said = f"<iden:serviceVersion>{version}</iden:serviceVersion>" if version else ""
    kind = "SUBSYSTEM" if provider.subsystem_code else "MEMBER"
    assert kind
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="{SOAP_NS}"'
        f' xmlns:xro="{XROAD}" xmlns:iden="{IDENTIFIERS}"><soapenv:Header>'
        f'<xro:client iden:objectType="SUBSYSTEM">{identifier(CONSUMER)}</xro:client>'
        f'<xro:service iden:objectType="SERVICE">{identifier(provider)}'
        f"<iden:serviceCode>{code}</iden:serviceCode>{said}</xro:service>"
        f"<xro:id>lm-1</xro:id><xro:protocolVersion>4.0</xro:protocolVersion>{header}"
        f"</soapenv:Header><soapenv:Body><xro:{code}>{body}</xro:{code}></soapenv:Body>"
        "</soapenv:Envelope>"
    ).encode()
