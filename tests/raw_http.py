"""HTTP by hand: every byte that goes out is the test's own, and every byte that comes is seen."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Headers = Sequence[tuple[str, str]]
PATIENCE = 20  # seconds until a test fails because nobody answers


@dataclass
class RawMessage:
    """A request or an answer as it came.

    Attributes:
        ended: whether the body was complete by its own framing.
    """

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    ended: bool = True
    interim: list[str] = field(default_factory=list)  # start lines of 1xx answers before this one

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


async def read_message(
    reader: asyncio.StreamReader, *, answer_to: str | None = None
) -> RawMessage | None:
    """Read one message; None when the connection ends before the first byte of it.

    Args:
        answer_to: the method that is answered; None reads a request.
    """
    interim: list[str] = []
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None
        start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        found = RawMessage(start, [(name, value.strip(" \t")) for name, _, value in pairs])
        if answer_to is None or found.status >= 200 or found.status == 101:
            break
        interim.append(start)
    found.interim = interim
    bodiless = answer_to == "HEAD" or (answer_to is not None and found.status in (204, 304))
    if not bodiless:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await _read_body(reader, found, until_close=answer_to is not None)
    return found


async def _read_body(reader: asyncio.StreamReader, found: RawMessage, *, until_close: bool) -> None:
    found.ended = False
    length = found.first("content-length")
    if (found.first("transfer-encoding") or "").lower() == "chunked":
        found.ended = await _read_chunks(reader, found)
    elif length is not None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            found.body = await reader.readexactly(int(length))
            found.ended = True
    elif until_close:
        found.body = await reader.read()
        found.ended = True
    else:
        found.ended = True


async def _read_chunks(reader: asyncio.StreamReader, found: RawMessage) -> bool:
    try:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            found.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError:
        return False
    return True


def build_head(start: str, headers: Headers) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@asynccontextmanager
async def connected(
    host: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is gone at the end of the block; nobody says goodbye."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=1 << 20)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(
    host: str, port: int, request: bytes, *, tls: ssl.SSLContext | None = None
) -> RawMessage | None:
    """Send one request over a connection of its own; None when it ends without an answer."""
    method = request.split(b" ", 1)[0].decode()
    async with asyncio.timeout(PATIENCE), connected(host, port, tls) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        return await read_message(reader, answer_to=method)
