"""What a node hosts, in its database: read as one snapshot, replaced as one declaration.

Rows that a new declaration confirms keep their numbers; see `migrations/0001_services.sql`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from catalog.declared.changes import difference
from catalog.services import AccessRight, HostedClient, ServerConf
from catalog.stored.columns import client_columns
from catalog.stored.described_mappings import with_described
from catalog.stored.history_store import keep_state
from catalog.stored.store_reading import load_conf, load_mappings, right_of
from catalog.stored.store_rows import write_client
from trust.changes import Change
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import MalformedMessage, StorageError
from trust.ids import ServiceId

COMPONENT = "catalog"
MIGRATIONS = Path(__file__).parent.parent / "migrations"


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
                conf = await load_conf(connection)
                mappings = await load_mappings(connection) if described else {}
                return with_described(conf, mappings)
        except (*DATABASE_ERRORS, MalformedMessage) as error:
            raise _unusable(error) from error

    async def given_rights(self, service: ServiceId) -> tuple[tuple[AccessRight, datetime], ...]:
        """The rights to a service, each with when it was given; raises StorageError."""
        try:
            rows = await self._pool.fetch(
                _GIVEN_RIGHTS, *client_columns(service.provider), service.service_code
            )
            return tuple((right_of(row, service.service_code), row["granted_at"]) for row in rows)
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
    return await load_conf(connection)


async def _changed(connection: PooledConnection, before: ServerConf) -> None:
    await connection.execute("UPDATE server_conf SET version = version + 1")
    await keep_state(connection, before.clients, await load_conf(connection))


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


_GIVEN_RIGHTS = """
SELECT access_right.id, subject_type, subject, method, path, terms, granted_at FROM access_right
JOIN service_endpoint ON service_endpoint.id = endpoint_id
JOIN service_code ON service_code.id = code_id
JOIN hosted_client ON hosted_client.id = client_id
WHERE instance = $1 AND member_class = $2 AND member_code = $3 AND subsystem_code = $4 AND code = $5
ORDER BY access_right.id
"""
