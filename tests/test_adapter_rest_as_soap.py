"""A REST service offered as X-Road SOAP: its JSON as XML and back, alone and through two nodes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zeep
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.faces.elements import read_record, write_record
from adapters.faces.wsdl import SoapService, build_wsdl
from adapters.faces.xsd import record_of, xml_name
from adapters.operations import Method, Operation
from adapters.rest.settings import FromOpenApi, RestSettings, UpstreamSettings
from adapters.rest.source import open_rest
from adapters.settings import SoapFaceSettings
from adapters.shapes import Field, ListOf, Record, Scalar, Shape, ValueType
from adapters.soap.catalogue import BUILT_IN_URL, Catalogue
from adapters.soap.content import Complex, Element, fields_of
from adapters.soap.description import read_description
from adapters.soap.reading import read_content
from adapters.soap.settings import CallingSettings, DescriptionSettings
from adapters.soap.writing import write_content
from adapters.values import read_fields
from adapters.xroad.kind import open_xroad
from adapters.xroad.settings import ServiceSettings, XroadAdapterSettings
from catalog.services import AccessRight, ConnectionType, HostedClient, Service, ServiceType
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, Instance
from tests.soap_messages import Envelope
from tests.soap_services import Rest, adapter, listening
from tests.soap_services import Service as Listener
from trust.ids import ServiceId
from trust.xmlbytes import parse_xml

NS = "urn:persons"
XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
PERSON: dict[str, object] = {
    "code": "38001085718",
    "first-name": "Ülo <& ]]>",
    "2nd name": None,
    "birthDate": "1980-01-08",
    "seen": "2026-11-21T20:30:00+02:00",
    "income": "1234567890123456789.10",
    "height": 1.85,
    "children": 9007199254740993,
    "active": True,
    "tags": ["a", "", "b"],
    "addresses": [
        {"street": "Pikk 1", "current": True, "geo": {"lat": 59.4, "lon": 24.7}},
        {"street": "Lai 2", "current": False, "geo": None},
    ],
    "photo": "AAEC",
}


def openapi() -> dict[str, object]:
    def typed(kind: str, **more: object) -> dict[str, object]:
        return {"type": kind, **more}

    geo = typed(
        "object",
        nullable=True,
        required=["lat", "lon"],
        properties={"lat": typed("number"), "lon": typed("number")},
    )
    address = typed(
        "object",
        required=["street", "current", "geo"],
        properties={"street": typed("string"), "current": typed("boolean"), "geo": geo},
    )
    person = typed(
        "object",
        required=["code", "first-name", "2nd name"],
        properties={
            "code": typed("string"),
            "first-name": typed("string"),
            "2nd name": typed("string", nullable=True),
            "birthDate": typed("string", format="date"),
            "seen": typed("string", format="date-time"),
            "income": typed("string", format="decimal"),
            "height": typed("number"),
            "children": typed("integer"),
            "active": typed("boolean"),
            "tags": typed("array", items=typed("string")),
            "addresses": typed("array", items=address),
            "photo": typed("string", format="byte"),
        },
    )
    content = {"application/json": {"schema": person}}
    answer: dict[str, object] = {"200": {"description": "a person", "content": content}}
    code = {"name": "code", "in": "path", "required": True, "schema": typed("string")}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Persons", "version": "1"},
        "paths": {
            "/persons/{code}": {
                "get": {
                    "operationId": "person",
                    "parameters": [code],
                    "responses": answer | {"404": {"description": "there is none"}},
                }
            },
            "/echo": {
                "post": {
                    "operationId": "echo",
                    "requestBody": {"required": True, "content": content},
                    "responses": answer,
                }
            },
        },
    }


@dataclass
class Persons(Listener):
    """A REST service with one person, who may be changed; `/echo` gives back what it is sent."""

    def __post_init__(self) -> None:
        self.person: dict[str, object] = dict(PERSON)
        self.answerer = self._serve

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/echo"):
            return web.Response(body=self.requests[-1], content_type="application/json")
        if not request.path.endswith(str(PERSON["code"])):
            return web.Response(status=404)
        return web.Response(text=json.dumps(self.person), content_type="application/json")


@asynccontextmanager
async def persons_adapter(folder: Path, service: Persons) -> AsyncIterator[Rest]:
    """The REST service behind an adapter with both faces."""
    (folder / "openapi.json").write_text(json.dumps(openapi()))
    async with listening(service) as address:
        declared = RestSettings(
            kind="rest",
            title="Persons",
            port=0,
            upstream=UpstreamSettings(url=address),
            soap=SoapFaceSettings(namespace=NS),
            from_openapi=FromOpenApi(file=folder / "openapi.json", operations=("person", "echo")),
        )
        async with adapter(declared, await open_rest(declared)) as rest:
            yield rest


async def ask(rest: Rest, code: str, content: str) -> tuple[int, bytes]:
    """Call an operation by SOAP, as a node does."""
    request = Envelope(service=ServiceId(PROVIDER, code, "v1"), content=content)
    raw = request.raw.replace(b'="urn:p"', f'="{NS}"'.encode())
    headers = {"Content-Type": "text/xml; charset=UTF-8"}
    async with rest.client.post(rest.url + "/soap", data=raw, headers=headers) as answer:
        return answer.status, await answer.read()


def body_of(raw: bytes) -> etree._Element:
    (found,) = parse_xml(raw).iterfind("{*}Body/*")
    return found


async def test_json_becomes_xml_in_the_order_of_the_description(tmp_path: Path) -> None:
    async with persons_adapter(tmp_path, Persons()) as rest:
        status, raw = await ask(rest, "person", "<p:code>38001085718</p:code>")
    assert status == 200
    answer = body_of(raw)
    assert answer.tag == f"{{{NS}}}personResponse"
    assert [(etree.QName(one).localname, one.text) for one in answer if not len(one)] == [
        ("code", "38001085718"),
        ("first-name", "Ülo <& ]]>"),
        ("_x0032_nd_x0020_name", None),
        ("birthDate", "1980-01-08"),
        ("seen", "2026-11-21T20:30:00+02:00"),
        ("income", "1234567890123456789.10"),
        ("height", "1.85"),
        ("children", "9007199254740993"),
        ("active", "true"),
        ("tags", "a"),
        ("tags", None),
        ("tags", "b"),
        ("photo", "AAEC"),
    ]
    assert [one.get(XSI_NIL) for one in answer][2] == "true"
    addresses = [
        [(etree.QName(one).localname, one.text or one.get(XSI_NIL)) for one in address.iter()][1:]
        for address in answer.iterfind(f"{{{NS}}}addresses")
    ]
    assert addresses == [
        [
            ("street", "Pikk 1"),
            ("current", "true"),
            ("geo", None),
            ("lat", "59.4"),
            ("lon", "24.7"),
        ],
        [("street", "Lai 2"), ("current", "false"), ("geo", "true")],
    ]


async def test_xml_becomes_the_json_that_the_service_takes(tmp_path: Path) -> None:
    service = Persons()
    content = (
        "<p:tags>x</p:tags><p:code>1</p:code><p:first-name>Ü</p:first-name>"
        '<p:_x0032_nd_x0020_name xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="1"/>'
        "<p:tags/><p:active> 1 </p:active><p:children>-5</p:children>"
        "<p:addresses><p:street>a</p:street><p:current>0</p:current>"
        "<p:geo><p:lat>1</p:lat><p:lon>2.50</p:lon></p:geo></p:addresses>"
        "<p:income>1.10</p:income><p:birthDate>2020-02-29Z</p:birthDate>"
    )
    async with persons_adapter(tmp_path, service) as rest:
        status, raw = await ask(rest, "echo", content)
    assert status == 200, raw
    assert json.loads(service.requests[0]) == {
        "code": "1",
        "first-name": "Ü",
        "2nd name": None,
        "birthDate": "2020-02-29",
        "income": "1.10",
        "children": -5,
        "active": True,
        "tags": ["x", ""],
        "addresses": [{"street": "a", "current": False, "geo": {"lat": 1.0, "lon": 2.5}}],
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "parameter 'code' is missing"),
        ("<p:code>1</p:code><p:code>2</p:code>", "'code' is given twice"),
        ("<p:code>1</p:code><p:more/>", "there is no parameter 'more'"),
        ("<code>1</code>", "is not in the namespace urn:persons"),
        ("<p:code>1</p:code>text", "there is text between the elements"),
    ],
)
async def test_what_the_description_does_not_have_is_a_fault(
    content: str, words: str, tmp_path: Path
) -> None:
    service = Persons()
    async with persons_adapter(tmp_path, service) as rest:
        status, raw = await ask(rest, "person", content)
    assert status == 500
    fault = body_of(raw)
    assert words in (fault.findtext("faultstring") or "")
    assert service.requests == []


async def test_nobody_and_a_broken_answer_are_faults_of_their_own(tmp_path: Path) -> None:
    service = Persons()
    async with persons_adapter(tmp_path, service) as rest:
        _, none = await ask(rest, "person", "<p:code>0</p:code>")
        service.person["children"] = "many"
        _, broken = await ask(rest, "person", "<p:code>38001085718</p:code>")
    codes = [body_of(raw).findtext("faultcode") for raw in (none, broken)]
    assert codes[0] != codes[1]
    assert b"many" not in broken


async def test_zeep_reads_the_wsdl_and_the_answers(tmp_path: Path) -> None:
    make_client: Any = zeep.Client  # which has no types, as what it gives

    def call(url: str) -> Any:  # noqa: ANN401 - zeep's own values
        client = make_client(f"{url}/soap?wsdl", settings=zeep.Settings(forbid_external=True))
        values: dict[str, object] = {
            "objectType": "SUBSYSTEM",
            "xRoadInstance": "EX",
            "memberClass": "GOV",
            "memberCode": "1",
            "subsystemCode": "a",
        }
        header = {
            "client": values,
            "service": values | {"objectType": "SERVICE", "serviceCode": "person"},
            "userId": "EE1",
            "id": "id-1",
            "protocolVersion": "4.0",
        }
        try:
            return client.service.person(code=PERSON["code"], _soapheaders=header)
        finally:
            client.transport.session.close()

    async with persons_adapter(tmp_path, Persons()) as rest:
        found = await asyncio.to_thread(call, rest.url)
    body = found.body
    assert body["birthDate"] == date(1980, 1, 8)
    assert str(body["income"]) == PERSON["income"]
    assert body["children"] == PERSON["children"]
    assert [one["street"] for one in body["addresses"]] == ["Pikk 1", "Lai 2"]
    assert body["addresses"][0]["geo"]["lat"] == 59.4
    assert body["_x0032_nd_x0020_name"] is None
    assert found.header["id"] == "id-1"


# The way round: a REST consumer, two nodes, and the REST service at the end.


@pytest.mark.database
async def test_a_rest_consumer_reaches_a_rest_service_by_soap_between_two_nodes(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    folder, service = tmp_path / "adapters", Persons()
    folder.mkdir()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(persons_adapter(folder, service))
        instance = Instance(tmp_path / "nodes", postgres_server)
        await stack.enter_async_context(instance)
        codes = ("person", "echo")
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=tuple(
                Service(ServiceId(PROVIDER, one, "v1"), ServiceType.WSDL, f"{provider.url}/soap")
                for one in codes
            ),
            rights=tuple(AccessRight(CONSUMER, one) for one in codes),
        )
        await instance.add("CIVIL", PROVIDER, hosted=[offered])
        asking = HostedClient(CONSUMER, connection=ConnectionType.HTTP)
        consumer = await instance.add("MUNI", CONSUMER, hosted=[asking])
        await instance.start()
        async with provider.client.get(f"{provider.url}/soap?wsdl") as answer:
            (folder / "persons.wsdl").write_bytes(await answer.read())
        declared = XroadAdapterSettings(
            kind="xroad",
            title="Persons",
            port=0,
            service=ServiceSettings(node=consumer.url, client=CONSUMER, provider=PROVIDER),
            wsdl=DescriptionSettings(file=folder / "persons.wsdl", get=("person",)),
            calling=CallingSettings(),
        )
        rest = await stack.enter_async_context(adapter(declared, await open_xroad(declared)))
        seen = {xml_name(name): value for name, value in PERSON.items()}
        assert await rest.call(f"/person?code={PERSON['code']}") == (200, seen)
        assert await rest.call("/echo", seen) == (200, seen)
        assert await rest.call("/person?code=0") == (
            404,
            {"error": "there is nothing that fits", "code": "Client"},
        )
    assert json.loads(service.requests[1]) == PERSON


# Every shape: what the face writes and reads is what its own WSDL says.

_NAMES = st.text("aZ_-. é@1x:$/", min_size=1, max_size=5)
_SCALARS: dict[ValueType, st.SearchStrategy[object]] = {
    ValueType.TEXT: st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=6),
    ValueType.INTEGER: st.integers(-(1 << 63), (1 << 63) - 1),
    ValueType.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    ValueType.DECIMAL: st.decimals(-(10**15), 10**15, places=4),
    ValueType.BOOLEAN: st.booleans(),
    ValueType.DATE: st.dates(date(1, 1, 1)),
    ValueType.DATETIME: st.datetimes(timezones=st.just(UTC)) | st.datetimes(),
    ValueType.UUID: st.uuids(),
    ValueType.BINARY: st.binary(max_size=5),
}


@st.composite
def shapes(draw: st.DrawFn, depth: int) -> tuple[Shape, st.SearchStrategy[object]]:
    kind = draw(st.sampled_from(["scalar", "scalar", "list", "record"] if depth else ["scalar"]))
    nullable = draw(st.booleans())
    if kind == "list":
        item, values = draw(
            shapes(depth - 1).filter(lambda found: not isinstance(found[0], ListOf))
        )
        return ListOf(item), st.lists(values, max_size=3)
    if kind == "record":
        record, found = draw(records(depth - 1))
        shape = replace(record, nullable=nullable)
        return shape, found | st.none() if nullable else found
    type_ = draw(st.sampled_from(sorted(_SCALARS)))
    plain = _SCALARS[type_]
    return Scalar(type_, nullable=nullable), plain | st.none() if nullable else plain


@st.composite
def records(draw: st.DrawFn, depth: int) -> tuple[Record, st.SearchStrategy[dict[str, object]]]:
    fields: list[Field] = []
    needed: dict[str, st.SearchStrategy[object]] = {}
    optional: dict[str, st.SearchStrategy[object]] = {}
    for name in draw(st.lists(_NAMES, max_size=4, unique=True)):
        shape, values = draw(shapes(depth))
        required = draw(st.booleans()) or isinstance(shape, ListOf)
        fields.append(Field(name, shape, required))
        (needed if required else optional)[name] = values
    return Record(tuple(fields)), st.fixed_dictionaries(needed, optional=optional)


def test_names_of_every_kind_are_told_apart_and_taken_by_a_schema() -> None:
    names = [chr(code) for code in (*range(1, 0x3000), 0x4E00, 0xAC00, 0xFFFD, 0x1F600)]
    names += [f"a{name}" for name in names] + ["_x1F600_", "_x0020_", "xml", "XMLa", "1.5"]
    written = [xml_name(name) for name in names]
    assert len(set(written)) == len(names)
    declared = "".join(f'<xs:element name="{name}"/>' for name in written)
    schema = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{declared}</xs:schema>'
    etree.XMLSchema(parse_xml(schema.encode()))


def plain(value: object) -> object:
    """A value as JSON has it."""
    encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)
    return msgspec.json.decode(encoder.encode(value))


def renamed(value: object, shape: Shape) -> object:
    """The same JSON with the names that elements have, without empty lists."""
    if isinstance(shape, Record) and isinstance(value, dict):
        return {
            xml_name(field.name): renamed(value[field.name], field.shape)
            for field in shape.fields
            if field.name in value and value[field.name] != []
        }
    if isinstance(shape, ListOf) and isinstance(value, list):
        return [renamed(item, shape.item) for item in value]
    return value


class Shelf:
    """A catalogue with one document, and the schemas that are built in."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def has(self, url: str) -> bool:
        return url == "https://a.example/"

    def read(self, url: str) -> bytes:
        return self._data if self.has(url) else built_in(url.removeprefix(BUILT_IN_URL))


def built_in(name: str) -> bytes:
    return Catalogue(Path()).read(BUILT_IN_URL + name)


def described(record: Record) -> Element:
    """The grammar of the answer, as another reader finds it in the WSDL of the face."""
    operation = Operation(
        name="op", path="/op", method=Method.POST, body=record, answer=record_of(record)
    )
    service = SoapService("Title", NS, "v1")
    schemas = [parse_xml(built_in(name)) for name in ("identifiers.xsd", "xroad.xsd")]
    data = build_wsdl(service, [operation], "http://a.example/", schemas)
    (found,) = read_description(Shelf(data), "https://a.example/").operations
    assert found.answer is not None
    return found.answer


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_what_the_face_writes_is_what_its_wsdl_says(data: st.DataObject) -> None:
    record, values = data.draw(records(2))
    value = data.draw(values)
    answer = described(record)
    node = etree.Element(answer.tag)
    write_record(record, value, node, NS)
    found = read_content(parse_xml(etree.tostring(node, encoding="utf-8")), answer.content)
    assert plain(found) == renamed(plain(value), record)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_what_fits_the_wsdl_is_what_the_face_reads(data: st.DataObject) -> None:
    record, values = data.draw(records(2))
    value = data.draw(values)
    answer = described(record)
    assert isinstance(answer.content, Complex)
    node = etree.Element(answer.tag)
    sent = renamed(plain(value), record)
    assert isinstance(sent, dict)
    write_content(node, answer.content, read_fields(fields_of(answer.content), sent))
    given_values = read_record(record, parse_xml(etree.tostring(node, encoding="utf-8")), NS)
    typed = read_fields(record.fields, given_values)
    expected = read_fields(record.fields, plain(value))  # type: ignore[arg-type]
    assert typed == expected
