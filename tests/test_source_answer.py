"""What the answers of sources come to: values where the mapping has them, of the type it says."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalog.central.entries import CatalogService
from catalog.fields.conforms import conforms, from_text
from catalog.fields.json_text import Number
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import Concept, FactType
from catalog.services import ServiceType
from node.exchange.own_call import OwnAnswer
from node.messages.soap_request import RequestHeader, build_soap_request
from node.once.resolver.planning.plan import PlannedExchange
from node.once.resolver.planning.reasons import Reason
from node.once.resolver.sources.source_answer import AnswerReader, Reading
from tests.instance import CONSUMER, PROVIDER
from trust.errors import MalformedMessage
from trust.ids import ServiceId

AT = datetime(2026, 6, 1, tzinfo=UTC)
A, B = "urn:t:a", "urn:t:b"


def read(
    body: bytes,
    path: str = "/a",
    kind: FactType = FactType.TEXT,
    *,
    soap: bool = False,
    status: int = 200,
    said: FactType | None = None,
    **headers: str,
) -> Reading:
    """Read fact A at a path, and B, which is whether A is there."""
    field = FieldMapping("a", path, A, kind)
    views = (View("b", "a", Rule.PRESENT, concept=B),)
    endpoint = EndpointMapping(
        "GET", "/{id}", SubjectParameter("id", "s"), fields=(field,), views=views
    )
    service = CatalogService(
        ServiceId(PROVIDER, "people"),
        ServiceType.WSDL if soap else ServiceType.OPENAPI,
        mapping=ServiceMapping((endpoint,)),
    )
    exchange = PlannedExchange(0, service, endpoint, "s", ((A, "a"), (B, "b")))
    concepts = {A: Concept(A, {}, said or kind), B: Concept(B, {}, FactType.BOOLEAN)}
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return AnswerReader(exchange, concepts, AT).read(OwnAnswer(status, named, body, "x"))


def reasons(reading: Reading) -> dict[str, Reason]:
    return {one.concept: one.reason for one in reading.missing}


@pytest.mark.parametrize(
    ("value", "kind", "good"),
    [
        ("x", FactType.TEXT, True),
        (Number("1"), FactType.TEXT, False),
        (Number("-12"), FactType.INTEGER, True),
        (Number("1.0"), FactType.INTEGER, False),
        (True, FactType.INTEGER, False),
        (Number("1e3"), FactType.NUMBER, True),
        ("1", FactType.NUMBER, False),
        (True, FactType.BOOLEAN, True),
        ("true", FactType.BOOLEAN, False),
        ("2026-02-28", FactType.DATE, True),
        ("2026-02-30", FactType.DATE, False),
        ("20260228", FactType.DATE, False),
        ("2026-02-28T10:00:00Z", FactType.DATETIME, True),
        ("2026-02-28T10:00:00.123456+05:00", FactType.DATETIME, True),
        ("2026-02-28", FactType.DATETIME, False),
        ("2026-02-28T25:00:00Z", FactType.DATETIME, False),
        ({"a": 1}, FactType.RECORD, True),
        ("{}", FactType.RECORD, False),
    ],
)
def test_values_of_types(value: object, kind: FactType, good: bool) -> None:
    assert conforms(value, kind) is good


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (" 012 ", FactType.INTEGER, "12"),
        ("-0.50", FactType.NUMBER, "-0.50"),
        ("1", FactType.BOOLEAN, True),
        ("false", FactType.BOOLEAN, False),
        ("2026-02-28+01:00", FactType.DATE, "2026-02-28"),
        (" ", FactType.DATE, None),
        ("", FactType.TEXT, None),
        (" x ", FactType.TEXT, " x "),
    ],
)
def test_texts_of_elements(text: str, kind: FactType, value: object) -> None:
    assert from_text(text, kind) == value


@example("0E0", FactType.INTEGER)
@given(st.text(alphabet="0123456789-+.eETZ: truefals", max_size=20), st.sampled_from(FactType))
def test_any_text_is_a_value_or_refused(text: str, kind: FactType) -> None:
    try:
        value = from_text(text, kind)
    except MalformedMessage:
        return
    loose = (FactType.DATE, FactType.DATETIME)  # whose form alone is looked at
    assert value is None or kind in loose or conforms(value, kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab*0"), inner),
    max_leaves=8,
)


@given(JSON, st.lists(st.sampled_from(["a", "b", "*", "0", "~1"]), min_size=1, max_size=3),
       st.sampled_from(FactType))  # fmt: skip
def test_any_answer_is_read(document: object, steps: list[str], kind: FactType) -> None:
    reading = read(json.dumps(document).encode(), "".join(f"/{one}" for one in steps), kind)
    assert set(reading.facts) | set(reasons(reading)) == {A, B}
    value = reading.facts.get(A)
    listed = "*" in steps and isinstance(value, list)
    found = value if isinstance(value, list) and listed else [value]
    assert all(one is None or conforms(one, kind) for one in found)


def test_numbers_are_answered_as_they_were_written() -> None:
    assert read(b'{"a": 12.3400}', kind=FactType.NUMBER).facts[A] == "12.3400"


def test_what_the_concept_says_counts_as_well() -> None:
    assert reasons(read(b'{"a": "x"}', said=FactType.INTEGER)) == {A: Reason.WRONG_TYPE}


def test_of_a_whole_answer_derived_facts_are_computed_here() -> None:
    whole = read(b'{"a": "x"}')
    assert (whole.facts, whole.reduced_here) == ({A: "x", B: True}, True)
    told = read(b'{"a": "x"}', Once_Grant="0", Once_Given="*")
    assert (told.facts, told.reduced_here) == ({A: "x", B: True}, True)
    reduced = read(b'{"a": "x"}', Once_Grant="7", Once_Given="a")
    assert (reduced.facts, reduced.reduced_here) == ({A: "x"}, False)
    assert (reduced.said.grant, reasons(reduced)) == (7, {B: Reason.NO_VALUE})


def test_what_a_node_tells_is_taken_as_far_as_an_honest_one_s_goes() -> None:
    long = "/x\x9b2J\u202e," + "/y," * 100_000
    said = read(b'{"b": false}', Once_Grant="7", Once_Withheld=long).said
    assert said.withheld[0] == "/x?2J?"
    assert len(said.withheld) < 3000


@pytest.mark.parametrize("withheld", ["/a", "/x, /a/b", "/a/*/c"])
def test_what_was_withheld_is_not_granted(withheld: str) -> None:
    reading = read(b'{"b": false}', Once_Grant="7", Once_Withheld=withheld)
    assert reasons(reading) == {A: Reason.NOT_GRANTED}
    assert reading.facts == {B: False}
    of_view = read(b'{"a": "x"}', Once_Grant="7", Once_Given="a", Once_Withheld="b")
    assert reasons(of_view) == {B: Reason.NOT_GRANTED}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 200, Reason.UNREADABLE_ANSWER),
        (b"{}", 204, Reason.NO_VALUE),
        (b"{}", 410, Reason.UNKNOWN_SUBJECT),
        (b"{}", 422, Reason.SOURCE_FAILED),
        (b'{"a": null}', 200, Reason.NO_VALUE),
        (json.dumps([["x"] * 50] * 50).encode(), 200, Reason.WRONG_TYPE),
    ],
)
def test_answers_without_the_fact(body: bytes, status: int, reason: Reason) -> None:
    assert reasons(read(body, "/*/*" if body[:1] == b"[" else "/a", status=status))[A] is reason


def soap(inner: str, header: str = "") -> bytes:
    raw = build_soap_request(RequestHeader(CONSUMER, ServiceId(PROVIDER, "s"), "1"), inner)
    return raw.replace(b"</soapenv:Header>", f"{header}</soapenv:Header>".encode())


def test_elements_are_found_by_their_local_names() -> None:
    body = '<r xmlns="urn:x"><p><n>1</n></p><o:p xmlns:o="urn:o"><n> 2</n></o:p></r>'
    assert read(soap(body), "/r/p/n", FactType.INTEGER, soap=True).facts[A] == ["1", "2"]
    space = 'xmlns="urn:sacbe:once:1"'
    once = f"<grant {space}>9</grant><withheld {space}>/r/n</withheld>"
    said = read(soap("<r/>", once), "/r/n", soap=True)
    assert (said.said.grant, reasons(said)[A]) == (9, Reason.NOT_GRANTED)


def test_an_element_with_others_is_a_record() -> None:
    body = "<r><p><n>1</n><n>2</n><m><o>x</o></m></p></r>"
    found = read(soap(body), "/r/p", FactType.RECORD, soap=True)
    assert found.facts[A] == {"n": ["1", "2"], "m": {"o": "x"}}
    nil = '<r><p xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/></r>'
    assert reasons(read(soap(nil), "/r/p", soap=True))[A] is Reason.NO_VALUE


def test_what_is_no_envelope_is_unreadable() -> None:
    assert set(reasons(read(b"<a/>", soap=True)).values()) == {Reason.UNREADABLE_ANSWER}
    assert replace(read(b"{}"), facts={}).facts == {}
