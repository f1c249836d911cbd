"""Pools, migrations by many at once, and locks."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.database_proxy import database_proxy
from trust.database import (
    Pool,
    PoolSettings,
    load_migrations,
    lock_key,
    migrate,
    open_pool,
    try_advisory_lock,
)
from trust.errors import StorageError


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=5))
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE fact (value int);\nINSERT INTO fact VALUES (1);\n"
    )
    (tmp_path / "0002_second.sql").write_text("INSERT INTO fact VALUES (2);")
    return tmp_path


async def test_a_pool_names_its_application_and_bounds_its_statements(database_dsn: str) -> None:
    pool = await open_pool(database_dsn, "sacbe-test")
    assert await pool.fetchval("SHOW application_name") == "sacbe-test"
    assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"
    assert pool.get_max_size() == 10
    await pool.close()


async def test_without_statement_cache_only_the_name_is_sent(database_dsn: str) -> None:
    pool = await open_pool(database_dsn, "sacbe-test", PoolSettings(statement_cache=0))
    assert await pool.fetchval("SHOW application_name") == "sacbe-test"
    assert await pool.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
    await pool.close()


@pytest.mark.parametrize(
    "change",
    [("test_", "missing_"), ("postgresql://", "http://"), ("host=", "host=%2Fnowhere%2F")],
    ids=["wrong-name", "no-dsn", "no-server"],
)
async def test_a_database_that_does_not_open_is_reported_without_secrets(
    database_dsn: str, change: tuple[str, str]
) -> None:
    password = database_dsn.split(":")[2].split("@")[0]
    with pytest.raises(StorageError, match="can't be opened") as caught:
        await open_pool(database_dsn.replace(*change), "sacbe-test")
    assert password not in str(caught.value)


async def test_a_database_that_comes_up_late_is_waited_for(
    database_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    patient = PoolSettings(patience=timedelta(minutes=1))
    with tempfile.TemporaryDirectory() as sockets:
        async with database_proxy(database_dsn, Path(sockets)) as (dsn, way):
            way.close_all()
            opening = asyncio.create_task(open_pool(dsn, "sacbe-test", patient))
            while "does not answer yet" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
            way.open = True
            pool = await opening
            assert await pool.fetchval("SELECT 7") == 7
            await pool.close()
    assert len(caplog.records) == 1


async def test_a_wrong_address_is_not_waited_for(database_dsn: str) -> None:
    patient = PoolSettings(patience=timedelta(days=1))
    for change in (("postgresql://", "http://"), ("test_", "missing_")):
        with pytest.raises(StorageError, match="can't be opened"):
            await open_pool(database_dsn.replace(*change), "sacbe-test", patient)


async def test_migrations_are_applied_in_order_and_once(pool: Pool, folder: Path) -> None:
    assert await migrate(pool, "node", folder) == ("0001_first", "0002_second")
    assert await migrate(pool, "node", folder) == ()
    (folder / "0003_third.sql").write_text("INSERT INTO fact VALUES (3)")
    assert await migrate(pool, "node", folder) == ("0003_third",)
    rows = await pool.fetch("SELECT value FROM fact ORDER BY value")
    assert [row["value"] for row in rows] == [1, 2, 3]


async def test_four_workers_at_once_apply_once(database_dsn: str, folder: Path) -> None:
    pools = [await open_pool(database_dsn, f"sacbe-test-{n}") for n in range(4)]
    done = await asyncio.gather(*(migrate(pool, "node", folder) for pool in pools))
    assert sorted(done) == [(), (), (), ("0001_first", "0002_second")]
    assert await pools[0].fetchval("SELECT count(*) FROM fact") == 2
    for pool in pools:
        await pool.close()


async def test_components_of_one_database_count_apart(pool: Pool, folder: Path) -> None:
    await migrate(pool, "node", folder)
    other = folder / "catalog"
    other.mkdir()
    (other / "0001_own.sql").write_text("CREATE TABLE own ()")
    assert await migrate(pool, "catalog", other) == ("0001_own",)


async def test_an_edited_migration_is_refused(pool: Pool, folder: Path) -> None:
    await migrate(pool, "node", folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE fact (value bigint);")
    with pytest.raises(StorageError, match="0001_first of the node tables was edited"):
        await migrate(pool, "node", folder)


async def test_a_database_from_a_newer_version_is_refused(pool: Pool, folder: Path) -> None:
    await migrate(pool, "node", folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(StorageError, match="migrated to 0002_second by a newer version"):
        await migrate(pool, "node", folder)


async def test_a_failing_migration_leaves_nothing_behind(pool: Pool, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("INSERT INTO no_such_table VALUES (2)")
    with pytest.raises(StorageError, match="no_such_table"):
        await migrate(pool, "node", folder)
    assert await pool.fetchval("SELECT to_regclass('fact')") is None


@pytest.mark.parametrize("name", ["2_second.sql", "0002-second.sql", "0003_third.sql"])
def test_migrations_are_numbered_without_gaps(folder: Path, name: str) -> None:
    (folder / "0002_second.sql").rename(folder / name)
    with pytest.raises(StorageError, match=r"no migration name|not numbered"):
        load_migrations(folder)


async def test_one_holds_a_lock_and_others_are_told(pool: Pool, database_dsn: str) -> None:
    other = await open_pool(database_dsn, "sacbe-other")
    async with try_advisory_lock(pool, "harvest") as held:
        assert held is not None
        await held.confirm()
        async with try_advisory_lock(other, "harvest") as second:
            assert second is None
        async with try_advisory_lock(other, "archive") as another:
            assert another is not None
    async with try_advisory_lock(other, "harvest") as freed:
        assert freed is not None
    await other.close()


async def test_a_lock_is_given_up_when_its_work_fails(pool: Pool) -> None:
    with pytest.raises(RuntimeError):
        async with try_advisory_lock(pool, "harvest"):
            raise RuntimeError
    async with try_advisory_lock(pool, "harvest") as held:
        assert held is not None


async def test_a_lost_lock_is_noticed(pool: Pool, postgres_server: PostgresServer) -> None:
    async with try_advisory_lock(pool, "harvest") as held:
        assert held is not None
        admin = await open_pool(postgres_server.superuser_dsn, "sacbe-admin")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        await admin.close()
        with pytest.raises(StorageError, match="'harvest' was lost"):
            await held.confirm()
    async with try_advisory_lock(pool, "harvest") as again:
        assert again is not None


async def test_a_lock_is_not_asked_of_a_closed_pool(pool: Pool) -> None:
    await pool.close()
    with pytest.raises(StorageError, match="can't be asked for"):
        async with try_advisory_lock(pool, "harvest"):
            pass


def test_lock_names_have_stable_numbers() -> None:
    assert lock_key("harvest") == lock_key("harvest")
    assert len({lock_key(f"lock {n}") for n in range(1000)}) == 1000
    assert -(2**63) <= lock_key("x") < 2**63
