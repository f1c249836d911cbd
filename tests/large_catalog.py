"""A catalog as large as that of a whole country, the same for the same numbers.

    catalog = large_catalog(services=5_000, fields=10)      # 50 000 fields

Most services have facts of their own; every twentieth is one of a common kind that each territory
has its own of. A chain of registries names the subject by other identifiers. The procedures ask
for facts from all over.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from catalog.about import About
from catalog.central.entries import Catalog, CatalogMember, CatalogService
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
    Procedure,
    Purpose,
    Requirement,
    Vocabulary,
)
from catalog.services import ServiceType
from trust.ids import ClientId, ServiceId

INSTANCE = "LARGE"
CONCEPT = "urn:large:concept:"
PERSON = "urn:large:scheme:person"
SCHEMES = (PERSON, "urn:large:scheme:tax", "urn:large:scheme:land", "urn:large:scheme:vehicle")
TERRITORY = f"{CONCEPT}territory"
PURPOSE = "urn:large:purpose:1"
_COMMON_KINDS = 5  # facts that every territory has its own service for
_TYPES = (FactType.TEXT, FactType.INTEGER, FactType.DATE, FactType.BOOLEAN, FactType.NUMBER)


def large_catalog(services: int = 5_000, fields: int = 10, seed: int = 1) -> Catalog:
    """Make a catalog.

    Args:
        services: how many there are; a tenth are SOAP services.
        fields: of each service, in two endpoints.
    """
    chance = random.Random(seed)
    made = tuple(_services(services, fields, chance))
    return Catalog(
        instance=INSTANCE,
        version=seed,
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        members=tuple(
            CatalogMember(client, f"Institution number {number}")
            for number, client in enumerate(dict.fromkeys(one.id.provider for one in made))
        ),
        services=made,
        vocabulary=_vocabulary(made, chance),
    )


def procedure(number: int) -> str:
    """The URI of one of the hundred procedures."""
    return f"urn:large:procedure:{number}"


def _services(count: int, fields: int, chance: random.Random) -> Iterator[CatalogService]:
    for number in range(count):
        soap = number % 10 == 9
        provider = ClientId(INSTANCE, "GOV", f"{number // 4:05d}", f"registry{number % 4}")
        service = ServiceId(provider, f"service{number}", "v1" if soap else None)
        territory = f"T{number // 20:04d}" if _is_common(number) else ""
        yield CatalogService(
            service,
            ServiceType.WSDL if soap else ServiceType.OPENAPI,
            title=f"Facts of kind {number}",
            about=About(
                description=f"Answers what registry {number} knows about a subject.",
                keywords=(f"kind{number % 97}", f"area{number % 13}"),
                territory=territory,
            ),
            endpoints=() if soap else ("GET /subjects/{id}", "GET /subjects/{id}/more"),
            mapping=ServiceMapping(tuple(_endpoints(number, fields, soap, chance))),
            plain=number % 7 == 0,
        )


def _is_common(number: int) -> bool:
    return number % 20 == 0


def _endpoints(
    number: int, fields: int, soap: bool, chance: random.Random
) -> Iterator[EndpointMapping]:
    scheme = SCHEMES[0] if number < 100 else chance.choice(SCHEMES)
    halves = (1,) if soap else (1, 2)
    for half in halves:
        own = range(fields) if soap else range(fields)[half - 1 :: 2]
        yield EndpointMapping(
            method="" if soap else "GET",
            path="" if soap else ("/subjects/{id}" if half == 1 else "/subjects/{id}/more"),
            subject=(
                SubjectParameter(f"/service{number}/id", scheme, Place.BODY)
                if soap
                else SubjectParameter("id", scheme)
            ),
            parameters=(FixedParameter("year", Place.QUERY, "{last_year}"),) if half == 2 else (),
            fields=tuple(_field(number, each, soap) for each in own),
            views=(
                View("grown", f"field{own[0]}", Rule.PRESENT, concept=_concept(number, "derived")),
            ),
        )


def _field(number: int, field: int, soap: bool) -> FieldMapping:
    path = f"/service{number}Response/part{field // 4}/field{field}"
    return FieldMapping(
        f"field{field}",
        path if soap else path.replace(f"/service{number}Response", ""),
        _concept_of_field(number, field),
        FactType.TEXT if number < 100 and field == 0 else _TYPES[field % len(_TYPES)],
    )


def _concept_of_field(number: int, field: int) -> str:
    if 1 <= number < len(SCHEMES) and field == 0:
        return f"{CONCEPT}identifier:{number}"
    if number == len(SCHEMES) and field == 0:
        return TERRITORY
    if _is_common(number) and field < _COMMON_KINDS:
        return f"{CONCEPT}common:{field}"
    return _concept(number, str(field))


def _concept(number: int, field: str) -> str:
    return f"{CONCEPT}{number}:{field}"


def _concepts(services: Sequence[CatalogService]) -> Iterator[Concept]:
    found: dict[str, FactType] = {}
    for service in services:
        for endpoint in service.mapping.endpoints:
            for field in endpoint.fields:
                found.setdefault(field.concept, field.type)
            for view in endpoint.views:
                found.setdefault(view.concept, FactType.BOOLEAN)
    for uri, kind in found.items():
        label = uri.removeprefix(CONCEPT).replace(":", " ")
        concept = Concept(uri, {"en": f"fact {label}", "es": f"dato {label}"}, kind)
        number = uri.removeprefix(f"{CONCEPT}identifier:")
        yield replace(concept, identifies=SCHEMES[int(number)]) if number != uri else concept


def _vocabulary(services: Sequence[CatalogService], chance: random.Random) -> Vocabulary:
    concepts = tuple(_concepts(services))
    papers = tuple(_evidence_types(services))
    requirements, procedures = _procedures(papers, chance)
    return Vocabulary(
        concepts=concepts,
        evidence_types=papers,
        requirements=requirements,
        purposes=(Purpose(PURPOSE, {"en": "A purpose"}, "Act 1, section 2"),),
        procedures=procedures,
        authorities=tuple(_authorities(services)),
        territory_concept=TERRITORY,
    )


def _authorities(services: Sequence[CatalogService]) -> Iterator[Authority]:
    for number, service in enumerate(services):
        concepts = tuple(
            dict.fromkeys(
                concept for endpoint in service.mapping.endpoints for concept in endpoint.names_of
            )
        )
        common = tuple(one for one in concepts if one.startswith(f"{CONCEPT}common:"))
        own = tuple(one for one in concepts if one not in common)
        following = services[(number + 1) % len(services)].id
        yield Authority(own, service.id, alternates=(following,))
        if common:
            yield Authority(common, service.id, territory=service.about.territory)


def _evidence_types(services: Sequence[CatalogService]) -> Iterator[EvidenceType]:
    for number, service in enumerate(services[:500]):
        first = service.mapping.endpoints[0]
        concepts = tuple(one.concept for one in first.fields[:3])
        yield EvidenceType(f"urn:large:paper:{number}", {"en": f"Paper {number}"}, concepts)


def _procedures(
    papers: Sequence[EvidenceType], chance: random.Random
) -> tuple[tuple[Requirement, ...], tuple[Procedure, ...]]:
    requirements, procedures = [], []
    for number in range(100):
        needed = tuple(f"urn:large:requirement:{number}:{each}" for each in range(5))
        for uri in needed:
            chosen = chance.sample(papers, min(2, len(papers)))
            one = Requirement(uri, {"en": uri}, evidence_types=tuple(each.uri for each in chosen))
            requirements.append(one)
        procedures.append(
            Procedure(procedure(number), {"en": f"Service {number}"}, needed, PURPOSE)
        )
    return tuple(requirements), tuple(procedures)
