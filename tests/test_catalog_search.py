"""Services are found by what they know, what they are called, and whose they are."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.about import About, LifeCycle, LifeState
from catalog.central.entries import Catalog, CatalogMember, CatalogService
from catalog.central.search import CatalogQuery, SearchIndex
from catalog.mapping import EndpointMapping, FieldMapping, Rule, ServiceMapping, View
from catalog.meaning.vocabulary import (
    Concept,
    EvidenceType,
    Procedure,
    Purpose,
    Requirement,
    Vocabulary,
)
from catalog.services import ServiceType
from tests.pki import NOON
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

TODAY = date(2026, 11, 21)
PERSONS = ClientId("EX", "GOV", "1001", "persons")
TAXES = ClientId("EX", "GOV", "1002", "taxes")
BIRTH, ADULT, INCOME = "urn:ex:birth", "urn:ex:adult", "urn:ex:income"


def service(provider: ClientId, code: str, *concepts: str, **said: object) -> CatalogService:
    title = str(said.pop("title", ""))
    fields = tuple(FieldMapping(f"f{n}", f"/f{n}", uri) for n, uri in enumerate(concepts))
    return CatalogService(
        ServiceId(provider, code),
        ServiceType.OPENAPI,
        title=title,
        about=About(**said),  # type: ignore[arg-type]  # named by the test
        mapping=ServiceMapping((EndpointMapping("GET", "/", fields=fields),)),
    )


VOCABULARY = Vocabulary(
    concepts=(
        Concept(BIRTH, {"en": "Date of birth", "es": "Fecha de nacimiento"}),
        Concept(ADULT, {"en": "Of age"}),
        Concept(INCOME, {"en": "Income of a year", "fr": "Revenu à l'année"}),
    ),
    evidence_types=(EvidenceType("urn:ex:paper", {"en": "Paper"}, (INCOME,)),),
    requirements=(Requirement("urn:ex:need", {"en": "Need"}, (), ("urn:ex:paper",)),),
    purposes=(Purpose("urn:ex:school", {"en": "School benefits"}, "Act 1"),),
    procedures=(
        Procedure("urn:ex:case", {"en": "Case"}, ("urn:ex:need", "urn:ex:lost"), "urn:ex:school"),
    ),
)
CIVIL = service(PERSONS, "personData", BIRTH, title="Civil register", keywords=("person", "Acta"))
CIVIL = replace(
    CIVIL,
    mapping=ServiceMapping(
        (
            replace(
                CIVIL.mapping.endpoints[0],
                views=(View("grown", "f0", Rule.YEARS_AT_LEAST, "18", ADULT),),
            ),
        )
    ),
)
OLD = service(
    PERSONS, "oldPersons", BIRTH, title="Persons as before",
    life=LifeCycle(LifeState.DEPRECATED, TODAY + timedelta(days=1)),
)  # fmt: skip
SOON = service(TAXES, "soon", INCOME, title="Draft", life=LifeCycle(LifeState.DRAFT))
GONE = service(TAXES, "gone", INCOME, title="Gone", life=LifeCycle(LifeState.WITHDRAWN))
TAX = service(
    TAXES, "income", INCOME, title="Income", description="What persons earned", territory="N"
)
CATALOG = Catalog(
    "EX", 1, NOON,
    members=(
        CatalogMember(PERSONS.member, "Ministry of the Interior"),
        CatalogMember(TAXES.member, "Tax Authority"),
        CatalogMember(TAXES, "Declarations"),
    ),
    services=(CIVIL, OLD, SOON, GONE, TAX),
    vocabulary=VOCABULARY,
)  # fmt: skip
INDEX = SearchIndex(CATALOG)


def found(**asked: object) -> list[str]:
    query = CatalogQuery(**asked)  # type: ignore[arg-type]  # named by the test
    return [hit.service.id.service_code for hit in INDEX.search(query, TODAY).hits]


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ({}, ["personData", "income", "oldPersons"]),
        ({"concept": BIRTH}, ["personData", "oldPersons"]),
        ({"concept": "fecha de NACIMIENTO"}, ["personData", "oldPersons"]),
        ({"concept": "revenu annee"}, ["income"]),
        ({"concept": ADULT}, ["personData"]),
        ({"concept": "urn:ex:nothing"}, []),
        ({"concept": "no such label"}, []),
        ({"purpose": "urn:ex:school"}, ["income"]),
        ({"purpose": "school benefits"}, ["income"]),
        ({"purpose": "something else"}, []),
        ({"purpose": "urn:ex:school", "concept": BIRTH}, []),
        ({"keyword": "acta"}, ["personData"]),
        ({"keyword": "act"}, []),
        ({"member": "GOV:1002"}, ["income"]),
        ({"member": "EX:GOV:1001:persons"}, ["personData", "oldPersons"]),
        ({"member": "tax auth"}, ["income"]),
        ({"member": "declarations"}, ["income"]),
        ({"territory": "N"}, ["personData", "income", "oldPersons"]),
        ({"territory": "S"}, ["personData", "oldPersons"]),
        ({"text": "data"}, ["personData"]),
        ({"text": "PERSONDATA"}, ["personData"]),
        ({"text": "interior birth"}, ["personData", "oldPersons"]),
        ({"text": "grown"}, ["personData"]),
        ({"text": "earn"}, ["income"]),
        ({"text": "persons earn"}, ["income"]),
        ({"text": "earn nothing"}, []),
        ({"member": "GOV:1002", "drafts": True}, ["income", "soon"]),
        ({"member": "GOV:1002", "withdrawn": True}, ["income", "gone"]),
    ],
)
def test_services_are_found(asked: dict[str, object], codes: list[str]) -> None:
    assert found(**asked) == codes


def test_a_name_comes_before_a_description_and_a_word_before_its_beginning() -> None:
    assert found(text="persons") == ["oldPersons", "personData", "income"]
    assert found(text="income") == ["income"]


def test_a_deprecated_service_is_withdrawn_from_its_day_on() -> None:
    later = TODAY + timedelta(days=1)
    shown = INDEX.search(CatalogQuery(concept=BIRTH), later).hits
    assert [hit.service for hit in shown] == [CIVIL]
    hits = INDEX.search(CatalogQuery(concept=BIRTH, withdrawn=True), later).hits
    assert [hit.state for hit in hits] == [LifeState.PUBLISHED, LifeState.WITHDRAWN]
    assert [hit.concepts for hit in hits] == [(BIRTH,), (BIRTH,)]


def test_pages_are_parts_of_the_whole() -> None:
    whole = found(size=200, drafts=True, withdrawn=True)
    pages = [found(size=2, page=page, drafts=True, withdrawn=True) for page in (1, 2, 3, 4)]
    assert [one for page in pages for one in page] == whole
    page = INDEX.search(CatalogQuery(size=2, page=9, drafts=True, withdrawn=True), TODAY)
    assert (page.total, page.pages, page.hits) == (5, 3, ())


@pytest.mark.parametrize(
    "asked",
    [
        {"text": "x" * 301}, {"text": "a b c d e f g h i j k"}, {"page": 0}, {"page": 10_001},
        {"size": 0}, {"size": 201}, {"concept": "x" * 301}, {"member": "x" * 301},
    ],
)  # fmt: skip
def test_queries_are_bounded(asked: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage):
        found(**asked)


@settings(max_examples=200)
@given(
    st.text(alphabet="persondatif :|\t\né", max_size=20),
    st.text(alphabet="dateofbirth |\t\n0123:", max_size=20),
)
def test_any_words_are_looked_for(text: str, concept: str) -> None:
    """What was asked narrows; it never finds what asking less does not."""
    assert set(found(text=text, concept=concept)) <= set(found(text=text)) & set(
        found(concept=concept)
    )


def test_an_empty_catalog_has_nothing() -> None:
    index = SearchIndex(Catalog("EX", 1, NOON))
    page = index.search(CatalogQuery(text="a", concept="b"), TODAY)
    assert (page.total, page.pages) == (0, 1)
