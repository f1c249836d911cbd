"""Whether the key ring is that of this database, before anything is encrypted with it."""

import logging

from node.log.column_keys import KeyRing
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
_PROVEN = b"sacbe log key"


async def prove_keys(pool: Pool, keys: KeyRing) -> None:
    """Note the newest key in the database, and check every key that is known there.

    Raises StorageError when a key has the name of another one that was used here: what it
    encrypted could not be told from what the other one did. A key that is known here and not in
    the ring is told of; its records can't be read.
    """
    newest = keys.newest
    try:
        if newest is not None:
            await pool.execute(
                "INSERT INTO log_key (id, proof) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
                newest.id,
                newest.seal(_PROVEN, newest.id.encode()),
            )
        rows = await pool.fetch("SELECT id, proof FROM log_key ORDER BY first_used, id")
    except DATABASE_ERRORS as error:
        raise StorageError(f"The log's keys can't be compared: {describe(error)}") from error
    for row in rows:
        key = keys.keys.get(row["id"])
        if key is not None:
            key.open(row["proof"], row["id"].encode())
    if missing := [row["id"] for row in rows if row["id"] not in keys.keys]:
        _LOG.warning(
            "The key ring lacks %s: what these keys encrypted can't be read", ", ".join(missing)
        )
