"""What an audit found: where, what, and how many; bounded however much is wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from trust.audit.indications import PASSED, Indication, Level, Main, indication_of_check
from trust.report import Check, Outcome

MAX_FINDINGS = 1000  # of one kind; the others are counted
MAX_KINDS = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an auditor should know.

    Attributes:
        place: `record 812 (leaf 17)`, `archive file mlog-….zip`: where to look.
        check: what was judged, and how it ended.
        dated: whether a good time-stamp says when what is judged existed.
    """

    place: str
    check: Check
    dated: bool = True

    @property
    def indication(self) -> Indication:
        return indication_of_check(self.check, dated=self.dated)

    @property
    def kind(self) -> str:
        """What findings of the same sort have in common."""
        return f"{self.check.name}: {self.check.code or self.check.outcome.value}"


@dataclass(slots=True)
class Findings:
    """Findings as they come; the first ones of each kind are kept, all are counted."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        if finding.check.outcome is Outcome.PASSED:
            raise ValueError("what passed is no finding")
        kind = finding.kind
        if kind not in self.outcomes and len(self.outcomes) == MAX_KINDS:
            kind = "others"
        self.counts[kind] += 1
        self.outcomes[kind] = _worse(self.outcomes.get(kind), finding.check.outcome)
        if self.counts[kind] <= MAX_FINDINGS:
            self.kept.append(finding)

    def merge(self, others: Iterable[Finding], counts: Mapping[str, int] | None = None) -> None:
        """Add what another process found.

        Args:
            counts: how many of each kind it counted beyond those that it sends.
        """
        for finding in others:
            self.add(finding)
        for kind, more in (counts or {}).items():
            self.counts[kind] += more

    @property
    def verdict(self) -> Outcome:
        outcomes = set(self.outcomes.values())
        if Outcome.FAILED in outcomes:
            return Outcome.FAILED
        if outcomes & {Outcome.INDETERMINATE, Outcome.SKIPPED}:
            return Outcome.INDETERMINATE
        return Outcome.PASSED


def _worse(one: Outcome | None, other: Outcome) -> Outcome:
    order = (Outcome.WARNING, Outcome.SKIPPED, Outcome.INDETERMINATE, Outcome.FAILED)
    return other if one is None else max(one, other, key=order.index)


@dataclass(slots=True)
class Tally:
    """How much was judged and how it ended; of one process or of all."""

    outcomes: Counter[str] = field(default_factory=Counter)  # of records, by our verdict
    indications: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    bodies: Counter[str] = field(default_factory=Counter)  # kept, in a file, digest only

    def count(self, outcome: Outcome, indication: Indication, level: Level) -> None:
        self.outcomes[outcome.value] += 1
        self.indications[str(indication)] += 1
        self.levels[level.value] += 1

    def merge(self, other: "Tally") -> None:
        for mine, theirs in (
            (self.outcomes, other.outcomes),
            (self.indications, other.indications),
            (self.levels, other.levels),
            (self.bodies, other.bodies),
        ):
            mine.update(theirs)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All that an audit says.

    Attributes:
        subject: the log or archive, in words.
        facts: what was looked at, in order: a name and a value each.
        not_checked: what was left out, and what would have to be given to have it judged.
        level: the lowest level that every judged record reached.
        complete: whether everything was looked at; else the verdict can't be better than open.
    """

    subject: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    outcomes: Mapping[str, Outcome]
    tally: Tally
    not_checked: tuple[str, ...] = ()
    level: Level | None = None
    complete: bool = True

    @property
    def verdict(self) -> Outcome:
        found = Findings(outcomes=dict(self.outcomes)).verdict
        if found is Outcome.PASSED and not self.complete:
            return Outcome.INDETERMINATE
        return found

    @property
    def indication(self) -> Indication:
        """By the first finding that decided the verdict."""
        verdict = self.verdict
        if verdict is Outcome.PASSED:
            return PASSED
        deciding = [each for each in self.findings if each.check.outcome is verdict]
        failing = [each for each in deciding if each.indication.main is Main.TOTAL_FAILED]
        for each in (*failing, *deciding):
            return each.indication
        return Indication(Main.INDETERMINATE)

    def with_level(self, level: Level | None) -> "AuditReport":
        return replace(self, level=level)
