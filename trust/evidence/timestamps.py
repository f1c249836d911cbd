"""Time-stamp tokens (RFC 3161): which moment a trusted service saw these bytes.

A token is judged with the service's certificate from the trust list, because services often
leave it out; being listed is enough, no chain is built. Tokens are read here and not by a library:
those at hand insist on a certificate inside, on a chain, or on the order of a set that no
signature covers.

Source: signatures.md 8.5; X-Road 7.8 TimestampVerifier.java; RFC 3161 2.4.2, RFC 5652 5, RFC 5035.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from trust import asn1
from trust.pki.certificates import describe
from trust.report import Check, failed, passed

MAX_TOKEN_BYTES = 256 * 1024
_MAX_CERTIFICATES = 20

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"  # ESS, digest always SHA-1
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
# signature algorithms, with the digest that each demands; plain RSA takes any
_RSA = {
    "1.2.840.113549.1.1.1": None,
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
_ECDSA = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_TIME = re.compile(r"(\d{14})(?:\.(\d*[1-9]))?Z")


@dataclass(frozen=True, slots=True)
class TimestampVerdict:
    """What a token proves.

    Attributes:
        check: the one step `timestamp`, with the fault code when it failed.
        gen_time: when the service saw the bytes (aware, UTC); None unless the check passed.
        tsa: the service's certificate in words; empty when none fits.
    """

    check: Check
    gen_time: datetime | None
    tsa: str


@dataclass(frozen=True, slots=True)
class TimestampToken:
    """A token's parts, well-formed and not believed.

    Attributes:
        imprint: digest of the stamped bytes by `imprint_hash`.
        info: the DER of TSTInfo, which `signed_attributes` digest.
        signed_attributes: as SET, which is the form that is signed.
        signer: issuer (DER of the name) and serial number, or a key identifier.
    """

    info: bytes
    imprint_hash: hashes.HashAlgorithm
    imprint: bytes
    gen_time: datetime
    certificates: tuple[bytes, ...]
    signer: tuple[bytes, int] | bytes
    digest_hash: hashes.HashAlgorithm
    signature_algorithm: str
    signed_attributes: bytes
    attributes: dict[str, asn1.Element]
    signature: bytes


def parse_timestamp(data: bytes) -> TimestampToken:
    """Read a bare token or a whole response that granted one; raises asn1.NotAsn1.

    Accepted digests are SHA-256, SHA-384 and SHA-512, for the imprint and for the signature.
    """
    if len(data) > MAX_TOKEN_BYTES:
        raise asn1.NotAsn1(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    kind, explicit = _token_of(data)
    if asn1.parse_oid(kind) != _SIGNED_DATA:
        raise asn1.NotAsn1("the token is no signed data")
    (signed_data,) = _parts(explicit.need(0xA0), 1)
    version, digests, content, *rest = _parts(signed_data.need(asn1.SEQUENCE), 4, 6)
    if asn1.parse_integer(version) != 3:
        raise asn1.NotAsn1("the token is not of version 3")
    (signer,) = _parts(rest[-1].need(asn1.SET), 1)  # RFC 3161: exactly one signature
    info = _content(content)
    imprint_hash, imprint, gen_time = _read_info(info)
    return _with_signer(signer, digests, info, imprint_hash, imprint, gen_time, rest[:-1])


def check_timestamp(
    token: bytes, stamped: bytes, tsa_certificates: Sequence[x509.Certificate]
) -> TimestampVerdict:
    """Judge whether a listed service stamped these bytes.

    Args:
        token: DER of a bare token or of a response.
        tsa_certificates: those of the approved services of all instances; each is trusted as it
            is, for tokens made within its validity.
    Source: signatures.md 8.5, in its order and with its codes.
    """
    try:
        parsed = parse_timestamp(token)
    except asn1.NotAsn1 as error:
        text = f"The time-stamp can't be read: {error}"
        return TimestampVerdict(
            failed("timestamp", "malformed_signature", text, "unreadable"), None, ""
        )
    found = hashlib.new(parsed.imprint_hash.name, stamped).digest()
    if not hmac.compare_digest(found, parsed.imprint):
        return _failed("malformed_signature", "Timestamp hashes do not match")
    if not tsa_certificates:
        return _failed(
            "mlog.no_timestamping_provider_found",
            "The trust list names no time-stamping service",
        )
    certificate = find_signer(parsed, tsa_certificates)
    if certificate is None:
        return _failed(
            "mlog.tsp_certificate_not_found",
            "The time-stamp is signed by a service that the trust list does not name",
        )
    tsa = describe(certificate)
    try:
        _verify_signature(parsed, certificate)
    except (_Untrue, asn1.NotAsn1) as error:
        return _failed("mlog.timestamp_signer_verification_failed", f"{error} ({tsa})", tsa)
    detail = f"{tsa} saw it at {parsed.gen_time:%Y-%m-%d %H:%M:%S}Z"
    return TimestampVerdict(passed("timestamp", detail), parsed.gen_time, tsa)


def _failed(code: str, detail: str, tsa: str = "") -> TimestampVerdict:
    return TimestampVerdict(failed("timestamp", code, detail), None, tsa)


class _Untrue(Exception):
    """The token is readable and its signature does not hold."""


def _parts(element: asn1.Element, at_least: int, at_most: int | None = None) -> list[asn1.Element]:
    children = list(element.children())
    if not at_least <= len(children) <= (at_most or at_least):
        raise asn1.NotAsn1(f"{len(children)} parts where {at_least} were expected")
    return children


def _token_of(data: bytes) -> tuple[asn1.Element, asn1.Element]:
    """The two parts of ContentInfo, out of a response if the token is in one."""
    outer = asn1.parse_element(data, asn1.SEQUENCE)
    first, *others = _parts(outer, 1, 2)
    if first.tag == asn1.SEQUENCE:
        status = asn1.parse_integer(_parts(first, 1, 3)[0])
        if status not in (0, 1) or not others:
            raise asn1.NotAsn1("the time-stamping service refused")
        first, *others = _parts(others[0].need(asn1.SEQUENCE), 2)
    if not others:
        raise asn1.NotAsn1("the token is empty")
    return first, others[0]


def _content(content: asn1.Element) -> bytes:
    kind, explicit = _parts(content.need(asn1.SEQUENCE), 2)
    if asn1.parse_oid(kind) != _TST_INFO:
        raise asn1.NotAsn1("the signed data is no time-stamp")
    (octets,) = _parts(explicit.need(0xA0), 1)
    return asn1.parse_octets(octets)


def _hash(algorithm: asn1.Element) -> hashes.HashAlgorithm:
    """An AlgorithmIdentifier of a digest, without parameters or with NULL."""
    kind, *parameters = _parts(algorithm.need(asn1.SEQUENCE), 1, 2)
    for parameter in parameters:
        if parameter.raw != b"\x05\x00":
            raise asn1.NotAsn1("a digest algorithm has parameters")
    found = _DIGESTS.get(asn1.parse_oid(kind))
    if found is None:
        raise asn1.NotAsn1(f"digest algorithm {asn1.parse_oid(kind)} is not accepted")
    return found


def _read_info(info: bytes) -> tuple[hashes.HashAlgorithm, bytes, datetime]:
    version, policy, imprint, serial, time, *_ = _parts(
        asn1.parse_element(info, asn1.SEQUENCE), 5, 10
    )
    if asn1.parse_integer(version) != 1:
        raise asn1.NotAsn1("the time-stamp is not of version 1")
    asn1.parse_oid(policy)
    asn1.parse_integer(serial)
    algorithm, digest = _parts(imprint.need(asn1.SEQUENCE), 2)
    imprint_hash = _hash(algorithm)
    value = digest.need(asn1.OCTET_STRING).content
    if len(value) != imprint_hash.digest_size:
        raise asn1.NotAsn1("the imprint does not have the length of its digest")
    return imprint_hash, value, _parse_time(time.need(asn1.GENERALIZED_TIME).content)


def _parse_time(content: bytes) -> datetime:
    match = _TIME.fullmatch(content.decode("ascii", "replace"))
    if match is None:
        raise asn1.NotAsn1("the time of the time-stamp is not in UTC as DER writes it")
    try:
        whole = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise asn1.NotAsn1("the time of the time-stamp does not exist") from error
    return whole + timedelta(microseconds=int((match[2] or "0").ljust(6, "0")[:6]))


def _with_signer(
    signer_info: asn1.Element,
    digests: asn1.Element,
    info: bytes,
    imprint_hash: hashes.HashAlgorithm,
    imprint: bytes,
    gen_time: datetime,
    optional: Sequence[asn1.Element],
) -> TimestampToken:
    parts = _parts(signer_info.need(asn1.SEQUENCE), 6, 7)
    version, signer_id, digest, attributes, algorithm, value = parts[:6]
    if parts[6:]:
        parts[6].need(0xA1)
    digest_hash = _hash(digest)
    if digest_hash not in [_hash(listed) for listed in digests.need(asn1.SET).children()]:
        raise asn1.NotAsn1("the digest algorithm is not among those announced")
    signer = _signer_id(signer_id)
    if asn1.parse_integer(version) != (3 if isinstance(signer, bytes) else 1):
        raise asn1.NotAsn1("the signer's version does not fit its identifier")
    return TimestampToken(
        info=info,
        imprint_hash=imprint_hash,
        imprint=imprint,
        gen_time=gen_time,
        certificates=_certificates(optional),
        signer=signer,
        digest_hash=digest_hash,
        signature_algorithm=_signature_algorithm(algorithm),
        signed_attributes=bytes([asn1.SET]) + attributes.need(0xA0).raw[1:],
        attributes=_attributes(attributes),
        signature=value.need(asn1.OCTET_STRING).content,
    )


def _certificates(optional: Sequence[asn1.Element]) -> tuple[bytes, ...]:
    """The certificates inside; a set of revocation lists may follow and is not looked at."""
    tags = [element.tag for element in optional]
    if tags not in ([], [0xA0], [0xA0, 0xA1]):
        raise asn1.NotAsn1("the signed data has parts that are not known")
    found = [child for element in optional if element.tag == 0xA0 for child in element.children()]
    if len(found) > _MAX_CERTIFICATES:
        raise asn1.NotAsn1(f"more than {_MAX_CERTIFICATES} certificates")
    return tuple(child.need(asn1.SEQUENCE).raw for child in found)


def _signer_id(element: asn1.Element) -> tuple[bytes, int] | bytes:
    if element.tag == 0x80:
        return element.content
    issuer, serial = _parts(element.need(asn1.SEQUENCE), 2)
    return issuer.need(asn1.SEQUENCE).raw, asn1.parse_integer(serial)


def _signature_algorithm(algorithm: asn1.Element) -> str:
    kind, *parameters = _parts(algorithm.need(asn1.SEQUENCE), 1, 2)
    for parameter in parameters:
        if parameter.raw != b"\x05\x00":
            raise asn1.NotAsn1("a signature algorithm with parameters is not accepted")
    return asn1.parse_oid(kind)


def _attributes(element: asn1.Element) -> dict[str, asn1.Element]:
    """Signed attributes by type; each once and with one value."""
    found: dict[str, asn1.Element] = {}
    for attribute in element.children():
        kind, values = _parts(attribute.need(asn1.SEQUENCE), 2)
        (value,) = _parts(values.need(asn1.SET), 1)
        name = asn1.parse_oid(kind)
        if name in found:
            raise asn1.NotAsn1("a signed attribute stands twice")
        found[name] = value
    return found


def find_signer(
    token: TimestampToken, certificates: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """The certificate that the token names as its signer's, if it is among these."""
    for certificate in certificates:
        if isinstance(token.signer, bytes):
            if token.signer == _key_identifier(certificate):
                return certificate
        elif token.signer == (_issuer_bytes(certificate), certificate.serial_number):
            return certificate
    return None


def _issuer_bytes(certificate: x509.Certificate) -> bytes:
    """The issuer's name as it stands in the certificate: the fourth part, or third in version 1."""
    body = asn1.parse_element(certificate.tbs_certificate_bytes, asn1.SEQUENCE).children()
    return body[3 if body[0].tag == 0xA0 else 2].raw


def _key_identifier(certificate: x509.Certificate) -> bytes:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    return extension.value.digest


def _verify_signature(token: TimestampToken, certificate: x509.Certificate) -> None:
    """Check the signature by the listed certificate; raises _Untrue with what does not hold."""
    dates = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not dates[0] <= token.gen_time <= dates[1]:
        raise _Untrue("the service's certificate was not valid at the time of the time-stamp")
    _check_attributes(token, certificate)
    raw = certificate.public_bytes(Encoding.DER)
    if token.certificates and raw not in token.certificates:
        raise _Untrue("the certificate inside the token is another one than that of the service")
    key = certificate.public_key()
    signed, digest = token.signed_attributes, token.digest_hash
    try:
        if isinstance(key, rsa.RSAPublicKey) and _fits(token, _RSA):
            key.verify(token.signature, signed, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and _fits(token, _ECDSA):
            key.verify(token.signature, signed, ec.ECDSA(digest))
        else:
            raise _Untrue(f"signatures by {token.signature_algorithm} are not accepted")
    except (InvalidSignature, UnsupportedAlgorithm) as error:
        raise _Untrue("the token's signature is not by the key of the service") from error


def _fits(token: TimestampToken, algorithms: Mapping[str, str | None]) -> bool:
    """Whether the token's algorithm is among these and goes with the digest it announces."""
    name = token.signature_algorithm
    return name in algorithms and algorithms[name] in (None, token.digest_hash.name)


def _check_attributes(token: TimestampToken, certificate: x509.Certificate) -> None:
    kind = token.attributes.get(_CONTENT_TYPE)
    if kind is None or asn1.parse_oid(kind) != _TST_INFO:
        raise _Untrue("the signature is not over a time-stamp")
    digest = token.attributes.get(_MESSAGE_DIGEST)
    found = hashlib.new(token.digest_hash.name, token.info).digest()
    if digest is None or digest.need(asn1.OCTET_STRING).content != found:
        raise _Untrue("the signature is over another time-stamp")
    _check_certificate_attributes(token, certificate)


def _check_certificate_attributes(token: TimestampToken, certificate: x509.Certificate) -> None:
    """Compare the certificate digest among the signed attributes, where there is one."""
    raw = certificate.public_bytes(Encoding.DER)
    first = token.attributes.get(_SIGNING_CERTIFICATE)
    if first is not None:
        digest = _first_certificate_id(first)[0].need(asn1.OCTET_STRING).content
        if digest != hashlib.sha1(raw, usedforsecurity=False).digest():
            raise _Untrue("the signed attributes name another certificate")
    second = token.attributes.get(_SIGNING_CERTIFICATE_V2)
    if second is not None:
        algorithm: hashes.HashAlgorithm = hashes.SHA256()  # the default, then left out
        parts = _first_certificate_id(second)
        if parts[0].tag == asn1.SEQUENCE:
            algorithm = _hash(parts.pop(0))
        if not parts or parts[0].need(asn1.OCTET_STRING).content != (
            hashlib.new(algorithm.name, raw).digest()
        ):
            raise _Untrue("the signed attributes name another certificate")


def _first_certificate_id(value: asn1.Element) -> list[asn1.Element]:
    """The parts of the first ESSCertID of a signing-certificate attribute."""
    identifiers = _parts(value.need(asn1.SEQUENCE), 1, 2)[0].need(asn1.SEQUENCE).children()
    if not identifiers:
        raise asn1.NotAsn1("a signing-certificate attribute without certificate")
    return _parts(identifiers[0].need(asn1.SEQUENCE), 1, 3)
