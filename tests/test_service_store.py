"""The services of a node in its database: stable rights, whole replacements, a lasting view."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    Endpoint,
    HostedClient,
    LocalGroup,
    ServerConf,
    Service,
    ServiceType,
)
from catalog.stored.store import COMPONENT, MIGRATIONS, ServiceStore
from catalog.stored.watcher import ServerConfWatcher
from trust.database import Pool, migrate, open_pool
from trust.errors import StorageError
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PERSONS = ClientId("EX", "GOV", "1000", "persons")
MEMBER = ClientId("EX", "GOV", "1000")
PORTAL = ClientId("FI", "GOV", "2000", "portal")
V1, V2 = ServiceId(PERSONS, "register", "v1"), ServiceId(PERSONS, "register", "v2")

CLIENT = HostedClient(
    PERSONS,
    ClientStatus.REGISTERED,
    ConnectionType.HTTPS,
    (b"DER 1", b"DER 2"),
    services=(
        Service(
            ServiceId(PERSONS, "persons"),
            ServiceType.REST,
            "http://127.0.0.1:9000/",
            timedelta(seconds=1.5),
            certificates=(b"DER 1", b"DER 2"),
            endpoints=(Endpoint("GET", "/persons/*"),),
        ),
        Service(V1, ServiceType.WSDL, "http://h/1", certificates=(b"DER 1", b"DER 2"), notice="x"),
        Service(
            V2, ServiceType.WSDL, "http://h/2", verify_tls=False, certificates=(b"DER 1", b"DER 2")
        ),
    ),
    local_groups=(LocalGroup("clerks", "At desks", frozenset({PORTAL, MEMBER})),),
    rights=(
        AccessRight(PORTAL, "persons", Endpoint("GET", "/persons/*")),
        AccessRight(MEMBER, "persons"),
        AccessRight(GlobalGroupId("EX", "towns"), "register"),
        AccessRight(LocalGroupId("clerks"), "register"),
    ),
)
OTHER = HostedClient(MEMBER, ClientStatus.SAVED, ConnectionType.HTTP)


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "test")
    await migrate(opened, COMPONENT, MIGRATIONS)
    yield opened
    with contextlib.suppress(Exception):
        opened.terminate()


@pytest.fixture
def store(pool: Pool) -> ServiceStore:
    return ServiceStore(pool)


async def numbers(pool: Pool, table: str) -> list[int]:
    rows = await pool.fetch(f"SELECT id FROM {table} ORDER BY id")
    return [row["id"] for row in rows]


async def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


async def test_a_fresh_database_hosts_nobody(store: ServiceStore) -> None:
    assert await store.load() == ServerConf((), 0)


async def test_what_was_declared_is_loaded(store: ServiceStore) -> None:
    changes = await store.replace((CLIENT, OTHER))
    conf = await store.load()
    assert conf == ServerConf((OTHER, CLIENT), 1)
    assert await store.version() == 1
    told = [str(change) for change in changes]
    assert "+ client EX:GOV:1000:persons: registered, HTTPS" in told
    assert "+ right of LOCALGROUP:clerks to EX:GOV:1000:persons:register * **" in told
    assert "+ service EX:GOV:1000:persons:register:v1: WSDL, http://h/1, 1m, disabled: x" in told
    assert all(change.kind == "added" for change in changes)


async def test_the_same_declaration_again_changes_nothing(store: ServiceStore, pool: Pool) -> None:
    await store.replace((CLIENT, OTHER))
    before = await numbers(pool, "access_right")
    again = dataclasses.replace(CLIENT, rights=CLIENT.rights[::-1])
    assert await store.replace((OTHER, again)) == ()
    assert await store.version() == 1
    assert await numbers(pool, "access_right") == before


async def test_rights_outlive_a_version_and_a_change_of_their_service(
    store: ServiceStore, pool: Pool
) -> None:
    await store.replace((CLIENT,))
    before = {table: await numbers(pool, table) for table in ("access_right", "service_code")}
    first, _, third = CLIENT.services
    moved = dataclasses.replace(first, url="http://127.0.0.1:9999/", endpoints=())
    await store.replace((dataclasses.replace(CLIENT, services=(moved, third)),))
    assert {table: await numbers(pool, table) for table in before} == before
    conf = await store.load()
    assert conf.clients[0].rights == CLIENT.rights
    assert conf.service(V1) is None
    assert conf.service(V2) == third
    assert conf.service(ServiceId(PERSONS, "persons")) == moved


async def test_only_what_is_taken_away_goes(store: ServiceStore, pool: Pool) -> None:
    await store.replace((CLIENT, OTHER))
    first, *others = await numbers(pool, "access_right")
    fewer = dataclasses.replace(CLIENT, rights=CLIENT.rights[1:], local_groups=())
    changes = await store.replace((fewer,))
    assert await numbers(pool, "access_right") == others
    assert first not in others
    assert [str(change) for change in changes] == [
        "- client EX:GOV:1000: saved, HTTP",
        "- client EX:GOV:1000:persons local group clerks: At desks",
        "- client EX:GOV:1000:persons local group clerks member EX:GOV:1000",
        "- client EX:GOV:1000:persons local group clerks member FI:GOV:2000:portal",
        "- right of SUBSYSTEM:FI/GOV/2000/portal to EX:GOV:1000:persons:persons GET /persons/*",
    ]
    assert await store.load() == ServerConf((fewer,), 2)


async def test_a_change_is_told_with_before_and_after(store: ServiceStore) -> None:
    await store.replace((CLIENT,))
    changed = dataclasses.replace(
        CLIENT, status=ClientStatus.DISABLED, certificates=(b"DER 3",), services=()
    )
    changes = [str(change) for change in await store.replace((changed,))]
    assert changes[0] == "~ client EX:GOV:1000:persons: registered, HTTPS → disabled, HTTPS"
    assert sum("persons certificate " in change for change in changes) == 3
    loaded = (await store.load()).clients[0]
    assert (loaded.certificates, loaded.services) == ((b"DER 3",), ())
    assert loaded.rights == CLIENT.rights


async def test_a_declaration_that_the_database_refuses_leaves_all_as_it_was(
    store: ServiceStore,
) -> None:
    await store.replace((CLIENT,))
    bad = Service(ServiceId(MEMBER, "x"), ServiceType.REST, "http://h/", timedelta(0))
    with pytest.raises(StorageError):
        await store.replace((dataclasses.replace(OTHER, services=(bad,)),))
    assert await store.load() == ServerConf((CLIENT,), 1)


async def test_two_declarations_at_once_come_one_after_the_other(store: ServiceStore) -> None:
    await asyncio.gather(*(store.replace(clients) for clients in [(CLIENT,), (OTHER,)] * 3))
    conf = await store.load()
    assert conf.clients in ((CLIENT,), (OTHER,))
    assert conf.version == await store.version() >= 2


async def test_the_watcher_loads_when_the_version_changed(store: ServiceStore) -> None:
    watcher = ServerConfWatcher(store, lambda: AT)
    with pytest.raises(StorageError, match="not loaded yet"):
        _ = watcher.conf
    assert await watcher.refresh()
    empty = watcher.conf
    assert not await watcher.refresh()
    assert watcher.conf is empty
    await store.replace((CLIENT,))
    assert await watcher.refresh()
    assert watcher.conf.clients == (CLIENT,)
    assert watcher.checked_at == AT


async def test_the_watcher_keeps_the_last_state_without_a_database(
    store: ServiceStore, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    await store.replace((CLIENT,))
    watcher = ServerConfWatcher(store, lambda: AT, timedelta(milliseconds=1))
    await watcher.refresh()
    await pool.execute("ALTER TABLE server_conf RENAME TO away")
    task = asyncio.create_task(watcher.run())
    try:
        await eventually(lambda: watcher.last_error is not None)
        await asyncio.sleep(0.02)
        assert watcher.conf.clients == (CLIENT,)
        assert "can't be used" in str(watcher.last_error)
        assert len([r for r in caplog.records if "can't be refreshed" in r.message]) == 1
        await pool.execute("ALTER TABLE away RENAME TO server_conf")
        await store.replace((OTHER,))
        await eventually(lambda: watcher.conf.clients == (OTHER,))
        assert watcher.last_error is None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_database_that_is_gone_is_told_as_such(store: ServiceStore, pool: Pool) -> None:
    await pool.close()
    for action in (store.load(), store.version(), store.replace((CLIENT,))):
        with pytest.raises(StorageError, match="services of this node"):
            await action
