"""The cases of the page: in memory, the oldest leave when there are too many."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from scripts.ecosystem.case_page.proofs import Proof
from scripts.ecosystem.case_system import Answer, Fact
from scripts.people import Person, people

MOST_CASES = 50
OFFERED = 10  # people
OFFICIAL = "clerk-7"


@dataclass(frozen=True, slots=True)
class Told:
    """What a source's node said of its answer.

    Attributes:
        given: as the provider names what it gave; withheld: paths of what it kept back.
        problem: why nothing is known of it; empty when it is.
    """

    given: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A case, and what came of asking.

    Attributes:
        told: by exchange id.
        proofs: those that were judged so far, by exchange id.
    """

    number: str
    person: Person = field(repr=False)
    procedure: str
    opened: datetime
    answer: Answer = field(repr=False)
    told: Mapping[str, Told] = field(default_factory=dict, repr=False)
    proofs: dict[str, Proof] = field(default_factory=dict, repr=False)

    def fact_of(self, exchange_id: str) -> Fact | None:
        """A fact of one exchange; None when the case has no such exchange."""
        return next((one for one in self.answer.exchanges if one.exchange_id == exchange_id), None)

    def facts_of(self, exchange_id: str) -> tuple[Fact, ...]:
        return tuple(one for one in self.answer.evidence if one.exchange_id == exchange_id)


@dataclass(slots=True)
class Cases:
    """What was opened since the page began."""

    people: Mapping[str, Person] = field(
        default_factory=lambda: {one.national_id: one for one in islice(people(), OFFERED)}
    )
    _run: str = field(default_factory=lambda: secrets.token_hex(3).upper())
    _count: int = 0
    _kept: dict[str, Case] = field(default_factory=dict)

    def new_number(self) -> str:
        """A number that no case had before, also not before the page was started again."""
        self._count += 1
        return f"CASE-{self._run}-{self._count}"

    def keep(self, case: Case) -> None:
        """Take a case up, or its newer state."""
        self._kept.pop(case.number, None)
        self._kept[case.number] = case
        while len(self._kept) > MOST_CASES:
            del self._kept[next(iter(self._kept))]

    def find(self, number: str) -> Case | None:
        return self._kept.get(number)

    @property
    def latest(self) -> tuple[Case, ...]:
        """All of them, the latest first."""
        return tuple(reversed(self._kept.values()))
