"""The catalog for people: what its pages say, and that no text in it becomes markup."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from urllib.parse import urlsplit

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml.html import HtmlElement

from catalog.about import About, Contact, LifeCycle, LifeState
from catalog.central.entries import Catalog, CatalogMember, CatalogService
from catalog.central.faces.curl import example_call
from catalog.central.faces.markup import is_web_address, tag
from catalog.central.faces.site import CatalogSite
from catalog.central.faces.view import uri_segment
from catalog.central.faces.wording import languages_of, worded_label
from catalog.mapping import EndpointMapping, FieldMapping, Rule, ServiceMapping, View
from catalog.meaning.vocabulary import (
    Authority,
    Concept,
    EvidenceType,
    Procedure,
    Purpose,
    Requirement,
    Vocabulary,
)
from catalog.services import ServiceType
from tests import faces_stage as stage
from trust.ids import ClientId, ServiceId

_ELEMENTS = """
    html head meta title link body header nav ul li a main p h1 h2 h3 form label input button
    strong span code pre dl dt dd div table caption thead tbody tr th td bdi br footer
"""
ALLOWED = frozenset(_ELEMENTS.split())
DESCRIPTION = {
    "openapi": "3.1.0",
    "info": {"title": "Persons", "version": "1", "description": "Of the register."},
    "paths": {
        "/persons/{id}": {
            "get": {
                "summary": "One person",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "responses": {
                    "200": {
                        "description": "the person",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Person"}}
                        },
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Person": {
                "type": "object",
                "required": ["birth"],
                "properties": {
                    "birth": {
                        "type": "object",
                        "properties": {"date": {"type": "string", "format": "date"}},
                    },
                    "father": {"$ref": "#/components/schemas/Person"},
                    "loop": {"$ref": "#/components/schemas/Loop"},
                },
            },
            "Loop": {"$ref": "#/components/schemas/Loop"},
        }
    },
}
WSDL = b"""<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:t"
  xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema"
  xmlns:xrd="http://x-road.eu/xsd/xroad.xsd" targetNamespace="urn:t">
 <wsdl:types><xs:schema targetNamespace="urn:t">
  <xs:element name="contributionStatus"><xs:complexType><xs:sequence>
    <xs:element name="id" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="statusResponse" type="t:Status"/>
  <xs:complexType name="Status"><xs:sequence>
    <xs:element name="paid" type="xs:boolean" minOccurs="0"/>
    <xs:element name="month" type="t:Status" maxOccurs="unbounded"/>
  </xs:sequence></xs:complexType>
 </xs:schema></wsdl:types>
 <wsdl:message name="q"><wsdl:part name="b" element="t:contributionStatus"/></wsdl:message>
 <wsdl:message name="a"><wsdl:part name="b" element="t:statusResponse"/></wsdl:message>
 <wsdl:portType name="p"><wsdl:operation name="contributionStatus">
  <wsdl:documentation>Whether contributions are paid.</wsdl:documentation>
  <wsdl:input message="t:q"/><wsdl:output message="t:a"/></wsdl:operation></wsdl:portType>
 <wsdl:binding name="b" type="t:p">
  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
  <wsdl:operation name="contributionStatus"><soap:operation soapAction=""/>
   <xrd:version>v1</xrd:version>
   <wsdl:input><soap:body use="literal"/></wsdl:input>
   <wsdl:output><soap:body use="literal"/></wsdl:output></wsdl:operation></wsdl:binding>
 <wsdl:service name="s"><wsdl:port name="p" binding="t:b">
  <soap:address location="http://10.0.0.7/secret"/></wsdl:port></wsdl:service>
</wsdl:definitions>"""


def _describe(service: CatalogService) -> bytes | None:
    if service.type is ServiceType.WSDL:
        return WSDL
    return json.dumps(DESCRIPTION).encode() if service.id == stage.PERSONS else None


def site_of(catalog: Catalog | None = stage.CATALOG) -> CatalogSite:
    return CatalogSite(lambda: catalog, _describe, clock=lambda: stage.NOW)


def read(address: str, catalog: Catalog = stage.CATALOG, wishes: str = "") -> HtmlElement:
    """A page that must be there, parsed."""
    answer = site_of(catalog).answer("/catalog" + address, {"Accept-Language": wishes})
    assert answer.status == 200, (address, answer.status)
    return lxml.html.document_fromstring(answer.body.decode())


def text_of(page: HtmlElement) -> str:
    return " ".join(" ".join(map(str, page.itertext())).split())


def concept_page(uri: str, wishes: str = "") -> HtmlElement:
    return read(f"/concepts/{uri_segment(uri)}", wishes=wishes)


def addresses_of(catalog: Catalog) -> Iterator[str]:
    """Every page of a catalog."""
    yield from ("", "/services", "/concepts", "/procedures", "/members", "/search?q=a")
    for service in catalog.services:
        yield f"/services/{service.id.path}"
        yield f"/descriptions/{service.id.path}"
    for member in catalog.members:
        yield f"/members/{member.id.path}"
    vocabulary = catalog.vocabulary
    yield from (f"/concepts/{uri_segment(one.uri)}" for one in vocabulary.concepts)
    yield from (f"/procedures/{uri_segment(one.uri)}" for one in vocabulary.procedures)


# --- what they say --------------------------------------------------------------------------------


def test_every_link_of_every_page_leads_to_a_page() -> None:
    seen, waiting = set[str](), [""]
    while waiting:
        address = waiting.pop()
        if address not in seen:
            seen.add(address)
            page = read(address)
            links = [link for link in page.xpath("//a/@href") if link.startswith("/catalog")]
            waiting += [link.removeprefix("/catalog") for link in links if "/v1/" not in link]
    assert {address.partition("?")[0] for address in addresses_of(stage.CATALOG)} <= seen | {
        "/search"
    }


def test_a_fact_says_who_counts_for_it_and_since_when() -> None:
    text = text_of(concept_page(stage.BIRTH_DATE))
    assert "The day on which a person was born" in text
    assert "personal data" in text
    assert "Civil Registry: Population register everywhere since 2020-01-01 can be asked" in text
    assert "birthDate GET /persons/{nationalId} /birth/date" in text
    assert "School benefit" in text


def test_labels_are_in_the_language_of_the_reader() -> None:
    page = concept_page(stage.BIRTH_DATE, "es-GT, en;q=0.5")
    assert page.xpath("//h1/bdi[@lang='es']/text()") == ["Fecha de nacimiento"]
    assert "Household income" in text_of(read("/concepts", wishes="es"))


def test_life_cycles_are_told_before_all_else() -> None:
    def notice(service: ServiceId) -> str:
        told = read(f"/services/{service.path}").xpath("//div[contains(@class, 'notice')]")
        return text_of(told[0])

    assert "will be withdrawn on 2027-06-01" in notice(stage.OLD)
    assert "Use instead: Persons by national id" in notice(stage.OLD)
    assert "has not told of it since 2026-11-18 07:00 UTC" in notice(stage.STATUS)
    assert "This is a draft" in notice(stage.DRAFT)
    assert "was withdrawn" in notice(stage.GONE)
    assert not read(f"/services/{stage.PERSONS.path}").xpath("//div[contains(@class, 'notice')]")


def test_a_deprecated_service_is_withdrawn_from_its_day_on() -> None:
    ended = replace(stage.SERVICES[3], about=About(life=LifeCycle(LifeState.DEPRECATED, stage.DAY)))
    text = text_of(read(f"/services/{stage.OLD.path}", replace(stage.CATALOG, services=(ended,))))
    assert f"is withdrawn since {stage.DAY}" in text


def test_a_service_tells_contact_terms_fields_and_how_it_does() -> None:
    page = read(f"/services/{stage.PERSONS.path}")
    text = text_of(page)
    assert "SANDBOX:GOV:1001:population:persons" in text
    assert "99.8 % of 4210 calls were answered since 2026-11-01" in text
    assert "birthDate lies at least 18 years back" in text
    links = page.xpath("//a/@href")
    assert "mailto:desk@civil.example.org" in links
    assert "tel:+50224161900" in links
    assert "https://civil.example.org/terms" in links


def test_a_procedure_names_what_can_t_be_had() -> None:
    page = read(f"/procedures/{uri_segment(stage.BENEFIT)}")
    notice = text_of(page.xpath("//div[contains(@class, 'warn')]")[0])
    assert "School attended : its service is a draft or was withdrawn" in notice
    assert "Date of birth" not in notice
    assert "School Benefits Act, section 4" in text_of(page)


def test_a_description_is_told_with_its_facts() -> None:
    text = text_of(read(f"/descriptions/{stage.PERSONS.path}"))
    assert "/birth/date string (date) no Date of birth" in text
    assert "/father object no has again what it stands in" in text
    assert "/loop" in text


def test_a_wsdl_is_told_with_its_elements_and_without_its_address() -> None:
    text = text_of(read(f"/descriptions/{stage.STATUS.path}"))
    assert "Whether contributions are paid." in text
    assert "/contributionStatus/id string yes" in text
    assert "/statusResponse/paid boolean no Contributions are paid" in text
    assert "/statusResponse/month Status, repeated" in text
    assert "10.0.0.7" not in text


def test_without_a_description_the_mapping_is_told() -> None:
    text = text_of(read(f"/descriptions/{stage.INCOME.path}"))
    assert "Told from what the catalog knows." in text
    assert "/total number Household income income" in text


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 10_000, b"a: *b", b"<x>"])
def test_a_broken_description_does_not_break_its_page(raw: bytes) -> None:
    site = CatalogSite(lambda: stage.CATALOG, lambda _service: raw, clock=lambda: stage.NOW)
    for service in (stage.PERSONS, stage.STATUS):
        answer = site.answer(f"/catalog/descriptions/{service.path}", {})
        assert answer.status == 200
        assert b"what the catalog knows" in answer.body


def test_pages_are_made_for_everybody() -> None:
    for address in addresses_of(stage.CATALOG):
        page = read(address)
        assert page.get("lang") == "en"
        assert len(page.findall(".//h1")) == 1
        assert page.find(".//main") is not None
        assert page.xpath("count(//table) = count(//table[thead/tr/th[@scope='col']])")
        assert page.xpath("count(//tbody/tr) = count(//tbody/tr[th[@scope='row']])")
        assert page.xpath("count(//input) = count(//label//input)")
        levels = [int(one.tag[1]) for one in page.xpath("//h1|//h2|//h3")]
        assert all(after - before <= 1 for before, after in pairwise(levels))


def test_nothing_comes_from_elsewhere_and_nothing_runs() -> None:
    answer = site_of().answer("/catalog", {})
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = lxml.html.document_fromstring(answer.body)
    assert page.xpath("//link/@href") == ["/catalog/style.css"]
    assert not page.xpath("//script|//style|//*[@style]|//@src")
    style = site_of().answer("/catalog/style.css", {})
    assert style.content_type == "text/css"
    assert b"url(" not in style.body
    assert b"@import" not in style.body


# --- what the catalog may hold --------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>",
    "</title></h1><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'\" onmouseover='alert(1)' x=\"",
    "]]><!--",
    "&lt;b&gt;&#60;",
    "\x00\x1b[31m\x07",
    "\u202egnp.exe\u2066",
    "\ud800",
    "اسم ‏مؤسسة",
    "x" * 10_000,
    "`$(touch /tmp/x)`; '\"\n\nEOF",
    "javascript:alert(1)",
    'https://example.org/"><script>alert(1)</script>',
    "{{7*7}}${7*7}",
)


def hostile_catalog(text: str) -> Catalog:
    """The text in every place that takes one."""
    name = text.replace("\x00", "").replace("\ud800", "")[:255].strip() or "x"  # as ids must be
    owner = ClientId("SANDBOX", name, name, name)
    service = ServiceId(owner, name)
    labels = {"en": text, text[:20]: text}
    other = f"https://facts.example.org/{text}"
    mapping = EndpointMapping(
        text,
        text,
        fields=(FieldMapping(text, text, text), FieldMapping("b", text, other)),
        views=(View(text, text, Rule.ONE_OF, text, text),),
    )
    return Catalog(
        text,
        1,
        stage.NOW,
        (CatalogMember(owner, text), CatalogMember(owner.member, text)),
        (
            CatalogService(
                service,
                ServiceType.WSDL if len(text) % 2 else ServiceType.REST,
                text,
                About(
                    text,
                    LifeCycle(LifeState.DEPRECATED, None, text),
                    Contact(text, text, text, text),
                    text,
                    (text, text),
                    text,
                    text,
                ),
                (text, f"GET {text}"),
                ServiceMapping((mapping,)),
            ),
        ),
        Vocabulary(
            (Concept(text, labels, definition=text, identifies=text),),
            (EvidenceType(text, labels, (text, other)),),
            (Requirement(text, labels, (text, other), (text,)),),
            (Purpose(text, labels, text),),
            (Procedure(text, labels, (text,), text, (owner,)),),
            (Authority((text, other), service, territory=text),),
        ),
    )


def judge(catalog: Catalog, describe: bytes | None = None) -> None:
    site = CatalogSite(lambda: catalog, lambda _service: describe, clock=lambda: stage.NOW)
    for address in addresses_of_hostile(catalog):
        answer = site.answer("/catalog" + address, {})
        assert answer.status == 200 or "\ud800" in catalog.instance, address  # no URI has halves
        page = lxml.html.document_fromstring(answer.body.decode())
        assert {one.tag for one in page.iter()} <= ALLOWED
        assert not [
            name for name in page.xpath("//@*/..") if any(k[:2] == "on" for k in name.attrib)
        ]
        for link in page.xpath("//a/@href"):
            assert link.startswith(("/catalog", "#")) or urlsplit(link).scheme in (
                "http", "https", "mailto", "tel",
            )  # fmt: skip
        assert "\x00" not in answer.body.decode()
        assert "\u202e" not in answer.body.decode()
        assert len(answer.body) < 200_000


def addresses_of_hostile(catalog: Catalog) -> Iterator[str]:
    """Those that can be asked for at all: an address is no longer than the site takes."""
    yield from (address for address in addresses_of(catalog) if len(address) < 7_000)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    judge(hostile_catalog(text))


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet="<>&\"'=/ -!ab\u202e\x00\x0b;#x", max_size=40))
def test_no_text_becomes_markup(text: str) -> None:
    judge(hostile_catalog(text or "x"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_descriptions_stay_texts(text: str) -> None:
    content = {"application/json": {"schema": {"properties": {text: {"description": text}}}}}
    operation = {
        "summary": text,
        "description": text,
        "parameters": [{"name": text, "in": text, "description": text}],
        "responses": {text: {"description": text, "content": content}},
    }
    described = {
        "openapi": "3.1.0",
        "info": {"description": text},
        "paths": {f"/{text}": {"get": operation}},
    }
    raw = json.dumps(described).encode()
    site = CatalogSite(lambda: stage.CATALOG, lambda _service: raw, clock=lambda: stage.NOW)
    answer = site.answer(f"/catalog/descriptions/{stage.PERSONS.path}", {})
    page = lxml.html.document_fromstring(answer.body.decode())
    assert {one.tag for one in page.iter()} <= ALLOWED


def run_by_shell(call: str) -> list[str]:
    """What curl would be given; anything else that would run fails."""
    script = "PATH=/nowhere\ncurl() { printf '%s\\0' \"$@\"; }\n" + call
    done = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_example_call_runs_nothing_but_curl(text: str) -> None:
    service = hostile_catalog(text).services[0]
    for kind in ServiceType:
        for endpoint in (None, *service.mapping.endpoints):
            call = example_call(replace(service, type=kind), endpoint)
            words = run_by_shell(call) if call else []
            assert all(word.startswith("http://localhost:8080/") for word in words[:1])
            assert set(words[1::2]) <= {"--header", "--data", "--request"}


def test_only_web_addresses_become_links() -> None:
    assert is_web_address("https://example.org/a?b=c")
    for wrong in ("javascript:alert(1)", "//example.org", "data:text/html,x", "https:", "http://[",
                  "https://a b"):  # fmt: skip
        assert not is_web_address(wrong)


def test_forgetting_to_escape_is_safe() -> None:
    assert tag("p", "<b>", title='"x') == '<p title="&quot;x">&lt;b&gt;</p>'


# --- languages ------------------------------------------------------------------------------------


def test_languages_are_taken_by_weight() -> None:
    assert languages_of("de;q=0.2, es-MX, *;q=0.1, fr;q=0, x;q=9") == ("es-mx", "de")
    assert languages_of("") == ()
    assert len(languages_of("a," * 5_000)) <= 10


def test_a_label_is_found_for_everybody() -> None:
    labels = {"en": "Birth", "es": "Nacimiento", "pt-BR": "Nascimento"}
    assert worded_label(labels, ("es-mx",), "?").text == "Nacimiento"
    assert worded_label(labels, ("pt-br",), "?").language == "pt-BR"
    assert worded_label(labels, ("fr",), "?").text == "Birth"
    assert worded_label({"qu": "Yachay"}, ("fr",), "?").text == "Yachay"
    assert worded_label({}, (), "?").text == "?"


@given(st.text(alphabet="abc-;q=0.19,* \t", max_size=60))
def test_any_accept_language_is_read(header: str) -> None:
    assert all(language == language.lower() for language in languages_of(header))
