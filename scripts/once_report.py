"""`sacbe once report`: what once-only came to at a node, by procedure, institution or month."""

import argparse
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from catalog.terms import Refusal
from node.once.figures import By, Figures, figures_of
from node.settings import NodeSettings
from scripts.arguments import Actions, add_action, add_config, moment
from scripts.node_database import node_database
from trust.errors import SacbeError

_A_YEAR = timedelta(days=365)
_NUMBERS = ("answers", "given", "withheld", "questions", "fetched", "spared")
_HEAD = ("ANSWERS", "GIVEN", "WITHHELD", "QUESTIONS", "FETCHED", "SPARED", "REFUSED")
_REASONS = (*(reason.value for reason in Refusal), "other")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for more than text


def add_report(actions: Actions) -> None:
    """Declare the action and its options."""
    action = add_action(
        actions, "report", "show facts given and withheld, refusals, submissions spared"
    )
    add_config(action, "node.toml")
    action.add_argument(
        "--since", type=moment, metavar="TIME", help="default: a year before --until"
    )
    action.add_argument("--until", type=moment, metavar="TIME", help="not included; default: now")
    action.add_argument(
        "--by", type=By, choices=tuple(By), default=By.PROCEDURE, help="default: %(default)s"
    )
    form = action.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON instead of a table")
    form.add_argument("--csv", action="store_true", help="as CSV instead of a table")


async def tell_report(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    """Print the figures; the node may run or not."""
    until = arguments.until or datetime.now(UTC)
    since = arguments.since or until - _A_YEAR
    if since >= until:
        raise SacbeError(f"--since {since.isoformat()} is not before --until {until.isoformat()}")
    async with node_database(settings) as pool:
        found = await figures_of(pool, since, until, arguments.by)
    if arguments.json:
        print(_json(found, since, until, arguments.by))
    elif arguments.csv:
        print(_csv(found, arguments.by), end="")
    else:
        print(f"From {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S} UTC")
        print(*_table(found, arguments.by), sep="\n")
    return 0


def _json(found: Sequence[Figures], since: datetime, until: datetime, by: By) -> str:
    groups = [asdict(one) for one in found]
    whole = {"from": since.isoformat(), "to": until.isoformat(), "by": by.value, "groups": groups}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _csv(found: Sequence[Figures], by: By) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([by.value, *_NUMBERS, *(f"refused_{one}" for one in _REASONS)])
    for one in found:
        refused = [one.refused.get(reason, 0) for reason in _REASONS]
        writer.writerow([_cell(one.group), *_numbers(one), *refused])
    return out.getvalue()


def _cell(text: str) -> str:
    """Text that others sent, which no spreadsheet may take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _numbers(one: Figures) -> list[int]:
    return [one.answers, one.given, one.withheld, one.questions, one.fetched, one.spared]


def _table(found: Sequence[Figures], by: By) -> list[str]:
    if not found:
        return ["No use was recorded in this time."]
    head = (*_HEAD, by.value.upper())
    lines = [head, *(_cells(one) for one in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    table = []
    for number, line in enumerate(lines):
        numbers = [cell.rjust(width) for cell, width in zip(line, widths, strict=False)]
        table.append("  ".join([*numbers, line[-1]]))
        if number:
            table += _reasons(found[number - 1])
    return table


def _cells(one: Figures) -> tuple[str, ...]:
    refused = sum(one.refused.values())
    name = "".join(letter if letter.isprintable() else "\ufffd" for letter in one.group)
    return (*(str(number) for number in _numbers(one)), str(refused), name or "(none)")


def _reasons(one: Figures) -> list[str]:
    ours = [f"{count:>10} refused: {reason}" for reason, count in sorted(one.refused.items())]
    theirs = [
        f"{count:>10} refused to us: {reason}" for reason, count in sorted(one.told_no.items())
    ]
    return ours + theirs
