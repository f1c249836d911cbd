"""A port: an HTTP server of bounded patience on an address, with TLS or without."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from node.exchange.respond import ExactResponse
from trust.errors import SacbeError

log = logging.getLogger("sacbe.listener")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MAX_HEADER_LINE = 16 * 1024  # bytes of the request line or of one header
_BACKLOG = 512
_HANDSHAKE = 10.0  # seconds that a TLS handshake may take
_FAREWELL = 10.0  # seconds for exchanges under way when the port is closed


class PortTaken(SacbeError):
    """An address can't be listened on."""


@dataclass(frozen=True, slots=True)
class Port:
    """Where to listen; port 0 takes any free one."""

    name: str
    host: str
    port: int
    idle: timedelta  # a connection on which nothing happens is closed after this
    tls: ssl.SSLContext | None = None
    most: int = 1000  # requests at the same time; more are asked to come again


class _Turnstile:
    """Lets so many requests in at a time; the others get 503 at once."""

    def __init__(self, handler: Handler, most: int) -> None:
        self._handler = handler
        self._free = most

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._free <= 0:
            return web.Response(
                status=503, text="Too many requests at the same time", headers={"Retry-After": "1"}
            )
        self._free -= 1
        try:
            return await self._handler(request)
        finally:
            self._free += 1


class _Connection(RequestHandler):
    """Answers what is no HTTP in a few words, and leaves who hangs up alone.

    aiohttp itself tells its version, repeats what it was sent and logs a traceback each time.
    """

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc
        if status == 500:
            log.error("a request could not be handled", exc_info=exc)
        else:
            log.info("a request was no HTTP: %.200r", message)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        answer = ExactResponse(status=status)
        answer.content_length = 0
        answer.force_close()
        return answer


class _Server(web.Server):
    """Closes connections that never say anything; aiohttp itself waits for ever."""

    def __init__(self, handler: Handler, idle: timedelta) -> None:
        super().__init__(handler)
        self._idle = idle.total_seconds()
        self._settings: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": self._idle,
            "lingering_time": min(5.0, self._idle),
            "max_line_size": MAX_HEADER_LINE,
            "max_field_size": MAX_HEADER_LINE,
            "max_headers": 500,
            "auto_decompress": False,  # compressed bodies pass as they are
        }

    def __call__(self) -> RequestHandler:
        loop = asyncio.get_running_loop()
        connection = _Connection(self, loop=loop, **self._settings)
        loop.call_later(self._idle, _close_if_silent, connection)
        return connection


def _close_if_silent(connection: RequestHandler) -> None:
    if connection._request_count == 0 and connection._current_request is None:
        connection.force_close()
        if connection.transport is not None:
            connection.transport.abort()


class Listener:
    """An open port."""

    def __init__(self, port: Port, handler: Handler) -> None:
        self._port = port
        server = _Server(_Turnstile(handler, port.most).handle, port.idle)
        self._runner = web.ServerRunner(server, shutdown_timeout=_FAREWELL)
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen from now on; raises PortTaken."""
        await self._runner.setup()
        factory = self._runner.server
        if factory is None:
            raise AssertionError("a runner that is set up has its server")
        port = self._port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                factory,
                port.host,
                port.port,
                ssl=port.tls,
                ssl_handshake_timeout=None if port.tls is None else _HANDSHAKE,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or type(error).__name__
            raise PortTaken(
                f"{port.name}: {port.host}:{port.port} can't be used: {reason}"
            ) from error

    @property
    def number(self) -> int:
        """The port that was taken."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening; exchanges under way get some seconds to end."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
