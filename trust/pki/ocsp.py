"""OCSP: asking for a certificate's status and judging the answer.

Every step follows the reference server, with one closure: an answer from the future is refused.
Source: trust.md 10.2, transport.md 2.6; X-Road 7.8 OcspVerifier.java; RFC 6960 3.2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from trust.asn1 import SEQUENCE, parse_element
from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf, InstanceConf
from trust.names import responder_name, subject_name
from trust.pki.certificates import UNREADABLE, check_readable, describe, has_extended_usage
from trust.report import Check, failed, passed

MAX_RESPONSE_BYTES = 64 * 1024
MAX_RESPONSES = 100
MAX_EMBEDDED_CERTIFICATES = 10
CLOCK_SKEW = timedelta(minutes=5)
_ACCEPTED_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def build_ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """An unsigned request without nonce for one certificate, its CertID with SHA-1 and NULL."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate,
        issuer,
        hashes.SHA1(),  # noqa: S303 - the protocol's CertID
    )
    return builder.build().public_bytes(Encoding.DER)


class CertificateStatus(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


_STATUSES = {
    ocsp.OCSPCertStatus.GOOD: CertificateStatus.GOOD,
    ocsp.OCSPCertStatus.REVOKED: CertificateStatus.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN: CertificateStatus.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class OcspFacts:
    """What a response says about one certificate, before anybody believes it."""

    serial_number: int
    status: CertificateStatus
    this_update: datetime
    next_update: datetime | None
    revoked_at: datetime | None

    def __str__(self) -> str:
        if self.revoked_at is None:
            return self.status.upper()
        return f"{self.status.upper()} (date: {self.revoked_at:%Y-%m-%d %H:%M:%S})"


@dataclass(frozen=True, slots=True)
class OcspResponse:
    """A successful basic response: its first SingleResponse, and who is to have signed it."""

    raw: bytes = field(repr=False)
    facts: OcspFacts
    cert_id: bytes = field(repr=False)  # DER of the first CertID
    responder_name: x509.Name | None
    responder_key_hash: bytes | None
    certificates: tuple[x509.Certificate, ...]
    signature_hash: hashes.HashAlgorithm
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)


def parse_ocsp_response(raw: bytes) -> OcspResponse:
    """Read an OCSPResponse, or raise MalformedMessage with code `io_error`.

    Refused besides broken DER: a responder's error status, no SingleResponse at all, more than 64
    KiB, more than ten embedded certificates.
    """
    if len(raw) > MAX_RESPONSE_BYTES:
        raise _unreadable(f"it is larger than {MAX_RESPONSE_BYTES} bytes")
    try:
        response = ocsp.load_der_ocsp_response(raw)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise _unreadable(f"the responder answered {response.response_status.name}")
        return _read(raw, response)
    except UNREADABLE as error:
        raise _unreadable(str(error) or type(error).__name__) from error


def _read(raw: bytes, response: ocsp.OCSPResponse) -> OcspResponse:
    certificates = tuple(response.certificates)
    if len(certificates) > MAX_EMBEDDED_CERTIFICATES:
        raise ValueError(f"{len(certificates)} embedded certificates are too many")
    for certificate in certificates:
        check_readable(certificate)
    single = next(iter(response.responses), None)
    if single is None:
        raise ValueError("it speaks of no certificate")
    signature_hash = response.signature_hash_algorithm
    if signature_hash is None:
        raise ValueError("its signature algorithm names no digest")
    return OcspResponse(
        raw=raw,
        facts=_facts(single),
        cert_id=first_cert_id(response.tbs_response_bytes),
        responder_name=responder_name(response),
        responder_key_hash=response.responder_key_hash,
        certificates=certificates,
        signature_hash=signature_hash,
        signature=response.signature,
        signed=response.tbs_response_bytes,
    )


def _facts(single: ocsp.OCSPSingleResponse) -> OcspFacts:
    return OcspFacts(
        serial_number=single.serial_number,
        status=_STATUSES[single.certificate_status],
        this_update=single.this_update_utc,
        next_update=single.next_update_utc,
        revoked_at=single.revocation_time_utc,
    )


def _unreadable(why: str) -> MalformedMessage:
    return MalformedMessage(f"OCSP response can't be used: {why}", "io_error")


def response_facts(raw: bytes) -> OcspFacts:
    """What a response says, for caches and metrics; raises MalformedMessage."""
    return parse_ocsp_response(raw).facts


def first_cert_id(response_data: bytes) -> bytes:
    """The DER of the first SingleResponse's CertID, out of a ResponseData.

    The library compares CertIDs field by field; the protocol compares their bytes, where an
    absent parameter differs from a NULL one.
    """
    return _down(response_data, 4)  # ResponseData → responses → SingleResponse → CertID


def cert_id_of(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The CertID that a response for the certificate must begin with."""
    # OCSPRequest → TBSRequest → requestList → Request → CertID
    return _down(build_ocsp_request(certificate, issuer), 5)


def _down(data: bytes, levels: int) -> bytes:
    """The bytes of the first SEQUENCE so many levels deep; raises ValueError."""
    element = parse_element(data, SEQUENCE)
    for _ in range(levels - 1):
        inside = (child for child in element.children() if child.tag == SEQUENCE)
        found = next(inside, None)
        if found is None:
            raise ValueError("it is not built as OCSP prescribes")
        element = found
    return element.raw


def check_ocsp(
    responses: Sequence[bytes],
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    conf: GlobalConf,
    at: datetime,
    *,
    instance: InstanceConf,
    any_status: bool = False,
) -> Check:
    """Check that a fresh and authorised response says that the certificate was good at `at`.

    Args:
        responses: DER; the first one whose first CertID names the certificate counts.
        issuer: the CA certificate of the trust list that the certificate names as issuer.
        instance: the one in whose list the issuer was found: only the responders that it lists
            there speak for the CA. The reference takes any instance's word for any CA.
        at: now for a live message, the time-stamp's time for an archived one.
        any_status: leave the status itself unjudged, for what is cached and shown.

    Codes: `cert_validation` (no response, not good), `incorrect_validation_info` (all else).
    """
    wanted = cert_id_of(certificate, issuer)
    response = next((found for found in _readable(responses) if found.cert_id == wanted), None)
    if response is None:
        text = f"Unable to find OCSP response for certificate {describe(certificate)}"
        return _failed("cert_validation", text, "absent")
    if problem := _signer_problem(response, issuer, instance, conf, at):
        return _failed("incorrect_validation_info", problem)
    if problem := _age_problem(response.facts, conf, at):
        return _failed("incorrect_validation_info", problem, "age")
    if response.facts.status is not CertificateStatus.GOOD and not any_status:
        text = f"OCSP response indicates certificate status is {response.facts}"
        kind = response.facts.status.value
        return _failed("cert_validation", f"{text}: {describe(certificate)}", kind)
    return passed("ocsp_response", _margin(response.facts, conf, at))


def _readable(responses: Sequence[bytes]) -> Iterator[OcspResponse]:
    for raw in responses[:MAX_RESPONSES]:
        try:
            yield parse_ocsp_response(raw)
        except MalformedMessage:
            continue  # says nothing about any certificate


def _failed(code: str, text: str, kind: str = "") -> Check:
    return failed("ocsp_response", code, text, kind)


def _signer_problem(
    response: OcspResponse,
    issuer: x509.Certificate,
    instance: InstanceConf,
    conf: GlobalConf,
    at: datetime,
) -> str | None:
    """Why nobody entitled signed the response, or None.

    The reference takes the first certificate that fits the responder ID. We try all that fit: a
    responder that renewed its certificate under the same name stays understood.
    """
    candidates = [found for found in _known(response, conf, at) if _is_responder(found, response)]
    if not candidates:
        return "Could not find OCSP certificate for responder ID"
    signers = [found for found in candidates if _signed_by(response, found)]
    if not signers:
        return "Signature on OCSP response is not valid"
    if not any(_authorised(signer, issuer, instance) for signer in signers):
        return f"OCSP responder is not authorized for given CA: {describe(signers[0])}"
    return None


def _known(response: OcspResponse, conf: GlobalConf, at: datetime) -> Iterator[x509.Certificate]:
    authorities = [
        authority
        for instance in conf.visible(at)
        for ca in instance.shared.approved_cas
        for authority in ca.authorities
    ]
    for authority in authorities:
        for responder in authority.responders:
            if responder.certificate is not None:
                yield responder.certificate
    for authority in authorities:
        yield authority.certificate
    yield from response.certificates


def _is_responder(certificate: x509.Certificate, response: OcspResponse) -> bool:
    if response.responder_name is not None:
        return subject_name(certificate) == response.responder_name
    key = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return key.digest == response.responder_key_hash


def _signed_by(response: OcspResponse, certificate: x509.Certificate) -> bool:
    """Whether the key verifies the signature; digests weaker than SHA-256 never do."""
    if not isinstance(response.signature_hash, _ACCEPTED_HASHES):
        return False
    key = certificate.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.signed, ec.ECDSA(response.signature_hash))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(
                response.signature, response.signed, padding.PKCS1v15(), response.signature_hash
            )
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _authorised(signer: x509.Certificate, issuer: x509.Certificate, instance: InstanceConf) -> bool:
    return (
        signer == issuer
        or _listed(signer, issuer, instance)
        or (
            has_extended_usage(signer, ExtendedKeyUsageOID.OCSP_SIGNING)
            and _issued_by(signer, issuer)
        )
    )


def _listed(signer: x509.Certificate, issuer: x509.Certificate, instance: InstanceConf) -> bool:
    return any(
        responder.certificate == signer
        for ca in instance.shared.approved_cas
        for authority in ca.authorities
        if authority.certificate == issuer
        for responder in authority.responders
    )


def _issued_by(signer: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        signer.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _oldest(conf: GlobalConf, at: datetime) -> datetime:
    return at - timedelta(seconds=conf.ocsp_freshness_seconds)


def _age_problem(facts: OcspFacts, conf: GlobalConf, at: datetime) -> str | None:
    """Why the response is not of the time that is judged, or None.

    Source: RFC 6960 3.2 steps 5 and 6; thisUpdate counts, not producedAt, and the freshness is
    the own instance's. The reference accepts a thisUpdate in the future; we do not.
    """
    oldest = _oldest(conf, at)
    if facts.this_update < oldest:
        return (
            f"OCSP response is too old (thisUpdate: {_text(facts.this_update)}, "
            f"oldest accepted at {_text(at)}: {_text(oldest)})"
        )
    if facts.this_update > at + CLOCK_SKEW:
        return (
            f"OCSP response is from the future (thisUpdate: {_text(facts.this_update)}, "
            f"latest accepted at {_text(at)}: {_text(at + CLOCK_SKEW)})"
        )
    if conf.verify_next_update and facts.next_update is not None and facts.next_update < at:
        return (
            f"OCSP nextUpdate is too old, atDate: {_text(at)} "
            f"nextUpdate: {_text(facts.next_update)}"
        )
    return None


def usable_until(facts: OcspFacts, conf: GlobalConf) -> datetime:
    """Until when the response passes the tests of age: the cache's and the metrics' expiry."""
    stale = facts.this_update + timedelta(seconds=conf.ocsp_freshness_seconds)
    if conf.verify_next_update and facts.next_update is not None:
        return min(stale, facts.next_update)
    return stale


def _margin(facts: OcspFacts, conf: GlobalConf, at: datetime) -> str:
    until = usable_until(facts, conf)
    return (
        f"{facts.status} as of {_text(facts.this_update)}, usable until {_text(until)}: "
        f"{int((until - at).total_seconds())} seconds remain at {_text(at)}"
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
