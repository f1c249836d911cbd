"""Checkpoints of the log: what others can hold against it later.

On an interval the tree takes in the leaves that have come, its root is signed and written down as
a checkpoint, the checkpoint is time-stamped, and full tiles go to the archive store. Any number of
processes may run this; who has the lock of the one row in `log_tree` works, the others pass.

A log that no longer continues its last checkpoint is not signed: the problem is told instead.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.transparency.log_files import LogFiles, TileStore, stored_tile
from node.transparency.proofs import KeptCheckpoint, ProofReader, newest_checkpoint, with_witnesses
from node.transparency.tree import LEAVES_AT_ONCE, BrokenLog, Tree
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import EvidenceRejected, ExchangeError, MalformedMessage, StorageError
from trust.evidence.checkpoints import Checkpoint, InclusionProof
from trust.evidence.notes import NoteKey, NoteKeyKind, NoteSignature
from trust.ids import ServerId
from trust.settings import Bounds, Matching, setting
from trust.witness.announcement import check_checkpoint, log_origin, sign_checkpoint

_LOG = logging.getLogger(__name__)
_STAMPED_AT_ONCE = 20


Address = Annotated[
    str, Matching(r"(?:https?://[^\s/]{1,300}/?)?", "http:// or https:// and a host")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransparencySettings:
    """Checkpoints of the log, and who witnesses them."""

    interval: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(days=1))] = setting(
        timedelta(minutes=10), "how often a checkpoint is made, if the log has grown"
    )
    peers: bool = setting(True, "hand checkpoints to nodes met in exchanges that witness them")
    registry: Address = setting("", "address of a registry that witnesses; empty: none does")
    registry_key: Annotated[str, Matching(r"\S{0,2000}", "a key as GET /witness tells it")] = (
        setting("", "that registry's witness key; empty: the one that it names is taken")
    )


class Stamped(Protocol):
    """What a time-stamping service gave."""

    @property
    def token(self) -> bytes: ...


Stamp = Callable[[bytes], Awaitable[Stamped]]


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of a node's log, with the name of the log."""

    private: Ed25519PrivateKey
    public: NoteKey

    @classmethod
    def of(cls, private: Ed25519PrivateKey, server: ServerId) -> "LogKey":
        raw = private.public_key().public_bytes_raw()
        return cls(private, NoteKey(log_origin(server), NoteKeyKind.LOG, raw))

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)


class Transparency:
    """Makes the checkpoints of one node's log and the proofs that refer to them.

    Args:
        stamp: asks for a time-stamp over the given bytes; None where nobody stamps.
        store: where full tiles go; None where there is none.

    Attributes:
        problem: why there can't be one, in words; None while all is well.
        proofs: reads proofs of records.
    """

    def __init__(
        self,
        pool: Pool,
        key: LogKey,
        settings: TransparencySettings,
        clock: Callable[[], datetime],
        stamp: Stamp | None = None,
        store: TileStore | None = None,
    ) -> None:
        self.key = key
        self.problem: str | None = None
        self.size = 0  # of the newest checkpoint
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._stamp = stamp
        self._store = store
        self.proofs = ProofReader(pool, store)
        self._files = None
        if store is not None:
            self._files = LogFiles(store, self._working, self._note_of)

    @property
    def interval(self) -> timedelta:
        return self._settings.interval

    async def round(self) -> None:
        """One checkpoint with all that belongs to it; what fails is told and tried again."""
        try:
            await self.make()
            await self.stamp()
            await self.store_files()
        except (StorageError, BrokenLog) as error:
            if self.problem != str(error):
                _LOG.warning("No checkpoint of the log: %s", error)
            self.problem = str(error)
        else:
            self.problem = None

    # --- making -----------------------------------------------------------------------------------

    async def make(self) -> Checkpoint | None:
        """Take in what has come and sign it; None when there is nothing new, or another is at it.

        Raises StorageError, and BrokenLog when the log does not continue its last checkpoint.
        """
        while True:
            async with self._working() as connection:
                if connection is None:
                    return None
                size = await connection.fetchval("SELECT size FROM log_tree")
                end = await connection.fetchval("SELECT leaves FROM log_size")
                if size == end:
                    return await self._checkpoint(connection, size)
                await self._grow(connection, size, end)

    async def _grow(self, connection: PooledConnection, size: int, end: int) -> None:
        if end < size:
            raise BrokenLog(f"The log has {end} leaves, and its tree {size}")
        end = min(end, size + LEAVES_AT_ONCE)
        await self._tree(connection).grow(size, end)
        await connection.execute("UPDATE log_tree SET size = $1", end)

    async def _checkpoint(self, connection: PooledConnection, size: int) -> Checkpoint | None:
        last = await newest_checkpoint(connection)
        at = self._clock()
        if last is not None:
            at = max(at, await self._check_continues(connection, last, size))
            self.size = last.size
        if size == (0 if last is None else last.size):
            return None
        root = await self._tree(connection).root(size)
        made = Checkpoint(self.key.public.name, size, root)
        note = sign_checkpoint(made, self.key.public, at, self.key.sign)
        await connection.execute(
            "INSERT INTO log_checkpoint (size, at, note, key) VALUES ($1, $2, $3, $4)",
            size,
            at,
            note.raw,
            self.key.public.text,
        )
        self.size = size
        return made

    async def _check_continues(
        self, connection: PooledConnection, last: KeptCheckpoint, size: int
    ) -> datetime:
        """The last checkpoint's time, if it is good and the tree still has its root."""
        try:
            checkpoint, at = check_checkpoint(last.note, NoteKey.parse(last.key))
        except (EvidenceRejected, MalformedMessage) as error:
            raise BrokenLog(f"The last checkpoint was changed: {error.text}") from error
        if checkpoint.size != last.size or checkpoint.origin != self.key.public.name:
            raise BrokenLog("The last checkpoint was changed: it stands under another size or name")
        if size < checkpoint.size:
            raise BrokenLog(f"The log has {size} leaves, and its last checkpoint {checkpoint.size}")
        if await self._tree(connection).root(checkpoint.size) != checkpoint.root:
            raise BrokenLog(f"The log is not the one of its checkpoint of {checkpoint.size} leaves")
        return at

    async def stamp(self) -> int:
        """Have checkpoints time-stamped that are not; how many were. Raises StorageError."""
        if self._stamp is None:
            return 0
        async with self._reading() as connection:
            rows = await connection.fetch(
                "SELECT size, note FROM log_checkpoint WHERE token IS NULL"
                " ORDER BY size DESC LIMIT $1",
                _STAMPED_AT_ONCE,
            )
        for done, row in enumerate(rows):
            try:
                stamped = await self._stamp(row["note"])
            except ExchangeError as error:
                _LOG.warning("A checkpoint is not time-stamped: %s", error)
                return done
            async with self._reading() as connection:
                await connection.execute(
                    "UPDATE log_checkpoint SET token = $2 WHERE size = $1 AND token IS NULL",
                    row["size"],
                    stamped.token,
                )
        return len(rows)

    async def store_files(self) -> int:
        """Put into the archive store what it lacks; how many files. Raises StorageError."""
        return 0 if self._files is None else await self._files.write()

    def signer_of(self, checkpoint: KeptCheckpoint) -> NoteKey:
        """The key that made a checkpoint, as it says: another machine of ours may have another."""
        try:
            key = NoteKey.parse(checkpoint.key)
        except MalformedMessage:
            return self.key.public
        return key if key.name == self.key.public.name else self.key.public

    # --- proofs -----------------------------------------------------------------------------------

    async def newest(self) -> KeptCheckpoint | None:
        """The newest checkpoint as it stands; raises StorageError."""
        async with self._reading() as connection:
            return await newest_checkpoint(connection)

    async def inclusion(self, number: int) -> InclusionProof:
        """That the record of this number is in the log, by the newest checkpoint.

        Raises NotInCheckpoint, StorageError, BrokenLog.
        """
        return (await self.proofs.inclusion(number)).proof

    async def _note_of(self, connection: PooledConnection, size: int) -> bytes:
        last = await newest_checkpoint(connection)
        if last is None or last.size != size:
            raise BrokenLog(f"The checkpoint of {size} leaves is gone")
        return await with_witnesses(connection, last)

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the tree of `new` leaves continues the one of `old`.

        Raises ValueError when it is larger than the tree is, StorageError, BrokenLog.
        """
        async with self._reading() as connection:
            if new > await connection.fetchval("SELECT size FROM log_tree"):
                raise ValueError(f"the tree has no {new} leaves")
            return await self._tree(connection).consistency(old, new)

    async def cosigned(
        self, size: int, witness: NoteKey, line: NoteSignature, at: datetime
    ) -> None:
        """Keep what a witness signed; the line is checked. Raises StorageError."""
        async with self._reading() as connection:
            await connection.execute(
                "INSERT INTO log_cosignature VALUES ($1, $2, $3, $4, $5) ON CONFLICT"
                " (size, witness) DO UPDATE SET key = $3, line = $4, at = $5",
                size,
                witness.name,
                witness.text,
                line.line,
                at,
            )

    async def stored_leaves(self) -> int:
        """How many leaves are durable in the archive store, so that their rows may go."""
        async with self._reading() as connection:
            return int(await connection.fetchval("SELECT stored FROM log_tree"))

    # --- the database -----------------------------------------------------------------------------

    def _tree(self, connection: PooledConnection) -> Tree:
        return Tree(connection, lambda tile: stored_tile(self._store, tile))

    @asynccontextmanager
    async def _working(self) -> "AsyncIterator[PooledConnection | None]":
        """A transaction that one process at a time has; None while another one has it."""
        async with self._reading() as connection, connection.transaction():
            free = await connection.fetchval("SELECT id FROM log_tree FOR UPDATE SKIP LOCKED")
            yield None if free is None else connection

    @asynccontextmanager
    async def _reading(self) -> "AsyncIterator[PooledConnection]":
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except DATABASE_ERRORS as error:
            raise StorageError(f"The log's tree can't be used: {describe(error)}") from error
