"""The Merkle tree over the log: its root, and the proofs that a leaf is in it and it only grew.

The tree holds leaf hashes (`evidence_leaf.leaf_hash`); how they came about is none of its business.
Whatever is asked of it is put together from complete subtrees, that is those over 2^level leaves,
of which each is written once and never changes. `…_subtrees` tells which ones to fetch, `build_…`
makes the proof from them; so the tree may lie in a database, in files or in memory.

Source: RFC 6962 2.1; RFC 9162 2.1.3 and 2.1.4 for the ways to verify.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trust.errors import EvidenceRejected

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_LEAVES = (1 << 63) - 1  # what a bigint holds
MAX_PROOF_HASHES = 64  # no proof in a tree of MAX_LEAVES is longer


@dataclass(frozen=True, slots=True)
class Subtree:
    """A complete subtree: over the leaves from index * 2^level on, 2^level of them."""

    level: int
    index: int


Nodes = Callable[[Subtree], bytes]  # the hash of a complete subtree


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 with a one byte in front, which no leaf has."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed of a tree in order to append to it: its complete subtrees, largest first.

    Raises ValueError for a number or length of nodes that a tree of this size can't have.
    """

    size: int = 0  # in leaves
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_LEAVES or len(self.nodes) != self.size.bit_count():
            raise ValueError(f"{len(self.nodes)} subtrees are not those of {self.size} leaves")
        for node in self.nodes:
            _check_hash(node)

    def extended(self, leaves: Iterable[bytes]) -> "Frontier":
        """The frontier after these leaf hashes."""
        size, nodes = self.size, list(self.nodes)
        for leaf in leaves:
            node, count = leaf, size
            while count & 1:
                node = node_hash(nodes.pop(), node)
                count >>= 1
            nodes.append(node)
            size += 1
        return Frontier(size, tuple(nodes))

    def root(self) -> bytes:
        """The tree's root; `EMPTY_ROOT` for no leaves."""
        return _folded(self.nodes) if self.nodes else EMPTY_ROOT


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of a tree of these leaf hashes; keeps no more than a frontier of them."""
    return Frontier().extended(leaves).root()


def frontier_subtrees(size: int) -> tuple[Subtree, ...]:
    """The complete subtrees that a tree of `size` leaves consists of, largest first."""
    return _subtrees(0, size)


def _subtrees(start: int, end: int) -> tuple[Subtree, ...]:
    """Those of the leaves `start` to `end`; `start` is a multiple of the largest one's size."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append(Subtree(level, start >> level))
        start += 1 << level
    return tuple(found)


def _folded(nodes: Sequence[bytes]) -> bytes:
    """The hash over complete subtrees, largest first: the ragged right edge of a tree."""
    folded = nodes[-1]
    for node in reversed(nodes[:-1]):
        folded = node_hash(node, folded)
    return folded


# --- making proofs --------------------------------------------------------------------------------

_Span = tuple[int, int]  # leaves from, to


def inclusion_subtrees(index: int, size: int) -> tuple[Subtree, ...]:
    """What `build_inclusion` will ask for; raises ValueError for a leaf that is not in the tree."""
    return _needed(_inclusion_spans(index, size))


def build_inclusion(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree of `size` leaves: siblings, the lowest first."""
    return _hashes(_inclusion_spans(index, size), nodes)


def consistency_subtrees(old: int, new: int) -> tuple[Subtree, ...]:
    """What `build_consistency` will ask for; raises ValueError when the new tree is smaller."""
    return _needed(_consistency_spans(old, new))


def build_consistency(old: int, new: int, nodes: Nodes) -> tuple[bytes, ...]:
    """The proof that the first `old` leaves of the tree of `new` leaves are the tree of `old`.

    Empty where there is nothing to prove: the old tree is empty, or as large as the new one.
    """
    return _hashes(_consistency_spans(old, new), nodes)


def _inclusion_spans(index: int, size: int) -> list[_Span]:
    if not 0 <= index < size <= MAX_LEAVES:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    return _way_down(0, size, index)[::-1]


def _way_down(start: int, end: int, index: int) -> list[_Span]:
    """What lies beside the way from the top of the leaves `start` to `end` down to a leaf."""
    beside = []
    while end - start > 1:
        middle = start + _left_half(end - start)
        if index < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    return beside


def _consistency_spans(old: int, new: int) -> list[_Span]:
    if not 0 <= old <= new <= MAX_LEAVES:
        raise ValueError(f"a tree of {new} leaves is no continuation of one of {old}")
    if old in (0, new):
        return []
    beside, start, end = [], 0, new
    while end != old:
        middle = start + _left_half(end - start)
        if old <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    if start:  # else the verifier has that one: it is the old root
        beside.append((start, end))
    return beside[::-1]


def _left_half(leaves: int) -> int:
    """The largest power of two that is smaller."""
    return 1 << ((leaves - 1).bit_length() - 1)


def _needed(spans: Iterable[_Span]) -> tuple[Subtree, ...]:
    return tuple(subtree for span in spans for subtree in _subtrees(*span))


def _hashes(spans: Iterable[_Span], nodes: Nodes) -> tuple[bytes, ...]:
    return tuple(_folded([nodes(subtree) for subtree in _subtrees(*span)]) for span in spans)


# --- verifying proofs -----------------------------------------------------------------------------


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise EvidenceRejected unless the proof leads from the leaf hash at `index` to `root`."""
    if not 0 <= index < size <= MAX_LEAVES:
        raise _not_included(f"leaf {index} is not in a tree of {size} leaves")
    hashes = _checked((leaf, *proof), _not_included)
    node, place, last = hashes[0], index, size - 1
    for sibling in hashes[1:]:
        if not last:
            raise _not_included("the inclusion proof is too long")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise _not_included("the inclusion proof is too short")
    if node != root:
        raise _not_included(f"the inclusion proof of leaf {index} does not lead to the root")


def check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise EvidenceRejected unless the proof shows the old tree to be the new one's beginning."""
    if not 0 <= old <= new <= MAX_LEAVES:
        raise _inconsistent(f"a tree of {new} leaves is no continuation of one of {old}")
    hashes = _checked(tuple(proof), _inconsistent)
    if old in (0, new):
        if hashes:
            raise _inconsistent("a consistency proof where there is nothing to prove")
        if old_root != (new_root if old else EMPTY_ROOT):
            raise _inconsistent(f"two roots for {old} leaves")
        return
    if not hashes:
        raise _inconsistent("the consistency proof is too short")
    if _roots(old, new, old_root, hashes) != (old_root, new_root):
        raise _inconsistent(f"the tree of {new} leaves does not begin with the one of {old}")


def _roots(old: int, new: int, old_root: bytes, hashes: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """The old and the new root, as the proof has them."""
    if not old & (old - 1):  # the old root is a node of the new tree, and left out
        hashes = (old_root, *hashes)
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if not last:
            raise _inconsistent("the consistency proof is too long")
        if place & 1 or place == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise _inconsistent("the consistency proof is too short")
    return older, newer


def _checked(
    hashes: tuple[bytes, ...], rejected: Callable[[str], EvidenceRejected]
) -> tuple[bytes, ...]:
    if len(hashes) > MAX_PROOF_HASHES + 1:
        raise rejected(f"a proof of more than {MAX_PROOF_HASHES} hashes")
    if any(len(each) != HASH_SIZE for each in hashes):
        raise rejected("a proof with something else than hashes")
    return hashes


def _check_hash(value: bytes) -> None:
    if len(value) != HASH_SIZE:
        raise ValueError(f"{len(value)} bytes are no hash")


def _not_included(text: str) -> EvidenceRejected:
    return EvidenceRejected(text, "invalid_inclusion_proof")


def _inconsistent(text: str) -> EvidenceRejected:
    return EvidenceRejected(text, "invalid_consistency_proof")
