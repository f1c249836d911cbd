"""Certificates: reading, telling what they are for, and the path to an approved CA.

The usual profiles of TLS do not fit here: X-Road certificates need no subjectAltName, an
intermediate CA may be the anchor, and the anchor's own dates mean nothing.
Source: trust.md 9.2, 9.4; X-Road 7.8 CertUtils.java, CertChainVerifier.java.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from trust.errors import MalformedMessage
from trust.globalconf import InstanceConf
from trust.names import issuer_name, subject_name
from trust.report import Check, failed, passed

MAX_CERTIFICATE_BYTES = 64 * 1024
MAX_CHAIN = 10  # certificates from the end entity to the anchor, both included
_REMEMBERED, _REMEMBERED_BYTES = 256, 8 * 1024  # certificates, and the size of the largest
_PEM_START = b"-----BEGIN CERTIFICATE-----"

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a certificate, or a part of one, that it can't read."""


def parse_certificate(data: bytes) -> x509.Certificate:
    """Read one certificate from DER or PEM; text may stand before the PEM block.

    Everything that is read later (names, key, dates, extensions) is read once here, so that a
    defect shows at the border. Raises MalformedMessage, code `incorrect_certificate`.
    """
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise _unreadable(f"it is larger than {MAX_CERTIFICATE_BYTES} bytes")
    return _parse(data) if len(data) > _REMEMBERED_BYTES else _parse_and_remember(data)


def _parse(data: bytes) -> x509.Certificate:
    try:
        certificate = _load(data)
        check_readable(certificate)
    except UNREADABLE as error:
        raise _unreadable(str(error) or type(error).__name__) from error
    return certificate


# Every message shows the same few certificates again. What is remembered was read from these very
# bytes and never changes; failures are not remembered.
_parse_and_remember = lru_cache(_REMEMBERED)(_parse)


def _load(data: bytes) -> x509.Certificate:
    start = data.find(_PEM_START)
    if start >= 0 and not data.startswith(b"\x30"):
        return x509.load_pem_x509_certificate(data[start:])
    return x509.load_der_x509_certificate(data)


def check_readable(certificate: x509.Certificate) -> None:
    """Read every lazily parsed field; raises one of UNREADABLE for a bad one."""
    subject_name(certificate)
    issuer_name(certificate)
    certificate.public_key()
    certificate.extensions  # noqa: B018 - the property parses
    _dates(certificate)


def _unreadable(why: str) -> MalformedMessage:
    return MalformedMessage(f"Certificate can't be read: {why}", "incorrect_certificate")


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def certificate_hash(certificate: x509.Certificate, name: Literal["sha1", "sha256"]) -> bytes:
    return hashlib.new(name, der(certificate), usedforsecurity=False).digest()


# of the attributes that X-Road's profiles use and RFC 4514 has no short names for
_SPOKEN_NAMES = {
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.BUSINESS_CATEGORY: "businessCategory",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
}


def describe(certificate: x509.Certificate) -> str:
    """Subject and serial number in one line, for people."""
    subject = subject_name(certificate).rfc4514_string(_SPOKEN_NAMES)
    return f"'{subject}' (serial number {certificate.serial_number})"


def same_name(first: x509.Name, second: x509.Name) -> bool:
    return first.public_bytes() == second.public_bytes()


def self_issued(certificate: x509.Certificate) -> bool:
    return same_name(subject_name(certificate), issuer_name(certificate))


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None


def has_extended_usage(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
    return usage in usages


def is_auth_certificate(certificate: x509.Certificate) -> bool:
    """Whether it may identify a node; one that names no usage at all may not."""
    if has_extended_usage(certificate, ExtendedKeyUsageOID.CLIENT_AUTH):
        return True
    usage = _key_usage(certificate)
    return usage is not None and (
        usage.digital_signature or usage.key_encipherment or usage.data_encipherment
    )


def is_sign_certificate(certificate: x509.Certificate) -> bool:
    """Whether it may sign messages: key usage nonRepudiation, now called contentCommitment."""
    usage = _key_usage(certificate)
    return usage is not None and usage.content_commitment


def _dates(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def valid_at(certificate: x509.Certificate, at: datetime) -> bool:
    first, last = _dates(certificate)
    return first <= at <= last


def ocsp_url(certificate: x509.Certificate) -> str | None:
    """The OCSP responder that the certificate itself names (authorityInfoAccess)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None
    for description in access.value:
        location = description.access_location
        if description.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
            location, x509.UniformResourceIdentifier
        ):
            return location.value
    return None


def check_path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchor: x509.Certificate,
    at: datetime,
) -> Check:
    """Check that a chain of signatures leads from `anchor` to `leaf`, all valid at `at`.

    The anchor is trusted because it is listed: neither its dates nor its usages are judged. Every
    intermediate must be a CA (basicConstraints, keyCertSign where it has a keyUsage). Signatures
    with SHA-1 and RSA keys under 2048 bits are refused. Code `cannot_create_cert_path`.
    """
    return find_path(leaf, intermediates, anchor, at)[0]


def find_path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchor: x509.Certificate,
    at: datetime,
) -> tuple[Check, tuple[x509.Certificate, ...]]:
    """As `check_path`, with the path: the leaf first, without the anchor; empty if none is."""
    if len(intermediates) > MAX_CHAIN - 2:
        return _no_path(leaf, f"{len(intermediates)} intermediate certificates are too many")
    if leaf == anchor:
        return _no_path(leaf, "it is the trust anchor itself")
    moment = _within(at, anchor)
    try:
        verifier = (
            PolicyBuilder()
            .store(Store([anchor]))
            .time(moment)
            .max_chain_depth(MAX_CHAIN - 2)
            .extension_policies(
                ca_policy=_ca_policy(anchor), ee_policy=ExtensionPolicy.permit_all()
            )
            .build_client_verifier()
        )
        chain = verifier.verify(leaf, list(intermediates)).chain
    except (VerificationError, *UNREADABLE) as error:
        kind = "" if valid_at(leaf, at) else _kind(leaf, at)
        return _no_path(leaf, _reason(leaf, at, error), kind)
    for certificate in chain[:-1]:
        if not valid_at(certificate, at):
            return _no_path(leaf, _out_of_dates(certificate, at), _kind(certificate, at))
    text = f"{describe(leaf)} is certified by {describe(anchor)} as of {at}"
    return passed("certificate_path", text), tuple(chain[:-1])


def _within(at: datetime, anchor: x509.Certificate) -> datetime:
    """The moment nearest to `at` at which the library, which does judge it, takes the anchor."""
    first, last = _dates(anchor)
    return min(max(at.astimezone(UTC), first), last)


def _ca_policy(anchor: x509.Certificate) -> ExtensionPolicy:
    def check_authority(
        _policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints
    ) -> None:
        if certificate != anchor and not constraints.ca:
            raise ValueError(f"{describe(certificate)} is no CA")

    def check_usage(
        _policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None
    ) -> None:
        if certificate != anchor and usage is not None and not usage.key_cert_sign:
            raise ValueError(f"{describe(certificate)} may not sign certificates")

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, check_authority)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, check_usage)
    )


def _reason(leaf: x509.Certificate, at: datetime, error: Exception) -> str:
    return str(error) if valid_at(leaf, at) else _out_of_dates(leaf, at)


def _out_of_dates(certificate: x509.Certificate, at: datetime) -> str:
    first, last = _dates(certificate)
    return f"{describe(certificate)} is valid from {first} to {last}, judged at {at}"


def _kind(certificate: x509.Certificate, at: datetime) -> str:
    return "not_yet_valid" if at < certificate.not_valid_before_utc else "expired"


def _no_path(leaf: x509.Certificate, why: str, kind: str = "") -> tuple[Check, tuple[()]]:
    text = f"No valid certificate path from {describe(leaf)} to an approved CA: {why}"
    return failed("certificate_path", "cannot_create_cert_path", text, kind), ()


def issuing_chain(
    certificate: x509.Certificate, instance: InstanceConf
) -> tuple[x509.Certificate, ...]:
    """The approved CAs above a certificate, its issuer first, without the last ("root").

    The climb by issuer name ends at a self-issued CA or at an issuer that isn't listed; an
    intermediate that is listed alone counts as root. This is what a node presents behind its
    certificate in TLS and embeds in its signatures.
    Source: transport.md 2.2; X-Road 7.8 GlobalConfImpl.java getCertChain.
    """
    chain: list[x509.Certificate] = []
    current = certificate
    while len(chain) < MAX_CHAIN and (found := instance.issuer_of(current)) is not None:
        current = found[1].certificate
        if current in chain:
            break
        chain.append(current)
        if self_issued(current):
            break
    return tuple(chain[:-1])
