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


class TreeBlock:
    """The leaves of one block of a stamped tree, and the way to each of them.

    Raises ValueError when the leaves are not those whose node stands in `tops`.

    Args:
        tops, leaves: of the whole tree.
        number: of the block, from 0.
        block: its leaves.
    """

    def __init__(self, tops: bytes, leaves: int, number: int, block: Sequence[bytes]) -> None:
        nodes = [TreeNode(value) for value in _split(tops, leaves)]
        own = _join(block)
        if own.digest != nodes[number].digest:
            raise ValueError(f"the leaves of block {number} are not those that were stamped")
        nodes[number] = own
        self._count = len(block)
        self._own = own
        if leaves == 1:
            self._above: tuple[TreeNode, ...] = ()
            value = step_value(SHA512_URI, [own.digest])
            self._own = TreeNode(value, parts=own.parts, stepped=True)
        else:
            self._above = _path(join_nodes(nodes, SHA512_URI), number, len(nodes))[:-1]

    def chain(self, place: int) -> bytes:
        """The file that leads from the stamped one to a leaf, `ts-hashchain.xml`.

        Args:
            place: of the leaf in its block, from 0.
        """
        path = (*self._above, *_path(self._own, place, self._count))
        return chain_text(path, SHA512_URI).encode("ascii")


def _split(tops: bytes, leaves: int) -> list[bytes]:
    found = [tops[at : at + _DIGEST_SIZE] for at in range(0, len(tops), _DIGEST_SIZE)]
    if leaves < 1 or len(found) != -(-leaves // BLOCK) or len(found[-1]) != _DIGEST_SIZE:
        raise ValueError(f"{len(tops)} bytes are not the tops of {leaves} leaves")
    return found


def _join(digests: Sequence[bytes]) -> TreeNode:
    if not 1 <= len(digests) <= BLOCK or {len(each) for each in digests} != {_DIGEST_SIZE}:
        raise ValueError(f"{len(digests)} digests are no block of SHA-512 digests")
    nodes = [TreeNode(value, parts=(PartDigest(_SIGNATURE_NAME, value),)) for value in digests]
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
