"""Faults: exact bytes, both spellings, and what an information system gets of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from node.messages.fault import (
    Dialect,
    Fault,
    Side,
    build_fault_xml,
    build_rest_error,
    parse_fault,
)
from node.messages.fault_codes import canonical_code, to_legacy
from tests.vector_files import vector_path
from trust.errors import AccessDenied, EvidenceRejected, MalformedMessage, PeerFault

CURRENT = Dialect()
LEGACY = Dialect(snake_case_faults=False)
DENIED = Fault(
    "server.serverproxy.access_denied",
    "Request is not allowed: SERVICE:EX/COM/2002/registry/getPerson/v1",
    "5e0d0000-0000-4000-8000-000000000000",
)


def test_the_fault_of_the_protocol_has_its_exact_bytes() -> None:
    assert build_fault_xml(DENIED) == (
        b'<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope '
        b'xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>'
        b"<SOAP-ENV:Fault><faultcode>server.serverproxy.access_denied</faultcode>"
        b"<faultstring>Request is not allowed: SERVICE:EX/COM/2002/registry/getPerson/v1"
        b"</faultstring><faultactor></faultactor><detail>"
        b'<faultDetail xmlns="">5e0d0000-0000-4000-8000-000000000000</faultDetail></detail>'
        b"</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    )


def test_texts_are_escaped_as_the_reference_escapes_them() -> None:
    raw = build_fault_xml(Fault("a<b", "& < > \" ' \x00\x0b õ", ""))
    assert "<faultstring>&amp; &lt; &gt; &quot; &apos;  õ</faultstring>".encode() in raw
    assert parse_fault(raw) == Fault("a<b", "& < > \" '  õ", "")


_TEXT = st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="￾￿"))


@given(_TEXT.map(str.strip).filter(bool), _TEXT, _TEXT.map(str.strip), _TEXT)
def test_what_was_written_is_read(code: str, text: str, detail: str, actor: str) -> None:
    fault = Fault(code, text, detail, actor)
    assert parse_fault(build_fault_xml(fault)) == fault


@given(st.lists(st.sampled_from(["faultcode", "Fault", "Body", "<", ">", "/", "&", "]]>", "\0"])))
def test_any_damaged_fault_is_read_or_refused(pieces: list[str]) -> None:
    raw = build_fault_xml(DENIED)
    middle = len(raw) // 2
    damaged = raw[:middle] + "".join(pieces).encode() + raw[middle:]
    try:
        found = parse_fault(damaged)
    except MalformedMessage as error:
        refused = error.code
        assert refused == "invalid_soap"
    else:
        assert found is None or found.code


def test_parts_of_a_fault_are_found_by_local_name_and_without_comments() -> None:
    raw = b"""<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault
        ><x:faultcode xmlns:x="urn:x"> e:Ser<!-- c -->ver </x:faultcode><detail><a>x</a> <b>y</b>
        </detail></e:Fault></e:Body></e:Envelope>"""
    assert parse_fault(raw) == Fault("e:Server", "", "x y")


def test_the_fault_vector_is_read() -> None:
    raw = vector_path("asic/src/service/proxy/proxy-core/src/test/queries/fault.query").read_bytes()
    assert parse_fault(raw) == Fault("CODE", "STRING", "DETAIL", "ACTOR")


_OPEN = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
_SHUT = b"</e:Body></e:Envelope>"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no xml",
        b"<Envelope/>",
        b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"/>',
        b"<!DOCTYPE x>" + _OPEN + _SHUT,
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + _OPEN + b"&a;" + _SHUT,
        _OPEN + b"<e:Fault/>" + _SHUT,
        _OPEN + b"<e:Fault><faultcode> </faultcode></e:Fault>" + _SHUT,
        _OPEN + b"<e:Fault><faultcode>" + b"x" * 1_100_000 + b"</faultcode></e:Fault>" + _SHUT,
    ],
)
def test_what_is_no_soap_message_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        parse_fault(raw)
    assert refused.value.code == "invalid_soap"


def test_a_soap_message_that_is_no_fault_gives_none() -> None:
    assert parse_fault(_OPEN + b"<x/>" + _SHUT) is None
    assert parse_fault(_OPEN + b"<Fault/>" + _SHUT) is None


@pytest.mark.parametrize(
    ("current", "legacy"),
    [
        ("server.serverproxy.access_denied", "Server.ServerProxy.AccessDenied"),
        ("server.clientproxy.service_failed.http_error",
         "Server.ClientProxy.ServiceFailed.HttpError"),
        ("client.invalid_soap_action", "Client.InvalidSoapAction"),
        ("server.serverproxy.opmonitor.client.internal_error",
         "Server.ServerProxy.OpMonitor.Client.InternalError"),
        ("server.clientproxy.cannot_create_signature.signer.token_not_active",
         "Server.ClientProxy.CannotCreateSignature.Signer.TokenNotActive"),
        ("server.serverproxy.io_error", "Server.ServerProxy.IOError"),
        ("server.serverproxy.unknown_host", "Server.ServerProxy.NetworkError"),
        ("server.clientproxy.global_conf_outdated", "Server.ClientProxy.OutdatedGlobalConf"),
        ("server.clientproxy.ssl_authentication_failed",
         "Server.ClientProxy.SslAuthenticationFailed"),
        ("server.serverproxy.signature_verification.malformed_signature.hashchain_unused_inputs",
         "Server.ServerProxy.SignatureVerification.MalformedSignature.HashChainUnusedInputs"),
        ("signer.token_readonly", "Signer.TokenReadOnly"),
        ("hsm_non_operational", "HSMNonOperational"),
        ("server.serverproxy.logging_failed.mlog.no_timestamping_provider_found",
         "Server.ServerProxy.LoggingFailed.InternalError"),
        ("soap:Server", "soap:Server"),
        ("CODE", "CODE"),
        ("", ""),
    ],
)  # fmt: skip
def test_codes_are_spelled_for_older_nodes(current: str, legacy: str) -> None:
    assert to_legacy(current) == legacy
    assert (LEGACY.spell(current), CURRENT.spell(current)) == (legacy, current)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Server.ServerProxy.ServiceFailed.HttpError",
         "server.serverproxy.service_failed.http_error"),
        ("Server.ClientProxy.OutdatedGlobalConf", "server.clientproxy.global_conf_outdated"),
        ("Server.ServerProxy.IOError", "server.serverproxy.io_error"),
    ],
)  # fmt: skip
def test_both_spellings_compare_equal(one: str, other: str) -> None:
    assert canonical_code(one) == canonical_code(other)


@pytest.mark.parametrize(
    ("announced", "snake"),
    [("7.7.1", False), ("6.26.0", False), ("7.8.0", True), ("7.8.0-SNAPSHOT", True),
     ("8.0.0", True), ("unknown", True), ("", True)],
)  # fmt: skip
def test_the_dialect_follows_the_announced_version(announced: str, snake: bool) -> None:
    assert Dialect.of_peer(announced).snake_case_faults is snake


def test_the_side_stands_in_front_once() -> None:
    error = EvidenceRejected("Signature is not valid", "invalid_signature_value")
    error = error.within("signature_verification")
    fault = Fault.of(error, Side.PROVIDER, "id", CURRENT)
    code = "server.serverproxy.signature_verification.invalid_signature_value"
    assert fault == Fault(code, "Signature is not valid", "id")
    again = Fault.of(EvidenceRejected("x", code), Side.PROVIDER, "id", CURRENT)
    assert again.code == code
    old = Fault.of(AccessDenied("x"), Side.CONSUMER, "id", LEGACY)
    assert old.code == "Server.ClientProxy.AccessDenied"
    near = Fault.of(AccessDenied("x", "clients_only"), Side.REQUESTER, "id", CURRENT)
    assert near.code == "client.clients_only"


def test_the_fault_of_somebody_else_stays_as_it_came() -> None:
    theirs = PeerFault("Server.ServerProxy.AccessDenied", "no", "their id", "actor")
    fault = Fault.of(theirs, Side.CONSUMER, "ours", CURRENT)
    assert fault == Fault("Server.ServerProxy.AccessDenied", "no", "their id", "actor")
    error = fault.to_error()
    assert (error.code, error.text, error.detail, error.actor) == (
        theirs.code,
        theirs.text,
        theirs.detail,
        theirs.actor,
    )


def test_what_a_peer_says_in_a_fault_has_a_bounded_length() -> None:
    long = "x" * 10_000
    fault = parse_fault(build_fault_xml(Fault(long, long, long, long)))
    assert fault is not None
    assert [len(fault.code), len(fault.text), len(fault.detail), len(fault.actor)] == [
        255, 4096, 255, 255,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status"),
    [("server.serverproxy.access_denied", 500), ("Server.ServerProxy.AccessDenied", 500),
     ("client.invalid_soap", 400), ("soap:Server", 400), ("serverless", 400)],
)  # fmt: skip
def test_the_status_of_a_rest_error_follows_the_code(code: str, status: int) -> None:
    assert build_rest_error(Fault(code, "x"), []).status == status


def test_a_rest_error_is_json_by_default() -> None:
    error = build_rest_error(DENIED, ["*/*", "application/json;q=0.9"])
    assert error.headers == (
        ("X-Road-Error", "server.serverproxy.access_denied"),
        ("Content-Type", "application/json"),
    )
    assert error.body.startswith(b'{"type":"server.serverproxy.access_denied","message":"Req')
    assert json.loads(error.body) == {
        "type": DENIED.code,
        "message": DENIED.text,
        "detail": DENIED.detail,
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (["application/xml"], "application/xml;charset=utf-8"),
        (["application/json, TEXT/XML;q=0.1"], "text/xml;charset=utf-8"),
        (["application/json", "text/*"], "text/xml;charset=utf-8"),
        (["text/html, application/xml;q=0.5, text/xml"], "application/xml;charset=utf-8"),
        (["text/html"], "application/json"),
        ([], "application/json"),
    ],
)
def test_xml_is_given_when_any_accept_entry_names_it(accept: list[str], content_type: str) -> None:
    assert build_rest_error(DENIED, accept).content_type == content_type


def test_a_rest_error_in_xml_has_the_form_of_the_reference() -> None:
    fault = Fault("server.clientproxy.unknown_member", "Client '<x>' not found", "id")
    body = build_rest_error(fault, ["application/xml"]).body
    assert body.startswith(
        b'<?xml version="1.0" encoding="UTF-8" standalone="no"?><error><type>server.clientproxy.'
    )
    assert [child.text for child in etree.fromstring(body)] == [fault.code, fault.text, "id"]


def test_a_code_of_a_peer_cannot_add_a_header() -> None:
    error = build_rest_error(Fault("a\r\nSet-Cookie: õ=1", "x"), [])
    assert error.code == "a_Set-Cookie:_=1"
