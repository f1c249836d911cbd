"""Records leave the database when they are archived and old enough, and not before."""

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from node.archive import retention as cleaning
from node.archive.retention import Removed, Retention
from node.log.search import RecordQuery
from node.log.settings import Beyond
from tests.archive_scene import Scene, scene
from tests.message_records import quick, sample_record
from trust.errors import StorageError
from trust.settings import ByteSize

pytestmark = pytest.mark.database
NOW = datetime.now(UTC)
DAYS = timedelta(days=1)
KEEP = 30 * DAYS
OLD = NOW - 32 * DAYS
FILES = quick(body_limit=ByteSize(0), body_beyond=Beyond.FOLDER)


def retention(one: Scene, bodies: Path | None = None, *, now: datetime = NOW) -> Retention:
    return Retention(one.pool, KEEP, bodies, clock=lambda: now)


async def log_at(one: Scene, time: datetime, count: int = 4, body: bytes = b"") -> list[int]:
    await one.pool.execute("SELECT ensure_message_partition($1)", time.date())
    return await one.log_records(count, (body,) if body else (), time=time)


async def days(one: Scene) -> set[date]:
    rows = await one.pool.fetch(
        "SELECT DISTINCT (time AT TIME ZONE 'UTC')::date FROM message_record"
    )
    return {row[0] for row in rows}


async def partitions(one: Scene, parent: str = "message_record") -> set[str]:
    rows = await one.pool.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass",
        parent,
    )
    return {row[0] for row in rows}


async def test_whole_days_go_when_they_are_archived_and_old(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await log_at(one, OLD + 1 * DAYS)
        await log_at(one, NOW)
        await one.stamp()
        assert await retention(one).round() == Removed(), "nothing is archived"
        await one.archiver().archive(everything=True)
        before = await partitions(one)
        assert await retention(one, now=NOW - 3 * DAYS).round() == Removed(), "it is too early"
        assert await retention(one).round() == Removed(days=2)
        assert await days(one) == {NOW.date()}
        gone = {f"message_record_{day:%Y%m%d}" for day in (OLD, OLD + DAYS)}
        assert await partitions(one) == before - gone
        assert len(await partitions(one, "message_attachment")) == len(before) - 2
        assert await retention(one).round() == Removed()
        assert len(await one.check_complete()) == 12


async def test_the_day_of_which_a_part_must_be_kept_stays(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        border = NOW - KEEP
        await log_at(one, border - timedelta(minutes=1))
        await one.stamp()
        await one.archiver().archive(everything=True)
        midnight = border.replace(hour=0, minute=0, second=0, microsecond=0)
        removed = await retention(one).round()
        first = border - timedelta(minutes=1)
        assert removed == (Removed(days=1) if first < midnight else Removed())


async def test_of_a_day_with_others_the_archived_records_go_one_by_one(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.archive.retention._AT_ONCE", 3)
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD, 10)
        await one.stamp()
        await one.archiver().archive(everything=True)
        left = await log_at(one, OLD, 2)
        assert await retention(one).round() == Removed(records=10)
        page = await one.log.find(RecordQuery())
        assert {record.number for record in page.records} == set(left)
        assert await retention(one).round() == Removed()
        await one.stamp()
        await one.archiver().archive(everything=True)
        assert await retention(one).round() == Removed(days=1)
        assert len(await one.check_complete()) == 12


async def test_a_file_that_was_not_read_back_lets_nothing_go(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StorageError("The archive store can't be written: no")

    monkeypatch.setattr("node.archive.store.ArchiveStore.put", broken)
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.stamp()
        with pytest.raises(StorageError, match="can't be written"):
            await one.archiver().archive(everything=True)
        assert await one.pool.fetchval("SELECT count(*) FROM archive_entry") == 4
        assert await retention(one).round() == Removed()
        assert len(await days(one)) == 1


async def test_a_record_with_trouble_keeps_its_day(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.stamp()
        await one.pool.execute(
            "UPDATE message_record SET message = 'x'"
            " WHERE number = (SELECT number FROM log_leaf WHERE leaf = 1)"
        )
        await one.archiver().archive(everything=True)
        assert await retention(one).round() == Removed(records=3)
        assert await one.pool.fetchval("SELECT count(*) FROM message_record") == 1


async def test_a_record_that_comes_while_its_day_is_judged_is_not_dropped(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose clock is weeks behind writes into an old day."""
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.stamp()
        await one.archiver().archive(everything=True)
        cleaner = retention(one)
        real = cleaning._alone
        come = iter([True])

        def late(pool: object) -> object:
            async def store() -> None:
                await one.log.append(sample_record(time=OLD))

            if next(come, False):
                pending.append(asyncio.ensure_future(store()))
            return real(pool)  # type: ignore[arg-type] # as it was called

        pending: list[asyncio.Future[None]] = []
        monkeypatch.setattr(cleaning, "_alone", late)
        removed = await cleaner.round()
        await asyncio.gather(*pending, return_exceptions=True)
        left = await one.pool.fetchval("SELECT count(*) FROM message_record")
        stored = not isinstance(pending[0].exception(), Exception)
        assert removed in (Removed(days=1), Removed(records=4))
        assert left == int(stored)
        assert len(await one.check_complete()) == 4


async def test_who_reads_for_long_is_not_waited_for(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.stamp()
        await one.archiver().archive(everything=True)
        async with one.pool.acquire() as connection, connection.transaction():
            await connection.fetch("SELECT count(*) FROM message_record")
            with pytest.raises(StorageError, match="can't be removed"):
                await retention(one).round()
        assert await retention(one).round() == Removed(days=1)


async def test_one_node_cleans_at_a_time(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        for day in range(3):
            await log_at(one, OLD - day * DAYS)
        await one.stamp()
        await one.archiver().archive(everything=True)
        found = await asyncio.gather(
            *(retention(one).round() for _ in range(3)), return_exceptions=True
        )
        done = [each for each in found if isinstance(each, Removed)]
        assert sum(each.days for each in done) + sum(each.records for each in done) > 0
        await retention(one).round()
        assert await days(one) == set()
        assert len(await one.check_complete()) == 12


async def test_replay_keys_are_none_of_its_business(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.log.append(sample_record(replay_key=bytes(32)))
        await one.stamp()
        await one.archiver().archive(everything=True)
        await retention(one).round()
        assert await one.pool.fetchval("SELECT count(*) FROM replay_key") == 1


# --- leaves ---------------------------------------------------------------------------------------


async def test_leaves_stay_until_their_tiles_are_stored(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD, 300)
        await one.stamp()
        await log_at(one, OLD, 300)
        await one.stamp()
        await log_at(one, NOW, 10)
        await one.stamp()
        await one.archiver().archive(everything=True)
        assert await retention(one).round() == Removed(days=1)
        assert await one.pool.fetchval("SELECT count(*) FROM log_leaf") == 610
        await one.pool.execute("UPDATE log_tree SET size = 610, stored = 512")
        assert await retention(one).round() == Removed(leaves=512)
        assert await one.pool.fetchval("SELECT min(leaf) FROM log_leaf") == 512
        assert await one.pool.fetchval("SELECT min(leaf) FROM archive_entry") == 512
        assert await one.pool.fetchval("SELECT min(first_leaf) FROM log_stamp") == 300
        assert await retention(one).round() == Removed()
        await one.log_records(2)
        await one.stamp()
        assert await one.archiver().archive(everything=True) == 1
        assert len(await one.check_complete()) == 612


async def test_leaves_of_a_time_stamp_stay_while_one_of_its_records_does(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD, 520)
        await log_at(one, NOW, 1)
        await one.stamp()
        await one.archiver().archive(everything=True)
        await one.pool.execute("UPDATE log_tree SET size = 521, stored = 512")
        assert await retention(one).round() == Removed(days=1)
        numbers = [record.number for record in (await one.log.find(RecordQuery())).records]
        assert len(await one.stamps.stamps_of(numbers)) == 1


# --- files of bodies ------------------------------------------------------------------------------


def age(folder: Path, by: timedelta = 2 * DAYS) -> None:
    then = (NOW - by).timestamp()
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def bodies_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_files_of_bodies_go_after_their_records(database_dsn: str, tmp_path: Path) -> None:
    bodies = tmp_path / "bodies"
    settings = quick(body_limit=ByteSize(0), body_beyond=Beyond.FOLDER, body_folder=bodies)
    async with scene(database_dsn, tmp_path, settings=settings) as one:
        await log_at(one, OLD, 3, b"old body")
        await log_at(one, NOW, 2, b"new body")
        age(bodies)
        await one.stamp()
        assert (await retention(one, bodies).round()).files == 0
        await one.archiver().archive(everything=True)
        assert await retention(one, bodies).round() == Removed(days=1, files=3)
        left = bodies_in(bodies)
        assert len(left) == 2
        assert {name.split("/")[0] for name in left} == {NOW.date().isoformat()}
        assert not (bodies / OLD.date().isoformat()).exists()
        assert len(await one.check_complete()) == 5


async def test_files_that_no_record_names_go_when_they_are_old_enough(
    database_dsn: str, tmp_path: Path
) -> None:
    bodies = tmp_path / "bodies"
    settings = quick(body_limit=ByteSize(0), body_beyond=Beyond.FOLDER, body_folder=bodies)
    async with scene(database_dsn, tmp_path, settings=settings) as one:
        await one.log_records(1, (b"first", b"second"))
        today = NOW.date().isoformat()
        orphan = bodies / today / ("0" * 32)
        orphan.write_bytes(b"left by a crash")
        (bodies / f"probe-{'1' * 32}").write_bytes(b"likewise")
        others = [bodies / today / "notes.txt", bodies / "README", bodies / "2020-13-01" / "x"]
        for other in others:
            other.parent.mkdir(exist_ok=True)
            other.write_bytes(b"not ours")
        assert await retention(one, bodies).round() == Removed()
        assert orphan.exists()
        age(bodies)
        assert await retention(one, bodies).round() == Removed(files=1)
        assert not orphan.exists()
        assert not list(bodies.glob("probe-*"))
        assert len(bodies_in(bodies)) == 2 + len(others)


async def test_files_are_looked_through_once_a_day(database_dsn: str, tmp_path: Path) -> None:
    bodies = tmp_path / "bodies"
    (bodies / "2026-01-01").mkdir(parents=True)
    now = [NOW]
    async with scene(database_dsn, tmp_path) as one:
        cleaner = Retention(one.pool, None, bodies, clock=lambda: now[0])
        for later, removed in ((0, 1), (1, 0), (23, 0), (24, 1)):
            file = bodies / "2026-01-01" / ("0" * 32)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"x")
            age(bodies)
            now[0] = NOW + timedelta(hours=later)
            assert (await cleaner.round()).files == removed
            assert file.exists() == (removed == 0)


async def test_without_an_archive_no_record_goes(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.stamp()
        await one.archiver().archive(everything=True)
        assert await Retention(one.pool, None, None).round() == Removed()


async def test_the_task_tells_what_went_wrong_and_goes_on(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.archive.retention._ROUND", timedelta(milliseconds=20))
    async with scene(database_dsn, tmp_path) as one:
        await log_at(one, OLD)
        await one.stamp()
        await one.archiver().archive(everything=True)
        cleaner = retention(one)
        running = asyncio.create_task(cleaner.run())
        try:
            async with one.pool.acquire() as connection, connection.transaction():
                await connection.fetch("SELECT count(*) FROM message_record")
                async with asyncio.timeout(20):
                    while cleaner.problem is None:  # noqa: ASYNC110 - set by another task
                        await asyncio.sleep(0.02)
            async with asyncio.timeout(20):
                while cleaner.problem or await days(one):  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.02)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
