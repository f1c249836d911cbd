"""The Municipality's clerk: asks, counts what was answered, notes what nodes must hold of it."""

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from scripts.ecosystem.institutions import BENEFITS, MUNI, PEOPLE, Institution
from scripts.ecosystem.report import Outcome
from scripts.ecosystem.running import Site
from scripts.ecosystem.soap import SoapAnswer
from scripts.ecosystem.system import InformationSystem, Reply
from trust.errors import SacbeError
from trust.ids import ClientId, ServerId, ServiceId


class StepFailed(SacbeError):
    """Something in the story was not as it must be."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a node must hold of one message.

    Attributes:
        client: the party of the message that is the keeper's own.
        provider: whose service answers; the municipality asks.
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
class Clerk:
    """Asks through the Municipality's node.

    Attributes:
        session: for everything over HTTP, also what goes through no node.
    """

    site: Site
    outcome: Outcome
    session: aiohttp.ClientSession
    traces: list[Trace] = field(default_factory=list)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def system(self, one: Institution = MUNI) -> InformationSystem:
        """An institution's own system, which calls its node."""
        return InformationSystem(self.session, self.site.url(f"{one.key}-http"))

    def new_id(self) -> str:
        return f"check-{self._run}-{next(self._numbers)}"

    def expect(
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
            self.traces.append(Trace(keeper, client, provider, message_id, direction, holds))

    def answered(
        self, message_id: str, provider: Institution, service: ServiceId, client: ClientId
    ) -> None:
        """Count an exchange; both nodes must hold both messages of it.

        A node that asks itself holds everything twice, which is no matter for an auditor.
        """
        self.outcome.exchanges += 1
        if provider != MUNI:
            party = service.provider
            self.expect(MUNI, client, provider, message_id, request=True, response=True)
            self.expect(provider, party, provider, message_id, request=True, response=True)

    def refused(self, code: str, expected: str) -> str:
        """Count a refusal, which must have this code."""
        if not code:
            raise StepFailed(f"it was not refused; expected {expected}")
        self.outcome.refused[code] += 1
        if code != expected:
            raise StepFailed(f"refused with {code} instead of {expected}")
        return f"refused with {code}"

    async def ask(
        self,
        provider: Institution,
        path: str,
        *,
        service: ServiceId = PEOPLE,
        body: dict[str, str] | None = None,
    ) -> Reply:
        """Call by REST what must be answered."""
        message_id = self.new_id()
        reply = await self.system().call(path, message_id, service=service, body=body)
        if reply.status != 200:
            raise StepFailed(f"status {reply.status} {reply.fault} {reply.body[:200]!r}")
        self.answered(message_id, provider, service, BENEFITS)
        return reply

    async def ask_by_soap(
        self,
        provider: Institution,
        service: ServiceId,
        content: str,
        *,
        client: ClientId = BENEFITS,
        server: ServerId | None = None,
    ) -> SoapAnswer:
        """Call by SOAP what must be answered.

        Args:
            content: the element in the body.
        """
        message_id = self.new_id()
        answer = await self.system().call_soap(
            service, message_id, content, client=client, server=server
        )
        if answer.fault:
            raise StepFailed(f"{answer.fault}: {answer.text}")
        self.answered(message_id, provider, service, client)
        return answer
