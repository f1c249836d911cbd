"""Terms of rights, mappings and what is said of services: declared, refused, kept and told."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from catalog import encoding
from catalog.about import About, Contact, LifeCycle, LifeState
from catalog.declared.declaration import ServicesDeclaration, declaration_problems, hosted_clients
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Place,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType
from catalog.services import AccessRight, HostedClient
from catalog.stored.store import COMPONENT, MIGRATIONS, ServiceStore
from catalog.terms import NO_TERMS, Quota, Terms
from config.settings import parse_settings
from trust.database import Pool, migrate, open_pool
from trust.errors import ConfigurationError, ConfigurationProblem, MalformedMessage, StorageError
from trust.ids import ClientId, ServiceId

PERSONS = ClientId("EX", "GOV", "1000", "persons")
PORTAL = ClientId("EX", "GOV", "2000", "portal")
MAPPING = ServiceMapping(
    (
        EndpointMapping(
            "GET",
            "/persons/{id}",
            SubjectParameter("id", "urn:example:national-id"),
            (FixedParameter("year", Place.QUERY, "{last_year}"),),
            (
                FieldMapping("birth_date", "/birthDate", "urn:example:birth-date", FactType.DATE),
                FieldMapping("town", "/address/town"),
            ),
            (View("adult", "birth_date", Rule.YEARS_AT_LEAST, "18", "urn:example:adult"),),
        ),
    )
)
DECLARED = """
[[clients]]
id = "EX:GOV:1000:persons"

[[clients.services]]
code = "persons"
url = "http://127.0.0.1:9000/"
mapping = "persons.mapping.toml"
about = "Who is who"
terms = "https://registry.example/terms"
keywords = ["person", "identity"]
territory = "EX-1"
template = "urn:example:template:persons"
life_cycle = { state = "deprecated", ends = 2027-01-31, successor = "persons2" }
contact = { name = "Desk", email = "desk@registry.example" }

[[clients.access]]
service = "persons"
client = "EX:GOV:2000:portal"
endpoints = ["GET /persons/*"]
fields = ["birth_date", "adult", "urn:example:adult", "/address"]
purposes = ["urn:example:purpose:benefit"]
legal_basis = "School Act, section 4"
quota = "100 per 1d"
valid_from = 2026-01-01
valid_until = 2027-01-01T00:00:00+01:00

[[clients.access]]
service = "persons"
client = "EX:GOV:2000:portal"
endpoints = ["GET /persons/*"]
fields = ["town"]
"""
TERMS = Terms(
    ("birth_date", "adult", "urn:example:adult", "/address"),
    ("urn:example:purpose:benefit",),
    "School Act, section 4",
    Quota(100, timedelta(days=1)),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 12, 31, 23, tzinfo=UTC),
)


def mapping_of(path: Path) -> ServiceMapping:
    if path.name == "persons.mapping.toml":
        return MAPPING
    raise ConfigurationError([ConfigurationProblem(str(path), 7, "a view", "another")])


def read(text: str) -> tuple[HostedClient, ...]:
    declared = parse_settings(
        ServicesDeclaration,
        text,
        file="services.toml",
        folder=Path(),
        check=lambda declaration: declaration_problems(declaration, mapping_of),
    )
    return hosted_clients(declared, mapping_of)


def test_terms_and_what_is_said_of_a_service_are_declared() -> None:
    (client,) = read(DECLARED)
    first, second = client.rights
    assert first.terms == TERMS
    assert second.terms == Terms(("town",))
    (service,) = client.services
    assert service.mapping == MAPPING
    assert service.about == About(
        "Who is who",
        LifeCycle(LifeState.DEPRECATED, date(2027, 1, 31), "persons2"),
        Contact("Desk", "desk@registry.example"),
        "https://registry.example/terms",
        ("person", "identity"),
        "EX-1",
        "urn:example:template:persons",
    )


@pytest.mark.parametrize(
    ("old", "new", "found", "expected"),
    [
        ('legal_basis = "School Act, section 4"\n', "", "without a legal basis", "legal_basis"),
        ('"adult", ', '"adlut", ', "'adlut'", "mapping: adult, birth_date, town"),
        ('"/address"', '"/addr"', "'/addr'", "a field or view of its mapping"),
        ('"town"', '"urn:example:town"', "'urn:example:town'", "a field or view"),
        ('["town"]', "[]", "a list", "a list, of a text"),
        ("2027-01-01T00:00:00+01:00", "2025-01-01", "2025-01-01", "after 2026-01-01"),
        ("100 per", "0 per", "0 calls", "1 to 999999999 calls"),
        ("per 1d", "per 400d", "400 days", "a time of up to 366d"),
        ('"100 per 1d"', '"often"', "'often'", 'as "100 per 1d"'),
        ('"urn:example:purpose:benefit"', '"benefit"', "'benefit'", "a URI"),
        ('"deprecated"', '"draft"', "2027-01-31", 'state = "deprecated"'),
        ("persons.mapping.toml", "bad.toml", "a view", "another"),
        ('code = "persons"\n', 'code = "persons"\ntype = "WSDL"\n', "with a method", "neither"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, found: str, expected: str) -> None:
    assert old in DECLARED
    with pytest.raises(ConfigurationError) as refused:
        read(DECLARED.replace(old, new, 1))
    problem = refused.value.problems[0]
    assert problem.line > 0
    assert found in problem.found
    assert expected in problem.expected


def test_problems_of_a_mapping_file_are_told_beside_those_of_the_declaration() -> None:
    text = DECLARED.replace("persons.mapping.toml", "bad.toml").replace("100 per", "0 per")
    with pytest.raises(ConfigurationError) as refused:
        read(text)
    assert [(p.file, p.line > 0) for p in refused.value.problems] == [
        ("services.toml", True),
        ("bad.toml", True),
    ]
    declared = parse_settings(ServicesDeclaration, text, file="s", folder=Path())
    with pytest.raises(ConfigurationError) as unlocated:
        hosted_clients(declared, mapping_of)
    assert len(unlocated.value.problems) == 2


def test_the_same_right_with_the_same_terms_is_refused_and_one_with_others_is_not() -> None:
    block = DECLARED[DECLARED.rindex("[[clients.access]]") :]
    with pytest.raises(ConfigurationError, match="the same terms again"):
        read(DECLARED + block)
    (client,) = read(DECLARED + block.replace('["town"]', '["birth_date"]'))
    assert len(client.rights) == 3


def test_a_mapping_file_needs_a_reader() -> None:
    declared = parse_settings(ServicesDeclaration, DECLARED, file="s", folder=Path())
    with pytest.raises(ConfigurationError, match="a mapping file"):
        hosted_clients(declared)


# --- the database ---------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "test")
    await migrate(opened, COMPONENT, MIGRATIONS)
    yield opened
    await opened.close()


async def test_all_of_it_is_kept_and_applied_again_without_a_change(pool: Pool) -> None:
    store = ServiceStore(pool)
    clients = read(DECLARED)
    told = [str(change) for change in await store.replace(clients)]
    assert (
        "+ right of SUBSYSTEM:EX/GOV/2000/portal to EX:GOV:1000:persons:persons GET /persons/*"
        " (fields birth_date, adult, urn:example:adult, /address; for urn:example:purpose:benefit;"
        " by School Act, section 4; 100 calls per 1d; from 2026-01-01T00:00:00Z;"
        " until 2026-12-31T23:00:00Z)"
    ) in told
    service = "service EX:GOV:1000:persons:persons"
    assert f"+ {service} life cycle: deprecated, withdrawn on 2027-01-31, followed by persons2" in (
        told
    )
    mapping = f"{service} mapping GET /persons/{{id}}"
    assert f"+ {mapping} field birth_date: /birthDate, date, urn:example:birth-date" in told
    assert f"+ {mapping} view adult: birth_date, years-at-least 18, urn:example:adult" in told
    loaded = (await store.load()).clients
    assert loaded == clients
    numbers = [right.number for right in loaded[0].rights]
    assert all(numbers)
    assert await store.replace(clients) == ()
    changed = read(DECLARED.replace("100 per", "200 per").replace("Who is who", "Who was who"))
    await store.replace(changed)
    after = (await store.load()).clients[0]
    assert after == dataclasses.replace(changed[0], rights=after.rights)
    assert set(after.rights) == set(changed[0].rights)
    assert numbers[1] in [right.number for right in after.rights]
    assert numbers[0] not in [right.number for right in after.rights]
    given = await store.given_rights(ServiceId(PERSONS, "persons"))
    assert {right.terms for right, _ in given} == {right.terms for right in after.rights}


async def test_terms_longer_than_a_key_of_the_database_are_kept(pool: Pool) -> None:
    store = ServiceStore(pool)
    long = Terms(tuple(f"{number:0500}" for number in range(400)))
    client = HostedClient(PERSONS, rights=(AccessRight(PORTAL, "persons", terms=long),))
    await store.replace((client,))
    assert (await store.load()).clients == (client,)


async def test_terms_that_can_not_be_read_are_no_right_without_terms(pool: Pool) -> None:
    store = ServiceStore(pool)
    client = HostedClient(PERSONS, rights=(AccessRight(PORTAL, "persons", terms=TERMS),))
    await store.replace((client,))
    await pool.execute("UPDATE access_right SET terms = '{\"fields\": 7}'")
    for action in (store.load(), store.given_rights(ServiceId(PERSONS, "persons"))):
        with pytest.raises(StorageError, match="can't be read"):
            await action


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (encoding.MappingForm, ServiceMapping),
        (encoding.EndpointForm, EndpointMapping),
        (encoding.SubjectForm, SubjectParameter),
        (encoding.ParameterForm, FixedParameter),
        (encoding.FieldForm, FieldMapping),
        (encoding.ViewForm, View),
        (encoding.AboutForm, About),
        (encoding.LifeForm, LifeCycle),
        (encoding.ContactForm, Contact),
        (encoding.TermsForm, Terms),
        (encoding.QuotaForm, Quota),
    ],
)
def test_nothing_is_left_out_of_the_json(form: type[msgspec.Struct], kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    assert list(form.__struct_fields__) == names


TEXTS = st.text(max_size=20)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))


@given(
    st.builds(
        Terms,
        st.none() | st.lists(TEXTS, max_size=3).map(tuple),
        st.lists(TEXTS, max_size=3).map(tuple),
        TEXTS,
        st.none()
        | st.builds(
            Quota, st.integers(1, 10**9), st.integers(1, 10**6).map(lambda s: timedelta(seconds=s))
        ),
        MOMENTS,
        MOMENTS,
    )
)
def test_terms_are_read_as_they_were_written(terms: Terms) -> None:
    assert encoding.decode_terms(encoding.encode_terms(terms)) == terms
    assert encoding.decode_terms("") == NO_TERMS


def test_mappings_and_what_is_said_are_read_as_they_were_written() -> None:
    (client,) = read(DECLARED)
    assert encoding.decode_mapping(encoding.encode_mapping(MAPPING)) == MAPPING
    about = client.services[0].about
    assert encoding.decode_about(encoding.encode_about(about)) == about


@given(st.text(alphabet='{}[]":,efilds0', max_size=40))
def test_any_text_is_terms_or_refused(text: str) -> None:
    try:
        encoding.decode_terms(text)
    except MalformedMessage:
        return


@pytest.mark.parametrize(
    "text",
    ['{"endpoints":7}', '{"endpoints":[{"views":[{"name":"a","source":"b","rule":"x"}]}]}',
     "[" * 100_000, '{"endpoints":[' + "{}," * 600 + "{}]}"],
)  # fmt: skip
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        encoding.decode_mapping(text)
