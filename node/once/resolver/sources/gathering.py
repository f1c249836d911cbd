"""One question under way: the exchanges of its plan, those instead of failed ones, what came of it.

An exchange begins as soon as the identifier is known that it names the subject by, so what no
other waits for is a matter of its own. When a source fails, its facts are planned again without it
while there is time. One source's failure leaves the others' facts as they are.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from node.exchange.clients import SpeakingClient
from node.exchange.own_call import OwnCall, OwnRequest
from node.exchange.own_soap_call import OwnSoapCall
from node.once.resolver.planning.index import CatalogIndex
from node.once.resolver.planning.plan import Bounds, Plan, PlannedExchange, Wish, make_plan
from node.once.resolver.planning.reasons import Missing, Reason
from node.once.resolver.question import Question
from node.once.resolver.sources.asking import Asked, Evidence, Means
from node.once.resolver.sources.faults import reason_of_fault
from node.once.resolver.sources.identifiers import Identifiers
from node.once.resolver.sources.source_answer import Reading
from node.once.resolver.sources.source_request import build_request
from node.once.resolver.spared import Papers, SparedCount, spared_by_all
from trust.errors import MalformedMessage, PeerFault
from trust.ids import ServiceId

_FINAL = frozenset(
    {Reason.NO_VALUE, Reason.UNKNOWN_SUBJECT, Reason.WRONG_TYPE, Reason.OWN_NODE}
)  # another source is no better answer to these
_LONGEST_IDENTIFIER = 255  # characters, as of a subject that is asked for


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
class Gathering:
    """One question under way."""

    means: Means
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
    identifiers: Identifiers = field(init=False)
    _asking: dict[str, ServiceId] = field(default_factory=dict)
    _territory: "asyncio.Future[str | None]" = field(init=False)

    def __post_init__(self) -> None:
        self.identifiers = Identifiers(self.wish.scheme, self.question.value)
        self._territory = asyncio.get_running_loop().create_future()

    async def carry_out(self, plan: Plan, begins: int = 0) -> None:
        """Ask all that a plan has.

        Args:
            begins: the stage that its first one counts as.
        """
        for missing in plan.missing:
            self.missing.setdefault(missing.concept, missing)
        for one in plan.exchanges:
            for scheme in self._schemes_in(one.concepts):
                self.identifiers.expect(scheme, one.stage + begins + 1)
        async with asyncio.TaskGroup() as group:
            for one in plan.exchanges:
                at = replace(one, stage=one.stage + begins)
                group.create_task(self._exchange(at, self._levels_behind(plan, one)))
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
        question, client = self.question, self.client
        concepts = self.index.catalog.vocabulary.concept
        asked = Asked(self.means, client.id, question, exchange, concepts, self._spared_by)
        request = build_request(
            exchange, identifier, client.id, question.intent, question.parameters, self.wish.day
        )
        call = (
            OwnCall(request, asked)
            if isinstance(request, OwnRequest)
            else OwnSoapCall(request, asked)
        )
        try:
            answer = await self.means.ask_for(client, call)
        except PeerFault as fault:
            asked.refused(fault, *call.ids)
            raise
        reading, evidence = asked.believed(answer)
        self.facts |= {one.concept: one for one in evidence}
        return reading

    def _spared_by(self, service: ServiceId, concepts: tuple[str, ...]) -> int:
        """Submissions that fresh facts spare; none while the citizen has to confirm them."""
        if self.question.preview:
            return 0
        fresh = [one for one in concepts if one in self.wanted and one not in self.facts]
        return self.spared.delivered(service, fresh)

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


def _as_identifier(evidence: Evidence | None) -> str | None:
    """A single value as a text; None when there is none, or several."""
    value = None if evidence is None else evidence.value
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_IDENTIFIER:
        return None  # nothing that may stand in a request of ours
    return str(value)  # a number as a plain text
