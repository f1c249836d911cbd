"""Records get their time-stamps, in order and once, whatever the services and the database do."""

import asyncio
import io
import itertools
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from node.log.containers import write_record_container
from node.log.messagelog import MIGRATIONS, MessageLog, RecordQuery
from node.log.settings import TimestampingSettings
from tests.message_records import message_log, sample_record
from tests.signing import MESSAGE, Signatory
from tests.stamping_stage import SIGNATORY, SIGNATURE, Stage, quickly
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.digests import sha512
from trust.errors import ExchangeError, LoggingFailed, StorageError
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.evidence.hashchain import PartDigest, verify_hash_chain
from trust.evidence.signature import parse_signature
from trust.report import Outcome


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=8))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def log(pool: Pool, database_dsn: str) -> AsyncIterator[MessageLog]:
    async with message_log(database_dsn) as started:
        yield started


@pytest.fixture
def stage(pool: Pool) -> Stage:
    return Stage(pool, quickly())


# --- the forms ------------------------------------------------------------------------------------


async def test_one_record_is_stamped_by_its_signature_value(stage: Stage, log: MessageLog) -> None:
    numbers = await stage.append(log)
    await stage.pass_time(seconds=61)
    assert stage.service.stamped == [parse_signature(SIGNATURE).value]
    await stage.check(numbers)


@pytest.mark.parametrize("count", [2, 3, 1500])
async def test_several_records_share_a_time_stamp(
    stage: Stage, log: MessageLog, count: int
) -> None:
    numbers = await stage.append(log, count)
    await stage.pass_time(seconds=61)
    assert len(stage.service.stamped) == 1
    await stage.check(numbers)
    assert len({stamp.id for stamp in (await stage.stamps.stamps_of(numbers)).values()}) == 1


async def test_a_range_is_cut_where_the_setting_says(pool: Pool, log: MessageLog) -> None:
    stage = Stage(pool, quickly(records_at_once=4))
    numbers = await stage.append(log, 9)
    await stage.pass_time(seconds=61)
    assert len(stage.service.stamped) == 3
    await stage.check(numbers)
    last = await stage.stamps.stamp_of(numbers[-1])
    assert last is not None
    assert last.chain_result is None


@pytest.mark.parametrize("count", [1, 2])
async def test_containers_with_our_time_stamps_hold(
    stage: Stage, log: MessageLog, count: int
) -> None:
    numbers = await stage.append(log, count)
    await stage.pass_time(seconds=61)
    page = await log.find(RecordQuery())
    assert len(page.records) == len(numbers)
    for record in page.records:
        target = io.BytesIO()
        stamp = await stage.stamps.stamp_of(record.number)
        await write_record_container(log, record, target, stamp)
        verdict = verify_container(parse_container(target), SIGNATORY.conf, datetime.now(UTC))
        steps = {check.name: check for check in verdict.report.checks}
        assert steps["timestamp"].outcome is Outcome.PASSED, steps["timestamp"].detail
        assert verdict.timestamp == stamp.gen_time if stamp else False


async def test_a_signature_that_nobody_can_read_is_stamped_through_a_tree(
    stage: Stage, log: MessageLog
) -> None:
    number = await log.append(sample_record(time=stage.now, signature=b"<signature/>"))
    await stage.sequencer.step()
    await stage.pass_time(seconds=61)
    stamp = await stage.stamps.stamp_of(number)
    assert stamp is not None
    assert stamp.chain_result is not None
    assert stamp.chain is not None
    name = "/META-INF/signatures.xml"
    verify_hash_chain(
        stamp.chain_result,
        {"/ts-hashchain.xml": stamp.chain},
        {name: PartDigest(name, sha512(b"<signature/>"))},
        lambda _: None,
    )


async def test_a_record_that_somebody_deleted_does_not_stop_the_stamping(
    stage: Stage, log: MessageLog
) -> None:
    numbers = await stage.append(log)
    await stage.pool.execute("DELETE FROM message_record")
    await stage.pass_time(seconds=61)
    assert await stage.stamps.stamp_of(numbers[0]) is not None


# --- when -----------------------------------------------------------------------------------------


async def test_a_record_waits_no_longer_than_the_interval(stage: Stage, log: MessageLog) -> None:
    first = await stage.append(log, 2)
    await stage.pass_time(seconds=50)
    second = await stage.append(log, 2)
    assert not stage.service.stamped
    await stage.pass_time(seconds=11)
    assert len(stage.service.stamped) == 1
    third = await stage.append(log, 2)
    await stage.pass_time(seconds=50)
    assert len(stage.service.stamped) == 1
    await stage.pass_time(seconds=11)
    await stage.check([*first, *second, *third])


async def test_an_idle_log_asks_nobody(stage: Stage) -> None:
    await stage.pass_time(days=1)
    assert not stage.service.stamped
    assert stage.timestamper.state.failing_since is None


@pytest.mark.parametrize(
    ("listed", "given", "expected"),
    [(1, 0, 60), (300, 0, 300), (1_000_000, 0, 86400), (300, 5, 5)],
)
async def test_the_interval_is_that_of_the_trust_list_within_bounds(
    pool: Pool, listed: int, given: int, expected: int
) -> None:
    stage = Stage(pool, TimestampingSettings(interval=timedelta(seconds=given)))
    stage.conf = conf = Signatory().conf
    object.__setattr__(conf.own.private, "time_stamping_interval_seconds", listed)
    assert stage.timestamper.interval == timedelta(seconds=expected)


async def test_a_running_stamper_stamps_on_its_own(pool: Pool, log: MessageLog) -> None:
    stage = Stage(pool, quickly(interval=timedelta(seconds=0.2)))
    numbers = await stage.append(log, 3)
    stage.now += timedelta(seconds=1)
    async with stage.running():
        deadline = time.monotonic() + 10
        while len(await stage.stamps.stamps_of(numbers)) < 3:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    await stage.check(numbers)


async def test_who_asks_for_a_time_stamp_waits_for_it(stage: Stage, log: MessageLog) -> None:
    async with stage.running():
        numbers = [await log.append(sample_record(message=MESSAGE, signature=SIGNATURE))]
        await stage.stamps.stamp_now(numbers)
        await stage.check(numbers)
        await stage.stamps.stamp_now(numbers)
        assert len(stage.service.stamped) == 1


async def test_those_who_wait_at_the_same_time_share_a_time_stamp(
    pool: Pool, database_dsn: str
) -> None:
    stage = Stage(pool, quickly(immediately=True))
    async with stage.running(), message_log(database_dsn, stamping=stage.timestamper) as log:
        numbers = await asyncio.gather(
            *(log.append(sample_record(message=MESSAGE, signature=SIGNATURE)) for _ in range(50))
        )
        found = await stage.stamps.stamps_of(numbers)  # each is stamped when it is acknowledged
        assert len(found) == 50
        assert len(stage.service.stamped) <= 5
        await stage.check(numbers)


# --- failures -------------------------------------------------------------------------------------


async def test_a_message_fails_when_it_can_not_be_stamped_at_once(
    pool: Pool, database_dsn: str
) -> None:
    stage = Stage(pool, quickly(immediately=True))
    stage.service.failing = True
    async with stage.running(), message_log(database_dsn, stamping=stage.timestamper) as log:
        with pytest.raises(LoggingFailed) as caught:
            await log.append(sample_record())
        assert caught.value.code == "logging_failed.timestamping_failed"
        assert caught.value.text == "Failed to get time stamp from any time-stamping providers"
        stage.service.failing = False
        await log.append(sample_record())
    assert (await stage.stamps.counts()).stamped == 2


async def test_stamping_on_demand_says_why_it_fails(stage: Stage, log: MessageLog) -> None:
    stage.service.failing = True
    numbers = await stage.append(log)
    async with stage.running():
        with pytest.raises(ExchangeError) as caught:
            await stage.stamps.stamp_now(numbers)
    assert caught.value.code == "timestamping_failed"
    reason = await stage.stamps.unstamped_reason(numbers[0])
    assert reason.startswith("Time-stamping fails since ")
    assert reason.endswith("nobody there (network_error)")


async def test_services_that_are_down_for_the_whole_grace_period_and_back(
    pool: Pool, database_dsn: str
) -> None:
    stage = Stage(pool, quickly())
    stage.service.failing = True  # from the very first time-stamp on
    stamper = stage.timestamper
    async with message_log(database_dsn, stamping=stamper) as log:
        assert stamper.grace_left == timedelta(hours=4)
        numbers = await stage.append(log, 3)
        await stage.pass_time(seconds=61)
        began = stage.now
        assert stamper.state.failing_since == began
        assert stamper.refuses_at == began + timedelta(hours=4)
        for _ in range(8):
            numbers += await stage.append(log)
            await stage.pass_time(minutes=29)
        assert stamper.reason is None
        assert stamper.grace_left == timedelta(minutes=8)
        await stage.pass_time(minutes=9)
        assert stamper.grace_left == timedelta(0)
        with pytest.raises(LoggingFailed) as caught:
            await log.append(sample_record())
        assert caught.value.code == "logging_failed.timestamping_failed"
        assert caught.value.text == "Cannot time-stamp messages"
        assert stamper.reason is not None
        assert "nobody there" in stamper.reason
        restarted = stage.another()  # a new process knows it, too
        await restarted.look()
        assert restarted.refusal is not None
        stage.service.failing = False
        await stage.pass_time(minutes=2)
        assert stamper.refusal is None
        assert stamper.grace_left == timedelta(hours=4)
        await stage.check(numbers)
        await restarted.look()
        assert restarted.refusal is None
        numbers += await stage.append(log)
        await stage.pass_time(minutes=2)
        await stage.check(numbers)


async def test_without_limit_messages_are_taken_for_ever(stage: Stage, log: MessageLog) -> None:
    stage = Stage(stage.pool, quickly(acceptable_failure_period=timedelta(0)))
    stage.service.failing = True
    await stage.append(log)
    await stage.pass_time(minutes=2)
    await stage.pass_time(days=300)
    assert stage.timestamper.state.failing_since is not None
    assert stage.timestamper.refusal is None
    assert stage.timestamper.grace_left is None


async def test_after_a_failure_the_pauses_grow_up_to_the_setting(
    stage: Stage, log: MessageLog
) -> None:
    attempts: list[float] = []

    async def note() -> None:
        attempts.append((stage.now - began).total_seconds())

    stage.service.failing, stage.service.before = True, note
    await stage.append(log)
    stage.now += timedelta(seconds=60)
    began = stage.now
    for _ in range(400):
        await stage.pass_time(seconds=0.5)
    pauses = [after - before for before, after in itertools.pairwise(attempts)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_without_any_service_no_message_is_taken(pool: Pool, database_dsn: str) -> None:
    conf = Signatory().conf
    object.__setattr__(conf.own.shared, "approved_tsas", ())
    stage = Stage(pool, quickly(), conf=conf)
    async with message_log(database_dsn, stamping=stage.timestamper) as log:
        with pytest.raises(LoggingFailed) as caught:
            await log.append(sample_record())
    assert caught.value.code == "logging_failed.mlog.no_timestamping_provider_found"
    assert caught.value.text == ("Cannot time-stamp messages: no timestamping services configured")
    assert stage.timestamper.reason == caught.value.text


async def test_a_node_that_needs_no_service_takes_messages_without(
    pool: Pool, database_dsn: str
) -> None:
    conf = Signatory().conf
    object.__setattr__(conf.own.shared, "approved_tsas", ())
    stage = Stage(pool, quickly(required=False), conf=conf)
    async with message_log(database_dsn, stamping=stage.timestamper) as log:
        await stage.append(log)
        await stage.pass_time(days=1)
        assert stage.timestamper.refusal is None
        assert stage.timestamper.state.failing_since is None
        async with stage.running():
            with pytest.raises(ExchangeError) as caught:
                await stage.stamps.stamp_now()
    assert caught.value.code == "timestamping_failed.mlog.no_timestamping_provider_found"


async def test_before_there_is_a_trust_list_nothing_is_stamped(
    stage: Stage, log: MessageLog
) -> None:
    stage.conf = None
    numbers = await stage.append(log)
    assert stage.timestamper.refusal is None
    await stage.pass_time(minutes=2)
    assert "There is none" in stage.timestamper.state.failure
    stage.conf = SIGNATORY.conf
    await stage.pass_time(minutes=2)
    await stage.check(numbers)


async def test_a_leaf_that_somebody_removed_is_told_and_refused_in_the_end(
    stage: Stage, log: MessageLog
) -> None:
    await stage.append(log, 3)
    await stage.pool.execute("DELETE FROM log_leaf WHERE leaf = 1")
    await stage.pass_time(minutes=2)
    assert "are 3, and 2 are there" in stage.timestamper.state.failure
    await stage.pass_time(hours=5)
    assert stage.timestamper.refusal is not None
    assert not stage.service.stamped


async def test_altered_leaves_lead_to_no_time_stamp(stage: Stage, log: MessageLog) -> None:
    numbers = await stage.append(log, 3)
    await stage.pass_time(minutes=2)
    await stage.pool.execute("UPDATE log_leaf SET signature_digest = sha512('x') WHERE leaf = 1")
    with pytest.raises(StorageError, match="block 0 are not those that were stamped"):
        await stage.stamps.stamp_of(numbers[0])


# --- several processes ----------------------------------------------------------------------------


async def test_two_processes_do_not_ask_at_the_same_time(stage: Stage, log: MessageLog) -> None:
    numbers = await stage.append(log, 3)
    other = stage.another()
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answer.wait()

    stage.service.before = wait
    stage.now += timedelta(minutes=2)
    first = asyncio.create_task(stage.timestamper.turn())
    await asked.wait()
    await other.turn()  # comes back at once
    assert not first.done()
    answer.set()
    await first
    assert len(stage.service.stamped) == 1
    await stage.check(numbers)


async def test_who_waits_is_served_by_the_process_that_is_at_it(
    stage: Stage, log: MessageLog
) -> None:
    numbers = await stage.append(log, 3)
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answer.wait()

    stage.service.before = wait
    stage.now += timedelta(minutes=2)
    other = asyncio.create_task(stage.another().turn())
    await asked.wait()
    async with stage.running():
        waiting = asyncio.create_task(stage.timestamper.stamp_now())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        answer.set()
        await waiting
    await other
    assert len(stage.service.stamped) == 1
    await stage.check(numbers)


async def test_a_token_that_comes_too_late_is_dropped(stage: Stage, log: MessageLog) -> None:
    """A process that lost its lease, and then both have a token for the same records."""
    numbers = await stage.append(log, 3)
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def wait() -> None:
        if not asked.is_set():
            asked.set()
            await answer.wait()

    stage.service.before = wait
    stage.now += timedelta(minutes=2)
    late = asyncio.create_task(stage.timestamper.turn())
    await asked.wait()
    await stage.pool.execute("UPDATE log_size SET stamper_until = 'epoch'")
    await stage.another().turn()
    answer.set()
    await late
    assert len(stage.service.stamped) == 2
    await stage.check(numbers)


async def test_the_lease_of_a_dead_process_ends(stage: Stage, log: MessageLog) -> None:
    numbers = await stage.append(log, 2)
    await stage.pool.execute(
        "UPDATE log_size SET stamper = gen_random_uuid(),"
        " stamper_until = clock_timestamp() + interval '0.3 s'"
    )
    stage.now += timedelta(minutes=2)
    await stage.timestamper.turn()
    assert not stage.service.stamped
    await asyncio.sleep(0.4)
    await stage.timestamper.turn()
    await stage.check(numbers)


# --- what a person is told ------------------------------------------------------------------------


async def test_why_a_record_has_no_time_stamp_yet(stage: Stage, log: MessageLog) -> None:
    number = await log.append(sample_record(time=stage.now))
    due = stage.now + timedelta(seconds=60)
    waits = f"It waits for the time-stamp due at {due:%Y-%m-%dT%H:%M:%SZ}"
    assert await stage.stamps.unstamped_reason(number) == waits
    await stage.sequencer.step()
    assert await stage.stamps.unstamped_reason(number) == waits
    await stage.pass_time(minutes=2)
    assert await stage.stamps.unstamped_reason(number) == ""
    assert "is not in the log" in await stage.stamps.unstamped_reason(number + 1)


async def test_what_an_operator_sees_counts_down(stage: Stage, log: MessageLog) -> None:
    shown: dict[str, Callable[[], float]] = {}
    stage.timestamper.watch(lambda name, _, read: shown.update({name: read}))

    def values() -> list[float]:
        names = ("waiting_records", "waiting_seconds", "failing_seconds", "grace_seconds")
        return [round(shown[f"sacbe_timestamp_{name}"]()) for name in names]

    assert values() == [0, 0, 0, 14400]
    await stage.append(log, 3)
    await stage.pass_time(seconds=30)
    assert values() == [3, 30, 0, 14400]
    stage.service.failing = True
    await stage.pass_time(seconds=30)
    stage.now += timedelta(seconds=400)
    assert values() == [3, 460, 400, 14000]
    stage.now += timedelta(hours=5)
    assert values()[3] == 0
    stage.service.failing = False
    await stage.timestamper.turn()
    assert values() == [0, 0, 0, 14400]


def test_an_address_that_nobody_can_ask_is_a_problem_of_the_settings() -> None:
    settings = TimestampingSettings(urls=("https://tsa.example.test/", "tsa.example.test"))
    (problem,) = settings.problems()
    assert problem.path == ("urls",)
    assert problem.found == '"tsa.example.test"'
