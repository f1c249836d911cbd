"""Calls of the institution's own systems, against a server that says what a test wants."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.services import Service, ServiceType
from node.body import Section, SpooledBody
from node.messages.rest import RestRequestHead
from node.network.information_system import InformationSystem
from node.network.service_address import ServiceAddress
from node.network.tls import systems_listener
from tests.scripted_server import OK, Scripted, answering, serving
from tests.tls_certificates import identity, issue
from trust.errors import ExchangeError, UntrustedPeer
from trust.ids import ClientId, ServiceId

REGISTRY = ClientId("TEST", "GOV", "1", "registry")
PEOPLE = ServiceId(REGISTRY, "people")
INTERNAL = identity(issue("internal"))
SYSTEM = issue("the system")


def head(method: str = "GET", tail: str = "", *headers: tuple[str, str]) -> RestRequestHead:
    return RestRequestHead.from_http(
        method,
        f"/r1/TEST/GOV/1/registry/people{tail}",
        [
            (b"X-Road-Client", b"TEST/GOV/2/portal"),
            (b"X-Road-Id", b"message"),
            *((name.encode(), value.encode()) for name, value in headers),
        ],
        request_id="exchange",
        instance="TEST",
    )


def service(port: int, path: str = "", scheme: str = "http") -> Service:
    url = f"{scheme}://127.0.0.1:{port}{path}"
    return Service(PEOPLE, ServiceType.REST, url, timeout=timedelta(seconds=5))


@asynccontextmanager
async def systems() -> AsyncIterator[InformationSystem]:
    found = InformationSystem(lambda: INTERNAL)
    try:
        yield found
    finally:
        await found.close()
        assert found.in_use == 0


async def call(
    called: Service, request: RestRequestHead, body: Section | None = None
) -> tuple[int, str, list[tuple[bytes, bytes]], bytes, bool]:
    async with systems() as system, system.call(called, request, body) as answer:
        found = b"".join([piece async for piece in answer.pieces()])
        return answer.status, answer.reason, list(answer.headers), found, answer.has_entity


async def test_the_system_gets_what_the_consumer_sent_and_nothing_invented() -> None:
    async with serving(answering(OK)) as server:
        request = head("GET", "/a%2Fb?q=%20", ("Cookie", "c=ä"))
        await call(service(server.port, "/base/"), request)
        assert server.requests == [
            f"GET /base/a%2Fb?q=%20 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
            + b"X-Road-Client: TEST/GOV/2/portal\r\nX-Road-Id: message\r\nCookie: c=\xc3\xa4\r\n"
            + b"x-road-request-id: exchange\r\n\r\n"
        ]


@pytest.mark.parametrize("memory_limit", [0, 100])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_body_goes_with_its_length(tmp_path: Path, method: str, memory_limit: int) -> None:
    async with serving(answering(OK)) as server:
        with SpooledBody(tmp_path, memory_limit=memory_limit) as body:
            body.write(b"content")
            await call(service(server.port), head(method), body.cut())
        assert server.requests[0].startswith(f"{method} / HTTP/1.1\r\n".encode())
        assert server.requests[0].endswith(b"\r\nContent-Length: 7\r\n\r\ncontent")


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "TRACE"])
async def test_a_body_of_another_method_is_not_sent(tmp_path: Path, method: str) -> None:
    async with serving(answering(OK)) as server:
        with SpooledBody(tmp_path) as body:
            body.write(b"content")
            await call(service(server.port), head(method), body.cut())
        assert b"content" not in server.requests[0]
        assert b"Content-Length" not in server.requests[0]


async def test_no_body_for_a_method_that_has_one_is_said_so() -> None:
    async with serving(answering(OK)) as server:
        await call(service(server.port), head("POST"))
        assert server.requests[0].endswith(b"\r\nContent-Length: 0\r\n\r\n")


async def test_answers_come_back_as_they_are() -> None:
    wire = (
        b"HTTP/1.1 302 Over there\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nzip"
    )
    async with serving(answering(wire)) as server:
        status, reason, headers, body, entity = await call(service(server.port), head())
        assert (status, reason, body, entity) == (302, "Over there", b"zip", True)
        assert headers == [
            (b"Location", b"/elsewhere"),
            (b"Set-Cookie", b"a=b"),
            (b"set-cookie", b"c=d"),
            (b"Content-Encoding", b"gzip"),
            (b"Content-Length", b"3"),
        ]
        assert len(server.requests) == 1  # no redirect was followed


@pytest.mark.parametrize(
    ("method", "wire", "entity"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        ("GET", b"HTTP/1.1 204 None\r\n\r\n", False),
        ("GET", b"HTTP/1.1 304 Same\r\n\r\n", False),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", False),
    ],
)
async def test_an_entity_of_no_bytes_is_told_from_none(
    method: str, wire: bytes, entity: bool
) -> None:
    async with serving(answering(wire)) as server:
        answer = await call(service(server.port), head(method))
        assert answer[3:] == (b"", entity)


async def test_connections_are_kept_and_no_cookie_with_them() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: secret=1\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(cookie, OK)) as server, systems() as system:
        for _ in range(2):
            async with system.call(service(server.port), head(), None) as answer:
                assert [piece async for piece in answer.pieces()] in ([], [b"hi"])
        assert server.connections == 1
        assert b"secret" not in server.requests[1]
        assert (system.idle, system.in_use) == (1, 0)


async def refused(called: Service, request: RestRequestHead | None = None) -> tuple[str, str]:
    with pytest.raises(ExchangeError) as caught:
        await call(called, request or head())
    return caught.value.code, caught.value.text


async def test_a_service_without_address_has_its_code(unused_tcp_port: int) -> None:
    nowhere = replace(service(1), url="")
    text = "Service address not specified for 'SERVICE:TEST/GOV/1/registry/people'"
    assert await refused(nowhere) == ("service_missing_url", text)
    code, _ = await refused(replace(service(1), url="ftp://there/"))
    assert code == "service_malformed_url"
    code, text = await refused(service(unused_tcp_port))
    assert code == "network_error"
    assert text == "Could not connect: Connection refused"
    code, _ = await refused(replace(service(1), url="http://no-such-host.invalid/"))
    assert code == "unknown_host"


async def test_a_slow_system_times_out_with_the_service_timeout() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Le")) as server:
        impatient = replace(service(server.port), timeout=timedelta(milliseconds=100))
        assert await refused(impatient) == ("io_error", "Read timed out")


@pytest.mark.parametrize(
    "wire", [b"nonsense\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]
)
async def test_a_broken_answer_is_an_io_error(wire: bytes) -> None:
    async with serving(answering(wire, close=True)) as server:
        assert (await refused(service(server.port)))[0] == "io_error"


# --- TLS ----------------------------------------------------------------------------------------


def system_tls() -> ssl.SSLContext:
    return systems_listener(identity(SYSTEM)).context


def https(server: Scripted, *certificates: bytes, verify: bool = True) -> Service:
    plain = service(server.port, scheme="https")
    return replace(plain, verify_tls=verify, certificates=certificates)


async def test_a_system_with_a_registered_certificate_is_called() -> None:
    async with serving(answering(OK), system_tls()) as server:
        assert (await call(https(server, issue("x").der, SYSTEM.der), head()))[0] == 200


async def test_a_system_with_another_certificate_sees_nothing_of_the_request() -> None:
    async with serving(answering(OK), system_tls()) as server:
        other = issue("the system", kind="rsa").der
        failure = ("ssl_authentication_failed", "IS certificate is not trusted")
        assert await refused(https(server, other)) == failure
        assert server.requests == []


async def test_without_registered_certificates_nothing_is_trusted() -> None:
    async with serving(answering(OK), system_tls()) as server:
        failure = (
            "ssl_authentication_failed",
            "Client 'SUBSYSTEM:TEST/GOV/1/registry' has no IS certificates",
        )
        assert await refused(https(server)) == failure
        assert server.connections == 0


async def test_with_verification_off_any_certificate_will_do() -> None:
    async with serving(answering(OK), system_tls()) as server:
        assert (await call(https(server, verify=False), head()))[0] == 200


async def test_a_connection_trusted_without_check_is_not_used_where_one_is_due() -> None:
    async with serving(answering(OK, OK), system_tls()) as server, systems() as system:
        async with system.call(https(server, verify=False), head(), None) as answer:
            assert [piece async for piece in answer.pieces()] == [b"hi"]
        with pytest.raises(UntrustedPeer):
            async with system.call(https(server, issue("x").der), head(), None):
                pytest.fail("nothing may be sent")
        assert len(server.requests) == 1


async def test_the_internal_certificate_is_offered() -> None:
    seen: list[bytes | None] = []
    context = systems_listener(identity(SYSTEM)).context

    async def look(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        seen.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        await answering(OK)(state, reader, writer)

    async with serving(look, context) as server:
        await call(https(server, SYSTEM.der), head())
    assert seen == [issue("internal").der]


async def test_a_system_that_speaks_no_tls_is_an_io_error() -> None:
    async def plain(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(plain) as server:
        code, text = await refused(https(server, SYSTEM.der))
        assert code == "io_error"
        assert text.startswith("TLS handshake failed")


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path", "query", "host", "port", "host_header", "target"),
    [
        ("http://a.example", "", None, "a.example", 80, "a.example", "/"),
        ("http://a.example", "", "q", "a.example", 80, "a.example", "/?q"),
        ("http://a.example", "", "", "a.example", 80, "a.example", "/?"),
        ("https://a.example/", "/x", None, "a.example", 443, "a.example", "/x"),
        ("HTTP://a:81/b", "/x/", "a=b?c", "a", 81, "a:81", "/b/x/?a=b?c"),
        ("http://a/b/", "/x", None, "a", 80, "a", "/b/x"),
        ("http://a/b/", "", None, "a", 80, "a", "/b/"),
        ("http://a/b", "//x%2F", None, "a", 80, "a", "/b//x%2F"),
        ("http://[::1]:8080/b", "", None, "::1", 8080, "[::1]:8080", "/b"),
    ],
)
def test_addresses_are_joined_as_the_reference_does(
    url: str, path: str, query: str | None, host: str, port: int, host_header: str, target: str
) -> None:
    found = ServiceAddress.parse(url)
    assert (found.host, found.port, found.host_header) == (host, port, host_header)
    assert found.encrypted is url.lower().startswith("https")
    assert found.target(path, query) == target


@pytest.mark.parametrize(
    "url",
    [
        *("", "a", "//a", "ftp://a", "http://", "http:///x", "http://u:p@a/", "http://a/?q"),
        *("http://a/#f", "http://a b/", "http://a/\r\n", "http://a:0/", "http://a:65536/"),
        *("http://a:x/", "http://a\\b"),
    ],
)
def test_other_addresses_are_malformed(url: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        ServiceAddress.parse(url)
    assert caught.value.code == "service_malformed_url"
    assert caught.value.text.startswith("Malformed service address")


@given(st.text(alphabet="htp:/s.a@[]?#%1 \r\nä", max_size=20))
def test_any_text_is_an_address_or_malformed(text: str) -> None:
    with contextlib.suppress(ExchangeError):
        found = ServiceAddress.parse("http://" + text)
        assert found.host
        assert not set(found.host_header) & set("\r\n ?#@/")
        assert not set(found.target("/x", None)) & set("\r\n ?#")
