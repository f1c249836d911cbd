"""A portal asks real nodes: one that knows, one that lies, a plain one, one that is down."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import aiohttp
import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient, ServiceType
from catalog.terms import Terms
from node.exchange.builtin import Call, RestAnswer
from node.log.uses import Openness
from node.messages.rest import RestRequestHead
from node.once.citizen.settings import CitizenSettings, PortalSettings, TrackerSettings
from node.once.openness import OpennessRule
from node.once.settings import OnceSettings
from node.parts.database import open_database
from scripts.postgres import PostgresServer
from tests.citizen_stage import CODE, SUBJECT, use, write
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    rest_service,
    utc_now,
)
from tests.scene import CLIENT, PATH, System, call, records
from tests.terms_stage import INTENT, MAPPING, PERSON, PURPOSE, SCHEME, forty
from trust.ids import ClientId, GlobalGroupId, ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIAR = ClientId("TEST", "GOV", "1002", "liar")
PLAIN = ClientId("TEST", "GOV", "1003", "plain")
DOWN = ClientId("TEST", "GOV", "1004", "down")
SETTINGS = CitizenSettings(
    tracker=TrackerSettings(clients=(CONSUMER,), scheme=SCHEME),
    portal=PortalSettings(clients=(CONSUMER,), patience=timedelta(seconds=10)),
)
SEALED = OpennessRule(
    openness=Openness.SEALED, legal_basis="Act 1", groups=(GlobalGroupId("TEST", "police"),)
)


@dataclass
class Liar:
    """Answers as the data tracker, with more than was asked for."""

    type: ServiceType = ServiceType.REST

    def takes(self, call: Call) -> bool:
        return call.request.service.service_code == "findUsage"

    def check_access(self, call: Call) -> None:
        pass

    async def answer(self, call: Call) -> RestAnswer:
        usage = {
            "logtime": "2026-11-21T11:00:00Z", "action": "lie", "receiverCode": "1",
            "receiverSystem": "s",
        }  # fmt: skip
        lies = json.dumps({"totalUsages": 5000, "usages": [usage] * 5000})
        return RestAnswer(200, ((b"content-type", b"application/json"),), lies.encode())


@dataclass
class Scene:
    """The portal's node and the one that knows; what the portal can be asked."""

    instance: Instance
    civil: NodeUnderTest
    muni: NodeUnderTest

    async def usage(self, **more: str) -> tuple[int, str, str]:
        """Status, type and text of what the portal gets."""
        asked = {"scheme": SCHEME, "value": CODE} | more
        headers = {"X-Road-Client": CONSUMER.path, "X-Road-UserId": CODE}
        url = f"{self.muni.url}/once/v1/usage"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, params=asked, headers=headers) as answer,
        ):
            return answer.status, answer.content_type, await answer.text()


def telling_citizens(node: NodeUnderTest, citizens: CitizenSettings) -> None:
    node.settings = replace(node.settings, once=OnceSettings(citizens=citizens))


def registry(url: str) -> HostedClient:
    """A registry that gives one of forty fields for one purpose."""
    terms = Terms(fields=("f7",), purposes=(PURPOSE,))
    return HostedClient(
        PROVIDER,
        connection=ConnectionType.HTTP,
        services=(rest_service(url, mapping=MAPPING, title="Persons"),),
        rights=(AccessRight(CONSUMER, SERVICE.service_code, terms=terms),),
    )


async def remember(node: NodeUnderTest) -> None:
    """Put uses of somebody's data into a node."""
    pool, now = await open_database(node.dsn, node.settings), utc_now()
    subject = node.running.once.citizens.pseudonyms.of(SCHEME, CODE)
    uses = [
        use(n, time=now - timedelta(minutes=n), client=CONSUMER, service=SERVICE, subject=subject)
        for n in range(1, 4)
    ]
    try:
        await write(pool, [*uses, replace(uses[0], exchange_id="secret", openness=Openness.SEALED)])
    finally:
        await pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("citizen")
    async with System(forty).listening() as system, Instance(folder, postgres_server) as instance:
        civil = await instance.add("CIVIL", PROVIDER, hosted=[registry(system.url)])
        liar = await instance.add("LIAR", LIAR)
        plain = await instance.add("PLAIN", PLAIN)
        await instance.add("DOWN", DOWN)
        muni = await instance.add("MUNI", CONSUMER)
        telling_citizens(civil, replace(SETTINGS, openness=(SEALED,)))
        telling_citizens(muni, replace(SETTINGS, tracker=TrackerSettings(scheme=SCHEME)))
        await instance.start(civil, liar, plain, muni)
        liar.running.exchanges.provider.built_in = (Liar(),)
        await remember(civil)
        yield Scene(instance, civil, muni)


async def test_what_some_nodes_know_is_told_whatever_the_others_do(scene: Scene) -> None:
    status, _, text = await scene.usage()
    assert status == 200
    found = json.loads(text)
    assert [one["exchangeId"] for one in found["usages"]] == [f"exchange-{n}" for n in (1, 2, 3)]
    assert {one["toldBy"] for one in found["usages"]} == {PROVIDER.path}
    assert (found["sealedUsages"], found["complete"]) == (1, False)
    standing = {one["client"]: one["standing"] for one in found["sources"]}
    assert standing == {
        PROVIDER.path: "answered",
        LIAR.path: "wrong",
        PLAIN.path: "plain",
        DOWN.path: "silent",
        CONSUMER.path: "plain",
    }


async def test_a_clerk_s_call_is_seen_by_whom_it_was_about(scene: Scene) -> None:
    case = (*INTENT, ("X-Road-Issue", "case 9"))
    given = await call(scene.muni, target=f"{PATH}{PERSON}", headers=(CLIENT, *case))
    assert json.loads(given.body) == {"person": {"f7": "secret 7"}}
    refused = await call(scene.muni, target=f"{PATH}{PERSON}")
    assert (refused.first("X-Road-Error") or "").endswith("access_denied.purpose_missing")
    _, _, text = await scene.usage(value=PERSON.rpartition("/")[2])
    (found,) = json.loads(text)["usages"]
    assert found["exchangeId"] == given.first("x-road-request-id")
    assert (found["purpose"], found["legalBasis"]) == (PURPOSE, "urn:ex:law:1")
    assert (found["caseId"], found["facts"]) == ("case 9", ["urn:c:f7"])
    assert (found["receiver"], found["source"]) == (CONSUMER.path, SERVICE.path)
    assert "secret" not in text


async def test_who_looked_stands_in_the_log_of_both_nodes(scene: Scene) -> None:
    """A question is an exchange like any other, signed and kept."""
    asked = f"/r1/{ServiceId(PROVIDER, 'findUsage').path}/v2/findUsage?userCode={CODE}&limit=1"
    headers = {"X-Road-Client": CONSUMER.path, "X-Road-UserId": CODE, "X-Road-Id": "look-1"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{scene.muni.url}{asked}", headers=headers) as answer,
    ):
        told = await answer.json()
    assert (told["totalUsages"], len(told["usages"])) == (3, 1)
    for node in (scene.muni, scene.civil):
        kept = await records(node, message_id="look-1")
        assert [one.response for one in kept] == [False, True]
        assert RestRequestHead.parse(kept[0].message).user_id == CODE


async def test_the_page_is_for_people(scene: Scene) -> None:
    _, content_type, page = await scene.usage(**{"as": "page"})
    assert content_type == "text/html"
    assert "3 uses of your data are shown" in page
    assert "Member 1004, down</bdi>" in page
    assert SUBJECT.hex() not in page


async def test_a_client_that_is_no_portal_has_no_right(scene: Scene) -> None:
    asked = f"{scene.civil.url}/r1/{ServiceId(PROVIDER, 'findUsage').path}/v2/heartbeat"
    async with (
        aiohttp.ClientSession() as session,
        session.get(asked, headers={"X-Road-Client": PROVIDER.path}) as answer,
    ):
        assert answer.headers["X-Road-Error"] == "server.serverproxy.access_denied"


async def test_who_is_in_a_group_is_judged_by_the_trust_list_of_now(scene: Scene) -> None:
    classify = scene.civil.running.once.citizens.classify
    assert classify(use(client=CONSUMER)).openness is Openness.OPEN
    scene.instance.groups["police"] = frozenset({CONSUMER})
    await scene.instance.publish()
    assert classify(use(client=CONSUMER)).openness is Openness.SEALED


async def test_nodes_have_different_pseudonyms_for_one_person(scene: Scene) -> None:
    found = {
        node.running.once.citizens.pseudonyms.of(SCHEME, CODE) for node in (scene.civil, scene.muni)
    }
    assert len({*found, SUBJECT}) == 3
