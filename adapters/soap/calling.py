"""Send an envelope and read the answer: bounded in bytes and time, no redirects, no cookies."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from yarl import URL

from adapters.operations import SourceTimeout, SourceUnavailable
from adapters.soap.settings import CallingSettings, ServiceTlsSettings
from trust.errors import ConfigurationError, ConfigurationProblem, MalformedMessage
from trust.secrets import read_secret

_PROBE = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back, whatever its status."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class HttpCaller:
    """The connections to one service; its address is fixed."""

    def __init__(self, address: str, settings: CallingSettings) -> None:
        """Read certificates and keys; ConfigurationError when one can't be used."""
        self._url = URL(address, encoded=True)
        self._settings = settings
        context = _tls_context(settings.tls) if self._url.scheme == "https" else None
        self._ssl: ssl.SSLContext | bool = True if context is None else context
        self._session: aiohttp.ClientSession | None = None

    async def post(self, envelope: bytes, headers: dict[str, str]) -> HttpAnswer:
        """Send an envelope.

        Raises SourceTimeout, SourceUnavailable, or MalformedMessage for what is no answer.
        """
        try:
            async with self._open().post(
                self._url,
                data=envelope,
                headers=headers,
                allow_redirects=False,
                ssl=self._ssl,
            ) as response:
                return await self._read(response)
        except TimeoutError as error:
            raise SourceTimeout("the service did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceUnavailable(f"the service: {_kind(error)}") from error

    async def _read(self, response: aiohttp.ClientResponse) -> HttpAnswer:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise MalformedMessage("the answer is compressed, which was not asked for")
        most = int(self._settings.max_answer)
        if (response.content_length or 0) > most:
            raise self._too_long()
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                raise self._too_long()
        content_type = response.headers.get("Content-Type", "")
        return HttpAnswer(response.status, content_type, bytes(body))

    def _too_long(self) -> MalformedMessage:
        limit = self._settings.max_answer
        return MalformedMessage(f"the answer is longer than calling.max_answer ({limit})")

    async def problem(self) -> str | None:
        """Whether the service takes a connection; nothing is asked, which a node would log."""
        tls = self._ssl if isinstance(self._ssl, ssl.SSLContext) else None
        try:
            async with asyncio.timeout(_PROBE):
                _, writer = await asyncio.open_connection(
                    self._url.raw_host, self._url.port, ssl=tls
                )
        except TimeoutError:
            return "the service does not answer"
        except (OSError, ValueError) as error:  # ValueError: a name that can't be looked up
            return f"the service: {_kind(error)}"
        writer.close()
        with suppress(OSError):  # it took the connection, however it ends
            async with asyncio.timeout(_PROBE):
                await writer.wait_closed()
        return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout.total_seconds()),
                headers={"User-Agent": "sacbe-adapter", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _kind(error: BaseException) -> str:
    """What kind of error it is; the texts of errors hold addresses."""
    cause = error.__cause__ or getattr(error, "os_error", None)
    return type(error).__name__ + (f" ({type(cause).__name__})" if cause is not None else "")


def _tls_context(tls: ServiceTlsSettings) -> ssl.SSLContext:
    if tls.pinned:
        context = _pinning_context(frozenset(der for path in tls.pinned for der in _ders(path)))
    elif tls.authorities:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust(context, tls.authorities)
    else:
        context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None and tls.key is not None:
        read_secret(tls.key)  # not open to every user
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise _unfit(tls.certificate, "a certificate and an unencrypted key") from error
    return context


def _pinning_context(pinned: frozenset[bytes]) -> ssl.SSLContext:
    """A context that believes these certificates alone; judged before anything is sent."""

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if self.getpeercert(binary_form=True) not in pinned:
                raise ssl.SSLCertVerificationError("another certificate than the pinned ones")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = Pinned
    return context


def _ders(path: Path) -> list[bytes]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unfit(path, "certificates, PEM") from error
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


def _no_password() -> bytes:
    return b""  # else OpenSSL asks on the terminal


def _trust(context: ssl.SSLContext, paths: tuple[Path, ...]) -> None:
    for path in paths:
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise _unfit(path, "certificates, PEM") from error


def _unfit(path: Path, expected: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(str(path), 0, "an unfit file", expected)])
