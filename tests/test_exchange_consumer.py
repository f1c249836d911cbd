"""What a consumer's node refuses: the provider's node does one thing wrong, and the system is told.

Rows are those of transport.md 19. Of what was refused the log has the request that was sent, and
nothing that claims an answer.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.consumer_stage import LARGEST, NUMBERS, Stage, consumer_stage
from tests.defects import (
    CONTENT_TYPE,
    GROUP,
    Change,
    Defect,
    envelope,
    header,
    lines,
    parts,
    retyped,
    without,
)
from tests.drafts import BODY, CHAIN, RESPONSE, SIGNATURE, Draft, Part, request_hash
from tests.forged_signatures import FORGERIES
from tests.instance import CONSUMER
from tests.raw_http import RawMessage, build_head, connected, read_message
from tests.scene import CLIENT, PATH, call, records, unexpected
from tests.simulator import Asked, LivePki, good_answer
from tests.soap_messages import Envelope

pytestmark = pytest.mark.asyncio(loop_scope="module")


def fault(code: str = "server.serverproxy.access_denied", text: str = "No &amp; no") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope'
        ' xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>'
        f"<SOAP-ENV:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>"
        '<faultactor></faultactor><detail><faultDetail xmlns="">its-own-id</faultDetail></detail>'
        "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with consumer_stage(tmp_path_factory.mktemp("consumer"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.rogue.reset()
    return module_stage


async def test_the_right_answer_is_handed_on(stage: Stage) -> None:
    """What all refusals are measured by: without a defect the same answer passes."""

    def chained(asked: Asked) -> bytes:
        return replace(asked.response(), chained=True).http()

    def bodiless(asked: Asked) -> bytes:
        return asked.response(None, 204).http()

    def framed(framing: str) -> Callable[[Asked], bytes]:
        return lambda asked: replace(asked.response(), framing=framing).http()

    for answer in (good_answer, chained, bodiless, framed("length"), framed("close")):
        stage.rogue.answer = answer
        for body in (None, b"{}"):
            told = await stage.call("POST", body=body)
            assert (told.status, told.body) in ((200, b'{"id":7}'), (204, b""))
            assert told.first("x-road-error") is None
            kept = await records(stage.consumer, message_id=stage.message_id)
            assert [one.response for one in kept] == [False, True]
            assert kept[0].message == stage.rogue.asked[-1].head


# --- signatures -------------------------------------------------------------------------------


@pytest.mark.parametrize("forgery", FORGERIES, ids=str)
async def test_forged_signatures(stage: Stage, forgery: Defect) -> None:
    def forged(asked: Asked) -> bytes:
        draft = asked.response()
        forgery.change(draft, stage.pki)
        return draft.http()

    stage.rogue.answer = forged
    await stage.refuses(f"signature_verification.{forgery.code}")


# --- whether it is an answer to the request ---------------------------------------------------


def status_line(line: str) -> Change:
    return envelope(start=f"HTTP/1.1 {line}")


def http_header(name: str, value: str | None) -> Change:
    def change(draft: Draft, _: LivePki) -> None:
        draft.headers.pop(name, None)
        if value is not None:
            draft.headers[name] = value

    return change


def bare(content: bytes, content_type: str = "text/xml; charset=utf-8") -> Change:
    return envelope(content_type=content_type, edit_bytes=lambda _: content)


_HASH = base64.b64encode(request_hash(b"another", None)).decode()
_HEAD = f"{GROUP}internal_error"
_SOAP = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><a/></e:Body>'
    b"</e:Envelope>"
)
_XML = "text/xml; charset=UTF-8"

ANSWERS = (
    Defect(9, "another content type", CONTENT_TYPE, bare(b"{}", "application/json")),
    Defect(9, "another multipart type", CONTENT_TYPE,
        envelope(content_type="multipart/related; boundary={boundary}")),
    Defect(10, "no boundary", CONTENT_TYPE, envelope(content_type="multipart/mixed")),
    Defect(11, "a message of another type", CONTENT_TYPE, retyped(RESPONSE, "text/plain")),
    Defect(11, "a request as an answer", CONTENT_TYPE,
        retyped(RESPONSE, "application/x-road-rest-request")),
    Defect(11, "a message without a type", CONTENT_TYPE, retyped(RESPONSE, None)),
    Defect(11, "an OCSP response in front", CONTENT_TYPE,
        parts(lambda found: [Part("application/ocsp-response", b"x"), *found])),
    Defect(12, "a part after the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, Part(BODY, b"x")])),
    Defect(12, "a fault after the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, Part(_XML, fault())])),
    Defect(13, "no signature at the end", CONTENT_TYPE, retyped(SIGNATURE, "text/plain")),
    Defect(13, "a body of another type", CONTENT_TYPE, retyped(BODY, "application/json")),
    Defect(13, "two bodies", CONTENT_TYPE, parts(lambda found: [*found[:2], *found[1:]])),
    Defect(13, "two messages", CONTENT_TYPE, parts(lambda found: [found[0], *found])),
    Defect(13, "XML that is no fault at the end", CONTENT_TYPE,
        parts(lambda found: [*found[:-1], Part(_XML, _SOAP)])),
    Defect(27, "a SOAP message", "missing_rest",
        parts(lambda found: [Part(_XML, _SOAP), found[-1]])),
    Defect(28, "no signature", "missing_signature", without(SIGNATURE)),
    Defect(28, "nothing but the message", "missing_signature", parts(lambda found: found[:1])),
    Defect(28, "a chain and no signature", "missing_signature",
        parts(lambda found: [*found[:-1], Part(CHAIN, b"<a/>")])),
    Defect(49, "another client", "inconsistent_response",
        header("x-road-client", "TEST/MUN/2001/other")),
    Defect(49, "another member", "inconsistent_response",
        header("x-road-client", CONSUMER.member.path)),
    Defect(49, "no client", "inconsistent_response", header("x-road-client", None)),
    Defect(49, "another service", "inconsistent_response",
        header("x-road-service", "TEST/GOV/1001/persons/other")),
    Defect(49, "another message id", "inconsistent_response", header("x-road-id", "another")),
    Defect(49, "another exchange", "inconsistent_response",
        header("x-road-request-id", "6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22")),
    Defect(49, "no exchange", "inconsistent_response", header("x-road-request-id", None)),
    Defect(49, "the hash of another request", "inconsistent_response",
        header("x-road-request-hash", _HASH)),
    Defect(49, "a hash that is cut", "inconsistent_response",
        header("x-road-request-hash", "AAAA")),
    Defect(50, "no message id", _HEAD, header("x-road-id", None)),
    Defect(50, "no hash", _HEAD, header("x-road-request-hash", None)),
    Defect(50, "a hash that is no base64", _HEAD, header("x-road-request-hash", "?")),
    Defect(50, "a status that is none", _HEAD, lines(lambda found: ["9999", *found[1:]])),
    Defect(50, "an interim status", _HEAD, lines(lambda found: ["101", *found[1:]])),
    Defect(50, "a header that was to be dropped", _HEAD,
        lines(lambda found: [*found, "Transfer-Encoding:chunked"])),
    Defect(50, "a line without colon", _HEAD, lines(lambda found: [*found, "nonsense"])),
    Defect(51, "404", "http_error", status_line("404 Not Found")),
    Defect(51, "301", "http_error", status_line("301 Moved")),
    Defect(51, "204", "http_error", status_line("204 No Content")),
    Defect(51, "503", "http_error", status_line("503 Busy")),
    Defect(52, "no content type", "invalid_content_type", envelope(content_type=None)),
    Defect(53, "a message that is no fault", f"{GROUP}invalid_message", bare(Envelope().raw)),
    Defect(53, "an envelope that is no message", f"{GROUP}missing_header", bare(_SOAP)),
    Defect(54, "empty XML", f"{GROUP}invalid_soap", bare(b"")),
    Defect(54, "XML with a DTD", f"{GROUP}invalid_soap", bare(b"<!DOCTYPE a []>" + _SOAP)),
    Defect(54, "XML that breaks off", f"{GROUP}invalid_soap", bare(fault()[:-9])),
    Defect(54, "a fault without a code", f"{GROUP}invalid_soap", bare(fault(""))),
    Defect(54, "an empty multipart", "missing_rest", envelope(edit_bytes=lambda _: b"")),
    Defect(55, "no closing delimiter", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6])),
    Defect(55, "no closing delimiter, ended by closing", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6], framing="close")),
    Defect(6, "no hash algorithm", "internal_error", http_header("x-hash-algorithm", None)),
    Defect(6, "a weak hash algorithm", "internal_error", http_header("x-hash-algorithm", "MD5")),
    Defect(59, "a body beyond the limit", "logging_failed",
        envelope(body=bytes(LARGEST + 1))),
    Defect(59, "a signature beyond its limit", f"{GROUP}invalid_message",
        parts(lambda found: [*found[:-1], Part(SIGNATURE, bytes((1 << 20) + 1))])),
    Defect(59, "a fault beyond its limit", f"{GROUP}invalid_message",
        bare(fault(text="x" * (1 << 20)))),
)  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS, ids=str)
async def test_answers(stage: Stage, case: Defect) -> None:
    def wrong(asked: Asked) -> bytes:
        draft = asked.response()
        case.change(draft, stage.pki)
        return draft.http()

    stage.rogue.answer = wrong
    await stage.refuses(case.code)
    assert len(stage.rogue.asked) == 1  # whatever went wrong, the request is not sent again


async def test_row_49_an_answer_of_another_exchange(stage: Stage) -> None:
    """Replayed: signed by the right member, fresh, and an answer to what was asked before."""
    before: list[bytes] = []

    def replaying(asked: Asked) -> bytes:
        before.append(good_answer(asked))
        return before[0]

    stage.rogue.answer = replaying
    assert (await stage.call()).status == 200
    await stage.refuses("inconsistent_response")


async def test_row_49_answers_that_are_swapped(stage: Stage) -> None:
    waiting: list[Asked] = []
    both = asyncio.Event()

    async def swapping(asked: Asked) -> bytes:
        waiting.append(asked)
        if len(waiting) == 2:
            both.set()
        await both.wait()
        return good_answer(waiting[1] if asked is waiting[0] else waiting[0])

    stage.rogue.answer = swapping
    answers = await asyncio.gather(*(call(stage.consumer) for _ in range(2)))
    codes = {answer.first("x-road-error") for answer in answers}
    assert codes == {"server.clientproxy.inconsistent_response"}


@pytest.mark.parametrize("complete", [False, True])
async def test_an_answer_that_comes_before_the_request_was_sent(
    stage: Stage, complete: bool
) -> None:
    """A provider can't answer what has no signature yet, however well its answer fits."""
    sent = asyncio.Event()
    answered = asyncio.Event()
    piece = b"x" * 3000

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        boundary = head.partition(b"boundary=")[2].partition(b"\r\n")[0]
        data = b""
        while piece not in data:
            data += await reader.read(1 << 16)
        chunks = data.replace(b"\r\n0", b"")
        start = chunks.index(b"POST\r\n")
        message = chunks[start : chunks.index(b"\r\n--" + boundary, start)]
        asked = Asked(
            RawMessage("POST / HTTP/1.1", []),
            [Part("application/x-road-rest-request", message), Part(BODY, piece)],
            stage.rogue,
        )
        draft = asked.response()
        if not complete:
            del draft.headers["Connection"]
        writer.write(replace(draft, framing="length").http())
        await writer.drain()
        answered.set()
        await sent.wait()

    stage.rogue.visit = early
    stage.message_id = f"call-{next(NUMBERS)}"
    port = stage.consumer.running.ports["systems http"].number
    async with asyncio.timeout(20), connected("127.0.0.1", port) as (reader, writer):
        headers = (
            CLIENT,
            ("Host", "x"),
            ("X-Road-Id", stage.message_id),
            ("Content-Length", "6000"),
        )
        writer.write(build_head(f"POST {PATH} HTTP/1.1", headers) + piece)
        await answered.wait()
        answer = await read_message(reader, answer_to="POST")
    sent.set()
    assert answer is not None
    assert answer.first("x-road-error") == "server.clientproxy.inconsistent_response"
    assert await records(stage.consumer, message_id=stage.message_id) == ()


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("server.serverproxy.access_denied", 500),
        ("Server.ServerProxy.AccessDenied", 500),  # a peer before 7.8; X-Road answers 400
        ("client.something", 400),
        ("CODE", 400),
        ("server.clientproxy.service_failed.io_error", 500),
    ],
)
async def test_faults_of_the_provider_are_passed_on_unchanged(
    stage: Stage, code: str, status: int
) -> None:
    def part(edit: Callable[[list[Part]], list[Part]]) -> Callable[[Asked], bytes]:
        return lambda asked: replace(asked.response(), edit_parts=edit).http()

    def alone(asked: Asked) -> bytes:
        draft = asked.response()
        bare(fault(code))(draft, stage.pki)
        return draft.http()

    def alone_with_500(asked: Asked) -> bytes:
        return alone(asked).replace(b"200 OK", b"500 Server Error")

    told = Part(_XML, fault(code))
    for answer in (
        alone,
        alone_with_500,
        part(lambda _: [told]),
        part(lambda found: [found[0], told]),
        part(lambda found: [*found[:-1], told]),
    ):
        stage.rogue.answer = answer
        answered = await stage.call()
        assert answered.status == status
        assert answered.first("x-road-error") == code
        assert json.loads(answered.body) == {
            "type": code,
            "message": "No & no",
            "detail": "its-own-id",
        }
        kept = await records(stage.consumer, message_id=stage.message_id)
        assert [one.response for one in kept] == [False]


async def test_a_fault_that_comes_while_a_large_body_is_still_being_sent(stage: Stage) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        content = fault("server.serverproxy.service_failed.unknown_member")
        headers = [("Content-Type", _XML), ("Content-Length", str(len(content)))]
        writer.write(build_head("HTTP/1.1 200 OK", headers) + content)
        await writer.drain()
        while await reader.read(1 << 16):
            pass

    stage.rogue.visit = early
    answer = await stage.call("POST", body=bytes(2_500_000))
    code = "server.serverproxy.service_failed.unknown_member"
    assert answer.first("x-road-error") == code
    assert stage.rogue.connections == 1


async def test_the_words_of_a_fault_can_not_break_out_of_their_place(stage: Stage) -> None:
    code = "server.x&#13;&#10;X-Evil: 1&lt;&quot;"

    def evil(asked: Asked) -> bytes:
        draft = asked.response()
        bare(fault(code, "&lt;b&gt;&#13;&#10;&quot;"))(draft, stage.pki)
        return draft.http()

    stage.rogue.answer = evil
    answer = await stage.call()
    assert answer.first("x-evil") is None
    assert answer.first("x-road-error") == 'server.x_X-Evil:_1<"'
    assert json.loads(answer.body)["message"] == '<b>\r\n"'
    headers = (CLIENT, ("Accept", "text/xml"))
    answer = await call(stage.consumer, headers=headers)
    assert b"<message>&lt;b&gt;" in answer.body
