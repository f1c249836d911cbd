"""A node: everything put together, started in order and stopped in the reverse order."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import aiohttp

from catalog.description_store import DescriptionStore
from catalog.services import ServerConf
from catalog.store import ServiceStore
from catalog.watcher import ServerConfWatcher
from node.archive.archived import ArchivedContainers
from node.archive.archiver import Archiver, open_archive_store
from node.archive.recipients import load_recipients
from node.archive.retention import Retention
from node.archive.trust_list_copies import TrustListCopies
from node.download_requests import Gate
from node.downloads import Downloads
from node.exchange.callers import Callers
from node.exchange.consumer import Consumer
from node.exchange.evidence import Evidence
from node.exchange.provider import Provider
from node.exchange.signer import Signers
from node.exchange.signing import SigningQueues
from node.exchange.snapshot import Snapshots
from node.exchange.systems_port import Page, SystemsPort
from node.identity_keeper import IdentityKeeper
from node.internal_tls import open_internal_identity
from node.listener import Handler, Listener, Port
from node.log.messagelog import MessageLog
from node.messages.fault import Dialect
from node.messages.fault_codes import KNOWN_CODES
from node.messages.transport_reader import TransportLimits
from node.messages.version import Version
from node.metadata.client_list_page import ClientListPage
from node.metadata.descriptions import Descriptions
from node.metadata.rest_metadata import RestMetadata
from node.metadata.soap_metadata import SoapMetadata
from node.metadata.wsdl_page import WsdlPage
from node.monitoring.environment import node_certificates
from node.monitoring.monitor import Monitor
from node.network.information_system import InformationSystem
from node.network.ocsp_responder import OcspResponder
from node.network.peers import PeerRoutes, Peers
from node.network.tls import peers_listener, systems_listener
from node.network.tsa_client import TsaClient, TsaTiming
from node.operate.admin import AdminPages
from node.operate.health import Health, Probe
from node.operate.metrics import Expiry, NodeMetrics
from node.receipts import ReceiptMaker
from node.receipts_page import ReceiptPage
from node.reconciliation.reconciler import Reconciler
from node.reconciliation.wire import LARGEST_ANSWER
from node.settings import NodeSettings
from node.spool import Spool
from node.stamping.sequencer import Sequencer
from node.stamping.stamps import Stamps
from node.stamping.timestamper import Timestamper
from node.transparency.transparency import LogKey
from node.witness.witnesses import Surroundings, Witnesses
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.confparts import parse_anchor
from trust.configuration.confupdater import ConfigurationUpdater, UpdaterSettings
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.errors import ExchangeError, StorageError
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.verified_batches import VerifiedBatches
from trust.globalconf import GlobalConf
from trust.pki.certificates import der, describe
from trust.pki.keyfiles import open_folder
from trust.pki.keystore import KeyStore
from trust.pki.notekey import open_note_key
from trust.pki.ocsp import CLOCK_SKEW
from trust.pki.ocspcache import OcspCache
from trust.pki.ocspupdate import OcspUpdater, expiries, own_certificates
from trust.pki.post import post

log = logging.getLogger("sacbe.node")

_START_PATIENCE = timedelta(minutes=1)
_HERE = Path(__file__).parent
MIGRATIONS = {"catalog": _HERE.parent / "catalog" / "migrations", "node": _HERE / "migrations"}


def utc_now() -> datetime:
    return datetime.now(UTC)


async def open_database(
    dsn: str, settings: NodeSettings, patience: timedelta = timedelta(0)
) -> Pool:
    """Connect and bring the tables up to date; raises StorageError.

    Args:
        patience: how long a database that does not answer yet is waited for.
    """
    pool = await open_pool(
        dsn,
        "sacbe-node",
        PoolSettings(
            max_connections=settings.database.connections,
            statement_cache=100 if settings.database.statement_cache else 0,
            patience=patience,
        ),
    )
    for component, folder in MIGRATIONS.items():
        await migrate(pool, component, folder)
    return pool


class Node:
    """One institution's server in this process.

    async with Node(settings, dsn, password): …
    """

    def __init__(self, settings: NodeSettings, dsn: str, key_password: bytes) -> None:
        self.settings = settings
        self._dsn = dsn
        self._password = key_password
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ports: dict[str, Listener] = {}
        self.metrics = NodeMetrics(KNOWN_CODES)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        settings = self.settings
        open_folder(settings.data)
        spool_folder = settings.data / "spool"
        open_folder(spool_folder)
        self.keys = KeyStore.open(settings.keys.folder, self._password)
        self.internal = open_internal_identity(settings.data / "tls", self._password, utc_now())
        pool = await open_database(self._dsn, settings, _START_PATIENCE)
        self._stack.push_async_callback(pool.close)
        await self._start_trust()
        self._description_store = DescriptionStore(pool)
        self.services = ServerConfWatcher(ServiceStore(pool), utc_now)
        await self.services.refresh()
        self._keep_running(self.services.run(), "services")
        await self._start_stamping(pool)
        self.archive_store = open_archive_store(settings.archive)
        self.witnesses = self._open_witnesses(pool)
        self.log = await self._stack.enter_async_context(
            MessageLog(
                pool,
                settings.log,
                clock=utc_now,
                evidence_life=self._evidence_life,
                on_stored=self.sequencer.wake,
                stamping=self.timestamper,
            )
        )
        self._start_archive(pool)
        limits = settings.limits
        self.spool = Spool(spool_folder, limits.body, limits.memory_body, limits.disk_reserve)
        self.monitor = await self._stack.enter_async_context(
            Monitor(
                settings.server,
                pool,
                settings.monitoring,
                self.metrics,
                utc_now,
                lambda: node_certificates(self.keys.entries, self.internal.chain[0]),
            )
        )
        self._build_exchange(self.spool, pool)
        self.health = Health(self._probes(), self._warnings())
        self._watch()
        await self._listen()
        log.info("node %s is up", settings.server.colons)

    async def _start_trust(self) -> None:
        """Global configuration, OCSP, and what identifies us; each works offline at first."""
        settings = self.settings
        conf = settings.configuration
        try:
            anchor = parse_anchor(conf.anchor.read_bytes())
        except OSError as error:
            raise StorageError(f"{conf.anchor} can't be read: {error.strerror}") from error
        self.trust_lists = TrustListKeeper(settings.data / "trust-lists")
        self.updater = ConfigurationUpdater(
            UpdaterSettings(
                settings.data / "globalconf", conf.interval, conf.federations or ("none",)
            ),
            anchor,
            history=self.trust_lists,
        )
        await self.updater.start()
        self._keep_running(self.updater.run(), "configuration")
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        )

        async def ask(url: str, body: bytes, content_type: str) -> bytes:
            return await post(self._session, url, body, content_type)

        self.ocsp = OcspUpdater(
            lambda: self.keys.entries,
            lambda: self.updater.conf,
            OcspCache(settings.data / "ocsp"),
            ask,
            utc_now,
        )
        self._keep_running(self.ocsp.run(), "ocsp")
        self.peers_tls = peers_listener(None)
        self.identity = IdentityKeeper(
            settings.server,
            self.keys,
            settings.keys.folder,
            lambda: self.updater.conf,
            self.ocsp.cache.get,
            self.peers_tls,
            utc_now,
        )
        self._keep_running(self.identity.run(), "identity")
        self._keep_running(self._ask_when_configured(), "first configuration")

    async def _start_stamping(self, pool: Pool) -> None:
        """Places and time-stamps for what is stored; how they stand is known from the start."""
        settings = self.settings.timestamping
        timing = TsaTiming(
            connect=settings.connect_timeout,
            answer=settings.answer_timeout,
            apart=settings.clock_difference,
        )
        self.sequencer = Sequencer(pool, clock=utc_now)
        self.timestamper = Timestamper(
            pool,
            self.sequencer,
            TsaClient(self._session, utc_now, timing),
            lambda: self.updater.conf,
            settings,
            clock=utc_now,
        )
        await self.timestamper.look()
        self.stamps = Stamps(pool, self.timestamper)
        self._keep_running(self.sequencer.run(), "sequencer")
        self._keep_running(self.timestamper.run(), "time-stamps")

    def _start_archive(self, pool: Pool) -> None:
        """Records go into archive files, and from the database when they are there and old."""
        settings, store = self.settings, self.archive_store
        self.archiver = None
        if store is not None:
            folder = settings.data / "archive"
            if settings.archive.recipients is not None:
                load_recipients(settings.archive.recipients)  # wrong ones are told at the start
            self.archiver = Archiver(
                pool, self.log, self.stamps, store, settings.archive, folder, clock=utc_now
            )
            self._keep_running(self.archiver.run(), "archive")
            copies = TrustListCopies(self.trust_lists, store, self.updater.new_version)
            self._keep_running(copies.run(), "trust list copies")
        keep = settings.archive.keep if store is not None else None
        self.retention = Retention(pool, keep, settings.log.body_folder, clock=utc_now)
        self._keep_running(self.retention.run(), "retention")

    def _open_witnesses(self, pool: Pool) -> Witnesses:
        """Our log's checkpoints, and the logs of others."""
        settings = self.settings
        surroundings = Surroundings(
            settings.server,
            pool,
            LogKey.of(open_note_key(settings.keys.folder, self._password), settings.server),
            Signers(lambda: self.keys.entries, self.ocsp.cache.get),
            lambda: self.updater.conf,
            utc_now,
            self.timestamper.stamp_bytes,
            self.archive_store,
            self._session,
        )
        return Witnesses(surroundings, settings.transparency)

    async def _ask_when_configured(self) -> None:
        """Let OCSP responses be asked for as soon as there is a trust list that says where."""
        await self.updater.first()
        self.ocsp.fetch_now()

    def _build_exchange(self, spool: Spool, pool: Pool) -> None:
        settings, peers = self.settings, self.settings.peers
        snapshots = Snapshots(lambda: self.updater.conf, self._services_now, utc_now)
        self.signing = SigningQueues(settings.signing, utc_now)
        self._stack.callback(self.signing.close)
        evidence = Evidence(
            Signers(lambda: self.keys.entries, self.ocsp.cache.get),
            self.signing,
            self.log,
            utc_now,
            VerdictCache(),
            VerifiedBatches(),
        )
        self.peers = Peers(
            PeerRoutes(
                port=peers.peer_port,
                ocsp_port=peers.peer_ocsp_port,
                connect=peers.connect_timeout,
                silence=peers.answer_timeout,
                connections=peers.connections_per_peer,
            ),
            lambda: self.identity.current,
        )
        self._stack.push_async_callback(self.peers.close)
        systems = InformationSystem(lambda: self.internal)
        self._stack.push_async_callback(systems.close)
        self.descriptions = Descriptions(
            systems, self._description_store, settings.descriptions, utc_now
        )
        self._stack.push_async_callback(self.descriptions.close)
        self._keep_running(self.descriptions.run(self._services_now), "descriptions")
        dialect = Dialect(snake_case_faults=not settings.legacy_fault_codes)
        limits = settings.limits
        soap_limits = TransportLimits(soap=int(limits.soap), attachments=limits.attachments)
        self.consumer = consumer = Consumer(
            settings.server,
            snapshots,
            evidence,
            self.peers,
            spool,
            self.metrics,
            frozenset(peers.hash_chain_servers),
            dialect,
            settings.systems.idle,
            der(self.internal.chain[0]),
            self.monitor.ended,
            soap_limits,
            self.witnesses.met,
        )
        self._keep_running(self.witnesses.run(self.updater.first, consumer.ask), "witnesses")
        # What other nodes tell of a day is small, and so is the room for it.
        told = Spool(spool.folder, LARGEST_ANSWER, LARGEST_ANSWER, spool.reserve)
        self.reconciler = Reconciler(
            settings.server,
            pool,
            self.log,
            utc_now,
            lambda: self.updater.conf,
            replace(consumer, spool=told).ask,
            settings.archive.keep if self.archive_store is not None else None,
        )
        self._keep_running(self.reconciler.run(), "reconciliation")
        self.provider = Provider(
            settings.server,
            snapshots,
            Callers(),
            evidence,
            systems,
            spool,
            self.metrics,
            Version.find(peers.minimum_version) if peers.minimum_version else None,
            peers.request_timeout,
            max(1, limits.exchanges // 4),
            (
                SoapMetadata(self.descriptions),
                RestMetadata(self.descriptions),
                *self.monitor.services,
                *self.witnesses.services,
                self.reconciler.service,
            ),
            self.monitor.ended,
            soap_limits,
            self.witnesses.met,
        )
        archived = None
        if self.archive_store is not None:
            archived = ArchivedContainers(pool, self.archive_store, spool.folder, spool.largest)
        gate = Gate(self._services_now, utc_now, der(self.internal.chain[0]))
        downloads = Downloads(
            self.log, self.stamps, lambda: self.updater.conf, gate, spool, archived
        )
        pages: dict[str, Page] = {
            "/asic": downloads.asic,
            "/receipt": self._receipt_page(gate, pool, archived),
            "/verificationconf": downloads.verification_conf,
            "/listClients": ClientListPage(snapshots, dialect),
        }
        if settings.systems.wsdl_client is not None:
            pages["/wsdl"] = WsdlPage(consumer, settings.systems.wsdl_client, settings.systems.idle)
        self.systems_port = SystemsPort(consumer, pages)
        self._evidence = evidence

    def _receipt_page(
        self, gate: Gate, pool: Pool, archived: ArchivedContainers | None
    ) -> ReceiptPage:
        maker = ReceiptMaker(
            self.settings.server,
            self.log,
            self.stamps,
            archived,
            self.witnesses.transparency.proofs,
            self.witnesses.statements.newest,
            ServiceStore(pool),
            self.settings.data / "trust-lists",
            lambda: self.updater.conf,
            utc_now,
            self.spool.folder,
        )
        return ReceiptPage(maker, self.stamps, gate, self.witnesses.checkpoint_now)

    async def _listen(self) -> None:
        systems, peers, admin = self.settings.systems, self.settings.peers, self.settings.admin
        most = self.settings.limits.exchanges
        responder = OcspResponder(self._ocsp_for_peer)
        pages = AdminPages(self.metrics, self.health)
        internal = systems_listener(self.internal)
        ports = (
            Port("systems http", systems.host, systems.http_port, systems.idle, None, most),
            Port(
                "systems https",
                systems.host,
                systems.https_port,
                systems.idle,
                internal.context,
                most,
            ),
        )
        for port in ports:
            await self._open(port, self.systems_port.handle)
        await self._open(
            Port("peers", peers.host, peers.port, peers.idle, self.peers_tls.context, most),
            self.provider.handle_message,
        )
        await self._open(Port("ocsp", peers.host, peers.ocsp_port, peers.idle), responder.handle)
        tls = internal.context if admin.tls else None
        await self._open(Port("admin", admin.host, admin.port, timedelta(seconds=30), tls), pages)

    async def _open(self, port: Port, handler: Handler) -> None:
        listener = Listener(port, handler)
        await listener.open()
        self._stack.push_async_callback(listener.close)
        self.ports[port.name] = listener

    def _keep_running(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(_tell_if_broken)

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(stop)

    def _services_now(self) -> ServerConf:
        return self.services.conf

    def _evidence_life(self) -> timedelta:
        """How long a signed request can be accepted: its OCSP response's age, clocks apart."""
        conf = self.updater.conf
        if conf is None:
            return timedelta(0)
        return timedelta(seconds=conf.ocsp_freshness_seconds) + 2 * CLOCK_SKEW

    def _ocsp_for_peer(self, digest: str) -> bytes | None:
        conf = self.updater.conf
        return None if conf is None else self.ocsp.cache.for_peer(digest, conf, utc_now())

    # --- what the operator sees -----------------------------------------------------------------

    def _probes(self) -> dict[str, Probe]:
        return {
            "configuration": self._probe_configuration,
            "identity": lambda: self.identity.problem or None,
            "signing": self._probe_signing,
            "log": lambda: self.log.reason,
            "timestamping": lambda: self.timestamper.reason,
            "spool": self.spool.problem,
            "services": lambda: self.services.last_error,
        }

    def _warnings(self) -> dict[str, Probe]:
        """What somebody should look at though exchanges go on."""
        return {
            "witnesses": self.witnesses.warning,
            "archive": lambda: None if self.archiver is None else self.archiver.reason,
            "retention": lambda: self.retention.problem,
        }

    def _probe_configuration(self) -> str | None:
        conf = self.updater.conf
        if conf is not None and conf.valid(utc_now()):
            return None
        reason = "Global configuration is expired" if conf else "There is no global configuration"
        return f"{reason}. Last attempt: {self.updater.last_error or 'none yet'}"

    def _probe_signing(self) -> str | None:
        """Every member that this node speaks for must be able to sign."""
        conf = self.updater.conf
        if conf is None:
            return "There is no global configuration"
        members = {client.id.member for client in self._services_now().clients}
        problems = []
        for member in sorted(members):
            try:
                self._evidence.signers.signer_of(member, conf, utc_now())
            except ExchangeError as error:
                problems.append(error.text)
        return "; ".join(problems) or None

    def _watch(self) -> None:
        metrics = self.metrics
        if self.archiver is not None:
            self.archiver.watch(metrics)
        metrics.gauge(
            "sacbe_log_queue_records",
            "Records that wait for a commit",
            lambda: self.log.queue_depth,
        )
        metrics.gauge(
            "sacbe_log_queue_bytes", "Bytes that wait for a commit", lambda: self.log.queue_bytes
        )
        metrics.counter(
            "sacbe_signatures", "Signatures made for messages", lambda: self.signing.signatures
        )
        metrics.counter(
            "sacbe_signed_messages",
            "Messages that those signatures cover",
            lambda: self.signing.messages,
        )
        metrics.gauge(
            "sacbe_signing_queue_messages",
            "Messages whose signing key is busy with others",
            lambda: self.signing.waiting,
        )
        self.timestamper.watch(metrics.gauge)
        self.witnesses.watch(metrics.gauge)
        metrics.gauge(
            "sacbe_peer_connections_idle", "Kept connections to peers", lambda: self.peers.idle
        )
        metrics.gauge(
            "sacbe_peer_connections_in_use", "Connections at work", lambda: self.peers.in_use
        )
        metrics.gauge(
            "sacbe_configuration_age_seconds",
            "Seconds since the global configuration was last fetched and believed; -1 before",
            self._configuration_age,
        )
        metrics.gauge(
            "sacbe_descriptions_failing",
            "Descriptions of services that could not be had when they were looked at last",
            lambda: self.descriptions.failing,
        )
        metrics.gauge(
            "sacbe_description_age_seconds",
            "Seconds since that description was had which was had longest ago; -1 without any",
            lambda: self.descriptions.oldest,
        )
        metrics.expiries(self._expiries)

    def _configuration_age(self) -> float:
        last = self.updater.last_success
        return -1.0 if last is None else (utc_now() - last).total_seconds()

    def _expiries(self) -> Iterator[Expiry]:
        conf = self.updater.conf
        if conf is None:
            return
        for name, instance in conf.instances.items():
            if instance.valid_until is not None:
                yield Expiry("configuration", name, instance.valid_until)
        yield from _own_expiries(self.keys, self.ocsp.cache, conf)


def _own_expiries(keys: KeyStore, cache: OcspCache, conf: GlobalConf) -> Iterator[Expiry]:
    own = own_certificates(keys.entries, conf, utc_now())
    for certificate, usable_until in expiries(own, cache, conf):
        name = describe(certificate)
        yield Expiry("certificate", name, certificate.not_valid_after_utc)
        if usable_until is not None:
            yield Expiry("ocsp", name, usable_until)


def _tell_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("task %s ended", task.get_name(), exc_info=task.exception())
