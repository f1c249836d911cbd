"""Read an HTTP request with patience, answer it with exactly the headers that were given."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from datetime import timedelta

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from trust.errors import NetworkFailure

_NO_BODY = (204, 304)
_STALL_SECONDS = 60.0
_ABSOLUTE = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)


class ExactResponse(web.StreamResponse):
    """An answer to which no `Server` and no `Content-Type` is added that was not given."""

    async def _prepare_headers(self) -> None:
        invented = [name for name in (hdrs.CONTENT_TYPE, hdrs.SERVER) if name not in self._headers]
        await super()._prepare_headers()
        for name in invented:
            self._headers.popall(name, None)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._unless_stalled(super().write(data))

    async def write_eof(self, data: bytes = b"") -> None:
        await self._unless_stalled(super().write_eof(data))

    async def _unless_stalled(self, writing: Coroutine[None, None, None]) -> None:
        """Give up on a receiver that takes nothing: it would hold its place for ever."""
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                await writing
        except TimeoutError as error:
            transport = None if self._req is None else self._req.transport
            if transport is not None:
                transport.abort()
            raise NetworkFailure("The receiver of the answer stands still", "io_error") from error


async def request_pieces(request: web.BaseRequest, patience: timedelta) -> AsyncIterator[bytes]:
    """The body of a request as it arrives.

    Raises NetworkFailure (`io_error`) when the sender stands still or hangs up. What is no HTTP
    any more in the midst of a body is not read on, so it is one who stands still.
    """
    seconds = patience.total_seconds()
    await _invite(request)
    while True:
        try:
            async with asyncio.timeout(seconds):
                piece = await request.content.readany()
        except TimeoutError as error:
            raise NetworkFailure("Read timed out", "io_error") from error
        except ConnectionError as error:
            raise NetworkFailure("The request broke off", "io_error") from error
        if not piece:
            return
        yield piece


async def _invite(request: web.BaseRequest) -> None:
    """Tell a sender that waits for it to go on (RFC 9110 10.1.1)."""
    waits = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if waits and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def origin_target(request: web.BaseRequest) -> str:
    """Path and query as received, also when they follow a host, as HTTP proxies are asked."""
    return _ABSOLUTE.sub("", request.raw_path, count=1)


def has_body(method: str, status: int) -> bool:
    """Whether an answer to this method with this status carries a body at all (RFC 9110 6.4.1)."""
    return method != "HEAD" and status not in _NO_BODY


async def respond(
    request: web.BaseRequest,
    status: int,
    headers: Iterable[tuple[str, str]],
    body: AsyncIterable[bytes] | None,
    length: int | None,
) -> web.StreamResponse:
    """Send a whole answer.

    Args:
        body: its pieces; None for an empty one.
        length: bytes of the body when known; else the body is sent chunked.
    """
    response = ExactResponse(status=status, headers=CIMultiDict(headers))
    sends = has_body(request.method, status)
    if sends and length is not None:
        response.content_length = length
    await response.prepare(request)
    if sends and body is not None:
        async for piece in body:
            await response.write(piece)
    await response.write_eof()
    return response


async def respond_bytes(
    request: web.BaseRequest, status: int, headers: Iterable[tuple[str, str]], body: bytes
) -> web.StreamResponse:
    """Send a whole answer whose body is at hand."""
    response = ExactResponse(status=status, headers=CIMultiDict(headers))
    if has_body(request.method, status):
        response.content_length = len(body)
    await response.prepare(request)
    if has_body(request.method, status):
        await response.write(body)
    await response.write_eof()
    return response
