"""From services to rows."""

from dataclasses import dataclass
from datetime import UTC

from catalog.about import NOTHING_SAID, About
from catalog.central.entries import CatalogService
from catalog.central.snapshot.forms import (
    AboutRow,
    EndpointRow,
    FieldRow,
    ParameterRow,
    ServiceRow,
    SubjectRow,
    ViewRow,
)
from catalog.central.snapshot.placing import Placing
from catalog.mapping import EndpointMapping


@dataclass(slots=True)
class ServiceWriter:
    """Makes rows of services."""

    placing: Placing

    def service(self, service: CatalogService) -> ServiceRow:
        seen = service.availability
        return ServiceRow(
            client=self.placing.client(service.id.provider),
            code=self.placing.text(service.id.service_code),
            version=self.placing.maybe(service.id.service_version),
            type=self.placing.text(service.type),
            title=self.placing.text(service.title),
            about=None if service.about == NOTHING_SAID else self._about(service.about),
            endpoints=self.placing.all(service.endpoints),
            mapping=tuple(self._endpoint(one) for one in service.mapping.endpoints),
            plain=service.plain,
            digest=self.placing.text(service.description_digest),
            availability=(seen.since.astimezone(UTC), seen.calls, seen.answered) if seen else None,
            unheard_since=service.unheard_since and service.unheard_since.astimezone(UTC),
        )

    def _about(self, about: About) -> AboutRow:
        life, contact = about.life, about.contact
        return AboutRow(
            description=self.placing.text(about.description),
            state=self.placing.text(life.state),
            ends=self.placing.text("" if life.ends is None else life.ends.isoformat()),
            successor=self.placing.text(life.successor),
            contact=self.placing.all((contact.name, contact.email, contact.phone, contact.url)),
            terms=self.placing.text(about.terms),
            keywords=self.placing.all(about.keywords),
            territory=self.placing.text(about.territory),
            template=self.placing.text(about.template),
        )

    def _endpoint(self, endpoint: EndpointMapping) -> EndpointRow:
        text, subject = self.placing.text, endpoint.subject
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
                ParameterRow(text(one.name), text(one.place), self.placing.maybe(one.default))
                for one in endpoint.parameters
            ),
            views=tuple(
                ViewRow(*self.placing.all((one.name, one.source, one.rule, one.value, one.concept)))
                for one in endpoint.views
            ),
            namespace=text(endpoint.namespace),
            qualified=endpoint.qualified,
        )
