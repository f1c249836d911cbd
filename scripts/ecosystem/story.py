"""The scripted story: what must work, what must be refused, and the proof that is left of both."""

import asyncio
import io
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import aiohttp

from scripts.ecosystem.institutions import (
    BENEFITS,
    CERTIFICATE,
    CIVIL,
    CONTRIBUTIONS,
    INCOMES,
    LIBRARY,
    MUNI,
    PERSONS,
    SOCIAL,
    STATUS,
    TAX,
    Institution,
)
from scripts.ecosystem.places import CIVIL_ADDRESS
from scripts.ecosystem.report import Outcome, Step
from scripts.ecosystem.rogue import Rogue
from scripts.ecosystem.running import Ecosystem
from scripts.ecosystem.soap import SoapAnswer
from scripts.ecosystem.system import InformationSystem, Reply, fault_key
from scripts.livelihoods import YEARS, contribution_of, income_of
from scripts.people import Person, people
from scripts.trustlist import load_trust_list
from trust.errors import SacbeError
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServiceId
from trust.pki.keystore import KeyStore
from trust.pki.ocspcache import OcspCache
from trust.report import Outcome as Judgement
from trust.secrets import read_secret

AT_ONCE = 50
MEMORY_LIMIT = 150.0  # MB, of each node
_PATIENCE = aiohttp.ClientTimeout(total=60)

ACCESS_DENIED = "access_denied"
FORGED = "signature_verification.invalid_signature_value"
REPLAYED = "invalid_message"
UNREACHABLE = "network_error"
UNKNOWN_PERSON = "Client.UnknownPerson"


class StepFailed(SacbeError):
    """Something in the story was not as it must be."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a node must hold of one message.

    Attributes:
        client: the party of the message that is the keeper's own.
        provider: who answers; the municipality asks.
        holds: whether the container must be there; None when both is right.
    """

    keeper: Institution
    client: ClientId
    provider: Institution
    message_id: str
    direction: str
    holds: bool | None

    @property
    def signer(self) -> ClientId:
        return MUNI.owner if self.direction == "request" else self.provider.owner


@dataclass(slots=True)
class Story:
    """Tells the story once; every step is told to `outcome`, whatever happened in those before."""

    ecosystem: Ecosystem
    outcome: Outcome
    tell: Callable[[str], None]
    _systems: dict[Institution, InformationSystem] = field(default_factory=dict)
    _traces: list[Trace] = field(default_factory=list)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def run(self) -> Outcome:
        """Go through all steps; the outcome says whether all was as it must be."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session:
            for one in self.ecosystem.site.institutions:
                url = self.ecosystem.site.url(f"{one.key}-http")
                self._systems[one] = InformationSystem(session, url)
            await self._step("a person by id", self._get)
            await self._step("a search with a body", self._post)
            await self._step(f"{AT_ONCE} calls at once", self._many)
            if TAX in self.ecosystem.site.institutions:
                await self._step("income by REST", self._income)
            if SOCIAL in self.ecosystem.site.institutions:
                await self._step("contributions by SOAP", self._contributions)
                await self._step("a certificate as attachment", self._certificate)
                await self._step("a fault of the system itself", self._unknown_person)
            await self._step("no access right", self._denied)
            await self._step("a forged signature", self._forged)
            await self._step("a replayed request", self._replayed)
            await self._step("the provider's node down", self._down)
            await self._step("every container verifies", self._verify)
        await self._step("memory", self._memory)
        return self.outcome

    async def _step(self, name: str, act: Callable[[], Awaitable[str]]) -> None:
        try:
            step = Step(name, True, await act())
        except (SacbeError, aiohttp.ClientError, TimeoutError) as error:
            step = Step(name, False, str(error) or type(error).__name__)
        self.outcome.steps.append(step)
        self.tell(f"{'ok' if step.ok else 'FAILED'}: {name}: {step.detail}")

    # --- what must work ---------------------------------------------------------------------------

    async def _get(self) -> str:
        person = next(people(1))
        await self._look_up(person)
        return f"{person.given_name} {person.family_name}, as the registry has it"

    async def _post(self) -> str:
        person = next(people(1))
        body = {"family_name": person.family_name, "born_since": person.birth_date.isoformat()}
        reply = await self._good_call("/persons/search", body)
        found = reply.json()
        items = found.get("items") if isinstance(found, dict) else None
        if not isinstance(items, list) or not any(
            isinstance(item, dict) and item.get("national_id") == person.national_id
            for item in items
        ):
            raise StepFailed(f"{person.national_id} is not among the answers")
        return f"{len(items)} people of that name"

    async def _many(self) -> str:
        began = asyncio.get_running_loop().time()
        results = await asyncio.gather(
            *(self._look_up(person) for person in itertools.islice(people(), AT_ONCE)),
            return_exceptions=True,
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise StepFailed(f"{len(failures)} failed, the first with: {failures[0]}")
        took = asyncio.get_running_loop().time() - began
        return f"all answered within {took:.2f} s"

    async def _look_up(self, person: Person) -> None:
        """Ask for a person and compare every field."""
        reply = await self._good_call(f"/persons/{person.national_id}")
        expected = asdict(person) | {"birth_date": person.birth_date.isoformat()}
        if reply.json() != expected:
            raise StepFailed(f"{person.national_id} was answered with {reply.body[:200]!r}")

    async def _good_call(self, path: str, body: dict[str, str] | None = None) -> Reply:
        message_id = self._new_id()
        reply = await self._systems[MUNI].call(path, message_id, body=body)
        if reply.status != 200:
            raise StepFailed(f"status {reply.status} {reply.fault} {reply.body[:200]!r}")
        self.outcome.exchanges += 1
        self._expect_all(message_id, CIVIL)
        return reply

    async def _income(self) -> str:
        person, year = next(people(1)), YEARS[-1]
        message_id = self._new_id()
        path = f"/persons/{person.national_id}/income/{year}"
        reply = await self._systems[MUNI].call(path, message_id, service=INCOMES)
        if reply.status != 200 or reply.json() != asdict(income_of(person, year)):
            raise StepFailed(f"status {reply.status} {reply.fault} {reply.body[:200]!r}")
        self.outcome.exchanges += 1
        self._expect_all(message_id, TAX)
        return f"{person.given_name} {person.family_name} in {year}, as the authority has it"

    async def _contributions(self) -> str:
        person = next(people(1))
        answer = await self._good_soap(STATUS, person)
        expected = contribution_of(person)
        found = answer.values
        if (found.get("status"), found.get("months")) != (expected.status, str(expected.months)):
            raise StepFailed(f"{person.national_id} was answered with {dict(found)}")
        return f"{expected.status}, {expected.months} months"

    async def _certificate(self) -> str:
        person = next(people(1))
        answer = await self._good_soap(CERTIFICATE, person)
        if len(answer.files) != 1 or person.national_id.encode() not in answer.files[0]:
            raise StepFailed(f"{len(answer.files)} attachments, not the one of this person")
        return f"a document of {len(answer.files[0])} bytes"

    async def _good_soap(self, service: ServiceId, person: Person) -> SoapAnswer:
        message_id = self._new_id()
        answer = await self._ask_contributions(service, message_id, person.national_id)
        if answer.fault:
            raise StepFailed(f"{answer.fault}: {answer.text}")
        self.outcome.exchanges += 1
        self._expect_all(message_id, SOCIAL)
        return answer

    async def _ask_contributions(
        self, service: ServiceId, message_id: str, national_id: str
    ) -> SoapAnswer:
        arguments = {"nationalId": national_id}
        return await self._systems[MUNI].call_soap(service, message_id, arguments)

    async def _unknown_person(self) -> str:
        """A fault of a system is passed on as it is: nobody signs it, and no node keeps it."""
        message_id = self._new_id()
        answer = await self._ask_contributions(STATUS, message_id, "nobody")
        code = answer.fault.rpartition(":")[2]
        self._expect(MUNI, BENEFITS, SOCIAL, message_id, request=True, response=False)
        self._expect(SOCIAL, CONTRIBUTIONS, SOCIAL, message_id, request=True, response=False)
        return self._refused(code, UNKNOWN_PERSON)

    # --- what must be refused ---------------------------------------------------------------------

    async def _denied(self) -> str:
        """The library has no right to anything, and only its own node keeps that it asked."""
        message_id = self._new_id()
        path = f"/persons/{next(people(1)).national_id}"
        reply = await self._systems[MUNI].call(path, message_id, client=LIBRARY)
        self._expect(MUNI, LIBRARY, CIVIL, message_id, request=True, response=False)
        self._expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        return self._refused(reply.fault, ACCESS_DENIED)

    async def _forged(self) -> str:
        request = (await self._rogue()).forged_request(f"/persons/{next(people(1)).national_id}")
        fault = await (await self._rogue()).send(request)
        message_id = request.head.message_id
        self._expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        return self._refused("" if fault is None else fault_key(fault.code), FORGED)

    async def _replayed(self) -> str:
        rogue = await self._rogue()
        request = rogue.request(f"/persons/{next(people(1)).national_id}")
        first = await rogue.send(request)
        if first is not None:
            raise StepFailed(f"the request was refused at once: {first.code} {first.text}")
        self.outcome.exchanges += 1
        second = await rogue.send(request)
        self._expect(CIVIL, PERSONS, CIVIL, request.head.message_id, request=True, response=True)
        return self._refused("" if second is None else fault_key(second.code), REPLAYED)

    async def _down(self) -> str:
        node = self.ecosystem.node(CIVIL)
        await node.stop()
        message_id = self._new_id()
        try:
            path = f"/persons/{next(people(1)).national_id}"
            reply = await self._systems[MUNI].call(path, message_id)
        finally:
            await self.ecosystem.start_again(node)
        self._expect(MUNI, BENEFITS, CIVIL, message_id, request=None, response=False)
        self._expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        detail = self._refused(reply.fault, UNREACHABLE)
        await self._look_up(next(people(1)))
        return f"{detail}; answered again after its start"

    def _refused(self, code: str, expected: str) -> str:
        if not code:
            raise StepFailed(f"it was not refused; expected {expected}")
        self.outcome.refused[code] += 1
        if code != expected:
            raise StepFailed(f"refused with {code} instead of {expected}")
        return f"refused with {code}"

    async def _rogue(self) -> Rogue:
        site = self.ecosystem.site
        folder = site.of(MUNI)
        return Rogue.with_keys_of(
            MUNI.server,
            KeyStore.open(folder / "keys", read_secret(folder / "keys.password")),
            OcspCache(folder / "data" / "ocsp"),
            await self._published(),
            (CIVIL_ADDRESS, site.ports["peers"]),
            site.folder,
        )

    async def _published(self) -> GlobalConf:
        """What the registry publishes now, believed by the anchor alone."""
        return await asyncio.to_thread(load_trust_list, str(self.ecosystem.site.anchor))

    # --- what is left -----------------------------------------------------------------------------

    def _new_id(self) -> str:
        return f"check-{self._run}-{next(self._numbers)}"

    def _expect(
        self,
        keeper: Institution,
        client: ClientId,
        provider: Institution,
        message_id: str,
        *,
        request: bool | None,
        response: bool | None,
    ) -> None:
        for direction, holds in (("request", request), ("response", response)):
            self._traces.append(Trace(keeper, client, provider, message_id, direction, holds))

    def _expect_all(self, message_id: str, provider: Institution) -> None:
        """Both nodes must hold both messages."""
        self._expect(MUNI, BENEFITS, provider, message_id, request=True, response=True)
        (owner,) = provider.clients
        self._expect(provider, owner, provider, message_id, request=True, response=True)

    async def _verify(self) -> str:
        """Fetch whatever the nodes hold of this story, and judge it as an auditor would."""
        conf = await self._published()
        problems = []
        for trace in self._traces:
            try:
                self.outcome.verified += await self._verified(trace, conf)
            except SacbeError as error:
                problems.append(str(error))
        if problems:
            raise StepFailed(f"{len(problems)} problems, the first: {problems[0]}")
        return f"{self.outcome.verified} containers, each of the right signer"

    async def _verified(self, trace: Trace, conf: GlobalConf) -> bool:
        """Whether there was a container, which then holds; raises StepFailed."""
        name = f"{trace.direction} {trace.message_id} at {trace.keeper.name}"
        system = self._systems[trace.keeper]
        raw = await system.container(trace.message_id, trace.client, trace.direction)
        if raw is None:
            if trace.holds:
                raise StepFailed(f"{name}: there is no container")
            return False
        if trace.holds is False:
            raise StepFailed(f"{name}: there is a container of what was refused")
        verdict = verify_container(parse_container(io.BytesIO(raw)), conf, datetime.now(UTC))
        if verdict.verdict is not Judgement.PASSED:
            raise StepFailed(f"{name}: {verdict.code} {verdict.reason}")
        if verdict.signer != trace.signer:
            raise StepFailed(f"{name}: signed by {verdict.signer}, not {trace.signer}")
        return True

    async def _memory(self) -> str:
        self.outcome.rss_mb = {
            one.server.server_code: self.ecosystem.node(one).resident_mb()
            for one in self.ecosystem.site.institutions
        }
        if not all(0 < size < MEMORY_LIMIT for size in self.outcome.rss_mb.values()):
            raise StepFailed(f"a node takes {max(self.outcome.rss_mb.values())} MB")
        return f"every node under {MEMORY_LIMIT:.0f} MB"
