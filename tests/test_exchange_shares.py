"""What one peer may take from the others: places, room for bodies, time to read an answer.

Source: design.md 3; errors.md 7.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.exchange import respond
from node.settings import LimitsSettings
from scripts.postgres import PostgresServer
from tests.drafts import SIGNATURE, split_parts
from tests.provider_stage import Stage, provider_stage
from tests.raw_http import RawMessage, read_message
from tests.scene import PATH, answering, records
from tests.simulator import exchange_id_of, fault_code

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSED = PATH.replace("people", "closed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("shares")
    limits = LimitsSettings(exchanges=8)  # two of them for one peer
    async with provider_stage(folder, postgres_server, limits) as found:
        yield found


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


async def asked(stage: Stage, times: int) -> None:
    """Wait until the system was asked so often."""
    for _ in range(2000):
        if len(stage.system.requests) == times:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the system is not asked")


async def test_one_peer_does_not_take_all_places(stage: Stage) -> None:
    go_on = asyncio.Event()

    async def waiting(_: RawMessage) -> bytes:
        await go_on.wait()
        return answering()

    stage.system.answer = waiting
    async with asyncio.TaskGroup() as group:
        drafts = [stage.rogue.draft("GET", PATH) for _ in range(2)]
        sent = [group.create_task(stage.rogue.send(draft)) for draft in drafts]
        await asked(stage, 2)
        refused = stage.rogue.draft("GET", PATH)
        answer = await stage.rogue.send(refused)
        assert fault_code(answer) == "server.serverproxy.internal_error"
        assert answer is not None
        assert b"2 requests under way" in answer.body
        assert await records(stage.provider, exchange_id=exchange_id_of(refused)) == ()
        go_on.set()
    for task in sent:
        answer = task.result()
        assert answer is not None
        assert split_parts(answer)[-1].content_type == SIGNATURE
    answer = await stage.rogue.send(stage.rogue.draft("GET", PATH))  # the places are free again
    assert answer is not None
    assert split_parts(answer)[-1].content_type == SIGNATURE


async def test_there_is_no_room_for_the_body_of_a_client_without_a_right(stage: Stage) -> None:
    draft = stage.rogue.draft("POST", CLOSED, bytes(1_000_000))
    wire = draft.http()
    async with stage.rogue.connected() as (reader, writer):
        writer.write(wire[:60_000])  # the head and the beginning of the body
        answer = await read_message(reader, answer_to="POST")
    assert fault_code(answer) == "server.serverproxy.access_denied"
    await stage.kept_nothing(draft)


async def test_a_receiver_that_takes_nothing_is_given_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(respond, "_STALL_SECONDS", 0.2)
    stage.system.answer = lambda _: answering(bytes(30_000_000))
    draft = stage.rogue.draft("GET", PATH)
    async with stage.rogue.connected() as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(draft.http())
        await asked(stage, 1)
        await stage.quiet()
    kept = await records(stage.provider, exchange_id=exchange_id_of(draft))
    assert [one.response for one in kept] == [False]
