"""What plain nodes tell of their services is read or refused, and nobody speaks for another."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.central.harvest.listing import (
    build_question,
    check_soap,
    is_unknown_service,
    parse_rest_list,
    parse_soap_list,
    rest_fault,
    split_attachment,
    wsdl_question,
)
from catalog.services import ServiceType
from node.messages.soap import SoapMessage, parse_soap
from tests.instance import CONSUMER, PROVIDER
from tests.metadata_stage import identifier
from trust.errors import ExchangeError, MalformedMessage, PeerFault
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId, ServiceId

OTHER = ClientId("TEST", "GOV", "9", "else")


def entry(provider: ClientId = PROVIDER, **changes: object) -> dict[str, Any]:
    said = {
        "member_class": provider.member_class, "member_code": provider.member_code,
        "object_type": "SERVICE", "service_code": "people", "service_type": "OPENAPI",
        "subsystem_code": provider.subsystem_code, "xroad_instance": provider.instance,
        "endpoint_list": [{"method": "GET", "path": "/x/*"}],
    }  # fmt: skip
    return {**said, **changes}


def rest(*entries: object) -> bytes:
    return json.dumps({"service": entries}).encode()


def soap(body: str) -> bytes:
    return (
        f'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
        f' xmlns:xro="{XROAD_NAMESPACE}" xmlns:iden="{IDENTIFIERS_NAMESPACE}">'
        f"<e:Body>{body}</e:Body></e:Envelope>"
    ).encode()


def listed(provider: ClientId = PROVIDER, code: str = "people", version: str = "v1") -> str:
    return (
        f'<xro:service iden:objectType="SERVICE">{identifier(provider)}'
        f"<iden:serviceCode>{code}</iden:serviceCode>"
        f"<iden:serviceVersion>{version}</iden:serviceVersion></xro:service>"
    )


def response(*services: str) -> bytes:
    return soap(f"<xro:listMethodsResponse>{''.join(services)}</xro:listMethodsResponse>")


def test_a_rest_list_is_read() -> None:
    (found,) = parse_rest_list(rest(entry(), entry(service_type="NEW", extra=1)), PROVIDER)
    assert found.id == ServiceId(PROVIDER, "people")
    assert (found.type, found.endpoints) == (ServiceType.OPENAPI, ("GET /x/*",))
    (unknown,) = parse_rest_list(rest(entry(service_type="NEW")), PROVIDER)
    assert unknown.type is ServiceType.REST


def test_a_soap_list_is_read() -> None:
    found = parse_soap_list(response(listed(), listed(code="b"), listed()), PROVIDER)
    assert [(one.id.service_code, one.id.service_version) for one in found] == [
        ("people", "v1"),
        ("b", "v1"),
    ]
    assert {one.type for one in found} == {ServiceType.WSDL}


def test_nobody_speaks_for_another() -> None:
    """Nor for the node itself, whose own services stand in no catalog."""
    lies = (entry(OTHER), entry(PROVIDER.member), entry(service_code="getOpenAPI"))
    assert parse_rest_list(rest(*lies), PROVIDER) == ()
    assert parse_soap_list(response(listed(OTHER), listed(code="getWsdl")), PROVIDER) == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b'{"service": 1}', b'{"service": [1]}', b"\xff", b"[" * 10_000,
        rest(entry(member_code=" ")), rest(entry(service_code="\0")), rest({"a": 1}),
    ],
)  # fmt: skip
def test_what_is_no_rest_list_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_rest_list(raw, PROVIDER)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"<a/>", soap(""), soap("<a/>"), response(listed(code="")),
        response(listed(OTHER))[:-3],
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"<a>" * 300, response(listed()) + b"<",
        response("<xro:service/>"), response("<" * 400_001),
    ],
)  # fmt: skip
def test_what_is_no_soap_list_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_soap_list(raw, PROVIDER)


def test_faults_are_told() -> None:
    fault = soap("<e:Fault><faultcode>a.b</faultcode><faultstring>No\nway</faultstring></e:Fault>")
    with pytest.raises(PeerFault, match="No way") as raised:
        check_soap(fault)
    assert raised.value.code == "a.b"
    rest_said = rest_fault(b'{"type": "a.unknown_service", "message": "x\\u0000", "detail": "1"}')
    assert (rest_said.code, rest_said.text) == ("a.unknown_service", "x ")
    assert rest_fault(b"<html>").code == "internal_error"


@pytest.mark.parametrize(
    ("code", "unknown"),
    [
        ("server.serverproxy.unknown_service", True),
        ("Server.ServerProxy.UnknownService", True),
        ("server.serverproxy.access_denied", False),
        ("", False),
    ],
)
def test_an_unknown_service_is_told_from_other_faults(code: str, unknown: bool) -> None:
    assert is_unknown_service(PeerFault(code, "")) is unknown


@pytest.mark.parametrize("client", [CONSUMER, ClientId("T&<", "'", '"', "a>b")])
def test_a_question_is_a_message_that_nodes_take(client: ClientId) -> None:
    service = ServiceId(ClientId("TEST", "GOV", "1001"), "getWsdl")
    body = wsdl_question(ServiceId(PROVIDER, "a<b", "v&1"))
    message = parse_soap(build_question(client, service, body, "an id"), "text/xml")
    assert isinstance(message, SoapMessage)
    assert (message.client, message.service) == (client, service)


ENVELOPE, WSDL = b"<e/>", b"<w>\r\n--no\r\n</w>"
PACKAGE = (
    b"--b\r\ncontent-type:text/xml\r\n\r\n" + ENVELOPE + b"\r\n--b\r\ncontent-type:text/xml\r\n"
    b"Content-ID: <a>\r\n\r\n" + WSDL + b"\r\n--b--\r\n"
)
TYPE = 'multipart/related; type="text/xml"; charset=UTF-8; boundary=b'


def test_an_attachment_is_taken_out() -> None:
    assert split_attachment(TYPE, PACKAGE) == (ENVELOPE, WSDL)
    assert split_attachment(TYPE.replace("=b", '="b"'), PACKAGE) == (ENVELOPE, WSDL)
    assert split_attachment("text/xml", PACKAGE) == (PACKAGE, None)


@settings(max_examples=200)
@given(st.data())
def test_any_package_is_split_or_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(PACKAGE)))
    piece = data.draw(st.sampled_from([b"", b"\r\n", b"\r\n--b", b"--", b"\r\n\r\n", b"\0"]))
    cut = data.draw(st.integers(0, 12))
    with contextlib.suppress(MalformedMessage):
        split_attachment(TYPE, PACKAGE[:place] + piece + PACKAGE[place + cut :])


@settings(max_examples=150)
@given(st.data())
def test_any_list_is_read_or_refused(data: st.DataObject) -> None:
    for raw, read in ((rest(entry()), parse_rest_list), (response(listed()), parse_soap_list)):
        place = data.draw(st.integers(0, len(raw) - 1))
        piece = data.draw(st.sampled_from([b"", b"<", b"&", b'"', b"{", b"[", b"\0", b"1"]))
        with contextlib.suppress(ExchangeError):
            found = read(raw[:place] + piece + raw[place + 1 :], PROVIDER)
            assert all(one.id.provider == PROVIDER for one in found)
