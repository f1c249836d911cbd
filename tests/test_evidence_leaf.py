"""The leaf of a message: the same from its parts in memory and from whoever has its container."""

import hashlib

import pytest

from trust.digests import sha512
from trust.evidence.evidence_leaf import leaf_data, leaf_hash

DIGEST = sha512(b"any")


def test_a_leaf_names_every_part_in_order() -> None:
    data = leaf_data(
        sha512(b"message"), sha512(b"signature"), sha512(b"result"), sha512(b"chain"),
        [sha512(b"first"), sha512(b"second")],
    )  # fmt: skip
    assert data.decode("ascii") == "".join(
        f"{line}\n"
        for line in (
            "sacbe leaf 1",
            f"message {hashlib.sha512(b'message').hexdigest()}",
            f"signature {hashlib.sha512(b'signature').hexdigest()}",
            f"hash-chain-result {hashlib.sha512(b'result').hexdigest()}",
            f"hash-chain {hashlib.sha512(b'chain').hexdigest()}",
            f"attachment1 {hashlib.sha512(b'first').hexdigest()}",
            f"attachment2 {hashlib.sha512(b'second').hexdigest()}",
        )
    )


def test_a_plain_message_has_two_parts() -> None:
    lines = leaf_data(DIGEST, DIGEST).splitlines()
    assert [line.split()[0] for line in lines] == [b"sacbe", b"message", b"signature"]


def test_no_two_messages_share_a_leaf() -> None:
    other = sha512(b"other")
    texts = [
        leaf_data(DIGEST, other),
        leaf_data(other, DIGEST),
        leaf_data(DIGEST, other, DIGEST),
        leaf_data(DIGEST, other, None, DIGEST),
        leaf_data(DIGEST, other, None, None, [DIGEST]),
        leaf_data(DIGEST, other, None, None, [DIGEST, DIGEST]),
    ]
    assert len({leaf_hash(text) for text in texts}) == len(texts)


def test_the_hash_is_that_of_certificate_transparency() -> None:
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"  # RFC 6962's empty leaf
    )


def test_what_is_no_sha512_is_refused() -> None:
    with pytest.raises(ValueError, match="the digest of attachment1 has 32 bytes, not 64"):
        leaf_data(DIGEST, DIGEST, None, None, [bytes(32)])
