"""Everything that a node ever hosted: kept with each change, readable for any past moment."""

import contextlib
import dataclasses
import json
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from catalog.about import About, LifeCycle, LifeState
from catalog.mapping import EndpointMapping, FieldMapping, Rule, ServiceMapping, View
from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    Endpoint,
    HostedClient,
    LocalGroup,
    Repair,
    ServerConf,
    Service,
    ServiceType,
)
from catalog.stored.granted import give_right, next_number, take_right
from catalog.stored.history import compress, decode_client, decompress, encode_client
from catalog.stored.history_store import ServiceHistory
from catalog.stored.store import COMPONENT, MIGRATIONS, ServiceStore, changing_services
from catalog.terms import Quota, Terms
from trust.database import Pool, PooledConnection, migrate, open_pool
from trust.errors import StorageError
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PERSONS = ClientId("EX", "GOV", "1000", "persons")
PORTAL = ClientId("EX", "MUN", "2000", "portal")
TERMS = Terms(("name",), ("urn:x:benefit",), "Act", Quota(3, timedelta(hours=1)), AT, None)
MAPPING = ServiceMapping(
    (
        EndpointMapping(
            "GET",
            "/persons/{id}",
            fields=(FieldMapping("name", "/name"),),
            views=(View("has_name", "name", Rule.PRESENT),),
        ),
    )
)
CLIENT = HostedClient(
    PERSONS,
    ClientStatus.REGISTERED,
    ConnectionType.HTTPS,
    services=(
        Service(
            ServiceId(PERSONS, "persons"),
            ServiceType.REST,
            "http://h/",
            timedelta(seconds=1.5),
            endpoints=(Endpoint("GET", "/persons/*"),),
            mapping=MAPPING,
            about=About("Persons", LifeCycle(LifeState.DEPRECATED, date(2027, 1, 1))),
        ),
    ),
    local_groups=(LocalGroup("clerks", "At desks", frozenset({PORTAL, PORTAL.member})),),
    rights=(
        AccessRight(PORTAL, "persons", Endpoint("GET", "/persons/*"), TERMS, 7),
        AccessRight(GlobalGroupId("EX", "towns"), "persons", number=8),
        AccessRight(LocalGroupId("clerks"), "persons", number=9),
    ),
    repairs=frozenset({Repair.SOAP_ACTION}),
    grants=(AccessRight(PORTAL, "persons", terms=TERMS, number=10),),
)


def whole(client: HostedClient) -> tuple[object, ...]:
    """Also what a comparison of clients passes over."""
    return client, client.grants, [one.number for one in (*client.rights, *client.grants)]


def test_a_client_is_read_as_it_was_written_without_its_certificates() -> None:
    certified = dataclasses.replace(CLIENT.services[0], certificates=(b"DER",), url="https://h/")
    client = dataclasses.replace(CLIENT, services=(certified,), certificates=(b"DER",))
    bare = dataclasses.replace(
        client, certificates=(), services=(dataclasses.replace(certified, certificates=()),)
    )
    text = encode_client(client)
    assert whole(decode_client(text)) == whole(bare)
    assert encode_client(bare) == text
    assert decompress(compress(text)) == text


def test_what_another_version_wrote_is_read() -> None:
    written = json.loads(encode_client(CLIENT))
    written["colour"] = "red"
    written["services"][0]["colour"] = "red"
    del written["repairs"], written["services"][0]["title"]
    read = decode_client(json.dumps(written).encode())
    assert read == dataclasses.replace(CLIENT, repairs=frozenset())


@given(st.data())
def test_a_damaged_text_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(encode_client(CLIENT))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StorageError):
        decode_client(bytes(raw))


@pytest.mark.parametrize(
    "stored", [b"", b"text", compress(b"x")[:-1], zlib.compress(bytes(65 << 20))]
)
def test_what_was_not_compressed_here_is_refused(stored: bytes) -> None:
    with pytest.raises(StorageError, match="can't be read"):
        decompress(stored)


# --- in a database --------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "test")
    await migrate(opened, COMPONENT, MIGRATIONS)
    yield opened
    opened.terminate()


@contextlib.asynccontextmanager
async def changing(pool: Pool) -> AsyncIterator[tuple[PooledConnection, ServerConf]]:
    async with (
        pool.acquire() as connection,
        connection.transaction(),
        changing_services(connection) as before,
    ):
        yield connection, before


async def now(pool: Pool) -> datetime:
    found: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return found


async def past(pool: Pool, moment: datetime) -> ServerConf:
    found = await ServiceHistory(pool).at(moment, await ServiceStore(pool).load())
    return found.conf


async def test_every_state_can_be_asked_for(pool: Pool) -> None:
    store = ServiceStore(pool)
    moments = [await now(pool)]
    silent = dataclasses.replace(CLIENT, rights=())
    other = HostedClient(PORTAL, connection=ConnectionType.HTTP)
    states = [(CLIENT,), (CLIENT, other), (silent, other), (other,), ()]
    for state in states:
        await store.replace(state)
        moments.append(await now(pool))
    found = [(await past(pool, moment)).clients for moment in moments]
    assert found == [(), *states]
    rows = await pool.fetchval("SELECT count(*) FROM client_history")
    assert rows == 5  # a change of one client is a row of that client alone


async def test_a_grant_is_part_of_the_state(pool: Pool) -> None:
    store = ServiceStore(pool)
    await store.replace((CLIENT,))
    before = await now(pool)
    async with changing(pool) as (connection, state):
        assert state.clients == (CLIENT,)
        number = await next_number(connection)
        right = AccessRight(PORTAL, "persons", terms=TERMS, number=number)
        await give_right(connection, PERSONS, right, AT)
    during = await now(pool)
    async with changing(pool) as (connection, _):
        await take_right(connection, number)
    after = await now(pool)
    grants = [(await past(pool, moment)).clients[0].grants for moment in (before, during, after)]
    assert grants == [(), (right,), ()]
    assert grants[1][0].number == number


async def test_a_change_that_fails_leaves_no_trace(pool: Pool) -> None:
    store = ServiceStore(pool)
    await store.replace((CLIENT,))
    with pytest.raises(ZeroDivisionError):
        async with changing(pool):
            raise ZeroDivisionError
    bad = Service(ServiceId(PORTAL, "x"), ServiceType.REST, "http://h/", timedelta(0))
    with pytest.raises(StorageError):
        await store.replace((HostedClient(PORTAL, services=(bad,)),))
    assert await pool.fetchval("SELECT count(*) FROM client_history") == 1
    assert await store.version() == 1


async def test_a_change_without_its_history_does_not_happen(pool: Pool) -> None:
    store = ServiceStore(pool)
    await store.replace((CLIENT,))
    await pool.execute("ALTER TABLE client_history RENAME TO away")
    with pytest.raises(StorageError):
        await store.replace(())
    await pool.execute("ALTER TABLE away RENAME TO client_history")
    assert (await store.load()).clients == (CLIENT,)


async def test_a_node_that_is_older_than_its_history_begins_with_what_it_hosts(pool: Pool) -> None:
    store = ServiceStore(pool)
    await store.replace((CLIENT,))
    await pool.execute("DELETE FROM client_history")  # as it is after the upgrade
    begins = await pool.fetchval("SELECT begins FROM service_history")
    assert (await past(pool, begins)).clients == (CLIENT,)  # nothing has changed since
    await store.replace(())
    assert (await past(pool, begins)).clients == (CLIENT,)
    assert (await past(pool, await now(pool))).clients == ()


async def test_moments_follow_one_another_though_a_clock_goes_back(pool: Pool) -> None:
    store = ServiceStore(pool)
    await store.replace((CLIENT,))
    await pool.execute("UPDATE client_history SET since = since + interval '1 day'")
    ahead = await pool.fetchval("SELECT max(since) FROM client_history")
    await store.replace(())
    assert (await past(pool, ahead)).clients == ()


async def test_what_is_old_is_forgotten_but_not_what_still_counts(pool: Pool) -> None:
    store, history = ServiceStore(pool), ServiceHistory(pool)
    other = HostedClient(PORTAL, connection=ConnectionType.HTTP)
    await store.replace((CLIENT, other))
    first = await now(pool)
    await store.replace((dataclasses.replace(CLIENT, rights=()), other))
    await store.replace((other,))
    second = await now(pool)
    await history.forget(first, 1000)
    assert (await past(pool, first)).clients == (CLIENT, other)
    await history.forget(second, 1000)
    assert (await past(pool, second)).clients == (other,)
    assert await pool.fetchval("SELECT count(*) FROM client_history") == 1
    state = await history.at(second, ServerConf())
    assert state.begins == second


async def test_no_more_is_kept_than_is_declared(pool: Pool) -> None:
    store, history = ServiceStore(pool), ServiceHistory(pool)
    for number in range(5):
        silent = dataclasses.replace(CLIENT, repairs=frozenset(), local_groups=(
            LocalGroup(str(number), "", frozenset()),
        ))  # fmt: skip
        await store.replace((silent,))
    moment = await now(pool)
    await history.forget(AT, 2)
    assert await pool.fetchval("SELECT count(*) FROM client_history") == 3
    assert (await past(pool, moment)).clients[0].local_groups[0].code == "4"
    assert (await history.at(moment, ServerConf())).begins > AT


async def test_a_database_that_is_gone_is_told_as_such(pool: Pool) -> None:
    history = ServiceHistory(pool)
    await pool.close()
    for action in (history.at(AT, ServerConf()), history.forget(AT, 1)):
        with pytest.raises(StorageError, match="history of this node's services"):
            await action


async def test_numbers_are_of_one_sequence(pool: Pool) -> None:
    await ServiceStore(pool).replace((CLIENT,))
    async with pool.acquire() as connection:
        numbers = [await next_number(connection) for _ in range(2)]
    declared = [row["id"] for row in await pool.fetch("SELECT id FROM access_right")]
    assert len({*numbers, *declared}) == 5
    with pytest.raises(asyncpg.PostgresError):
        await pool.execute("INSERT INTO access_right (id) VALUES (1)")  # from there alone
