"""The leaf of a record in its node's log, computed from the record's container alone.

Source: evidence_leaf.py; signatures.md 5.5, 8.2.
"""

from trust.digests import SHA512_URI, sha512
from trust.errors import EvidenceRejected
from trust.evidence.asic import Container
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.evidence.hashchain_files import parse_chain
from trust.evidence.stamped_signature import remove_timestamp


def leaf_of_container(container: Container) -> bytes:
    """The leaf hash under which a node logged this message; raises EvidenceRejected.

    A time-stamp that was put into the signature later is no part of it. Bodies that were not kept
    are known by their digests in the hash chain; whether those are signed is another question.
    """
    chain_result, chain = container.signature_chain_result, container.signature_chain
    data = leaf_data(
        sha512(container.message),
        sha512(remove_timestamp(container.signature)),
        None if chain_result is None else sha512(chain_result),
        None if chain is None else sha512(chain),
        attachment_digests(container),
    )
    return leaf_hash(data)


def attachment_digests(container: Container) -> tuple[bytes, ...]:
    """SHA-512 of every attachment in order, of absent ones as the hash chain has it.

    Raises EvidenceRejected for a chain that can't be read, or one that names an attachment and not
    those before it.
    """
    found = {part.name: part.digests[SHA512_URI] for part in container.attachments}
    if container.signature_chain is not None:
        for step in parse_chain(container.signature_chain).values():
            for entry in step:
                if entry.kind == "DataRef" and entry.algorithm == SHA512_URI:
                    found.setdefault(entry.uri.removeprefix("/"), entry.digest)
    digests: list[bytes] = []
    while (digest := found.pop(f"attachment{len(digests) + 1}", None)) is not None:
        digests.append(digest)
    if any(name.startswith("attachment") for name in found):
        raise EvidenceRejected("The attachments are not numbered from 1 on", "invalid_reference")
    return tuple(digests)
