"""Tells other nodes what they are to be told of grants, one message after the other."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from catalog.stored.history_store import ServiceHistory
from node.exchange.own_call import OwnAnswer, OwnRequest
from node.log.records import Side
from node.once.granting.book import GrantBook
from node.once.granting.outbox import Outbox, Outgoing
from node.once.granting.rows import By
from node.once.granting.settings import GrantSettings
from node.once.granting.speaking import Ask
from node.once.granting.wire import LARGEST, SERVICE_CODE, parse_answer, parse_problem, shown
from trust.database import Pool
from trust.errors import ExchangeError, MalformedMessage, PeerFault, StorageError
from trust.ids import ClientId, ServerId, ServiceId

_LOG = logging.getLogger("sacbe.grants")
_LOOK = 1.0  # seconds between two looks at what is to be told
_ANSWER = timedelta(seconds=30)
_SIDE_BY_SIDE = 4  # messages, so that a node that answers nothing does not stand in others' way
_LEASE = 2 * _ANSWER
_TIDY = timedelta(hours=1)
_JSON = (("Content-Type", "application/json"),)

# Codes of faults that no repetition changes, without their spelling.
_FINAL = {
    "unknownservice": "the node of {to} has no service " + SERVICE_CODE + ": it is none of our"
    " kind; ask its operator in another way",
    "accessdenied": "",
    "invalidrequest": "",
    "wrongservicetype": "",
}


@dataclass(slots=True)
class GrantSender:
    """What one process of a node does for grants besides answering.

    Attributes:
        server: this node.
        ask: asks another node in the name of the owner, or of a hosted client.
    """

    server: ServerId
    pool: Pool
    ask: Ask
    clock: Callable[[], datetime]
    settings: GrantSettings
    _tidied: datetime | None = None

    async def run(self) -> None:
        """Tell what is to be told, and forget what is too old, for ever."""
        failing = False
        while True:
            try:
                await self._send_all()
                await self._tidy()
                failing = False
            except StorageError as error:
                if not failing:
                    _LOG.warning("Grants wait: %s", error)
                failing = True
            await asyncio.sleep(_LOOK)

    async def _send_all(self) -> None:
        """Tell all that is due; raises StorageError."""

        async def in_turn() -> None:
            while await self.send_next():
                pass

        turns = (in_turn() for _ in range(_SIDE_BY_SIDE))
        ended = await asyncio.gather(*turns, return_exceptions=True)
        for error in filter(None, ended):
            raise error

    async def send_next(self) -> bool:
        """Try one message that is due; whether there was one. Raises StorageError."""
        outbox = Outbox(self.pool, self.settings.retry)
        message = await outbox.take(self.clock(), _LEASE)
        if message is None:
            return False
        try:
            async with asyncio.timeout(_ANSWER.total_seconds()):
                answer = await self.ask(self._request(message))
        except PeerFault as error:
            problem, final = _fault(error, _other(message))
            await self._failed(outbox, message, problem, final=final)
        except (ExchangeError, TimeoutError) as error:
            problem = str(error) or "no answer in time"
            await self._failed(outbox, message, problem, final=False)
        else:
            await self._answered(outbox, message, answer)
        return True

    def _request(self, message: Outgoing) -> OwnRequest:
        """In the name of the owner where the client is its own, for that needs no hosted client."""
        asked = message.grant.asked
        ours = asked.client if message.grant.side is Side.CONSUMER else asked.service.provider
        owner = self.server.owner
        return OwnRequest(
            owner if ours.member == owner else ours,
            ServiceId(_other(message), SERVICE_CODE),
            message.grant.peer,
            method="POST",
            headers=_JSON,
            body=message.body,
            largest=LARGEST,
        )

    async def _answered(self, outbox: Outbox, message: Outgoing, answer: OwnAnswer) -> None:
        by = By(str(_other(message)), self.clock(), answer.exchange_id)
        if answer.status != 200:
            problem = parse_problem(answer.body) or f"status {answer.status}"
            final = 400 <= answer.status < 500 and answer.status != 429
            await self._failed(outbox, message, problem, final=final, by=by)
            return
        try:
            taken = parse_answer(answer.body)
        except MalformedMessage as error:
            await self._failed(outbox, message, str(error), final=False, by=by)
            return
        await outbox.taken(message, taken, by)

    async def _failed(
        self,
        outbox: Outbox,
        message: Outgoing,
        problem: str,
        *,
        final: bool,
        by: By | None = None,
    ) -> None:
        now = self.clock()
        by = by or By(str(_other(message)), now)
        if final or now - message.written > self.settings.give_up:
            _LOG.warning("Grant %d: %s is not taken", message.grant.number, message.what)
            await outbox.give_up(message, problem, by)
        else:
            await outbox.put_off(message, problem, now)

    async def _tidy(self) -> None:
        now = self.clock()
        if self._tidied is not None and now - self._tidied < _TIDY:
            return
        self._tidied = now
        before = now - self.settings.keep_history
        await GrantBook(self.pool).forget(before)
        await ServiceHistory(self.pool).forget(before, self.settings.most_history)


def _other(message: Outgoing) -> ClientId:
    asked = message.grant.asked
    return asked.service.provider if message.grant.side is Side.CONSUMER else asked.client


def _fault(fault: PeerFault, to: ClientId) -> tuple[str, bool]:
    """What a fault says to the operator, and whether asking again is in vain."""
    word = fault.code.rpartition(".")[2].replace("_", "").lower()
    said = _FINAL.get(word)
    told = shown(f"{fault.code}: {fault.text}")
    return (told, False) if said is None else (said.format(to=to) or told, True)
