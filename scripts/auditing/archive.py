"""Audit the archive files of a store: every container, every link in a file and between files.

One file at a time is fetched into a scratch folder, opened and judged; what remains of it are
counts, findings, its place in the chain, and for each container the record's number with its leaf
hash, in a small database on disk that the audit of the log looks into.
"""

import hashlib
import re
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from node.archive.recipients import ENDING, decrypt
from node.archive.store import ArchiveStore
from scripts.auditing.tiles import TileAudit, TreeFound
from trust.audit.archive_links import ArchivedFile, check_links
from trust.audit.containers import judge_container
from trust.audit.findings import AuditReport, Finding, Findings, Tally
from trust.audit.indications import Level, indication_of, is_dated
from trust.audit.log_records import TrustLists
from trust.audit.revocations import Revocations
from trust.errors import EvidenceRejected, StorageError
from trust.evidence.archives import ArchivedContainer, ArchiveReport, judge_archive
from trust.evidence.asic import Container
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.container import ContainerVerdict
from trust.evidence.container_leaf import leaf_of_container
from trust.evidence.notes import NoteKey
from trust.evidence.signature import parse_signature
from trust.evidence.xades_form import Form
from trust.report import Check, Outcome, VerificationReport, failed, indeterminate

_FILE = re.compile(r"(?:.*/)?mlog-[^/]*\.zip(?:\.age|\.gpg)?", re.DOTALL)
_RECORD = re.compile(r".*-(?:request|response)-([0-9a-v]{1,13})\.asice", re.DOTALL)
_IN_MEMORY = 4 << 20  # bytes of a container


class FoundRecords:
    """Which records are in archive files, with their leaf hashes; on disk, so it may be large."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS found"
            " (number INTEGER, leaf BLOB, good INTEGER, file TEXT, time REAL,"
            " PRIMARY KEY (number, leaf))"
            " WITHOUT ROWID"
        )

    def add(
        self, number: int, leaf: bytes, file: str, time: datetime | None, *, good: bool
    ) -> bool:
        """Note a record with the time of its time-stamp; whether it is new."""
        done = self._connection.execute(
            "INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?)",
            (number, leaf, good, file, 0 if time is None else time.timestamp()),
        )
        return done.rowcount == 1

    def commit(self) -> None:
        self._connection.commit()

    def of(self, number: int) -> list[tuple[bytes, bool, str]]:
        """Leaf hash, whether its container passed, and file, of all records of that number."""
        rows = self._connection.execute(
            "SELECT leaf, good, file FROM found WHERE number = ?", (number,)
        )
        return [(leaf, bool(good), file) for leaf, good, file in rows]

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True, slots=True)
class ArchiveFound:
    """What the audit of the archive leaves to that of the log.

    Attributes:
        records: the path of a FoundRecords.
        files: SHA-256 of every file as it is stored, by name.
    """

    report: AuditReport
    records: Path
    files: dict[str, bytes]


@dataclass
class ArchiveAudit:
    """How a store's archive files are audited; `run` does it once."""

    store: ArchiveStore
    trust: TrustLists
    revocations: Revocations
    at: datetime
    scratch: Path
    identities: Sequence[Path] = ()
    quiet: bool = False
    log_keys: Sequence[NoteKey] = ()
    witnesses: Sequence[NoteKey] = ()
    findings: Findings = field(default_factory=Findings)
    tally: Tally = field(default_factory=Tally)
    _cache: VerdictCache = field(default_factory=lambda: VerdictCache(timedelta(days=1)))
    _leaf: bytes | None = None
    _revoked: Check | None = None

    async def run(self) -> ArchiveFound:
        """Audit all files; raises StorageError, OSError."""
        listed = sorted(
            [each async for each in self.store.list() if _FILE.fullmatch(each.name)],
            key=lambda each: each.name,
        )
        records = FoundRecords(self.scratch / "found.sqlite")
        files: list[ArchivedFile] = []
        digests: dict[str, bytes] = {}
        try:
            for count, each in enumerate(listed, 1):
                digests[each.name], file = await self._file(each.name, records)
                if file is not None:
                    files.append(file)
                self._tell(count, len(listed))
        finally:
            records.commit()
            records.close()
        for finding in check_links(files, known=set(digests)):
            self.findings.add(finding)
        tiles = TileAudit(self.store, self.trust, records.path, self.log_keys, self.witnesses)
        tree = await tiles.run()
        for finding in () if tree is None else tree.findings:
            self.findings.add(finding)
        return ArchiveFound(self._report(files, len(listed), tree), records.path, digests)

    async def _file(self, name: str, records: FoundRecords) -> tuple[bytes, ArchivedFile | None]:
        """Fetch, open and judge one file; SHA-256 of it as stored, and its place in the chain."""
        place = f"archive file {name}"
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            stored = Path(folder) / "stored"
            digest = hashlib.sha256()
            with stored.open("wb") as target:
                async for piece in self.store.get(name):
                    digest.update(piece)
                    target.write(piece)
            opened, why = self._opened(name, stored, Path(folder) / "opened")
            if opened is None:
                check = indeterminate("archive", "archive_encrypted", why)
                self.findings.add(Finding(place, check))
                return digest.digest(), None
            with opened.open("rb") as source:
                report = self._judge(name, source, records)
        for check in report.report.checks:
            if check.name == "previous" or check.outcome is Outcome.PASSED:
                continue
            if check.name == "containers" or (check.name == "linked" and report.problems):
                continue  # told container by container
            self.findings.add(Finding(place, check))
        if report.linking is None or report.end is None:
            return digest.digest(), None
        return digest.digest(), ArchivedFile(
            name, report.linking.previous, report.end.digest, report.containers
        )

    def _opened(self, name: str, stored: Path, target: Path) -> tuple[Path | None, str]:
        """The plain file, or why there is none."""
        if name.endswith(".gpg"):
            return None, "It is encrypted with GnuPG: decrypt it first"
        if not name.endswith(ENDING):
            return stored, ""
        why = "It is encrypted: give --identity"
        for identity in self.identities:
            try:
                decrypt(stored, target, identity)
            except StorageError as error:
                why = str(error)
            else:
                return target, ""
        return None, why

    def _judge(self, name: str, source: BinaryIO, records: FoundRecords) -> ArchiveReport:
        def spool() -> BinaryIO:
            return cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.scratch)))

        def tell(container: ArchivedContainer) -> None:
            self._container(name, container, records)

        return judge_archive(
            source, spool=spool, judge=self._verdict, name=name.rpartition("/")[2], tell=tell
        )

    def _verdict(self, container: Container) -> ContainerVerdict:
        verdict = judge_container(container, self.trust, self.at, self._cache)
        try:
            self._leaf = leaf_of_container(container)
        except EvidenceRejected:
            self._leaf = None
        self._revoked = None
        if self.revocations.known and verdict.signer is not None:
            certificate = parse_signature(container.signature, Form.CONTAINER).certificate
            revoked = self.revocations.revoked_at(certificate)
            if revoked is not None and revoked <= (verdict.timestamp or self.at):
                text = f"Its certificate was revoked at {revoked:%Y-%m-%d %H:%M:%S}Z, before that"
                code = "invalid_cert_path.cert_validation"
                self._revoked = failed("later_revocation", code, text)
        return verdict

    def _container(self, file: str, container: ArchivedContainer, records: FoundRecords) -> None:
        """Count a container and tell what is wrong with it."""
        place = f"container {container.name} in {file}"
        leaf, revoked = self._leaf, self._revoked
        self._leaf = self._revoked = None
        if container.linked.outcome is not Outcome.PASSED:
            self.findings.add(Finding(place, container.linked))
        if container.verdict is None:
            return
        checks = container.verdict.report.checks
        dated = is_dated(checks)
        problems = [
            each for each in checks if each.outcome in (Outcome.FAILED, Outcome.INDETERMINATE)
        ]
        report = VerificationReport((*checks, revoked) if revoked else checks)
        if not dated and not problems:
            text = "It is not time-stamped; archives hold stamped records alone"
            problems.append(indeterminate("timestamp", "no_timestamp", text))
            report = report.joined(problems)
        for check in (*problems, revoked):
            if check is not None:
                self.findings.add(Finding(place, check, dated))
        indication = indication_of(report, dated=dated)
        self.tally.count(report.verdict, indication, Level.TIME if dated else Level.SIGNATURE)
        missing = [part.name for part in container.verdict.parts if not part.covered]
        if missing:
            self.tally.bodies["digest only"] += len(missing)
        number = _RECORD.fullmatch(container.name)
        if leaf is not None and number is not None:
            good = report.verdict is Outcome.PASSED
            time = container.verdict.timestamp
            if not records.add(int(number[1], 32), leaf, file, time, good=good):
                text = "The same record is in another archive file as well"
                self.findings.add(Finding(place, _twice(text)))

    def _report(
        self, files: Sequence[ArchivedFile], listed: int, tree: TreeFound | None
    ) -> AuditReport:
        good = self.tally.outcomes[Outcome.PASSED.value]
        reached = [Level.TIME] if good else []
        if tree is not None:
            self.tally.levels.clear()
            self.tally.levels.update({level.value: n for level, n in tree.levels.items() if n})
            reached = [level for level in Level if tree.levels.get(level)]
        facts = (
            ("archive files", f"{listed}, {len(files)} of them read"),
            ("containers", str(sum(self.tally.outcomes.values()))),
            *(() if tree is None else tree.facts),
            *(
                (f"the chain ends with {each.name}", each.digest)
                for each in files
                if not any(other.previous.digest == each.digest for other in files)
            ),
        )
        not_checked = [
            "whether files after the end of a chain were removed: compare its last digest with the"
            " node's, or give --config",
            "whether every record of the log is in an archive file: give --config",
        ]
        if tree is None:
            not_checked.append("whether the records are in the log's tree: its tiles are not here")
        if not self.revocations.asked:
            not_checked.append(
                "whether a certificate was revoked later: give revocation lists with --revocations"
            )
        return AuditReport(
            subject="archive files",
            facts=facts,
            findings=tuple(self.findings.kept),
            counts=dict(self.findings.counts),
            outcomes=dict(self.findings.outcomes),
            tally=self.tally,
            not_checked=tuple(not_checked),
            level=reached[0] if reached else None,
            complete=len(files) == listed and listed > 0,
        )

    def _tell(self, count: int, listed: int) -> None:
        if not self.quiet:
            done = sum(self.tally.outcomes.values())
            text = f"{count} of {listed} archive files, {done} containers"
            end = "\r" if sys.stderr.isatty() and count < listed else "\n"
            print(text, end=end, file=sys.stderr, flush=True)


def _twice(text: str) -> Check:
    return Check("linked", Outcome.WARNING, text)
