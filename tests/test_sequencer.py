"""Every stored record gets one place in the log, without gaps, whoever gives it and dies."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest_asyncio

from node.log.messagelog import MIGRATIONS
from node.stamping.sequencer import Sequencer
from tests.message_records import bodies_of, message_log, sample_record
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.digests import sha512
from trust.evidence.evidence_leaf import leaf_data, leaf_hash


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=6))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


async def until(happened: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + 30
    while not await happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def leaves_of(pool: Pool) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM log_leaf ORDER BY leaf")


async def all_have_places(pool: Pool) -> bool:
    return bool(
        await pool.fetchval(
            "SELECT (SELECT count(*) FROM log_leaf) = (SELECT count(*) FROM message_record)"
        )
    )


async def test_a_record_is_queued_with_the_digest_of_its_evidence(
    pool: Pool, database_dsn: str
) -> None:
    record = sample_record(
        hash_chain_result=b"<result/>",
        hash_chain=b"<chain/>",
        attachments=bodies_of(b"first", b"second"),
    )
    async with message_log(database_dsn) as log:
        number = await log.append(record)
    row = await pool.fetchrow("SELECT * FROM evidence_queue")
    assert row is not None
    data = leaf_data(
        sha512(record.message),
        sha512(record.signature),
        sha512(b"<result/>"),
        sha512(b"<chain/>"),
        [sha512(b"first"), sha512(b"second")],
    )
    assert row["number"] == number
    assert row["time"] == record.time
    assert row["leaf_hash"] == leaf_hash(data)
    assert row["signature_digest"] == sha512(record.signature)


async def test_places_are_dense_and_in_order_of_number(pool: Pool, database_dsn: str) -> None:
    sequencer = Sequencer(pool)
    async with message_log(database_dsn) as log:
        for _ in range(3):
            await asyncio.gather(*(log.append(sample_record()) for _ in range(40)))
            while await sequencer.step():
                pass
    rows = await leaves_of(pool)
    assert [row["leaf"] for row in rows] == list(range(120))
    assert [row["number"] for row in rows] == sorted(row["number"] for row in rows)
    assert await pool.fetchval("SELECT leaves FROM log_size") == 120
    assert await pool.fetchval("SELECT count(*) FROM evidence_queue") == 0


async def test_a_record_gets_its_place_within_a_second(pool: Pool, database_dsn: str) -> None:
    sequencer = Sequencer(pool)
    told = asyncio.Event()
    sequencer.listeners.append(told.set)
    running = asyncio.create_task(sequencer.run())
    await asyncio.sleep(0.3)  # it is idle by now
    try:
        async with message_log(database_dsn, on_stored=sequencer.wake) as log:
            await log.append(sample_record())
            async with asyncio.timeout(1):
                await told.wait()
        assert len(await leaves_of(pool)) == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_several_sequencers_give_each_place_once(pool: Pool, database_dsn: str) -> None:
    sequencers = [Sequencer(pool) for _ in range(4)]

    def wake() -> None:
        for sequencer in sequencers:
            sequencer.wake()

    running = [asyncio.create_task(sequencer.run()) for sequencer in sequencers]
    try:
        async with (
            message_log(database_dsn, on_stored=wake) as log,
            message_log(database_dsn, on_stored=wake) as other,
        ):
            await asyncio.gather(
                *(each.append(sample_record()) for _ in range(300) for each in (log, other))
            )
            await until(lambda: all_have_places(pool), "records without a place")
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert [row["leaf"] for row in await leaves_of(pool)] == list(range(600))
    assert await pool.fetchval("SELECT leaves FROM log_size") == 600


async def test_a_refused_replay_has_no_leaf(pool: Pool, database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        answers = await asyncio.gather(
            *(log.append(sample_record(replay_key=b"k" * 32)) for _ in range(5)),
            return_exceptions=True,
        )
    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert await pool.fetchval("SELECT count(*) FROM evidence_queue") == 1


# --- records from before --------------------------------------------------------------------------


async def forget_leaves(pool: Pool, until: datetime) -> None:
    """Make the database what it is after the migration of a log that has records."""
    await pool.execute("DELETE FROM evidence_queue")
    await pool.execute("INSERT INTO evidence_backlog VALUES ('epoch', 0, $1)", until)


async def test_records_from_before_get_the_leaf_that_they_would_have_had(
    pool: Pool, database_dsn: str
) -> None:
    now = datetime.now(UTC)
    async with message_log(database_dsn) as log:
        for place in range(30):
            await log.append(
                sample_record(
                    time=now - timedelta(minutes=40 - place),
                    attachments=bodies_of(*[b"body"] * (place % 4)),
                    hash_chain=b"<chain/>" if place % 2 else None,
                    hash_chain_result=b"<result/>" if place % 2 else None,
                )
            )
    expected = await pool.fetch("SELECT * FROM evidence_queue ORDER BY number")
    await forget_leaves(pool, now + timedelta(days=1))
    sequencer = Sequencer(pool)
    while await sequencer.step():
        pass
    found = await pool.fetch(
        "SELECT number, time, leaf_hash, signature_digest FROM log_leaf ORDER BY leaf"
    )
    assert found == expected


async def test_records_that_an_older_node_still_writes_are_found_for_a_day(
    pool: Pool, database_dsn: str
) -> None:
    now = datetime.now(UTC)
    clock = now
    await forget_leaves(pool, now + timedelta(hours=1))
    sequencer = Sequencer(pool, clock=lambda: clock)
    async with message_log(database_dsn) as log:
        await sequencer.step()
        await log.append(sample_record(time=now))
        await pool.execute("DELETE FROM evidence_queue")  # as a node without leaves leaves it
        await log.append(sample_record(time=now))
        await sequencer.step()
        assert len(await leaves_of(pool)) == 1
        clock = now + timedelta(minutes=11)
        await sequencer.step()
        assert len(await leaves_of(pool)) == 2
        clock = now + timedelta(hours=2)
        await sequencer.step()
        assert await pool.fetchval("SELECT count(*) FROM evidence_backlog") == 0
    assert len(await leaves_of(pool)) == 2


async def test_a_new_database_has_no_backlog(pool: Pool) -> None:
    assert await pool.fetchval("SELECT count(*) FROM evidence_backlog") == 0


async def test_many_old_records_are_queued_in_small_steps(pool: Pool, database_dsn: str) -> None:
    now = datetime.now(UTC)
    async with message_log(database_dsn) as log:
        for _ in range(3):
            await asyncio.gather(
                *(log.append(sample_record(time=now - timedelta(hours=1))) for _ in range(400))
            )
    await forget_leaves(pool, now - timedelta(minutes=30))
    sequencer = Sequencer(pool)
    steps = 1
    while await sequencer.step():
        steps += 1
    assert steps == 3
    assert [row["leaf"] for row in await leaves_of(pool)] == list(range(1200))
