"""The log's tree and checkpoints in the archive store, as C2SP's tlog-tiles lays them out.

    log/tile/0/000 …                full tiles, and the partial ones of the newest checkpoint
    log/checkpoint                  the newest one, with what witnesses signed
    log/checkpoints/<size>          every one, with the log's own signatures
    log/checkpoints/<size>.tst      its time-stamp: an RFC 3161 token over SHA-512 of that file
    log/statements/<number>.asice   the owner's word for the log's key

Full tiles are written once. What is written is durable before the database is told so.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import asyncpg

from node.transparency.tree import BrokenLog, Tree
from trust.database import PooledConnection
from trust.evidence.merkle import HASH_SIZE
from trust.evidence.tiles import TILE_WIDTH, Tile, tile_widths, tiles_of

FOLDER = "log/"
_TILES_AT_ONCE = 64
_CHECKPOINTS_AT_ONCE = 20


class TileStore(Protocol):
    """The archive store, as far as it is needed here; every method raises StorageError."""

    async def put(self, name: str, content: bytes, *, overwrite: bool = True) -> None: ...

    async def read(self, name: str, largest: int) -> bytes: ...

    async def size_of(self, name: str) -> int | None: ...

    async def delete(self, name: str) -> None: ...


# A transaction that one process at a time has; None while another one has it.
Working = Callable[[], "AbstractAsyncContextManager[PooledConnection | None]"]


async def stored_tile(store: TileStore | None, tile: Tile) -> bytes | None:
    """A tile from the store; None when it is not there. Raises StorageError."""
    name = FOLDER + tile.path
    if store is None or await store.size_of(name) is None:
        return None
    return await store.read(name, tile.width * HASH_SIZE)


def partial_tiles(size: int) -> frozenset[Tile]:
    """The partial tiles of a tree of `size` leaves: at most one of each level."""
    return frozenset(
        Tile(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)
        for level, hashes in tile_widths(size)
        if hashes % TILE_WIDTH
    )


class LogFiles:
    """Writes what the store lacks; errors are those of the store, the tree and the database.

    Args:
        note: the newest checkpoint's note with what witnesses signed.
    """

    def __init__(
        self,
        store: TileStore,
        working: Working,
        note: Callable[[PooledConnection, int], Awaitable[bytes]],
    ) -> None:
        self._store = store
        self._working = working
        self._note = note
        self._published: bytes | None = None  # by this process

    async def write(self) -> int:
        """Everything that is new; how many files."""
        written = 0
        while count := await self._write_tiles():
            written += count
        written += await self._write_newest()
        return written + await self._write_history()

    async def _write_tiles(self) -> int:
        """Some full tiles of leaves, with the tiles above that they fill."""
        async with self._working() as connection:
            if connection is None:
                return 0
            row = await _state(connection)
            last = min(row["size"] // TILE_WIDTH, row["stored"] // TILE_WIDTH + _TILES_AT_ONCE)
            end = last * TILE_WIDTH
            tiles = [tile for tile in tiles_of(row["stored"], end) if tile.full]
            for tile in tiles:
                await self._put_tile(connection, tile)
            if tiles:
                await connection.execute("UPDATE log_tree SET stored = $1", end)
            return len(tiles)

    async def _write_newest(self) -> int:
        """The newest checkpoint with its partial tiles; those of the one before it then go."""
        async with self._working() as connection:
            if connection is None:
                return 0
            before = (await _state(connection))["published"]
            size = await connection.fetchval("SELECT max(size) FROM log_checkpoint")
            if size is None:
                return 0
            note = await self._note(connection, size)
            if note == self._published:
                return 0
            tiles = partial_tiles(size)
            for tile in tiles:
                await self._put_tile(connection, tile)
            await self._store.put(f"{FOLDER}checkpoint", note)
            for tile in partial_tiles(before) - tiles:
                await self._store.delete(FOLDER + tile.path)
            await connection.execute("UPDATE log_tree SET published = $1", size)
            self._published = note
            return len(tiles) + 1

    async def _write_history(self) -> int:
        async with self._working() as connection:
            if connection is None:
                return 0
            checkpoints = await connection.fetch(
                "SELECT size, note, token FROM log_checkpoint WHERE NOT stored"
                " ORDER BY size DESC LIMIT $1",
                _CHECKPOINTS_AT_ONCE,
            )
            for row in checkpoints:
                await self._write_checkpoint(connection, row)
            statements = await connection.fetch(
                "SELECT id, container FROM log_statement WHERE NOT stored ORDER BY id LIMIT $1",
                _CHECKPOINTS_AT_ONCE,
            )
            for row in statements:
                name = f"{FOLDER}statements/{row['id']}.asice"
                await self._store.put(name, row["container"])
                await connection.execute(
                    "UPDATE log_statement SET stored = true WHERE id = $1", row["id"]
                )
            return len(checkpoints) + len(statements)

    async def _write_checkpoint(self, connection: PooledConnection, row: asyncpg.Record) -> None:
        """A checkpoint, and its time-stamp; without one it is looked at again."""
        name = f"{FOLDER}checkpoints/{row['size']}"
        await self._store.put(name, row["note"])
        if row["token"] is not None:
            await self._store.put(f"{name}.tst", row["token"])
            await connection.execute(
                "UPDATE log_checkpoint SET stored = true WHERE size = $1", row["size"]
            )

    async def _put_tile(self, connection: PooledConnection, tile: Tile) -> None:
        tree = Tree(connection, lambda each: stored_tile(self._store, each))
        await self._store.put(FOLDER + tile.path, await tree.tile(tile))


async def _state(connection: PooledConnection) -> asyncpg.Record:
    row = await connection.fetchrow("SELECT size, stored, published FROM log_tree")
    if row is None:
        raise BrokenLog("The log's tree has lost its size")
    return row
