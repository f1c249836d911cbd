"""An archiver that is killed at any step: nothing is lost, nothing is doubled, and it goes on."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from node.archive.recipients import decrypt
from node.archive.store import ArchiveStore, StoreAddress, open_store
from scripts.postgres import PostgresServer
from tests.archive_process import MOMENTS, settings_for
from tests.archive_scene import Scene, scene, until_archived
from tests.archive_stores import bucket_address, s3_service
from tests.database_fixtures import quick_folder
from tests.real_nodes import skip_without_postgres
from trust.database import DATABASE_ERRORS
from trust.errors import StorageError
from trust.evidence.archives import judge_archive
from trust.evidence.linkinginfo import START
from trust.report import Outcome

pytestmark = [pytest.mark.database, pytest.mark.timeout(600)]
RECORDS = 24
_ROOT = Path(__file__).resolve().parents[1]


async def archiving(
    dsn: str,
    folder: Path,
    address: StoreAddress,
    moment: str = "",
    passes: int = 0,
    recipients: str = "",
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.archive_process", dsn, str(folder), address.url,
        address.endpoint, moment, str(passes), recipients, cwd=_ROOT,
    )  # fmt: skip


async def check_once(one: Scene, store: ArchiveStore, folder: Path, identity: Path | None) -> None:
    """Every record is in exactly one file, and every file of the store is one of the chain."""
    rows = await one.pool.fetch("SELECT name FROM archive_file ORDER BY id")
    names = [row["name"] for row in rows]
    assert sorted(names) == sorted([each.name async for each in store.list()])
    assert len(names) >= 3, "too few files for a chain"
    end, containers = START, []
    for name in names:
        file = folder / "fetched"
        file.write_bytes(b"".join([piece async for piece in store.get(name)]))
        if identity is not None:
            (folder / "plain").unlink(missing_ok=True)
            decrypt(file, folder / "plain", identity)
            file = folder / "plain"
        with file.open("rb") as source:
            report = judge_archive(
                source,
                spool=lambda: (folder / "spool").open("wb+"),
                judge=one.judge,
                previous=end,
                name=name,
            )
        assert report.verdict is Outcome.PASSED, report.reason
        assert report.end is not None
        assert report.linking is not None
        end = report.end
        containers += [each.name for each in report.linking.files]
    assert len(containers) == len(set(containers)) == RECORDS
    assert await one.pool.fetchval("SELECT count(*) FROM archive_entry") == RECORDS
    assert await one.pool.fetchval("SELECT count(*) FROM archive_trouble") == 0
    assert await one.pool.fetchval("SELECT count(*) FROM archive_file WHERE stored IS NULL") == 0
    assert await one.pool.fetchval("SELECT done FROM archive_state") == RECORDS


async def kill_and_finish(
    dsn: str, folder: Path, address: StoreAddress, moment: str, passes: int, recipients: str = ""
) -> None:
    identity = Path(recipients).with_name("identity") if recipients else None
    async with scene(dsn, folder) as one:
        await one.log_records(RECORDS)
        await one.stamp()
        process = await archiving(dsn, folder, address, moment, passes, recipients)
        assert await process.wait() == -signal.SIGKILL
        store = open_store(address)
        archiver = one.archiver(settings_for(address, recipients), store)
        await until_archived(archiver)
        await check_once(one, store, folder, identity)
        assert not list((folder / "work").iterdir())


@pytest.mark.parametrize("passes", [0, 1])
@pytest.mark.parametrize("moment", [each for each in MOMENTS if each != "ended"])
async def test_killed_at_a_step_over_a_folder(
    database_dsn: str, tmp_path: Path, moment: str, passes: int
) -> None:
    address = StoreAddress(f"file://{tmp_path}/store")
    await kill_and_finish(database_dsn, tmp_path, address, moment, passes)


async def test_killed_after_the_end(database_dsn: str, tmp_path: Path) -> None:
    address = StoreAddress(f"file://{tmp_path}/store")
    await kill_and_finish(database_dsn, tmp_path, address, "ended", 0)


@pytest.fixture(scope="module")
def s3() -> Iterator[ThreadedMotoServer]:
    with s3_service() as server:
        yield server


@pytest.mark.parametrize("moment", ["planned", "put", "settled"])
async def test_killed_at_a_step_over_a_bucket(
    database_dsn: str, tmp_path: Path, s3: ThreadedMotoServer, moment: str
) -> None:
    await kill_and_finish(database_dsn, tmp_path, bucket_address(s3, tmp_path), moment, 1)


@pytest.mark.parametrize("moment", ["planned", "put", "settled"])
async def test_killed_at_a_step_of_an_encrypted_archive(
    database_dsn: str, tmp_path: Path, moment: str
) -> None:
    x25519 = pytest.importorskip("pyrage").x25519
    identity = x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"# created for a test\n{identity}\n")
    recipients = tmp_path / "recipients"
    recipients.write_text(f"{identity.to_public()}\n")
    address = StoreAddress(f"file://{tmp_path}/store")
    await kill_and_finish(database_dsn, tmp_path, address, moment, 1, str(recipients))


async def test_killed_again_and_again_at_any_time(database_dsn: str, tmp_path: Path) -> None:
    address = StoreAddress(f"file://{tmp_path}/store")
    chance = random.Random()
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(RECORDS)
        await one.stamp()
        for _ in range(4):
            process = await archiving(database_dsn, tmp_path, address)
            await asyncio.sleep(chance.uniform(1.0, 2.5))
            if process.returncode is None:
                process.kill()
            await process.wait()
        archiver = one.archiver(settings_for(address), open_store(address))
        await until_archived(archiver)
        await check_once(one, open_store(address), tmp_path, None)


@pytest.mark.parametrize("moment", ["plan", "put", "settle", "succeed"])
async def test_every_connection_is_cut_in_the_middle(
    database_dsn: str, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when PostgreSQL is restarted, before a step and while it is made."""
    address = StoreAddress(f"file://{tmp_path}/store")
    async with scene(database_dsn, tmp_path) as one, scene(database_dsn, tmp_path) as other:
        await one.log_records(RECORDS)
        await one.stamp()
        archiver = one.archiver(settings_for(address), open_store(address))
        owner = ArchiveStore if moment == "put" else type(archiver.book)
        real = getattr(owner, moment)
        cuts = iter([True])

        async def cut(*args: object) -> object:
            step = asyncio.ensure_future(real(*args))
            if next(cuts, False):
                await asyncio.sleep(0)
                await other.pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            return await step

        monkeypatch.setattr(owner, moment, cut)
        async with asyncio.timeout(30):
            while True:
                try:
                    if await archiver.archive(everything=True) is not None:
                        break
                except (StorageError, *DATABASE_ERRORS):
                    pass
                await asyncio.sleep(0.1)
        await check_once(one, open_store(address), tmp_path, None)


async def test_postgresql_is_killed_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A durable server, and kill -9 of it while each step is made; it recovers by itself."""
    skip_without_postgres()
    folder = quick_folder()
    address = StoreAddress(f"file://{tmp_path}/store")
    try:
        async with PostgresServer(folder) as server:
            dsn = await server.create_database("node")
            supervisor = asyncio.create_task(server.supervise())
            async with scene(dsn, tmp_path) as one:
                await one.log_records(RECORDS)
                await one.stamp()
                archiver = one.archiver(settings_for(address), open_store(address))
                kills = []

                def killing(owner: type, name: str) -> None:
                    real = getattr(owner, name)

                    async def killed(*args: object) -> object:
                        step = asyncio.ensure_future(real(*args))
                        pid = server.pid  # none while the last kill is being got over
                        if name not in kills and pid is not None:
                            kills.append(name)
                            await asyncio.sleep(0.002)
                            os.kill(pid, signal.SIGKILL)
                        return await step

                    monkeypatch.setattr(owner, name, killed)

                for step in ("plan", "settle", "succeed"):
                    killing(type(archiver.book), step)
                killing(ArchiveStore, "put")
                async with asyncio.timeout(120):
                    while True:
                        with contextlib.suppress(StorageError, *DATABASE_ERRORS):
                            if await archiver.archive(everything=True) == 0:
                                break  # a whole run after the last kill
                        await asyncio.sleep(0.2)
                assert sorted(kills) == ["plan", "put", "settle", "succeed"]
                await check_once(one, open_store(address), tmp_path, None)
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_two_archivers_make_one_chain(database_dsn: str, tmp_path: Path) -> None:
    address = StoreAddress(f"file://{tmp_path}/store")
    async with scene(database_dsn, tmp_path / "a") as one, scene(database_dsn, tmp_path) as other:
        await one.log_records(RECORDS)
        await one.stamp()
        first = one.archiver(settings_for(address), open_store(address))
        second = other.archiver(settings_for(address), open_store(address))
        answers = await asyncio.gather(
            *(each.archive(everything=True) for each in (first, second, first, second))
        )
        assert None in answers
        await until_archived(first)
        await check_once(one, open_store(address), tmp_path, None)


async def test_an_archiver_that_was_replaced_changes_nothing_more(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = StoreAddress(f"file://{tmp_path}/store")
    async with scene(database_dsn, tmp_path / "a") as one, scene(database_dsn, tmp_path) as other:
        await one.log_records(RECORDS)
        await one.stamp()
        slow = one.archiver(settings_for(address), open_store(address))
        quick = other.archiver(settings_for(address), open_store(address))
        real = slow.book.settle

        async def replaced(*args: object) -> None:
            """The process was stopped for so long that another took over."""
            await one.pool.execute("UPDATE archive_state SET worker_until = 'epoch'")
            assert await quick.archive(everything=True)
            await real(*args)  # type: ignore[arg-type] # as it was called

        monkeypatch.setattr(slow.book, "settle", replaced)
        with pytest.raises(StorageError, match="Another process has taken over"):
            await slow.archive(everything=True)
        await check_once(one, open_store(address), tmp_path, None)
