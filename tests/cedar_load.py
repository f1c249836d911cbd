"""What a decision by policies costs.

    python -m tests.cedar_load [POLICIES …]

Half of the policies are for the asked service or for all, the others for other services.
"""

import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from node.messages.intent import Intent
from node.once.enforcement.policy import CallFacts
from node.once.policy.cedar import CedarPolicies, open_policies
from trust.ids import ClientId, GlobalGroupId, ServiceId

_GROUPS = (GlobalGroupId("EX", "towns"),)
_FACTS = CallFacts(
    client=ClientId("EX", "MUN", "2000", "portal"),
    service=ServiceId(ClientId("EX", "GOV", "1000", "persons"), "register"),
    method="GET",
    path="/persons/1",
    intent=Intent("urn:x:benefit", "Act"),
    grant=7,
    terms=True,
    fields=("name",),
    about_person=True,
    at=datetime(2026, 11, 21, 9, tzinfo=UTC),
)
_CALLS = 2000


def _text(policies: int) -> str:
    lines = ["permit(principal, action, resource);"]
    for number in range(policies // 2):
        lines.append(
            f'forbid(principal in Sacbe::Member::"EX/MUN/{number}", action, resource)'
            ' when { context.purpose == "urn:x:other" };'
        )
        lines.append(
            "forbid(principal, action,"
            f' resource == Sacbe::Service::"EX/GOV/{number}/x/y") when {{ context.hour < 6 }};'
        )
    return "\n".join(lines)


async def _measure(policies: CedarPolicies) -> float:
    """Microseconds of a decision."""
    assert await policies.judge(_FACTS, _GROUPS) is None
    begin = time.perf_counter()
    for number in range(_CALLS):
        await policies.judge(replace(_FACTS, path=f"/persons/{number}"), _GROUPS)
    return (time.perf_counter() - begin) / _CALLS * 1e6


def main() -> None:
    """Print a line for each number of policies."""
    for count in map(int, sys.argv[1:] or ("2", "50", "200", "2000")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "all.cedar").write_text(_text(count), encoding="utf-8")
            begin = time.perf_counter()
            policies = open_policies(folder)
            read = time.perf_counter() - begin
            cost = asyncio.run(_measure(policies))
        told = f"{count:6} policies: read in {read * 1000:.0f} ms, {cost:.0f} µs a decision\n"
        sys.stdout.write(told)


if __name__ == "__main__":
    main()
