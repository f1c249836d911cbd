"""From rows to services."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.about import NOTHING_SAID, About, Contact, LifeCycle, LifeState
from catalog.central.entries import Availability, CatalogService
from catalog.central.snapshot.forms import (
    AboutRow,
    EndpointRow,
    FieldRow,
    ParameterRow,
    ServiceRow,
    SubjectRow,
    ViewRow,
)
from catalog.central.snapshot.places import Places, aware, same
from catalog.mapping import (
    NO_MAPPING,
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
from catalog.services import ServiceType
from trust.ids import ServiceId


@dataclass(slots=True)
class ServiceReader:
    """Makes services of rows.

    Attributes:
        before: the services of an earlier version.
    """

    places: Places
    before: Mapping[ServiceId, CatalogService]
    _made: dict[object, Any] = field(default_factory=dict)  # what many services have alike

    def service(self, read: ServiceRow) -> CatalogService:
        places, texts, seen = self.places, self.places.texts, read.availability
        name = places.service((read.client, read.code, read.version))
        known = self.before.get(name)
        service = CatalogService(
            id=known.id if known else name,
            type=places.word(ServiceType, texts[read.type]),
            title=texts[read.title],
            about=same(self._about(read.about), known.about if known else None),
            endpoints=self._once(places.all(read.endpoints)),
            mapping=same(self._mapping(read.mapping), known.mapping if known else None),
            plain=read.plain,
            description_digest=texts[read.digest],
            availability=Availability(aware(seen[0]), seen[1], seen[2]) if seen else None,
            unheard_since=read.unheard_since and aware(read.unheard_since),
        )
        return same(service, known)

    def _once(self, made: Any) -> Any:  # noqa: ANN401 - what it is given
        return self._made.setdefault(made, made)

    def _about(self, read: AboutRow | None) -> About:
        if read is None:
            return NOTHING_SAID
        places, texts = self.places, self.places.texts
        state = places.word(LifeState, texts[read.state])
        return About(
            description=texts[read.description],
            life=self._once(LifeCycle(state, places.day(read.ends), texts[read.successor])),
            contact=self._once(Contact(*places.all(read.contact[:4]))),
            terms=texts[read.terms],
            keywords=places.all(read.keywords),
            territory=texts[read.territory],
            template=texts[read.template],
        )

    def _mapping(self, read: tuple[EndpointRow, ...]) -> ServiceMapping:
        endpoints = tuple(self.places.understood(self._endpoint, read))
        return ServiceMapping(endpoints) if endpoints else NO_MAPPING

    def _endpoint(self, read: EndpointRow) -> EndpointMapping:
        """An endpoint of which how to ask is understood; fields and views may be fewer."""
        places, texts = self.places, self.places.texts
        return EndpointMapping(
            method=texts[read.method],
            path=texts[read.path],
            subject=None if read.subject is None else self._subject(read.subject),
            parameters=self._once(tuple(self._parameter(one) for one in read.parameters)),
            fields=tuple(places.understood(self._field, read.fields)),
            views=tuple(places.understood(self._view, read.views)),
            namespace=texts[read.namespace],
            qualified=read.qualified,
        )

    def _subject(self, read: SubjectRow) -> SubjectParameter:
        texts = self.places.texts
        place = self.places.word(Place, texts[read.place])
        made: SubjectParameter = self._once(
            SubjectParameter(texts[read.name], texts[read.scheme], place)
        )
        return made

    def _parameter(self, read: ParameterRow) -> FixedParameter:
        places = self.places
        place = places.word(Place, places.texts[read.place])
        return FixedParameter(places.texts[read.name], place, places.maybe(read.default))

    def _field(self, read: FieldRow) -> FieldMapping:
        texts = self.places.texts
        kind = self.places.word(FactType, texts[read.type], FactType.TEXT)
        return FieldMapping(texts[read.name], texts[read.path], texts[read.concept], kind)

    def _view(self, read: ViewRow) -> View:
        texts = self.places.texts
        rule = self.places.word(Rule, texts[read.rule])
        return View(
            texts[read.name], texts[read.source], rule, texts[read.value], texts[read.concept]
        )
