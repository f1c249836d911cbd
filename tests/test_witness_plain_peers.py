"""X-Road servers that are none of ours notice nothing of checkpoints and witnesses: on the wire."""

import asyncio
from pathlib import Path

import asyncpg

from node.exchange.greeting import GREETING
from scripts.postgres import PostgresServer
from tests.consumer_stage import consumer_stage
from tests.instance import NodeUnderTest
from tests.provider_stage import provider_stage
from tests.scene import PATH

# what an X-Road consumer's server sends and reads (transport.md 3)
_REQUEST = {
    "host", "content-type", "transfer-encoding", "x-hash-algorithm", "x-proxy-version",
    "x-original-content-type", "x-road-request-id", "x-road-message-type",
}  # fmt: skip


async def rounds(member: NodeUnderTest) -> None:
    """The log gets its next two checkpoints, and whoever is due gets them."""
    for _ in range(2):
        while await member.running.kept.sequencer.step():
            pass
        await member.running.kept.witnesses.rounds.once()


async def nobody_was_noted(member: NodeUnderTest) -> bool:
    connection = await asyncpg.connect(member.dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM log_checkpoint") > 0
        return not await connection.fetchval("SELECT EXISTS (SELECT FROM witness_peer)")
    finally:
        await connection.close()


async def test_a_plain_provider_gets_one_header_that_it_does_not_read(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async with consumer_stage(tmp_path, postgres_server) as stage:
        answer = await stage.call("GET")
        assert answer.status == 200
        (asked,) = stage.rogue.asked
        names = {name.lower() for name, _ in asked.http.headers}
        assert names - _REQUEST == {GREETING[0]}
        assert b"sacbe" not in asked.head.lower()
        await rounds(stage.consumer)
        await asyncio.sleep(0.2)
        assert len(stage.rogue.asked) == 1
        assert await nobody_was_noted(stage.consumer)


async def test_a_plain_consumer_gets_nothing_that_it_did_not_get_before(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async with provider_stage(tmp_path, postgres_server) as stage:
        answer = await stage.rogue.send(stage.rogue.draft("GET", PATH))
        assert answer is not None
        names = {name.lower() for name, _ in answer.headers}
        await rounds(stage.provider)
        assert await nobody_was_noted(stage.provider)
        draft = stage.rogue.draft("GET", PATH)
        draft.headers[GREETING[0]] = GREETING[1]
        greeted = await stage.rogue.send(draft)
        assert greeted is not None
        assert {name.lower() for name, _ in greeted.headers} - names == {GREETING[0]}
        assert "x-hash-algorithm" in names
        assert not [name for name in names if "sacbe" in name]
