"""Rights that were asked for and approved: given, taken away, and read beside the declared ones.

Everything here is a step of somebody's transaction, which holds the lock of `server_conf` (see
`catalog.stored.store.changing_services`), and raises what the database raises.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import asyncpg

from catalog.encoding import decode_terms, encode_terms
from catalog.services import AccessRight, Endpoint
from catalog.stored.columns import client_columns, client_of
from trust.database import PooledConnection
from trust.ids import ClientId


async def load_grants(
    connection: PooledConnection,
) -> Mapping[ClientId, tuple[AccessRight, ...]]:
    """The granted rights by the client that provides, in the order of their numbers."""
    rows = await connection.fetch("SELECT * FROM granted_right ORDER BY number")
    found: dict[ClientId, list[AccessRight]] = defaultdict(list)
    for row in rows:
        found[client_of(row)].append(_right(row))
    return {provider: tuple(rights) for provider, rights in found.items()}


async def next_number(connection: PooledConnection) -> int:
    """A number that no right has, be it declared or granted."""
    return int(await connection.fetchval("SELECT nextval('access_right_id_seq')"))


async def give_right(
    connection: PooledConnection, provider: ClientId, right: AccessRight, at: datetime
) -> None:
    """Let the right's subject, a client, call; nothing happens when it was given already."""
    if not isinstance(right.subject, ClientId):
        raise AssertionError("a client asks for itself")
    await connection.execute(
        "INSERT INTO granted_right (instance, member_class, member_code, subsystem_code,"
        " number, service_code, method, path, subject, terms, given_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        *client_columns(provider),
        right.number,
        right.service_code,
        right.endpoint.method,
        right.endpoint.path,
        list(right.subject.parts),
        encode_terms(right.terms),
        at,
    )


async def take_right(connection: PooledConnection, number: int) -> None:
    """Let nobody call by this right any more."""
    await connection.execute("DELETE FROM granted_right WHERE number = $1", number)


def _right(row: asyncpg.Record) -> AccessRight:
    return AccessRight(
        ClientId(*row["subject"]),
        row["service_code"],
        Endpoint(row["method"], row["path"]),
        decode_terms(row["terms"]),
        row["number"],
    )
