"""The leaf of a message in the log's Merkle tree: a digest of everything that proves the message.

A leaf is computed when the record is written and again by whoever holds the message's container,
so that both may be compared. Its form is text, a line for each part:

    sacbe leaf 1
    message <SHA-512 of message.xml in hex>
    signature <SHA-512 of the signature file, as it was before a time-stamp was put into it>
    hash-chain-result <SHA-512 of sig-hashchainresult.xml>      with a batch signature
    hash-chain <SHA-512 of sig-hashchain.xml>                   with a batch signature
    attachment1 <SHA-512 of the attachment>                     and so on, in order

Source: RFC 6962 2.1 for the hash.
"""

import hashlib
from collections.abc import Sequence

_FIRST_LINE = "sacbe leaf 1"
_DIGEST_SIZE = hashlib.sha512().digest_size


def leaf_data(
    message_digest: bytes,
    signature_digest: bytes,
    chain_result_digest: bytes | None = None,
    chain_digest: bytes | None = None,
    attachment_digests: Sequence[bytes] = (),
) -> bytes:
    """The text of a leaf; raises ValueError for what is no SHA-512."""
    parts = [("message", message_digest), ("signature", signature_digest)]
    if chain_result_digest is not None:
        parts.append(("hash-chain-result", chain_result_digest))
    if chain_digest is not None:
        parts.append(("hash-chain", chain_digest))
    parts += ((f"attachment{place}", each) for place, each in enumerate(attachment_digests, 1))
    lines = [_FIRST_LINE]
    for name, digest in parts:
        if len(digest) != _DIGEST_SIZE:
            raise ValueError(f"the digest of {name} has {len(digest)} bytes, not {_DIGEST_SIZE}")
        lines.append(f"{name} {digest.hex()}")
    return "\n".join([*lines, ""]).encode("ascii")


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf: SHA-256 with a zero byte in front, which no inner node has."""
    return hashlib.sha256(b"\0" + data).digest()
