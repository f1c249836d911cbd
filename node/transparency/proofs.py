"""Proofs that a record is in the log, read from the database; nothing is made or signed here.

A checkpoint must have been made before: `transparency` does that.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from node.transparency.log_files import TileStore, stored_tile
from node.transparency.tree import Tree
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import StorageError
from trust.evidence.checkpoints import InclusionProof
from trust.evidence.notes import NoteSignature, SignedNote


class NotInCheckpoint(StorageError):
    """The record is not in a checkpoint yet, or there is none of that number."""


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint as it stands in the database; it may have been tampered with.

    Attributes:
        note: with the log's own signatures alone.
    """

    size: int
    at: datetime
    note: bytes
    key: str
    token: bytes | None


@dataclass(frozen=True, slots=True)
class Proven:
    """A proof, and the key that made its checkpoint (text), as the checkpoint's row says."""

    proof: InclusionProof
    key: str


class ProofReader:
    """Reads proofs of one node's log.

    Args:
        store: where tiles are whose leaves have left the database; None without one.
    """

    def __init__(self, pool: Pool, store: TileStore | None) -> None:
        self._pool = pool
        self._store = store

    async def inclusion(self, number: int) -> Proven:
        """That the record of this number is in the log, by the newest checkpoint.

        Raises NotInCheckpoint, StorageError, BrokenLog.
        """
        async with self._reading() as connection:
            leaf = await connection.fetchval("SELECT leaf FROM log_leaf WHERE number = $1", number)
            last = await newest_checkpoint(connection)
            if leaf is None or last is None or leaf >= last.size:
                raise NotInCheckpoint(f"Record {number} is in no checkpoint of the log yet")
            tree = Tree(connection, lambda tile: stored_tile(self._store, tile))
            proof = await tree.inclusion(leaf, last.size)
            note = await with_witnesses(connection, last)
        return Proven(InclusionProof(leaf, proof, note), last.key)

    @asynccontextmanager
    async def _reading(self) -> "AsyncIterator[PooledConnection]":
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except DATABASE_ERRORS as error:
            raise StorageError(f"The log's tree can't be used: {describe(error)}") from error


async def newest_checkpoint(connection: PooledConnection) -> KeptCheckpoint | None:
    """The newest checkpoint as it stands; errors of the database are the caller's."""
    row = await connection.fetchrow(
        "SELECT size, at, note, key, token FROM log_checkpoint ORDER BY size DESC LIMIT 1"
    )
    return None if row is None else KeptCheckpoint(**dict(row))


async def with_witnesses(connection: PooledConnection, checkpoint: KeptCheckpoint) -> bytes:
    """The checkpoint's note with what witnesses signed below it."""
    rows = await connection.fetch(
        "SELECT line FROM log_cosignature WHERE size = $1 ORDER BY at, witness",
        checkpoint.size,
    )
    note = SignedNote.parse(checkpoint.note)
    return note.signed([NoteSignature.parse(row["line"]) for row in rows]).raw
