"""A port: an HTTP server of bounded patience on an address, with TLS or without."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from trust.errors import SacbeError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MAX_HEADER_LINE = 16 * 1024  # bytes of the request line or of one header
_BACKLOG = 512


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


class _Server(web.Server):
    """Closes connections that never say anything; aiohttp itself waits for ever."""

    def __init__(self, handler: Handler, idle: timedelta) -> None:
        self._idle = idle.total_seconds()
        super().__init__(
            handler,
            access_log=None,
            keepalive_timeout=self._idle,
            lingering_time=min(5.0, self._idle),
            max_line_size=MAX_HEADER_LINE,
            max_field_size=MAX_HEADER_LINE,
            max_headers=500,
            auto_decompress=False,  # compressed bodies pass as they are
        )

    def __call__(self) -> RequestHandler:
        connection = super().__call__()
        loop = asyncio.get_running_loop()
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
        self._runner = web.ServerRunner(_Server(handler, port.idle), shutdown_timeout=10)
        self._site: web.TCPSite | None = None

    async def open(self) -> None:
        """Listen from now on; raises PortTaken."""
        await self._runner.setup()
        port = self._port
        self._site = web.TCPSite(
            self._runner,
            port.host,
            port.port,
            ssl_context=port.tls,
            backlog=_BACKLOG,
        )
        try:
            await self._site.start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or type(error).__name__
            raise PortTaken(
                f"{port.name}: {port.host}:{port.port} can't be used: {reason}"
            ) from error

    @property
    def number(self) -> int:
        """The port that was taken."""
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else 0

    async def close(self) -> None:
        """Stop listening; exchanges under way get some seconds to end."""
        await self._runner.cleanup()
