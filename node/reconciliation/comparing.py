"""Two nodes compare a day: from the whole down to the first exchange on which they differ.

Each step asks the other node for one range and goes on in its first part that differs, so what is
asked grows with the depth of the tree alone; no message and no exchange of others is told. What
the other node says must fit what it said before. It may still say what it likes of its own log:
then it is told as a difference.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from node.exchange.own_call import OwnAnswer
from node.log.messagelog import MessageLog
from node.log.records import Side
from node.reconciliation.counting import held
from node.reconciliation.counts import Count, Counts
from node.reconciliation.differences import Difference, Kind, explain
from node.reconciliation.wire import (
    Answer,
    Comparison,
    Counting,
    ExchangeQuestion,
    Held,
    Question,
    RangeQuestion,
    Refused,
    check_said,
    parse_answer,
)
from trust.errors import MalformedMessage, SacbeError
from trust.evidence.exchange_tree import (
    KEY_SIZE,
    Differing,
    Range,
    differing_entries,
    differing_parts,
)
from trust.ids import ServerId

MOST_QUESTIONS = 2000
MOST_LOST = 100  # lost answers that are passed over in search of a difference that is worse
_PATIENCE = 3600.0  # seconds, for the other node to count
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds

Ask = Callable[[str], Awaitable[OwnAnswer]]  # by the query of a question


class NoComparison(SacbeError):
    """The two nodes could not be compared; the text says why."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison came to.

    Attributes:
        mine, theirs: the whole of what each node holds of the day.
        difference: the first one; one that is no lost answer before any that is.
        lost: answers that the consumer's node does not hold, as far as they were met.
        questions: to the other node.
    """

    mine: Range
    theirs: Range
    difference: Difference | None
    lost: tuple[Difference, ...]
    questions: int


@dataclass(slots=True)
class Comparer:
    """Compares one day with one node.

    Attributes:
        server: this node.
        tell: is given a line of progress now and then.
    """

    server: ServerId
    peer: ServerId
    of: Comparison
    counts: Counts
    log: MessageLog
    ask: Ask
    tell: Callable[[str], Awaitable[None]]
    questions: int = 0
    _count: Count | None = field(default=None)

    async def run(self) -> Compared:
        """Count here and there, compare; raises NoComparison, StorageError, ExchangeError."""
        theirs, self._count = await _both(self._first_answer(), self._own_count())
        mine = await self._mine(b"")
        lost: list[Difference] = []
        difference: Difference | None = None
        if (mine.count, mine.hash) != (theirs.count, theirs.hash):
            difference = await self._first_difference(mine, theirs, lost)
        return Compared(
            mine, theirs, difference or next(iter(lost), None), tuple(lost), self.questions
        )

    async def _first_difference(
        self, mine: Range, theirs: Range, lost: list[Difference]
    ) -> Difference | None:
        async for found in self._within(mine, theirs):
            difference = await self._explained(found)
            if difference.kind is Kind.ANSWER_LOST:
                lost.append(difference)
                if len(lost) >= MOST_LOST:
                    return None
            elif difference.kind is not Kind.SETTLED:
                return difference
        return None

    # --- the way down -----------------------------------------------------------------------------

    async def _within(self, mine: Range, theirs: Range) -> AsyncIterator[Differing]:
        """The exchanges of a range on which the two differ, in order."""
        if not mine.parts and not theirs.parts:
            for entry in differing_entries(mine.entries, theirs.entries):
                yield entry
            return
        shown = {one.prefix: one for one in theirs.split()}
        for ours, others in differing_parts(mine, theirs):
            prefix = mine.prefix + bytes((ours.byte,))
            here = await self._mine(prefix) if ours.count else Range(prefix)
            there = shown.get(prefix, Range(prefix))
            if theirs.parts and others.count:
                there = await self._theirs(prefix)
                check_said(there, others)
            async for found in self._within(here, there):
                yield found

    async def _mine(self, prefix: bytes) -> Range:
        if self._count is None:
            raise AssertionError("nothing was counted")
        return await self.counts.range_of(self._count, prefix)

    async def _theirs(self, prefix: bytes) -> Range:
        if len(prefix) >= KEY_SIZE:
            raise MalformedMessage("It names more exchanges in a range than there can be")
        found = await self._answer(RangeQuestion(self.of, prefix))
        if not isinstance(found, Range):
            raise MalformedMessage("It has counted and now says something else")
        return found

    async def _explained(self, found: Differing) -> Difference:
        """What both nodes hold of an exchange now."""
        entry = found.entry
        asked_here = entry.consumer == str(self.server)
        consumer = self.server if asked_here else self.peer
        side = Side.CONSUMER if asked_here else Side.PROVIDER
        theirs = await self._answer(ExchangeQuestion(self.of, entry.exchange_id, consumer))
        if not isinstance(theirs, Held):
            raise MalformedMessage("It does not say what it holds of an exchange")
        mine = await held(self.log, self.peer, side, entry.exchange_id)
        return explain(entry, str(self.server), mine, str(self.peer), theirs)

    # --- questions --------------------------------------------------------------------------------

    async def _first_answer(self) -> Range:
        """Have the other node count, and wait for it."""
        deadline = time.monotonic() + _PATIENCE
        pause = _FIRST_PAUSE
        while True:
            found = await self._answer(RangeQuestion(self.of, b""))
            if isinstance(found, Range):
                return found
            if isinstance(found, Refused):
                raise NoComparison(f"{self.peer} can't be compared with: {found.reason}")
            if not isinstance(found, Counting):
                raise MalformedMessage("It answers another question")
            if time.monotonic() + pause > deadline:
                raise NoComparison(f"{self.peer} did not come to an end of counting")
            await self.tell(f"the other node has looked at {found.messages} messages")
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    async def _answer(self, question: Question) -> Answer:
        self.questions += 1
        if self.questions > MOST_QUESTIONS:
            raise NoComparison(f"No end was found with {MOST_QUESTIONS} questions")
        prefix = question.prefix if isinstance(question, RangeQuestion) else b""
        answer = await self.ask(question.query)
        if answer.status != 200:
            raise NoComparison(f"{self.peer} answered with status {answer.status}")
        found = parse_answer(answer.body, prefix)
        servers = (str(self.server), str(self.peer))
        if isinstance(found, Range) and any(one.consumer not in servers for one in found.entries):
            raise MalformedMessage("It names an exchange of somebody else")
        return found

    async def _own_count(self) -> Count:
        found = await self.counts.claim(self.peer, self.of, own=True)
        while not isinstance(found, int):
            if isinstance(found, Refused):
                raise NoComparison(found.reason)
            await asyncio.sleep(_FIRST_PAUSE)
            found = await self.counts.claim(self.peer, self.of, own=True)
        await self.counts.fill(found, self.peer, self.of)
        count = await self.counts.claim(self.peer, self.of, own=True)
        if not isinstance(count, Count) or not count.done:
            reason = count.failure if isinstance(count, Count) else "the count was lost"
            raise NoComparison(f"This node could not count: {reason}")
        return count


async def _both(theirs: Awaitable[Range], mine: Awaitable[Count]) -> tuple[Range, Count]:
    """Both at the same time; should one fail, the other is given up."""
    tasks = asyncio.ensure_future(theirs), asyncio.ensure_future(mine)
    try:
        return await tasks[0], await tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
