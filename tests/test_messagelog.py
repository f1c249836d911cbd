"""Nothing is acknowledged that is not stored, and nothing is stored twice."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from node.log.messagelog import MIGRATIONS, MessageLog, MessageLogSettings, Place, RecordQuery
from node.log.records import BodyPlace, BytesBody, LoggedBody, ReplayDetected, Side
from node.log.room import Room
from node.log.rows import COLUMNS, build_row
from node.log.search import build_select
from node.log.settings import Beyond
from node.log.upkeep import make_partitions, purge_replay_keys
from node.log.writer import GroupWriter
from scripts.postgres import PostgresServer
from tests.database_fixtures import quick_folder
from tests.database_proxy import COMMIT, Cut, DatabaseProxy, database_proxy
from tests.message_records import (
    CLIENT,
    PEER,
    PROVIDER,
    SERVICE,
    bodies_of,
    key_of,
    message_log,
    quick,
    sample_record,
)
from trust.errors import LoggingFailed, StorageError
from trust.ids import ClientId, ServiceId
from trust.settings import ByteSize

ROOT = Path(__file__).resolve().parents[1]


@pytest_asyncio.fixture
async def log(database_dsn: str) -> AsyncIterator[MessageLog]:
    async with message_log(database_dsn) as started:
        yield started


async def count(dsn: str, where: str = "true") -> int:
    connection = await asyncpg.connect(dsn)
    try:
        found: int = await connection.fetchval(f"SELECT count(*) FROM message_record WHERE {where}")
        return found
    finally:
        await connection.close()


async def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


# --- what comes back is what went in --------------------------------------------------------------


async def test_a_record_comes_back_as_it_went_in(log: MessageLog) -> None:
    record = sample_record(
        side=Side.PROVIDER,
        response=True,
        service=ServiceId(PROVIDER, "a/b:c ü", "v1"),
        client=ClientId("EX", "GÖV", "12/34:5", None),
        local=PROVIDER,
        message_id="ä/1 +",
        message=bytes(range(256)),
        hash_chain_result=b"<result/>",
        hash_chain=b"<chain/>",
        attachments=bodies_of(b"a body", b"", b"third"),
    )
    number = await log.append(record)
    page = await log.find(RecordQuery(message_id="ä/1 +"))
    (stored,) = page.records
    assert page.next is None
    assert stored.number == number
    for field in dataclasses.fields(record):
        if field.name not in ("attachments", "replay_key", "use"):
            assert getattr(stored, field.name) == getattr(record, field.name), field.name
    assert [(body.digest, body.size) for body in stored.attachments] == [
        (body.digest, body.size) for body in record.attachments
    ]
    assert {body.place for body in stored.attachments} == {BodyPlace.RECORD}
    assert [await log.body_of(stored, n) for n in range(1, 5)] == [b"a body", b"", b"third", None]


async def test_numbers_are_unique_and_grow_in_one_process(log: MessageLog) -> None:
    first = [await log.append(sample_record()) for _ in range(5)]
    many = await asyncio.gather(*(log.append(sample_record()) for _ in range(700)))
    last = await log.append(sample_record())
    numbers = [*first, *many, last]
    assert numbers == sorted(set(numbers))


async def test_two_processes_never_share_a_number(database_dsn: str) -> None:
    async with message_log(database_dsn) as one, message_log(database_dsn) as other:
        numbers = await asyncio.gather(
            *(log.append(sample_record()) for _ in range(100) for log in (one, other))
        )
    assert len(set(numbers)) == 200
    assert await count(database_dsn) == 200


async def test_what_arrives_during_a_commit_shares_the_next(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        await asyncio.gather(*(log.append(sample_record()) for _ in range(60)))
        transactions = await log._pool.fetchval(
            "SELECT count(DISTINCT xmin::text) FROM message_record"
        )
    assert transactions <= 2


# --- replays --------------------------------------------------------------------------------------


async def test_a_replay_is_refused_and_leaves_nothing_and_others_succeed(
    log: MessageLog, database_dsn: str
) -> None:
    key = key_of("request")
    await log.append(sample_record(replay_key=key))
    answers = await asyncio.gather(
        *(log.append(sample_record(replay_key=key_of(f"other {n}"))) for n in range(20)),
        log.append(sample_record(replay_key=key, message_id="replay")),
        *(log.append(sample_record()) for _ in range(20)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if not isinstance(answer, int)]
    assert len(refused) == 1
    assert isinstance(refused[0], ReplayDetected)
    assert refused[0].code == "invalid_message"
    assert await count(database_dsn) == 41
    assert await count(database_dsn, "message_id = 'replay'") == 0


async def test_of_equal_requests_at_once_exactly_one_is_accepted(database_dsn: str) -> None:
    async with message_log(database_dsn) as one, message_log(database_dsn) as other:
        for attempt in range(10):
            key = key_of(f"request {attempt}")
            answers = await asyncio.gather(
                *(
                    log.append(sample_record(replay_key=key))
                    for _ in range(3)
                    for log in (one, other)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(answer, int) for answer in answers) == 1
            assert sum(isinstance(answer, ReplayDetected) for answer in answers) == 5
    assert await count(database_dsn) == 10


async def test_workers_with_the_same_keys_in_other_order_never_block(database_dsn: str) -> None:
    keys = [key_of(str(n)) for n in range(50)]
    async with message_log(database_dsn) as one, message_log(database_dsn) as other:
        answers = await asyncio.gather(
            *(one.append(sample_record(replay_key=key)) for key in keys),
            *(other.append(sample_record(replay_key=key)) for key in reversed(keys)),
            return_exceptions=True,
        )
    assert sum(isinstance(answer, int) for answer in answers) == 50
    assert sum(isinstance(answer, ReplayDetected) for answer in answers) == 50


PATIENT = quick(replay_window=timedelta(days=30))  # purges nothing by itself


async def test_old_replay_keys_are_forgotten_and_young_ones_kept(database_dsn: str) -> None:
    now = datetime.now(UTC)
    async with message_log(database_dsn, PATIENT) as log:
        for hours in (1, 30):
            record = sample_record(replay_key=key_of(str(hours)), time=now - timedelta(hours=hours))
            await log.append(record)
        assert await purge_replay_keys(log._pool, now - timedelta(hours=2)) == 1
        with pytest.raises(ReplayDetected):
            await log.append(sample_record(replay_key=key_of("1")))
        assert await log.append(sample_record(replay_key=key_of("30"))) > 0


async def test_keys_are_purged_on_a_schedule_as_the_configuration_says(database_dsn: str) -> None:
    now = datetime.now(UTC)
    async with message_log(database_dsn, PATIENT) as log:
        for hours in (1, 4, 9):
            await log.append(
                sample_record(replay_key=key_of(str(hours)), time=now - timedelta(hours=hours))
            )

    async with message_log(
        database_dsn,
        quick(replay_window=timedelta(hours=3)),
        evidence_life=lambda: timedelta(hours=5),  # longer than the setting, so it counts
    ):
        connection = await asyncpg.connect(database_dsn)
        keys = "SELECT key FROM replay_key ORDER BY seen DESC"
        deadline = time.monotonic() + 60
        while len(left := await connection.fetch(keys)) == 3:
            assert time.monotonic() < deadline, "nothing was purged"
            await asyncio.sleep(0.01)
        await connection.close()
    assert [row["key"] for row in left] == [key_of("1"), key_of("4")]


# --- the two failures of a write that must be durable ---------------------------------------------


@contextlib.asynccontextmanager
async def broken_way_to(
    dsn: str, settings: MessageLogSettings
) -> AsyncIterator[tuple[MessageLog, DatabaseProxy]]:
    """A log whose way to the database breaks on request."""
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        async with (
            database_proxy(dsn, Path(folder)) as (address, proxy),
            message_log(address, settings) as log,
        ):
            yield log, proxy


@pytest_asyncio.fixture
async def broken_way(database_dsn: str) -> AsyncIterator[tuple[MessageLog, DatabaseProxy]]:
    async with broken_way_to(database_dsn, quick()) as both:
        yield both


@pytest.mark.parametrize("keyed", [False, True], ids=["records", "requests"])
@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_a_commit_in_doubt_is_settled_and_nothing_is_lost_or_doubled(
    broken_way: tuple[MessageLog, DatabaseProxy], database_dsn: str, cut: Cut, keyed: bool
) -> None:
    log, proxy = broken_way
    await log.append(sample_record(message_id="before"))
    proxy.cut = cut
    proxy.commit_mark = COMMIT
    records = [
        sample_record(replay_key=key_of(str(n)) if keyed else None, message_id=f"doubt-{n}")
        for n in range(5)
    ]
    twin = [log.append(sample_record(replay_key=key_of("0"), message_id="twin"))] if keyed else []
    answers = await asyncio.gather(*map(log.append, records), *twin, return_exceptions=True)
    assert proxy.cuts == 1
    numbers = [answer for answer in answers if isinstance(answer, int)]
    assert len(numbers) == 5
    assert [type(answer) for answer in answers[5:]] == [ReplayDetected for _ in twin]
    assert await count(database_dsn) == 6
    assert await count(database_dsn, f"number IN ({', '.join(map(str, numbers))})") == 5
    queued = "number IN (SELECT number FROM evidence_queue)"  # each with its leaf, once
    assert await count(database_dsn, queued) == 6
    assert log.healthy


async def test_a_commit_that_arrives_while_it_is_repeated_counts_once(
    broken_way: tuple[MessageLog, DatabaseProxy], database_dsn: str
) -> None:
    log, proxy = broken_way
    proxy.cut = Cut.LATE_COMMIT
    proxy.commit_mark = COMMIT
    record = sample_record(replay_key=key_of("0"))
    appending = asyncio.create_task(log.append(record))
    connection = await asyncpg.connect(database_dsn)
    for _ in range(1000):  # until the second attempt waits for the first
        if await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("nobody waits")
    assert not appending.done()
    proxy.late.set()
    number = await appending
    assert await connection.fetchval("SELECT number FROM replay_key") == number
    await connection.close()
    assert await count(database_dsn) == 1


async def test_a_row_that_appears_under_its_number_while_in_doubt_is_taken_for_stored(
    broken_way: tuple[MessageLog, DatabaseProxy], database_dsn: str
) -> None:
    log, proxy = broken_way
    record = sample_record()
    row = build_row(record, ())
    row.number = 1_000_000
    earlier = await asyncpg.connect(database_dsn)  # our first attempt, not over yet
    transaction = earlier.transaction()
    await transaction.start()
    await earlier.copy_records_to_table(
        "message_record", columns=COLUMNS, records=[(row.number, *row.values)]
    )
    proxy.cut, proxy.commit_mark = Cut.BEFORE_COMMIT, record.message_id.encode()
    writer = GroupWriter(log._pool)  # the log's own is busy with its probes
    writing = asyncio.create_task(writer.write([row], 20))
    await until(lambda: proxy.cuts == 1, "nothing was cut")
    await asyncio.sleep(0.1)
    assert not writing.done()
    await transaction.commit()
    assert await writing == frozenset()
    await writer.close()
    await earlier.close()
    assert await count(database_dsn) == 1


async def test_a_commit_that_never_arrives_fails_and_is_not_stored(
    database_dsn: str,
) -> None:
    impatient = quick(patience=timedelta(milliseconds=100))
    async with broken_way_to(database_dsn, impatient) as (log, proxy):
        proxy.close_all()
        with pytest.raises(LoggingFailed, match="can't be used") as caught:
            await log.append(sample_record())
        assert caught.value.code == "logging_failed.database_error"
        assert not log.healthy
        assert log.reason is not None
        assert database_dsn.split(":")[2].split("@")[0] not in log.reason
        with pytest.raises(LoggingFailed):  # at once, as long as it is known to be lost
            await log.append(sample_record())
        assert await count(database_dsn) == 0
        proxy.open = True
        await until(lambda: log.healthy, "the log did not recover")
        await log.append(sample_record())
    assert await count(database_dsn) == 1


async def test_a_database_that_hangs_fails_in_time_and_is_tried_until_it_is_back(
    database_dsn: str,
) -> None:
    impatient = quick(patience=timedelta(milliseconds=100))
    async with broken_way_to(database_dsn, impatient) as (log, proxy):
        proxy.flow.clear()
        with pytest.raises(LoggingFailed, match="can't be used: TimeoutError"):
            await log.append(sample_record())
        assert not log.healthy
        proxy.flow.set()
        await until(lambda: log.healthy, "the log did not recover")
        await log.append(sample_record(message_id="after"))
    assert await count(database_dsn, "message_id = 'after'") == 1


async def test_an_idle_log_notices_that_the_database_is_lost_and_back(
    broken_way: tuple[MessageLog, DatabaseProxy],
) -> None:
    log, proxy = broken_way
    assert log.healthy
    proxy.close_all()
    await until(lambda: not log.healthy, "the loss was not noticed")
    proxy.open = True
    await until(lambda: log.healthy, "the return was not noticed")


async def test_a_short_loss_of_the_database_fails_nothing(
    broken_way: tuple[MessageLog, DatabaseProxy], database_dsn: str
) -> None:
    log, proxy = broken_way
    proxy.close_all()
    waiting = asyncio.gather(*(log.append(sample_record()) for _ in range(10)))
    await until(lambda: not log.healthy, "readiness stayed on")
    proxy.open = True
    assert len(set(await waiting)) == 10
    assert await count(database_dsn) == 10


async def test_one_record_that_cannot_be_stored_does_not_take_others_along(
    log: MessageLog, database_dsn: str
) -> None:
    random = Random(1)  # no index takes a long key that can't be compressed
    parts = ["".join(chr(random.randrange(0x4E00, 0x9FA0)) for _ in range(255)) for _ in range(4)]
    poison = sample_record(service=ServiceId(ClientId(*parts), "x"))
    answers = await asyncio.gather(
        *(log.append(sample_record()) for _ in range(5)),
        log.append(poison),
        *(log.append(sample_record()) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, int) for answer in answers) == 10
    assert isinstance(answers[5], LoggingFailed)
    assert await count(database_dsn) == 10
    assert log.healthy


@pytest.mark.parametrize(
    "changes",
    [
        {"message_id": "a\0b"},
        {"message_id": "x" * 256},
        {"exchange_id": "\udc80"},
        {"peer": "p" * 2000},
    ],
    ids=["zero", "long", "no-text", "long-peer"],
)
async def test_text_that_the_database_cannot_hold_is_refused_alone(
    log: MessageLog, changes: dict[str, str]
) -> None:
    with pytest.raises(LoggingFailed, match=r"message id|exchange id|peer"):
        await log.append(sample_record(**changes))
    assert log.healthy
    assert log.queue_depth == 0


async def test_a_read_only_database_stops_acceptance_until_it_takes_writes(
    database_dsn: str, postgres_server: PostgresServer
) -> None:
    async with message_log(database_dsn) as log:
        connection = log._writer._connection
        assert connection is not None
        await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(LoggingFailed, match="ReadOnly"):
            await log.append(sample_record())
        await connection.execute("SET default_transaction_read_only = off")
        await until(lambda: log.healthy, "the log did not recover")
        await log.append(sample_record())


async def test_a_log_without_tables_does_not_start(database_dsn: str) -> None:
    pool = await asyncpg.create_pool(database_dsn, min_size=1)
    log = MessageLog(pool)
    assert not log.healthy
    with pytest.raises(StorageError):
        await log.start()
    with pytest.raises(LoggingFailed):
        await log.append(sample_record())
    await log.stop()
    await pool.close()


# --- the queue ------------------------------------------------------------------------------------


async def test_a_failure_of_the_writer_itself_leaves_nobody_waiting(
    log: MessageLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> frozenset[int]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(log._writer, "write", broken)
    with pytest.raises(LoggingFailed, match="Internal error RuntimeError"):
        await log.append(sample_record())
    monkeypatch.undo()
    await log.append(sample_record())
    assert log.queue_depth == 0


async def test_a_database_that_cannot_be_read_is_reported(log: MessageLog) -> None:
    await log.append(sample_record(attachments=bodies_of(b"x")))
    (record,) = (await log.find(RecordQuery())).records
    await log._pool.execute("ALTER TABLE message_record RENAME TO elsewhere")
    with pytest.raises(StorageError, match="can't be read: UndefinedTableError"):
        await log.find(RecordQuery())
    with pytest.raises(StorageError, match="can't be read: UndefinedTableError"):
        await log.body_of(record)
    with pytest.raises(LoggingFailed, match="Undefined"):
        await log.append(sample_record())
    assert not log.healthy


async def test_stopping_stores_what_is_queued_and_takes_no_more(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        waiting = [asyncio.create_task(log.append(sample_record())) for _ in range(50)]
        await asyncio.sleep(0)
        await log.stop()
        assert len({await task for task in waiting}) == 50
        with pytest.raises(LoggingFailed, match="closed"):
            await log.append(sample_record())
    assert await count(database_dsn) == 50


async def test_a_full_queue_holds_back_and_then_refuses(
    database_dsn: str,
) -> None:
    settings = quick(queue_records=3, queue_wait=timedelta(milliseconds=50))
    async with broken_way_to(database_dsn, settings) as (log, proxy):
        await log.append(sample_record())
        proxy.close_all()
        waiting = [asyncio.create_task(log.append(sample_record())) for _ in range(3)]
        await until(lambda: log.queue_depth == 3, "the queue did not fill")
        with pytest.raises(LoggingFailed, match="no more at the moment"):
            await log.append(sample_record())
        proxy.open = True
        await asyncio.gather(*waiting)
        assert (log.queue_depth, log.queue_bytes) == (0, 0)
    assert await count(database_dsn) == 4


async def test_a_cancelled_append_leaves_the_queue_in_order(log: MessageLog) -> None:
    for _ in range(20):
        task = asyncio.create_task(log.append(sample_record(attachments=bodies_of(b"x" * 1000))))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await log.append(sample_record())
    await until(lambda: log.queue_depth == 0, "a place was lost")
    assert log.queue_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=40))
def test_room_never_exceeds_its_bounds_and_loses_no_place(steps: list[tuple[int, bool]]) -> None:
    async def play() -> None:
        room = Room(3, 100)
        held: list[int] = []
        for size, give in steps:
            if give and held:
                room.give(held.pop())
                continue
            try:
                await room.take(size, 0)
            except TimeoutError:
                assert len(held) == 3 or sum(held) + size > 100
            else:
                held.append(size)
            assert (room.used_places, room.used_bytes) == (len(held), sum(held))
            assert len(held) <= 3
            assert sum(held) <= 100 or len(held) == 1

    asyncio.run(play())


async def test_room_is_given_in_order_and_survives_who_gives_up() -> None:
    room = Room(1, 100)
    await room.take(10, 0)
    order: list[int] = []

    async def come(number: int) -> None:
        await room.take(10, 60)
        order.append(number)
        room.give(10)

    tasks = [asyncio.create_task(come(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    room.give(10)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [1, 3, 4]
    assert (room.used_places, room.used_bytes) == (0, 0)


# --- bodies ---------------------------------------------------------------------------------------


def small(beyond: Beyond, folder: Path | None = None) -> MessageLogSettings:
    return quick(body_limit=ByteSize(100), body_beyond=beyond, body_folder=folder)


async def test_a_body_of_megabytes_is_kept_in_the_record(log: MessageLog) -> None:
    data = os.urandom(3 << 20)
    await log.append(sample_record(attachments=bodies_of(data)))
    (record,) = (await log.find(RecordQuery())).records
    assert await log.body_of(record) == data


async def test_a_body_beyond_the_limit_leaves_its_digest(database_dsn: str) -> None:
    async with message_log(database_dsn, small(Beyond.DROP)) as log:
        await log.append(sample_record(message_id="large", attachments=bodies_of(b"x" * 101)))
        await log.append(sample_record(message_id="fits", attachments=bodies_of(b"x" * 100)))
        await log.append(sample_record(message_id="empty", attachments=bodies_of(b"")))
        records = (await log.find(RecordQuery())).records
        bodies = {record.message_id: record.attachments[0] for record in records}
        places = {name: body.place for name, body in bodies.items()}
        assert places == {
            "large": BodyPlace.NOWHERE,
            "fits": BodyPlace.RECORD,
            "empty": BodyPlace.RECORD,
        }
        assert bodies["large"].digest == bodies_of(b"x" * 101)[0].digest
        assert [await log.body_of(r) for r in records] == [None, b"x" * 100, b""]


async def test_a_body_beyond_the_limit_is_refused_when_so_set(database_dsn: str) -> None:
    async with message_log(database_dsn, small(Beyond.REFUSE)) as log:
        with pytest.raises(LoggingFailed, match=r"^Message size exceeds maximum loggable size$"):
            await log.append(sample_record(attachments=bodies_of(b"x" * 101)))
        assert log.queue_depth == 0
        await log.append(sample_record(attachments=bodies_of(b"x" * 100)))
    assert await count(database_dsn) == 1


async def test_a_large_body_is_kept_in_a_file(database_dsn: str, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    async with message_log(database_dsn, small(Beyond.FOLDER, tmp_path / "bodies")) as log:
        await log.append(sample_record(attachments=bodies_of(data)))
        (record,) = (await log.find(RecordQuery())).records
        (body,) = record.attachments
        assert body.place is BodyPlace.FILE
        assert b"".join(log.file_of(body)) == data
        assert await log.body_of(record) is None


async def test_a_folder_that_takes_no_files_stops_acceptance_until_it_does(
    database_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bodies"
    folder.write_text("a file in its place")
    async with message_log(database_dsn, small(Beyond.FOLDER, folder)) as log:
        with pytest.raises(LoggingFailed, match="takes no files: Not a directory"):
            await log.append(sample_record(attachments=bodies_of(b"x" * 101)))
        assert log.reason == "The folder for large bodies takes no files: Not a directory"
        assert log.queue_depth == 0
        folder.unlink()
        await until(lambda: log.healthy, "the folder was not tried again")
        await log.append(sample_record(attachments=bodies_of(b"x" * 101)))
    assert await count(database_dsn) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of two megabytes."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be made here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_a_fault_and_leaves_no_piece(
    database_dsn: str, tiny_disk: Path
) -> None:
    async with message_log(database_dsn, small(Beyond.FOLDER, tiny_disk)) as log:
        with pytest.raises(LoggingFailed, match="No space left on device"):
            await log.append(sample_record(attachments=bodies_of(bytes(4 << 20))))
        assert files_in(tiny_disk) == []
        await until(lambda: log.healthy, "the folder was not tried again")
    assert await count(database_dsn) == 0


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_the_file_of_a_refused_replay_is_removed(database_dsn: str, tmp_path: Path) -> None:
    async with message_log(database_dsn, small(Beyond.FOLDER, tmp_path)) as log:
        await log.append(sample_record(replay_key=key_of("1"), attachments=bodies_of(b"x" * 101)))
        with pytest.raises(ReplayDetected):
            await log.append(
                sample_record(replay_key=key_of("1"), attachments=bodies_of(b"x" * 101))
            )
    assert len(files_in(tmp_path)) == 1


async def test_a_body_that_is_shorter_than_it_says_is_not_logged(log: MessageLog) -> None:
    lying = LoggedBody(b"d" * 64, 10, BytesBody(b"short"))
    with pytest.raises(LoggingFailed, match="changed"):
        await log.append(sample_record(attachments=(lying,)))
    assert log.queue_depth == 0


def test_a_folder_for_bodies_must_be_named() -> None:
    (problem,) = MessageLogSettings(body_beyond=Beyond.FOLDER).problems()
    assert problem.path == ("body_folder",)
    assert MessageLogSettings().problems() == []


# --- days -----------------------------------------------------------------------------------------


async def partitions(log: MessageLog) -> list[str]:
    rows = await log._pool.fetch(
        "SELECT relid::regclass::text AS name FROM pg_partition_tree('message_record') WHERE isleaf"
    )
    return sorted(row["name"] for row in rows)


async def test_partitions_are_made_ahead(database_dsn: str) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    async with message_log(database_dsn, clock=lambda: noon) as log:
        days = ["20260228", "20260301", "20260302", "20260303", "20260304"]
        assert await partitions(log) == [f"message_record_{day}" for day in days]


async def test_midnight_passes_while_running(database_dsn: str) -> None:
    midnight = datetime(2026, 3, 31, tzinfo=UTC)
    async with message_log(database_dsn, clock=lambda: midnight - timedelta(days=20)) as log:
        await asyncio.gather(
            *(log.append(sample_record(time=midnight + timedelta(seconds=n))) for n in range(-3, 3))
        )
        names = await partitions(log)
        assert {"message_record_20260330", "message_record_20260331"} <= set(names)
        page = await log.find(RecordQuery(since=midnight))
        assert [record.time for record in page.records] == [
            midnight + timedelta(seconds=n) for n in range(3)
        ]


async def test_a_partition_that_was_dropped_is_made_again(log: MessageLog) -> None:
    await log.append(sample_record())
    today = datetime.now(UTC)
    await log._pool.execute(f"DROP TABLE message_record_{today:%Y%m%d}")
    await log.append(sample_record(time=today))
    assert len((await log.find(RecordQuery())).records) == 1


async def test_many_workers_make_partitions_at_once(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        day = datetime(2027, 1, 1, tzinfo=UTC)
        await asyncio.gather(*(make_partitions(log._pool, day) for _ in range(8)))
        assert "message_record_20270101" in await partitions(log)


async def test_a_time_elsewhere_belongs_to_its_day_in_utc(log: MessageLog) -> None:
    moment = datetime.fromisoformat("2026-05-01T00:30:00+02:00")
    await log.append(sample_record(time=moment))
    assert "message_record_20260430" in await partitions(log)
    assert (await log.find(RecordQuery())).records[0].time == moment


# --- looking up -----------------------------------------------------------------------------------


async def test_look_ups_find_exactly_what_is_asked(log: MessageLog) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    other_service = ServiceId(PROVIDER, "otherApi")
    other_client = ClientId("EX", "GOV", "1234567")
    await log.append(sample_record(message_id="a", exchange_id="1", time=noon))
    await log.append(sample_record(message_id="a", exchange_id="1", time=noon, response=True))
    await log.append(
        sample_record(
            message_id="a", exchange_id="1", time=noon + timedelta(hours=1), side=Side.PROVIDER,
            local=PROVIDER, peer="SERVER:EX/GOV/1234567/node2",
        )
    )  # fmt: skip
    await log.append(
        sample_record(
            message_id="b", exchange_id="2", time=noon + timedelta(hours=2), service=other_service,
            client=other_client, local=other_client,
        )
    )  # fmt: skip

    async def found(**query: object) -> int:
        return len((await log.find(RecordQuery(**query))).records)  # type: ignore[arg-type]

    assert await found() == 4
    assert await found(message_id="a") == 3
    assert await found(message_id="a", local=CLIENT) == 2
    assert await found(message_id="a", local=CLIENT, response=True) == 1
    assert await found(message_id="a", side=Side.PROVIDER) == 1
    assert await found(exchange_id="2") == 1
    assert await found(peer=PEER) == 3
    assert await found(service=SERVICE) == 3
    assert await found(service=ServiceId(PROVIDER, "personApi", "v1")) == 0
    assert await found(service=other_service) == 1
    assert await found(provider=PROVIDER) == 4
    assert await found(client=CLIENT) == 3
    assert await found(since=noon + timedelta(hours=1)) == 2
    assert await found(since=noon, until=noon + timedelta(hours=2)) == 3
    assert await found(message_id="' OR true --") == 0


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_show_every_record_once_and_in_order(
    log: MessageLog, newest_first: bool
) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    times = [noon + timedelta(seconds=n // 4) for n in range(25)]  # several at one moment
    await asyncio.gather(*(log.append(sample_record(time=time)) for time in times))
    seen: list[int] = []
    after: Place | None = None
    pages = 0
    while pages == 0 or after is not None:
        page = await log.find(RecordQuery(), after=after, limit=7, newest_first=newest_first)
        seen += [record.number for record in page.records]
        after = page.next
        pages += 1
    assert pages == 4
    assert seen == sorted(set(seen), reverse=newest_first)
    assert len(seen) == 25


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (RecordQuery(message_id="m-77"), "message_id_idx"),
        (RecordQuery(message_id="m-77", local=CLIENT, response=True), "message_id_idx"),
        (RecordQuery(exchange_id="e-77"), "exchange_id_idx"),
        (RecordQuery(peer="peer-7"), "peer_time_number_idx"),
        (RecordQuery(service=ServiceId(PROVIDER, "s7")), "provider_service_code_time_number_idx"),
        (
            RecordQuery(
                since=datetime(2026, 3, 1, 1, tzinfo=UTC), until=datetime(2026, 3, 1, 2, tzinfo=UTC)
            ),
            "pkey",
        ),
        (RecordQuery(), "pkey"),
    ],
    ids=["message", "message-of-client", "exchange", "peer", "service", "time", "newest"],
)
@pytest.mark.parametrize("newest_first", [False, True], ids=["forward", "backward"])
async def test_every_look_up_has_its_index(
    seeded_dsn: str, query: RecordQuery, index: str, newest_first: bool
) -> None:
    sql, values = build_select(query, after=None, limit=100, newest_first=newest_first)
    connection = await asyncpg.connect(seeded_dsn)
    try:
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values))
    finally:
        await connection.close()
    assert index in plan
    assert "Seq Scan on message_record_20260301" not in plan


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeded_dsn(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A log with as many records as make the planner think."""
    name = "test_seeded_log"
    dsn = await postgres_server.create_database(name)
    async with message_log(dsn, clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC)) as log:
        await log._pool.execute(
            "INSERT INTO message_record (number, time, side, response, exchange_id, message_id,"
            " client, provider, service_code, local_client, peer, message, signature)"
            " SELECT n, '2026-03-01 00:00Z'::timestamptz + n * interval '4 s', 'consumer',"
            " n % 2 = 0, 'e-' || n / 2, 'm-' || n / 2, $1, $2, 's' || n % 50, $1,"
            " 'peer-' || n % 50, '\\x00', '\\x00' FROM generate_series(1, 20000) AS n",
            CLIENT.path,
            PROVIDER.path,
        )
        await log._pool.execute("ANALYZE message_record")
    yield dsn
    await postgres_server.drop_database(name)


# --- kill -9 --------------------------------------------------------------------------------------


@pytest.fixture
def durable_folder() -> Iterator[Path]:
    folder = quick_folder()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


async def check_acknowledged(dsn: str, acknowledged: dict[str, int]) -> None:
    """Every acknowledged record is there under its number, whole, and none is there twice."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT message_id, number FROM message_record")
        keys = await connection.fetchval("SELECT count(*) FROM replay_key")
        halves = await connection.fetch(
            "SELECT FROM message_record AS r FULL JOIN (SELECT number, count(*) AS attachments"
            " FROM message_attachment GROUP BY number) AS a USING (number)"
            " WHERE r.further_attachments IS DISTINCT FROM a.attachments"
        )
    finally:
        await connection.close()
    stored = [(row["message_id"], row["number"]) for row in rows]
    assert len({name for name, _ in stored}) == len(stored)
    assert acknowledged.items() <= dict(stored).items()
    assert keys <= len(stored)
    assert halves == []


async def test_every_acknowledged_record_survives_a_killed_postgresql(
    durable_folder: Path,
) -> None:
    acknowledged: dict[str, int] = {}
    async with PostgresServer(durable_folder) as server:
        dsn = await server.create_database("node")
        supervisor = asyncio.create_task(server.supervise())
        async with message_log(dsn) as log, load_on(log, acknowledged):
            for kill in range(1, 4):
                await until(lambda n=kill: len(acknowledged) > 300 * n, "no progress")  # type: ignore[misc]
                victim = server.pid
                assert victim is not None
                os.kill(victim, signal.SIGKILL)
                await until(lambda old=victim: server.pid not in (None, old), "no restart")  # type: ignore[misc]
            done = len(acknowledged)
            await until(lambda: len(acknowledged) > done + 300, "the log did not recover")
            await until(lambda: log.healthy, "the log is not ready")
        await check_acknowledged(dsn, acknowledged)
        await server.stop()
        await supervisor


@contextlib.asynccontextmanager
async def load_on(log: MessageLog, acknowledged: dict[str, int]) -> AsyncIterator[None]:
    """Append without pause and note what was acknowledged, by message id."""

    async def appender(name: int) -> None:
        for turn in range(1_000_000):
            message_id = f"{name}-{turn}"
            key = key_of(message_id) if name % 2 else None
            try:
                record = sample_record(
                    message_id=message_id,
                    replay_key=key,
                    attachments=bodies_of(*[b"body"] * (name % 4)),
                )
                number = await log.append(record)
                acknowledged[message_id] = number
            except LoggingFailed:
                await asyncio.sleep(0.01)

    appenders = [asyncio.create_task(appender(name)) for name in range(20)]
    try:
        yield
    finally:
        for task in appenders:
            task.cancel()
        await asyncio.gather(*appenders, return_exceptions=True)


def start_load(dsn: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.append_load", dsn]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


async def test_every_acknowledged_record_survives_a_killed_node(database_dsn: str) -> None:
    child = start_load(database_dsn)
    assert child.stdout is not None
    lines = [await asyncio.to_thread(child.stdout.readline) for _ in range(1000)]
    child.kill()
    rest, _ = child.communicate()
    lines += rest.splitlines(keepends=True)
    complete = [line.decode().split() for line in lines if line.endswith(b"\n")]
    assert len(complete) >= 1000
    await check_acknowledged(database_dsn, {name: int(number) for name, number in complete})
    async with message_log(database_dsn) as log:  # and the next node goes on behind it
        assert await log.append(sample_record()) > max(int(number) for _, number in complete)


def test_migrations_are_where_the_node_looks() -> None:
    assert (MIGRATIONS / "0001_message_log.sql").is_file()
