"""Measure exchanges through two nodes, beside the same load through two plain nginx hops."""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.exchange.settings import SigningMode
from scripts.arguments import whole_number
from scripts.measuring.figures import Case, Round
from scripts.measuring.hops import find_nginx
from scripts.measuring.load import BODY_SIZES
from scripts.measuring.report import Conditions, as_json, as_text
from scripts.measuring.ways import Effort, NginxWay, NodesWay, Way, answering_system
from scripts.service import run_service
from trust.pki.keyfiles import open_folder
from trust.pki.keys import KEY_TYPES, KeyType

_WARM_UP = 0.5  # seconds of every round
_REMOVALS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=_seconds, default=5.0, metavar="N",
        help="how long each case is measured, and as long through nginx (default %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=whole_number(1, 1000), default=3, metavar="N",
        help="into how many turns that is divided; nodes and nginx alternate (default %(default)d)",
    )  # fmt: skip
    parser.add_argument(
        "--connections", type=whole_number(1, 1000), default=16, metavar="N",
        help="connections that ask without pause (default %(default)d)",
    )  # fmt: skip
    parser.add_argument(
        "--keys", type=_some_of(KEY_TYPES), default=["p256", "rsa2048"], metavar="LIST",
        help=f"kinds of keys, separated by commas: {', '.join(KEY_TYPES)} (default p256,rsa2048)",
    )  # fmt: skip
    parser.add_argument(
        "--bodies", type=_some_of(tuple(BODY_SIZES)), default=list(BODY_SIZES), metavar="LIST",
        help=f"sizes of bodies: {', '.join(BODY_SIZES)} (default all)",
    )  # fmt: skip
    parser.add_argument(
        "--signing", choices=[mode.value for mode in SigningMode], default=SigningMode.AUTO.value,
        help="how both nodes sign, as [signing] mode in their settings (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--dir", type=Path, metavar="DIR",
        help="where the nodes and databases live meanwhile (default: the folder for such files)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) <= 3600:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to 3600")


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Read a list of these words, separated by commas."""

    def words(text: str) -> list[str]:
        chosen = list(dict.fromkeys(text.split(",")))
        if unknown := [one for one in chosen if one not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return chosen

    return words


def run(arguments: argparse.Namespace) -> int:
    """Measure and tell; 1 when an exchange failed."""
    return run_service(_measure_all(arguments), stopped=130)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be measured.

    Attributes:
        nginx: the program; None where it is not installed.
    """

    keys: Sequence[KeyType]
    bodies: Sequence[str]
    rounds: int
    effort: Effort
    nginx: str | None
    signing: SigningMode


async def _measure_all(arguments: argparse.Namespace) -> int:
    effort = Effort(arguments.connections, _WARM_UP, arguments.seconds / arguments.rounds)
    signing = SigningMode(arguments.signing)
    plan = _Plan(arguments.keys, arguments.bodies, arguments.rounds, effort, find_nginx(), signing)
    cases: list[Case] = []
    with _temporary_folder(arguments.dir) as folder:
        for keys in plan.keys:
            cases += await _measure_keys(folder / keys, keys, plan)
    conditions = Conditions(
        arguments.seconds, plan.rounds, arguments.connections, plan.nginx is not None, signing
    )
    if arguments.json:
        print(json.dumps(as_json(cases, conditions)))
    else:
        print(as_text(cases, conditions))
    return 1 if any(case.failure for case in cases) else 0


@contextmanager
def _temporary_folder(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sacbe-bench-", dir=parent))
    try:
        yield folder
    finally:
        for _ in range(_REMOVALS):  # a child of a process that was killed may write for a moment
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.1)


async def _measure_keys(folder: Path, keys: KeyType, plan: _Plan) -> list[Case]:
    """All sizes of bodies with one kind of key."""
    open_folder(folder)
    _tell(f"{keys}: starting two nodes …")
    cases = []
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(answering_system())
        nodes = await stack.enter_async_context(
            NodesWay.opened(folder / "nodes", keys, system, plan.signing)
        )
        hops = None
        if plan.nginx is not None:
            hops = await stack.enter_async_context(
                NginxWay.opened(plan.nginx, folder / "nginx", keys, system)
            )
        for body in plan.bodies:
            case = Case(keys, body)
            cases.append(case)
            for number in range(plan.rounds):
                _tell(f"{keys}: bodies {body}, round {number + 1} of {plan.rounds}")
                await _round(case, nodes, hops, plan.effort, nodes_first=number % 2 == 0)
            case.rss_mb = nodes.resident_mb
    return cases


async def _round(
    case: Case, nodes: NodesWay, hops: NginxWay | None, effort: Effort, *, nodes_first: bool
) -> None:
    """Both ways, one after the other; who is first changes, so that a drift hits both alike."""
    turns: list[tuple[Way, list[Round]]] = [(nodes, case.nodes)]
    if hops is not None:
        turns.insert(1 if nodes_first else 0, (hops, case.nginx))
    for way, rounds in turns:
        rounds.append(await way.measure(case.body, effort))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
