"""What invented people live on: the same for the same person, in every registry of the sandbox."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from scripts.people import SEED, Person, people

YEARS = range(2021, 2026)
_ADULT, _RETIRED = 18, 65  # years of age
_TODAY = date(2026, 1, 1)
_EMPLOYERS = (
    "Harbour Works", "Northport Hospital", "Midvale Dairy", "Eastfield Schools", "Westbrook Rail",
    "Highmoor Wind Farms", "Southdale Bakery", "Lakeside Shipping",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Contribution:
    """Whether somebody is insured, by whom, and for how long already.

    Attributes:
        status: `insured`, `interrupted`, `retired`, or `dependant` for a minor.
        employer: empty for who has none.
        months: of contributions in a whole life.
    """

    national_id: str
    status: str
    employer: str
    months: int


@dataclass(frozen=True, slots=True)
class Income:
    """What somebody was paid in one year, in whole units of money."""

    national_id: str
    year: int
    wages: int
    benefits: int


@dataclass(frozen=True, slots=True)
class Household:
    """What a household lives on in one year, by the person who answers for it.

    Attributes:
        members: the person, and the minors whose guardian that is.
        income: of all members, in whole units of money.
    """

    national_id: str
    year: int
    members: int
    income: int


@dataclass(frozen=True, slots=True)
class Debt:
    """What somebody owes in taxes, in whole units of money."""

    national_id: str
    debt: int


def inhabitants() -> Mapping[str, Person]:
    """Everybody in the civil registry, by national id."""
    return {person.national_id: person for person in people()}


def contribution_of(person: Person) -> Contribution:
    age, dice = _age(person), _dice(person)
    if age < _ADULT:
        return Contribution(person.national_id, "dependant", "", 0)
    employer = dice.choice(_EMPLOYERS)
    months = dice.randrange(12 * (min(age, _RETIRED) - _ADULT) + 1)
    if age >= _RETIRED:
        return Contribution(person.national_id, "retired", "", months)
    if dice.random() < 0.1:
        return Contribution(person.national_id, "interrupted", "", months)
    return Contribution(person.national_id, "insured", employer, months)


def income_of(person: Person, year: int) -> Income:
    """Wages of who has an employer, benefits of all other adults; a little more every year."""
    status = contribution_of(person).status
    earned = _dice(person, "income").randrange(14_000, 60_000) * (100 + year - YEARS.start) // 100
    if status == "dependant":
        return Income(person.national_id, year, 0, 0)
    if status == "insured":
        return Income(person.national_id, year, earned, 0)
    return Income(person.national_id, year, 0, earned // 2)


def household_of(person: Person, year: int, minors: int) -> Household:
    """The household of a person who is guardian of so many minors."""
    income = income_of(person, year)
    return Household(person.national_id, year, 1 + minors, income.wages + income.benefits)


def debt_of(person: Person) -> Debt:
    """Nothing, for nine out of ten."""
    dice = _dice(person, "debt")
    return Debt(person.national_id, dice.randrange(100, 9_000) if dice.random() < 0.1 else 0)


def minors_of(everybody: Mapping[str, Person]) -> Mapping[str, int]:
    """How many minors each guardian has."""
    return Counter(one.guardian_id for one in everybody.values() if one.guardian_id)


def _age(person: Person) -> int:
    return (_TODAY - person.birth_date).days // 365


def _dice(person: Person, kind: str = "") -> random.Random:
    return random.Random(f"{SEED}{person.national_id}{kind}")  # noqa: S311 - invented data
