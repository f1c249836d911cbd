"""PostgreSQL dies while records are given places and stamped: nothing is lost, nothing doubled."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from node.log.messagelog import MIGRATIONS
from scripts.ecosystem.institutions import CIVIL, MUNI
from scripts.postgres import PostgresServer
from tests.database_fixtures import quick_folder
from tests.database_proxy import COMMIT, Cut, DatabaseProxy, database_proxy
from tests.log_counts import check_events
from tests.message_records import message_log, quick, sample_record
from tests.real_nodes import NODES, real_nodes, skip_without_postgres
from tests.signing import MESSAGE
from tests.stamping_stage import SIGNATURE, Stage, quickly
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.errors import LoggingFailed, StorageError

_COUNTS = """
SELECT (SELECT count(*) FROM message_record) AS records,
       (SELECT count(DISTINCT number) FROM message_record) AS numbers,
       (SELECT count(*) FROM evidence_queue) AS queued,
       (SELECT count(*) FROM log_leaf) AS leaves,
       (SELECT count(*) FROM log_leaf JOIN message_record USING (number, time)) AS known,
       (SELECT coalesce(max(leaf) + 1, 0) FROM log_leaf) AS past,
       (SELECT coalesce(sum(leaves), 0) FROM log_stamp) AS stamped,
       (SELECT count(*) FROM leaf_stamp WHERE stamp IS NOT NULL) AS with_stamp,
       log_size.leaves AS said, log_size.stamped AS said_stamped
FROM log_size
"""


async def check_counts(dsn: str, records: int, *, at_most: int | None = None) -> None:
    """Every record has one place and one time-stamp; `at_most` where commits were in doubt."""
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(_COUNTS)
    finally:
        await connection.close()
    assert row is not None
    assert records <= row["records"] <= (records if at_most is None else at_most)
    assert row["queued"] == 0
    for name in ("numbers", "leaves", "known", "past", "stamped", "with_stamp"):
        assert row[name] == row["records"], name
    assert (row["said"], row["said_stamped"]) == (row["records"], row["records"])


async def until(happened: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + 60
    while not await happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Pool]:
    settings = PoolSettings(max_connections=8, command_timeout=timedelta(seconds=5))
    pool = await open_pool(dsn, "sacbe-test", settings)
    try:
        await migrate(pool, "node", MIGRATIONS)
        yield pool
    finally:
        await pool.close()


@pytest.fixture
def durable_folder() -> Iterator[Path]:
    folder = quick_folder()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


# --- one commit, both ways ------------------------------------------------------------------------


@asynccontextmanager
async def broken_way(dsn: str) -> AsyncIterator[tuple[Stage, DatabaseProxy]]:
    """A stage whose way to the database breaks on request; records come another way."""
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        async with (
            database_proxy(dsn, Path(folder)) as (address, proxy),
            opened(address) as pool,
        ):
            proxy.commit_mark = COMMIT
            yield Stage(pool, quickly()), proxy


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_places_whose_commit_is_in_doubt_are_given_once(database_dsn: str, cut: Cut) -> None:
    async with broken_way(database_dsn) as (stage, proxy), message_log(database_dsn) as log:
        await asyncio.gather(*(log.append(sample_record()) for _ in range(5)))
        proxy.cut = cut
        with pytest.raises(StorageError, match="get no place"):
            await stage.sequencer.step()
        assert proxy.cuts == 1
        await log.append(sample_record())
        await stage.sequencer.step()
        await stage.pass_time(minutes=2)
    await check_counts(database_dsn, 6)


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
@pytest.mark.parametrize("count", [1, 5])
async def test_a_time_stamp_whose_commit_is_in_doubt_is_kept_once(
    database_dsn: str, cut: Cut, count: int
) -> None:
    async with broken_way(database_dsn) as (stage, proxy), message_log(database_dsn) as log:
        numbers = await stage.append(log, count)
        proxy.cut = cut
        await stage.pass_time(minutes=2)
        assert proxy.cuts == 1
        assert stage.timestamper.state.failing_since is None  # no service is to blame
        await stage.pass_time(minutes=2)
        await stage.check(numbers)
        asked_again = cut is Cut.BEFORE_COMMIT
        assert len(stage.service.stamped) == 1 + asked_again
    await check_counts(database_dsn, count)


async def test_the_database_is_gone_while_the_service_answers(database_dsn: str) -> None:
    async with broken_way(database_dsn) as (stage, proxy), message_log(database_dsn) as log:
        numbers = await stage.append(log, 3)

        async def close() -> None:
            proxy.close_all()

        stage.service.before = close
        await stage.pass_time(minutes=2)
        assert len(stage.service.stamped) == 1
        proxy.open, stage.service.before = True, None
        await stage.pass_time(minutes=2)
        await stage.check(numbers)
    await check_counts(database_dsn, 3)


# --- killed again and again -----------------------------------------------------------------------


async def test_postgresql_killed_while_stamping_loses_and_doubles_nothing(
    durable_folder: Path,
) -> None:
    acknowledged: set[int] = set()
    asked = 0
    async with PostgresServer(durable_folder) as server:
        dsn = await server.create_database("node")
        supervisor = asyncio.create_task(server.supervise())
        async with opened(dsn) as pool:
            stage = Stage(pool, quickly(interval=timedelta(milliseconds=20)), real_time=True)

            async def slow() -> None:
                nonlocal asked
                asked += 1
                await asyncio.sleep(0.02)

            stage.service.before = slow
            other = stage.another()
            stopping = asyncio.Event()

            async def append() -> None:
                while not stopping.is_set():
                    record = sample_record(message=MESSAGE, signature=SIGNATURE)
                    try:
                        acknowledged.add(await log.append(record))
                    except LoggingFailed:
                        await asyncio.sleep(0.02)

            async with (
                message_log(dsn, quick(), on_stored=stage.sequencer.wake) as log,
                asyncio.TaskGroup() as group,
            ):
                workers = [
                    group.create_task(stage.sequencer.run()),
                    group.create_task(stage.timestamper.run()),
                    group.create_task(other.run()),
                ]
                appenders = [group.create_task(append()) for _ in range(8)]
                for _ in range(3):
                    before, stamps = len(acknowledged), asked
                    await until(
                        lambda n=before, s=stamps: _later(  # type: ignore[misc]
                            len(acknowledged) > n + 50 and asked > s + 3
                        ),
                        "no progress",
                    )
                    victim = server.pid
                    assert victim is not None
                    os.kill(victim, signal.SIGKILL)
                    await until(
                        lambda old=victim: _later(server.pid not in (None, old)),  # type: ignore[misc]
                        "no restart",
                    )
                stopping.set()
                await asyncio.gather(*appenders)

                async def all_stamped() -> bool:
                    counts = await stage.stamps.counts()
                    return counts.queued == 0 and counts.stamped == counts.leaves > 0

                await until(all_stamped, "not everything is stamped")
                for worker in workers:
                    worker.cancel()
            row = await pool.fetchrow(
                "SELECT count(*) AS found FROM leaf_stamp"
                " WHERE number = ANY($1) AND stamp IS NOT NULL",
                list(acknowledged),
            )
            assert row is not None
            assert row["found"] == len(acknowledged)
            in_doubt = await pool.fetchval("SELECT count(*) FROM message_record")
            numbers = await pool.fetch("SELECT number FROM message_record")
            await stage.check([row["number"] for row in numbers])
        await check_counts(dsn, len(acknowledged), at_most=in_doubt)
        await server.stop()
        await supervisor


async def _later(value: bool) -> bool:
    return value


@pytest.mark.sandbox
@pytest.mark.xdist_group("sandbox")
@pytest.mark.timeout(300)
async def test_what_two_nodes_log_is_stamped_once_whoever_is_killed(durable_folder: Path) -> None:
    skip_without_postgres()
    async with real_nodes(durable_folder / "instance") as nodes:
        async with nodes.calling(6) as calls:
            for victim in (MUNI, None, CIVIL):
                await calls.until(20)
                await asyncio.sleep(5)  # the interval: somebody is stamping
                await (nodes.kill_database() if victim is None else nodes.kill(victim))
                await calls.until(20)
        await nodes.all_ready()
        for one in NODES:
            dsn = await nodes.dsn(one)
            await until(lambda dsn=dsn: all_is_stamped(dsn), "not everything is stamped")  # type: ignore[misc]
            await check_counts(dsn, 2 * len(calls.answered), at_most=1_000_000)
        check_events(nodes)


async def all_is_stamped(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return bool(
            await connection.fetchval(
                "SELECT stamped = leaves AND NOT EXISTS (SELECT FROM evidence_queue) FROM log_size"
            )
        )
    finally:
        await connection.close()
