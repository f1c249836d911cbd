"""A node as the pages of the once-only story meet it: canned answers, and whatever goes wrong."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scripts.ecosystem import concepts as c
from scripts.ecosystem.case_page.app import CasePages
from scripts.ecosystem.case_page.desk import Desk
from scripts.ecosystem.case_page.figures import Reports
from scripts.ecosystem.case_page.frame import Frame
from scripts.ecosystem.case_page.places import NodePlace, Places
from scripts.ecosystem.institutions import (
    ASSESSMENTS,
    CASES,
    CIVIL,
    MUNI,
    PEOPLE,
    SOCIAL,
    TAX,
)
from scripts.people import people
from tests.receipt_parts import CONSUMER, PROVIDER, Exchange
from trust.base64text import encode_base64
from trust.digests import sha512
from trust.evidence.asic import Attachment, Container, build_container
from trust.ids import ServiceId

Pages = TestClient[web.Request, web.Application]
_PEOPLE, _INCOMES, _STATUS = (
    ServiceId(PROVIDER, code) for code in ("people", "assessments", "contributionStatus")
)
NAMES = {_PEOPLE: CIVIL.name, _INCOMES: TAX.name, _STATUS: SOCIAL.name}
FACTS: Mapping[str, tuple[ServiceId, object]] = {
    c.BIRTH_DATE: (_PEOPLE, "1967-05-04"),
    c.STREET: (_PEOPLE, "Mill Lane 7"),
    c.HOUSEHOLD_INCOME: (_INCOMES, 58571),
    c.CONTRIBUTION_STATUS: (_STATUS, "insured"),
    c.ADULT: (_PEOPLE, True),
}
GAP: dict[str, object] = {
    "concept": c.TAX_DEBT,
    "reason": "no_right",
    "who_can_fix": "source",
    "text": "The source has given no right to ask",
    "source": ASSESSMENTS.path,
}
LABELS = {c.BIRTH_DATE: "Date of birth", c.STREET: "Street and number", c.TAX_DEBT: "Tax debt"}
SOMEBODY = next(people(1))


def _fact(concept: str, told: tuple[ServiceId, object]) -> dict[str, object]:
    service, value = told
    return {
        "concept": concept,
        "value": value,
        "source": service.path,
        "source_name": NAMES[service],
        "valid_at": "2026-11-21T12:00:00.000Z",
        "exchange_id": f"exchange-{service.service_code}",
        "receipt": f"/receipt?queryId={service.service_code}&xRoadInstance=SANDBOX",
        "reduced_here": service == _STATUS,
    }


FACT = _fact(c.BIRTH_DATE, FACTS[c.BIRTH_DATE])


@dataclass
class StageNode:
    """Every node at once.

    Attributes:
        answer: of the resolver; status other than 200 with `refusal` as its body.
        receipt: in the place of those that are made for every exchange.
        container: of every answer. asked: bodies and headers that came.
    """

    made: Exchange
    receipt: bytes | None = None
    container: bytes = b"no container"
    usages: list[dict[str, object]] = field(default_factory=list)
    status: int = 200
    refusal: str = ""
    changes: dict[str, object] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)

    def answer(self) -> dict[str, object]:
        evidence = [_fact(*told) for told in FACTS.items()]
        planned = {
            "stage": 1, "service": PEOPLE.path, "name": CIVIL.name,
            "endpoint": "GET /persons/{id}", "concepts": [c.BIRTH_DATE], "fields": ["birth_date"],
        }  # fmt: skip
        later = {"stage": 2, "depends_on": "urn:c:town", "concepts": [c.STREET]}
        return {
            "evidence": evidence,
            "missing": [GAP],
            "plan": [planned, later],
            "spared": 4,
            "catalog_version": 3,
        } | self.changes

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/once/v1/evidence", self._evidence)
        app.router.add_get("/asic", self._asic)
        app.router.add_get("/receipt", self._receipt)
        app.router.add_get("/once/v1/usage", self._usage)
        app.router.add_get("/catalog/v1/{kind}", self._listed)
        return app

    async def _evidence(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json(), request.headers["X-Road-Client"]))
        if self.status != 200:
            return web.Response(status=self.status, text=self.refusal)
        return web.json_response(self.answer())

    async def _asic(self, request: web.Request) -> web.Response:
        self.asked.append(request.query["queryId"])
        return web.Response(body=self.container)

    async def _receipt(self, request: web.Request) -> web.Response:
        code = request.query["queryId"]
        return web.Response(body=self.receipt or receipt_of(self.made, code, self.case))

    @property
    def case(self) -> str:
        """The number of the latest case."""
        asked = (one[0] for one in self.asked if isinstance(one, tuple))
        return [str(one["case"]) for one in asked if "case" in one][-1]

    async def _usage(self, request: web.Request) -> web.Response:
        self.asked.append((dict(request.query), request.headers["X-Road-Client"]))
        source = {
            "client": PEOPLE.provider.path, "server": CIVIL.server.path,
            "memberName": CIVIL.name, "standing": "answered", "reason": "", "totalUsages": 1,
        }  # fmt: skip
        answer = {
            "usages": self.usages, "moreUsages": 0, "sealedUsages": 0, "complete": True,
            "sources": [source],
        }  # fmt: skip
        return web.json_response(answer)

    async def _listed(self, request: web.Request) -> web.Response:
        concepts = [{"uri": uri, "labels": {"en": text}} for uri, text in LABELS.items()]
        procedure = {
            "uri": c.SCHOOL_BENEFIT, "labels": {"es": "Beca", "en": "School benefit"},
            "legal_basis": c.SCHOOL_BENEFIT_LAW, "purpose": c.SCHOOL_BENEFIT_PURPOSE,
        }  # fmt: skip
        found = {"concepts": concepts, "procedures": [procedure]}
        return web.json_response({"items": found[request.match_info["kind"]], "total": 1})


def receipt_of(
    made: Exchange, code: str, case: str, values: Iterable[object] | None = None
) -> bytes:
    """The receipt of an exchange, whose message id is the service code.

    Args:
        values: that the answer has; those of the case without.
    """
    service = ServiceId(PROVIDER, code)
    if values is None:
        values = [value for source, value in FACTS.values() if source == service]
    both = f"x-road-client:{CONSUMER.path}\r\nx-road-id:{code}\r\nx-road-request-id:7e0c\r\n"
    request = f"GET\r\n/r1/{service.path}\r\n{both}x-road-issue:{case}\r\n".encode()
    hashed = encode_base64(sha512(request))
    answer = f"200\r\nOK\r\n{both}x-road-service:{service.path}\r\nx-road-request-hash:{hashed}\r\n"
    body = json.dumps({f"field_{number}": value for number, value in enumerate(values)})
    one = Exchange(request, made.pki)
    one.request = one.signed(CONSUMER, request)
    one.response = one.signed(PROVIDER, answer.encode(), (body.encode(),))
    return one.receipt()


def answered_container(body: Mapping[str, object], *headers: str) -> bytes:
    """An answer by REST, as a node keeps it; the signature is none."""
    head = "".join(f"{line}\r\n" for line in ("200", "OK", *headers)).encode()
    raw = json.dumps(body).encode()
    return build_container(Container(head, b"<none/>", attachments=(Attachment.of(1, raw),)))


@asynccontextmanager
async def pages_of(node: StageNode, folder: Path) -> AsyncIterator[Pages]:
    """The pages in front of a node."""
    async with TestServer(node.app()) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        config = str(folder / "node.toml")
        keys = (MUNI, CIVIL, TAX)
        places = Places(
            {one.key: NodePlace(one.name, url, config) for one in keys},
            "http://registry.example",
            str(folder / "anchor.xml"),
            ("sacbe",),
        )
        desk = Desk(session, places, node.made.anchor)
        pages = CasePages(desk, Reports(places), Frame(f"{url}/catalog"))
        async with TestClient(TestServer(pages.app())) as client:
            yield client


def usage() -> dict[str, object]:
    return {
        "logtime": "2026-11-21T12:00:00Z",
        "action": "School benefit",
        "receiverCode": "2001",
        "receiverName": MUNI.name,
        "receiverSystem": "cases",
        "part": "gave",
        "receiver": CASES.path,
        "source": PEOPLE.path,
        "purpose": c.SCHOOL_BENEFIT_PURPOSE,
        "legalBasis": c.SCHOOL_BENEFIT_LAW,
        "procedure": c.SCHOOL_BENEFIT,
        "caseId": "CASE-7",
        "facts": [c.BIRTH_DATE],
        "exchangeId": "exchange-people",
        "toldBy": PEOPLE.provider.path,
        "purposeName": "Deciding on school benefits",
        "procedureName": "School benefit",
        "factNames": ["Date of birth"],
    }
