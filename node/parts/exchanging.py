"""The two sides of an exchange, and what answers in the node's own name."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from catalog.services import ServerConf
from catalog.stored.description_store import DescriptionStore
from node.exchange.allowance import Enforcement
from node.exchange.builtin import BuiltInService
from node.exchange.callers import Callers
from node.exchange.consumer import Consumer
from node.exchange.evidence import Evidence
from node.exchange.provider import Provider
from node.exchange.signing import SigningQueues
from node.exchange.snapshot import Snapshots
from node.messages.fault import Dialect
from node.messages.transport_reader import TransportLimits
from node.messages.version import Version
from node.metadata.descriptions import Descriptions
from node.metadata.rest_metadata import RestMetadata
from node.metadata.soap_metadata import SoapMetadata
from node.monitoring.monitor import Monitor
from node.network.information_system import InformationSystem
from node.network.peers import PeerRoutes, Peers
from node.operate.metrics import NodeMetrics
from node.parts.identity import IdentityPart
from node.parts.keeping import KeepingPart
from node.parts.lifetime import Lifetime, utc_now
from node.reconciliation.reconciler import Reconciler
from node.reconciliation.wire import LARGEST_ANSWER
from node.settings import NodeSettings
from node.spool import Spool
from trust.database import Pool
from trust.errors import ExchangeError
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.verified_batches import VerifiedBatches
from trust.pki.certificates import der


class ExchangePart:
    """Consumer and provider of one node, opened at once; tasks run until the end.

    Args:
        further: services of the node itself, beside metadata, monitoring and evidence.
        enforcement: keeps the terms of rights.
    """

    def __init__(
        self,
        settings: NodeSettings,
        pool: Pool,
        who: IdentityPart,
        kept: KeepingPart,
        monitor: Monitor,
        metrics: NodeMetrics,
        services: Callable[[], ServerConf],
        further: Sequence[BuiltInService],
        enforcement: Enforcement,
        lifetime: Lifetime,
    ) -> None:
        self._settings, self._who, self._services = settings, who, services
        self.dialect = Dialect(snake_case_faults=not settings.legacy_fault_codes)
        self.snapshots = Snapshots(who.conf, services, utc_now)
        self.signing = SigningQueues(settings.signing, utc_now)
        lifetime.stack.callback(self.signing.close)
        self.evidence = Evidence(
            kept.signers, self.signing, kept.log, utc_now, VerdictCache(), VerifiedBatches()
        )
        self.peers = self._peers()
        lifetime.stack.push_async_callback(self.peers.close)
        self.systems = InformationSystem(lambda: who.internal)
        lifetime.stack.push_async_callback(self.systems.close)
        self.descriptions = Descriptions(
            self.systems, DescriptionStore(pool), settings.descriptions, utc_now
        )
        lifetime.stack.push_async_callback(self.descriptions.close)
        lifetime.keep_running(self.descriptions.run(services), "descriptions")
        limits, met = settings.limits, kept.witnesses.met
        soap_limits = TransportLimits(soap=int(limits.soap), attachments=limits.attachments)
        self.consumer = Consumer(
            settings.server,
            self.snapshots,
            self.evidence,
            self.peers,
            kept.spool,
            metrics,
            frozenset(settings.peers.hash_chain_servers),
            self.dialect,
            settings.systems.idle,
            der(who.internal.chain[0]),
            monitor.ended,
            soap_limits,
            met,
        )
        witnesses = kept.witnesses
        lifetime.keep_running(witnesses.run(who.updater.first, self.consumer.ask), "witnesses")
        self.reconciler = self._reconciler(pool, kept)
        lifetime.keep_running(self.reconciler.run(), "reconciliation")
        self.provider = Provider(
            settings.server,
            self.snapshots,
            Callers(),
            self.evidence,
            self.systems,
            kept.spool,
            metrics,
            _minimum_version(settings),
            settings.peers.request_timeout,
            max(1, limits.exchanges // 4),
            (
                SoapMetadata(self.descriptions),
                RestMetadata(self.descriptions),
                *monitor.services,
                *witnesses.services,
                self.reconciler.service,
                *further,
            ),
            monitor.ended,
            soap_limits,
            met,
            enforcement,
        )

    def _peers(self) -> Peers:
        peers = self._settings.peers
        routes = PeerRoutes(
            port=peers.peer_port,
            ocsp_port=peers.peer_ocsp_port,
            connect=peers.connect_timeout,
            silence=peers.answer_timeout,
            connections=peers.connections_per_peer,
        )
        return Peers(routes, lambda: self._who.identity.current)

    def _reconciler(self, pool: Pool, kept: KeepingPart) -> Reconciler:
        settings, spool = self._settings, kept.spool
        # What other nodes tell of a day is small, and so is the room for it.
        told = Spool(spool.folder, LARGEST_ANSWER, LARGEST_ANSWER, spool.reserve)
        return Reconciler(
            settings.server,
            pool,
            kept.log,
            utc_now,
            self._who.conf,
            replace(self.consumer, spool=told).ask,
            settings.archive.keep if kept.archive_store is not None else None,
        )

    def signing_problem(self) -> str | None:
        """Every member that this node speaks for must be able to sign; why one can't."""
        conf = self._who.updater.conf
        if conf is None:
            return "There is no global configuration"
        members = {client.id.member for client in self._services().clients}
        problems = []
        for member in sorted(members):
            try:
                self.evidence.signers.signer_of(member, conf, utc_now())
            except ExchangeError as error:
                problems.append(error.text)
        return "; ".join(problems) or None


def _minimum_version(settings: NodeSettings) -> Version | None:
    found = settings.peers.minimum_version
    return Version.find(found) if found else None
