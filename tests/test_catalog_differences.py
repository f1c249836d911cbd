"""What changed from one version of the catalog to the next, in words."""

from dataclasses import replace
from datetime import date

from catalog.about import About, LifeCycle, LifeState
from catalog.central.differences import differences, told
from catalog.central.entries import Availability, CatalogMember
from catalog.mapping import FieldMapping, ServiceMapping
from tests.large_catalog import large_catalog
from tests.pki import NOON
from trust.changes import Change

CATALOG = large_catalog(services=10, fields=2)
FIRST = CATALOG.services[0]
NAME = FIRST.id.colons


def lines(**changes: object) -> list[str]:
    changed = replace(FIRST, **changes)  # type: ignore[arg-type]  # named by the test
    after = replace(CATALOG, services=(changed, *CATALOG.services[1:]))
    return [str(change) for change in differences(CATALOG, after)]


def test_the_same_says_nothing() -> None:
    later = replace(CATALOG, version=9, made_at=NOON)
    assert differences(CATALOG, later) == ()
    assert lines(availability=Availability(NOON, 5, 4)) == []


def test_the_first_catalog_is_all_new() -> None:
    found = [str(change) for change in differences(None, CATALOG)]
    assert f"+ service {NAME}: OPENAPI" in found
    assert not any(" field " in line for line in found)
    assert any(line.startswith("+ concept ") for line in found)


def test_what_is_said_of_a_service_is_told() -> None:
    about = About(life=LifeCycle(LifeState.DEPRECATED, date(2027, 1, 1)), description="a\nb")
    assert lines(about=about) == [
        f"~ service {NAME} about: {FIRST.about.description} → a b",
        f"- service {NAME} keywords: kind0, area0",
        f"~ service {NAME} life cycle: published → deprecated until 2027-01-01",
        f"- service {NAME} territory: T0000",
    ]
    assert lines(title="T" * 400) == [f"~ service {NAME} title: Facts of kind 0 → {'T' * 300}…"]
    assert lines(plain=False, description_digest="d") == [
        f"+ service {NAME} description: d",
        f"~ service {NAME} terms: not known to its node → enforced by its node",
    ]


def test_fields_are_told_one_by_one() -> None:
    first, second = FIRST.mapping.endpoints
    field = first.fields[0]
    moved = replace(first, fields=(replace(field, path="/moved"), FieldMapping("new", "/new")))
    name = f"service {NAME} GET /subjects/{{id}}"
    assert lines(mapping=ServiceMapping((moved, second))) == [
        f"~ {name} field field0: {field.path}, text, {field.concept} → "
        f"/moved, text, {field.concept}",
        f"+ {name} field new: /new, text, -",
    ]
    gone = lines(mapping=ServiceMapping((first,)))
    assert all(line.startswith(f"- service {NAME} GET /subjects/{{id}}/more ") for line in gone)


def test_services_and_members_come_and_go() -> None:
    after = replace(
        CATALOG,
        services=CATALOG.services[1:],
        members=(*CATALOG.members[1:], replace(CATALOG.members[0], name="Another")),
    )
    assert [str(change) for change in differences(CATALOG, after)] == [
        f"~ member {CATALOG.members[0].id.colons}: {CATALOG.members[0].name} → Another",
        f"- service {NAME}: OPENAPI",
    ]
    more = replace(
        CATALOG, members=(*CATALOG.members, CatalogMember(FIRST.id.provider.member, "M"))
    )
    assert len(differences(CATALOG, more)) == 1


def test_very_many_changes_are_counted() -> None:
    changes = [Change("added", str(number)) for number in range(10_003)]
    kept = told(changes)
    assert len(kept) == 10_001
    assert kept[-1] == "and 3 more"
