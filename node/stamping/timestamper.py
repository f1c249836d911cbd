"""Has the log's records time-stamped: in batches on an interval, or at once for who waits.

Time-stamps go by ranges of leaves, always from the lowest unstamped one on, so that one number
says how far the log is stamped and a range can't be stamped twice: who stores a stamp moves that
number in the same transaction, and only from where the range begins. A token that comes too late
is dropped. A lease keeps the processes of a cluster from asking at the same time; it is for
courtesy, not for safety.

Source: signatures.md 8; X-Road 7.8 LogManager.java, TimestamperWorker.java.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cryptography import x509

from node.log.settings import TimestampingSettings
from node.network.tsa_client import TimestampingFailed, services_of
from node.stamping.sequencer import Sequencer
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.digests import sha512
from trust.errors import ExchangeError, GlobalConfOutdated, LoggingFailed, StorageError
from trust.evidence.signature import parse_signature
from trust.evidence.stamped_signature import insert_timestamp
from trust.evidence.timestamp_exchange import CheckedTimestamp
from trust.evidence.timestamp_tree import BLOCK, block_top, build_tree_result
from trust.globalconf import GlobalConf

_LOG = logging.getLogger(__name__)
_SHORTEST, _LONGEST = timedelta(seconds=60), timedelta(days=1)  # of the trust list's interval
_FIRST_PAUSE = timedelta(seconds=1)  # after a failure; then twice as long each time
_LOOK = 5.0  # seconds between two looks at what others have done
_LEASE = timedelta(seconds=15)
_RENEW = 5.0  # seconds
_TURN = 0.05  # seconds between two attempts to get the lease when somebody waits
_BLOCKS_AT_ONCE = 16


class Asks(Protocol):
    """What asks time-stamping services: a `TsaClient`."""

    async def stamp(
        self, stamped: bytes, urls: Sequence[str], certificates: Sequence[x509.Certificate]
    ) -> CheckedTimestamp: ...


class NoTimestampingService(ExchangeError):
    """Nobody could be asked for a time-stamp."""

    code = "mlog.no_timestamping_provider_found"

    def __init__(self) -> None:
        super().__init__("Cannot time-stamp messages: no timestamping services configured")


@dataclass(frozen=True, slots=True)
class StampingState:
    """How the stamping of the whole cluster stands.

    Attributes:
        stamped: leaves below this are.
        oldest: when the oldest record without time-stamp was written.
        failing_since: no service could be had since then; None while all is well.
        failure: why, the last time.
    """

    leaves: int = 0
    stamped: int = 0
    oldest: datetime | None = None
    failing_since: datetime | None = None
    failure: str = ""


class Timestamper:
    """One process's stamper; it also says whether messages may be taken.

    Args:
        conf: the trust list at the moment.
        clock: that of the records' times.
    """

    def __init__(
        self,
        pool: Pool,
        sequencer: Sequencer,
        client: Asks,
        conf: Callable[[], GlobalConf | None],
        settings: TimestampingSettings | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings or TimestampingSettings()
        self.state = StampingState()
        self._pool = pool
        self._sequencer = sequencer
        self._client = client
        self._conf = conf
        self._clock = clock
        self._name = uuid.uuid4()
        self._woken = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._pause = _FIRST_PAUSE
        self._retry_at: datetime | None = None
        self._trouble: str | None = None  # why the database is in the way, told already

    # --- whether messages may be taken ----------------------------------------------------------

    @property
    def refusal(self) -> LoggingFailed | None:
        """Why no message may be taken at the moment; None while one may."""
        settings, state = self.settings, self.state
        if settings.required and self._urls() == ():
            missing = NoTimestampingService()
            return LoggingFailed(missing.text, f"logging_failed.{missing.code}")
        if (
            settings.immediately
            or not settings.acceptable_failure_period
            or state.failing_since is None
        ):
            return None
        if self._clock() - state.failing_since > settings.acceptable_failure_period:
            return LoggingFailed("Cannot time-stamp messages", "logging_failed.timestamping_failed")
        return None

    def check(self) -> None:
        """Raise LoggingFailed while no message may be taken."""
        refusal = self.refusal
        if refusal is not None:
            raise refusal

    async def after(self) -> None:
        """What a message waits for after its record is stored; raises LoggingFailed."""
        if self.settings.immediately:
            try:
                await self.stamp_now()
            except StorageError as error:
                raise LoggingFailed(str(error), "logging_failed.database_error") from error
            except ExchangeError as error:
                raise LoggingFailed(error.text, f"logging_failed.{error.code}") from error

    @property
    def reason(self) -> str | None:
        """Why messages are refused, for the operator; None while they are not."""
        refusal = self.refusal
        if refusal is None:
            return None
        since, failure = self.state.failing_since, self.state.failure
        if since is None:
            return refusal.text
        return f"{refusal.text}: since {since:%Y-%m-%dT%H:%M:%SZ}. Last attempt: {failure}"

    @property
    def refuses_at(self) -> datetime | None:
        """When messages will be refused if no service is to be had; None while all is well."""
        since, period = self.state.failing_since, self.settings.acceptable_failure_period
        if since is None or not period or self.settings.immediately:
            return None
        return since + period

    @property
    def grace_left(self) -> timedelta | None:
        """How long messages are still taken; None without limit."""
        if self.refusal is not None:
            return timedelta(0)
        if not self.settings.acceptable_failure_period or self.settings.immediately:
            return None
        ends = self.refuses_at
        return self.settings.acceptable_failure_period if ends is None else ends - self._clock()

    @property
    def interval(self) -> timedelta:
        """How long a record waits for its time-stamp at the most."""
        if self.settings.interval:
            return self.settings.interval
        conf = self._conf()
        private = None if conf is None else conf.own.private
        seconds = 0 if private is None else private.time_stamping_interval_seconds
        return min(max(timedelta(seconds=seconds), _SHORTEST), _LONGEST)

    def watch(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Show an operator how the stamping stands."""
        gauge(
            "sacbe_timestamp_waiting_records",
            "Records that have a place in the log and no time-stamp yet",
            lambda: self.state.leaves - self.state.stamped,
        )
        gauge(
            "sacbe_timestamp_waiting_seconds",
            "Age of the oldest record without time-stamp; 0 without any",
            lambda: 0.0 if self.state.oldest is None else self._age(self.state.oldest),
        )
        gauge(
            "sacbe_timestamp_failing_seconds",
            "Seconds since no time-stamp can be had; 0 while all is well",
            lambda: (
                0.0 if self.state.failing_since is None else self._age(self.state.failing_since)
            ),
        )
        gauge(
            "sacbe_timestamp_grace_seconds",
            "Seconds until messages are refused if no time-stamp can be had; -1 without limit",
            lambda: -1.0 if self.grace_left is None else self.grace_left.total_seconds(),
        )

    def _age(self, moment: datetime) -> float:
        return (self._clock() - moment).total_seconds()

    def _urls(self) -> tuple[str, ...] | None:
        """The services to ask; None while there is no trust list."""
        conf = self._conf()
        return None if conf is None else services_of(conf, self.settings.urls)

    # --- when -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stamp until cancelled."""
        try:
            while True:
                await self.turn()
                await self._rest()
        finally:
            _tell(self._waiting, StorageError("The node stops"))

    async def stamp_now(self) -> None:
        """Have everything stamped that is stored by now; needs `run` at work.

        Raises TimestampingFailed, NoTimestampingService or StorageError.
        """
        stamped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(stamped)
        self._woken.set()
        await stamped

    async def turn(self) -> None:
        """Stamp what is due, or everything when somebody waits; a failure is remembered."""
        self._woken.clear()
        waiting, self._waiting = self._waiting, []
        try:
            await self._turn(at_once=bool(waiting))
        except asyncio.CancelledError:
            _tell(waiting, StorageError("The node stops"))
            raise
        except (ExchangeError, StorageError) as error:
            await self._fail(waiting, error)
        except Exception as error:  # noqa: BLE001 - a stamper that ended would be missed hours later
            _LOG.exception("The time-stamper failed")
            await self._fail(waiting, ExchangeError(f"Internal error {type(error).__name__}"))
        else:
            self._trouble = None
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    async def _fail(
        self, waiting: Sequence["asyncio.Future[None]"], error: ExchangeError | StorageError
    ) -> None:
        try:
            await self._note(error)
        finally:
            _tell(waiting, error)

    async def _turn(self, *, at_once: bool) -> None:
        if at_once:
            while await self._sequencer.step(old_records=False):
                pass
        await self.look()
        if at_once or self._is_due():
            try:
                await self._stamp_all(at_once=at_once)
            except Exception:
                self._retry_at = self._clock() + self._pause
                self._pause = min(2 * self._pause, self.settings.retry_delay)
                raise

    def _is_due(self) -> bool:
        now, oldest = self._clock(), self.state.oldest
        if oldest is None or (self._retry_at is not None and now < self._retry_at):
            return False
        if not self.settings.required and not self._urls():
            return False
        return now - oldest >= self.interval

    async def _rest(self) -> None:
        if self._waiting:
            return
        pause = min(_LOOK, self.interval.total_seconds() / 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._woken.wait()

    async def look(self) -> None:
        """Learn how the stamping stands, also through others; raises StorageError."""
        try:
            row = await self._pool.fetchrow(
                "SELECT leaves, stamped, failing_since, failure, time AS oldest FROM log_size"
                " LEFT JOIN log_leaf ON leaf = stamped"
            )
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        if row is None:
            raise StorageError("The message log has lost its size")
        oldest = row["oldest"]
        if oldest is None and row["stamped"] < row["leaves"]:  # somebody removed its row
            oldest = datetime.min.replace(tzinfo=UTC)
        self.state = StampingState(
            row["leaves"], row["stamped"], oldest, row["failing_since"], row["failure"] or ""
        )

    async def _note(self, error: ExchangeError | StorageError) -> None:
        """Tell of a failure once, and let all processes know since when no service is to be had."""
        if isinstance(error, StorageError):
            if self._trouble is None:
                _LOG.warning("Records can't be time-stamped: %s; it is tried again", error)
            self._trouble = str(error)
            return
        if self.state.failing_since is None:
            _LOG.warning("Time-stamping fails: %s; it is tried again", error)
        with contextlib.suppress(StorageError):
            await self._execute(
                "UPDATE log_size SET failing_since = coalesce(failing_since, $1), failure = $2",
                self._clock(),
                str(error),
            )
            await self.look()

    async def _execute(self, sql: str, *values: object) -> str:
        try:
            return await self._pool.execute(sql, *values)
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error

    # --- stamping -------------------------------------------------------------------------------

    async def _stamp_all(self, *, at_once: bool) -> None:
        """Stamp the leaves that there are now; those that come meanwhile are for the next time."""
        target = self.state.leaves
        while self.state.stamped < target:
            async with self._lease() as ours:
                while ours and await self._stamp_range(target):
                    pass
            if not ours:
                if not at_once:
                    return  # another process is at it
                await asyncio.sleep(_TURN)
            await self.look()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[bool]:
        """Whether it is our turn to ask; it is kept while the block runs."""
        ours = await self._take_lease()
        if not ours:
            yield False
            return
        keeping = asyncio.create_task(self._keep_lease(), name="time-stamper's lease")
        try:
            yield True
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with contextlib.suppress(StorageError):
                await self._execute(
                    "UPDATE log_size SET stamper_until = 'epoch' WHERE stamper = $1", self._name
                )

    async def _take_lease(self) -> bool:
        answer = await self._execute(
            "UPDATE log_size SET stamper = $1, stamper_until = clock_timestamp() + $2"
            " WHERE stamper_until < clock_timestamp() OR stamper = $1",
            self._name,
            _LEASE,
        )
        return answer == "UPDATE 1"

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            with contextlib.suppress(StorageError):
                await self._take_lease()

    async def _stamp_range(self, target: int) -> bool:
        """Stamp some leaves from the lowest unstamped one on; whether there were any."""
        await self.look()
        first = self.state.stamped
        leaves = min(target - first, self.settings.records_at_once)
        if leaves < 1:
            return False
        stamped = await self._signature_value(first) if leaves == 1 else None
        tops = result = None
        if stamped is None:
            tops = await self._tops(first, leaves)
            stamped = result = build_tree_result(tops, leaves)
        found = await self.stamp_bytes(stamped)
        if await self._store(first, leaves, found, result, tops):
            _LOG.info("%d records are time-stamped by %s", leaves, found.tsa)
        return True

    async def stamp_bytes(self, stamped: bytes) -> CheckedTimestamp:
        """A time-stamp over any bytes; raises TimestampingFailed or NoTimestampingService."""
        conf = self._conf()
        if conf is None:
            raise TimestampingFailed({"trust list": GlobalConfOutdated("There is none")})
        urls = services_of(conf, self.settings.urls)
        if not urls:
            raise NoTimestampingService
        return await self._client.stamp(stamped, urls, conf.tsa_certificates(self._clock()))

    async def _signature_value(self, leaf: int) -> bytes | None:
        """What a single time-stamp covers; None where the record does not allow that form."""
        try:
            row = await self._pool.fetchrow(
                "SELECT number, time, signature_digest FROM log_leaf WHERE leaf = $1", leaf
            )
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        if row is None:
            return None
        signature = await self._signature_of(row["time"], row["number"])
        if signature is None or sha512(signature) != row["signature_digest"]:
            return None
        return _value_of(signature)

    async def _signature_of(self, time: datetime, number: int) -> bytes | None:
        try:
            found: bytes | None = await self._pool.fetchval(
                "SELECT signature FROM message_record WHERE time = $1 AND number = $2", time, number
            )
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return found

    async def _tops(self, first: int, leaves: int) -> bytes:
        """The nodes over the blocks of a range; never more than a few blocks are in memory."""
        tops = bytearray()
        for start in range(first, first + leaves, BLOCK * _BLOCKS_AT_ONCE):
            end = min(start + BLOCK * _BLOCKS_AT_ONCE, first + leaves)
            digests = await signature_digests(self._pool, start, end)
            for block in range(0, len(digests), BLOCK):
                tops += block_top(digests[block : block + BLOCK])
                await asyncio.sleep(0)  # a block takes milliseconds
        return bytes(tops)

    async def _store(
        self,
        first: int,
        leaves: int,
        found: CheckedTimestamp,
        result: bytes | None,
        tops: bytes | None,
    ) -> bool:
        """Keep a time-stamp, unless its range was stamped meanwhile; whether it was kept."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                moved = await connection.execute(
                    "UPDATE log_size SET stamped = $1 + $2, failing_since = NULL, failure = NULL"
                    " WHERE stamped = $1 AND leaves >= $1 + $2",
                    first,
                    leaves,
                )
                if moved == "UPDATE 0":
                    return False
                await connection.execute(
                    "INSERT INTO log_stamp"
                    " (first_leaf, leaves, token, chain_result, tops, gen_time, tsa)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    first,
                    leaves,
                    found.token,
                    result,
                    tops,
                    found.gen_time,
                    found.tsa,
                )
        except DATABASE_ERRORS as error:
            raise StorageError(f"A time-stamp can't be stored: {describe(error)}") from error
        if self.state.failing_since is not None:
            _LOG.warning("Time-stamping works again")
        self._pause, self._retry_at = _FIRST_PAUSE, None
        return True


async def signature_digests(pool: Pool, first: int, end: int) -> list[bytes]:
    """The time-stamp leaves of a range, from `first` on and before `end`.

    Raises StorageError, or ExchangeError when one of them is missing.
    """
    try:
        rows = await pool.fetch(
            "SELECT signature_digest FROM log_leaf WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf",
            first,
            end,
        )
    except DATABASE_ERRORS as error:
        raise _unreadable(error) from error
    if len(rows) != end - first:
        raise ExchangeError(
            f"Leaves from {first} to {end - 1} are {end - first}, and {len(rows)} are there",
            "mlog.failed_to_build_signature_hash_chain",
        )
    return [row["signature_digest"] for row in rows]


def _value_of(signature: bytes) -> bytes | None:
    try:
        parsed = parse_signature(signature)
        insert_timestamp(signature, b"")  # whether there is a place for it
    except ExchangeError:
        return None
    return parsed.value if parsed.timestamp is None else None


def _tell(waiting: Sequence["asyncio.Future[None]"], error: ExchangeError | StorageError) -> None:
    for each in waiting:
        if not each.done():
            each.set_exception(error)


def _unreadable(error: BaseException) -> StorageError:
    return StorageError(f"The message log can't be read: {describe(error)}")
