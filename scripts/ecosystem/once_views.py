"""What citizens, operators, auditors and plain programs see of the cases."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from node.once.citizen.told import Usage
from node.once.figures import By, Figures, figures_of
from scripts.ecosystem import concepts as c
from scripts.ecosystem.case_page.figures import Group, read_report
from scripts.ecosystem.case_page.used import Used, read_used
from scripts.ecosystem.case_system import Answer, decoded
from scripts.ecosystem.clerk import StepFailed
from scripts.ecosystem.evidence import sacbe
from scripts.ecosystem.institutions import (
    BENEFITS,
    CASES,
    CITIZENS,
    CIVIL,
    MUNI,
    PEOPLE,
    TAX,
    Institution,
)
from scripts.ecosystem.on_the_wire import read_wire
from scripts.ecosystem.once_cases import OnceCases
from scripts.ecosystem.once_checks import check_equal, somebody
from scripts.people import Person
from trust.database import PoolSettings, open_pool
from trust.secrets import read_secret

_USAGE = "/once/v1/usage"
_BYSTANDER = 9_000  # somebody whom nobody asks about
_ONCE = "once-"
# What an answer may have by REST 1 of X-Road, and by HTTP itself.
_PROTOCOL = frozenset(
    {
        "cache-control", "connection", "content-length", "content-type", "date", "keep-alive",
        "server", "transfer-encoding", "vary", "x-road-client", "x-road-id",
        "x-road-request-hash", "x-road-request-id", "x-road-service",
    }
)  # fmt: skip
_CASE_LINK = re.compile(r"/cases/[A-Za-z0-9-]+")
_PROOF_LINK = re.compile(r'href="(/cases/[A-Za-z0-9-]+/proofs/[^"/]+)"')


@dataclass(frozen=True, slots=True)
class OnceViews:
    """The steps about what is seen."""

    cases: OnceCases

    # --- the citizen ------------------------------------------------------------------------------

    async def citizen(self) -> str:
        """As many look-ups as there were, with all that belongs to each; nobody else's."""
        question, answer = self.cases.first
        used = await self._used(somebody(0))
        seen = [one for _, one in used.found.usages if one.caseId == question.case]
        check_equal("look-ups seen", len(seen), len(answer.exchanges))
        by_exchange = {one.exchangeId: one for one in seen}
        for fact in answer.exchanges:
            usage = by_exchange.get(fact.exchange_id)
            if usage is None:
                raise StepFailed(f"the citizen does not see exchange {fact.exchange_id}")
            facts = {one.concept for one in answer.evidence if one.source == fact.source}
            _check_usage(usage, facts, fact.source)
        await self._check_others(question.case)
        return f"{len(seen)} look-ups for {question.case}, with purpose, institution and facts"

    async def _check_others(self, case: str) -> None:
        neighbour = await self._used(somebody(2))
        if any(one.caseId == case for _, one in neighbour.found.usages):
            raise StepFailed("somebody else sees these look-ups")
        bystander = (await self._used(somebody(_BYSTANDER))).found
        check_equal("look-ups of nobody's data", (bystander.usages, bystander.sealed), ((), 0))

    async def _used(self, person: Person) -> Used:
        portal = replace(self.cases.system, node=self.cases.clerk.site.url(f"{CIVIL.key}-http"))
        query = urlencode({"scheme": c.NATIONAL_ID, "value": person.national_id})
        headers = {"X-Road-Client": CITIZENS.path, "X-Road-UserId": person.national_id}
        used = read_used(await portal.fetch(f"{_USAGE}?{query}", headers))
        if not used.found.complete:
            silent = [one.reason for one in used.found.asked if one.reason]
            raise StepFailed(f"not all nodes answered the citizens' portal: {silent[:3]}")
        return used

    # --- the catalog ------------------------------------------------------------------------------

    async def catalog(self) -> str:
        """Found by the fact that is wanted: at the node from its snapshot, and at the registry."""
        for port in (f"{MUNI.key}-http", "registry"):
            query = urlencode({"concept": c.BIRTH_DATE})
            catalog = replace(self.cases.system, node=self.cases.clerk.site.url(port))
            listed = decoded(await catalog.fetch(f"/catalog/v1/search?{query}"), dict[str, object])
            items = listed.get("items")
            ids = [one["id"] for one in items] if isinstance(items, list) else []
            check_equal(f"services with birth dates at {port}", ids, [PEOPLE.path])
            page = (await catalog.fetch(f"/catalog/services/{PEOPLE.path}")).decode()
            if "<h1" not in page or "Date of birth" not in page:
                raise StepFailed(f"the page of the service at {port} does not tell its facts")
        config = str(self.cases.clerk.site.of(MUNI) / "node.toml")
        ran = await sacbe("catalog", "search", "--node-config", config, "--concept", c.BIRTH_DATE)
        if ran.code != 0 or PEOPLE.colons not in ran.out:
            raise StepFailed(f"sacbe catalog search: exit code {ran.code}: {ran.err}"[:600])
        return f"{PEOPLE.path} has birth dates, in the node's snapshot and at the registry"

    # --- whoever knows nothing of all this --------------------------------------------------------

    async def plain_client(self) -> str:
        """The same whole answer as ever, under a right without terms, and no header of ours."""
        clerk, person = self.cases.clerk, somebody(0)
        message_id = clerk.new_id()
        url = f"{clerk.site.url(f'{MUNI.key}-http')}/r1/{PEOPLE.path}/persons/{person.national_id}"
        headers = {"X-Road-Client": BENEFITS.path, "X-Road-Id": message_id}
        async with clerk.session.get(url, headers=headers) as response:
            body = await response.json()
            names = {name.lower() for name in response.headers}
        clerk.answered(message_id, CIVIL, PEOPLE, BENEFITS)
        expected = asdict(person) | {"birth_date": person.birth_date.isoformat()}
        check_equal("the whole answer", body == expected, True)
        check_equal("headers that no protocol has", names - _PROTOCOL, set())
        raw = await clerk.system().container(message_id, BENEFITS, "response")
        if raw is None:
            raise StepFailed("the Municipality's node holds no answer")
        signed = [one for one in read_wire(raw).headers if one.startswith(_ONCE)]
        check_equal("signed headers of ours", signed, [])
        return f"{len(expected)} fields and {len(names)} headers, all of them X-Road's"

    # --- figures ----------------------------------------------------------------------------------

    async def figures(self) -> str:
        """Both sides counted what this story did."""
        asked = [one for one in self.cases.answered if one[0].procedure == c.SCHOOL_BENEFIT]
        answers = [answer for _, answer in asked]
        ours = await self._reported()
        check_equal("questions", ours.questions, sum(len(one.exchanges) for one in answers))
        check_equal("facts fetched", ours.fetched, sum(len(one.evidence) for one in answers))
        check_equal("papers spared", ours.spared, sum(one.spared for one in answers))
        withheld = 0
        for registry in self.cases.registries:
            theirs = await self._counted(registry.institution)
            given = _given(answers, registry.service.path)
            check_equal(f"answers of {registry.institution.name}", theirs.answers, len(given))
            check_equal(f"facts given by {registry.institution.name}", theirs.given, sum(given))
            withheld += theirs.withheld
            if registry.institution == TAX:
                refused = sum(bool(one.missing) for one in answers)
                both = theirs.refused.get("no_right"), ours.told_no.get("no_right")
                check_equal("refusals, as both sides count them", both, (refused, refused))
        return f"{ours.fetched} facts fetched, {withheld} withheld, {ours.spared} papers spared"

    async def _reported(self) -> Group:
        """What `sacbe once report` says of school benefits at the Municipality's node."""
        config = str(self.cases.clerk.site.of(MUNI) / "node.toml")
        since = self.cases.began.isoformat()
        ran = await sacbe("once", "report", "--config", config, "--since", since, "--json")
        if ran.code != 0:
            raise StepFailed(f"sacbe once report: exit code {ran.code}: {ran.err}"[:600])
        groups = read_report(ran.out.encode())
        return next((each for each in groups if each.group == c.SCHOOL_BENEFIT), Group(""))

    async def _counted(self, one: Institution) -> Figures:
        """The same figures of another node, without a command."""
        folder = self.cases.clerk.site.of(one)
        dsn = (await asyncio.to_thread(read_secret, folder / "database.dsn")).decode()
        pool = await open_pool(dsn, "sacbe-sandbox", PoolSettings(max_connections=1))
        try:
            found = await figures_of(pool, self.cases.began, datetime.now(UTC), By.PROCEDURE)
        finally:
            await pool.close()
        return next((each for each in found if each.group == c.SCHOOL_BENEFIT), Figures(""))

    # --- pages ------------------------------------------------------------------------------------

    async def pages(self) -> str:
        """A case is opened on the page, its proof judged there, and the others' views are shown."""
        clerk, person = self.cases.clerk, somebody(3)
        url = clerk.site.url("cases")
        form = {"person": person.national_id, "procedure": c.SCHOOL_BENEFIT}
        async with clerk.session.post(f"{url}/cases", data=form) as response:
            case, address = await response.text(), response.url.path
            check_equal("the status of the case", response.status, 200)
        if not _CASE_LINK.fullmatch(address):
            raise StepFailed(f"opening a case leads to {address}")
        birth, proofs = person.birth_date.isoformat(), set(_PROOF_LINK.findall(case))
        check_equal("proofs on the page", len(proofs), len(self.cases.registries))
        wanted = {address: birth, f"/citizens/{person.national_id}": address.rpartition("/")[2]}
        wanted |= {min(proofs): "Passed.", "/audit": address, "/": person.national_id}
        for target, text in wanted.items():
            async with clerk.session.get(url + target) as response:
                page = await response.text()
            if response.status != 200 or text not in page:
                raise StepFailed(f"{target}: status {response.status}, without {text}")
        async with clerk.session.get(f"{url}/cases/no-such-case") as response:
            check_equal("the status of no case", response.status, 404)
        return f"{len(wanted)} pages; a case of {len(proofs)} proofs"


def _given(answers: Iterable[Answer], source: str) -> Sequence[int]:
    """How many facts each exchange with a source brought."""
    exchanges = ((answer, one) for answer in answers for one in answer.exchanges)
    return [
        sum(fact.exchange_id == one.exchange_id for fact in answer.evidence)
        for answer, one in exchanges
        if one.source == source
    ]


def _check_usage(usage: Usage, facts: set[str], source: str) -> None:
    check_equal(f"facts seen of {source}", set(usage.facts), facts)
    check_equal("the source", usage.source, source)
    check_equal("who asked", usage.receiver, CASES.path)
    check_equal("whose system", usage.receiverName, MUNI.name)
    check_equal("the purpose", usage.purpose, c.SCHOOL_BENEFIT_PURPOSE)
    check_equal("the law", usage.legalBasis, c.SCHOOL_BENEFIT_LAW)
