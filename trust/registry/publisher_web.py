"""The published configuration over HTTP, as nodes and X-Road's own client ask for it.

    /internalconf?version=6            directory for the instance's own nodes
    /externalconf?version=6            directory for other instances
    /V6/<stamp>/<file>                 parts
    /health/live  /health/ready        for those who run it

Source: trust.md 3; X-Road 7.8 xroad-public.conf (nginx).
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web

from trust.configuration.confparts import OLDEST_VERSION
from trust.registry.publication import SOURCES, Source
from trust.registry.publisher import Publisher

_VERSION = re.compile(r"(?:^|&)version=([0-9]{1,4})(?:&|$)")
_BINARY = "application/octet-stream"
_NO_CACHE = {"Cache-Control": "no-cache"}


def build_app(
    publisher: Publisher, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> web.Application:
    """All of it as one application; HEAD works wherever GET does."""
    app = web.Application(client_max_size=0)
    for source in SOURCES:
        app.router.add_get(f"/{source}conf", _directory_handler(publisher, source))

    async def part(request: web.Request) -> web.Response:
        found = publisher.part(request.rel_url.raw_path)
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found, content_type=_BINARY)

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def ready(_request: web.Request) -> web.Response:
        reason = publisher.not_ready(clock())
        answer = {
            "ready": reason is None,
            "reasons": {} if reason is None else {"publisher": reason},
        }
        return web.json_response(answer, status=200 if reason is None else 503)

    app.router.add_get(r"/{version:V\d+}/{stamp:\d+}/{file}", part)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    return app


def requested_version(query: str) -> int:
    """The version that a raw query asks for; 2 when it names none, as the reference answers."""
    match = _VERSION.search(query)
    return int(match[1]) if match else OLDEST_VERSION


def _directory_handler(
    publisher: Publisher, source: Source
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def directory(request: web.Request) -> web.StreamResponse:
        if publisher.generation is None:
            # Not 404: by that a node would conclude that this version is not offered.
            raise web.HTTPServiceUnavailable(text="Nothing has been published yet\n")
        found = publisher.directory(source, requested_version(request.rel_url.raw_query_string))
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found, content_type=_BINARY, headers=_NO_CACHE)

    return directory
