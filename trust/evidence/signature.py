"""XAdES signatures: written by template, read strictly.

What is signed is text in canonical form. The writer makes that text directly, so signing needs no
XML library; the reader keeps the bytes it was given and takes the canonical ones from them once.

Source: signatures.md 3; X-Road 7.8 SignatureXmlBuilder.java, SignatureCtx.java, Signature.java.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509
from lxml import etree

from trust.base64text import encode_base64
from trust.digests import SHA512_URI, SIGNATURE_ALGORITHMS, SignatureAlgorithm, sha512
from trust.errors import CannotSign, EvidenceRejected, MalformedMessage
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, PartDigest, check_plain_name
from trust.evidence.xades_form import ASIC, DS, XADES, Form, check_form, malformed
from trust.evidence.xades_properties import (
    bytes_of,
    certificate_digest,
    certificate_of,
    embedded_certificates,
    ocsp_responses,
    signing_time,
    stated_digest,
    timestamp,
)
from trust.names import issuer_name
from trust.pki.certificates import der
from trust.xmlbytes import MAX_EQUALS, MAX_TAGS, parse_xml

MAX_SIGNATURE_BYTES = 2 * 1024 * 1024
MAX_REFERENCES = 1000

_INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_PROPERTIES_TYPE = "http://uri.etsi.org/01903#SignedProperties"

# --- writing --------------------------------------------------------------------------------------

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCOPE = f' xmlns:asic="{ASIC}" xmlns:ds="{DS}" xmlns:xades="{XADES}" xmlns:xsi="{_XSI}"'
_POLICY = (
    "<xades:SignaturePolicyIdentifier><xades:SignaturePolicyId><xades:SigPolicyId>"
    '<xades:Identifier Qualifier="OIDAsURN">urn:oid:1.3.6.1.4.1.3516.16.2</xades:Identifier>'
    "<xades:Description>Profile for High Performance Digital Signatures (version 1.2)"
    "</xades:Description></xades:SigPolicyId><xades:SigPolicyHash>"
    f'<ds:DigestMethod Algorithm="{SHA512_URI}"></ds:DigestMethod><ds:DigestValue>'
    "BuO0EDNfkxSVlUbxCzmQPzX1AUF1/xx9ytWHk3/6SAOePxQiniEfDYk+90QeYb3lWpV3Izhuz9fKaYyE+lTcXw=="
    "</ds:DigestValue></xades:SigPolicyHash><xades:SigPolicyQualifiers><xades:SigPolicyQualifier>"
    "<xades:SPURI>https://repo.cyber.ee/dsig-profile-1.2.pdf</xades:SPURI>"
    "</xades:SigPolicyQualifier></xades:SigPolicyQualifiers></xades:SignaturePolicyId>"
    "</xades:SignaturePolicyIdentifier>"
)
_CHARACTERS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {
    chr(code): f"\\{code:02X}" for code in (*range(0x20), 0x7F)
}
_IN_TEXT = str.maketrans(
    _CHARACTERS | {"\ufffe": "\\EF\\BF\\BE", "\uffff": "\\EF\\BF\\BF"}  # no characters of XML
)


class SigningKey(Protocol):
    """A member's signing key, wherever it lives."""

    @property
    def algorithm(self) -> SignatureAlgorithm: ...

    def sign(self, data: bytes) -> bytes:
        """Sign in the form of XML: PKCS#1, or r and s padded to the field size and joined."""


def build_signature(
    parts: Sequence[PartDigest],
    *,
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    ocsp_responses: Sequence[bytes],
    key: SigningKey,
    at: datetime,
) -> bytes:
    """Sign digests of parts: one reference each, in the form that X-Road 7.x writes and reads.

    Args:
        parts: `/message.xml` alone, or `/sig-hashchainresult.xml` alone, or the message and its
            attachments (which only 7.8 and its successor read without a hash chain).
        intermediates: the CAs above the certificate, its issuer first, without the root.
        ocsp_responses: DER; the certificate's first, then the intermediates' in their order.
        at: the signing time that is claimed.

    Raises CannotSign without an OCSP response, ValueError for part names that are not plain or
    not unique.
    """
    if not ocsp_responses:
        raise CannotSign("There is no OCSP response for the signing certificate")
    if not parts or len({part.name for part in parts}) != len(parts):
        raise ValueError("the parts of a message have names of their own")
    properties = _properties(parts, certificate, at)
    signed_info = _signed_info(parts, key, f"<xades:SignedProperties{_SCOPE}{properties}")
    value = key.sign(f"<ds:SignedInfo{_SCOPE}{signed_info}".encode())
    return "".join((
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>',
        f'<asic:XAdESSignatures{_SCOPE}><ds:Signature Id="signature"><ds:SignedInfo{signed_info}'
        f'<ds:SignatureValue Id="signature-value">{encode_base64(value)}</ds:SignatureValue>'
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{encode_base64(der(certificate))}"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo><ds:Object>"
        f'<xades:QualifyingProperties Target="#signature"><xades:SignedProperties{properties}'
        "<xades:UnsignedProperties><xades:UnsignedSignatureProperties>",
        _embedded(intermediates) if intermediates else "",
        "<xades:RevocationValues><xades:OCSPValues>",
        *(
            f'<xades:EncapsulatedOCSPValue Id="ocsp-response-{number}">{encode_base64(response)}'
            "</xades:EncapsulatedOCSPValue>"
            for number, response in enumerate(ocsp_responses, 1)
        ),
        "</xades:OCSPValues></xades:RevocationValues></xades:UnsignedSignatureProperties>"
        "</xades:UnsignedProperties></xades:QualifyingProperties></ds:Object></ds:Signature>"
        "</asic:XAdESSignatures>",
    )).encode()  # fmt: skip


def _digest_text(algorithm: str, value: bytes) -> str:
    return (
        f'<ds:DigestMethod Algorithm="{algorithm}"></ds:DigestMethod>'
        f"<ds:DigestValue>{encode_base64(value)}</ds:DigestValue>"
    )


@lru_cache(64)
def _certificate_text(certificate: x509.Certificate) -> str:
    issuer = issuer_name(certificate).rfc4514_string().translate(_IN_TEXT)
    return (
        f"<xades:CertDigest>{_digest_text(SHA512_URI, sha512(der(certificate)))}</xades:CertDigest>"
        f"<xades:IssuerSerial><ds:X509IssuerName>{issuer}</ds:X509IssuerName><ds:X509SerialNumber>"
        f"{certificate.serial_number}</ds:X509SerialNumber></xades:IssuerSerial>"
    )


def _properties(parts: Sequence[PartDigest], certificate: x509.Certificate, at: datetime) -> str:
    """SignedProperties from the first attribute on; the name and what is in scope go before."""
    time = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    formats = "".join(
        f'<xades:DataObjectFormat ObjectReference="#signature-reference-{number}"><xades:MimeType>'
        f"{_mime_type(part.name)}</xades:MimeType></xades:DataObjectFormat>"
        for number, part in enumerate(parts)
    )
    return (
        ' Id="signed-properties"><xades:SignedSignatureProperties>'
        f"<xades:SigningTime>{time}</xades:SigningTime><xades:SigningCertificate><xades:Cert>"
        f"{_certificate_text(certificate)}</xades:Cert></xades:SigningCertificate>{_POLICY}"
        "</xades:SignedSignatureProperties><xades:SignedDataObjectProperties>"
        f"{formats}</xades:SignedDataObjectProperties></xades:SignedProperties>"
    )


def _mime_type(name: str) -> str:
    return "application/hash-chain-result" if name == SIGNATURE_CHAIN_RESULT_NAME else "text/xml"


def _signed_info(parts: Sequence[PartDigest], key: SigningKey, properties: str) -> str:
    """SignedInfo behind its name; `properties` is the canonical text of SignedProperties."""
    for part in parts:
        check_plain_name(part.name)
    references = "".join(
        f'<ds:Reference Id="signature-reference-{number}" URI="{part.name}">'
        f"{_digest_text(part.algorithm, part.digest)}</ds:Reference>"
        for number, part in enumerate(parts)
    )
    return (
        f'><ds:CanonicalizationMethod Algorithm="{_INCLUSIVE}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{key.algorithm.uri}"></ds:SignatureMethod>{references}'
        f'<ds:Reference Id="signature-reference-{len(parts)}" Type="{_PROPERTIES_TYPE}"'
        f' URI="#signed-properties">{_digest_text(SHA512_URI, sha512(properties.encode()))}'
        "</ds:Reference></ds:SignedInfo>"
    )


def _embedded(certificates: Sequence[x509.Certificate]) -> str:
    refs = "".join(
        f'<xades:Cert URI="#encapsulated-cert-{number}">{_certificate_text(certificate)}'
        "</xades:Cert>"
        for number, certificate in enumerate(certificates, 1)
    )
    values = "".join(
        f'<xades:EncapsulatedX509Certificate Id="encapsulated-cert-{number}">'
        f"{encode_base64(der(certificate))}</xades:EncapsulatedX509Certificate>"
        for number, certificate in enumerate(certificates, 1)
    )
    return (
        '<xades:CompleteCertificateRefs Id="complete-certificate-refs"><xades:CertRefs>'
        f"{refs}</xades:CertRefs></xades:CompleteCertificateRefs>"
        f"<xades:CertificateValues>{values}</xades:CertificateValues>"
    )


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """A well-formed signature; nothing in it is believed yet.

    Attributes:
        value: the decoded SignatureValue, which is also what a single time-stamp covers.
        references: the parts it names, in order, with the digests it states.
        signed_info, signed_properties: canonical bytes: what `value` and `properties_digest` cover.
        certificate_digest: of the certificate that the signed properties name.
        signing_time: as the signer claims it.
        embedded_certificates: intermediate CAs; each fits the reference that names it.
        timestamp: the DER of the token inside the signature, if there is one.
    """

    raw: bytes = field(repr=False)
    certificate: x509.Certificate
    algorithm: SignatureAlgorithm
    value: bytes = field(repr=False)
    references: tuple[PartDigest, ...]
    signed_info: bytes = field(repr=False)
    signed_properties: bytes = field(repr=False)
    properties_digest: PartDigest
    certificate_digest: PartDigest
    signing_time: datetime | None
    embedded_certificates: tuple[x509.Certificate, ...]
    ocsp_responses: tuple[bytes, ...] = field(repr=False)
    timestamp: bytes | None = field(repr=False)

    def references_part(self, name: str) -> bool:
        return any(reference.name == name for reference in self.references)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A signature with what it is said to cover, as it was received; nothing is believed yet.

    Attributes:
        signature: the signature document.
        parts: SHA-512 digests of every part received, by name, the message among them.
        data: bytes of parts that are at hand; needed where a reference uses another digest.
        hash_chain_result, hash_chain: the two files of a hash chain, when they came along.
    """

    signature: bytes = field(repr=False)
    parts: Mapping[str, PartDigest]
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    hash_chain_result: bytes | None = field(default=None, repr=False)
    hash_chain: bytes | None = field(default=None, repr=False)


def parse_signature(raw: bytes, form: Form = Form.TRANSPORT) -> Signature:
    """Read a signature document, or raise EvidenceRejected: `invalid_xml`, `malformed_signature`.

    Only the wrapped form of X-Road and the bare `ds:Signature` of its successor are read; see
    `xades_form`. Digest and signature algorithms under SHA-256 are refused, and so is every
    transform but a canonicalisation of the signed properties.
    """
    try:
        root = parse_xml(
            raw,
            max_bytes=MAX_SIGNATURE_BYTES,
            max_tags=MAX_TAGS,
            max_equals=MAX_EQUALS,
            what="Signature",
        )
    except MalformedMessage as error:
        raise EvidenceRejected(error.text, error.code) from error
    if root.getprevious() is not None or root.getnext() is not None:
        malformed("A comment or processing instruction stands outside the root element")
    by_id = check_form(root, form)
    element = root[0] if root.tag != f"{{{DS}}}Signature" else root
    signed_info, value, key_info, container = element
    qualifying = container[0]
    properties = qualifying[0]
    if qualifying.get("Target") != f"#{element.get('Id')}":
        malformed("QualifyingProperties belong to another signature")
    references, properties_reference, transform = _references(signed_info, properties)
    return Signature(
        raw=raw,
        certificate=certificate_of(key_info[0][0]),
        algorithm=_algorithm(signed_info[1]),
        value=bytes_of(value),
        references=references,
        signed_info=_canonical(signed_info, signed_info[0].get("Algorithm", "")),
        signed_properties=_canonical(properties, transform),
        properties_digest=properties_reference,
        certificate_digest=certificate_digest(properties[0]),
        signing_time=signing_time(properties[0]),
        embedded_certificates=embedded_certificates(qualifying, by_id),
        ocsp_responses=ocsp_responses(qualifying),
        timestamp=timestamp(qualifying),
    )


def _algorithm(element: etree._Element) -> SignatureAlgorithm:
    uri = element.get("Algorithm", "")
    algorithm = SIGNATURE_ALGORITHMS.get(uri)
    if algorithm is None:
        malformed(f"Signature algorithm {uri!r} is not accepted")
    return algorithm


def _references(
    signed_info: etree._Element, properties: etree._Element
) -> tuple[tuple[PartDigest, ...], PartDigest, str]:
    """The references to parts, the one to the signed properties, and the latter's transform."""
    elements = signed_info[2:]
    if len(elements) > MAX_REFERENCES:
        malformed(f"more than {MAX_REFERENCES} references")
    target = f"#{properties.get('Id')}"
    parts: dict[str, PartDigest] = {}
    own: tuple[PartDigest, str] | None = None
    for element in elements:
        uri, kind = element.get("URI", ""), element.get("Type")
        *transforms, method, value = element
        if (uri == target) != (kind == _PROPERTIES_TYPE) or (kind and uri != target):
            malformed(f"Reference to {uri!r} of type {kind!r}")
        if uri in parts or (uri == target and own):
            malformed(f"Two references to {uri!r}")
        stated = stated_digest(uri, method, value)
        if uri == target:
            own = stated, transforms[0][0].get("Algorithm", "") if transforms else _INCLUSIVE
        elif transforms or not uri.startswith("/"):
            malformed(f"Reference to {uri!r}: only parts of the message, and as they are")
        else:
            parts[uri] = stated
    if own is None:
        malformed("The signed properties are not signed")
    return tuple(parts.values()), *own


def _canonical(element: etree._Element, method: str) -> bytes:
    """The canonical bytes of an element inside its document, without comments."""
    if method not in (_INCLUSIVE, _EXCLUSIVE):
        malformed(f"Canonicalisation {method!r} is not accepted")
    try:
        return etree.tostring(
            element, method="c14n", exclusive=method == _EXCLUSIVE, with_comments=False
        )
    except etree.LxmlError as error:  # a relative namespace name has no canonical form
        malformed(f"The signature can't be canonicalised: {error}")
