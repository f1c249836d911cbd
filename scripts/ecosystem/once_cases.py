"""Cases that a clerk opens, and proof that no more came than was granted."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from scripts.ecosystem import concepts as c
from scripts.ecosystem.case_system import Answer, CaseSystem, Fact, NotAnswered, Question
from scripts.ecosystem.clerk import Clerk, StepFailed
from scripts.ecosystem.evidence import sacbe
from scripts.ecosystem.institutions import (
    ASSESSMENTS,
    CASES,
    CIVIL,
    MUNI,
    PEOPLE,
    SOCIAL,
    STATUS,
    TAX,
    Institution,
)
from scripts.ecosystem.on_the_wire import Wire, read_wire
from scripts.ecosystem.once_checks import (
    check_absent,
    check_equal,
    household_income,
    somebody,
)
from scripts.livelihoods import contribution_of
from scripts.people import Person
from trust.ids import ServiceId

_PATIENCE = 90.0  # seconds until the catalog has come to the Municipality's node
_PAUSE = 0.5
_OFFICIAL = "clerk-7"
_NOT_YET = frozenset({"service_not_in_catalog", "no_authority", "procedure_not_offered"})


@dataclass(frozen=True, slots=True)
class Registry:
    """A source of the story.

    Attributes:
        granted: names of fields that school benefits may have; all others are its secret.
        secret: names of fields that its answers have besides.
    """

    institution: Institution
    service: ServiceId
    granted: frozenset[str]
    secret: frozenset[str]


REGISTRIES = (
    Registry(
        CIVIL,
        PEOPLE,
        frozenset({"birth_date", "street", "town", "postal_code"}),
        frozenset({"national_id", "given_name", "family_name"}),
    ),
    Registry(TAX, ASSESSMENTS, frozenset({"income"}), frozenset({"national_id", "members"})),
    Registry(SOCIAL, STATUS, frozenset({"status", "months"}), frozenset({"employer"})),
)


@dataclass(slots=True)
class OnceCases:
    """Opens cases through the Municipality's node and remembers all of them.

    Attributes:
        began: since when the figures of this story count.
        answered: every question with its answer, in their order.
    """

    clerk: Clerk
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    answered: list[tuple[Question, Answer]] = field(default_factory=list)
    _first: tuple[Question, Answer] | None = None

    @property
    def system(self) -> CaseSystem:
        return CaseSystem(self.clerk.session, self.clerk.site.url(f"{MUNI.key}-http"))

    @property
    def registries(self) -> tuple[Registry, ...]:
        """Those that are there."""
        there = self.clerk.site.institutions
        return tuple(one for one in REGISTRIES if one.institution in there)

    @property
    def first(self) -> tuple[Question, Answer]:
        """The case that the story begins with; raises StepFailed when it failed."""
        if self._first is None:
            raise StepFailed("the first case was not answered")
        return self._first

    def registry_of(self, fact: Fact) -> Registry:
        for one in self.registries:
            if one.service.path == fact.source:
                return one
        raise StepFailed(f"{fact.concept} came from {fact.source}, which is nobody's source")

    async def ask(self, procedure: str, person: Person, case: str = "") -> Answer:
        """Ask for a case's facts; both nodes must hold both messages of each exchange."""
        question = Question(procedure, person.national_id, case or self.clerk.new_id(), _OFFICIAL)
        answer = await self.system.gather(question)
        self.answered.append((question, answer))
        for fact in answer.exchanges:
            registry = self.registry_of(fact)
            self.clerk.answered(fact.message_id, registry.institution, registry.service, CASES)
        return answer

    # --- a case -----------------------------------------------------------------------------------

    async def first_case(self) -> str:
        """Facts of three registries with their proofs, and one that nobody has a right to."""
        await self._catalog_there()
        person = somebody(0)
        case = self.clerk.new_id()
        answer = await self.ask(c.SCHOOL_BENEFIT, person, case)
        check_equal("the facts", answer.value, self.school_facts(person))
        sources = {fact.source for fact in answer.evidence}
        check_equal("the sources", sources, {one.service.path for one in self.registries})
        check_equal("the exchanges", len(answer.exchanges), len(self.registries))
        if not all(
            fact.exchange_id and fact.receipt and fact.source_name for fact in answer.evidence
        ):
            raise StepFailed("a fact has no exchange, no receipt or no source's name")
        self._check_missing(answer)
        check_equal("papers spared", answer.spared, 1 + len(self.registries))
        self._first = self.answered[-1]
        return (
            f"{len(answer.evidence)} facts of {len(sources)} registries,"
            f" {answer.spared} papers spared; the tax debt is missing for want of a right"
        )

    def school_facts(self, person: Person) -> Mapping[str, object]:
        """What the registries that are there know of a person, and school benefits may have."""
        facts: dict[str, object] = {
            c.BIRTH_DATE: person.birth_date.isoformat(),
            c.STREET: person.street,
            c.TOWN: person.town,
            c.POSTAL_CODE: person.postal_code,
            c.HOUSEHOLD_INCOME: household_income(person),
        }
        if SOCIAL in self.clerk.site.institutions:
            found = contribution_of(person)
            facts |= {c.CONTRIBUTION_STATUS: found.status, c.CONTRIBUTION_MONTHS: found.months}
        return facts

    def _check_missing(self, answer: Answer) -> None:
        missing = {one.concept: one for one in answer.missing}
        wanted = {c.TAX_DEBT}
        if SOCIAL not in self.clerk.site.institutions:
            wanted |= {c.CONTRIBUTION_STATUS, c.CONTRIBUTION_MONTHS}
        check_equal("what is missing", set(missing), wanted)
        debt = missing[c.TAX_DEBT]
        check_equal("why the debt is missing", debt.reason, "no_right")
        check_equal("who can fix it", debt.who_can_fix, "source")
        check_equal("where", debt.source, ASSESSMENTS.path)
        if not debt.text:
            raise StepFailed("nobody is told in words why the debt is missing")

    async def _catalog_there(self) -> None:
        """Wait until the registry's catalog is at the Municipality's node."""
        services = {one.service.path for one in self.registries}
        question = Question(c.SCHOOL_BENEFIT, somebody(0).national_id, "plan", _OFFICIAL)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                plan = await self.system.plan(question)
                if services <= {one.service for one in plan.plan}:
                    return
                reason = f"the plan has {sorted(one.service for one in plan.plan)}"
            except NotAnswered as error:
                reason = str(error)
            if time.monotonic() > deadline:
                raise StepFailed(f"the catalog did not come to the node: {reason}")
            await asyncio.sleep(_PAUSE)

    # --- what left the registries -----------------------------------------------------------------

    async def nothing_more_left(self) -> str:
        """Both nodes' containers hold the granted fields alone, and name what was kept back."""
        _, answer = self.first
        person = somebody(0)
        secrets = {person.given_name, person.family_name, contribution_of(person).employer}
        withheld = 0
        for fact in answer.exchanges:
            registry = self.registry_of(fact)
            wires = await self._everywhere(fact, registry)
            for wire in wires:
                check_equal(f"fields of {fact.source}", wire.names, registry.granted)
                kept = {path.rpartition("/")[2] for path in wire.withheld}
                if not registry.secret <= kept:
                    raise StepFailed(f"{fact.source} does not say that it kept {registry.secret}")
                check_absent(wire, secrets - {""}, fact.source)
            withheld += len(wires[0].withheld)
            await self._check_request(fact, registry)
        return f"{withheld} fields withheld and named, in no message of any node"

    async def _everywhere(self, fact: Fact, registry: Registry) -> tuple[Wire, Wire]:
        """The answer as the provider's node logged it, and as the Municipality's did."""
        theirs = await self._container(fact, registry, "response")
        ours = await self.system.response(fact)
        check_equal("the answer at both nodes", ours.data, theirs.data)
        return theirs, ours

    async def _container(self, fact: Fact, registry: Registry, direction: str) -> Wire:
        """A message as the provider's node logged it."""
        system = self.clerk.system(registry.institution)
        raw = await system.container(fact.message_id, registry.service.provider, direction)
        if raw is None:
            raise StepFailed(f"the {registry.institution.name} holds no {direction}")
        return read_wire(raw)

    async def _check_request(self, fact: Fact, registry: Registry) -> None:
        """The registry was told what for, and asked for no field but those that are granted."""
        named = (await self._container(fact, registry, "request")).named
        check_equal("the purpose", named.get("purpose"), c.SCHOOL_BENEFIT_PURPOSE)
        fields = {one.strip() for one in named.get("fields", "").split(",")}
        if not fields <= registry.granted:
            raise StepFailed(f"{fact.source} was asked for {sorted(fields)}")

    # --- proofs -----------------------------------------------------------------------------------

    async def receipts(self) -> str:
        """Every value's receipt is judged offline, by the anchor alone."""
        question, answer = self.first
        files = await self._receipt_files(answer)
        try:
            names = [str(file) for file in files]
            anchor = str(self.clerk.site.anchor)
            ran = await sacbe("verify", *names, "--anchor", anchor, "--json")
        finally:
            await asyncio.to_thread(_remove, files)
        if ran.code != 0:
            raise StepFailed(f"exit code {ran.code}: {ran.err} {ran.out}"[:1000])
        judged = [json.loads(line) for line in ran.out.splitlines()]
        check_equal("receipts judged", len(judged), len(answer.exchanges))
        check_equal("cases proven", {one["exchange"]["issue"] for one in judged}, {question.case})
        if not all(one["verdict"] == "passed" and one["logged"] for one in judged):
            raise StepFailed("a receipt does not prove that its messages are in the log")
        return f"{len(judged)} receipts for {len(answer.evidence)} values, all in the node's log"

    async def _receipt_files(self, answer: Answer) -> list[Path]:
        files = []
        for number, fact in enumerate(answer.exchanges):
            raw = await self.system.receipt(fact)
            file = self.clerk.site.folder / f"{self.clerk.new_id()}-{number}.receipt"
            await asyncio.to_thread(file.write_bytes, raw)
            files.append(file)
        return files

    # --- derived facts ----------------------------------------------------------------------------

    async def derived(self) -> str:
        """Two booleans; the birth date and the income they come from stay where they are."""
        person = somebody(1)
        answer = await self.ask(c.LIBRARY_CARD, person)
        income = household_income(person)
        low = income < c.LOW_INCOME_BELOW
        check_equal("the facts", answer.value, {c.ADULT: True, c.LOW_INCOME: low})
        check_equal("what is missing", answer.missing, ())
        if not all(isinstance(value, bool) for value in answer.value.values()):
            raise StepFailed("a derived fact is no boolean")
        names: set[str] = set()
        for fact in answer.exchanges:
            for wire in await self._everywhere(fact, self.registry_of(fact)):
                check_absent(wire, {person.birth_date.isoformat(), str(income)}, fact.source)
                names |= wire.names
        check_equal("fields", names, {"adult", "low_income"})
        return f"of age: yes, low income: {'yes' if low else 'no'}; no date, no amount in a message"


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
