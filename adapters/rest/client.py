"""One HTTP server that is asked: bounded answers, no redirects, nothing sent twice.

Connections are kept for the next request. Another attempt is made only while connecting, when not
a byte of the request has gone out. No text of an error holds an address, a value or a secret.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from adapters.operations import SourceTimeout, SourceUnavailable
from adapters.rest.tls import Recognition
from node.network.answer import Limits
from node.network.http_head import Headers, OutboundRequest
from node.network.outbound import HttpConnection, Timeouts
from node.network.pool import ConnectionPool, Destination, PoolSettings, open_connection
from node.network.service_address import ServiceAddress
from trust.errors import MalformedMessage, NetworkFailure, UntrustedPeer

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_IDLE = timedelta(seconds=4)  # common servers close after 5
_SLACK = timedelta(seconds=60)  # the pool's own clock is behind ours


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole; names of headers in lower case, the first of each."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class AnswerTooLong(SourceUnavailable):
    """The answer is longer than is taken."""


class UpstreamClient:
    """Asks one server.

    Args:
        within: for a whole exchange, the wait for a connection included.
    """

    def __init__(
        self,
        url: str,
        recognition: Recognition,
        *,
        connect: timedelta,
        within: timedelta,
        connections: int = 8,
        retries: int = 0,
        max_answer: int,
    ) -> None:
        self._address = ServiceAddress.parse(url)
        self._recognition = recognition
        self._destination = Destination(
            self._address.host,
            self._address.port,
            recognition.context if self._address.encrypted else None,
        )
        self._timeouts = Timeouts(connect=connect, read=within + _SLACK)
        self._within = within
        self._retries = retries
        self._max_answer = max_answer
        self._limits = Limits()
        self._pool = ConnectionPool(
            PoolSettings(idle=_IDLE, in_use_per_key=connections, limits=self._limits)
        )

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        headers: Headers = (),
        body: bytes | None = None,
    ) -> Response:
        """The answer, whatever its status; raises SourceTimeout or SourceUnavailable."""
        target = self._address.target(path, urlencode(query) if query else None)
        request = OutboundRequest(
            method, target, self._address.host_header, headers, body if body is not None else b""
        )
        try:
            async with asyncio.timeout(self._within.total_seconds()):
                connection = await self._connected(method)
                return await self._exchange(connection, request)
        except TimeoutError:
            raise SourceTimeout("the service did not answer in time") from None
        except UntrustedPeer as error:
            raise SourceUnavailable(str(error)) from None
        except MalformedMessage:
            raise SourceUnavailable("the request can't be written as HTTP") from None
        except NetworkFailure as error:
            raise SourceUnavailable(f"the service can't be asked: {error}") from None

    async def _connected(self, method: str) -> HttpConnection:
        """A connection, with further attempts where the method allows them."""
        attempts = 1 + (self._retries if method in IDEMPOTENT else 0)
        while True:
            attempts -= 1
            try:
                return await self._pool.acquire(
                    self._destination, self._open, self._timeouts.connect
                )
            except NetworkFailure:
                if not attempts:
                    raise

    async def _open(self) -> HttpConnection:
        async def judge(connection: HttpConnection) -> None:
            self._recognition.judge(connection)

        return await open_connection(self._destination, self._limits, self._timeouts.connect, judge)

    async def _exchange(self, connection: HttpConnection, request: OutboundRequest) -> Response:
        try:
            answer = await connection.exchange(request, self._timeouts)
            head = answer.head
            headers: dict[str, str] = {}
            for name, value in head.headers:
                headers.setdefault(name.lower(), value)
            body = bytearray()
            async for piece in answer.pieces():
                body += piece
                if len(body) > self._max_answer:
                    raise AnswerTooLong(f"the answer is longer than {self._max_answer} bytes")
            return Response(head.status, headers, bytes(body))
        finally:
            try:
                await connection.finish()
            finally:
                self._pool.give(self._destination, connection)

    @property
    def in_use(self) -> int:
        """Connections at work or being opened."""
        return self._pool.in_use

    async def close(self) -> None:
        """Close what is idle; requests under way end first."""
        await self._pool.close()
