"""Asks the sources of a plan for one subject, side by side, and says what came of it.

    outcome = await resolver.gather(question, client)

An exchange begins as soon as the identifier is known that it names the subject by, so what no
other waits for is a matter of its own. When a source fails, its facts are planned again without it
while there is time. Every value comes with the exchange that proves it; what is missing has its
reason, and one source's failure leaves the others' facts as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from catalog.central.entries import Catalog
from node.exchange.clients import SpeakingClient
from node.exchange.own_call import OwnAnswer, OwnCall, OwnRequest
from node.exchange.own_soap_call import OwnSoapCall
from node.log.sides import Side
from node.log.uses import DataUse
from node.messages.intent import Intent
from node.once.resolver.faults import reason_of_fault
from node.once.resolver.index import CatalogIndex, Indexes
from node.once.resolver.plan import Bounds, Plan, PlannedExchange, Wish, make_plan
from node.once.resolver.question import Question
from node.once.resolver.reasons import Missing, Reason
from node.once.resolver.settings import ResolverSettings
from node.once.resolver.source_answer import AnswerReader, Reading
from node.once.resolver.source_request import build_request
from node.once.resolver.spared import Papers, SparedCount, papers_of, spared_by_all
from trust.errors import MalformedMessage, PeerFault
from trust.ids import ClientId, ServiceId

AskFor = Callable[[SpeakingClient, OwnCall | OwnSoapCall], Awaitable[OwnAnswer]]
CatalogNow = Callable[[], Catalog | None]
Pseudonym = Callable[[str, str], bytes]
Classify = Callable[[DataUse], DataUse]

_FINAL = frozenset(
    {Reason.NO_VALUE, Reason.UNKNOWN_SUBJECT, Reason.WRONG_TYPE, Reason.OWN_NODE}
)  # another source is no better answer to these


class NoCatalog(Exception):
    """This node has not got the catalog yet."""


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a question.

    Attributes:
        plan: as it was made first.
        evidence, missing: in the order of what was wanted; together they are all of it.
        papers: what submissions are counted by.
    """

    plan: Plan
    evidence: tuple[Evidence, ...]
    missing: tuple[Missing, ...]
    papers: Papers

    @property
    def spared(self) -> int:
        """Submissions that the subject was spared."""
        return spared_by_all(self.papers, ((one.service, one.concept) for one in self.evidence))


@dataclass(slots=True)
class Resolver:
    """Finds facts for the clients of this node.

    Attributes:
        ask_for: `Consumer.ask_for`.
    """

    ask_for: AskFor
    catalog: CatalogNow
    pseudonym: Pseudonym
    classify: Classify
    clock: Callable[[], datetime]
    settings: ResolverSettings
    _indexes: Indexes = field(default_factory=Indexes)

    def index(self) -> CatalogIndex:
        """The catalog of now; raises NoCatalog."""
        catalog = self.catalog()
        if catalog is None:
            raise NoCatalog
        return self._indexes.of(catalog)

    def plan(self, index: CatalogIndex, question: Question, client: ClientId) -> Plan:
        return make_plan(index, self._wish(question, client))

    async def gather(
        self, index: CatalogIndex, question: Question, client: SpeakingClient
    ) -> Outcome:
        """Ask for all that is to be had until the deadline."""
        wish = self._wish(question, client.id)
        plan = make_plan(index, wish)
        longest = self.settings.deadline
        deadline = min(question.deadline or longest, longest).total_seconds()
        loop = asyncio.get_running_loop()
        gathering = _Gathering(
            self, index, question, client, wish, frozenset(plan.wanted), loop.time() + deadline,
            SparedCount(papers_of(plan, index.catalog.vocabulary)),
            asyncio.Semaphore(self.settings.side_by_side),
        )  # fmt: skip
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await gathering.carry_out(plan)
        return gathering.outcome(plan)

    def _wish(self, question: Question, client: ClientId) -> Wish:
        return Wish(
            question.concepts,
            question.scheme,
            self.clock().date(),
            question.intent.procedure,
            question.territory,
            frozenset(question.parameters),
            client,
        )


class _Identifiers:
    """The subject's identifiers by scheme: known, or to come."""

    def __init__(self, scheme: str, value: str) -> None:
        self._coming: dict[str, asyncio.Future[str | None]] = {}
        self._stage: dict[str, int] = {scheme: 0}
        self.expect(scheme, 0)
        self.settle(scheme, value)

    def expect(self, scheme: str, stage: int) -> None:
        """Somebody is going to ask for it; exchanges of that stage may use it."""
        if scheme not in self._coming:
            self._coming[scheme] = asyncio.get_running_loop().create_future()
            self._stage[scheme] = stage

    def settle(self, scheme: str, value: str | None) -> None:
        """It is known now, or known not to be had; what was said first stays."""
        if not self._coming[scheme].done():
            self._coming[scheme].set_result(value)

    async def of(self, scheme: str) -> str | None:
        return await asyncio.shield(self._coming[scheme])

    def until(self, stage: int) -> frozenset[str]:
        """The schemes that exchanges of a stage may use without waiting for each other."""
        return frozenset(one for one, begins in self._stage.items() if begins <= stage)


@dataclass(slots=True)
class _Gathering:
    """One question under way."""

    resolver: Resolver
    index: CatalogIndex
    question: Question
    client: SpeakingClient
    wish: Wish
    wanted: frozenset[str]
    deadline: float  # in the loop's time
    spared: SparedCount
    slots: asyncio.Semaphore
    facts: dict[str, Evidence] = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    identifiers: _Identifiers = field(init=False)
    _asking: dict[str, ServiceId] = field(default_factory=dict)
    _territory: "asyncio.Future[str | None]" = field(init=False)

    def __post_init__(self) -> None:
        self.identifiers = _Identifiers(self.wish.scheme, self.question.value)
        self._territory = asyncio.get_running_loop().create_future()

    async def carry_out(self, plan: Plan, begins: int = 0) -> None:
        """Ask all that a plan has.

        Args:
            begins: the stage that its first one counts as.
        """
        for missing in plan.missing:
            self.missing.setdefault(missing.concept, missing)
        exchanges = [replace(one, stage=one.stage + begins) for one in plan.exchanges]
        for one in exchanges:
            for scheme in self._schemes_in(one.concepts):
                self.identifiers.expect(scheme, one.stage + 1)
        async with asyncio.TaskGroup() as group:
            for one in exchanges:
                group.create_task(self._exchange(one, self._levels_behind(plan, one)))
            if plan.deferred:
                group.create_task(self._carry_out_deferred(plan))

    def _schemes_in(self, concepts: Iterable[str]) -> Iterable[str]:
        known = self.index.catalog.vocabulary.concept
        return (scheme for one in concepts if (scheme := known[one].identifies))

    def _levels_behind(self, plan: Plan, exchange: PlannedExchange) -> int:
        """How many exchanges may have to follow one that must be over first."""
        links = any(True for _ in self._schemes_in(exchange.concepts))
        behind = len(plan.stages) - 1 - exchange.stage if links else 0
        territory = self.index.catalog.vocabulary.territory_concept in exchange.concepts
        return max(behind, 0) + (1 if territory and plan.deferred else 0)

    async def _carry_out_deferred(self, plan: Plan) -> None:
        territory = await asyncio.shield(self._territory)
        if territory is None:
            for concept in plan.deferred:
                self.missing.setdefault(concept, Missing(concept, Reason.TERRITORY_UNKNOWN))
            return
        last = len(plan.stages)
        wish = replace(self.wish, concepts=plan.deferred, procedure="", territory=territory)
        known = Bounds(schemes=self.identifiers.until(last))
        await self.carry_out(make_plan(self.index, wish, known), last)

    # --- one exchange -----------------------------------------------------------------------------

    async def _exchange(
        self,
        exchange: PlannedExchange,
        levels: int,
        without: frozenset[ServiceId] = frozenset(),
    ) -> None:
        """Ask one source, and for what it fails to give those that are next."""
        try:
            failed = await self._ask(exchange, levels)
            retried = [one.concept for one in failed if one.reason not in _FINAL]
            if exchange.alternates and retried:
                await self._ask_next(exchange, retried, levels, without)
        finally:
            self._settle(exchange.concepts)

    async def _ask_next(
        self,
        exchange: PlannedExchange,
        concepts: list[str],
        levels: int,
        without: frozenset[ServiceId],
    ) -> None:
        tried = without | {exchange.service.id}
        wish = replace(self.wish, concepts=tuple(concepts), procedure="")
        if self._territory.done() and (territory := self._territory.result()):
            wish = replace(wish, territory=territory)
        schemes = self.identifiers.until(exchange.stage)
        plan = make_plan(self.index, wish, Bounds(schemes, tried, links=False))
        async with asyncio.TaskGroup() as group:
            for one in plan.exchanges:
                at = replace(one, stage=exchange.stage)
                group.create_task(self._exchange(at, levels, tried))

    def _settle(self, concepts: Iterable[str]) -> None:
        """Let those go on that wait for what was asked here, had or not."""
        vocabulary = self.index.catalog.vocabulary
        for concept in concepts:
            value = _as_identifier(self.facts.get(concept))
            if scheme := vocabulary.concept[concept].identifies:
                self.identifiers.settle(scheme, value)
            if concept == vocabulary.territory_concept and not self._territory.done():
                self._territory.set_result(value)

    async def _ask(self, exchange: PlannedExchange, levels: int) -> tuple[Missing, ...]:
        """Ask one source; what it failed to give."""
        identifier = await self.identifiers.of(exchange.scheme)
        if not identifier:
            return self._failed(exchange, Reason.NO_IDENTIFIER, exchange.scheme)
        async with self.slots:
            self._asking |= dict.fromkeys(exchange.concepts, exchange.service.id)
            share = self._share(levels, len(exchange.alternates))
            try:
                async with asyncio.timeout(share):
                    reading = await self._carried(exchange, identifier)
            except TimeoutError:
                return self._failed(exchange, Reason.SOURCE_SLOW)
            except PeerFault as fault:
                return self._failed(exchange, *reason_of_fault(fault))
            except MalformedMessage as error:
                return self._failed(exchange, Reason.BAD_IDENTIFIER, error.text)
        for one in reading.missing:
            self.missing.setdefault(one.concept, one)
        return reading.missing

    def _failed(
        self, exchange: PlannedExchange, reason: Reason, detail: str = ""
    ) -> tuple[Missing, ...]:
        """All of an exchange is missing; the reason of a fact's first source is told."""
        service = exchange.service.id
        found = tuple(Missing(one, reason, detail, service) for one in exchange.concepts)
        for one in found:
            self.missing.setdefault(one.concept, one)
        return found

    def _share(self, levels: int, alternates: int) -> float:
        """Seconds for one source, so that those behind it and instead of it have as much."""
        left = self.deadline - asyncio.get_running_loop().time()
        return max(left, 0.0) / ((levels + 1) * (alternates + 1))

    async def _carried(self, exchange: PlannedExchange, identifier: str) -> Reading:
        request = build_request(
            exchange,
            identifier,
            self.client.id,
            self.question.intent,
            self.question.parameters,
            self.wish.day,
        )
        asked = _Asked(self, exchange, replace(self.question.intent, fields=exchange.names))
        call = (
            OwnCall(request, asked)
            if isinstance(request, OwnRequest)
            else OwnSoapCall(request, asked)
        )
        answer = await self.resolver.ask_for(self.client, call)
        return asked.believe(answer)

    # --- the end ----------------------------------------------------------------------------------

    def outcome(self, plan: Plan) -> Outcome:
        missing = []
        for concept in plan.wanted:
            if concept in self.facts:
                continue
            found = self.missing.get(concept)
            if found is None:
                asked = self._asking.get(concept)
                found = Missing(concept, Reason.SOURCE_SLOW, service=asked)
            missing.append(found)
        others = [one for one in plan.missing if one.concept not in plan.wanted]
        return Outcome(
            plan,
            tuple(self.facts[one] for one in plan.wanted if one in self.facts),
            (*others, *missing),
            self.spared.papers,
        )


@dataclass(slots=True)
class _Asked:
    """One answer: what it comes to, and the use that is logged with it."""

    gathering: _Gathering
    exchange: PlannedExchange
    intent: Intent
    reading: Reading | None = None
    at: datetime | None = None

    def __call__(self, answer: OwnAnswer) -> DataUse:
        """What the answer is a use of; called once, before it is logged."""
        gathering, resolver = self.gathering, self.gathering.resolver
        self.at = resolver.clock()
        concepts = gathering.index.catalog.vocabulary.concept
        self.reading = reading = AnswerReader(self.exchange, concepts, self.at).read(answer)
        question, service = gathering.question, self.exchange.service.id
        fresh = [
            one for one in reading.facts if one in gathering.wanted and one not in gathering.facts
        ]
        spared = 0 if question.preview else gathering.spared.delivered(service, fresh)
        views = self.exchange.endpoint.view
        use = DataUse(
            time=self.at,
            side=Side.CONSUMER,
            exchange_id=answer.exchange_id,
            message_id=answer.message_id,
            client=gathering.client.id,
            service=service,
            peer=answer.peer,
            subject=resolver.pseudonym(question.scheme, question.value),
            intent=self.intent,
            grant=reading.said.grant or 0,
            given=tuple(reading.facts),
            withheld=reading.said.withheld,
            derived=tuple(
                name
                for concept, name in self.exchange.asked
                if concept in reading.facts and name in views
            ),
            spared=spared,
        )
        return resolver.classify(use)

    def believe(self, answer: OwnAnswer) -> Reading:
        """Take the facts of an answer that is in the log."""
        gathering, reading, at = self.gathering, self.reading, self.at
        if reading is None or at is None:
            raise AssertionError("an answer is looked at before it is logged")
        service = self.exchange.service.id
        for concept, value in reading.facts.items():
            gathering.facts[concept] = Evidence(
                concept, value, service, at, answer.exchange_id, answer.message_id,
                reading.reduced_here or self.exchange.service.plain,
            )  # fmt: skip
        return reading


def _as_identifier(evidence: Evidence | None) -> str | None:
    """A single value as a text; None when there is none, or several."""
    value = None if evidence is None else evidence.value
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, bool):
        return None
    return value if isinstance(value, str) else None
