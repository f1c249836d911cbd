"""What most tests of exchanges need: a provider's system, and calls whose every byte is known."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from node.log.records import StoredRecord
from node.log.search import RecordQuery
from tests.instance import CONSUMER, SERVICE, NodeUnderTest
from tests.raw_http import Headers, RawMessage, ask, build_head, read_message

PATH = f"/r1/{SERVICE.path}"
CLIENT = ("X-Road-Client", CONSUMER.path)

SystemAnswer = Callable[[RawMessage], "bytes | Awaitable[bytes]"]


def answering(body: bytes = b'{"id":7}', status: str = "200 OK", headers: Headers = ()) -> bytes:
    """An answer with exactly these headers and a length."""
    length = () if status.startswith(("204", "304")) else (("Content-Length", str(len(body))),)
    return build_head(f"HTTP/1.1 {status}", (*headers, *length)) + body


def plain_answer(_request: RawMessage) -> bytes:
    return answering(headers=(("Content-Type", "application/json"),))


@dataclass
class System:
    """The provider's information system: answers what a test wants, remembers what it was asked.

    Attributes:
        visit: takes over a whole connection instead.
    """

    answer: SystemAnswer = plain_answer
    visit: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
    requests: list[RawMessage] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def last(self) -> RawMessage:
        return self.requests[-1]

    def reset(self) -> None:
        """Behave again, and end the connections that nodes keep."""
        self.answer, self.visit = plain_answer, None
        for writer in self._writers:
            writer.transport.abort()
        self.requests.clear()
        self.connections = 0

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["System"]:
        visits: set[asyncio.Task[None]] = set()

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            visits.add(task)
            self._writers.add(writer)
            self.connections += 1
            try:
                await (self.visit or self._serve)(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                return
            finally:
                visits.discard(task)
                self._writers.discard(writer)
                writer.close()

        server = await asyncio.start_server(run, "127.0.0.1", self.port, ssl=tls, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in visits:
                task.cancel()
            await asyncio.gather(*visits, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await read_message(reader)) is not None:
            self.requests.append(request)
            said = self.answer(request)
            writer.write(said if isinstance(said, bytes) else await said)
            await writer.drain()


def rest_request(
    method: str,
    target: str = PATH,
    headers: Headers = (CLIENT,),
    body: bytes | None = None,
) -> bytes:
    """A call as an information system writes it, with a length when there is a body."""
    length = () if body is None else (("Content-Length", str(len(body))),)
    whole = (("Host", "node.example"), *headers, *length)
    return build_head(f"{method} {target} HTTP/1.1", whole) + (body or b"")


async def call(
    node: NodeUnderTest,
    method: str = "GET",
    target: str = PATH,
    headers: Headers = (CLIENT,),
    body: bytes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
) -> RawMessage:
    """Call through a node, over HTTP or with `tls` over HTTPS."""
    port = node.running.ports["systems https" if tls else "systems http"].number
    answer = await ask("127.0.0.1", port, rest_request(method, target, headers, body), tls=tls)
    assert answer is not None, "the node ended the connection without an answer"
    return answer


def unexpected(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What nodes logged that nobody should be able to make them log: tracebacks and the like."""
    found = [*caplog.get_records("setup"), *caplog.get_records("call")]
    return [one.getMessage() for one in found if one.levelno >= logging.ERROR]


async def records(
    node: NodeUnderTest, *, exchange_id: str | None = None, message_id: str | None = None
) -> tuple[StoredRecord, ...]:
    """What the node's log has of one exchange, oldest first."""
    query = RecordQuery(exchange_id=exchange_id, message_id=message_id)
    return (await node.running.kept.log.find(query)).records
