"""All of a node that has to do with checkpoints and witnesses, put together.

witnesses = Witnesses(…)
Consumer(…, met=witnesses.met); Provider(…, (*…, *witnesses.services), …, met=witnesses.met)
await witnesses.run(consumer.ask)
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from node.exchange.greeting import Met
from node.exchange.own_call import OwnAnswer, OwnRequest
from node.exchange.signer import Signers
from node.transparency.log_files import TileStore
from node.transparency.transparency import LogKey, Stamp, Transparency, TransparencySettings
from node.witness.acquaintances import Acquaintances
from node.witness.handover import Handover
from node.witness.registry import Announcer, HttpRegistry
from node.witness.rounds import Rounds
from node.witness.service import WitnessService
from node.witness.statements import Statements
from trust.database import Pool
from trust.globalconf import GlobalConf
from trust.ids import ServerId
from trust.witness.announcement import registry_origin
from trust.witness.witness_store import WitnessStore

Gauge = Callable[[str, str, Callable[[], float]], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of the node is needed here.

    Attributes:
        conf: the trust list of now; None before there is one.
        stamp: asks for time-stamps; None where nobody stamps.
        store: the archive store, for tiles; None without one.
        session: for calls of the registry.
    """

    server: ServerId
    pool: Pool
    key: LogKey
    signers: Signers
    conf: Callable[[], GlobalConf | None]
    clock: Callable[[], datetime]
    stamp: Stamp | None
    store: TileStore | None
    session: aiohttp.ClientSession


class Witnesses:
    """Our log's checkpoints and who gets them; the logs of others and what we know of them."""

    def __init__(self, node: Surroundings, settings: TransparencySettings) -> None:
        self.transparency = Transparency(
            node.pool, node.key, settings, node.clock, node.stamp, node.store
        )
        self.store = WitnessStore(node.pool)
        announcer = Announcer(node.server, node.signers, node.conf, node.clock)
        self.statements = Statements(
            node.pool, self.transparency, announcer, node.stamp, node.clock
        )
        self.handover = Handover(
            self.transparency,
            Acquaintances(node.pool, node.server, node.clock),
            HttpRegistry(
                registry_origin(node.server.owner.instance),
                settings.registry,
                settings.registry_key,
                announcer,
                node.session,
            )
            if settings.registry
            else None,
            node.conf,
        )
        self.rounds = Rounds(self.transparency, self.statements, self.handover, self.store)
        self._service = WitnessService(
            self.store, self.transparency.key, node.clock, self.rounds.count
        )
        self._with_peers = settings.peers

    @property
    def met(self) -> Met | None:
        """Who is to be told of nodes of our kind; None when we don't say that we are one."""
        return self.handover.peers.met if self._with_peers else None

    @property
    def services(self) -> Sequence[WitnessService]:
        """What other nodes may call."""
        return (self._service,) if self._with_peers else ()

    async def run(
        self,
        configured: Callable[[], Awaitable[object]],
        ask: Callable[[OwnRequest], Awaitable[OwnAnswer]],
    ) -> None:
        """Work until cancelled, from when there is a trust list; nothing can be signed before."""
        self.handover.ask = ask
        await configured()
        await self.rounds.run()

    async def checkpoint_now(self) -> None:
        """Let the log have a checkpoint for somebody who waits; what fails is told in the log."""
        await self.transparency.round()
        await self.statements.renew()

    def warning(self) -> str | None:
        """What the operator should look at, in words."""
        return self.rounds.warning

    def watch(self, gauge: Gauge) -> None:
        """Show how things stand among the metrics."""
        gauge(
            "sacbe_checkpoint_leaves",
            "Records in the log's newest checkpoint",
            lambda: self.transparency.size,
        )
        gauge(
            "sacbe_log_alarms",
            "Open alarms about the logs of other nodes; -1 before they were counted",
            lambda: self.rounds.open_alarms,
        )
        gauge(
            "sacbe_log_refused",
            "Witnesses that hold something against our log, and 1 more if we do ourselves",
            lambda: len(self.handover.alarms) + bool(self.transparency.problem),
        )
