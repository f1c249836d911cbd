"""Judge signed containers and receipts offline."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from scripts.arguments import moment
from scripts.trustlist import load_anchor, load_trust_list
from scripts.verdict_text import (
    container_as_json,
    container_as_text,
    plain,
    receipt_as_json,
    receipt_as_text,
    time_text,
)
from trust.errors import MalformedMessage, SacbeError
from trust.evidence.asic import parse_container
from trust.evidence.container import ContainerVerdict, unreadable, verify_container
from trust.evidence.zipreader import MAX_TOTAL_BYTES, BrokenZip, Unpacking, ZipEntry, read_entries
from trust.globalconf import Anchor, GlobalConf
from trust.receipts.receipt_verdict import ReceiptVerdict, unreadable_receipt, verify_receipt
from trust.receipts.receipts import is_receipt, parse_receipt
from trust.report import Outcome, VerificationReport, indeterminate

MAX_UNPACKED_BYTES = MAX_TOTAL_BYTES  # of all containers in one ZIP; MAX_ENTRIES is their number
_DEPEND_ON_TIME = {"certificate_path", "ocsp_response"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Judge containers (.asice), ZIP files of containers as nodes hand them out, and receipts,"
        " without any network but for the trust list. Exit code 0: all passed; 1: some failed or"
        " could not be judged; 2: bad usage, or a file that can't be read."
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="container, ZIP of containers, or receipt"
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
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")


@dataclass(frozen=True, slots=True)
class _Judged:
    """One file's verdict; `problem` is a sentence when the file could not be read at all."""

    name: str
    verdict: ContainerVerdict | ReceiptVerdict
    problem: str = ""

    @property
    def containers(self) -> tuple[ContainerVerdict, ...]:
        verdict = self.verdict
        if isinstance(verdict, ContainerVerdict):
            return (verdict,)
        return tuple(verdict.containers.values())

    def as_json(self) -> dict[str, object]:
        if isinstance(self.verdict, ReceiptVerdict):
            return receipt_as_json(self.name, self.verdict)
        return container_as_json(self.name, self.verdict)

    def as_text(self) -> Iterator[str]:
        if isinstance(self.verdict, ReceiptVerdict):
            return receipt_as_text(self.name, self.verdict)
        return container_as_text(self.name, self.verdict)


@dataclass(frozen=True, slots=True)
class _Given:
    """What everything is judged by."""

    conf: GlobalConf | None
    anchors: tuple[Anchor, ...]
    at: datetime


def run(args: argparse.Namespace) -> int:
    """Judge every file and print each verdict as it comes."""
    try:
        conf = None if args.conf is None else load_trust_list(args.conf)
    except SacbeError as error:
        return _refuse(f"--conf: {error}")
    try:
        anchors = tuple(map(load_anchor, args.anchor))
    except SacbeError as error:
        return _refuse(f"--anchor: {error}")
    given = _Given(conf, anchors, args.at or datetime.now(UTC))
    worst = 0
    for name in args.files:
        for judged in _judge_file(name, given):
            if judged.problem:
                worst = max(worst, _refuse(judged.problem))
            elif judged.verdict.verdict is not Outcome.PASSED:
                worst = max(worst, 1)
            if args.json:
                print(json.dumps(judged.as_json()), flush=True)
            elif not judged.problem:
                print("\n".join(judged.as_text()), flush=True)
                print(_advice(judged) if args.at is None else "", flush=True)
    return worst


def _refuse(sentence: str) -> int:
    print(f"sacbe verify: {plain(sentence)}", file=sys.stderr, flush=True)
    return 2


# --- judging --------------------------------------------------------------------------------------


def _judge_file(name: str, given: _Given) -> Iterator[_Judged]:
    try:
        with Path(name).open("rb") as file:
            if is_receipt(file):
                yield _judge_receipt(name, file, given)
                return
            if given.conf is None:
                yield _unjudged(name, f"{name} is no receipt, so --conf must say what to judge by")
                return
            contained = _containers_inside(file)
            if not contained:
                yield _judge(name, file, given.conf, given.at)
            budget = _Budget(MAX_UNPACKED_BYTES)
            for entry in contained:
                part = f"{name}:{entry.name}"
                yield _judge_contained(part, file, entry, given.conf, given.at, budget)
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


def _judge(name: str, file: BinaryIO, conf: GlobalConf, at: datetime) -> _Judged:
    try:
        container = parse_container(file)
    except MalformedMessage as error:
        return _Judged(name, unreadable(error))
    return _Judged(name, verify_container(container, conf, at))


def _judge_contained(
    name: str, file: BinaryIO, entry: ZipEntry, conf: GlobalConf, at: datetime, budget: _Budget
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
        return _judge(name, copy, conf, at)


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
