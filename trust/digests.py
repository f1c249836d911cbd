"""Digest and signature algorithms: their URIs in XML and what may be used.

Source: X-Road 7.8 DigestAlgorithm.java, SignAlgorithm.java. X-Road also reads MD5, SHA-1 and
SHA-224; in messages and configurations we refuse them (signatures.md 2). SHA-1 remains where the
wire needs it: OCSP CertIDs, the side channel of port 5577, configurations of version 2.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives import hashes

SHA256_URI = "http://www.w3.org/2001/04/xmlenc#sha256"
SHA384_URI = "http://www.w3.org/2001/04/xmldsig-more#sha384"
SHA512_URI = "http://www.w3.org/2001/04/xmlenc#sha512"

_NAMES = {SHA256_URI: "sha256", SHA384_URI: "sha384", SHA512_URI: "sha512"}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def digest_name(uri: str) -> str | None:
    """The hashlib name of an accepted digest URI, or None for one that we refuse."""
    return _NAMES.get(uri)


def digest(uri: str, data: bytes) -> bytes:
    """Digest `data` with an accepted algorithm; raises KeyError for a URI that is refused."""
    return hashlib.new(_NAMES[uri], data).digest()


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


class KeyKind(Enum):
    """How a signature algorithm signs."""

    RSA = "rsa"  # PKCS#1 v1.5
    RSA_PSS = "rsa-pss"  # MGF1 with the same hash, salt as long as the hash
    EC = "ec"


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """A signature algorithm as it stands in XML."""

    uri: str
    kind: KeyKind
    hash_name: str

    @property
    def hash(self) -> hashes.HashAlgorithm:
        return _HASHES[self.hash_name]


_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_PSS = "http://www.w3.org/2007/05/xmldsig-more#"

SIGNATURE_ALGORITHMS: dict[str, SignatureAlgorithm] = {
    algorithm.uri: algorithm
    for name in ("sha256", "sha384", "sha512")
    for algorithm in (
        SignatureAlgorithm(f"{_MORE}rsa-{name}", KeyKind.RSA, name),
        SignatureAlgorithm(f"{_PSS}{name}-rsa-MGF1", KeyKind.RSA_PSS, name),
        SignatureAlgorithm(f"{_MORE}ecdsa-{name}", KeyKind.EC, name),
    )
}

RSA_SHA512 = SIGNATURE_ALGORITHMS[f"{_MORE}rsa-sha512"]
ECDSA_SHA512 = SIGNATURE_ALGORITHMS[f"{_MORE}ecdsa-sha512"]
