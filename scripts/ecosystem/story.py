"""The scripted story: what must work, what must be refused, and the proof that is left of both."""

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

import aiohttp

from scripts.ecosystem.clerk import Clerk, StepFailed, Trace
from scripts.ecosystem.evidence import EvidenceStory
from scripts.ecosystem.institutions import (
    BENEFITS,
    CIVIL,
    LIBRARY,
    MUNI,
    PERSONS,
    SOCIAL,
    TAX,
)
from scripts.ecosystem.once_story import OnceStory
from scripts.ecosystem.places import CIVIL_ADDRESS
from scripts.ecosystem.questions import QUESTIONS, monitoring
from scripts.ecosystem.report import Outcome, Step
from scripts.ecosystem.rogue import Rogue
from scripts.ecosystem.running import Ecosystem
from scripts.ecosystem.system import fault_key
from scripts.people import Person, people
from scripts.trustlist import load_trust_list
from trust.database import DATABASE_ERRORS, describe
from trust.errors import SacbeError
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.globalconf import GlobalConf
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


@dataclass(slots=True)
class Story:
    """Tells the story once; every step is told to `outcome`, whatever happened in those before."""

    ecosystem: Ecosystem
    outcome: Outcome
    tell: Callable[[str], None]
    _asking: Clerk | None = None

    async def run(self) -> Outcome:
        """Go through all steps; the outcome says whether all was as it must be."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session:
            self._asking = clerk = Clerk(self.ecosystem.site, self.outcome, session)
            await self._step("a person by id", self._get)
            await self._step("a search with a body", self._post)
            await self._step(f"{AT_ONCE} calls at once", self._many)
            for name, needed, ask in QUESTIONS:
                if needed in self.ecosystem.site.institutions:
                    await self._step(name, partial(ask, clerk))
            await self._step("no access right", self._denied)
            await self._step("a forged signature", self._forged)
            await self._step("a replayed request", self._replayed)
            await self._step("the provider's node down", self._down)
            if SOCIAL in self.ecosystem.site.institutions:
                await self._step("records, health, environment", partial(monitoring, clerk))
            if self.ecosystem.site.has_cases:
                for name, act in OnceStory(clerk).steps():
                    await self._step(name, act)
            await self._step("every container verifies", self._verify)
            evidence = EvidenceStory(clerk)
            await self._step("a container with its time-stamp", evidence.stamped)
            await self._step("a receipt, judged offline", evidence.receipt)
            await self._step("an archive that holds alone", evidence.archived)
            if TAX in self.ecosystem.site.institutions:
                await self._step("a record removed", evidence.removed)
                await self._step("a checkpoint rewritten", evidence.witnessed)
            await self._step("an exchange with stolen keys", evidence.stranger)
        await self._step("memory", self._memory)
        return self.outcome

    @property
    def _clerk(self) -> Clerk:
        if self._asking is None:
            raise RuntimeError("the story has not begun")
        return self._asking

    async def _step(self, name: str, act: Callable[[], Awaitable[str]]) -> None:
        try:
            step = Step(name, True, await act())
        except (SacbeError, aiohttp.ClientError, TimeoutError) as error:
            step = Step(name, False, str(error) or type(error).__name__)
        except DATABASE_ERRORS as error:
            step = Step(name, False, f"a node's database can't be used: {describe(error)}")
        except (LookupError, TypeError, ValueError) as error:
            step = Step(name, False, f"the answer is of another form: {error!r}")
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
        reply = await self._clerk.ask(CIVIL, "/persons/search", body=body)
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
        reply = await self._clerk.ask(CIVIL, f"/persons/{person.national_id}")
        expected = asdict(person) | {"birth_date": person.birth_date.isoformat()}
        if reply.json() != expected:
            raise StepFailed(f"{person.national_id} was answered with {reply.body[:200]!r}")

    # --- what must be refused ---------------------------------------------------------------------

    async def _denied(self) -> str:
        """The library has no right to anything, and only its own node keeps that it asked."""
        message_id = self._clerk.new_id()
        path = f"/persons/{next(people(1)).national_id}"
        reply = await self._clerk.system().call(path, message_id, client=LIBRARY)
        self._clerk.expect(MUNI, LIBRARY, CIVIL, message_id, request=True, response=False)
        self._clerk.expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        return self._clerk.refused(reply.fault, ACCESS_DENIED)

    async def _forged(self) -> str:
        request = (await self._rogue()).forged_request(f"/persons/{next(people(1)).national_id}")
        fault = await (await self._rogue()).send(request)
        message_id = request.head.message_id
        self._clerk.expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        return self._clerk.refused("" if fault is None else fault_key(fault.code), FORGED)

    async def _replayed(self) -> str:
        rogue = await self._rogue()
        request = rogue.request(f"/persons/{next(people(1)).national_id}")
        first = await rogue.send(request)
        if first is not None:
            raise StepFailed(f"the request was refused at once: {first.code} {first.text}")
        self.outcome.exchanges += 1
        second = await rogue.send(request)
        self._clerk.expect(
            CIVIL, PERSONS, CIVIL, request.head.message_id, request=True, response=True
        )
        return self._clerk.refused("" if second is None else fault_key(second.code), REPLAYED)

    async def _down(self) -> str:
        node = self.ecosystem.node(CIVIL)
        await node.stop()
        message_id = self._clerk.new_id()
        try:
            path = f"/persons/{next(people(1)).national_id}"
            reply = await self._clerk.system().call(path, message_id)
        finally:
            await self.ecosystem.start_again(node)
        self._clerk.expect(MUNI, BENEFITS, CIVIL, message_id, request=None, response=False)
        self._clerk.expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        detail = self._clerk.refused(reply.fault, UNREACHABLE)
        await self._look_up(next(people(1)))
        return f"{detail}; answered again after its start"

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

    async def _verify(self) -> str:
        """Fetch whatever the nodes hold of this story, and judge it as an auditor would."""
        conf = await self._published()
        problems = []
        for trace in self._clerk.traces:
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
        system = self._clerk.system(trace.keeper)
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
