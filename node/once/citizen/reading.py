"""What another node answers to `findUsage` is judged before a citizen sees it.

A source speaks for itself alone: what it says that it gave must be its own service, what it says
that it fetched must have gone to itself.
"""

from dataclasses import dataclass
from datetime import UTC

import msgspec
from msgspec import UNSET

from node.once.citizen.told import FindUsageAnswer, Part, Usage
from trust.ids import ClientId

_DECODER = msgspec.json.Decoder(FindUsageAnswer)


class WrongAnswer(Exception):
    """An answer that no data tracker may give; the text says why, without data."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one source told.

    Attributes:
        total: uses that it knows of, of which `usages` are the latest.
    """

    source: ClientId
    total: int
    sealed: int
    usages: tuple[Usage, ...]


def read_answer(body: bytes, source: ClientId, most: int) -> Told:
    """Read what answers a question for at most so many uses; raises WrongAnswer."""
    try:
        found = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WrongAnswer("it is not what the protocol prescribes") from error
    if len(found.usages) > most:
        raise WrongAnswer(f"it has more than the {most} uses that were asked for")
    if found.totalUsages < len(found.usages):
        raise WrongAnswer("it has more uses than it counts")
    for usage in found.usages:
        _check_own(usage, source)
    usages = tuple(_in_utc(usage) for usage in found.usages)
    return Told(source, found.totalUsages, found.sealedUsages, usages)


def _in_utc(usage: Usage) -> Usage:
    try:
        return msgspec.structs.replace(usage, logtime=usage.logtime.astimezone(UTC))
    except OverflowError as error:
        raise WrongAnswer("it tells of a time beyond the ends of time") from error


def _check_own(usage: Usage, source: ClientId) -> None:
    """A data tracker that is not of our kind says nothing of this, and need not."""
    if usage.part is UNSET:
        return
    if usage.part is Part.GAVE and not usage.source.startswith(f"{source.path}/"):
        raise WrongAnswer("it tells of what others gave")
    if usage.part is Part.FETCHED and usage.receiver != source.path:
        raise WrongAnswer("it tells of what others fetched")
