"""The resolver on the port for information systems: `/once/v1/…`.

    POST /once/v1/evidence                    facts with their proof, or a preview of them
    POST /once/v1/plan                        what would be asked, of nobody in particular
    GET  /once/v1/previews/{id}               what a citizen is asked to confirm
    POST /once/v1/previews/{id}/confirm       with the concepts that may be handed on
    POST /once/v1/previews/{id}/reject
    POST /once/v1/previews/{id}/evidence      fetched once, by who asked
    GET  /once/v1/openapi.json

Who calls says so in `X-Road-Client` and is authenticated as for every other call.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from catalog.central.entries import CatalogNow
from catalog.fields.json_text import build_json
from node.exchange.clients import SpeakingClient
from node.exchange.consumer import Consumer
from node.exchange.respond import origin_target, request_pieces, respond_bytes
from node.log.uses import Classify, DataUse, Pseudonym
from node.messages.rest import CLIENT
from node.once.resolver.evidence import NoCatalog, Resolver
from node.once.resolver.openapi import openapi_document
from node.once.resolver.planning.index import CatalogIndex
from node.once.resolver.problems import Refused, tell_refused
from node.once.resolver.question import MAX_BYTES, BadQuestion, Question, read_question
from node.once.resolver.settings import ResolverSettings
from node.once.resolver.sources.asking import Means, nowhere
from node.once.resolver.sources.gathering import Outcome
from node.once.resolver.waiting.preview_pages import PreviewPages
from node.once.resolver.waiting.previews import NoPreview, Previews, TooManyPreviews
from node.once.resolver.wire import Held, missing_as_json, outcome_as_json, plan_as_json
from trust.database import Pool
from trust.errors import ExchangeError, GlobalConfOutdated, SacbeError
from trust.ids import ClientId

log = logging.getLogger("sacbe.once")

ROOT = "/once/v1"
_JSON = (("Content-Type", "application/json"),)
_LATER = (("Retry-After", "5"),)
_Page = Callable[[web.BaseRequest, SpeakingClient], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class OnceApi:
    """Answers everything below `/once/`."""

    resolver: Resolver
    consumer: Consumer
    previews: PreviewPages
    _under_way: int = field(default=0)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (Refused, BadQuestion, NoCatalog, NoPreview, TooManyPreviews, SacbeError) as error:
            return await tell_refused(request, _refused(error))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = origin_target(request).partition("?")[0]
        if path == f"{ROOT}/openapi.json":
            _require_method(request, "GET")
            return await respond_bytes(request, 200, _JSON, build_json(openapi_document()))
        page = self._pages().get(path)
        if page is not None:
            _require_method(request, "POST")
            return await page(request, self._caller(request))
        if path.startswith(f"{ROOT}/previews/"):
            return await self._preview_page(request, path.removeprefix(f"{ROOT}/previews/"))
        raise Refused(404, "There is nothing at this address; see /once/v1/openapi.json")

    def _pages(self) -> dict[str, _Page]:
        return {f"{ROOT}/evidence": self._evidence, f"{ROOT}/plan": self._plan}

    async def _preview_page(self, request: web.BaseRequest, rest: str) -> web.StreamResponse:
        preview, _, action = rest.partition("/")
        _require_method(request, "POST" if action else "GET")
        caller = self._caller(request).id
        body = await self._body(request)
        answer = await self.previews.answer(request, caller, preview, action, body)
        return await respond_bytes(request, 200, _JSON, build_json(answer))

    def _caller(self, request: web.BaseRequest) -> SpeakingClient:
        """Who calls, authenticated; raises Refused."""
        said = request.headers.getall(CLIENT, [])
        if len(said) != 1:
            raise Refused(401, "The header X-Road-Client must be there once")
        try:
            return self.consumer.speaking(request, ClientId.from_header(said[0]))
        except GlobalConfOutdated:
            raise
        except ExchangeError as error:
            raise Refused(401, error.text) from error

    async def _body(self, request: web.BaseRequest) -> bytes:
        found = bytearray()
        async for piece in request_pieces(request, self.consumer.patience):
            found += piece
            if len(found) > MAX_BYTES:
                raise Refused(413, f"A request has at most {MAX_BYTES} bytes")
        return bytes(found)

    # --- pages ------------------------------------------------------------------------------------

    async def _plan(self, request: web.BaseRequest, client: SpeakingClient) -> web.StreamResponse:
        index = await self.resolver.index()
        vocabulary = index.catalog.vocabulary
        question = read_question(await self._body(request), vocabulary, plan_only=True)
        plan = self.resolver.plan(index, question, client.id)
        answer = {
            "plan": plan_as_json(plan, index.catalog),
            "missing": missing_as_json(plan.missing),
            "catalog_version": index.catalog.version,
        }
        return await respond_bytes(request, 200, _JSON, build_json(answer))

    async def _evidence(
        self, request: web.BaseRequest, client: SpeakingClient
    ) -> web.StreamResponse:
        index = await self.resolver.index()
        question = read_question(await self._body(request), index.catalog.vocabulary)
        if self._under_way >= self.resolver.settings.questions:
            raise Refused(503, "Too many questions are under way", headers=_LATER)
        self._under_way += 1
        try:
            outcome = await self._gathered(index, question, client)
        finally:
            self._under_way -= 1
        answer = outcome_as_json(outcome, client.id, index.catalog)
        if not question.preview:
            return await respond_bytes(request, 200, _JSON, build_json(answer))
        held = Held.of(question, answer, outcome.papers)
        told = await self.previews.keep(client.id, held)
        return await respond_bytes(request, 201, _JSON, build_json(told))

    async def _gathered(
        self, index: CatalogIndex, question: Question, client: SpeakingClient
    ) -> Outcome:
        began = time.monotonic()
        outcome = await self.resolver.gather(index, question, client)
        log.info(
            "question client=%r procedure=%r facts=%d missing=%s spared=%d preview=%s ms=%.1f",
            str(client.id)[:300],
            question.intent.procedure[:200],
            len(outcome.evidence),
            ",".join(sorted({one.reason.value for one in outcome.missing})) or "-",
            outcome.spared,
            question.preview,
            (time.monotonic() - began) * 1000,
        )
        return outcome


def _require_method(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise Refused(405, f"This address takes {method}", headers=(("Allow", method),))


def _refused(error: Exception) -> Refused:
    """What an error becomes for the caller."""
    match error:
        case Refused():
            return error
        case BadQuestion():
            return Refused(400, "Every problem is in errors", error.problems)
        case NoCatalog():
            text = "This node has not got the catalog of the instance yet"
            return Refused(503, text, headers=_LATER)
        case NoPreview():
            return Refused(404, "There is no such preview, or this token is not for it")
        case TooManyPreviews():
            return Refused(503, "Too many previews wait for citizens", headers=_LATER)
        case GlobalConfOutdated():
            return Refused(503, error.text, headers=_LATER)
        case ExchangeError():
            return Refused(400, error.text)
        case _:
            log.warning("%s", error)
            return Refused(503, "The log of the node says why", headers=_LATER)


def open_once_api(
    consumer: Consumer,
    pool: Pool,
    catalog: CatalogNow,
    pseudonym: Pseudonym,
    classify: Classify,
    clock: Callable[[], datetime],
    settings: ResolverSettings,
    keep_refused: Callable[[DataUse], None] = nowhere,
) -> OnceApi:
    """Put the API together; `previews.previews.run()` of it must be kept running."""
    means = Means(consumer.ask_for, pseudonym, classify, clock, keep_refused)
    resolver = Resolver(means, catalog, settings)
    previews = Previews(pool, clock, settings.keep_previews_for, settings.previews)
    pages = PreviewPages(previews, frozenset(settings.preview_portals))
    return OnceApi(resolver, consumer, pages)
