"""What a node hosted at any moment: kept client by client, in the commit of every change.

A change that is not in the history did not happen, and the other way round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from catalog.services import HostedClient, ServerConf
from catalog.stored.columns import client_columns, client_of
from catalog.stored.history import compress, decode_client, decompress, encode_client
from trust.database import Pool, PooledConnection, storage_errors
from trust.ids import ClientId

_UNUSABLE = "The history of this node's services can't be used"


@dataclass(frozen=True, slots=True)
class PastState:
    """What was hosted at a moment.

    Attributes:
        since: when it came to be; None when nothing has changed since the history began.
        begins: the earliest moment of which everything is known.
    """

    conf: ServerConf
    since: datetime | None
    begins: datetime


async def keep_state(
    connection: PooledConnection, before: Sequence[HostedClient], after: ServerConf
) -> None:
    """Write down what has changed, as a step of the transaction that changes it.

    The transaction holds the lock of `server_conf`, so states follow one another.

    Args:
        before: what was hosted until now; a node that is older than its history begins with it.
        after: everything that is hosted from now on, with the new version.
    """
    known = {client_of(row): row["digest"] for row in await connection.fetch(_NEWEST)}
    if not known and before:
        known = await _begin(connection, before, after.version - 1)
    since = await connection.fetchval(_NEXT_MOMENT)
    texts = {client.id: encode_client(client) for client in after.clients}
    texts |= {client: b"" for client in known if client not in texts}
    await _write(connection, texts, known, after.version, since)


async def _begin(
    connection: PooledConnection, before: Sequence[HostedClient], version: int
) -> dict[ClientId, bytes]:
    """Nothing has changed since there is a history: what is hosted was hosted at its beginning."""
    since = await connection.fetchval("SELECT begins FROM service_history")
    texts = {client.id: encode_client(client) for client in before}
    await _write(connection, texts, {}, version, since)
    return {client: _digest(text) for client, text in texts.items()}


async def _write(
    connection: PooledConnection,
    texts: Mapping[ClientId, bytes],
    known: Mapping[ClientId, bytes],
    version: int,
    since: datetime,
) -> None:
    rows = [
        (*client_columns(client), version, since, _digest(text), compress(text) if text else b"")
        for client, text in texts.items()
        if known.get(client, b"") != _digest(text)
    ]
    await connection.executemany(_WRITE, rows)


def _digest(text: bytes) -> bytes:
    return sha256(text).digest() if text else b""


class ServiceHistory:
    """Reads the history, and forgets what is too old."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def at(self, moment: datetime, present: ServerConf) -> PastState:
        """What was hosted at a moment, certificates left out; raises StorageError.

        Args:
            present: what is hosted now, and was hosted ever since when nothing has changed yet.
        """
        with storage_errors(_UNUSABLE):
            rows = await self._pool.fetch(_STATE_AT, moment)
            begins = await self._pool.fetchval("SELECT begins FROM service_history")
            begun = await self._pool.fetchval("SELECT EXISTS (SELECT FROM client_history)")
        if not begun:
            return PastState(present, None, begins)
        clients = [decode_client(decompress(row["content"])) for row in rows if row["content"]]
        clients.sort(key=lambda client: client.id.parts)
        version = max((row["version"] for row in rows), default=0)
        since = max((row["since"] for row in rows), default=None)
        return PastState(ServerConf(tuple(clients), version), since, begins)

    async def forget(self, before: datetime, most: int) -> None:
        """Remove what counted only before a moment; raises StorageError.

        What counted at the moment itself stays, however old it is.

        Args:
            most: rows that are kept at the most; beyond them the oldest go sooner.
        """
        with storage_errors(_UNUSABLE):
            async with self._pool.acquire() as connection, connection.transaction():
                limit = await connection.fetchval(_LIMIT, most)
                horizon = before if limit is None else max(before, limit)
                await connection.execute(_FORGET, horizon)
                await connection.execute(
                    "UPDATE service_history SET begins = greatest(begins, $1)", horizon
                )


_NEWEST = """
SELECT DISTINCT ON (instance, member_class, member_code, subsystem_code)
    instance, member_class, member_code, subsystem_code, digest
FROM client_history
ORDER BY instance, member_class, member_code, subsystem_code, version DESC
"""
_NEXT_MOMENT = """
SELECT greatest(clock_timestamp(), max(since), (SELECT begins FROM service_history))
FROM client_history
"""
_WRITE = """
INSERT INTO client_history
    (instance, member_class, member_code, subsystem_code, version, since, digest, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_STATE_AT = """
SELECT DISTINCT ON (instance, member_class, member_code, subsystem_code) version, since, content
FROM client_history WHERE since <= $1
ORDER BY instance, member_class, member_code, subsystem_code, version DESC
"""
_LIMIT = "SELECT since FROM client_history ORDER BY since DESC, version DESC OFFSET $1 LIMIT 1"
_FORGET = """
DELETE FROM client_history AS old
WHERE since <= $1 AND (content = '' OR EXISTS (
    SELECT FROM client_history AS later
    WHERE later.since <= $1 AND later.version > old.version
        AND (later.instance, later.member_class, later.member_code, later.subsystem_code)
            = (old.instance, old.member_class, old.member_code, old.subsystem_code)))
"""
