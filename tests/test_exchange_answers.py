"""What the caller gets: the system's own answer whatever it says, or an error of a node.

Source: messages.md 1, 5.4, 5.7; errors.md 1, 5, 6.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.exchange_stage import OLD_FASHIONED, Stage, exchange_stage, proven
from tests.instance import (
    PROVIDER,
    NodeUnderTest,
)
from tests.raw_http import build_head, connected, read_message
from tests.scene import CLIENT, PATH, answering, call, records, unexpected
from trust.ids import ClientId

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with exchange_stage(tmp_path_factory.mktemp("exchange"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


# --- what the provider's system says is the answer --------------------------------------------


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "400 Bad", "401 No", "404 Not Found", "500 Oops", "503 No"]
)
async def test_any_status_of_the_system_is_its_answer(stage: Stage, status: str) -> None:
    headers = [("Location", stage.system.url + "/other"), ("Content-Type", "text/plain")]
    stage.system.answer = lambda _: answering(b"why", status, headers)
    answer = await call(stage.consumer, "POST", body=b"{}")
    assert (answer.status, answer.body) == (int(status[:3]), b"why")
    assert answer.first("x-road-error") is None
    assert answer.first("location") == stage.system.url + "/other"
    assert len(stage.system.requests) == 1
    await proven(stage, answer, b"{}", b"why")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("refused", "server.serverproxy.network_error"),
        ("unknown", "server.serverproxy.unknown_host"),
        ("slow", "server.serverproxy.io_error"),
    ],
)
async def test_a_system_that_does_not_answer(stage: Stage, code: str, expected: str) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await asyncio.sleep(30)

    stage.system.visit = silent
    message = ("X-Road-Id", f"silent-{code}")
    answer = await call(
        stage.consumer, "GET", f"/r1/{PROVIDER.path}/{code}", headers=(CLIENT, message)
    )
    assert (answer.status, answer.first("x-road-error")) == (500, expected)
    for node in (stage.provider, stage.consumer):
        kept = await records(node, message_id=message[1])
        assert [one.response for one in kept] == [False]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 99_999,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"SMTP ready\r\n\r\n",
    ],
)
async def test_a_system_that_breaks_off_is_asked_once_and_nobody_believes_its_half(
    stage: Stage, said: bytes
) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(said)
        await writer.drain()

    stage.system.visit = visit
    message = ("X-Road-Id", f"broken-{len(said)}-{hash(said)}")
    answer = await call(stage.consumer, "POST", headers=(CLIENT, message), body=b"{}")
    assert answer.status == 500
    code = "network_error" if not said else "io_error"
    assert answer.first("x-road-error") == f"server.serverproxy.{code}"
    assert stage.system.connections == 1
    for node in (stage.provider, stage.consumer):
        kept = await records(node, message_id=message[1])
        assert [one.response for one in kept] == [False]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1100 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_can_not_be_signed_is_an_error(stage: Stage, said: bytes) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(said)
        await writer.drain()

    stage.system.visit = visit
    answer = await call(stage.consumer, "POST", body=b"{}")
    assert answer.first("x-road-error") in (
        "server.serverproxy.internal_error",
        "server.serverproxy.io_error",
    )
    assert stage.system.connections == 1


# --- errors of the nodes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ((), "application/json"),
        (("*/*",), "application/json"),
        (("application/json, application/xml",), "application/xml;charset=utf-8"),
        (("text/*;q=0.1",), "text/xml;charset=utf-8"),
        (("text/html", "TEXT/XML;q=0.5"), "text/xml;charset=utf-8"),
        (("application/xml", "text/xml"), "application/xml;charset=utf-8"),
    ],
)
async def test_errors_are_told_in_json_or_xml(
    stage: Stage, accept: tuple[str, ...], content_type: str
) -> None:
    headers = [CLIENT, *(("Accept", one) for one in accept)]
    for target, code in (
        (f"/r1/{PROVIDER.path}/none", "server.serverproxy.unknown_service"),
        ("/r1/TEST/GOV/1001/none/none", "server.clientproxy.unknown_member"),
    ):
        answer = await call(stage.consumer, "GET", target, headers)
        assert answer.status == 500
        assert answer.first("content-type") == content_type
        assert answer.first("x-road-error") == code
        assert answer.first("server") is None
        if content_type == "application/json":
            told = json.loads(answer.body)
            assert list(told) == ["type", "message", "detail"]
            assert told["type"] == code
        else:
            assert f"<error><type>{code}</type><message>".encode() in answer.body


async def test_errors_to_head_have_no_body(stage: Stage) -> None:
    answer = await call(stage.consumer, "HEAD", f"/r1/{PROVIDER.path}/none")
    assert answer.status == 500
    assert answer.first("x-road-error") == "server.serverproxy.unknown_service"


async def test_who_names_no_client_is_told_so(stage: Stage) -> None:
    answer = await call(stage.consumer, headers=[])
    assert answer.status == 500
    assert answer.first("x-road-error") == "server.clientproxy.invalid_client_identifier"
    assert json.loads(answer.body)["message"] == "The client identifier is missing"


async def test_a_client_that_is_not_hosted_here_is_unknown(stage: Stage) -> None:
    for path in ("TEST/MUN/2001/other", "TEST/MUN/2002/taxes", PROVIDER.path):
        answer = await call(stage.consumer, headers=[("X-Road-Client", path)])
        assert answer.first("x-road-error") == "server.clientproxy.unknown_member"
        assert (
            json.loads(answer.body)["message"] == f"Client '{ClientId.from_header(path)}' not found"
        )


async def test_codes_of_our_own_in_the_spelling_before_7_8(stage: Stage) -> None:
    headers = [("X-Road-Client", OLD_FASHIONED.path)]
    answer = await call(stage.legacy, "GET", "/r1/TEST/GOV/1001/none/none", headers)
    assert answer.first("x-road-error") == "Server.ClientProxy.UnknownMember"
    assert answer.status == 500
    answer = await call(stage.legacy, "GET", PATH, headers)  # the provider's own word stays
    assert answer.first("x-road-error") == "server.serverproxy.access_denied"


# --- HTTP on the systems' side ----------------------------------------------------------------


async def test_who_expects_100_continue_gets_it(stage: Stage) -> None:
    headers = [CLIENT, ("Host", "x"), ("Content-Length", "2"), ("Expect", "100-continue")]
    port = stage.consumer.running.ports["systems http"].number
    async with asyncio.timeout(10), connected("127.0.0.1", port) as (reader, writer):
        writer.write(build_head(f"POST {PATH} HTTP/1.1", headers))
        interim = await reader.readuntil(b"\r\n\r\n")
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert stage.system.connections == 0
        writer.write(b"{}")
        answer = await read_message(reader, answer_to="POST")
    assert answer is not None
    assert answer.status == 200
    assert stage.system.last.body == b"{}"


async def test_many_exchanges_over_one_connection(stage: Stage) -> None:
    port = stage.consumer.running.ports["systems http"].number
    head = build_head(f"POST {PATH} HTTP/1.1", [CLIENT, ("Host", "x"), ("Content-Length", "2")])
    async with asyncio.timeout(10), connected("127.0.0.1", port) as (reader, writer):
        for number in range(5):
            writer.write(head + b"%02d" % number)
            answer = await read_message(reader, answer_to="POST")
            assert answer is not None
            assert answer.status == 200
            assert stage.system.last.body == b"%02d" % number


async def test_what_is_not_below_r1_is_soap(stage: Stage) -> None:
    for method, target, code in (
        ("GET", "/", "client.invalid_http_method"),
        ("GET", "/r2/TEST/GOV/1001/persons/people", "client.invalid_http_method"),
        ("POST", "/", "server.clientproxy.internal_error"),
    ):
        answer = await call(stage.consumer, method, target)
        assert answer.status == 200
        assert answer.first("content-type") == "text/xml; charset=UTF-8"
        assert f"<faultcode>{code}</faultcode>".encode() in answer.body


async def test_fifty_at_once(stage: Stage) -> None:
    bodies = [b"%d" % number * 100 for number in range(50)]
    stage.system.answer = lambda request: answering(request.body)
    answers = await asyncio.gather(*(call(stage.consumer, "POST", body=body) for body in bodies))
    assert [answer.body for answer in answers] == bodies
    assert len({answer.first("x-road-request-id") for answer in answers}) == 50
    for answer, body in zip(answers, bodies, strict=True):
        await proven(stage, answer, body, body)


def empty_spool(node: NodeUnderTest) -> None:
    """Take away the content of the unnamed files that a node keeps bodies in."""
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(node.settings.data / "spool") in os.readlink(file):
                os.truncate(file, 0)


async def test_an_answer_that_fails_after_its_beginning_ends_with_a_cut(stage: Stage) -> None:
    """Its kept body can't be read back; no second answer may follow the first one's half."""
    size = 30_000_000
    stage.system.answer = lambda _: answering(bytes(size))
    port = stage.consumer.running.ports["systems http"].number
    head = build_head(f"GET {PATH} HTTP/1.1", [CLIENT, ("Host", "x")])
    async with asyncio.timeout(30), connected("127.0.0.1", port) as (reader, writer):
        writer.write(head)
        begun = await reader.readuntil(b"\r\n\r\n")
        assert begun.startswith(b"HTTP/1.1 200 OK\r\n")
        empty_spool(stage.consumer)
        rest = await reader.read(-1)
    assert len(rest) < size
    assert b"HTTP/1.1" not in rest
