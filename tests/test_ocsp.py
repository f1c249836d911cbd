"""OCSP: every rule by which a response is believed or not."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from scripts.issuing import Identity
from scripts.stamping import encode
from tests.pki import DAY, NOON, Pki, name_of
from tests.vector_files import vector_path
from trust.asn1 import SEQUENCE, parse_element
from trust.errors import MalformedMessage
from trust.globalconf import ApprovedCa, AuthorityCertificate, GlobalConf, OcspResponder
from trust.ids import ClientId
from trust.pki.certificates import parse_certificate
from trust.pki.ocsp import (
    MAX_RESPONSE_BYTES,
    CertificateStatus,
    build_ocsp_request,
    cert_id_of,
    check_ocsp,
    parse_ocsp_response,
    response_facts,
    usable_until,
)
from trust.report import Check, Outcome

_PKI = Pki()
_SIGNER = _PKI.sign(ClientId("TEST", "GOV", "1"))
_OTHER = _PKI.sign(ClientId("TEST", "GOV", "2"))
_CONF = _PKI.conf()
_GOOD = _PKI.ocsp(_SIGNER.certificate)


def _check(
    *responses: bytes, conf: GlobalConf = _CONF, at: datetime = NOON, any_status: bool = False
) -> Check:
    issuer = _PKI.authority.certificate
    return check_ocsp(
        responses, _SIGNER.certificate, issuer, conf, at, instance=conf.own, any_status=any_status
    )


def _assert_failed(check: Check, code: str, text: str) -> None:
    assert (check.outcome, check.code) == (Outcome.FAILED, code)
    assert text in check.detail


def test_a_request_asks_by_sha1_with_null_parameters_and_no_nonce() -> None:
    raw = build_ocsp_request(_SIGNER.certificate, _PKI.authority.certificate)
    request = ocsp.load_der_ocsp_request(raw)
    assert isinstance(request.hash_algorithm, hashes.SHA1)
    assert request.serial_number == _SIGNER.certificate.serial_number
    assert len(request.extensions) == 0
    assert bytes.fromhex("300906052b0e03021a0500") in raw


def test_a_fresh_good_response_passes_and_says_how_long() -> None:
    check = _check(_GOOD)
    assert check.outcome is Outcome.PASSED
    assert "3540 seconds remain" in check.detail


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("embed", [True, False])
def test_a_listed_responder_is_found_by_name_and_by_key(by_name: bool, embed: bool) -> None:
    conf = _PKI.conf(approved_ca=_PKI.approved_ca(responders_listed=True))
    response = _PKI.ocsp(_SIGNER.certificate, by_name=by_name, embed=embed)
    assert _check(response, conf=conf).outcome is Outcome.PASSED


def test_a_responder_that_is_neither_listed_nor_enclosed_is_unknown() -> None:
    for by_name in (True, False):
        response = _PKI.ocsp(_SIGNER.certificate, by_name=by_name, embed=False)
        text = "Could not find OCSP certificate for responder ID"
        _assert_failed(_check(response), "incorrect_validation_info", text)


def test_the_ca_itself_may_answer() -> None:
    response = _PKI.ocsp(_SIGNER.certificate, signer=_PKI.root, embed=False)
    assert _check(response).outcome is Outcome.PASSED


def test_a_listed_responder_needs_no_certificate_of_the_ca() -> None:
    listed = OcspResponder("http://x/", _PKI.stranger.certificate)
    top = AuthorityCertificate(_PKI.root.certificate, (listed,))
    conf = _PKI.conf(approved_ca=ApprovedCa("CA", False, top, (), _PKI.profile))
    response = _PKI.ocsp(_SIGNER.certificate, signer=_PKI.stranger, embed=False)
    assert _check(response, conf=conf).outcome is Outcome.PASSED


def test_a_responder_listed_for_another_ca_is_not_authorised() -> None:
    other = Pki(instance="OTHER")
    listed = OcspResponder("http://x/", _PKI.stranger.certificate)
    foreign_root = _PKI.certify("Foreign Root", "ca", issuer=None)
    foreign_ca = ApprovedCa(
        "Foreign", False, AuthorityCertificate(foreign_root.certificate, (listed,)), (), ""
    )
    conf = _PKI.conf(federated=[other.instance_conf(approved_ca=foreign_ca)])
    response = _PKI.ocsp(_SIGNER.certificate, signer=_PKI.stranger, embed=False)
    _assert_failed(
        _check(response, conf=conf), "incorrect_validation_info", "not authorized for given CA"
    )


def test_only_the_instance_that_supplied_the_ca_says_who_else_answers_for_it() -> None:
    listed = OcspResponder("http://x/", _PKI.stranger.certificate)
    generous = ApprovedCa(
        "CA", False, AuthorityCertificate(_PKI.authority.certificate, (listed,)), (), _PKI.profile
    )
    foreign = [Pki(instance=name).instance_conf(approved_ca=generous) for name in ("A", "B")]
    conf = _PKI.conf(federated=foreign)
    response = _PKI.ocsp(_SIGNER.certificate, signer=_PKI.stranger)
    text = "not authorized for given CA"
    _assert_failed(_check(response, conf=conf), "incorrect_validation_info", text)
    arguments = ([response], _SIGNER.certificate, _PKI.authority.certificate, conf, NOON)
    for instance in foreign:
        assert check_ocsp(*arguments, instance=instance).outcome is Outcome.PASSED
    plain = replace(_PKI, instance="C").instance_conf()
    _assert_failed(check_ocsp(*arguments, instance=plain), "incorrect_validation_info", text)


@pytest.mark.parametrize("use", ["auth", "sign", "tsa"])
def test_a_certificate_of_the_ca_for_another_use_may_not_answer(use: str) -> None:
    if use == "tsa":
        signer = _PKI.tsa
    elif use == "sign":
        signer = _OTHER
    else:
        signer = _PKI.certify("Someone", "auth")
    response = _PKI.ocsp(_SIGNER.certificate, signer=signer)
    _assert_failed(_check(response), "incorrect_validation_info", "not authorized for given CA")


def test_a_stranger_may_not_answer() -> None:
    response = _PKI.ocsp(_SIGNER.certificate, signer=_PKI.stranger)
    _assert_failed(_check(response), "incorrect_validation_info", "not authorized for given CA")


def test_a_responder_certified_by_a_namesake_of_the_ca_may_not_answer() -> None:
    namesake = _PKI.certify("Root CA", "ca", issuer=None, label="somebody else")
    signer = _PKI.certify("OCSP 2", "ocsp", issuer=namesake)
    response = _PKI.ocsp(_SIGNER.certificate, signer=signer)
    _assert_failed(_check(response), "incorrect_validation_info", "not authorized for given CA")


def test_a_damaged_signature_is_noticed() -> None:
    response = _PKI.damaged_ocsp(_SIGNER.certificate)
    text = "Signature on OCSP response is not valid"
    _assert_failed(_check(response), "incorrect_validation_info", text)


def test_a_signature_with_sha1_is_not_accepted() -> None:
    key = _PKI.responder.key.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    response = ocsp.load_der_ocsp_response(_GOOD)
    weak = key.sign(response.tbs_response_bytes, ec.ECDSA(hashes.SHA1()))
    # OCSPResponse → [0] → ResponseBytes → OCTET STRING → BasicOCSPResponse
    tbs = parse_element(response.tbs_response_bytes, SEQUENCE).raw
    ecdsa_sha1 = bytes.fromhex("300906072a8648ce3d0401")
    certificate = encode(0xA0, encode(SEQUENCE, _PKI.responder.der))
    basic = encode(SEQUENCE, tbs, ecdsa_sha1, encode(0x03, b"\0" + weak), certificate)
    _assert_failed(
        _check(_wrapped(basic)), "incorrect_validation_info", "Signature on OCSP response"
    )


def _wrapped(basic: bytes) -> bytes:
    basic_type = bytes.fromhex("06092b0601050507300101")
    content = encode(0xA0, encode(SEQUENCE, basic_type, encode(0x04, basic)))
    return encode(SEQUENCE, bytes.fromhex("0a0100"), content)


def _response_of(signer: Identity, response_data: bytes) -> bytes:
    """A basic response signed over hand-made ResponseData."""
    key = signer.key.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(response_data, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    certificate = encode(0xA0, encode(SEQUENCE, signer.der))
    return _wrapped(
        encode(SEQUENCE, response_data, algorithm, encode(0x03, b"\0" + signature), certificate)
    )


def _singles(*responses: bytes, strip_null: bool = False) -> bytes:
    """One response that holds the SingleResponses of several, in order."""
    singles, head = [], []
    for raw in responses:
        data = ocsp.load_der_ocsp_response(raw).tbs_response_bytes
        *head, answers = parse_element(data, SEQUENCE).children()
        singles.append(answers.content)
    content = b"".join(singles)
    if strip_null:
        assert content.count(bytes.fromhex("300906052b0e03021a0500")) == 1
        old = parse_element(content, SEQUENCE).children()
        parts = old[0].children()
        bare = encode(SEQUENCE, parts[0].children()[0].raw)
        cert_id = encode(SEQUENCE, bare, *(part.raw for part in parts[1:]))
        content = encode(SEQUENCE, cert_id, *(part.raw for part in old[1:]))
    data = encode(SEQUENCE, *(part.raw for part in head), encode(SEQUENCE, content))
    return _response_of(_PKI.responder, data)


def test_hand_made_responses_are_understood_at_all() -> None:
    assert _check(_singles(_GOOD)).outcome is Outcome.PASSED


def test_only_the_first_single_response_counts() -> None:
    other = _PKI.ocsp(_OTHER.certificate)
    assert _check(_singles(_GOOD, other)).outcome is Outcome.PASSED
    _assert_failed(_check(_singles(other, _GOOD)), "cert_validation", "Unable to find")


def test_a_certid_without_null_parameters_is_another_one() -> None:
    _assert_failed(_check(_singles(_GOOD, strip_null=True)), "cert_validation", "Unable to find")


def test_a_certid_with_sha256_is_another_one() -> None:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        _SIGNER.certificate, _PKI.authority.certificate, hashes.SHA256()
    )
    asked = ocsp.load_der_ocsp_request(builder.build().public_bytes(Encoding.DER))
    answer = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            asked.issuer_name_hash, asked.issuer_key_hash, asked.serial_number, hashes.SHA256(),
            ocsp.OCSPCertStatus.GOOD, NOON, None, None, None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, _PKI.responder.certificate)
        .certificates([_PKI.responder.certificate])
        .sign(_PKI.responder.key.private_key, hashes.SHA256())
    )  # fmt: skip
    raw = answer.public_bytes(Encoding.DER)
    _assert_failed(_check(raw), "cert_validation", "Unable to find")


def test_a_response_about_another_certificate_is_passed_over() -> None:
    other = _PKI.ocsp(_OTHER.certificate)
    _assert_failed(_check(other), "cert_validation", "Unable to find OCSP response")
    _assert_failed(_check(), "cert_validation", "Unable to find OCSP response")
    assert _check(other, b"no response", _GOOD).outcome is Outcome.PASSED


def test_of_two_responses_about_the_certificate_the_first_counts() -> None:
    revoked = _PKI.ocsp(_SIGNER.certificate, status=CertificateStatus.REVOKED)
    assert _check(_GOOD, revoked).outcome is Outcome.PASSED
    assert _check(revoked, _GOOD).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (CertificateStatus.REVOKED, "status is REVOKED (date: 2026-11-20 12:00:00)"),
        (CertificateStatus.UNKNOWN, "status is UNKNOWN"),
    ],
)
def test_a_status_that_is_not_good_is_told(status: CertificateStatus, text: str) -> None:
    response = _PKI.ocsp(_SIGNER.certificate, status=status)
    _assert_failed(_check(response), "cert_validation", text)
    assert _check(response, any_status=True).outcome is Outcome.PASSED


def _aged(seconds: int) -> bytes:
    age = timedelta(seconds=seconds)
    return _PKI.ocsp(_SIGNER.certificate, age=age, next_update=None)


def test_a_response_may_be_as_old_as_the_freshness_and_no_older() -> None:
    limit = _PKI.freshness_seconds
    assert _check(_aged(limit)).outcome is Outcome.PASSED
    text = "OCSP response is too old (thisUpdate: 2026-11-21T10:59:59+00:00, oldest accepted"
    _assert_failed(_check(_aged(limit + 1)), "incorrect_validation_info", text)


def test_a_response_may_be_five_minutes_ahead_and_no_more() -> None:
    assert _check(_aged(-300)).outcome is Outcome.PASSED
    _assert_failed(_check(_aged(-301)), "incorrect_validation_info", "from the future")


def test_next_update_counts_unless_switched_off() -> None:
    current = _PKI.ocsp(_SIGNER.certificate, next_update=timedelta())
    past = _PKI.ocsp(_SIGNER.certificate, next_update=-timedelta(seconds=1))
    assert _check(current).outcome is Outcome.PASSED
    _assert_failed(_check(past), "incorrect_validation_info", "OCSP nextUpdate is too old")
    lenient = _PKI.conf(verify_next_update=False)
    assert _check(past, conf=lenient).outcome is Outcome.PASSED


def test_the_freshness_is_the_own_instances() -> None:
    strict = Pki(freshness_seconds=30)
    conf = strict.conf(federated=[replace(_PKI, instance="OTHER").instance_conf()])
    _assert_failed(_check(_GOOD, conf=conf), "incorrect_validation_info", "too old")


def test_the_moment_judged_is_the_one_given() -> None:
    assert _check(_GOOD, at=NOON + timedelta(minutes=30)).outcome is Outcome.PASSED
    assert _check(_GOOD, at=NOON + DAY).outcome is Outcome.FAILED
    assert _check(_GOOD, at=NOON - DAY).outcome is Outcome.FAILED


def test_a_response_is_usable_until_the_earlier_of_both_limits() -> None:
    facts = response_facts(_GOOD)
    assert usable_until(facts, _CONF) == NOON + timedelta(minutes=59)
    short = response_facts(_PKI.ocsp(_SIGNER.certificate, next_update=timedelta(minutes=5)))
    assert usable_until(short, _CONF) == NOON + timedelta(minutes=5)
    assert usable_until(short, _PKI.conf(verify_next_update=False)) == NOON + timedelta(minutes=59)


def test_facts_are_read_without_believing_them() -> None:
    raw = _PKI.ocsp(_SIGNER.certificate, status=CertificateStatus.REVOKED, signer=_PKI.stranger)
    facts = response_facts(raw)
    assert facts.serial_number == _SIGNER.certificate.serial_number
    assert facts.status is CertificateStatus.REVOKED
    assert facts.this_update == NOON - timedelta(minutes=1)
    assert facts.next_update == NOON + timedelta(hours=1)
    assert facts.revoked_at == NOON - DAY


@pytest.mark.parametrize("data", [b"", b"0", b"\x30\x00", b"\x30\x03\x0a\x01\x06"])
def test_what_is_no_successful_response_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="OCSP response can't be used") as caught:
        parse_ocsp_response(data)
    assert caught.value.code == "io_error"


def test_an_oversized_response_is_refused_unread() -> None:
    with pytest.raises(MalformedMessage, match="larger than"):
        parse_ocsp_response(b"\x30" * (MAX_RESPONSE_BYTES + 1))


def test_a_heap_of_enclosed_certificates_is_refused() -> None:
    data = ocsp.load_der_ocsp_response(_GOOD).tbs_response_bytes
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    heap = encode(0xA0, encode(SEQUENCE, _PKI.responder.der * 11))
    raw = _wrapped(encode(SEQUENCE, data, algorithm, encode(0x03, b"\0sig"), heap))
    with pytest.raises(MalformedMessage, match="too many"):
        parse_ocsp_response(raw)


@given(st.integers(0, len(_GOOD) - 1), st.integers(1, 255))
def test_a_damaged_response_never_passes(place: int, change: int) -> None:
    damaged = bytearray(_GOOD)
    damaged[place] ^= change
    certificates_start = _GOOD.index(_PKI.responder.der)
    if place < certificates_start - 8:  # the enclosed certificate isn't covered by the signature
        assert _check(bytes(damaged)).outcome is Outcome.FAILED
    else:
        assert _check(bytes(damaged)).outcome in (Outcome.FAILED, Outcome.PASSED)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_response_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        parse_ocsp_response(data)


def test_the_worked_examples_response_is_good_for_its_hour() -> None:
    folder = vector_path("globalconf/worked-example")
    root = parse_certificate((folder / "certs/root-ca.pem").read_bytes())
    owner = parse_certificate((folder / "authCertReg/owner-sign-cert.der").read_bytes())
    raw = (folder / "authCertReg/owner-sign-cert.ocsp.der").read_bytes()
    top = AuthorityCertificate(root, (OcspResponder("http://ocsp.example.test/", None),))
    pki = Pki(at=datetime(2026, 11, 21, 16, 50, tzinfo=UTC))
    conf = pki.conf(approved_ca=ApprovedCa("CA", False, top, (), pki.profile))
    assert parse_ocsp_response(raw).cert_id == cert_id_of(owner, root)
    for minutes, outcome in ((0, Outcome.PASSED), (60, Outcome.PASSED), (61, Outcome.FAILED)):
        at = pki.at + timedelta(minutes=minutes)
        assert check_ocsp([raw], owner, root, conf, at, instance=conf.own).outcome is outcome


def test_an_rsa_responder_is_believed_and_its_damage_noticed() -> None:
    pki = Pki(kind="rsa2048")
    signer, issuer = pki.sign(ClientId("TEST", "GOV", "1")).certificate, pki.authority.certificate
    for response, outcome in (
        (pki.ocsp(signer), Outcome.PASSED),
        (pki.damaged_ocsp(signer), Outcome.FAILED),
    ):
        conf = pki.conf()
        check = check_ocsp([response], signer, issuer, conf, NOON, instance=conf.own)
        assert check.outcome is outcome


def test_an_answer_that_is_an_error_is_no_response() -> None:
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    with pytest.raises(MalformedMessage, match="the responder answered TRY_LATER"):
        parse_ocsp_response(later.public_bytes(Encoding.DER))


def test_a_responder_with_a_long_country_is_found_by_name() -> None:
    responder = _PKI.certify(name_of(C="TEST", CN="OCSP"), "ocsp")
    assert _check(_PKI.ocsp(_SIGNER.certificate, signer=responder)).outcome is Outcome.PASSED
