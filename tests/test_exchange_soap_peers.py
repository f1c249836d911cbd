"""What nodes refuse of SOAP messages: a registered peer does one thing wrong, and gets its code.

Rows are those of transport.md 19. What was refused is not in the log and reaches no system.
"""

import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests import consumer_stage, provider_stage
from tests.defects import CONTENT_TYPE, GROUP, Change, Defect, envelope, http, parts, without
from tests.drafts import (
    OCSP,
    SIGNATURE,
    SOAP,
    Draft,
    Part,
    Parts,
    nested,
    split_attachments,
    split_parts,
    text_of,
)
from tests.forged_signatures import FORGERIES
from tests.instance import PROVIDER
from tests.raw_http import RawMessage, ask, build_head
from tests.scene import answering, records, unexpected
from tests.simulator import Asked, LivePki, exchange_id_of, fault_code
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import packed, repacked, soap_answer
from trust.ids import ClientId, ServerId, ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()
SERVICE = ServiceId(PROVIDER, "soap")
PDF = Part("application/pdf", bytes(range(256)), (("Content-ID", "<one>"),))
TEXT = Part("text/plain", b"second")
PACKAGE = 'multipart/related; type="text/xml"; boundary="=_b:1"'
UNUSED = "signature_verification.malformed_signature.hashchain_unused_inputs"
VALUE = "signature_verification.invalid_signature_value"
FAULT = (
    b'<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<SOAP-ENV:Body><SOAP-ENV:Fault><faultcode>Server.ServerProxy.AccessDenied</faultcode>"
    b"<faultstring> no </faultstring></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
)


def message(**changes: object) -> Envelope:
    return Envelope(service=SERVICE, message_id=f"peer-{next(NUMBERS)}", **changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


# --- a provider's node and a rogue that calls it --------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[provider_stage.Stage]:
    folder = tmp_path_factory.mktemp("provider")
    async with provider_stage.provider_stage(folder, postgres_server) as found:
        yield found


@pytest.fixture
def called(provider: provider_stage.Stage) -> provider_stage.Stage:
    provider.system.reset()
    provider.system.answer = soap_answer
    return provider


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("others", [(), (PDF,), (PDF, TEXT)], ids=["alone", "one", "two"])
async def test_the_right_request_is_carried(
    called: provider_stage.Stage, others: tuple[Part, ...], chained: bool
) -> None:
    """What all refusals are measured by: without a defect the same message passes."""
    asked = message()
    draft = called.rogue.soap_draft(asked.raw, others)
    draft.chained = chained and bool(others)  # one part is signed by itself
    called.system.answer = lambda _: answering(
        answer_to(asked.raw), headers=(("Content-Type", SOAP),)
    )
    answer = await called.rogue.send(draft)
    assert answer is not None
    assert [part.content_type for part in split_parts(answer)] == [SOAP, SIGNATURE]
    assert answer.first("x-original-content-type") == SOAP
    assert answer.first("x-hash-algorithm") == "SHA-512"
    sent = repacked("=_b:1", [Part(SOAP, asked.raw), *others]) if others else asked.raw
    assert called.system.last.body == sent
    kept = await records(called.provider, exchange_id=exchange_id_of(draft))
    assert [one.response for one in kept] == [False, True]


async def test_attachments_of_an_answer_are_nested(called: provider_stage.Stage) -> None:
    asked = message()
    said = packed("b", [Part(SOAP, answer_to(asked.raw)), PDF, TEXT])
    kind = "multipart/related; boundary=b"
    called.system.answer = lambda _: answering(said, headers=(("Content-Type", kind),))
    answer = await called.rogue.send(called.rogue.soap_draft(asked.raw))
    assert answer is not None
    assert answer.first("x-original-content-type") == kind
    envelope_part, attachments, signature = split_parts(answer)
    top = re.search(r"boundary=xtop(\w+)", answer.first("content-type") or "")
    assert top is not None
    assert attachments.content_type == f"multipart/mixed; charset=UTF-8; boundary=xatt{top[1]}"
    assert split_attachments(attachments) == [PDF, TEXT]
    assert (envelope_part.content_type, signature.content_type) == (SOAP, SIGNATURE)


async def test_a_fault_of_the_system_is_the_first_part(called: provider_stage.Stage) -> None:
    called.system.answer = lambda _: answering(FAULT, "500 Error", (("Content-Type", "text/xml"),))
    answer = await called.rogue.send(called.rogue.soap_draft(message().raw))
    assert answer is not None
    assert split_parts(answer) == [Part(SOAP, FAULT)]


async def test_a_failure_behind_attachments_stands_where_the_signature_would(
    called: provider_stage.Stage,
) -> None:
    asked = message()
    said = packed("b", [Part(SOAP, answer_to(asked.raw)), PDF, TEXT])[:-7]
    kind = "multipart/related; boundary=b"
    called.system.answer = lambda _: answering(said, headers=(("Content-Type", kind),))
    answer = await called.rogue.send(called.rogue.soap_draft(asked.raw))
    assert answer is not None
    first, attachments, fault = split_parts(answer)
    assert first.content_type == SOAP
    assert split_attachments(attachments)[0] == PDF  # closed, whatever it holds
    code = text_of(fault.data, "faultcode")
    assert code == "server.serverproxy.service_failed.mime_parsing_failed"


_OTHERS = ("message changed", "body changed", "body changed under a chain")  # REST's own


@pytest.mark.parametrize("forgery", [one for one in FORGERIES if one.name not in _OTHERS], ids=str)
async def test_forged_signatures(called: provider_stage.Stage, forgery: Defect) -> None:
    draft = called.rogue.soap_draft(message().raw, [PDF])
    forgery.change(draft, called.pki)
    await called.refuses(draft, f"signature_verification.{forgery.code}")


def attached(edit: Callable[[Parts], Parts]) -> Change:
    """Other attachments than the signed ones."""

    def change(draft: Draft, _: LivePki) -> None:
        other = nested(edit(list(draft.attachments)), "xattOther")
        draft.edit_parts = lambda found: [
            other if (part.content_type or "").startswith("multipart/mixed") else part
            for part in found
        ]

    return change


def spoken(edit: Callable[[bytes], bytes]) -> Change:
    """Another envelope, signed as it is then."""

    def change(draft: Draft, _: LivePki) -> None:
        assert draft.envelope is not None
        before, draft.envelope = draft.envelope, edit(draft.envelope)
        assert draft.envelope != before

    return change


def tampered(edit: Callable[[bytes], bytes]) -> Change:
    """Another envelope than the signed one."""
    return parts(
        lambda found: [
            replace(part, data=edit(part.data)) if part.content_type == SOAP else part
            for part in found
        ]
    )


def chained(then: Change) -> Change:
    def change(draft: Draft, pki: LivePki) -> None:
        draft.chained = True
        then(draft, pki)

    return change


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return edit


_CHAIN = "signature_verification.malformed_signature.invalid_hash_chain"
_MISSING_REFERENCE = "signature_verification.malformed_signature.invalid_reference"
TAMPERED = [
    Defect(31, "an attachment that nobody signed", UNUSED,
        envelope(edit_digests=lambda found: found[:-1])),
    Defect(31, "an attachment more", UNUSED, attached(lambda found: [*found, TEXT])),
    Defect(38, "an attachment more beside a chain", UNUSED,
        chained(attached(lambda found: [*found, TEXT]))),
    Defect(37, "attachments swapped", VALUE, attached(lambda found: found[::-1])),
    Defect(39, "attachments swapped under a chain", _CHAIN,
        chained(attached(lambda found: found[::-1]))),
    Defect(37, "an attachment changed", VALUE,
        attached(lambda found: [replace(PDF, data=b"!"), TEXT])),
    Defect(39, "an attachment changed under a chain", _CHAIN,
        chained(attached(lambda found: [replace(PDF, data=b"!"), TEXT]))),
    Defect(40, "an attachment missing", _MISSING_REFERENCE, attached(lambda found: found[:1])),
    Defect(40, "all attachments missing", _MISSING_REFERENCE,
        parts(lambda found: [one for one in found if "mixed" not in (one.content_type or "")])),
    Defect(37, "a byte of the envelope", VALUE, tampered(swap(b">\xc3\xb51<", b">\xc3\xb52<"))),
    Defect(37, "white space behind the envelope", VALUE, tampered(lambda data: data + b" ")),
]  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED, ids=str)
async def test_tampered_requests(called: provider_stage.Stage, case: Defect) -> None:
    draft = called.rogue.soap_draft(message().raw, [PDF, TEXT])
    case.change(draft, called.pki)
    await called.refuses(draft, case.code)


_PART = "multipart/mixed; charset=UTF-8; boundary=x"
REQUESTS = [
    Defect(7, "a malformed action", "invalid_soap_action", http(x_original_soapaction="x")),
    Defect(6, "no hash algorithm", "internal_error", http(x_hash_algorithm=None)),
    Defect(11, "another type", CONTENT_TYPE,
        parts(lambda found: [found[0], Part("text/plain", found[1].data), *found[2:]])),
    Defect(12, "a part behind the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, TEXT])),
    Defect(13, "attachments of another type", CONTENT_TYPE,
        parts(lambda found: [*found[:2], Part("multipart/related; boundary=x", b""), found[-1]])),
    Defect(13, "attachments twice", CONTENT_TYPE,
        parts(lambda found: [*found[:3], found[2], found[-1]])),
    Defect(13, "attachments without boundary", CONTENT_TYPE,
        parts(lambda found: [*found[:2], Part("multipart/mixed", b""), found[-1]])),
    Defect(13, "attachments cut", f"{GROUP}mime_parsing_failed",
        parts(lambda found: [*found[:2], Part(_PART, b"\r\n--x\r\ncontent-type: a/b\r\n\r\nc"),
                             found[-1]])),
    Defect(13, "an attachment without type", CONTENT_TYPE,
        parts(lambda found: [*found[:2], Part(_PART, b"\r\n--x\r\na: b\r\n\r\nc\r\n--x--\r\n"),
                             found[-1]])),
    Defect(15, "no OCSP response", f"{GROUP}ssl_authentication_failed", envelope(ocsp=[])),
    Defect(18, "a client of somebody else", f"{GROUP}ssl_authentication_failed",
        spoken(swap(b"<iden:memberCode>2001<", b"<iden:memberCode>2002<"))),
    Defect(20, "a DTD", f"{GROUP}invalid_soap",
        spoken(swap(b"<soapenv:E", b"<!DOCTYPE a []><soapenv:E"))),
    Defect(20, "no XML", f"{GROUP}invalid_soap", spoken(lambda _: b"<a")),
    Defect(20, "no envelope", f"{GROUP}invalid_soap", spoken(lambda _: b"<a/>")),
    Defect(21, "no id", f"{GROUP}missing_header_field",
        spoken(lambda data: re.sub(rb"<xro:id>.*</xro:id>", b"", data))),
    Defect(21, "the client twice", f"{GROUP}duplicate_header_field",
        spoken(lambda data: re.sub(rb"(<xro:client .*</xro:client>)", rb"\1\1", data))),
    Defect(21, "no object type", f"{GROUP}invalid_xml",
        spoken(swap(b' iden:objectType="SERVICE"', b""))),
    Defect(22, "another wrapper", f"{GROUP}inconsistent_headers",
        spoken(lambda data: data.replace(b"p:soap", b"p:other"))),
    Defect(22, "two bodies", f"{GROUP}invalid_body", spoken(swap(b"</p:soap>", b"</p:soap><a/>"))),
    Defect(23, "another version", f"{GROUP}invalid_protocol_version",
        spoken(swap(b">4.0<", b">3.1<"))),
    Defect(26, "a provider of another node", f"{GROUP}unknown_member",
        spoken(swap(b">persons<", b">nobody<"))),
    Defect(27, "nothing but OCSP responses", "missing_soap", parts(lambda found: found[:1])),
    Defect(27, "no part at all", "missing_soap", envelope(edit_bytes=lambda _: b"")),
    Defect(27, "text without delimiters", "missing_soap", envelope(edit_bytes=lambda _: b"<a/>")),
    Defect(27, "a fault in place of the message", "missing_soap",
        parts(lambda found: [found[0], Part(SOAP, FAULT)])),
    Defect(28, "no signature", "missing_signature", without(SIGNATURE)),
    Defect(28, "a fault in place of the signature", "missing_signature",
        parts(lambda found: [*found[:-1], Part(SOAP, FAULT)])),
    Defect(29, "an unknown service", "unknown_service",
        spoken(lambda data: data.replace(b"p:soap", b"p:none").replace(b">soap<", b">none<"))),
    Defect(29, "a version that is not there", "unknown_service",
        spoken(swap(b"soap</iden:serviceCode>",
                    b"soap</iden:serviceCode><iden:serviceVersion>v1</iden:serviceVersion>"))),
    Defect(29, "a REST service", "service_type",
        spoken(lambda data: data.replace(b"p:soap", b"p:people").replace(b">soap<", b">people<"))),
    Defect(55, "no closing delimiter", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6])),
    Defect(56, "a signature of long ago", "invalid_message",
        envelope(signed_at=datetime.now(UTC) - timedelta(hours=3))),
    Defect(59, "an envelope too large", f"{GROUP}invalid_message",
        spoken(swap(b"<code>", b"<code>" + b"x" * (4 << 20)))),
    Defect(59, "attachments too large", "logging_failed",
        envelope(attachments=[Part("a/b", bytes(1_600_000))] * 2)),
    Defect(59, "too many attachments", f"{GROUP}mime_parsing_failed",
        envelope(attachments=[TEXT] * 1001)),
]  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS, ids=str)
async def test_requests(called: provider_stage.Stage, case: Defect) -> None:
    draft = called.rogue.soap_draft(message().raw, [PDF])
    case.change(draft, called.pki)
    await called.refuses(draft, case.code)


async def test_row_25_another_server(called: provider_stage.Stage) -> None:
    other = ServerId(ClientId("TEST", "GOV", "1001"), "OTHER")
    draft = called.rogue.soap_draft(message(server=other).raw)
    await called.refuses(draft, f"{GROUP}invalid_security_server")


async def test_attachments_are_kept_only_for_those_who_may_call(
    called: provider_stage.Stage,
) -> None:
    """The refusal comes while attachments are still on their way: nobody waits for them."""
    asked = Envelope(service=ServiceId(PROVIDER, "nosuch"), message_id="early")
    draft = called.rogue.soap_draft(asked.raw, [Part("a/b", bytes(1_000_000))])
    wire = draft.http()
    answer = await called.rogue.send_bytes(wire[: len(wire) // 2])
    assert fault_code(answer) == "server.serverproxy.unknown_service"
    await called.kept_nothing(draft)


async def test_row_58_a_request_that_was_received_before(called: provider_stage.Stage) -> None:
    draft = called.rogue.soap_draft(message().raw, [PDF])
    called.system.answer = lambda _: answering(
        answer_to(draft.head), headers=(("Content-Type", SOAP),)
    )
    wire = draft.http()
    first = await called.rogue.send_bytes(wire)
    assert first is not None
    assert len(split_parts(first)) == 2
    again = await called.rogue.send_bytes(
        wire.replace(exchange_id_of(draft).encode(), b"00000000-0000-0000-0000-000000000000")
    )
    assert fault_code(again) == "server.serverproxy.invalid_message"
    assert len(called.system.requests) == 1


@pytest.mark.parametrize("sent", [None, "", "ä" * 3, "x" * 256])
async def test_an_exchange_id_that_cannot_be_kept_is_replaced(
    called: provider_stage.Stage, sent: str | None
) -> None:
    """Nothing covers that header in SOAP, so nothing depends on it."""
    asked = message()
    draft = called.rogue.soap_draft(asked.raw)
    draft.headers.pop("x-road-request-id")
    if sent is not None:
        draft.headers["x-road-request-id"] = sent
    answer = await called.rogue.send(draft)
    assert answer is not None
    assert len(split_parts(answer)) == 2
    kept = await records(called.provider, message_id=asked.message_id)
    assert len({one.exchange_id for one in kept}) == 1
    assert re.fullmatch(r"[0-9a-f-]{36}", kept[0].exchange_id)


@pytest.mark.parametrize("original", ["text/xml", "", "multipart/related", "multipart/mixed;b=c"])
async def test_attachments_need_a_word_of_how_they_were_packed(
    called: provider_stage.Stage, original: str
) -> None:
    draft = called.rogue.soap_draft(message().raw, [PDF])
    draft.headers["x-original-content-type"] = original
    code = fault_code(await called.rogue.send(draft))
    assert code == "server.serverproxy.service_failed.invalid_content_type"
    assert called.system.connections == 0


# --- a consumer's node and a rogue that answers it ------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def consumer(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[consumer_stage.Stage]:
    folder = tmp_path_factory.mktemp("consumer")
    async with consumer_stage.consumer_stage(folder, postgres_server) as found:
        yield found


@pytest.fixture
def calling(consumer: consumer_stage.Stage) -> consumer_stage.Stage:
    consumer.rogue.reset()
    return consumer


async def ask_for(stage: consumer_stage.Stage, request: Envelope) -> RawMessage:
    port = stage.consumer.running.ports["systems http"].number
    headers = [("Host", "x"), ("Content-Type", SOAP), ("Content-Length", str(len(request.raw)))]
    wire = build_head("POST / HTTP/1.1", headers) + request.raw
    answer = await ask("127.0.0.1", port, wire)
    assert answer is not None
    assert answer.status == 200
    return answer


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("others", [(), (PDF,), (PDF, TEXT)], ids=["alone", "one", "two"])
async def test_the_right_answer_is_handed_on(
    calling: consumer_stage.Stage, others: tuple[Part, ...], chained: bool
) -> None:
    asked = message()

    def answer(request: Asked) -> bytes:
        return replace(request.soap_response(others), chained=chained and bool(others)).http()

    calling.rogue.answer = answer
    told = await ask_for(calling, asked)
    (request,) = calling.rogue.asked
    said = request.soap_response().head
    alone = repacked("answer", [Part(SOAP, said), *others]) if others else said
    assert told.body == alone
    kinds = [part.content_type for part in request.parts]
    assert kinds == [OCSP, SOAP, SIGNATURE]
    assert request.head == asked.raw
    assert request.http.first("x-original-content-type") == SOAP
    assert request.http.first("x-original-soapaction") == ""
    assert re.fullmatch(r"[0-9a-f-]{36}", request.http.first("x-road-request-id") or "")


def hashed(edit: Callable[[bytes], bytes]) -> Change:
    """Another requestHash, signed as it is then."""
    pattern = re.compile(rb"<xro:requestHash[^>]*>[^<]*</xro:requestHash>")
    return spoken(lambda data: pattern.sub(lambda match: edit(match[0]), data))


_SERVICE_FAILED = "server.clientproxy.service_failed"
_INCONSISTENT = "server.clientproxy.inconsistent_response"
_FIELDS = f"{_SERVICE_FAILED}.inconsistent_response"
ANSWERS = [
    *(Defect(one.row, one.name, f"server.clientproxy.{one.code}", one.change) for one in TAMPERED),
    Defect(47, "another client", _FIELDS, spoken(swap(b">benefits<", b">taxes<"))),
    Defect(47, "another service", _FIELDS, spoken(
        lambda data: data.replace(b"p:soap", b"p:other").replace(b">soap<", b">other<"))),
    Defect(47, "another id", _FIELDS, spoken(swap(b"<xro:id>peer", b"<xro:id>reep"))),
    Defect(47, "another user", _FIELDS, spoken(swap(b">EX6", b">EX7"))),
    Defect(47, "no user", _FIELDS, spoken(
        lambda data: re.sub(rb"<xro:userId>.*</xro:userId>", b"", data))),
    Defect(47, "an issue", _FIELDS, spoken(swap(b"<xro:id>", b"<xro:issue>1</xro:issue><xro:id>"))),
    Defect(47, "a represented party", _FIELDS, spoken(swap(
        b"<xro:id>", b"<repr:representedParty><repr:partyCode>1</repr:partyCode>"
        b"</repr:representedParty><xro:id>"))),
    Defect(48, "no hash", _INCONSISTENT, hashed(lambda _: b"")),
    Defect(48, "another hash", _INCONSISTENT, hashed(
        lambda found: re.sub(rb">[^<]{8}", b">AAAAAAAA", found))),
    Defect(48, "a hash that is none", _INCONSISTENT, hashed(
        lambda found: re.sub(rb">[^<]+<", b">!<", found))),
    Defect(28, "no signature", "server.clientproxy.missing_signature", without(SIGNATURE)),
    Defect(27, "no message", "server.clientproxy.missing_soap",
        envelope(edit_bytes=lambda _: b"")),
    Defect(27, "a REST message", "server.clientproxy.missing_soap", parts(
        lambda found: [Part("application/x-road-rest-response", b"200\r\nOK\r\n"), found[-1]])),
    Defect(20, "no XML", f"{_SERVICE_FAILED}.invalid_soap", spoken(lambda _: b"<a")),
    Defect(22, "no body", f"{_SERVICE_FAILED}.missing_body", spoken(
        lambda data: re.sub(rb"(?s)<soapenv:Body>.*</soapenv:Body>", b"", data))),
    Defect(13, "an attachment without type", f"{_SERVICE_FAILED}.invalid_content_type", parts(
        lambda found: [found[0], Part(_PART, b"\r\n--x\r\na: b\r\n\r\nc\r\n--x--\r\n"),
                       found[-1]])),
    Defect(14, "OCSP responses in front", f"{_SERVICE_FAILED}.invalid_content_type", parts(
        lambda found: [Part(OCSP, b""), *found])),
    Defect(55, "cut", f"{_SERVICE_FAILED}.mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6], framing="close")),
    Defect(0, "no word of how it was packed", f"{_SERVICE_FAILED}.invalid_content_type",
        http(x_original_content_type=None)),
    Defect(0, "packed otherwise", f"{_SERVICE_FAILED}.invalid_content_type",
        http(x_original_content_type="text/xml")),
    Defect(59, "attachments too large", "server.clientproxy.logging_failed",
        envelope(attachments=[Part("a/b", bytes(1_600_000))] * 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS, ids=str)
async def test_answers(calling: consumer_stage.Stage, case: Defect) -> None:
    def answer(request: Asked) -> bytes:
        draft = request.soap_response([PDF, TEXT])
        case.change(draft, calling.pki)
        return draft.http()

    calling.rogue.answer = answer
    asked = message()
    told = await ask_for(calling, asked)
    assert text_of(told.body, "faultcode") == case.code
    kept = await records(calling.consumer, message_id=asked.message_id)
    assert [one.response for one in kept] == [False]


@pytest.mark.parametrize("forgery", [one for one in FORGERIES if one.name not in _OTHERS], ids=str)
async def test_forged_answers(calling: consumer_stage.Stage, forgery: Defect) -> None:
    def answer(request: Asked) -> bytes:
        draft = request.soap_response([PDF])
        forgery.change(draft, calling.pki)
        return draft.http()

    calling.rogue.answer = answer
    asked = message()
    told = await ask_for(calling, asked)
    code = text_of(told.body, "faultcode")
    assert code == f"server.clientproxy.signature_verification.{forgery.code}"
    kept = await records(calling.consumer, message_id=asked.message_id)
    assert [one.response for one in kept] == [False]


async def test_an_answer_to_another_request(calling: consumer_stage.Stage) -> None:
    """The same header, but not the same content: only the hash tells."""
    asked = message()
    earlier: list[bytes] = []

    def answer(request: Asked) -> bytes:
        earlier.append(request.soap_response().http())
        return earlier[0]

    calling.rogue.answer = answer
    first = await ask_for(calling, asked)
    assert b"requestHash" in first.body
    told = await ask_for(calling, replace(asked, content="<code>2</code>"))
    assert text_of(told.body, "faultcode") == _INCONSISTENT


def bare(_: Asked) -> bytes:
    headers = [("Content-Type", "text/xml; charset=utf-8"), ("Content-Length", str(len(FAULT)))]
    return build_head("HTTP/1.1 200 OK", headers) + FAULT


def instead_of_the_message(request: Asked) -> bytes:
    return replace(request.soap_response(), edit_parts=lambda _: [Part(SOAP, FAULT)]).http()


def instead_of_the_signature(request: Asked) -> bytes:
    draft = request.soap_response([PDF])
    draft.edit_parts = lambda found: [*found[:-1], Part(SOAP, FAULT)]
    return draft.http()


@pytest.mark.parametrize(
    "answer", [bare, instead_of_the_message, instead_of_the_signature], ids=lambda one: one.__name__
)
async def test_faults_of_nodes_pass_byte_for_byte(
    calling: consumer_stage.Stage, answer: Callable[[Asked], bytes]
) -> None:
    calling.rogue.answer = answer
    told = await ask_for(calling, message())
    assert told.body == FAULT
    assert told.first("content-type") == SOAP
    assert told.first("soapaction") == ""
