"""Records are applied whole, with everything that is wrong said at once, and remembered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.example_registry import (
    COMPANY,
    FIRST,
    MANAGEMENT,
    OPERATOR,
    PERSONS,
    PKI,
    PORTAL,
    SECOND,
    example_records,
)
from tests.pki import NOON
from trust.database import Pool, migrate, open_pool
from trust.errors import ConfigurationError, StorageError
from trust.ids import ClientId, ServerId
from trust.registry.record_changes import difference, facts_of, records_digest
from trust.registry.record_rules import record_problems
from trust.registry.records import (
    FederationRecord,
    HostedRecord,
    MemberClassRecord,
    MemberRecord,
    PartRecord,
    RegistryRecords,
    ServerRecord,
    SubsystemRecord,
)
from trust.registry.registry import Registry

MIGRATIONS = Path(__file__).parents[1] / "trust" / "registry" / "migrations"


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_dsn, "test")
    await migrate(pool, "registry", MIGRATIONS)
    yield pool
    await pool.close()


async def test_what_was_applied_is_read_back_equal(pool: Pool) -> None:
    registry = Registry(pool)
    assert await registry.records() is None
    await registry.apply(example_records(), by="clerk", at=NOON)
    assert await registry.records() == example_records()


async def test_the_first_records_are_all_news_and_the_same_again_are_none(pool: Pool) -> None:
    registry = Registry(pool)
    records = example_records()
    first = await registry.apply(records, by="clerk", at=NOON)
    assert {change.kind for change in first} == {"added"}
    assert [change.what for change in first] == sorted(facts_of(records))
    assert await registry.plan(records) == ()
    assert await registry.apply(records, by="other clerk", at=NOON + timedelta(days=1)) == ()
    latest, earliest = await registry.history()
    assert (latest.by, latest.at, latest.changes) == ("other clerk", NOON + timedelta(days=1), ())
    assert earliest.changes == tuple(str(change) for change in first)
    assert latest.digest == earliest.digest == records_digest(records)


async def test_a_change_is_told_in_words(pool: Pool) -> None:
    registry = Registry(pool)
    before = example_records()
    await registry.apply(before, by="clerk", at=NOON)
    company, authority = before.members
    second, first = before.servers
    after = replace(
        before,
        members=(company, replace(authority, name="Registry Agency")),
        servers=(second, replace(first, clients=())),
        member_classes=(*before.member_classes, MemberClassRecord("EDU", "Schools")),
    )
    changes = [str(change) for change in await registry.plan(after)]
    assert changes == [
        "~ member TEST/GOV/1000: Registry Authority → Registry Agency",
        "+ member class EDU: Schools",
        "- server TEST/GOV/1000/NODE1 client TEST/GOV/1000/persons: enabled",
    ]
    assert await registry.records() == before
    await registry.apply(after, by="clerk", at=NOON)
    assert await registry.records() == after


async def test_records_of_another_instance_are_refused(pool: Pool) -> None:
    registry = Registry(pool)
    await registry.apply(example_records(), by="clerk", at=NOON)
    other = replace(example_records().instance, instance="OTHER")
    provider = replace(other, management_provider=ClientId("OTHER", "GOV", "1"))
    records = RegistryRecords(
        provider,
        member_classes=(MemberClassRecord("GOV", "Public"),),
        members=(MemberRecord("GOV", "1", "Somebody"),),
    )
    with pytest.raises(ConfigurationError, match="'OTHER', expected 'TEST'"):
        await registry.apply(records, by="clerk", at=NOON)


async def test_what_contradicts_itself_changes_nothing(pool: Pool) -> None:
    registry = Registry(pool)
    await registry.apply(example_records(), by="clerk", at=NOON)
    with pytest.raises(ConfigurationError, match="not registered"):
        await registry.apply(replace(example_records(), members=()), by="clerk", at=NOON)
    assert await registry.records() == example_records()
    assert len(await registry.history()) == 1


async def test_applying_at_the_same_time_is_one_after_the_other(pool: Pool) -> None:
    registry = Registry(pool)
    records = example_records()
    steps = [
        replace(records, member_classes=(*records.member_classes, MemberClassRecord(code, code)))
        for code in ("A", "B", "C", "D")
    ]
    await asyncio.gather(*(registry.apply(step, by="clerk", at=NOON) for step in steps))
    history = await registry.history()
    assert len(history) == 4
    assert await registry.records() in steps
    assert [len(item.changes) for item in history] == [2, 2, 2, len(facts_of(steps[0]))]


async def test_a_lost_database_is_a_storage_error(pool: Pool) -> None:
    registry = Registry(pool)
    await pool.close()
    with pytest.raises(StorageError, match="records can't be used"):
        await registry.records()
    with pytest.raises(StorageError):
        await registry.apply(example_records(), by="clerk", at=NOON)
    with pytest.raises(StorageError):
        await registry.history()


def test_the_example_has_no_problems() -> None:
    assert list(record_problems(example_records())) == []


def _server(**changes: object) -> Callable[[RegistryRecords], RegistryRecords]:
    def damage(records: RegistryRecords) -> RegistryRecords:
        second, first = records.servers
        return replace(records, servers=(second, replace(first, **changes)))  # type: ignore[arg-type]

    return damage


def _instance(**changes: object) -> Callable[[RegistryRecords], RegistryRecords]:
    def damage(records: RegistryRecords) -> RegistryRecords:
        return replace(records, instance=replace(records.instance, **changes))  # type: ignore[arg-type]

    return damage


def _service(**changes: object) -> Callable[[RegistryRecords], RegistryRecords]:
    def damage(records: RegistryRecords) -> RegistryRecords:
        (service,) = records.certification_services
        return replace(
            records,
            certification_services=(replace(service, **changes),),  # type: ignore[arg-type]
        )

    return damage


def _tsa(**changes: object) -> Callable[[RegistryRecords], RegistryRecords]:
    def damage(records: RegistryRecords) -> RegistryRecords:
        (service,) = records.time_stamping_services
        return replace(
            records,
            time_stamping_services=(replace(service, **changes),),  # type: ignore[arg-type]
        )

    return damage


def _group(**changes: object) -> Callable[[RegistryRecords], RegistryRecords]:
    def damage(records: RegistryRecords) -> RegistryRecords:
        (group,) = records.groups
        return replace(records, groups=(replace(group, **changes),))  # type: ignore[arg-type]

    return damage


def _set(**changes: object) -> Callable[[RegistryRecords], RegistryRecords]:
    return lambda records: replace(records, **changes)  # type: ignore[arg-type]


GOV, COM = example_records().member_classes
SERVICE = example_records().certification_services[0]
STRANGE = ClientId("TEST", "GOV", "7777")
BAD = [
    (_instance(instance="../x"), ("instance",), "'../x'"),
    (_instance(time_stamping_interval=timedelta(hours=1)), ("time_stamping_interval",), "1h"),
    (_instance(ocsp_freshness=timedelta(seconds=90.5)), ("ocsp_freshness",), "a fraction"),
    (_instance(registration_url="http://x/"), ("management", "registration_url"), "'http://x/'"),
    (_instance(registration_url="https://"), ("management", "registration_url"), "'https://'"),
    (
        _instance(registration_certificate=b"x"),
        ("management", "registration_certificate_file"),
        "Certificate can't be read",
    ),
    (_instance(management_provider=STRANGE), ("management", "provider"), "not registered"),
    (_instance(owners_group="readers"), ("groups", 0, "code"), "'readers'"),
    (_set(member_classes=(GOV, COM, GOV)), ("member_classes", 2, "code"), "'GOV' a second time"),
    (_set(member_classes=(GOV,)), ("members", 0, "member_class"), "member class 'COM'"),
    (
        _set(member_classes=(GOV, COM, MemberClassRecord("A/B", ""))),
        ("member_classes", 2, "code"),
        "'A/B'",
    ),
    (_server(id=ServerId(STRANGE, "X")), ("servers", 1, "id"), "not registered"),
    (_server(id=SECOND), ("servers", 1, "id"), "a second time"),
    (_server(id=ServerId(OPERATOR, "a:b")), ("servers", 1, "id"), "'a:b'"),
    (_server(address="http://x"), ("servers", 1, "address"), "'http://x'"),
    (_server(clients=(HostedRecord(STRANGE),)), ("servers", 1, "clients", 0), "not registered"),
    (_server(clients=(HostedRecord(OPERATOR),)), ("servers", 1, "clients", 0), "the owner"),
    (
        _server(clients=(HostedRecord(PERSONS), HostedRecord(PERSONS, enabled=False))),
        ("servers", 1, "clients", 1),
        "a second time",
    ),
    (
        _server(auth_certificates=example_records().servers[0].auth_certificates),
        ("servers", 1, "auth_certificate_files", 0),
        "SERVER:TEST/COM/2002/NODE2 has already",
    ),
    (
        _server(auth_certificates=(PKI.sign(OPERATOR).der,)),
        ("servers", 1, "auth_certificate_files", 0),
        "another use",
    ),
    (_server(auth_certificates=(b"",)), ("servers", 1, "auth_certificate_files", 0), "can't be"),
    (_service(profile="Basic"), ("certification_services", 0, "profile"), "'Basic'"),
    (
        _service(intermediates=(SERVICE.top,)),
        ("certification_services", 0, "intermediates", 0, "certificate_file"),
        "a second CA named",
    ),
    (
        _service(top=replace(SERVICE.top, certificate=b"x")),
        ("certification_services", 0, "certificate_file"),
        "can't be read",
    ),
    (
        _service(
            top=replace(SERVICE.top, responders=(replace(SERVICE.top.responders[0], url="x"),))
        ),
        ("certification_services", 0, "responders", 0, "url"),
        "'x'",
    ),
    (_tsa(certificate=b"x"), ("time_stamping_services", 0, "certificate_file"), "can't be read"),
    (_tsa(url="ftp://x/"), ("time_stamping_services", 0, "url"), "'ftp://x/'"),
    (_tsa(url="http://x:99999/"), ("time_stamping_services", 0, "url"), "'http://x:99999/'"),
    (_tsa(url="http://x/\n"), ("time_stamping_services", 0, "url"), "\\n"),
    (_group(members=(STRANGE,)), ("groups", 0, "members", 0), "not registered"),
    (_group(members=(PORTAL, PORTAL)), ("groups", 0, "members", 1), "a second time"),
    (_group(code=" "), ("groups", 0, "code"), "1 characters"),
    (
        _set(federation=(FederationRecord("TEST", b""),)),
        ("federation", 0, "anchor_file"),
        "this instance",
    ),
    (
        _set(parts=(PartRecord("SHARED-PARAMETERS", "a", b""),)),
        ("parts", 0, "identifier"),
        "SHARED",
    ),
    (_set(parts=(PartRecord("X", "../a", b""),)), ("parts", 0, "file_name"), "'../a'"),
    (_set(parts=(PartRecord("X", "a", bytes(1 << 21)),)), ("parts", 0, "file"), "2097152 bytes"),
    (
        _set(parts=(PartRecord("X", "a", b""), PartRecord("Y", "a", b""))),
        ("parts", 1, "file_name"),
        "a second time",
    ),
]


@pytest.mark.parametrize(("damage", "path", "found"), BAD)
def test_every_contradiction_is_found_at_its_place(
    damage: Callable[[RegistryRecords], RegistryRecords], path: tuple[object, ...], found: str
) -> None:
    problems = list(record_problems(damage(example_records())))
    assert path in [problem.path for problem in problems]
    assert any(found in problem.found for problem in problems if problem.path == path)


def test_all_contradictions_are_found_at_once() -> None:
    records = replace(
        example_records(),
        members=(MemberRecord("GOV", "1000", "A"), MemberRecord("XXX", "1000", "B")),
        servers=(ServerRecord(FIRST, None, (), (HostedRecord(PORTAL),)),),
    )
    places = {problem.path for problem in record_problems(records)}
    assert {
        ("management", "provider"),
        ("members", 1, "member_class"),
        ("servers", 0, "clients", 0),
        ("groups", 0, "members", 1),
        ("groups", 0, "members", 2),
    } == places
    assert MANAGEMENT not in set(records.clients())


def test_the_same_subsystem_twice_in_one_member_is_found() -> None:
    twice = (SubsystemRecord("MANAGEMENT"), SubsystemRecord("MANAGEMENT"))
    member = MemberRecord("GOV", "1000", "A", (*twice, SubsystemRecord("persons")))
    company = example_records().members[0]
    problems = list(record_problems(replace(example_records(), members=(company, member))))
    assert [problem.path for problem in problems] == [("members", 1, "subsystems", 1, "code")]
    assert COMPANY in set(example_records().clients())


def test_facts_in_another_order_are_the_same_facts() -> None:
    records = example_records()
    other = replace(records, members=records.members[::-1], servers=records.servers[::-1])
    assert difference(records, other) == ()
    assert records_digest(records) == records_digest(other)
