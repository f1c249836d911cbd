"""What once-only came to at one node: facts given and withheld, refusals, submissions spared.

Summed up from the uses, as long as they are kept, and counted in metrics while they are made. No
figure is about a subject.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from prometheus_client import Counter

from catalog.terms import Refusal
from node.log.records import Side
from node.log.uses import Classify, DataUse
from node.operate.metrics import NodeMetrics
from trust.database import Pool, storage_errors

MAX_GROUPS = 1000
OTHERS = "(others)"
_OTHER = "other"
_REASONS = frozenset(Refusal)


class By(StrEnum):
    """What figures are told apart by; the institution is the other side's member."""

    PROCEDURE = "procedure"
    INSTITUTION = "institution"
    MONTH = "month"  # in UTC


@dataclass(slots=True)
class Figures:
    """The figures of one group.

    Attributes:
        given: facts that this node's clients gave, in so many `answers`.
        withheld: parts of answers that the systems had and that did not go out.
        fetched: facts that this node's clients got from others, in so many `questions`.
        spared: submissions that these spared the people whom they were about.
        refused: answers that were refused, by reason; `told_no`: those that others refused us.
    """

    group: str
    answers: int = 0
    given: int = 0
    withheld: int = 0
    questions: int = 0
    fetched: int = 0
    spared: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    told_no: dict[str, int] = field(default_factory=dict)

    def add(
        self, side: str, reason: str, uses: int, given: int, withheld: int, spared: int
    ) -> None:
        """Add uses of one side and outcome."""
        if reason:
            reasons = self.refused if side == Side.PROVIDER else self.told_no
            known = reason if reason in _REASONS else _OTHER
            reasons[known] = reasons.get(known, 0) + uses
        elif side == Side.PROVIDER:
            self.answers += uses
            self.given += given
            self.withheld += withheld
        else:
            self.questions += uses
            self.fetched += given
            self.spared += spared

    @property
    def size(self) -> int:
        """Uses of any kind."""
        refusals = (*self.refused.values(), *self.told_no.values())
        return self.answers + self.questions + sum(refusals)


_MEMBER = "array_to_string((string_to_array({0}, '/'))[1:3], '/')"
_GROUPS = {
    By.PROCEDURE: "procedure",
    By.INSTITUTION: (
        f"CASE side WHEN 'provider' THEN {_MEMBER.format('client')}"
        f" ELSE {_MEMBER.format('provider')} END"
    ),
    By.MONTH: "to_char(time AT TIME ZONE 'UTC', 'YYYY-MM')",
}
# The largest groups stand alone, and all the rest is one. Only our own words stand in the text.
_SUMS = """
WITH sums AS (
    SELECT {group} AS name, side, refusal, count(*) AS uses,
           coalesce(sum(cardinality(given)), 0) AS given,
           coalesce(sum(cardinality(withheld)), 0) AS withheld, sum(spared) AS spared
    FROM data_use WHERE time >= $1 AND time < $2 GROUP BY 1, 2, 3
), named AS (
    SELECT name FROM sums GROUP BY name ORDER BY sum(uses) DESC, name LIMIT $3
)
SELECT CASE WHEN name IN (SELECT name FROM named) THEN name ELSE $4 END AS name, side, refusal,
       sum(uses)::bigint AS uses, sum(given)::bigint AS given, sum(withheld)::bigint AS withheld,
       sum(spared)::bigint AS spared
FROM sums GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


async def figures_of(
    pool: Pool, since: datetime, until: datetime, by: By, most: int = MAX_GROUPS
) -> Sequence[Figures]:
    """The figures of a time, `until` not included, the largest group first; raises StorageError.

    Months come in their order.
    """
    with storage_errors("Uses can't be summed up"):
        rows = await pool.fetch(_SUMS.format(group=_GROUPS[by]), since, until, most, OTHERS)
    found: dict[str, Figures] = {}
    for row in rows:
        group = found.setdefault(row["name"], Figures(row["name"]))
        group.add(*tuple(row.values())[1:])
    if by is By.MONTH:
        return sorted(found.values(), key=lambda one: one.group)
    return sorted(found.values(), key=lambda one: (one.group == OTHERS, -one.size, one.group))


class UseMetrics:
    """Counts uses in one process, shown with the node's other metrics."""

    def __init__(self, metrics: NodeMetrics) -> None:
        self._uses = Counter(
            "sacbe_once_uses_total",
            "Uses of people's data by side and outcome: given, or why it was refused",
            ("side", "outcome"),
            registry=metrics.registry,
        )
        self._facts = Counter(
            "sacbe_once_facts_total",
            "Facts by side and whether they were given or withheld",
            ("side", "what"),
            registry=metrics.registry,
        )
        self._spared = Counter(
            "sacbe_once_spared_submissions_total",
            "Submissions that people were spared",
            registry=metrics.registry,
        )

    def add(self, use: DataUse) -> None:
        side = use.side.value
        reason = use.refusal if use.refusal in _REASONS else _OTHER
        self._uses.labels(side, reason if use.refusal else "given").inc()
        self._facts.labels(side, "given").inc(len(use.given))
        self._facts.labels(side, "withheld").inc(len(use.withheld))
        self._spared.inc(use.spared)

    def counting(self, classify: Classify) -> Classify:
        """What every use passes, so that it is counted there."""

        def counted(use: DataUse) -> DataUse:
            self.add(use)
            return classify(use)

        return counted
