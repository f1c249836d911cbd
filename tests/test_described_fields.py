"""Facts out of descriptions, by extensions and meanings, and mappings judged by descriptions."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.faces import openapi as openapi_face
from adapters.faces.wsdl import SoapService, build_wsdl
from adapters.operations import Operation
from adapters.shapes import Field, ListOf, Record, Scalar, ValueType
from catalog.encoding import decode_mappings, encode_mappings
from catalog.fields.descriptions.derived import derive_mapping
from catalog.fields.descriptions.openapi_fields import describe_openapi
from catalog.fields.descriptions.validation import contradictions
from catalog.fields.descriptions.wsdl_fields import describe_wsdl
from catalog.fields.mapping_rules import mapping_problems
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Place,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType
from catalog.stored.described_mappings import openapi_mappings, wsdl_mappings
from trust.errors import MalformedMessage

SCHEME = "urn:example:national-id"
BIRTH_DATE = "urn:example:birth-date"
PERSON: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "birthDate": {"type": "string", "format": "date", "x-concept": BIRTH_DATE},
        "home": {"$ref": "#/components/schemas/Address", "x-concept": "urn:example:home"},
        "work": {"$ref": "#/components/schemas/Address"},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Person"}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {},
    },
}
ADDRESS: dict[str, Any] = {
    "allOf": [
        {"properties": {"town": {"type": "string"}}},
        {"properties": {"code": {"type": ["integer", "null"]}}},
    ]
}
OPERATION: dict[str, Any] = {
    "parameters": [
        {"$ref": "#/components/parameters/Id"},
        {"name": "year", "in": "query", "schema": {"type": "integer"}},
        {"name": "lang", "in": "query", "schema": {"default": "en"}},
        {"name": "trace", "in": "header", "required": True, "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Person"}}}
        }
    },
    "x-once": {
        "parameters": {"year": "{last_year}"},
        "views": [
            {"name": "adult", "source": "birthDate", "rule": "years-at-least", "value": 18,
             "concept": "urn:example:adult"}
        ],
    },
}  # fmt: skip


def document(**changes: object) -> dict[str, Any]:
    operation = {**OPERATION, **changes}
    return {
        "openapi": "3.0.3",
        "paths": {"/persons/{id}": {"get": operation}, "/towns": {"get": {"responses": {}}}},
        "components": {
            "schemas": {"Person": PERSON, "Address": ADDRESS},
            "parameters": {
                "Id": {"name": "id", "in": "path", "required": True, "x-subject": SCHEME}
            },
        },
    }


def test_extensions_of_openapi_become_a_mapping() -> None:
    described = describe_openapi(document())
    mapping, warnings = derive_mapping(described.endpoints)
    assert (described.warnings, warnings) == ((), [])
    assert mapping == ServiceMapping(
        (
            EndpointMapping(
                "GET",
                "/persons/{id}",
                SubjectParameter("id", SCHEME),
                (FixedParameter("year", Place.QUERY, "{last_year}"),),
                (
                    FieldMapping("id", "/id"),
                    FieldMapping("birthDate", "/birthDate", BIRTH_DATE, FactType.DATE),
                    FieldMapping("home", "/home", "urn:example:home", FactType.RECORD),
                    FieldMapping("home.town", "/home/town"),
                    FieldMapping("home.code", "/home/code", "", FactType.INTEGER),
                    FieldMapping("work.town", "/work/town"),
                    FieldMapping("work.code", "/work/code", "", FactType.INTEGER),
                    FieldMapping("tags", "/tags/*"),
                ),
                (View("adult", "birthDate", Rule.YEARS_AT_LEAST, "18", "urn:example:adult"),),
            ),
        )
    )


def test_a_description_without_extensions_is_no_mapping() -> None:
    plain = json.loads(json.dumps(document()).replace("x-", "y-"))
    assert derive_mapping(describe_openapi(plain).endpoints) == (ServiceMapping(), [])


@pytest.mark.parametrize(
    ("once", "warning"),
    [
        ({"views": [{"name": "a", "source": "none", "rule": "year"}]}, "found 'none', expected a"),
        ({"views": [{"name": "a", "source": "a", "rule": "year"}]}, "the circle 'a' → 'a'"),
        ({"views": [{"name": "a", "source": "id", "rule": "year"}]}, "of type text"),
        ({"views": [{"name": "a", "source": "id", "rule": "magic"}]}, "no rule that is known"),
        ({"views": [7]}, "has no name"),
        ({"views": {}}, "its views no list"),
        ([], "is no object"),
        ({"views": [{"name": "a", "source": "id", "rule": "present", "concept": "x"}]}, "no URI"),
    ],
)
def test_views_that_are_wrong_are_left_out_and_told(once: object, warning: str) -> None:
    described = describe_openapi(document(**{"x-once": once}))
    mapping, warnings = derive_mapping(described.endpoints)
    assert any(warning in text for text in (*described.warnings, *warnings))
    assert mapping.endpoints[0].views == ()
    assert "birthDate" in mapping.endpoints[0].field


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"year"', '"' + "y" * 1001 + '"'),
        ('"{last_year}"', '"' + "1" * 1001 + '"'),
        ('"adult", "source"', '"' + "a" * 1001 + '", "source"'),
    ],
)
def test_what_is_too_long_to_be_kept_is_left_out(old: str, new: str) -> None:
    text = json.dumps(document())
    assert old in text
    found = openapi_mappings(json.loads(text.replace(old, new)))
    assert decode_mappings(encode_mappings(found.mappings)) == found.mappings


def test_what_is_no_uri_is_told() -> None:
    text = json.dumps(document()).replace(BIRTH_DATE, "birth date").replace(SCHEME, "id")
    described = describe_openapi(json.loads(text))
    assert any("x-concept at '/birthDate' is no URI" in one for one in described.warnings)
    assert any("x-subject of 'id' is no URI" in one for one in described.warnings)
    assert derive_mapping(described.endpoints)[0].endpoints[0].subject is None


def test_types_that_hold_each_other_twice_do_not_grow_without_end() -> None:
    schemas = {
        f"S{number}": {
            "properties": {
                side: {"$ref": f"#/components/schemas/S{number + 1}"} for side in ("a", "b")
            }
        }
        for number in range(40)
    }
    doc = document(responses={"200": {"content": {"application/json": {
        "schema": {"$ref": "#/components/schemas/S0"}}}}})  # fmt: skip
    doc["components"]["schemas"] = schemas
    described = describe_openapi(doc)
    assert any("too deep" in one or "too much" in one for one in described.warnings)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/components/schemas/Loop"},
        {"allOf": [{"$ref": "#/components/schemas/Loop"}]},
        {"$ref": "https://elsewhere.example/x.json"},
        {"$ref": "#/none"},
        {"allOf": {"x": 1}, "properties": [1], "items": 7, "type": {}},
        7,
    ],
)
def test_references_that_lead_nowhere_or_in_circles_end(schema: object) -> None:
    doc = document(responses={"200": {"content": {"application/json": {"schema": schema}}}})
    doc["components"]["schemas"] = {"Loop": {"$ref": "#/components/schemas/Loop"}}
    described = describe_openapi(doc)
    assert described.endpoints[0].fields == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(
        ["get", "string", "#/paths", "urn:a:b", "path", "/a/{id}", "date"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["$ref", "properties", "items", "type", "allOf", "x-concept", "x-once", "views", "name",
             "content", "application/json", "schema", "200", "responses", "parameters", "in",
             "x-subject", "required", "requestBody", "rule", "source"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON, JSON)
def test_any_operation_is_read_and_what_is_derived_holds_together(
    operation: object, schemas: object
) -> None:
    doc = {"paths": {"/a/{id}": {"get": operation, "parameters": schemas}}, "components": schemas}
    mapping, _ = derive_mapping(describe_openapi(doc).endpoints)
    assert list(mapping_problems(mapping)) == []


# --- WSDL -----------------------------------------------------------------------------------------

WSDL = """<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
  xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema"
  xmlns:sawsdl="http://www.w3.org/ns/sawsdl" xmlns:once="urn:sacbe:once:1"
  xmlns:xrd="http://x-road.eu/xsd/xroad.xsd"
  xmlns:t="urn:example:pensions" targetNamespace="urn:example:pensions">
  <wsdl:types><xs:schema targetNamespace="urn:example:pensions" elementFormDefault="qualified">
    <xs:element name="getPension"><xs:complexType><xs:sequence>
      <xs:element name="id" type="xs:string" once:subject="urn:example:national-id"/>
      <xs:element name="year" type="xs:int" once:default="{last_year}"/>
      <xs:element name="lang" type="xs:string" minOccurs="0"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="getPensionResponse" type="t:Answer"/>
    <xs:complexType name="Base"><xs:sequence>
      <xs:element name="born" type="t:Day"/></xs:sequence></xs:complexType>
    <xs:simpleType name="Day" sawsdl:modelReference="urn:example:birth-date urn:example:other">
      <xs:restriction base="xs:date"/></xs:simpleType>
    <xs:group name="G"><xs:choice>
      <xs:element name="paid" type="xs:decimal" sawsdl:modelReference="urn:example:paid"/>
    </xs:choice></xs:group>
    <xs:complexType name="Answer"><xs:complexContent><xs:extension base="t:Base"><xs:sequence>
      <xs:element name="months" maxOccurs="unbounded"><xs:complexType><xs:sequence>
        <xs:element name="month" type="xs:int"/><xs:element name="again" type="t:Answer"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:group ref="t:G"/><xs:element ref="t:note"/><xs:any minOccurs="0"/>
    </xs:sequence></xs:extension></xs:complexContent></xs:complexType>
    <xs:element name="note" type="xs:anyType"/>
  </xs:schema></wsdl:types>
  <wsdl:message name="header"><wsdl:part name="id" element="xrd:id"/></wsdl:message>
  <wsdl:message name="ask"><wsdl:part name="body" element="t:getPension"/></wsdl:message>
  <wsdl:message name="say"><wsdl:part name="body" element="t:getPensionResponse"/></wsdl:message>
  <wsdl:portType name="P"><wsdl:operation name="getPension">
    <wsdl:input message="t:ask"/><wsdl:output message="t:say"/></wsdl:operation></wsdl:portType>
  <wsdl:binding name="B" type="t:P">
    <soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="getPension"><xrd:version>v1</xrd:version>
      <once:view name="adult" source="born" rule="years-at-least" value="18"/></wsdl:operation>
  </wsdl:binding>
</wsdl:definitions>"""


def test_meanings_in_a_wsdl_become_a_mapping() -> None:
    described = describe_wsdl(WSDL.encode())
    assert described.warnings == ()
    assert list(described.operations) == [("getPension", "v1")]
    mapping, warnings = derive_mapping(tuple(described.operations.values()))
    assert warnings == []
    (endpoint,) = mapping.endpoints
    assert endpoint == EndpointMapping(
        subject=SubjectParameter("/getPension/id", SCHEME, Place.BODY),
        parameters=(FixedParameter("/getPension/year", Place.BODY, "{last_year}"),),
        fields=(
            FieldMapping("born", "/getPensionResponse/born", BIRTH_DATE, FactType.DATE),
            FieldMapping("month", "/getPensionResponse/months/month", "", FactType.INTEGER),
            FieldMapping("paid", "/getPensionResponse/paid", "urn:example:paid", FactType.NUMBER),
        ),
        views=(View("adult", "born", Rule.YEARS_AT_LEAST, "18"),),
        namespace="urn:example:pensions",
        qualified=True,
    )


@pytest.mark.parametrize("old", ["urn:example:pensions", "{last_year}", "adult", "18", "born"])
def test_what_is_too_long_in_a_wsdl_to_be_kept_is_left_out(old: str) -> None:
    found = wsdl_mappings(WSDL.replace(f'"{old}"', '"' + "1" * 10_001 + '"').encode()).mappings
    assert decode_mappings(encode_mappings(found)) == found


def test_types_of_a_wsdl_that_refer_to_each_other_end() -> None:
    loop = '<xs:group name="G"><xs:sequence><xs:group ref="t:G"/><xs:element ref="t:note"/>'
    text = (
        WSDL.replace('<xs:group name="G"><xs:choice>', loop)
        .replace("</xs:choice></xs:group>", "</xs:sequence></xs:group>")
        .replace('name="Day"', 'name="Da"')
    )
    described = describe_wsdl(text.encode())
    fields = described.operations["getPension", "v1"].fields
    assert {one.path.rpartition("/")[2] for one in fields} >= {"born", "paid", "note"}


@given(st.integers(0, len(WSDL)), st.integers(0, 40), st.sampled_from(["", "<", 'type="t:Answer"']))
def test_any_damaged_wsdl_is_read_or_refused(start: int, length: int, instead: str) -> None:
    damaged = WSDL[:start] + instead + WSDL[start + length :]
    with contextlib.suppress(MalformedMessage):
        described = describe_wsdl(damaged.encode())
        mapping, _ = derive_mapping(tuple(described.operations.values()))
        for endpoint in mapping.endpoints:
            assert list(mapping_problems(ServiceMapping((endpoint,)))) == []


# --- a mapping judged -----------------------------------------------------------------------------


def rest(**changes: object) -> ServiceMapping:
    values: dict[str, Any] = {
        "method": "GET",
        "path": "/persons/{number}",
        "subject": SubjectParameter("number", SCHEME),
        "fields": (
            FieldMapping("born", "/birthDate", BIRTH_DATE, FactType.DATE),
            FieldMapping("town", "/home/town"),
            FieldMapping("child", "/children/*/birthDate", "", FactType.DATE),
            FieldMapping("any", "/note/anything"),
        ),
    }
    return ServiceMapping((EndpointMapping(**{**values, **changes}),))


def test_a_mapping_that_fits_its_description_is_not_contradicted() -> None:
    assert list(contradictions(rest(), describe_openapi(document()).endpoints)) == []


@pytest.mark.parametrize(
    ("changes", "found", "expected"),
    [
        ({"path": "/people/{number}"}, "'GET /people/{number}'", "GET /persons/{id}"),
        ({"method": "POST"}, "'POST /persons", "an endpoint of the description"),
        ({"fields": (FieldMapping("a", "/born"),)}, "'/born'", "/birthDate"),
        ({"fields": (FieldMapping("a", "/home/city"),)}, "'/home/city'", "/home/town, /home/code"),
        ({"fields": (FieldMapping("a", "/birthDate/year"),)}, "'/birthDate/year'", "a field of"),
        ({"fields": (FieldMapping("a", "/birthDate", type=FactType.BOOLEAN),)},
         "type boolean", "date, as the description says"),
        ({"fields": (FieldMapping("a", "/home"),)}, "type text for '/home'", "record"),
        ({"parameters": (FixedParameter("jahr", default="1"),)}, "'jahr' in the query",
         "a parameter of the description: year, lang"),
    ],
)  # fmt: skip
def test_what_the_description_contradicts_is_told(
    changes: dict[str, object], found: str, expected: str
) -> None:
    (problem,) = contradictions(rest(**changes), describe_openapi(document()).endpoints)
    assert found in problem.found
    assert expected in problem.expected
    assert problem.path[:2] == ("endpoints", 0)


def test_a_mapping_of_a_soap_service_is_judged_too() -> None:
    described = tuple(describe_wsdl(WSDL.encode()).operations.values())

    def judged(
        path: str = "/getPensionResponse/born",
        kind: FactType = FactType.TEXT,
        namespace: str = "urn:example:pensions",
        *,
        qualified: bool = True,
    ) -> list[str]:
        mapping = ServiceMapping(
            (
                EndpointMapping(
                    subject=SubjectParameter("/getPension/id", SCHEME, Place.BODY),
                    fields=(FieldMapping("a", path, "", kind),),
                    namespace=namespace,
                    qualified=qualified,
                ),
            )
        )
        return [problem.found for problem in contradictions(mapping, described)]

    assert judged("/getPensionResponse/born", FactType.DATE) == []
    assert judged("/getPensionResponse/extra") == []  # xs:any
    assert judged("/getPensionResponse/born", FactType.INTEGER)
    assert judged("/getPensionAnswer/born")
    assert judged(namespace="urn:example:other") == ["'urn:example:other'"]
    assert judged(namespace="") == ["no namespace"]
    assert judged(qualified=False) == ["false"]


# --- adapters -------------------------------------------------------------------------------------

NATIONAL_ID = Field("id", Scalar(max_length=20), concept="urn:example:id", subject=SCHEME)
ANSWER = Record(
    (
        Field("birthDate", Scalar(ValueType.DATE), concept=BIRTH_DATE),
        Field("names", ListOf(Record((Field("first"),)))),
    )
)
ADULT = View("adult", "birthDate", Rule.YEARS_AT_LEAST, "18", "urn:example:adult")
PERSONS = Operation(
    name="person", path="/persons/{id}", answer=ANSWER, parameters=(NATIONAL_ID,), views=(ADULT,)
)


def test_what_an_adapter_describes_is_the_same_in_both_faces() -> None:
    rest_face = describe_openapi(openapi_face.describe("Persons", "1", [PERSONS]))
    (of_rest,) = derive_mapping(rest_face.endpoints)[0].endpoints
    service = SoapService("Persons", "urn:example:persons", "v1")
    soap_face = describe_wsdl(build_wsdl(service, [PERSONS], "http://h/", []))
    (of_soap,) = derive_mapping(tuple(soap_face.operations.values()))[0].endpoints
    assert rest_face.warnings == soap_face.warnings == ()
    assert of_rest.subject == SubjectParameter("id", SCHEME)
    assert of_soap.subject == SubjectParameter("/person/id", SCHEME, Place.BODY)
    assert of_rest.views == of_soap.views == (ADULT,)
    assert [one.name for one in of_rest.fields] == [one.name for one in of_soap.fields]
    assert [one.concept for one in of_rest.fields] == [one.concept for one in of_soap.fields]
