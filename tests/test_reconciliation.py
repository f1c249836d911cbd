"""Two nodes compare a day: equal, or the first exchange on which they differ."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.exchange.own_call import OwnRequest
from node.parts.database import open_database
from node.reconciliation.differences import Kind
from node.reconciliation.wire import SERVICE_CODE, Comparison, RangeQuestion
from node.reconciliation.wishes import Outcome, Wish
from scripts.postgres import PostgresServer
from scripts.reconcile import compare
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service
from tests.scene import System
from trust.database import Pool
from trust.errors import PeerFault
from trust.evidence.exchange_tree import DAY_SECONDS
from trust.ids import ServerId, ServiceId

MUNI, CIVIL = ServerId(CONSUMER.member, "MUNI"), ServerId(PROVIDER.member, "CIVIL")
NODES = {MUNI: "MUNI", CIVIL: "CIVIL"}
_CALLS = 5

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- real nodes -----------------------------------------------------------------------------------


class Pair:
    """Two running nodes, and exchanges between them."""

    def __init__(self, instance: Instance, muni: NodeUnderTest, civil: NodeUnderTest) -> None:
        self.instance = instance
        self.nodes = {MUNI: muni, CIVIL: civil}

    async def call(self, count: int = 1) -> list[str]:
        """Exchanges by the municipality; their ids."""
        return [
            (await self.nodes[MUNI].running.exchanges.consumer.ask(OWN_REQUEST)).exchange_id
            for _ in range(count)
        ]

    async def compared(
        self, by: ServerId = MUNI, day: date | None = None, until: int = DAY_SECONDS
    ) -> Outcome:
        peer = CIVIL if by == MUNI else MUNI
        wish = Wish(uuid.uuid4(), peer, day or datetime.now(UTC).date(), until)
        return await self.wished(by, wish)

    async def wished(self, by: ServerId, wish: Wish) -> Outcome:
        async with self.pool(by) as pool:
            return await compare(pool, wish)

    @asynccontextmanager
    async def pool(self, of: ServerId) -> AsyncIterator[Pool]:
        node = self.nodes[of]
        pool = await open_database(node.dsn, node.settings)
        try:
            yield pool
        finally:
            await pool.close()

    async def sql(self, of: ServerId, sql: str, *values: object) -> str:
        connection = await asyncpg.connect(self.nodes[of].dsn)
        try:
            return str(await connection.execute(sql, *values))
        finally:
            await connection.close()

    async def forget(self) -> None:
        """Begin with empty logs."""
        for of in self.nodes:
            await self.sql(of, "DELETE FROM message_record")


OWN_REQUEST = OwnRequest(MUNI.owner, SERVICE, rest="/x")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("pair")
    async with Instance(folder, postgres_server) as instance, System().listening() as system:
        hosted = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url),),
            rights=(AccessRight(MUNI.owner, SERVICE.service_code),),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[hosted])
        muni = await instance.add("MUNI", CONSUMER)
        await instance.start()
        yield Pair(instance, muni, civil)


@pytest_asyncio.fixture(loop_scope="module")
async def pair(module_pair: Pair) -> Pair:
    await module_pair.forget()
    return module_pair


async def test_equal_days_have_equal_roots_whoever_asks(pair: Pair) -> None:
    await pair.call(_CALLS)
    found = [await pair.compared(by) for by in NODES]
    for outcome in found:
        assert outcome.problem == ""
        assert outcome.equal
        assert outcome.difference is None
        assert outcome.exchanges == outcome.peer_exchanges == _CALLS
        assert outcome.root == outcome.peer_root
    assert found[0].root == found[1].root, "what is compared is no part of what is compared"


async def test_a_day_without_exchanges_is_equal(pair: Pair) -> None:
    outcome = await pair.compared(day=date(2024, 1, 1))
    assert (outcome.problem, outcome.equal, outcome.exchanges) == ("", True, 0)


@pytest.mark.parametrize("at", NODES)
@pytest.mark.parametrize("by", NODES)
async def test_an_exchange_that_was_removed_is_named(
    pair: Pair, at: ServerId, by: ServerId
) -> None:
    ids = await pair.call(_CALLS)
    await pair.sql(at, "DELETE FROM message_record WHERE exchange_id = $1", ids[2])
    outcome = await pair.compared(by)
    assert not outcome.equal
    assert outcome.difference is not None
    assert outcome.difference.exchange_id == ids[2]
    assert outcome.difference.consumer == str(MUNI)
    assert outcome.difference.kind == (Kind.NOT_HERE if at == by else Kind.NOT_THERE)
    assert str(at) in outcome.difference.text
    assert abs(outcome.exchanges - outcome.peer_exchanges) == 1


@pytest.mark.parametrize("by", NODES)
@pytest.mark.parametrize(
    ("at", "response", "kind", "words"),
    [
        (MUNI, True, Kind.ANSWER_LOST, "lost on its way there, or removed"),
        (MUNI, False, Kind.INCOMPLETE, f"{MUNI} does not hold the request"),
        (CIVIL, True, Kind.INCOMPLETE, f"{CIVIL} does not hold the answer"),
        (CIVIL, False, Kind.INCOMPLETE, f"{CIVIL} does not hold the request"),
    ],
)
async def test_one_message_that_was_removed_is_named(
    pair: Pair, by: ServerId, at: ServerId, response: bool, kind: Kind, words: str
) -> None:
    ids = await pair.call(_CALLS)
    removed = await pair.sql(
        at, "DELETE FROM message_record WHERE exchange_id = $1 AND response = $2", ids[1], response
    )
    assert removed == "DELETE 1"
    outcome = await pair.compared(by)
    assert outcome.difference is not None
    assert (outcome.difference.exchange_id, outcome.difference.kind) == (ids[1], kind)
    assert words in outcome.difference.text


@pytest.mark.parametrize("at", NODES)
@pytest.mark.parametrize(
    ("column", "response", "words"),
    [
        ("message", False, "the request has another message here"),
        ("message", True, "the answer has another message here"),
        ("signature", False, "the request has another signature here"),
        ("signature", True, "the answer has another signature here"),
        ("body_digest", True, "the answer has another attachment1 here"),
    ],
)
async def test_a_message_that_was_altered_is_named(
    pair: Pair, at: ServerId, column: str, response: bool, words: str
) -> None:
    ids = await pair.call(_CALLS)
    altered = await pair.sql(
        at,
        f"UPDATE message_record SET {column} = set_byte({column}, 40,"
        f" 255 - get_byte({column}, 40)) WHERE exchange_id = $1 AND response = $2",
        ids[3],
        response,
    )
    assert altered == "UPDATE 1"
    outcome = await pair.compared()
    assert outcome.difference is not None
    assert (outcome.difference.exchange_id, outcome.difference.kind) == (ids[3], Kind.DIFFERENT)
    assert words in outcome.difference.text


@pytest.mark.parametrize("at", NODES)
async def test_an_exchange_that_was_inserted_is_named(pair: Pair, at: ServerId) -> None:
    ids = await pair.call(_CALLS)
    columns = (
        "time, side, response, message_id, client, provider, service_code, local_client, peer,"
        " message, signature, body_digest, body_size, body"
    )
    inserted = await pair.sql(
        at,
        f"INSERT INTO message_record (number, exchange_id, {columns})"
        f" SELECT number + 1000000, 'invented', {columns} FROM message_record"
        " WHERE exchange_id = $1",
        ids[0],
    )
    assert inserted == "INSERT 0 2"
    outcome = await pair.compared()
    assert outcome.difference is not None
    assert outcome.difference.exchange_id == "invented"
    assert outcome.difference.kind == (Kind.NOT_THERE if at == MUNI else Kind.NOT_HERE)


async def test_a_message_that_is_there_twice_is_named(pair: Pair) -> None:
    ids = await pair.call(2)
    columns = (
        "time, side, response, exchange_id, message_id, client, provider, service_code,"
        " local_client, peer, message, signature"
    )
    await pair.sql(
        CIVIL,
        f"INSERT INTO message_record (number, {columns}) SELECT number + 1000000, {columns}"
        " FROM message_record WHERE exchange_id = $1 AND response",
        ids[0],
    )
    outcome = await pair.compared()
    assert outcome.difference is not None
    assert outcome.difference.kind == Kind.DIFFERENT
    assert "there are 1 answers here and 2 at the other node" in outcome.difference.text


async def test_lost_answers_are_passed_over_for_what_is_worse(pair: Pair) -> None:
    ids = await pair.call(_CALLS)
    await pair.sql(
        MUNI, "DELETE FROM message_record WHERE response AND exchange_id = ANY($1)", ids[:2]
    )
    outcome = await pair.compared()
    assert outcome.difference is not None
    assert outcome.difference.kind == Kind.ANSWER_LOST
    assert {one.exchange_id for one in outcome.lost} == set(ids[:2])
    await pair.sql(CIVIL, "DELETE FROM message_record WHERE exchange_id = $1", ids[4])
    outcome = await pair.compared()
    assert outcome.difference is not None
    assert (outcome.difference.exchange_id, outcome.difference.kind) == (ids[4], Kind.NOT_THERE)


async def test_a_refused_request_is_no_difference(pair: Pair) -> None:
    await pair.call(1)
    with pytest.raises(PeerFault):
        await pair.nodes[MUNI].running.exchanges.consumer.ask(
            replace(OWN_REQUEST, service=replace(SERVICE, service_code="nothing"))
        )
    assert (await pair.compared()).equal


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (MUNI, "is this node itself"),
        (ServerId(MUNI.owner, "OTHER"), "is not registered"),
    ],
)
async def test_what_can_not_be_compared_is_told(pair: Pair, peer: ServerId, words: str) -> None:
    outcome = await pair.wished(MUNI, Wish(uuid.uuid4(), peer, date(2024, 1, 1), DAY_SECONDS))
    assert words in outcome.problem


async def test_a_node_without_the_service_is_told_in_words(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = pair.nodes[CIVIL].running.exchanges.provider
    monkeypatch.setattr(
        provider,
        "built_in",
        tuple(
            one
            for one in provider.built_in
            if one is not pair.nodes[CIVIL].running.exchanges.reconciler.service
        ),
    )
    outcome = await pair.compared()
    assert "does not know how to compare" in outcome.problem
    assert "no Sacbe node, or an older one" in outcome.problem


async def test_nobody_is_told_of_the_exchanges_of_others(pair: Pair) -> None:
    for server in (CIVIL, ServerId(CIVIL.owner, "OTHER"), ServerId(MUNI.owner, "OTHER")):
        of = Comparison(server, str(uuid.uuid4()), date(2024, 1, 1))
        request = OwnRequest(
            MUNI.owner,
            ServiceId(PROVIDER, SERVICE_CODE),
            CIVIL,
            rest=f"?{RangeQuestion(of, b'').query}",
        )
        with pytest.raises(PeerFault) as raised:
            await pair.nodes[MUNI].running.exchanges.consumer.ask(request)
        assert raised.value.code == "server.serverproxy.access_denied"


async def test_only_the_owner_is_told_and_no_subsystem_of_his(pair: Pair) -> None:
    of = Comparison(MUNI, str(uuid.uuid4()), date(2024, 1, 1))
    session_url = pair.nodes[MUNI].url
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{session_url}/r1/{PROVIDER.path}/{SERVICE_CODE}?{RangeQuestion(of, b'').query}",
            headers={"X-Road-Client": CONSUMER.path},
        ) as response,
    ):
        assert response.headers["X-Road-Error"] == "server.serverproxy.access_denied"
