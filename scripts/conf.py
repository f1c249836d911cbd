"""Judge a global configuration: an on-disk tree, a signed directory with its parts, an anchor."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from scripts.arguments import moment
from scripts.trustlist import load_anchor
from trust.configuration.confjudge import (
    ConfigurationVerdict,
    configurations_in,
    judge_configuration,
)
from trust.configuration.conftypes import write_time
from trust.errors import MalformedMessage, StorageError
from trust.report import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = subparsers.add_parser(
        "check",
        help="judge trees, signed directories and anchors",
        description=(
            "Judge configurations without any network: folders in X-Road's layout, signed"
            " directories with their parts beside them, anchors. Exit code 0: all passed; 1: some"
            " failed or could not be judged; 2: bad usage, or a file that can't be read."
        ),
    )
    check.add_argument("paths", nargs="+", metavar="DIR|FILE", help="what is judged")
    check.add_argument(
        "--anchor",
        metavar="ANCHOR",
        help="the anchor file with whose certificates a directory must be signed; without it,"
        " those in the shared parameters beside the directory, which proves no origin",
    )
    check.add_argument(
        "--at",
        type=moment,
        metavar="TIME",
        help="the moment at which it must not have expired, ISO 8601, UTC unless it says"
        " otherwise; default: now",
    )
    check.add_argument("--json", action="store_true", help="one JSON object per line and file")


def run(args: argparse.Namespace) -> int:
    """Judge every path and print each verdict as it comes."""
    try:
        anchor = None if args.anchor is None else load_anchor(args.anchor)
    except (MalformedMessage, StorageError) as error:
        return _refuse(f"--anchor: {error}")
    at = args.at or datetime.now(UTC)
    worst = 0
    for path in (found for name in args.paths for found in configurations_in(Path(name))):
        name = str(path)
        try:
            verdict = judge_configuration(path, anchor, at)
        except StorageError as error:
            worst = _refuse(str(error))
            if not args.json:
                continue
            verdict = ConfigurationVerdict(Outcome.INDETERMINATE, "io_error", str(error))
        if verdict.verdict is not Outcome.PASSED:
            worst = max(worst, 1)
        print(json.dumps(_as_json(name, verdict)) if args.json else _as_text(name, verdict))
    return worst


def _refuse(sentence: str) -> int:
    print(f"sacbe conf check: {_plain(sentence)}", file=sys.stderr, flush=True)
    return 2


def _as_json(name: str, verdict: ConfigurationVerdict) -> dict[str, object]:
    return {
        "file": name,
        "verdict": verdict.verdict.value,
        "code": verdict.code or None,
        "reason": verdict.reason or None,
        "instance": verdict.instance or None,
        "version": verdict.version,
        "expires": None if verdict.expires is None else write_time(verdict.expires),
    }


def _as_text(name: str, verdict: ConfigurationVerdict) -> str:
    lines = [f"{verdict.verdict.upper()}  {_plain(name)}"]
    if verdict.reason:
        code = f" ({verdict.code})" if verdict.code else ""
        lines.append(f"  {'because' if code else 'note'}   {_plain(verdict.reason)}{code}")
    if verdict.instance:
        version = "" if verdict.version is None else f", version {verdict.version}"
        lines.append(f"  instance  {_plain(verdict.instance)}{version}")
    if verdict.expires is not None:
        lines.append(f"  expires   {write_time(verdict.expires)}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text from a file, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
