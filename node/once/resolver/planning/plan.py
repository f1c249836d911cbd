"""Which services are asked for which facts, in which order, and what is not to be had.

    plan = make_plan(index, Wish(("urn:x:birthDate",), scheme="urn:x:national-id", day=today))

The authority's service is asked, or the first of its alternates that can be. Facts of one endpoint
are one exchange; a service's endpoints are chosen so that they are few. Where a service knows the
subject by another identifier, an earlier stage asks the registry that has it; where authorities
differ by territory and the subject's is unknown, it is asked first and the rest planned then.

The same input gives the same plan. Source: design.md 5; the EU's data service directory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from catalog.central.entries import CatalogService
from catalog.mapping import EndpointMapping
from node.once.resolver.planning.cover import smallest_cover
from node.once.resolver.planning.index import CatalogIndex
from node.once.resolver.planning.needs import Needed, is_offered, needed_for
from node.once.resolver.planning.options import (
    MAX_LINKS,
    Bounds,
    Deferred,
    Option,
    Options,
    Place,
    Wish,
    scheme_of,
)
from node.once.resolver.planning.reasons import Missing, Reason
from trust.ids import ServiceId

__all__ = ["MAX_LINKS", "NO_BOUNDS", "Bounds", "Plan", "PlannedExchange", "Wish", "make_plan"]


@dataclass(frozen=True, slots=True)
class PlannedExchange:
    """One question to one endpoint.

    Attributes:
        stage: from 0; those of a stage need nothing of one another.
        asked: concept URIs with the names that the endpoint has for them.
        alternates: services that are asked next for some of them when this one fails.
    """

    stage: int
    service: CatalogService
    endpoint: EndpointMapping
    scheme: str
    asked: tuple[tuple[str, str], ...]
    alternates: tuple[ServiceId, ...] = ()

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(concept for concept, _ in self.asked)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.asked)


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        wanted: all concepts, of a procedure those that its requirements come to.
        evidence_types: what the requirements are met with.
        deferred: facts that are planned when the subject's territory is known.
        missing: in the order of `wanted`.
    """

    wanted: tuple[str, ...]
    exchanges: tuple[PlannedExchange, ...] = ()
    evidence_types: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @cached_property
    def stages(self) -> tuple[tuple[PlannedExchange, ...], ...]:
        last = max((one.stage for one in self.exchanges), default=-1)
        return tuple(
            tuple(one for one in self.exchanges if one.stage == stage) for stage in range(last + 1)
        )


NO_BOUNDS = Bounds()


def make_plan(index: CatalogIndex, wish: Wish, bounds: Bounds = NO_BOUNDS) -> Plan:
    """Plan; a procedure that the wish names is one of the vocabulary."""
    options = Options(index, wish, bounds)
    planner = _Planner(index, options)
    if not wish.procedure:
        return planner.plan(Needed(tuple(dict.fromkeys(wish.concepts))))
    vocabulary = index.catalog.vocabulary
    procedure = vocabulary.procedure[wish.procedure]
    needed = needed_for(procedure, vocabulary, options.can_be_had)
    if wish.client is not None and not is_offered(procedure, wish.client):
        reason = Reason.PROCEDURE_NOT_OFFERED
        refused = tuple(Missing(each, reason, str(wish.client)) for each in needed.concepts)
        return Plan(needed.concepts, missing=refused)
    return planner.plan(needed)


@dataclass(frozen=True, slots=True)
class _Planner:
    index: CatalogIndex
    options: Options

    def plan(self, needed: Needed) -> Plan:
        options = {concept: self.options.of(concept) for concept in needed.concepts}
        missing = {concept: one for concept, one in options.items() if isinstance(one, Missing)}
        deferred = [concept for concept, one in options.items() if isinstance(one, Deferred)]
        wanted = [concept for concept, one in options.items() if isinstance(one, Option)]
        if deferred:
            why = self.options.territory_missing()
            if why is None:
                wanted.append(self.index.catalog.vocabulary.territory_concept)
            else:
                reason = Reason.TERRITORY_UNKNOWN
                missing |= {one: Missing(one, reason, why.text) for one in deferred}
                deferred = []
        return Plan(
            needed.concepts,
            self._exchanges(tuple(dict.fromkeys(wanted))),
            needed.evidence_types,
            tuple(deferred),
            (*needed.missing, *(missing[one] for one in needed.concepts if one in missing)),
        )

    def _exchanges(self, concepts: tuple[str, ...]) -> tuple[PlannedExchange, ...]:
        first = self._assigned(concepts, {})
        chosen = self._assigned(concepts, self._links_for(first.values()))
        links = self._links_for(chosen.values())
        chosen = {concept: links.get(concept, place) for concept, place in chosen.items()}
        grouped: dict[Place, list[str]] = {}
        for concept, place in (chosen | self._links_for(chosen.values())).items():
            grouped.setdefault(place, []).append(concept)
        made = [self._exchange(place, asked) for place, asked in grouped.items()]
        return tuple(sorted(made, key=lambda one: one.stage))

    def _assigned(self, concepts: Iterable[str], links: Mapping[str, Place]) -> dict[str, Place]:
        """The endpoint for each fact; those of `links` are asked anyway."""
        free = frozenset(links.values())
        known = frozenset(self._scheme_of_link(one) for one in links)
        by_service: dict[ServiceId, list[str]] = {}
        for concept in concepts:
            by_service.setdefault(self._had(concept).service.id, []).append(concept)
        found: dict[str, Place] = {}
        for service, asked in by_service.items():
            offers: dict[int, list[str]] = {}
            for concept in asked:
                for endpoint in self._had(concept).endpoints:
                    offers.setdefault(endpoint, []).append(concept)
            weights = {one: self._weight((service, one), free, known) for one in offers}
            cover = smallest_cover(asked, offers, weights)
            found |= {concept: (service, endpoint) for concept, endpoint in cover.items()}
        return {concept: found[concept] for concept in concepts}

    def _weight(self, place: Place, free: frozenset[Place], known: frozenset[str]) -> int:
        """Exchanges that an endpoint costs, those for the identifier it needs included."""
        if place in free:
            return 0
        scheme = scheme_of(self.index.catalog.service[place[0]], place[1])
        return 1 if scheme in known else 1 + self.options.depth(scheme)

    def _links_for(self, places: Iterable[Place]) -> dict[str, Place]:
        """The facts that name the subject for these endpoints, and where they are asked for."""
        found: dict[str, Place] = {}
        waiting = list(places)
        while waiting:
            service, endpoint = waiting.pop(0)
            link = self.options.link_to(scheme_of(self.index.catalog.service[service], endpoint))
            if link is not None and link[0] not in found:
                found[link[0]] = link[1]
                waiting.append(link[1])
        return found

    def _exchange(self, place: Place, concepts: list[str]) -> PlannedExchange:
        service = self.index.catalog.service[place[0]]
        endpoint = service.mapping.endpoints[place[1]]
        alternates: dict[ServiceId, None] = {}
        for concept in concepts:
            alternates |= dict.fromkeys(self._had(concept).alternates)
        scheme = scheme_of(service, place[1])
        return PlannedExchange(
            self.options.depth(scheme),
            service,
            endpoint,
            scheme,
            tuple((concept, endpoint.names_of[concept]) for concept in concepts),
            tuple(alternates),
        )

    def _had(self, concept: str) -> Option:
        option = self.options.of(concept)
        if not isinstance(option, Option):
            raise AssertionError("only facts that can be had are asked for")
        return option

    def _scheme_of_link(self, concept: str) -> str:
        return self.index.catalog.vocabulary.concept[concept].identifies
