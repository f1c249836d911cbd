"""A node asks another one itself, in its owner's name."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.exchange.clients import SpeakingClient
from node.exchange.own_call import OwnAnswer, OwnCall, OwnRequest
from node.log.search import RecordQuery
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service
from tests.scene import System
from trust.errors import PeerFault, UnknownMember
from trust.ids import ClientId

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWNER = CONSUMER.member


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[NodeUnderTest]:
    folder: Path = tmp_path_factory.mktemp("own")
    async with Instance(folder, postgres_server) as instance, System().listening() as system:
        hosted = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url),),
            rights=(AccessRight(OWNER, SERVICE.service_code),),
        )
        await instance.add("CIVIL", PROVIDER, hosted=[hosted])
        consumer = await instance.add("MUNI", CONSUMER)
        await instance.start()
        yield consumer


def request(**changes: object) -> OwnRequest:
    return replace(OwnRequest(OWNER, SERVICE, rest="/x"), **changes)  # type: ignore[arg-type]


async def test_the_owner_asks_though_it_is_no_hosted_client(node: NodeUnderTest) -> None:
    answer = await node.running.exchanges.consumer.ask(request())
    assert answer.status == 200
    assert answer.body
    found = await node.running.kept.log.find(RecordQuery(exchange_id=answer.exchange_id))
    assert [(one.response, one.client) for one in found.records] == [(False, OWNER), (True, OWNER)]


async def test_a_body_is_sent_and_signed(node: NodeUnderTest) -> None:
    answer = await node.running.exchanges.consumer.ask(request(method="PUT", body=b"a body"))
    found = await node.running.kept.log.find(
        RecordQuery(exchange_id=answer.exchange_id, response=False)
    )
    assert await node.running.kept.log.body_of(found.records[0]) == b"a body"


async def test_a_fault_is_raised_as_a_system_would_get_it(node: NodeUnderTest) -> None:
    with pytest.raises(PeerFault) as raised:
        await node.running.exchanges.consumer.ask(
            request(service=replace(SERVICE, service_code="nothing"))
        )
    assert raised.value.code == "server.serverproxy.unknown_service"


async def test_an_answer_that_is_too_large_is_refused(node: NodeUnderTest) -> None:
    with pytest.raises(PeerFault, match="more than 1"):
        await node.running.exchanges.consumer.ask(request(largest=1))


async def test_an_answer_that_is_too_large_is_given_up_while_it_comes(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(*_: object) -> None:
        pytest.fail("it was read to its end")

    monkeypatch.setattr(OwnCall, "check_answers", whole)
    with pytest.raises(PeerFault, match="more than 1 bytes") as raised:
        await node.running.exchanges.consumer.ask(request(largest=1))
    assert raised.value.code.endswith("invalid_message")


async def test_only_the_owner_speaks_for_the_node(node: NodeUnderTest) -> None:
    with pytest.raises(UnknownMember, match="does not own"):
        await node.running.exchanges.consumer.ask(request(client=ClientId("TEST", "GOV", "1001")))


async def test_a_client_that_has_shown_who_it_is_is_spoken_for_alone(node: NodeUnderTest) -> None:
    consumer = node.running.exchanges.consumer
    with pytest.raises(UnknownMember, match="not the one that asks"):
        await consumer.ask_for(SpeakingClient(CONSUMER), OwnCall(request()))
    with pytest.raises(PeerFault) as raised:
        await consumer.ask_for(SpeakingClient(CONSUMER), OwnCall(request(client=CONSUMER)))
    assert raised.value.code == "server.serverproxy.access_denied"


async def test_the_answer_is_told_before_it_is_logged(node: NodeUnderTest) -> None:
    told: list[OwnAnswer] = []
    call = OwnCall(request(), told.append)
    answer = await node.running.exchanges.consumer.ask_for(SpeakingClient(OWNER), call)
    assert told == [answer]
    assert call.ids == (answer.exchange_id, answer.message_id)
    assert answer.peer == "SERVER:TEST/GOV/1001/CIVIL"
