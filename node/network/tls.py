"""TLS for the four kinds of connections of a node, and the certificates it shows there.

    peers → us       a client certificate is demanded and judged later   peers_listener
    us → peers       the server's chain is judged before any byte         peer_client
    systems → us     a client certificate is accepted and judged later    systems_listener
    us → systems     the server's certificate is pinned, or not judged    system_client

OpenSSL judges nobody here: it proves that the other end holds the key of the certificate it shows.
Source: transport.md 2.1, 2.2, 2.7; messages.md 1, 8.3.
"""

import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.network.openssl import open_openssl

_MODERN = (
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
# what an X-Road 7.8 server offers, in its order (transport.md 2.1)
_XROAD = "ECDHE-RSA-AES256-SHA384:DHE-RSA-AES256-SHA256:ECDHE-ECDSA-AES256-SHA384"
# older information systems; the CBC suites of X-Road's `client-tls-ciphers`
_SYSTEMS = (
    "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:"
    "ECDHE-RSA-AES128-SHA256:DHE-RSA-AES128-SHA256"
)
PEER_CIPHERS = f"{_MODERN}:{_XROAD}"
SYSTEM_CIPHERS = f"{_MODERN}:{_XROAD}:{_SYSTEMS}"
_REMEMBERED_SESSIONS = 256
_DER = 2  # _ssl.ENCODING_DER


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A certificate with its key, as shown to the other end of a connection.

    Attributes:
        chain: the end-entity certificate and the intermediates that follow it, never the root;
            exactly these go on the wire.
        private_key_pem: PKCS#8, not encrypted; it stays in memory.
    """

    chain: tuple[x509.Certificate, ...]
    private_key_pem: bytes = field(repr=False)

    @classmethod
    def from_key(cls, chain: tuple[x509.Certificate, ...], key: PrivateKeyTypes) -> Self:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return cls(chain, pem)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Make a context show this identity; raises ssl.SSLError when key and leaf don't match."""
        password = secrets.token_hex(32)
        key = load_pem_private_key(self.private_key_pem, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
        )
        certificates = b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)
        with _memory_file(certificates + key) as path:
            context.load_cert_chain(path, password=password)


@contextmanager
def _memory_file(data: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `data`: in memory on Linux, a private file elsewhere."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("tls-identity", os.MFD_CLOEXEC), "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as named:  # mode 0600, gone at once; key encrypted
            named.write(data)
            named.flush()
            yield named.name


def _context(protocol: int, ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(ciphers)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _client_context(identity: TlsIdentity | None, ciphers: str) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, ciphers)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        identity.load_into(context)
    return context


def peer_client(identity: TlsIdentity) -> ssl.SSLContext:
    """For connections to other nodes; the caller must judge `peer_chain` before it sends."""
    return _client_context(identity, PEER_CIPHERS)


def system_client(identity: TlsIdentity | None) -> ssl.SSLContext:
    """For connections to information systems; the node's internal certificate is offered."""
    return _client_context(identity, SYSTEM_CIPHERS)


def _server_context(
    identity: TlsIdentity | None, ciphers: str, verify: ssl.VerifyMode
) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, ciphers)
    context.verify_mode = verify
    # Sessions are kept here and not in tickets: a ticket restores the leaf without its chain.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    openssl = open_openssl()
    openssl.accept_any_certificate(context)
    openssl.choose_dh_parameters(context)
    openssl.limit_sessions(context, _REMEMBERED_SESSIONS)
    if identity is not None:
        identity.load_into(context)
    return context


class TlsListener:
    """A context for a listener whose identity can be replaced while it listens.

    A new connection gets the identity of its moment; established ones keep theirs. As long as
    there is no identity every handshake ends with an alert.
    """

    def __init__(self, identity: TlsIdentity | None, ciphers: str, verify: ssl.VerifyMode) -> None:
        self._ciphers = ciphers
        self._verify = verify
        self.identity = identity
        self.context = _server_context(identity, ciphers, verify)
        self._current = self.context
        self.context.sni_callback = self._choose

    def replace(self, identity: TlsIdentity | None) -> None:
        """Show another identity (or none) from the next connection on."""
        self._current = _server_context(identity, self._ciphers, self._verify)
        self.identity = identity

    def _choose(
        self, connection: ssl.SSLObject, _name: str | None, _base: ssl.SSLContext
    ) -> int | None:
        # OpenSSL asks for every connection, whether or not the client names a server
        if self.identity is None:
            return ssl.ALERT_DESCRIPTION_ACCESS_DENIED
        if self._current is not self.context:
            connection.context = self._current
        return None


def peers_listener(identity: TlsIdentity | None) -> TlsListener:
    """For the message port: whoever comes must show a certificate, any certificate."""
    return TlsListener(identity, PEER_CIPHERS, ssl.CERT_REQUIRED)


def systems_listener(identity: TlsIdentity | None) -> TlsListener:
    """For the HTTPS port of information systems: a certificate may be shown, any certificate."""
    return TlsListener(identity, SYSTEM_CIPHERS, ssl.CERT_OPTIONAL)


def peer_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[bytes, ...]:
    """The DER certificates that the other end sent, its own first; empty when it sent none."""
    # public from Python 3.13; before, on the inner object and with certificate objects
    public = getattr(connection, "get_unverified_chain", None)
    inner = connection._sslobj  # type: ignore[union-attr]  # not in the stubs
    found = public() if public is not None else inner.get_unverified_chain()
    return tuple(
        one if isinstance(one, bytes) else one.public_bytes(_DER) for one in found or () if one
    )
