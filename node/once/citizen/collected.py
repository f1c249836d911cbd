"""What all sources told, put together: each use once, the latest first."""

from collections.abc import Sequence
from dataclasses import dataclass

from node.once.citizen.reading import Told
from node.once.citizen.sources import Source, Standing
from node.once.citizen.told import Part, Usage
from trust.ids import ClientId

MOST_SHOWN = 2000  # uses


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking one source.

    Attributes:
        reason: for people, where it did not answer.
        told: what it told; None where it did not.
    """

    source: Source
    standing: Standing
    reason: str = ""
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """The uses of one citizen's data, as far as they are known.

    Attributes:
        usages: with who told them.
        more: uses that sources know of beyond those that they told.
        sealed: uses that are never shown.
        asked: every source, those that did not answer among them.
    """

    usages: tuple[tuple[ClientId, Usage], ...]
    more: int
    sealed: int
    asked: tuple[Asked, ...]

    @property
    def complete(self) -> bool:
        return all(one.standing in (Standing.ANSWERED, Standing.PLAIN) for one in self.asked)


def collect(asked: Sequence[Asked]) -> Collected:
    """Put together what was told.

    A use that both sides of an exchange tell of is the giver's: a node may have become one of our
    kind after another began to tell for it.
    """
    told = [one.told for one in asked if one.told is not None]
    given = {_exchange(usage) for one in told for usage in one.usages if usage.part is Part.GAVE}
    usages = [
        (one.source, usage)
        for one in told
        for usage in one.usages
        if not (usage.part is Part.FETCHED and _exchange(usage) in given)
    ]
    usages.sort(key=lambda pair: pair[1].logtime, reverse=True)
    hidden = max(0, len(usages) - MOST_SHOWN)
    more = sum(one.total - len(one.usages) for one in told) + hidden
    sealed = sum(one.sealed for one in told)
    return Collected(tuple(usages[:MOST_SHOWN]), more, sealed, tuple(asked))


def _exchange(usage: Usage) -> tuple[str, str, str]:
    return (usage.exchangeId, usage.source, usage.receiver)
