"""Compare what this node and another one exchanged in a day, by roots; name where they differ.

The running node does it, for it has the keys and the connections; this command writes down what is
wanted in the node's database and waits.
"""

import argparse
import asyncio
import sys
import time
import uuid
from datetime import UTC, date, datetime, timedelta

import msgspec

from node.reconciliation.wishes import FoundDifference, Outcome, Wish, Wishes
from node.settings import NodeSettings
from scripts.arguments import add_config, server_id
from scripts.node import load_node_settings
from scripts.node_database import node_database
from scripts.service import run_service
from trust.database import Pool
from trust.errors import SacbeError
from trust.evidence.exchange_tree import DAY_SECONDS

_POLL = 0.2  # seconds
_TAKEN = 30.0  # seconds until a node has begun, one comparison at a time
_SETTLED = 5  # seconds; exchanges of a day that is not over are compared up to there
_TOLD = 10  # lost answers that are listed


class NobodyCompares(SacbeError):
    """No process of the node took the task."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config(parser, "node.toml")
    parser.add_argument(
        "--peer",
        type=server_id,
        required=True,
        metavar="SERVER",
        help="the other node, INSTANCE:CLASS:CODE:SERVER",
    )
    parser.add_argument(
        "--day",
        type=_day,
        required=True,
        metavar="YYYY-MM-DD",
        help="in UTC; of a day that is not over: up to now",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day as 2026-03-02") from error


def run(arguments: argparse.Namespace) -> int:
    """0: the two nodes hold the same; 1: they differ; 2: they could not be compared."""
    until = _until(arguments.day, datetime.now(UTC))
    if until <= 0:
        print(f"sacbe reconcile: {arguments.day} has not begun", file=sys.stderr)
        return 2
    settings = load_node_settings(arguments.config)
    wish = Wish(uuid.uuid4(), arguments.peer, arguments.day, until)
    return run_service(_reconcile(settings, wish, as_json=arguments.json), stopped=130)


def _until(day: date, now: datetime) -> int:
    """The second of the day up to which exchanges are compared; all of a day that is over."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    settled = now - timedelta(seconds=_SETTLED) - begin
    return min(DAY_SECONDS, int(settled.total_seconds()))


async def _reconcile(settings: NodeSettings, wish: Wish, *, as_json: bool) -> int:
    async with node_database(settings) as pool:
        outcome = await compare(pool, wish)
    print(_json(wish, outcome) if as_json else "\n".join(_lines(wish, outcome)), flush=True)
    if outcome.problem:
        return 2
    return 0 if outcome.equal else 1


async def compare(pool: Pool, wish: Wish) -> Outcome:
    """Have the running node compare; raises StorageError, NobodyCompares."""
    wishes = Wishes(pool)
    await wishes.make(wish, datetime.now(UTC))
    deadline = time.monotonic() + _TAKEN
    told = ""
    try:
        while True:
            progress = await wishes.look(wish.id, datetime.now(UTC))
            if progress.outcome is not None:
                return progress.outcome
            if progress.text != told:
                told = progress.text
                print(f"reconcile: {told}", file=sys.stderr, flush=True)
            if not progress.taken and time.monotonic() > deadline:
                raise NobodyCompares(
                    f"No node has begun within {_TAKEN:.0f} s: is it running on this database, and"
                    " not at work on another comparison?"
                )
            await asyncio.sleep(_POLL)
    finally:
        await wishes.withdraw(wish.id)


# --- what is printed ------------------------------------------------------------------------------


def _json(wish: Wish, outcome: Outcome) -> str:
    found: dict[str, object] = {
        "peer": wish.peer.colons,
        "day": wish.day.isoformat(),
        "until": _moment(wish, wish.until).isoformat(),
        **msgspec.to_builtins(outcome),
    }
    return msgspec.json.format(msgspec.json.encode(found)).decode()


def _lines(wish: Wish, outcome: Outcome) -> list[str]:
    if outcome.problem:
        return [f"Not compared: {outcome.problem}"]
    span = f"{wish.day} (UTC)"
    if wish.until < DAY_SECONDS:
        span += f" up to {_moment(wish, wish.until):%H:%M:%S}"
    lines = [
        f"{span} with {wish.peer.colons}",
        f"  this node   {outcome.exchanges} exchanges, root {outcome.root}",
        f"  other node  {outcome.peer_exchanges} exchanges, root {outcome.peer_root}",
    ]
    if outcome.equal:
        return [*lines, "Equal."]
    if outcome.difference is not None:
        lines += ["DIFFERENT. The first exchange:", *_told(outcome.difference)]
    others = [one for one in outcome.lost if one != outcome.difference]
    if others:
        lines.append(f"Besides, {len(others)} answers are not at the node that asked:")
        lines += [line for one in others[:_TOLD] for line in _told(one)]
    return lines


def _told(found: FoundDifference) -> list[str]:
    return [
        f"  {found.exchange_id}, signed {found.signed:%Y-%m-%d %H:%M:%S}, asked by"
        f" {found.consumer}",
        f"    {found.text}",
    ]


def _moment(wish: Wish, second: int) -> datetime:
    begin = datetime(wish.day.year, wish.day.month, wish.day.day, tzinfo=UTC)
    return begin + timedelta(seconds=second)
