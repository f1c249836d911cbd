"""A node: its parts, started in order and stopped in the reverse order."""

import logging
from datetime import timedelta
from typing import Self

from catalog.services import ServerConf
from catalog.stored.store import ServiceStore
from catalog.stored.watcher import ServerConfWatcher
from node.listener import Listener
from node.messages.fault_codes import KNOWN_CODES
from node.monitoring.environment import node_certificates
from node.monitoring.monitor import Monitor
from node.operate.admin import AdminPages
from node.operate.health import Health, Probe
from node.operate.metrics import NodeMetrics
from node.parts.database import open_database
from node.parts.doors import Doors, systems_pages
from node.parts.exchanging import ExchangePart
from node.parts.identity import IdentityPart
from node.parts.keeping import KeepingPart
from node.parts.lifetime import Lifetime, utc_now
from node.parts.once_only import OncePart
from node.parts.watching import watch
from node.settings import NodeSettings
from trust.database import Pool
from trust.pki.keyfiles import open_folder

log = logging.getLogger("sacbe.node")

_START_PATIENCE = timedelta(minutes=1)


class Node:
    """One institution's server in this process.

    async with Node(settings, dsn, password): …

    Attributes:
        who: identities and trust list.
        kept: the evidence.
        once: terms, facts, uses.
        exchanges: the two sides.
    """

    who: IdentityPart
    kept: KeepingPart
    once: OncePart
    exchanges: ExchangePart

    def __init__(self, settings: NodeSettings, dsn: str, key_password: bytes) -> None:
        self.settings = settings
        self._dsn = dsn
        self._password = key_password
        self._lifetime = Lifetime()
        self.ports: dict[str, Listener] = {}
        self.metrics = NodeMetrics(KNOWN_CODES)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._lifetime.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lifetime.end()

    async def _start(self) -> None:
        settings, lifetime = self.settings, self._lifetime
        open_folder(settings.data)
        self.who = IdentityPart(settings, self._password)
        pool = await open_database(self._dsn, settings, _START_PATIENCE)
        lifetime.stack.push_async_callback(pool.close)
        await self.who.open(lifetime)
        self.services = ServerConfWatcher(ServiceStore(pool), utc_now)
        await self.services.refresh()
        lifetime.keep_running(self.services.run(), "services")
        self.kept = KeepingPart(settings, pool, self.who, self._password)
        await self.kept.open(lifetime)
        self.monitor = await lifetime.stack.enter_async_context(self._new_monitor(pool))
        self.once = OncePart(settings, pool, self.who, self.services, self.metrics, self._password)
        await self.once.open(lifetime)
        self.exchanges = ExchangePart(
            settings,
            pool,
            self.who,
            self.kept,
            self.monitor,
            self.metrics,
            self._services_now,
            self.once.services(lambda: self.kept.log.reason),
            self.once.enforcement,
            lifetime,
        )
        self.systems_port = systems_pages(
            settings,
            pool,
            self.who,
            self.kept,
            self.exchanges,
            self._services_now,
            self.once.folders(self.exchanges, lifetime),
        )
        self.health = Health(self._probes(), self._warnings())
        watch(self.metrics, self.who, self.kept, self.exchanges)
        await self._listen()
        log.info("node %s is up", settings.server.colons)

    def _new_monitor(self, pool: Pool) -> Monitor:
        who = self.who
        return Monitor(
            self.settings.server,
            pool,
            self.settings.monitoring,
            self.metrics,
            utc_now,
            lambda: node_certificates(who.keys.entries, who.internal.chain[0]),
        )

    async def _listen(self) -> None:
        doors = Doors(self.settings, self.who, self._lifetime)
        self.ports = doors.ports
        await doors.open(
            self.systems_port.handle,
            self.exchanges.provider.handle_message,
            AdminPages(self.metrics, self.health, {"/explain": self.once.explain_page()}),
        )

    def _services_now(self) -> ServerConf:
        return self.services.conf

    def _probes(self) -> dict[str, Probe]:
        """What must be in order for exchanges to be carried."""
        who, kept = self.who, self.kept
        return {
            "configuration": who.problem,
            "identity": lambda: who.identity.problem or None,
            "signing": self.exchanges.signing_problem,
            "log": lambda: kept.log.reason,
            "timestamping": lambda: kept.timestamper.reason,
            "spool": kept.spool.problem,
            "services": lambda: self.services.last_error,
        }

    def _warnings(self) -> dict[str, Probe]:
        """What somebody should look at though exchanges go on."""
        kept = self.kept
        return {
            "witnesses": kept.witnesses.warning,
            "archive": lambda: None if kept.archiver is None else kept.archiver.reason,
            "retention": lambda: kept.retention.problem,
            "catalog": self.once.catalog.problem,
            "uses": lambda: self.once.citizens.retention.problem,
        }
