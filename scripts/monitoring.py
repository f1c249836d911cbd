"""What a node carried: exchanges by service, failures by code, and how long they took."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from node.monitoring.report import ServiceSummary, summarize
from node.settings import NodeSettings
from scripts.arguments import Actions, add_action, add_config, moment, service_id
from scripts.node_database import node_database

_A_DAY = timedelta(days=1)
_HEAD = ("REQUESTS", "FAILED", "MEAN ms", "95% ms", "MAX ms", "ROLE", "SERVICE AND ENDPOINT")


def add_monitoring(actions: Actions) -> None:
    """Declare the action and its options."""
    action = add_action(actions, "monitoring", "show exchanges by service, failures and durations")
    add_config(action, "node.toml")
    action.add_argument(
        "--from", dest="since", type=moment, metavar="TIME", help="default: a day before --to"
    )
    action.add_argument(
        "--to", dest="until", type=moment, metavar="TIME", help="not included; default: now"
    )
    action.add_argument(
        "--service",
        type=service_id,
        metavar="SERVICE",
        help="only INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]",
    )
    action.add_argument("--json", action="store_true", help="as JSON instead of a table")


async def tell_monitoring(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    """Print the summary; the node may run or not."""
    until = arguments.until or datetime.now(UTC)
    since = arguments.since or until - _A_DAY
    async with node_database(settings) as pool:
        found = await summarize(pool, since, until, arguments.service)
    if arguments.json:
        print(_json(found, since, until))
    else:
        print(f"From {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S} UTC")
        print(*_table(found), sep="\n")
    return 0


def _json(found: Sequence[ServiceSummary], since: datetime, until: datetime) -> str:
    services = [asdict(summary) for summary in found]
    whole = {"from": since.isoformat(), "to": until.isoformat(), "services": services}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _table(found: Sequence[ServiceSummary]) -> list[str]:
    if not found:
        return ["No exchange was recorded in this time."]
    lines = [_HEAD, *(_cells(summary) for summary in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    table = []
    for number, line in enumerate(lines):
        numbers = [cell.rjust(width) for cell, width in zip(line, widths, strict=False)]
        table.append("  ".join([*numbers, line[5].ljust(8), line[6]]))
        if number:
            codes = found[number - 1].codes.items()
            table += [f"{count:>{widths[0] + widths[1] + 2}}  {code}" for code, count in codes]
    return table


def _cells(summary: ServiceSummary) -> tuple[str, ...]:
    name = f"{summary.service or '(none)'} {summary.endpoint}".rstrip()
    return (
        str(summary.requests), str(summary.failures), f"{summary.mean:.0f}",
        str(summary.most_within), str(summary.longest), summary.role, name,
    )  # fmt: skip
