from datetime import date

from scripts.people import people


def test_the_same_seed_makes_the_same_people() -> None:
    assert list(people(50)) == list(people(50))
    assert list(people(50)) == list(people(200))[:50]


def test_another_seed_makes_other_people() -> None:
    assert list(people(50, seed=1)) != list(people(50, seed=2))


def test_every_person_has_an_id_of_their_own_and_every_guardian_is_a_person() -> None:
    everybody = list(people(2000))
    ids = {person.national_id for person in everybody}
    assert len(ids) == 2000
    guardians = {person.guardian_id for person in everybody if person.guardian_id}
    assert guardians
    assert guardians <= ids
    assert all(person.birth_date >= date(1936, 1, 1) for person in everybody)
