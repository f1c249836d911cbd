"""Receipts: what is written, what is read, and what is said of good and bad ones."""

import io
import json
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts import cli
from scripts.verdict_text import receipt_indication, receipt_level
from tests.pki import NOON, Pki
from tests.receipt_cases import Case, cases, unstamped
from tests.receipt_parts import Exchange
from trust.configuration.confpublish import build_anchor
from trust.errors import MalformedMessage
from trust.evidence.asic import build_container
from trust.globalconf import Anchor
from trust.receipts.receipt_verdict import ReceiptVerdict, unreadable_receipt, verify_receipt
from trust.receipts.receipts import parse_receipt, write_receipt
from trust.report import Outcome

YEARS_LATER = NOON + timedelta(days=4000)


@cache
def _made() -> Exchange:
    return Exchange()


def _judge(raw: bytes, *anchors: Anchor) -> ReceiptVerdict:
    try:
        receipt = parse_receipt(io.BytesIO(raw))
    except MalformedMessage as error:
        return unreadable_receipt(error)
    return verify_receipt(receipt, YEARS_LATER, anchors=anchors)


def _outcomes(verdict: ReceiptVerdict) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verdict.report.checks}


@pytest.mark.parametrize("case", list(cases(_made())), ids=lambda case: case.name)
def test_receipts_get_their_verdict(case: Case) -> None:
    verdict = _judge(case.raw)
    assert (verdict.verdict.value, verdict.code) == (case.verdict, case.code), verdict.reason
    assert bool(verdict.reason) == bool(case.code)


def test_the_same_parts_give_the_same_bytes() -> None:
    assert _made().receipt() == _made().receipt()


def test_a_whole_receipt_says_who_asked_what_and_where_it_stands_in_the_log() -> None:
    verdict = _judge(_made().receipt())
    assert verdict.facts is not None
    assert verdict.facts.issue == "2026/17"
    assert verdict.facts.user == "EE38001010001"
    assert [place.partition(" that the log of")[0] for place in verdict.logged] == [
        "request: number 4 of the 11 records",
        "response: number 5 of the 11 records",
    ]
    outcomes = _outcomes(verdict)
    assert outcomes.pop("trust_list") is outcomes.pop("access") is Outcome.WARNING
    assert set(outcomes.values()) == {Outcome.PASSED}


def test_a_receipt_without_proof_says_so_and_why() -> None:
    names = ("log/request.proof", "log/response.proof", "log/key.asice")
    verdict = _judge(_made().receipt(without=names, without_proof="no checkpoint covers it yet"))
    (check,) = [check for check in verdict.report.checks if check.name == "log"]
    assert check.outcome is Outcome.WARNING
    assert check.detail.endswith("log: no checkpoint covers it yet")
    assert verdict.logged == ()


def test_an_anchor_ties_the_trust_list_to_its_operator() -> None:
    made = _made()
    good = _judge(made.receipt(), made.anchor)
    assert _outcomes(good)["trust_list"] is Outcome.PASSED
    unsigned = _judge(made.receipt(without=("signed/TEST/directory",)), made.anchor)
    assert (unsigned.verdict, unsigned.code) == (
        Outcome.INDETERMINATE, "global_conf_missing_verification_cert",
    )  # fmt: skip
    stranger = Exchange(pki=Pki(kind="rsa2048"))
    forged = _judge(made.receipt(), stranger.anchor)
    assert (forged.verdict, forged.code) == (
        Outcome.FAILED, "global_conf_missing_verification_cert",
    )  # fmt: skip
    other = _judge(made.receipt({"signed/TEST/directory": stranger.directory}), stranger.anchor)
    assert (other.verdict, other.code) == (
        Outcome.FAILED, "global_conf_part_downloaded_file_integrity_failure",
    )  # fmt: skip


def test_a_receipt_is_judged_by_the_reader_s_trust_list_where_he_has_one() -> None:
    made = _made()
    receipt = parse_receipt(io.BytesIO(made.receipt()))
    assert verify_receipt(receipt, YEARS_LATER, conf=made.conf).verdict is Outcome.PASSED
    other = Pki(kind="rsa2048").conf(members={})
    verdict = verify_receipt(receipt, YEARS_LATER, conf=other)
    assert verdict.verdict is Outcome.FAILED


def test_a_container_in_a_receipt_is_read_where_it_lies() -> None:
    receipt = parse_receipt(io.BytesIO(_made().receipt()))
    file = receipt.request
    whole = file.read()
    assert whole.startswith(b"PK\3\4")
    file.seek(-22 - 40, 2)
    assert file.read() == whole[-62:]
    assert file.tell() == len(whole)


def test_what_has_no_place_in_a_receipt_is_not_written() -> None:
    with pytest.raises(ValueError, match="has no place in a receipt"):
        write_receipt(io.BytesIO(), io.BytesIO(b"x"), None, {"notes.txt": b""}, issuer="A/B/C/D")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_receipt_ends_in_a_verdict(data: st.DataObject) -> None:
    good = _made().receipt()
    raw = bytearray(good)
    for at in data.draw(st.sets(st.integers(0, len(raw) - 1), min_size=1, max_size=3)):
        raw[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([0, 0, 0, 1, 100]))
    verdict = _judge(bytes(raw[: len(raw) - cut]))
    assert verdict.verdict is not Outcome.PASSED
    assert verdict.code


# --- the command ----------------------------------------------------------------------------------


def _verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["verify", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_needs_the_receipt_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = _made()
    file = tmp_path / "exchange.receipt"
    file.write_bytes(made.receipt())
    code, out, err = _verify(capsys, file)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"PASSED  {file}"
    assert "  case        2026/17" in out
    assert "only as good as who gave it" in out
    assert f"PASSED  {file}:response.asice" in out
    anchor = tmp_path / "anchor.xml"
    anchor.write_bytes(build_anchor(made.anchor))
    code, out, _ = _verify(capsys, file, "--anchor", anchor, "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["code"]) == (0, "passed", None)
    assert found["exchange"]["service"] == "TEST/COM/2002/registry/people"
    assert [each["verdict"] for each in found["containers"]] == ["passed"] * 3
    assert len(found["logged"]) == 2
    assert (found["indication"], found["sub_indication"]) == ("TOTAL-PASSED", None)
    assert found["level"] == "signature, time and tree"


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = _made()
    file = tmp_path / "exchange.receipt"
    file.write_bytes(made.receipt()[:-1])
    code, out, _ = _verify(capsys, file)
    assert (code, out.splitlines()[0]) == (1, f"FAILED  {file}")
    file.write_bytes(b"hello")
    code, _, err = _verify(capsys, file)
    assert code == 2
    assert "is no receipt, so --conf must say what to judge by" in err
    code, _, err = _verify(capsys, file, "--anchor", tmp_path / "absent")
    assert code == 2
    assert "--anchor" in err


@pytest.mark.parametrize(
    ("name", "indication", "level"),
    [
        ("without proof", "TOTAL-PASSED", "signature and time"),
        ("altered response", "TOTAL-FAILED/HASH_FAILURE", "signature and time"),
        (
            "request signed by another",
            "INDETERMINATE/SIG_CONSTRAINTS_FAILURE",
            "signature and time",
        ),
        ("proof too short", "TOTAL-FAILED/HASH_FAILURE", "signature and time"),
        ("nobody's log", "INDETERMINATE/NO_SIGNING_CERTIFICATE_FOUND", "signature and time"),
        ("cut off", "TOTAL-FAILED/FORMAT_FAILURE", "signature"),
    ],
)
def test_the_report_has_the_words_of_the_standard(name: str, indication: str, level: str) -> None:
    (case,) = [case for case in cases(_made()) if case.name == name]
    verdict = _judge(case.raw)
    assert (str(receipt_indication(verdict)), receipt_level(verdict)) == (indication, level)


def test_an_old_receipt_without_time_stamps_is_told_its_moment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = _made()
    bare = build_container(unstamped(made.request))
    file = tmp_path / "exchange.receipt"
    file.write_bytes(made.receipt({"request.asice": bare}))
    code, out, _ = _verify(capsys, file)
    assert code == 1
    assert "--at 2026-11-21T12:00:00Z, when the signer says" in out
    assert _verify(capsys, file, "--at", "2026-11-21T12:00:00Z")[0] == 0
