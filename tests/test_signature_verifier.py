"""Verifying signatures: rows 30 to 46, 56 and 57 of what must be rejected, and the vectors."""

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.issuing import Identity
from tests.pki import NOON, Pki
from tests.signing import MESSAGE, PARTS, SENDER, Signatory, digests
from tests.vector_files import vector_path
from trust.configuration.confparts import parse_shared_parameters
from trust.digests import (
    SHA256_URI,
    SHA384_URI,
    SIGNATURE_ALGORITHMS,
    SignatureAlgorithm,
    digest,
    sha512,
)
from trust.errors import EvidenceRejected
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, PartDigest, build_hash_chains
from trust.evidence.signature import SignedMessage, SigningKey, build_signature, parse_signature
from trust.evidence.signature_verifier import NOT_APPROVED, verify_content, verify_signature
from trust.evidence.xades_form import Form
from trust.globalconf import (
    ApprovedCa,
    AuthorityCertificate,
    GlobalConf,
    InstanceConf,
    SharedParameters,
)
from trust.ids import ClientId, ServerId
from trust.pki import profiles
from trust.pki.keys import SoftwareKey
from trust.pki.ocsp import CertificateStatus, cert_id_of, parse_ocsp_response
from trust.report import Outcome, VerificationReport

EVERY_STEP = [
    "signature_form",
    "hash_chain",
    "coverage",
    "stated_certificate",
    "certificate_usage",
    "signer",
    "signature_value",
    "references",
    "certificate_path",
    "ocsp_response",
]


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


def names(report: VerificationReport) -> list[str]:
    return [check.name for check in report.checks]


def code(report: VerificationReport) -> str:
    assert report.verdict is Outcome.FAILED
    assert names(report) == EVERY_STEP
    with pytest.raises(EvidenceRejected) as caught:
        report.require()
    return caught.value.code


def failures(report: VerificationReport) -> list[str]:
    return [check.name for check in report.checks if check.outcome is Outcome.FAILED]


# --- good -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("intermediate", [False, True])
def test_all_forms_of_a_good_signature_pass_with_every_step(kind: str, intermediate: bool) -> None:
    signatory = Signatory(
        Pki(kind="p256" if kind == "p256" else "rsa2048", intermediate=intermediate)
    )
    alone = {"/message.xml": MESSAGE}
    for message in (signatory.direct(alone), signatory.direct(), signatory.chained()):
        for container in (False, True):
            report = signatory.verify(message, container=container)
            assert names(report) == EVERY_STEP
            assert {check.outcome for check in report.checks} == {Outcome.PASSED}
            report.require()


def test_every_message_of_a_batch_passes(signatory: Signatory) -> None:
    batch = [{"/message.xml": b"%d" % number, **extra} for number, extra in enumerate(
        ({}, {"/attachment1": b"a"}, {}, {"/attachment1": b"b", "/attachment2": b"c"}, {})
    )]  # fmt: skip
    chains = build_hash_chains([list(digests(parts).values()) for parts in batch])
    document = signatory.document({SIGNATURE_CHAIN_RESULT_NAME: chains.result})
    for parts, chain in zip(batch, chains.chains, strict=True):
        message = SignedMessage(
            document, digests(parts), hash_chain_result=chains.result, hash_chain=chain
        )
        assert signatory.verify(message).verdict is Outcome.PASSED
    swapped = SignedMessage(
        document, digests(batch[0]), hash_chain_result=chains.result, hash_chain=chains.chains[2]
    )
    assert code(signatory.verify(swapped)) == "malformed_signature.invalid_hash_chain"


class OtherKey:
    """A key that signs in another of the accepted ways than ours do."""

    def __init__(self, key: SoftwareKey, algorithm: SignatureAlgorithm) -> None:
        self.key = key
        self.algorithm = algorithm

    def sign(self, data: bytes) -> bytes:
        private = self.key.private_key
        chosen = self.algorithm.hash
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return concatenated(private.sign(data, ec.ECDSA(chosen)), private.key_size)
        if "MGF1" in self.algorithm.uri:
            salted = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
            return private.sign(data, salted, chosen)
        return private.sign(data, padding.PKCS1v15(), chosen)


def concatenated(der: bytes, bits: int) -> bytes:
    r, s = decode_dss_signature(der)
    size = (bits + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def signed_with(
    signatory: Signatory,
    key: SigningKey,
    parts: list[PartDigest] | None = None,
    at: datetime = NOON,
    certificate: x509.Certificate | None = None,
    responses: list[bytes] | None = None,
) -> bytes:
    return build_signature(
        parts or [PartDigest.of("/message.xml", MESSAGE)],
        certificate=certificate or signatory.signer.certificate,
        intermediates=(),
        ocsp_responses=responses or [signatory.ocsp],
        key=key,
        at=at,
    )


ALONE = digests({"/message.xml": MESSAGE})


@pytest.mark.parametrize("uri", sorted(SIGNATURE_ALGORITHMS))
def test_every_accepted_algorithm_is_understood_and_needs_its_kind_of_key(uri: str) -> None:
    algorithm = SIGNATURE_ALGORITHMS[uri]
    curve = algorithm.kind.value == "ec"
    signatory = Signatory(Pki(kind="p256" if curve else "rsa2048"))
    document = signed_with(signatory, OtherKey(signatory.signer.key, algorithm))
    assert signatory.verify(SignedMessage(document, ALONE)).verdict is Outcome.PASSED
    other = Signatory(Pki(kind="rsa2048" if curve else "p256"))
    document = signed_with(other, OtherKey(signatory.signer.key, algorithm))
    report = other.verify(SignedMessage(document, ALONE))
    assert code(report) == "invalid_signature_value"
    assert "another kind" in report.checks[6].detail


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_longer_curves_are_understood(curve: ec.EllipticCurve) -> None:
    pki = Pki()
    signatory = Signatory(pki)
    key = SoftwareKey(ec.generate_private_key(curve))
    public = key.private_key.public_key()
    signer = x509.CertificateBuilder(
        issuer_name=pki.authority.certificate.subject,
        subject_name=signatory.signer.certificate.subject,
        public_key=public,
        serial_number=77,
        not_valid_before=NOON - timedelta(days=1),
        not_valid_after=NOON + timedelta(days=1),
        extensions=list(signatory.signer.certificate.extensions),
    ).sign(pki.authority.key.private_key, hashes.SHA256())
    document = signed_with(signatory, key, certificate=signer, responses=[pki.ocsp(signer)])
    content = verify_content(SignedMessage(document, ALONE))
    assert content.report.verdict is Outcome.PASSED


def test_values_whose_leading_zeros_java_left_out_are_understood(signatory: Signatory) -> None:
    """Java writes r and s as long as the longer of the two, so a value may have 62 bytes."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    private = signatory.signer.key.private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    secret = private.private_numbers().private_value
    nonce, r = next(
        (candidate, x % order)
        for candidate in range(1, 100_000)
        if (x := ec.derive_private_key(candidate, ec.SECP256R1()).public_key().public_numbers().x)
        < 1 << 248
    )

    class FixedNonce:
        algorithm = signatory.signer.key.algorithm

        def sign(self, data: bytes) -> bytes:
            s = pow(nonce, -1, order) * (int.from_bytes(sha512(data)[:32], "big") + r * secret)
            return r.to_bytes(32, "big") + (s % order).to_bytes(32, "big")

    attempts = (
        signed_with(signatory, FixedNonce(), at=NOON + timedelta(milliseconds=number))
        for number in range(100_000)
    )
    document = next(one for one in attempts if parse_signature(one).value[32] == 0)
    value = parse_signature(document).value
    assert value[0] == value[32] == 0
    short = document.replace(base64.b64encode(value), base64.b64encode(value[1:32] + value[33:]))
    assert len(parse_signature(short).value) == 62
    assert signatory.verify(SignedMessage(short, ALONE)).verdict is Outcome.PASSED
    for wrong in (b"", b"\x00", value + b"\x00", bytes(66), value[:-1], bytes(64), value[32:]):
        changed = document.replace(base64.b64encode(value), base64.b64encode(wrong))
        report = signatory.verify(SignedMessage(changed, ALONE))
        assert code(report) == "invalid_signature_value"


def test_a_part_digested_otherwise_is_digested_anew_or_refused(signatory: Signatory) -> None:
    for algorithm in (SHA256_URI, SHA384_URI):
        part = PartDigest("/message.xml", digest(algorithm, MESSAGE), algorithm)
        document = signed_with(signatory, signatory.signer.key, [part])
        at_hand = SignedMessage(document, ALONE, data={"/message.xml": MESSAGE})
        assert signatory.verify(at_hand).verdict is Outcome.PASSED
        other = SignedMessage(document, ALONE, data={"/message.xml": b"other"})
        assert code(signatory.verify(other)) == "invalid_signature_value"
        streamed = SignedMessage(document, ALONE)
        assert code(signatory.verify(streamed)) == "invalid_signature_value"


# --- what must be rejected --------------------------------------------------------------------


def with_parts(received: SignedMessage, **parts: bytes | None) -> SignedMessage:
    """The message with other parts received; None for one that did not come."""
    changed = dict(received.parts)
    for name, data in parts.items():
        file = "/message.xml" if name == "message" else f"/{name}"
        changed.pop(file, None)
        if data is not None:
            changed[file] = PartDigest.of(file, data)
    return replace(received, parts=changed)


def test_row_30_neither_message_nor_chain_referenced(signatory: Signatory) -> None:
    document = signatory.document({"/attachment1": b"a"})
    message = SignedMessage(document, digests({"/message.xml": MESSAGE, "/attachment1": b"a"}))
    report = signatory.verify(message)
    assert code(report) == "malformed_signature"
    assert "does not reference '/message.xml'" in report.checks[2].detail


def test_row_31_a_part_that_nobody_signed(signatory: Signatory) -> None:
    message = with_parts(signatory.direct({"/message.xml": MESSAGE}), attachment1=b"evil")
    for container in (False, True):
        report = signatory.verify(message, container=container)
        assert code(report) == "malformed_signature.hashchain_unused_inputs"
        assert failures(report) == ["coverage"]


def test_row_32_a_chain_that_the_signature_does_not_reference(signatory: Signatory) -> None:
    chained = signatory.chained()
    for parts in (PARTS, {"/message.xml": MESSAGE}):
        message = replace(
            signatory.direct(parts),
            hash_chain=chained.hash_chain,
            hash_chain_result=chained.hash_chain_result,
        )
        assert code(signatory.verify(message)) == "malformed_signature.hashchain_unused_inputs"
        in_container = signatory.verify(message, container=True)
        assert in_container.verdict is Outcome.PASSED
        assert in_container.checks[1].outcome is Outcome.WARNING
        only_one = replace(message, hash_chain_result=None)
        assert code(signatory.verify(only_one)) == "malformed_signature.hashchain_unused_inputs"
    alone = signatory.direct({"/message.xml": MESSAGE})
    with_chain = replace(
        alone, hash_chain=chained.hash_chain, hash_chain_result=chained.hash_chain_result
    )
    uncovered = with_parts(with_chain, attachment1=PARTS["/attachment1"])
    report = signatory.verify(uncovered, container=True)
    assert code(report) == "malformed_signature.hashchain_unused_inputs"


def test_row_33_what_is_no_signature(signatory: Signatory) -> None:
    document = signatory.document({"/message.xml": MESSAGE})
    for raw, expected in (
        (document[:-1], "invalid_xml"),
        (b"", "invalid_xml"),
        (document.replace(b"<ds:Signature ", b" <ds:Signature "), "malformed_signature"),
        (document.replace(b"ds:KeyInfo>", b"ds:Key>"), "malformed_signature"),
    ):
        report = signatory.verify(SignedMessage(raw, ALONE))
        assert code(report) == expected
        assert [check.outcome for check in report.checks[1:]] == [Outcome.SKIPPED] * 9


def other_signer(signatory: Signatory, identity: Identity) -> SignedMessage:
    responses = [signatory.pki.ocsp(identity.certificate)]
    return SignedMessage(
        signed_with(signatory, identity.key, certificate=identity.certificate, responses=responses),
        ALONE,
    )


def test_row_34_a_certificate_without_non_repudiation(signatory: Signatory) -> None:
    auth = signatory.pki.auth(ServerId(SENDER.member, "SS1"))
    report = signatory.verify(other_signer(signatory, auth))
    assert code(report) == "malformed_signature"
    assert "certificate_usage" in failures(report)


def test_row_35_another_member_signed(signatory: Signatory) -> None:
    stranger = signatory.pki.sign(ClientId("TEST", "GOV", "6666"))
    report = signatory.verify(other_signer(signatory, stranger))
    assert code(report) == "incorrect_certificate"
    assert failures(report) == ["signer"]
    assert report.checks[5].detail == (
        "Name in certificate (MEMBER:TEST/GOV/6666) does not match name in message "
        "(SUBSYSTEM:TEST/GOV/1001/portal)"
    )


def test_row_35_a_certificate_that_names_no_member(signatory: Signatory) -> None:
    nameless = signatory.pki.certify("no member", "sign")
    assert code(signatory.verify(other_signer(signatory, nameless))) == "incorrect_certificate"


def test_row_36_a_ca_that_is_not_approved_for_signing(signatory: Signatory) -> None:
    message = signatory.direct()
    approved = signatory.pki.approved_ca()
    other_name = signatory.pki.certify("Other CA", "ca", issuer=None).certificate
    unknown_sender = ClientId("OTHER", "GOV", "1001")
    auth_only = replace(approved, authentication_only=True)
    for ca, sender in (
        (auth_only, SENDER),
        (replace(approved, top=AuthorityCertificate(other_name, ())), SENDER),
        (approved, unknown_sender),
    ):
        conf = signatory.pki.conf(approved_ca=ca)
        report = verify_signature(message, sender, conf, NOON)
        assert code(report) == "internal_error"
        assert report.checks[5].detail == NOT_APPROVED
        assert [check.outcome for check in report.checks[8:]] == [Outcome.SKIPPED] * 2
    own_name = signatory.pki.authority.certificate.subject
    namesake = signatory.pki.certify(own_name, "ca", issuer=None, label="namesake").certificate
    conf = signatory.pki.conf(approved_ca=replace(approved, top=AuthorityCertificate(namesake, ())))
    assert code(verify_signature(message, SENDER, conf, NOON)) == "cannot_create_cert_path"


def test_row_37_anything_changed(signatory: Signatory) -> None:
    message = signatory.direct()
    chained = signatory.chained()
    assert chained.hash_chain_result is not None
    changed = [
        with_parts(message, message=MESSAGE + b" "),
        with_parts(message, attachment1=b""),
        replace(message, signature=message.signature.replace(b"T12:00:00.000Z", b"T12:00:00.001Z")),
        replace(message, signature=edit_value(message.signature)),
        replace(message, signature=message.signature.replace(b'reference-2"', b'reference-3"')),
        replace(chained, hash_chain_result=chained.hash_chain_result + b" "),
        other_signer(signatory, replace(signatory.signer, key=signatory.pki.stranger.key)),
    ]
    for one in changed:
        assert code(signatory.verify(one)) == "invalid_signature_value"


def edit_value(document: bytes) -> bytes:
    value = parse_signature(document).value
    other = bytes((*value[:-1], value[-1] ^ 1))
    return document.replace(base64.b64encode(value), base64.b64encode(other))


def test_rows_38_to_41_hash_chains(signatory: Signatory) -> None:
    chained = signatory.chained()
    assert chained.hash_chain is not None
    group = "malformed_signature"
    broken = chained.hash_chain.replace(b"<ns2:HashStep", b"<ns2:Step", 1)
    no_step = chained.hash_chain.replace(b'"STEP0"', b'"STEP1"')
    other_digest = {
        name: PartDigest(name, digest(SHA256_URI, data), SHA256_URI) for name, data in PARTS.items()
    }
    for message, expected in (
        (with_parts(chained, attachment2=b"x"), "hashchain_unused_inputs"),
        (with_parts(chained, attachment1=b"x"), "invalid_hash_chain"),
        (with_parts(chained, message=b"x"), "invalid_hash_chain"),
        (with_parts(chained, attachment1=None), "invalid_reference"),
        (replace(chained, parts=other_digest), "invalid_reference"),
        (replace(chained, hash_chain=None), "invalid_reference"),
        (replace(chained, hash_chain_result=None), "invalid_reference"),
        (replace(chained, hash_chain=broken), "malformed_hash_chain"),
        (replace(chained, hash_chain=no_step), "malformed_hash_chain"),
        (replace(chained, hash_chain=b""), "malformed_hash_chain"),
        (replace(chained, hash_chain_result=b""), "invalid_xml"),
    ):
        report = signatory.verify(message)
        assert code(report) == f"{group}.{expected}"
        assert report.checks[1].outcome is Outcome.FAILED
        assert report.checks[2].outcome is Outcome.SKIPPED


def test_a_direct_reference_to_something_not_received(signatory: Signatory) -> None:
    for message in (
        with_parts(signatory.direct(), attachment1=None),
        with_parts(signatory.direct(), message=None),
        with_parts(signatory.chained(), message=None, attachment1=None),
    ):
        report = signatory.verify(message, container=True)
        assert code(report) == "malformed_signature.invalid_reference"


def test_in_a_container_an_absent_part_is_told_and_a_present_one_digested_anew(
    signatory: Signatory,
) -> None:
    chained = signatory.chained()
    absent = with_parts(chained, attachment1=None)
    content = verify_content(absent, Form.CONTAINER)
    assert content.covered == {"/message.xml"}
    assert content.absent == (PartDigest.of("/attachment1", PARTS["/attachment1"]),)
    assert signatory.verify(absent, container=True).verdict is Outcome.PASSED
    other = replace(chained, data={"/message.xml": b"other"})
    report = signatory.verify(other, container=True)
    assert code(report) == "malformed_signature.invalid_hash_chain_ref"
    good = replace(chained, data=PARTS)
    assert signatory.verify(good, container=True).verdict is Outcome.PASSED


def test_row_42_a_certificate_out_of_its_time(signatory: Signatory) -> None:
    expired = signatory.pki.certify(
        signatory.signer.certificate.subject, "sign", days=-1, label="expired"
    )
    future = signatory.pki.certify(
        signatory.signer.certificate.subject,
        "sign",
        starts=NOON + timedelta(seconds=1),
        label="future",
    )
    for identity in (expired, future):
        report = signatory.verify(other_signer(signatory, identity))
        assert code(report) == "cannot_create_cert_path"
        assert failures(report) == ["certificate_path"]


def test_row_43_no_ocsp_response_or_none_that_fits(signatory: Signatory) -> None:
    document = signatory.document({"/message.xml": MESSAGE})
    without = re.sub(rb"<xades:UnsignedProperties>.*</xades:UnsignedProperties>", b"", document)
    report = signatory.verify(SignedMessage(without, ALONE))
    assert code(report) == "malformed_signature"
    assert report.checks[0].detail == "Could not get any OCSP elements from signature"
    other = signatory.pki.ocsp(signatory.pki.sign(ClientId("TEST", "GOV", "2")).certificate)
    for response in (other, b"junk"):
        document = signed_with(signatory, signatory.signer.key, responses=[response])
        report = signatory.verify(SignedMessage(document, ALONE))
        assert code(report) == "invalid_cert_path.cert_validation"
        assert failures(report) == ["ocsp_response"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p, c: p.ocsp(c, age=timedelta(hours=2)), "incorrect_validation_info"),
        (lambda p, c: p.ocsp(c, next_update=timedelta(seconds=-1)), "incorrect_validation_info"),
        (lambda p, c: p.ocsp(c, signer=p.stranger), "incorrect_validation_info"),
        (lambda p, c: p.damaged_ocsp(c), "incorrect_validation_info"),
        (lambda p, c: p.ocsp(c, age=timedelta(minutes=-6)), "incorrect_validation_info"),  # row 56
        (lambda p, c: p.ocsp(c, status=CertificateStatus.REVOKED), "cert_validation"),
        (lambda p, c: p.ocsp(c, status=CertificateStatus.UNKNOWN), "cert_validation"),
    ],
)
def test_rows_44_45_56_ocsp_responses_that_do_not_count(
    signatory: Signatory, make: Callable[[Pki, x509.Certificate], bytes], expected: str
) -> None:
    response = make(signatory.pki, signatory.signer.certificate)
    document = signed_with(signatory, signatory.signer.key, responses=[response])
    report = signatory.verify(SignedMessage(document, ALONE))
    assert code(report) == f"invalid_cert_path.{expected}"
    assert failures(report) == ["ocsp_response"]


def test_row_46_an_embedded_certificate_that_does_not_fit() -> None:
    signatory = Signatory(Pki(intermediate=True))
    document = signatory.document(PARTS)
    changed = document.replace(b'URI="#encapsulated-cert-1"', b'URI="#encapsulated-cert-2"')
    report = signatory.verify(SignedMessage(changed, digests(PARTS)))
    assert code(report) == "malformed_signature"


def test_row_57_the_properties_state_another_certificate(signatory: Signatory) -> None:
    """Two certificates of one key: the signature value fits both."""
    subject = signatory.signer.certificate.subject
    twin = signatory.pki.certify(subject, "sign", label=f"sign {SENDER.member}")
    assert twin.certificate.public_key() == signatory.signer.certificate.public_key()
    document = signed_with(
        signatory,
        signatory.signer.key,
        responses=[signatory.ocsp, signatory.pki.ocsp(twin.certificate)],
    )
    swapped = document.replace(base64.b64encode(signatory.signer.der), base64.b64encode(twin.der))
    report = signatory.verify(SignedMessage(swapped, ALONE))
    assert code(report) == "malformed_signature"
    assert failures(report) == ["stated_certificate"]


# --- damaged ----------------------------------------------------------------------------------

GOOD = Signatory()
GOOD_MESSAGES = (GOOD.direct(), GOOD.chained())


@pytest.mark.filterwarnings("ignore::Warning:cryptography", "ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_never_believed_to_be_something_else(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from(GOOD_MESSAGES))
    change = {
        "signature": lambda raw: replace(message, signature=raw),
        "hash_chain_result": lambda raw: replace(message, hash_chain_result=raw),
        "hash_chain": lambda raw: replace(message, hash_chain=raw),
    }
    field = data.draw(st.sampled_from([name for name in change if getattr(message, name)]))
    raw = bytearray(getattr(message, field))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed = change[field](bytes(raw))
    report = GOOD.verify(changed)
    if report.verdict is Outcome.PASSED:
        assert meaning(changed.signature) == meaning(message.signature)
        assert changed.hash_chain_result == message.hash_chain_result
    else:
        assert code(report) in CODES


def meaning(document: bytes) -> tuple[object, ...]:
    parsed = parse_signature(document)
    return parsed.certificate, parsed.value, parsed.signed_info, parsed.signed_properties


CODES = {
    "invalid_xml",
    "malformed_signature",
    "invalid_signature_value",
    "incorrect_certificate",
    "internal_error",
    "invalid_cert_path.cert_validation",
    "invalid_cert_path.incorrect_validation_info",
    "malformed_signature.invalid_xml",
    "malformed_signature.invalid_reference",
    "malformed_signature.malformed_hash_chain",
    "malformed_signature.invalid_hash_chain",
    "malformed_signature.hashchain_unused_inputs",
}


# --- vectors ----------------------------------------------------------------------------------

SERVER = "asic/src/lib/globalconf-impl/src/test/signatures"
COMMON = "asic/src/common/common-test/src/test"
CONFIGURATIONS = "asic/src/lib/globalconf-core/src/test/resources"
OCTOBER_2014 = datetime(2014, 10, 30, tzinfo=UTC)


def read(name: str) -> bytes:
    return vector_path(name).read_bytes()


def simple(document: str, message: bytes | None = None) -> SignedMessage:
    data = read(f"{COMMON}/signatures/message-0.xml") if message is None else message
    return SignedMessage(read(document), digests({"/message.xml": data}))


def batch() -> SignedMessage:
    message = read(f"{SERVER}/message-1.xml")
    return SignedMessage(
        read(f"{SERVER}/batch-sig.xml"),
        digests({"/message.xml": message, "/attachment1": b"blaah"}),
        hash_chain_result=read(f"{SERVER}/hash-chain-result.xml"),
        hash_chain=read(f"{SERVER}/hash-chain-1.xml"),
    )


def reference_ca() -> ApprovedCa:
    """`pki1`, the CA that the reference's tests take for every certificate's issuer."""
    raw = read(f"{CONFIGURATIONS}/globalconf_good_v4/EE/shared-params.xml")
    return next(ca for ca in parse_shared_parameters(raw, 4).approved_cas if ca.name == "pki1")


@pytest.mark.interop
@pytest.mark.parametrize("name", ["sign-0.xml", "sign-0-old-format.xml", "batch-sig.xml"])
def test_reference_signatures_hold_and_so_do_certificate_and_status_by_hand(name: str) -> None:
    """Path and status are signed with SHA-1, which we refuse; here they are judged by hand."""
    message = batch() if name == "batch-sig.xml" else simple(f"{COMMON}/signatures/{name}")
    for form in Form:
        content = verify_content(message, form)
        assert {check.outcome for check in content.report.checks} == {Outcome.PASSED}
        assert content.covered == set(message.parts)
    signature = parse_signature(message.signature)
    authority = reference_ca().top
    root, responder = authority.certificate, authority.responders[0].certificate
    certificate = signature.certificate
    assert responder is not None
    assert certificate.issuer == root.subject
    assert certificate.not_valid_before_utc < OCTOBER_2014 < certificate.not_valid_after_utc
    sha1(root, certificate.signature, certificate.tbs_certificate_bytes)
    response = parse_ocsp_response(signature.ocsp_responses[0])
    assert response.cert_id == cert_id_of(certificate, root)
    assert response.facts.status is CertificateStatus.GOOD
    assert response.responder_name is not None  # written in the reverse order there
    assert response.responder_name.rdns == responder.subject.rdns[::-1]
    sha1(responder, response.signature, response.signed)
    with pytest.raises(InvalidSignature):
        sha1(root, response.signature, response.signed)
    assert response.facts.this_update > OCTOBER_2014  # which X-Road accepts and we do not


def sha1(signer: x509.Certificate, signature: bytes, signed: bytes) -> None:
    key = signer.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA1())


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("empty.xml", "invalid_xml"),
        ("sign-0-malformed-xml.xml", "invalid_xml"),
        ("sign-0-no-signature.xml", "malformed_signature"),
        ("sign-0-no-objectcontainer.xml", "malformed_signature"),
        ("sign-0-schema-fail.xml", "malformed_signature"),
        ("sign-0-no-signing-cert.xml", "malformed_signature"),
        ("sign-0-ocsp-no-responses.xml", "malformed_signature"),
        ("sign-0-invalid-signature-value.xml", "invalid_signature_value"),
        ("extra-certs-missing-id.xml", "malformed_signature"),
        ("extra-certs-missing-cert.xml", "malformed_signature"),
        ("extra-certs-digest-invalid.xml", "malformed_signature"),
    ],
)
def test_bad_reference_signatures_get_their_code(name: str, expected: str) -> None:
    report = verify_content(simple(f"{SERVER}/{name}")).report
    with pytest.raises(EvidenceRejected) as caught:
        report.require()
    assert caught.value.code == expected


@pytest.mark.interop
def test_a_reference_signature_over_another_message_is_not_valid() -> None:
    report = verify_content(simple(f"{COMMON}/signatures/sign-0.xml", b"foo")).report
    with pytest.raises(EvidenceRejected) as caught:
        report.require()
    assert caught.value.code == "invalid_signature_value"


def conf_of(shared: SharedParameters) -> GlobalConf:
    return GlobalConf(shared.instance, {shared.instance: InstanceConf(shared, None, None)})


@pytest.mark.interop
def test_a_reference_signature_by_another_signer_is_refused() -> None:
    ca = replace(reference_ca(), profile=profiles.EJBCA)  # the profile there is a test class
    shared = SharedParameters("EE", 4, (), (ca,), (), (), (), (), {}, 42)
    message = simple(f"{COMMON}/signatures/sign-0.xml")
    conf = conf_of(shared)
    stranger = ClientId("EE", "BUSINESS", "FOORBAR")
    assert code(verify_signature(message, stranger, conf, OCTOBER_2014)) == "incorrect_certificate"
    owner = ClientId("EE", "Cybernetica", "consumer")
    report = verify_signature(message, owner, conf, OCTOBER_2014)
    assert failures(report) == ["certificate_path", "ocsp_response"]  # SHA-1, and the future


@pytest.mark.interop
def test_the_signature_of_the_successor_passes_whole() -> None:
    raw = read(f"{CONFIGURATIONS}/globalconf_good2_v3/DEV/shared-params.xml")
    conf = conf_of(parse_shared_parameters(raw, 3))
    folder = f"{SERVER}/non-batch-sig"
    parts = {"/message.xml": read(f"{folder}/message.xml")}
    parts["/attachment1"] = read(f"{folder}/attachment1")
    sender = ClientId("DEV", "COM", "4321", "TestClient")
    message = SignedMessage(read(f"{folder}/signatures.xml"), digests(parts))
    response = parse_ocsp_response(parse_signature(message.signature).ocsp_responses[0])
    at = response.facts.this_update + timedelta(seconds=30)
    assert at.date().isoformat() == "2024-07-09"
    report = verify_signature(message, sender, conf, at)
    assert [check.detail for check in report.checks if check.outcome is not Outcome.PASSED] == []
    other = PartDigest.of("/attachment1", b"\x01")
    changed = replace(message, parts={**message.parts, "/attachment1": other})
    assert code(verify_signature(changed, sender, conf, at)) == "invalid_signature_value"
