"""A log with everything that stamps it, at a time and with services that a test decides on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from node.log.messagelog import MessageLog
from node.log.settings import TimestampingSettings
from node.network.tsa_client import TimestampingFailed
from node.stamping.sequencer import Sequencer
from node.stamping.stamps import Stamps
from node.stamping.timestamper import Timestamper
from scripts.stamping import TimestampRequest, build_timestamp_reply
from tests.message_records import sample_record
from tests.signing import MESSAGE, Signatory
from trust.database import Pool
from trust.digests import sha512
from trust.errors import NetworkFailure
from trust.evidence.hashchain import PartDigest, verify_hash_chain
from trust.evidence.signature import parse_signature
from trust.evidence.timestamp_exchange import (
    CheckedTimestamp,
    build_timestamp_request,
    check_timestamp_reply,
)
from trust.evidence.timestamps import check_timestamp
from trust.globalconf import GlobalConf

SIGNATORY = Signatory()
SIGNATURE = SIGNATORY.document({"/message.xml": MESSAGE})


@dataclass
class Service:
    """Time-stamping services that obey a test; the answers are real."""

    clock: Callable[[], datetime]
    failing: bool = False
    stamped: list[bytes] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None  # awaited before each answer

    async def stamp(
        self, stamped: bytes, urls: Sequence[str], certificates: Sequence[x509.Certificate]
    ) -> CheckedTimestamp:
        if self.before is not None:
            await self.before()
        if self.failing:
            raise TimestampingFailed({urls[0]: NetworkFailure("nobody there")})
        self.stamped.append(stamped)
        asked = TimestampRequest.parse(build_timestamp_request(stamped))
        at = self.clock().replace(microsecond=0)
        reply = build_timestamp_reply(asked, SIGNATORY.pki.tsa, len(self.stamped), at)
        return check_timestamp_reply(
            reply, stamped, None, certificates, self.clock(), timedelta(minutes=1)
        )


@dataclass
class Stage:
    """A log with everything that stamps it, at a time that the test says."""

    pool: Pool
    settings: TimestampingSettings
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    conf: GlobalConf | None = field(default_factory=lambda: SIGNATORY.conf)
    real_time: bool = False  # the clock runs by itself

    def __post_init__(self) -> None:
        self.service = Service(self.clock)
        self.sequencer = Sequencer(self.pool, clock=self.clock)
        self.timestamper = self.another()
        self.stamps = Stamps(self.pool, self.timestamper)

    def clock(self) -> datetime:
        return datetime.now(UTC) if self.real_time else self.now

    def another(self) -> Timestamper:
        """One more process of the cluster."""
        return Timestamper(
            self.pool,
            self.sequencer,
            self.service,
            lambda: self.conf,
            self.settings,
            clock=self.clock,
        )

    async def append(self, log: MessageLog, count: int = 1) -> list[int]:
        """Store records and give them their places."""
        numbers = await asyncio.gather(
            *(
                log.append(sample_record(time=self.now, message=MESSAGE, signature=SIGNATURE))
                for _ in range(count)
            )
        )
        while await self.sequencer.step():
            pass
        return sorted(numbers)

    async def pass_time(self, **duration: float) -> None:
        """Some time goes by, and the stamper has its turn."""
        self.now += timedelta(**duration)
        await self.timestamper.turn()

    async def check(self, numbers: Sequence[int]) -> None:
        """Judge the stamps of records as a verifier does; all others must have none."""
        services = [SIGNATORY.pki.tsa.certificate]
        found = await self.stamps.stamps_of(numbers)
        assert set(found) == set(numbers)
        for stamp in found.values():
            if stamp.chain_result is None:
                value = parse_signature(SIGNATURE).value
                assert check_timestamp(stamp.token, value, services).gen_time == stamp.gen_time
                continue
            verdict = check_timestamp(stamp.token, stamp.chain_result, services)
            assert verdict.gen_time == stamp.gen_time
            assert stamp.chain is not None
            name = "/META-INF/signatures.xml"
            verify_hash_chain(
                stamp.chain_result,
                {"/ts-hashchain.xml": stamp.chain},
                {name: PartDigest(name, sha512(SIGNATURE))},
                lambda _: None,
            )
        counts = await self.stamps.counts()
        assert counts.stamped == len(numbers)
        ranges = await self.pool.fetch("SELECT * FROM log_stamp ORDER BY first_leaf")
        ends = [0, *(row["first_leaf"] + row["leaves"] for row in ranges)]
        assert [row["first_leaf"] for row in ranges] == ends[:-1]  # no gap, nothing twice
        assert ends[-1] == counts.stamped

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.timestamper.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def quickly(**changes: Any) -> TimestampingSettings:  # noqa: ANN401 - any setting
    return TimestampingSettings(**{"interval": timedelta(seconds=60), **changes})
