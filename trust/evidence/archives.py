"""Judge an archive file: does it hold what it held when it was written, and follow its predecessor?

The chain of digests is followed through every container and compared with the linking info; then
each container is judged for itself. Memory is bounded by the directory of the file and one
container; what a file unpacks to is bounded by its size.

Source: signatures.md 11; X-Road 7.8 messagelog-archive-verifier, which looks at the chain alone.
"""

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from trust.errors import MalformedMessage
from trust.evidence.archive_files import ENCRYPTIONS
from trust.evidence.asic import Container, parse_container
from trust.evidence.container import ContainerVerdict, unreadable
from trust.evidence.linkinginfo import (
    LINKING_INFO,
    MAX_CONTAINERS,
    MAX_LINKING_BYTES,
    START,
    ArchiveEnd,
    LinkedFile,
    LinkingInfo,
    hash_name,
    next_digest,
)
from trust.evidence.zipreader import (
    MAX_RATIO,
    RATIO_COUNTS_FROM,
    BrokenZip,
    Unpacking,
    ZipBounds,
    ZipEntry,
    read_entries,
)
from trust.report import (
    Check,
    Outcome,
    Verdict,
    VerificationReport,
    failed,
    indeterminate,
    passed,
    warning,
)

INVALID_ARCHIVE = "archive_invalid_file"
NO_LINKING_INFO = "archive_no_linking_info"
MISSING_CONTAINER = "archive_missing_container"
UNLISTED_ENTRY = "archive_unlisted_entry"
WRONG_ORDER = "archive_wrong_order"
WRONG_DIGEST = "archive_wrong_digest"
WRONG_PREVIOUS = "archive_wrong_previous"
PREVIOUS_UNKNOWN = "archive_previous_unknown"
TOO_LARGE = "archive_too_large"

MAX_PROBLEMS = 1000  # kept in a report; the others are counted

_BOUNDS = ZipBounds(entries=MAX_CONTAINERS + 1, directory=32 << 20, total=(4 << 30) - 1)
_OWN_NAME = re.compile(r"mlog-.*-([0-9a-f]{16})\.zip", re.DOTALL)

Judge = Callable[[Container], ContainerVerdict]


@dataclass(frozen=True, slots=True)
class ArchivedContainer:
    """A container of an archive file.

    Attributes:
        linked: whether its place in the chain holds.
        verdict: None when it was not judged.
    """

    name: str
    size: int
    linked: Check
    verdict: ContainerVerdict | None = None

    @property
    def outcome(self) -> Outcome:
        if self.linked.outcome is not Outcome.PASSED or self.verdict is None:
            return self.linked.outcome
        return self.verdict.verdict

    @property
    def problem(self) -> Check | None:
        """The check that decided against it."""
        if self.linked.outcome is not Outcome.PASSED:
            return self.linked
        return None if self.verdict is None else self.verdict.report.first_problem


@dataclass(frozen=True, slots=True)
class ArchiveReport(Verdict):
    """What an archive file proves.

    Attributes:
        report: every step in order; the verdict, its code and reason follow from it.
        linking: what the file says about itself; None when that can't be read.
        end: where the next file of its group goes on; None when that can't be read.
        outcomes: how many containers ended how.
        problems: the containers that did not pass, the first MAX_PROBLEMS of them.
    """

    report: VerificationReport
    linking: LinkingInfo | None = None
    end: ArchiveEnd | None = None
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    problems: tuple[ArchivedContainer, ...] = ()

    @property
    def containers(self) -> int:
        return sum(self.outcomes.values())


def is_archive(source: BinaryIO) -> bool:
    """Whether a file is a ZIP with linking info, whatever else is wrong with it."""
    with contextlib.suppress(MalformedMessage):
        return any(entry.name == LINKING_INFO for entry in read_entries(source, _BOUNDS))
    return False


def _ignore(_: ArchivedContainer) -> None:
    pass


def judge_archive(
    source: BinaryIO,
    *,
    spool: Callable[[], BinaryIO],
    judge: Judge | None = None,
    previous: ArchiveEnd | None = None,
    name: str = "",
    tell: Callable[[ArchivedContainer], None] = _ignore,
) -> ArchiveReport:
    """Judge a plain (decrypted) archive file; bad evidence never raises.

    Args:
        source: seekable.
        spool: makes an empty seekable file for one container, which is closed here.
        judge: says what a container proves, with the trust list of its time; None judges the
            chain alone, as X-Road's verifier does.
        previous: the `end` of the file before, or START for the first one of a group; without
            it the link to the file before stays open.
        name: of the file, for the report and its `end`.
        tell: is given every container in turn.
    """
    try:
        entries = read_entries(source, _BOUNDS)
        linking = _read_linking(source, entries)
    except MalformedMessage as error:
        code = INVALID_ARCHIVE if isinstance(error, BrokenZip) else error.code
        return ArchiveReport(VerificationReport((failed("archive", code, error.text),)))
    judging = _Judging(source, linking, spool, judge)
    for container in judging.containers([each for each in entries if each.name != LINKING_INFO]):
        tell(container)
    checks = (
        passed("archive", f"{len(linking.files)} containers, chained by {linking.algorithm}"),
        *_check_name(name, linking),
        _check_previous(linking.previous, previous),
        *judging.checks(),
    )
    return ArchiveReport(
        VerificationReport(checks),
        linking,
        ArchiveEnd(linking.last_digest, name),
        dict(judging.outcomes),
        tuple(judging.problems),
    )


def _read_linking(source: BinaryIO, entries: Sequence[ZipEntry]) -> LinkingInfo:
    for entry in entries:
        if entry.name == LINKING_INFO:
            if entry.size > MAX_LINKING_BYTES:
                raise BrokenZip(f"{LINKING_INFO} is larger than {MAX_LINKING_BYTES} bytes")
            return LinkingInfo.parse(_Content(source, entry).read())
    raise MalformedMessage(f"The file has no {LINKING_INFO}", NO_LINKING_INFO)


class _Content:
    """An entry's bytes; unlike those of a container, a wrong checksum stops the reading."""

    def __init__(self, source: BinaryIO, entry: ZipEntry) -> None:
        self._unpacking = Unpacking(source, entry)

    def chunks(self) -> Iterator[bytes]:
        yield from self._unpacking.chunks()
        if self._unpacking.damage:
            raise BrokenZip(self._unpacking.damage[0])

    def read(self) -> bytes:
        return b"".join(self.chunks())


class _Judging:
    """One pass over the containers; keeps counts and the problems."""

    def __init__(
        self,
        source: BinaryIO,
        linking: LinkingInfo,
        spool: Callable[[], BinaryIO],
        judge: Judge | None,
    ) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.problems: list[ArchivedContainer] = []
        self._source = source
        self._linking = linking
        self._spool = spool
        self._judge = judge
        self._budget = max(RATIO_COUNTS_FROM, MAX_RATIO * source.seek(0, 2))
        self._in_order = True
        self._unlinked: Check | None = None  # the first one
        self._unlinked_count = 0
        self._first: dict[Outcome, ArchivedContainer] = {}

    def containers(self, entries: Sequence[ZipEntry]) -> Iterator[ArchivedContainer]:
        """Judge what the file holds and what it should hold."""
        unlisted = {entry.name: entry for entry in entries}
        names = [entry.name for entry in entries]
        self._in_order = names == [file.name for file in self._linking.files]
        previous = self._linking.previous.digest
        for file in self._linking.files:
            entry = unlisted.pop(file.name, None)
            yield self._counted(self._container(file, entry, previous))
            previous = file.digest
        for entry in unlisted.values():
            text = f"{LINKING_INFO} does not name {entry.name}"
            check = failed("linked", UNLISTED_ENTRY, text)
            yield self._counted(ArchivedContainer(entry.name, entry.size, check))

    def checks(self) -> Iterator[Check]:
        """The chain as a whole, and the containers as a whole."""
        if self._unlinked is not None:
            yield _summary("linked", self._unlinked, self._unlinked_count)
        elif not self._in_order:
            text = f"The containers stand in another order than in {LINKING_INFO}"
            yield failed("linked", WRONG_ORDER, text)
        else:
            yield passed("linked", "every container is as it was chained")
        if self._judge is None:
            yield warning("containers", "What the containers prove was not judged")
            return
        for outcome in (Outcome.FAILED, Outcome.INDETERMINATE):
            first = self._first.get(outcome)
            problem = None if first is None else first.problem
            if first is not None and problem is not None:
                check = Check(
                    "containers", outcome, f"{first.name}: {problem.detail}", problem.code
                )
                yield _summary("containers", check, self.outcomes[outcome])
                return
        yield passed("containers", f"all {sum(self.outcomes.values())} passed")

    def _counted(self, container: ArchivedContainer) -> ArchivedContainer:
        outcome = container.outcome
        self.outcomes[outcome] += 1
        self._first.setdefault(outcome, container)
        if container.linked.outcome is not Outcome.PASSED:
            self._unlinked = self._unlinked or container.linked
            self._unlinked_count += 1
        if outcome is not Outcome.PASSED and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(container)
        return container

    def _container(
        self, file: LinkedFile, entry: ZipEntry | None, previous: str
    ) -> ArchivedContainer:
        if entry is None:
            check = failed("linked", MISSING_CONTAINER, f"{file.name} is not in the file")
            return ArchivedContainer(file.name, 0, check)
        algorithm = self._linking.algorithm
        digest = hashlib.new(hash_name(algorithm))
        with contextlib.closing(self._spool()) as target:
            try:
                for chunk in _Content(self._source, entry).chunks():
                    digest.update(chunk)
                    if self._judge is not None:
                        target.write(chunk)
            except BrokenZip as error:
                check = failed("linked", INVALID_ARCHIVE, error.text)
                return ArchivedContainer(file.name, entry.size, check)
            if next_digest(previous, digest.digest(), algorithm) != file.digest:
                check = failed("linked", WRONG_DIGEST, f"{file.name} is not what was chained")
            else:
                check = passed("linked", "as it was chained")
            return ArchivedContainer(file.name, entry.size, check, self._verdict(target))

    def _verdict(self, container: BinaryIO) -> ContainerVerdict | None:
        if self._judge is None:
            return None
        try:
            self._budget -= sum(entry.size for entry in read_entries(container))
            if self._budget < 0:
                text = "The containers unpack to more than is accepted"
                raise MalformedMessage(text, TOO_LARGE)
            return self._judge(parse_container(container))
        except MalformedMessage as error:
            return unreadable(error)


def _summary(name: str, first: Check, count: int) -> Check:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return Check(name, first.outcome, first.detail + more, first.code)


def _check_name(name: str, linking: LinkingInfo) -> Iterator[Check]:
    """The file's name is covered by nothing; one that does not fit is worth knowing."""
    match = _OWN_NAME.fullmatch(_plain(name))
    if match is not None and not linking.last_digest.startswith(match[1]):
        yield warning("name", f"{name} is not the name that the file was given")


def _check_previous(claimed: ArchiveEnd, previous: ArchiveEnd | None) -> Check:
    """Check that the file goes on where the one before it ended."""
    says = f"continues {claimed.file}" if claimed.digest else "is the first of its group"
    if previous is None:
        text = f"The file says that it {says}; it was not compared with the file before"
        return indeterminate("previous", PREVIOUS_UNKNOWN, text)
    if claimed.digest != previous.digest:
        expected = f"continues {previous.file or 'the digest given'}"
        if previous == START:
            expected = "is the first of its group"
        text = f"The file says that it {says}, and is judged as one that {expected}"
        if claimed.file and _plain(claimed.file) == _plain(previous.file):
            text = f"The file continues another state of {claimed.file}"
        return failed("previous", WRONG_PREVIOUS, text)
    if previous.file and _plain(claimed.file) != _plain(previous.file):
        return warning("previous", f"The file before was called {claimed.file}")
    return passed("previous", says)


def _plain(name: str) -> str:
    """The name of an encrypted file without what encryption added."""
    for ending in ENCRYPTIONS:
        name = name.removesuffix(ending)
    return name
