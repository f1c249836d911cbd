"""SOAP services on loopback that answer what a test tells them to."""

import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import SSLContext

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from adapters.operations import Source
from adapters.settings import AdapterSettings
from adapters.shell import build_app, serving

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SPYNE = Path(__file__).parent / "foreign" / "spyne_persons.py"
Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def envelope(body: str, header: str = "") -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Header>{header}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def echoed(text: str = "hi") -> bytes:
    """The answer of `soap_descriptions.ECHO`."""
    return envelope(f'<echoResponse xmlns="urn:t"><text>{text}</text></echoResponse>')


def fault(code: str, text: str, detail: str = "") -> bytes:
    return envelope(
        f"<s:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>"
        f"<detail>{detail}</detail></s:Fault>"
    )


@dataclass
class Service:
    """What a service answers, and what it was sent."""

    body: bytes = field(default_factory=echoed)
    content_type: str = "text/xml; charset=utf-8"
    status: int = 200
    answerer: Answerer | None = None
    requests: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.read())
        self.headers.append(dict(request.headers))
        if self.answerer is not None:
            return await self.answerer(request)
        headers = {"Content-Type": self.content_type} if self.content_type else {}
        return web.Response(status=self.status, body=self.body, headers=headers)


@asynccontextmanager
async def listening(service: Service, tls: SSLContext | None = None) -> AsyncIterator[str]:
    """Serve until the block ends; yields the address."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/service"
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Rest:
    """The REST face of an adapter."""

    client: aiohttp.ClientSession
    url: str

    async def call(
        self, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, object]]:
        """Status and JSON; a GET without a body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "GET" if body is None else "POST"
        async with self.client.request(
            method, self.url + path, json=body, headers=named
        ) as response:
            return response.status, await response.json()


@asynccontextmanager
async def adapter(settings: AdapterSettings, source: Source) -> AsyncIterator[Rest]:
    """An adapter in front of a source that is closed at the end."""
    try:
        async with (
            serving(settings, build_app(settings, source)) as url,
            aiohttp.ClientSession() as client,
        ):
            yield Rest(client, url)
    finally:
        await source.close()


@contextmanager
def spyne_persons() -> Iterator[tuple[str, bytes]]:
    """The address of spyne's service, and its WSDL."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(SPYNE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = f"http://127.0.0.1:{int(process.stdout.readline())}/"
            with urllib.request.urlopen(address + "?wsdl") as response:
                described = response.read()
            yield address, described
        finally:
            process.stdin.close()
            process.wait(10)


@dataclass(frozen=True)
class KeyPair:
    certificate: Path
    key: Path


def key_pair(
    folder: Path, name: str, *, elliptic: bool = True, issuer: KeyPair | None = None
) -> KeyPair:
    """A key and its certificate, as files; self-signed and good for signing others by default."""
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if elliptic
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    issuer_name, signer = subject, key
    if issuer is not None:
        issuer_name = x509.load_pem_x509_certificate(issuer.certificate.read_bytes()).subject
        loaded = load_pem_private_key(issuer.key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair.key.chmod(0o600)
    return pair
