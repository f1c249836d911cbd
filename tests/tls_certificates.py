"""Certificates for tests of sockets: real keys, no authority behind them but their issuer."""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from node.network.tls import TlsIdentity

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def new_key(kind: str) -> PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def issue(name: str, issuer: Issued | None = None, kind: str = "p256", days: int = 2) -> Issued:
    """A certificate called `name`, self-signed without an issuer; the same for the same arguments.

    Args:
        days: how long from now it is valid; with a negative number it expired that long ago.
    """
    key = new_key(kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=4))
        .not_valid_after(end)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Issued(certificate, key)


def identity(*chain: Issued) -> TlsIdentity:
    """What shows the first certificate, followed by the others."""
    return TlsIdentity.from_key(tuple(one.certificate for one in chain), chain[0].key)


def write_pem(folder: Path, issued: Issued) -> Path:
    """A PEM file with certificate and key, for programs that want one."""
    path = folder / f"{issued.certificate.serial_number}.pem"
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(issued.certificate.public_bytes(Encoding.PEM) + key)
    return path
