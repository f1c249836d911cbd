"""What proves a fact, judged: and what an auditor sees of all cases."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from catalog.central.faces.markup import Child, Markup, facts, join, link, table, tag, worded
from scripts.ecosystem.case_page.case_view import (
    case_address,
    full_name,
    moment,
    proof_address,
    service_name,
    value_text,
)
from scripts.ecosystem.case_page.cases import Case
from scripts.ecosystem.case_page.figures import NodeFigures, totals
from scripts.ecosystem.case_page.frame import Frame, commands, heading, notice
from scripts.ecosystem.case_page.places import Places
from scripts.ecosystem.case_page.proofs import Proof
from scripts.ecosystem.case_page.words import Words
from scripts.ecosystem.case_system import Fact
from trust.receipts.receipt_verdict import ReceiptVerdict, facts_as_json
from trust.report import Check, Outcome

_STYLES = {
    Outcome.PASSED: "good",
    Outcome.WARNING: "plain",
    Outcome.FAILED: "bad",
    Outcome.INDETERMINATE: "warn",
    Outcome.SKIPPED: "plain",
}
_MOST_FIELDS = 200  # of an answer that are shown
_SAID = {
    "message_id": "Message id",
    "client": "Who asked",
    "service": "Which service",
    "user": "Official",
    "issue": "Case",
    "represented_party": "On behalf of",
}


# --- one proof ------------------------------------------------------------------------------------


def proof_page(
    frame: Frame, case: Case, fact: Fact, proof: Proof, words: Words, places: Places
) -> str:
    file, verdict = receipt_name(fact), proof.verdict
    proven = ", ".join(
        f"{words.fact(one.concept)}: {value_text(one.value)}"
        for one in case.facts_of(fact.exchange_id)
    )
    return frame.page(
        "Proof",
        heading(f"Proof for case {case.number}", join("Signed answer: ", worded(fact.source_name))),
        _verdict(proof),
        facts(
            (
                ("It proves" if proof.good else "It should prove", worded(proven)),
                ("Exchange", tag("code", fact.exchange_id)),
                *_stated(verdict),
                ("In the node's log", [tag("p", worded(one)) for one in verdict.logged]),
            )
        ),
        tag("p", link(f"{proof_address(case, fact.exchange_id)}/receipt", "Download the receipt"),
            " and judge it yourself, on any machine, without a network:"),
        commands(verify_command(places, file)),
        _answered(proof),
        tag("h2", "Steps of the judgement"),
        steps(verdict.report.checks),
        _containers(verdict),
        tag("p", link(case_address(case), f"Back to case {case.number}")),
        here="/cases",
    )  # fmt: skip


def receipt_name(fact: Fact) -> str:
    """A file name that holds no more than letters, digits and hyphens before its end."""
    kept = "".join(one for one in fact.exchange_id if one.isalnum() or one == "-")[:80]
    return f"{kept or 'exchange'}.receipt"


def verify_command(places: Places, file: str) -> str:
    return shlex.join([*places.command, "verify", file, "--anchor", places.anchor])


def _verdict(proof: Proof) -> Markup:
    verdict = proof.verdict
    if proof.good:
        return notice(
            "good",
            tag("strong", "Passed."),
            "Both messages are signed by whom they name, time-stamped, and in the node's log."
            if verdict.logged
            else "Both messages are signed by whom they name.",
        )
    if verdict.verdict is Outcome.PASSED:
        text = tag("strong", "It holds, and proves something else.")
        return notice("bad", text, worded(proof.mismatch))
    code = tag("code", verdict.code)
    return notice("bad", tag("strong", verdict.verdict.value.capitalize(), "."),
                  join(worded(verdict.reason), " (", code, ")"))  # fmt: skip


def _answered(proof: Proof) -> Markup | None:
    """All that the signed answer holds."""
    if not proof.fields:
        return None
    shown = list(proof.fields.items())[:_MOST_FIELDS]
    rows = [(tag("code", path), worded(text)) for path, text in shown]
    rest = len(proof.fields) - len(shown)
    return join(
        tag("h2", "The signed answer, whole"),
        table(("Field", "Value"), rows, "As it left the registry"),
        tag("p", f"and {rest} more") if rest else None,
    )


def _stated(verdict: ReceiptVerdict) -> Iterable[tuple[str, Child]]:
    said: Mapping[str, object] = {} if verdict.facts is None else facts_as_json(verdict.facts)
    for name, text in said.items():
        yield _SAID.get(name, name), tag("code", str(text))


def steps(checks: Iterable[Check]) -> Markup:
    rows = [
        (
            one.name.replace("_", " "),
            tag("span", one.outcome.value, class_=f"mark {_STYLES[one.outcome]}"),
            worded(one.detail),
        )
        for one in checks
    ]
    return table(("Step", "Outcome", "What was found"), rows, "In the order they were made")


def _containers(verdict: ReceiptVerdict) -> Markup:
    return join(
        [
            tag(
                "details",
                tag("summary", f"{name}: {found.verdict.value}"),
                steps(found.report.checks),
            )
            for name, found in verdict.containers.items()
        ]
    )


# --- all of them ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """An exchange of a case with what came of judging it; `problem` says why nothing did."""

    case: Case
    fact: Fact
    proof: Proof | None
    problem: str = ""


def audit_page(
    frame: Frame,
    exchanges: Sequence[Judged],
    figures: Sequence[NodeFigures],
    words: Words,
    places: Places,
) -> str:
    head = ("Case", "Source", "Asked about", "Answered", "Verdict")
    rows = [_row(one) for one in exchanges]
    none = tag("p", "No case was opened yet. ", link("/", "Open one."))
    return frame.page(
        "Auditor",
        heading("The auditor", "Every exchange of the cases, judged"),
        tag(
            "p",
            "Each row is a receipt, fetched from the Municipality's node and judged here by the"
            " anchor of the instance alone: no node, registry or authority is asked whether it is"
            " right.",
            class_="lead",
        ),
        table(head, rows, "The latest case first") if rows else none,
        tag("h2", "Figures"),
        tag("p", "What each node counted, from what it keeps of every use of somebody's data."),
        _figures(figures, words),
        tag("h2", "Commands"),
        tag("p", "The same from a shell. The first judges the whole log of the Municipality's node,"
            " the others tell the figures of each node."),
        commands(*audit_commands(places)),
        here="/audit",
    )  # fmt: skip


def _row(one: Judged) -> tuple[Child, ...]:
    return (
        link(case_address(one.case), one.case.number),
        join(worded(one.fact.source_name), " ", tag("code", service_name(one.fact.source))),
        worded(full_name(one.case.person)),
        moment(one.fact.valid_at),
        _mark(one),
    )


def _mark(one: Judged) -> Markup:
    address = proof_address(one.case, one.fact.exchange_id)
    if one.proof is None:
        return join(link(address, "not judged"), " ", worded(one.problem))
    if one.proof.mismatch:
        shown = tag("span", "of something else", class_="mark bad")
    else:
        outcome = one.proof.verdict.verdict
        shown = tag("span", outcome.value, class_=f"mark {_STYLES[outcome]}")
    return join(shown, " ", link(address, "Steps"))


def _figures(figures: Sequence[NodeFigures], words: Words) -> Markup:
    rows: list[Sequence[Child]] = []
    for node in figures:
        if node.problem or not node.groups:
            rows.append((worded(node.name), worded(node.problem or "nothing yet"), *("",) * 6))
        for group in node.groups:
            sums = totals((group,))
            rows.append(
                (
                    worded(node.name),
                    worded(words.procedure(group.group) or "without a procedure"),
                    *(str(number) for number in sums.values()),
                )
            )
    head = (
        "Node", "Procedure", "Facts given", "Withheld", "Facts fetched", "Papers spared",
        "Refused", "Was refused",
    )  # fmt: skip
    return table(head, rows, "Since the sandbox began")


def audit_commands(places: Places) -> Sequence[str]:
    sacbe = places.command
    lines = [
        [*sacbe, "audit", "--config", node.config]
        for key, node in places.nodes.items()
        if key == "muni"
    ]
    lines += [[*sacbe, "once", "report", "--config", node.config] for node in places.nodes.values()]
    return [shlex.join(line) for line in lines]
