"""Tiles: their paths, which ones a tree has, and the tree that comes out of them again."""

import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import MalformedMessage
from trust.evidence.evidence_leaf import leaf_hash
from trust.evidence.merkle import (
    HASH_SIZE,
    Subtree,
    build_consistency,
    build_inclusion,
    check_consistency,
    check_inclusion,
    root_of,
)
from trust.evidence.tiles import (
    MAX_TILE_LEVEL,
    TILE_WIDTH,
    Tile,
    subtree_hash,
    tile_with,
    tiles_of,
)


@cache
def leaf(index: int) -> bytes:
    return leaf_hash(b"%d" % index)


def tile_data(tile: Tile) -> bytes:
    """The definition: each hash stands for 256^level leaves."""
    step = TILE_WIDTH**tile.level
    return b"".join(
        root_of(map(leaf, range(at * step, (at + 1) * step)))
        for at in range(tile.first, tile.first + tile.width)
    )


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(1, 1000, 17), "tile/1/x001/000.p/17"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(2, 70, 255), "tile/2/070.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(st.integers(0, MAX_TILE_LEVEL - 1), st.integers(0, 1 << 40), st.integers(1, 256))
def test_every_tile_is_found_under_its_path(level: int, index: int, width: int) -> None:
    try:
        tile = Tile(level, index, width)
    except ValueError:
        return
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "", "tile/0/1", "tile/00/001", "tile/8/000", "tile/0/x000/001", "tile/0/001/", "/tile/0/0",
        "tile/0/001.p/256", "tile/0/001.p/0", "tile/0/001.p/01", "tile/0/../001", "tile/0/001.p",
        "tile/entries/000", "tile/0/001\n", "tile/7/999", "tile/0/\u0660\u0660\u0661",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)  # fmt: skip
def test_no_other_path_names_a_tile(path: str) -> None:
    with pytest.raises(MalformedMessage, match="not the path"):
        Tile.parse(path)


def test_a_tree_of_seventy_thousand_has_the_tiles_of_the_specification() -> None:
    tiles = list(tiles_of(0, 70_000))
    full = [tile for tile in tiles if tile.full]
    partial = [tile for tile in tiles if not tile.full]
    assert [sum(tile.level == level for tile in full) for level in range(3)] == [273, 1, 0]
    assert partial == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(70_000, 70_000)) == []
    assert list(tiles_of(255, 257)) == [Tile(0, 0), Tile(0, 1, 1), Tile(1, 0, 1)]


@given(st.integers(0, 200_000), st.integers(0, 3_000))
def test_growing_writes_each_full_tile_once(old: int, more: int) -> None:
    before = {tile for tile in tiles_of(0, old) if tile.full}
    after = {tile for tile in tiles_of(0, old + more) if tile.full}
    written = {tile for tile in tiles_of(old, old + more) if tile.full}
    assert after == before | written
    assert not before & written


def test_proofs_come_out_of_tiles() -> None:
    size = 70_000 // 25  # two levels and a ragged edge
    files = {tile.path: tile_data(tile) for tile in tiles_of(0, size)}

    def node(subtree: Subtree, of: int) -> bytes:
        tile = tile_with(subtree, size)
        return subtree_hash(subtree, tile, tile.hashes(files[tile.path]))

    chance = random.Random(2)
    for _ in range(100):
        old, index = chance.randrange(1, size + 1), chance.randrange(size)
        proof = build_inclusion(index, size, lambda subtree: node(subtree, size))
        check_inclusion(leaf(index), index, size, proof, root_of(map(leaf, range(size))))
        grown = build_consistency(old, size, lambda subtree: node(subtree, size))
        roots = [root_of(map(leaf, range(end))) for end in (old, size)]
        check_consistency(old, roots[0], size, roots[1], grown)


def test_a_tile_of_another_length_is_refused() -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(MalformedMessage, match="bytes, not 32"):
            Tile(0, 0, 1).hashes(bytes(length))
    assert Tile(0, 0, 1).hashes(bytes(HASH_SIZE)) == (bytes(HASH_SIZE),)


@pytest.mark.parametrize("fields", [(-1, 0, 1), (8, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_no_log_has_such_a_tile(fields: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no tile"):
        Tile(*fields)
