"""Keys in software and certificate requests."""

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from tests.pki import Pki, key, name_of
from trust.digests import ECDSA_SHA512, RSA_SHA512
from trust.errors import MalformedMessage
from trust.ids import ClientId
from trust.pki.keys import KEY_TYPES, KeyType, KeyUse, SoftwareKey, build_csr
from trust.pki.subjects import SubjectProposal


def _verify(holder: SoftwareKey, signature: bytes, data: bytes) -> None:
    public = holder.private_key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, data, padding.PKCS1v15(), hashes.SHA512())
        return
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    public.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA512()))


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_a_signature_has_the_form_of_xml_signatures(kind: KeyType) -> None:
    holder = key(kind, "signer")
    signature = holder.sign(b"data")
    assert len(signature) == {"p256": 64, "rsa2048": 256, "rsa3072": 384}[kind]
    assert holder.algorithm is (ECDSA_SHA512 if kind == "p256" else RSA_SHA512)
    _verify(holder, signature, b"data")
    with pytest.raises(InvalidSignature):
        _verify(holder, signature, b"other data")


def test_small_numbers_in_an_ecdsa_signature_keep_their_width() -> None:
    lengths = {len(key("p256", "signer").sign(bytes([number]))) for number in range(200)}
    assert lengths == {64}


def test_a_key_never_shows_in_its_text() -> None:
    holder = key("p256", "signer")
    numbers = holder.private_key.private_numbers()
    assert repr(holder) == "SoftwareKey(EC secp256r1)"
    assert not isinstance(numbers, rsa.RSAPrivateNumbers)
    assert str(numbers.private_value) not in f"{holder!r}{holder}"


def test_a_key_knows_its_certificate() -> None:
    pki = Pki()
    signer = pki.sign(ClientId("TEST", "GOV", "1"))
    assert signer.key.fits(signer.certificate)
    assert not signer.key.fits(pki.root.certificate)


def test_the_pem_opens_with_its_password_alone() -> None:
    holder = key("p256", "signer")
    pem = holder.pem(b"secret")
    assert b"ENCRYPTED" in pem
    assert load_pem_private_key(pem, b"secret").public_key() == holder.private_key.public_key()
    with pytest.raises(ValueError, match=r"(?i)password|decrypt"):
        load_pem_private_key(pem, b"wrong")
    assert b"ENCRYPTED" not in holder.pem(None)


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize(
    ("use", "usages"),
    [
        ("sign", {"content_commitment"}),
        ("auth", {"digital_signature", "key_encipherment", "data_encipherment"}),
    ],
)
def test_a_request_asks_for_the_usages_of_its_kind(
    kind: KeyType, use: KeyUse, usages: set[str]
) -> None:
    proposal = SubjectProposal(name_of(C="XX", O="Müller & Co", CN="x"), "ss1.example.test")
    csr = x509.load_der_x509_csr(build_csr(key(kind, "signer"), use, proposal))
    assert csr.is_signature_valid
    assert isinstance(csr.signature_hash_algorithm, hashes.SHA256)
    assert csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Müller & Co"
    usage = csr.extensions.get_extension_for_class(x509.KeyUsage).value
    asked = {
        name
        for name in (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
            "key_agreement", "key_cert_sign", "crl_sign",
        )
        if getattr(usage, name)
    }  # fmt: skip
    assert asked == usages
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ss1.example.test"]


def test_a_request_without_a_dns_name_has_no_alternative_names() -> None:
    proposal = SubjectProposal(name_of(CN="x"))
    csr = x509.load_der_x509_csr(build_csr(key("p256", "signer"), "sign", proposal))
    with pytest.raises(x509.ExtensionNotFound):
        csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_a_dns_name_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="can't be built"):
        build_csr(key("p256", "signer"), "auth", SubjectProposal(name_of(CN="x"), "jäger.example"))
