"""What the steps of the once-only story have in common: invented people, and comparisons."""

import re
from itertools import islice

from scripts.ecosystem.clerk import StepFailed
from scripts.ecosystem.on_the_wire import Wire
from scripts.livelihoods import YEARS, household_of, inhabitants, minors_of
from scripts.people import Person, people


def somebody(number: int) -> Person:
    return next(islice(people(), number, None))


def household_income(person: Person) -> int:
    minors = minors_of(inhabitants()).get(person.national_id, 0)
    return household_of(person, YEARS[-1], minors).income


def check_equal(what: str, found: object, expected: object) -> None:
    """Raise StepFailed when something is not as it must be."""
    if found != expected:
        raise StepFailed(f"{what}: {str(found)[:300]} instead of {str(expected)[:300]}")


def check_absent(wire: Wire, texts: set[str], where: str) -> None:
    """Raise StepFailed when a text stands in a message by itself; it is not told which."""
    for text in texts:
        if re.search(rb"(?<![0-9A-Za-z])%b(?![0-9A-Za-z])" % re.escape(text.encode()), wire.data):
            raise StepFailed(f"something that was not granted stands in a message of {where}")
