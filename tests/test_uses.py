"""A use is stored exactly once, with its message or not at all; refused uses make nobody wait."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from catalog.terms import Quota
from node.log.messagelog import MIGRATIONS, MessageLog
from node.log.records import Side
from node.log.uses import DataUse, Openness
from node.messages.intent import Intent
from node.once.use_store import UseStore
from tests.database_proxy import COMMIT, Cut
from tests.message_records import CLIENT, PEER, SERVICE, key_of, message_log, quick, sample_record
from tests.test_messagelog import broken_way_to
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.errors import LoggingFailed, StorageError
from trust.ids import ClientId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
INTENT = Intent("urn:p", "urn:l", "urn:proc", ("name",), "case 7", "EE1", "org/9")


def sample_use(number: int = 1, **changes: Any) -> DataUse:  # noqa: ANN401 - any field of the use
    use = DataUse(
        time=datetime.now(UTC),
        side=Side.PROVIDER,
        exchange_id=f"exchange-{number}",
        message_id=f"message-{number}",
        client=CLIENT,
        service=SERVICE,
        peer=PEER,
        subject=b"\x01" * 32,
        intent=INTENT,
        grant=7,
        given=("urn:c:name",),
        withheld=("/a", "/b/*"),
        derived=("adult",),
    )
    return replace(use, **changes)


async def stored(dsn: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch("SELECT * FROM data_use ORDER BY exchange_id"))
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=4))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def log(database_dsn: str) -> AsyncIterator[MessageLog]:
    async with message_log(database_dsn) as started:
        yield started


async def test_a_use_is_stored_as_it_is(log: MessageLog, database_dsn: str) -> None:
    later = NOW + timedelta(days=30)
    use = sample_use(openness=Openness.DELAYED, visible_from=later, spared=2)
    await log.append(sample_record(use=use))
    [row] = await stored(database_dsn)
    assert dict(row) == {
        "id": 1, "time": use.time, "side": "provider", "exchange_id": "exchange-1",
        "message_id": "message-1", "client": CLIENT.path, "provider": SERVICE.provider.path,
        "service_code": "personApi", "service_version": None, "peer": PEER,
        "subject": b"\x01" * 32, "purpose": "urn:p", "legal_basis": "urn:l",
        "procedure": "urn:proc", "case_id": "case 7", "official": "EE1", "mandate": "org/9",
        "grant_number": 7, "given": ["urn:c:name"], "withheld": ["/a", "/b/*"],
        "derived": ["adult"], "refusal": "", "openness": "delayed", "visible_from": later,
        "spared": 2, "detail": "",
    }  # fmt: skip


async def test_uses_of_a_group_are_stored_with_it_and_those_of_replays_are_not(
    log: MessageLog, database_dsn: str
) -> None:
    key = key_of("request")
    await log.append(sample_record(replay_key=key))
    records = [sample_record(use=sample_use(n) if n % 2 else None) for n in range(20)]
    replayed = sample_record(replay_key=key, use=sample_use(99))
    answers = await asyncio.gather(*map(log.append, [*records, replayed]), return_exceptions=True)
    assert sum(isinstance(answer, int) for answer in answers) == 20
    found = {row["exchange_id"] for row in await stored(database_dsn)}
    assert found == {f"exchange-{n}" for n in range(1, 20, 2)}


@pytest.mark.parametrize("count", [1, 5], ids=["lone", "group"])
@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_a_use_whose_commit_is_in_doubt_is_there_once(
    database_dsn: str, cut: Cut, count: int
) -> None:
    async with broken_way_to(database_dsn, quick()) as (log, proxy):
        await log.append(sample_record())
        records = [sample_record(use=sample_use(n)) for n in range(count)]
        proxy.cut = cut
        proxy.commit_mark = COMMIT if count > 1 else records[0].message_id.encode()
        numbers = await asyncio.gather(*map(log.append, records))
        assert proxy.cuts == 1
        assert len(set(numbers)) == count
    assert len(await stored(database_dsn)) == count


async def test_a_record_that_is_not_stored_leaves_no_use(database_dsn: str) -> None:
    impatient = quick(patience=timedelta(milliseconds=100))
    async with broken_way_to(database_dsn, impatient) as (log, proxy):
        proxy.close_all()
        with pytest.raises(LoggingFailed):
            await log.append(sample_record(use=sample_use()))
    assert await stored(database_dsn) == []


@pytest.mark.parametrize(
    "changes",
    [{"given": ("a\0b",)}, {"withheld": ("\udc80",)}, {"intent": Intent(purpose="p" * 2000)}],
    ids=["zero", "no-text", "long"],
)
async def test_a_use_that_the_database_cannot_hold_is_refused_with_its_record(
    log: MessageLog, database_dsn: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(LoggingFailed):
        await log.append(sample_record(use=sample_use(**changes)))
    await log.append(sample_record(use=sample_use(2)))
    assert [row["exchange_id"] for row in await stored(database_dsn)] == ["exchange-2"]


# --- refused uses ---------------------------------------------------------------------------------


async def test_refused_uses_are_written_soon_and_once(pool: Pool, database_dsn: str) -> None:
    refused = [sample_use(n, refusal="quota_used_up", given=()) for n in range(1200)]
    async with UseStore(pool, most_of_one=2000) as store:
        for use in [*refused, refused[0]]:  # which a repeated attempt would write again
            store.keep_apart(use)
        store.keep_apart(sample_use(peer="\0"))
    assert (store.waiting, store.dropped) == (0, 1)
    found = await stored(database_dsn)
    assert len(found) == 1200
    assert {row["refusal"] for row in found} == {"quota_used_up"}


async def test_one_client_s_refusals_fill_no_table(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 600.0
    monkeypatch.setattr("node.once.use_store.time.monotonic", lambda: now)
    store = UseStore(pool, most_of_one=3)
    other = ClientId("EX", "GOV", "1", "other")
    for number in range(9):
        store.keep_apart(sample_use(number, refusal="no_right"))
    store.keep_apart(sample_use(10, refusal="no_right", client=other))
    store.keep_apart(sample_use(11))  # no refusal: an answer that broke off
    assert (store.waiting, store.dropped) == (5, 6)
    now += 60
    store.keep_apart(sample_use(12, refusal="no_right"))
    assert (store.waiting, store.dropped) == (6, 6)


async def test_under_a_flood_refused_uses_are_counted_and_not_kept(pool: Pool) -> None:
    store = UseStore(pool, most_waiting=3)
    for number in range(5):
        store.keep_apart(sample_use(number, refusal="grant_expired"))
    assert (store.waiting, store.dropped) == (3, 2)
    async with store:
        pass
    assert (store.waiting, store.dropped) == (0, 2)


async def test_refused_uses_wait_for_a_database_that_is_away(database_dsn: str) -> None:
    async with (
        broken_way_to(database_dsn, quick()) as (log, proxy),
        UseStore(log._pool) as store,
    ):
        proxy.close_all()
        store.keep_apart(sample_use(refusal="grant_expired"))
        await asyncio.sleep(0.05)
        assert store.waiting == 1
        proxy.open = True
    assert len(await stored(database_dsn)) == 1


# --- quotas ---------------------------------------------------------------------------------------

QUOTA = Quota(3, timedelta(hours=1))


async def test_a_quota_holds_in_every_time_of_its_length(pool: Pool) -> None:
    store = UseStore(pool)

    async def taken(minutes: int, quota: Quota = QUOTA) -> bool:
        return await store.take_call(7, quota, NOW + timedelta(minutes=minutes)) is None

    assert [await taken(minutes) for minutes in (0, 10, 20, 30)] == [True, True, True, False]
    assert await store.take_call(7, QUOTA, NOW + timedelta(minutes=59)) == 3
    assert [await taken(minutes) for minutes in (60, 61)] == [True, False]
    assert [await taken(minutes) for minutes in (70, 80, 81)] == [True, True, False]
    assert await store.take_call(8, QUOTA, NOW) is None  # another grant
    assert await taken(81, Quota(4, timedelta(hours=1)))  # it may be changed
    assert not await taken(82, Quota(2, timedelta(hours=1)))
    assert not await taken(500, Quota(0, timedelta(hours=1)))
    assert await pool.fetchval("SELECT count(*) FROM quota_call WHERE grant_number = 7") <= 4


async def test_of_many_at_once_no_two_get_the_last_call(pool: Pool) -> None:
    store = UseStore(pool)
    quota = Quota(25, timedelta(hours=1))
    answers = await asyncio.gather(*(store.take_call(1, quota, NOW) for _ in range(60)))
    assert answers.count(None) == 25
    assert set(answers) == {None, 25}


async def test_a_clock_that_lags_behind_gains_nothing(pool: Pool) -> None:
    store = UseStore(pool)
    for minutes in (50, 50, 50):
        await store.take_call(1, QUOTA, NOW + timedelta(minutes=minutes))
    assert await store.take_call(1, QUOTA, NOW) == 3


async def test_a_database_that_is_away_lets_nobody_pass(database_dsn: str) -> None:
    async with broken_way_to(database_dsn, quick()) as (log, proxy):
        proxy.close_all()
        store = UseStore(log._pool)
        with pytest.raises(StorageError):
            await store.take_call(1, QUOTA, NOW)
        proxy.open = True
