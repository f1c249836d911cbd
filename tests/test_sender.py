"""Who must have signed a message, in both of its forms."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vector_files import vector_path
from trust.errors import MalformedMessage
from trust.evidence.sender import sender_of
from trust.ids import ClientId

CONSUMER = ClientId("EX", "GOV", "1", "portal")
PROVIDER = ClientId("EX", "COM", "2", "registry")

_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:id="http://x-road.eu/xsd/identifiers">
<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"""
_CLIENT = (
    '<x:client id:objectType="SUBSYSTEM"><id:xRoadInstance>EX</id:xRoadInstance>'
    "<id:memberClass>GOV</id:memberClass><id:memberCode>1</id:memberCode>"
    "<id:subsystemCode>portal</id:subsystemCode></x:client>"
)
_SERVICE = (
    '<x:service id:objectType="SERVICE"><id:xRoadInstance>EX</id:xRoadInstance>'
    "<id:memberClass>COM</id:memberClass><id:memberCode>2</id:memberCode>"
    "<id:subsystemCode>registry</id:subsystemCode><id:serviceCode>people</id:serviceCode>"
    "<id:serviceVersion>v1</id:serviceVersion></x:service>"
)
_REQUEST_BODY = '<p:people xmlns:p="urn:p"/>'
_RESPONSE_BODY = '<p:peopleResponse xmlns:p="urn:p"/>'

REST_REQUEST = (
    b"GET\r\n/r1/EX/COM/2/registry/people?x=1\r\n"
    b"X-Road-Client:EX/GOV/1/portal\r\nx-road-request-id:7\r\n"
)
REST_RESPONSE = (
    b"200\r\nOK\r\nx-road-client:EX/GOV/1/portal\r\nx-road-service:EX/COM/2/registry/people\r\n"
)


def soap(header: str = _CLIENT + _SERVICE, body: str = _REQUEST_BODY) -> bytes:
    return _ENVELOPE.format(header=header, body=body).encode()


@pytest.mark.parametrize(
    ("message", "sender"),
    [
        (soap(), CONSUMER),
        (soap(body=_RESPONSE_BODY), PROVIDER),
        (b"\xef\xbb\xbf" + soap(), CONSUMER),
        (REST_REQUEST, CONSUMER),
        (REST_RESPONSE, PROVIDER),
        (REST_RESPONSE.replace(b"OK", b""), PROVIDER),
        (REST_REQUEST.replace(b"portal", b"p%C3%B5rtal"), ClientId("EX", "GOV", "1", "põrtal")),
    ],
    ids=["soap request", "soap response", "byte order mark", "rest request", "rest response",
         "no reason phrase", "percent-encoded"],
)  # fmt: skip
def test_a_request_is_by_its_client_and_a_response_by_its_provider(
    message: bytes, sender: ClientId
) -> None:
    assert sender_of(message) == sender


def test_a_member_may_send_without_a_subsystem() -> None:
    header = _CLIENT.replace("<id:subsystemCode>portal</id:subsystemCode>", "")
    assert sender_of(soap(header)) == CONSUMER.member


def test_the_last_of_two_client_headers_counts() -> None:
    assert sender_of(REST_REQUEST + b"x-road-client:EX/GOV/9\r\n") == ClientId("EX", "GOV", "9")


def test_a_reason_phrase_is_no_header() -> None:
    message = REST_RESPONSE.replace(b"OK", b"x-road-service:EX/COM/9/other/people")
    assert sender_of(message) == PROVIDER


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "invalid_message"),
        (b"GET", "invalid_message"),
        (b"hello\r\n\r\n", "invalid_message"),
        (REST_REQUEST[:-2], "invalid_message"),
        (REST_REQUEST + b"Note:a\nx-road-client:EX/GOV/9\r\n", "invalid_message"),
        (REST_REQUEST + b"Note:a\rx-road-client:EX/GOV/9\r\n", "invalid_message"),
        (REST_REQUEST + b"x-road-client:EX/GOV/\xff\r\n", "invalid_message"),
        (REST_REQUEST + b"x-road-client:EX\r\n", "internal_error"),
        (REST_REQUEST.replace(b"X-Road-Client", b"X-Road-Other"), "missing_header_field"),
        (REST_RESPONSE.replace(b"x-road-service", b"x-road-other"), "missing_header_field"),
        (b"<a/>", "invalid_soap"),
        (b"<a>", "invalid_xml"),
        (b"<!DOCTYPE a><a/>", "invalid_xml"),
        (soap(header=_SERVICE), "missing_header_field"),
        (soap(header=_CLIENT, body=_RESPONSE_BODY), "missing_header_field"),
        (soap(header=_CLIENT * 2), "duplicate_header_field"),
        (soap(body=""), "invalid_body"),
        (soap(body=_REQUEST_BODY + _RESPONSE_BODY), "invalid_body"),
        (soap(body=_REQUEST_BODY * 10_000), "invalid_body"),
        (soap(body="<a/>" * 500_000), "invalid_xml"),
        (soap(header=_CLIENT * 1000), "duplicate_header_field"),
        (soap(body="<s:Fault/>"), "invalid_message"),
        (soap().replace(b"s:Header", b"s:Other"), "missing_header"),
        (soap().replace(b"s:Body", b"s:Other"), "missing_body"),
        (soap(header=_CLIENT.replace(">1<", "><!-- -->1<")), "invalid_message"),
        (soap(header=_CLIENT.replace("portal<", "po<b/>rtal<")), "invalid_message"),
        (soap(header=_CLIENT.replace("memberCode", "serviceCode")), "invalid_message"),
        (soap(header=_CLIENT.replace("id:memberClass", "x:memberClass")), "invalid_message"),
        (soap(header=_CLIENT.replace(">1<", "><")), "internal_error"),
    ],
)
def test_messages_without_a_clear_sender_are_refused(message: bytes, code: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        sender_of(message)
    assert refused.value.code == code


@pytest.mark.interop
def test_the_client_of_a_reference_message() -> None:
    path = "asic/src/tool/asic-verifier-cli/src/test/resources/asic-containers"
    message = vector_path(f"{path}/valid-signed-message/message.xml").read_bytes()
    assert sender_of(message) == ClientId("DEV", "COM", "4321", "TestClient")


def test_comments_beside_the_content_of_a_body_do_not_count() -> None:
    assert sender_of(soap(body=f"<!-- a -->{_REQUEST_BODY}<?b c?>")) == CONSUMER


_PIECES = (b"\r\n", b"\n", b":", b"/", b"GET", b"200", b"x-road-client", b"EX", b"<", b">", b"%")


@given(st.lists(st.sampled_from(_PIECES), max_size=24).map(b"".join))
def test_any_text_has_a_sender_or_is_refused(message: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        sender_of(message)


@given(st.integers(0, 700), st.integers(0, 30), st.sampled_from(_PIECES))
def test_any_damaged_envelope_has_a_sender_or_is_refused(
    start: int, length: int, other: bytes
) -> None:
    message = soap()
    with contextlib.suppress(MalformedMessage):
        sender_of(message[:start] + other + message[start + length :])
