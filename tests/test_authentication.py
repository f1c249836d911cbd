"""Whether a TLS chain identifies a node that speaks for a member."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from scripts.issuing import Identity
from tests.pki import DAY, NOON, Pki
from trust.errors import EvidenceRejected
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId
from trust.pki.authentication import (
    check_member,
    verify_consumer_certificate,
    verify_provider_certificate,
)
from trust.pki.ocsp import CertificateStatus
from trust.report import Outcome, VerificationReport

OWNER = ClientId("TEST", "GOV", "1")
CLIENT = ClientId("TEST", "COM", "2", "portal")
SERVER = ServerId(OWNER, "SS1")
_PKI = Pki()
_NODE = _PKI.auth(SERVER)
_GOOD = _PKI.ocsp(_NODE.certificate)
BOTH = pytest.mark.parametrize("verify", [verify_consumer_certificate, verify_provider_certificate])
Verify = Callable[
    [Sequence[x509.Certificate], Sequence[bytes], ClientId, GlobalConf, datetime],
    VerificationReport,
]


def _conf(pki: Pki = _PKI, *nodes: Identity) -> GlobalConf:
    return pki.conf(servers=[pki.server(SERVER, *(nodes or (_NODE,)), clients=[CLIENT])])


def _code(report: VerificationReport) -> str:
    assert report.verdict is Outcome.FAILED
    assert report.first_problem is not None
    return report.first_problem.code


@BOTH
@pytest.mark.parametrize("member", [CLIENT, OWNER])
def test_a_registered_node_speaks_for_its_owner_and_its_clients(
    verify: Verify, member: ClientId
) -> None:
    report = verify([_NODE.certificate], [_GOOD], member, _conf(), NOON)
    report.require()
    assert [check.name for check in report.checks] == [
        "auth_certificate", "certificate_path", "ocsp_response", "registered_server",
    ]  # fmt: skip


@BOTH
def test_a_node_cannot_speak_for_a_client_of_another_one(verify: Verify) -> None:
    for member in (CLIENT.member, ClientId("TEST", "GOV", "9")):
        report = verify([_NODE.certificate], [_GOOD], member, _conf(), NOON)
        assert _code(report) == "ssl_authentication_failed"
        with pytest.raises(EvidenceRejected, match="is not registered at security server"):
            report.require()


@BOTH
def test_an_unregistered_certificate_identifies_nobody(verify: Verify) -> None:
    other = _PKI.auth(ServerId(OWNER, "SS9"))
    report = verify([other.certificate], [_PKI.ocsp(other.certificate)], OWNER, _conf(), NOON)
    with pytest.raises(EvidenceRejected, match="not associated with any security server"):
        report.require()


@BOTH
def test_a_signing_certificate_is_no_tls_certificate(verify: Verify) -> None:
    signer = _PKI.sign(OWNER)
    conf = _conf(_PKI, signer)
    report = verify([signer.certificate], [_PKI.ocsp(signer.certificate)], OWNER, conf, NOON)
    assert _code(report) == "ssl_authentication_failed"
    with pytest.raises(EvidenceRejected, match="not an authentication certificate"):
        report.require()


@BOTH
def test_an_expired_certificate_has_no_path(verify: Verify) -> None:
    expired = _PKI.auth(SERVER, days=-1)
    conf = _conf(_PKI, expired)
    report = verify([expired.certificate], [_PKI.ocsp(expired.certificate)], OWNER, conf, NOON)
    assert _code(report) == "ssl_authentication_failed.cannot_create_cert_path"


@BOTH
def test_a_ca_of_another_instance_does_not_certify_our_members(verify: Verify) -> None:
    foreign = Pki(instance="OTHER")
    ca = foreign.certify("Foreign Root", "ca", issuer=None)
    node = foreign.certify("node", "auth", issuer=ca)
    conf = _conf(_PKI, node)
    report = verify([node.certificate], [_GOOD], OWNER, conf, NOON)
    assert _code(report) == "internal_error"
    with pytest.raises(EvidenceRejected, match="not issued by approved certification"):
        report.require()


@BOTH
def test_a_member_of_an_unknown_instance_is_not_believed(verify: Verify) -> None:
    member = ClientId("NOWHERE", "GOV", "1")
    report = verify([_NODE.certificate], [_GOOD], member, _conf(), NOON)
    assert _code(report) == "internal_error"


@pytest.mark.parametrize(
    ("status", "age", "code"),
    [
        (CertificateStatus.REVOKED, timedelta(), "cert_validation"),
        (CertificateStatus.UNKNOWN, timedelta(), "cert_validation"),
        (CertificateStatus.GOOD, DAY, "incorrect_validation_info"),
        (CertificateStatus.GOOD, -DAY, "incorrect_validation_info"),
    ],
)
@BOTH
def test_ocsp_decides_about_the_certificate(
    verify: Verify, status: CertificateStatus, age: timedelta, code: str
) -> None:
    response = _PKI.ocsp(_NODE.certificate, status=status, age=age)
    report = verify([_NODE.certificate], [response], OWNER, _conf(), NOON)
    assert _code(report) == f"ssl_authentication_failed.invalid_cert_path.{code}"


def test_without_any_ocsp_response_the_consumer_is_refused() -> None:
    report = verify_consumer_certificate([_NODE.certificate], [], OWNER, _conf(), NOON)
    assert _code(report) == "ssl_authentication_failed"
    with pytest.raises(EvidenceRejected, match="corresponding OCSP response is missing"):
        report.require()


def test_without_any_ocsp_response_the_provider_is_refused() -> None:
    report = verify_provider_certificate([_NODE.certificate], [], OWNER, _conf(), NOON)
    assert _code(report) == "ssl_authentication_failed.invalid_cert_path.cert_validation"


@BOTH
def test_no_certificate_at_all_and_too_many_are_refused(verify: Verify) -> None:
    assert _code(verify([], [_GOOD], OWNER, _conf(), NOON)) == "ssl_authentication_failed"
    heap = [_NODE.certificate] * 11
    assert _code(verify(heap, [_GOOD], OWNER, _conf(), NOON)) == "ssl_authentication_failed"


def test_the_anchor_of_a_consumers_chain_is_above_its_last_certificate() -> None:
    pki = Pki(intermediate=True)
    node = pki.auth(SERVER)
    conf = _conf(pki, node)
    chain = [node.certificate, *pki.chain]
    leaf_only = [pki.ocsp(node.certificate)]
    whole = [*leaf_only, pki.ocsp(pki.chain[0], issuer=pki.root, signer=pki.root)]
    verify_consumer_certificate(chain, whole, OWNER, conf, NOON).require()
    # every certificate below the root needs its status here, on the other side only the first
    report = verify_consumer_certificate(chain, leaf_only, OWNER, conf, NOON)
    assert _code(report) == "ssl_authentication_failed.invalid_cert_path.cert_validation"
    verify_provider_certificate(chain, leaf_only, OWNER, conf, NOON).require()


def test_a_root_sent_along_does_no_harm() -> None:
    chain = [_NODE.certificate, _PKI.root.certificate]
    verify_consumer_certificate(chain, [_GOOD], OWNER, _conf(), NOON).require()


def test_an_intermediate_that_is_not_listed_has_no_known_issuer_for_ocsp() -> None:
    middle = _PKI.certify("Unlisted CA", "ca", issuer=_PKI.root)
    node = _PKI.certify("node", "auth", issuer=middle)
    chain = [node.certificate, middle.certificate]
    response = _PKI.ocsp(node.certificate, issuer=middle, signer=middle)
    report = verify_consumer_certificate(chain, [response], OWNER, _conf(_PKI, node), NOON)
    assert _code(report) == "ssl_authentication_failed.invalid_cert_path.internal_error"


def test_the_binding_alone_can_be_asked_again() -> None:
    assert check_member(_NODE.certificate, OWNER, _conf(), NOON).outcome is Outcome.PASSED
    stranger = ClientId("TEST", "GOV", "9")
    assert check_member(_NODE.certificate, stranger, _conf(), NOON).outcome is Outcome.FAILED
