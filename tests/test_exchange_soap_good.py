"""SOAP exchanges through two real nodes, byte for byte: what arrives, comes back and is kept.

Source: messages.md 1, 3 and 4; transport.md 5, 6, 8.
"""

import asyncio
import hashlib
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import CONSUMER
from tests.raw_http import Headers, ask, build_head, chunked, connected, read_message
from tests.scene import answering, records, unexpected
from tests.soap_messages import STATE, Envelope, answer_to
from tests.soap_stage import (
    LARGEST,
    TEXT,
    Stage,
    packed,
    proven,
    repacked,
    soap_stage,
    without_hash,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()


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
    return f"soap-{next(NUMBERS)}"


def soap_answering(body: bytes, content_type: str = TEXT, status: str = "200 OK") -> bytes:
    return answering(body, status, (("Content-Type", content_type),))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_message_reaches_the_system_and_its_answer_comes_back(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    answer = await stage.call(request.raw)
    assert answer.status == 200
    assert answer.first("content-type") == TEXT
    assert answer.first("content-length") == str(len(answer.body))
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    asked = stage.system.last
    assert asked.body == request.raw
    assert asked.start == "POST /api HTTP/1.1"
    assert [(name.lower(), value) for name, value in asked.headers] == [
        ("host", f"127.0.0.1:{stage.system.port}"),
        ("content-type", TEXT),
        ("soapaction", '""'),
        ("accept-encoding", ""),
        ("transfer-encoding", "chunked"),
    ]
    kept, answered = await proven(stage, request.message_id, [], [])
    assert kept.message == request.raw
    assert answered.message == answer.body


# --- what the port takes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/cgi-bin/consumer_proxy",
        "/any/path?with=query",
        "/r1",
        "/r2/TEST/GOV/1001/persons/getState",
        "/asic",
        "http://example.org/xroad-endpoint",
        "HTTP://example.org:81",
    ],
)
async def test_path_query_and_host_say_nothing(stage: Stage, target: str) -> None:
    request = Envelope(message_id=new_id())
    answer = await stage.call(request.raw, target=target)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    assert stage.system.last.start == "POST /api HTTP/1.1"


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ((), ""),
        ((("SOAPAction", ""),), ""),
        ((("SOAPAction", '""'),), '""'),
        ((("soapaction", '"urn:getState#1"'),), '"urn:getState#1"'),
        ((("SOAPAction", '"http://x.example/a%20b?c=d"'),), '"http://x.example/a%20b?c=d"'),
    ],
)
async def test_the_soap_action_passes_as_it_is(stage: Stage, sent: Headers, received: str) -> None:
    request = Envelope(message_id=new_id())
    answer = await stage.call(request.raw, headers=sent)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    assert stage.system.last.first("soapaction") == received


@pytest.mark.parametrize(
    "content_type",
    ["text/xml", "TEXT/XML;charset=utf-8", 'text/xml; charset="UTF-8"; action="x"',
     "application/xop+xml", 'application/xop+xml; type="text/xml"; charset=UTF-8'],
)  # fmt: skip
async def test_a_lone_envelope_arrives_as_text_xml(stage: Stage, content_type: str) -> None:
    request = Envelope(message_id=new_id())
    answer = await stage.call(request.raw, content_type)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    assert stage.system.last.first("content-type") == TEXT


@pytest.mark.parametrize(
    "raw",
    [
        "\ufeff".encode() + Envelope().raw,
        Envelope(declaration="").raw,
        Envelope(declaration="\n  ").raw,
        Envelope(declaration='<?xml version="1.0" encoding="ISO-8859-1"?>').text.encode("latin-1"),
        Envelope(declaration='<?xml version="1.0" encoding="UTF-16"?>').text.encode("utf-16"),
        Envelope(declaration="<!-- a note --><?note ?>", content="<![CDATA[<&]]>&#233;").raw,
        Envelope(more='<x:other xmlns:x="urn:x" soapenv:mustUnderstand="1">1</x:other>').raw,
        Envelope(wrapper="getStateRequest", content="").raw,
        Envelope(version="4.9").raw,
    ],
    ids=["BOM", "no declaration", "white space in front", "ISO-8859-1", "UTF-16", "comments",
         "other header", "suffix", "version"],
)  # fmt: skip
async def test_the_system_gets_every_byte_of_the_envelope(stage: Stage, raw: bytes) -> None:
    said = answer_to(Envelope().raw)
    stage.system.answer = lambda _: soap_answering(said)
    answer = await stage.call(raw, "text/xml")
    assert without_hash(answer.body, raw) == said
    assert stage.system.last.body == raw


async def test_a_member_calls_too(stage: Stage) -> None:
    request = Envelope(client=CONSUMER.member, message_id=new_id())
    answer = await stage.call(request.raw)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)


async def test_a_service_without_version_is_another_one(stage: Stage) -> None:
    service = replace(STATE, service_version=None)
    request = Envelope(service=service, message_id=new_id())
    answer = await stage.call(request.raw)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)


async def test_what_is_said_of_a_represented_party_comes_back(stage: Stage) -> None:
    party = (
        "<repr:representedParty><repr:partyClass>COM</repr:partyClass>"
        "<repr:partyCode>UNKNOWN</repr:partyCode></repr:representedParty>"
    )
    request = Envelope(more=party, issue="case 7", message_id=new_id())
    answer = await stage.call(request.raw)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)


async def test_a_security_token_is_none_of_the_node_s_business(stage: Stage) -> None:
    token = (
        '<t:securityToken xmlns:t="http://x-road.eu/xsd/security-token.xsd"'
        ' t:tokenType="urn:ietf:params:oauth:token-type:jwt">a.b.c</t:securityToken>'
    )
    request = Envelope(more=token, message_id=new_id())
    said = answer_to(replace(request, more="").raw)
    stage.system.answer = lambda _: soap_answering(said)
    answer = await stage.call(request.raw)
    assert b"a.b.c" in stage.system.last.body
    assert without_hash(answer.body, request.raw) == said


async def test_a_request_may_name_its_server(stage: Stage) -> None:
    request = Envelope(server=stage.provider.server, message_id=new_id())
    answer = await stage.call(request.raw)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)


# --- attachments --------------------------------------------------------------------------------

ROOT = (("Content-ID", "<root>"), ("Content-Transfer-Encoding", "8bit"))
OTHERS = [
    Part("application/pdf", bytes(range(256)) * 3, (("Content-ID", "<one>"),)),
    Part("text/plain; name=b\xe9.txt", b"SGVsbG8h", (("Content-Transfer-Encoding", "base64"),)),
    Part("application/octet-stream", b""),
    Part("text/plain", b"\r\n--other\r\n--uuid:4f1\r\n\r\n"),
    Part("multipart/mixed; boundary=in", b"--in\r\nContent-Type: a/b\r\n\r\nx\r\n--in--"),
]
PACKAGE = 'multipart/related; type="text/xml"; start="<root>"; boundary="uuid:4f1c"'


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
async def test_a_package_reaches_the_system_with_all_its_parts(
    stage: Stage, count: int, end: bytes
) -> None:
    request = Envelope(message_id=new_id())
    parts = [Part("text/xml; charset=UTF-8", request.raw, ROOT), *OTHERS[:count]]
    stage.system.answer = lambda _: soap_answering(answer_to(request.raw))
    answer = await stage.call(packed("uuid:4f1c", parts, end), PACKAGE)
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    assert answer.first("content-type") == TEXT
    assert stage.system.last.first("content-type") == PACKAGE
    assert stage.system.last.body == repacked("uuid:4f1c", parts)
    await proven(stage, request.message_id, [part.data for part in parts[1:]], [])


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_a_package_comes_back_with_all_its_parts(stage: Stage, count: int) -> None:
    request = Envelope(message_id=new_id())
    told = 'multipart/related; type="text/xml"; charset=latin1; boundary="=_a.b"; start-info="x"'
    said = [Part("text/xml", answer_to(request.raw), ROOT), *OTHERS[:count]]
    stage.system.answer = lambda _: soap_answering(packed("=_a.b", said), told)
    answer = await stage.call(request.raw)
    envelope = answer.body.partition(b"\r\n\r\n")[2].partition(b"\r\n--=_a.b")[0]
    assert without_hash(envelope, request.raw) == answer_to(request.raw)
    assert answer.body == repacked("=_a.b", [replace(said[0], data=envelope), *said[1:]])
    assert answer.first("content-type") == (
        'multipart/related; type="text/xml"; boundary="=_a.b"; start-info="x";charset=utf-8'
    )
    assert answer.first("content-length") == str(len(answer.body))
    await proven(stage, request.message_id, [], [part.data for part in said[1:]])


async def test_xop_packages_pass_as_they_are(stage: Stage) -> None:
    request = Envelope(
        message_id=new_id(),
        content='<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:one"/>',
    )
    root = 'application/xop+xml; charset=UTF-8; type="text/xml"'
    package = 'multipart/related; type="application/xop+xml"; start="<root>"; boundary=b'
    parts = [Part(root, request.raw, ROOT), OTHERS[0]]
    said = [Part(root, answer_to(request.raw), ROOT), OTHERS[0]]
    stage.system.answer = lambda _: soap_answering(packed("b", said), package)
    answer = await stage.call(packed("b", parts), package)
    assert stage.system.last.body == repacked("b", parts)
    envelope = answer.body.partition(b"\r\n\r\n")[2].partition(b"\r\n--b\r\n")[0]
    assert without_hash(envelope, request.raw) == answer_to(request.raw)
    assert answer.body == repacked("b", [replace(said[0], data=envelope), said[1]])
    await proven(stage, request.message_id, [OTHERS[0].data], [OTHERS[0].data])


async def test_preamble_epilogue_and_spellings_do_not_survive(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    stage.system.answer = lambda _: soap_answering(answer_to(request.raw))
    body = (
        b"to be ignored\r\n--b \r\nCONTENT-TYPE:text/xml\r\nContent-Id:\r\n  <a>\r\n\r\n"
        + request.raw
        + b"\r\n--b\r\nX-One:1\r\ncontent-type:  a/b  \r\n\r\nx\r\n--b--and more"
    )
    await stage.call(body, "Multipart/Related; boundary=b")
    parts = [
        Part("text/xml", request.raw, (("Content-Id", "<a>"),)),
        Part("a/b", b"x", (("X-One", "1"),)),
    ]
    assert stage.system.last.body == repacked("b", parts)


async def test_large_attachments_stream_both_ways(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    big = [Part("a/b", bytes([number]) * 900_000) for number in range(3)]
    kind = "multipart/related; boundary=b"
    said = packed("b", [Part(TEXT, answer_to(request.raw)), *big])
    stage.system.answer = lambda _: soap_answering(said, kind)
    answer = await stage.call(packed("b", [Part(TEXT, request.raw), *big]), kind)
    asked = stage.system.last.body
    assert digest(asked) == digest(repacked("b", [Part(TEXT, request.raw), *big]))
    envelope = answer.body.partition(b"\r\n\r\n")[2].partition(b"\r\n--b\r\n")[0]
    assert len(answer.body) > LARGEST * 0.9
    assert digest(answer.body) == digest(repacked("b", [Part(TEXT, envelope), *big]))
    data = [part.data for part in big]
    await proven(stage, request.message_id, data, data)


async def test_memory_does_not_grow_with_the_attachments(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty mebibytes there and back, through both nodes, and few of them held at once."""
    running = stage.consumer.running, stage.provider.running
    for node in (running[0].systems_port.consumer, running[1].exchanges.provider):
        monkeypatch.setattr(node, "spool", replace(node.spool, largest=100 << 20))
    raw = Envelope(message_id=new_id()).raw
    stage.system.visit = lambda reader, writer: serve_package(reader, writer, answer_to(raw))
    port = stage.consumer.running.ports["systems http"].number
    async with asyncio.timeout(60), connected("127.0.0.1", port) as (reader, writer):
        tracemalloc.start()
        try:
            await send_package(writer, "POST / HTTP/1.1", raw)
            assert await read_up_to(reader, b"\r\n--b--\r\n") > 60 << 20
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 << 20


async def serve_package(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, envelope: bytes
) -> None:
    assert await read_up_to(reader, b"--b--\r\n\r\n0\r\n\r\n") > 60 << 20
    await send_package(writer, "HTTP/1.1 200 OK", envelope)


async def send_package(writer: asyncio.StreamWriter, start: str, envelope: bytes) -> None:
    """An envelope and three attachments of 20 MiB, a mebibyte at a time."""
    piece, count = bytes(1 << 20), 20
    head = b"--b\r\nContent-Type: text/xml\r\n\r\n" + envelope
    opened, end = b"\r\n--b\r\nContent-Type: a/b\r\n\r\n", b"\r\n--b--\r\n"
    length = len(head) + 3 * (len(opened) + count * len(piece)) + len(end)
    kind = "multipart/related; boundary=b"
    fields = [("Host", "x"), ("Content-Type", kind), ("Content-Length", str(length))]
    writer.write(build_head(start, fields) + head)
    for _ in range(3):
        writer.write(opened)
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
    writer.write(end)
    await writer.drain()


async def read_up_to(reader: asyncio.StreamReader, end: bytes) -> int:
    """How many bytes come up to these last ones."""
    size, last = 0, b""
    while not last.endswith(end):
        data = await reader.read(1 << 16)
        assert data
        size += len(data)
        last = (last + data)[-100:]
    return size


async def test_a_body_in_chunks_is_the_same(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    pieces = [request.raw[start : start + 100] for start in range(0, len(request.raw), 100)]
    headers = [("Host", "x"), ("Content-Type", TEXT), ("Transfer-Encoding", "chunked")]
    port = stage.consumer.running.ports["systems http"].number
    answer = await ask("127.0.0.1", port, build_head("POST / HTTP/1.1", headers) + chunked(*pieces))
    assert answer is not None
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)


# --- what the system may answer -----------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "200 "])
async def test_an_answer_with_status_500_is_an_answer(stage: Stage, status: str) -> None:
    request = Envelope(message_id=new_id())
    stage.system.answer = lambda _: soap_answering(answer_to(request.raw), status=status)
    answer = await stage.call(request.raw)
    assert answer.status == 200
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)


async def test_a_hash_of_the_system_s_is_replaced(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    stale = '<xro:requestHash algorithmId="urn:x">foo</xro:requestHash>'
    said = answer_to(replace(request, more=stale).raw)
    stage.system.answer = lambda _: soap_answering(said)
    answer = await stage.call(request.raw)
    assert b"foo" not in answer.body
    without_hash(answer.body, request.raw)


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("package", [False, True])
async def test_a_fault_of_the_system_is_passed_on_byte_for_byte(
    stage: Stage, status: str, package: bool
) -> None:
    fault = (
        b'<s:Envelope  xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>\n<s:Fault>'
        b"<faultcode>s:Server.No</faultcode><faultstring>j\xc3\xa4\xc3\xa4</faultstring>"
        b"<detail><e:x xmlns:e='urn:e'>7</e:x></detail></s:Fault></s:Body></s:Envelope>  "
    )
    request = Envelope(message_id=new_id())
    body = packed("b", [Part("text/xml", fault), OTHERS[0]]) if package else fault
    kind = "multipart/related; boundary=b" if package else "text/xml"
    stage.system.answer = lambda _: soap_answering(body, kind, status)
    answer = await stage.call(request.raw)
    assert answer.status == 200
    assert answer.body == fault
    assert answer.first("content-type") == TEXT
    assert answer.first("soapaction") == ""
    assert answer.first("content-length") == str(len(fault))
    for node in (stage.consumer, stage.provider):  # nobody signed anything for it
        kept = await records(node, message_id=request.message_id)
        assert [one.response for one in kept] == [False]


async def test_many_calls_over_one_connection(stage: Stage) -> None:
    port = stage.consumer.running.ports["systems http"].number
    async with asyncio.timeout(20), connected("127.0.0.1", port) as (reader, writer):
        for _ in range(5):
            raw = Envelope(message_id=new_id()).raw
            headers = [("Host", "x"), ("Content-Type", TEXT), ("Content-Length", str(len(raw)))]
            writer.write(build_head("POST / HTTP/1.1", headers) + raw)
            answer = await read_message(reader, answer_to="POST")
            assert answer is not None
            assert without_hash(answer.body, raw) == answer_to(raw)


async def test_the_same_message_again_is_another_exchange(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    for _ in range(2):
        answer = await stage.call(request.raw)
        assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    kept = await records(stage.provider, message_id=request.message_id)
    assert len(kept) == 4
    assert len({one.exchange_id for one in kept}) == 2
