"""A portal asks all nodes: whatever some of them do, the rest is told, and they are named."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from catalog.central.entries import Catalog, CatalogService
from catalog.services import ServerConf, ServiceType
from node.exchange.clients import SpeakingClient
from node.exchange.own_call import OwnAnswer, OwnCall, OwnRequest
from node.exchange.snapshot import Snapshots
from node.once.citizen.everywhere import Everywhere
from node.once.citizen.portal import CitizenPortal
from node.once.citizen.reading import WrongAnswer, read_answer
from node.once.citizen.settings import CitizenSettings, PortalSettings, TrackerSettings
from node.once.citizen.sources import Source, sources_of
from node.once.pseudonyms import SchemeAlias
from tests.citizen_stage import (
    CIVIL,
    CLERK,
    CODE,
    NOW,
    OWN,
    PERSON,
    PLAIN,
    PORTAL,
    SERVERS,
    TAX,
    THEIRS,
    trust_list,
)  # fmt: skip
from trust.errors import NetworkFailure, PeerFault, UnknownMember
from trust.globalconf import GlobalConf, PrivateParameters
from trust.ids import ClientId, ServerId, ServiceId

USAGE = {
    "logtime": "2026-11-21T11:00:00Z", "action": "Benefit", "receiverCode": "75000001",
    "receiverSystem": "benefits", "part": "gave", "receiver": CLERK.path,
    "source": PERSON.path, "exchangeId": "e-1", "facts": ["urn:c:birthDate"],
}  # fmt: skip
Behaviour = Callable[[OwnRequest], Awaitable[OwnAnswer]]
QUERY = f"scheme=national-id&value={CODE}"


def telling(*usages: dict[str, Any], total: int | None = None, sealed: int = 0) -> Behaviour:
    count = len(usages) if total is None else total
    return saying({"totalUsages": count, "sealedUsages": sealed, "usages": list(usages)})


def saying(document: object, status: int = 200) -> Behaviour:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    async def answer(_request: OwnRequest) -> OwnAnswer:
        return OwnAnswer(status, (), body, "exchange")

    return answer


def failing(error: BaseException) -> Behaviour:
    async def answer(_request: OwnRequest) -> OwnAnswer:
        raise error

    return answer


async def sleeping(_request: OwnRequest) -> OwnAnswer:
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class Others:
    """All other nodes, as this node's consumer side reaches them."""

    behaviours: dict[ClientId, Behaviour] = field(default_factory=dict)
    asked: list[OwnRequest] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def speaking(self, http: web.BaseRequest, client: ClientId) -> SpeakingClient:
        if client.instance != "EX":
            raise UnknownMember(f"Client '{client}' not found")
        return SpeakingClient(client)

    async def ask_for(self, client: SpeakingClient, call: OwnCall) -> OwnAnswer:
        request = call._own
        assert request.client == client.id
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(0)
            return await self.behaviours.get(request.service.provider, telling())(request)
        finally:
            self.at_once -= 1


def portal(
    others: Others,
    conf: GlobalConf | None = None,
    catalog: Catalog | None = None,
    **changes: Any,  # noqa: ANN401 - any setting of the portal
) -> CitizenPortal:
    settings = CitizenSettings(
        tracker=TrackerSettings(scheme="national-id"),
        portal=PortalSettings(**({"clients": (PORTAL,)} | changes)),
        aliases=(SchemeAlias(scheme="urn:ee:person", same_as="national-id"),),
    )
    snapshots = Snapshots(lambda: believed(conf or trust_list()), ServerConf, lambda: NOW)
    return CitizenPortal(
        settings,
        Everywhere(settings, snapshots, lambda: catalog),
        snapshots,
        lambda: catalog,
        others,
    )


def believed(conf: GlobalConf) -> GlobalConf:
    """With private parameters, without which nothing is exchanged."""
    private = PrivateParameters("EX", (), "", None, PORTAL, 60)
    own = replace(conf.own, private=private)
    return replace(conf, instances={conf.own_instance: own})


async def asked(
    found: CitizenPortal,
    query: str = QUERY,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> web.Response:
    said = {"X-Road-Client": PORTAL.path, "X-Road-UserId": CODE} | (headers or {})
    sent = {name: value for name, value in said.items() if value}
    request = make_mocked_request(method, f"/once/v1/usage?{query}", headers=sent)
    answer = await found.handle(request)
    assert isinstance(answer, web.Response)
    return answer


async def told(others: Others, query: str = QUERY, **changes: Any) -> Any:  # noqa: ANN401 - JSON
    answer = await asked(portal(others, **changes), query)
    assert answer.status == 200, answer.text
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def standings(found: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    return {one["client"]: one["standing"] for one in found["sources"]}


async def test_every_node_is_asked_in_the_portal_s_name() -> None:
    others = Others({CIVIL: telling(USAGE)})
    found = await told(others, f"{QUERY}&since=2026-01-01T00:00:00Z")
    assert {(one.service, one.server) for one in others.asked} == {
        (ServiceId(server.clients[0], "findUsage"), server.id) for server in SERVERS
    }
    one = others.asked[0]
    assert one.client == PORTAL
    assert one.headers == (("X-Road-UserId", CODE),)
    assert one.rest == (
        f"/v2/findUsage?userCode={CODE}&periodStart=2026-01-01T00%3A00%3A00.000000Z"
        "&periodEnd=9999-01-01T00%3A00%3A00.000000Z&offset=0&limit=200"
    )
    assert found["complete"]
    (usage,) = found["usages"]
    assert usage["toldBy"] == CIVIL.path
    assert usage["factNames"] == ["urn:c:birthDate"]
    assert usage | USAGE == usage


async def test_others_that_fail_are_named_and_take_nothing_away() -> None:
    clients = [ClientId("EX", "GOV", "8", f"s{number}") for number in range(8)]
    behaviours: dict[ClientId, Behaviour] = dict(
        zip(
            clients,
            [
                failing(PeerFault("server.clientproxy.network_error", "no way")),
                failing(PeerFault("server.serverproxy.unknown_service", "no such service")),
                failing(PeerFault("Server.ServerProxy.UnknownService", "no such service")),
                failing(PeerFault("server.serverproxy.access_denied", "no right")),
                saying({"usages": "none"}),
                saying(b"", 500),
                failing(RuntimeError("a mistake of ours")),
                failing(asyncio.CancelledError("by somebody else")),
            ],
            strict=True,
        )
    )
    server = replace(SERVERS[0], clients=(CIVIL, *clients))
    others = Others({CIVIL: telling(USAGE, sealed=2), **behaviours})
    found = await told(others, conf=trust_list((server,)))
    assert [one["exchangeId"] for one in found["usages"]] == ["e-1"]
    assert (found["sealedUsages"], found["complete"]) == (2, False)
    assert list(standings(found).values()) == [
        "answered", "silent", "plain", "plain", "refused", "wrong", "silent", "silent", "silent",
    ]  # fmt: skip


async def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    others = Others({CIVIL: telling(USAGE), TAX: sleeping, CLERK: sleeping})
    moment = timedelta(seconds=0.3)
    found = await told(others, deadline=moment, patience=moment / 6)
    assert standings(found)[TAX.path] == "silent"
    assert len(found["usages"]) == 1
    assert others.at_once == 0
    found = await told(others, deadline=moment, at_once=1)
    assert standings(found) == {
        CIVIL.path: "answered", PORTAL.path: "answered", TAX.path: "silent",
        CLERK.path: "not_asked",
    }  # fmt: skip
    assert others.at_once == 0


async def test_no_more_are_asked_than_the_settings_allow() -> None:
    clients = tuple(ClientId("EX", "GOV", "8", f"s{number:02}") for number in range(30))
    conf = trust_list((replace(SERVERS[0], clients=clients),))
    others = Others()
    found = await told(others, conf=conf, at_once=4, sources=20)
    assert others.most_at_once == 4
    assert list(standings(found).values()) == ["answered"] * 20 + ["not_asked"] * 10


async def test_answers_that_are_too_long_together_leave_others_out() -> None:
    clients = tuple(ClientId("EX", "GOV", "8", f"s{number:02}") for number in range(20))
    padding = {"else": "x" * (1 << 20)}
    long = saying({"totalUsages": 0, "usages": []} | padding)
    others = Others(dict.fromkeys(clients, long))
    found = await told(others, conf=trust_list((replace(SERVERS[0], clients=clients),)))
    assert sorted(standings(found).values()) == ["answered"] * 7 + ["not_asked"] * 13


async def test_all_are_asked_for_so_many_citizens_at_a_time() -> None:
    others = Others({CIVIL: sleeping})
    found = portal(others, citizens_at_once=2, deadline=timedelta(seconds=0.3))
    answers = await asyncio.gather(*(asked(found) for _ in range(3)))
    assert sorted(one.status for one in answers) == [200, 200, 503]
    assert (await asked(found)).status == 200


async def test_nodes_that_the_catalog_knows_as_plain_are_not_asked() -> None:
    def service(client: ClientId, code: str, *, plain: bool) -> CatalogService:
        return CatalogService(ServiceId(client, code), ServiceType.REST, plain=plain)

    services = (service(CIVIL, "person", plain=False), service(TAX, "income", plain=True))
    catalog = Catalog("EX", 1, NOW, services=services)
    others = Others()
    found = await told(others, catalog=catalog)
    assert standings(found)[TAX.path] == "plain"
    assert TAX not in {one.service.provider for one in others.asked}
    assert found["complete"]
    tracker = service(TAX, "findUsage", plain=True)
    found = await told(others, catalog=replace(catalog, services=(*services, tracker)))
    assert standings(found)[TAX.path] == "answered"


def test_a_client_is_asked_at_each_of_its_nodes() -> None:
    second = ServerId(CIVIL.member, "NODE9")
    servers = (*SERVERS, replace(SERVERS[0], id=second, clients=(CIVIL, CIVIL.member)))
    found = sources_of(trust_list(servers), None, "findUsage", NOW)
    assert [one for one in found.asked if one.client.member == CIVIL.member] == [
        Source(CIVIL, OWN),
        Source(CIVIL, second),
    ]


# --- what others answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}}",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        {"totalUsages": "1", "usages": []},
        {"totalUsages": -1, "usages": []},
        {"totalUsages": 2**31, "usages": []},
        {"totalUsages": 0, "usages": [USAGE]},
        {"totalUsages": 9, "usages": [USAGE] * 3},
        {"totalUsages": 1, "usages": [USAGE], "sealedUsages": 1.5},
        {"totalUsages": 1, "usages": {}},
        *(
            {"totalUsages": 1, "usages": [USAGE | change]}
            for change in (
                {"logtime": "2026-11-21T11:00:00"},
                {"logtime": 1},
                {"logtime": "0001-01-01T00:00:00+14:00"},
                {"logtime": "9999-12-31T23:59:59-14:00"},
                {"action": None},
                {"action": "x" * 1025},
                {"facts": ["x"] * 501},
                {"facts": "x"},
                {"part": "stole"},
                {"source": ServiceId(TAX, "income").path},
                {"source": f"{CIVIL.path}x/person"},
                {"part": "fetched"},
            )
        ),
    ],
)
def test_lies_are_not_told(document: object) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(WrongAnswer):
        read_answer(body, CIVIL, 2)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["usages", "totalUsages", *USAGE]), inner, max_size=5)
        ),
        max_leaves=12,
    )
)
def test_any_answer_is_read_or_called_wrong(document: Any) -> None:  # noqa: ANN401 - JSON
    body = json.dumps(document).encode()
    try:
        found = read_answer(body, CIVIL, 2)
    except WrongAnswer:
        return
    assert found.total >= len(found.usages)


def test_a_plain_data_tracker_is_believed_without_our_members() -> None:
    plain = {name: USAGE[name] for name in ("logtime", "action", "receiverCode", "receiverSystem")}
    document = {"totalUsages": 1, "usages": [plain | {"receiverName": None, "else": {"x": []}}]}
    found = read_answer(json.dumps(document).encode(), TAX, 2)
    assert found.usages[0].logtime == NOW - timedelta(hours=1)


# --- who asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "headers", "status", "text"),
    [
        (QUERY, {"X-Road-Client": ""}, 401, "X-Road-Client must say"),
        (QUERY, {"X-Road-Client": "XX/GOV/1/a"}, 401, "not found"),
        (QUERY, {"X-Road-Client": CLERK.path}, 403, "no citizens' portal"),
        (QUERY, {"X-Road-UserId": ""}, 400, "X-Road-UserId must have"),
        (QUERY, {"X-Road-Represented-Party": "a/b/c"}, 400, "must be a code"),
        (f"value={CODE}", {}, 400, "scheme must be national-id"),
        (f"scheme=tax-id&value={CODE}", {}, 400, "scheme must be national-id"),
        ("scheme=national-id", {}, 400, "value must have"),
        (f"{QUERY}&value=2", {}, 400, "there twice"),
        (f"{QUERY}&since=today", {}, 400, "since must be a time"),
        (f"{QUERY}&as=pdf", {}, 400, "as can only be page"),
        (f"{QUERY}&until=", {"X-Road-Represented-Party": "org/9"}, 200, '"complete":true'),
        (QUERY.replace("national-id", "urn:ee:person"), {}, 200, '"usages":[]'),
        (f"{QUERY}&whom=x", {}, 400, "no parameter 'whom'"),
    ],
)
async def test_a_question_is_answered_or_refused_in_words(
    query: str, headers: dict[str, str], status: int, text: str
) -> None:
    others = Others()
    answer = await asked(portal(others), query, headers=headers)
    body = answer.body.decode() if isinstance(answer.body, bytes) else answer.text
    assert (answer.status, text in (body or "")) == (status, True), body
    if status != 200:
        assert others.asked == []


async def test_a_header_that_is_there_twice_is_refused() -> None:
    twice = CIMultiDict([("X-Road-Client", PORTAL.path)] * 2)
    request = make_mocked_request("GET", f"/once/v1/usage?{QUERY}", headers=twice)
    answer = await portal(Others()).handle(request)
    assert answer.status == 400


async def test_a_giver_that_cannot_be_read_is_shown_as_it_is_called() -> None:
    odd = USAGE | {"part": "fetched", "receiver": CIVIL.path, "source": "%zz/x"}
    answer = await asked(portal(Others({CIVIL: telling(odd)})), f"{QUERY}&as=page")
    assert isinstance(answer.body, bytes)
    assert "<bdi>%zz/x</bdi>" in answer.body.decode()


async def test_answers_are_as_the_node_describes_them() -> None:
    request = make_mocked_request("GET", "/once/v1/usage/openapi.json")
    given = await portal(Others()).handle(request)
    assert isinstance(given, web.Response)
    assert isinstance(given.body, bytes)
    description = json.loads(given.body)
    validate(description)
    plain = {name: USAGE[name] for name in ("logtime", "action", "receiverCode", "receiverSystem")}
    silent = failing(NetworkFailure("gone", "io_error"))
    found = await told(Others({CIVIL: telling(USAGE, plain), TAX: silent}))
    assert len(found["usages"]) == 2
    schema = {"$ref": "#/components/schemas/Found", "components": description["components"]}
    OAS31Validator(schema, format_checker=OAS31Validator.FORMAT_CHECKER).validate(found)


async def test_only_get_is_answered() -> None:
    assert (await asked(portal(Others()), method="POST")).status == 405


async def test_without_a_trust_list_nobody_can_be_asked() -> None:
    expired = replace(trust_list(), own_instance="NONE")
    gone = Snapshots(lambda: expired, ServerConf, lambda: NOW)
    settings = CitizenSettings(portal=PortalSettings(clients=(PORTAL,)))
    everywhere = Everywhere(settings, gone, lambda: None)
    found = replace(portal(Others()), everywhere=everywhere)
    assert (await asked(found)).status == 503


async def test_a_page_can_be_had_for_people() -> None:
    answer = await asked(portal(Others({CIVIL: telling(USAGE, sealed=1)})), f"{QUERY}&as=page")
    assert answer.content_type == "text/html"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert isinstance(answer.body, bytes)
    page = answer.body.decode()
    assert "Civil Registry, Population" in page
    assert "1 more use of your data is sealed" in page
    assert THEIRS.path not in page
    assert PLAIN.path not in page
