"""Judge checkpoints as they stand in a log's own database, where anybody may have rewritten them.

The signatures prove that the log's key said it; whose key it is, its owner stated in a signed
message, or the auditor knows from elsewhere. What witnesses signed counts by the keys that the
auditor gives: those in the database prove nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from trust.asn1 import NotAsn1
from trust.audit.containers import judge_container
from trust.audit.findings import Finding
from trust.audit.log_records import TrustLists
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.asic import parse_container
from trust.evidence.notes import NoteKey, NoteSignature, SignedNote, check_cosignature
from trust.evidence.timestamps import check_timestamp, parse_timestamp
from trust.report import Check, Outcome, failed, indeterminate, warning
from trust.witness.announcement import as_witness, check_checkpoint, read_announcement


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Keys that are known to be the log's, in text form.

    Attributes:
        given: by the auditor; else their owner stated them.
    """

    known: Collection[str]
    given: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointVerdict:
    """What a checkpoint is worth.

    Attributes:
        root: as it says; empty when its note can't be read as one of this size.
        believed: signed by a key that is known to be the log's.
        witnesses: names of the given witnesses who cosigned it.
        problems: what an auditor should know.
        at: when the log says that it was signed.
    """

    size: int
    root: bytes
    believed: bool
    witnesses: tuple[str, ...]
    problems: tuple[Check, ...]
    at: datetime | None = None


def judge_checkpoint(
    *,
    size: int,
    note: bytes,
    key: str,
    token: bytes | None,
    cosignatures: Sequence[tuple[str, str]],
    keys: LogKeys,
    witnesses: Sequence[NoteKey],
    trust: TrustLists,
) -> CheckpointVerdict:
    """Judge a checkpoint that stands under a size; never raises for a bad one.

    Args:
        key: that is said to have signed it; empty when no key is known that might have.
        cosignatures: key and line of each witness.
    """
    if not key:
        text = "It is signed by a key that is not known to be the log's"
        return CheckpointVerdict(
            size, b"", False, (), (indeterminate("checkpoint", "unknown_key", text),)
        )
    try:
        checkpoint, at = check_checkpoint(note, NoteKey.parse(key))
    except (EvidenceRejected, MalformedMessage) as error:
        problem = failed("checkpoint", error.code, f"It was changed: {error.text}")
        return CheckpointVerdict(size, b"", False, (), (problem,))
    if checkpoint.size != size:
        text = f"It says that it is of {checkpoint.size} leaves: it was put in another's place"
        problem = failed("checkpoint", "checkpoint_moved", text)
        return CheckpointVerdict(size, b"", False, (), (problem,))
    problems = []
    believed = key in keys.known
    if not believed:
        whose = "is not one of those given" if keys.given else "was stated by no owner"
        text = f"It is signed by a key that {whose}: {key}"
        check = failed if keys.given else indeterminate
        problems.append(check("checkpoint", "unknown_key", text))
    if token is not None and (bad := _token_problem(token, note, at, trust)) is not None:
        problems.append(bad)
    found = []
    for witness_key, line in cosignatures:
        try:
            parsed = NoteKey.parse(witness_key)
            check_cosignature(SignedNote.parse(note).text, NoteSignature.parse(line), parsed)
        except (EvidenceRejected, MalformedMessage) as error:
            text = f"A witness's signature does not hold: {error.text}"
            problems.append(failed("witness", "invalid_signature_value", text))
            continue
        if parsed in map(as_witness, witnesses):
            found.append(parsed.name)
    return CheckpointVerdict(size, checkpoint.root, believed, tuple(found), tuple(problems), at)


def _token_problem(token: bytes, note: bytes, at: datetime, trust: TrustLists) -> Check | None:
    try:
        time = parse_timestamp(token).gen_time
    except NotAsn1 as error:
        text = f"Its time-stamp can't be read: {error}"
        return failed("timestamp", "malformed_signature", text, "unreadable")
    conf = trust.at(time)
    if conf is None:
        return indeterminate("trust_list", "no_trust_list", trust.why_none(time))
    check = check_timestamp(token, note, conf.tsa_certificates(time)).check
    if check.outcome is not Outcome.PASSED:
        return check
    if time < at.replace(microsecond=0):
        text = f"It is time-stamped at {time}, and says that it was made at {at}"
        return warning("timestamp_order", text)
    return None


def keys_stated(
    statements: Iterable[tuple[str, bytes]], trust: TrustLists
) -> tuple[set[str], list[Finding]]:
    """Which keys their owners stated in containers that hold; what is wrong with the others.

    Args:
        statements: the key and the container; an empty key is any that the container states.
    """
    known: set[str] = set()
    findings = []
    for key, raw in statements:
        name = key.partition("+")[0]
        place = f"statement of {name}"
        try:
            container = parse_container(raw)
            verdict = judge_container(container, trust, container.time)
            problem = verdict.report.first_problem
            if problem is not None or verdict.signer is None:
                check = problem or failed("signer", "incorrect_certificate", "Nobody signed it")
                findings.append(Finding(place, check, verdict.timestamp is not None))
                continue
            announced = read_announcement(container.message, verdict.signer)
        except (MalformedMessage, EvidenceRejected) as error:
            findings.append(Finding(place, failed("checkpoint", error.code, error.text)))
            continue
        if key and announced.key.text != key:
            text = "Its owner stated another key"
            findings.append(Finding(place, failed("checkpoint", "unknown_key", text)))
            continue
        known.add(announced.key.text)
    return known, findings
