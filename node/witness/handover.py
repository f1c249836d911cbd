"""Hands our newest checkpoint to the witnesses: the nodes met in exchanges, and the registry.

What stands in the database is handed over as it stands, with the proof that the tree of now gives:
should somebody have changed either, the witnesses are to see it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from node.exchange.own_call import OwnAnswer, OwnRequest
from node.transparency.proofs import KeptCheckpoint
from node.transparency.transparency import Transparency
from node.transparency.tree import BrokenLog
from node.witness.acquaintances import Acquaintances, Due
from trust.errors import (
    ExchangeError,
    MalformedMessage,
    NetworkFailure,
    SacbeError,
    StorageError,
)
from trust.evidence.checkpoints import CheckpointOffer
from trust.evidence.merkle import MAX_LEAVES
from trust.evidence.notes import (
    NoteKey,
    NoteKeyKind,
    NoteSignature,
    SignedNote,
    check_cosignature,
)
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId, ServiceId
from trust.witness.announcement import (
    KEY_HEADER,
    METHOD,
    SERVICE_CODE,
    announcement_headers,
    as_witness,
    server_of,
)

Ask = Callable[[OwnRequest], Awaitable[OwnAnswer]]

_LOG = logging.getLogger(__name__)
_SIDE_BY_SIDE = 4
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_LARGEST_ANSWER = 16 * 1024


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What a witness said.

    Attributes:
        key: its log key, as the answer names it; None where it names none.
    """

    status: int
    key: str | None
    body: bytes


class RegistryWitness(Protocol):
    """The registry, asked by HTTP."""

    @property
    def origin(self) -> str: ...

    async def offer(self, key: NoteKey, offer: CheckpointOffer) -> WitnessAnswer:
        """Raises ExchangeError when there is no answer, or none that can be believed."""


async def _cannot_ask(_request: OwnRequest) -> OwnAnswer:
    raise NetworkFailure("The node does not carry exchanges yet")


class Handover:
    """Gives checkpoints to witnesses and keeps what they say.

    Attributes:
        ask: makes an exchange in the owner's name.
        peers: who was met.
        alarms: what witnesses hold against our log, in words, by their name.
    """

    def __init__(
        self,
        transparency: Transparency,
        peers: Acquaintances,
        registry: RegistryWitness | None,
        conf: Callable[[], GlobalConf | None],
    ) -> None:
        self.alarms: dict[str, str] = {}
        self.ask: Ask = _cannot_ask
        self.peers = peers
        self._transparency = transparency
        self._registry = registry
        self._conf = conf

    @property
    def problem(self) -> str | None:
        """What the operator should look at; None while no witness complains."""
        found = [f"{name}: {text}" for name, text in sorted(self.alarms.items())]
        return "; ".join(found) or None

    async def round(self) -> None:
        """Hand the newest checkpoint to everybody who is due; what fails is told in the log."""
        try:
            await self.peers.flush()
            newest = await self._transparency.newest()
            if newest is None:
                return
            due = list(await self.peers.claim())
            if self._registry is not None:
                interval = self._transparency.interval / 2
                registry = await self.peers.claim_registry(self._registry.origin, interval)
                due += [] if registry is None else [registry]
        except StorageError as error:
            _LOG.warning("No checkpoint is handed over: %s", error)
            return
        places = asyncio.Semaphore(_SIDE_BY_SIDE)
        async with asyncio.TaskGroup() as group:
            for each in due:
                group.create_task(self._hand(newest, each, places))

    async def _hand(self, newest: KeptCheckpoint, due: Due, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await self._hand_from(newest, due, min(due.handed, newest.size))
            except SacbeError as error:
                _LOG.warning("%s does not take our checkpoint: %s", due.origin, error)
                try:
                    await self.peers.again(due)
                except StorageError as failure:
                    _LOG.warning("%s", failure)

    async def _hand_from(self, newest: KeptCheckpoint, due: Due, old: int) -> None:
        """Offer what follows `old`; once more from where the witness says that it stands."""
        answer = await self._offer(newest, due, old)
        if answer.status == 409:
            size = _size(answer.body)
            if size > newest.size:  # then another process of ours has handed over a newer one
                newest = await self._transparency.newest() or newest
            if size > newest.size:
                self._complain(
                    due, f"it keeps a checkpoint of {size} leaves, we have {newest.size}"
                )
                return
            if size == old:
                raise ExchangeError("it asks for an offer that it got")
            answer = await self._offer(newest, due, size)
        if answer.status == 422:
            self._complain(due, answer.body.decode("utf-8", "replace").strip()[:500])
            return
        if answer.status != 200:
            raise ExchangeError(f"it answers with status {answer.status}")
        await self._keep(newest, due, answer)

    async def _offer(self, newest: KeptCheckpoint, due: Due, old: int) -> WitnessAnswer:
        try:
            proof = await self._transparency.consistency(old, newest.size)
        except (BrokenLog, ValueError) as error:
            _LOG.warning("There is no proof for %s: %s", due.origin, error)
            proof = ()
        offer = CheckpointOffer(old, proof, newest.note)
        if due.provider is None:
            if self._registry is None:
                raise AssertionError("a registry that is due is there")
            return await self._registry.offer(self._transparency.signer_of(newest), offer)
        service = ServiceId(self._named(due.server, due.provider), SERVICE_CODE)
        answer = await self.ask(
            OwnRequest(
                server_of(self._transparency.key.public.name).owner,
                service,
                due.server,
                METHOD,
                headers=announcement_headers(self._transparency.signer_of(newest), offer),
                largest=_LARGEST_ANSWER,
            )
        )
        named = [value for name, value in answer.headers if name.lower() == KEY_HEADER.lower()]
        return WitnessAnswer(answer.status, named[0] if named else None, answer.body)

    def _named(self, server: ServerId, client: ClientId) -> ClientId:
        """A client of the node that the path of a REST request can name: a subsystem."""
        if client.subsystem_code is not None:
            return client
        conf = self._conf()
        instance = None if conf is None else conf.instances.get(server.owner.instance)
        servers = () if instance is None else instance.shared.servers
        clients = [one for each in servers if each.id == server for one in each.clients]
        found = [one for one in clients if one.subsystem_code is not None]
        if not found:
            raise ExchangeError("it has no subsystem that could be asked")
        return min(found)

    async def _keep(self, newest: KeptCheckpoint, due: Due, answer: WitnessAnswer) -> None:
        """The witness's cosignature, if it is one; raises ExchangeError."""
        key = NoteKey.parse(answer.key or "")
        if key.name != due.origin or key.kind is not NoteKeyKind.LOG:
            raise MalformedMessage(f"it signs as {key.name:.200}")
        line = NoteSignature.parse(answer.body.decode("utf-8", "replace"))
        text = SignedNote.parse(newest.note).text
        at = check_cosignature(text, line, as_witness(key))
        await self._transparency.cosigned(newest.size, as_witness(key), line, at)
        await self.peers.has(due, newest.size)
        self.alarms.pop(due.origin, None)

    def _complain(self, due: Due, text: str) -> None:
        if self.alarms.get(due.origin) != text:
            _LOG.warning("ALARM: the witness %s refuses our log: %s", due.origin, text)
        self.alarms[due.origin] = text


def _size(body: bytes) -> int:
    match = _SIZE.fullmatch(body)
    if match is None or int(match[1]) > MAX_LEAVES:
        raise MalformedMessage("it does not say where it stands")
    return int(match[1])
