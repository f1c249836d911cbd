"""`sacbe audit` of a log: what is whole passes, and each planted defect is named by its place."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.transparency.transparency import LogKey
from tests.audit_stage import SECOND, SERVER, AuditStage
from tests.pki import NOON, Pki
from tests.signing import Signatory
from trust.audit.findings import AuditReport
from trust.audit.indications import Level
from trust.audit.revocations import Revocations
from trust.base64text import encode_base64
from trust.errors import StorageError
from trust.evidence.checkpoints import Checkpoint
from trust.report import Outcome
from trust.witness.announcement import sign_checkpoint

pytestmark = pytest.mark.database
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def stage(database_dsn: str, tmp_path: Path) -> AsyncIterator[AuditStage]:
    async with AuditStage.open(database_dsn, tmp_path / "trust-lists") as opened:
        yield opened


def found(report: AuditReport) -> list[tuple[str, str, str]]:
    """Place, code and indication of each finding that is more than a note."""
    return sorted(
        (each.place, each.check.code, str(each.indication))
        for each in report.findings
        if each.check.outcome is not Outcome.WARNING
    )


async def number_of(stage: AuditStage, leaf: int) -> int:
    number: int = await stage.pool.fetchval("SELECT number FROM log_leaf WHERE leaf = $1", leaf)
    return number


async def test_a_whole_log_passes_up_to_its_tree(stage: AuditStage) -> None:
    await stage.whole(6)
    report = await stage.audit()
    assert found(report) == []
    assert report.verdict is Outcome.PASSED
    assert str(report.indication) == "TOTAL-PASSED"
    assert report.level is Level.TREE
    assert report.tally.levels == {"signature, time and tree": 6}
    assert report.tally.outcomes == {"passed": 6}
    facts = dict(report.facts)
    assert facts["leaves"] == "6, 6 of them time-stamped"
    assert facts["leaves under a good checkpoint"] == "6"
    assert any("revoked later" in text for text in report.not_checked)


async def test_single_time_stamps_and_bodies_pass_as_well(stage: AuditStage) -> None:
    await stage.exchanges(2, b"first body", b"second body")
    await stage.exchanges(1)
    await stage.stamp(single=True)
    await stage.checkpoint()
    report = await stage.audit()
    assert found(report) == []
    assert report.tally.bodies == {"in the record": 4}
    assert report.level is Level.TREE


async def test_many_leaves_in_several_ranges_and_trees(stage: AuditStage) -> None:
    """More than one range of leaves, more than one block of a tree, checkpoints in between."""
    await stage.exchanges(1100)
    await stage.stamp()
    await stage.checkpoint()
    await stage.exchanges(30)
    await stage.stamp()
    await stage.exchanges(3)
    await stage.stamp(single=True)
    await stage.checkpoint()
    report = await stage.audit(jobs=2)
    assert found(report) == []
    assert report.tally.outcomes == {"passed": 1133}
    assert dict(report.facts)["leaves under a good checkpoint"] == "1133"


# --- what somebody with the database can do -------------------------------------------------------


async def test_a_removed_record_is_named(stage: AuditStage) -> None:
    await stage.whole(6)
    number = await number_of(stage, 3)
    await stage.pool.execute("DELETE FROM message_record WHERE number = $1", number)
    report = await stage.audit()
    assert found(report) == [
        (f"record {number} (leaf 3)", "record_removed", "TOTAL-FAILED/HASH_FAILURE")
    ]
    assert report.verdict is Outcome.FAILED


async def test_a_record_removed_with_its_leaf_is_named(stage: AuditStage) -> None:
    await stage.whole(6)
    number = await number_of(stage, 3)
    await stage.pool.execute("DELETE FROM message_record WHERE number = $1", number)
    await stage.pool.execute("DELETE FROM log_leaf WHERE leaf = 3")
    report = await stage.audit()
    places = {place: code for place, code, _ in found(report)}
    assert places["leaf 3"] == "leaf_removed"
    assert places["leaves 0 to 5"] == "tree_unknown"


async def test_a_record_removed_without_a_trace_in_the_tables_shows_in_the_checkpoint(
    stage: AuditStage,
) -> None:
    """The leaves after it are renumbered, the log is said to be shorter."""
    await stage.whole(6)
    await stage.exchanges(4)
    await stage.checkpoint()
    number = await number_of(stage, 8)
    await stage.pool.execute("DELETE FROM message_record WHERE number = $1", number)
    await stage.pool.execute("DELETE FROM log_leaf WHERE leaf = 8")
    await stage.pool.execute("UPDATE log_leaf SET leaf = leaf - 1 WHERE leaf > 8")
    await stage.pool.execute("UPDATE log_size SET leaves = 9")
    report = await stage.audit(at=NOON + HOUR)
    assert ("checkpoint of 10 leaves", "log_shrunk", "TOTAL-FAILED/HASH_FAILURE") in found(report)
    detail = next(f.check.detail for f in report.findings if f.check.code == "log_shrunk")
    assert detail == "It says that there are 10 leaves; the log has 9"


async def test_an_altered_message_is_named(stage: AuditStage) -> None:
    await stage.whole(4)
    number = await number_of(stage, 2)
    await stage.pool.execute(
        "UPDATE message_record SET message = message || 'X-Evil:1\r\n'::bytea WHERE number = $1",
        number,
    )
    report = await stage.audit()
    place = f"record {number} (leaf 2)"
    assert (place, "record_altered", "TOTAL-FAILED/HASH_FAILURE") in found(report)
    assert (place, "invalid_signature_value", "TOTAL-FAILED/HASH_FAILURE") in found(report)
    assert {each for each, _, _ in found(report)} == {place}


async def test_a_record_replaced_with_its_leaf_shows_in_time_stamp_and_tree(
    stage: AuditStage,
) -> None:
    """Another message, well signed by the same member, in the place of one; its leaf fits."""
    await stage.whole(3)
    await stage.exchanges(1)
    rows = await stage.pool.fetch("SELECT number FROM log_leaf ORDER BY leaf")
    first, last = rows[1]["number"], rows[3]["number"]
    for column in ("message", "signature", "message_id"):
        await stage.pool.execute(
            f"UPDATE message_record SET {column} = other.{column} FROM message_record AS other"
            " WHERE message_record.number = $1 AND other.number = $2",
            first,
            last,
        )
    await stage.pool.execute(
        "UPDATE log_leaf SET leaf_hash = o.leaf_hash, signature_digest = o.signature_digest"
        " FROM log_leaf AS o WHERE log_leaf.number = $1 AND o.number = $2",
        first,
        last,
    )
    report = await stage.audit(at=NOON + HOUR)
    assert [(place, code) for place, code, _ in found(report)] == [
        ("leaves 0 to 2", "tree_altered"),
        ("time-stamp 1 over leaves 0 to 2", "stamped_other"),
        ("time-stamp 1 over leaves 0 to 2", "stamped_other"),
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("client = 'TEST/GOV/1001/other'", "columns_altered"),
        ("provider = 'TEST/COM/2002'", "columns_altered"),
        ("service_code = 'cars'", "columns_altered"),
        ("service_version = 'v1'", "columns_altered"),
        ("message_id = 'other'", "columns_altered"),
        ("response = true", "columns_altered"),
        ("time = time + interval '1 second'", "time_altered"),
        ("time = time + interval '1 day'", "time_altered"),
        ("signature = '<signature/>'", "record_altered"),
        ("hash_chain = 'x', hash_chain_result = 'y'", "record_altered"),
        ("body_digest = sha512('other')", "record_altered"),
        ("body = 'other body!'", "body_altered"),
    ],
)
async def test_every_column_that_means_something_is_compared(
    stage: AuditStage, change: str, code: str
) -> None:
    await stage.exchanges(4, b"a good body")
    await stage.stamp()
    await stage.checkpoint()
    number = await number_of(stage, 2)
    day = (NOON + timedelta(days=1)).date()
    await stage.pool.execute("SELECT ensure_message_partition($1)", day)
    await stage.pool.execute(
        f"UPDATE message_record SET {change} WHERE number = $1",
        number,
    )
    report = await stage.audit()
    assert any(
        place.startswith(f"record {number}") and each == code for place, each, _ in found(report)
    ), found(report)


async def test_a_record_put_in_by_hand_is_named(stage: AuditStage) -> None:
    await stage.whole(3)
    await stage.pool.execute(
        "CREATE TABLE copied AS SELECT * FROM message_record ORDER BY number LIMIT 1"
    )
    await stage.pool.execute("UPDATE copied SET number = 999999")
    await stage.pool.execute("INSERT INTO message_record SELECT * FROM copied")
    report = await stage.audit()
    assert found(report) == [("record 999999", "record_without_leaf", "TOTAL-FAILED/HASH_FAILURE")]


async def test_a_removed_and_an_altered_time_stamp_are_named(stage: AuditStage) -> None:
    await stage.exchanges(3)
    await stage.stamp()
    await stage.exchanges(3)
    await stage.stamp()
    await stage.pool.execute("DELETE FROM log_stamp WHERE first_leaf = 0")
    report = await stage.audit()
    places = {place: code for place, code, _ in found(report)}
    assert places["time-stamp 2 over leaves 3 to 5"] == "stamp_missing"
    await stage.pool.execute("UPDATE log_stamp SET token = 'none' WHERE first_leaf = 3")
    report = await stage.audit()
    assert ("time-stamp 2 over leaves 3 to 5", "malformed_signature") in [
        (place, code) for place, code, _ in found(report)
    ]


async def test_a_time_stamp_by_a_service_that_was_never_listed_proves_nothing(
    stage: AuditStage,
) -> None:
    await stage.exchanges(3)
    stage.signatory.pki.tsa, good = stage.signatory.pki.stranger, stage.signatory.pki.tsa
    await stage.stamp()
    stage.signatory.pki.tsa = good
    report = await stage.audit()
    assert (
        "time-stamp 1 over leaves 0 to 2",
        "mlog.tsp_certificate_not_found",
        "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND",
    ) in found(report)
    assert report.tally.levels == {}


async def test_a_time_stamp_from_before_the_record_is_out_of_order(stage: AuditStage) -> None:
    await stage.exchanges(2)
    await stage.stamp(at=NOON - 10 * timedelta(minutes=1))
    report = await stage.audit()
    assert {code for _, code, _ in found(report)} == {
        "wrong_time",
        "invalid_cert_path.incorrect_validation_info",  # the OCSP response is of later, too
    }
    assert "INDETERMINATE/TIMESTAMP_ORDER_FAILURE" in {i for _, _, i in found(report)}


# --- checkpoints ----------------------------------------------------------------------------------


async def _rewrite(stage: AuditStage, key: LogKey, size: int, stated: int | None = None) -> None:
    forged = Checkpoint(key.public.name, stated or size, bytes(32))
    note = sign_checkpoint(forged, key.public, NOON, key.sign)
    await stage.pool.execute(
        "UPDATE log_checkpoint SET note = $2, key = $3 WHERE size = $1",
        size,
        note.raw,
        key.public.text,
    )


async def test_a_rewritten_checkpoint_is_told_from_a_changed_log(stage: AuditStage) -> None:
    """By whoever has the log's key: the next checkpoint agrees with the leaves."""
    for _ in range(3):
        await stage.whole(2)
    await _rewrite(stage, stage.key, 4)
    report = await stage.audit()
    assert found(report) == [
        ("checkpoint of 4 leaves", "checkpoint_rewritten", "TOTAL-FAILED/HASH_FAILURE")
    ]


async def test_a_checkpoint_by_another_key_is_named(stage: AuditStage) -> None:
    await stage.whole(2)
    await stage.whole(2)
    other = LogKey.of(Ed25519PrivateKey.generate(), SERVER)
    await _rewrite(stage, other, 2)
    report = await stage.audit()
    assert [(place, code) for place, code, _ in found(report)] == [
        ("checkpoint of 2 leaves", "checkpoint_rewritten"),
        ("checkpoint of 2 leaves", "unknown_key"),
    ]
    given = await stage.audit(log_keys=(other.public,))
    assert ("checkpoint of 4 leaves", "unknown_key") in [(p, c) for p, c, _ in found(given)]
    assert given.level is Level.TIME


@pytest.mark.parametrize("change", ["note = note || 'x'", "note = 'x'", "key = 'x'"])
async def test_a_checkpoint_altered_without_the_key_is_named(
    stage: AuditStage, change: str
) -> None:
    await stage.whole(2)
    await stage.whole(2)
    await stage.pool.execute(f"UPDATE log_checkpoint SET {change} WHERE size = 2")
    report = await stage.audit()
    ((place, _, indication),) = found(report)
    assert place == "checkpoint of 2 leaves"
    assert indication.startswith("TOTAL-FAILED/")


async def test_a_checkpoint_under_another_size_is_named(stage: AuditStage) -> None:
    await stage.whole(2)
    await _rewrite(stage, stage.key, 2, stated=1)
    report = await stage.audit()
    assert ("checkpoint of 2 leaves", "checkpoint_moved", "TOTAL-FAILED/HASH_FAILURE") in found(
        report
    )


async def test_a_statement_by_somebody_else_makes_no_key_the_log_s(stage: AuditStage) -> None:
    await stage.whole(2)
    await stage.pool.execute("UPDATE log_statement SET container = 'PK'")
    report = await stage.audit()
    codes = {code for _, code, _ in found(report)}
    assert "unknown_key" in codes
    assert report.level is Level.TIME


# --- time -----------------------------------------------------------------------------------------


async def test_each_record_is_judged_by_the_list_of_its_time_stamp(stage: AuditStage) -> None:
    """The authority that issued all certificates is replaced by another one later."""
    await stage.whole(2)
    stranger = Signatory(Pki(freshness_seconds=1800))
    stage.trust(NOON + HOUR, stranger)
    assert found(await stage.audit()) == []
    await stage.exchanges(1)
    await stage.stamp(at=NOON + 2 * HOUR)
    report = await stage.audit()
    assert {(place, code) for place, code, _ in found(report)} == {
        ("time-stamp 2 over leaves 2 to 2", "mlog.tsp_certificate_not_found"),
        (f"record {await number_of(stage, 2)} (leaf 2)", "no_timestamp"),
    }


async def test_without_a_list_of_the_time_nothing_is_decided(stage: AuditStage) -> None:
    await stage.exchanges(1)
    await stage.stamp(at=NOON - 2 * HOUR)
    report = await stage.audit()
    assert report.verdict is not Outcome.PASSED
    text = next(f.check.detail for f in report.findings if f.check.code == "no_trust_list")
    assert "the history begins at 2026-11-21 11:00:00Z" in text
    assert "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND" in {i for _, _, i in found(report)}


async def test_what_waits_for_its_time_stamp_is_a_note_until_it_waits_too_long(
    stage: AuditStage,
) -> None:
    await stage.whole(2)
    await stage.exchanges(2)
    await stage.pool.execute(
        "UPDATE log_size SET failing_since = $1, failure = 'no TSA answers'", NOON
    )
    report = await stage.audit(at=NOON + HOUR)
    assert found(report) == []
    notes = [each.check.detail for each in report.findings]
    assert any("no TSA answers; 2 records wait" in text for text in notes)
    assert report.level is Level.SIGNATURE
    late = await stage.audit(at=NOON + 48 * HOUR)
    assert {indication for _, _, indication in found(late)} == {"INDETERMINATE/NO_POE"}
    assert late.verdict is Outcome.INDETERMINATE


async def test_a_time_without_records_is_told_when_asked_for(stage: AuditStage) -> None:
    await stage.exchanges(2)
    stage.count += 7200
    await stage.exchanges(2)
    await stage.stamp()
    quiet = await stage.audit()
    assert "silence: warning" not in quiet.counts
    told = await stage.audit(silence=HOUR)
    assert told.counts["silence: warning"] == 1


async def test_what_was_signed_after_a_revocation_fails(stage: AuditStage) -> None:
    certificate = stage.signatory.signer.certificate
    key = (certificate.issuer.public_bytes(), certificate.serial_number)
    await stage.exchanges(2)
    await stage.stamp(at=NOON + 10 * SECOND)
    await stage.exchanges(2)
    await stage.stamp(at=NOON + 30 * SECOND)
    revoked = Revocations({key: NOON + 20 * SECOND}, frozenset({key[0]}))
    report = await stage.audit(revocations=revoked)
    assert [(i) for _, _, i in found(report)] == ["TOTAL-FAILED/REVOKED"] * 2
    assert not any("revoked later" in text for text in report.not_checked)
    before = Revocations({key: NOON + HOUR}, frozenset({key[0]}))
    assert found(await stage.audit(revocations=before)) == []


async def test_a_body_that_was_not_kept_is_known_by_its_digest(stage: AuditStage) -> None:
    await stage.exchanges(2, b"a body")
    await stage.pool.execute("UPDATE message_record SET body = NULL")
    await stage.stamp()
    await stage.checkpoint()
    report = await stage.audit()
    assert found(report) == []
    assert report.tally.bodies == {"digest only": 2}
    assert any("2 bodies that were not kept" in text for text in report.not_checked)


async def test_an_empty_log_passes(stage: AuditStage) -> None:
    report = await stage.audit()
    assert (report.verdict, report.level) == (Outcome.PASSED, None)


async def test_a_process_that_can_not_work_is_told(stage: AuditStage) -> None:
    """As when the database takes no more connections."""
    await stage.exchanges(1)
    good, stage.dsn = stage.dsn, stage.dsn.replace("test_", "absent_")
    with pytest.raises(StorageError, match="can't be opened"):
        await stage.audit()
    stage.dsn, stage.key_ring = good, Path("/nonexistent")
    with pytest.raises(StorageError, match="ended before its work"):
        await stage.audit(jobs=1)


def test_the_stage_signs_really(tmp_path: Path) -> None:
    """What the tests above plant is not what they start from."""
    assert replace(Signatory()).verify(Signatory().direct()).verdict is Outcome.PASSED


async def test_an_encrypted_log_is_opened_with_its_keys(database_dsn: str, tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_text(f"first {encode_base64(bytes(range(32)))}\n")
    ring.chmod(0o600)
    async with AuditStage.open(database_dsn, tmp_path / "trust-lists", ring) as stage:
        await stage.exchanges(3, b"a body", b"another")
        await stage.stamp()
        await stage.checkpoint()
        report = await stage.audit()
        assert found(report) == []
        assert report.tally.bodies == {"in the record": 6}
        number = await number_of(stage, 1)
        await stage.pool.execute(
            "UPDATE message_record SET message = sha512('x') WHERE number = $1", number
        )
        altered = await stage.audit()
        assert [(place, code) for place, code, _ in found(altered)] == [
            (f"record {number} (leaf 1)", "record_altered")
        ]


async def _forget(stage: AuditStage, leaves: int, archived: int) -> None:
    """Let the first records go with their leaves, as after archiving."""
    await stage.pool.execute(
        "INSERT INTO archive_file (party, name, digest, bytes, size, containers, first_leaf,"
        " last_leaf, first_time, last_time, made, stored)"
        " VALUES ('', 'mlog-1.zip', '', '', 1, $1, 0, $1 - 1, $2, $2, $2, $2)",
        archived,
        NOON,
    )
    await stage.pool.execute(
        "DELETE FROM message_record WHERE number IN (SELECT number FROM log_leaf WHERE leaf < $1)",
        leaves,
    )
    await stage.pool.execute("DELETE FROM log_leaf WHERE leaf < $1", leaves)


async def test_leaves_that_went_after_archiving_are_no_gap(stage: AuditStage) -> None:
    """Their time-stamp still covers later records, and the tree goes on from what is above them."""
    await stage.exchanges(300)
    await stage.stamp()
    await stage.checkpoint()
    await stage.exchanges(220)
    await stage.stamp()
    await stage.checkpoint()
    await _forget(stage, 250, 300)
    report = await stage.audit()
    assert found(report) == []
    assert report.level is Level.TREE
    assert report.tally.outcomes == {"passed": 270}
    assert any("leaves 0 to 249" in text for text in report.not_checked)
    await stage.pool.execute("UPDATE log_leaf SET leaf_hash = sha256('x') WHERE leaf = 400")
    altered = await stage.audit()
    assert {code for _, code, _ in found(altered)} == {"record_altered", "tree_altered"}


async def test_first_leaves_that_were_not_archived_are_told_as_removed(stage: AuditStage) -> None:
    await stage.whole(6)
    await _forget(stage, 3, 2)
    report = await stage.audit()
    assert [code for _, code, _ in found(report)].count("leaf_removed") == 3
