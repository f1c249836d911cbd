"""Fetch bytes by HTTP from a server that nobody trusts: bounded in size and time, no redirects.

Source: trust.md 3 (timeouts), 5.2 (no limits in the reference).
"""

import ssl
from dataclasses import dataclass

import aiohttp

from trust.errors import NetworkFailure

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Seconds to connect, between two pieces of an answer, and for the whole of it."""

    connect_seconds: float = 10
    read_seconds: float = 30
    total_seconds: float = 120


@dataclass(frozen=True, slots=True)
class Fetched:
    status: int
    body: bytes


class Fetcher:
    """GETs over kept connections; close it when done.

    Args:
        verify_tls: whether certificates of `https` servers are verified. Configurations are
            trusted by their signature alone, so this protects no more than their secrecy.
    """

    def __init__(self, limits: FetchLimits | None = None, *, verify_tls: bool = True) -> None:
        limits = limits or FetchLimits()
        self._timeout = aiohttp.ClientTimeout(
            total=limits.total_seconds,
            connect=limits.connect_seconds,
            sock_connect=limits.connect_seconds,
            sock_read=limits.read_seconds,
        )
        self._tls = _tls_context(verify=verify_tls)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, max_bytes: int) -> Fetched:
        """The answer to a GET, whatever its status; raises NetworkFailure.

        Refused: a redirect, a body of more than `max_bytes`, an answer that takes too long.
        Bodies come as they are; encodings are not asked for.
        """
        try:
            async with self._opened().get(
                url, allow_redirects=False, headers={"Accept-Encoding": "identity"}
            ) as response:
                if 300 <= response.status < 400:
                    raise _failure(f"a redirect was answered ({response.status})")
                return Fetched(response.status, await _body(response, max_bytes))
        except TimeoutError as error:
            raise _failure("the answer took too long") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(str(error) or type(error).__name__) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=8),
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    declared = response.content_length
    if declared is not None and declared > max_bytes:
        raise _failure(f"the answer has {declared} bytes, more than {max_bytes}")
    pieces = bytearray()
    async for piece in response.content.iter_chunked(_CHUNK):
        pieces += piece
        if len(pieces) > max_bytes:
            raise _failure(f"the answer has more than {max_bytes} bytes")
    return bytes(pieces)


def _tls_context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failure(why: str) -> NetworkFailure:
    return NetworkFailure(f"The download failed: {why}")
