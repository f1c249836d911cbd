"""Two nodes, registries of every kind behind one of them, and the resolver at the other.

Each registry is a service of the provider: `people` and `taxes` answer well, `down` is not there,
`slow` takes its time, `liar` answers other types than it says, `closed` has given no right, `old`
speaks SOAP, `plain` knows nothing of grants, `spare` has what `down`, `slow` and `closed` have;
`granted` gives what its terms allow.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp

from catalog.central.entries import Catalog, CatalogMember, CatalogService
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Place,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import (
    Authority,
    Concept,
    EvidenceType,
    FactType,
    Procedure,
    Purpose,
    Requirement,
    Vocabulary,
)
from catalog.services import AccessRight, ConnectionType, HostedClient, ServiceType
from catalog.terms import Terms
from node.exchange.systems_port import Page
from node.log.uses import DataUse
from node.once.resolver.api import OnceApi, open_once_api
from node.once.resolver.settings import ResolverSettings
from scripts.postgres import PostgresServer
from tests.instance import (
    CONSUMER,
    PROVIDER,
    Instance,
    NodeUnderTest,
    rest_service,
    utc_now,
)
from tests.raw_http import RawMessage
from tests.scene import System, answering
from tests.soap_messages import answer_to
from tests.soap_stage import TEXT, wsdl_service
from trust.database import Pool, open_pool
from trust.ids import ClientId, ServiceId

PERSON, TAX = "urn:t:person", "urn:t:tax"
NUMBER = "4711"
PURPOSE, BASIS = "urn:t:purpose", "Act 1, section 2"
NAME, BORN, ADULT, CHILDREN, TAX_NUMBER = (
    f"urn:t:{one}" for one in ("name", "born", "adult", "children", "tax-number")
)
INCOME, INSURED, CAR, HOUSE, DEBT, STATUS, PAID, HEIGHT, DOG = (
    f"urn:t:{one}"
    for one in (
        "income", "insured", "car", "house", "debt", "status", "paid", "height", "dog",
    )
)  # fmt: skip
TERRITORY, SCHOOL, POOL_CARD = "urn:t:territory", "urn:t:school", "urn:t:pool-card"
GRANTED, WITHHELD, DERIVED = (f"urn:t:granted-{one}" for one in ("name", "born", "adult"))
PORTAL = replace(CONSUMER, subsystem_code="portal")
STRANGER = replace(CONSUMER, subsystem_code="stranger")

_TYPES = {
    BORN: FactType.DATE,
    WITHHELD: FactType.DATE,
    ADULT: FactType.BOOLEAN,
    DERIVED: FactType.BOOLEAN,
    CHILDREN: FactType.TEXT,
    INCOME: FactType.NUMBER,
    HEIGHT: FactType.INTEGER,
    STATUS: FactType.TEXT,
    PAID: FactType.INTEGER,
}
_FACTS = {
    "people": {
        "name": "Ana Chel", "born": "2001-02-03", "taxNumber": "T-9", "town": "T1",
        "children": [{"name": "Ix"}, {"name": "Ek"}], "secret": "never asked for",
    },
    "taxes": {"income": {"year": 2025, "sum": 1234.50}},
    "spare": {"car": "a red one", "house": "a blue one", "insured": "yes", "dog": "Bo"},
    "slow": {"house": "the slow one"},
    "liar": {"height": "tall", "debt": "none"},
    "closed": {"insured": "nobody knows"},
    "granted": {"name": "Ana", "born": "2001-02-03", "secret": "x"},
    "plain": {"name": "Ana", "born": "2001-02-03", "dog": None},
    "schools": {"school": "School 1"},
}  # fmt: skip


def service_id(code: str) -> ServiceId:
    return ServiceId(PROVIDER, code, "v1" if code == "getState" else None)


def _fields(*found: tuple[str, str]) -> tuple[FieldMapping, ...]:
    return tuple(
        FieldMapping(
            path.strip("/").replace("/*", "").replace("/", "-"),
            path,
            concept,
            _TYPES.get(concept, FactType.TEXT),
        )
        for path, concept in found
    )


def _rest(code: str, scheme: str, *found: tuple[str, str], **changes: object) -> CatalogService:
    endpoint = EndpointMapping(
        "GET", "/{id}", SubjectParameter("id", scheme), fields=_fields(*found)
    )
    endpoint = replace(endpoint, **changes)  # type: ignore[arg-type]
    return CatalogService(
        service_id(code),
        ServiceType.OPENAPI,
        mapping=ServiceMapping((endpoint,)),
        plain=code == "plain",
    )


def _soap() -> CatalogService:
    endpoint = EndpointMapping(
        subject=SubjectParameter("/getState/person", PERSON, Place.BODY),
        parameters=(FixedParameter("/getState/year", Place.BODY, "{last_year}"),),
        fields=_fields(("/getStateResponse/status", STATUS), ("/getStateResponse/paid", PAID)),
        namespace="urn:p",
    )
    return CatalogService(
        service_id("getState"), ServiceType.WSDL, mapping=ServiceMapping((endpoint,))
    )


def granted_service() -> CatalogService:
    return _rest(
        "granted", PERSON, ("/name", GRANTED), ("/born", WITHHELD),
        views=(View("adult", "born", Rule.YEARS_AT_LEAST, "18", DERIVED),),
    )  # fmt: skip


def catalog() -> Catalog:
    people = _rest(
        "people", PERSON,
        ("/name", NAME), ("/born", BORN), ("/taxNumber", TAX_NUMBER),
        ("/children/*/name", CHILDREN), ("/town", TERRITORY),
    )  # fmt: skip
    years = (FixedParameter("year", Place.QUERY, "{last_year}"),)
    plain = _rest(
        "plain", PERSON, ("/born", "urn:t:born-plain"), ("/dog", "urn:t:none"),
        views=(View("adult", "born", Rule.YEARS_AT_LEAST, "18", ADULT),),
    )  # fmt: skip
    services = (
        people,
        _rest("taxes", TAX, ("/income/sum", INCOME), parameters=years),
        _rest("down", PERSON, ("/car", CAR), ("/debt", DEBT)),
        _rest("slow", PERSON, ("/house", HOUSE)),
        _rest("liar", PERSON, ("/height", HEIGHT), ("/debt", DEBT)),
        _rest("closed", PERSON, ("/insured", INSURED)),
        _rest("spare", PERSON, ("/car", CAR), ("/house", HOUSE), ("/dog", DOG)),
        _rest("schools", PERSON, ("/school", SCHOOL)),
        plain,
        granted_service(),
        _soap(),
    )
    return Catalog(
        "TEST",
        7,
        datetime(2026, 1, 1, tzinfo=UTC),
        members=(CatalogMember(PROVIDER.member, "Civil Registry"),),
        services=services,
        vocabulary=_vocabulary(services),
    )


def _vocabulary(services: tuple[CatalogService, ...]) -> Vocabulary:
    concepts = dict.fromkeys(
        concept
        for service in services
        for endpoint in service.mapping.endpoints
        for concept in endpoint.names_of
    )
    return Vocabulary(
        concepts=tuple(
            Concept(
                uri,
                {"en": uri},
                _TYPES.get(uri, FactType.DATE if uri == "urn:t:born-plain" else FactType.TEXT),
                identifies=TAX if uri == TAX_NUMBER else "",
            )
            for uri in (*concepts, POOL_CARD)
        ),
        evidence_types=(
            EvidenceType("urn:t:birth-certificate", {}, (NAME, BORN)),
            EvidenceType("urn:t:tax-paper", {}, (INCOME,)),
        ),
        requirements=(
            Requirement("urn:t:who", {}, evidence_types=("urn:t:birth-certificate",)),
            Requirement("urn:t:what", {}, (STATUS,), ("urn:t:tax-paper",)),
        ),
        purposes=(Purpose(PURPOSE, {}, BASIS),),
        procedures=(Procedure("urn:t:benefit", {}, ("urn:t:who", "urn:t:what"), PURPOSE),),
        authorities=(
            Authority((NAME, BORN, TAX_NUMBER, CHILDREN, TERRITORY), service_id("people")),
            Authority((INCOME,), service_id("taxes")),
            Authority((CAR,), service_id("down"), (service_id("spare"),)),
            Authority((HOUSE,), service_id("slow"), (service_id("spare"),)),
            Authority((INSURED,), service_id("closed")),
            Authority((HEIGHT, DEBT), service_id("liar")),
            Authority((DOG,), service_id("spare")),
            Authority((GRANTED, WITHHELD, DERIVED), service_id("granted")),
            Authority(("urn:t:born-plain", ADULT, "urn:t:none"), service_id("plain")),
            Authority((STATUS, PAID), service_id("getState")),
            Authority((SCHOOL,), service_id("schools"), territory="T1"),
            Authority((SCHOOL,), service_id("down"), territory="T2"),
        ),
        territory_concept=TERRITORY,
    )


@dataclass
class Stage:
    """The nodes, the system behind the provider, and the API."""

    provider: NodeUnderTest
    consumer: NodeUnderTest
    system: System
    pool: Pool
    session: aiohttp.ClientSession
    api: OnceApi
    catalog: Catalog | None = field(default_factory=catalog)
    now: datetime | None = None
    refused: list[DataUse] = field(default_factory=list)

    async def post(
        self, path: str, body: object = None, client: ClientId = CONSUMER, **headers: str
    ) -> tuple[int, Any]:
        return await self.ask("POST", path, body, client, **headers)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        client: ClientId | None = CONSUMER,
        **headers: str,
    ) -> tuple[int, Any]:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if client is not None:
            said["X-Road-Client"] = client.path
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        url = f"{self.consumer.url}{path}"
        async with self.session.request(method, url, data=data, headers=said) as response:
            return response.status, await response.json(content_type=None)

    async def evidence(self, *concepts: str, **more: object) -> Any:  # noqa: ANN401 - JSON
        status, answer = await self.post("/once/v1/evidence", question(*concepts, **more))
        assert status in (200, 201), answer
        return answer

    def clock(self) -> datetime:
        return self.now or utc_now()


def question(*concepts: str, **more: object) -> dict[str, object]:
    wanted: dict[str, object] = {"concepts": list(concepts), "purpose": PURPOSE} if concepts else {}
    return wanted | {
        "subject": {"scheme": PERSON, "value": NUMBER},
        "case": "2026/17",
        "official": "clerk7",
    } | more  # fmt: skip


async def _answer(request: RawMessage) -> bytes:
    if request.first("SOAPAction") is not None:
        answer = answer_to(request.body).replace(b"<year>2025</year>", b"")
        return answering(answer, headers=(("Content-Type", TEXT),))
    code = request.target.split("/")[1]
    if code == "slow":
        await asyncio.sleep(3600)
    if request.target.split("/")[2].partition("?")[0] not in (NUMBER, "T-9"):
        return answering(b"{}", "404 Not Found")
    body = json.dumps(_FACTS[code]).encode()
    return answering(body, headers=(("Content-Type", "application/json"),))


def state_answer(request: RawMessage) -> bytes:
    """What the old service says."""
    raw = request.body
    begin, end = raw.index(b"<soapenv:Body>"), raw.index(b"</soapenv:Body>")
    inner = (
        b'<getStateResponse xmlns="urn:p"><status>paid up</status><paid> 12 </paid>'
        b"</getStateResponse>"
    )
    return answering(
        raw[:begin] + b"<soapenv:Body>" + inner + raw[end:], headers=(("Content-Type", TEXT),)
    )


async def answer(request: RawMessage) -> bytes:
    """What every registry says."""
    if request.method == "POST":
        return state_answer(request)
    return await _answer(request)


@asynccontextmanager
async def once_stage(folder: Path, postgres: PostgresServer) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres))
        system = await stack.enter_async_context(System(answer).listening())
        base = system.url.removesuffix("/api")
        codes = ("people", "taxes", "slow", "liar", "spare", "plain", "schools")
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(
                *(rest_service(f"{base}/{code}", code) for code in codes),
                rest_service(f"{base}/closed", "closed"),
                rest_service(f"{base}/granted", "granted", mapping=granted_service().mapping),
                rest_service("http://127.0.0.1:9/", "down"),
                wsdl_service(base, "getState"),
            ),
            rights=(
                *(AccessRight(CONSUMER, code) for code in (*codes, "down", "getState")),
                AccessRight(
                    CONSUMER,
                    "granted",
                    terms=Terms(fields=("name", "adult"), purposes=(PURPOSE,)),
                ),
            ),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        hosted = [
            HostedClient(one, connection=ConnectionType.HTTP)
            for one in (CONSUMER, PORTAL, STRANGER)
        ]
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        muni.entry = replace(muni.entry, clients=(CONSUMER, PORTAL, STRANGER))
        await instance.start()
        pool = await open_pool(muni.dsn, "test")
        stack.push_async_callback(pool.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield _with_api(Stage(civil, muni, system, pool, session, cast(OnceApi, None)))


def _with_api(stage: Stage) -> Stage:
    settings = ResolverSettings(
        deadline=timedelta(seconds=5), preview_portals=(PORTAL,), previews=4
    )
    stage.api = open_once_api(
        stage.consumer.running.exchanges.consumer,
        stage.pool,
        lambda: stage.catalog,
        lambda scheme, value: f"{scheme}|{value}".encode(),
        lambda use: use,
        stage.clock,
        settings,
        stage.refused.append,
    )
    folders = cast(dict[str, Page], stage.consumer.running.systems_port.folders)
    folders["/once"] = stage.api
    return stage
