"""The test time-stamping authority: an RFC 3161 request in, a signed reply out.

Built by hand from DER, since no library writes the CMS form that time-stamps have.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from scripts.issuing import Identity
from trust.asn1 import (
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    Element,
    parse_element,
    parse_oid,
)
from trust.names import issuer_name

_POLICY = "1.3.6.1.4.1.99999.1.1"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_TIME = "1.2.840.113549.1.9.5"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_RSA_SHA256 = "1.2.840.113549.1.1.11"
_DIGEST_SIZES = {_SHA256: 32, "2.16.840.1.101.3.4.2.2": 48, "2.16.840.1.101.3.4.2.3": 64}

_BOOLEAN = 0x01
_UTF8_STRING = 0x0C
_UTC_TIME = 0x17
_EXPLICIT_0 = 0xA0


def encode(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size, "big") + content


def encode_integer(value: int) -> bytes:
    """An INTEGER in its shortest form; zero or more."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encode_oid(dotted: str) -> bytes:
    first, second, *arcs = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *arcs):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(septets))
    return encode(OBJECT_IDENTIFIER, bytes(content))


def _encode_set(*members: bytes) -> bytes:
    return encode(SET, *sorted(members))


@dataclass(frozen=True, slots=True)
class TimestampRequest:
    """What a client asks to be stamped.

    Attributes:
        imprint: the whole MessageImprint, DER.
        nonce: the INTEGER as sent, DER; empty without one.
        wants_certificate: certReq.
    """

    imprint: bytes
    nonce: bytes
    wants_certificate: bool

    @classmethod
    def parse(cls, raw: bytes) -> "TimestampRequest":
        """Read a TimeStampReq; raises ValueError for broken DER and unknown digests."""
        version, imprint, *options = parse_element(raw, SEQUENCE).children()
        if version.raw != encode_integer(1) or imprint.tag != SEQUENCE:
            raise ValueError("no time-stamp request of version 1")
        _check_imprint(imprint)
        nonce = next((option.raw for option in options if option.tag == INTEGER), b"")
        wants = any(option.tag == _BOOLEAN and option.content == b"\xff" for option in options)
        return cls(imprint.raw, nonce, wants)


def _check_imprint(imprint: Element) -> None:
    algorithm, value = imprint.children()
    oid, *_parameters = algorithm.children()
    size = _DIGEST_SIZES.get(parse_oid(oid))
    if size is None:
        raise ValueError("an imprint with a digest that isn't SHA-2")
    if len(value.need(OCTET_STRING).content) != size:
        raise ValueError("an imprint of the wrong size")


def build_imprint_request(
    data: bytes, *, nonce: int | None = None, certificate: bool = False
) -> bytes:
    """A TimeStampReq for SHA-512 of the data, as a node sends it (no nonce, no certificate)."""
    imprint = encode(
        SEQUENCE,
        _algorithm("2.16.840.1.101.3.4.2.3"),
        encode(OCTET_STRING, hashlib.sha512(data).digest()),
    )
    options = b"" if nonce is None else encode_integer(nonce)
    if certificate:
        options += encode(_BOOLEAN, b"\xff")
    return encode(SEQUENCE, encode_integer(1), imprint, options)


def build_timestamp_reply(
    request: TimestampRequest, tsa: Identity, serial: int, at: datetime
) -> bytes:
    """A TimeStampResp with status granted."""
    token = build_timestamp_token(request, tsa, serial, at)
    return encode(SEQUENCE, encode(SEQUENCE, encode_integer(0)), token)


def build_rejection(text: str) -> bytes:
    """A TimeStampResp with status rejection and a sentence."""
    words = encode(SEQUENCE, encode(_UTF8_STRING, text.encode()))
    return encode(SEQUENCE, encode(SEQUENCE, encode_integer(2), words))


def build_timestamp_token(
    request: TimestampRequest, tsa: Identity, serial: int, at: datetime
) -> bytes:
    """The token alone: CMS SignedData over a TSTInfo, the certificate inside if asked for."""
    info = _tst_info(request, serial, at)
    attributes = _signed_attributes(info, tsa, at)
    signature = _sign(tsa, encode(SET, attributes))
    certificates = encode(_EXPLICIT_0, tsa.der) if request.wants_certificate else b""
    content = encode(
        SEQUENCE, encode_oid(_TST_INFO), encode(_EXPLICIT_0, encode(OCTET_STRING, info))
    )
    signer = encode(
        SEQUENCE,
        encode_integer(1),
        encode(
            SEQUENCE,
            issuer_name(tsa.certificate).public_bytes(),
            encode_integer(tsa.certificate.serial_number),
        ),
        _algorithm(_SHA256),
        encode(_EXPLICIT_0, attributes),
        _signature_algorithm(tsa),
        encode(OCTET_STRING, signature),
    )
    signed_data = encode(
        SEQUENCE,
        encode_integer(3),
        _encode_set(_algorithm(_SHA256)),
        content,
        certificates,
        _encode_set(signer),
    )
    return encode(SEQUENCE, encode_oid(_SIGNED_DATA), encode(_EXPLICIT_0, signed_data))


def _tst_info(request: TimestampRequest, serial: int, at: datetime) -> bytes:
    return encode(
        SEQUENCE,
        encode_integer(1),
        encode_oid(_POLICY),
        request.imprint,
        encode_integer(serial),
        encode(GENERALIZED_TIME, at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()),
        request.nonce,
    )


def _signed_attributes(info: bytes, tsa: Identity, at: datetime) -> bytes:
    """The signed attributes in DER order, without the tag of the SET."""
    certificate_id = encode(SEQUENCE, encode(OCTET_STRING, hashlib.sha256(tsa.der).digest()))
    utc_time = at.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode()
    attributes = (
        _attribute(_CONTENT_TYPE, encode_oid(_TST_INFO)),
        _attribute(_SIGNING_TIME, encode(_UTC_TIME, utc_time)),
        _attribute(_MESSAGE_DIGEST, encode(OCTET_STRING, hashlib.sha256(info).digest())),
        _attribute(_SIGNING_CERTIFICATE_V2, encode(SEQUENCE, encode(SEQUENCE, certificate_id))),
    )
    return b"".join(sorted(attributes))


def _attribute(oid: str, value: bytes) -> bytes:
    return encode(SEQUENCE, encode_oid(oid), _encode_set(value))


def _algorithm(oid: str) -> bytes:
    return encode(SEQUENCE, encode_oid(oid), b"\x05\x00")


def _signature_algorithm(tsa: Identity) -> bytes:
    if isinstance(tsa.key.private_key, rsa.RSAPrivateKey):
        return _algorithm(_RSA_SHA256)
    return encode(SEQUENCE, encode_oid(_ECDSA_SHA256))


def _sign(tsa: Identity, data: bytes) -> bytes:
    key = tsa.key.private_key
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))
