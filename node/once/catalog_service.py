"""`GET /r1/<provider>/sacbe-catalog`: what a provider's node tells the catalog of its services.

Any registered client may ask, as with the metadata services; who has which right is told nobody.
Drafts are told as such. A plain server has no such service, and so is known to be one.

Source: design.md 5; metadata.md 1.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from catalog.central.entries import Availability, CatalogService
from catalog.central.wire import SERVICE_CODE, encode_entry
from catalog.services import DescriptionSource, ServerConf, Service, ServiceType
from node.exchange.builtin import Call, RestAnswer
from trust.errors import StorageError
from trust.ids import ClientId, ServiceId

log = logging.getLogger("sacbe.catalog")

Digests = Callable[[ClientId], Awaitable[Mapping[DescriptionSource, str]]]
AvailabilityOf = Callable[[ClientId], Awaitable[Mapping[ServiceId, Availability]]]


@dataclass(frozen=True, slots=True)
class CatalogTelling:
    """Answers for every hosted client.

    Attributes:
        digests: SHA-256 of the descriptions that are kept for a client, in hexadecimal.
        availability: how its services did lately.
    """

    digests: Digests = field(repr=False)
    availability: AvailabilityOf = field(repr=False)

    @property
    def type(self) -> ServiceType:
        return ServiceType.REST

    def takes(self, call: Call) -> bool:
        return call.is_rest("GET", SERVICE_CODE)

    def check_access(self, call: Call) -> None:
        """Every client that may call at all may ask."""

    async def answer(self, call: Call) -> RestAnswer:
        """Tell the services of the provider that is addressed; raises StorageError."""
        provider = call.request.service.provider
        digests = await self.digests(provider)
        try:
            figures = await self.availability(provider)
        except StorageError as error:  # the rest is worth telling
            log.warning("catalog entry of %s: %s", provider, error)
            figures = {}
        told = tell_services(call.snapshot.services, provider, digests, figures)
        body = await asyncio.to_thread(encode_entry, told)
        return RestAnswer.json(body)


def tell_services(
    conf: ServerConf,
    provider: ClientId,
    digests: Mapping[DescriptionSource, str],
    figures: Mapping[ServiceId, Availability],
) -> tuple[CatalogService, ...]:
    """The services of a registered provider, in the order of their declaration."""
    client = conf.client(provider)
    services = () if client is None else client.services
    return tuple(_told(conf, service, digests, figures) for service in services)


def _told(
    conf: ServerConf,
    service: Service,
    digests: Mapping[DescriptionSource, str],
    figures: Mapping[ServiceId, Availability],
) -> CatalogService:
    source = service.description
    return CatalogService(
        id=service.id,
        type=service.type,
        title=service.title,
        about=service.about,
        endpoints=_endpoints(conf, service),
        mapping=service.mapping,
        description_digest="" if source is None else digests.get(source, ""),
        availability=figures.get(service.id),
    )


def _endpoints(conf: ServerConf, service: Service) -> tuple[str, ...]:
    """The parts that are declared or described; those that only a right names are nobody's."""
    if not service.type.is_rest:
        return ()
    source = service.description
    described = () if source is None else conf.described.get(source, ())
    return tuple(str(endpoint) for endpoint in dict.fromkeys((*service.endpoints, *described)))
