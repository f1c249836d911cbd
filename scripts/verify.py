"""Judge signed containers, receipts, archive files and time-stamps offline."""

import argparse
import dataclasses
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from scripts.arguments import moment
from scripts.trustlist import load_anchor, load_trust_list
from scripts.verdict_text import (
    archive_as_json,
    archive_as_text,
    container_as_json,
    container_as_text,
    plain,
    receipt_as_json,
    receipt_as_text,
    time_text,
    token_as_json,
    token_as_text,
)
from scripts.verifier_page import PAGE
from trust.asn1 import NotAsn1
from trust.audit.containers import judge_container
from trust.audit.log_records import OneTrustList, TrustLists
from trust.configuration.confhistory import FolderFiles, TrustListHistory
from trust.errors import MalformedMessage, SacbeError, StorageError
from trust.evidence.archives import (
    ArchivedContainer,
    ArchiveReport,
    is_archive,
    judge_archive,
)
from trust.evidence.asic import Container, parse_container
from trust.evidence.container import ContainerVerdict, unreadable
from trust.evidence.linkinginfo import START, ArchiveEnd
from trust.evidence.timestamps import (
    MAX_TOKEN_BYTES,
    TimestampVerdict,
    check_timestamp,
    parse_timestamp,
)
from trust.evidence.zipreader import MAX_TOTAL_BYTES, BrokenZip, Unpacking, ZipEntry, read_entries
from trust.globalconf import Anchor, GlobalConf
from trust.receipts.receipt_verdict import ReceiptVerdict, unreadable_receipt, verify_receipt
from trust.receipts.receipts import is_receipt, parse_receipt
from trust.report import Outcome, VerificationReport, indeterminate

MAX_UNPACKED_BYTES = MAX_TOTAL_BYTES  # of all containers in one ZIP; MAX_ENTRIES is their number
MAX_STAMPED_BYTES = 256 << 20  # of what a bare time-stamp is over
_IN_MEMORY = 4 << 20  # bytes of a container in an archive file
_UNKNOWN = "unknown"  # where a file that can't be read ended: nothing goes on there
_DEPEND_ON_TIME = {"certificate_path", "ocsp_response"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Judge containers (.asice), ZIP files of containers as nodes hand them out, receipts,"
        " archive files in the order of their chain, and bare time-stamps (--data), without any"
        " network but for the trust list. Exit code 0: all passed; 1: some failed or could not be"
        " judged; 2: bad usage, or a file that can't be read."
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="container, ZIP of containers, receipt, archive file, or with --data time-stamp",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="write the page that judges receipts and containers in a browser, and no more",
    )
    parser.add_argument(
        "--conf",
        metavar="DIR|ANCHOR|URL",
        help="the trust list of the containers' time: a folder in X-Road's layout, an anchor file,"
        " or a node's /verificationconf (its address, or the ZIP saved from there); a ZIP is"
        " believed as it is. A receipt brings its own and needs none; one that is given is used"
        " in its place",
    )
    parser.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="ANCHOR",
        help="an instance's anchor, whose operator you trust: a receipt's own trust list must be"
        " signed by it; once for each instance",
    )
    parser.add_argument(
        "--at",
        type=moment,
        metavar="TIME",
        help="the moment for which containers without time-stamp are judged, ISO 8601, UTC unless"
        " it says otherwise; default: now",
    )
    parser.add_argument(
        "--trust-lists",
        type=Path,
        metavar="DIR",
        help="in place of --conf: the history that a node keeps (trust-lists in its data folder or"
        " archive store); what is time-stamped is judged by the list of that moment",
    )
    beginning = parser.add_mutually_exclusive_group()
    beginning.add_argument(
        "-f", "--first", action="store_true", help="the archive file is the first of its group"
    )
    beginning.add_argument(
        "--previous", metavar="DIGEST", help="the last digest of the archive file before the first"
    )
    parser.add_argument(
        "--links-only",
        action="store_true",
        help="of archive files judge the chain alone, as X-Road's own verifier does; needs no"
        " trust list",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DATA", help="the files are time-stamps (RFC 3161) over this"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")


@dataclass(frozen=True, slots=True)
class _Judged:
    """One file's verdict; `problem` is a sentence when the file could not be read at all."""

    name: str
    verdict: ContainerVerdict | ReceiptVerdict | ArchiveReport | TimestampVerdict
    problem: str = ""

    @property
    def outcome(self) -> Outcome:
        if isinstance(self.verdict, TimestampVerdict):
            return self.verdict.check.outcome
        return self.verdict.verdict

    @property
    def containers(self) -> tuple[ContainerVerdict, ...]:
        verdict = self.verdict
        if isinstance(verdict, ContainerVerdict):
            return (verdict,)
        return tuple(verdict.containers.values()) if isinstance(verdict, ReceiptVerdict) else ()

    def as_json(self) -> dict[str, object]:
        if isinstance(self.verdict, ReceiptVerdict):
            return receipt_as_json(self.name, self.verdict)
        if isinstance(self.verdict, ArchiveReport):
            return archive_as_json(self.name, self.verdict)
        if isinstance(self.verdict, TimestampVerdict):
            return token_as_json(self.name, self.verdict)
        return container_as_json(self.name, self.verdict)

    def as_text(self) -> Iterator[str]:
        if isinstance(self.verdict, ReceiptVerdict):
            return receipt_as_text(self.name, self.verdict)
        if isinstance(self.verdict, ArchiveReport):
            return archive_as_text(self.name, self.verdict)
        if isinstance(self.verdict, TimestampVerdict):
            return token_as_text(self.name, self.verdict)
        return container_as_text(self.name, self.verdict)


@dataclass(frozen=True, slots=True)
class _Given:
    """What everything is judged by."""

    trust: TrustLists | None
    anchors: tuple[Anchor, ...]
    at: datetime
    links_only: bool = False
    data: bytes | None = None

    @property
    def conf(self) -> GlobalConf | None:
        """The one list that was given for everything, if one was."""
        return self.trust.conf if isinstance(self.trust, OneTrustList) else None


@dataclass(slots=True)
class _Chain:
    """Where the next archive file must go on; None while nobody said."""

    end: ArchiveEnd | None


def run(args: argparse.Namespace) -> int:
    """Judge every file and print each verdict as it comes."""
    if args.page is not None:
        return _write_page(args.page)
    if not args.files:
        return _refuse("name the files that are to be judged")
    try:
        anchors = tuple(map(load_anchor, args.anchor))
    except SacbeError as error:
        return _refuse(f"--anchor: {error}")
    try:
        trust = _load_trust(args, anchors)
    except SacbeError as error:
        return _refuse(f"{'--conf' if args.conf else '--trust-lists'}: {error}")
    try:
        data = None if args.data is None else _load_data(args.data)
    except (OSError, SacbeError) as error:
        return _refuse(f"--data: {error}")
    given = _Given(trust, anchors, args.at or datetime.now(UTC), args.links_only, data)
    chain = _Chain(START if args.first else None)
    if args.previous is not None:
        if not re.fullmatch("[0-9a-fA-F]{64,128}", args.previous):
            return _refuse("--previous: it is no digest in hexadecimal")
        chain.end = ArchiveEnd(args.previous.lower(), "")
    output = _Output(args.json, advise=args.at is None)
    for name in args.files:
        for judged in _judge_file(name, given, chain, output):
            output.tell(judged)
    return output.worst


@dataclass(slots=True)
class _Output:
    """Prints each verdict as it comes and remembers the worst exit code."""

    json: bool
    advise: bool
    worst: int = 0

    def tell(self, judged: _Judged) -> None:
        if judged.problem:
            self.worst = max(self.worst, _refuse(judged.problem))
        elif judged.outcome is not Outcome.PASSED:
            self.worst = max(self.worst, 1)
        if self.json:
            print(json.dumps(judged.as_json()), flush=True)
        elif not judged.problem:
            print("\n".join(judged.as_text()), flush=True)
            print(_advice(judged) if self.advise else "", flush=True)


def _load_trust(args: argparse.Namespace, anchors: tuple[Anchor, ...]) -> TrustLists | None:
    if args.conf is not None:
        return OneTrustList(load_trust_list(args.conf))
    if args.trust_lists is None:
        return None
    history = TrustListHistory(FolderFiles(args.trust_lists), anchors)
    if not history.versions:
        raise StorageError(f"{args.trust_lists} holds no history of trust lists")
    return history


def _load_data(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_STAMPED_BYTES + 1)
    if len(data) > MAX_STAMPED_BYTES:
        raise StorageError(f"{path} is larger than {MAX_STAMPED_BYTES} bytes")
    return data


def _write_page(target: Path) -> int:
    try:
        target.write_bytes(PAGE.read_bytes())
    except OSError as error:
        return _refuse(f"{target} can't be written: {error.strerror}")
    return 0


def _refuse(sentence: str) -> int:
    print(f"sacbe verify: {plain(sentence)}", file=sys.stderr, flush=True)
    return 2


# --- judging --------------------------------------------------------------------------------------


def _judge_file(name: str, given: _Given, chain: _Chain, output: _Output) -> Iterator[_Judged]:
    try:
        with Path(name).open("rb") as file:
            if given.data is not None:
                yield _judge_token(name, file, given.data, given)
                return
            if chain.end is not None or is_archive(file):
                yield _judge_archive(name, file, given, chain, output)
                return
            if is_receipt(file):
                yield _judge_receipt(name, file, given)
                return
            if given.trust is None:
                yield _unjudged(name, f"{name} is no receipt, so --conf must say what to judge by")
                return
            contained = _containers_inside(file)
            if not contained:
                yield _judge(name, file, given.trust, given.at)
            budget = _Budget(MAX_UNPACKED_BYTES)
            for entry in contained:
                part = f"{name}:{entry.name}"
                yield _judge_contained(part, file, entry, given.trust, given.at, budget)
                if budget.spent:
                    return
    except OSError as error:
        yield _unjudged(name, f"{name} can't be read: {error.strerror}")


def _unjudged(name: str, reason: str) -> _Judged:
    report = VerificationReport((indeterminate("container", "io_error", reason),))
    return _Judged(name, ContainerVerdict(report, None, None, None, ()), reason)


def _judge_receipt(name: str, file: BinaryIO, given: _Given) -> _Judged:
    try:
        receipt = parse_receipt(file)
    except MalformedMessage as error:
        return _Judged(name, unreadable_receipt(error))
    verdict = verify_receipt(receipt, given.at, anchors=given.anchors, conf=given.conf)
    return _Judged(name, verdict)


def _judge_archive(
    name: str, file: BinaryIO, given: _Given, chain: _Chain, output: _Output
) -> _Judged:
    """Tell every container of an archive file; the file itself with its place in the chain."""
    trust = None if given.links_only else given.trust
    if chain.end is None:
        text = f"{name} is an archive file: say with --first or --previous DIGEST where it goes on"
        return _unjudged(name, text)
    if trust is None and not given.links_only:
        text = f"{name} is an archive file: give --conf or --trust-lists, or --links-only"
        return _unjudged(name, text)

    def judge(container: Container) -> ContainerVerdict:
        if trust is None:
            raise ValueError("the containers are not judged")
        return judge_container(container, trust, given.at)

    def spool() -> BinaryIO:
        return cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY))

    def tell(container: ArchivedContainer) -> None:
        if trust is not None or container.linked.outcome is not Outcome.PASSED:
            output.tell(_contained(f"{name}:{container.name}", container))

    report = judge_archive(
        file,
        spool=spool,
        judge=None if trust is None else judge,
        previous=chain.end,
        name=Path(name).name,
        tell=tell,
    )
    chain.end = report.end or ArchiveEnd(_UNKNOWN, Path(name).name)
    return _Judged(name, report)


def _contained(name: str, container: ArchivedContainer) -> _Judged:
    """A container's verdict, with its link in front."""
    verdict = container.verdict or ContainerVerdict(VerificationReport(), None, None, None, ())
    checks = (container.linked, *verdict.report.checks)
    return _Judged(name, dataclasses.replace(verdict, report=VerificationReport(checks)))


def _judge_token(name: str, file: BinaryIO, data: bytes, given: _Given) -> _Judged:
    """A bare time-stamp, by the list of the moment that it states."""
    raw = file.read(MAX_TOKEN_BYTES + 1)
    try:
        moment = parse_timestamp(raw).gen_time
    except NotAsn1:
        moment = given.at
    if given.trust is None:
        return _unjudged(name, f"{name}: give --conf or --trust-lists")
    conf = given.trust.at(moment)
    if conf is None:
        check = indeterminate("trust_list", "no_trust_list", given.trust.why_none(moment))
        return _Judged(name, TimestampVerdict(check, None, ""))
    tsas = [tsa.certificate for i in conf.instances.values() for tsa in i.shared.approved_tsas]
    return _Judged(name, check_timestamp(raw, data, tsas))


@dataclass(slots=True)
class _Budget:
    """What all the containers in one ZIP may unpack to together, in bytes."""

    left: int
    spent: bool = False

    def take(self, size: int) -> None:
        """Raises BrokenZip when so much is not left."""
        if size > self.left:
            self.spent = True
            raise BrokenZip(
                f"The ZIP file's containers unpack to more than {MAX_UNPACKED_BYTES} bytes;"
                " nothing from here on is judged, so judge them in smaller groups"
            )
        self.left -= size


def _unpacked_size(container: BinaryIO) -> int:
    """What a container unpacks to; nothing when its ZIP is broken, which its verdict will say."""
    with suppress(MalformedMessage):
        return sum(entry.size for entry in read_entries(container))
    return 0


def _containers_inside(file: BinaryIO) -> tuple[ZipEntry, ...]:
    """The containers in a ZIP of containers; none for a container or what is no sound ZIP."""
    with suppress(MalformedMessage):
        entries = read_entries(file)
        if not any(entry.name == "mimetype" for entry in entries):
            return tuple(entry for entry in entries if entry.name.endswith(".asice"))
    return ()


def _judge(name: str, file: BinaryIO, trust: TrustLists, at: datetime) -> _Judged:
    try:
        container = parse_container(file)
    except MalformedMessage as error:
        return _Judged(name, unreadable(error))
    return _Judged(name, judge_container(container, trust, at))


def _judge_contained(
    name: str, file: BinaryIO, entry: ZipEntry, trust: TrustLists, at: datetime, budget: _Budget
) -> _Judged:
    unpacking = Unpacking(file, entry)
    with tempfile.TemporaryFile() as copy:
        try:
            budget.take(entry.size)
            for chunk in unpacking.chunks():
                copy.write(chunk)
            if unpacking.damage:
                raise BrokenZip(unpacking.damage[0])
            budget.take(_unpacked_size(copy))
        except BrokenZip as error:
            return _Judged(name, unreadable(error))
        return _judge(name, copy, trust, at)


# --- printing -------------------------------------------------------------------------------------


def _advice(judged: _Judged) -> str:
    """What to try with a container that was judged for now, long after its time; a line."""
    undated = [
        found for found in judged.containers if not found.timestamp and found.signed_at is not None
    ]
    checks = [check for found in judged.containers for check in found.report.checks]
    failed = {check.name for check in checks if check.outcome is Outcome.FAILED}
    if undated and failed and failed <= _DEPEND_ON_TIME:
        when = time_text(undated[0].signed_at)
        return f"  try         --at {when}, when the signer says it was signed\n"
    return ""
