"""How many submissions a subject was spared: papers that nobody had to bring.

One for every kind of evidence all of whose facts were had, and one for each source of facts that
belong to none. Counted as the answers come, so that each use knows its share of the sum.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from catalog.meaning.vocabulary import Vocabulary
from node.once.resolver.planning.plan import Plan

Papers = Mapping[str, frozenset[str]]  # the facts of each kind of evidence that is looked for


def papers_of(plan: Plan, vocabulary: Vocabulary) -> Papers:
    """What a procedure chose, or else what the facts that were asked for make whole.

    A kind of evidence whose facts all stand in others is no paper more.
    """
    wanted = frozenset(plan.wanted)
    found: dict[str, frozenset[str]] = {}
    counted: frozenset[str] = frozenset()
    for uri in plan.evidence_types or [one.uri for one in vocabulary.evidence_types]:
        facts = frozenset(vocabulary.evidence_type[uri].concepts)
        if facts and facts <= wanted and not facts <= counted:
            found[uri] = facts
            counted |= facts
    return found


@dataclass(slots=True)
class SparedCount:
    """Counts for one question."""

    papers: Papers
    _had: frozenset[str] = frozenset()
    _sources: set[Hashable] = field(default_factory=set)

    def delivered(self, source: Hashable, concepts: Collection[str]) -> int:
        """Take note of facts that a source delivered; how many more submissions are spared."""
        had = self._had | frozenset(concepts)
        whole = [facts for facts in self.papers.values() if facts <= had and not facts <= self._had]
        self._had = had
        count = len(whole)
        loose = frozenset(concepts).difference(*self.papers.values())
        if loose and source not in self._sources:
            self._sources.add(source)
            count += 1
        return count


def spared_by_all(papers: Papers, delivered: Iterable[tuple[Hashable, str]]) -> int:
    """Submissions that were spared by facts, each with its source."""
    count = SparedCount(papers)
    return sum(count.delivered(source, (concept,)) for source, concept in delivered)
