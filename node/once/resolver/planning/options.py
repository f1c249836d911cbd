"""Where single facts are to be had: services that may be asked, endpoints that know the subject.

Identifiers are followed from registry to registry: what one answers may be what another one knows
the subject by. Both are found for one wish, before anything is put together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from catalog.central.entries import CatalogService
from catalog.mapping import EndpointMapping
from catalog.meaning.vocabulary import EVERYWHERE
from node.once.resolver.planning.index import CatalogIndex, endpoints_with
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


Place = tuple[ServiceId, int]  # a service and the position of an endpoint in its mapping


@dataclass(frozen=True, slots=True)
class Option:
    """Where a fact is to be had: one service, any of some endpoints."""

    service: CatalogService
    endpoints: tuple[int, ...]
    alternates: tuple[ServiceId, ...]


@dataclass(frozen=True, slots=True)
class Deferred:
    """The subject's territory must be known first."""


@dataclass
class Options:
    """Where every fact is to be had for one wish."""

    index: CatalogIndex
    wish: Wish
    bounds: Bounds
    _depth: dict[str, int] = field(default_factory=dict)  # of identifiers, by scheme
    _via: dict[str, tuple[str, Place]] = field(default_factory=dict)  # the fact that has one
    _found: dict[str, Option | Deferred | Missing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._depth = dict.fromkeys((self.wish.scheme, *self.bounds.schemes), 0)
        for depth in range(1, MAX_LINKS + 1 if self.bounds.links else 1):
            found = self._reached()
            if not found:
                break
            self._via |= found
            self._depth |= dict.fromkeys(found, depth)

    def _reached(self) -> dict[str, tuple[str, Place]]:
        """Identifiers that those known so far lead to."""
        found: dict[str, tuple[str, Place]] = {}
        for link in self.index.links:
            if link.identifies in self._depth or link.identifies in found:
                continue
            option = self._look(link.uri)
            if isinstance(option, Option):
                nearest = min(option.endpoints, key=lambda one: self._depth_at(option.service, one))
                found[link.identifies] = (link.uri, (option.service.id, nearest))
        return found

    def depth(self, scheme: str) -> int:
        """How many identifiers must be asked for before the one of a scheme is known."""
        return self._depth[scheme]

    def link_to(self, scheme: str) -> tuple[str, Place] | None:
        """The fact that is the identifier of a scheme, and where it is; None for a known one."""
        return self._via.get(scheme)

    def can_be_had(self, concept: str) -> bool:
        option = self.of(concept)
        if isinstance(option, Deferred):
            return self.territory_missing() is None
        return isinstance(option, Option)

    def of(self, concept: str) -> Option | Deferred | Missing:
        found = self._found.get(concept)
        if found is None:
            found = self._found[concept] = self._look(concept)
        return found

    def _look(self, concept: str) -> Option | Deferred | Missing:
        wish, vocabulary = self.wish, self.index.catalog.vocabulary
        if concept not in vocabulary.concept:
            return Missing(concept, Reason.UNKNOWN_CONCEPT)
        if not wish.territory and self.index.differs_by_territory(concept, wish.day):
            if vocabulary.territory_concept not in ("", concept):
                return Deferred()
            return Missing(concept, Reason.TERRITORY_UNKNOWN)
        authority = self.index.authority(concept, wish.territory, wish.day)
        if authority is None:
            return Missing(concept, Reason.NO_AUTHORITY)
        candidates = dict.fromkeys((authority.service, *authority.alternates))
        return self._first_usable(concept, (one for one in candidates if not self._failed(one)))

    def _failed(self, service: ServiceId) -> bool:
        return service in self.bounds.without

    def _first_usable(self, concept: str, candidates: Iterable[ServiceId]) -> Option | Missing:
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
            return Option(service, endpoints, tuple(one.id for one, _ in others))
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
        return self._depth[scheme_of(service, endpoint)]

    def territory_missing(self) -> Missing | None:
        """Why the subject's territory is not to be had; None when it is."""
        option = self.of(self.index.catalog.vocabulary.territory_concept)
        return option if isinstance(option, Missing) else None


def scheme_of(service: CatalogService, endpoint: int) -> str:
    subject = service.mapping.endpoints[endpoint].subject
    if subject is None:
        raise AssertionError("an endpoint that names no subject is never asked")
    return subject.scheme
