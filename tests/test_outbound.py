"""The HTTP client against servers that behave, and against one that says what a test wants."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from node.network.answer import Answer, Limits
from node.network.http_head import OutboundRequest, build_request_head
from node.network.outbound import HttpConnection, Timeouts
from node.network.pool import (
    ConnectionPool,
    Destination,
    PoolSettings,
    TlsHandshakeFailed,
    open_connection,
)
from node.network.tls import peer_client, peers_listener
from tests.scripted_server import OK, Scripted, answering, serving
from tests.tls_certificates import identity, issue
from trust.errors import CannotSign, ExchangeError, MalformedMessage, NetworkFailure

GET = OutboundRequest("GET", "/path?query", "host.example")
QUICK = Timeouts(read=timedelta(milliseconds=100))


# --- reading an answer, without a socket --------------------------------------------------------


def new_answer(method: str = "GET", limits: Limits | None = None) -> Answer:
    def nothing_to_let_go() -> None:
        return

    return Answer(method, limits or Limits(), nothing_to_let_go, asyncio.get_running_loop())


async def outcome(
    wire: bytes, size: int, method: str = "GET", limits: Limits | None = None
) -> tuple[object, ...]:
    """What a client makes of these bytes, fed `size` at a time, followed by the end."""
    answer = new_answer(method, limits)
    for start in range(0, len(wire), size):
        if answer.ended or answer.error is not None:
            answer.in_step = answer.in_step and not wire[start:]
            break
        answer.feed(wire[start : start + size])
    in_step = answer.in_step
    answer.end_of_stream(clean=True)
    try:
        await answer.arrive()
        body = await answer.read(1_000_000)
    except NetworkFailure as error:
        return ("failed", error.code)
    return (answer.head, body, in_step)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("wire", "method", "status", "body", "in_step"),
    [
        (OK, "GET", 200, b"hi", True),
        (OK + b"HTTP/1.1 200 OK\r\n\r\n", "GET", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HEAD", 200, b"", False),
        (b"HTTP/1.1 204 None\r\n\r\n", "POST", 204, b"", True),
        (b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", "GET", 304, b"", True),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK, "POST", 200, b"hi", True),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", "GET", 200, b"to the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, b"hi", False),
        (
            b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi",
            *("GET", 200, b"hi", False),
        ),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
            *("GET", 200, b"hi", True),
        ),
        (
            b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: ignored\r\n\r\n",
            *("GET", 500, b"abcde", True),
        ),
    ],
)
async def test_answers_are_framed_as_http_says(
    wire: bytes, size: int, method: str, status: int, body: bytes, in_step: bool
) -> None:
    head, found, reusable = await outcome(wire, size, method)
    assert (getattr(head, "status", None), found, reusable) == (status, body, in_step)


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    "wire",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK,
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 600 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"b" * 140_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"x" * 140_000,
    ],
)
async def test_broken_answers_are_io_errors(wire: bytes, size: int) -> None:
    if size == 1 and len(wire) > 10_000:
        size = 100
    assert await outcome(wire, size) == ("failed", "io_error")


async def test_nothing_at_all_is_a_network_error() -> None:
    assert await outcome(b"", 1) == ("failed", "network_error")


LETTERS = st.sampled_from(
    [
        *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK", b"204 No", b"100 Go", b"\r\n", b"\n"),
        *(b"Content-Length", b": ", b"2", b"hi", b"Transfer-Encoding", b"chunked", b"0", b" "),
        *(b"\x00", b"Connection", b"close", b"keep-alive", OK, b"\xff"),
    ]
)


@given(parts=st.lists(LETTERS, max_size=14), method=st.sampled_from(["GET", "HEAD"]))
async def test_any_bytes_are_an_answer_or_a_network_failure(
    parts: list[bytes], method: str
) -> None:
    wire = b"".join(parts)
    whole = await outcome(wire, len(wire) or 1, method)
    bytewise = await outcome(wire, 1, method)
    assert whole[:2] == bytewise[:2]  # whether the connection is in step may differ


async def test_header_order_spelling_repeats_and_bytes_survive() -> None:
    wire = (
        b"HTTP/1.1 200 Gut \xc3\xb6\r\nX-b: 1 \t\r\nx-A:\xff\xc3\xa4\r\nX-B: 2\r\n"
        b"E:\r\nContent-Length: 0\r\n\r\n"
    )
    answer = new_answer()
    answer.feed(wire)
    await answer.arrive()
    head = answer.head
    assert head.reason == "Gut ö"
    assert head.headers[:4] == (("X-b", "1"), ("x-A", "\udcffä"), ("X-B", "2"), ("E", ""))
    assert head.all("x-b") == ["1", "2"]
    assert head.first("x-a") == "\udcffä"
    assert head.first("missing") is None


async def test_tiny_pieces_count_with_what_they_cost() -> None:
    answer = new_answer(limits=Limits(buffered=10_000))
    answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        answer.feed(b"1\r\nx\r\n")
    assert answer.held_back
    assert await answer.next_piece() == b"x" * 200
    assert not answer.held_back


async def test_a_body_longer_than_its_reader_takes_is_refused() -> None:
    answer = new_answer()
    answer.feed(OK)
    with pytest.raises(NetworkFailure, match="longer than 1 bytes"):
        await answer.read(1)


# --- writing a request head ---------------------------------------------------------------------


def test_a_request_head_holds_what_was_given_and_the_framing() -> None:
    request = OutboundRequest("POST", "/a%2Fb?c", "h:80", (("X-A", "ä\udcff"),), body=b"12")
    assert build_request_head(request) == (
        b"POST /a%2Fb?c HTTP/1.1\r\nHost: h:80\r\nX-A: \xc3\xa4\xff\r\nContent-Length: 2\r\n\r\n"
    )
    assert b"Content" not in build_request_head(GET)
    assert b"Content-Length: 0" in build_request_head(OutboundRequest("PUT", "/", "h"))


@pytest.mark.parametrize(
    "request_",
    [
        OutboundRequest("GE T", "/", "h"),
        OutboundRequest("GET", "/a b", "h"),
        OutboundRequest("GET", "", "h"),
        OutboundRequest("GET", "/\r\nX: y", "h"),
        OutboundRequest("GET", "/", "h\r\nX: y"),
        OutboundRequest("GET", "/", "h", (("A", "b\r\nX: y"),)),
        OutboundRequest("GET", "/", "h", (("A", "b\nX"),)),
        OutboundRequest("GET", "/", "h", (("A", "b\0"),)),
        OutboundRequest("GET", "/", "h", (("A b", "c"),)),
        OutboundRequest("GET", "/", "h", (("", "c"),)),
    ],
)
def test_nothing_breaks_out_of_its_line(request_: OutboundRequest) -> None:
    with pytest.raises(MalformedMessage):
        build_request_head(request_)


def test_framing_is_not_for_the_caller_to_say() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        build_request_head(OutboundRequest("GET", "/", "h", (("Content-Length", "3"),)))


# --- on sockets ---------------------------------------------------------------------------------


@asynccontextmanager
async def connected(
    server: Scripted, tls: ssl.SSLContext | None = None, limits: Limits | None = None
) -> AsyncIterator[HttpConnection]:
    destination = Destination("127.0.0.1", server.port, tls)
    connection = await open_connection(destination, limits or Limits(), timedelta(seconds=5))
    try:
        yield connection
    finally:
        connection.abort()
        await connection.lost


async def ask(
    connection: HttpConnection, request: OutboundRequest = GET, timeouts: Timeouts | None = None
) -> tuple[int, bytes]:
    try:
        answer = await connection.exchange(request, timeouts or Timeouts())
        return answer.head.status, await answer.read(10_000_000)
    finally:
        await connection.finish()


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with serving(answering(OK, OK)) as server, connected(server) as connection:
        assert await ask(connection) == (200, b"hi")
        assert connection.usable
        assert await ask(connection, OutboundRequest("POST", "/", "h", body=b"abc")) == (200, b"hi")
        assert server.requests[0] == b"GET /path?query HTTP/1.1\r\nHost: host.example\r\n\r\n"
        assert server.requests[1].endswith(b"Content-Length: 3\r\n\r\nabc")


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.mark.parametrize(
    ("length", "wire"),
    [
        (None, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        (5, b"Content-Length: 5\r\n\r\nabcde"),
    ],
)
async def test_a_streamed_body_is_framed(length: int | None, wire: bytes) -> None:
    async def script(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        state.requests.append(
            await reader.readexactly(len(b"POST / HTTP/1.1\r\nHost: h\r\n" + wire))
        )
        writer.write(OK)
        await reader.read()

    async with serving(script) as server, connected(server) as connection:
        body = pieces_of(b"ab", b"", b"cde")
        request = OutboundRequest("POST", "/", "h", stream=body, length=length)
        assert await ask(connection, request) == (200, b"hi")
        assert connection.usable
        assert server.requests == [b"POST / HTTP/1.1\r\nHost: h\r\n" + wire]


@pytest.mark.parametrize("length", [4, 6])
async def test_a_body_of_another_length_than_announced_fails_the_request(length: int) -> None:
    async with serving(answering(OK)) as server, connected(server) as connection:
        request = OutboundRequest("POST", "/", "h", stream=pieces_of(b"abc", b"de"), length=length)
        with pytest.raises(NetworkFailure, match="not the announced") as caught:
            await ask(connection, request)
        assert caught.value.code == "internal_error"
        assert not connection.usable
        assert server.requests == []  # nothing beyond the announced length was sent


async def test_what_the_source_of_a_body_raises_is_raised() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise CannotSign("no key")

    async with serving(answering(OK)) as server, connected(server) as connection:
        with pytest.raises(CannotSign):
            await ask(connection, OutboundRequest("POST", "/", "h", stream=failing()))
        assert not connection.usable


async def test_an_answer_before_the_body_was_sent_counts() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"beginning"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def script(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"beginning")
        writer.write(b"HTTP/1.1 500 Early\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with serving(script) as server, connected(server) as connection:
        request = OutboundRequest("POST", "/", "h", stream=endless())
        assert await ask(connection, request) == (500, b"no")
        assert closed.is_set()
        assert not connection.usable


async def test_sending_stops_when_the_answer_ends_the_connection() -> None:
    sent = 0

    async def plenty() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b"x" * 10_000
            await asyncio.sleep(0.001)

    async def script(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"xxx")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfault")
        await writer.drain()
        while b"0\r\n\r\n" not in (await asyncio.wait_for(reader.read(100_000), 0.2)):
            continue

    async with serving(script) as server, connected(server) as connection:
        request = OutboundRequest("POST", "/", "h", stream=plenty())
        answer = await connection.exchange(request, Timeouts())
        assert await answer.next_piece() == b"fault"
        await connection.finish()
        assert sent < 5_000


async def test_a_server_that_stops_reading_holds_the_source_back_and_times_out() -> None:
    sent = 0

    async def plenty() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b"x" * 65_536

    async def script(
        _state: Scripted, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a read transport too
        await asyncio.Event().wait()

    async with serving(script) as server, connected(server) as connection:
        with pytest.raises(NetworkFailure, match="Read timed out") as caught:
            await ask(connection, OutboundRequest("POST", "/", "h", stream=plenty()), QUICK)
        assert caught.value.code == "io_error"
        assert sent < 1000


async def test_a_slow_source_is_not_the_servers_fault() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0.25)
        yield b"b"

    async def script(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)
        await reader.read()

    async with serving(script) as server, connected(server) as connection:
        request = OutboundRequest("POST", "/", "h", stream=slow())
        assert await ask(connection, request, QUICK) == (200, b"hi")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nCont", OK[:-1]])
async def test_a_silent_server_times_out(said: bytes) -> None:
    async with serving(answering(said)) as server, connected(server) as connection:
        with pytest.raises(NetworkFailure, match="Read timed out") as caught:
            await ask(connection, GET, QUICK)
        assert caught.value.code == "io_error"
        assert not connection.usable


async def test_a_server_that_drips_ends_with_the_total_time() -> None:
    async def script(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await state.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.02)

    timeouts = Timeouts(read=timedelta(seconds=5), total=timedelta(milliseconds=200))
    async with serving(script) as server, connected(server) as connection:
        with pytest.raises(NetworkFailure, match="took too long"):
            await ask(connection, GET, timeouts)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "network_error"),
        (b"HTTP/1.1 2", "io_error"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "io_error"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "io_error"),
    ],
)
async def test_a_cut_answer_is_an_error_with_the_code_of_its_place(said: bytes, code: str) -> None:
    async with serving(answering(said, close=True)) as server, connected(server) as connection:
        with pytest.raises(NetworkFailure) as caught:
            await ask(connection)
        assert caught.value.code == code


async def test_what_came_before_the_cut_is_still_read() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"
    async with serving(answering(wire, close=True)) as server, connected(server) as connection:
        answer = await connection.exchange(GET, Timeouts())
        await connection.lost
        assert await answer.next_piece() == b"ab"
        with pytest.raises(NetworkFailure):
            await answer.next_piece()
        await connection.finish()


async def test_a_reader_that_is_slow_holds_the_server_back() -> None:
    written = 0

    async def script(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal written
        await state.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 1
        writer.close()
        await writer.wait_closed()

    async with serving(script) as server, connected(server) as connection:
        answer = await connection.exchange(GET, QUICK)
        await asyncio.sleep(0.3)  # longer than the time for reading: it is our turn
        assert written < 400
        seen = 0
        async for piece in answer.pieces():
            seen += len(piece)
        assert seen == 500 * 65_536
        await connection.finish()


async def test_words_that_nobody_asked_for_end_the_connection() -> None:
    async def script(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(OK)
        await reader.read()

    async with serving(script) as server, connected(server) as connection:
        await connection.lost
        assert not connection.usable
        with pytest.raises(NetworkFailure):
            await ask(connection)


async def test_a_cancelled_exchange_closes_its_connection() -> None:
    async with serving(answering(b"")) as server, connected(server) as connection:
        task = asyncio.create_task(ask(connection))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await connection.lost


async def test_a_request_that_cannot_be_written_spoils_nothing() -> None:
    async with serving(answering(OK)) as server, connected(server) as connection:
        with pytest.raises(MalformedMessage):
            await ask(connection, OutboundRequest("GET", "/ ", "h"))
        assert await ask(connection) == (200, b"hi")


# --- TLS ----------------------------------------------------------------------------------------

SERVER_TLS = peers_listener(identity(issue("outbound server"))).context
CLIENT_TLS = peer_client(identity(issue("outbound client")))
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nto the end"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as found:
        yield found


def test_over_tls_a_body_may_end_with_a_goodbye(runner: asyncio.Runner) -> None:
    async def story() -> None:
        script = answering(TO_THE_END, close=True)
        async with (
            serving(script, SERVER_TLS) as server,
            connected(server, CLIENT_TLS) as connection,
        ):
            assert await ask(connection) == (200, b"to the end")

    runner.run(story())


def test_over_tls_a_cut_is_no_goodbye(runner: asyncio.Runner) -> None:
    async def cutting(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await state.read_request(reader)
        writer.write(TO_THE_END)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()  # TCP ends, TLS does not

    async def story() -> None:
        async with (
            serving(cutting, SERVER_TLS) as server,
            connected(server, CLIENT_TLS) as connection,
        ):
            with pytest.raises(NetworkFailure, match="before the answer was complete"):
                await ask(connection)

    runner.run(story())


def test_big_bodies_pass_both_ways_over_tls(runner: asyncio.Runner) -> None:
    async def echo(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
        for _ in range(30):
            writer.write(await reader.readexactly(100_000))
            await writer.drain()
        await reader.read()

    async def plenty() -> AsyncIterator[bytes]:
        for number in range(30):
            yield bytes([number]) * 100_000

    async def story() -> None:
        async with (
            serving(echo, SERVER_TLS) as server,
            connected(server, CLIENT_TLS) as connection,
        ):
            request = OutboundRequest("POST", "/", "h", stream=plenty(), length=3_000_000)
            status, body = await ask(connection, request)
            assert status == 200
            assert body == b"".join([bytes([number]) * 100_000 for number in range(30)])
            assert connection.usable

    runner.run(story())


# --- opening ------------------------------------------------------------------------------------


async def fails_to_open(
    port: int, code: str, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> NetworkFailure:
    with pytest.raises(NetworkFailure) as caught:
        await open_connection(Destination(host, port, tls), Limits(), timedelta(milliseconds=300))
    assert caught.value.code == code
    return caught.value


async def test_failures_to_connect_have_the_codes_of_the_protocol(unused_tcp_port: int) -> None:
    await fails_to_open(unused_tcp_port, "network_error")
    async with serving(answering(OK)) as silent:
        await fails_to_open(silent.port, "io_error", CLIENT_TLS)  # waits for a TLS hello


async def test_a_name_without_address_is_an_unknown_host() -> None:
    await fails_to_open(80, "unknown_host", host="no-such-host.invalid")


async def test_a_server_that_speaks_no_tls_fails_the_handshake() -> None:
    async def script(
        _state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(script) as server:
        failure = await fails_to_open(server.port, "io_error", CLIENT_TLS)
        assert isinstance(failure, TlsHandshakeFailed)


async def test_the_judge_comes_before_any_byte_of_a_request() -> None:
    seen: list[tuple[int, object]] = []

    async def judge(connection: HttpConnection) -> None:
        await asyncio.sleep(0.02)
        assert connection.tls is not None
        seen.append((len(server.requests), connection.tls.getpeercert(binary_form=True)))
        raise ExchangeError("not you", "ssl_authentication_failed")

    async with serving(answering(OK), SERVER_TLS) as server:
        destination = Destination("127.0.0.1", server.port, CLIENT_TLS)
        with pytest.raises(ExchangeError, match="not you"):
            await open_connection(destination, Limits(), timedelta(seconds=5), judge)
        assert seen == [(0, issue("outbound server").der)]
        assert server.requests == []


# --- the pool -----------------------------------------------------------------------------------


def opener(server: Scripted) -> Callable[[], Awaitable[HttpConnection]]:
    async def open_it() -> HttpConnection:
        return await open_connection(
            Destination("127.0.0.1", server.port), Limits(), timedelta(seconds=5)
        )

    return open_it


async def pooled(pool: ConnectionPool, server: Scripted, key: str = "key") -> tuple[int, bytes]:
    exchange = await pool.exchange(key, opener(server), GET, Timeouts(connect=timedelta(seconds=1)))
    async with exchange as answer:
        return answer.head.status, await answer.read(100)


@asynccontextmanager
async def pool_of(settings: PoolSettings | None = None) -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool(settings or PoolSettings())
    try:
        yield pool
    finally:
        await pool.close()
        assert pool.idle == 0


async def test_a_connection_is_used_again_for_the_same_key_only() -> None:
    async with serving(answering(OK, OK, OK)) as server, pool_of() as pool:
        await pooled(pool, server)
        await pooled(pool, server)
        assert server.connections == 1
        await pooled(pool, server, "another key")
        assert server.connections == 2
        assert (pool.idle, pool.in_use) == (2, 0)
        pool.retire("key")
        assert pool.idle == 1


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with serving(answering(OK, close=True)) as server, pool_of() as pool:
        await pooled(pool, server)
        assert await pooled(pool, server) == (200, b"hi")
        assert server.connections == 2


async def test_an_answer_left_unread_costs_its_connection() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nbeginning"
    async with serving(answering(long)) as server, pool_of() as pool:
        async with await pool.exchange("key", opener(server), GET, Timeouts()) as answer:
            assert answer.head.status == 200
        assert (pool.idle, pool.in_use) == (0, 0)


async def test_a_failed_exchange_gives_its_place_back() -> None:
    async with serving(answering(b"garbage")) as server, pool_of() as pool:
        with pytest.raises(NetworkFailure):
            await pooled(pool, server)
        assert (pool.idle, pool.in_use) == (0, 0)


async def test_who_comes_too_many_waits_for_a_place() -> None:
    async with (
        serving(answering(OK, OK)) as server,
        pool_of(PoolSettings(in_use_per_key=1)) as pool,
    ):
        async with await pool.exchange("key", opener(server), GET, Timeouts()) as answer:
            second = asyncio.create_task(pooled(pool, server))
            await asyncio.sleep(0.05)
            assert pool.take("key") is None
            assert server.connections == 1
            await answer.read(10)
        assert await second == (200, b"hi")
        assert server.connections == 1


async def test_who_waits_too_long_for_a_place_is_told_so() -> None:
    async with (
        serving(answering(OK)) as server,
        pool_of(PoolSettings(in_use_per_key=1)) as pool,
    ):
        async with await pool.exchange("key", opener(server), GET, Timeouts()):
            quick = Timeouts(connect=timedelta(milliseconds=50))
            with pytest.raises(NetworkFailure, match="Too many connections"):
                await pool.exchange("key", opener(server), GET, quick)
            assert pool.in_use == 1
        assert pool.in_use == 0


async def test_idle_connections_are_closed_after_their_time() -> None:
    settings = PoolSettings(idle=timedelta(milliseconds=100))
    async with serving(answering(OK)) as server, pool_of(settings) as pool:
        await pooled(pool, server)
        assert pool.idle == 1
        connection = pool.take("key")
        assert connection is not None
        pool.give("key", connection)
        async with asyncio.timeout(5):
            await connection.lost
        assert pool.idle == 0


async def test_no_more_connections_are_kept_than_allowed() -> None:
    async with (
        serving(answering(OK)) as server,
        pool_of(PoolSettings(idle_per_key=1)) as pool,
    ):
        await asyncio.gather(*(pooled(pool, server) for _ in range(3)))
        assert server.connections == 3
        assert pool.idle == 1
