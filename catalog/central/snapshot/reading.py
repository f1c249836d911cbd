"""From the rows of a snapshot to the catalog. What occurs many times is one object everywhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import msgspec

from catalog.about import NOTHING_SAID, About, Contact, LifeCycle, LifeState
from catalog.central.entries import Availability, Catalog, CatalogMember, CatalogService
from catalog.central.snapshot.forms import (
    FORMAT,
    AboutRow,
    CatalogForm,
    EndpointRow,
    FieldRow,
    FormatForm,
    ServiceRow,
    SubjectRow,
    ViewRow,
)
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
from catalog.meaning.encoding import from_json
from catalog.meaning.vocabulary import Authority, FactType, Vocabulary
from catalog.services import ServiceType
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

_SERVICE = msgspec.json.Decoder(ServiceRow)  # one at a time: all rows at once take much memory


def read_catalog(plain: bytes) -> Catalog:
    """Read the JSON of a catalog; raises MalformedMessage with a sentence."""
    try:
        known = msgspec.json.decode(plain, type=FormatForm).format
        if known != FORMAT:
            raise malformed(f"its format is {known}, and this software reads {FORMAT}")
        return _catalog(msgspec.json.decode(plain, type=CatalogForm))
    except IndexError as error:
        raise malformed("it names a text or a client that it does not have") from error
    except (ValueError, RecursionError) as error:  # those of msgspec are ValueErrors, too
        raise malformed(str(error)) from error


def malformed(why: str) -> MalformedMessage:
    return MalformedMessage(f"No catalog: {why[:500]}")


def _catalog(read: CatalogForm) -> Catalog:
    vocabulary = from_json(bytes(read.vocabulary))
    known = {one.uri: one.uri for one in vocabulary.concepts}
    reader = _Reader(tuple(known.get(text, text) for text in read.texts))
    reader.clients = tuple(reader.client(row) for row in read.clients)
    services = tuple(reader.service(_SERVICE.decode(one)) for one in read.services)
    catalog = Catalog(
        instance=read.instance,
        version=read.version,
        made_at=_aware(read.made_at),
        members=tuple(
            CatalogMember(reader.clients[client], reader.texts[name])
            for client, name in read.members
        ),
        services=services,
        vocabulary=_sharing(vocabulary, known, {one.id: one.id for one in services}),
    )
    if len(catalog.service) != len(services):
        raise malformed("it has a service twice")
    return catalog


def _sharing(
    vocabulary: Vocabulary, uris: Mapping[str, str], services: Mapping[ServiceId, ServiceId]
) -> Vocabulary:
    """The same vocabulary, in which what the catalog has already is not there once more."""

    def shared(one: Authority) -> Authority:
        return replace(
            one,
            concepts=tuple(uris.get(uri, uri) for uri in one.concepts),
            service=services.get(one.service, one.service),
            alternates=tuple(services.get(other, other) for other in one.alternates),
        )

    return replace(vocabulary, authorities=tuple(shared(one) for one in vocabulary.authorities))


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise malformed("it has a time without zone")
    return moment.astimezone(UTC)


@dataclass(slots=True)
class _Reader:
    """Puts texts and clients into their places; the same one is the same object everywhere."""

    texts: tuple[str, ...]
    clients: tuple[ClientId, ...] = ()
    _types: dict[int, FactType] = field(default_factory=dict)

    def client(self, row: Sequence[int]) -> ClientId:
        return ClientId(*self.all(row))

    def all(self, places: Iterable[int]) -> tuple[str, ...]:
        texts = self.texts
        return tuple(texts[one] for one in places)

    def maybe(self, place: int | None) -> str | None:
        return None if place is None else self.texts[place]

    def service(self, read: ServiceRow) -> CatalogService:
        provider, texts = self.clients[read.client], self.texts
        mapping = tuple(self.endpoint(one) for one in read.mapping)
        seen = read.availability
        return CatalogService(
            id=ServiceId(provider, texts[read.code], self.maybe(read.version)),
            type=ServiceType(texts[read.type]),
            title=texts[read.title],
            about=NOTHING_SAID if read.about is None else self.about(read.about),
            endpoints=self.all(read.endpoints),
            mapping=ServiceMapping(mapping) if mapping else NO_MAPPING,
            plain=read.plain,
            description_digest=texts[read.digest],
            availability=Availability(_aware(seen[0]), seen[1], seen[2]) if seen else None,
            unheard_since=read.unheard_since and _aware(read.unheard_since),
        )

    def about(self, read: AboutRow) -> About:
        texts = self.texts
        ends = texts[read.ends]
        return About(
            description=texts[read.description],
            life=LifeCycle(
                LifeState(texts[read.state]),
                date.fromisoformat(ends) if ends else None,
                texts[read.successor],
            ),
            contact=Contact(*self.all(read.contact[:4])),
            terms=texts[read.terms],
            keywords=self.all(read.keywords),
            territory=texts[read.territory],
            template=texts[read.template],
        )

    def endpoint(self, read: EndpointRow) -> EndpointMapping:
        texts, subject = self.texts, read.subject
        return EndpointMapping(
            method=texts[read.method],
            path=texts[read.path],
            subject=None if subject is None else self.subject(subject),
            parameters=tuple(
                FixedParameter(texts[one.name], Place(texts[one.place]), self.maybe(one.default))
                for one in read.parameters
            ),
            fields=tuple(self.field(one) for one in read.fields),
            views=tuple(self.view(one) for one in read.views),
            namespace=texts[read.namespace],
            qualified=read.qualified,
        )

    def subject(self, read: SubjectRow) -> SubjectParameter:
        texts = self.texts
        return SubjectParameter(texts[read.name], texts[read.scheme], Place(texts[read.place]))

    def field(self, read: FieldRow) -> FieldMapping:
        texts = self.texts
        return FieldMapping(
            texts[read.name], texts[read.path], texts[read.concept], self.type(read.type)
        )

    def type(self, place: int) -> FactType:
        if place not in self._types:
            self._types[place] = FactType(self.texts[place] or FactType.TEXT)
        return self._types[place]

    def view(self, read: ViewRow) -> View:
        texts = self.texts
        return View(
            texts[read.name],
            texts[read.source],
            Rule(texts[read.rule]),
            texts[read.value],
            texts[read.concept],
        )
