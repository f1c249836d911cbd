"""Rotation of stamped records into archive files: what goes where, and what stays behind."""

import asyncio
import dataclasses
import hashlib
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.archive.settings import ArchiveSettings, Grouping
from node.archive.store import ArchiveStore, StoreAddress, open_store
from node.log.settings import Beyond
from tests.archive_scene import MEMBERS, Scene, scene
from tests.message_records import quick
from trust.errors import StorageError
from trust.evidence.asic import container_name
from trust.settings import ByteSize

pytestmark = pytest.mark.database
HOURS = timedelta(hours=1)


def name_of(place: int, number: int) -> str:
    return container_name(f"id-{place}", response=False, record=number)


def names_of(numbers: list[int]) -> list[str]:
    return [name_of(place, number) for place, number in enumerate(numbers)]


async def in_files(one: Scene) -> list[list[int]]:
    """The leaves of each file, in order."""
    rows = await one.pool.fetch("SELECT file, leaf FROM archive_entry ORDER BY file, leaf")
    files: dict[int, list[int]] = {}
    for row in rows:
        files.setdefault(row["file"], []).append(row["leaf"])
    return list(files.values())


# --- what and in which order ----------------------------------------------------------------------


async def test_stamped_records_go_into_a_file_and_others_wait(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        numbers = await one.log_records(5)
        await one.stamp()
        await one.log_records(2)
        archiver = one.archiver()
        assert await archiver.archive(everything=True) == 1
        assert sorted(await one.check_complete()) == sorted(names_of(numbers))
        assert await archiver.archive(everything=True) == 0
        await one.stamp()
        assert await archiver.archive(everything=True) == 1
        assert len(await one.check_complete()) == 7
        assert len(one.files()) == 2
        state = await archiver.book.state()
        assert (state.stamped, state.done, state.backlog, state.troubles) == (7, 7, 0, 0)
        assert state.last_success is not None


async def test_a_single_time_stamp_and_bodies_are_archived_too(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(1)
        await one.stamp()
        await one.log_records(1, (b'{"code":1}', b"second" * 1000))
        await one.stamp()
        assert await one.archiver().archive(everything=True) == 1
        assert len(await one.check_complete()) == 2


async def test_a_file_is_closed_when_it_is_large_and_the_last_one_waits_for_its_time(
    database_dsn: str, tmp_path: Path
) -> None:
    settings = ArchiveSettings(
        store=f"file://{tmp_path}/store", file_size=ByteSize(50_000), interval=2 * HOURS
    )
    async with scene(database_dsn, tmp_path) as one:
        now = datetime.now(UTC)
        await one.log_records(30, time=now)
        await one.stamp()
        archiver = one.archiver(settings, now=now + HOURS)
        files = await archiver.archive()
        assert files is not None
        assert files >= 2
        archived = len(await one.check_complete())
        assert 0 < archived < 30
        sizes = [path.stat().st_size for path in one.files()]
        assert min(sizes) > 50_000
        assert max(sizes) < 50_000 + 15_000
        assert await archiver.archive() == 0
        late = one.archiver(settings, now=now + 2 * HOURS)
        assert await late.archive() == 1
        assert len(await one.check_complete()) == 30
        assert [leaf for file in await in_files(one) for leaf in file] == list(range(30))


async def test_a_file_has_only_so_many_containers(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.archive.archiver._MOST_CONTAINERS", 4)
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(10)
        await one.stamp()
        assert await one.archiver().archive(everything=True) == 3
        assert [len(file) for file in await in_files(one)] == [4, 4, 2]
        assert len(await one.check_complete()) == 10


@pytest.mark.parametrize(
    ("grouping", "parties"),
    [
        (Grouping.NONE, {"": 12}),
        (Grouping.MEMBER, {"EX/GOV/1001": 8, "EX/COM/20%2002": 4}),
        (
            Grouping.SUBSYSTEM,
            {"EX/GOV/1001/portal": 4, "EX/GOV/1001/desk": 4, "EX/COM/20%2002/shop": 4},
        ),
    ],
)
async def test_each_group_has_a_chain_of_its_own(
    database_dsn: str, tmp_path: Path, grouping: Grouping, parties: dict[str, int]
) -> None:
    settings = ArchiveSettings(store=f"file://{tmp_path}/store", grouping=grouping)
    async with scene(database_dsn, tmp_path) as one:
        archiver = one.archiver(settings)
        for _ in range(2):
            await one.log_records(6)
            await one.stamp()
            assert await archiver.archive(everything=True) == len(parties)
        for party, count in parties.items():
            assert len(await one.check_complete(party)) == count
        names = [path.name for path in one.files()]
        assert len(names) == 2 * len(parties)
        if grouping is Grouping.MEMBER:
            assert {name.split("-")[1] for name in names} == {"EX_GOV_1001", "EX_COM_20_02"}


async def test_many_pages_of_records_are_taken_in_order(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.archive.book._PAGE", 7)
    monkeypatch.setattr("node.archive.archiver._PAGE_RECORDS", 3)
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(40)
        await one.stamp()
        assert await one.archiver().archive(everything=True) == 1
        assert await in_files(one) == [list(range(40))]
        assert len(await one.check_complete()) == 40


# --- what stays behind ----------------------------------------------------------------------------


async def alter(one: Scene, sql: str) -> None:
    await one.pool.execute(sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE message_record SET message = message || 'x' WHERE {}", "not what was logged"),
        ("UPDATE message_record SET signature = '<x/>' WHERE {}", "not what was logged"),
        ("UPDATE message_record SET body = 'changed123' WHERE {}", "not what was logged"),
        ("UPDATE message_record SET body = NULL, body_file = 'none' WHERE {}", "can't be read"),
        ("DELETE FROM message_record WHERE {}", "not in the database any more"),
        (
            "UPDATE log_leaf SET signature_digest = sha512('x') WHERE leaf = 3",
            "can't be led to its records",
        ),
    ],
)
async def test_a_record_that_was_tampered_with_is_told_and_holds_up_no_other(
    database_dsn: str, tmp_path: Path, sql: str, reason: str
) -> None:
    settings = quick(body_folder=tmp_path / "bodies")
    async with scene(database_dsn, tmp_path, settings=settings) as one:
        await one.log_records(6, (b'{"code":1}',))
        await one.stamp()
        where = "number = (SELECT number FROM log_leaf WHERE leaf = 3)"
        await alter(one, sql.format(where))
        archiver = one.archiver()
        await archiver.archive(everything=True)
        troubles = await archiver.book.troubles()
        assert any(leaf == 3 and reason in text for leaf, text in troubles), troubles
        archived = [leaf for file in await in_files(one) for leaf in file]
        assert 3 not in archived
        if "log_leaf" not in sql:  # without it no chain of the tree can be made
            assert archived == [0, 1, 2, 4, 5]
            assert len(await one.check_complete()) == 5
        archiver.state = await archiver.book.state()
        assert archiver.reason == (
            f"{len(troubles)} records can't be archived; see `sacbe archive list`"
        )


async def test_a_record_whose_trouble_has_ended_is_archived_after_all(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(4)
        await one.stamp()
        where = "WHERE number = (SELECT number FROM log_leaf WHERE leaf = 1)"
        await alter(one, f"UPDATE message_record SET message = message || 'x' {where}")
        await one.archiver().archive(everything=True)
        assert await in_files(one) == [[0, 2, 3]]
        state = await one.archiver().book.state()
        assert (state.done, state.troubles, state.backlog) == (4, 1, 0)
        await alter(
            one,
            f"UPDATE message_record SET message = substr(message, 1, length(message) - 1) {where}",
        )
        assert await one.archiver().archive(everything=True) == 0, "it was tried a moment ago"
        late = one.archiver(now=datetime.now(UTC) + 2 * HOURS)
        assert await late.archive(everything=True) == 1
        state = await late.book.state()
        assert (state.done, state.troubles, state.backlog) == (4, 0, 0)
        assert len(await one.check_complete()) == 4


async def test_a_record_that_makes_too_large_a_container_stays(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.archive.archiver._LARGEST", 50_000)
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(2)
        await one.log_records(1, (bytes(50_000),))
        await one.stamp()
        archiver = one.archiver()
        await archiver.archive(everything=True)
        [(leaf, reason)] = await archiver.book.troubles()
        assert leaf == 2
        assert reason.endswith("is larger than a container may be")
        assert len(await one.check_complete()) == 2


async def test_nothing_is_archived_of_which_the_store_gives_back_other_bytes(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ArchiveStore.put

    async def damaged(self: ArchiveStore, name: str, content: Path) -> None:
        await real(self, name, content)
        path = tmp_path / "store" / name
        raw = bytearray(path.read_bytes())
        raw[100] ^= 1
        path.write_bytes(raw)

    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(3)
        await one.stamp()
        archiver = one.archiver()
        with monkeypatch.context() as patch:
            patch.setattr(ArchiveStore, "put", damaged)
            for _ in range(2):
                with pytest.raises(StorageError, match=r"reads back .* as another file"):
                    await archiver.archive(everything=True)
        assert await one.pool.fetchval("SELECT count(*) FROM archive_file WHERE stored IS NULL")
        archiver.state = await archiver.book.state()
        assert "Archiving fails since" in (archiver.reason or "")
        assert await archiver.archive(everything=True) == 1
        archiver.state = await archiver.book.state()
        assert archiver.reason is None
        assert len(await one.check_complete()) == 3
        assert len(one.files()) == 1


async def test_a_planned_file_whose_records_were_altered_meanwhile_is_given_up(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StorageError("The archive store can't be written: no")

    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(5)
        await one.stamp()
        archiver = one.archiver()
        with monkeypatch.context() as patch:
            patch.setattr(ArchiveStore, "put", broken)
            with pytest.raises(StorageError, match="can't be written"):
                await archiver.archive(everything=True)
        await alter(
            one,
            "UPDATE message_record SET message = 'x'"
            " WHERE number = (SELECT number FROM log_leaf WHERE leaf = 2)",
        )
        assert await archiver.archive(everything=True) == 1
        assert await in_files(one) == [[0, 1, 3, 4]]
        assert len(await one.check_complete()) == 4
        assert len(one.files()) == 1


async def test_a_full_disk_is_told_and_leaves_nothing(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(3)
        await one.stamp()
        archiver = one.archiver()
        with monkeypatch.context() as patch:
            patch.setattr("trust.evidence.archive_files.ArchiveWriter.add", full)
            with pytest.raises(StorageError, match="can't be built: No space left on device"):
                await archiver.archive(everything=True)
        assert not list((tmp_path / "work").iterdir())
        assert await archiver.archive(everything=True) == 1


# --- its own task ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageError("The archive store can't be written: no"), "can't be written: no"),
        (ZeroDivisionError(), "Internal error ZeroDivisionError"),
    ],
)
async def test_the_running_archiver_goes_on_after_a_failure(
    database_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: str,
) -> None:
    monkeypatch.setattr("node.archive.archiver._LONGEST_PAUSE", timedelta(milliseconds=50))
    failing: Exception | None = error
    real = ArchiveStore.put

    async def sometimes(self: ArchiveStore, name: str, content: Path) -> None:
        if failing:
            raise failing
        await real(self, name, content)

    monkeypatch.setattr(ArchiveStore, "put", sometimes)
    settings = ArchiveSettings(
        store=f"file://{tmp_path}/store", interval=timedelta(milliseconds=50)
    )
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(3)
        await one.stamp()
        archiver = one.archiver(settings)
        running = asyncio.create_task(archiver.run())
        try:
            async with asyncio.timeout(20):
                while not archiver.reason:  # noqa: ASYNC110 - set by another task
                    await asyncio.sleep(0.02)
                assert archiver.reason.endswith(told)
                failing = None
                while archiver.reason or not one.files():  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.02)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert len(await one.check_complete()) == 3
        assert archiver.bytes == one.files()[0].stat().st_size


# --- memory ---------------------------------------------------------------------------------------


async def test_memory_does_not_grow_with_large_bodies_or_the_file(
    database_dsn: str, tmp_path: Path
) -> None:
    """Forty mebibytes of bodies, in the database and in files, pass through a few."""
    settings = quick(
        body_limit=ByteSize(2 << 20), body_beyond=Beyond.FOLDER, body_folder=tmp_path / "bodies"
    )
    async with scene(database_dsn, tmp_path, settings=settings) as one:
        await one.log_records(10, (hashlib.shake_128(b"x").digest(2 << 20),))
        await one.log_records(1, (hashlib.shake_128(b"y").digest(24 << 20),))
        await one.stamp()
        archiver = one.archiver()
        tracemalloc.start()
        try:
            assert await archiver.archive(everything=True) is not None
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sum(path.stat().st_size for path in one.files()) > 40 << 20
        assert most < 16 << 20, f"{most >> 20} MiB"
        assert len(await one.check_complete()) == 11


# --- encryption -----------------------------------------------------------------------------------


async def test_a_file_is_never_left_in_the_clear_for_want_of_a_recipient(
    database_dsn: str, tmp_path: Path
) -> None:
    recipients = tmp_path / "recipients"
    settings = ArchiveSettings(store=f"file://{tmp_path}/store", recipients=recipients)
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(3)
        await one.stamp()
        archiver = one.archiver(settings)
        with pytest.raises(StorageError, match="recipients can't be read"):
            await archiver.archive(everything=True)
        assert one.files() == []


async def test_groups_are_encrypted_for_their_own_recipients(
    database_dsn: str, tmp_path: Path
) -> None:
    x25519 = pytest.importorskip("pyrage").x25519
    pyrage = pytest.importorskip("pyrage")
    everybody, member = x25519.Identity.generate(), x25519.Identity.generate()
    recipients = tmp_path / "recipients"
    recipients.write_text(
        f"# for all\n{everybody.to_public()}\n\nEX/COM/20 02 {member.to_public()}\n"
    )
    settings = ArchiveSettings(
        store=f"file://{tmp_path}/store", recipients=recipients, grouping=Grouping.SUBSYSTEM
    )
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(6)
        await one.stamp()
        assert await one.archiver(settings).archive(everything=True) == len(MEMBERS)
        assert len(one.files()) == 3
        for path in one.files():
            assert path.name.endswith(".zip.age")
            key, other = (member, everybody) if "EX_COM" in path.name else (everybody, member)
            plain = pyrage.decrypt(path.read_bytes(), [key])
            assert plain.startswith(b"PK\3\4")
            with pytest.raises(pyrage.DecryptError):
                pyrage.decrypt(path.read_bytes(), [other])


async def test_the_chain_is_the_same_with_and_without_encryption(
    database_dsn: str, tmp_path: Path
) -> None:
    """Each file names the one before as it is called in the store; digests are of containers."""
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    recipients = tmp_path / "recipients"
    recipients.write_text(f"{identity.to_public()}\n")
    plain = ArchiveSettings(store=f"file://{tmp_path}/store")
    async with scene(database_dsn, tmp_path) as one:
        for settings in (plain, dataclasses.replace(plain, recipients=recipients), plain):
            await one.log_records(2)
            await one.stamp()
            assert await one.archiver(settings).archive(everything=True) == 1
        [encrypted] = [path for path in one.files() if path.name.endswith(".age")]
        clear = encrypted.with_suffix("")
        clear.write_bytes(pyrage.decrypt(encrypted.read_bytes(), [identity]))
        rows = await one.pool.fetch("SELECT name FROM archive_file ORDER BY id")
        first, second, third = (row["name"] for row in rows)
        assert second == encrypted.name
        one_end = one.judged(first).end
        assert one_end is not None
        two = one.judged(clear.name, one_end)
        assert two.end is not None
        three = one.judged(third, two.end)
        assert three.verdict.value == "passed", three.reason
        assert three.linking is not None
        assert three.linking.previous.file == encrypted.name


async def test_a_store_that_can_t_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="can't be opened"):
        open_store(StoreAddress(f"file://{tmp_path}/file/archive"))


# --- figures and settings -------------------------------------------------------------------------


class _Gauges:
    """Keeps what is watched."""

    def __init__(self) -> None:
        self.read: dict[str, Callable[[], float]] = {}

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        assert meaning
        self.read[name.removeprefix("sacbe_archive_")] = read

    counter = gauge


async def test_the_figures_follow_the_archive(database_dsn: str, tmp_path: Path) -> None:
    async with scene(database_dsn, tmp_path) as one:
        archiver = one.archiver()
        gauges = _Gauges()
        archiver.watch(gauges)

        async def figures() -> dict[str, float]:
            archiver.state = await archiver.book.state()
            return {name: read() for name, read in gauges.read.items()}

        assert {name: read() for name, read in gauges.read.items()} == {
            "backlog_records": -1, "troubled_records": 0, "age_seconds": -1, "bytes": 0,
        }  # fmt: skip
        await one.log_records(3)
        await one.stamp()
        found = await figures()
        assert (found["backlog_records"], found["age_seconds"]) == (3, -1)
        await archiver.archive(everything=True)
        found = await figures()
        assert (found["backlog_records"], found["troubled_records"]) == (0, 0)
        assert 0 <= found["age_seconds"] < 60
        assert found["bytes"] == one.files()[0].stat().st_size


@pytest.mark.parametrize("store", ["/var/archive", "http://x", "file://host/x"])
def test_a_store_that_is_no_address_is_a_problem_of_the_settings(store: str) -> None:
    [problem] = ArchiveSettings(store=store).problems()
    assert problem.path == ("store",)
    assert not ArchiveSettings(store="s3://bucket").problems()
    assert not ArchiveSettings().problems()
