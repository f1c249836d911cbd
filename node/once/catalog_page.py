"""The catalog on the port for information systems: whoever reaches the port may read it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web

from catalog.central.entries import CatalogNow, CatalogService
from catalog.central.faces.fetched import described_by
from catalog.central.faces.site import CatalogSite
from catalog.services import ServerConf, Service
from node.exchange.respond import origin_target
from node.metadata.descriptions import Published
from trust.errors import ExchangeError


class Describing(Protocol):
    """What has the descriptions of this node's services, as others get them."""

    async def get(self, service: Service) -> Published: ...


@dataclass(frozen=True, slots=True)
class OwnDescriptions:
    """Descriptions of the services that this node hosts; it has none of others."""

    descriptions: Describing
    hosted: Callable[[], ServerConf]

    async def __call__(self, service: CatalogService) -> bytes | None:
        own = self.hosted().service(service.id)
        if own is None or not own.description_url:
            return None
        try:
            return (await self.descriptions.get(own)).content
        except ExchangeError:
            return None


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """What is answered below `/catalog`, from the snapshot that this node has."""

    site: CatalogSite

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.site.respond(request, origin_target(request))


def open_catalog_page(
    catalog: CatalogNow,
    descriptions: Describing,
    hosted: Callable[[], ServerConf],
    clock: Callable[[], datetime],
) -> CatalogPage:
    """The page of a node; to be called while its event loop runs."""
    describe = described_by(OwnDescriptions(descriptions, hosted))
    return CatalogPage(CatalogSite(catalog, describe, clock=clock))
