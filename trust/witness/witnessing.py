"""What a witness makes of a log's newest checkpoint, given the last one that it has kept.

    larger, proved to continue the kept one     kept from now on, cosigned
    the same                                    cosigned again
    larger, with a proof from elsewhere         the log is told where the witness stands
    smaller, signed before the kept one         an old one, sent again: nothing happens
    smaller, signed after the kept one          alarm: the log has shrunk
    as large, with another root                 alarm: the log has forked
    larger, and the proof does not hold         alarm: the log's past was rewritten

After an alarm the kept checkpoint stays; the two together prove what the log did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trust.errors import EvidenceRejected
from trust.evidence.checkpoints import Checkpoint


class Alarm(StrEnum):
    """What a log did that no log may do."""

    FORK = "fork"  # two roots for one size
    SHRUNK = "shrunk"  # fewer leaves than before
    REWRITTEN = "rewritten"  # the new tree does not begin with the old one
    UNSIGNED = "unsigned"  # the member announced what its log's key did not sign


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm with its reason in words."""

    alarm: Alarm
    text: str


@dataclass(frozen=True, slots=True)
class Behind:
    """The offer does not begin where the witness stands: at this size."""

    size: int


@dataclass(frozen=True, slots=True)
class Continued:
    """The checkpoint is to be kept and cosigned."""


Verdict = Raised | Behind | Continued


def judge(
    kept: Checkpoint | None,
    kept_at: datetime | None,
    offered: Checkpoint,
    offered_at: datetime,
    old: int,
    proof: Sequence[bytes],
) -> Verdict:
    """Judge a checkpoint whose signatures hold.

    Args:
        kept, kept_at: the last one of this log and the log's time in it; None the first time.
        old, proof: of the offer.
    """
    if kept is None or kept_at is None:
        return Continued() if old == 0 and not proof else Behind(0)
    if offered.size < kept.size:
        return _smaller(kept, kept_at, offered, offered_at)
    if offered.size == kept.size:
        if offered.root == kept.root:
            return Continued()
        return Raised(Alarm.FORK, f"two roots for {kept.size} leaves")
    if old != kept.size:
        return Behind(kept.size)
    try:
        offered.check_follows(kept, proof)
    except EvidenceRejected as error:
        return Raised(Alarm.REWRITTEN, error.text)
    return Continued()


def _smaller(
    kept: Checkpoint, kept_at: datetime, offered: Checkpoint, offered_at: datetime
) -> Verdict:
    if offered_at <= kept_at:
        return Behind(kept.size)
    return Raised(
        Alarm.SHRUNK,
        f"{offered.size} leaves at {offered_at:%Y-%m-%dT%H:%M:%SZ},"
        f" {kept.size} at {kept_at:%Y-%m-%dT%H:%M:%SZ}",
    )
