"""Where a log's tree lies in files: tiles of 256 hashes.

A tile of level 0 has leaf hashes; each hash of level 1 stands for a full tile of level 0, and so
on. A full tile never changes. The last tile of a level may be partial; its width is in its name.

Source: C2SP tlog-tiles (paths, partial tiles).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from trust.errors import MalformedMessage
from trust.evidence.merkle import HASH_SIZE, MAX_LEAVES, Frontier, Subtree

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_TILE_LEVEL = 7  # a tile of level 8 would have leaves beyond MAX_LEAVES

_PATH = re.compile(
    r"tile/(?P<level>[0-7])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of a tile; raises ValueError for one that no log has."""

    level: int
    index: int
    width: int = TILE_WIDTH  # in hashes

    def __post_init__(self) -> None:
        if (
            not 0 <= self.level <= MAX_TILE_LEVEL
            or not 1 <= self.width <= TILE_WIDTH
            or self.index < 0
            or self.end > MAX_LEAVES
        ):
            raise ValueError(f"no tile {self.level}/{self.index} of {self.width} hashes")

    @property
    def full(self) -> bool:
        return self.width == TILE_WIDTH

    @property
    def first(self) -> int:
        """The place of its first hash in its level."""
        return self.index << TILE_HEIGHT

    @property
    def end(self) -> int:
        """How many leaves the tree has at least."""
        return (self.first + self.width) << (self.level * TILE_HEIGHT)

    @property
    def path(self) -> str:
        """Relative to the log's folder: `tile/0/x001/x234/067`, `tile/0/x001/x234/067.p/8`."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        return f"tile/{self.level}/{name}" + ("" if self.full else f".p/{self.width}")

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path, or raise MalformedMessage; each tile has one path only."""
        found = _PATH.fullmatch(path)
        if found:
            try:
                index = int(found["index"].replace("x", "").replace("/", ""))
                tile = cls(int(found["level"]), index, int(found["width"] or TILE_WIDTH))
            except ValueError:
                pass
            else:
                if tile.path == path:
                    return tile
        raise MalformedMessage("not the path of a tile")

    def hashes(self, data: bytes) -> tuple[bytes, ...]:
        """The hashes of this tile's file, or MalformedMessage when it has another length."""
        if len(data) != self.width * HASH_SIZE:
            raise MalformedMessage(
                f"{self.path} has {len(data)} bytes, not {self.width * HASH_SIZE}"
            )
        return tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE))


def tile_widths(size: int) -> Iterator[tuple[int, int]]:
    """How many hashes each level has in tiles, in a tree of `size` leaves: (level, hashes)."""
    for level in range(MAX_TILE_LEVEL + 1):
        if hashes := size >> (level * TILE_HEIGHT):
            yield level, hashes


def tiles_of(old: int, new: int) -> Iterator[Tile]:
    """The tiles that a tree of `new` leaves has and one of `old` has not, from the lowest level."""
    for level, hashes in tile_widths(new):
        before = old >> (level * TILE_HEIGHT)
        if before == hashes:
            continue
        for index in range(before >> TILE_HEIGHT, (hashes - 1 >> TILE_HEIGHT) + 1):
            yield Tile(level, index, min(TILE_WIDTH, hashes - (index << TILE_HEIGHT)))


def tile_with(subtree: Subtree, size: int) -> Tile:
    """The tile of the tree of `size` leaves from which the subtree's hash is computed."""
    level, height = divmod(subtree.level, TILE_HEIGHT)
    index = (subtree.index << height) >> TILE_HEIGHT
    hashes = (size >> (level * TILE_HEIGHT)) - (index << TILE_HEIGHT)
    return Tile(level, index, min(TILE_WIDTH, hashes))


def subtree_hash(subtree: Subtree, tile: Tile, hashes: tuple[bytes, ...]) -> bytes:
    """The subtree's hash, from the hashes of `tile_with(subtree, …)`."""
    _, height = divmod(subtree.level, TILE_HEIGHT)
    first = (subtree.index << height) - tile.first
    return Frontier().extended(hashes[first : first + (1 << height)]).root()
