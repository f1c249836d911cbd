"""A log for audits: really signed messages in PostgreSQL, time-stamped, with checkpoints.

stage = await AuditStage.open(dsn, folder)
await stage.exchanges(20)          # requests, one a second from NOON on
await stage.stamp()                # all that are not, in one hash tree
await stage.checkpoint()
code, report = await stage.audit() # as `sacbe audit --format json` says
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.log.messagelog import MIGRATIONS, MessageLog
from node.log.records import MessageRecord, Side
from node.stamping.sequencer import Sequencer
from node.transparency.transparency import LogKey, Transparency, TransparencySettings
from scripts.auditing.log import LogAudit
from scripts.auditing.trust_source import TrustSource
from scripts.auditing.worker import WorkerSettings
from tests.message_records import bodies_of, quick
from tests.pki import NOON
from tests.signing import SENDER, Signatory
from trust.audit.findings import AuditReport
from trust.audit.revocations import Revocations
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.confparts import SHARED_PARAMETERS_ID
from trust.configuration.confpublish import build_shared_parameters
from trust.configuration.confset import ConfigurationSet, Part
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.evidence.asic import Container, build_container
from trust.evidence.checkpoints import CheckpointOffer
from trust.evidence.notes import NoteKey
from trust.evidence.signature import parse_signature
from trust.evidence.stamped_signature import insert_timestamp
from trust.evidence.timestamp_tree import BLOCK, block_top, build_tree_result
from trust.ids import ClientId, ServerId, ServiceId
from trust.witness.announcement import build_announcement

SERVICE = ServiceId(ClientId("TEST", "COM", "2002", "registry"), "people")
SERVER = ServerId(SENDER.member, "NODE1")
SECOND = timedelta(seconds=1)


def request_text(message_id: str) -> bytes:
    lines = (
        "GET",
        "/r1/TEST/COM/2002/registry/people/1",
        f"X-Road-Client:{SENDER.path}",
        f"X-Road-Id:{message_id}",
        "x-road-request-id:9d3a6f5e-0000-4000-8000-000000000001",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def request_record(
    signatory: Signatory, number: int, bodies: tuple[bytes, ...] = ()
) -> MessageRecord:
    """A request that its sender signed, one second after the one before."""
    message_id = f"message-{number}"
    message = request_text(message_id)
    parts = {"/message.xml": message} | {
        f"/attachment{place}": body for place, body in enumerate(bodies, 1)
    }
    return MessageRecord(
        time=NOON + number * SECOND,
        side=Side.CONSUMER,
        response=False,
        exchange_id=f"exchange-{number}",
        message_id=message_id,
        client=SENDER,
        service=SERVICE,
        local=SENDER,
        message=message,
        signature=signatory.direct(parts).signature,
        attachments=bodies_of(*bodies),
    )


@dataclass
class AuditStage:
    """A log with its trust services; `folder` has the history of trust lists."""

    dsn: str
    folder: Path
    pool: Pool
    log: MessageLog
    key_ring: Path | None = None
    signatory: Signatory = field(default_factory=Signatory)
    key: LogKey = field(default_factory=lambda: LogKey.of(Ed25519PrivateKey.generate(), SERVER))
    count: int = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, dsn: str, folder: Path, key_ring: Path | None = None
    ) -> "AsyncIterator[AuditStage]":
        pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=4))
        try:
            await migrate(pool, "node", MIGRATIONS)
            async with MessageLog(pool, quick(key_ring=key_ring)) as log:
                stage = cls(dsn, folder, pool, log, key_ring)
                stage.trust(NOON - timedelta(hours=1))
                yield stage
        finally:
            await pool.close()

    def trust(self, since: datetime, signatory: Signatory | None = None) -> None:
        """The trust list of a signatory counts from then on."""
        conf = (signatory or self.signatory).conf
        shared = build_shared_parameters(conf.own.shared)
        part = Part(SHARED_PARAMETERS_ID, "TEST", "shared-params.xml", shared, 6, None)
        TrustListKeeper(self.folder).keep(ConfigurationSet("TEST", (part,)), since)

    async def exchanges(self, count: int, *bodies: bytes) -> None:
        for _ in range(count):
            await self.log.append(request_record(self.signatory, self.count, bodies))
            self.count += 1
        await self.sequence()

    async def sequence(self) -> None:
        sequencer = Sequencer(self.pool, clock=lambda: NOON + timedelta(days=1))
        while await sequencer.step():
            pass

    async def stamp(self, *, single: bool = False, at: datetime | None = None) -> None:
        """Time-stamp all leaves that are not, together or each alone."""
        first = await self.pool.fetchval("SELECT stamped FROM log_size")
        rows = await self.pool.fetch(
            "SELECT signature_digest, signature FROM log_leaf JOIN message_record USING (number)"
            " WHERE leaf >= $1 ORDER BY leaf",
            first,
        )
        moment = at or NOON + (self.count + 60) * SECOND
        if single:
            for place, row in enumerate(rows):
                value = parse_signature(row["signature"]).value
                token = self.signatory.pki.timestamp(value, at=moment)
                await self._keep_stamp(first + place, 1, token, None, None, moment)
            return
        digests = [row["signature_digest"] for row in rows]
        tops = b"".join(block_top(digests[at : at + BLOCK]) for at in range(0, len(digests), BLOCK))
        result = build_tree_result(tops, len(digests))
        token = self.signatory.pki.timestamp(result, at=moment)
        await self._keep_stamp(first, len(digests), token, result, tops, moment)

    async def _keep_stamp(
        self,
        first: int,
        leaves: int,
        token: bytes,
        result: bytes | None,
        tops: bytes | None,
        moment: datetime,
    ) -> None:
        await self.pool.execute(
            "INSERT INTO log_stamp (first_leaf, leaves, token, chain_result, tops, gen_time, tsa)"
            " VALUES ($1, $2, $3, $4, $5, $6, 'TSA')",
            first, leaves, token, result, tops, moment,
        )  # fmt: skip
        await self.pool.execute("UPDATE log_size SET stamped = stamped + $1", leaves)

    def transparency(self) -> Transparency:
        clock = lambda: NOON + (self.count + 120) * SECOND  # noqa: E731
        return Transparency(self.pool, self.key, TransparencySettings(), clock)

    async def checkpoint(self) -> None:
        """A checkpoint over all leaves, and the owner's statement about the log's key."""
        transparency = self.transparency()
        assert await transparency.make() is not None
        newest = await transparency.newest()
        assert newest is not None
        offer = CheckpointOffer(0, (), newest.note)
        message = build_announcement(SERVER, self.key.public, offer)
        await self._state(message)

    async def _state(self, message: bytes) -> None:
        signatory = replace(self.signatory, sender=SENDER.member)
        signature = signatory.direct({"/message.xml": message}).signature
        moment = NOON + (self.count + 180) * SECOND
        token = signatory.pki.timestamp(parse_signature(signature).value, at=moment)
        container = Container(message, insert_timestamp(signature, token), time=moment)
        await self.pool.execute(
            "INSERT INTO log_statement (key, signer, container, stamped, at)"
            " VALUES ($1, $2, $3, true, $4)",
            self.key.public.text, bytes(32), build_container(container), moment,
        )  # fmt: skip

    async def whole(self, count: int = 6) -> None:
        """A log as it should be: all stamped, all in a checkpoint."""
        await self.exchanges(count)
        await self.stamp()
        await self.checkpoint()

    async def audit(
        self,
        *,
        jobs: int = 0,
        revocations: Revocations | None = None,
        log_keys: tuple[NoteKey, ...] = (),
        witnesses: tuple[NoteKey, ...] = (),
        at: datetime = NOON + timedelta(days=30),
        silence: timedelta | None = None,
    ) -> AuditReport:
        worker = WorkerSettings(
            self.dsn,
            None,
            self.key_ring,
            TrustSource(self.folder),
            revocations or Revocations(),
            at,
            timedelta(hours=24),
            silence,
        )
        return await LogAudit(worker, jobs, log_keys, witnesses, quiet=True).run()
