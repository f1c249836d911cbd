"""The port for the institution's own systems: which request goes where.

Raw path below `/r1/`: REST. Some exact paths with GET: answered by this node. Everything else is
SOAP, whatever the path. Source: messages.md 1.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from node.exchange.consumer import Consumer
from node.exchange.respond import origin_target

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SystemsPort:
    """Sends every request where it belongs.

    Attributes:
        pages: what is answered here, by exact path.
    """

    consumer: Consumer
    pages: Mapping[str, Page]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = origin_target(request)
        if target.startswith("/r1/"):
            return await self.consumer.handle_rest(request)
        page = self.pages.get(target.partition("?")[0])
        if page is not None and request.method == "GET":
            return await page(request)
        return await self.consumer.handle_soap(request)
