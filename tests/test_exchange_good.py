"""A REST exchange through two real nodes, byte for byte: methods, bodies, targets, headers.

Source: messages.md 5, 6 and 8.3; transport.md 6, 9.
"""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from node.log.records import StoredRecord
from scripts.postgres import PostgresServer
from tests.exchange_stage import STRANGE, Stage, exchange_stage, proven
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
)
from tests.raw_http import ask, build_head, chunked, read_message
from tests.scene import CLIENT, PATH, answering, call, unexpected

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
X_ROAD = [
    "x-road-id",
    "x-road-client",
    "x-road-service",
    "x-road-request-id",
    "x-road-request-hash",
]


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


# --- methods and bodies -----------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, b'{"code":1}'])
@pytest.mark.parametrize("method", METHODS)
async def test_every_method_with_and_without_a_body(
    stage: Stage, method: str, body: bytes | None
) -> None:
    answer = await call(stage.consumer, method, body=body)
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else b'{"id":7}')
    asked = stage.system.last
    assert asked.method == method
    # a body is signed and kept whatever the method, and forwarded for these only
    forwarded = method in ("POST", "PUT", "PATCH")
    assert asked.body == (body or b"" if forwarded else b"")
    length = str(len(body or b"")) if forwarded else None
    assert asked.first("content-length") == length
    assert asked.first("transfer-encoding") is None
    request, _ = await proven(stage, answer, body, None if method == "HEAD" else b'{"id":7}')
    assert request.message.startswith(f"{method}\r\n{PATH}\r\n".encode())


async def test_another_method_is_refused(stage: Stage) -> None:
    answer = await call(stage.consumer, "PROPFIND")
    assert answer.first("x-road-error") == "server.clientproxy.internal_error"
    assert stage.system.requests == []


@pytest.mark.parametrize("size", [1, 65_536, 300_000, 3_000_000])
async def test_bodies_of_all_sizes_both_ways(stage: Stage, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    stage.system.answer = lambda request: answering(request.body[::-1])
    answer = await call(stage.consumer, "POST", body=body)
    assert answer.body == body[::-1]
    assert answer.first("content-length") == str(size)
    assert stage.system.last.body == body
    await proven(stage, answer, body, body[::-1])


async def test_a_chunked_upload_and_a_chunked_answer(stage: Stage) -> None:
    pieces = [b"one", b"two" * 10_000, b"3"]
    head = [CLIENT, ("Host", "x"), ("Transfer-Encoding", "chunked"), ("Content-Type", "text/x")]
    port = stage.consumer.running.ports["systems http"].number
    stage.system.answer = lambda _: (
        build_head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]) + chunked(*pieces)
    )
    wire = build_head(f"POST {PATH} HTTP/1.1", head) + chunked(*pieces)
    answer = await ask("127.0.0.1", port, wire)
    assert answer is not None
    assert answer.body == b"".join(pieces)
    assert stage.system.last.body == b"".join(pieces)
    assert stage.system.last.first("content-length") == str(len(b"".join(pieces)))
    await proven(stage, answer, b"".join(pieces), b"".join(pieces))


async def test_an_answer_that_ends_with_its_connection(stage: Stage) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")

    stage.system.visit = visit
    answer = await call(stage.consumer)
    assert answer.body == b"all of it"
    await proven(stage, answer, None, b"all of it")


@pytest.mark.parametrize(
    ("method", "status", "answered"),
    [
        ("GET", "204 No Content", None),
        ("GET", "304 Not Modified", None),
        ("DELETE", "204 No Content", None),
        ("GET", "200 OK", b""),  # an entity of no bytes is one, too
        ("POST", "201 Created", b""),
    ],
)
async def test_answers_without_content(
    stage: Stage, method: str, status: str, answered: bytes | None
) -> None:
    stage.system.answer = lambda _: answering(b"", status, [("ETag", '"1"')])
    answer = await call(stage.consumer, method)
    assert answer.status == int(status[:3])
    assert answer.body == b""
    assert answer.first("etag") == '"1"'
    assert answer.first("content-type") is None
    length = answer.first("content-length")
    assert length == (None if answered is None else "0")
    assert answer.first("transfer-encoding") is None
    await proven(stage, answer, None, answered)


async def test_head_keeps_the_headers_and_has_no_body(stage: Stage) -> None:
    stage.system.answer = lambda _: (
        b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\nETag: "2"\r\nContent-Type: text/plain\r\n\r\n'
    )
    answer = await call(stage.consumer, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.first("etag") == '"2"'
    assert answer.first("content-type") == "text/plain"
    await proven(stage, answer, None, None)


async def test_a_body_of_no_bytes_is_no_body(stage: Stage) -> None:
    answer = await call(stage.consumer, "POST", body=b"")
    assert stage.system.last.first("content-length") == "0"
    await proven(stage, answer, None, b'{"id":7}')


async def test_compressed_bodies_pass_untouched(stage: Stage) -> None:
    packed = gzip.compress(b"x" * 1000)
    coding = ("Content-Encoding", "gzip")
    stage.system.answer = lambda request: answering(request.body, headers=[coding])
    answer = await call(stage.consumer, "POST", headers=(CLIENT, coding), body=packed)
    assert stage.system.last.body == packed
    assert stage.system.last.first("content-encoding") == "gzip"
    assert stage.system.last.first("accept-encoding") is None
    assert answer.body == packed
    assert answer.first("content-encoding") == "gzip"


# --- targets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/",
        "/a%20b?x=1",
        "/a%2Fb/%2f",
        "?",
        "/x?",
        "?a=+&b=%20&c=a+b&a=2",
        "/a//b",
        "/a;v=1/b,c",
        "/%C3%B5un/%e2%82%ac",
        "/~a!$&'()*+,;=:@b",
        "?x=[1]&y=/?%25",
        "/a?x=../..",
    ],
)
async def test_paths_and_queries_are_passed_on_as_they_came(stage: Stage, rest: str) -> None:
    answer = await call(stage.consumer, "GET", f"{PATH}{rest}")
    assert answer.status == 200, answer.body
    assert stage.system.last.target == f"/api{rest}"
    request, _ = await proven(stage, answer, None, b'{"id":7}')
    assert request.message.split(b"\r\n")[1] == f"{PATH}{rest}".encode()


@pytest.mark.parametrize(
    ("code", "rest", "seen"),
    [
        ("root", "", "/"),
        ("root", "?x", "/?x"),
        ("root", "/a", "/a"),
        ("slash", "", "/api/"),
        ("slash", "/a", "/api/a"),
        ("%C3%BClevaade%2F1", "/a", "/api/a"),
    ],
)
async def test_the_address_of_the_service_goes_in_front(
    stage: Stage, code: str, rest: str, seen: str
) -> None:
    answer = await call(stage.consumer, "GET", f"/r1/{PROVIDER.path}/{code}{rest}")
    assert answer.status == 200, answer.body
    assert stage.system.last.target == seen
    assert answer.first("x-road-service") == f"{PROVIDER.path}/{code}"


async def test_an_absolute_target_is_taken_for_its_path(stage: Stage) -> None:
    """As HTTP proxies are asked; the host does not count (messages.md 1)."""
    answer = await call(stage.consumer, "GET", f"http://registry.example:81{PATH}/a?b")
    assert answer.status == 200, answer.body
    assert stage.system.last.target == "/api/a?b"


@pytest.mark.parametrize(
    "target",
    [
        "/r1/",
        "/r1/TEST/GOV/1001/persons",
        f"/r1/{PROVIDER.path}/",
        f"{PATH}/%zz",
        "/r1/TEST/GOV/1001/persons/%ff",
        f'{PATH}/a"b',
    ],
)
async def test_targets_that_are_refused(stage: Stage, target: str) -> None:
    answer = await call(stage.consumer, "GET", target)
    assert answer.first("x-road-error") == "server.clientproxy.internal_error"
    assert answer.status == 500
    assert stage.system.connections == 0


async def test_identifiers_with_letters_beyond_ascii(stage: Stage) -> None:
    spelled = "TEST/MUN/2001/t%C3%B6%C3%B6%20ja%2Felu"
    answer = await call(stage.consumer, headers=[("X-Road-Client", spelled)])
    assert answer.status == 200, answer.body
    assert answer.first("x-road-client") == spelled
    request, _ = await proven(stage, answer, None, b'{"id":7}')
    assert request.client == STRANGE


async def test_a_member_may_call_for_itself(stage: Stage) -> None:
    answer = await call(stage.consumer, headers=[("X-Road-Client", CONSUMER.member.path)])
    assert answer.status == 200, answer.body
    request, _ = await proven(stage, answer, None, b'{"id":7}')
    assert request.client == CONSUMER.member


# --- headers ----------------------------------------------------------------------------------


def message_headers(record: StoredRecord) -> list[str]:
    return record.message.decode().split("\r\n")[2:-1]


async def test_request_headers_are_kept_in_order_spelling_and_number(stage: Stage) -> None:
    kept = [
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("Cookie", "a=1; b=2"),
        ("X-Two", "1"),
        ("Accept", "application/json"),
        ("x-TWO", "2"),
        ("Accept-Encoding", "br"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Date", "Mon, 02 Mar 2026 09:15:01 GMT"),
        ("X-Empty", ""),
        ("X-Text", "õ €"),
        ("X-Road-Id", "29f4d011"),
        ("X-Road-UserId", "EX60001019906"),
        ("X-Road-Issue", "12/3"),
        ("X-Road-Represented-Party", "COM/33"),
        ("X-Road-Error", "mine"),
        CLIENT,
    ]
    dropped = [
        ("X-Road-client", "TEST/MUN/2001/nobody"),  # the last one counts
        ("User-Agent", "test"),
        ("TE", "trailers"),
        ("Connection", "keep-alive"),
        ("Keep-Alive", "5"),
        ("Proxy-Authorization", "x"),
        ("Proxy-Authenticate", "x"),
        ("Server", "x"),
        ("Upgrade", "h2c"),
        ("Trailer", "x"),
        ("X-Road-Request-Id", "forged"),
        ("x-road-request-hash", "forged"),
    ]
    mixed = [one for pair in zip(kept, dropped, strict=False) for one in pair]
    headers = [*mixed, *kept[len(dropped) :]]
    answer = await call(stage.consumer, headers=headers)
    assert answer.status == 200, answer.body
    exchange = answer.first("x-road-request-id")
    added = [("x-road-request-id", exchange)]
    request, _ = await proven(stage, answer, None, b'{"id":7}')
    assert message_headers(request) == [f"{name}:{value}" for name, value in (*kept, *added)]
    host = ("Host", f"127.0.0.1:{stage.system.port}")
    assert stage.system.last.headers == [host, *kept, *added]


async def test_a_message_id_is_made_when_none_is_sent(stage: Stage) -> None:
    answer = await call(stage.consumer)
    request, _ = await proven(stage, answer, None, b'{"id":7}')
    exchange, message = message_headers(request)[-2:]
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(f"x-road-request-id:{uuid}", exchange)
    assert re.fullmatch(f"x-road-id:TEST-{uuid}", message)
    assert answer.first("x-road-id") == message.removeprefix("x-road-id:")
    again = await call(stage.consumer)
    assert again.first("x-road-request-hash") != answer.first("x-road-request-hash")


async def test_response_headers_are_kept_in_order_spelling_and_number(stage: Stage) -> None:
    kept = [
        ("SET-Cookie", "a=1; Path=/"),
        ("Date", "Mon, 02 Mar 2026 09:15:01 GMT"),
        ("set-cookie", "b=2"),
        ("Location", "http://elsewhere.example/"),
        ("X-Text", "õ €"),
        ("X-Road-Service", "of its own"),
        ("X-Road-Error", "of its own"),
        ("Content-Type", "text/plain;charset=x"),
        ("X-Empty", ""),
        ("WWW-Authenticate", "Basic"),
    ]
    dropped = [
        ("Server", "nginx"),
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("x-road-id", "forged"),
        ("X-Road-Client", "forged"),
        ("X-Road-Request-Id", "forged"),
        ("X-Road-Request-Hash", "forged"),
        ("Trailer", "X"),
        ("Expect", "x"),
    ]
    mixed = [one for pair in zip(kept, dropped, strict=False) for one in pair]
    stage.system.answer = lambda _: answering(b"x", "202 Fine Then", [*mixed, kept[-1]])
    answer = await call(stage.consumer)
    assert answer.status == 202
    _, response = await proven(stage, answer, None, b"x")
    lines = response.message.decode().split("\r\n")
    assert lines[:2] == ["202", "Fine Then"]
    assert lines[2:12] == [f"{name}:{value}" for name, value in kept]
    assert [line.partition(":")[0] for line in lines[12:-1]] == X_ROAD
    assert answer.headers[:10] == kept
    assert [name for name, _ in answer.headers[10:]] == [*X_ROAD, "Content-Length"]
    assert answer.all("x-road-service") == ["of its own", SERVICE.path]


async def test_nothing_is_invented_for_an_answer_without_headers(stage: Stage) -> None:
    stage.system.answer = lambda _: answering(b"bytes")
    answer = await call(stage.consumer)
    assert [name for name, _ in answer.headers] == [*X_ROAD, "Content-Length", "Date"]


async def test_no_cookie_is_kept_between_exchanges(stage: Stage) -> None:
    stage.system.answer = lambda _: answering(headers=[("Set-Cookie", "secret=1; Path=/")])
    await call(stage.consumer)
    await call(stage.consumer)
    assert stage.system.last.first("cookie") is None


@pytest.mark.parametrize(
    "line",
    ["X-A: a\x01b", "X-A: a\x7fb", "X A: 1", "Content-Length: 5, 6", "X-Road-Id: " + "x" * 300],
)
async def test_headers_that_can_not_be_signed_are_refused(stage: Stage, line: str) -> None:
    port = stage.consumer.running.ports["systems http"].number
    wire = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nX-Road-Client: {CONSUMER.path}\r\n{line}\r\n\r\n"
    answer = await ask("127.0.0.1", port, wire.encode("latin-1"))
    assert answer is not None
    assert answer.status in (400, 500)
    assert stage.system.connections == 0
