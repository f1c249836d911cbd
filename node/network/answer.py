"""One HTTP answer as it arrives: fed with bytes, asked for its head and its body.

llhttp (httptools) does the reading; what it lets pass and HTTP does not is refused here: other
versions, transfer codings besides `chunked`, switching protocols, heads without bound.

Failures follow errors.md 3: `network_error` until the first byte has come, `io_error` later.
Source: RFC 9112; docs/decisions/0021-own-http-client.md.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import httptools

from node.network.http_head import ResponseHead
from trust.errors import NetworkFailure

_PER_PIECE = 64  # bytes of memory that a piece costs besides its content
_MAX_INTERIM = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer may hold; more is refused with `io_error`.

    Attributes:
        head_bytes: status line and headers together; also what trailers and chunk headers may
            take in one run.
        headers: how many there may be.
        buffered: bytes of a body that wait for their reader before the sender is held back.
    """

    head_bytes: int = 64 * 1024
    headers: int = 500
    buffered: int = 256 * 1024


class Answer:
    """The answer to one request.

    Attributes:
        ended: the answer is complete; what is left of its body waits here.
        error: why it will never be complete; its reader gets what came before, then the error.
        in_step: whether the connection may carry another exchange after this one.
        held_back: whether the sender should pause until the reader has caught up.
    """

    def __init__(
        self,
        method: str,
        limits: Limits,
        let_go: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Expect the answer to a request with `method`; `let_go` is called when it may flow on."""
        self.ended = False
        self.error: BaseException | None = None
        self.in_step = True
        self.held_back = False
        self._method = method
        self._limits = limits
        self._let_go = let_go
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[ResponseHead] = loop.create_future()
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._interim = 0
        self._begun = False
        self._silent = 0  # bytes received since the last that got anywhere
        self._progress = False
        self._until_close = False
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._reader: asyncio.Future[None] | None = None

    # --- for the reader -----------------------------------------------------------------------

    @property
    def head(self) -> ResponseHead:
        """Status and headers, once `arrive` has returned."""
        return self._head.result()

    @property
    def has_head(self) -> bool:
        return self._head.done() and not self._head.cancelled() and self._head.exception() is None

    async def arrive(self) -> None:
        """Wait for the head; raises what `fail` was given, or NetworkFailure."""
        await self._head

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, once, from the front; raises NetworkFailure when it breaks off."""
        while piece := await self.next_piece():
            yield piece

    async def next_piece(self) -> bytes:
        """What has come of the body, waiting for the first byte; empty at its end."""
        while not self._pieces:
            if self.error is not None:
                raise self.error
            if self.ended:
                return b""
            self._reader = self._loop.create_future()
            await self._reader
        found = b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if self.held_back:
            self.held_back = False
            self._let_go()
        return found

    async def read(self, limit: int) -> bytes:
        """The whole body; raises NetworkFailure when it is longer than `limit` bytes."""
        found = bytearray()
        async for piece in self.pieces():
            found += piece
            if len(found) > limit:
                raise NetworkFailure(f"The answer is longer than {limit} bytes", "io_error")
        return bytes(found)

    # --- for the connection -------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire; look at `ended`, `error` and `held_back` afterwards."""
        self._begun = True
        self._progress = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("the server switched protocols")
        except httptools.HttpParserError as error:
            self.in_step = False
            self._refuse(str(error))  # without effect when the answer was complete before
        self._silent = 0 if self._progress else self._silent + len(data)
        if self._silent > self._limits.head_bytes:
            self._refuse("its head is too long")

    def end_of_stream(self, clean: bool) -> None:
        """Nothing more will come; `clean` unless TLS says that the stream was cut."""
        self.in_step = False
        if self._until_close and clean:
            self._end()
        code = "io_error" if self._begun else "network_error"
        self.fail(NetworkFailure("The connection was closed before the answer was complete", code))

    def fail(self, error: BaseException) -> None:
        """Let the reader see an error, unless the answer is complete."""
        if self.ended or self.error is not None:
            return
        self.error = error
        self.in_step = False
        if not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # seen, even if nobody waits for it any more
        _wake(self._reader)

    # --- callbacks of the parser --------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.ended:
            self.in_step = False  # a second answer that nobody asked for

    def on_status(self, part: bytes) -> None:
        self._reason += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head.done():
            return  # a trailer: not part of the head, and nobody here needs one
        self._headers.append((name, value.strip(b" \t")))
        if len(self._headers) > self._limits.headers:
            self._refuse("it has too many headers")

    def on_headers_complete(self) -> None:
        if self._head.done():
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                self._refuse("it never gets beyond interim answers")
            return
        version = self._parser.get_http_version()
        framing = _Framing(self._headers, version)
        problem = self._problem(status, framing, version)
        if problem:
            self._refuse(problem)
            return
        self._progress = True
        empty = self._method == "HEAD" or status in (204, 304)
        self._until_close = not empty and not framing.bounded
        self.in_step = not self._until_close and framing.persistent
        self._head.set_result(ResponseHead.read(status, self._reason, self._headers))
        if empty:
            self._end()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        if self.ended or self.error is not None:
            self.in_step = False  # an answer to HEAD, 204, 304 that has a body all the same
            return
        self._pieces.append(body)
        self._buffered += len(body) + _PER_PIECE
        self.held_back = self._buffered > self._limits.buffered
        _wake(self._reader)

    def on_message_complete(self) -> None:
        if self._head.done():
            self._end()
        else:  # an interim answer; the next head begins
            self._headers = []
            self._reason = b""

    def _problem(self, status: int, framing: "_Framing", version: str) -> str:
        """What is wrong with a head that llhttp took, or an empty string."""
        if version not in ("1.1", "1.0"):
            return f"it is written in HTTP {version}"
        if status < 100:
            return "its status is no status"
        if framing.size + len(self._reason) > self._limits.head_bytes:
            return "its head is too long"
        if framing.codings and (version == "1.0" or framing.codings != [b"chunked"]):
            return "its transfer coding is not chunked"
        return ""

    def _end(self) -> None:
        if self.error is None:
            self.ended = True
            _wake(self._reader)

    def _refuse(self, reason: str) -> None:
        self.fail(NetworkFailure(f"The answer is not valid HTTP: {reason}", "io_error"))


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class _Framing:
    """What the headers say about where the answer ends and whether the connection stays."""

    __slots__ = ("bounded", "codings", "persistent", "size")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], version: str) -> None:
        self.size = 0
        self.bounded = False
        self.codings: list[bytes] = []
        options: list[bytes] = []
        for name, value in headers:
            self.size += len(name) + len(value) + 4
            match name.lower():
                case b"content-length":
                    self.bounded = True
                case b"transfer-encoding":
                    self.bounded = True
                    self.codings.append(value.lower())
                case b"connection":
                    options += (option.strip() for option in value.lower().split(b","))
        self.persistent = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
