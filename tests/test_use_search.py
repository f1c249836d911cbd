"""Uses are found by what the institution looks for, and removed when their time is over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from node.log.messagelog import MIGRATIONS
from node.log.records import Side
from node.log.uses import Openness
from node.messages.intent import Intent
from node.once import use_retention
from node.once.use_queries import UseQuery
from node.once.use_retention import UseRetention
from node.once.use_search import UseSearch
from tests.citizen_stage import CIVIL, CLERK, NOW, PSEUDONYMS, SUBJECT, TAX, fetched, use, write
from trust.database import Pool, PoolSettings, lock_key, migrate, open_pool
from trust.errors import StorageError

DAY = timedelta(days=1)


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=4))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


async def found(pool: Pool, **wanted: Any) -> list[str]:  # noqa: ANN401 - any part of the query
    query = UseQuery(**({"since": NOW - 30 * DAY, "until": NOW} | wanted))
    return [one.use.exchange_id for one in await UseSearch(pool).find(query)]


async def test_a_use_is_read_as_it_was_written(pool: Pool) -> None:
    whole = use(
        1,
        grant=7,
        intent=Intent("urn:p", "Act", "urn:proc", (), "case", "EE1", "org/9"),
        withheld=("/a",),
        derived=("adult",),
        openness=Openness.DELAYED,
        visible_from=NOW + DAY,
        spared=2,
    )
    refused = use(2, subject=None, given=(), refusal="quota_used_up")
    await write(pool, [whole, refused])
    read = await UseSearch(pool).find(UseQuery(since=NOW - DAY, until=NOW))
    assert [one.use for one in read] == [refused, whole]


async def test_uses_are_found_by_each_part_of_a_query(pool: Pool) -> None:
    other = PSEUDONYMS.of("national-id", "1")
    await write(
        pool,
        [
            use(1),
            use(2, subject=other),
            use(3, client=TAX),
            fetched(4),
            use(5, intent=Intent(purpose="urn:p:tax", procedure="urn:x", case="c/9")),
            use(6, time=NOW - 40 * DAY),
        ],
    )
    one, two, three, four, five = (f"exchange-{n}" for n in range(1, 6))
    assert await found(pool) == [five, four, three, two, one]
    assert await found(pool, subject=other) == [two]
    assert await found(pool, side=Side.CONSUMER) == [four]
    assert await found(pool, client=CLERK) == [five, two, one]
    assert await found(pool, provider=TAX) == [four]
    assert await found(pool, provider=CIVIL, client=TAX) == [three]
    assert await found(pool, purpose="urn:p:tax") == [five]
    assert await found(pool, procedure="urn:x", case="c/9") == [five]
    assert await found(pool, subject=SUBJECT, purpose="urn:none") == []
    assert await found(pool, until=NOW - timedelta(hours=4)) == [five]


async def test_pages_of_a_search_go_on_where_the_last_one_ended(pool: Pool) -> None:
    await write(pool, [use(n) for n in range(1, 8)])
    search, seen, before = UseSearch(pool), [], None
    while page := await search.find(UseQuery(since=NOW - DAY, until=NOW, limit=3, before=before)):
        seen += [one.use.exchange_id for one in page]
        before = page[-1].number
        await write(pool, [use(90 + len(seen))])  # what comes meanwhile shifts nothing
    assert seen == [f"exchange-{n}" for n in range(7, 0, -1)]


async def test_old_uses_are_removed_in_small_steps(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_retention, "_AT_ONCE", 3)
    old = [use(n, time=NOW - 10 * DAY - timedelta(seconds=n)) for n in range(8)]
    await write(pool, [*old, use(20, time=NOW - 10 * DAY), use(21)])
    retention = UseRetention(pool, 10 * DAY, clock=lambda: NOW)
    assert await retention.round() == 7  # the first of them has its last second still
    assert await retention.round() == 0
    assert await pool.fetchval("SELECT count(*) FROM data_use") == 3


async def test_one_process_at_a_time_removes(pool: Pool) -> None:
    await write(pool, [use(1, time=NOW - 10 * DAY)])
    retention = UseRetention(pool, DAY, clock=lambda: NOW)
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", lock_key("sacbe data use cleaner"))
        assert await retention.round() == 0
    assert await retention.round() == 1


async def test_a_database_that_is_gone_is_said(pool: Pool) -> None:
    retention = UseRetention(pool, DAY, clock=lambda: NOW)
    await pool.close()
    with pytest.raises(StorageError, match="Old uses can't be removed"):
        await retention.round()
    with pytest.raises(StorageError, match="Uses can't be looked up"):
        await UseSearch(pool).oldest()


async def test_looking_up_a_citizen_goes_by_the_index(pool: Pool) -> None:
    """However many uses there are, those of one person are found by his pseudonym."""
    async with pool.acquire() as connection:
        await connection.execute("SET enable_seqscan = off")
        plan: list[asyncpg.Record] = await connection.fetch(
            "EXPLAIN SELECT 1 FROM data_use WHERE subject = $1 AND time >= $2", SUBJECT, NOW
        )
    assert any("data_use_subject" in row[0] for row in plan)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(10_000):
        if await holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def test_the_cleaner_goes_on_after_failures_and_says_them(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_retention, "_ROUND", timedelta(milliseconds=1))
    moments = iter([None, NOW])

    def clock() -> datetime:
        moment = next(moments, NOW)
        if moment is None:
            raise RuntimeError("a clock that stands still")
        return moment

    async def nothing_is_left() -> bool:
        return not await pool.fetch("SELECT FROM data_use LIMIT 1")

    async def it_is_said() -> bool:
        return (retention.problem or "").startswith("Old uses can't be removed")

    await write(pool, [use(1, time=NOW - 10 * DAY)])
    retention = UseRetention(pool, DAY, clock=clock)
    task = asyncio.create_task(retention.run())
    try:
        await eventually(nothing_is_left)
        await pool.close()
        await eventually(it_is_said)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
