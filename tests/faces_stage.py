"""A small catalog as readers meet it, one of hostile texts, and a large one."""

from datetime import UTC, date, datetime

from catalog.about import About, Contact, LifeCycle, LifeState
from catalog.central.entries import Availability, Catalog, CatalogMember, CatalogService
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
from catalog.meaning.vocabulary import (
    Authority,
    Concept,
    EvidenceType,
    FactType,
    Labels,
    Procedure,
    Purpose,
    Requirement,
    Sensitivity,
    ServiceTemplate,
    TemplateInstance,
    Vocabulary,
)
from catalog.services import ServiceType
from trust.ids import ClientId, ServiceId

DAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

CIVIL = ClientId("SANDBOX", "GOV", "1001", "population")
TAX = ClientId("SANDBOX", "GOV", "1002", "income")
SOCIAL = ClientId("SANDBOX", "GOV", "1003", "contributions")
TOWN = ClientId("SANDBOX", "MUN", "2001", "benefits")

PERSONS = ServiceId(CIVIL, "persons")
INCOME = ServiceId(TAX, "income")
STATUS = ServiceId(SOCIAL, "contributionStatus", "v1")
OLD = ServiceId(CIVIL, "oldPersons")
DRAFT = ServiceId(TOWN, "schools")
GONE = ServiceId(TOWN, "paper")
ADDRESSES = ServiceId(TOWN, "addresses")

_BASE = "https://facts.example.org/"
BIRTH_DATE = _BASE + "person/birthDate"
FULL_AGE = _BASE + "person/ofFullAge"
ADDRESS = _BASE + "person/address"
HOUSEHOLD = _BASE + "household/income"
PAID = _BASE + "social/contributionsPaid"
SCHOOL = _BASE + "school/attended"
BENEFIT = _BASE + "procedure/school-benefit"
PURPOSE = _BASE + "purpose/school-benefits"
IDENTITY = _BASE + "requirement/identity"
NEED = _BASE + "requirement/need"
PUPIL = _BASE + "requirement/pupil"
TAX_NOTICE = _BASE + "evidence/tax-notice"
SOCIAL_NOTICE = _BASE + "evidence/social-notice"
TEMPLATE = _BASE + "template/addresses"
NATIONAL_ID = "urn:example:national-id"


def _labels(en: str, es: str = "") -> Labels:
    return {"en": en, "es": es} if es else {"en": en}


CONCEPTS = (
    Concept(
        BIRTH_DATE, _labels("Date of birth", "Fecha de nacimiento"), FactType.DATE,
        "The day on which a person was born, as it stands in the civil register.",
    ),
    Concept(FULL_AGE, _labels("Of full age", "Mayor de edad"), FactType.BOOLEAN),
    Concept(ADDRESS, _labels("Address", "Domicilio"), FactType.RECORD, "Where a person lives."),
    Concept(HOUSEHOLD, _labels("Household income"), FactType.NUMBER),
    Concept(
        PAID, _labels("Contributions are paid"), FactType.BOOLEAN,
        sensitivity=Sensitivity.SPECIAL,
    ),
    Concept(SCHOOL, _labels("School attended"), sensitivity=Sensitivity.PUBLIC),
)  # fmt: skip

VOCABULARY = Vocabulary(
    concepts=CONCEPTS,
    evidence_types=(
        EvidenceType(TAX_NOTICE, _labels("Tax notice"), (HOUSEHOLD,)),
        EvidenceType(SOCIAL_NOTICE, _labels("Notice of contributions"), (PAID, HOUSEHOLD)),
    ),
    requirements=(
        Requirement(IDENTITY, _labels("Who the child is"), (BIRTH_DATE, ADDRESS)),
        Requirement(NEED, _labels("That the household needs it"), (), (TAX_NOTICE, SOCIAL_NOTICE)),
        Requirement(PUPIL, _labels("That the child goes to school"), (SCHOOL,)),
    ),
    purposes=(Purpose(PURPOSE, _labels("School benefits"), "School Benefits Act, section 4"),),
    procedures=(
        Procedure(
            BENEFIT, _labels("School benefit", "Ayuda escolar"), (IDENTITY, NEED, PUPIL), PURPOSE,
            (TOWN,),
        ),
    ),
    authorities=(
        Authority((BIRTH_DATE, FULL_AGE), PERSONS, (OLD,), valid_from=date(2020, 1, 1)),
        Authority((HOUSEHOLD,), INCOME, valid_from=date(2024, 7, 1)),
        Authority((PAID,), STATUS),
        Authority((SCHOOL,), DRAFT, territory="MUN-2001"),
    ),
    templates=(
        ServiceTemplate(
            TEMPLATE, _labels("Addresses of a municipality"), (ADDRESS,),
            "https://example.org/addresses.json", (TemplateInstance(ADDRESSES, "MUN-2001"),),
        ),
    ),
)  # fmt: skip

_PERSON = EndpointMapping(
    "GET",
    "/persons/{nationalId}",
    SubjectParameter("nationalId", NATIONAL_ID),
    (FixedParameter("language", Place.QUERY, "en"),),
    (
        FieldMapping("birthDate", "/birth/date", BIRTH_DATE, FactType.DATE),
        FieldMapping("address", "/address", "", FactType.RECORD),
        FieldMapping("names", "/names/*", ""),
    ),
    (View("ofFullAge", "birthDate", Rule.YEARS_AT_LEAST, "18", FULL_AGE),),
)
_INCOME = EndpointMapping(
    "POST",
    "/household",
    SubjectParameter("/person/id", NATIONAL_ID, Place.BODY),
    (FixedParameter("year", Place.QUERY, "{last_year}"),),
    (FieldMapping("income", "/total", HOUSEHOLD, FactType.NUMBER),),
)
_STATUS = EndpointMapping(
    subject=SubjectParameter("/statusRequest/id", NATIONAL_ID, Place.BODY),
    fields=(FieldMapping("paid", "/statusResponse/paid", PAID, FactType.BOOLEAN),),
)
_ADDRESS = EndpointMapping(
    "GET",
    "/addresses/{id}",
    SubjectParameter("id", NATIONAL_ID),
    fields=(FieldMapping("address", "/", ADDRESS, FactType.RECORD),),
)

SERVICES = (
    CatalogService(
        PERSONS, ServiceType.OPENAPI, "Persons by national id",
        About(
            "Birth, names and address of residents.",
            contact=Contact(
                "Register desk", "desk@civil.example.org", "+502 2416 1900",
                "https://civil.example.org/help",
            ),
            terms="https://civil.example.org/terms",
            keywords=("person", "birth", "address"),
        ),
        ("GET /persons/*", "GET /names"), ServiceMapping((_PERSON,)),
        description_digest="ab" * 32,
        availability=Availability(datetime(2026, 11, 1, tzinfo=UTC), 4210, 4203),
    ),
    CatalogService(
        INCOME, ServiceType.OPENAPI, "Income of a household",
        About("What a household earned in a year.", terms="For benefits only."),
        ("POST /household",), ServiceMapping((_INCOME,)),
    ),
    CatalogService(
        STATUS, ServiceType.WSDL, "Status of contributions", mapping=ServiceMapping((_STATUS,)),
        plain=True, unheard_since=datetime(2026, 11, 18, 7, 0, tzinfo=UTC),
    ),
    CatalogService(
        OLD, ServiceType.REST, "Persons, the old way",
        About(
            "As before 2020.",
            LifeCycle(LifeState.DEPRECATED, date(2027, 6, 1), "Persons by national id"),
        ),
    ),
    CatalogService(DRAFT, ServiceType.REST, "Schools", About(life=LifeCycle(LifeState.DRAFT))),
    CatalogService(GONE, ServiceType.REST, "Paper", About(life=LifeCycle(LifeState.WITHDRAWN))),
    CatalogService(
        ADDRESSES, ServiceType.OPENAPI, "Addresses",
        About("Who lives where.", territory="MUN-2001", template=TEMPLATE),
        ("GET /addresses/*",), ServiceMapping((_ADDRESS,)),
    ),
)  # fmt: skip

MEMBERS = (
    CatalogMember(CIVIL.member, "Civil Registry"),
    CatalogMember(CIVIL, "Population register"),
    CatalogMember(TAX.member, "Tax Authority"),
    CatalogMember(SOCIAL.member, "Social Security"),
    CatalogMember(TOWN.member, "Municipality of Sacbe"),
)

CATALOG = Catalog("SANDBOX", 17, NOW, MEMBERS, SERVICES, VOCABULARY)


def large_catalog(services: int = 5_000, fields: int = 10) -> Catalog:
    """Many services of many institutions with as many facts, all different in name only."""
    concepts = tuple(
        Concept(f"{_BASE}many/{number}", _labels(f"Fact number {number}"))
        for number in range(services)
    )
    owners = [ClientId("SANDBOX", "GOV", str(10_000 + number), "x") for number in range(500)]
    return Catalog(
        "SANDBOX",
        1,
        NOW,
        tuple(CatalogMember(one.member, f"Institution {one.member_code}") for one in owners),
        tuple(
            CatalogService(
                ServiceId(owners[number % 500], f"service{number}"),
                ServiceType.OPENAPI,
                f"Service number {number}",
                mapping=ServiceMapping(
                    (
                        EndpointMapping(
                            "GET",
                            "/things/{id}",
                            SubjectParameter("id", NATIONAL_ID),
                            fields=tuple(
                                FieldMapping(
                                    f"field{at}",
                                    f"/field{at}",
                                    concepts[(number + at) % services].uri,
                                )
                                for at in range(fields)
                            ),
                        ),
                    )
                ),
            )
            for number in range(services)
        ),
        Vocabulary(
            concepts=concepts,
            authorities=tuple(
                Authority((one.uri,), ServiceId(owners[number % 500], f"service{number}"))
                for number, one in enumerate(concepts)
            ),
        ),
    )
