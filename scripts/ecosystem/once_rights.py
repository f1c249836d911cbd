"""What is refused for want of a right, why, and how two institutions change that."""

import asyncio
import json
import time
from dataclasses import dataclass

from scripts.ecosystem import concepts as c
from scripts.ecosystem.case_page.granting import DEBT_ENDPOINT, request_words
from scripts.ecosystem.case_system import Answer
from scripts.ecosystem.clerk import StepFailed
from scripts.ecosystem.evidence import Ran, sacbe
from scripts.ecosystem.institutions import (
    ASSESSMENTS,
    CASES,
    CIVIL,
    MUNI,
    PEOPLE,
    PERSONS,
    TAX,
    Institution,
)
from scripts.ecosystem.once_cases import OnceCases
from scripts.ecosystem.once_checks import check_equal, somebody
from scripts.ecosystem.system import fault_key
from scripts.livelihoods import debt_of
from scripts.people import Person

PURPOSE_NOT_GRANTED = "access_denied.purpose_not_granted"
_CURIOSITY = f"{c.BASE}/purpose/curiosity"
_PATIENCE = 20.0  # seconds, for a right to count
_PAUSE = 0.3


@dataclass(frozen=True, slots=True)
class OnceRights:
    """The steps about rights."""

    cases: OnceCases

    # --- for what ---------------------------------------------------------------------------------

    async def another_purpose(self) -> str:
        """A right for school benefits is none for curiosity, and the node can say why."""
        clerk, path = self.cases.clerk, f"/persons/{somebody(0).national_id}"
        message_id = clerk.new_id()
        fault = await self._asked_for(_CURIOSITY, path, message_id)
        clerk.expect(MUNI, CASES, CIVIL, message_id, request=True, response=False)
        clerk.expect(CIVIL, PERSONS, CIVIL, message_id, request=False, response=False)
        refused = clerk.refused(fault, PURPOSE_NOT_GRANTED)
        purposes = (_CURIOSITY, c.SCHOOL_BENEFIT_PURPOSE)
        said = await asyncio.gather(*(self._explained(path, one) for one in purposes))
        check_equal("whether the purposes are allowed", said, [False, True])
        return f"{refused}; sacbe explain agrees, for both purposes"

    async def _asked_for(self, purpose: str, path: str, message_id: str) -> str:
        """Ask the Civil Registry for a purpose; the fault code, empty for an answer."""
        clerk = self.cases.clerk
        url = clerk.site.url(f"{MUNI.key}-http", f"/r1/{PEOPLE.path}{path}")
        headers = {
            "X-Road-Client": CASES.path, "X-Road-Id": message_id, "Once-Purpose": purpose,
        }  # fmt: skip
        async with clerk.session.get(url, headers=headers) as response:
            return fault_key(response.headers.get("X-Road-Error", ""))

    async def _explained(self, path: str, purpose: str) -> bool:
        """Whether the call is allowed, as the provider's operator is told."""
        ran = await sacbe(
            "explain", "--config", self._config(CIVIL), "--client", CASES.colons,
            "--service", PEOPLE.colons, "--method", "GET", "--path", path,
            "--purpose", purpose, "--json",
        )  # fmt: skip
        allowed = ran.json().get("allowed")
        if not isinstance(allowed, bool) or ran.code != int(not allowed):
            raise StepFailed(f"sacbe explain: exit code {ran.code}: {ran.err} {ran.out}"[:600])
        return allowed

    # --- a right that comes and goes --------------------------------------------------------------

    async def given_and_taken(self) -> str:
        """Asked for here, approved by the Tax Authority, revoked: the debt follows."""
        person = somebody(1)
        number = await self._requested()
        await self._decided("approve", number)
        whole = await self._until_granted(person)
        debt = debt_of(person).debt
        check_equal("the debt", whole.value.get(c.TAX_DEBT), debt)
        check_equal("what is missing", whole.missing, ())
        await self._decided("revoke", number, "--reason", "It was only to be shown")
        again = await self.cases.ask(c.SCHOOL_BENEFIT, person)
        reasons = {one.concept: one.reason for one in again.missing}
        check_equal("after it was taken back", reasons, {c.TAX_DEBT: "no_right"})
        return f"right {number}: a debt of {debt} was given, and refused at the next call"

    async def _requested(self) -> int:
        """Ask for the right to debts; its number at the Tax Authority."""
        ran = _done(await sacbe(*request_words(self._config(MUNI))), "the request")
        waiting = _done(
            await sacbe(
                "grant", "list", "--config", self._config(TAX), "--side", "provider",
                "--state", "waiting", "--json",
            ),
            "the list",
        )  # fmt: skip
        for one in json.loads(waiting.out):
            if (one["client"], one["service"]) == (CASES.colons, ASSESSMENTS.colons):
                check_equal("the endpoint asked for", one["endpoint"], DEBT_ENDPOINT)
                return int(one["number"])
        raise StepFailed(f"the request did not come to the Tax Authority: {ran.out} {ran.err}")

    async def _decided(self, what: str, number: int, *more: str) -> None:
        words = ("grant", what, str(number), "--config", self._config(TAX), *more)
        _done(await sacbe(*words), what)

    async def _until_granted(self, person: Person) -> Answer:
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = await self.cases.ask(c.SCHOOL_BENEFIT, person)
            if not answer.missing or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(_PAUSE)

    def _config(self, one: Institution) -> str:
        return str(self.cases.clerk.site.of(one) / "node.toml")


def _done(ran: Ran, what: str) -> Ran:
    if ran.code != 0:
        raise StepFailed(f"{what}: exit code {ran.code}: {ran.err} {ran.out}"[:600])
    return ran
