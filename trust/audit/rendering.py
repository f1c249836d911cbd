"""An audit's report for a person, for a program, and as a page that needs nothing else.

All three say the same. The page has no script, loads nothing and is safe to open: whatever came
from a log is text in it.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trust.audit.findings import AuditReport, Finding
from trust.report import Outcome

_SHOWN = 200  # findings of one kind in text and page; all that were kept are in the JSON
_WORDS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "FAILED",
    Outcome.INDETERMINATE: "unclear",
    Outcome.SKIPPED: "unclear",
    Outcome.WARNING: "note",
}


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the reports.

    Attributes:
        of: what was audited, as the auditor named it.
        by: the program and its version.
    """

    of: str
    by: str
    began: datetime
    ended: datetime


def overall(reports: Sequence[AuditReport]) -> Outcome:
    """The worst verdict of several reports; without any, nothing was shown."""
    verdicts = [report.verdict for report in reports]
    for outcome in (Outcome.FAILED, Outcome.INDETERMINATE):
        if outcome in verdicts or not verdicts:
            return outcome
    return Outcome.PASSED


def as_json(heading: Heading, reports: Sequence[AuditReport]) -> dict[str, object]:
    """One object; `docs/audit.md` says what its members mean."""
    return {
        "audited": heading.of,
        "program": heading.by,
        "began": _time(heading.began),
        "ended": _time(heading.ended),
        "verdict": overall(reports).value,
        "reports": [_report_json(report) for report in reports],
    }


def _report_json(report: AuditReport) -> dict[str, object]:
    return {
        "subject": report.subject,
        "verdict": report.verdict.value,
        "indication": report.indication.main.value,
        "sub_indication": report.indication.sub and report.indication.sub.value,
        "level": report.level and report.level.value,
        "facts": dict(report.facts),
        "records": {
            "outcomes": dict(report.tally.outcomes),
            "indications": dict(report.tally.indications),
            "levels": dict(report.tally.levels),
            "bodies": dict(report.tally.bodies),
        },
        "not_checked": list(report.not_checked),
        "counts": dict(report.counts),
        "findings": [_finding_json(finding) for finding in report.findings],
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    indication = finding.indication
    return {
        "place": finding.place,
        "check": finding.check.name,
        "outcome": finding.check.outcome.value,
        "indication": indication.main.value,
        "sub_indication": indication.sub and indication.sub.value,
        "code": finding.check.code or None,
        "detail": finding.check.detail,
    }


# --- text -----------------------------------------------------------------------------------------


def as_text(heading: Heading, reports: Sequence[AuditReport]) -> str:
    """Lines for a terminal or a file."""
    lines = [
        f"{overall(reports).upper()}  {plain(heading.of)}",
        f"  audited     {_time(heading.began)} to {_time(heading.ended)} by {heading.by}",
    ]
    for report in reports:
        lines += ["", *_report_text(report)]
    return "\n".join([*lines, ""])


def _report_text(report: AuditReport) -> Iterator[str]:
    yield f"{report.subject}: {report.indication}"
    if report.level is not None:
        yield f"  level       {report.level.value}: the least that any record reached that passed"
    for name, value in report.facts:
        yield f"  {name}: {plain(value)}"
    for title, counts in _tables(report):
        yield f"  {title}: " + ", ".join(f"{plain(key)} {count}" for key, count in counts.items())
    for kind, found in _by_kind(report).items():
        yield f"  {_WORDS[found[0].check.outcome]:<10}  {plain(kind)}: {report.counts[kind]}"
        for finding in found[:_SHOWN]:
            yield f"      {plain(finding.place)}: {plain(finding.check.detail)}"
            yield f"          {finding.indication}"
        if report.counts[kind] > min(len(found), _SHOWN):
            yield f"      and {report.counts[kind] - min(len(found), _SHOWN)} more"
    for text in report.not_checked:
        yield f"  not checked {plain(text)}"


def _tables(report: AuditReport) -> Iterator[tuple[str, Mapping[str, int]]]:
    tally = report.tally
    for title, counts in (
        ("records", tally.outcomes),
        ("in the words of EN 319 102-1", tally.indications),
        ("levels reached by records that passed", tally.levels),
        ("bodies and attachments", tally.bodies),
    ):
        if counts:
            yield title, counts


def _by_kind(report: AuditReport) -> dict[str, list[Finding]]:
    """Findings of the same sort together, the gravest first."""
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        found.setdefault(finding.kind, []).append(finding)
    order = (Outcome.FAILED, Outcome.INDETERMINATE, Outcome.SKIPPED, Outcome.WARNING)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1][0].check.outcome)))


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def plain(text: str) -> str:
    """Text from a log, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# --- page -----------------------------------------------------------------------------------------

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1b; background: #fff; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left;
         vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; width: 18rem; }
.verdict { font-weight: 700; padding: .2rem .6rem; border-radius: .2rem; color: #fff; }
.passed { background: #1a6b2f; } .failed { background: #a11212; }
.indeterminate, .skipped { background: #7a5200; } .warning { background: #44546a; }
details { margin: .5rem 0; } summary { cursor: pointer; }
"""


def as_html(heading: Heading, reports: Sequence[AuditReport]) -> str:
    """A page that is whole by itself."""
    verdict = overall(reports)
    body = [
        f"<h1>{_mark(verdict, verdict.upper())} {_safe(heading.of)}</h1>",
        f"<p>Audited {_time(heading.began)} to {_time(heading.ended)} by {_safe(heading.by)}.</p>",
    ]
    for report in reports:
        body += _report_html(report)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Audit of {_safe(heading.of)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _report_html(report: AuditReport) -> Iterator[str]:
    yield f"<h2>{_safe(report.subject)}</h2>"
    yield f"<p>{_mark(report.verdict, str(report.indication))}</p>"
    rows = [*report.facts]
    if report.level is not None:
        rows.insert(0, ("level that every record reached that passed", report.level.value))
    for title, counts in _tables(report):
        rows.append((title, ", ".join(f"{key} {count}" for key, count in counts.items())))
    yield _table(rows)
    kinds = _by_kind(report)
    if kinds:
        yield "<h3>Findings</h3>"
    for kind, found in kinds.items():
        outcome = found[0].check.outcome
        more = report.counts[kind] - min(len(found), _SHOWN)
        yield "<details open>" if outcome is Outcome.FAILED else "<details>"
        yield (
            f"<summary>{_mark(outcome, _WORDS[outcome])} {_safe(kind)}:"
            f" {report.counts[kind]}</summary>"
        )
        yield _table(
            (finding.place, f"{finding.check.detail} ({finding.indication})")
            for finding in found[:_SHOWN]
        )
        yield f"<p>and {more} more</p></details>" if more else "</details>"
    if report.not_checked:
        yield "<h3>Not checked</h3><ul>"
        yield from (f"<li>{_safe(text)}</li>" for text in report.not_checked)
        yield "</ul>"


def _table(rows: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> str:
    lines = [f'<tr><th scope="row">{_safe(k)}</th><td>{_safe(v)}</td></tr>' for k, v in rows]
    return f"<table>{''.join(lines)}</table>"


def _mark(outcome: Outcome, text: str) -> str:
    return f'<span class="verdict {outcome.value}">{_safe(text)}</span>'


def _safe(text: str) -> str:
    return html.escape(plain(text))
