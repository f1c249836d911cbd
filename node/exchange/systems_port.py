"""The port for the institution's own systems: which request goes where.

Raw path below `/r1/`: REST. Two exact paths with GET: downloads from this node. Everything else is
SOAP, whatever the path. Source: messages.md 1.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from node.exchange.consumer import Consumer
from node.exchange.faults import failure_of, tell_peer
from node.exchange.respond import origin_target
from node.messages.fault import Dialect, Side
from trust.errors import MalformedMessage

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SystemsPort:
    """Sends every request where it belongs.

    Attributes:
        pages: what is answered here, by exact path.
    """

    consumer: Consumer
    pages: Mapping[str, Page]
    dialect: Dialect

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = origin_target(request)
        if target.startswith("/r1/"):
            return await self.consumer.handle_rest(request)
        page = self.pages.get(target.partition("?")[0])
        if page is not None and request.method == "GET":
            return await page(request)
        # A SOAP client reads SOAP: the fault has the form of a fault between nodes, and status 200.
        return await tell_peer(request, failure_of(_refusal(request), Side.REQUESTER, self.dialect))


def _refusal(request: web.BaseRequest) -> MalformedMessage:
    if request.method != "POST":
        return MalformedMessage(
            f"Must use POST request method instead of {request.method}", "invalid_http_method"
        )
    return MalformedMessage("This node carries REST messages only", "invalid_content_type")
