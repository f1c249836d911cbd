"""What planning looks up in a catalog, put in order once for each version.

Everything that costs more than a look is computed when it is first asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from catalog.about import LifeState
from catalog.central.entries import Catalog, CatalogService
from catalog.mapping import EndpointMapping
from catalog.meaning.vocabulary import EVERYWHERE, Authority, Concept
from node.once.resolver.planning.reasons import Reason
from trust.ids import ServiceId

_ByTerritory = dict[str, tuple[Authority, ...]]


@dataclass
class CatalogIndex:
    """One catalog.

    Attributes:
        prepared: whether all is in order that would else be computed by the first plan.
    """

    catalog: Catalog
    prepared: bool = False
    _territories: dict[str, _ByTerritory] = field(default_factory=dict, repr=False)

    def prepare(self) -> None:
        """Put in order what every plan looks up; half a second for a country's catalog."""
        vocabulary = self.catalog.vocabulary
        _ = (vocabulary.concept, vocabulary.authorities_of, self.catalog.service, self.links)
        self.prepared = True

    @cached_property
    def links(self) -> tuple[Concept, ...]:
        """The concepts that name the same subject in another registry."""
        found = (one for one in self.catalog.vocabulary.concepts if one.identifies)
        return tuple(sorted(found, key=lambda one: one.uri))

    def authority(self, concept: str, territory: str, day: date) -> Authority | None:
        """Who counts for a fact: the territory's own authority, else the one for everywhere."""
        found = self._by_territory(concept)
        for place in dict.fromkeys((territory, EVERYWHERE)):
            for one in found.get(place, ()):
                if one.holds(day):
                    return one
        return None

    def differs_by_territory(self, concept: str, day: date) -> bool:
        """Whether some territory has an authority of its own for a fact."""
        found = self._by_territory(concept)
        return any(
            one.holds(day)
            for territory, authorities in found.items()
            if territory != EVERYWHERE
            for one in authorities
        )

    def _by_territory(self, concept: str) -> _ByTerritory:
        found = self._territories.get(concept)
        if found is None:
            grouped: dict[str, list[Authority]] = {}
            for one in self.catalog.vocabulary.authorities_of.get(concept, ()):
                grouped.setdefault(one.territory, []).append(one)
            found = {territory: tuple(each) for territory, each in grouped.items()}
            self._territories[concept] = found
        return found

    def service(self, service: ServiceId, day: date) -> CatalogService | Reason:
        """A service that may be asked on a day, or why it may not."""
        found = self.catalog.service.get(service)
        if found is None:
            return Reason.SERVICE_NOT_IN_CATALOG
        if found.about.life.usable(day):
            return found
        draft = found.about.life.state is LifeState.DRAFT
        return Reason.SERVICE_DRAFT if draft else Reason.SERVICE_WITHDRAWN


def endpoints_with(service: CatalogService, concept: str) -> Iterator[tuple[int, EndpointMapping]]:
    """The endpoints whose answers have a fact, with their position in the mapping."""
    endpoints = enumerate(service.mapping.endpoints)
    return ((place, one) for place, one in endpoints if concept in one.names_of)


@dataclass(slots=True)
class Indexes:
    """Keeps the index of the catalog that was used last."""

    _last: CatalogIndex | None = None

    def of(self, catalog: Catalog) -> CatalogIndex:
        """The index of a catalog; a new one when it is another catalog."""
        if self._last is None or self._last.catalog is not catalog:
            self._last = CatalogIndex(catalog)
        return self._last
