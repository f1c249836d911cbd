"""Containers whose records have left the database are found in the archive store."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.archive import archived as module
from node.archive.archived import ArchivedContainers, ArchivedMessage
from node.archive.retention import Retention
from node.archive.settings import ArchiveSettings
from node.archive.store import open_store
from scripts.postgres import PostgresServer
from tests.archive_scene import MEMBERS, Scene, scene
from tests.node_pair import Pair, node_pair
from trust.errors import StorageError
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.report import Outcome

pytestmark = pytest.mark.database
LONG_AGO = datetime.now(UTC) - timedelta(days=3)


async def removed(
    one: Scene, numbers: Sequence[int], settings: ArchiveSettings | None = None
) -> None:
    """Archive what there is, and let it leave the database."""
    await one.stamp()
    await one.archiver(settings).archive(everything=True)
    await Retention(one.pool, timedelta(days=1), None).round()
    left = await one.pool.fetchval(
        "SELECT count(*) FROM message_record WHERE number = ANY($1)", list(numbers)
    )
    assert left == 0


def reader(one: Scene, largest: int = 1 << 20) -> ArchivedContainers:
    return ArchivedContainers(one.pool, open_store(one.address), one.folder, largest)


async def read(one: Scene, message: ArchivedMessage, largest: int = 1 << 20) -> bytes:
    target = io.BytesIO()
    await reader(one, largest).write(message, target)
    return target.getvalue()


async def test_a_container_is_found_by_its_message_and_read(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        numbers = await one.log_records(3, (b"body",), time=LONG_AGO)
        assert await reader(one).find("id-1", MEMBERS[1], None, 10) == []
        await removed(one, numbers)
        (found,) = await reader(one).find("id-1", MEMBERS[1], None, 10)
        assert (found.number, found.response, found.time) == (numbers[1], False, LONG_AGO)
        assert await reader(one).find("id-1", MEMBERS[0], None, 10) == []
        assert await reader(one).find("id-1", MEMBERS[1], True, 10) == []
        assert await reader(one).find("id-1", MEMBERS[1], False, 10) == [found]
        assert await reader(one).find("id-1", MEMBERS[1], None, 0) == []
        container = parse_container(await read(one, found), keep_attachments=True)
        assert [body.data for body in container.attachments] == [b"body"]
        verdict = verify_container(container, one.signatory.conf, datetime.now(UTC))
        assert verdict.verdict is Outcome.PASSED, verdict.reason
        assert verdict.timestamp is not None


async def test_what_is_still_in_the_database_is_not_looked_for(
    database_dsn: str, tmp_path: Path
) -> None:
    async with scene(database_dsn, tmp_path) as one:
        await one.log_records(1)
        await one.stamp()
        assert await one.archiver().archive(everything=True) == 1
        assert await reader(one).find("id-0", MEMBERS[0], None, 10) == []


async def test_a_file_that_is_another_one_or_gone_or_too_large_is_told(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 100)
    async with scene(database_dsn, tmp_path) as one:
        await removed(one, await one.log_records(1, time=LONG_AGO))
        (found,) = await reader(one).find("id-0", MEMBERS[0], None, 10)
        (path,) = one.files()
        good = path.read_bytes()
        assert await read(one, found)
        with pytest.raises(StorageError, match="more than 100 bytes"):
            await read(one, found, largest=100)
        for bad in (good[:-1], good + b"x" * 5000, good[:100] + b"?" + good[101:]):
            path.write_bytes(bad)
            with pytest.raises(StorageError, match="is not what was stored"):
                await read(one, found)
        path.unlink()
        with pytest.raises(StorageError):
            await read(one, found)
        path.write_bytes(good)
        other = ArchivedMessage("id-9", False, found.time, found.number, found.file, found.size,
                                found.digest)  # fmt: skip
        with pytest.raises(StorageError, match="does not hold id-9-request"):
            await read(one, other)


async def test_asic_answers_from_log_and_archive(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    store = tmp_path / "store"
    settings = ArchiveSettings(store=f"file://{store}")
    async with node_pair(tmp_path, postgres_server, muni_archive=settings) as pair:
        await pair.call("gone", b'{"code":1}')
        status, _, before = await pair.asic(pair.muni, "gone", "requestOnly", "unique")
        assert status == 200
        await leave(pair)
        await pair.call("gone", b'{"code":2}')
        await pair.call("here")
        status, _, _ = await pair.asic(pair.muni, "gone", "requestOnly", "unique")
        assert status == 500  # there are two of that id now
        status, _, both = await pair.asic(pair.muni, "gone", "requestOnly")
        assert status == 200
        assert before in both  # not packed again
        assert (await pair.asic(pair.muni, "here", "requestOnly", "unique"))[0] == 200
        await leave(pair)
        answer = await pair.asked(pair.muni, "here", "requestOnly", "unique")
        assert answer.status == 200
        assert parse_container(await answer.read()).message.startswith(b"GET")
        for path in store.glob("mlog-*"):
            path.unlink()
        answer = await pair.asked(pair.muni, "here", "requestOnly", "unique")
        assert answer.status == 500
        assert "archive store" in await answer.text()


async def leave(pair: Pair) -> None:
    """Let everything that MUNI has be archived and leave its database, as after a month."""
    node = pair.muni.running
    assert node.kept.archiver is not None
    await node.kept.stamps.stamp_now()
    await node.kept.archiver.archive(everything=True)
    await node.kept.log._pool.execute("DELETE FROM message_record")
