"""From a catalog to the rows of a snapshot."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC

import msgspec

from catalog.about import NOTHING_SAID, About
from catalog.central.entries import Catalog, CatalogService
from catalog.central.snapshot.forms import (
    FORMAT,
    AboutRow,
    CatalogForm,
    EndpointRow,
    FieldRow,
    ParameterRow,
    ServiceRow,
    SubjectRow,
    ViewRow,
)
from catalog.mapping import EndpointMapping
from catalog.meaning.encoding import to_json
from trust.ids import ClientId


def write_catalog(catalog: Catalog) -> bytes:
    """The JSON of a catalog."""
    writer = _Writer()
    encode = msgspec.json.encode
    services = tuple(msgspec.Raw(encode(writer.service(one))) for one in catalog.services)
    members = tuple((writer.client(one.id), writer.text(one.name)) for one in catalog.members)
    return encode(
        CatalogForm(
            format=FORMAT,
            instance=catalog.instance,
            version=catalog.version,
            made_at=catalog.made_at.astimezone(UTC),
            texts=tuple(writer.texts),
            clients=tuple(writer.client_rows),
            members=members,
            services=services,
            vocabulary=msgspec.Raw(to_json(catalog.vocabulary)),
        )
    )


@dataclass(slots=True)
class _Writer:
    """Gives each text and each client its place."""

    texts: dict[str, int] = field(default_factory=lambda: {"": 0})
    clients: dict[ClientId, int] = field(default_factory=dict)
    client_rows: list[tuple[int, ...]] = field(default_factory=list)

    def text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def all(self, texts: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.text(one) for one in texts)

    def maybe(self, text: str | None) -> int | None:
        return None if text is None else self.text(text)

    def client(self, client: ClientId) -> int:
        if client not in self.clients:
            self.clients[client] = len(self.client_rows)
            self.client_rows.append(self.all(client.parts))
        return self.clients[client]

    def service(self, service: CatalogService) -> ServiceRow:
        seen = service.availability
        return ServiceRow(
            client=self.client(service.id.provider),
            code=self.text(service.id.service_code),
            version=self.maybe(service.id.service_version),
            type=self.text(service.type),
            title=self.text(service.title),
            about=None if service.about == NOTHING_SAID else self.about(service.about),
            endpoints=self.all(service.endpoints),
            mapping=tuple(self.endpoint(one) for one in service.mapping.endpoints),
            plain=service.plain,
            digest=self.text(service.description_digest),
            availability=(seen.since.astimezone(UTC), seen.calls, seen.answered) if seen else None,
            unheard_since=service.unheard_since and service.unheard_since.astimezone(UTC),
        )

    def about(self, about: About) -> AboutRow:
        life, contact = about.life, about.contact
        return AboutRow(
            description=self.text(about.description),
            state=self.text(life.state),
            ends=self.text("" if life.ends is None else life.ends.isoformat()),
            successor=self.text(life.successor),
            contact=self.all((contact.name, contact.email, contact.phone, contact.url)),
            terms=self.text(about.terms),
            keywords=self.all(about.keywords),
            territory=self.text(about.territory),
            template=self.text(about.template),
        )

    def endpoint(self, endpoint: EndpointMapping) -> EndpointRow:
        text, subject = self.text, endpoint.subject
        return EndpointRow(
            method=text(endpoint.method),
            path=text(endpoint.path),
            subject=None
            if subject is None
            else SubjectRow(text(subject.name), text(subject.scheme), text(subject.place)),
            fields=tuple(
                FieldRow(text(one.name), text(one.path), text(one.concept), text(one.type))
                for one in endpoint.fields
            ),
            parameters=tuple(
                ParameterRow(text(one.name), text(one.place), self.maybe(one.default))
                for one in endpoint.parameters
            ),
            views=tuple(
                ViewRow(*self.all((one.name, one.source, one.rule, one.value, one.concept)))
                for one in endpoint.views
            ),
            namespace=text(endpoint.namespace),
            qualified=endpoint.qualified,
        )
