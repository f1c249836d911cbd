"""The page's addresses: what is asked is judged here, rendered elsewhere."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from scripts.ecosystem.case_page.case_view import (
    case_address,
    case_page,
    cases_page,
    start_page,
)
from scripts.ecosystem.case_page.cases import Case
from scripts.ecosystem.case_page.citizen_view import citizen_page, citizens_page
from scripts.ecosystem.case_page.desk import Desk
from scripts.ecosystem.case_page.figures import Reports
from scripts.ecosystem.case_page.frame import HEADERS, Frame, wrong
from scripts.ecosystem.case_page.granting import grant_commands
from scripts.ecosystem.case_page.proof_view import Judged, audit_page, proof_page, receipt_name
from scripts.ecosystem.case_system import Fact, NotAnswered
from scripts.people import Person
from trust.errors import SacbeError
from trust.receipts.receipts import RECEIPT_TYPE

_LOG = logging.getLogger(__name__)
_LARGEST_FORM = 16 * 1024  # bytes
_MOST_JUDGED = 30  # receipts for one look at the auditor's page
_OWN_SITE = ("", "none", "same-origin")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unfit(Exception):
    """What was asked can't be shown; the text is for who asked."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class CasePages:
    """Answers browsers."""

    desk: Desk
    reports: Reports
    frame: Frame

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._told], client_max_size=_LARGEST_FORM)
        app.router.add_get("/", self._start)
        app.router.add_get("/health", _health)
        app.router.add_get("/cases", self._cases)
        app.router.add_post("/cases", self._open)
        app.router.add_get("/cases/{number}", self._case)
        app.router.add_post("/cases/{number}", self._again)
        app.router.add_get("/cases/{number}/proofs/{exchange}", self._proof)
        app.router.add_get("/cases/{number}/proofs/{exchange}/receipt", self._receipt)
        app.router.add_get("/citizens", self._citizens)
        app.router.add_get("/citizens/{id}", self._citizen)
        app.router.add_get("/audit", self._audit)
        return app

    @web.middleware
    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure is a page with its status."""
        try:
            if request.method == "POST":
                _check_origin(request)
            return await handler(request)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            text = "There is nothing at this address" if error.status == 404 else error.reason
            return self._wrong(error.status, text)
        except Unfit as error:
            return self._wrong(error.status, str(error))
        except NotAnswered as error:
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return self._wrong(503, f"The node can't answer now; try again soon. {error}")
            _LOG.warning("%s %s: the node said %d", request.method, request.path, error.status)
            return self._wrong(502, f"The node answered with status {error.status}: {error}")
        except SacbeError as error:
            _LOG.warning("%s %s: %s", request.method, request.path, error)
            return self._wrong(502, str(error))

    def _wrong(self, status: int, text: str) -> web.Response:
        return _html(wrong(self.frame, status, text), status)

    # --- the clerk --------------------------------------------------------------------------------

    async def _start(self, _request: web.Request) -> web.Response:
        words = await self.desk.words()
        people = self.desk.cases.people.values()
        return _html(start_page(self.frame, people, words.procedures.values()))

    async def _cases(self, _request: web.Request) -> web.Response:
        cases = self.desk.cases.latest
        return _html(cases_page(self.frame, cases, await self.desk.words()))

    async def _open(self, request: web.Request) -> web.Response:
        form = await request.post()
        person = self._person(str(form.get("person", "")), 400)
        procedure = str(form.get("procedure", ""))
        if procedure not in (await self.desk.words()).procedures:
            raise Unfit(400, "The catalog has no such procedure")
        return _to(case_address(await self.desk.open(procedure, person)))

    async def _case(self, request: web.Request) -> web.Response:
        case = self._known(request)
        words, granting = await self.desk.words(), grant_commands(case, self.desk.places)
        return _html(case_page(self.frame, case, words, granting))

    async def _again(self, request: web.Request) -> web.Response:
        return _to(case_address(await self.desk.ask_again(self._known(request))))

    # --- proofs -----------------------------------------------------------------------------------

    async def _proof(self, request: web.Request) -> web.Response:
        case = self._known(request)
        fact = _fact(case, request)
        proof = await self.desk.judge(case, fact)
        words, places = await self.desk.words(), self.desk.places
        return _html(proof_page(self.frame, case, fact, proof, words, places))

    async def _receipt(self, request: web.Request) -> web.Response:
        fact = _fact(self._known(request), request)
        headers = {"Content-Disposition": f'attachment; filename="{receipt_name(fact)}"'}
        raw = await self.desk.receipt(fact)
        return web.Response(body=raw, content_type=RECEIPT_TYPE, headers=HEADERS | headers)

    # --- the citizen, the auditor -----------------------------------------------------------------

    async def _citizens(self, _request: web.Request) -> web.Response:
        return _html(citizens_page(self.frame, self.desk.cases.people.values()))

    async def _citizen(self, request: web.Request) -> web.Response:
        person = self._person(request.match_info["id"], 404)
        return _html(citizen_page(self.frame, person, await self.desk.used(person)))

    async def _audit(self, _request: web.Request) -> web.Response:
        exchanges = [
            (case, fact) for case in self.desk.cases.latest for fact in case.answer.exchanges
        ]
        judging = (
            self._judged(case, fact, number < _MOST_JUDGED)
            for number, (case, fact) in enumerate(exchanges)
        )
        judged, figures = await asyncio.gather(asyncio.gather(*judging), self.reports.all())
        words, places = await self.desk.words(), self.desk.places
        return _html(audit_page(self.frame, judged, figures, words, places))

    async def _judged(self, case: Case, fact: Fact, wanted: bool) -> Judged:
        proof = case.proofs.get(fact.exchange_id)
        if proof is None and wanted:
            try:
                proof = await self.desk.judge(case, fact)
            except SacbeError as error:
                return Judged(case, fact, None, str(error))
        return Judged(case, fact, proof)

    # --- what is asked for ------------------------------------------------------------------------

    def _known(self, request: web.Request) -> Case:
        case = self.desk.cases.find(request.match_info["number"])
        if case is None:
            raise Unfit(404, "There is no such case, or it was opened too long ago")
        return case

    def _person(self, national_id: str, status: int) -> Person:
        person = self.desk.cases.people.get(national_id)
        if person is None:
            raise Unfit(status, "Choose one of the people on the page")
        return person


def _fact(case: Case, request: web.Request) -> Fact:
    fact = case.fact_of(request.match_info["exchange"])
    if fact is None:
        raise Unfit(404, "The case has no such exchange")
    return fact


def _check_origin(request: web.Request) -> None:
    """A form of another site may not open cases in the name of who looks at it."""
    site = request.headers.get("Sec-Fetch-Site", "")
    origin = request.headers.get("Origin", "")
    if site not in _OWN_SITE or (origin and urlsplit(origin).netloc != request.host):
        raise Unfit(403, "The form was sent from another site")


async def _health(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


def _to(address: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers=HEADERS | {"Location": address})
