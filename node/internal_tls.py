"""The node's internal TLS certificate: self-signed, shown to the institution's own systems.

It is made at the first start and kept in the data folder; the operator may put another pair in its
place. Source: messages.md 1, 8.3.
"""

import ipaddress
import socket
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from node.network.tls import TlsIdentity
from trust.errors import StorageError
from trust.pki.keyfiles import open_folder, read_file, write_file
from trust.pki.keys import SoftwareKey, generate_key

_KEY_FILE = "internal.key.pem"
_CERTIFICATE_FILE = "internal.cert.pem"
_LIFE = timedelta(days=20 * 365)


def open_internal_identity(folder: Path, password: bytes, at: datetime) -> TlsIdentity:
    """Read the pair, or make it where there is none; raises StorageError."""
    open_folder(folder)
    key_pem = read_file(folder / _KEY_FILE)
    certificate_pem = read_file(folder / _CERTIFICATE_FILE)
    if key_pem is None or certificate_pem is None:
        return _make(folder, password, at)
    try:
        key = load_pem_private_key(key_pem, password)
        chain = tuple(x509.load_pem_x509_certificates(certificate_pem))
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"The internal TLS key in {folder} can't be read; is its password the key store's?"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise StorageError(f"The internal TLS key in {folder} is neither EC nor RSA")
    if chain[0].public_key() != key.public_key():
        raise StorageError(f"Internal TLS key and certificate in {folder} don't belong together")
    return TlsIdentity.from_key(chain, key)


def _make(folder: Path, password: bytes, at: datetime) -> TlsIdentity:
    key = generate_key("p256")
    certificate = _self_signed(key, socket.gethostname(), at)
    write_file(folder / _KEY_FILE, key.pem(password))
    write_file(folder / _CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))
    return TlsIdentity.from_key((certificate,), key.private_key)


def _self_signed(key: SoftwareKey, host: str, at: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.DNSName(host),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + _LIFE)
        .add_extension(names, critical=False)
        .sign(key.private_key, hashes.SHA256())
    )
