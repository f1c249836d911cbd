"""Exchanges signed in batches: by nodes with slow keys, and by a rogue that abuses a known root."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.exchange.settings import SigningMode, SigningSettings
from node.log.records import StoredRecord
from scripts.postgres import PostgresServer
from tests.consumer_stage import Stage as ConsumerStage
from tests.consumer_stage import consumer_stage
from tests.drafts import CHAIN, CHAIN_RESULT, SIGNATURE, Draft, Part, sign_together
from tests.exchange_stage import verified
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service
from tests.provider_stage import Stage as ProviderStage
from tests.provider_stage import provider_stage
from tests.scene import PATH, System, call, records
from tests.simulator import Asked, exchange_id_of
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import parse_signature

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.sandbox]

CALLS = 40
BODY = b'{"code":1}'


# --- two nodes ------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[tuple[Instance, NodeUnderTest, NodeUnderTest]]:
    """A provider with an RSA key as by default, and a consumer who wants batches."""
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("batches")
        instance = Instance(folder, postgres_server, key_type="rsa3072")
        await stack.enter_async_context(instance)
        system = await stack.enter_async_context(System().listening())
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url),),
            rights=(AccessRight(CONSUMER, SERVICE.service_code),),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        muni = await instance.add("MUNI", CONSUMER)
        wanted = SigningSettings(mode=SigningMode.BATCH, batch_limit=16)
        muni.settings = replace(muni.settings, signing=wanted)
        await instance.start()
        yield instance, civil, muni


async def test_many_at_once_are_carried_with_few_signatures_and_each_is_proven(
    pair: tuple[Instance, NodeUnderTest, NodeUnderTest],
) -> None:
    instance, civil, muni = pair
    answers = await asyncio.gather(*(call(muni, "POST", body=BODY) for _ in range(CALLS)))
    assert [answer.status for answer in answers] == [200] * CALLS
    chained: list[StoredRecord] = []
    for answer in answers:
        exchange = answer.first("x-road-request-id")
        for node in (muni, civil):
            request, response = await records(node, exchange_id=exchange)
            await verified(instance, node, request, [BODY])
            await verified(instance, node, response, [answer.body])
            chained += [one for one in (request, response) if one.hash_chain is not None]
    assert len(chained) > CALLS
    for node in (muni, civil):
        made, covered = (
            node.running.metrics.registry.get_sample_value(name) or 0
            for name in ("sacbe_signatures_total", "sacbe_signed_messages_total")
        )
        assert covered == CALLS
        assert made < CALLS / 2
    batches = civil.running.exchanges.evidence.batches
    assert batches.hits > CALLS / 2


async def test_a_consumer_that_goes_away_takes_no_other_with_it(
    pair: tuple[Instance, NodeUnderTest, NodeUnderTest],
) -> None:
    _, _, muni = pair
    tasks = [asyncio.create_task(call(muni, "POST", body=BODY)) for _ in range(CALLS)]
    await asyncio.sleep(0.02)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for answer in answers[1::2]:
        assert not isinstance(answer, BaseException)
        assert answer.status == 200


# --- a rogue's batches ----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[ProviderStage]:
    async with provider_stage(tmp_path_factory.mktemp("provider"), postgres_server) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def consumer(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[ConsumerStage]:
    async with consumer_stage(tmp_path_factory.mktemp("consumer"), postgres_server) as found:
        yield found


def changed(draft: Draft, kind: str, edit: Callable[[bytes], bytes]) -> None:
    """Change one of the parts that carry the signature."""
    before = list(draft.proven)
    draft.proven = [
        Part(one.content_type, edit(one.data)) if one.content_type == kind else one
        for one in before
    ]
    assert draft.proven != before


def part_of(draft: Draft, kind: str) -> bytes:
    return next(one.data for one in draft.proven if one.content_type == kind)


def with_chain_to_elsewhere(draft: Draft, _: Draft) -> None:
    """The root is known, and a chain of another tree leads to the message."""
    tree = [draft.digests(), [PartDigest.of("/message.xml", b"another")]]
    other = replace(draft, chained=True, beside=tree[1:]).proof()[1].data
    changed(draft, CHAIN, lambda _: other)


def with_chain_of_another(draft: Draft, first: Draft) -> None:
    """The root is known, and the chain is that of a message which was accepted."""
    chain = part_of(first, CHAIN)
    changed(draft, CHAIN, lambda _: chain)


def with_another_root(draft: Draft, _: Draft) -> None:
    """A tree of its own that holds, under the signature over a known root."""
    result, chain, _signature = replace(draft, chained=True).proof()
    changed(draft, CHAIN_RESULT, lambda _: result.data)
    changed(draft, CHAIN, lambda _: chain.data)


def with_altered_signature(draft: Draft, _: Draft) -> None:
    """The root is known; one bit of the value differs."""

    def altered(document: bytes) -> bytes:
        value = b'Id="signature-value">'
        at = document.index(value) + len(value) + 9
        other = b"A" if document[at : at + 1] != b"A" else b"B"
        return document[:at] + other + document[at + 1 :]

    changed(draft, SIGNATURE, altered)
    parse_signature(part_of(draft, SIGNATURE))  # still well-formed


def with_another_body(draft: Draft, _: Draft) -> None:
    assert draft.body is not None
    draft.body = draft.body.replace(b"1", b"2")


_CHAIN = "malformed_signature.invalid_hash_chain"
ABUSES = [
    (with_chain_to_elsewhere, _CHAIN),
    (with_chain_of_another, _CHAIN),
    (with_another_root, "invalid_signature_value"),
    (with_altered_signature, "invalid_signature_value"),
    (with_another_body, _CHAIN),
]


@pytest.mark.parametrize(("abuse", "code"), ABUSES)
async def test_a_known_root_helps_no_forged_request(
    provider: ProviderStage, abuse: Callable[[Draft, Draft], None], code: str
) -> None:
    drafts = [provider.rogue.draft("POST", PATH, BODY) for _ in range(3)]
    sign_together(drafts)
    first, forged, third = drafts
    provider.system.reset()
    assert await provider.rogue.send(first) is not None
    assert len(provider.system.requests) == 1
    abuse(forged, first)
    provider.system.reset()
    await provider.refuses(forged, f"signature_verification.{code}")
    assert await provider.rogue.send(third) is not None
    assert len(provider.system.requests) == 1
    assert len(await records(provider.provider, exchange_id=exchange_id_of(third))) == 2


@pytest.mark.parametrize(("abuse", "code"), ABUSES)
async def test_a_known_root_helps_no_forged_answer(
    consumer: ConsumerStage, abuse: Callable[[Draft, Draft], None], code: str
) -> None:
    arrived: list[tuple[Asked, asyncio.Future[bytes]]] = []

    async def answer(asked: Asked) -> bytes:
        arrived.append((asked, asyncio.get_running_loop().create_future()))
        if len(arrived) == 3:
            drafts = [one.response(BODY) for one, _ in arrived]
            sign_together(drafts)
            abuse(drafts[1], drafts[0])
            for draft, (_, said) in zip(drafts, arrived, strict=True):
                said.set_result(draft.http())
        return await arrived[[one for one, _ in arrived].index(asked)][1]

    consumer.rogue.reset()
    consumer.rogue.answer = answer
    answers = await asyncio.gather(*(call(consumer.consumer) for _ in range(3)))
    by_exchange = {one.first("x-road-request-id"): one for one in answers if one.status == 200}
    assert len(by_exchange) == 2
    forged = next(one for one in answers if one.status != 200)
    assert forged.first("x-road-error") == f"server.clientproxy.signature_verification.{code}"
    for asked, _ in (arrived[0], arrived[2]):
        assert asked.header("x-road-request-id") in by_exchange
