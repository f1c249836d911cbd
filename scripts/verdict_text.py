"""Verdicts in words: what commands that judge print."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from trust.evidence.container import ContainerVerdict
from trust.receipts.receipt_verdict import ReceiptVerdict, facts_as_json
from trust.report import Check, Outcome

_MARKS = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAILED",
    Outcome.INDETERMINATE: "unclear",
    Outcome.WARNING: "note",
    Outcome.SKIPPED: "skipped",
}
_LABELS = {
    "message_id": "message id",
    "client": "asked by",
    "service": "asked for",
    "user": "official",
    "issue": "case",
    "represented_party": "on behalf",
}


def container_as_json(name: str, verdict: ContainerVerdict) -> dict[str, object]:
    return {
        "file": name,
        "verdict": verdict.verdict.value,
        "code": verdict.code or None,
        "reason": verdict.reason or None,
        "signer": verdict.signer and "/".join(verdict.signer.parts),
        "signed_at": time_text(verdict.signed_at),
        "timestamp": time_text(verdict.timestamp),
        "parts": [{"name": part.name, "covered": part.covered} for part in verdict.parts],
        "checks": checks_as_json(verdict.report.checks),
    }


def checks_as_json(checks: Iterable[Check]) -> list[dict[str, str]]:
    return [
        {"name": check.name, "outcome": check.outcome.value, "detail": check.detail}
        for check in checks
    ]


def container_as_text(name: str, verdict: ContainerVerdict) -> Iterator[str]:
    yield f"{verdict.verdict.upper()}  {plain(name)}"
    if verdict.reason:
        yield f"  because     {plain(verdict.reason)} ({verdict.code})"
    if verdict.signer:
        yield f"  signed by   {plain('/'.join(verdict.signer.parts))}"
    if verdict.signed_at:
        yield f"  signed at   {time_text(verdict.signed_at)}, as the signer says"
    if verdict.timestamp:
        yield f"  time-stamp  {time_text(verdict.timestamp)}"
    for part in verdict.parts:
        yield f"  part        {plain(part.name)}: {'signed' if part.covered else 'not proven'}"
    for check in verdict.report.checks:
        yield check_line(check)


def receipt_as_json(name: str, verdict: ReceiptVerdict) -> dict[str, object]:
    return {
        "file": name,
        "verdict": verdict.verdict.value,
        "code": verdict.code or None,
        "reason": verdict.reason or None,
        "exchange": None if verdict.facts is None else facts_as_json(verdict.facts),
        "logged": list(verdict.logged),
        "checks": checks_as_json(verdict.report.checks),
        "containers": [
            container_as_json(f"{name}:{part}", found) for part, found in verdict.containers.items()
        ],
    }


def receipt_as_text(name: str, verdict: ReceiptVerdict) -> Iterator[str]:
    """The receipt's own verdict first, then each container's."""
    yield f"{verdict.verdict.upper()}  {plain(name)}"
    if verdict.reason:
        yield f"  because     {plain(verdict.reason)} ({verdict.code})"
    facts = {} if verdict.facts is None else facts_as_json(verdict.facts)
    for label, value in facts.items():
        yield f"  {_LABELS[label]:<10}  {plain(str(value))}"
    for place in verdict.logged:
        yield f"  in the log  {plain(place)}"
    for check in verdict.report.checks:
        yield check_line(check)
    for part, found in verdict.containers.items():
        yield ""
        yield from container_as_text(f"{name}:{part}", found)


def check_line(check: Check) -> str:
    mark = _MARKS[check.outcome]
    return f"  {mark:<10}  {check.name.replace('_', ' ')}: {plain(check.detail)}".rstrip(": ")


def time_text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def plain(text: str) -> str:
    """Text from a file, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
