"""What of a WSDL becomes an operation, and what a hostile one can't do."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from lxml import etree

from adapters.faces.openapi import describe
from adapters.operations import Method, Operation
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, Shape, ValueType
from adapters.soap.catalogue import (
    BUILT_IN,
    BUILT_IN_URL,
    Catalogue,
    CatalogueError,
    build_index,
    entry_for,
    parse_index,
)
from adapters.soap.description import DescriptionError, read_description
from adapters.soap.envelope import (
    Answer,
    body_of,
    fill_body,
    new_envelope,
    open_answer,
    read_body,
)
from adapters.soap.offering import offer
from adapters.soap.port import Description
from tests.soap_descriptions import ECHO, SOAP12_BINDING, schema_document, wsdl
from tests.soap_services import envelope as soap_envelope

URL = "https://register.example/service?wsdl"


@dataclass
class Shelf:
    """A catalogue in memory that remembers what was asked for."""

    documents: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    def has(self, url: str) -> bool:
        return url in self.documents

    def read(self, url: str) -> bytes:
        self.asked.append(url)
        if url.startswith(BUILT_IN_URL):
            return Catalogue(Path()).read(url)
        if url not in self.documents:
            raise CatalogueError(f"'{url}' is not in the catalogue")
        return self.documents[url]


def describe_one(data: bytes, **others: bytes) -> Description:
    documents = {f"https://register.example/{name}.xsd": other for name, other in others.items()}
    return read_description(Shelf({URL: data, **documents}), URL)


def messages(content: str, extra: str = "") -> str:
    """A schema whose request has this content, and whose answer is empty."""
    return (
        f'<xs:element name="echo"><xs:complexType>{content}</xs:complexType></xs:element>'
        f'<xs:element name="echoResponse"><xs:complexType/></xs:element>{extra}'
    )


def shape(content: str, extra: str = "") -> dict[str, Field]:
    (operation,) = offer(describe_one(wsdl(messages(content, extra)))).operations
    assert operation.body is not None
    return {field.name: field for field in operation.body.fields}


def only(content: str, extra: str = "") -> Shape:
    (found,) = shape(f"<xs:sequence>{content}</xs:sequence>", extra).values()
    return found.shape


def test_an_operation_has_its_messages_action_and_words() -> None:
    notes = "<documentation>Says it\n again.</documentation>"
    version = "<xro:version>v2</xro:version>"
    found = describe_one(wsdl(notes=notes, binding_notes=version))
    assert (found.address, found.soap12, found.refused) == (
        "http://service.invalid/echo",
        False,
        (),
    )
    (operation,) = found.operations
    assert operation.name == "echo"
    assert operation.action == "urn:t/echo"
    assert operation.summary == "Says it again."
    assert operation.xroad_version == "v2"
    text = Field("text", Scalar())
    assert offer(found).operations == (
        Operation(
            name="echo",
            path="/echo",
            method=Method.POST,
            body=Record((text,)),
            answer=Record((text,)),
            summary="Says it again.",
        ),
    )


def test_the_title_of_an_x_road_service_is_its_summary() -> None:
    notes = "<documentation><xro:title>Echo</xro:title><xro:notes>long</xro:notes></documentation>"
    (operation,) = describe_one(wsdl(notes=notes)).operations
    assert operation.summary == "Echo"


def test_a_port_for_soap_1_2_is_known_as_one() -> None:
    assert describe_one(wsdl(binding=SOAP12_BINDING)).soap12


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("string", ValueType.TEXT),
        ("token", ValueType.TEXT),
        ("anyURI", ValueType.TEXT),
        ("time", ValueType.TEXT),
        ("duration", ValueType.TEXT),
        ("gYear", ValueType.TEXT),
        ("boolean", ValueType.BOOLEAN),
        ("int", ValueType.INTEGER),
        ("integer", ValueType.INTEGER),
        ("unsignedShort", ValueType.INTEGER),
        ("decimal", ValueType.DECIMAL),
        ("float", ValueType.NUMBER),
        ("date", ValueType.DATE),
        ("dateTime", ValueType.DATETIME),
        ("base64Binary", ValueType.BINARY),
        ("hexBinary", ValueType.BINARY),
    ],
)
def test_built_in_types_have_their_shapes(type_: str, expected: ValueType) -> None:
    assert only(f'<xs:element name="x" type="xs:{type_}"/>') == Scalar(expected)


def test_enumerations_named_and_nameless_are_choices() -> None:
    values = '<xs:enumeration value="a"/><xs:enumeration value="b"/>'
    simple = f'<xs:restriction base="xs:string">{values}</xs:restriction>'
    named = only(
        '<xs:element name="x" type="t:Kind"/>',
        f'<xs:simpleType name="Kind">{simple}</xs:simpleType>',
    )
    nameless = only(f'<xs:element name="x"><xs:simpleType>{simple}</xs:simpleType></xs:element>')
    assert named == nameless == Scalar(choices=("a", "b"))


def test_two_nameless_enumerations_of_one_name_are_told_apart_by_neither() -> None:
    one, other = (
        f'<xs:element name="x"><xs:simpleType><xs:restriction base="xs:string">'
        f'<xs:enumeration value="{value}"/></xs:restriction></xs:simpleType></xs:element>'
        for value in "ab"
    )
    inner = (
        f'<xs:element name="y"><xs:complexType><xs:sequence>{other}</xs:sequence>'
        "</xs:complexType></xs:element>"
    )
    found = shape(f"<xs:sequence>{one}{inner}</xs:sequence>")
    assert found["x"].shape == Scalar()


def test_lists_unions_and_derived_simple_types() -> None:
    extra = (
        '<xs:simpleType name="Numbers"><xs:list itemType="xs:int"/></xs:simpleType>'
        '<xs:simpleType name="Either"><xs:union memberTypes="xs:int xs:date"/></xs:simpleType>'
        '<xs:simpleType name="Small"><xs:restriction base="xs:int"><xs:maxInclusive value="9"/>'
        "</xs:restriction></xs:simpleType>"
    )
    found = shape(
        '<xs:sequence><xs:element name="a" type="t:Numbers"/><xs:element name="b" type="t:Either"/>'
        '<xs:element name="c" type="t:Small"/></xs:sequence>',
        extra,
    )
    assert found["a"].shape == ListOf(Scalar(ValueType.INTEGER))
    assert found["b"].shape == Scalar()
    assert found["c"].shape == Scalar(ValueType.INTEGER)


def test_optional_nillable_and_repeated_elements() -> None:
    found = shape(
        '<xs:sequence><xs:element name="a" type="xs:int" minOccurs="0"/>'
        '<xs:element name="b" type="xs:int" nillable="true"/>'
        '<xs:element name="c" type="xs:int" minOccurs="2" maxOccurs="5"/>'
        '<xs:element name="d" maxOccurs="unbounded" minOccurs="0"/></xs:sequence>'
    )
    assert found["a"] == Field("a", Scalar(ValueType.INTEGER), required=False)
    assert found["b"] == Field("b", Scalar(ValueType.INTEGER, nullable=True))
    assert found["c"] == Field("c", ListOf(Scalar(ValueType.INTEGER), max_items=5))
    assert found["d"] == Field("d", ListOf(AnyValue()), required=False)


def test_choices_make_fields_optional_and_groups_may_repeat() -> None:
    two = '<xs:element name="a" type="xs:int"/><xs:element name="b" type="xs:int"/>'
    found = shape(f"<xs:choice>{two}</xs:choice>")
    assert [(name, one.required) for name, one in found.items()] == [("a", False), ("b", False)]
    (repeated,) = shape(f'<xs:sequence maxOccurs="unbounded">{two}</xs:sequence>').values()
    number = Scalar(ValueType.INTEGER)
    record = Record((Field("a", number), Field("b", number)))
    assert repeated == Field("items", ListOf(record))


def test_groups_attributes_and_extensions_are_resolved() -> None:
    extra = (
        '<xs:group name="G"><xs:sequence><xs:element name="g" type="xs:int"/></xs:sequence>'
        "</xs:group>"
        '<xs:attributeGroup name="A"><xs:attribute name="id" type="xs:int" use="required"/>'
        "</xs:attributeGroup>"
        '<xs:complexType name="Base"><xs:sequence><xs:element name="a" type="xs:int"/>'
        "</xs:sequence></xs:complexType>"
        '<xs:complexType name="More"><xs:complexContent><xs:extension base="t:Base"><xs:sequence>'
        '<xs:element name="b" type="xs:int"/><xs:group ref="t:G"/></xs:sequence>'
        '<xs:attributeGroup ref="t:A"/><xs:attribute name="a" type="xs:date"/>'
        "</xs:extension></xs:complexContent></xs:complexType>"
    )
    found = only('<xs:element name="x" type="t:More"/>', extra)
    assert isinstance(found, Record)
    assert {field.name: field.required for field in found.fields} == {
        "id": True,
        "a_attribute": False,
        "a": True,
        "b": True,
        "g": True,
    }


def test_a_text_with_attributes_has_a_field_of_its_own() -> None:
    money = (
        '<xs:complexType name="Money"><xs:simpleContent><xs:extension base="xs:decimal">'
        '<xs:attribute name="currency" type="xs:string" use="required"/>'
        "</xs:extension></xs:simpleContent></xs:complexType>"
    )
    assert only('<xs:element name="x" type="t:Money"/>', money) == Record(
        (Field("currency"), Field("value", Scalar(ValueType.DECIMAL)))
    )


def test_a_type_that_contains_itself_is_unrolled_and_then_cut() -> None:
    tree = (
        '<xs:complexType name="Tree"><xs:sequence>'
        '<xs:element name="n" type="t:Tree" minOccurs="0"/>'
        "</xs:sequence></xs:complexType>"
    )
    found: Shape = only('<xs:element name="x" type="t:Tree"/>', tree)
    depth = 0
    while isinstance(found, Record):
        (inner,) = found.fields
        found, depth = inner.shape, depth + 1
    assert (depth, found) == (3, AnyValue())


def test_types_that_contain_each_other_many_times_stay_bounded() -> None:
    names = [f"T{number}" for number in range(12)]
    fields = "".join(f'<xs:element name="{n}" type="t:{n}" minOccurs="0"/>' for n in names)
    types = "".join(
        f'<xs:complexType name="{n}"><xs:sequence>{fields}</xs:sequence></xs:complexType>'
        for n in names
    )
    offered = offer(describe_one(wsdl(messages(f"<xs:sequence>{fields}</xs:sequence>", types))))
    assert offered.operations == ()
    assert offered.refused == (("echo", "a message has more than 4000 elements and attributes"),)


def test_the_openapi_description_of_a_real_service_is_valid(tmp_path: Path) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    offered = offer(describe_one(wsdl()), get=["echo"])
    validator.validate(describe("Echo", "1", offered.operations))


_RPC = """
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:t" targetNamespace="urn:t"
    xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
<types><xs:schema targetNamespace="urn:t" elementFormDefault="qualified">
  <xs:complexType name="P"><xs:sequence><xs:element name="n" type="xs:int"/></xs:sequence>
  </xs:complexType></xs:schema></types>
<message name="in"><part name="a" type="t:P"/><part name="b" type="xs:date"/></message>
<message name="out"><part name="r" type="xs:int"/></message>
<portType name="T"><operation name="op"><input message="t:in"/><output message="t:out"/></operation>
</portType>
<binding name="B" type="t:T">
  <s:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
  <operation name="op"><s:operation soapAction=""/>
    <input><s:body use="literal" namespace="urn:r"/></input>
    <output><s:body use="literal" namespace="urn:r"/></output></operation></binding>
<service name="S"><port name="Q" binding="t:B"><s:address location="http://a/"/></port></service>
</definitions>
"""


def test_the_rpc_style_has_its_parts_in_an_element_named_after_the_operation() -> None:
    (operation,) = describe_one(_RPC.encode()).operations
    assert operation.request is not None
    assert operation.answer is not None
    envelope = new_envelope(soap12=False)
    values = {"a": {"n": 5}, "b": date(2026, 11, 21)}
    fill_body(envelope, operation.request, values)
    written = etree.tostring(body_of(envelope), encoding="unicode").partition("<ns0:op ")[2]
    assert written.endswith(
        '><a><ns1:n xmlns:ns1="urn:t">5</ns1:n></a><b>2026-11-21</b></ns0:op></soapenv:Body>'
    )
    for name in ("opResponse", "anything"):
        answer = open_answer(
            soap_envelope(f'<x:{name} xmlns:x="urn:r"><r>7</r></x:{name}>'), "text/xml"
        )
        assert isinstance(answer, Answer)
        assert read_body(answer, operation.answer, any_name=operation.any_answer_name) == {"r": 7}


@pytest.mark.parametrize(
    ("definition", "first", "used"),
    [
        ("group", '<xs:element name="x"/>', '<xs:sequence><xs:group ref="t:G39"/></xs:sequence>'),
        ("attributeGroup", '<xs:attribute name="x"/>', '<xs:attributeGroup ref="t:G39"/>'),
    ],
)
def test_groups_that_double_themselves_are_refused(definition: str, first: str, used: str) -> None:
    def group(number: int) -> str:
        inner = f'<xs:{definition} ref="t:G{number - 1}"/>' * 2 if number else first
        content = f"<xs:sequence>{inner}</xs:sequence>" if definition == "group" else inner
        return f'<xs:{definition} name="G{number}">{content}</xs:{definition}>'

    groups = "".join(group(number) for number in range(40))
    with pytest.raises(DescriptionError, match="groups in it are repeated more than 2000 times"):
        describe_one(wsdl(messages(used, groups)))


# What is not offered.


def test_encoded_messages_are_not_offered() -> None:
    found = describe_one(wsdl(use="encoded"))
    assert found.operations == ()
    assert found.refused == (
        ("echo", "its messages are SOAP-encoded; only literal ones are spoken"),
    )


def test_only_what_was_asked_for_is_offered() -> None:
    two = ECHO + ECHO.replace('"echo', '"other')
    found = describe_one(wsdl(two, operations=("echo", "other")))
    offered = offer(found, only=["echo", "third"])
    assert [operation.name for operation in offered.operations] == ["echo"]
    assert offered.refused == (("third", "the description has no such operation"),)


def test_only_single_values_are_asked_by_get() -> None:
    (operation,) = offer(describe_one(wsdl()), get=["echo"]).operations
    assert (operation.method, operation.body) == (Method.GET, None)
    assert operation.parameters == (Field("text", Scalar()),)
    record = (
        '<xs:sequence><xs:element name="x"><xs:complexType><xs:sequence>'
        '<xs:element name="y"/></xs:sequence></xs:complexType></xs:element></xs:sequence>'
    )
    offered = offer(describe_one(wsdl(messages(record))), get=["echo"])
    assert offered.refused == (
        ("echo", "it takes more than single values, so it can't be asked by GET"),
    )


def test_of_several_services_one_must_be_named() -> None:
    data = wsdl().replace(b"</definitions>", b'<service name="Z"/></definitions>')
    shelf = Shelf({URL: data})
    with pytest.raises(DescriptionError, match="2 services, so 'service' must name one; it has"):
        read_description(shelf, URL)
    assert read_description(shelf, URL, service="S").operations
    with pytest.raises(DescriptionError, match="no port for SOAP over HTTP"):
        read_description(shelf, URL, service="Z")
    with pytest.raises(DescriptionError, match="no service 'Q'"):
        read_description(shelf, URL, service="Q")
    with pytest.raises(DescriptionError, match="no port 'R' for SOAP; it has Q"):
        read_description(shelf, URL, service="S", port="R")


# Imports, and hostile descriptions.


def test_imports_come_from_the_catalogue_by_their_address() -> None:
    imported = '<xs:import namespace="urn:o" schemaLocation="sub/../other.xsd"/>'
    element = '<xs:element name="x" type="o:T" xmlns:o="urn:o"/>'
    schema = imported + messages(f"<xs:sequence>{element}</xs:sequence>")
    other = schema_document(
        '<xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType>', namespace="urn:o"
    )
    shelf = Shelf({URL: wsdl(schema), "https://register.example/other.xsd": other.encode()})
    (operation,) = offer(read_description(shelf, URL)).operations
    assert operation.body == Record((Field("x", Scalar(ValueType.INTEGER)),))
    assert shelf.asked == [URL, "https://register.example/other.xsd"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:5432/",
        "https://evil.example/x.xsd",
        "file:///etc/passwd",
        "//evil.example/x.xsd",
        "/etc/passwd",
    ],
)
@pytest.mark.parametrize("element", ["import namespace='urn:o'", "include"])
def test_nothing_outside_the_catalogue_is_ever_read(location: str, element: str) -> None:
    shelf = Shelf({URL: wsdl(f'<xs:{element} schemaLocation="{location}"/>' + ECHO)})
    with pytest.raises(CatalogueError, match="is not in the catalogue"):
        read_description(shelf, URL)


def test_a_wsdl_import_is_not_fetched_either() -> None:
    data = wsdl().replace(
        b"<types>", b'<import namespace="urn:o" location="http://169.254.169.254/x.wsdl"/><types>'
    )
    with pytest.raises(CatalogueError, match=r"169\.254"):
        describe_one(data)


_BOMB = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
_EXTERNAL = '<!DOCTYPE d SYSTEM "http://169.254.169.254/d.dtd">'


@pytest.mark.parametrize("prologue", [_BOMB, _EXTERNAL])
def test_document_type_declarations_are_refused(prologue: str) -> None:
    with pytest.raises(DescriptionError, match="document type declaration"):
        describe_one(wsdl(prologue=prologue))
    imported = '<xs:include schemaLocation="o.xsd"/>'
    with pytest.raises(DescriptionError, match="document type declaration"):
        describe_one(wsdl(imported + ECHO), o=(prologue + schema_document("")).encode())


def test_includes_that_go_round_end() -> None:
    one = schema_document('<xs:include schemaLocation="two.xsd"/>')
    two = schema_document('<xs:include schemaLocation="one.xsd"/>')
    data = wsdl('<xs:include schemaLocation="one.xsd"/>' + ECHO)
    assert describe_one(data, one=one.encode(), two=two.encode()).operations


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<html/>",
        b"<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>",
        wsdl().replace(b"t:echoResponse", b"t:missing"),
        wsdl().replace(b"xs:string", b"t:missing"),
        wsdl().replace(b'type="xs:string"', b'type="nowhere:x"'),
        wsdl(messages('<xs:sequence><xs:element name="x" minOccurs="x"/></xs:sequence>')),
        wsdl(messages('<xs:sequence><xs:element ref="t:gone"/></xs:sequence>')),
        wsdl(messages('<xs:sequence><xs:group ref="t:gone"/></xs:sequence>')),
        wsdl(messages('<xs:attribute ref="t:gone"/>')),
    ],
)
def test_a_broken_description_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(DescriptionError) as caught:
        offered = offer(describe_one(data))
        raise DescriptionError(str(dict(offered.refused)["echo"]))
    assert 10 < len(str(caught.value)) < 600


def test_deep_nesting_is_refused() -> None:
    deep = "<xs:sequence>" * 300 + "</xs:sequence>" * 300
    with pytest.raises(DescriptionError, match="not well-formed"):
        describe_one(wsdl(messages(deep)))


def test_well_known_schemas_are_built_in() -> None:
    imported = "".join(
        f'<xs:import namespace="{namespace}" schemaLocation="http://169.254.169.254/{name}"/>'
        for namespace, name in BUILT_IN.items()
    )
    element = '<xs:element name="x" type="x:XRoadClientIdentifierType" xmlns:x="http://x-road.eu/xsd/identifiers"/>'
    schema = imported + messages(f"<xs:sequence>{element}</xs:sequence>")
    (operation,) = offer(describe_one(wsdl(schema))).operations
    assert operation.body is not None
    record = operation.body.fields[0].shape
    assert isinstance(record, Record)
    assert [field.name for field in record.fields] == [
        "objectType", "xRoadInstance", "memberClass", "memberCode", "subsystemCode",
    ]  # fmt: skip


def test_an_import_of_a_well_known_schema_without_a_place_is_built_in_too() -> None:
    imported = '<xs:import namespace="http://www.w3.org/2005/05/xmlmime"/>'
    element = (
        '<xs:element name="x" type="m:base64Binary" xmlns:m="http://www.w3.org/2005/05/xmlmime"/>'
    )
    schema = imported + messages(f"<xs:sequence>{element}</xs:sequence>")
    (operation,) = offer(describe_one(wsdl(schema))).operations
    assert operation.body is not None
    assert operation.body.fields[0].shape == Record(
        (Field("contentType", required=False), Field("value", Scalar(ValueType.BINARY)))
    )


def test_a_schema_may_use_xml_lang_without_importing_it() -> None:
    content = (
        '<xs:simpleContent><xs:extension base="xs:string"><xs:attribute ref="xml:lang"/>'
        "</xs:extension></xs:simpleContent>"
    )
    assert set(shape(content)) == {"lang", "value"}


# The catalogue itself.


def test_a_catalogue_is_a_folder_with_an_index(tmp_path: Path) -> None:
    (tmp_path / "a.wsdl").write_bytes(wsdl())
    entry = entry_for(URL, "a.wsdl", wsdl())
    (tmp_path / "catalogue.toml").write_text(build_index([entry]))
    catalogue = Catalogue.load(tmp_path)
    assert catalogue.entries == (entry,)
    assert catalogue.address_of(tmp_path / "a.wsdl") == URL
    assert catalogue.read(URL) == wsdl()
    (tmp_path / "a.wsdl").write_bytes(wsdl() + b" ")
    with pytest.raises(CatalogueError, match="not the file that the catalogue was made with"):
        catalogue.read(URL)


def test_neighbours_are_read_without_an_index_and_nothing_above_them(tmp_path: Path) -> None:
    folder = tmp_path / "wsdl"
    folder.mkdir()
    (tmp_path / "secret.xsd").write_text("x")
    (folder / "a.xsd").write_text(schema_document(""))
    (folder / "link.xsd").symlink_to(tmp_path / "secret.xsd")
    (folder / "a.wsdl").write_bytes(wsdl('<xs:include schemaLocation="a.xsd"/>' + ECHO))
    catalogue = Catalogue.load(folder)
    location = catalogue.address_of(folder / "a.wsdl")
    assert read_description(catalogue, location).operations
    for name in ("../secret.xsd", "%2e%2e/secret.xsd", "link.xsd"):
        (folder / "a.wsdl").write_bytes(wsdl(f'<xs:include schemaLocation="{name}"/>' + ECHO))
        with pytest.raises(CatalogueError, match=r"can't be read|outside"):
            read_description(catalogue, location)


@pytest.mark.parametrize(
    "text", ["[", "document = 1", "[[document]]\nurl = 1\nfile = 'a'", "[[document]]\nurl = 'a'"]
)
def test_an_index_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError):
        parse_index(text)
