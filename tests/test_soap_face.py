"""The SOAP face over real HTTP, with zeep and the reference's own example as callers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zeep
import zeep.exceptions
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.faces.elements import read_record, write_record
from adapters.faces.xsd import declare_record, record_of, xml_name
from adapters.operations import (
    BadParameter,
    Content,
    Method,
    NotThere,
    Operation,
    SourceUnavailable,
    UpstreamRefused,
)
from adapters.settings import AdapterSettings, LimitSettings, SoapFaceSettings
from adapters.shapes import AnyValue, Document, Field, ListOf, Record, Scalar, Shape, ValueType
from adapters.shell import build_app
from adapters.values import read_fields
from catalog.wsdl import parse_wsdl
from node.messages.fault import parse_fault
from node.messages.soap import SoapMessage, parse_soap
from tests.memory_source import MemorySource
from trust.settings import ByteSize

Client = TestClient[web.Request, web.Application]
NAMESPACE = "http://towns.example/v1"
HEADERS = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'}
CHILD = Record((Field("first name"), Field("alive", Scalar(ValueType.BOOLEAN))))
PERSON = Operation(
    name="personData",
    path="/persons/{code}",
    summary="One person & their children",
    parameters=(
        Field("code", Scalar(max_length=11), description="personal code"),
        Field("at", Scalar(ValueType.DATE), required=False, concept="urn:date"),
        Field("full", Scalar(ValueType.BOOLEAN), required=False),
    ),
    answer=Record(
        (
            Field("name", Scalar(nullable=True), concept="http://data.europa.eu/m8g/fullName"),
            Field("born", Scalar(ValueType.DATE)),
            Field("seen", Scalar(ValueType.DATETIME)),
            Field("income", Scalar(ValueType.DECIMAL, nullable=True)),
            Field("children", ListOf(CHILD)),
            Field("grid", ListOf(ListOf(Scalar(ValueType.INTEGER)))),
            Field("extra", AnyValue(), required=False),
        )
    ),
    may_be_missing=True,
)  # fmt: skip
STORE = Operation(
    name="store",
    path="/store",
    method=Method.POST,
    body=Record(
        (
            Field("tags", ListOf(Scalar(), max_items=3), required=False),
            Field("address", Record((Field("street"), Field("no", Scalar(ValueType.INTEGER))))),
        )
    ),
    answer=AnyValue(),
)
PICTURE = Operation(name="picture", path="/picture", answer=Document("image/png"))
NAMES = Operation(name="names", path="/names", answer=ListOf(Scalar()))
ANSWER: dict[str, object] = {
    "name": "Märt <&> \x01",
    "born": date(1990, 5, 1),
    "seen": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "income": Decimal("10.50"),
    "children": [{"first name": "Ann", "alive": True}, {"first name": "Bo", "alive": False}],
    "grid": [[1, 2], []],
    "extra": {"a": [1, None]},
}


LIMITED = AdapterSettings(
    title="People",
    soap=SoapFaceSettings(namespace=NAMESPACE),
    limits=LimitSettings(answer=ByteSize(8192), body=ByteSize(65536)),
)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource(
        (PERSON, STORE, PICTURE, NAMES),
        answers={"personData": ANSWER, "store": {"a": 1}, "names": ["x", "y"],
                 "picture": Content("image/png", b"\x89PNG")}
    )  # fmt: skip


@pytest.fixture
async def client(source: MemorySource) -> AsyncIterator[Client]:
    opened: Client = TestClient(TestServer(build_app(LIMITED, source)))
    async with opened:
        yield opened


def envelope(body: str, *, service: str = "personData", header: str = "") -> bytes:
    """A request as in the protocol's example, prefixes of its own and all."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:xro="http://x-road.eu/xsd/xroad.xsd" xmlns:iden="http://x-road.eu/xsd/identifiers"
    xmlns:pop="{NAMESPACE}">
  <soapenv:Header>
    <xro:client iden:objectType="SUBSYSTEM"><iden:xRoadInstance>EX</iden:xRoadInstance>
      <iden:memberClass>GOV</iden:memberClass><iden:memberCode>12/34</iden:memberCode>
      <iden:subsystemCode>portal</iden:subsystemCode></xro:client>
    <xro:service iden:objectType="SERVICE"><iden:xRoadInstance>EX</iden:xRoadInstance>
      <iden:memberClass>GOV</iden:memberClass><iden:memberCode>7654321</iden:memberCode>
      <iden:subsystemCode>population</iden:subsystemCode><iden:serviceCode>{service}</iden:serviceCode>
      <iden:serviceVersion>v1</iden:serviceVersion></xro:service>
    <xro:userId>EX60001019906</xro:userId>
    <xro:id>7c0c2e8a</xro:id>
    <xro:issue>case-2025/17</xro:issue>
    <xro:protocolVersion>4.0</xro:protocolVersion>{header}
  </soapenv:Header>
  <soapenv:Body>{body}</soapenv:Body>
</soapenv:Envelope>""".encode()


GOOD = "<pop:personData><pop:code>60001019906</pop:code></pop:personData>"


async def call(client: Client, body: str, **more: str) -> tuple[int, bytes]:
    answer = await client.post("/", data=envelope(body, **more), headers=HEADERS)
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    return answer.status, await answer.read()


async def test_the_header_is_answered_completely(client: Client, source: MemorySource) -> None:
    own = '<x:mine xmlns:x="urn:x" x:a="1">kept</x:mine>'
    request = envelope(GOOD, header=own)
    answer = await client.post("/soap", data=request, headers=HEADERS)
    raw = await answer.read()
    assert answer.status == 200
    message = parse_soap(raw, "text/xml")
    asked = parse_soap(request, "text/xml")
    assert isinstance(message, SoapMessage)
    assert isinstance(asked, SoapMessage)
    assert message.header == asked.header
    assert message.body_name == "personDataResponse"
    assert own.encode() in raw
    name, values, caller = source.asked[0]
    assert (name, values) == ("personData", {"code": "60001019906", "at": None, "full": None})
    assert caller.client == "EX/GOV/12%2F34/portal"
    assert (caller.user_id, caller.issue) == ("EX60001019906", "case-2025/17")
    assert ("X-Road-Id", "7c0c2e8a") in caller.headers


async def test_values_stand_in_elements_as_the_schema_says(client: Client) -> None:
    _, raw = await call(client, GOOD)
    wrapper = etree.fromstring(raw).find(f".//{{{NAMESPACE}}}personDataResponse")
    assert wrapper is not None
    texts = [(etree.QName(one).localname, "".join(one.itertext())) for one in wrapper]
    assert texts == [
        ("name", "Märt <&> \N{REPLACEMENT CHARACTER}"), ("born", "1990-05-01"),
        ("seen", "2026-01-02T03:04:05+00:00"), ("income", "10.50"), ("children", "Anntrue"),
        ("children", "Bofalse"), ("grid", "12"), ("grid", ""), ("extra", '{"a":[1,null]}'),
    ]  # fmt: skip
    assert wrapper[4][0].tag == f"{{{NAMESPACE}}}first_x0020_name"


@pytest.mark.parametrize(
    ("body", "text", "detail"),
    [
        ("<pop:personData/>", "parameter 'code' is missing", "bad_parameter: code"),
        ("<pop:personData><pop:code>123456789012</pop:code></pop:personData>",
         "parameter 'code' is longer than 11 characters", "bad_parameter: code"),
        ("<pop:personData><pop:code>1</pop:code><pop:at>soon</pop:at></pop:personData>",
         "parameter 'at' is no date", "bad_parameter: at"),
        ("<pop:personData><pop:code>1</pop:code><pop:code>2</pop:code></pop:personData>",
         "parameter 'code' is given twice", "bad_parameter: code"),
        ("<pop:personData><pop:code>1</pop:code><pop:x/></pop:personData>",
         "there is no parameter 'x'", "bad_parameter: x"),
        ("<pop:personData><code>1</code></pop:personData>",
         f"element 'code' is not in the namespace {NAMESPACE}", "bad_parameter: code"),
        ("<pop:personData><pop:code><pop:b/></pop:code></pop:personData>",
         "parameter 'code' must be a text without markup", "bad_parameter: code"),
        ("<pop:personData>some words<pop:code>1</pop:code></pop:personData>",
         "there is text between the elements", "bad_parameter"),
        ("<personData xmlns='urn:other'/>",
         f"element 'personData' is not in the namespace {NAMESPACE}", "invalid_body"),
        ("<pop:personDataRequest/>", "there is no service 'personDataRequest' here",
         "unknown_service"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_the_declaration_is_a_fault_that_names_it(
    client: Client, body: str, text: str, detail: str
) -> None:
    status, raw = await call(client, body)
    fault = parse_fault(raw)
    assert fault is not None
    assert (status, fault.code, fault.text) == (500, "SOAP-ENV:Client", text)
    assert fault.detail == detail


@pytest.mark.parametrize(
    ("answer", "code", "detail"),
    [
        (NotThere("there is no such row"), "SOAP-ENV:Client", "not_found"),
        (SourceUnavailable("secret words"), "SOAP-ENV:Server", "unavailable"),
        (UpstreamRefused(422, "too young", "E17"), "SOAP-ENV:Client", "E17"),
        (BadParameter("code", "out of range"), "SOAP-ENV:Client", "bad_parameter: code"),
        (RuntimeError("38001010000"), "SOAP-ENV:Server", "unavailable"),
        ({"name": None}, "SOAP-ENV:Server", "unavailable"),
        (ANSWER | {"children": "none"}, "SOAP-ENV:Server", "unavailable"),
        (ANSWER | {"name": "x" * 9000}, "SOAP-ENV:Server", "unavailable"),
        ("no object", "SOAP-ENV:Server", "unavailable"),
    ],
)
async def test_every_failure_of_the_source_is_a_fault(
    client: Client, source: MemorySource, answer: object, code: str, detail: str
) -> None:
    source.answers["personData"] = answer
    status, raw = await call(client, GOOD)
    fault = parse_fault(raw)
    assert fault is not None
    assert (status, fault.code, fault.detail) == (500, code, detail)
    assert b"secret" not in raw
    assert b"38001010000" not in raw


@pytest.mark.parametrize(
    ("data", "content_type", "detail"),
    [
        (b"", "text/xml", "invalid_soap"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "text/xml", "invalid_soap"),
        (envelope(GOOD), "application/json", "invalid_content_type"),
        (envelope(GOOD).replace(b"4.0", b"5.0"), "text/xml", "invalid_protocol_version"),
        (envelope(GOOD).replace(b"xro:id>", b"xro:di>"), "text/xml", "missing_header_field"),
        (b"x" * 70000, "text/xml", "too_large"),
    ],
)
async def test_what_is_no_message_is_a_fault(
    client: Client, data: bytes, content_type: str, detail: str
) -> None:
    answer = await client.post("/", data=data, headers={"Content-Type": content_type})
    fault = parse_fault(await answer.read())
    assert fault is not None
    assert (answer.status, fault.code, fault.detail) == (500, "SOAP-ENV:Client", detail)


async def test_lists_single_values_and_documents_are_wrapped(client: Client) -> None:
    _, raw = await call(client, "<pop:names/>", service="names")
    assert b"<pop:item>x</pop:item><pop:item>y</pop:item>" in raw
    _, raw = await call(client, "<pop:picture/>", service="picture")
    assert b"<pop:mediaType>image/png</pop:mediaType><pop:data>iVBORw==</pop:data>" in raw


async def test_nested_values_are_read(client: Client, source: MemorySource) -> None:
    status, _ = await call(
        client,
        "<pop:store><pop:tags>a</pop:tags><pop:tags/><pop:address><pop:street>B</pop:street>"
        "<pop:no> 7 </pop:no></pop:address></pop:store>",
        service="store",
    )
    assert status == 200
    assert source.asked[0][1] == {"tags": ["a", ""], "address": {"street": "B", "no": 7}}


async def test_the_node_s_own_reader_takes_the_wsdl(client: Client) -> None:
    answer = await client.get("/soap?WSDL")
    assert answer.status == 200
    found = parse_wsdl(await answer.read())
    assert found.warnings == ()
    first = found.operations[0]
    assert (first.code, first.version, first.title) == (
        "personData", "v1", "One person & their children",
    )  # fmt: skip
    assert found.operations[0].address == f"http://127.0.0.1:{client.port}/soap"
    assert (await client.get("/")).status == 404


async def test_zeep_reads_the_wsdl_offline_and_calls(
    client: Client, source: MemorySource, tmp_path: Path
) -> None:
    file = tmp_path / "adapter.wsdl"
    file.write_bytes(await (await client.get("/?wsdl")).read())
    answer = await asyncio.to_thread(_call_with_zeep, file)
    assert (answer.name, answer.born, answer.income) == (
        "Märt <&> \N{REPLACEMENT CHARACTER}", date(1990, 5, 1), Decimal("10.50"),
    )  # fmt: skip
    assert [child.first_x0020_name for child in answer.children] == ["Ann", "Bo"]
    assert [child.alive for child in answer.children] == [True, False]
    assert answer.grid[0].item == [1, 2]
    name, values, caller = source.asked[0]
    assert values == {"code": "60001019906", "at": date(2020, 1, 2), "full": True}
    assert (name, caller.client, caller.user_id) == ("personData", "EX/GOV/1/portal", "official")


def _call_with_zeep(file: Path) -> Any:  # noqa: ANN401 - whatever zeep makes of it
    """As pyxroad does: header parts by name, from one header message."""
    open_client: Any = zeep.Client
    caller = open_client(str(file))
    iden = "{http://x-road.eu/xsd/identifiers}"
    kind = caller.get_type(f"{iden}XRoadClientIdentifierType")
    service = caller.get_type(f"{iden}XRoadServiceIdentifierType")
    member = {"xRoadInstance": "EX", "memberClass": "GOV", "memberCode": "1"}
    header = {
        "client": kind(objectType="SUBSYSTEM", subsystemCode="portal", **member),
        "service": service(objectType="SERVICE", subsystemCode="people", serviceVersion="v1",
                           serviceCode="personData", **member),
        "userId": "official",
        "id": "0123456789abcdef",
        "protocolVersion": "4.0",
    }  # fmt: skip
    bound = caller.bind("adapterService", "adapterPort")
    answer = bound.personData(
        code="60001019906", at=date(2020, 1, 2), full=True, _soapheaders=header
    )
    with pytest.raises(zeep.exceptions.Fault, match="longer than 11"):
        bound.personData(code="1" * 12, _soapheaders=header)
    return answer.body


@given(st.text(max_size=12), st.text(max_size=12))
def test_every_name_becomes_a_name_of_its_own(one: str, other: str) -> None:
    etree.QName(xml_name(one))
    assert not xml_name(one).lower().startswith("xml")
    assert one == other or xml_name(one) != xml_name(other)


@pytest.mark.parametrize("name", ["birthDate", "first_name", "ärger", "a-b.c", "_x", "x0020"])
def test_a_name_that_is_one_stays(name: str) -> None:
    assert xml_name(name) == name


SCALARS = {
    ValueType.TEXT: st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    ValueType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ValueType.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False, places=3,
                                   min_value=-10**9, max_value=10**9),
    ValueType.BOOLEAN: st.booleans(),
    ValueType.DATE: st.dates(),
    ValueType.BINARY: st.binary(),
}  # fmt: skip


def shapes() -> st.SearchStrategy[tuple[Shape, object]]:
    """Shapes, each with a value that fits."""
    scalar = st.sampled_from(sorted(SCALARS)).flatmap(
        lambda kind: SCALARS[kind].map(lambda value: (Scalar(kind), value))
    )

    def nest(
        inner: st.SearchStrategy[tuple[Shape, object]],
    ) -> st.SearchStrategy[tuple[Shape, object]]:
        record = st.lists(st.tuples(st.text(min_size=1, max_size=5), inner), max_size=4,
                          unique_by=lambda pair: pair[0])  # fmt: skip
        return st.one_of(
            inner.map(lambda pair: (ListOf(pair[0]), [pair[1]])),
            record.map(lambda pairs: (
                Record(tuple(Field(name, shape) for name, (shape, _) in pairs)),
                {name: value for name, (_, value) in pairs},
            )),
        )  # fmt: skip

    return st.recursive(scalar, nest, max_leaves=8)


@given(shapes())
def test_what_is_written_fits_the_schema_and_is_read_as_it_was(pair: tuple[Shape, object]) -> None:
    shape, value = pair
    record = Record((Field("root", shape),))
    schema = etree.Element("{http://www.w3.org/2001/XMLSchema}schema",
                           nsmap={"xs": "http://www.w3.org/2001/XMLSchema"})  # fmt: skip
    schema.set("targetNamespace", NAMESPACE)
    schema.set("elementFormDefault", "qualified")
    declare_record(schema, "answer", record_of(record))
    wrapper = etree.Element(f"{{{NAMESPACE}}}answer")
    write_record(record, {"root": value}, wrapper, NAMESPACE)
    again = etree.fromstring(etree.tostring(wrapper, encoding="UTF-8"))
    etree.XMLSchema(etree.fromstring(etree.tostring(schema, encoding="UTF-8"))).assertValid(again)
    assert read_fields(record.fields, read_record(record, again, NAMESPACE)) == {"root": value}
