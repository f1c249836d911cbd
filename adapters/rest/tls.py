"""TLS towards the other service: whom we believe, and what we show."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from adapters.rest.settings import UpstreamTls
from node.network.outbound import HttpConnection
from node.network.tls import TlsIdentity
from trust.errors import ConfigurationError, ConfigurationProblem, UntrustedPeer
from trust.secrets import read_secret


@dataclass(frozen=True, slots=True)
class Recognition:
    """How one server is recognised.

    Attributes:
        pinned: DER of the certificates of which it must show one; empty for no such demand.
    """

    context: ssl.SSLContext
    pinned: frozenset[bytes] = frozenset()

    def judge(self, connection: HttpConnection) -> None:
        """Look at what the server showed, before anything is sent; raises UntrustedPeer."""
        if not self.pinned:
            return
        shown = connection.tls.getpeercert(binary_form=True) if connection.tls else None
        if shown not in self.pinned:
            raise UntrustedPeer("the service shows another certificate than the pinned ones")


def recognise(tls: UpstreamTls) -> Recognition:
    """Read the files that are named; raises ConfigurationError.

    With pinned certificates and no authorities the pin alone counts, else names and chains are
    verified as in a browser.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca is not None:
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in _certificates(tls.ca))
        context.load_verify_locations(cadata=pem.decode())
    elif tls.pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
    if tls.certificate is not None and tls.key is not None:
        _identity(tls.certificate, tls.key).load_into(context)
    pinned = (one for path in tls.pinned for one in _certificates(path))
    return Recognition(context, frozenset(one.public_bytes(Encoding.DER) for one in pinned))


def _identity(certificate: Path, key: Path) -> TlsIdentity:
    chain = _certificates(certificate)
    try:
        private = load_pem_private_key(read_secret(key), None)
        identity = TlsIdentity.from_key(tuple(chain), private)
        identity.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except (ValueError, TypeError, ssl.SSLError) as error:
        raise _unfit(key, "no key of that certificate", "an unencrypted PEM key") from error
    return identity


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise _unfit(path, error.strerror or "an unreadable file", "certificates in PEM") from error
    except ValueError as error:
        raise _unfit(path, "no certificate", "certificates in PEM") from error


def _unfit(path: Path, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(str(path), 0, found, expected)])
