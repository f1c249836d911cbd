"""Outcomes in the words of EN 319 102-1: the reference's containers, and one table for all."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.containers import plain, stamped
from tests.pki import NOON
from tests.signing import Signatory
from tests.vector_files import vector_path
from trust.audit import indications
from trust.audit.indications import Main, Sub, indication_of, indication_of_check, is_dated
from trust.configuration.confstore import load_configuration
from trust.errors import MalformedMessage
from trust.evidence.asic import parse_container
from trust.evidence.container import unreadable, verify_container
from trust.pki.ocsp import CertificateStatus
from trust.report import Check, Outcome, VerificationReport

_CONTAINERS = "asic/src/tool/asic-verifier-cli/src/test/resources"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"
_NAME = re.compile(r"(?<!\w)(?:failed|indeterminate)\(\s*\"([a-z_]+)\"")


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("valid-signed-message", "TOTAL-PASSED"),
        ("valid-signed-hashchain", "TOTAL-PASSED"),
        ("valid-batch-ts", "TOTAL-PASSED"),
        ("invalid-not-signed-hashchain", "TOTAL-PASSED"),
        ("wrong-message", "TOTAL-FAILED/HASH_FAILURE"),
        ("invalid-digest", "TOTAL-FAILED/HASH_FAILURE"),
        ("invalid-signed-hashchain", "TOTAL-FAILED/HASH_FAILURE"),
    ],
)
def test_the_reference_s_containers(name: str, expected: str) -> None:
    conf = load_configuration(vector_path(_CONF))
    raw = vector_path(f"{_CONTAINERS}/{name}.asice").read_bytes()
    report = verify_container(parse_container(raw), conf, datetime.now(UTC)).report
    assert str(indication_of(report, dated=is_dated(report.checks))) == expected


def test_what_is_no_container_is_a_format_failure() -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_container(b"no zip")
    found = indication_of(unreadable(caught.value).report)
    assert (found.main, found.sub) == (Main.TOTAL_FAILED, Sub.FORMAT_FAILURE)


@pytest.mark.parametrize(
    ("status", "days", "dated", "expected"),
    [
        (CertificateStatus.GOOD, 365, True, "TOTAL-PASSED"),
        (CertificateStatus.REVOKED, 365, True, "TOTAL-FAILED/REVOKED"),
        (CertificateStatus.REVOKED, 365, False, "INDETERMINATE/REVOKED_NO_POE"),
        (CertificateStatus.GOOD, -1, True, "TOTAL-FAILED/EXPIRED"),
        (CertificateStatus.GOOD, -1, False, "INDETERMINATE/OUT_OF_BOUNDS_NO_POE"),
    ],
)
def test_without_a_time_stamp_what_depends_on_time_stays_open(
    status: CertificateStatus, days: int, dated: bool, expected: str
) -> None:
    signatory = Signatory()
    signatory.signer = signatory.pki.sign(signatory.sender, days=days)
    signatory.ocsp = signatory.pki.ocsp(signatory.signer.certificate, status=status)
    container = plain(signatory)
    if dated:
        container = stamped(signatory, container)
    report = verify_container(container, signatory.conf, NOON).report
    assert str(indication_of(report, dated=is_dated(report.checks))) == expected


def test_an_ocsp_response_that_grew_old_is_no_proof_without_a_time_stamp() -> None:
    signatory = Signatory()
    report = verify_container(plain(signatory), signatory.conf, NOON + timedelta(days=9)).report
    assert str(indication_of(report, dated=False)) == "INDETERMINATE/NO_POE"


def test_every_check_has_its_row() -> None:
    """So that nothing is told as CUSTOM that has a word."""
    root = Path(indications.__file__).parents[2]
    files = [*root.glob("trust/evidence/*.py"), *root.glob("trust/audit/*.py")]
    files += [*root.glob("scripts/auditing/*.py"), *root.glob("trust/receipts/*.py")]
    names = {name for path in files for name in _NAME.findall(path.read_text())}
    assert {"leaf", "signer", "timestamp"} <= names
    for name in sorted(names - {"containers"}):
        check = Check(name, Outcome.FAILED, "", "some_code")
        assert indication_of_check(check).sub is not Sub.CUSTOM, name


def test_nothing_judged_is_nothing_shown() -> None:
    assert str(indication_of(VerificationReport())) == "INDETERMINATE/CUSTOM"


def test_a_failure_that_another_list_might_heal_is_indeterminate() -> None:
    check = Check("signer", Outcome.FAILED, "", "internal_error")
    assert str(indication_of_check(check)) == "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"
