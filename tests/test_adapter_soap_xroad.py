"""An X-Road SOAP service as REST: through a node of paper, and through two real ones."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from lxml import etree

from adapters.soap.settings import CallingSettings, DescriptionSettings
from adapters.xroad.fetching import get_wsdl
from adapters.xroad.kind import KIND, open_xroad
from adapters.xroad.settings import ServiceSettings, XroadAdapterSettings
from config.settings import parse_settings
from node.messages.represented_party import RepresentedParty
from node.messages.soap import SoapMessage, insert_request_hash, parse_soap
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER
from tests.raw_http import RawMessage
from tests.scene import answering
from tests.soap_descriptions import ECHO, SOAP12_BINDING, wsdl
from tests.soap_services import SOAP, Rest, Service, adapter, echoed, fault, listening
from tests.soap_stage import soap_stage
from trust.errors import ConfigurationError, StorageError
from trust.ids import ClientId, ServerId, ServiceId

CLIENT = ClientId("EX", "GOV", "1234567", "portal")
SUPPLIER = ClientId("EX", "GOV", "7654321", "population")
TEXT = "text/xml; charset=utf-8"
VERSIONED = "<xro:version>v1</xro:version>"
Opened = Callable[..., AbstractAsyncContextManager[Rest]]


def answer_to(request: bytes, code: str = "echo") -> bytes:
    """What a provider says: the same header and content, in a response; nothing hashed."""
    envelope = etree.fromstring(request)
    (wrapper,) = envelope.iterfind(f"{{{SOAP}}}Body/*")
    wrapper.tag = f"{{urn:t}}{code}Response"
    return etree.tostring(envelope)


class Node(Service):
    """A node that answers as the provider would, with the hash that nodes add."""

    def __init__(self, change: Callable[[bytes], bytes] = lambda raw: raw) -> None:
        super().__init__(answerer=self._proxy)
        self._change = change

    async def _proxy(self, request: web.Request) -> web.StreamResponse:
        sent = self.requests[-1]
        hashed = insert_request_hash(answer_to(sent), "utf-8", hashlib.sha512(sent).digest())
        return web.Response(body=self._change(hashed), headers={"Content-Type": TEXT})

    @property
    def last(self) -> SoapMessage:
        found = parse_soap(self.requests[-1], TEXT)
        assert isinstance(found, SoapMessage)
        return found


def settings_for(folder: Path, node: str, **changes: object) -> XroadAdapterSettings:
    if not (folder / "a.wsdl").exists():
        (folder / "a.wsdl").write_bytes(wsdl(binding_notes=VERSIONED))
    settings = XroadAdapterSettings(
        kind="xroad",
        title="Population",
        port=0,
        service=ServiceSettings(node=node, client=CLIENT, provider=SUPPLIER),
        wsdl=DescriptionSettings(file=folder / "a.wsdl"),
        calling=CallingSettings(timeout=timedelta(seconds=10)),
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def open_one(node: Service, **changes: object) -> AsyncIterator[Rest]:
        async with listening(node) as address:
            settings = settings_for(tmp_path, address, **changes)
            async with adapter(settings, await open_xroad(settings)) as rest:
                yield rest

    return open_one


# Requests.


async def test_the_header_says_who_asks_whom(opened: Opened) -> None:
    node = Node()
    async with opened(node) as rest:
        assert await rest.call("/echo", {"text": "õ"}) == (200, {"text": "õ"})
    sent = node.last.header
    assert (sent.client, sent.service) == (CLIENT, ServiceId(SUPPLIER, "echo", "v1"))
    assert sent.protocol_version == "4.0"
    assert len(sent.message_id) == 36
    assert (sent.user_id, sent.issue, sent.represented_party, sent.security_server) == (
        None, None, None, None,
    )  # fmt: skip


async def test_the_headers_of_the_rest_call_are_handed_on(opened: Opened) -> None:
    node = Node()
    async with opened(node) as rest:
        status, _ = await rest.call(
            "/echo",
            {"text": "a"},
            X_Road_Client="EX/GOV/1234567/portal",
            X_Road_Id="id-1",
            X_Road_UserId="EE1",
            X_Road_Issue="case 7 <&>",
            X_Road_Represented_Party="COM/Z%C3%9C",
            X_Road_Security_Server="EX/GOV/7654321/ss1",
        )
    assert status == 200
    sent = node.last.header
    assert (sent.message_id, sent.user_id, sent.issue) == ("id-1", "EE1", "case 7 <&>")
    assert sent.represented_party == RepresentedParty("COM", "ZÜ")
    assert sent.security_server == ServerId(ClientId("EX", "GOV", "7654321"), "ss1")


async def test_two_calls_have_two_ids(opened: Opened) -> None:
    node = Node()
    async with opened(node) as rest:
        await rest.call("/echo", {"text": "a"})
        first = node.last.message_id
        await rest.call("/echo", {"text": "a"})
    assert node.last.message_id != first


@pytest.mark.parametrize(
    ("headers", "parameter"),
    [
        ({"X_Road_Client": "EX/GOV/1234567/other"}, "X-Road-Client"),
        ({"X_Road_Client": "nonsense"}, "X-Road-Client"),
        ({"X_Road_Represented_Party": "a/b/c"}, "X-Road-Represented-Party"),
        ({"X_Road_Security_Server": "a"}, "X-Road-Security-Server"),
        ({"X_Road_Id": "x" * 256}, "X-Road-Id"),
        ({"X_Road_UserId": "x" * 256}, "X-Road-UserId"),
        ({"X_Road_Represented_Party": "a%01"}, "X-Road-Represented-Party"),
    ],
)
async def test_an_unfit_header_of_the_rest_call_is_400(
    opened: Opened, headers: dict[str, str], parameter: str
) -> None:
    node = Node()
    async with opened(node) as rest:
        status, answer = await rest.call("/echo", {"text": "a"}, **headers)
    assert (status, answer["parameter"]) == (400, parameter)
    assert node.requests == []


async def test_a_version_in_the_settings_counts_for_all(opened: Opened) -> None:
    node = Node()
    service = ServiceSettings(
        node="http://127.0.0.1/", client=CLIENT, provider=SUPPLIER, version="v9"
    )
    async with (
        listening(node) as address,
        opened(node, service=replace(service, node=address)) as rest,
    ):
        assert (await rest.call("/echo", {"text": "a"}))[0] == 200
    assert node.last.service.service_version == "v9"


# Answers.


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b">id-1<", b">id-2<"),
        lambda raw: raw.replace(b">EE1<", b">EE2<"),
        lambda raw: raw.replace(b">1234567<", b">1234568<"),
        lambda raw: raw.replace(b">echo<", b">echo2<"),
        lambda raw: raw.replace(b"userId>", b"issue>"),
        lambda raw: raw.replace(b"requestHash", b"otherHash"),
        lambda raw: raw.replace(b"sha512\">", b"sha512\">AA"),
        lambda raw: echoed(),
    ],
)  # fmt: skip
async def test_an_answer_that_does_not_repeat_its_request_is_none(
    opened: Opened, change: Callable[[bytes], bytes]
) -> None:
    changed: list[bool] = []

    def apply(raw: bytes) -> bytes:
        changed.append(change(raw) != raw)
        return change(raw)

    async with opened(Node(apply)) as rest:
        status, answer = await rest.call(
            "/echo", {"text": "a"}, X_Road_Id="id-1", X_Road_UserId="EE1"
        )
    assert changed == [True]
    assert (status, answer) == (502, {"error": "the source answered something else than it should"})


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("server.serverproxy.access_denied", 403),
        ("Server.ServerProxy.AccessDenied", 403),
        ("server.clientproxy.unknown_member", 404),
        ("Server.ServerProxy.UnknownService", 404),
        ("server.serverproxy.service_disabled", 503),
        ("server.clientproxy.global_conf_outdated", 503),
        ("Server.ClientProxy.OutdatedGlobalConf", 503),
        ("server.clientproxy.network_error", 502),
        ("server.serverproxy.service_failed.io_error", 502),
        ("client.invalid_soap", 400),
        ("soapenv:Client", 400),
        ("soapenv:Server", 502),
    ],
)
async def test_a_fault_of_the_node_is_a_status_and_its_code(
    opened: Opened, code: str, status: int
) -> None:
    async with opened(Service(fault(code, "In words."))) as rest:
        assert await rest.call("/echo", {"text": "a"}) == (
            status,
            {"error": "In words.", "code": code.removeprefix("soapenv:")},
        )


# Settings, and the WSDL from the provider.


async def test_x_road_speaks_soap_1_1_only(tmp_path: Path) -> None:
    (tmp_path / "a.wsdl").write_bytes(wsdl(binding=SOAP12_BINDING))
    with pytest.raises(StorageError, match=r"the port is for SOAP 1\.2"):
        await open_xroad(settings_for(tmp_path, "http://127.0.0.1/"))


def test_the_settings_are_read_from_a_file(tmp_path: Path) -> None:
    text = """
    kind = "xroad"
    title = "Population"
    [service]
    node = "http://127.0.0.1:8080"
    client = "EX:GOV:1234567:portal"
    provider = "EX:GOV:7654321:population"
    [wsdl]
    file = "a.wsdl"
    """

    def read(text: str) -> object:
        return parse_settings(
            KIND.settings, text, file="adapter.toml", folder=tmp_path, check=KIND.problems
        )

    found = read(text)
    assert isinstance(found, XroadAdapterSettings)
    assert (found.service.client, found.service.provider) == (CLIENT, SUPPLIER)
    with pytest.raises(ConfigurationError, match="an address with http or https"):
        read(text.replace("http://127", "127"))


def described(data: bytes, *more: bytes) -> bytes:
    """The answer to `getWsdl`, as metadata.md 4 has it."""
    parts = [b"content-type:text/xml; charset=UTF-8\r\n\r\n" + echoed()]
    parts += [b"content-type:text/xml\r\nContent-ID: <wsdl>\r\n\r\n" + one for one in (data, *more)]
    return b"".join(b"--xroadB\r\n" + part + b"\r\n" for part in parts) + b"--xroadB--"


async def test_the_wsdl_is_asked_from_the_provider(tmp_path: Path) -> None:
    data = wsdl(
        '<xs:import namespace="http://x-road.eu/xsd/xroad.xsd" schemaLocation="http://x-road.eu/x"/>'
        '<xs:import namespace="urn:o" schemaLocation="http://register.example/o.xsd"/>' + ECHO
    )
    node = Service(described(data), "multipart/related; boundary=xroadB; type=text/xml")
    async with listening(node) as address:
        found = await get_wsdl(settings_for(tmp_path, address), "echo", "v1")
    assert found.data == data
    assert [one.url for one in found.missing] == ["http://register.example/o.xsd"]
    sent = parse_soap(node.requests[0], TEXT)
    assert isinstance(sent, SoapMessage)
    assert sent.service == ServiceId(SUPPLIER, "getWsdl")
    assert b"serviceCode>echo<" in node.requests[0]
    assert b"serviceVersion>v1<" in node.requests[0]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Service(fault("Server.X", "No.")), "the node refused, Server.X: No."),
        (Service(echoed()), "does not have one attachment"),
        (Service(b"x"), "can't be read"),
        (Service(described(b"x"), "multipart/related; boundary=xroadB"), "not well-formed"),
        (
            Service(described(b"<!DOCTYPE a []><a/>"), "multipart/related; boundary=xroadB"),
            "document type declaration",
        ),
        (
            Service(described(b"<a/>", b"<a/>"), "multipart/related; boundary=xroadB"),
            "does not have one attachment",
        ),
    ],
)
async def test_a_wsdl_that_does_not_come_is_said(node: Service, words: str, tmp_path: Path) -> None:
    async with listening(node) as address:
        with pytest.raises(StorageError, match=words):
            await get_wsdl(settings_for(tmp_path, address), "echo")


# Through two real nodes.


@pytest.mark.database
async def test_a_rest_call_becomes_a_soap_exchange_between_two_nodes(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    schema = ECHO.replace('"echo', '"getState')
    operations = ECHO.replace('"echo', '"closed')
    (folder / "a.wsdl").write_bytes(
        wsdl(schema + operations, operations=("getState", "closed"), binding_notes=VERSIONED)
    )

    def answer(request: RawMessage) -> bytes:
        return answering(answer_to(request.body, "getState"), headers=(("Content-Type", TEXT),))

    async with soap_stage(tmp_path / "nodes", postgres_server) as stage:
        stage.system.answer = answer
        port = stage.consumer.running.ports["systems http"].number
        node = f"http://127.0.0.1:{port}/"
        service = ServiceSettings(node=node, client=CONSUMER, provider=PROVIDER)
        settings = settings_for(folder, node, service=service)
        async with adapter(settings, await open_xroad(settings)) as rest:
            found = await rest.call(
                "/getState", {"text": "õ"}, X_Road_Id="a-1", X_Road_UserId="EE1"
            )
            assert found == (200, {"text": "õ"})
            status, told = await rest.call("/closed", {"text": "a"})
            assert (status, told["code"]) == (403, "server.serverproxy.access_denied")
            stage.system.answer = lambda request: answering(
                fault("soapenv:Client.NoState", "No such state."),
                "500 Internal Server Error",
                (("Content-Type", TEXT),),
            )
            assert await rest.call("/getState", {"text": "x"}) == (
                400,
                {"error": "No such state.", "code": "Client.NoState"},
            )
