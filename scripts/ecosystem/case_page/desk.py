"""What the page does: opens cases, fetches and judges proofs, asks who used somebody's data."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from scripts.ecosystem.case_page.cases import OFFICIAL, Case, Cases, Told
from scripts.ecosystem.case_page.places import Places
from scripts.ecosystem.case_page.proofs import Proof, judge_receipt
from scripts.ecosystem.case_page.used import Used, read_used
from scripts.ecosystem.case_page.words import Words, fetch_words
from scripts.ecosystem.case_system import Answer, CaseSystem, Fact, Question
from scripts.ecosystem.concepts import NATIONAL_ID
from scripts.ecosystem.institutions import CITIZENS, CIVIL, MUNI
from scripts.people import Person
from trust.configuration.confparts import parse_anchor
from trust.errors import SacbeError
from trust.globalconf import Anchor

USAGE = "/once/v1/usage"
_JUDGED_AT_ONCE = 2  # receipts: each takes a processor


@dataclass(slots=True)
class Desk:
    """Everything that needs the nodes.

    Attributes:
        anchor: whose trust lists are believed in receipts.
    """

    session: aiohttp.ClientSession
    places: Places
    anchor: Anchor
    cases: Cases = field(default_factory=Cases)
    _judging: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_JUDGED_AT_ONCE))

    @property
    def system(self) -> CaseSystem:
        return CaseSystem(self.session, self.places.node(MUNI).url)

    async def words(self) -> Words:
        """Names of facts and procedures; raises as `fetch_words`."""
        return await fetch_words(self.system)

    # --- cases ------------------------------------------------------------------------------------

    async def open(self, procedure: str, person: Person) -> Case:
        """Open a case; raises as `CaseSystem.gather`."""
        return await self._ask(self.cases.new_number(), procedure, person)

    async def ask_again(self, case: Case) -> Case:
        """Ask for a case's facts once more: a right may have come or gone."""
        return await self._ask(case.number, case.procedure, case.person)

    async def _ask(self, number: str, procedure: str, person: Person) -> Case:
        question = Question(procedure, person.national_id, number, OFFICIAL)
        answer = await self.system.gather(question)
        told = await self._told(answer)
        case = Case(number, person, procedure, datetime.now(UTC), answer, told)
        self.cases.keep(case)
        return case

    async def _told(self, answer: Answer) -> Mapping[str, Told]:
        facts = answer.exchanges
        told = await asyncio.gather(*(self._said(fact) for fact in facts))
        return {fact.exchange_id: one for fact, one in zip(facts, told, strict=True)}

    async def _said(self, fact: Fact) -> Told:
        """What the source's node said of its answer, out of the signed message itself."""
        try:
            wire = await self.system.response(fact)
        except SacbeError as error:
            return Told(problem=str(error))
        return Told(wire.given, wire.withheld)

    # --- proofs -----------------------------------------------------------------------------------

    async def receipt(self, fact: Fact) -> bytes:
        return await self.system.receipt(fact)

    async def judge(self, case: Case, fact: Fact) -> Proof:
        """Fetch the receipt of an exchange and judge it here, by the anchor alone."""
        raw = await self.receipt(fact)
        facts, at = case.facts_of(fact.exchange_id), datetime.now(UTC)
        async with self._judging:
            proof = await asyncio.to_thread(judge_receipt, raw, case.number, facts, self.anchor, at)
        case.proofs[fact.exchange_id] = proof
        return proof

    # --- the citizen ------------------------------------------------------------------------------

    async def used(self, person: Person) -> Used:
        """Who used a person's data, as all nodes tell the citizens' portal."""
        query = urlencode({"scheme": NATIONAL_ID, "value": person.national_id})
        headers = {"X-Road-Client": CITIZENS.path, "X-Road-UserId": person.national_id}
        portal = replace(self.system, node=self.places.node(CIVIL).url)
        return read_used(await portal.fetch(f"{USAGE}?{query}", headers))


def read_anchor(path: Path) -> Anchor:
    """Raises OSError and MalformedMessage."""
    return parse_anchor(path.read_bytes())
