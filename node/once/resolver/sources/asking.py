"""One answer of a source: what it comes to, and the use of somebody's data that it is.

The use is made before the answer is logged, so that both are kept in one commit; the facts count
when that is done.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from catalog.meaning.vocabulary import Concept
from catalog.terms import Refusal
from node.exchange.clients import SpeakingClient
from node.exchange.own_call import OwnAnswer, OwnCall
from node.exchange.own_soap_call import OwnSoapCall
from node.log.sides import Side
from node.log.uses import Classify, DataUse, Pseudonym
from node.once.resolver.planning.plan import PlannedExchange
from node.once.resolver.question import Question
from node.once.resolver.sources.faults import reason_of_fault
from node.once.resolver.sources.source_answer import AnswerReader, Reading
from trust.errors import PeerFault
from trust.ids import ClientId, ServiceId

AskFor = Callable[[SpeakingClient, OwnCall | OwnSoapCall], Awaitable[OwnAnswer]]

_REFUSALS = frozenset(one.value for one in Refusal)


def nowhere(_use: DataUse) -> None:
    """Nobody keeps refused uses."""


@dataclass(frozen=True, slots=True)
class Means:
    """What asking takes.

    Attributes:
        ask_for: `Consumer.ask_for`.
        keep_refused: keeps the uses that sources refused; those that they allowed are kept with
            their answers.
    """

    ask_for: AskFor
    pseudonym: Pseudonym
    classify: Classify
    clock: Callable[[], datetime]
    keep_refused: Callable[[DataUse], None] = nowhere


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact with what proves it.

    Attributes:
        valid_at: when the source's answer was believed.
        reduced_here: whether the source gave its whole answer, of which this node took the fact.
    """

    concept: str
    value: object = field(repr=False)
    service: ServiceId
    valid_at: datetime
    exchange_id: str
    message_id: str
    reduced_here: bool = False


Fresh = Callable[[ServiceId, tuple[str, ...]], int]  # submissions that facts spare


@dataclass(slots=True)
class Asked:
    """One source that is asked for a client.

    Attributes:
        spared: counts the submissions that the facts spare.
    """

    means: Means
    client: ClientId
    question: Question
    exchange: PlannedExchange
    concepts: Mapping[str, Concept]
    spared: Fresh
    _reading: Reading | None = None
    _at: datetime | None = None

    def __call__(self, answer: OwnAnswer) -> DataUse:
        """What the answer is a use of; called once, before it is logged."""
        self._at = at = self.means.clock()
        self._reading = reading = AnswerReader(self.exchange, self.concepts, at).read(answer)
        facts = tuple(reading.facts)
        views = self.exchange.endpoint.view
        use = replace(
            self._use(at, answer.exchange_id, answer.message_id),
            peer=answer.peer,
            grant=reading.said.grant or 0,
            given=facts,
            withheld=reading.said.withheld,
            derived=tuple(
                name
                for concept, name in self.exchange.asked
                if concept in reading.facts and name in views
            ),
            spared=self.spared(self.exchange.service.id, facts),
        )
        return self.means.classify(use)

    def refused(self, fault: PeerFault, exchange_id: str, message_id: str) -> None:
        """Remember that the source refused; other faults are nobody's use."""
        reason, _ = reason_of_fault(fault)
        if exchange_id and reason.value in _REFUSALS:
            use = self._use(self.means.clock(), exchange_id, message_id)
            self.means.keep_refused(self.means.classify(replace(use, refusal=reason.value)))

    def _use(self, at: datetime, exchange_id: str, message_id: str) -> DataUse:
        question = self.question
        return DataUse(
            time=at,
            side=Side.CONSUMER,
            exchange_id=exchange_id,
            message_id=message_id,
            client=self.client,
            service=self.exchange.service.id,
            subject=self.means.pseudonym(question.scheme, question.value),
            intent=replace(question.intent, fields=self.exchange.names),
        )

    def believed(self, answer: OwnAnswer) -> tuple[Reading, tuple[Evidence, ...]]:
        """The facts of an answer that is in the log."""
        reading, at = self._reading, self._at
        if reading is None or at is None:
            raise AssertionError("an answer is looked at before it is logged")
        service = self.exchange.service
        return reading, tuple(
            Evidence(
                concept, value, service.id, at, answer.exchange_id, answer.message_id,
                reading.reduced_here or service.plain,
            )
            for concept, value in reading.facts.items()
        )  # fmt: skip
