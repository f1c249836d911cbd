"""The catalog on the port for information systems: whoever reaches the port may read it."""

from dataclasses import dataclass

from aiohttp import web

from catalog.central.faces.site import CatalogSite
from node.exchange.respond import origin_target


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """What is answered below `/catalog`, from the snapshot that this node has."""

    site: CatalogSite

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.site.respond(request, origin_target(request))
