"""Finds facts about a subject: plans, asks the sources side by side, says what came of it.

    outcome = await resolver.gather(index, question, client)

Every value comes with the exchange that proves it; what is missing has its reason.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from catalog.central.entries import CatalogNow
from node.exchange.clients import SpeakingClient
from node.once.resolver.planning.index import CatalogIndex, Indexes
from node.once.resolver.planning.plan import Plan, Wish, make_plan
from node.once.resolver.question import Question
from node.once.resolver.settings import ResolverSettings
from node.once.resolver.sources.asking import Means
from node.once.resolver.sources.gathering import Gathering, Outcome
from node.once.resolver.spared import SparedCount, papers_of
from trust.ids import ClientId


class NoCatalog(Exception):
    """This node has not got the catalog yet."""


@dataclass(slots=True)
class Resolver:
    """Finds facts for the clients of this node."""

    means: Means
    catalog: CatalogNow
    settings: ResolverSettings
    _indexes: Indexes = field(default_factory=Indexes)

    async def index(self) -> CatalogIndex:
        """The catalog of now, put in order beside the event loop; raises NoCatalog."""
        catalog = self.catalog()
        if catalog is None:
            raise NoCatalog
        index = self._indexes.of(catalog)
        if not index.prepared:
            await asyncio.to_thread(index.prepare)
        return index

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
        gathering = Gathering(
            self.means,
            index,
            question,
            client,
            wish,
            frozenset(plan.wanted),
            loop.time() + deadline,
            SparedCount(papers_of(plan, index.catalog.vocabulary)),
            asyncio.Semaphore(self.settings.side_by_side),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await gathering.carry_out(plan)
        return gathering.outcome(plan)

    def _wish(self, question: Question, client: ClientId) -> Wish:
        return Wish(
            question.concepts,
            question.scheme,
            self.means.clock().date(),
            question.intent.procedure,
            question.territory,
            frozenset(question.parameters),
            client,
        )
