"""What is left as proof: the log, its time-stamps, its archive, its checkpoints and witnesses."""

from node.archive.archived import ArchivedContainers
from node.archive.archiver import Archiver, open_archive_store
from node.archive.recipients import load_recipients
from node.archive.retention import Retention
from node.archive.trust_list_copies import TrustListCopies
from node.exchange.signer import Signers
from node.log.messagelog import MessageLog
from node.network.tsa_client import TsaClient, TsaTiming
from node.parts.identity import IdentityPart
from node.parts.lifetime import Lifetime, utc_now
from node.settings import NodeSettings
from node.spool import Spool
from node.stamping.sequencer import Sequencer
from node.stamping.stamps import Stamps
from node.stamping.timestamper import Timestamper
from node.transparency.transparency import LogKey
from node.witness.witnesses import Surroundings, Witnesses
from trust.database import Pool
from trust.pki.keyfiles import open_folder
from trust.pki.notekey import open_note_key


class KeepingPart:
    """The evidence that one node keeps."""

    def __init__(
        self, settings: NodeSettings, pool: Pool, who: IdentityPart, password: bytes
    ) -> None:
        self._settings, self._pool, self._who = settings, pool, who
        limits = settings.limits
        folder = settings.data / "spool"
        open_folder(folder)
        self.spool = Spool(folder, limits.body, limits.memory_body, limits.disk_reserve)
        self.archive_store = open_archive_store(settings.archive)
        self.signers = Signers(lambda: who.keys.entries, who.ocsp.cache.get)
        self.sequencer = Sequencer(pool, clock=utc_now)
        stamping = settings.timestamping
        timing = TsaTiming(
            connect=stamping.connect_timeout,
            answer=stamping.answer_timeout,
            apart=stamping.clock_difference,
        )
        self.timestamper = Timestamper(
            pool,
            self.sequencer,
            TsaClient(who.session, utc_now, timing),
            who.conf,
            stamping,
            clock=utc_now,
        )
        self.stamps = Stamps(pool, self.timestamper)
        self.witnesses = self._witnesses(password)

    def _witnesses(self, password: bytes) -> Witnesses:
        """Our log's checkpoints, and the logs of others."""
        settings, who = self._settings, self._who
        surroundings = Surroundings(
            settings.server,
            self._pool,
            LogKey.of(open_note_key(settings.keys.folder, password), settings.server),
            self.signers,
            who.conf,
            utc_now,
            self.timestamper.stamp_bytes,
            self.archive_store,
            who.session,
        )
        return Witnesses(surroundings, settings.transparency)

    async def open(self, lifetime: Lifetime) -> None:
        """How time-stamps stand is known from the start; then the log opens."""
        await self.timestamper.look()
        lifetime.keep_running(self.sequencer.run(), "sequencer")
        lifetime.keep_running(self.timestamper.run(), "time-stamps")
        self.log = await lifetime.stack.enter_async_context(
            MessageLog(
                self._pool,
                self._settings.log,
                clock=utc_now,
                evidence_life=self._who.evidence_life,
                on_stored=self.sequencer.wake,
                stamping=self.timestamper,
            )
        )
        self._start_archive(lifetime)

    def _start_archive(self, lifetime: Lifetime) -> None:
        """Records go into archive files, and from the database when they are there and old."""
        settings, store, pool = self._settings, self.archive_store, self._pool
        self.archiver = None
        if store is not None:
            if settings.archive.recipients is not None:
                load_recipients(settings.archive.recipients)  # wrong ones are told at the start
            folder = settings.data / "archive"
            self.archiver = Archiver(
                pool, self.log, self.stamps, store, settings.archive, folder, clock=utc_now
            )
            lifetime.keep_running(self.archiver.run(), "archive")
            updater = self._who.updater
            copies = TrustListCopies(self._who.trust_lists, store, updater.new_version)
            lifetime.keep_running(copies.run(), "trust list copies")
        keep = settings.archive.keep if store is not None else None
        self.retention = Retention(pool, keep, settings.log.body_folder, clock=utc_now)
        lifetime.keep_running(self.retention.run(), "retention")

    def archived(self) -> ArchivedContainers | None:
        """Where containers are whose records have left the log; None without an archive."""
        if self.archive_store is None:
            return None
        spool = self.spool
        return ArchivedContainers(self._pool, self.archive_store, spool.folder, spool.largest)
