"""A consumer's node that leaves in the middle of an answer: no fact is given unremembered."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from catalog.terms import NO_TERMS, Terms
from node.exchange import allowance
from node.exchange.signing import SigningQueues
from scripts.postgres import PostgresServer
from tests.scene import PATH, answering, records
from tests.simulator import LivePki, RogueConsumer, exchange_id_of
from tests.terms_stage import JSON, PERSON, SCHEME, Stage, pseudonym, terms_stage
from trust.errors import CannotSign

pytestmark = pytest.mark.asyncio(loop_scope="module")

TARGET = PATH + PERSON


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with terms_stage(tmp_path_factory.mktemp("terms"), postgres_server) as found:
        yield found


@pytest.mark.parametrize("terms", [NO_TERMS, Terms(fields=("f1",))], ids=["whole", "cut"])
@pytest.mark.parametrize("size", [10, 300_000])
async def test_no_fact_leaves_that_is_not_remembered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, terms: Terms, size: int
) -> None:
    await stage.reset()
    await stage.grant(terms)
    body = json.dumps({"person": {"f1": "secret" * size}}).encode()
    stage.system.answer = lambda _: answering(body, headers=JSON)

    async def fails(*_: object) -> None:
        raise CannotSign("the token is away")

    monkeypatch.setattr(SigningQueues, "sign", fails)
    instance = stage.instance
    rogue = RogueConsumer(
        LivePki.of(instance), stage.consumer, stage.provider.address, instance.ports[0]
    )
    draft = rogue.draft("GET", TARGET)
    answer = await rogue.send(draft)
    assert answer is not None
    assert b"<faultcode>" in answer.body
    left = b"secret" in answer.body
    assert left is (size * len("secret") > allowance._HELD and terms == NO_TERMS)
    [asked] = await records(stage.provider, exchange_id=exchange_id_of(draft))
    assert not asked.response
    uses = await stage.uses()
    assert [use["subject"] for use in uses] == [pseudonym(SCHEME, "39001010000")] * left
    assert all(use["given"] and use["exchange_id"] == asked.exchange_id for use in uses)
