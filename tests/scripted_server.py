"""A server that says what a test wants it to say, over plain TCP or TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class Scripted:
    """A server that follows one script for each connection."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        """The head of a request, with a body that has a length."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = await reader.readexactly(length)
        self.requests.append(head + body)
        self.asked.set()
        return head + body


@asynccontextmanager
async def serving(
    script: Callable[[Scripted, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Scripted]:
    state = Scripted()
    visits: set[asyncio.Task[None]] = set()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        task = asyncio.current_task()
        assert task is not None
        visits.add(task)
        try:
            await script(state, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            visits.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(visit, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in visits:
            task.cancel()
        await asyncio.sleep(0.01)  # transports are closed one turn of the loop later


def answering(*answers: bytes, close: bool = False) -> Callable[..., Awaitable[None]]:
    """Read a request, say the next answer, and so on; then close or stay silent."""

    async def script(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for answer in answers:
            await state.read_request(reader)
            writer.write(answer)
            await writer.drain()
        if close:
            writer.close()
            await writer.wait_closed()
        else:
            await reader.read()

    return script
