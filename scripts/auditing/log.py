"""Audit a node's log in its database: every leaf in order, by several processes.

The records are judged side by side, in ranges of leaves; what depends on their order (the tree,
the time-stamps over many) is followed here. Nothing grows with the log but one byte a leaf.
"""

import asyncio
import concurrent.futures
import multiprocessing
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from node.log.log_reader import CheckpointRow, LogExtent, LogReader, open_log_reader
from scripts.auditing.archive import ArchiveFound
from scripts.auditing.ocsp import ask_responders
from scripts.auditing.worker import (
    DATED,
    SIGNED,
    ChunkResult,
    Signer,
    WorkerSettings,
    judge_in_process,
    open_judge,
    start_process,
)
from trust.audit.checkpoint_checks import CheckpointVerdict, LogKeys, judge_checkpoint, keys_stated
from trust.audit.findings import AuditReport, Finding, Findings, Tally
from trust.audit.indications import Level
from trust.audit.log_records import TrustLists
from trust.audit.log_walk import LogWalk, StatedRoot
from trust.errors import StorageError
from trust.evidence.notes import NoteKey
from trust.report import failed, warning

CHUNK = 1000  # leaves
_BEYOND = 1000  # records outside of the log that are named
_MOVED = 100  # removed records that are looked for elsewhere in the log
_WRITTEN_EVERY = 2.0  # seconds, of progress


@dataclass(frozen=True, slots=True)
class LogAudit:
    """How a log is audited.

    Attributes:
        jobs: processes; 0 judges in this one.
        log_keys, witnesses: keys that the auditor knows from elsewhere.
        quiet: no progress.
        archive: what an audit of the archive files found.
        ask_ocsp: ask the authorities' responders of today about every certificate.
    """

    worker: WorkerSettings
    jobs: int
    log_keys: Sequence[NoteKey] = ()
    witnesses: Sequence[NoteKey] = ()
    quiet: bool = False
    archive: ArchiveFound | None = None
    ask_ocsp: bool = False

    async def run(self) -> AuditReport:
        """Audit all of it; raises StorageError."""
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(open_log_reader(self.worker.dsn))
            return await _Run(self, reader, self.worker.trust.open()).report()


@dataclass
class _Run:
    """One audit while it works."""

    audit: LogAudit
    reader: LogReader
    trust: TrustLists
    findings: Findings = field(default_factory=Findings)
    tally: Tally = field(default_factory=Tally)
    signers: dict[bytes, Signer] = field(default_factory=dict)
    reached: bytearray = field(default_factory=bytearray)
    checkpoints: list[CheckpointVerdict] = field(default_factory=list)
    archived: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    unstamped: datetime | None = None
    removed: list[int] = field(default_factory=list)
    first: int = 0

    async def report(self) -> AuditReport:
        extent = await self.reader.extent()
        end = max(extent.leaves, extent.last_leaf + 1)
        keys = await self._keys()
        async for row in self.reader.checkpoints():
            self.checkpoints.append(self._checkpoint(row, keys))
        self.first = await self._first_leaf(extent)
        before = await self.reader.tree_before(self.first)
        roots = [StatedRoot(c.size, c.root) for c in self.checkpoints if c.root]
        walk = LogWalk(roots, self.first, before)
        progress = _Progress(self.first, end, quiet=self.audit.quiet)
        async for result in self._results(end):
            walk.take(result.hashes, result.digests, result.stamps)
            self._take(result)
            progress.tell(walk.leaf, sum(self.findings.counts.values()))
        progress.end()
        walk.finish(extent.stamped)
        for finding in walk.findings:
            self.findings.add(finding)
        await self._outside(extent)
        if self.audit.archive is not None:
            await self._compare_files(self.audit.archive)
        self._tell_unstamped(extent)
        if self.audit.ask_ocsp:
            at = self.audit.worker.at
            for finding in await ask_responders(self.signers.values(), self.trust, at):
                self.findings.add(finding)
        return self._build(extent, walk)

    async def _first_leaf(self, extent: LogExtent) -> int:
        """Where the rows begin: those below may go when their records are archived, no others."""
        if extent.first_leaf <= await self.reader.archived_count():
            return extent.first_leaf
        return 0  # each of them is told as removed

    # --- keys and checkpoints ---------------------------------------------------------------------

    async def _keys(self) -> LogKeys:
        """Whose the log's keys are: as the auditor says, else as their owner signed."""
        if self.audit.log_keys:
            return LogKeys(frozenset(key.text for key in self.audit.log_keys), given=True)
        stated, findings = keys_stated(await self.reader.statements(), self.trust)
        for finding in findings:
            self.findings.add(finding)
        return LogKeys(frozenset(stated))

    def _checkpoint(self, row: CheckpointRow, keys: LogKeys) -> CheckpointVerdict:
        verdict = judge_checkpoint(
            size=row.size,
            note=row.note,
            key=row.key,
            token=row.token,
            cosignatures=row.cosignatures,
            keys=keys,
            witnesses=self.audit.witnesses,
            trust=self.trust,
        )
        for check in verdict.problems:
            self.findings.add(Finding(f"checkpoint of {row.size} leaves", check))
        return verdict

    # --- leaves -----------------------------------------------------------------------------------

    async def _results(self, end: int) -> AsyncIterator[ChunkResult]:
        """What was found of all leaves, in their order."""
        ranges = [(first, min(first + CHUNK, end)) for first in range(self.first, end, CHUNK)]
        settings = self.audit.worker
        if not self.audit.jobs:
            async with AsyncExitStack() as stack:
                judge = await open_judge(settings, stack)
                for first, last in ranges:
                    yield await judge.judge(first, last)
            return
        with concurrent.futures.ProcessPoolExecutor(
            self.audit.jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=start_process,
            initargs=(settings,),
        ) as pool:
            loop = asyncio.get_running_loop()
            waiting: deque[asyncio.Future[ChunkResult]] = deque()
            try:
                for first, last in ranges:
                    waiting.append(loop.run_in_executor(pool, judge_in_process, first, last))
                    if len(waiting) > 2 * self.audit.jobs:
                        yield await waiting.popleft()
                while waiting:
                    yield await waiting.popleft()
            except concurrent.futures.BrokenExecutor as error:
                text = "A process of the audit ended before its work: --jobs 0 shows why"
                raise StorageError(text) from error
            finally:
                for future in waiting:
                    future.cancel()
                pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, result: ChunkResult) -> None:
        self._tell_silence(result)
        self.findings.merge(result.findings.kept, _beyond(result.findings))
        self.removed += _removed(result.findings, _MOVED - len(self.removed))
        self.tally.merge(result.tally)
        self.reached += result.reached
        self.archived += result.archived
        self.oldest = min(filter(None, (self.oldest, result.first_time)), default=None)
        self.newest = max(filter(None, (self.newest, result.last_time)), default=None)
        self.unstamped = min(filter(None, (self.unstamped, result.unstamped_since)), default=None)
        for raw, signer in result.signers.items():
            known = self.signers.setdefault(raw, Signer(raw, 0, signer.last))
            known.records += signer.records
            known.last = max(known.last, signer.last)

    def _tell_silence(self, result: ChunkResult) -> None:
        """A time without any record is told to whoever asked for it."""
        silence = self.audit.worker.silence
        before = self.newest
        for moment in () if silence is None else sorted(result.times):
            if silence and before is not None and moment - before > silence:
                text = f"There is no record between {before:%Y-%m-%d %H:%M}Z and {moment:%H:%M}Z"
                place = f"{before:%Y-%m-%d %H:%M:%S}Z to {moment:%Y-%m-%d %H:%M:%S}Z"
                self.findings.add(Finding(place, warning("silence", text)))
            before = max(before or moment, moment)

    # --- around the leaves ------------------------------------------------------------------------

    async def _outside(self, extent: LogExtent) -> None:
        """Records that are in the table and not in the log, and those that were moved in it."""
        beyond = await self.reader.beyond_the_log(_BEYOND)
        for number, moment in beyond:
            text = f"It is in the table, of {moment:%Y-%m-%d %H:%M:%S}Z, and has no leaf in the log"
            self.findings.add(
                Finding(f"record {number}", failed("leaf", "record_without_leaf", text))
            )
        if self.removed:
            for number, moment in (await self.reader.moved(self.removed)).items():
                text = f"It was moved to another time, {moment:%Y-%m-%d %H:%M:%S}Z"
                self.findings.add(
                    Finding(f"record {number}", failed("columns", "time_altered", text))
                )
        if extent.last_leaf + 1 > extent.leaves:
            text = f"The log says that it has {extent.leaves} leaves; there are more"
            self.findings.add(Finding("log_size", failed("tree", "log_size_altered", text)))

    async def _compare_files(self, archive: ArchiveFound) -> None:
        """The archive files that the node wrote must be there, byte for byte."""
        for name, _, digest, containers in await self.reader.archive_files():
            place = f"archive file {name}"
            found = archive.files.get(name)
            if found is None:
                text = f"The node stored it with {containers} containers; it is gone"
                check = failed("archive", "archive_file_removed", text)
            elif found != digest:
                text = "It is not the file that the node stored"
                check = failed("archive", "archive_file_altered", text)
            else:
                continue
            self.findings.add(Finding(place, check))

    def _tell_unstamped(self, extent: LogExtent) -> None:
        waiting = extent.leaves - extent.stamped
        if extent.failing_since is not None:
            text = (
                f"Time-stamping fails since {extent.failing_since:%Y-%m-%d %H:%M:%S}Z:"
                f" {extent.failure}; {waiting} records wait"
            )
            self.findings.add(Finding("time-stamping", warning("timestamp", text)))
        elif waiting and self.unstamped is not None:
            text = f"{waiting} records wait for a time-stamp, since {self.unstamped:%H:%M:%S}Z"
            self.findings.add(Finding("time-stamping", warning("timestamp", text)))

    def _build(self, extent: LogExtent, walk: LogWalk) -> AuditReport:
        good = [c for c in self.checkpoints if c.believed and c.size <= walk.agreed]
        in_tree = max((c.size for c in good), default=0)
        witnessed = max((c.size for c in good if c.witnesses), default=0)
        levels = self._levels(in_tree, witnessed)
        self.tally.levels.clear()
        self.tally.levels.update({level.value: count for level, count in levels.items() if count})
        reached = [level for level in Level if levels.get(level)]
        return AuditReport(
            subject="message log",
            facts=self._facts(extent, walk, in_tree, witnessed),
            findings=tuple(self.findings.kept),
            counts=dict(self.findings.counts),
            outcomes=dict(self.findings.outcomes),
            tally=self.tally,
            not_checked=tuple(self._not_checked(in_tree, witnessed)),
            level=reached[0] if reached else None,
        )

    def _levels(self, in_tree: int, witnessed: int) -> dict[Level, int]:
        """How far the records that passed were judged."""
        tree, cosigned = max(in_tree - self.first, 0), max(witnessed - self.first, 0)
        return {
            Level.SIGNATURE: self.reached.count(SIGNED),
            Level.TIME: self.reached.count(DATED, tree),
            Level.TREE: self.reached.count(DATED, cosigned, tree),
            Level.WITNESSES: self.reached.count(DATED, 0, cosigned),
        }

    def _facts(
        self, extent: LogExtent, walk: LogWalk, in_tree: int, witnessed: int
    ) -> tuple[tuple[str, str], ...]:
        facts = {
            "leaves": f"{walk.leaf}, {min(extent.stamped, walk.leaf)} of them time-stamped",
            "leaves archived and gone": str(self.first),
            "records judged": str(sum(self.tally.outcomes.values())),
            "records archived and gone": str(self.archived),
            "waiting for a leaf": str(extent.queued),
            "first record": _time(self.oldest),
            "last record": _time(self.newest),
            "certificates that signed": str(len(self.signers)),
            "checkpoints": str(len(self.checkpoints)),
            "leaves under a good checkpoint": str(in_tree),
            "leaves under a witnessed checkpoint": str(witnessed),
        }
        return tuple(facts.items())

    def _not_checked(self, in_tree: int, witnessed: int) -> Sequence[str]:
        found = []
        certificates = [x509.load_der_x509_certificate(raw) for raw in self.signers]
        revocations = self.audit.worker.revocations
        unknown = sum(not revocations.covers(each) for each in certificates)
        if unknown and not self.audit.ask_ocsp:
            found.append(
                f"whether {unknown} of the {len(certificates)} certificates were revoked later:"
                " give revocation lists with --revocations, or --ask-ocsp"
            )
        if self.archived and self.audit.archive is None:
            found.append(f"{self.archived} records that are in archive files alone: give --archive")
        if self.first:
            found.append(
                f"leaves 0 to {self.first - 1}, whose rows went after they were archived: audit"
                " the archive with its tree"
            )
        dropped = self.tally.bodies.get("digest only", 0)
        if dropped:
            found.append(f"{dropped} bodies that were not kept: only their digests are signed here")
        if not in_tree:
            found.append("whether the log is whole beyond its own rows: it has no good checkpoint")
        if not witnessed:
            found.append(
                "whether others saw the same log: no checkpoint is cosigned by a witness that was"
                " given with --witness"
            )
        found.append("side, peer and time of a row: the node's own notes, which nobody signed")
        return found


def _time(moment: datetime | None) -> str:
    return "none" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _beyond(findings: Findings) -> dict[str, int]:
    """How many of each kind were counted and not kept."""
    kept: dict[str, int] = {}
    for finding in findings.kept:
        kept[finding.kind] = kept.get(finding.kind, 0) + 1
    return {kind: count - kept.get(kind, 0) for kind, count in findings.counts.items()}


def _removed(findings: Findings, limit: int) -> list[int]:
    """The numbers of removed records, so many of them."""
    places = [f.place for f in findings.kept if f.check.code == "record_removed"]
    return [int(place.split()[1]) for place in places[: max(limit, 0)]]


class _Progress:
    """Says on the terminal how far it is, how fast, and how long it will take."""

    def __init__(
        self, first: int, end: int, *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first = first
        self._end = end
        self._quiet = quiet
        self._clock = clock
        self._started = clock()
        self._told = self._started
        self._line = sys.stderr.isatty()

    def tell(self, done: int, findings: int) -> None:
        now = self._clock()
        if self._quiet or now - self._told < _WRITTEN_EVERY:
            return
        self._told = now
        rate = (done - self._first) / max(now - self._started, 1e-6)
        left = timedelta(seconds=int((self._end - done) / max(rate, 1e-6)))
        text = f"{done} of {self._end} leaves, {rate:.0f}/s, {left} left, {findings} findings"
        print(text, end="\r" if self._line else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._line and not self._quiet:
            print(" " * 79, end="\r", file=sys.stderr, flush=True)
