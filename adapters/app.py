"""An adapter: a small information system in front of a database, behind plain HTTP.

It works behind this node and behind any other X-Road server; its database password never enters
the node's process.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
from aiohttp import web

from adapters.openapi import describe
from adapters.queries import BadParameter, Column, Query, QueryMethod, read_values
from adapters.sql import QueryTimeout, SqlSource
from trust.errors import StorageError
from trust.settings import ListenPort, required, setting

log = logging.getLogger("sacbe.adapter")

MAX_BODY = 1024 * 1024
_encode = msgspec.json.Encoder(decimal_format="string").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The database that is asked."""

    dsn_file: Path = required(
        "file with the address and password: postgresql://user:secret@host/db",
        example="database.dsn",
    )
    connections: int = setting(4, "connections at the most")
    timeout: timedelta = setting(timedelta(seconds=10), "longest run of one query")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """What `sacbe adapter run` reads."""

    title: str = required("name of the registry, for the API description", example="Towns")
    database: DatabaseSettings = required("the database that is asked")
    query: tuple[Query, ...] = required("the named queries")
    host: str = setting("127.0.0.1", "address to listen on")
    port: ListenPort = setting(9000, "port to listen on")
    version: str = setting("1", "version of the API description")


async def open_source(settings: AdapterSettings, dsn: str) -> SqlSource:
    """Connect with read-only sessions; raises StorageError when the database refuses."""
    milliseconds = int(settings.database.timeout.total_seconds() * 1000)
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,  # more and asyncpg tells of each attempt to restore them, with a traceback
            max_size=settings.database.connections,
            server_settings={
                "application_name": "sacbe-adapter",
                "default_transaction_read_only": "on",
                "statement_timeout": str(milliseconds),
            },
        )
        async with pool.acquire():
            pass  # it can be opened
    except (asyncpg.PostgresError, OSError, ValueError) as error:
        reason = type(error).__name__ if isinstance(error, ValueError) else error
        raise StorageError(f"the database can't be opened: {reason}") from None
    return SqlSource(pool, settings.query, settings.database.timeout)


async def build_app(settings: AdapterSettings, source: SqlSource) -> web.Application:
    """Prepare every query on the live database and serve them; StorageError names all that fail."""
    columns: dict[str, tuple[Column, ...]] = {}
    problems: list[str] = []
    for query in settings.query:
        try:
            columns[query.name] = await source.describe(query)
        except StorageError as error:
            problems.append(str(error))
    if problems:
        raise StorageError("\n".join(problems))
    description = _encode(describe(settings.title, settings.version, source.queries, columns))

    async def openapi(request: web.Request) -> web.Response:
        return web.Response(body=description, content_type="application/json")

    async def ready(request: web.Request) -> web.Response:
        if await source.reachable():
            return web.json_response({"ready": True})
        return web.json_response(
            {"ready": False, "reasons": ["the database does not answer"]}, status=503
        )

    async def live(request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    app = web.Application(client_max_size=MAX_BODY, middlewares=[_log_call])
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    for query in settings.query:
        app.router.add_route(query.method.value, query.path, QueryHandler(source, query).answer)
    return app


class QueryHandler:
    """Answers one query."""

    def __init__(self, source: SqlSource, query: Query) -> None:
        self._source = source
        self._query = query

    async def answer(self, request: web.Request) -> web.Response:
        try:
            values = read_values(self._query, await self._given(request))
            rows = await self._source.run(self._query, values)
        except BadParameter as error:
            return _error(400, str(error), error.parameter)
        except QueryTimeout:
            return _error(504, "the query took too long")
        except StorageError as error:
            log.warning("database: %s", error)
            return _error(503, "the database does not answer")
        if not self._query.single:
            return _json(200, {"items": rows.rows, "more": rows.more})
        if not rows.rows:
            return _error(404, "there is no such row")
        return _json(200, rows.rows[0])

    async def _given(self, request: web.Request) -> dict[str, object]:
        given: dict[str, object] = {}
        if self._query.method is QueryMethod.POST:
            given.update(_json_object(await request.read()))
        else:
            for name, value in request.query.items():
                if name in given:
                    raise BadParameter(name, f"parameter '{name}' is given twice")
                given[name] = value
        for name, value in request.match_info.items():
            if name in given:
                raise BadParameter(name, f"parameter '{name}' is given twice")
            given[name] = value
        return given


def _json_object(body: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise BadParameter("", "the body must be a JSON object") from error


def _json(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=_encode(value), content_type="application/json")


def _error(status: int, text: str, parameter: str = "") -> web.Response:
    return _json(status, {"error": text} | ({"parameter": parameter} if parameter else {}))


@web.middleware
async def _log_call(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    started = time.perf_counter()
    response = await handler(request)
    if not request.path.startswith("/health/"):
        resource = request.match_info.route.resource
        log.info(
            "%s %s %d %.1f ms client=%.300r id=%.300r",
            request.method,
            resource.canonical if resource else "unknown",
            response.status,
            (time.perf_counter() - started) * 1000,
            request.headers.get("X-Road-Client", "-"),
            request.headers.get("X-Road-Id", "-"),
        )
    return response
