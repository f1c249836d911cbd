"""SOAP messages: read as X-Road reads them, told apart from faults, and refused by name."""

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from node.messages.exchange import check_soap_answers
from node.messages.fault import Fault
from node.messages.represented_party import RepresentedParty
from node.messages.soap import (
    SoapFaultMessage,
    SoapMessage,
    check_strict,
    insert_request_hash,
    parse_soap,
)
from tests.own_vectors import Vector, load, vector
from tests.vector_files import vector_path
from trust.digests import sha512
from trust.errors import EvidenceRejected, MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId

QUERIES = "asic/src/service/proxy/proxy-core/src/test/queries"
XML = "text/xml; charset=UTF-8"
CLIENT = ClientId("EX", "GOV", "1234567", "portal")
SERVICE = ServiceId(ClientId("EX", "GOV", "7654321", "population"), "personData", "v1")
GOOD = vector("soap/good").payload


def read(raw: bytes, content_type: str = XML) -> SoapMessage:
    found = parse_soap(raw, content_type)
    assert isinstance(found, SoapMessage)
    return found


def refused(raw: bytes, content_type: str = XML) -> tuple[str, str]:
    with pytest.raises(MalformedMessage) as error:
        parse_soap(raw, content_type)
    return error.value.code, error.value.text


@pytest.mark.parametrize("vector", load("soap", "accepted"), ids=str)
def test_a_good_message_is_read_and_keeps_its_bytes(vector: Vector) -> None:
    message = read(vector.payload, vector.fields["content-type"])
    assert message.raw == vector.payload
    assert message.service.provider.member == SERVICE.provider.member
    assert message.body_name.startswith(message.service.service_code)
    assert message.header.protocol_version == "4.0"


@pytest.mark.parametrize("vector", load("soap", "rejected"), ids=str)
def test_a_bad_message_is_refused_with_the_code_and_text_of_the_reference(vector: Vector) -> None:
    code, text = refused(vector.payload, vector.fields["content-type"])
    assert code == vector.fields["code"]
    assert text.startswith(vector.fields["reason"])


def test_every_field_is_read() -> None:
    message = read(vector("soap/good-all-fields").payload)
    header = message.header
    assert (message.client, message.service, message.provider) == (
        CLIENT, SERVICE, SERVICE.provider,
    )  # fmt: skip
    assert (message.message_id, header.user_id, header.issue) == (
        "7c0c2e8a", "EX60001019906", "case-2025/17",
    )  # fmt: skip
    assert header.security_server == ServerId(ClientId("EX", "GOV", "7654321"), "ss2")
    assert header.represented_party == RepresentedParty("COM", "99")
    assert header.request_hash == "AAAA"


@pytest.mark.parametrize(
    ("name", "message_id"),
    [
        ("good-empty-id", ""),
        ("good-cdata-and-references", "<7c0c&"),
        ("good-literal-white-space", "\n 7c0c2e8a\t"),
        ("good-latin-1", "Perón"),
        ("good-utf-16", "7c0c2e8a"),
    ],
)
def test_values_are_literal(name: str, message_id: str) -> None:
    assert read(vector(f"soap/{name}").payload).message_id == message_id


def test_the_parts_decide_who_it_is() -> None:
    assert read(vector("soap/good-member-with-subsystem").payload).client == CLIENT
    member = read(vector("soap/good-subsystem-without-code").payload).client
    assert member == ClientId("EX", "GOV", "1234567")
    blank = read(vector("soap/good-empty-version").payload).service
    assert blank.service_version == " "


@pytest.mark.parametrize(
    ("name", "charset"),
    [("good", "utf-8"), ("good-latin-1", "iso-8859-1"), ("good-utf-16", "utf-16"),
     ("good-byte-order-mark", "utf-8")],
)  # fmt: skip
def test_the_charset_is_that_of_the_bytes(name: str, charset: str) -> None:
    assert read(vector(f"soap/{name}").payload, "text/xml").charset == charset
    assert read(vector(f"soap/{name}").payload, "text/xml; charset=utf8").charset == charset


def test_rpc_is_told() -> None:
    assert [read(vector(f"soap/{name}").payload).rpc for name in ("good", "good-rpc")] == [
        False, True,
    ]  # fmt: skip


_REFERENCE = [
    ("empty", "invalid_soap"), ("faulty-header2", "duplicate_header_field"),
    ("faulty-header", "missing_header_field"), ("malformed-body1", "invalid_body"),
    ("malformed-body2", "invalid_body"), ("malformed-protocolVersion", "invalid_protocol_version"),
    ("wrong-protocolVersion", "invalid_protocol_version"),
    ("wrong-version", "invalid_protocol_version"),
    ("missing-protocolVersion", "missing_header_field"), ("missing-body", "missing_body"),
    ("no-header", "missing_header"), ("missingobjecttype", "invalid_xml"),
    ("no-soap", "invalid_soap"), ("inconsistent-headers", "inconsistent_headers"),
    ("attach-error-withsoap", "inconsistent_headers"),
]  # fmt: skip


@pytest.mark.interop
@pytest.mark.parametrize(("name", "code"), _REFERENCE)
def test_the_faulty_fixtures_of_the_reference_are_refused(name: str, code: str) -> None:
    assert refused(vector_path(f"{QUERIES}/{name}.query").read_bytes(), "text/xml")[0] == code


@pytest.mark.interop
def test_the_good_fixtures_of_the_reference_are_read() -> None:
    names = {
        "allowedMethods.query", "attachm.answer", "attachment-small-mantis.answer",
        "bigAttachment.answer", "bigAttachment.query", "getstate-subsystem.answer",
        "getstate-subsystem.query", "getstate.answer", "getstate.query",
        "invalid-service-address.query", "listMethods.query", "missing-userId.answer",
        "missing-userId.query", "notAllowed.query", "proxyemulator.query", "request-suffix.query",
        "requesthash.answer", "response-with-requestId.answer", "signing-error-request.query",
        "signing-error-response.query", "simple.answer", "simple.query", "smallAttachment.answer",
        "xml.query",
    }  # fmt: skip
    for name in names:
        message = read(vector_path(f"{QUERIES}/{name}").read_bytes(), "text/xml")
        assert message.client.instance == "EE", name


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "code"),
    [("fault.query", "CODE"), ("faulty-fault.answer", "soap:Server"),
     ("customfault.answer", "foo:FOOCODE"), ("soapfaulterror.query", "SOAP-ENV:Clientrwerete")],
)  # fmt: skip
def test_the_faults_of_the_reference_are_faults(name: str, code: str) -> None:
    raw = vector_path(f"{QUERIES}/{name}").read_bytes()
    found = parse_soap(raw, "text/xml; charset=utf-8")
    assert isinstance(found, SoapFaultMessage)
    assert (found.fault.code, found.raw) == (code, raw)


def test_a_fault_needs_no_header_and_may_stand_beside_a_wrapper() -> None:
    fault = b"<soapenv:Fault><faultcode>X</faultcode><faultstring>no</faultstring></soapenv:Fault>"
    raw = GOOD[: GOOD.index(b"<soapenv:Header")] + b"<soapenv:Body><a/>" + fault
    found = parse_soap(raw + b"</soapenv:Body></soapenv:Envelope>", XML)
    assert isinstance(found, SoapFaultMessage)
    assert found.fault == Fault("X", "no")


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/related; boundary=x", "a;b"])
def test_other_content_types_are_refused(content_type: str) -> None:
    code, text = refused(GOOD, content_type)
    assert code == "invalid_content_type"
    assert text.startswith("Invalid content type: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [("good-member-with-subsystem", "Redundant subsystem code"),
     ("good-subsystem-without-code", "Missing required subsystem code")],
)  # fmt: skip
def test_strict_readers_compare_the_type_with_the_parts(name: str, text: str) -> None:
    with pytest.raises(MalformedMessage, match=text) as error:
        check_strict(read(vector(f"soap/{name}").payload))
    assert error.value.code == "invalid_client_identifier"


def test_strict_readers_need_a_header() -> None:
    good = read(GOOD)
    bare = SoapMessage(vector("soap/no-header").payload, "utf-8", good.header, good.body_name)
    with pytest.raises(MalformedMessage) as error:
        check_strict(bare)
    assert error.value.code == "missing_header"


def test_strict_readers_refuse_any_field_twice() -> None:
    check_strict(read(GOOD))
    with pytest.raises(MalformedMessage) as error:
        check_strict(read(vector("soap/good-unknown-field").payload))
    assert error.value.code == "duplicate_header_field"
    assert error.value.text.endswith("'{http://x-road.eu/xsd/xroad.xsd}extra'")


@pytest.mark.parametrize("kind", ["example", "example-attachment"])
def test_the_worked_examples_answer_each_other(kind: str) -> None:
    request = read(vector(f"soap/{kind}-request").payload)
    response = read(vector(f"soap/{kind}-response").payload)
    check_soap_answers(request, response, sha512(request.raw))


def _answers(request: bytes, response: bytes) -> tuple[str, str]:
    with pytest.raises(EvidenceRejected) as error:
        check_soap_answers(read(request), read(response), sha512(request))
    return error.value.code, error.value.text


REQUEST = vector("soap/example-request").payload
RESPONSE = vector("soap/example-response").payload


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b">1234567<", b">1234568<"),
        (b">v1<", b">v2<"),
        (b"<xro:userId>EX60001019906</xro:userId>", b""),
        (b"<xro:issue>case-2025/17</xro:issue>", b"<xro:issue/>"),
        (b"<xro:issue>case-2025/17</xro:issue>", b""),
        (b">7c0c2e8a-5d0e-", b">7c0c2e8b-5d0e-"),
        (b"<xro:issue>", b'<r:representedParty xmlns:r="http://x-road.eu/xsd/representation.xsd">'
         b"<r:partyCode>1</r:partyCode></r:representedParty><xro:issue>"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_repeat_a_field_is_inconsistent(old: bytes, new: bytes) -> None:
    assert old in RESPONSE
    assert _answers(REQUEST, RESPONSE.replace(old, new)) == (
        "service_failed.inconsistent_response",
        "Response from server proxy is not consistent with request",
    )


def test_an_answer_to_other_bytes_is_inconsistent() -> None:
    wrong = (
        "inconsistent_response",
        "Request message hash does not match request message",
    )
    assert _answers(REQUEST + b" ", RESPONSE) == wrong
    for text in (b"", b"!", "é".encode(), b"AAAA"):
        start = RESPONSE.index(b"HdE8")
        changed = RESPONSE[:start] + text + RESPONSE[start + 88 :]
        assert _answers(REQUEST, changed) == wrong
    assert _answers(REQUEST, vector("soap/example-answer").payload) == (
        "inconsistent_response",
        "Response from server proxy is missing request message hash",
    )


def test_version_and_target_of_an_answer_are_not_compared() -> None:
    other = RESPONSE.replace(b">4.0<", b">4.1<")
    check_soap_answers(read(REQUEST), read(other), sha512(REQUEST))


_TEXT = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="￾￿"), max_size=20
)
_CODE = _TEXT.filter(lambda text: bool(text.strip()))


@given(_CODE, _CODE, _TEXT, _TEXT)
def test_what_stands_in_the_fields_is_read(
    code: str, subsystem: str, message_id: str, user: str
) -> None:
    envelope = etree.fromstring(vector("soap/good-all-fields").payload)
    for name, text in (
        ("{*}memberCode", code), ("{*}subsystemCode", subsystem), ("{*}id", message_id),
        ("{*}userId", user),
    ):  # fmt: skip
        for element in envelope.iter(name):
            element.text = text
    header = read(etree.tostring(envelope, encoding="utf-8")).header
    assert header.client == ClientId("EX", "GOV", code, subsystem)
    assert (header.message_id, header.user_id) == (message_id, user)


_PIECES = st.lists(
    st.sampled_from(
        [
            b"<xro:id>", b"</xro:id>", b"<xro:id/>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?",
            b"?>", b"&#0;", b"&amp;", b"&x;", b"<", b">", b"'", b'"', b" ", b"\x00", b"\xff",
            b"<soapenv:Header>", b"</soapenv:Header>", b"<soapenv:Body>", b"</soapenv:Body>",
            b"<soapenv:Fault>", b"</soapenv:Fault>", b' iden:objectType="MEMBER"', b"<!DOCTYPE",
        ]
    ),
    max_size=8,
)  # fmt: skip


@given(_PIECES, st.integers(0, len(GOOD)), st.integers(0, 60))
def test_any_damaged_message_is_read_or_refused(pieces: list[bytes], at: int, lost: int) -> None:
    raw = GOOD[:at] + b"".join(pieces) + GOOD[at + lost :]
    with contextlib.suppress(MalformedMessage):
        assert parse_soap(raw, XML).raw == raw


@given(st.binary(max_size=200), st.text(max_size=40))
def test_any_bytes_of_any_type_are_read_or_refused(raw: bytes, content_type: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_soap(raw, content_type)


def _with_header(extra: bytes) -> bytes:
    return GOOD.replace(b"</soapenv:Header>", extra + b"</soapenv:Header>")


@pytest.mark.parametrize(
    "raw",
    [
        _with_header(b"<a>" * 400 + b"</a>" * 400),
        _with_header(b"<a/>" * 500_001),
        _with_header(b"<a " + b" ".join(b'a%d=""' % n for n in range(1_000_001)) + b"/>"),
        _with_header(b'<a b="' + b"x" * 11_000_000 + b'"/>'),
        _with_header(b"<a>" + b"x" * 11_000_000 + b"</a>"),
    ],
    ids=["deep", "many elements", "many attributes", "huge attribute", "huge text"],
)
def test_oversized_markup_is_refused(raw: bytes) -> None:
    assert refused(raw)[0] == "invalid_soap"


def test_reading_a_large_message_takes_little_more_memory_than_its_bytes() -> None:
    large = GOOD.replace(b">60001019906<", b">" + b"6" * 4_000_000 + b"<")
    read(GOOD)
    tracemalloc.start()
    try:
        message = read(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message.raw is large
    assert peak < 1_000_000  # the tree is of the C library, and gone with the reading


def test_an_inserted_hash_makes_an_answer_that_fits() -> None:
    answer = read(vector("soap/example-answer").payload)
    response = read(insert_request_hash(answer.raw, answer.charset, sha512(REQUEST)))
    check_soap_answers(read(REQUEST), response, sha512(REQUEST))
