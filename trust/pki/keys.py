"""Keys held in software: making them, signing with them, asking a CA to certify them.

Source: trust.md 9.2; X-Road 7.8 GenerateCertReqReqHandler.java.
"""

from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from trust.digests import ECDSA_SHA512, RSA_SHA512, SignatureAlgorithm
from trust.errors import MalformedMessage
from trust.pki.subjects import SubjectProposal

KeyType = Literal["p256", "rsa2048", "rsa3072"]
KEY_TYPES: tuple[KeyType, ...] = ("p256", "rsa2048", "rsa3072")
KeyUse = Literal["auth", "sign"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class SoftwareKey:
    """A private key in this process's memory; its text form never shows it."""

    __slots__ = ("_key",)

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"SoftwareKey({self.type_name})"

    @property
    def private_key(self) -> PrivateKey:
        return self._key

    @property
    def type_name(self) -> str:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return f"RSA {self._key.key_size}"
        return f"EC {self._key.curve.name}"

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return RSA_SHA512 if isinstance(self._key, rsa.RSAPrivateKey) else ECDSA_SHA512

    @property
    def quick(self) -> bool:
        """Whether signing costs less than handing the work to a thread."""
        return isinstance(self._key, ec.EllipticCurvePrivateKey)

    def sign(self, data: bytes) -> bytes:
        """Sign with SHA-512, in the form of XML signatures.

        For RSA that is PKCS#1 v1.5; for EC r and s, each as long as the curve's order, one after
        the other.
        """
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA512())
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA512())))
        size = (self._key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def fits(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate was issued for this key."""
        return certificate.public_key() == self._key.public_key()

    def pem(self, password: bytes | None) -> bytes:
        """PKCS#8 in PEM, encrypted unless the password is None."""
        encryption = BestAvailableEncryption(password) if password is not None else NoEncryption()
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def generate_key(key_type: KeyType) -> SoftwareKey:
    if key_type == "p256":
        return SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
    bits = 2048 if key_type == "rsa2048" else 3072
    return SoftwareKey(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def key_usage(use: KeyUse) -> x509.KeyUsage:
    """The key usages of a certificate of one kind.

    The reference also asks for keyCertSign in signing certificates. CAs ignore it, and one that
    did not would make every member a CA, so we do not ask.
    """
    return x509.KeyUsage(
        digital_signature=use == "auth",
        content_commitment=use == "sign",
        key_encipherment=use == "auth",
        data_encipherment=use == "auth",
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def build_csr(key: SoftwareKey, use: KeyUse, proposal: SubjectProposal) -> bytes:
    """A certificate request in DER, signed with SHA-256; raises MalformedMessage."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(proposal.name)
    builder = builder.add_extension(key_usage(use), critical=True)
    try:
        if proposal.dns_name:
            names = x509.SubjectAlternativeName([x509.DNSName(proposal.dns_name)])
            builder = builder.add_extension(names, critical=False)
        request = builder.sign(key.private_key, hashes.SHA256())
    except (ValueError, TypeError) as error:
        text = f"A certificate request can't be built: {error}"
        raise MalformedMessage(text, "cert_validation") from error
    return request.public_bytes(Encoding.DER)
