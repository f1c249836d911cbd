"""The hash tree of a time-stamp over many records, in pieces that stay small.

The tree of hashchain.py joins neighbours level by level, and an odd last node moves up unchanged.
So the node over an aligned block of leaves is the top of that block's own tree, and the blocks'
tops make the same tree as all leaves together: a million records need one block and a thousand
tops at a time, and the chain of one record comes from its block and the tops.

Source: signatures.md 5.3, 8.3.
"""

from collections.abc import Sequence

from trust.digests import SHA512_URI
from trust.evidence.hashchain import (
    PartDigest,
    TreeNode,
    chain_text,
    join_nodes,
    result_text,
    step_value,
)

BLOCK = 1024  # leaves; a power of two

_RESULT_URI = "/ts-hashchain.xml#STEP0"
_SIGNATURE_NAME = "/META-INF/signatures.xml"
_DIGEST_SIZE = 64


def block_top(digests: Sequence[bytes]) -> bytes:
    """The node over a block of leaves: SHA-512 of signature files, BLOCK of them or the last ones.

    Raises ValueError for a block of another size.
    """
    return _join(digests).digest


def build_tree_result(tops: bytes, leaves: int) -> bytes:
    """The file to be stamped, `ts-hashchainresult.xml`.

    Args:
        tops: the nodes over all blocks, one after another.
        leaves: of all blocks; a single one is made a tree by a step of its own.
    """
    top = join_nodes([TreeNode(value) for value in _split(tops, leaves)], SHA512_URI).digest
    value = step_value(SHA512_URI, [top]) if leaves == 1 else top
    return result_text(_RESULT_URI, SHA512_URI, value).encode("ascii")


def build_tree_chain(tops: bytes, leaves: int, block: Sequence[bytes], leaf: int) -> bytes:
    """The file that leads from the stamped one to a leaf, `ts-hashchain.xml`.

    Raises ValueError when the block is not the one whose node stands in `tops`.

    Args:
        block: the leaves of the block that holds the leaf.
        leaf: its place in the tree, from 0.
    """
    number, place = divmod(leaf, BLOCK)
    nodes = [TreeNode(value) for value in _split(tops, leaves)]
    part = PartDigest(_SIGNATURE_NAME, block[place])
    if leaves == 1:
        path: tuple[TreeNode, ...] = (TreeNode(part.digest, parts=(part,), stepped=True),)
    else:
        own = _join(block, part, place)
        if own.digest != nodes[number].digest:
            raise ValueError(f"the leaves of block {number} are not those that were stamped")
        nodes[number] = own
        upper = _path(join_nodes(nodes, SHA512_URI), number, len(nodes))
        path = (*upper, *_path(own, place, len(block))[1:])
    return chain_text(path, SHA512_URI).encode("ascii")


def _split(tops: bytes, leaves: int) -> list[bytes]:
    found = [tops[at : at + _DIGEST_SIZE] for at in range(0, len(tops), _DIGEST_SIZE)]
    if leaves < 1 or len(found) != -(-leaves // BLOCK) or len(found[-1]) != _DIGEST_SIZE:
        raise ValueError(f"{len(tops)} bytes are not the tops of {leaves} leaves")
    return found


def _join(digests: Sequence[bytes], part: PartDigest | None = None, place: int = 0) -> TreeNode:
    """The tree over one block; `part` stands in the leaf at `place`."""
    if not 1 <= len(digests) <= BLOCK or {len(each) for each in digests} != {_DIGEST_SIZE}:
        raise ValueError(f"{len(digests)} digests are no block of SHA-512 digests")
    nodes = [TreeNode(value) for value in digests]
    if part is not None:
        nodes[place] = TreeNode(part.digest, parts=(part,))
    return join_nodes(nodes, SHA512_URI)


def _path(top: TreeNode, place: int, count: int) -> tuple[TreeNode, ...]:
    """The nodes from the top of a tree over `count` nodes down to one of them."""
    path = [top]
    while count > 1:
        left = 1 << (count - 1).bit_length() - 1  # what the left child covers
        right_side = place >= left
        path.append(path[-1].children[right_side])
        place, count = (place - left, count - left) if right_side else (place, left)
    return tuple(path)
