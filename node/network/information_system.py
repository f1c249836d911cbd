"""The provider's side calls the institution's own system and hands back what it answers.

    async with systems.call(service, head, body) as answer:
        answer.status, answer.reason, answer.headers
        async for piece in answer.pieces(): …

    async with systems.call_soap(service, content_type, soap_action, pieces) as answer: …

    download = await systems.fetch(service, url, limit, within)

What the system gets is what the consumer sent, and what it answers is what the consumer gets: no
redirect is followed, nothing is decompressed, no cookie kept, no header invented but `Host` and the
framing. Nothing is retried, for nobody knows what a system has done before it broke off.

Source: messages.md 3.11, 5.3, 5.4, 8.3; errors.md 6; X-Road 7.8 CustomSSLSocketFactory.java.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from catalog.services import Service
from node.body import Section
from node.messages.rest import METHODS_WITH_BODY, RestRequestHead
from node.network.answer import Answer, Limits
from node.network.http_head import OutboundRequest
from node.network.outbound import HttpConnection, Timeouts
from node.network.pool import ConnectionPool, Destination, PoolSettings, open_connection
from node.network.service_address import ServiceAddress
from node.network.tls import TlsIdentity, system_client
from trust.errors import ExchangeError, NetworkFailure, UntrustedPeer

CONNECT_TIMEOUT = timedelta(seconds=30)
_IDLE = timedelta(seconds=4)  # common servers close after 5
_OK = 200
_WITHOUT_ENTITY = (204, 304)


class SystemAnswer:
    """What the institution's system answers; its body is read once, as it comes."""

    __slots__ = ("_answer", "has_entity", "headers", "reason", "status")

    def __init__(self, answer: Answer, method: str) -> None:
        head = answer.head
        self.status = head.status
        self.reason = head.reason
        self.headers = head.raw_headers
        # an entity of no bytes is one, too (transport.md 6)
        self.has_entity = method != "HEAD" and head.status not in _WITHOUT_ENTITY
        self._answer = answer

    @property
    def content_type(self) -> str | None:
        return self._answer.head.first("content-type")

    def pieces(self) -> AsyncIterator[bytes]:
        """The body; raises NetworkFailure when it breaks off or stalls."""
        return self._answer.pieces()

    async def download(self, limit: int) -> "Download":
        """All of it, if it is a document; raises NetworkFailure beyond `limit` bytes."""
        named = [(name.lower(), value.decode("latin-1")) for name, value in self.headers]
        if any(name == b"content-encoding" and value != "identity" for name, value in named):
            raise NetworkFailure("The answer is encoded, which nobody asked for", "io_error")
        types = tuple(value for name, value in named if name == b"content-type")
        body = await self._answer.read(limit) if self.status == _OK else b""
        return Download(self.status, self.reason, types, body)


@dataclass(frozen=True, slots=True)
class Download:
    """A document that a system gave; `body` is empty unless the status is 200."""

    status: int
    reason: str
    content_types: tuple[str, ...]
    body: bytes = field(repr=False)


class InformationSystem:
    """Calls the services of this institution's systems, over connections that are kept a while.

    Args:
        identity: the node's internal TLS certificate, offered to every system by HTTPS; None for
            none.
    """

    def __init__(self, identity: Callable[[], TlsIdentity | None]) -> None:
        self._identity = identity
        self._limits = Limits()
        self._pool = ConnectionPool(PoolSettings(idle=_IDLE, limits=self._limits))
        self._shown: TlsIdentity | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def idle(self) -> int:
        """Connections that wait for work."""
        return self._pool.idle

    @property
    def in_use(self) -> int:
        """Connections at work or being opened."""
        return self._pool.in_use

    @asynccontextmanager
    async def call(
        self, service: Service, head: RestRequestHead, body: Section | None
    ) -> AsyncIterator[SystemAnswer]:
        """Send a verified REST request to its service; any status is an answer.

        Raises ExchangeError (`service_missing_url`, `service_malformed_url`), UntrustedPeer,
        NetworkFailure.
        """
        address = _address(service)
        request = _request(address, head, body)
        timeouts = Timeouts(connect=CONNECT_TIMEOUT, read=service.timeout)
        async with self._exchange(service, address, request, timeouts) as answer:
            yield answer

    @asynccontextmanager
    async def call_soap(
        self,
        service: Service,
        content_type: str,
        soap_action: str,
        pieces: AsyncIterator[bytes],
    ) -> AsyncIterator[SystemAnswer]:
        """Send a verified SOAP request to its service's address, to which nothing is added.

        Raises what `call` raises.
        """
        address = _address(service)
        headers = (
            ("Content-Type", content_type), ("SOAPAction", soap_action), ("accept-encoding", ""),
        )  # fmt: skip
        request = OutboundRequest(
            "POST", address.target("", None), address.host_header, headers, stream=pieces
        )
        timeouts = Timeouts(connect=service.timeout, read=service.timeout)
        async with self._exchange(service, address, request, timeouts) as answer:
            yield answer

    async def fetch(self, service: Service, url: str, limit: int, within: timedelta) -> Download:
        """Get a document at another address of the service's system, by the service's TLS rules.

        Args:
            limit: bytes that it may have.
            within: how long all of it may take.

        Raises:
            NetworkFailure: no whole answer within its bounds, or an encoded one.
            UntrustedPeer, ExchangeError: as `call` does.
        """
        base, separator, query = url.partition("?")
        address = ServiceAddress.parse(base)
        request = OutboundRequest(
            "GET",
            address.target("", query if separator else None),
            address.host_header,
            (("Accept", "*/*"), ("Accept-Encoding", "identity")),
        )
        timeouts = Timeouts(connect=min(CONNECT_TIMEOUT, within), read=within)
        try:
            async with (
                asyncio.timeout(within.total_seconds()),
                self._exchange(service, address, request, timeouts) as answer,
            ):
                return await answer.download(limit)
        except TimeoutError as error:
            raise NetworkFailure("The answer took too long", "io_error") from error

    @asynccontextmanager
    async def _exchange(
        self,
        service: Service,
        address: ServiceAddress,
        request: OutboundRequest,
        timeouts: Timeouts,
    ) -> AsyncIterator[SystemAnswer]:
        destination = Destination(
            address.host, address.port, self._client_context() if address.encrypted else None
        )
        pinned = _pinned(service) if address.encrypted else None

        async def judge(connection: HttpConnection) -> None:
            _check_certificate(connection, pinned)

        async def open_it() -> HttpConnection:
            return await open_connection(destination, self._limits, timeouts.connect, judge)

        exchange = await self._pool.exchange((destination, pinned), open_it, request, timeouts)
        async with exchange as answer:
            yield SystemAnswer(answer, request.method)

    async def close(self) -> None:
        """Close what is idle; calls under way end first and then close theirs."""
        await self._pool.close()

    def _client_context(self) -> ssl.SSLContext:
        identity = self._identity()
        if self._context is None or identity != self._shown:
            self._context = system_client(identity)
            self._shown = identity
        return self._context


def _address(service: Service) -> ServiceAddress:
    if not service.url:
        raise ExchangeError(
            f"Service address not specified for '{service.id}'", "service_missing_url"
        )
    return ServiceAddress.parse(service.url)


def _pinned(service: Service) -> tuple[bytes, ...] | None:
    """The certificates of which the system must show one; None when it may show any."""
    if not service.verify_tls:
        return None
    if not service.certificates:
        raise UntrustedPeer(f"Client '{service.id.provider}' has no IS certificates")
    return service.certificates


def _check_certificate(connection: HttpConnection, pinned: tuple[bytes, ...] | None) -> None:
    if pinned is None:
        return
    shown = connection.tls.getpeercert(binary_form=True) if connection.tls else None
    if shown not in pinned:
        raise UntrustedPeer("IS certificate is not trusted")


def _request(
    address: ServiceAddress, head: RestRequestHead, body: Section | None
) -> OutboundRequest:
    target = address.target(head.service_path, head.query)
    if body is None or head.method not in METHODS_WITH_BODY:
        return OutboundRequest(head.method, target, address.host_header, head.headers)
    if body.spooled:
        stream, whole = body.pieces(), b""
    else:
        stream, whole = None, body.read_at(0, body.size)
    return OutboundRequest(
        head.method, target, address.host_header, head.headers, whole, stream, body.size
    )
