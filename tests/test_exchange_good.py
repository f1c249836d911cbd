"""The whole path of a REST exchange through two real nodes, byte for byte.

Source: messages.md 5, 6 and 8.3; transport.md 6, 9.
"""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.log.records import Side, StoredRecord
from scripts.postgres import PostgresServer
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    rest_service,
)
from tests.raw_http import RawMessage, ask, build_head, chunked, connected, read_message
from tests.scene import CLIENT, PATH, System, answering, call, records
from trust.hashchain import PartDigest
from trust.ids import ClientId
from trust.report import Outcome
from trust.signature import SignedMessage
from trust.signature_verifier import verify_signature

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGE = ClientId("TEST", "MUN", "2001", "töö ja/elu")
OLD_FASHIONED = ClientId("TEST", "MUN", "2002", "taxes")
ODD_SERVICE = "ülevaade/1"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
X_ROAD = [
    "x-road-id",
    "x-road-client",
    "x-road-service",
    "x-road-request-id",
    "x-road-request-hash",
]


@dataclass
class Stage:
    """Two nodes; `legacy` is a consumer's node with the fault codes of before 7.8."""

    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    legacy: NodeUnderTest
    system: System


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("good")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        callers = (CONSUMER, CONSUMER.member, STRANGE)
        codes = (SERVICE.service_code, ODD_SERVICE, "root", "slash", "refused", "unknown", "slow")
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(
                rest_service(system.url),
                rest_service(system.url, ODD_SERVICE),
                rest_service(system.url.removesuffix("/api"), "root"),
                rest_service(f"{system.url}/", "slash"),
                rest_service("http://127.0.0.1:9/", "refused"),
                rest_service("http://nobody.invalid/", "unknown"),
                rest_service(system.url, "slow", timeout=timedelta(seconds=0.4)),
            ),
            rights=tuple(AccessRight(caller, code) for caller in callers for code in codes),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        hosted = [
            HostedClient(one, connection=ConnectionType.HTTP)
            for one in (CONSUMER, CONSUMER.member, STRANGE)
        ]
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        muni.entry = replace(muni.entry, clients=(CONSUMER, STRANGE))
        legacy = await instance.add("LEGACY", OLD_FASHIONED)
        legacy.settings = replace(legacy.settings, legacy_fault_codes=True)
        await instance.start()
        yield Stage(instance, civil, muni, legacy, system)


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def expected_hash(head: bytes, body: bytes | None) -> str:
    digest = sha512(head) if body is None else sha512(sha512(head) + sha512(body))
    return base64.b64encode(digest).decode()


async def proven(
    stage: Stage, answer: RawMessage, body: bytes | None, answered: bytes | None
) -> tuple[StoredRecord, StoredRecord]:
    """Check that both nodes hold the same proof of the exchange; gives request and response.

    Args:
        body: the request's body part, None without one; `answered` the same of the response.
    """
    exchange = answer.first("x-road-request-id")
    sides = []
    for node, side in ((stage.consumer, Side.CONSUMER), (stage.provider, Side.PROVIDER)):
        kept = await records(node, exchange_id=exchange)
        assert [(one.side, one.response) for one in kept] == [(side, False), (side, True)]
        for one, content in zip(kept, (body, answered), strict=True):
            await verified(stage, node, one, content)
        sides.append(kept)
    for ours, theirs in zip(*sides, strict=True):
        assert (ours.message, ours.signature) == (theirs.message, theirs.signature)
        assert (ours.client, ours.service) == (theirs.client, theirs.service)
    request, response = sides[0]
    assert answer.first("x-road-request-hash") == expected_hash(request.message, body)
    return request, response


async def verified(
    stage: Stage, node: NodeUnderTest, record: StoredRecord, body: bytes | None
) -> None:
    """Judge a record as an auditor would: with its own bytes and the trust list alone."""
    parts = {"/message.xml": PartDigest.of("/message.xml", record.message)}
    assert (record.body is None) == (body is None)
    if body is not None:
        assert await node.running.log.body_of(record) == body
        parts["/attachment1"] = PartDigest.of("/attachment1", body)
    sender = record.service.provider if record.response else record.client
    message = SignedMessage(
        record.signature,
        parts,
        hash_chain_result=record.hash_chain_result,
        hash_chain=record.hash_chain,
    )
    report = verify_signature(message, sender, stage.instance.conf(), datetime.now(UTC))
    assert report.verdict is Outcome.PASSED


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
        ("X-Road-client", "TEST/MUN/2001/nobody"),  # the last one counts
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
        ("POST", "/", "client.invalid_content_type"),
    ):
        answer = await call(stage.consumer, method, target)
        assert answer.status == 200
        assert answer.first("content-type") == "text/xml; charset=utf-8"
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
