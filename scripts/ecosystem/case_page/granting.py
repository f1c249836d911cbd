"""The commands by which two institutions change what a clerk may see, to be copied."""

import shlex
from collections.abc import Sequence

from scripts.ecosystem import concepts as c
from scripts.ecosystem.case_page.cases import Case
from scripts.ecosystem.case_page.places import Places
from scripts.ecosystem.institutions import ASSESSMENTS, CASES, MUNI, TAX

DEBT_ENDPOINT = "GET /persons/*/debt"


def request_words(config: str) -> tuple[str, ...]:
    """What `sacbe` is told to ask the Tax Authority for debts, for school benefits."""
    return (
        "grant", "request", "--config", config, "--client", CASES.colons,
        "--service", ASSESSMENTS.colons, "--endpoint", DEBT_ENDPOINT, "--fields", "debt",
        "--purposes", c.SCHOOL_BENEFIT_PURPOSE, "--legal-basis", c.SCHOOL_BENEFIT_LAW,
        "--reason", "Benefits are not paid to who owes taxes",
    )  # fmt: skip


def grant_commands(case: Case, places: Places) -> Sequence[str]:
    """Lines for a shell; none when no right to debts is missing, or nobody is there to give it."""
    wanted = (c.TAX_DEBT, "no_right") in {(one.concept, one.reason) for one in case.answer.missing}
    if not wanted or TAX.key not in places.nodes:
        return ()
    asker, giver = places.node(MUNI).config, places.node(TAX).config
    lines = (
        request_words(asker),
        ("grant", "list", "--config", giver),
        ("grant", "approve", "1", "--config", giver),
    )
    return [shlex.join([*places.command, *line]) for line in lines]
