"""Judge the records of some leaves: what one process of an audit does, again and again.

A process reads for itself, so that no record crosses from one to another: what it hands back are
digests, counts and the first of its findings.
"""

import asyncio
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from node.log.log_reader import LeafRow, LogReader, Records, StampRow, open_log_reader
from scripts.auditing.archive import FoundRecords
from scripts.auditing.trust_source import TrustSource
from trust.asn1 import NotAsn1
from trust.audit.findings import Finding, Findings, Tally
from trust.audit.indications import Level
from trust.audit.log_records import (
    LoggedRecord,
    RecordJudge,
    RecordVerdict,
    StampedAt,
    TrustLists,
)
from trust.audit.log_walk import StampedRange
from trust.audit.revocations import Revocations
from trust.evidence.timestamps import check_timestamp, parse_timestamp
from trust.pki.certificates import der
from trust.report import Check, Outcome, failed, indeterminate

NOT_JUDGED, SIGNED, DATED = range(3)  # how far a leaf's record got
_STAMPS_KEPT = 256


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """All that a process needs to judge records.

    Attributes:
        at: the moment for what has no time-stamp.
        patience: how old a record without time-stamp may be.
        silence: a longer time without any record is told; None tells none.
        archive: a FoundRecords of what is in archive files, if those were audited.
    """

    dsn: str = field(repr=False)
    bodies: Path | None
    key_ring: Path | None
    trust: TrustSource
    revocations: Revocations
    at: datetime
    patience: timedelta
    silence: timedelta | None = None
    archive: Path | None = None


@dataclass(slots=True)
class Signer:
    """A certificate that signed records, with the time of the last one."""

    certificate: bytes  # DER
    records: int
    last: datetime


@dataclass(slots=True)
class ChunkResult:
    """What was found of the leaves from `first` on.

    Attributes:
        hashes: leaf hashes as `log_leaf` has them; None for a lost leaf.
        digests: of the signatures, from the records themselves where they are there.
        reached: NOT_JUDGED, SIGNED or DATED for each leaf.
        counts: how many findings of a kind there are beyond those that are here.
    """

    first: int
    hashes: list[bytes | None] = field(default_factory=list)
    digests: list[bytes | None] = field(default_factory=list)
    stamps: list[StampedRange] = field(default_factory=list)
    reached: bytearray = field(default_factory=bytearray)
    findings: Findings = field(default_factory=Findings)
    tally: Tally = field(default_factory=Tally)
    signers: dict[bytes, Signer] = field(default_factory=dict)
    archived: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    times: list[datetime] = field(default_factory=list)
    unstamped_since: datetime | None = None


class ChunkJudge:
    """Judges leaves, range by range, over one connection."""

    def __init__(self, settings: WorkerSettings, reader: LogReader, trust: TrustLists) -> None:
        self._settings = settings
        self._reader = reader
        self._trust = trust
        self._judge = RecordJudge(trust, settings.at, settings.patience)
        self._archive = None if settings.archive is None else FoundRecords(settings.archive)
        self._tokens: dict[int, tuple[StampedAt | None, Check | None]] = {}

    async def judge(self, first: int, end: int) -> ChunkResult:
        """Judge the leaves from `first` to before `end`; raises StorageError."""
        result = ChunkResult(first)
        stamps = await self._reader.stamps(first, end)
        result.stamps = [stamp.range for stamp in stamps]
        for stamp in stamps:
            check = self._token(stamp)[1]
            if check is not None and stamp.range.first_leaf >= first:
                result.findings.add(Finding(stamp.range.place, check))
        covering = _Covering(stamps)
        leaf = first
        async for rows, records in self._reader.batches(await self._reader.leaves(first, end)):
            gone = [row for row in rows if row.number not in records.found]
            archived = await self._reader.archived(first, end) if gone else {}
            for row in rows:
                for missing in range(leaf, row.leaf):
                    self._lost(result, missing)
                leaf = row.leaf + 1
                self._leaf(result, row, records, covering.of(row.leaf), archived)
        for missing in range(leaf, end):
            self._lost(result, missing)
        return result

    def _leaf(
        self,
        result: ChunkResult,
        row: LeafRow,
        records: Records,
        stamp: StampRow | None,
        archived: Mapping[int, str],
    ) -> None:
        result.hashes.append(row.leaf_hash)
        self._note_time(result, row, stamped=stamp is not None)
        record = records.found.get(row.number)
        if (why := records.broken.get(row.number)) is not None:
            place = f"record {row.number} (leaf {row.leaf})"
            code = "record_altered" if record is None else "attachments_missing"
            result.findings.add(Finding(place, failed("body", code, why)))
            if record is None:
                result.digests.append(row.signature_digest)
                result.reached.append(NOT_JUDGED)
                return
        if record is None:
            self._gone(result, row, archived.get(row.leaf))
        else:
            self._record(result, row, record, None if stamp is None else self._token(stamp)[0])

    def _lost(self, result: ChunkResult, leaf: int) -> None:
        text = "The leaf is gone from the log: its row was removed"
        result.findings.add(Finding(f"leaf {leaf}", failed("leaf", "leaf_removed", text)))
        result.hashes.append(None)
        result.digests.append(None)
        result.reached.append(NOT_JUDGED)

    def _gone(self, result: ChunkResult, row: LeafRow, file: str | None) -> None:
        """A leaf without its record: archived, or removed."""
        result.digests.append(row.signature_digest)
        place = f"record {row.number} (leaf {row.leaf})"
        if self._archive is not None:
            found = self._archive.of(row.number)
            matching = [good for leaf, good, _ in found if leaf == row.leaf_hash]
            result.reached.append(DATED if any(matching) else NOT_JUDGED)
            if matching:
                result.archived += 1
                return
            text = "Its container in the archive is not the record that was logged"
            if found:
                check = failed("leaf", "record_altered", f"{text}: {found[0][2]}")
                result.findings.add(Finding(place, check))
                return
        else:
            result.reached.append(NOT_JUDGED)
            if file is not None:
                result.archived += 1
                return
        text = f"The record is gone; it was logged at {row.time:%Y-%m-%d %H:%M:%S}Z"
        if file is not None:
            text = f"{text}, and archived in {file}, where it is not"
        result.findings.add(Finding(place, failed("leaf", "record_removed", text)))

    def _record(
        self, result: ChunkResult, row: LeafRow, record: LoggedRecord, stamp: StampedAt | None
    ) -> None:
        verdict = self._judge.judge(record, stamp)
        result.digests.append(verdict.signature_digest)
        problems = [*_row_problems(row, record, verdict), *self._revoked(result, verdict, stamp)]
        problems += _deciding(verdict)
        outcome = Outcome.PASSED
        dated = verdict.level is Level.TIME
        for check in problems:
            result.findings.add(Finding(record.place, check, dated))
            if check.outcome is Outcome.FAILED or outcome is Outcome.PASSED:
                outcome = check.outcome
        indication = Finding(record.place, problems[0], dated).indication if problems else None
        result.tally.count(outcome, indication or verdict.indication, verdict.level)
        for part in record.parts:
            result.tally.bodies[part.kept or "digest only"] += 1
        good = outcome is Outcome.PASSED
        result.reached.append((DATED if dated else SIGNED) if good else NOT_JUDGED)

    def _revoked(
        self, result: ChunkResult, verdict: RecordVerdict, stamp: StampedAt | None
    ) -> list[Check]:
        """Note who signed; tell when the certificate had been revoked by then."""
        certificate = verdict.certificate
        if certificate is None:
            return []
        raw = der(certificate)
        moment = self._settings.at if stamp is None else stamp.time
        known = result.signers.setdefault(raw, Signer(raw, 0, moment))
        known.records += 1
        known.last = max(known.last, moment)
        revoked = self._settings.revocations.revoked_at(certificate)
        if revoked is None or revoked > moment:
            return []
        text = f"Its certificate was revoked at {revoked:%Y-%m-%d %H:%M:%S}Z, before it is dated"
        return [failed("later_revocation", "invalid_cert_path.cert_validation", text)]

    def _note_time(self, result: ChunkResult, row: LeafRow, *, stamped: bool) -> None:
        result.first_time = min(result.first_time or row.time, row.time)
        result.last_time = max(result.last_time or row.time, row.time)
        if self._settings.silence is not None:
            result.times.append(row.time)
        if not stamped:
            result.unstamped_since = min(result.unstamped_since or row.time, row.time)

    def _token(self, stamp: StampRow) -> tuple[StampedAt | None, Check | None]:
        """What a time-stamp proves of its leaves, and what is wrong with it."""
        if stamp.range.id not in self._tokens:
            self._tokens[stamp.range.id] = self._judge_token(stamp)
            while len(self._tokens) > _STAMPS_KEPT:
                del self._tokens[next(iter(self._tokens))]
        return self._tokens[stamp.range.id]

    def _judge_token(self, stamp: StampRow) -> tuple[StampedAt | None, Check | None]:
        try:
            time = parse_timestamp(stamp.token).gen_time
        except NotAsn1 as error:
            text = f"The time-stamp can't be read: {error}"
            return None, failed("timestamp", "malformed_signature", text, "unreadable")
        if stamp.range.chain_result is None:
            return StampedAt(time, stamp.token), None  # judged with its record
        conf = self._trust.at(time)
        if conf is None:
            return None, indeterminate("trust_list", "no_trust_list", self._trust.why_none(time))
        tsas = conf.tsa_certificates(time)
        check = check_timestamp(stamp.token, stamp.range.chain_result, tsas).check
        good = check.outcome is Outcome.PASSED
        return (StampedAt(time), None) if good else (None, check)


class _Covering:
    """Finds the time-stamp of leaves that are asked for in order."""

    def __init__(self, stamps: Sequence[StampRow]) -> None:
        self._stamps = deque(stamps)

    def of(self, leaf: int) -> StampRow | None:
        while self._stamps and self._stamps[0].range.end <= leaf:
            self._stamps.popleft()
        found = self._stamps[0] if self._stamps else None
        return found if found is not None and found.range.first_leaf <= leaf else None


def _row_problems(row: LeafRow, record: LoggedRecord, verdict: RecordVerdict) -> list[Check]:
    """Where a record is not the one that its leaf stands for."""
    if verdict.leaf_hash != row.leaf_hash:
        text = "The record is not the one that was logged: its bytes give another leaf"
        return [failed("leaf", "record_altered", text)]
    if verdict.signature_digest != row.signature_digest:
        text = "Its leaf states the digest of another signature"
        return [failed("leaf", "leaf_altered", text)]
    if record.time != row.time:
        text = f"The record says {record.time}, its leaf {row.time}"
        return [failed("columns", "time_altered", text)]
    return []


def _deciding(verdict: RecordVerdict) -> list[Check]:
    """The checks of a record that an auditor should see: the first failure of each step."""
    found = [
        check
        for check in verdict.report.checks
        if check.outcome in (Outcome.FAILED, Outcome.INDETERMINATE)
    ]
    return sorted(found, key=lambda check: check.outcome is not Outcome.FAILED)


# --- in a process of its own ----------------------------------------------------------------------


class _Process:
    """The judge of this process, with its connection and event loop."""

    runner: asyncio.Runner
    stack: AsyncExitStack  # holds the connection until the process ends
    judge: ChunkJudge


async def open_judge(settings: WorkerSettings, stack: AsyncExitStack) -> ChunkJudge:
    """A judge with a connection of its own, until the stack is closed."""
    reader = await stack.enter_async_context(
        open_log_reader(settings.dsn, settings.bodies, settings.key_ring)
    )
    return ChunkJudge(settings, reader, settings.trust.open())


def start_process(settings: WorkerSettings) -> None:
    """Make this process ready; its parent answers to the keyboard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Process.runner = asyncio.Runner()
    _Process.stack = AsyncExitStack()
    _Process.judge = _Process.runner.run(open_judge(settings, _Process.stack))


def judge_in_process(first: int, end: int) -> ChunkResult:
    """Judge some leaves in a process that was made ready."""
    return _Process.runner.run(_Process.judge.judge(first, end))
