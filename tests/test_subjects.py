"""Which endpoint a call is for and whom it is about, whatever way a system may read it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.mapping import EndpointMapping, Place, ServiceMapping, SubjectParameter
from catalog.paths import ServicePath
from node.body import SpooledBody
from node.exchange.allowance import AskedCall
from node.exchange.request import SoapRequest
from node.messages.intent import NO_INTENT
from node.messages.soap import SoapMessage, parse_soap
from node.once.enforcement.subjects import MAX_BODY, TwoSubjects, endpoint_of, subject_of
from tests.soap_messages import Envelope
from trust.errors import MalformedMessage

ID = SubjectParameter("id", "urn:id")
ONE = EndpointMapping("GET", "/persons/{id}", ID)
SELF = EndpointMapping("GET", "/persons/me")
PART = EndpointMapping("GET", "/persons/{id}/addresses/{year}", ID)
ODD = EndpointMapping("*", "/a%20b/{id}", ID)
MAPPING = ServiceMapping((ONE, SELF, PART, ODD))
SOAP = ServiceMapping((EndpointMapping(subject=replace(ID, place=Place.BODY)),))


def asked(
    path: str = "", method: str = "GET", query: str = "", envelope: Envelope | None = None
) -> AskedCall:
    message = parse_soap((envelope or Envelope()).raw, "text/xml")
    assert isinstance(message, SoapMessage)
    call = AskedCall(
        SoapRequest(message, "1"), NO_INTENT, "peer", datetime.now(UTC), envelope=message.raw
    )
    if envelope is not None:
        return call
    return replace(call, method=method, path=ServicePath.parse(path), query=query)


@pytest.mark.parametrize(
    ("path", "method", "endpoint", "subject"),
    [
        ("/persons/7", "GET", ONE, "7"),
        ("/persons/7", "HEAD", ONE, "7"),
        ("/persons/7", "POST", None, None),
        ("/persons/me", "GET", SELF, None),
        ("/persons/%6De", "GET", SELF, None),
        ("/persons/J%C3%B5gi", "GET", ONE, "Jõgi"),
        ("/persons/7/addresses/2020", "GET", PART, "7"),
        ("/a%20b/7", "PUT", ODD, "7"),
        ("/persons/", "GET", None, None),
        ("/persons", "GET", None, None),
        ("/persons/7/", "GET", None, None),
        ("//persons/7", "GET", None, None),
        ("/persons/7%2Faddresses/2020", "GET", None, None),
        ("/persons/../persons/7", "GET", None, None),
        ("/persons/me;x", "GET", None, None),
    ],
)
def test_an_endpoint_is_found_when_every_reading_leads_to_it(
    path: str, method: str, endpoint: EndpointMapping | None, subject: str | None
) -> None:
    call = asked(path, method)
    found = endpoint_of(MAPPING, call)
    assert found is endpoint
    assert subject_of(found, call) == subject


@pytest.mark.parametrize("path", ["/persons/7;8", "/persons/7%5C8", "/persons/a%2Fb"])
def test_a_path_that_may_name_two_names_nobody(path: str) -> None:
    call = asked(path)
    found = endpoint_of(MAPPING, call)
    if found is not None:
        with pytest.raises(TwoSubjects):
            subject_of(found, call)


@pytest.mark.parametrize(
    ("query", "subject"),
    [("", None), ("id=", None), ("x=7", None), ("id=7", "7"), ("id=%377", "77"), ("id=7&id=7", "7"),
     ("id=a+b", "a b")],
)  # fmt: skip
def test_a_subject_is_found_in_a_query(query: str, subject: str | None) -> None:
    endpoint = EndpointMapping("GET", "/find", replace(ID, place=Place.QUERY))
    assert subject_of(endpoint, asked("/find", query=query)) == subject


@pytest.mark.parametrize(
    "query",
    [
        "id=7&id=8",
        "&".join(["id=7"] * 1001),
        "id=7+",
        "id=%097",
        "id=%EF%BC%97",
        "id=7%E2%80%8B",
        "id=7;id=8",
        "x=1;id=8&id=7",
        "ID=7",
        "id=7&Id=8",
        "id=7&id[]=8",
        "id=7&id%5B0%5D=8",
    ],
)
def test_a_query_that_names_two_or_too_many_names_nobody(query: str) -> None:
    endpoint = EndpointMapping("GET", "/find", replace(ID, place=Place.QUERY))
    with pytest.raises(TwoSubjects):
        subject_of(endpoint, asked("/find", query=query))


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        (b'{"who":[{"id":"7"}]}', "7"),
        (b'{"who":[{"id":70.0}]}', "70.0"),
        (b'{"who":[{"id":null}]}', None),
        (b'{"who":[]}', None),
        (b'{"who":{"0":{"id":"7"}}}', "7"),
        (b"7", None),
    ],
)
def test_a_subject_is_found_in_a_json_body(body: bytes, subject: str | None) -> None:
    endpoint = EndpointMapping("POST", "/s", SubjectParameter("/who/0/id", "urn:id", Place.BODY))
    with SpooledBody(Path("/nowhere"), memory_limit=2 * MAX_BODY) as store:
        store.write(body)
        call = replace(asked("/s", "POST"), body=store.cut())
        assert subject_of(endpoint, call) == subject
    assert subject_of(endpoint, asked("/s", "POST")) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"who":[{"id":{"a":1}}]}', b'{"who":[{"id":["7"]}]}', b"id=7",
        b'{"who":[{"id":"7"}]}' + b" " * MAX_BODY, b'{"who":[{"id":"7","ID":"8"}]}',
        b'{"Who":[],"who":[{"id":"7"}]}',
    ],
    ids=["object", "list", "form", "long", "two", "two above"],
)  # fmt: skip
def test_a_body_whose_subject_cannot_be_told_is_not_one_without(body: bytes) -> None:
    endpoint = EndpointMapping("POST", "/s", SubjectParameter("/who/0/id", "urn:id", Place.BODY))
    with SpooledBody(Path("/nowhere"), memory_limit=2 * MAX_BODY) as store:
        store.write(body)
        with pytest.raises(TwoSubjects):
            subject_of(endpoint, replace(asked("/s", "POST"), body=store.cut()))


@pytest.mark.parametrize(
    ("content", "name", "subject"),
    [
        ("<id>7</id>", "/getState/id", "7"),
        ("<id> 7<!-- x -->8 </id>", "/getState/id", "78"),
        ("<q id='7'/>", "/getState/q/@id", "7"),
        ("<q/>", "/getState/q/@id", None),
        ("<id/>", "/getState/id", None),
        ("<id>7</id><id>7</id>", "/getState/id", "7"),
    ],
)
def test_a_subject_is_found_in_an_envelope(content: str, name: str, subject: str | None) -> None:
    call = asked(envelope=Envelope(content=content))
    endpoint = EndpointMapping(subject=SubjectParameter(name, "urn:id", Place.BODY))
    assert endpoint_of(ServiceMapping((ONE, endpoint)), call) is endpoint
    assert subject_of(endpoint, call) == subject


def test_two_elements_that_name_two_name_nobody() -> None:
    call = asked(envelope=Envelope(content="<id>7</id><id>8</id>"))
    endpoint = EndpointMapping(subject=SubjectParameter("/getState/id", "urn:id", Place.BODY))
    with pytest.raises(TwoSubjects):
        subject_of(endpoint, call)


@given(st.text(alphabet="ape/rsons7;%2F.\\m", max_size=24))
def test_any_path_leads_to_one_endpoint_and_one_subject_or_to_none(path: str) -> None:
    try:
        call = asked("/" + path)
    except MalformedMessage:
        return
    found = endpoint_of(MAPPING, call)
    if found is None or found.subject is None:
        assert subject_of(found, call) is None
        return
    try:
        subject = subject_of(found, call)
    except TwoSubjects:
        return
    assert subject
    assert call.path is not None
    assert all(f"/{subject}" in reading for reading in call.path.readings)
