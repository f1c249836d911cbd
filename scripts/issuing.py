"""Issuing for the test CA: certificates, OCSP responses, time-stamps; values in, bytes out.

For sandboxes and tests alone: there is no policy, no audit and no protected key here.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from trust.names import build_name, subject_name
from trust.pki.keys import KeyUse, SoftwareKey, key_usage
from trust.pki.ocsp import CertificateStatus

Use = KeyUse | Literal["ca", "ocsp", "tsa", "tls"]
_EXTENDED_USAGES: dict[Use, list[x509.ObjectIdentifier]] = {
    "auth": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    "ocsp": [ExtendedKeyUsageOID.OCSP_SIGNING],
    "tsa": [ExtendedKeyUsageOID.TIME_STAMPING],
    "tls": [ExtendedKeyUsageOID.SERVER_AUTH],
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: SoftwareKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True)
class CertificateOrder:
    """What is to be certified.

    Attributes:
        use: what the certificate is for; decides its key usages.
        first, last: the moments it is valid from and until.
        serial: None for a random one.
    """

    subject: x509.Name
    use: Use
    first: datetime
    last: datetime
    dns_name: str | None = None
    ocsp_url: str | None = None
    serial: int | None = None


def plain_name(common_name: str) -> x509.Name:
    return build_name(
        [(NameOID.ORGANIZATION_NAME, "Sacbe Test"), (NameOID.COMMON_NAME, common_name)]
    )


def issue(
    issuer: Identity | None, public_key: CertificatePublicKeyTypes, order: CertificateOrder,
    own_key: SoftwareKey | None = None,
) -> x509.Certificate:  # fmt: skip
    """Certify a public key; without an issuer the certificate is signed with its `own_key`."""
    key = issuer.key if issuer is not None else own_key
    if key is None:
        raise ValueError("a self-signed certificate needs its own key")
    builder = (
        x509.CertificateBuilder()
        .subject_name(order.subject)
        .issuer_name(order.subject if issuer is None else subject_name(issuer.certificate))
        .public_key(public_key)
        .serial_number(x509.random_serial_number() if order.serial is None else order.serial)
        .not_valid_before(order.first)
        .not_valid_after(order.last)
    )
    for extension, critical in _extensions(order, public_key, issuer):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key.private_key, hashes.SHA256())


def _extensions(
    order: CertificateOrder, public_key: CertificatePublicKeyTypes, issuer: Identity | None
) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=order.use == "ca", path_length=None), True),
        (_usage(order.use), True),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
    ]
    if issuer is not None:
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.key.private_key.public_key())
        above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        found.append((above, False))
    if order.use in _EXTENDED_USAGES:
        # RFC 3161 2.3 wants it critical for a TSA
        usages = x509.ExtendedKeyUsage(_EXTENDED_USAGES[order.use])
        found.append((usages, order.use == "tsa"))
    if order.use == "ocsp":
        found.append((x509.OCSPNoCheck(), False))
    if order.dns_name:
        found.append((x509.SubjectAlternativeName([x509.DNSName(order.dns_name)]), False))
    if order.ocsp_url:
        location = x509.UniformResourceIdentifier(order.ocsp_url)
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)
        found.append((x509.AuthorityInformationAccess([access]), False))
    return found


def _usage(use: Use) -> x509.KeyUsage:
    if use in ("auth", "sign"):
        return key_usage("auth" if use == "auth" else "sign")
    return x509.KeyUsage(
        digital_signature=use != "ca",
        content_commitment=False,
        key_encipherment=use == "tls",
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=use == "ca",
        crl_sign=use == "ca",
        encipher_only=False,
        decipher_only=False,
    )


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """What an OCSP response is to say, and in which form.

    Attributes:
        responder_by_name: name the responder by its subject, else by its key's hash.
        embed: put the responder's certificate into the response.
    """

    status: CertificateStatus
    this_update: datetime
    next_update: datetime | None
    revoked_at: datetime | None = None
    responder_by_name: bool = True
    embed: bool = True


_STATUSES = {
    CertificateStatus.GOOD: ocsp.OCSPCertStatus.GOOD,
    CertificateStatus.REVOKED: ocsp.OCSPCertStatus.REVOKED,
    CertificateStatus.UNKNOWN: ocsp.OCSPCertStatus.UNKNOWN,
}


def build_ocsp_response(request: bytes, signer: Identity, answer: StatusAnswer) -> bytes:
    """Answer an OCSP request about one certificate; raises ValueError for another request."""
    asked = ocsp.load_der_ocsp_request(request)
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=asked.issuer_name_hash,
        issuer_key_hash=asked.issuer_key_hash,
        serial_number=asked.serial_number,
        algorithm=asked.hash_algorithm,
        cert_status=_STATUSES[answer.status],
        this_update=answer.this_update,
        next_update=answer.next_update,
        revocation_time=answer.revoked_at,
        revocation_reason=None,
    )
    encoding = (
        ocsp.OCSPResponderEncoding.NAME
        if answer.responder_by_name
        else ocsp.OCSPResponderEncoding.HASH
    )
    builder = builder.responder_id(encoding, signer.certificate)
    if answer.embed:
        builder = builder.certificates([signer.certificate])
    return builder.sign(signer.key.private_key, hashes.SHA256()).public_bytes(Encoding.DER)


def malformed_ocsp_request() -> bytes:
    """The answer to what is no OCSP request."""
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    )
    return response.public_bytes(Encoding.DER)
