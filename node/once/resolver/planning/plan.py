"""Which services are asked for which facts, in which order, and what is not to be had.

    plan = make_plan(index, Wish(("urn:x:birthDate",), scheme="urn:x:national-id", day=today))

The authority's service is asked, or the first of its alternates that can be. Facts of one endpoint
are one exchange; a service's endpoints are chosen so that they are few. Where a service knows the
subject by another identifier, an earlier stage asks the registry that has it; where authorities
differ by territory and the subject's is unknown, it is asked first and the rest planned then.

The same input gives the same plan. Source: design.md 5; the EU's data service directory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from catalog.central.entries import CatalogService
from catalog.mapping import EndpointMapping
from catalog.meaning.vocabulary import EVERYWHERE
from node.once.resolver.planning.cover import smallest_cover
from node.once.resolver.planning.index import CatalogIndex, endpoints_with
from node.once.resolver.planning.needs import Needed, is_offered, needed_for
from node.once.resolver.planning.reasons import Missing, Reason
from trust.ids import ClientId, ServiceId

MAX_LINKS = 3  # identifiers on the way from the subject's to the one that a service knows


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be known about one subject.

    Attributes:
        concepts: URIs; none when a procedure says what it must know.
        scheme: of the subject's identifier.
        parameters: names of further parameters that were given.
        client: who asks; None for a plan that is for nobody in particular.
    """

    concepts: tuple[str, ...]
    scheme: str
    day: date
    procedure: str = ""
    territory: str = EVERYWHERE
    parameters: frozenset[str] = frozenset()
    client: ClientId | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a plan that mends an earlier one must keep to.

    Attributes:
        schemes: of identifiers that are known, or will be, beside the subject's.
        without: services that are not asked any more.
        links: whether further identifiers may be asked for.
    """

    schemes: frozenset[str] = frozenset()
    without: frozenset[ServiceId] = frozenset()
    links: bool = True


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
    planner = _Planner(index, wish, bounds)
    if not wish.procedure:
        return planner.plan(Needed(tuple(dict.fromkeys(wish.concepts))))
    vocabulary = index.catalog.vocabulary
    procedure = vocabulary.procedure[wish.procedure]
    needed = needed_for(procedure, vocabulary, planner.can_be_had)
    if wish.client is not None and not is_offered(procedure, wish.client):
        reason = Reason.PROCEDURE_NOT_OFFERED
        refused = tuple(Missing(each, reason, str(wish.client)) for each in needed.concepts)
        return Plan(needed.concepts, missing=refused)
    return planner.plan(needed)


_Place = tuple[ServiceId, int]  # a service and the position of an endpoint in its mapping


@dataclass(frozen=True, slots=True)
class _Option:
    """Where a fact is to be had: one service, any of some endpoints."""

    service: CatalogService
    endpoints: tuple[int, ...]
    alternates: tuple[ServiceId, ...]


@dataclass(frozen=True, slots=True)
class _Deferred:
    """The subject's territory must be known first."""


@dataclass
class _Planner:
    index: CatalogIndex
    wish: Wish
    bounds: Bounds
    _depth: dict[str, int] = field(default_factory=dict)  # of identifiers, by scheme
    _via: dict[str, tuple[str, _Place]] = field(default_factory=dict)  # the fact that has one
    _options: dict[str, _Option | _Deferred | Missing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._depth = dict.fromkeys((self.wish.scheme, *self.bounds.schemes), 0)
        for depth in range(1, MAX_LINKS + 1 if self.bounds.links else 1):
            found = self._reached()
            if not found:
                break
            self._via |= found
            self._depth |= dict.fromkeys(found, depth)

    def _reached(self) -> dict[str, tuple[str, _Place]]:
        """Identifiers that those known so far lead to."""
        found: dict[str, tuple[str, _Place]] = {}
        for link in self.index.links:
            if link.identifies in self._depth or link.identifies in found:
                continue
            option = self._look(link.uri)
            if isinstance(option, _Option):
                nearest = min(option.endpoints, key=lambda one: self._depth_at(option.service, one))
                found[link.identifies] = (link.uri, (option.service.id, nearest))
        return found

    # --- where one fact is to be had --------------------------------------------------------------

    def can_be_had(self, concept: str) -> bool:
        option = self._option(concept)
        if isinstance(option, _Deferred):
            return self._territory_missing() is None
        return isinstance(option, _Option)

    def _option(self, concept: str) -> _Option | _Deferred | Missing:
        found = self._options.get(concept)
        if found is None:
            found = self._options[concept] = self._look(concept)
        return found

    def _look(self, concept: str) -> _Option | _Deferred | Missing:
        wish, vocabulary = self.wish, self.index.catalog.vocabulary
        if concept not in vocabulary.concept:
            return Missing(concept, Reason.UNKNOWN_CONCEPT)
        if not wish.territory and self.index.differs_by_territory(concept, wish.day):
            if vocabulary.territory_concept not in ("", concept):
                return _Deferred()
            return Missing(concept, Reason.TERRITORY_UNKNOWN)
        authority = self.index.authority(concept, wish.territory, wish.day)
        if authority is None:
            return Missing(concept, Reason.NO_AUTHORITY)
        candidates = dict.fromkeys((authority.service, *authority.alternates))
        return self._first_usable(concept, (one for one in candidates if not self._failed(one)))

    def _failed(self, service: ServiceId) -> bool:
        return service in self.bounds.without

    def _first_usable(self, concept: str, candidates: Iterable[ServiceId]) -> _Option | Missing:
        usable: list[tuple[CatalogService, tuple[int, ...]]] = []
        missing: Missing | None = None
        for each in candidates:
            found = self._usable(each, concept)
            if not isinstance(found, Missing):
                usable.append(found)
            elif missing is None:
                missing = found
        if usable:
            (service, endpoints), *others = usable
            return _Option(service, endpoints, tuple(one.id for one, _ in others))
        return missing or Missing(concept, Reason.NO_AUTHORITY)

    def _usable(
        self, service_id: ServiceId, concept: str
    ) -> tuple[CatalogService, tuple[int, ...]] | Missing:
        """The endpoints of a service where a fact can be asked for, or why it can't."""
        service = self.index.service(service_id, self.wish.day)
        if isinstance(service, Reason):
            return Missing(concept, service, str(service_id), service_id)
        places, reason, detail = [], Reason.NO_FIELD, ""
        for place, endpoint in endpoints_with(service, concept):
            why = self._unusable(endpoint)
            if why is None:
                places.append(place)
            elif not detail:
                reason, detail = why
        if places:
            return service, tuple(places)
        return Missing(concept, reason, detail or str(service_id), service_id)

    def _unusable(self, endpoint: EndpointMapping) -> tuple[Reason, str] | None:
        if endpoint.subject is None:
            return Reason.NO_SUBJECT_PARAMETER, ""
        if endpoint.subject.scheme not in self._depth:
            return Reason.NO_IDENTIFIER, endpoint.subject.scheme
        for one in endpoint.parameters:
            if one.default is None and one.name not in self.wish.parameters:
                return Reason.PARAMETER_MISSING, one.name
        return None

    def _depth_at(self, service: CatalogService, endpoint: int) -> int:
        return self._depth[_scheme(service, endpoint)]

    def _territory_missing(self) -> Missing | None:
        """Why the subject's territory is not to be had; None when it is."""
        option = self._option(self.index.catalog.vocabulary.territory_concept)
        return option if isinstance(option, Missing) else None

    # --- all facts together -----------------------------------------------------------------------

    def plan(self, needed: Needed) -> Plan:
        options = {concept: self._option(concept) for concept in needed.concepts}
        missing = {concept: one for concept, one in options.items() if isinstance(one, Missing)}
        deferred = [concept for concept, one in options.items() if isinstance(one, _Deferred)]
        wanted = [concept for concept, one in options.items() if isinstance(one, _Option)]
        if deferred:
            why = self._territory_missing()
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
        grouped: dict[_Place, list[str]] = {}
        for concept, place in (chosen | self._links_for(chosen.values())).items():
            grouped.setdefault(place, []).append(concept)
        made = [self._exchange(place, asked) for place, asked in grouped.items()]
        return tuple(sorted(made, key=lambda one: one.stage))

    def _assigned(self, concepts: Iterable[str], links: Mapping[str, _Place]) -> dict[str, _Place]:
        """The endpoint for each fact; those of `links` are asked anyway."""
        free = frozenset(links.values())
        known = frozenset(self._scheme_of_link(one) for one in links)
        by_service: dict[ServiceId, list[str]] = {}
        for concept in concepts:
            by_service.setdefault(self._had(concept).service.id, []).append(concept)
        found: dict[str, _Place] = {}
        for service, asked in by_service.items():
            offers: dict[int, list[str]] = {}
            for concept in asked:
                for endpoint in self._had(concept).endpoints:
                    offers.setdefault(endpoint, []).append(concept)
            weights = {one: self._weight((service, one), free, known) for one in offers}
            cover = smallest_cover(asked, offers, weights)
            found |= {concept: (service, endpoint) for concept, endpoint in cover.items()}
        return {concept: found[concept] for concept in concepts}

    def _weight(self, place: _Place, free: frozenset[_Place], known: frozenset[str]) -> int:
        """Exchanges that an endpoint costs, those for the identifier it needs included."""
        if place in free:
            return 0
        scheme = _scheme(self.index.catalog.service[place[0]], place[1])
        return 1 if scheme in known else 1 + self._depth[scheme]

    def _links_for(self, places: Iterable[_Place]) -> dict[str, _Place]:
        """The facts that name the subject for these endpoints, and where they are asked for."""
        found: dict[str, _Place] = {}
        waiting = list(places)
        while waiting:
            service, endpoint = waiting.pop(0)
            link = self._via.get(_scheme(self.index.catalog.service[service], endpoint))
            if link is not None and link[0] not in found:
                found[link[0]] = link[1]
                waiting.append(link[1])
        return found

    def _exchange(self, place: _Place, concepts: list[str]) -> PlannedExchange:
        service = self.index.catalog.service[place[0]]
        endpoint = service.mapping.endpoints[place[1]]
        alternates: dict[ServiceId, None] = {}
        for concept in concepts:
            alternates |= dict.fromkeys(self._had(concept).alternates)
        scheme = _scheme(service, place[1])
        return PlannedExchange(
            self._depth[scheme],
            service,
            endpoint,
            scheme,
            tuple((concept, endpoint.names_of[concept]) for concept in concepts),
            tuple(alternates),
        )

    def _had(self, concept: str) -> _Option:
        option = self._option(concept)
        if not isinstance(option, _Option):
            raise AssertionError("only facts that can be had are asked for")
        return option

    def _scheme_of_link(self, concept: str) -> str:
        return self.index.catalog.vocabulary.concept[concept].identifies


def _scheme(service: CatalogService, endpoint: int) -> str:
    subject = service.mapping.endpoints[endpoint].subject
    if subject is None:
        raise AssertionError("an endpoint that names no subject is never asked")
    return subject.scheme
