"""What a verification found: every step with its outcome, and one verdict.

A verification has two doors: the report never raises for bad evidence (the auditor's door);
`require()` raises (the proxies' door).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from trust.errors import EvidenceRejected


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # the evidence is wrong
    INDETERMINATE = "indeterminate"  # what is needed to judge is missing or not of its time
    WARNING = "warning"  # worth knowing; the verdict stands
    SKIPPED = "skipped"  # could not be reached because an earlier step failed


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a verification.

    Attributes:
        name: what was checked, stable, for programs (`signature_value`, `certificate_path`, …).
        outcome: how it ended.
        detail: a sentence for people; what was found and what was expected when it failed.
        code: the fault code of a failure (`invalid_signature_value`), empty otherwise.
        kind: which one, where a code stands for several failures (`revoked`, `age`).
    """

    name: str
    outcome: Outcome
    detail: str = ""
    code: str = ""
    kind: str = ""


def passed(name: str, detail: str = "") -> Check:
    return Check(name, Outcome.PASSED, detail)


def failed(name: str, code: str, detail: str, kind: str = "") -> Check:
    return Check(name, Outcome.FAILED, detail, code, kind)


def indeterminate(name: str, code: str, detail: str) -> Check:
    return Check(name, Outcome.INDETERMINATE, detail, code)


def warning(name: str, detail: str) -> Check:
    return Check(name, Outcome.WARNING, detail)


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """All checks in the order they were made; one failure fails the whole."""

    checks: tuple[Check, ...] = field(default=())

    @property
    def verdict(self) -> Outcome:
        """`passed`, `failed` or `indeterminate`: the worst outcome; no check at all fails."""
        outcomes = {check.outcome for check in self.checks}
        if not outcomes or Outcome.FAILED in outcomes:
            return Outcome.FAILED
        if outcomes & {Outcome.INDETERMINATE, Outcome.SKIPPED}:
            return Outcome.INDETERMINATE
        return Outcome.PASSED

    @property
    def first_problem(self) -> Check | None:
        """The check that decided the verdict: the first failed one, else the first undecided."""
        for wanted in (Outcome.FAILED, Outcome.INDETERMINATE, Outcome.SKIPPED):
            for check in self.checks:
                if check.outcome is wanted:
                    return check
        return None

    def require(self) -> None:
        """Raise EvidenceRejected with the deciding check's code unless everything passed."""
        if self.verdict is Outcome.PASSED:
            return
        problem = self.first_problem
        if problem is None:
            raise EvidenceRejected("Nothing was verified", "internal_error")
        raise EvidenceRejected(problem.detail, problem.code or None)

    def joined(self, more: Iterable[Check]) -> "VerificationReport":
        """This report followed by further checks."""
        return VerificationReport((*self.checks, *more))


class Verdict:
    """What follows from a report; a class with one only has to say where it is."""

    __slots__ = ()

    report: VerificationReport

    @property
    def verdict(self) -> Outcome:
        return self.report.verdict

    @property
    def code(self) -> str:
        """The fault code of the check that decided; empty when everything passed."""
        problem = self.report.first_problem
        return "" if problem is None else problem.code

    @property
    def reason(self) -> str:
        problem = self.report.first_problem
        return "" if problem is None else problem.detail
