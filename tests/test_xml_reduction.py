"""A SOAP answer holds what is granted, of its header what X-Road prescribes, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from catalog.fields.selection import select
from catalog.fields.xml_reduction import reduce_envelope
from catalog.mapping import EndpointMapping, FieldMapping, Rule, View
from catalog.meaning.vocabulary import FactType
from trust.errors import MalformedMessage

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
BASE = "/getPersonResponse/person"
PERSON = EndpointMapping(
    fields=(
        FieldMapping("name", f"{BASE}/name", "urn:c:name"),
        FieldMapping("id", f"{BASE}/@id"),
        FieldMapping("birth", f"{BASE}/birth", "", FactType.DATE),
        FieldMapping("address", f"{BASE}/address", "", FactType.RECORD),
        FieldMapping("street", f"{BASE}/address/street"),
    ),
    views=(
        View("adult", "birth", Rule.YEARS_AT_LEAST, "18"),
        View("known", "id", Rule.PRESENT),
        View("no name", "birth", Rule.YEAR),
    ),
)


ID = '<x:id xmlns:x="http://x-road.eu/xsd/xroad.xsd">7</x:id>'


def envelope(content: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- before -->'
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        f'<s:Header>{ID}<a x="1">ä</a> <!-- c --><b/></s:Header>'
        f'<s:Body><p:getPersonResponse xmlns:p="urn:p">{content}</p:getPersonResponse></s:Body>'
        "</s:Envelope>"
    ).encode()


def reduced(content: str, *granted: str) -> tuple[str, tuple[str, ...]]:
    found = reduce_envelope(envelope(content), select(PERSON, granted), AT)
    text = found.data.decode()
    header = text[text.index("<s:Header>") : text.index("<s:Body>")]
    assert header == f"<s:Header>{ID}</s:Header>"
    around = ("/Header/a", "/Header/a/@x", "/Header/b")
    assert not set(around) - set(found.withheld)
    start = text.index("<p:getPersonResponse")
    inner = text[text.index(">", start) + 1 : text.index("</s:Body>")]
    withheld = tuple(path for path in found.withheld if path not in around)
    return inner.removesuffix("</p:getPersonResponse>"), withheld


@pytest.mark.parametrize(
    ("content", "granted", "expected", "withheld"),
    [
        ("<p:person><p:name>A</p:name><p:tax>5</p:tax></p:person>", "name",
         "<p:person><p:name>A</p:name></p:person>", "/tax"),
        ('<person id="7" no="8"><name a="b">A</name></person>', "name",
         "<person><name>A</name></person>", "/@id /@no /name/@a"),
        ('<person id="7" no="8"><name>A</name></person>', "id", '<person id="7"/>',
         "/@no /name"),
        ("<person><name>A<!-- x -->B</name><!-- y --><?pi z?></person>", "name",
         "<person><name>AB</name></person>", ""),
        ('<person><name i:nil="true"/></person><person><name>B</name></person>', "name",
         '<person><name i:nil="true"/></person><person><name>B</name></person>', ""),
        ("<person>loose<name>A</name>text</person>", "name",
         "<person><name>A</name></person>", "/"),
        ('<person><address n="1"><street>S</street>t<!-- c --></address><x/></person>', "address",
         '<person><address n="1"><street>S</street>t<!-- c --></address></person>', "/x"),
        ("<person><address><street>S</street><zip>1</zip></address></person>", "street",
         "<person><address><street>S</street></address></person>", "/address/zip"),
        ("<person><name><first>A</first></name></person>", "name", "<person/>",
         "/name/first"),
        ("<person>A</person>", "name", "", "/"),
        ("<person><birth>2008-03-01</birth> <x/></person>", "adult",
         "<person><adult>true</adult> </person>", "/birth /x"),
        ("<person><birth>2008-03-02</birth></person>", "adult birth",
         "<person><birth>2008-03-02</birth><adult>false</adult></person>", ""),
        ("<person><birth>x</birth></person>", "adult",
         '<person><adult i:nil="true"/></person>', "/birth"),
        ("<person><birth>2008-03-01</birth><birth>2010-03-01</birth></person>", "adult",
         '<person><adult i:nil="true"/></person>', "/birth"),
        ("<person/>", "adult", '<person><adult i:nil="true"/></person>', ""),
        ('<person id="7"/>', "no+name", "<person/>", "/@id"),
        ("<other><name>A</name></other>", "name", "", "../other/name"),
    ],
)  # fmt: skip
def test_what_is_granted_stays_and_the_rest_is_named(
    content: str, granted: str, expected: str, withheld: str
) -> None:
    found, named = reduced(content, *(name.replace("+", " ") for name in granted.split()))
    assert found == expected or (not expected and not found.strip())
    paths = [
        path.replace("..", "/getPersonResponse") if path.startswith("..") else (BASE + path)
        for path in withheld.split()
    ]
    assert sorted(named) == sorted(path.removesuffix("/") for path in paths)


def test_the_wrapper_stays_when_nothing_else_does() -> None:
    raw = envelope("").replace(b'xmlns:p="urn:p">', b'xmlns:p="urn:p" secret="1">text')
    found = reduce_envelope(raw, select(PERSON, ("name",)), AT)
    assert b'<s:Body><p:getPersonResponse xmlns:p="urn:p"/></s:Body>' in found.data
    assert found.withheld[-2:] == ("/getPersonResponse", "/getPersonResponse/@secret")


def test_nothing_of_the_system_stays_around_a_body() -> None:
    raw = envelope("<person><name>A</name></person>").decode()
    raw = raw.replace("<s:Body>", '<s:Body secret="1" s:encodingStyle="e">secret<!-- secret -->')
    raw = raw.replace("<s:Header>", '<s:Header secret="1">secret<?secret x?>')
    raw = raw.replace("</s:Body>", "</s:Body>secret<secret a='secret'>secret</secret><!--secret-->")
    raw = raw.replace("<s:Envelope", '<s:Envelope secret="1"')
    found = reduce_envelope(raw.encode(), select(PERSON, ("name",)), AT)
    assert b"secret" not in found.data
    assert b'<s:Body s:encodingStyle="e"><p:getPersonResponse' in found.data
    assert {"/secret", "/secret/@a", "/@secret"} <= set(found.withheld)


@pytest.mark.parametrize(
    "raw",
    [
        b"<a",
        b"",
        b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
        b"<a>" + b"<b/>" * 500_001 + b"</a>",
        b"<a>" * 300 + b"</a>" * 300,
    ],
    ids=["broken", "empty", "entity", "many", "deep"],
)
def test_what_is_no_xml_or_too_much_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        reduce_envelope(raw, select(PERSON, ("name",)), AT)


NAMES = ["person", "name", "birth", "address", "street", "x"]


@st.composite
def elements(draw: st.DrawFn, depth: int = 4) -> str:
    name = draw(st.sampled_from(NAMES))
    attribute = draw(st.sampled_from(["", ' id="k"', ' no="k"']))
    if depth == 0 or draw(st.booleans()):
        return f"<{name}{attribute}>{draw(st.sampled_from(['', 'k', ' ']))}</{name}>"
    inner = "".join(draw(st.lists(elements(depth - 1), max_size=3)))
    loose = draw(st.sampled_from(["", "k", "<!--k-->"]))
    return f"<{name}{attribute}>{inner}{loose}</{name}>"


def values(raw: bytes) -> Iterator[str]:
    """The places of all texts and attributes of a body."""
    body = etree.fromstring(raw).find(f"{{{SOAP}}}Body")
    assert body is not None

    def walk(element: etree._Element, path: str) -> Iterator[str]:
        if any((text or "").strip() for text in (element.text, *(c.tail for c in element))):
            yield path
        for name in element.attrib:
            yield f"{path}/@{name}"
        for child in element.iterchildren(tag=etree.Element):
            yield from walk(child, f"{path}/{etree.QName(child).localname}")

    for child in body:
        yield from walk(child, f"/{etree.QName(child).localname}")


@given(
    st.lists(elements(), max_size=3).map("".join),
    st.lists(st.sampled_from(["name", "id", "address", "street", f"{BASE}/x"])).map(tuple),
)
def test_no_place_that_is_not_granted_is_in_a_result_and_nothing_is_lost(
    content: str, granted: tuple[str, ...]
) -> None:
    raw = envelope(content)
    found = reduce_envelope(raw, select(PERSON, granted), AT)
    exact = {one.path for one in PERSON.fields if one.name in granted and one.name != "address"}
    whole = {f"{BASE}/x"} & set(granted) | ({f"{BASE}/address"} if "address" in granted else set())
    kept = set(values(found.data))
    for path in kept:
        assert path in exact or any(path == one or path.startswith(f"{one}/") for one in whole)
    assert set(values(raw)) <= kept | set(found.withheld)
