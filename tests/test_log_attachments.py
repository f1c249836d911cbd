"""A message with several attachments is stored whole or not at all, once, and found whole."""

import asyncio
import dataclasses
import hashlib
import io
import shutil
from pathlib import Path

import asyncpg
import pytest

from node.log import bodies
from node.log.containers import write_record_container
from node.log.messagelog import MIGRATIONS, MessageLog, RecordQuery
from node.log.records import BodyPlace, BytesBody, LoggedBody, ReplayDetected
from node.log.rows import COLUMNS, build_row
from node.log.settings import Beyond
from tests.containers import BODIES, with_bodies
from tests.database_proxy import COMMIT, Cut
from tests.message_records import bodies_of, key_of, message_log, quick, sample_record
from tests.pki import NOON
from tests.signing import Signatory
from tests.test_messagelog import broken_way_to, count, files_in, partitions, small, until
from trust.database import migrate, open_pool
from trust.errors import LoggingFailed, StorageError
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.report import Outcome
from trust.settings import ByteSize

THREE = (b"first", b"", b"third")
TEN = [str(number).encode() * number for number in range(1, 11)]


async def stored_bodies(log: MessageLog, message_id: str) -> list[bytes | None]:
    """Every attachment of the one record of a message, in order."""
    (record,) = (await log.find(RecordQuery(message_id=message_id))).records
    for body in record.attachments:
        assert len(body.digest) == 64
    return [await log.body_of(record, n) for n in range(1, len(record.attachments) + 1)]


async def child_rows(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        found: int = await connection.fetchval("SELECT count(*) FROM message_attachment")
        return found
    finally:
        await connection.close()


async def test_records_of_one_group_keep_their_attachments_apart(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        await asyncio.gather(
            *(
                log.append(sample_record(message_id=f"m{n}", attachments=bodies_of(*TEN[:n])))
                for n in range(11)
            )
        )
        for n in range(11):
            assert await stored_bodies(log, f"m{n}") == TEN[:n]
        page = await log.find(RecordQuery())
        kept = {record.message_id: record.attachments for record in page.records}
    for n in range(11):
        assert [body.digest for body in kept[f"m{n}"]] == [
            hashlib.sha512(data).digest() for data in TEN[:n]
        ]
    assert await child_rows(database_dsn) == sum(n - 1 for n in range(1, 11))


async def test_a_message_with_one_attachment_leaves_the_second_table_alone(
    database_dsn: str,
) -> None:
    async with message_log(database_dsn) as log:
        await log.append(sample_record(attachments=bodies_of(b"only")))
        await log.append(sample_record())
    assert await child_rows(database_dsn) == 0


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_a_commit_in_doubt_stores_every_attachment_once(
    database_dsn: str, cut: Cut, keyed: bool
) -> None:
    async with broken_way_to(database_dsn, quick()) as (log, proxy):
        await log.append(sample_record())
        proxy.cut, proxy.commit_mark = cut, COMMIT
        records = [
            sample_record(
                message_id=f"doubt-{n}",
                attachments=bodies_of(*THREE),
                replay_key=key_of(str(n)) if keyed else None,
            )
            for n in range(5)
        ]
        numbers = await asyncio.gather(*map(log.append, records))
        assert proxy.cuts == 1
        assert len(set(numbers)) == 5
        assert await count(database_dsn) == 6
        assert await child_rows(database_dsn) == 10
        for n in range(5):
            assert await stored_bodies(log, f"doubt-{n}") == list(THREE)
        assert log.healthy


async def test_a_commit_that_arrives_while_it_is_repeated_counts_once(database_dsn: str) -> None:
    async with broken_way_to(database_dsn, quick()) as (log, proxy):
        proxy.cut, proxy.commit_mark = Cut.LATE_COMMIT, COMMIT
        record = sample_record(message_id="late", attachments=bodies_of(*THREE))
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
        await appending
        await connection.close()
        assert await stored_bodies(log, "late") == list(THREE)
    assert await count(database_dsn) == 1
    assert await child_rows(database_dsn) == 2


async def test_a_commit_that_never_arrives_leaves_no_attachment(database_dsn: str) -> None:
    impatient = dataclasses.replace(quick(), patience=quick().probe_interval)
    async with broken_way_to(database_dsn, impatient) as (log, proxy):
        proxy.close_all()
        with pytest.raises(LoggingFailed, match="can't be used"):
            await log.append(sample_record(attachments=bodies_of(*THREE)))
        proxy.open = True
        await until(lambda: log.healthy, "the log did not recover")
    assert await count(database_dsn) == 0
    assert await child_rows(database_dsn) == 0


async def test_an_attachment_that_the_database_refuses_takes_its_record_along_and_no_other(
    database_dsn: str,
) -> None:
    async with message_log(database_dsn) as log:
        await log._pool.execute(
            "ALTER TABLE message_attachment ADD CHECK (body IS DISTINCT FROM 'poison')"
        )
        answers = await asyncio.gather(
            log.append(sample_record(attachments=bodies_of(*THREE))),
            log.append(sample_record(message_id="bad", attachments=bodies_of(b"", b"poison"))),
            log.append(sample_record(attachments=bodies_of(b"only"))),
            return_exceptions=True,
        )
        assert [isinstance(answer, int) for answer in answers] == [True, False, True]
        assert isinstance(answers[1], LoggingFailed)
        assert log.healthy
        assert (await log.find(RecordQuery(message_id="bad"))).records == ()
    assert await child_rows(database_dsn) == 2


async def test_a_replay_with_attachments_leaves_nothing(database_dsn: str, tmp_path: Path) -> None:
    async with message_log(database_dsn, small(Beyond.FOLDER, tmp_path)) as log:
        for expected in (int, ReplayDetected):
            (answer,) = await asyncio.gather(
                log.append(
                    sample_record(
                        replay_key=key_of("1"), attachments=bodies_of(b"x", b"y" * 101, b"z" * 101)
                    )
                ),
                return_exceptions=True,
            )
            assert isinstance(answer, expected)
        assert log.queue_bytes == 0
    assert await child_rows(database_dsn) == 2
    assert len(files_in(tmp_path)) == 2


# --- what is kept of each -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beyond", "place"), [(Beyond.DROP, BodyPlace.NOWHERE), (Beyond.FOLDER, BodyPlace.FILE)]
)
async def test_each_attachment_is_kept_by_its_own_size(
    database_dsn: str, tmp_path: Path, beyond: Beyond, place: BodyPlace
) -> None:
    data = (b"x" * 101, b"y" * 100, b"z" * 102)
    async with message_log(database_dsn, small(beyond, tmp_path)) as log:
        await log.append(sample_record(attachments=bodies_of(*data)))
        (record,) = (await log.find(RecordQuery())).records
        assert [body.place for body in record.attachments] == [place, BodyPlace.RECORD, place]
        assert [body.size for body in record.attachments] == [101, 100, 102]
        assert [await log.body_of(record, n) for n in (1, 2, 3)] == [None, data[1], None]
        target = io.BytesIO()
        await write_record_container(log, record, target, None)
    found = parse_container(target.getvalue(), keep_attachments=True).attachments
    kept = {f"attachment{n}": body for n, body in enumerate(data, 1)}
    if beyond is Beyond.DROP:
        kept = {"attachment2": data[1]}
    assert {body.name: body.data for body in found} == kept


@pytest.mark.parametrize(
    ("soap", "text"),
    [
        (True, "Message attachment size exceeds maximum loggable size"),
        (False, "Message size exceeds maximum loggable size"),
    ],
)
async def test_an_attachment_beyond_the_limit_is_refused_when_so_set(
    database_dsn: str, soap: bool, text: str
) -> None:
    async with message_log(database_dsn, small(Beyond.REFUSE)) as log:
        with pytest.raises(LoggingFailed, match=f"^{text}$") as caught:
            await log.append(
                sample_record(attachments=bodies_of(b"x" * 100, b"x" * 101, soap=soap))
            )
        assert caught.value.code == "logging_failed"
        assert (log.queue_depth, log.queue_bytes) == (0, 0)
    assert await count(database_dsn) == 0


async def test_one_record_holds_no_more_than_its_share_of_memory(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_KEPT", 250)
    async with message_log(database_dsn, small(Beyond.DROP)) as log:
        await log.append(sample_record(attachments=bodies_of(*[b"x" * 100] * 4, b"y" * 50, b"z")))
        (record,) = (await log.find(RecordQuery())).records
    here, gone = BodyPlace.RECORD, BodyPlace.NOWHERE
    assert [body.place for body in record.attachments] == [here, here, gone, gone, here, gone]


async def test_the_queue_counts_the_bytes_of_every_attachment(database_dsn: str) -> None:
    async with broken_way_to(database_dsn, quick()) as (log, proxy):
        await log.append(sample_record())
        proxy.close_all()
        record = sample_record(attachments=bodies_of(b"x" * 10_000, b"y" * 20_000))
        waiting = asyncio.create_task(log.append(record))
        await until(lambda: log.queue_depth == 1, "nothing is queued")
        assert 30_000 < log.queue_bytes < 33_000
        proxy.open = True
        await waiting
        assert log.queue_bytes == 0


async def test_files_of_a_message_that_is_not_logged_are_removed(
    database_dsn: str, tmp_path: Path
) -> None:
    lying = LoggedBody(b"d" * 64, 300, BytesBody(b"short"))
    async with message_log(database_dsn, small(Beyond.FOLDER, tmp_path)) as log:
        with pytest.raises(LoggingFailed, match="changed"):
            await log.append(sample_record(attachments=(*bodies_of(b"x" * 200, b"y" * 200), lying)))
        assert files_in(tmp_path) == []
        assert log.queue_depth == 0
    assert await count(database_dsn) == 0


# --- days and earlier databases -------------------------------------------------------------------


async def test_both_tables_have_a_place_for_each_day(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        records = {name.removeprefix("message_record_") for name in await partitions(log)}
        rows = await log._pool.fetch(
            "SELECT relid::regclass::text AS name"
            " FROM pg_partition_tree('message_attachment') WHERE isleaf"
        )
        assert {row["name"].removeprefix("message_attachment_") for row in rows} == records


async def test_a_day_of_attachments_that_was_dropped_is_made_again(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        record = sample_record(attachments=bodies_of(*THREE))
        await log.append(record)
        await log._pool.execute(f"DROP TABLE message_attachment_{record.time:%Y%m%d}")
        with pytest.raises(StorageError, match=r"^Attachments of record \d+ are missing$"):
            await log.find(RecordQuery(message_id=record.message_id))
        again = sample_record(message_id="again", attachments=bodies_of(*THREE))
        await log.append(again)
        assert await stored_bodies(log, "again") == list(THREE)


async def test_a_log_from_before_goes_on(database_dsn: str, tmp_path: Path) -> None:
    """Its partitions are there already; its rows say nothing of keys and further attachments."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name in ("0001_message_log.sql", "0002_message_log_trial.sql"):
        shutil.copy(MIGRATIONS / name, folder)
    pool = await open_pool(database_dsn, "sacbe-test")
    await migrate(pool, "node", folder)
    old = sample_record(message_id="old", attachments=bodies_of(b"body"))
    kept = await bodies.Bodies(quick()).keep(old.attachments, old.time)
    row = build_row(old, kept)
    await pool.execute("SELECT ensure_message_partition($1)", row.day)
    async with pool.acquire() as connection:
        await connection.copy_records_to_table(
            "message_record", columns=COLUMNS[:-2], records=[(1, *row.values[:-2])]
        )
    await pool.close()
    async with message_log(database_dsn) as log:
        await log.append(sample_record(message_id="new", attachments=bodies_of(*THREE)))
        assert await stored_bodies(log, "old") == [b"body"]
        assert await stored_bodies(log, "new") == list(THREE)


# --- containers -----------------------------------------------------------------------------------


async def test_a_signed_message_with_attachments_is_proven_by_its_container(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signatory = Signatory()
    signed = with_bodies(signatory, (*BODIES, b"x" * 101))
    record = sample_record(
        message=signed.message,
        signature=signed.signature,
        attachments=bodies_of(*BODIES, b"x" * 101, soap=True),
        time=NOON,
    )
    settings = quick(body_limit=ByteSize(100), body_beyond=Beyond.FOLDER, body_folder=tmp_path)
    async with message_log(database_dsn, settings) as log:
        await log.append(record)
        (stored,) = (await log.find(RecordQuery())).records
        target = io.BytesIO()
        await write_record_container(log, stored, target, None)
        await log._pool.execute("UPDATE message_attachment SET body = 'other!' WHERE position = 2")
        changed = io.BytesIO()
        await write_record_container(log, stored, changed, None)
        await log._pool.execute("DELETE FROM message_attachment")
        with pytest.raises(StorageError, match="body of record"):
            await write_record_container(log, stored, io.BytesIO(), None)
    verdict = verify_container(parse_container(target.getvalue()), signatory.conf, NOON)
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert [part.name for part in verdict.parts] == [
        "/message.xml", "/attachment1", "/attachment2", "/attachment3",
    ]  # fmt: skip
    assert all(part.covered for part in verdict.parts)
    forged = verify_container(parse_container(changed.getvalue()), signatory.conf, NOON)
    assert forged.verdict is Outcome.FAILED
