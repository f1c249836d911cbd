"""What a difference between two nodes comes to, in words: from what each of them holds now."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from node.reconciliation.wire import Held
from trust.evidence.exchange_tree import Entry


class Kind(StrEnum):
    """How an exchange differs.

    An answer that is not at the consumer's node may have been lost on its way there; the others
    can't come about but by a change of one of the logs.
    """

    NOT_THERE = "not-there"  # the other node has nothing of it
    NOT_HERE = "not-here"
    ANSWER_LOST = "answer-lost"  # the consumer's node has the request and no answer
    INCOMPLETE = "incomplete"  # another message is missing at one of the two
    DIFFERENT = "different"  # the two have other bytes
    SETTLED = "settled"  # by now both have the same


@dataclass(frozen=True, slots=True)
class Difference:
    """One exchange on which two nodes differ.

    Attributes:
        consumer: the server whose client asked, in text form.
        second: of the day in which the request was signed.
    """

    kind: Kind
    exchange_id: str
    consumer: str
    second: int
    text: str


@dataclass(frozen=True, slots=True)
class _Side:
    server: str
    held: Held


def explain(entry: Entry, own: str, mine: Held, peer: str, theirs: Held) -> Difference:
    """Say in words how an exchange differs.

    Args:
        own, peer: this node and the other one, in text form.
    """
    kind, text = _judge(entry.consumer == own, _Side(own, mine), _Side(peer, theirs))
    return Difference(kind, entry.exchange_id, entry.consumer, entry.second, text)


def _judge(asked_here: bool, here: _Side, there: _Side) -> tuple[Kind, str]:
    mine, theirs = here.held, there.held
    if mine == theirs:
        return Kind.SETTLED, "both nodes hold the same of it by now"
    if theirs == Held():
        return Kind.NOT_THERE, f"{there.server} holds nothing of it"
    if mine == Held():
        return Kind.NOT_HERE, f"{here.server}, this node, holds nothing of it"
    consumer, provider = (here, there) if asked_here else (there, here)
    asked, answered = consumer.held, provider.held
    if asked.request == answered.request and answered.response and not asked.response:
        return Kind.ANSWER_LOST, (
            f"{consumer.server} holds the request and no answer: it was lost on its way there,"
            " or removed"
        )
    missing = [
        f"{side.server} does not hold the {name}"
        for side in (consumer, provider)
        for name, messages in _directions(side.held)
        if not messages
    ]
    if missing:
        return Kind.INCOMPLETE, "; ".join(missing)
    return Kind.DIFFERENT, "; ".join(_differences(mine, theirs))


def _directions(held: Held) -> tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]:
    return ("request", held.request), ("answer", held.response)


def _differences(mine: Held, theirs: Held) -> Iterator[str]:
    for (name, ours), (_, others) in zip(_directions(mine), _directions(theirs), strict=True):
        if len(ours) != len(others):
            yield f"there are {len(ours)} {name}s here and {len(others)} at the other node"
        elif ours != others:
            parts = sorted(
                {part for pair in zip(ours, others, strict=True) for part in _parts(pair)}
            )
            yield f"the {name} has another {' and another '.join(parts)} here than there"


def _parts(leaves: tuple[str, str]) -> Iterator[str]:
    """The parts of a message that differ, from the texts of two leaves."""
    ours, others = (dict(_lines(leaf)) for leaf in leaves)
    for name in ours.keys() | others.keys():
        if ours.get(name) != others.get(name):
            yield name.replace("-", " ")


def _lines(leaf: str) -> Iterator[tuple[str, str]]:
    for line in leaf.splitlines():
        name, _, digest = line.partition(" ")
        if name.replace("-", "").isalnum():
            yield name[:40], digest
