"""`sacbe-grants`: other nodes ask for grants here, withdraw them, and tell what they decided.

Whom a message speaks for stands in its signed body, so it is judged after the signature: the right
is asked for, and given up, by the client that gets it or by its member; a decision is told by who
provides, or by its member.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from catalog.services import ServiceType
from node.exchange.builtin import Call, RestAnswer
from node.once.granting.asking import Asking
from node.once.granting.deciding import Deciding, TooMany
from node.once.granting.rows import By, Grant, WrongState
from node.once.granting.wire import (
    LARGEST,
    SERVICE_CODE,
    Ask,
    DecisionTold,
    Taken,
    Withdrawal,
    build_answer,
    build_problem,
    parse_message,
)
from trust.errors import AccessDenied, MalformedMessage
from trust.ids import ServerId

_NOBODY_ASKED = "No such request is known here"


@dataclass(frozen=True, slots=True)
class GrantService:
    """Takes messages for every hosted client.

    Attributes:
        server: this node.
    """

    server: ServerId
    asking: Asking
    deciding: Deciding
    clock: Callable[[], datetime]

    @property
    def type(self) -> ServiceType:
        return ServiceType.REST

    def takes(self, call: Call) -> bool:
        return call.is_rest("POST", SERVICE_CODE)

    def check_access(self, call: Call) -> None:
        """Every registered client may say something; what it says is judged when it is read."""

    async def answer(self, call: Call) -> RestAnswer:
        """Take a verified message; raises AccessDenied, MalformedMessage, StorageError."""
        body = call.body
        if body is None or body.size > LARGEST:
            raise MalformedMessage(
                f"A body of at most {LARGEST} bytes is needed", "invalid_request"
            )
        to, by = call.request.service.provider, _by(call, self.clock())
        message = parse_message(body.read_at(0, body.size), to)
        try:
            match message:
                case Ask():
                    return await self._ask(call, message, by)
                case Withdrawal():
                    return self._told(await self.deciding.take_withdrawal(message, to, by))
                case DecisionTold():
                    return self._told(await self.asking.take_decision(message, to, by))
        except WrongState as error:
            return _problem(409, str(error))

    async def _ask(self, call: Call, ask: Ask, by: By) -> RestAnswer:
        asked = ask.asked
        if call.request.client not in (asked.client, asked.client.member):
            raise AccessDenied(f"{call.request.client} can't ask in the name of {asked.client}")
        _check_registered(call, ask)
        hosted = call.snapshot.services.client(asked.service.provider)
        codes = () if hosted is None else [one.id.service_code for one in hosted.services]
        if asked.service.service_code not in codes:
            return _problem(404, f"There is no {asked.service} here")
        try:
            grant = await self.deciding.take_ask(ask, by)
        except TooMany as error:
            return _problem(429, str(error))
        if grant is None:
            return _problem(409, "Another request has the same id")
        return self._told(grant)

    def _told(self, grant: Grant | None) -> RestAnswer:
        if grant is None:
            return _problem(404, _NOBODY_ASKED)
        taken = Taken(grant.state, grant.number, self.server)
        return RestAnswer.json(build_answer(taken))


def _problem(status: int, text: str) -> RestAnswer:
    return RestAnswer.json(build_problem(text), status)


def _check_registered(call: Call, ask: Ask) -> None:
    """The client is on the server that is to be told, says the trust list."""
    conf, at = call.snapshot.conf, call.snapshot.at
    servers = {server.id for server in conf.servers_of(ask.asked.client, at)}
    if ask.server not in servers:
        raise AccessDenied(f"{ask.asked.client} is not registered for {ask.server}")


def _by(call: Call, at: datetime) -> By:
    return By(str(call.head.client), at, call.head.request_id)
