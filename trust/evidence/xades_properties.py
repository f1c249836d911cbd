"""What the signature's parts and properties say: certificates, OCSP responses, times, tokens.

All of it is read after `xades_form.check_form`, so children are where they must be.
Source: signatures.md 3.3 to 3.5; X-Road 7.8 Signature.java, Helper.java.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from lxml import etree

from trust.base64text import decode_base64
from trust.digests import digest, digest_name
from trust.errors import MalformedMessage
from trust.evidence.hashchain import PartDigest
from trust.evidence.xades_form import XADES, malformed
from trust.pki.certificates import MAX_CHAIN, der, parse_certificate
from trust.pki.ocsp import MAX_RESPONSES


def _xades(name: str) -> str:
    return f"{{{XADES}}}{name}"


def bytes_of(element: etree._Element) -> bytes:
    try:
        return decode_base64(element.text)
    except ValueError:
        malformed(f"{etree.QName(element).localname} is not base64")


def certificate_of(element: etree._Element) -> x509.Certificate:
    try:
        return parse_certificate(bytes_of(element))
    except MalformedMessage as error:
        malformed(f"Certificate in the signature: {error.text}")


def stated_digest(name: str, method: etree._Element, value: etree._Element) -> PartDigest:
    uri = method.get("Algorithm", "")
    if digest_name(uri) is None:
        malformed(f"Digest algorithm {uri!r} of {name} is not accepted")
    return PartDigest(name, bytes_of(value), uri)


def certificate_digest(signature_properties: etree._Element) -> PartDigest:
    """The digest of the certificate that the signer says he used; of several the first counts."""
    names = (_xades("SigningCertificate"), _xades("SigningCertificateV2"))
    element = next(found for found in signature_properties if found.tag in names)
    method, value = element[0][0]
    return stated_digest("signing certificate", method, value)


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d):([0-5]\d))", re.ASCII
)


def signing_time(signature_properties: etree._Element) -> datetime | None:
    text = signature_properties.findtext(_xades("SigningTime"))
    if text is None:
        return None
    try:
        return _moment(text.strip())
    except (ValueError, OverflowError):
        malformed(f"SigningTime {text!r} is no time")


def _moment(text: str) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not as XML writes times, with a zone")
    second, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    moment = datetime.fromisoformat(second).replace(tzinfo=UTC)
    moment += timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))
    return moment + offset if sign == "-" else moment - offset


def embedded_certificates(
    qualifying: etree._Element, by_id: Mapping[str, etree._Element]
) -> tuple[x509.Certificate, ...]:
    """The CA certificates that CompleteCertificateRefs names, each compared with its digest.

    Raises EvidenceRejected, `malformed_signature`, for a reference without a certificate that is
    there, once and unchanged. Certificates that no reference names are no concern of anybody.
    """
    path = "/".join(("*", "*", _xades("CompleteCertificateRefs"), _xades("CertRefs"), "*"))
    references = qualifying.findall(path)
    if len(references) > MAX_CHAIN:
        malformed(f"{len(references)} embedded certificates are too many")
    return tuple(_embedded_certificate(reference, by_id) for reference in references)


def _embedded_certificate(
    reference: etree._Element, by_id: Mapping[str, etree._Element]
) -> x509.Certificate:
    uri = reference.get("URI", "")
    element = by_id.get(uri[1:]) if uri.startswith("#") else None
    if element is None or element.tag != _xades("EncapsulatedX509Certificate"):
        malformed(f"Could not find certificate with id {uri!r}")
    certificate = certificate_of(element)
    method, value = reference[0]
    stated = stated_digest(uri, method, value)
    if digest(stated.algorithm, der(certificate)) != stated.digest:
        malformed(f"Certificate ({certificate.serial_number}) digest does not match")
    return certificate


def ocsp_responses(qualifying: etree._Element) -> tuple[bytes, ...]:
    path = "/".join(("*", "*", _xades("RevocationValues"), _xades("OCSPValues"), "*"))
    responses = tuple(map(bytes_of, qualifying.findall(path)))
    if not responses:
        malformed("Could not get any OCSP elements from signature")
    if len(responses) > MAX_RESPONSES:
        malformed(f"{len(responses)} OCSP responses are too many")
    return responses


def timestamp(qualifying: etree._Element) -> bytes | None:
    """The token of a single time-stamp; old signatures have it without an element of its own."""
    found = next(qualifying.iter(_xades("EncapsulatedTimeStamp")), None)
    if found is None:
        found = next(qualifying.iter(_xades("SignatureTimeStamp")), None)
    return None if found is None else bytes_of(found)
