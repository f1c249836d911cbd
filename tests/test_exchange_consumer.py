"""What a consumer's node refuses: the provider's node does one thing wrong, and the system is told.

Rows are those of transport.md 19. Of what was refused the log has the request that was sent, and
nothing that claims an answer.
"""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
import pytest_asyncio

from node.exchange.outbound import Timeouts
from node.settings import LimitsSettings
from scripts.issuing import Identity
from scripts.postgres import PostgresServer
from tests.drafts import BODY, CHAIN, RESPONSE, SIGNATURE, Draft, Part, request_hash, split_parts
from tests.forged_signatures import FORGERIES, Forgery
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest
from tests.raw_http import RawMessage, build_head, connected, read_message
from tests.scene import CLIENT, PATH, call, records
from tests.simulator import Asked, LivePki, RogueProvider, good_answer, ocsp_http
from trust.certificates import certificate_hash
from trust.ids import ServerId
from trust.ocsp import CertificateStatus
from trust.settings import ByteSize

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUP = "service_failed."
TLS = "ssl_authentication_failed"
CONTENT_TYPE = f"{GROUP}invalid_content_type"
HOUR = timedelta(hours=1)
LARGEST = 3_000_000
_NUMBERS = itertools.count()


def fault(code: str = "server.serverproxy.access_denied", text: str = "No &amp; no") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope'
        ' xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>'
        f"<SOAP-ENV:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>"
        '<faultactor></faultactor><detail><faultDetail xmlns="">its-own-id</faultDetail></detail>'
        "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


@dataclass
class Stage:
    """A real consumer's node and a rogue that is registered as a provider's."""

    instance: Instance
    consumer: NodeUnderTest
    pki: LivePki
    rogue: RogueProvider
    message_id: str = field(default="")

    async def call(
        self, method: str = "GET", target: str = PATH, body: bytes | None = None
    ) -> RawMessage:
        self.message_id = f"call-{next(_NUMBERS)}"
        headers = (CLIENT, ("X-Road-Id", self.message_id))
        return await call(self.consumer, method, target, headers, body)

    async def refuses(
        self, code: str, *, method: str = "GET", body: bytes | None = None, sent: bool = True
    ) -> RawMessage:
        """Call; this code must come, and the log has the request if it was sent, else nothing."""
        answer = await self.call(method, body=body)
        assert answer.first("x-road-error") == f"server.clientproxy.{code}", answer.body
        assert answer.status == 500
        assert json.loads(answer.body)["type"] == f"server.clientproxy.{code}"
        assert answer.first("x-road-request-hash") is None
        kept = await records(self.consumer, message_id=self.message_id)
        assert [one.response for one in kept] == ([False] if sent else [])
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("consumer")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        civil = await instance.add("CIVIL", PROVIDER)
        muni = await instance.add("MUNI", CONSUMER)
        muni.settings = replace(
            muni.settings,
            limits=LimitsSettings(body=ByteSize(LARGEST), memory_body=ByteSize(65_536)),
        )
        await instance.start(muni)
        pki = LivePki.of(instance)
        rogue = RogueProvider(pki, civil, instance.ports)
        await stack.enter_async_context(rogue.listening())
        yield Stage(instance, muni, pki, rogue)


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
async def test_forged_signatures(stage: Stage, forgery: Forgery) -> None:
    def forged(asked: Asked) -> bytes:
        draft = asked.response()
        forgery.change(draft, stage.pki)
        return draft.http()

    stage.rogue.answer = forged
    await stage.refuses(f"signature_verification.{forgery.code}")


# --- whether it is an answer to the request ---------------------------------------------------

Change = Callable[[Draft], None]


@dataclass(frozen=True)
class Refused:
    """One defect of an answer; the code is without the side."""

    row: int
    name: str
    code: str
    change: Change

    def __str__(self) -> str:
        return f"row {self.row} {self.name}"


def header(name: str, value: str | None) -> Change:
    return lambda draft: draft.set_header(name, value)


def envelope(**changes: object) -> Change:
    def change(draft: Draft) -> None:
        for name, value in changes.items():
            setattr(draft, name, value)

    return change


def parts(edit: Callable[[list[Part]], list[Part]]) -> Change:
    return envelope(edit_parts=edit)


def without(kind: str) -> Change:
    return parts(lambda found: [part for part in found if part.content_type != kind])


def retyped(kind: str, other: str | None) -> Change:
    return parts(
        lambda found: [
            Part(other, part.data) if part.content_type == kind else part for part in found
        ]
    )


def status_line(line: str) -> Change:
    return envelope(start=f"HTTP/1.1 {line}")


def http_header(name: str, value: str | None) -> Change:
    def change(draft: Draft) -> None:
        draft.headers.pop(name, None)
        if value is not None:
            draft.headers[name] = value

    return change


def bare(content: bytes, content_type: str = "text/xml; charset=utf-8") -> Change:
    return envelope(content_type=content_type, edit_bytes=lambda _: content)


def lines(edit: Callable[[list[str]], list[str]]) -> Change:
    def change(draft: Draft) -> None:
        draft.lines = edit(draft.lines)

    return change


_HASH = base64.b64encode(request_hash(b"another", None)).decode()
_HEAD = f"{GROUP}internal_error"
_SOAP = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><a/></e:Body>'
    b"</e:Envelope>"
)
_XML = "text/xml; charset=UTF-8"

ANSWERS = (
    Refused(9, "another content type", CONTENT_TYPE, bare(b"{}", "application/json")),
    Refused(9, "another multipart type", CONTENT_TYPE,
        envelope(content_type="multipart/related; boundary={boundary}")),
    Refused(10, "no boundary", CONTENT_TYPE, envelope(content_type="multipart/mixed")),
    Refused(11, "a message of another type", CONTENT_TYPE, retyped(RESPONSE, "text/plain")),
    Refused(11, "a request as an answer", CONTENT_TYPE,
        retyped(RESPONSE, "application/x-road-rest-request")),
    Refused(11, "a message without a type", CONTENT_TYPE, retyped(RESPONSE, None)),
    Refused(11, "an OCSP response in front", CONTENT_TYPE,
        parts(lambda found: [Part("application/ocsp-response", b"x"), *found])),
    Refused(12, "a part after the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, Part(BODY, b"x")])),
    Refused(12, "a fault after the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, Part(_XML, fault())])),
    Refused(13, "no signature at the end", CONTENT_TYPE, retyped(SIGNATURE, "text/plain")),
    Refused(13, "a body of another type", CONTENT_TYPE, retyped(BODY, "application/json")),
    Refused(13, "two bodies", CONTENT_TYPE, parts(lambda found: [*found[:2], *found[1:]])),
    Refused(13, "two messages", CONTENT_TYPE, parts(lambda found: [found[0], *found])),
    Refused(13, "XML that is no fault at the end", CONTENT_TYPE,
        parts(lambda found: [*found[:-1], Part(_XML, _SOAP)])),
    Refused(27, "a SOAP message", "missing_rest",
        parts(lambda found: [Part(_XML, _SOAP), found[-1]])),
    Refused(28, "no signature", "missing_signature", without(SIGNATURE)),
    Refused(28, "nothing but the message", "missing_signature", parts(lambda found: found[:1])),
    Refused(28, "a chain and no signature", "missing_signature",
        parts(lambda found: [*found[:-1], Part(CHAIN, b"<a/>")])),
    Refused(49, "another client", "inconsistent_response",
        header("x-road-client", "TEST/MUN/2001/other")),
    Refused(49, "another member", "inconsistent_response",
        header("x-road-client", CONSUMER.member.path)),
    Refused(49, "no client", "inconsistent_response", header("x-road-client", None)),
    Refused(49, "another service", "inconsistent_response",
        header("x-road-service", "TEST/GOV/1001/persons/other")),
    Refused(49, "another message id", "inconsistent_response", header("x-road-id", "another")),
    Refused(49, "another exchange", "inconsistent_response",
        header("x-road-request-id", "6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22")),
    Refused(49, "no exchange", "inconsistent_response", header("x-road-request-id", None)),
    Refused(49, "the hash of another request", "inconsistent_response",
        header("x-road-request-hash", _HASH)),
    Refused(49, "a hash that is cut", "inconsistent_response",
        header("x-road-request-hash", "AAAA")),
    Refused(50, "no message id", _HEAD, header("x-road-id", None)),
    Refused(50, "no hash", _HEAD, header("x-road-request-hash", None)),
    Refused(50, "a hash that is no base64", _HEAD, header("x-road-request-hash", "?")),
    Refused(50, "a status that is none", _HEAD, lines(lambda found: ["9999", *found[1:]])),
    Refused(50, "an interim status", _HEAD, lines(lambda found: ["101", *found[1:]])),
    Refused(50, "a header that was to be dropped", _HEAD,
        lines(lambda found: [*found, "Transfer-Encoding:chunked"])),
    Refused(50, "a line without colon", _HEAD, lines(lambda found: [*found, "nonsense"])),
    Refused(51, "404", "http_error", status_line("404 Not Found")),
    Refused(51, "301", "http_error", status_line("301 Moved")),
    Refused(51, "204", "http_error", status_line("204 No Content")),
    Refused(51, "503", "http_error", status_line("503 Busy")),
    Refused(52, "no content type", "invalid_content_type", envelope(content_type=None)),
    Refused(53, "XML that is no fault", f"{GROUP}invalid_message", bare(_SOAP)),
    Refused(54, "empty XML", f"{GROUP}invalid_soap", bare(b"")),
    Refused(54, "XML with a DTD", f"{GROUP}invalid_soap", bare(b"<!DOCTYPE a []>" + _SOAP)),
    Refused(54, "XML that breaks off", f"{GROUP}invalid_soap", bare(fault()[:-9])),
    Refused(54, "a fault without a code", f"{GROUP}invalid_soap", bare(fault(""))),
    Refused(54, "an empty multipart", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda _: b"")),
    Refused(55, "no closing delimiter", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6])),
    Refused(55, "no closing delimiter, ended by closing", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6], framing="close")),
    Refused(6, "no hash algorithm", "internal_error", http_header("x-hash-algorithm", None)),
    Refused(6, "a weak hash algorithm", "internal_error", http_header("x-hash-algorithm", "MD5")),
    Refused(59, "a body beyond the limit", "logging_failed",
        envelope(body=bytes(LARGEST + 1))),
    Refused(59, "a signature beyond its limit", f"{GROUP}invalid_message",
        parts(lambda found: [*found[:-1], Part(SIGNATURE, bytes((1 << 20) + 1))])),
    Refused(59, "a fault beyond its limit", f"{GROUP}invalid_soap",
        bare(fault(text="x" * (1 << 20)))),
)  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS, ids=str)
async def test_answers(stage: Stage, case: Refused) -> None:
    def wrong(asked: Asked) -> bytes:
        draft = asked.response()
        case.change(draft)
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
    stage.message_id = f"call-{next(_NUMBERS)}"
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
        bare(fault(code))(draft)
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


# --- broken and slow connections --------------------------------------------------------------


def saying(data: Callable[[Asked], bytes]) -> Callable[[Stage], None]:
    """Say this much to a whole request, then cut the connection."""

    def prepare(stage: Stage) -> None:
        async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            message = await read_message(reader)
            assert message is not None
            writer.write(data(Asked(message, split_parts(message), stage.rogue)))
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()

        stage.rogue.visit = visit

    return prepare


def share(of: float) -> Callable[[Asked], bytes]:
    def data(asked: Asked) -> bytes:
        wire = replace(asked.response(bytes(50_000)), framing="length").http()
        return wire[: int(len(wire) * of)]

    return data


def in_the_head(asked: Asked) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-T"


def in_a_part(asked: Asked) -> bytes:
    wire = asked.response().http()
    return wire[: wire.index(RESPONSE.encode()) + 60]


def without_an_end(asked: Asked) -> bytes:
    """Complete by its delimiters, ended by a cut: only the framing misses its end."""
    return asked.response().http().removesuffix(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (lambda _: b"", "network_error"),
        (in_the_head, "io_error"),
        (in_a_part, f"{GROUP}io_error"),
        (share(0.5), f"{GROUP}io_error"),
        (share(0.999), f"{GROUP}io_error"),
        (without_an_end, f"{GROUP}io_error"),
        (lambda _: b"SSH-2.0-hello\r\n\r\n", "io_error"),
        (lambda asked: good_answer(asked).replace(b"HTTP/1.1", b"HTTP/3.0"), "io_error"),
        (lambda asked: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "io_error"),
    ],
)
async def test_row_54_a_connection_that_is_cut(
    stage: Stage, data: Callable[[Asked], bytes], code: str
) -> None:
    saying(data)(stage)
    await stage.refuses(code)
    assert stage.rogue.connections == 1


async def test_row_54_a_connection_that_is_cut_before_the_request_was_read(stage: Stage) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    stage.rogue.visit = visit
    answer = await stage.call("POST", body=bytes(2_000_000))
    assert answer.first("x-road-error") in (
        "server.clientproxy.network_error",
        "server.clientproxy.io_error",
    )
    kept = await records(stage.consumer, message_id=stage.message_id)
    assert len(kept) <= 1  # it was sent whole, or it was not
    assert stage.rogue.connections == 1


@pytest.fixture
def impatient(stage: Stage) -> Iterator[Stage]:
    """A node that waits half a second for a peer."""
    peers = stage.consumer.running.peers
    before, peers._timeouts = peers._timeouts, Timeouts(read=timedelta(seconds=0.5))
    yield stage
    peers._timeouts = before


@pytest.mark.parametrize("of", [0.0, 0.9])
async def test_a_provider_that_stands_still_is_given_up(impatient: Stage, of: float) -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await read_message(reader)
        assert message is not None
        asked = Asked(message, split_parts(message), impatient.rogue)
        writer.write(share(of)(asked))
        await asyncio.sleep(30)

    impatient.rogue.visit = stalls
    await impatient.refuses(f"{GROUP}io_error" if of else "io_error")


# --- TLS --------------------------------------------------------------------------------------


async def registers(stage: Stage, *identities: Identity) -> None:
    """Make these certificates those of the provider's server, and let the node know."""
    civil = stage.rogue.member
    hashes = (certificate_hash(one.certificate, "sha256") for one in identities)
    civil.entry = replace(civil.entry, auth_cert_hashes=tuple(hashes))
    await stage.instance.publish()


def fresh(stage: Stage, **how: object) -> Identity:
    """A certificate of the provider's server that nobody has seen before."""
    subject = stage.rogue.auth.certificate.subject
    return stage.pki.certify(subject, "auth", label="fresh", **how)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Shown:
    """What is wrong with the certificate or its OCSP responses."""

    name: str
    code: str
    make: Callable[[Stage], Identity] = fresh
    ocsp: Callable[[Stage, Identity], bytes] | None = None  # the OCSP port's whole answer

    def __str__(self) -> str:
        return self.name


def responses(make: Callable[[Stage, Identity], list[bytes]]) -> Callable[[Stage, Identity], bytes]:
    return lambda stage, identity: ocsp_http(make(stage, identity))


def status(**how: object) -> Callable[[Stage, Identity], bytes]:
    return responses(
        lambda stage, shown: [stage.pki.ocsp(shown.certificate, **how)]  # type: ignore[arg-type]
    )


_STATUS = f"{TLS}.invalid_cert_path.cert_validation"
_UNPROVEN = f"{TLS}.internal_error"
_INFO = f"{TLS}.invalid_cert_path.incorrect_validation_info"

SHOWN = (
    Shown("no authentication certificate", TLS,
        lambda stage: stage.pki.certify("no auth", "sign", label="fresh")),
    Shown("expired", f"{TLS}.cannot_create_cert_path", lambda stage: fresh(stage, days=-1)),
    Shown("of a CA that is not approved", _UNPROVEN,
        lambda stage: fresh(stage, issuer=stage.pki.stranger)),
    Shown("self-signed", _UNPROVEN, lambda stage: fresh(stage, issuer=None)),
    Shown("no OCSP response", _UNPROVEN, ocsp=responses(lambda *_: [])),
    Shown("one OCSP response too many", _UNPROVEN,
        ocsp=responses(lambda stage, shown: [stage.pki.ocsp(shown.certificate)] * 2)),
    Shown("OCSP of junk", _STATUS, ocsp=responses(lambda *_: [b"junk"])),
    Shown("an OCSP port that fails", _UNPROVEN, ocsp=lambda *_: (
        b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nnone")),
    Shown("an OCSP port that answers otherwise", _UNPROVEN, ocsp=lambda *_: (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")),
    Shown("an OCSP port that hangs up", _UNPROVEN, ocsp=lambda *_: b""),
    Shown("OCSP of another certificate", _STATUS, ocsp=responses(
        lambda stage, _: [stage.pki.ocsp(stage.rogue.signer.certificate)])),
    Shown("OCSP too old", _INFO, ocsp=status(age=2 * HOUR)),
    Shown("OCSP nextUpdate passed", _INFO, ocsp=status(next_update=-HOUR / 60)),
    Shown("OCSP of the future", _INFO, ocsp=status(age=-HOUR / 6)),
    Shown("OCSP by an unauthorised signer", _INFO, ocsp=responses(
        lambda stage, shown: [stage.pki.ocsp(shown.certificate, signer=stage.pki.stranger)])),
    Shown("OCSP with a bad signature", _INFO, ocsp=responses(
        lambda stage, shown: [stage.pki.damaged_ocsp(shown.certificate)])),
    Shown("revoked", _STATUS, ocsp=status(status=CertificateStatus.REVOKED)),
)  # fmt: skip


@pytest.mark.parametrize("case", SHOWN, ids=str)
async def test_row_19_certificates_that_do_not_count(stage: Stage, case: Shown) -> None:
    identity = case.make(stage)
    await registers(stage, identity)
    stage.rogue.show(identity)
    if case.ocsp is not None:
        said = case.ocsp(stage, identity)
        stage.rogue.ocsp_answer = lambda: said
    await stage.refuses(case.code, sent=False)
    assert stage.rogue.asked == []


async def test_row_19_a_certificate_that_is_registered_for_another_server(stage: Stage) -> None:
    await registers(stage, stage.rogue.auth)
    stage.rogue.show(stage.pki.auth(ServerId(PROVIDER.member, "UNREGISTERED")))
    await stage.refuses(TLS, sent=False)
    own = next(one for one in stage.consumer.keys.entries if one.use == "auth")
    assert own.certificate is not None
    stage.rogue.show(Identity(own.certificate, own.key))  # of a server without this provider
    await stage.refuses(TLS, sent=False)
    stage.rogue.show(stage.rogue.auth)
    assert (await stage.call()).status == 200


async def test_row_19_no_tls_at_all(stage: Stage) -> None:
    stage.rogue.listener.replace(None)
    await stage.refuses(TLS, sent=False)


# --- before anything is sent ------------------------------------------------------------------


async def test_row_60_where_a_request_can_not_go(stage: Stage) -> None:
    await registers(stage, stage.rogue.auth)
    civil = stage.rogue.member
    nowhere = "/r1/TEST/GOV/1001/nobody/people"
    for target, server, maintenance, code, text in (
        (nowhere, None, None, "unknown_member", "Could not find addresses for service provider "),
        (PATH, "TEST/GOV/1001/CIVIL", None, "", ""),
        (PATH, "TEST/GOV/1001/NONE", None, "invalid_security_server", "Could not find security "),
        (PATH, "TEST/MUN/2001/MUNI", None, "invalid_security_server", "Invalid security server "),
        (PATH, None, "back at noon", "maintenance_mode", "back at noon"),
        (PATH, "TEST/GOV/1001/CIVIL", "", "maintenance_mode", "is in maintenance mode"),
    ):
        if civil.entry.maintenance != maintenance:
            civil.entry = replace(civil.entry, maintenance=maintenance)
            await stage.instance.publish()
        named = () if server is None else (("X-Road-Security-Server", server),)
        message_id = ("X-Road-Id", f"call-{next(_NUMBERS)}")
        answer = await call(stage.consumer, "GET", target, (CLIENT, message_id, *named))
        if not code:
            assert answer.status == 200
            continue
        assert answer.first("x-road-error") == f"server.clientproxy.{code}"
        assert text in json.loads(answer.body)["message"]
        assert await records(stage.consumer, message_id=message_id[1]) == ()
    civil.entry = replace(civil.entry, maintenance=None)
    await stage.instance.publish()
