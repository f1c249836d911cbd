"""What a SOAP call is told when it fails: every code and text, with status 200.

Source: messages.md 1, 3 and 7; errors.md 1 to 7.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import CONSUMER, PROVIDER
from tests.raw_http import Headers, RawMessage, build_head, connected, read_message
from tests.scene import answering, records, unexpected
from tests.soap_messages import STATE, Envelope, answer_to
from tests.soap_stage import LARGEST, TEXT, Stage, packed, soap_stage
from trust.ids import ClientId, ServerId, ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()
FAILED = "server.serverproxy.service_failed"
PACKAGE = "multipart/related; boundary=b"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with soap_stage(tmp_path_factory.mktemp("soap"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.reset()
    return module_stage


def new_id() -> str:
    return f"fault-{next(NUMBERS)}"


def told(answer: RawMessage) -> tuple[str, str]:
    """Code and text of a node's own fault, after a look at every byte around them."""
    assert answer.status == 200
    assert answer.first("content-type") == TEXT
    assert answer.first("content-length") == str(len(answer.body))
    assert answer.first("soapaction") == ""
    found = re.fullmatch(
        '<\\?xml version="1.0" encoding="UTF-8"\\?><SOAP-ENV:Envelope xmlns:SOAP-ENV='
        '"http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><SOAP-ENV:Fault>'
        "<faultcode>([a-z_.]+)</faultcode><faultstring>([^<]*)</faultstring>"
        "<faultactor></faultactor><detail>"
        f'<faultDetail xmlns="">{UUID}</faultDetail></detail>'
        "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>",
        answer.body.decode(),
    )
    assert found is not None, answer.body
    return found[1], found[2].replace("&quot;", '"').replace("&apos;", "'")


async def nothing_happened(stage: Stage, message_id: str) -> None:
    """Neither node kept anything, and the system was not asked."""
    for node in (stage.consumer, stage.provider):
        assert await records(node, message_id=message_id) == ()
    assert stage.system.connections == 0


# --- requests that are none ---------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """A request that fails at its own node, and what it is told."""

    name: str
    code: str
    text: str
    raw: bytes = Envelope(message_id="bad").raw
    content_type: str | None = TEXT
    headers: Headers = (("SOAPAction", '""'),)
    method: str = "POST"


def swapped(old: str, new: str, **changes: object) -> bytes:
    text = Envelope(message_id="bad", **changes).text  # type: ignore[arg-type]
    assert old in text
    return text.replace(old, new).encode()


_BODY_MISSING = re.sub(r"(?s)<soapenv:Body>.*</soapenv:Body>", "", Envelope().text).encode()
_HEADER_MISSING = re.sub(r"(?s)<soapenv:Header>.*</soapenv:Header>", "", Envelope().text).encode()
_ONE_CHILD = "Malformed SOAP message: body must have exactly one child element"
_ROOT = Part(TEXT, Envelope(message_id="bad").raw)
_FAULT = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
    b"<faultcode>code</faultcode><faultstring>sent</faultstring></s:Fault></s:Body></s:Envelope>"
)
BAD = [
    Bad("GET", "client.invalid_http_method",
        "Must use POST request method instead of GET", method="GET"),
    Bad("PROPFIND", "client.invalid_http_method",
        "Must use POST request method instead of PROPFIND", method="PROPFIND"),
    Bad("no content type", "server.clientproxy.internal_error", "Content type may not be null",
        content_type=None),
    Bad("SOAP 1.2", "client.invalid_content_type", "Invalid content type: application/soap+xml",
        content_type="application/soap+xml; charset=utf-8"),
    Bad("multipart/mixed", "client.invalid_content_type", "Invalid content type: multipart/mixed",
        content_type="multipart/mixed; boundary=b"),
    Bad("no type at all", "client.invalid_content_type", "Invalid content type: blah",
        content_type="blah"),
    Bad("no boundary", "client.invalid_content_type",
        "Multipart content type is missing required boundary", content_type="multipart/related"),
    Bad("unquoted action", "client.invalid_soap_action", "Malformed SOAPAction header",
        headers=(("SOAPAction", "urn:x"),)),
    Bad("an action that is no URI", "client.invalid_soap_action", "Malformed SOAPAction header",
        headers=(("SOAPAction", '"a b"'),)),
    Bad("an envelope of SOAP 1.2", "client.invalid_soap",
        "Malformed SOAP message: envelope missing",
        swapped("http://schemas.xmlsoap.org/soap/envelope/",
                "http://www.w3.org/2003/05/soap-envelope")),
    Bad("no header", "client.missing_header", "Malformed SOAP message: header missing",
        _HEADER_MISSING),
    Bad("no body", "client.missing_body", "Malformed SOAP message: body missing", _BODY_MISSING),
    Bad("two children", "client.invalid_body", _ONE_CHILD,
        swapped("</soapenv:Body>", "<second/></soapenv:Body>")),
    Bad("no id", "client.missing_header_field", "Required field 'id' is missing",
        swapped("<xro:id>bad</xro:id>", "")),
    Bad("no version", "client.missing_header_field",
        "Required field 'protocolVersion' is missing",
        swapped("<xro:protocolVersion>4.0</xro:protocolVersion>", "")),
    Bad("twice the id", "client.duplicate_header_field",
        "SOAP header contains duplicate field '{http://x-road.eu/xsd/xroad.xsd}id'",
        Envelope(message_id="bad", more="<xro:id>bad</xro:id>").raw),
    Bad("another version", "client.invalid_protocol_version",
        "Invalid protocol version (supported: 4.x, provided: 5.0)",
        Envelope(message_id="bad", version="5.0").raw),
    Bad("no object type", "client.invalid_xml", "Missing objectType attribute",
        swapped(' iden:objectType="SUBSYSTEM"', "")),
    Bad("a strange object type", "client.invalid_xml", "Unknown objectType: CENTRALSERVICE",
        swapped('iden:objectType="SERVICE"', 'iden:objectType="CENTRALSERVICE"')),
    Bad("another object type", "client.invalid_xml", "Unexpected objectType: MEMBER",
        swapped('iden:objectType="SERVICE"', 'iden:objectType="MEMBER"')),
    Bad("a blank code", "client.internal_error", "'memberCode' must not be blank",
        swapped("<iden:memberCode>2001<", "<iden:memberCode> <")),
    Bad("another wrapper", "client.inconsistent_headers",
        "Malformed SOAP message: service code does not match in header and body",
        Envelope(message_id="bad", wrapper="setState").raw),
    Bad("a fault", "client.code", "sent", _FAULT),
    Bad("a package of nothing", "client.missing_soap",
        "Request does not contain SOAP message", b"", PACKAGE),
    Bad("a package of no parts", "client.missing_soap",
        "Request does not contain SOAP message", b"--b--\r\n", PACKAGE),
    Bad("another root", "client.invalid_content_type", "Invalid content type: multipart/mixed",
        packed("b", [Part("multipart/mixed; boundary=c", b"--c\r\n\r\n--c--")]), PACKAGE),
    Bad("a root without type", "client.invalid_content_type",
        "Could not get content type for part",
        packed("b", [_ROOT]).replace(b"Content-Type", b"Cont-Type"), PACKAGE),
    Bad("an attachment without type", "client.invalid_content_type",
        "Could not get content type for part",
        packed("b", [_ROOT, Part("text/plain", b"x")]).replace(
            b"Content-Type: text/plain", b"Cont-Type: text/plain"), PACKAGE),
    Bad("a cut package", "client.mime_parsing_failed",
        "The multipart message ends without its closing delimiter",
        packed("b", [_ROOT, Part("text/plain", b"x")])[:-6], PACKAGE),
    Bad("a broken field", "client.mime_parsing_failed", "A header field of a part has no name",
        packed("b", [_ROOT, Part("text/plain", b"x", (("a b", "c"),))]), PACKAGE),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
async def test_bad_requests(stage: Stage, bad: Bad) -> None:
    answer = await stage.call(bad.raw, bad.content_type, bad.headers, method=bad.method)
    assert told(answer) == (bad.code, bad.text)
    await nothing_happened(stage, "bad")


@pytest.mark.parametrize(
    "raw",
    [b"", b"nonsense", b"<a>", Envelope().raw[:-5],
     b"<!DOCTYPE a []>" + Envelope(declaration="").raw,
     Envelope().raw + b"<second/>", b"\xff" + Envelope().raw],
    ids=["empty", "text", "open", "cut", "DTD", "two roots", "a stray byte"],
)  # fmt: skip
@pytest.mark.parametrize("package", [False, True])
async def test_what_is_no_xml_is_no_soap(stage: Stage, raw: bytes, package: bool) -> None:
    body = packed("b", [Part(TEXT, raw)]) if package else raw
    answer = await stage.call(body, PACKAGE if package else TEXT)
    assert told(answer)[0] == "client.invalid_soap"
    await nothing_happened(stage, "message-1")


async def test_an_envelope_has_its_bound(stage: Stage) -> None:
    large = Envelope(message_id="bad", content="x" * (4 << 20)).raw
    for body, kind in ((large, TEXT), (packed("b", [Part(TEXT, large)]), PACKAGE)):
        code, text = told(await stage.call(body, kind))
        assert (code, text) == (
            "client.invalid_soap", "The SOAP message is larger than 4194304 bytes"
        )  # fmt: skip
    await nothing_happened(stage, "bad")


async def test_attachments_have_their_bound_together(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    half = Part("a/b", bytes(LARGEST // 2 + 1))
    answer = await stage.call(packed("b", [Part(TEXT, request.raw), half, half]), PACKAGE)
    assert told(answer) == (
        "server.clientproxy.logging_failed", "Message size exceeds maximum loggable size"
    )  # fmt: skip
    await nothing_happened(stage, request.message_id)


async def test_attachments_are_counted(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    many = [Part(TEXT, request.raw), *[Part("a/b", b"x")] * 1001]
    answer = await stage.call(packed("b", many), PACKAGE)
    assert told(answer) == (
        "client.mime_parsing_failed", "The message has more than 1001 parts"
    )  # fmt: skip
    await nothing_happened(stage, request.message_id)


async def test_the_envelope_must_come_in_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte now and then is no progress: the whole envelope has one deadline."""
    consumer = stage.consumer.running.systems_port.consumer
    monkeypatch.setattr(consumer, "patience", consumer.patience / 60)
    port = stage.consumer.running.ports["systems http"].number
    raw = Envelope(message_id=new_id()).raw
    headers = [("Host", "x"), ("Content-Type", TEXT), ("Content-Length", str(len(raw)))]
    async with asyncio.timeout(20), connected("127.0.0.1", port) as (reader, writer):
        writer.write(build_head("POST / HTTP/1.1", headers))
        reading = asyncio.ensure_future(read_message(reader, answer_to="POST"))
        for byte in raw:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
            if reading.done():
                break
        answer = await reading
    assert answer is not None
    assert told(answer) == (
        "server.clientproxy.internal_error", "Reading SOAP from request timed out"
    )  # fmt: skip


# --- who asks whom ------------------------------------------------------------------------------

NOBODY = ClientId("TEST", "GOV", "9999", "nobody")
STRANGER = ClientId("TEST", "MUN", "2001", "strangers")


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (Envelope(client=STRANGER), "unknown_member", f"Client '{STRANGER}' not found"),
        (Envelope(service=ServiceId(NOBODY, "getState")), "unknown_member",
         f'Could not find addresses for service provider "{ServiceId(NOBODY, "getState")}"'),
        (Envelope(server=ServerId(PROVIDER.member, "NONE")), "invalid_security_server",
         'Could not find security server "SERVER:TEST/GOV/1001/NONE"'),
        (Envelope(server=ServerId(CONSUMER.member, "MUNI")), "invalid_security_server",
         'Invalid security server "SERVER:TEST/MUN/2001/MUNI"'),
    ],
    ids=["client", "provider", "no server", "another server"],
)  # fmt: skip
async def test_what_the_consumer_s_node_refuses(
    stage: Stage, request_: Envelope, code: str, text: str
) -> None:
    request = replace(request_, message_id=new_id())
    answer = await stage.call(request.raw)
    assert told(answer) == (f"server.clientproxy.{code}", text)
    await nothing_happened(stage, request.message_id)


@pytest.mark.parametrize(
    ("service", "code", "text"),
    [
        ("nosuch/v1", "unknown_service",
         "Unknown service: SERVICE:TEST/GOV/1001/persons/nosuch/v1"),
        ("getState/v2", "unknown_service",
         "Unknown service: SERVICE:TEST/GOV/1001/persons/getState/v2"),
        ("rest", "service_type",
         "Service is a REST service and cannot be called using SOAP interface"),
        ("closed/v1", "access_denied",
         "Request is not allowed: SERVICE:TEST/GOV/1001/persons/closed/v1"),
        ("disabled/v1", "service_disabled",
         "Service SERVICE:TEST/GOV/1001/persons/disabled/v1 is disabled: moved house"),
        ("nowhere/v1", "service_missing_url",
         "Service address not specified for 'SERVICE:TEST/GOV/1001/persons/nowhere/v1'"),
        ("gopher/v1", "service_malformed_url",
         "Malformed service address 'gopher://127.0.0.1/': no http or https address"),
        ("refused/v1", "service_failed.network_error", "Could not connect: Connection refused"),
        ("unknown/v1", "service_failed.unknown_host", "The host name is not known"),
        ("untrusted/v1", "service_failed.ssl_authentication_failed",
         "Client 'SUBSYSTEM:TEST/GOV/1001/persons' has no IS certificates"),
    ],
)  # fmt: skip
async def test_what_the_provider_s_node_refuses(
    stage: Stage, service: str, code: str, text: str
) -> None:
    name, _, version = service.partition("/")
    request = Envelope(service=ServiceId(PROVIDER, name, version or None), message_id=new_id())
    answer = await stage.call(request.raw)
    assert told(answer) == (f"server.serverproxy.{code}", text)
    assert stage.system.connections == 0
    kept = await records(stage.consumer, message_id=request.message_id)
    assert [one.response for one in kept] == [False]


# --- what systems must not answer ---------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """An answer of a system that is none, and what the consumer is told."""

    name: str
    code: str
    body: bytes = answer_to(Envelope().raw)
    content_type: str | None = TEXT
    status: str = "200 OK"
    text: str | None = None


def changed(old: str, new: str) -> bytes:
    text = answer_to(Envelope().raw).decode()
    assert old in text
    return text.replace(old, new).encode()


_ANSWER = Part(TEXT, answer_to(Envelope().raw))
SAID = [
    Said("404", f"{FAILED}.http_error", status="404 Not Found",
         text="Server responded with error 404: Not Found"),
    Said("400 with a fault", f"{FAILED}.http_error", _FAULT, status="400 Bad Request"),
    Said("204", f"{FAILED}.http_error", b"", None, "204 No Content"),
    Said("302", f"{FAILED}.http_error", status="302 Found"),
    Said("202", f"{FAILED}.http_error", b"", status="202 Accepted"),
    Said("no content type", f"{FAILED}.invalid_content_type", content_type=None,
         text="Could not get content type from response"),
    Said("another type", f"{FAILED}.invalid_content_type", content_type="text/html",
         text="Invalid content type: text/html"),
    Said("SOAP 1.2", f"{FAILED}.invalid_content_type", content_type="application/soap+xml"),
    Said("nothing", f"{FAILED}.invalid_soap", b""),
    Said("no XML", f"{FAILED}.invalid_soap", b"Bad gateway"),
    Said("a DTD", f"{FAILED}.invalid_soap", b"<!DOCTYPE a []>" + _ANSWER.data[39:]),
    Said("no header", f"{FAILED}.missing_header", _HEADER_MISSING),
    Said("no body", f"{FAILED}.missing_body", _BODY_MISSING),
    Said("no id", f"{FAILED}.missing_header_field", changed("<xro:id>message-1</xro:id>", "")),
    Said("two bodies", f"{FAILED}.invalid_body", changed("</soapenv:Body>", "<a/></soapenv:Body>")),
    Said("another wrapper", f"{FAILED}.inconsistent_headers", changed("p:getState", "p:setState")),
    Said("a package of nothing", f"{FAILED}.invalid_message", b"", PACKAGE,
         text="No response message received from service"),
    Said("a package without type", f"{FAILED}.invalid_content_type",
         packed("b", [_ANSWER]).replace(b"Content-Type", b"Type"), PACKAGE),
    Said("a cut package", f"{FAILED}.mime_parsing_failed", packed("b", [_ANSWER])[:-6], PACKAGE),
    Said("a package cut in an attachment", f"{FAILED}.mime_parsing_failed",
         packed("b", [_ANSWER, Part("a/b", b"x" * 100)])[:-50], PACKAGE),
    Said("an attachment without type", f"{FAILED}.invalid_content_type",
         packed("b", [_ANSWER, Part("a/b", b"x")]).replace(b"Content-Type: a", b"Type: a"),
         PACKAGE),
    Said("an envelope too large", f"{FAILED}.invalid_soap", changed("õ1", "x" * (4 << 20))),
    Said("attachments too large", "server.serverproxy.logging_failed",
         packed("b", [_ANSWER, *[Part("a/b", bytes(LARGEST // 2 + 1))] * 2]), PACKAGE),
    Said("another client", "server.clientproxy.service_failed.inconsistent_response",
         changed("<iden:subsystemCode>benefits<", "<iden:subsystemCode>other<"),
         text="Response from server proxy is not consistent with request"),
    Said("another service version", "server.clientproxy.service_failed.inconsistent_response",
         changed("<iden:serviceVersion>v1<", "<iden:serviceVersion>v2<")),
    Said("another id", "server.clientproxy.service_failed.inconsistent_response",
         changed("message-1", "message-2")),
    Said("no user", "server.clientproxy.service_failed.inconsistent_response",
         changed("<xro:userId>EX60001019906</xro:userId>", "")),
    Said("an issue", "server.clientproxy.service_failed.inconsistent_response",
         changed("</xro:id>", "</xro:id><xro:issue>1</xro:issue>")),
]  # fmt: skip


@pytest.mark.parametrize("said", SAID, ids=[said.name for said in SAID])
async def test_answers_of_systems_that_are_none(stage: Stage, said: Said) -> None:
    headers = () if said.content_type is None else (("Content-Type", said.content_type),)
    stage.system.answer = lambda _: answering(said.body, said.status, headers)
    code, text = told(await stage.call(Envelope().raw))
    assert code == said.code
    assert said.text in (None, text)


async def test_a_system_that_hangs_up(stage: Stage) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)

    stage.system.visit = hang_up
    code, _ = told(await stage.call(Envelope().raw))
    assert code == f"{FAILED}.network_error"


async def test_a_system_that_says_nothing_in_time(stage: Stage) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await asyncio.sleep(20)

    stage.system.visit = say_nothing
    request = Envelope(service=replace(STATE, service_code="slow"))
    assert told(await stage.call(request.raw)) == (f"{FAILED}.io_error", "Read timed out")


async def test_old_systems_may_get_the_old_spelling(stage: Stage) -> None:
    consumer = stage.consumer.running.systems_port.consumer
    current = consumer.dialect
    consumer.dialect = replace(current, snake_case_faults=False)
    try:
        answer = await stage.call(b"<a/>")
    finally:
        consumer.dialect = current
    assert b"<faultcode>Client.InvalidSoap</faultcode>" in answer.body
