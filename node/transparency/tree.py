"""The log's Merkle tree in the database: it grows with the leaves, and proofs are read from it.

The leaves are rows of `log_leaf`; above them are tiles of 256 hashes. Every full tile of leaves
that is durable in the archive store may be missing from `log_leaf`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from trust.database import PooledConnection
from trust.errors import SacbeError
from trust.evidence.merkle import (
    HASH_SIZE,
    Frontier,
    Subtree,
    build_consistency,
    build_inclusion,
    consistency_subtrees,
    frontier_subtrees,
    inclusion_subtrees,
    root_of,
)
from trust.evidence.tiles import (
    MAX_TILE_LEVEL,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    subtree_hash,
    tile_with,
)

LEAVES_AT_ONCE = 1 << 16

StoredTile = Callable[[Tile], Awaitable[bytes | None]]  # a full tile of leaves, from the store


class BrokenLog(SacbeError):
    """The database does not hold the log that it held before."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree as one connection sees it; errors of the database are the caller's."""

    connection: PooledConnection
    stored: StoredTile

    async def grow(self, size: int, end: int) -> None:
        """Take the leaves from `size` to `end` into the tree.

        Raises BrokenLog where one is missing.
        """
        whole, level = end >> TILE_HEIGHT, 1
        first = size >> TILE_HEIGHT
        if first == whole:
            return
        leaves = await self._leaves(first << TILE_HEIGHT, whole << TILE_HEIGHT)
        hashes = [root_of(leaves[at : at + TILE_WIDTH]) for at in range(0, len(leaves), TILE_WIDTH)]
        while hashes and level <= MAX_TILE_LEVEL:
            hashes = await self._append(level, first, hashes)
            level, first = level + 1, first >> TILE_HEIGHT

    async def _append(self, level: int, first: int, hashes: Sequence[bytes]) -> list[bytes]:
        """Write hashes from place `first` on in a level; what is new in the level above."""
        above = []
        while hashes:
            tile, place = divmod(first, TILE_WIDTH)
            before = await self._row(level, tile) if place else b""
            if len(before) < place * HASH_SIZE:
                raise BrokenLog(f"The log's tree lacks hashes in tile {level}/{tile}")
            taken = hashes[: TILE_WIDTH - place]
            row = before[: place * HASH_SIZE] + b"".join(taken)
            await self.connection.execute(
                "INSERT INTO log_tile VALUES ($1, $2, $3)"
                " ON CONFLICT (level, tile) DO UPDATE SET hashes = excluded.hashes",
                level,
                tile,
                row,
            )
            if len(row) == TILE_WIDTH * HASH_SIZE:
                above.append(root_of(Tile(level, tile).hashes(row)))
            first, hashes = first + len(taken), hashes[len(taken) :]
        return above

    async def root(self, size: int) -> bytes:
        """The root of the first `size` leaves; raises BrokenLog where a hash is missing."""
        subtrees = frontier_subtrees(size)
        found = await self._nodes(subtrees)
        return Frontier(size, tuple(found[each] for each in subtrees)).root()

    async def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """The proof that a leaf is in the tree of `size`; raises BrokenLog."""
        found = await self._nodes(inclusion_subtrees(index, size))
        return build_inclusion(index, size, found.__getitem__)

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the tree of `new` continues the one of `old`; raises BrokenLog."""
        found = await self._nodes(consistency_subtrees(old, new))
        return build_consistency(old, new, found.__getitem__)

    async def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile as they stand in its file; raises BrokenLog."""
        if tile.level:
            data = await self._row(tile.level, tile.index)
            return data[: tile.width * HASH_SIZE]
        return b"".join(await self._leaves(tile.first, tile.first + tile.width))

    async def _nodes(self, subtrees: Iterable[Subtree]) -> dict[Subtree, bytes]:
        found: dict[Subtree, bytes] = {}
        for subtree in subtrees:
            if subtree.level < TILE_HEIGHT:
                first = subtree.index << subtree.level
                found[subtree] = root_of(await self._leaves(first, first + (1 << subtree.level)))
            else:
                found[subtree] = await self._node(subtree)
        return found

    async def _node(self, subtree: Subtree) -> bytes:
        level, height = divmod(subtree.level, TILE_HEIGHT)
        end = (subtree.index + 1) << height  # the last hash that is needed, in its level
        tile = tile_with(subtree, end << (level * TILE_HEIGHT))
        data = (await self._row(level, tile.index))[: tile.width * HASH_SIZE]
        if len(data) != tile.width * HASH_SIZE:
            raise BrokenLog(f"The log's tree lacks hashes in tile {level}/{tile.index}")
        return subtree_hash(subtree, tile, tile.hashes(data))

    async def _row(self, level: int, tile: int) -> bytes:
        found = await self.connection.fetchval(
            "SELECT hashes FROM log_tile WHERE level = $1 AND tile = $2", level, tile
        )
        return bytes(found or b"")

    async def _leaves(self, first: int, end: int) -> list[bytes]:
        rows = await self.connection.fetch(
            "SELECT leaf, leaf_hash FROM log_leaf WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf",
            first,
            end,
        )
        if len(rows) == end - first:
            return [row["leaf_hash"] for row in rows]
        here = {row["leaf"]: row["leaf_hash"] for row in rows}
        for leaf in range(first, end):
            if leaf not in here:
                here |= await self._stored(leaf)
        return [here[leaf] for leaf in range(first, end)]

    async def _stored(self, leaf: int) -> dict[int, bytes]:
        """The leaves of the full tile in which this one is, from the store."""
        tile = Tile(0, leaf >> TILE_HEIGHT)
        data = await self.stored(tile)
        if data is None:
            raise BrokenLog(f"Leaf {leaf} of the log is missing")
        return dict(enumerate(tile.hashes(data), tile.first))
