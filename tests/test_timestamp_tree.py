"""A tree in blocks is the tree that hashchain.py makes of all leaves at once."""

import random
import time

import pytest

from trust.digests import SHA512_URI, sha512
from trust.evidence.hashchain import PartDigest, build_hash_chains, verify_hash_chain
from trust.evidence.timestamp_tree import BLOCK, TreeBlock, block_top, build_tree_result

NAME = "/META-INF/signatures.xml"
URI = "/ts-hashchain.xml#STEP0"


def digests_of(count: int) -> list[bytes]:
    return [sha512(place.to_bytes(4, "big")) for place in range(count)]


def tops_of(digests: list[bytes]) -> bytes:
    return b"".join(
        block_top(digests[start : start + BLOCK]) for start in range(0, len(digests), BLOCK)
    )


def chain_of(digests: list[bytes], leaf: int) -> bytes:
    number, place = divmod(leaf, BLOCK)
    block = digests[number * BLOCK : (number + 1) * BLOCK]
    return TreeBlock(tops_of(digests), len(digests), number, block).chain(place)


def check(result: bytes, chain: bytes, digest: bytes) -> None:
    """As a verifier does: the chain leads from the result to the signature."""
    verdict = verify_hash_chain(
        result, {"/ts-hashchain.xml": chain}, {NAME: PartDigest(NAME, digest)}, lambda _: None
    )
    assert verdict.covered == {NAME}
    assert not verdict.unresolved


@pytest.mark.parametrize(
    "count", [2, 3, 5, 64, 1023, 1024, 1025, 2047, 2048, 2049, 3 * 1024 + 1, 5 * 1024 + 513]
)
def test_the_files_are_those_of_the_whole_tree(count: int) -> None:
    digests = digests_of(count)
    whole = build_hash_chains(
        [[PartDigest(NAME, digest)] for digest in digests], result_uri=URI, algorithm=SHA512_URI
    )
    result = build_tree_result(tops_of(digests), count)
    assert result == whole.result
    places = {0, 1, count // 2, count - 2, count - 1, *random.Random(count).sample(range(count), 2)}
    for leaf in places:
        chain = chain_of(digests, leaf)
        assert chain == whole.chains[leaf]
        check(result, chain, digests[leaf])


def test_a_single_leaf_makes_a_tree_by_itself() -> None:
    (digest,) = digests = digests_of(1)
    check(build_tree_result(tops_of(digests), 1), chain_of(digests, 0), digest)


def test_a_chain_leads_to_no_other_signature() -> None:
    digests = digests_of(5)
    result = build_tree_result(tops_of(digests), 5)
    with pytest.raises(Exception, match="is not the one in the hash chain"):
        check(result, chain_of(digests, 3), digests[2])


def test_leaves_that_were_altered_have_no_chain() -> None:
    digests = digests_of(1500)
    tops = tops_of(digests)
    block = [*digests[1024:1100], sha512(b"another"), *digests[1101:]]
    with pytest.raises(ValueError, match="block 1 are not those that were stamped"):
        TreeBlock(tops, 1500, 1, block)


@pytest.mark.parametrize(("tops", "leaves"), [(b"", 1), (bytes(64), 1025), (bytes(63), 1)])
def test_tops_of_another_tree_are_refused(tops: bytes, leaves: int) -> None:
    with pytest.raises(ValueError, match="are not the tops of"):
        build_tree_result(tops, leaves)


@pytest.mark.parametrize("block", [[], [bytes(64)] * 1025, [bytes(32)]])
def test_what_is_no_block_is_refused(block: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no block of SHA-512 digests"):
        block_top(block)


def test_a_million_leaves_take_seconds_and_a_thousand_tops() -> None:
    began = time.perf_counter()
    tops = bytearray()
    for number in range(1_000_000 // BLOCK // 20):  # a twentieth, times twenty
        tops += block_top([sha512(number.to_bytes(4, "big"))] * BLOCK)
    assert (time.perf_counter() - began) * 20 < 120
    assert len(tops) * 20 < 70_000
