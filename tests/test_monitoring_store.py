"""Records reach the database once, whatever becomes of it, and never hold anybody up."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from node.monitoring import store as store_module
from node.monitoring.record import OperationalRecord
from node.monitoring.settings import MonitoringSettings
from node.monitoring.store import RecordStore
from tests.database_proxy import COMMIT, Cut, database_proxy
from tests.monitoring_stage import NOW, Clock, monitoring_pool, sample_record, stored
from trust.database import Pool, try_advisory_lock
from trust.errors import StorageError

SETTINGS = MonitoringSettings()
DAY = 24 * 3600


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    async with monitoring_pool(database_dsn) as opened:
        yield opened


async def message_ids(pool: Pool) -> list[str]:
    rows = await pool.fetch(
        "SELECT message_id FROM operational_record ORDER BY monitoring_data_ts, message_id"
    )
    return [row["message_id"] for row in rows]


async def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def named(*names: object) -> list[OperationalRecord]:
    return [sample_record(message_id=str(name)) for name in names]


async def test_a_lone_record_is_stored_at_once(pool: Pool) -> None:
    async with RecordStore(pool, SETTINGS) as store:
        started = time.monotonic()
        store.add(sample_record(message_id="lone"))
        await until(lambda: store.waiting == 0, "it was not stored")
        assert time.monotonic() - started < 0.5
        assert await message_ids(pool) == ["lone"]


async def test_what_comes_soon_after_is_stored_together(pool: Pool) -> None:
    async with RecordStore(pool, SETTINGS) as store:
        for number in range(30):
            store.add(sample_record(message_id=str(number)))
            await asyncio.sleep(0.01)
        await until(lambda: store.waiting == 0, "they were not stored")
        assert await pool.fetchval("SELECT count(*) FROM operational_batch") <= 3
        assert len(await message_ids(pool)) == 30


async def test_records_have_the_second_in_which_they_are_stored(pool: Pool) -> None:
    await stored(pool, named("a"), NOW, SETTINGS)
    assert await pool.fetchval("SELECT monitoring_data_ts FROM operational_record") == NOW


async def test_many_records_are_stored_in_bounded_batches(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_BATCH", 100)
    await stored(pool, named(*range(950)), NOW, SETTINGS)
    assert len(set(await message_ids(pool))) == 950
    assert await pool.fetchval("SELECT count(*) FROM operational_batch") == 10


async def test_the_oldest_give_way_when_too_many_wait(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    store = RecordStore(pool, replace(SETTINGS, buffer_records=100))
    for record in named(*range(250)):
        store.add(record)
    assert (store.waiting, store.dropped) == (100, 150)
    async with store:
        pass
    assert set(await message_ids(pool)) == {str(number) for number in range(150, 250)}
    told = [entry.getMessage() for entry in caplog.records if "dropped" in entry.getMessage()]
    assert told == ["Operational records are dropped: too many"]


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT, Cut.LATE_COMMIT])
async def test_a_batch_whose_commit_is_in_doubt_counts_once(
    pool: Pool, database_dsn: str, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_is_old(*_: object) -> int:
        return 0

    monkeypatch.setattr(store_module, "remove_old", nothing_is_old)  # whose commit comes first
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        async with (
            database_proxy(database_dsn, Path(folder)) as (address, proxy),
            monitoring_pool(address) as broken,
            RecordStore(broken, SETTINGS) as store,
        ):
            proxy.cut, proxy.commit_mark = cut, COMMIT
            for record in named(*range(20)):
                store.add(record)
            await until(lambda: proxy.cuts == 1, "nothing was cut")
            if cut is Cut.LATE_COMMIT:
                await asyncio.sleep(0.3)
                assert store.waiting
                proxy.late.set()
            await until(lambda: store.waiting == 0, "it was not stored")
            assert store.trouble is None
    assert sorted(await message_ids(pool)) == sorted(str(number) for number in range(20))


async def test_a_database_that_is_away_costs_no_record_and_no_time(
    pool: Pool, database_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        async with (
            database_proxy(database_dsn, Path(folder)) as (address, proxy),
            monitoring_pool(address) as broken,
            RecordStore(broken, replace(SETTINGS, buffer_records=1000)) as store,
        ):
            proxy.close_all()
            started = time.perf_counter()
            for record in named(*range(500)):
                store.add(record)
            assert time.perf_counter() - started < 0.1
            await until(lambda: store.trouble is not None, "the loss was not noticed")
            assert "can't be used" in str(store.trouble)
            for record in named(*range(500, 600)):
                store.add(record)
            assert store.waiting == 600
            proxy.open = True
            await until(lambda: store.waiting == 0, "the return was not noticed")
            assert store.dropped == 0
    assert len(set(await message_ids(pool))) == 600
    told = [
        entry.getMessage()
        for entry in caplog.records
        if entry.getMessage().startswith("Operational records")
    ]
    assert len(told) == 2
    assert told[0].startswith("Operational records wait for the database")
    assert told[1] == "Operational records are stored again; 0 were dropped"


async def test_stopping_without_a_database_ends_soon_and_says_what_is_lost(
    pool: Pool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_FAREWELL", 0.2)
    await pool.execute("ALTER TABLE operational_record RENAME TO elsewhere")
    started = time.monotonic()
    async with RecordStore(pool, SETTINGS) as store:
        for record in named(1, 2, 3):
            store.add(record)
        await until(lambda: store.trouble is not None, "no trouble")
    assert time.monotonic() - started < 5
    assert any("3 operational records are lost" in entry.getMessage() for entry in caplog.records)


async def test_one_record_that_can_not_be_stored_takes_no_other_along(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    poison = sample_record(message_id="poison", request_size=2**70)
    await stored(pool, [*named(1, 2, 3), poison, *named(4, 5)], NOW, SETTINGS)
    assert await message_ids(pool) == ["1", "2", "3", "4", "5"]
    assert any("can't be stored" in entry.getMessage() for entry in caplog.records)


async def test_a_day_that_was_dropped_is_made_again(pool: Pool) -> None:
    clock = Clock()
    async with RecordStore(pool, SETTINGS, clock) as store:
        store.add(sample_record(message_id="before"))
        await until(lambda: store.waiting == 0, "it was not stored")
        day = clock().strftime("%Y%m%d")
        await pool.execute(f"DROP TABLE operational_record_{day}")
        store.add(sample_record(message_id="after"))
        await until(lambda: store.waiting == 0, "it was not stored")
    assert await message_ids(pool) == ["after"]


async def test_midnight_passes_while_running(pool: Pool) -> None:
    clock = Clock(1_760_054_399)  # 2025-10-09 23:59:59
    async with RecordStore(pool, SETTINGS, clock) as store:
        for name in ("before", "after"):
            store.add(sample_record(message_id=name))
            await until(lambda: store.waiting == 0, "it was not stored")
            clock.step(seconds=1)
    rows = await pool.fetch("SELECT tableoid::regclass::text AS name FROM operational_record")
    assert sorted(row["name"] for row in rows) == [
        "operational_record_20251009", "operational_record_20251010",
    ]  # fmt: skip


# --- retention ------------------------------------------------------------------------------------


async def test_old_records_are_removed_to_the_second_and_young_ones_stay(pool: Pool) -> None:
    ages = (0, 7 * DAY - 1, 7 * DAY, 7 * DAY + 1, 8 * DAY, 30 * DAY)
    for age in ages:
        await stored(pool, named(age), NOW - age, SETTINGS)
    store = RecordStore(pool, SETTINGS, Clock())
    assert await store.clean() == 1  # the others went with their days
    kept = await message_ids(pool)
    assert kept == [str(7 * DAY), str(7 * DAY - 1), "0"]
    assert await store.clean() == 0
    rows = await pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'operational_record'::regclass"
    )
    days = {datetime.fromtimestamp(NOW - age, UTC).strftime("%Y%m%d") for age in ages[:4]}
    assert {row["name"][-8:] for row in rows} == days
    assert await pool.fetchval("SELECT count(*) FROM operational_batch") == 1


async def test_one_node_of_a_cluster_cleans_at_a_time(pool: Pool) -> None:
    await stored(pool, named("old"), NOW - 30 * DAY, SETTINGS)
    store = RecordStore(pool, SETTINGS, Clock())
    async with try_advisory_lock(pool, "sacbe monitoring cleaner") as lock:
        assert lock is not None
        assert await store.clean() == 0
        assert await message_ids(pool) == ["old"]
    await store.clean()
    assert await message_ids(pool) == []


async def test_it_is_cleaned_from_the_start_and_as_long_as_the_settings_say(pool: Pool) -> None:
    await stored(pool, named("old"), NOW - 2 * DAY, SETTINGS)
    await stored(pool, named("young"), NOW, SETTINGS)
    settings = replace(SETTINGS, keep_records_for=timedelta(days=1))
    async with RecordStore(pool, settings, Clock()):
        for _ in range(500):
            if await message_ids(pool) == ["young"]:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("nothing was cleaned")


async def test_what_can_not_be_cleaned_is_told(pool: Pool) -> None:
    await pool.execute("DROP TABLE operational_record")
    with pytest.raises(StorageError, match="Old operational records can't be removed: Undefined"):
        await RecordStore(pool, SETTINGS, Clock()).clean()
