"""Both ends of a measured exchange: who asks without pause, and the system that answers.

Each is a process of its own and costs as little as Python can, so that what lies between them is
what is measured. The asking end keeps N connections; each sends its next request when the answer to
the last one is complete (a closed loop).
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import httptools
import uvloop

BODY_SIZES = {"small": 100, "100k": 100_000}
_TEXT = b'{"name": "Itzamna", "born": "1971-03-04", "address": "Calle 60, Merida"}\n'
_PATIENCE = 30.0  # seconds that a lone answer may take
_SHOWN = 300  # bytes of an unexpected answer that are quoted


def body_of(size: int) -> bytes:
    """Text of this many bytes."""
    return (_TEXT * (size // len(_TEXT) + 1))[:size]


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What to ask, and how hard.

    Attributes:
        body: a name of BODY_SIZES; request and answer have a body of this size each.
        warm_up, seconds: how long to ask before and during the measurement.
    """

    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    connections: int
    warm_up: float
    seconds: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        found: dict[str, Any] = json.loads(text)
        headers = tuple((str(name), str(value)) for name, value in found.pop("headers"))
        return cls(headers=headers, **found)

    @property
    def size(self) -> int:
        return BODY_SIZES[self.body]

    def request(self) -> bytes:
        """The whole request as it goes on the wire, each time the same."""
        lines = [f"POST {self.target} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["Content-Type: application/json", f"Content-Length: {self.size}", "", ""]
        return "\r\n".join(lines).encode("ascii") + body_of(self.size)


@dataclass(slots=True)
class LoadResult:
    """What came of it.

    Attributes:
        seconds: how long was measured.
        latencies: of every exchange that ended while it was measured, in microseconds.
        failed: answers that were not as expected, also during the warm-up.
        failure: the first of those, in words.
    """

    seconds: float = 0.0
    latencies: list[int] = field(default_factory=list)
    failed: int = 0
    failure: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


class _Asker(asyncio.Protocol):
    """One connection that asks again and again."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._asked = 0.0
        self._size = 0
        self._shown = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP is a full transport
        self._ask()

    def _ask(self) -> None:
        if self._transport is not None and not self._load.over:
            self._size = 0
            self._shown = b""
            self._asked = time.perf_counter()
            self._transport.write(self._load.request)
        elif self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._load.fail(f"the answer is no HTTP: {error}")
            self.give_up()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if len(self._shown) < _SHOWN:
            self._shown += body[:_SHOWN]

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 200 and self._size == self._load.order.size:
            self._load.answered(self._asked)
        else:
            start = self._shown[:_SHOWN].decode(errors="replace")
            self._load.fail(f"status {status}, {self._size} bytes: {start}")
        self._ask()

    def give_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.over:
            self._load.fail("the connection was closed")
        self._load.ended(self)


class _Load:
    """The whole load, and what is measured of it."""

    def __init__(self, order: LoadOrder) -> None:
        self.order = order
        self.request = order.request()
        self.over = False
        self.result = LoadResult()
        self._measuring = False
        self._askers: set[_Asker] = set()
        self._idle = asyncio.Event()

    def answered(self, asked: float) -> None:
        if self._measuring:
            self.result.latencies.append(round((time.perf_counter() - asked) * 1_000_000))

    def fail(self, reason: str) -> None:
        self.result.failed += 1
        self.result.failure = self.result.failure or reason

    def ended(self, asker: _Asker) -> None:
        self._askers.discard(asker)
        if not self._askers:
            self._idle.set()

    async def run(self) -> LoadResult:
        """Ask; say on lines `measuring` when the warm-up is over, and `measured` at the end."""
        order, loop = self.order, asyncio.get_running_loop()
        for _ in range(order.connections):
            _, asker = await loop.create_connection(
                lambda: _Asker(self), host=order.host, port=order.port
            )
            self._askers.add(asker)
        await self._while_it_lasts(order.warm_up)
        print("measuring", flush=True)
        began = time.perf_counter()
        self._measuring = True
        await self._while_it_lasts(order.seconds)
        self._measuring = False
        self.result.seconds = time.perf_counter() - began
        print("measured", flush=True)
        await self._finish()
        return self.result

    async def _while_it_lasts(self, seconds: float) -> None:
        """Wait; not any longer when no connection is left."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return

    async def _finish(self) -> None:
        self.over = True
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._idle.wait()
        except TimeoutError:
            self.fail(f"{len(self._askers)} answers did not come within {_PATIENCE:.0f} s")
            for asker in list(self._askers):
                asker.give_up()


class _System(asyncio.Protocol):
    """A connection to the answering system: any path that ends in a name of BODY_SIZES."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._target = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP is a full transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_message_complete(self) -> None:
        answer = _ANSWERS.get(self._target.rpartition(b"/")[2], _NOT_FOUND)
        self._target = b""
        if self._transport is not None:
            self._transport.write(answer)


_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_ANSWERS = {
    name.encode(): b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    + b"Content-Length: %d\r\n\r\n%b" % (size, body_of(size))
    for name, size in BODY_SIZES.items()
}


async def _ask() -> None:
    order = LoadOrder.from_json(sys.stdin.readline())
    print((await _Load(order).run()).to_json(), flush=True)


async def _answer() -> None:
    """Serve until the standard input ends; the port stands on the first line of the output."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_System, host="127.0.0.1", port=0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # ends with whoever started us, however they went
    server.close()


def main(arguments: Sequence[str]) -> None:
    """Be the end that the first argument names: `ask` or `answer`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_ask() if arguments[0] == "ask" else _answer())


if __name__ == "__main__":
    main(sys.argv[1:])
