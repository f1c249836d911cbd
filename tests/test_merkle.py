"""The tree: RFC 6962's own vectors, every proof of every small tree, and proofs that are not."""

import random
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import EvidenceRejected
from trust.evidence.evidence_leaf import leaf_hash
from trust.evidence.merkle import (
    EMPTY_ROOT,
    MAX_LEAVES,
    MAX_PROOF_HASHES,
    Frontier,
    Subtree,
    build_consistency,
    build_inclusion,
    check_consistency,
    check_inclusion,
    consistency_subtrees,
    frontier_subtrees,
    inclusion_subtrees,
    node_hash,
    root_of,
)

_SMALL = 300
# the inputs and roots of the reference log of RFC 6962 (merkle_tree_test.cc)
_INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def leaf(index: int) -> bytes:
    return leaf_hash(index.to_bytes(8, "big"))


@cache
def root(start: int, end: int) -> bytes:
    """The definition of RFC 6962 2.1, word by word."""
    if end - start == 1:
        return leaf(start)
    half = 1
    while 2 * half < end - start:
        half *= 2
    return node_hash(root(start, start + half), root(start + half, end))


def node(subtree: Subtree) -> bytes:
    return root(subtree.index << subtree.level, (subtree.index + 1) << subtree.level)


# --- roots ------------------------------------------------------------------------------------


def test_roots_are_those_of_the_reference_log() -> None:
    leaves = [leaf_hash(data) for data in _INPUTS]
    for size, expected in enumerate(_ROOTS, 1):
        assert root_of(leaves[:size]).hex() == expected


def test_the_empty_tree_has_the_digest_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_every_small_tree_has_the_root_of_the_definition() -> None:
    frontier = Frontier()
    for size in range(1, _SMALL):
        frontier = frontier.extended([leaf(size - 1)])
        assert frontier.root() == root(0, size)
        assert frontier.nodes == tuple(node(each) for each in frontier_subtrees(size))


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_tree_made_in_two_steps_is_the_same_tree(first: int, second: int) -> None:
    begun = Frontier().extended(map(leaf, range(first)))
    stored = Frontier(begun.size, begun.nodes)  # as from a table
    whole = Frontier().extended(map(leaf, range(first + second)))
    assert stored.extended(map(leaf, range(first, first + second))) == whole


@pytest.mark.parametrize(
    ("size", "nodes"),
    [(1, ()), (0, (EMPTY_ROOT,)), (2, (EMPTY_ROOT, EMPTY_ROOT)), (1, (b"short",)), (-1, ())],
)
def test_a_frontier_that_no_tree_has_is_refused(size: int, nodes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r"leaves|hash"):
        Frontier(size, nodes)


# --- inclusion --------------------------------------------------------------------------------


def test_every_leaf_of_every_small_tree_is_proved_to_be_in_it() -> None:
    for size in range(1, _SMALL):
        for index in range(size):
            proof = build_inclusion(index, size, node)
            check_inclusion(leaf(index), index, size, proof, root(0, size))


def test_leaves_of_large_trees_are_proved_to_be_in_them() -> None:
    chance = random.Random(6962)
    for _ in range(60):
        size = chance.randrange(1, 20_000)
        index = chance.randrange(size)
        proof = build_inclusion(index, size, node)
        check_inclusion(leaf(index), index, size, proof, root(0, size))


def test_the_subtrees_that_a_proof_asks_for_are_told_before() -> None:
    chance = random.Random(6962)
    for _ in range(400):
        size = chance.randrange(1, MAX_LEAVES)
        index, old = chance.randrange(size), chance.randrange(size + 1)
        asked: list[Subtree] = []

        def asking(subtree: Subtree, asked: list[Subtree] = asked) -> bytes:
            asked.append(subtree)
            return EMPTY_ROOT

        assert len(build_inclusion(index, size, asking)) <= MAX_PROOF_HASHES
        assert tuple(asked) == inclusion_subtrees(index, size)
        asked.clear()
        assert len(build_consistency(old, size, asking)) <= MAX_PROOF_HASHES
        assert tuple(asked) == consistency_subtrees(old, size)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 5), (5, 5), (0, MAX_LEAVES + 1)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        build_inclusion(index, size, node)
    with pytest.raises(EvidenceRejected, match="is not in a tree"):
        check_inclusion(leaf(0), index, size, (), leaf(0))


def mutations(proof: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Every proof that is one step away: a bit changed, a hash less or more, two exchanged."""
    hashes, found = tuple(proof), [(*proof, EMPTY_ROOT), (EMPTY_ROOT, *proof)]
    for place, each in enumerate(hashes):
        changed = bytes((each[0] ^ 1,)) + each[1:]
        found += [
            (*hashes[:place], changed, *hashes[place + 1 :]),
            (*hashes[:place], each[:-1], *hashes[place + 1 :]),
            (*hashes[:place], *hashes[place + 1 :]),
            (*hashes[:place], each, *hashes[place:]),
        ]
        if place:
            before = hashes[place - 1]
            found.append((*hashes[: place - 1], each, before, *hashes[place + 1 :]))
    return found


def test_no_inclusion_proof_survives_a_change() -> None:
    for size in range(1, 40):
        for index in range(size):
            proof, top = build_inclusion(index, size, node), root(0, size)
            for changed in mutations(proof):
                with pytest.raises(EvidenceRejected):
                    check_inclusion(leaf(index), index, size, changed, top)
            with pytest.raises(EvidenceRejected, match="does not lead"):
                check_inclusion(leaf(index + 1), index, size, proof, top)
            with pytest.raises(EvidenceRejected, match="does not lead"):
                check_inclusion(leaf(index), index, size, proof, EMPTY_ROOT)
            for other in set(range(size)) - {index}:
                with pytest.raises(EvidenceRejected):
                    check_inclusion(leaf(index), other, size, proof, top)


def test_a_proof_of_a_thousand_hashes_is_not_computed() -> None:
    with pytest.raises(EvidenceRejected, match="more than 64 hashes"):
        check_inclusion(leaf(0), 0, 2, [EMPTY_ROOT] * 1000, EMPTY_ROOT)
    with pytest.raises(EvidenceRejected, match="more than 64 hashes"):
        check_consistency(1, leaf(0), 2, EMPTY_ROOT, [EMPTY_ROOT] * 1000)


# --- consistency ------------------------------------------------------------------------------


def test_every_small_tree_is_proved_to_continue_every_smaller_one() -> None:
    for new in range(_SMALL):
        top = root(0, new) if new else EMPTY_ROOT
        for old in range(new + 1):
            older = root(0, old) if old else EMPTY_ROOT
            check_consistency(old, older, new, top, build_consistency(old, new, node))


def test_large_trees_are_proved_to_continue_smaller_ones() -> None:
    chance = random.Random(9162)
    for _ in range(60):
        new = chance.randrange(1, 20_000)
        old = chance.randrange(1, new + 1)
        proof = build_consistency(old, new, node)
        check_consistency(old, root(0, old), new, root(0, new), proof)


def test_no_consistency_proof_survives_a_change() -> None:
    for new in range(2, 40):
        for old in range(1, new):
            proof = build_consistency(old, new, node)
            for changed in mutations(proof):
                with pytest.raises(EvidenceRejected):
                    check_consistency(old, root(0, old), new, root(0, new), changed)
            for roots in ((EMPTY_ROOT, root(0, new)), (root(0, old), EMPTY_ROOT)):
                with pytest.raises(EvidenceRejected, match="does not begin"):
                    check_consistency(old, roots[0], new, roots[1], proof)


def test_a_tree_of_the_same_size_has_the_same_root_and_no_proof() -> None:
    check_consistency(5, root(0, 5), 5, root(0, 5), ())
    with pytest.raises(EvidenceRejected, match="two roots for 5 leaves"):
        check_consistency(5, root(0, 5), 5, root(1, 6), ())
    with pytest.raises(EvidenceRejected, match="nothing to prove"):
        check_consistency(5, root(0, 5), 5, root(0, 5), (leaf(0),))


def test_an_empty_tree_is_continued_by_every_tree() -> None:
    check_consistency(0, EMPTY_ROOT, 7, root(0, 7), ())
    with pytest.raises(EvidenceRejected, match="two roots for 0 leaves"):
        check_consistency(0, leaf(0), 7, root(0, 7), ())
    with pytest.raises(EvidenceRejected, match="nothing to prove"):
        check_consistency(0, EMPTY_ROOT, 7, root(0, 7), (leaf(0),))


def test_a_smaller_tree_continues_none() -> None:
    with pytest.raises(ValueError, match="is no continuation"):
        build_consistency(7, 5, node)
    with pytest.raises(EvidenceRejected, match="is no continuation"):
        check_consistency(7, root(0, 7), 5, root(0, 5), ())


@given(st.integers(-1, 70), st.integers(-1, 70), st.lists(st.binary(max_size=33), max_size=8))
def test_any_proof_ends_in_a_verdict(old: int, new: int, proof: list[bytes]) -> None:
    with pytest.raises(EvidenceRejected):
        check_consistency(old, EMPTY_ROOT, new, leaf(0), [*proof, b"no hash"])
    with pytest.raises(EvidenceRejected):
        check_inclusion(leaf(1), old, new, proof, EMPTY_ROOT)
