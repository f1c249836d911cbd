"""Judge signed containers offline."""

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
from scripts.trustlist import load_trust_list
from trust.errors import MalformedMessage, SacbeError
from trust.evidence.asic import parse_container
from trust.evidence.container import ContainerVerdict, unreadable, verify_container
from trust.evidence.zipreader import MAX_TOTAL_BYTES, BrokenZip, Unpacking, ZipEntry, read_entries
from trust.globalconf import GlobalConf
from trust.report import Check, Outcome, VerificationReport, indeterminate

_MARKS = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAILED",
    Outcome.INDETERMINATE: "unclear",
    Outcome.WARNING: "note",
    Outcome.SKIPPED: "skipped",
}

MAX_UNPACKED_BYTES = MAX_TOTAL_BYTES  # of all containers in one ZIP; MAX_ENTRIES is their number
_DEPEND_ON_TIME = {"certificate_path", "ocsp_response"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Judge containers (.asice), or ZIP files of containers as nodes hand them out, without any"
        " network but for the trust list. Exit code 0: all passed; 1: some failed or could not be"
        " judged; 2: bad usage, or a file that can't be read."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="container, or ZIP of containers")
    parser.add_argument(
        "--conf",
        required=True,
        metavar="DIR|ANCHOR|URL",
        help="the trust list of the containers' time: a folder in X-Road's layout, an anchor file,"
        " or a node's /verificationconf (its address, or the ZIP saved from there); a ZIP is"
        " believed as it is",
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
    verdict: ContainerVerdict
    problem: str = ""


def run(args: argparse.Namespace) -> int:
    """Judge every file and print each verdict as it comes."""
    try:
        conf = load_trust_list(args.conf)
    except SacbeError as error:
        return _refuse(f"--conf: {error}")
    at = args.at or datetime.now(UTC)
    worst = 0
    for name in args.files:
        for judged in _judge_file(name, conf, at):
            if judged.problem:
                worst = max(worst, _refuse(judged.problem))
            elif judged.verdict.verdict is not Outcome.PASSED:
                worst = max(worst, 1)
            if args.json:
                print(json.dumps(_as_json(judged)), flush=True)
            elif not judged.problem:
                print("\n".join(_as_text(judged)), flush=True)
                print(_advice(judged.verdict) if args.at is None else "", flush=True)
    return worst


def _refuse(sentence: str) -> int:
    print(f"sacbe verify: {_plain(sentence)}", file=sys.stderr, flush=True)
    return 2


# --- judging --------------------------------------------------------------------------------------


def _judge_file(name: str, conf: GlobalConf, at: datetime) -> Iterator[_Judged]:
    try:
        with Path(name).open("rb") as file:
            contained = _containers_inside(file)
            if not contained:
                yield _judge(name, file, conf, at)
            budget = _Budget(MAX_UNPACKED_BYTES)
            for entry in contained:
                yield _judge_contained(f"{name}:{entry.name}", file, entry, conf, at, budget)
                if budget.spent:
                    return
    except OSError as error:
        reason = f"{name} can't be read: {error.strerror}"
        report = VerificationReport((indeterminate("container", "io_error", reason),))
        yield _Judged(name, ContainerVerdict(report, None, None, None, ()), reason)


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


def _as_json(judged: _Judged) -> dict[str, object]:
    verdict = judged.verdict
    return {
        "file": judged.name,
        "verdict": verdict.verdict.value,
        "code": verdict.code or None,
        "reason": verdict.reason or None,
        "signer": verdict.signer and "/".join(verdict.signer.parts),
        "signed_at": _time(verdict.signed_at),
        "timestamp": _time(verdict.timestamp),
        "parts": [{"name": part.name, "covered": part.covered} for part in verdict.parts],
        "checks": [
            {"name": check.name, "outcome": check.outcome.value, "detail": check.detail}
            for check in verdict.report.checks
        ],
    }


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _as_text(judged: _Judged) -> Iterator[str]:
    verdict = judged.verdict
    yield f"{verdict.verdict.upper()}  {_plain(judged.name)}"
    if verdict.reason:
        yield f"  because     {_plain(verdict.reason)} ({verdict.code})"
    if verdict.signer:
        yield f"  signed by   {_plain('/'.join(verdict.signer.parts))}"
    if verdict.signed_at:
        yield f"  signed at   {_time(verdict.signed_at)}, as the signer says"
    if verdict.timestamp:
        yield f"  time-stamp  {_time(verdict.timestamp)}"
    for part in verdict.parts:
        yield f"  part        {_plain(part.name)}: {'signed' if part.covered else 'not proven'}"
    for check in verdict.report.checks:
        yield _check_line(check)


def _advice(verdict: ContainerVerdict) -> str:
    """What to try with a container that was judged for now, long after its time; a line."""
    undated = verdict.timestamp is None and verdict.signed_at is not None
    checks = verdict.report.checks
    failed = {check.name for check in checks if check.outcome is Outcome.FAILED}
    if undated and failed and failed <= _DEPEND_ON_TIME:
        return (
            f"  try         --at {_time(verdict.signed_at)}, when the signer says it was signed\n"
        )
    return ""


def _check_line(check: Check) -> str:
    mark = _MARKS[check.outcome]
    return f"  {mark:<10}  {check.name.replace('_', ' ')}: {_plain(check.detail)}".rstrip(": ")


def _plain(text: str) -> str:
    """Text from a container, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
