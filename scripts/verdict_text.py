"""Verdicts in words: what commands that judge print."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from trust.audit.indications import Indication, Level, indication_of, is_dated
from trust.evidence.archives import ArchiveReport
from trust.evidence.container import ContainerVerdict
from trust.evidence.timestamps import TimestampVerdict
from trust.receipts.receipt_verdict import ReceiptVerdict, facts_as_json
from trust.report import Check, Outcome, VerificationReport

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
        **_indication_json(verdict.report),
        "level": container_level(verdict).value,
        "signer": verdict.signer and "/".join(verdict.signer.parts),
        "signed_at": time_text(verdict.signed_at),
        "timestamp": time_text(verdict.timestamp),
        "parts": [{"name": part.name, "covered": part.covered} for part in verdict.parts],
        "checks": checks_as_json(verdict.report.checks),
    }


def container_level(verdict: ContainerVerdict) -> Level:
    """How far a container was judged: with a good time-stamp, or without one."""
    return Level.TIME if verdict.timestamp is not None else Level.SIGNATURE


def _indication_json(report: VerificationReport) -> dict[str, str | None]:
    found = indication_of(report, dated=is_dated(report.checks))
    return {"indication": found.main.value, "sub_indication": found.sub and found.sub.value}


def _indication_line(report: VerificationReport) -> str:
    return f"  EN 319 102-1 {indication_of(report, dated=is_dated(report.checks))}"


def archive_as_json(name: str, report: ArchiveReport) -> dict[str, object]:
    return {
        "file": name,
        "verdict": report.verdict.value,
        "code": report.code or None,
        "reason": report.reason or None,
        **_indication_json(report.report),
        "previous": report.linking
        and {
            "digest": report.linking.previous.digest or None,
            "file": report.linking.previous.file or None,
        },
        "digest": report.end and report.end.digest,
        "containers": {outcome.value: count for outcome, count in report.outcomes.items()},
        "checks": checks_as_json(report.report.checks),
    }


def archive_as_text(name: str, report: ArchiveReport) -> Iterator[str]:
    yield f"{report.verdict.upper()}  {plain(name)}"
    if report.reason:
        yield f"  because     {plain(report.reason)} ({report.code})"
    yield _indication_line(report.report)
    if report.end is not None:
        yield f"  ends with   {report.end.digest}"
    for check in report.report.checks:
        yield check_line(check)


def token_as_json(name: str, verdict: TimestampVerdict) -> dict[str, object]:
    check = verdict.check
    report = VerificationReport((check,))
    return {
        "file": name,
        "verdict": report.verdict.value,
        "code": check.code or None,
        "reason": None if check.outcome is Outcome.PASSED else check.detail,
        **_indication_json(report),
        "timestamp": time_text(verdict.gen_time),
        "service": verdict.tsa or None,
        "checks": checks_as_json(report.checks),
    }


def token_as_text(name: str, verdict: TimestampVerdict) -> Iterator[str]:
    report = VerificationReport((verdict.check,))
    yield f"{report.verdict.upper()}  {plain(name)}"
    yield _indication_line(report)
    yield check_line(verdict.check)


def checks_as_json(checks: Iterable[Check]) -> list[dict[str, str]]:
    return [
        {"name": check.name, "outcome": check.outcome.value, "detail": check.detail}
        for check in checks
    ]


def container_as_text(name: str, verdict: ContainerVerdict) -> Iterator[str]:
    yield f"{verdict.verdict.upper()}  {plain(name)}"
    if verdict.reason:
        yield f"  because     {plain(verdict.reason)} ({verdict.code})"
    yield _indication_line(verdict.report)
    yield f"  level       {container_level(verdict).value}"
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


def receipt_indication(verdict: ReceiptVerdict) -> Indication:
    """That of the container which decided, else that of the receipt's own checks."""
    problem = verdict.report.first_problem
    decided = problem and verdict.containers.get(f"{problem.name}.asice")
    if decided:
        return indication_of(decided.report, dated=is_dated(decided.report.checks))
    return indication_of(verdict.report)


def receipt_level(verdict: ReceiptVerdict) -> Level:
    """How far a receipt was judged: both messages in the log's tree, both dated, or signed."""
    messages = [found for name, found in verdict.containers.items() if "/" not in name]
    if messages and len(verdict.logged) == len(messages):
        return Level.TREE
    dated = bool(messages) and all(found.timestamp is not None for found in messages)
    return Level.TIME if dated else Level.SIGNATURE


def receipt_as_json(name: str, verdict: ReceiptVerdict) -> dict[str, object]:
    return {
        "file": name,
        "verdict": verdict.verdict.value,
        "code": verdict.code or None,
        "reason": verdict.reason or None,
        "indication": receipt_indication(verdict).main.value,
        "sub_indication": (sub := receipt_indication(verdict).sub) and sub.value,
        "level": receipt_level(verdict).value,
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
    yield f"  EN 319 102-1 {receipt_indication(verdict)}"
    yield f"  level       {receipt_level(verdict).value}"
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
