"""Catalogs of a few services, made by hand or by chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from hypothesis import strategies as st

from catalog.about import About, LifeCycle, LifeState
from catalog.central.entries import Catalog, CatalogService
from catalog.mapping import EndpointMapping, FieldMapping, ServiceMapping, SubjectParameter
from catalog.meaning.vocabulary import Authority, Concept, Vocabulary
from catalog.services import ServiceType
from trust.ids import ClientId, ServiceId

DAY = date(2026, 6, 1)
PERSON = "urn:t:person"
SCHEMES = (PERSON, "urn:t:tax", "urn:t:land", "urn:t:ship")
FACTS = tuple(f"urn:t:fact{number}" for number in range(6))
LINKS = tuple(f"urn:t:id:{number}" for number in range(1, len(SCHEMES)))
TERRITORY = "urn:t:territory"


def service_id(number: int) -> ServiceId:
    return ServiceId(ClientId("T", "GOV", f"{number:04}", "registry"), f"s{number}")


def concepts() -> tuple[Concept, ...]:
    links = (Concept(uri, {}, identifies=SCHEMES[place]) for place, uri in enumerate(LINKS, 1))
    return (*(Concept(uri, {}) for uri in (*FACTS, TERRITORY)), *links)


def endpoint(scheme: str, facts: Sequence[str], path: str = "/{id}") -> EndpointMapping:
    fields = tuple(FieldMapping(f"f{one.rpartition(':')[2]}", f"/{one}", one) for one in facts)
    return EndpointMapping("GET", path, SubjectParameter("id", scheme), fields=fields)


def service(number: int, *endpoints: EndpointMapping, **changes: object) -> CatalogService:
    made = CatalogService(
        service_id(number), ServiceType.OPENAPI, mapping=ServiceMapping(endpoints)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def catalog(
    services: Sequence[CatalogService], authorities: Sequence[Authority], **vocabulary: object
) -> Catalog:
    said = Vocabulary(concepts=concepts(), authorities=tuple(authorities))
    return Catalog(
        "T",
        1,
        datetime(2026, 1, 1, tzinfo=UTC),
        services=tuple(services),
        vocabulary=replace(said, **vocabulary),  # type: ignore[arg-type]
    )


def withdrawn(number: int, *endpoints: EndpointMapping) -> CatalogService:
    return service(number, *endpoints, about=About(life=LifeCycle(LifeState.WITHDRAWN)))


@dataclass(frozen=True)
class Chance:
    """Which services there are, and who is the authority for what."""

    services: tuple[CatalogService, ...]
    authorities: tuple[Authority, ...]
    territory_concept: str

    def catalog(self) -> Catalog:
        return catalog(self.services, self.authorities, territory_concept=self.territory_concept)


_facts = st.lists(st.sampled_from((*FACTS, *LINKS, TERRITORY)), min_size=1, max_size=4, unique=True)
_endpoints = st.builds(endpoint, st.sampled_from(SCHEMES), _facts)
_services = st.lists(
    st.tuples(st.lists(_endpoints, min_size=1, max_size=3), st.booleans()), min_size=1, max_size=5
)


@st.composite
def chances(draw: st.DrawFn) -> Chance:
    made = draw(_services)
    services = tuple(
        (withdrawn if gone and number % 2 else service)(number, *endpoints)
        for number, (endpoints, gone) in enumerate(made)
    )
    ids = st.sampled_from([one.id for one in services] + [service_id(99)])
    authorities = []
    for concept in (*FACTS, *LINKS, TERRITORY):
        if draw(st.integers(0, 5)) == 0:
            continue
        territory = draw(st.sampled_from(("", "", "", "T1"))) if concept in FACTS else ""
        others = tuple(draw(st.lists(ids, max_size=2, unique=True)))
        authorities.append(Authority((concept,), draw(ids), others, territory))
    return Chance(services, tuple(authorities), draw(st.sampled_from(("", TERRITORY))))
