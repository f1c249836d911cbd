"""Whether the messages of a receipt are in the log of the node that made it.

    record  →  leaf  →  (inclusion proof)  →  checkpoint  ←  log's key  ←  announcement  ←  owner

The leaf is computed from the container. The checkpoint is signed by the key of the log, and whose
key that is the owner of the node says in an announcement, signed as its messages are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.asic import Container
from trust.evidence.checkpoints import InclusionProof
from trust.evidence.container import ContainerVerdict
from trust.evidence.container_leaf import leaf_of_container
from trust.receipts.receipts import INCONSISTENT, Receipt
from trust.report import Check, Outcome, failed, indeterminate, passed, warning
from trust.witness.announcement import Announcement, check_checkpoint, read_announcement

NO_LOG_KEY = "missing_log_key"
_KEY = "log_key"


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What is proven about the log; `places` say in words where the messages stand in it."""

    checks: tuple[Check, ...]
    places: tuple[str, ...] = field(default=())


Announced = Announcement | Check  # or the check that says why there is none


def without_proof(receipt: Receipt) -> LogVerdict:
    """A receipt without any proof says so, and so does its verdict."""
    reason = receipt.without_proof or "the receipt gives no reason"
    return LogVerdict((warning("log", f"No proof that it is in the node's log: {reason}"),))


def unannounced() -> Check:
    text = "Nothing says whose the key is that signs the log's checkpoints"
    return indeterminate(_KEY, NO_LOG_KEY, text)


def announcement_in(
    container: Container | None, verdict: ContainerVerdict, issuer: str
) -> Announced:
    """The announcement of the key of the log of `issuer` (path form), or why it is not believed."""
    if container is None or verdict.verdict is not Outcome.PASSED or verdict.signer is None:
        return Check(_KEY, verdict.verdict, verdict.reason, verdict.code)
    try:
        announcement = read_announcement(container.message, verdict.signer)
    except (MalformedMessage, EvidenceRejected) as error:
        return failed(_KEY, error.code, error.text)
    if announcement.server.path != issuer:
        text = f"The log is that of {announcement.server.path}, the receipt of {issuer}"
        return failed(_KEY, INCONSISTENT, text)
    return announcement


def check_log(
    receipt: Receipt, proofs: Mapping[str, Container | None], announced: Announced
) -> LogVerdict:
    """Check every proof that the receipt has.

    Args:
        proofs: for the name of each proof that may be there, the container that it is about; None
            where that could not be read.
    """
    checks = [announced if isinstance(announced, Check) else _told(announced)]
    places = []
    for name, container in proofs.items():
        what = name.removeprefix("log/").removesuffix(".proof")
        if name not in receipt.files:
            checks.append(warning(f"{what}_logged", "The receipt has no proof for it"))
        elif container is None:
            checks.append(Check(f"{what}_logged", Outcome.SKIPPED, "An earlier check failed"))
        else:
            check = _check(f"{what}_logged", receipt.files[name], container, announced)
            checks.append(check)
            if check.outcome is Outcome.PASSED:
                places.append(f"{what}: {check.detail}")
    return LogVerdict(tuple(checks), tuple(places))


def _told(announcement: Announcement) -> Check:
    owner, key = announcement.server.owner, announcement.key.text
    return passed(_KEY, f"{owner} says that its node's log is signed by {key}")


def _check(name: str, raw: bytes, container: Container, announced: Announced) -> Check:
    try:
        proof = InclusionProof.parse(raw)
        checkpoint = proof.check(leaf_of_container(container))
        if isinstance(announced, Check):
            text = "The proof leads to a checkpoint, and whose that is is not proven"
            return indeterminate(name, NO_LOG_KEY, text)
        _, at = check_checkpoint(proof.note, announced.key)
    except (MalformedMessage, EvidenceRejected) as error:
        return failed(name, error.code, error.text)
    return passed(name, _place(proof.index, checkpoint.size, announced, at))


def _place(index: int, size: int, announced: Announcement, at: datetime) -> str:
    log = announced.server.path
    return (
        f"number {index} of the {size} records that the log of {log} had at {at:%Y-%m-%d %H:%M:%S}Z"
    )
