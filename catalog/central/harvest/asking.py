"""Questions to the node behind which the registry is an information system: ordinary exchanges.

The node signs, sends, verifies and logs them like those of any other system. Answers are somebody
else's words all the same: bounded in size and time, no redirects, nothing unpacked.
"""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from yarl import URL

from catalog.central.harvest.settings import CatalogSettings
from trust.errors import ExchangeError, NetworkFailure, StorageError
from trust.ids import ClientId, ServiceId

_CHUNK = 64 * 1024
_CONNECT_SECONDS = 10
_SOAP_HEADERS = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'}


@dataclass(slots=True)
class Allowance:
    """How many bytes may still come: of all answers of one institution together."""

    left: int

    def take(self, count: int) -> None:
        """Count bytes; raises ExchangeError when they are too many."""
        self.left -= count
        if self.left < 0:
            raise ExchangeError("Its answers are larger than is taken of one subsystem")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status.

    Attributes:
        fault: whether a node raised a fault, instead of passing on an answer.
    """

    status: int
    content_type: str
    fault: bool
    body: bytes = field(repr=False)


class Asker(Protocol):
    """Who carries questions: `NodeAsker`."""

    @property
    def client(self) -> ClientId: ...

    async def rest(
        self, service: ServiceId, query: str, limit: int, allowance: Allowance
    ) -> Answer: ...

    async def soap(self, envelope: bytes, limit: int, allowance: Allowance) -> Answer: ...


@dataclass(frozen=True, slots=True)
class NodeAsker:
    """Asks through one node, over kept connections."""

    client: ClientId
    _node: URL
    _session: aiohttp.ClientSession = field(repr=False)

    async def rest(
        self, service: ServiceId, query: str, limit: int, allowance: Allowance
    ) -> Answer:
        """GET a REST service; raises NetworkFailure, and ExchangeError for too large an answer.

        Args:
            query: with its question mark, percent-encoded; or empty.
        """
        url = URL(f"{self._node}/r1/{service.path}{query}", encoded=True)
        headers = {"X-Road-Client": self.client.path, "X-Road-Id": str(uuid.uuid4())}
        return await self._asked("GET", url, headers, None, limit, allowance)

    async def soap(self, envelope: bytes, limit: int, allowance: Allowance) -> Answer:
        """POST a SOAP message; raises as `rest`."""
        url = URL(f"{self._node}/", encoded=True)
        return await self._asked("POST", url, _SOAP_HEADERS, envelope, limit, allowance)

    async def _asked(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: int,
        allowance: Allowance,
    ) -> Answer:
        async with (
            _failing(),
            self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response,
        ):
            return await _read(response, limit, allowance)


@asynccontextmanager
async def open_asker(settings: CatalogSettings) -> AsyncIterator[NodeAsker]:
    """Connections to the node of the settings; raises StorageError for unusable certificates."""
    if settings.client is None:
        raise StorageError("[catalog] names no node and no client, so nobody can be asked")
    context = await asyncio.to_thread(_tls_context, settings)
    seconds = settings.answer.total_seconds()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=settings.at_once),
        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": "sacbe-registry"},
    )
    try:
        yield NodeAsker(settings.client, URL(settings.node, encoded=True).origin(), session)
    finally:
        await session.close()


@asynccontextmanager
async def _failing() -> AsyncIterator[None]:
    """Every way in which a connection fails as NetworkFailure."""
    try:
        yield
    except TimeoutError as error:
        raise NetworkFailure("The answer took too long") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NetworkFailure(f"Our own node can't be asked: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse, limit: int, allowance: Allowance) -> Answer:
    pieces = bytearray()
    async for piece in response.content.iter_chunked(_CHUNK):
        pieces += piece
        allowance.take(len(piece))
        if len(pieces) > limit:
            raise ExchangeError(f"An answer has more than {limit} bytes")
    return Answer(
        response.status,
        response.headers.get("Content-Type", "")[:500],
        "X-Road-Error" in response.headers,
        bytes(pieces),
    )


def _tls_context(settings: CatalogSettings) -> ssl.SSLContext:
    """By whom the node is known: its own certificate, or else those that the system trusts.

    A node's internal certificate names nothing that a client could compare with the address.
    """
    try:
        pinned = settings.server_certificate
        context = ssl.create_default_context(cafile=None if pinned is None else str(pinned))
        context.check_hostname = pinned is None
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if settings.certificate is not None and settings.key is not None:
            context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise StorageError(f"The certificates of [catalog] can't be used: {_why(error)}") from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
