"""The port for the institution's own systems: which request goes where.

Raw path below `/r1/`: REST. Some exact paths with GET, and everything below some folders: answered
by this node. Everything else is SOAP, whatever the path. Source: messages.md 1.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from node.exchange.consumer import Consumer
from node.exchange.respond import origin_target

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SystemsPort:
    """Sends every request where it belongs.

    Attributes:
        pages: what is answered here, by exact path.
        folders: what is answered here with any method, by the path's first segment (`/once`).
    """

    consumer: Consumer
    pages: Mapping[str, Page]
    folders: Mapping[str, Page] = field(default_factory=dict)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = origin_target(request)
        if target.startswith("/r1/"):
            return await self.consumer.handle_rest(request)
        path = target.partition("?")[0]
        page = self.pages.get(path)
        if page is not None and request.method == "GET":
            return await page(request)
        folder = self.folders.get(f"/{path[1:].partition('/')[0]}")
        if folder is not None:
            return await folder(request)
        return await self.consumer.handle_soap(request)
