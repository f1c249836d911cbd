"""What a node hosts, in its database: read as one snapshot, replaced as one declaration.

Rows that a new declaration confirms keep their numbers; see `migrations/0001_services.sql`.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import asyncpg

from catalog.changes import difference
from catalog.described_mappings import DescribedMappings, with_described
from catalog.encoding import decode_about, decode_mapping, decode_mappings, decode_terms
from catalog.granted import load_grants
from catalog.history_store import keep_state
from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    DescriptionSource,
    Endpoint,
    HostedClient,
    LocalGroup,
    Repair,
    ServerConf,
    Service,
    ServiceType,
    Subject,
)
from catalog.store_rows import client_columns, write_client
from trust.changes import Change
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

COMPONENT = "catalog"
MIGRATIONS = Path(__file__).parent / "migrations"

Row = asyncpg.Record
_Rows = Mapping[object, Sequence[Row]]


class ServiceStore:
    """The services of a node in its database, whose `catalog` tables are migrated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def version(self) -> int:
        """The number of the state that the database holds; raises StorageError."""
        try:
            found = await self._pool.fetchval("SELECT version FROM server_conf")
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return int(found)

    async def load(self) -> ServerConf:
        """Everything as one snapshot, with what descriptions say of facts; raises StorageError."""
        return await self._loaded(described=True)

    async def load_declared(self) -> ServerConf:
        """What was declared and granted, and nothing else; raises StorageError."""
        return await self._loaded(described=False)

    async def _loaded(self, *, described: bool) -> ServerConf:
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                conf = await _load(connection)
                mappings = await _load_mappings(connection) if described else {}
                return with_described(conf, mappings)
        except (*DATABASE_ERRORS, MalformedMessage) as error:
            raise _unusable(error) from error

    async def given_rights(self, service: ServiceId) -> tuple[tuple[AccessRight, datetime], ...]:
        """The rights to a service, each with when it was given; raises StorageError."""
        try:
            rows = await self._pool.fetch(_GIVEN_RIGHTS, *_provider(service), service.service_code)
            return tuple((_right(row, service.service_code), row["granted_at"]) for row in rows)
        except (*DATABASE_ERRORS, MalformedMessage) as error:
            raise _unusable(error) from error

    async def replace(self, clients: Sequence[HostedClient]) -> tuple[Change, ...]:
        """Put these clients in the place of all others, and say what changed.

        All or nothing: after a StorageError the state is as before, unless the connection broke
        during the commit; applying the same again is harmless.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                # One after the other; readers go on with the version before.
                before = await _locked(connection)
                changes = difference(before.clients, clients)
                if changes:
                    await _replace(connection, before, clients)
                    await _changed(connection, before)
        except (*DATABASE_ERRORS, MalformedMessage) as error:
            raise _unusable(error) from error
        return changes


@asynccontextmanager
async def changing_services(connection: PooledConnection) -> AsyncIterator[ServerConf]:
    """A step of a transaction that changes something of what is hosted: gives what was before.

    Steps follow one another; the new state is in the history, and running nodes notice it. Raises
    what the database raises.
    """
    before = await _locked(connection)
    yield before
    await _changed(connection, before)


async def _locked(connection: PooledConnection) -> ServerConf:
    await connection.execute("SELECT version FROM server_conf FOR UPDATE")
    return await _load(connection)


async def _changed(connection: PooledConnection, before: ServerConf) -> None:
    await connection.execute("UPDATE server_conf SET version = version + 1")
    await keep_state(connection, before.clients, await _load(connection))


def _provider(service: ServiceId) -> tuple[str, str, str, str]:
    return client_columns(service.provider)


def _unusable(error: BaseException) -> StorageError:
    if isinstance(error, MalformedMessage):
        return StorageError(f"The services of this node can't be read: {error.text}")
    return StorageError(f"The services of this node can't be used: {describe(error)}")


async def _replace(
    connection: PooledConnection, before: ServerConf, clients: Sequence[HostedClient]
) -> None:
    kept = {client.id for client in clients}
    for old in before.clients:
        if old.id not in kept:
            await connection.execute(
                "DELETE FROM hosted_client WHERE instance = $1 AND member_class = $2"
                " AND member_code = $3 AND subsystem_code = $4",
                *client_columns(old.id),
            )
    for client in clients:
        if before.hosted(client.id) != client:
            await write_client(connection, client)


_QUERIES = {
    "certificates": "SELECT * FROM hosted_certificate ORDER BY client_id, position",
    "groups": "SELECT * FROM local_group ORDER BY client_id, position",
    "members": "SELECT * FROM local_group_member",
    "services": (
        "SELECT service.*, client_id, code FROM service"
        " JOIN service_code ON service_code.id = code_id ORDER BY client_id, position"
    ),
    "endpoints": "SELECT * FROM described_endpoint ORDER BY service_id, position",
    "rights": (
        "SELECT access_right.id, client_id, code, method, path, subject_type, subject, terms"
        " FROM access_right"
        " JOIN service_endpoint ON service_endpoint.id = endpoint_id"
        " JOIN service_code ON service_code.id = code_id"
        " ORDER BY client_id, access_right.id"
    ),
}
_KEYS = {
    "certificates": "client_id",
    "groups": "client_id",
    "members": "group_id",
    "services": "client_id",
    "endpoints": "service_id",
    "rights": "client_id",
}


_GIVEN_RIGHTS = """
SELECT access_right.id, subject_type, subject, method, path, terms, granted_at FROM access_right
JOIN service_endpoint ON service_endpoint.id = endpoint_id
JOIN service_code ON service_code.id = code_id
JOIN hosted_client ON hosted_client.id = client_id
WHERE instance = $1 AND member_class = $2 AND member_code = $3 AND subsystem_code = $4 AND code = $5
ORDER BY access_right.id
"""


async def _load(connection: PooledConnection) -> ServerConf:
    version = await connection.fetchval("SELECT version FROM server_conf")
    clients = await connection.fetch(
        "SELECT * FROM hosted_client ORDER BY instance, member_class, member_code, subsystem_code"
    )
    rows = {
        name: _by(_KEYS[name], await connection.fetch(query)) for name, query in _QUERIES.items()
    }
    described = await connection.fetch(
        "SELECT instance, member_class, member_code, subsystem_code, type, url, verify_tls,"
        " endpoints FROM description JOIN hosted_client ON hosted_client.id = client_id"
    )
    grants = await load_grants(connection)
    return ServerConf(
        tuple(_client(row, rows, grants) for row in clients),
        version,
        {_source(row): tuple(map(_endpoint, row["endpoints"])) for row in described},
    )


async def _load_mappings(
    connection: PooledConnection,
) -> Mapping[DescriptionSource, DescribedMappings]:
    rows = await connection.fetch(
        "SELECT instance, member_class, member_code, subsystem_code, type, url, verify_tls,"
        " mappings FROM description JOIN hosted_client ON hosted_client.id = client_id"
        " WHERE mappings <> ''"
    )
    return {_source(row): decode_mappings(row["mappings"]) for row in rows}


def _by(key: str, rows: Iterable[Row]) -> _Rows:
    found: dict[object, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def _client_id(row: Row) -> ClientId:
    return ClientId(
        row["instance"], row["member_class"], row["member_code"], row["subsystem_code"] or None
    )


def _source(row: Row) -> DescriptionSource:
    return DescriptionSource(
        _client_id(row), ServiceType(row["type"]), row["url"], row["verify_tls"]
    )


def _endpoint(text: str) -> Endpoint:
    method, _, path = text.partition(" ")
    return Endpoint(method, path)


def _client(
    row: Row, rows: Mapping[str, _Rows], grants: Mapping[ClientId, tuple[AccessRight, ...]]
) -> HostedClient:
    client, number = _client_id(row), row["id"]
    certificates = tuple(item["certificate"] for item in rows["certificates"].get(number, ()))
    return HostedClient(
        id=client,
        status=ClientStatus(row["status"]),
        connection=ConnectionType(row["connection"]),
        certificates=certificates,
        services=tuple(
            _service(client, item, certificates, rows["endpoints"].get(item["id"], ()))
            for item in rows["services"].get(number, ())
        ),
        local_groups=tuple(
            LocalGroup(
                item["code"],
                item["description"],
                frozenset(_client_id(member) for member in rows["members"].get(item["id"], ())),
            )
            for item in rows["groups"].get(number, ())
        ),
        rights=tuple(_right(item, item["code"]) for item in rows["rights"].get(number, ())),
        repairs=frozenset(Repair(name) for name in row["repairs"]),
        grants=grants.get(client, ()),
    )


def _service(
    client: ClientId, row: Row, certificates: tuple[bytes, ...], endpoints: Sequence[Row]
) -> Service:
    return Service(
        id=ServiceId(client, row["code"], row["version"] or None),
        type=ServiceType(row["type"]),
        url=row["url"],
        timeout=row["timeout"],
        verify_tls=row["verify_tls"],
        certificates=certificates,
        notice=row["notice"],
        endpoints=tuple(Endpoint(item["method"], item["path"]) for item in endpoints),
        description_url=row["description_url"],
        title=row["title"],
        repair_headers=row["repair_headers"],
        mapping=decode_mapping(row["mapping"]),
        about=decode_about(row["about"]),
    )


def _right(row: Row, code: str) -> AccessRight:
    return AccessRight(
        _subject(row),
        code,
        Endpoint(row["method"], row["path"]),
        decode_terms(row["terms"]),
        row["id"],
    )


def _subject(row: Row) -> Subject:
    parts = tuple(row["subject"])
    match row["subject_type"]:
        case "GLOBALGROUP":
            return GlobalGroupId(*parts)
        case "LOCALGROUP":
            return LocalGroupId(*parts)
        case _:
            return ClientId(*parts)
