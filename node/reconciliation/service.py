"""`sacbe-reconcile`: what a node tells another one about the exchanges between the two of them.

The caller names a server and must be the member that owns it; it is told of exchanges with that
server alone. Counting takes its time, so a caller is asked to come again until it is done.
"""

import asyncio
from dataclasses import dataclass, field

from catalog.services import ServiceType
from node.exchange.builtin import Call, RestAnswer
from node.log.messagelog import MessageLog
from node.log.records import Side
from node.reconciliation.counting import held
from node.reconciliation.counts import Count, Counts
from node.reconciliation.wire import (
    MOST_HELD,
    SERVICE_CODE,
    Answer,
    Counting,
    ExchangeQuestion,
    Held,
    RangeQuestion,
    Refused,
    build_answer,
    parse_question,
)
from trust.errors import AccessDenied
from trust.ids import ServerId

_AT_ONCE = 2  # days that are counted at the same time, for whoever asks


@dataclass(slots=True)
class ReconciliationService:
    """Answers the nodes that this one exchanged messages with.

    Attributes:
        server: this node.
    """

    server: ServerId
    counts: Counts
    log: MessageLog
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def type(self) -> ServiceType:
        return ServiceType.REST

    def takes(self, call: Call) -> bool:
        return call.is_rest("GET", SERVICE_CODE)

    def check_access(self, call: Call) -> None:
        """Only the owner of a registered server may ask, and only about that server."""
        server = parse_question(call.head.query or "").of.server
        known = call.snapshot.conf.server(server, call.snapshot.at) is not None
        if not known or call.request.client != server.owner or server == self.server:
            raise AccessDenied(f"Request is not allowed: {call.request.service}")

    async def answer(self, call: Call) -> RestAnswer:
        """Answer a verified call; raises MalformedMessage and StorageError."""
        question = parse_question(call.head.query or "")
        if isinstance(question, RangeQuestion):
            found = await self._range(question)
        else:
            found = await self._exchange(question)
        return RestAnswer.json(build_answer(found))

    async def close(self) -> None:
        """Stop counting."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _range(self, question: RangeQuestion) -> Answer:
        peer = question.of.server
        may_begin = len(self._tasks) < _AT_ONCE
        found = await self.counts.claim(peer, question.of, own=False, may_begin=may_begin)
        if isinstance(found, int):
            task = asyncio.create_task(self.counts.fill(found, peer, question.of), name="counting")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return Counting(0)
        if not isinstance(found, Count):
            return found
        if found.failure is not None:
            return Refused(found.failure)
        if not found.done:
            return Counting(found.messages)
        return await self.counts.range_of(found, question.prefix)

    async def _exchange(self, question: ExchangeQuestion) -> Answer:
        """By its id alone: an exchange is told whatever day it belongs to."""
        if question.consumer not in (self.server, question.of.server):
            return Held()
        side = Side.CONSUMER if question.consumer == self.server else Side.PROVIDER
        found = await held(self.log, question.of.server, side, question.exchange_id)
        return Held(found.request[:MOST_HELD], found.response[:MOST_HELD])
