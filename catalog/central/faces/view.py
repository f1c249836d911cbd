"""A catalog as readers look it up: what has a fact, who counts for it, what belongs to whom."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from catalog.central.entries import Catalog, CatalogService
from catalog.central.search import SearchIndex
from catalog.central.search_words import concepts_of
from catalog.grouping import grouped
from catalog.mapping import EndpointMapping
from catalog.meaning.vocabulary import Authority, Procedure, Requirement
from trust.ids import ClientId, ServiceId


def uri_segment(uri: str) -> str:
    """A URI as one segment of a path."""
    return quote(uri, safe="", errors="replace")


@dataclass(frozen=True, slots=True)
class Holding:
    """A place in a service's answers where a fact stands.

    Attributes:
        path: empty for a derived fact, which `rule` tells of.
    """

    service: CatalogService
    endpoint: EndpointMapping
    name: str
    path: str = ""
    rule: str = ""


@dataclass(frozen=True)
class CatalogView:
    """One version of the catalog with its indexes, made when they are first needed."""

    catalog: Catalog

    @cached_property
    def index(self) -> SearchIndex:
        """For searching."""
        return SearchIndex(self.catalog)

    @cached_property
    def service_at(self) -> Mapping[str, CatalogService]:
        """Services by the path form of their identifiers."""
        return {one.id.path: one for one in self.catalog.services}

    @cached_property
    def by_title(self) -> tuple[CatalogService, ...]:
        """Services as a list for people has them."""
        order = sorted(
            self.catalog.services, key=lambda one: (title_of(one).casefold(), one.id.path)
        )
        return tuple(order)

    @cached_property
    def services_with(self) -> Mapping[str, tuple[CatalogService, ...]]:
        """Who has a fact, by concept URI; authoritative or not."""
        alone = ((one,) for one in self.catalog.services)
        return grouped(
            (concept, one) for one in alone for concept in dict.fromkeys(concepts_of(one[0]))
        )

    def holdings(self, concept: str) -> tuple[Holding, ...]:
        """Every place where a fact stands."""
        services = self.services_with.get(concept, ())
        return tuple(holding for one in services for holding in _holdings(one, concept))

    @cached_property
    def clients(self) -> Mapping[str, ClientId]:
        """Members and subsystems by the path form of their identifiers."""
        named = {one.id for one in self.catalog.members}
        offering = {one.id.provider for one in self.catalog.services}
        everybody = named | offering
        everybody |= {one.member for one in everybody}
        return {one.path: one for one in sorted(everybody, key=lambda one: one.parts)}

    @cached_property
    def members(self) -> tuple[ClientId, ...]:
        """Institutions, by the names that people know them by."""
        owners = {one.member for one in self.clients.values()}
        return tuple(sorted(owners, key=lambda one: (self.name_of(one).casefold(), one.parts)))

    @cached_property
    def services_of(self) -> Mapping[ClientId, tuple[CatalogService, ...]]:
        """Services by subsystem, and by the member that owns it."""
        found: dict[ClientId, list[CatalogService]] = {}
        for service in self.catalog.services:
            for owner in dict.fromkeys((service.id.provider, service.id.provider.member)):
                found.setdefault(owner, []).append(service)
        return {owner: tuple(services) for owner, services in found.items()}

    @cached_property
    def authority_of(self) -> Mapping[ServiceId, tuple[Authority, ...]]:
        """What services are the authority for, those that templates bring included."""
        found: dict[ServiceId, dict[int, Authority]] = {}
        for authorities in self.catalog.vocabulary.authorities_of.values():
            for authority in authorities:
                found.setdefault(authority.service, {})[id(authority)] = authority
        return {service: tuple(ones.values()) for service, ones in found.items()}

    @cached_property
    def procedures_with(self) -> Mapping[str, tuple[Procedure, ...]]:
        """Procedures by the concepts that they may need."""
        found: dict[str, dict[str, Procedure]] = {}
        for procedure in self.catalog.vocabulary.procedures:
            for uri in procedure.requirements:
                for concept in self.concepts_of(self.catalog.vocabulary.requirement.get(uri)):
                    found.setdefault(concept, {})[procedure.uri] = procedure
        return {concept: tuple(ones.values()) for concept, ones in found.items()}

    def concepts_of(self, requirement: Requirement | None) -> tuple[str, ...]:
        """Every concept that a requirement may ask for."""
        if requirement is None:
            return ()
        found = list(requirement.concepts)
        for uri in requirement.evidence_types:
            evidence = self.catalog.vocabulary.evidence_type.get(uri)
            found += evidence.concepts if evidence else ()
        return tuple(dict.fromkeys(found))

    def name_of(self, client: ClientId) -> str:
        """The name that people know an institution or its system by, else its code."""
        named = self.catalog.name_of.get(client)
        return named or client.parts[-1]

    def full_name(self, client: ClientId) -> str:
        """Institution, and which of its systems."""
        if client.subsystem_code is None:
            return self.name_of(client)
        own = self.catalog.name_of.get(client)
        owner = self.name_of(client.member)
        return f"{owner}: {own or client.subsystem_code}" if own != owner else owner


def _holdings(service: CatalogService, concept: str) -> Iterable[Holding]:
    for endpoint in service.mapping.endpoints:
        for field in endpoint.fields:
            if field.concept == concept:
                yield Holding(service, endpoint, field.name, field.path)
        for view in endpoint.views:
            if view.concept == concept:
                rule = f"{view.rule} {view.value}".strip()
                yield Holding(service, endpoint, view.name, rule=rule)


def title_of(service: CatalogService) -> str:
    """A name for people: its title, else its code."""
    return service.title.strip() or service.id.service_code
