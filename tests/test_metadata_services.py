"""Metadata services through two nodes, read the way real collectors read them.

The regular expressions are those of RIA's xrdinfo, the keys those of the NIIS catalogue collector
(messages.md 9.4, 9.5).
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from lxml import etree

from catalog.central.wire import SERVICE_CODE, decode_entry
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER
from tests.metadata_stage import (
    HIDDEN_WSDL,
    IDENTIFIERS,
    OPENAPI,
    SOAP_NS,
    XROAD,
    Stage,
    identifier,
    metadata_stage,
    soap_call,
)
from tests.raw_http import RawMessage
from tests.scene import answering, records, unexpected
from trust.ids import ClientId

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("metadata")
    async with metadata_stage(folder, postgres_server) as made:
        yield made


def services_of(answer: RawMessage) -> list[str]:
    """`code` or `code.version` of every service in a SOAP list."""
    assert answer.status == 200
    assert answer.first("Content-Type") == "text/xml; charset=UTF-8"
    envelope = etree.fromstring(answer.body)
    body = envelope.find(f"{{{SOAP_NS}}}Body")
    assert body is not None
    (wrapper,) = body
    assert etree.QName(wrapper).namespace == XROAD
    found = []
    for service in wrapper:
        assert service.tag == f"{{{XROAD}}}service"
        assert service.get(f"{{{IDENTIFIERS}}}objectType") == "SERVICE"
        names = [etree.QName(child).localname for child in service]
        values = [child.text or "" for child in service]
        assert names[:5] == [
            "xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode"
        ]  # fmt: skip
        assert tuple(values[:4]) == PROVIDER.parts
        found.append(".".join(values[4:]))
    return found


def fault_of(answer: RawMessage) -> tuple[str, str]:
    assert answer.status == 200
    assert answer.first("Content-Type") == "text/xml; charset=UTF-8"
    envelope = etree.fromstring(answer.body)
    return envelope.findtext(".//faultcode") or "", envelope.findtext(".//faultstring") or ""


def rest_error(answer: RawMessage) -> tuple[int, str, str]:
    told = json.loads(answer.body)
    assert answer.first("X-Road-Error") == told["type"]
    return answer.status, told["type"], told["message"]


async def test_the_catalog_entry_tells_every_service_and_no_right(stage: Stage) -> None:
    await stage.rest("getOpenAPI", "?serviceCode=persons")
    await stage.provider.running.services.refresh()
    answer = await stage.rest(SERVICE_CODE)
    assert (answer.status, answer.first("Content-Type")) == (200, "application/json")
    told = {one.id.service_code: one for one in decode_entry(answer.body, PROVIDER)}
    conf = stage.snapshot().services
    client = conf.client(PROVIDER)
    assert client is not None
    assert list(told) == [service.id.service_code for service in client.services]
    assert told["persons"].endpoints == ("GET /persons/*", "POST /persons")
    assert told["persons"].description_digest == hashlib.sha256(OPENAPI).hexdigest()
    assert told["undescribed"].description_digest == ""
    assert CONSUMER.path.encode() not in answer.body


# --- SOAP -----------------------------------------------------------------------------------------

ALL_SOAP = ["personData.v1", "plain", "lost.v1", "page.v1", "undescribedSoap.v1"]


@pytest.mark.parametrize("version", ["", "v1", "v7"])
async def test_soap_list_methods_has_every_soap_service_whatever_its_state(
    stage: Stage, version: str
) -> None:
    assert services_of(await stage.soap(soap_call("listMethods", version=version))) == ALL_SOAP


async def test_soap_allowed_methods_has_those_with_a_right_for_their_code(stage: Stage) -> None:
    allowed = services_of(await stage.soap(soap_call("allowedMethods")))
    assert allowed == ["personData.v1", "lost.v1"]


async def test_the_exact_bytes_of_a_soap_list(stage: Stage) -> None:
    answer = await stage.soap(soap_call("allowedMethods", body="<anything/>"))
    head, _, rest = answer.body.partition(b"<soapenv:Body>")
    asked = soap_call("allowedMethods").partition(b"<soapenv:Body>")[0]
    request_hash = re.search(rb'<xro:requestHash algorithmId="[^"]*">[^<]*</xro:requestHash>', head)
    assert request_hash is not None
    assert head.replace(request_hash[0], b"") == asked
    entry = '<xro:service iden:objectType="SERVICE">' + identifier(PROVIDER)
    end = "<iden:serviceVersion>v1</iden:serviceVersion></xro:service>"
    assert rest.rstrip(b"\n").decode() == (
        f"<xro:allowedMethodsResponse>{entry}<iden:serviceCode>personData</iden:serviceCode>{end}"
        f"{entry}<iden:serviceCode>lost</iden:serviceCode>{end}</xro:allowedMethodsResponse>"
        "</soapenv:Body></soapenv:Envelope>"
    )


async def test_prefixes_of_xrdinfo_come_back_as_it_looks_for_them(stage: Stage) -> None:
    request = (
        '<?xml version="1.0" encoding="utf-8"?><SOAP-ENV:Envelope'
        f' xmlns:SOAP-ENV="{SOAP_NS}" xmlns:xroad="{XROAD}" xmlns:id="{IDENTIFIERS}">'
        f'<SOAP-ENV:Header><xroad:client id:objectType="SUBSYSTEM">{identifier(CONSUMER, "id")}'
        f'</xroad:client><xroad:service id:objectType="SERVICE">{identifier(PROVIDER, "id")}'
        "<id:serviceCode>listMethods</id:serviceCode></xroad:service><xroad:id>x</xroad:id>"
        "<xroad:protocolVersion>4.0</xroad:protocolVersion></SOAP-ENV:Header><SOAP-ENV:Body>"
        "<xroad:listMethods/></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()
    answer = await stage.ask("POST", "/", (("content-type", "text/xml"),), body=request)
    found = re.search("<SOAP-ENV:Envelope.+</SOAP-ENV:Envelope>", answer.body.decode(), re.DOTALL)
    assert found is not None
    names = {"xroad": XROAD, "id": IDENTIFIERS}
    services = etree.fromstring(found[0]).iterfind(
        ".//xroad:listMethodsResponse/xroad:service", names
    )
    assert [one.findtext("id:serviceCode", namespaces=names) for one in services] == [
        "personData", "plain", "lost", "page", "undescribedSoap",
    ]  # fmt: skip


async def test_prefixes_that_live_on_each_header_field_alone_are_no_obstacle(stage: Stage) -> None:
    def alone(fragment: str) -> str:
        return fragment.replace("<xro:", "<n:").replace("</xro:", "</n:").replace(
            ">", f' xmlns:n="{XROAD}" xmlns:iden="{IDENTIFIERS}">', 1
        )  # fmt: skip

    request = (
        f'<Envelope xmlns="{SOAP_NS}"><Header>'
        + alone(f'<xro:client iden:objectType="SUBSYSTEM">{identifier(CONSUMER)}</xro:client>')
        + alone(
            f'<xro:service iden:objectType="SERVICE">{identifier(PROVIDER)}'
            "<iden:serviceCode>listMethods</iden:serviceCode></xro:service>"
        )
        + alone("<xro:id>x</xro:id>")
        + alone("<xro:protocolVersion>4.0</xro:protocolVersion>")
        + f'</Header><Body><listMethods xmlns="{XROAD}"/></Body></Envelope>'
    ).encode()
    assert services_of(await stage.soap(request)) == ALL_SOAP


async def test_a_member_offers_nothing_that_its_subsystems_offer(stage: Stage) -> None:
    assert services_of(await stage.soap(soap_call("listMethods", provider=PROVIDER.member))) == []


async def test_the_stricter_reader_refuses_what_messages_may_have(stage: Stage) -> None:
    twice = soap_call("listMethods", header="<xro:other/><xro:other/>")
    code, _ = fault_of(await stage.soap(twice))
    assert code == "server.serverproxy.duplicate_header_field"


async def test_a_client_type_that_does_not_fit_is_refused(stage: Stage) -> None:
    request = soap_call("listMethods").replace(
        b'<xro:client iden:objectType="SUBSYSTEM"', b'<xro:client iden:objectType="MEMBER"'
    )
    assert fault_of(await stage.soap(request)) == (
        "server.serverproxy.invalid_client_identifier", "Redundant subsystem code"
    )  # fmt: skip


# --- getWsdl --------------------------------------------------------------------------------------

V1 = "<xro:serviceVersion>v1</xro:serviceVersion>"
PERSON_DATA = f"<xro:serviceCode>personData</xro:serviceCode>{V1}"
XRDINFO_WSDL = re.compile(
    b"--xroad[^\r\n]+\r\ncontent-type:text/xml\r\n"
    b"(?:[^\r\n]+\r\n)*\r\n(.+)\r\n--xroad[^\r\n]+(?:--)?\r?\n?",
    re.DOTALL,
)


async def test_a_wsdl_is_the_second_of_two_parts(stage: Stage) -> None:
    answer = await stage.soap(soap_call("getWsdl", PERSON_DATA))
    assert answer.status == 200
    content_type = answer.first("Content-Type") or ""
    match = re.fullmatch(
        'multipart/related; type="text/xml"; boundary=(xroad[A-Za-z]{30});charset=utf-8'
        '|multipart/related; type="text/xml"; charset=UTF-8; boundary=(xroad[A-Za-z]{30})',
        content_type,
    )
    assert match is not None, content_type
    boundary = (match[1] or match[2]).encode()
    begin, first, second, end = answer.body.split(b"--" + boundary)
    assert (begin, end.strip()) == (b"", b"--")
    assert first.startswith(b"\r\ncontent-type:text/xml; charset=UTF-8\r\n\r\n<?xml")
    assert f"<xro:getWsdlResponse>{PERSON_DATA}</xro:getWsdlResponse>".encode() in first
    head, _, document = second.partition(b"\r\n\r\n")
    assert re.fullmatch(
        rb"\r\ncontent-type:text/xml\r\nContent-ID: <wsdl=[0-9a-f-]{36}@x-road\.eu>\r\n"
        rb"Content-Transfer-Encoding: binary",
        head,
    )
    assert document == HIDDEN_WSDL + b"\r\n"
    found = XRDINFO_WSDL.search(answer.body)
    assert found is not None
    assert found[1] == HIDDEN_WSDL


async def test_a_service_without_version_is_asked_without_one(stage: Stage) -> None:
    answer = await stage.soap(soap_call("getWsdl", "<xro:serviceCode>plain</xro:serviceCode>"))
    assert HIDDEN_WSDL in answer.body


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("", "invalid_request", "Missing serviceCode in message body"),
        ("<xro:serviceCode> </xro:serviceCode>", "invalid_request",
         "Missing serviceCode in message body"),
        ("<serviceCode>personData</serviceCode>", "invalid_request",
         "Missing serviceCode in message body"),
        ("<xro:serviceCode>personData</xro:serviceCode>", "unknown_service",
         f"Could not find wsdl URL for service SERVICE:{PROVIDER.path}/personData"),
        (f"<xro:serviceCode>nosuch</xro:serviceCode>{V1}", "unknown_service",
         f"Could not find wsdl URL for service SERVICE:{PROVIDER.path}/nosuch/v1"),
        (f"<xro:serviceCode>undescribedSoap</xro:serviceCode>{V1}", "unknown_service",
         f"Could not find wsdl URL for service SERVICE:{PROVIDER.path}/undescribedSoap/v1"),
        ("<xro:serviceCode>people</xro:serviceCode>", "service_type",
         "Service is a REST service and does not have a WSDL"),
        (f"<xro:serviceCode>lost</xro:serviceCode>{V1}", "internal_error",
         "Received HTTP error: 404 - Not Found"),
    ],
)  # fmt: skip
async def test_get_wsdl_says_why_there_is_none(
    stage: Stage, body: str, code: str, text: str
) -> None:
    found = fault_of(await stage.soap(soap_call("getWsdl", body)))
    assert found == (f"server.serverproxy.{code}", text)


async def test_a_page_is_no_wsdl(stage: Stage) -> None:
    body = f"<xro:serviceCode>page</xro:serviceCode>{V1}"
    code, text = fault_of(await stage.soap(soap_call("getWsdl", body)))
    assert code == "server.serverproxy.invalid_xml"
    assert "10.1.2.3" not in text


# --- REST -----------------------------------------------------------------------------------------


def entry(code: str, kind: str, *endpoints: tuple[str, str]) -> dict[str, object]:
    return {
        "member_class": "GOV", "member_code": "1001", "object_type": "SERVICE",
        "service_code": code, "service_type": kind, "subsystem_code": "persons",
        "xroad_instance": "TEST",
        "endpoint_list": [{"method": method, "path": path} for method, path in endpoints],
    }  # fmt: skip


PERSONS = entry("persons", "OPENAPI", ("GET", "/persons/*"), ("POST", "/persons"))
YAML = entry("yaml", "OPENAPI", ("GET", "/a"), ("*", "/**"))


async def _described(stage: Stage) -> None:
    """Let the provider's node have looked at every description."""
    node = stage.provider.running
    await node.exchanges.descriptions.refresh(node.services.conf)
    await node.services.refresh()


async def test_rest_list_methods_has_all_keys_and_endpoints(stage: Stage) -> None:
    await _described(stage)
    answer = await stage.rest("listMethods", "/more?query=1")
    assert (answer.status, answer.first("content-type")) == (200, "application/json")
    assert json.loads(answer.body) == {
        "service": [
            entry("people", "REST"), PERSONS, YAML, entry("gone", "OPENAPI"),
            entry("broken", "OPENAPI"), entry("old", "OPENAPI"), entry("undescribed", "OPENAPI"),
            entry("closed", "REST"),
        ]
    }  # fmt: skip
    assert answer.body.startswith(
        b'{"service":[{"member_class":"GOV","member_code":"1001","object_type":"SERVICE",'
        b'"service_code":"people","service_type":"REST","subsystem_code":"persons",'
        b'"xroad_instance":"TEST","endpoint_list":[]},'
    )


async def test_rest_allowed_methods_has_what_some_right_matches(stage: Stage) -> None:
    await _described(stage)
    answer = await stage.rest("allowedMethods")
    assert json.loads(answer.body) == {
        "service": [
            entry("people", "REST"), entry("persons", "OPENAPI", ("GET", "/persons/*")), YAML,
        ]
    }  # fmt: skip


async def test_another_method_is_the_call_of_an_ordinary_service(stage: Stage) -> None:
    target = f"/r1/{PROVIDER.path}/listMethods"
    answer = await stage.ask("POST", target, (("X-Road-Client", CONSUMER.path),), body=b"{}")
    assert rest_error(answer) == (
        500, "server.serverproxy.unknown_service",
        f"Unknown service: SERVICE:{PROVIDER.path}/listMethods",
    )  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "?serviceCode=persons",
        "?SERVICECODE=gone&servicecode=%70ersons&x",
        "?a=b&serviceCode=persons",
    ],
)
async def test_an_openapi_description_comes_without_addresses(stage: Stage, query: str) -> None:
    answer = await stage.rest("getOpenAPI", query)
    assert (answer.status, answer.first("content-type")) == (200, "application/json")
    assert answer.body == OPENAPI.replace(b"http://10.1.2.3/api", b"/api")
    assert answer.first("age") is None


async def test_a_yaml_description_without_type_is_plain_text(stage: Stage) -> None:
    answer = await stage.rest("getOpenAPI", "?serviceCode=yaml")
    assert (answer.status, answer.first("content-type")) == (200, "text/plain")
    assert answer.body == b"---\nopenapi: 3.0.0\npaths: {/a: {get: {}}}\n"


SERVICE = f"SERVICE:{PROVIDER.path}"


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("", "invalid_request", "Missing serviceCode in message body"),
        ("?serviceCode=", "invalid_request", "Missing serviceCode in message body"),
        ("?serviceCode=persons&serviceCode", "invalid_request",
         "Missing serviceCode in message body"),
        ("?" + "&".join(["serviceCode=persons"] * 200), "invalid_request",
         "Missing serviceCode in message body"),
        ("?serviceCode=nosuch", "internal_error", f"Service not found: {SERVICE}/nosuch"),
        ("?serviceCode=people", "internal_error", "Invalid service type: REST"),
        ("?serviceCode=plain", "internal_error", "Invalid service type: WSDL"),
        ("?serviceCode=gone", "internal_error",
         f"Failed reading service description from {SERVICE}/gone. Status: 404 Reason: Not Found"),
        ("?serviceCode=undescribed", "internal_error",
         f"Failed reading service description from {SERVICE}/undescribed. It has no description"),
        ("?serviceCode=broken", "internal_error",
         f"Failed overwriting origin URL for the openapi servers for {SERVICE}/broken"),
        ("?serviceCode=old", "internal_error",
         "Incompatible openapi version. Openapi version 3 or greater expected. "
         'Given openapi document is of version "2.0"'),
    ],
)  # fmt: skip
async def test_get_openapi_says_why_there_is_none(
    stage: Stage, query: str, code: str, text: str
) -> None:
    found = rest_error(await stage.rest("getOpenAPI", query))
    assert found == (500, f"server.serverproxy.{code}", text)


async def test_a_system_that_is_down_is_answered_for_and_the_caller_is_told(stage: Stage) -> None:
    await stage.rest("getOpenAPI", "?serviceCode=persons")
    before = stage.library.documents["/openapi.json"]
    stage.library.documents["/openapi.json"] = answering(b"", "503 Service Unavailable")
    try:
        answer = await stage.rest("getOpenAPI", "?serviceCode=persons")
        assert answer.body == OPENAPI.replace(b"http://10.1.2.3/api", b"/api")
        assert int(answer.first("age") or "-1") >= 0
        assert answer.first("warning") == '110 - "Response is Stale"'
        stage.library.documents["/openapi.json"] = answering(b"", "410 Gone")
        text = rest_error(await stage.rest("getOpenAPI", "?serviceCode=persons"))[2]
        assert text.endswith("Status: 410 Reason: Gone")
    finally:
        stage.library.documents["/openapi.json"] = before


async def test_a_redirect_is_no_description(stage: Stage) -> None:
    before = stage.library.documents["/openapi.json"]
    stage.library.documents["/openapi.json"] = answering(
        b"", "302 Found", headers=(("Location", stage.library.where("/persons?wsdl")),)
    )
    try:
        text = rest_error(await stage.rest("getOpenAPI", "?serviceCode=persons"))[2]
        assert text.endswith("Status: 302 Reason: Found")
    finally:
        stage.library.documents["/openapi.json"] = before


async def test_the_collector_of_niis_finds_what_it_reads(stage: Stage) -> None:
    headers = (("Accept", "application/json"), ("X-Road-Client", CONSUMER.path))
    members = json.loads((await stage.ask("GET", "/listClients", headers[:1])).body)["member"]
    for member in members:
        identifier = member["id"]
        assert isinstance(member["name"], str)
        assert identifier["object_type"] in ("MEMBER", "SUBSYSTEM")
        assert identifier["xroad_instance"]
        assert identifier["member_class"]
        assert identifier["member_code"]
        assert ("subsystem_code" in identifier) == (identifier["object_type"] == "SUBSYSTEM")
    assert ClientId(*PROVIDER.parts) in {
        ClientId(*(one["id"][key] for key in (
            "xroad_instance", "member_class", "member_code", "subsystem_code")))
        for one in members if "subsystem_code" in one["id"]
    }  # fmt: skip
    listed = json.loads((await stage.ask("GET", f"/r1/{PROVIDER.path}/listMethods", headers)).body)
    for service in listed["service"]:
        assert service["service_type"] in ("REST", "OPENAPI")
        assert all(set(one) == {"method", "path"} for one in service["endpoint_list"])
        assert service["service_code"]
        assert service["object_type"] == "SERVICE"


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["text/xml", "", None])
async def test_the_list_of_clients_is_xml_unless_json_is_wanted(
    stage: Stage, accept: str | None
) -> None:
    headers = () if accept is None else (("Accept", accept),)
    answer = await stage.ask("GET", "/listClients?xRoadInstance=TEST", headers)
    assert (answer.status, answer.first("Content-Type")) == (200, "text/xml; charset=UTF-8")
    listed = etree.fromstring(answer.body)
    assert listed.tag == f"{{{XROAD}}}clientList"
    names = {"x": XROAD, "i": IDENTIFIERS}
    found = [tuple(part.text for part in one) for one in listed.iterfind("x:member/x:id", names)]
    assert PROVIDER.parts in found
    assert found.index(PROVIDER.member.parts) < found.index(PROVIDER.parts)


@pytest.mark.parametrize(
    ("target", "accept", "text"),
    [
        ("?xRoadInstance=XX", "text/xml", "Shared params for instance identifier XX not found"),
        ("?xRoadInstance=XX", "application/json",
         "Shared params for instance identifier XX not found"),
        ("", "application", "Could not parse 'application'"),
    ],
)  # fmt: skip
async def test_its_errors_are_soap_faults(
    stage: Stage, target: str, accept: str, text: str
) -> None:
    answer = await stage.ask("GET", f"/listClients{target}", (("Accept", accept),))
    assert fault_of(answer) == ("server.clientproxy.internal_error", text)


async def test_other_pages_and_methods_are_soap(stage: Stage) -> None:
    for method, target in (
        ("GET", "/listCentralServices"),
        ("GET", "/wsdl"),
        ("PUT", "/listClients"),
    ):
        code, text = fault_of(await stage.ask(method, target))
        assert code == "client.invalid_http_method"
        assert text == f"Must use POST request method instead of {method}"


async def test_what_is_asked_is_kept_as_evidence_on_both_sides(stage: Stage) -> None:
    answer = await stage.rest("listMethods")
    exchange = answer.first("x-road-request-id")
    for node in (stage.consumer, stage.provider):
        kept = await records(node, exchange_id=exchange)
        assert [one.response for one in kept] == [False, True]
        assert kept[0].service.service_code == "listMethods"


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []
