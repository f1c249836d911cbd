"""The signed directory of a configuration: which parts there are, until when, and who says so.

Reading has two steps, since nothing inside may be believed before the signature is verified:
`parse_directory` reads the envelope, `SignedDirectory.verify` the signature, and only then
`SignedDirectory.content` what was signed. `read_directory` makes all steps in the order of the
reference and judges the expiry.

Source: trust.md 4, 5.1, 14.2; X-Road 7.8 ConfigurationParser.java, DirectoryContentBuilder.java,
DirectoryContentSigner.java. Unlike X-Road we refuse SHA-1, SHA-224 and MD5, parts without
identifier, and more than two outer parts.
"""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from trust.configuration.confparts import NEWEST_VERSION, OLDEST_VERSION
from trust.configuration.conftypes import read_base64, read_offset_time, write_time, write_value
from trust.configuration.mimeparts import Entity, read_entity, read_value, split_parts
from trust.digests import (
    SHA512_URI,
    SIGNATURE_ALGORITHMS,
    KeyKind,
    SignatureAlgorithm,
    digest,
    digest_name,
)
from trust.errors import EvidenceRejected, GlobalConfOutdated, MalformedMessage
from trust.pki.certificates import parse_certificate

MAX_DIRECTORY_BYTES = 1024 * 1024
MAX_ENTRIES = 200
MAX_LOCATION_LENGTH = 2000

_BINARY = "application/octet-stream"
_FAILURE = "global_conf_parsing_downloaded_conf_directory_failure"
_MISSING = "global_conf_header_field_missing"
_WRONG = "global_conf_header_field_wrong_value"
_NO_PARAMETER = "global_conf_header_field_missing_parameter"
_NOT_VERIFIED = "global_conf_signature_verification_failure"


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One part: what it is, of which instance, where it lies, and its digest."""

    identifier: str
    instance: str
    location: str  # relative to the directory's address, usually absolute in its host
    digest: bytes
    hash_uri: str = SHA512_URI
    file_name: str | None = None  # of optional parts, on disk

    def matches(self, raw: bytes) -> bool:
        return hmac.compare_digest(digest(self.hash_uri, raw), self.digest)

    def __str__(self) -> str:
        return f"{self.identifier} of {self.instance}"


@dataclass(frozen=True, slots=True)
class Directory:
    """What was signed."""

    expires: datetime  # aware, UTC
    version: int
    entries: tuple[DirectoryEntry, ...]

    def entry(self, identifier: str, instance: str) -> DirectoryEntry | None:
        wanted = (identifier, instance)
        found = (item for item in self.entries if (item.identifier, item.instance) == wanted)
        return next(found, None)


@dataclass(frozen=True, slots=True)
class SignedDirectory:
    """An envelope that is well-formed and not believed.

    Attributes:
        signed: the bytes under the signature, as received.
        boundary: of the parts inside; announced outside the signature.
    """

    signed: bytes = field(repr=False)
    boundary: str
    algorithm: SignatureAlgorithm
    certificate_hash: bytes
    certificate_hash_uri: str
    signature: bytes = field(repr=False)

    def verify(self, certificates: Iterable[bytes]) -> bytes:
        """Verify the signature with the certificate of the announced digest, and return that.

        Validity dates, usages and issuers of these certificates mean nothing.
        Raises EvidenceRejected.
        """
        for certificate in certificates:
            found = digest(self.certificate_hash_uri, certificate)
            if hmac.compare_digest(found, self.certificate_hash):
                self._verify_with(certificate)
                return certificate
        named = write_value(self.certificate_hash)
        text = f"No certificate of this source has the digest {named} of the signer"
        raise EvidenceRejected(text, "global_conf_missing_verification_cert")

    def _verify_with(self, certificate: bytes) -> None:
        try:
            key = parse_certificate(certificate).public_key()
            fitting = _check_value(key, self.algorithm, self.signature, self.signed)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, MalformedMessage) as error:
            text = "The signature of the configuration directory does not hold"
            raise EvidenceRejected(text, _NOT_VERIFIED) from error
        if not fitting:
            text = f"The signer's key does not fit the algorithm {self.algorithm.uri}"
            raise EvidenceRejected(text, _NOT_VERIFIED)

    def content(self, at: datetime | None = None) -> Directory:
        """Read what was signed; call it after `verify`.

        Args:
            at: an expired directory raises GlobalConfOutdated before its entries are read.
        """
        # The announced boundary is not signed. That of the first line is.
        opening = f"--{self.boundary}".encode()
        first_line = self.signed.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r \t")
        if first_line != opening:
            raise MalformedMessage("The signed part does not begin with its boundary", _FAILURE)
        entities = _entities(split_parts(self.signed, self.boundary))
        expires = _expires(entities[0])
        if at is not None and at > expires:
            raise GlobalConfOutdated(f"The configuration expired at {write_time(expires)}")
        version = _version(entities[0])
        return Directory(expires, version, _distinct(tuple(_entry(e) for e in entities[1:])))


def _check_value(
    key: object, algorithm: SignatureAlgorithm, signature: bytes, signed: bytes
) -> bool:
    """Verify a signature value (raises InvalidSignature); False when the key has another kind."""
    if algorithm.kind is KeyKind.EC and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, signed, ec.ECDSA(algorithm.hash))
        return True
    if algorithm.kind is KeyKind.RSA and isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), algorithm.hash)
        return True
    if algorithm.kind is KeyKind.RSA_PSS and isinstance(key, rsa.RSAPublicKey):
        scheme = padding.PSS(padding.MGF1(algorithm.hash), algorithm.hash.digest_size)
        key.verify(signature, signed, scheme, algorithm.hash)
        return True
    return False


def read_directory(raw: bytes, certificates: Iterable[bytes], at: datetime | None) -> Directory:
    """Parse, verify and read a directory, in this order; raises ExchangeError with its code.

    Args:
        certificates: of the location it came from, and no others.
        at: the moment it must not be expired at; None to judge no expiry.
    """
    signed = parse_directory(raw)
    signed.verify(certificates)
    return signed.content(at)


def parse_directory(raw: bytes) -> SignedDirectory:
    """Read the envelope of a signed directory; raises MalformedMessage."""
    if len(raw) > MAX_DIRECTORY_BYTES:
        raise MalformedMessage(
            f"The directory is larger than {MAX_DIRECTORY_BYTES} bytes", _FAILURE
        )
    parts = _outer_parts(raw)
    if not parts:
        raise MalformedMessage("There is no signed part", "global_conf_missing_signed_data")
    if len(parts) == 1:
        code = "global_conf_missing_signed_data_expiration_date"
        raise MalformedMessage("There is no signature part, so nothing is believed", code)
    if len(parts) > 2:
        raise MalformedMessage(f"There are {len(parts)} parts, expected 2", _FAILURE)
    content, signature = parts
    value = _signature_value(signature)
    _expect_binary(signature)
    algorithm = _required(signature, "signature-algorithm-id")
    if algorithm not in SIGNATURE_ALGORITHMS:
        raise MalformedMessage(f"The signature algorithm {algorithm} is not accepted", _WRONG)
    hash_value, hash_uri = _certificate_hash(signature)
    return SignedDirectory(
        signed=content.body,
        boundary=_boundary(content) or "",
        algorithm=SIGNATURE_ALGORITHMS[algorithm],
        certificate_hash=hash_value,
        certificate_hash_uri=hash_uri,
        signature=value,
    )


def _outer_parts(raw: bytes) -> tuple[Entity, ...]:
    (envelope,) = _entities([raw])
    boundary = _boundary(envelope)
    if boundary is None:  # the reference takes such a text as one part
        return (envelope,) if raw.strip() else ()
    return _entities(split_parts(envelope.body, boundary))


def _entities(parts: Sequence[bytes]) -> tuple[Entity, ...]:
    if len(parts) > MAX_ENTRIES + 1:
        raise MalformedMessage(f"There are more than {MAX_ENTRIES} parts", _FAILURE)
    try:
        return tuple(read_entity(part) for part in parts)
    except ValueError as error:
        raise MalformedMessage(f"A part's headers can't be read: {error}", _FAILURE) from error


def _values(name: str, text: str) -> tuple[str, dict[str, str]]:
    try:
        value, parameters = read_value(text)
    except ValueError as error:
        raise MalformedMessage(f"The header {name} can't be read: {error}", _WRONG) from error
    return value, dict(parameters)


def _boundary(entity: Entity) -> str | None:
    """The boundary of a multipart entity; None when it is none."""
    content_type = entity.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/"):
        return None
    _, parameters = _values("content-type", content_type)
    return parameters.get("boundary") or None


def _required(entity: Entity, name: str) -> str:
    value = entity.headers.get(name, "")
    if not value:
        raise MalformedMessage(f"The header {name} is missing", _MISSING)
    return value


def _expect_binary(entity: Entity) -> None:
    for name, expected in (("content-type", _BINARY), ("content-transfer-encoding", "base64")):
        found = _required(entity, name)
        if found != expected:
            raise MalformedMessage(f"{name} is '{found[:100]}', expected '{expected}'", _WRONG)


def _signature_value(entity: Entity) -> bytes:
    try:
        return read_base64(entity.body.decode("ascii"))
    except ValueError as error:
        code = "global_conf_signature_decode_failure"
        raise MalformedMessage("The signature is no base64", code) from error


def _certificate_hash(entity: Entity) -> tuple[bytes, str]:
    name, parameter = "verification-certificate-hash", "hash-algorithm-id"
    value, parameters = _values(name, _required(entity, name))
    uri = parameters.get(parameter, "")
    if not uri:
        raise MalformedMessage(f"The header {name} has no {parameter}", _NO_PARAMETER)
    return _digest_value(name, value, uri), uri


def _digest_value(name: str, value: str, uri: str) -> bytes:
    hash_name = digest_name(uri)
    if hash_name is None:
        raise MalformedMessage(f"The digest algorithm {uri[:100]} is not accepted", _WRONG)
    try:
        found = read_base64(value)
    except ValueError as error:
        raise MalformedMessage(f"{name} is no base64", _WRONG) from error
    if len(found) != hashlib.new(hash_name).digest_size:
        raise MalformedMessage(f"{name} does not have the length of {hash_name}", _WRONG)
    return found


def _expires(entity: Entity) -> datetime:
    try:
        return read_offset_time(_required(entity, "expire-date"))
    except ValueError as error:
        raise MalformedMessage(f"expire-date is no time: {error}", _WRONG) from error


def _version(entity: Entity) -> int:
    text = entity.headers.get("version", str(OLDEST_VERSION))
    if not re.fullmatch("[0-9]{1,4}", text):
        raise MalformedMessage(f"version is '{text[:40]}', expected a number", _WRONG)
    if not OLDEST_VERSION <= int(text) <= NEWEST_VERSION:
        known = f"{OLDEST_VERSION} to {NEWEST_VERSION}"
        raise MalformedMessage(f"version is {text}, expected {known}", _WRONG)
    return int(text)


def _entry(entity: Entity) -> DirectoryEntry:
    _expect_binary(entity)
    location = _required(entity, "content-location")
    if len(location) > MAX_LOCATION_LENGTH:
        raise MalformedMessage("content-location is too long", _WRONG)
    uri = _required(entity, "hash-algorithm-id")
    identifier, parameters = _values("content-identifier", _required(entity, "content-identifier"))
    instance = parameters.get("instance", "")
    if not identifier:
        raise MalformedMessage("The header content-identifier is missing", _MISSING)
    if not instance.strip():
        text = "The header content-identifier has no instance"
        raise MalformedMessage(text, _NO_PARAMETER)
    value = _digest_value("the digest of a part", _ascii(entity.body), uri)
    name = entity.headers.get("content-file-name") or None
    return DirectoryEntry(identifier, instance, location, value, uri, name)


def _ascii(body: bytes) -> str:
    return body.decode("ascii", errors="replace")


def _distinct(entries: tuple[DirectoryEntry, ...]) -> tuple[DirectoryEntry, ...]:
    if len({(entry.identifier, entry.instance) for entry in entries}) != len(entries):
        raise MalformedMessage("The directory names a part twice", _FAILURE)
    return entries


class DirectoryKey(Protocol):
    """A signing key as for messages: EC values come as r and s side by side."""

    @property
    def algorithm(self) -> SignatureAlgorithm: ...

    def sign(self, data: bytes) -> bytes: ...


_LETTERS = string.ascii_letters + string.digits


def new_boundary() -> str:
    """A boundary as a central server makes it: 20 letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(20))


def build_directory(
    directory: Directory,
    key: DirectoryKey,
    certificate: bytes,
    *,
    hash_uri: str = SHA512_URI,
    boundaries: tuple[str, str] | None = None,
) -> bytes:
    """Write and sign a directory as a 7.8 central server does, byte for byte but the boundaries.

    Args:
        certificate: the DER bytes that stand in the anchor; `hash_uri` digests them.
        boundaries: outer and inner; random without them.
    """
    outer, inner = boundaries or (new_boundary(), new_boundary())
    signed = _build_content(directory, inner)
    signature = write_value(_der_form(key.sign(signed), key.algorithm))
    certificate_hash = write_value(digest(hash_uri, certificate))
    head = [
        f"Content-Type: multipart/related; charset=UTF-8; boundary={outer}",
        "",
        f"--{outer}",
        f"Content-Type: multipart/mixed; charset=UTF-8; boundary={inner}",
        "",
        "",
    ]
    tail = [
        "",
        f"--{outer}",
        f"Content-Type: {_BINARY}",
        "Content-Transfer-Encoding: base64",
        f"Signature-Algorithm-Id: {key.algorithm.uri}",
        f'Verification-certificate-hash: {certificate_hash}; hash-algorithm-id="{hash_uri}"',
        "",
        signature,
        f"--{outer}--",
        "",
    ]
    return "\r\n".join(head).encode() + signed + "\r\n".join(tail).encode()


def _build_content(directory: Directory, boundary: str) -> bytes:
    lines = [
        f"--{boundary}",
        f"Expire-date: {write_time(directory.expires)}",
        f"Version: {directory.version}",
        "",
    ]
    for entry in directory.entries:
        lines += _build_entry(entry, boundary)
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode()


def _build_entry(entry: DirectoryEntry, boundary: str) -> list[str]:
    _check_writable(entry)
    named = [] if entry.file_name is None else [f"Content-file-name: {entry.file_name}"]
    return [
        f"--{boundary}",
        f"Content-type: {_BINARY}",
        "Content-transfer-encoding: base64",
        f"Content-identifier: {entry.identifier}; instance='{entry.instance}'",
        f"Content-location: {entry.location}",
        f"Hash-algorithm-id: {entry.hash_uri}",
        *named,
        "",
        write_value(entry.digest),
    ]


def _check_writable(entry: DirectoryEntry) -> None:
    """Refuse values that would end their header or their quotes."""
    values = (entry.identifier, entry.instance, entry.location, entry.file_name or "-")
    if any(not value.strip() or re.search(r"[\x00-\x1f\x7f'\";]", value) for value in values):
        raise MalformedMessage(f"The part {entry!r} can't be written into a directory", _WRONG)


def _der_form(signature: bytes, algorithm: SignatureAlgorithm) -> bytes:
    """Directories carry ECDSA values as an ASN.1 sequence, XML signatures as r and s."""
    if algorithm.kind is not KeyKind.EC:
        return signature
    half = len(signature) // 2
    return encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )
