"""A message log with stamped records of several members, and its archiver."""

import asyncio
import contextlib
import dataclasses
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from node.archive.archiver import Archiver
from node.archive.settings import ArchiveSettings
from node.archive.store import ArchiveStore, StoreAddress, open_store
from node.log.messagelog import MIGRATIONS, MessageLog, MessageLogSettings
from node.log.settings import TimestampingSettings
from node.stamping.sequencer import Sequencer
from node.stamping.stamps import Stamps
from node.stamping.timestamper import Timestamper
from tests.message_records import bodies_of, quick, sample_record
from tests.signing import MESSAGE, Signatory
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.evidence.archives import ArchiveReport, Judge, judge_archive
from trust.evidence.container import verify_container
from trust.evidence.linkinginfo import START, ArchiveEnd
from trust.evidence.timestamp_exchange import CheckedTimestamp
from trust.ids import ClientId

MEMBERS = (
    ClientId("EX", "GOV", "1001", "portal"),
    ClientId("EX", "GOV", "1001", "desk"),
    ClientId("EX", "COM", "20 02", "shop"),
)


class TestTsa:
    """A time-stamping service that answers at once."""

    __test__ = False

    def __init__(self, signatory: Signatory) -> None:
        self._signatory = signatory

    async def stamp(
        self, stamped: bytes, urls: Sequence[str], certificates: Sequence[x509.Certificate]
    ) -> CheckedTimestamp:
        at = self._signatory.pki.at
        return CheckedTimestamp(
            self._signatory.pki.timestamp(stamped, at=at, certificate=True), at, "a service"
        )


@dataclass
class Scene:
    """One process of a node, as far as the archive needs it."""

    pool: Pool
    log: MessageLog
    signatory: Signatory
    folder: Path

    def __post_init__(self) -> None:
        self.sequencer = Sequencer(self.pool)
        self.timestamper = Timestamper(
            self.pool,
            self.sequencer,
            TestTsa(self.signatory),
            lambda: self.signatory.conf,
            TimestampingSettings(),
        )
        self.stamps = Stamps(self.pool, self.timestamper)

    @property
    def store_folder(self) -> Path:
        return self.folder / "store"

    @property
    def address(self) -> StoreAddress:
        return StoreAddress(f"file://{self.store_folder}")

    def archiver(
        self,
        settings: ArchiveSettings | None = None,
        store: ArchiveStore | None = None,
        *,
        now: datetime | None = None,
    ) -> Archiver:
        return Archiver(
            self.pool,
            self.log,
            self.stamps,
            store or open_store(self.address),
            settings or ArchiveSettings(store=self.address.url),
            self.folder / "work",
            clock=lambda: now or datetime.now(UTC),
            lease=timedelta(seconds=2),
        )

    async def log_records(
        self,
        count: int,
        bodies: tuple[bytes, ...] = (),
        *,
        local: ClientId | None = None,
        time: datetime | None = None,
    ) -> list[int]:
        """Store records of the members in turn; their numbers."""
        signed = self.signatory.direct(
            {"/message.xml": MESSAGE, **{f"/attachment{n}": b for n, b in enumerate(bodies, 1)}}
        )
        record = sample_record(
            message=MESSAGE, signature=signed.signature, attachments=bodies_of(*bodies)
        )
        return await asyncio.gather(
            *(
                self.log.append(
                    dataclasses.replace(
                        record,
                        message_id=f"id-{number}",
                        local=local or MEMBERS[number % len(MEMBERS)],
                        time=time or datetime.now(UTC),
                    )
                )
                for number in range(count)
            )
        )

    async def stamp(self) -> None:
        """Give every record its place, and one time-stamp to all that have none."""
        running = asyncio.create_task(self.timestamper.run())
        try:
            await self.timestamper.stamp_now()
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    @property
    def judge(self) -> Judge:
        conf, at = self.signatory.conf, self.signatory.pki.at
        return lambda container: verify_container(container, conf, at)

    def files(self) -> list[Path]:
        """The store's archive files."""
        return sorted(self.store_folder.glob("mlog-*"))

    def judged(self, name: str, previous: ArchiveEnd = START) -> ArchiveReport:
        raw = (self.store_folder / name).read_bytes()
        return judge_archive(
            io.BytesIO(raw), spool=io.BytesIO, judge=self.judge, previous=previous, name=name
        )

    async def check_complete(self, party: str = "") -> list[str]:
        """Judge a party's files in their order against one another; the containers they hold."""
        rows = await self.pool.fetch(
            "SELECT name FROM archive_file WHERE party = $1 AND stored IS NOT NULL ORDER BY id",
            party,
        )
        end, names = START, []
        for row in rows:
            report = self.judged(row["name"], end)
            assert report.verdict.value == "passed", report.reason
            assert report.linking is not None
            assert report.end is not None
            end = report.end
            names += [each.name for each in report.linking.files]
        return names


async def until_archived(archiver: Archiver) -> None:
    """Archive everything as soon as nobody else is at it."""
    async with asyncio.timeout(30):
        while await archiver.archive(everything=True) is None:  # noqa: ASYNC110 - others' lease
            await asyncio.sleep(0.1)


@asynccontextmanager
async def scene(
    dsn: str,
    folder: Path,
    signatory: Signatory | None = None,
    settings: MessageLogSettings | None = None,
) -> AsyncIterator[Scene]:
    """A log on a database that gets its tables when it lacks them."""
    pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=8))
    try:
        await migrate(pool, "node", MIGRATIONS)
        async with MessageLog(pool, settings or quick()) as log:
            yield Scene(pool, log, signatory or Signatory(), folder)
    finally:
        await pool.close()
