"""What invented people live on."""

from collections import Counter

from scripts.livelihoods import YEARS, contribution_of, income_of, inhabitants
from scripts.people import people


def test_everybody_has_the_same_livelihood_at_every_start() -> None:
    first, second = next(people(1)), next(people(1))
    assert contribution_of(first) == contribution_of(second)
    assert income_of(first, 2024) == income_of(second, 2024)
    assert income_of(first, 2024) != income_of(first, 2025)
    assert inhabitants()[first.national_id] == first


def test_the_registries_do_not_contradict_each_other() -> None:
    kinds = Counter[str]()
    for person in people(500):
        contribution = contribution_of(person)
        kinds[contribution.status] += 1
        assert (contribution.status == "insured") == bool(contribution.employer)
        assert (person.guardian_id is not None) <= (contribution.status == "dependant")
        for year in YEARS:
            income = income_of(person, year)
            assert (income.wages > 0) == (contribution.status == "insured")
            assert (income.benefits > 0) == (contribution.status in ("interrupted", "retired"))
    assert set(kinds) == {"insured", "interrupted", "retired", "dependant"}
