"""What judging a signed message costs: alone, and in batches with and without their memory.

    .venv/bin/python -m tests.verify_load

Judged is what a node judges of every message: form, hash chain, coverage, digests, value, signer,
certificate and OCSP response (whose verdicts are remembered in every case). One process, one core.
"""

import sys
import time
from collections.abc import Sequence

from tests.pki import NOON, Pki
from tests.signing import SENDER, Signatory, digests
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, build_hash_chains
from trust.evidence.signature import SignedMessage
from trust.evidence.signature_verifier import judge_signer, verify_content
from trust.evidence.verified_batches import VerifiedBatches
from trust.pki.keys import KeyType
from trust.report import Outcome

MESSAGES = 1200
KINDS: tuple[KeyType, ...] = ("p256", "rsa2048")


def signed(signatory: Signatory, size: int) -> list[SignedMessage]:
    """Messages with a body each; `size` of them under one signature."""
    parts = [
        {"/message.xml": b"message %d" % number, "/attachment1": b"body %d" % number}
        for number in range(MESSAGES)
    ]
    if size == 1:
        return [signatory.direct(one) for one in parts]
    found = []
    for first in range(0, MESSAGES, size):
        leaves = [digests(one) for one in parts[first : first + size]]
        chains = build_hash_chains([list(one.values()) for one in leaves])
        document = signatory.document({SIGNATURE_CHAIN_RESULT_NAME: chains.result})
        found += [
            SignedMessage(document, one, hash_chain_result=chains.result, hash_chain=chain)
            for one, chain in zip(leaves, chains.chains, strict=True)
        ]
    return found


def rate(signatory: Signatory, messages: Sequence[SignedMessage], *, remember: bool) -> float:
    """Messages judged in a second of CPU time."""
    verdicts = VerdictCache()
    batches = VerifiedBatches() if remember else None
    began = time.process_time()
    for message in messages:
        content = verify_content(message, batches=batches)
        report = judge_signer(content, SENDER, signatory.conf, NOON, verdicts)
        if report.verdict is not Outcome.PASSED:
            raise AssertionError(report)
    return len(messages) / (time.process_time() - began)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def run() -> None:
    for kind in KINDS:
        signatory = Signatory(Pki(kind=kind))
        _tell(f"{kind}: alone {rate(signatory, signed(signatory, 1), remember=True):.0f}/s")
        for size in (2, 10, 100):
            messages = signed(signatory, size)
            without = rate(signatory, messages, remember=False)
            remembered = rate(signatory, messages, remember=True)
            _tell(
                f"{kind}: batches of {size}: {without:.0f}/s without memory,"
                f" {remembered:.0f}/s with it"
            )


if __name__ == "__main__":
    run()
