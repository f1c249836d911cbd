"""Reading certificates, their usages, and the path to an approved CA."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from scripts.issuing import Identity, plain_name
from tests.pki import DAY, NOON, Pki, key, name_of
from tests.vector_files import vector_path
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId
from trust.pki.certificates import (
    MAX_CERTIFICATE_BYTES,
    certificate_hash,
    check_path,
    describe,
    find_path,
    is_auth_certificate,
    is_sign_certificate,
    issuing_chain,
    ocsp_url,
    parse_certificate,
)
from trust.report import Outcome

MEMBER = ClientId("TEST", "GOV", "1")
_PKI = Pki()
_SIGNER = _PKI.sign(MEMBER)


def test_der_and_pem_with_text_in_front_are_the_same_certificate() -> None:
    pem = _SIGNER.certificate.public_bytes(Encoding.PEM)
    assert parse_certificate(_SIGNER.der) == _SIGNER.certificate
    assert parse_certificate(b"Certificate:\n    Data:\n" + pem) == _SIGNER.certificate


@pytest.mark.parametrize("data", [b"", b"0", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\x30\x00"])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="can't be read") as caught:
        parse_certificate(data)
    assert caught.value.code == "incorrect_certificate"


def test_an_oversized_certificate_is_refused_unread() -> None:
    with pytest.raises(MalformedMessage, match="larger than"):
        parse_certificate(b"\x30" * (MAX_CERTIFICATE_BYTES + 1))


@given(st.integers(0, len(_SIGNER.der) - 1), st.integers(1, 255))
def test_a_damaged_certificate_is_read_or_refused(place: int, change: int) -> None:
    damaged = bytearray(_SIGNER.der)
    damaged[place] ^= change
    with contextlib.suppress(MalformedMessage):
        describe(parse_certificate(bytes(damaged)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        parse_certificate(data)


def test_a_country_of_more_than_two_letters_is_read_without_a_warning() -> None:
    certificate = _PKI.certify(name_of(C="TEST", O="GOV", CN="1"), "sign").certificate
    assert "C=TEST" in describe(parse_certificate(certificate.public_bytes(Encoding.DER)))


def test_usages_tell_signing_from_authentication() -> None:
    auth = _PKI.auth(ServerId(MEMBER, "SS1")).certificate
    sign = _SIGNER.certificate
    assert (is_auth_certificate(auth), is_sign_certificate(auth)) == (True, False)
    assert (is_auth_certificate(sign), is_sign_certificate(sign)) == (False, True)


def _with_extensions(*extensions: x509.ExtensionType, ca: Identity | None = None) -> Identity:
    """A certificate with exactly these extensions, issued by the CA of this module."""
    owner, issuer = key("p256", "bare"), ca or _PKI.authority
    builder = (
        x509.CertificateBuilder()
        .subject_name(plain_name("Bare"))
        .issuer_name(issuer.certificate.subject)
        .public_key(owner.private_key.public_key())
        .serial_number(4711)
        .not_valid_before(NOON - DAY)
        .not_valid_after(NOON + DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Identity(builder.sign(issuer.key.private_key, hashes.SHA256()), owner)


def test_a_certificate_without_any_usage_is_for_nothing() -> None:
    bare = _with_extensions().certificate
    assert not is_auth_certificate(bare)
    assert not is_sign_certificate(bare)


def test_client_authentication_alone_makes_an_authentication_certificate() -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    assert is_auth_certificate(_with_extensions(usage).certificate)


@pytest.mark.parametrize(
    ("use", "sought"),
    [("digital_signature", True), ("key_encipherment", True), ("data_encipherment", True),
     ("key_agreement", False), ("content_commitment", False)],
)  # fmt: skip
def test_each_of_three_key_usages_makes_an_authentication_certificate(
    use: str, sought: bool
) -> None:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    usage = x509.KeyUsage(**{name: name == use for name in names})
    assert is_auth_certificate(_with_extensions(usage).certificate) is sought


def test_the_ocsp_address_is_read_from_the_certificate() -> None:
    named = _PKI.certify("Named", "auth", ocsp_url="http://ocsp.example.test/x")
    assert ocsp_url(named.certificate) == "http://ocsp.example.test/x"
    assert ocsp_url(_SIGNER.certificate) is None


def test_hashes_are_over_the_der() -> None:
    assert len(certificate_hash(_SIGNER.certificate, "sha1")) == 20
    assert certificate_hash(_SIGNER.certificate, "sha256").hex() == (
        _SIGNER.certificate.fingerprint(hashes.SHA256()).hex()
    )


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_a_certificate_of_an_approved_ca_has_a_path(kind: str) -> None:
    pki = Pki(kind="rsa2048" if kind == "rsa2048" else "p256")
    check = check_path(pki.sign(MEMBER).certificate, (), pki.root.certificate, NOON)
    assert check.outcome is Outcome.PASSED


@pytest.mark.parametrize("days", [-1, 400])
def test_a_certificate_outside_its_dates_has_no_path(days: int) -> None:
    at = NOON + days * DAY if days > 0 else NOON - 31 * DAY
    check = check_path(_SIGNER.certificate, (), _PKI.root.certificate, at)
    assert (check.outcome, check.code) == (Outcome.FAILED, "cannot_create_cert_path")
    assert "is valid from" in check.detail


def test_the_dates_of_the_anchor_do_not_matter() -> None:
    old = _PKI.certify("Old CA", "ca", issuer=None, days=-5)
    leaf = _PKI.certify("Leaf", "sign", issuer=old)
    assert check_path(leaf.certificate, (), old.certificate, NOON).outcome is Outcome.PASSED
    late = NOON + 400 * DAY
    assert check_path(leaf.certificate, (), old.certificate, late).outcome is Outcome.FAILED


def test_an_intermediate_may_be_the_anchor_or_lead_to_it() -> None:
    pki = Pki(intermediate=True)
    leaf = pki.sign(MEMBER).certificate
    direct, direct_path = find_path(leaf, (), pki.authority.certificate, NOON)
    through, through_path = find_path(leaf, pki.chain, pki.root.certificate, NOON)
    assert (direct.outcome, direct_path) == (Outcome.PASSED, (leaf,))
    assert (through.outcome, through_path) == (Outcome.PASSED, (leaf, *pki.chain))
    assert find_path(leaf, (), pki.root.certificate, NOON)[1] == ()


def test_an_expired_intermediate_breaks_the_path_of_a_living_certificate() -> None:
    middle = _PKI.certify("Middle", "ca", issuer=_PKI.root, days=10)
    leaf = _PKI.certify("Leaf", "sign", issuer=middle, days=100).certificate
    root, between = _PKI.root.certificate, (middle.certificate,)
    assert check_path(leaf, between, root, NOON).outcome is Outcome.PASSED
    assert check_path(leaf, between, root, NOON + 20 * DAY).outcome is Outcome.FAILED


def test_a_member_cannot_act_as_ca() -> None:
    forged = _PKI.certify(name_of(CN="9"), "sign", issuer=_SIGNER)
    check = check_path(forged.certificate, (_SIGNER.certificate,), _PKI.root.certificate, NOON)
    assert check.outcome is Outcome.FAILED


def test_an_intermediate_without_the_right_to_certify_is_refused() -> None:
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    middle = _with_extensions(x509.BasicConstraints(ca=True, path_length=None), usage)
    leaf = _PKI.certify("Leaf", "sign", issuer=middle).certificate
    check = check_path(leaf, (middle.certificate,), _PKI.root.certificate, NOON)
    assert "may not sign certificates" in check.detail


def test_an_intermediate_that_says_it_is_no_ca_is_refused() -> None:
    middle = _with_extensions(x509.BasicConstraints(ca=False, path_length=None))
    leaf = _PKI.certify("Leaf", "sign", issuer=middle).certificate
    check = check_path(leaf, (middle.certificate,), _PKI.root.certificate, NOON)
    assert check.outcome is Outcome.FAILED


def test_a_namesake_of_the_ca_certifies_nothing() -> None:
    namesake = _PKI.certify("Root CA", "ca", issuer=None, label="somebody else")
    leaf = _PKI.certify("Leaf", "sign", issuer=namesake).certificate
    assert check_path(leaf, (), _PKI.root.certificate, NOON).outcome is Outcome.FAILED


def test_the_anchor_is_no_leaf() -> None:
    check = check_path(_PKI.root.certificate, (), _PKI.root.certificate, NOON)
    assert "the trust anchor itself" in check.detail


def test_a_heap_of_intermediates_is_refused() -> None:
    heap = [_SIGNER.certificate] * 9
    check = check_path(_SIGNER.certificate, heap, _PKI.root.certificate, NOON)
    assert "too many" in check.detail


def test_the_issuing_chain_ends_below_the_root() -> None:
    plain, tall = Pki(), Pki(intermediate=True)
    assert issuing_chain(plain.sign(MEMBER).certificate, plain.instance_conf()) == ()
    chain = issuing_chain(tall.sign(MEMBER).certificate, tall.instance_conf())
    assert chain == (tall.authority.certificate,)
    assert issuing_chain(plain.stranger.certificate, tall.instance_conf()) == ()


def test_the_worked_examples_certificates_lead_to_their_root() -> None:
    folder = vector_path("globalconf/worked-example/certs")
    root = parse_certificate((folder / "root-ca.pem").read_bytes())
    at = datetime(2026, 11, 21, 16, 50, tzinfo=UTC)
    for name, signs in (
        ("member-1001-sign", True), ("member-2002-sign", True),
        ("ss1-auth", False), ("ss2-auth", False), ("ss2-auth-new", False),
    ):  # fmt: skip
        certificate = parse_certificate((folder / f"{name}.pem").read_bytes())
        assert check_path(certificate, (), root, at).outcome is Outcome.PASSED, name
        assert is_sign_certificate(certificate) is signs
        assert is_auth_certificate(certificate) is not signs
        late = check_path(certificate, (), root, at + timedelta(days=366))
        assert late.outcome is Outcome.FAILED


def test_chains_signed_with_sha1_are_refused() -> None:
    folder = vector_path("asic/src/common/common-test/src/test/certs/test_chain")
    leaf, root = (
        parse_certificate((folder / f"{name}.pem").read_bytes()) for name in ("user_1", "ca_1")
    )
    at = leaf.not_valid_before_utc + DAY
    assert check_path(leaf, (), root, at).outcome is Outcome.FAILED


def test_a_certificate_is_described_with_words_for_what_its_profile_uses() -> None:
    signer = Pki(NOON).sign(ClientId("TEST", "GOV", "1"))
    said = describe(signer.certificate)
    assert "serialNumber=1" in said
    assert "businessCategory=GOV" in said
    assert "2.5.4." not in said
