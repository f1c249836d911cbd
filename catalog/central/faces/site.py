"""The faces of the catalog behind one address, for any web server that can hold it."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from aiohttp import web

from catalog.central.entries import Catalog, CatalogNow, CatalogService
from catalog.central.faces.api import CatalogApi
from catalog.central.faces.description_page import Describe
from catalog.central.faces.layout import Desk
from catalog.central.faces.pages import CatalogPages
from catalog.central.faces.question import Answer, BadQuestion, NotFound, Question, problem
from catalog.central.faces.start_page import bad_question_page, not_found_page
from catalog.central.faces.style import STYLE
from catalog.central.faces.view import CatalogView

log = logging.getLogger("sacbe.catalog")

ROOT = "/catalog"
_AT_ONCE = 4  # answers that are made side by side; the others wait
_SLOW_AT_ONCE = 2
_MOST_WAITING = 100
_STYLE = STYLE.encode()

Export = Callable[[Catalog, str], Answer | None]


def no_description(_service: CatalogService) -> bytes | None:
    """For those who keep none."""
    return None


def no_export(_catalog: Catalog, _name: str) -> Answer | None:
    """For those who offer none."""
    return None


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class CatalogSite:
    """Everything below `/catalog`, to be read only.

    Args:
        catalog: the version that counts now; None while there is none.
        describe: a service's description as bytes, where there is one.
        export: a file of the whole catalog by its name (`export.ttl`), where it is offered.
    """

    catalog: CatalogNow
    describe: Describe = no_description
    export: Export = no_export
    root: str = ROOT
    clock: Callable[[], datetime] = utc_now
    _view: CatalogView | None = field(default=None, init=False, repr=False)
    _places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False, repr=False
    )
    _slow_places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_SLOW_AT_ONCE), init=False, repr=False
    )
    _waiting: int = field(default=0, init=False, repr=False)

    def add_to(self, app: web.Application) -> None:
        """Let an application answer at the catalog's addresses."""

        async def page(request: web.Request) -> web.StreamResponse:
            return await self.respond(request, request.raw_path)

        app.router.add_get(self.root, page)
        app.router.add_get(self.root + "/{rest:.*}", page)

    async def respond(self, request: web.BaseRequest, target: str) -> web.Response:
        """Answer one request; making the answer holds up nobody else.

        Args:
            target: path and query as they were received.
        """
        if request.method not in ("GET", "HEAD"):
            refused = problem(405, "The catalog is only read")
            return _response(replace(refused, headers={"Allow": "GET, HEAD"}))
        if self._waiting >= _MOST_WAITING:
            return _response(problem(503, "Too many are asking at once"))
        self._waiting += 1
        try:
            async with self._place_for(target):
                answer = await asyncio.to_thread(self.answer, target, dict(request.headers))
        finally:
            self._waiting -= 1
        return _response(answer)

    def _place_for(self, target: str) -> asyncio.Semaphore:
        """What may take long, exports and others' descriptions, is in nobody else's way."""
        slow = target.startswith((f"{self.root}/v1/export.", f"{self.root}/descriptions/"))
        return self._slow_places if slow else self._places

    def answer(self, target: str, headers: Mapping[str, str]) -> Answer:
        """What is answered to a request; never raises for what was asked."""
        catalog = self.catalog()
        if catalog is None:
            return problem(503, "There is no catalog yet", "It comes with the trust list.")
        desk = Desk(self._view_of(catalog), self.root, (), self.clock().date())
        try:
            question = Question.of(target, headers, self.root)
            desk = replace(desk, languages=question.languages)
            return self._tagged(desk, question)
        except BadQuestion as error:
            return self._refused(target, desk, str(error))
        except NotFound:
            return self._missing(target, desk)

    def _view_of(self, catalog: Catalog) -> CatalogView:
        """The indexes of this version; made anew when it is another one."""
        view = self._view
        if view is None or view.catalog is not catalog:
            view = self._view = CatalogView(catalog)
        return view

    def _tagged(self, desk: Desk, question: Question) -> Answer:
        """The answer with its entity tag, or 304 to those who have it already."""
        tag = _entity_tag(desk)
        kept = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in question.known:
            return Answer(b"", "", 304, kept, varies=True)
        answer = self._answered(desk, question)
        return replace(answer, headers={**answer.headers, **kept})

    def _answered(self, desk: Desk, question: Question) -> Answer:
        if question.path == "/style.css":
            return Answer(_STYLE, "text/css")
        if question.segments[:1] != ("v1",):
            return CatalogPages(self.describe).answer(desk, question)
        if question.segments[1:2] and question.segments[1].startswith("export."):
            exported = self.export(desk.view.catalog, question.segments[1])
            if exported is None:
                raise NotFound
            return exported
        return CatalogApi(self.root).answer(desk.view, question, desk.day)

    def _refused(self, target: str, desk: Desk, why: str) -> Answer:
        if self._is_for_programs(target):
            return problem(400, "The question can't be answered", why)
        return bad_question_page(desk, why)

    def _missing(self, target: str, desk: Desk) -> Answer:
        if self._is_for_programs(target):
            return problem(404, "The catalog has no such thing")
        return not_found_page(desk)

    def _is_for_programs(self, target: str) -> bool:
        return target.startswith(f"{self.root}/v1")


def _entity_tag(desk: Desk) -> str:
    """What an answer depends on: version, day (of life cycles) and languages."""
    catalog = desk.view.catalog
    wishes = hashlib.sha256(",".join(desk.languages).encode()).hexdigest()[:12]
    return f'"{catalog.version}-{catalog.made_at:%Y%m%d%H%M%S}-{desk.day:%Y%m%d}-{wishes}"'


def _response(answer: Answer) -> web.Response:
    headers = {"X-Content-Type-Options": "nosniff", **answer.headers}
    if answer.varies:
        headers["Vary"] = "Accept-Language"
    if answer.content_type:
        text = answer.content_type.startswith("text/")
        headers["Content-Type"] = answer.content_type + ("; charset=utf-8" if text else "")
    return web.Response(body=answer.body or None, status=answer.status, headers=headers)
