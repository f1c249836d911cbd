"""The message log: nothing is sent or believed before its record is durable here.

Records are committed in groups without a timer: what arrives while one commit runs goes into the
next, and a lone record never waits for company. `append` returns when the record is durable.
Any number of node processes may write to one database.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, Self

from node.log.bodies import Bodies, KeptBody
from node.log.column_keys import load_key_ring
from node.log.listing import Listing, list_messages
from node.log.proven_keys import prove_keys
from node.log.records import (
    BodyPlace,
    MessageRecord,
    ReplayDetected,
    StoredBody,
    StoredRecord,
)
from node.log.room import Room
from node.log.rows import Row, build_row, use_size
from node.log.search import Place, RecordPage, RecordQuery, RecordSearch
from node.log.settings import MessageLogSettings
from node.log.upkeep import make_partitions, purge_replay_keys
from node.log.writer import GroupWriter, RowsRefused
from trust.database import DATABASE_ERRORS, Pool
from trust.errors import ExchangeError, LoggingFailed, StorageError

__all__ = ["MIGRATIONS", "MessageLog", "MessageLogSettings", "Place", "RecordPage", "RecordQuery"]

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"

_LOG = logging.getLogger(__name__)
_DATABASE_ERROR = "logging_failed.database_error"
_GROUP_RECORDS = 500
_GROUP_BYTES = 16 << 20
_ROW_BYTES = 512  # what a row takes besides message, signature and body
_UPKEEP = timedelta(minutes=10)
_CLOSED = "The message log is closed"


class Stamping(Protocol):
    """What decides whether records may be taken for want of time-stamps: a `Timestamper`."""

    def check(self) -> None:
        """Raise LoggingFailed while no message may be taken."""

    async def after(self) -> None:
        """What a message waits for after its record is stored; raises LoggingFailed."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A record in the queue."""

    row: Row
    kept: tuple[KeptBody, ...]
    size: int
    done: "asyncio.Future[int]"


class MessageLog:
    """Takes records from all exchanges of one process, and finds them again.

    Args:
        pool: the node's database; the writer keeps one of its connections.
        evidence_life: how long a signed message counts as fresh at the moment, from the global
            configuration; replay keys are kept at least as long.
        on_stored: called whenever records have become durable.
        stamping: None where nobody cares for time-stamps.
    """

    def __init__(
        self,
        pool: Pool,
        settings: MessageLogSettings | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        evidence_life: Callable[[], timedelta] = timedelta,
        on_stored: Callable[[], None] = lambda: None,
        stamping: Stamping | None = None,
    ) -> None:
        self.settings = settings or MessageLogSettings()
        self._pool = pool
        self._clock = clock
        self._evidence_life = evidence_life
        self._on_stored = on_stored
        self._stamping = stamping
        self._keys = load_key_ring(self.settings.key_ring)
        self._bodies = Bodies(self.settings, self._keys)
        self._search = RecordSearch(pool, self._keys)
        self._writer = GroupWriter(pool)
        self._room = Room(self.settings.queue_records, self.settings.queue_bytes)
        self._queue: deque[_Entry] = deque()
        self._wake = asyncio.Event()
        self._problem: str | None = "The message log has not been started"
        self._closing = True
        self._probe_due = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Take records from now on; raises StorageError when the database is not usable."""
        await make_partitions(self._pool, self._clock())
        await prove_keys(self._pool, self._keys)
        await self._writer.probe(self._patience)
        await self._warn_if_not_durable()
        self._problem = None
        self._closing = False
        self._tasks = [
            asyncio.create_task(self._write_groups(), name="message log writer"),
            asyncio.create_task(self._probe_often(), name="message log probe"),
            asyncio.create_task(self._keep_up(), name="message log upkeep"),
        ]

    async def stop(self) -> None:
        """Store what is queued and take nothing more."""
        self._closing = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=self._patience + 5)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._queue:
            await self._fail(self._queue.popleft(), LoggingFailed(_CLOSED))
        await self._writer.close()

    # --- writing ----------------------------------------------------------------------------------

    async def append(self, record: MessageRecord) -> int:
        """Store a record; its number, once it is durable and stamped if it must be.

        When this is cancelled the record may or may not be stored.

        Raises:
            LoggingFailed: it is not stored, as far as anybody can tell, or not stamped in time.
            ReplayDetected: a record with the same replay key is stored already.
        """
        self._refuse_when_unusable()
        if self._stamping is not None:
            self._stamping.check()
        size = self._size_of(record)
        try:
            await self._room.take(size, self.settings.queue_wait.total_seconds())
        except TimeoutError:
            raise LoggingFailed("The message log takes no more at the moment") from None
        try:
            entry = await self._prepare(record, size)
        except BaseException:
            self._room.give(size)
            raise
        self._queue.append(entry)
        self._wake.set()
        number = await entry.done
        if self._stamping is not None:
            await self._stamping.after()
        return number

    async def _prepare(self, record: MessageRecord, size: int) -> _Entry:
        kept = await self._bodies.keep(record.attachments, record.time)
        try:
            row = build_row(record, kept, self._keys.newest)
            self._refuse_when_unusable()  # it may have become so while the body was read
        except LoggingFailed:
            await self._bodies.discard(kept)
            raise
        return _Entry(row, kept, size, asyncio.get_running_loop().create_future())

    def _refuse_when_unusable(self) -> None:
        if self._closing:
            raise LoggingFailed(_CLOSED)
        if self._problem is not None:
            raise LoggingFailed(self._problem, _DATABASE_ERROR)

    def _size_of(self, record: MessageRecord) -> int:
        size = _ROW_BYTES + len(record.message) + len(record.signature)
        size += len(record.hash_chain_result or b"") + len(record.hash_chain or b"")
        size += use_size(record.use)
        for body, place in zip(
            record.attachments, self._bodies.places_of(record.attachments), strict=True
        ):
            size += _ROW_BYTES + (body.size if place is BodyPlace.RECORD else 0)
        return size

    async def _write_groups(self) -> None:
        while not self._closing or self._queue:
            if not self._queue:
                await self._wake.wait()
            self._wake.clear()
            if self._queue:
                await self._store(await self._next_group())
            elif self._probe_due:
                self._probe_due = False
                await self._probe()

    async def _next_group(self) -> list[_Entry]:
        group: list[_Entry] = []
        size = 0
        while self._queue and len(group) < _GROUP_RECORDS and size < _GROUP_BYTES:
            entry = self._queue.popleft()
            if entry.done.cancelled():  # nobody waits for it any more
                await self._fail(entry, LoggingFailed(_CLOSED))
            else:
                group.append(entry)
                size += entry.size
        return group

    async def _store(self, group: list[_Entry]) -> None:
        """Settle every entry of a group, whatever happens."""
        if self._problem is not None:  # the database was lost while these waited
            for entry in group:
                await self._fail(entry, LoggingFailed(self._problem, _DATABASE_ERROR))
            return
        try:
            replays = await self._writer.write([entry.row for entry in group], self._patience)
        except RowsRefused as error:
            if len(group) == 1:
                await self._fail(group[0], LoggingFailed(str(error)))
            else:
                for entry in group:  # the others need not suffer for one
                    await self._store([entry])
        except StorageError as error:
            self._note_problem(str(error))
            for entry in group:  # which may be stored all the same, so its file stays
                self._answer(entry, LoggingFailed(str(error), _DATABASE_ERROR))
        except asyncio.CancelledError:
            for entry in group:
                self._answer(entry, LoggingFailed(_CLOSED))
            raise
        except Exception as error:  # noqa: BLE001 - nobody may wait for an answer for ever
            _LOG.exception("The message log's writer failed")
            for entry in group:
                self._answer(entry, LoggingFailed(f"Internal error {type(error).__name__}"))
        else:
            self._probe_due = False
            self._on_stored()
            for entry in group:
                if entry.row.number in replays:
                    await self._fail(entry, ReplayDetected())
                else:
                    self._answer(entry, entry.row.number)

    async def _fail(self, entry: _Entry, error: ExchangeError) -> None:
        """Settle an entry that is certainly not stored."""
        self._answer(entry, error)
        await self._bodies.discard(entry.kept)

    def _answer(self, entry: _Entry, answer: int | ExchangeError) -> None:
        self._room.give(entry.size)
        if entry.done.done():
            return
        if isinstance(answer, int):
            entry.done.set_result(answer)
        else:
            entry.done.set_exception(answer)

    # --- condition --------------------------------------------------------------------------------

    @property
    def reason(self) -> str | None:
        """Why records are not taken at the moment; None while they are."""
        return self._problem or self._writer.trouble or self._bodies.problem

    @property
    def replay_retention(self) -> timedelta:
        """How long an accepted request is remembered at least."""
        return max(self.settings.replay_window, self._evidence_life())

    @property
    def healthy(self) -> bool:
        return self.reason is None

    @property
    def queue_depth(self) -> int:
        """Records that are waiting or being committed."""
        return self._room.used_places

    @property
    def queue_bytes(self) -> int:
        return self._room.used_bytes

    @property
    def _patience(self) -> float:
        return self.settings.patience.total_seconds()

    def _note_problem(self, problem: str) -> None:
        if self._problem is None:
            _LOG.warning("%s; no message is taken until it can", problem)
        self._problem = problem

    async def _probe(self) -> None:
        try:
            await self._writer.probe(self._patience, room=self._problem is not None)
        except StorageError as error:
            self._note_problem(str(error))
        else:
            if self._problem is not None:
                _LOG.warning("The message log's database is back")
            self._problem = None

    async def _probe_often(self) -> None:
        while True:
            await asyncio.sleep(self.settings.probe_interval.total_seconds())
            self._probe_due = True
            self._wake.set()
            await self._bodies.probe()

    async def _keep_up(self) -> None:
        while True:
            life = self.replay_retention
            try:
                await make_partitions(self._pool, self._clock())
                await purge_replay_keys(self._pool, self._clock() - life)
            except StorageError as error:
                _LOG.warning("%s", error)
            await asyncio.sleep(_UPKEEP.total_seconds())

    async def _warn_if_not_durable(self) -> None:
        with contextlib.suppress(*DATABASE_ERRORS):
            rows = await self._pool.fetch(
                "SELECT name FROM pg_settings WHERE setting = 'off'"
                " AND name IN ('fsync', 'synchronous_commit', 'full_page_writes') ORDER BY name"
            )
            if rows:
                names = ", ".join(row["name"] for row in rows)
                _LOG.warning("PostgreSQL runs with %s off: a crash may lose records", names)

    # --- reading ----------------------------------------------------------------------------------

    async def find(
        self,
        query: RecordQuery,
        *,
        after: Place | None = None,
        limit: int = 100,
        newest_first: bool = False,
    ) -> RecordPage:
        """One page of records, in order of time; raises StorageError."""
        return await self._search.find(query, after=after, limit=limit, newest_first=newest_first)

    async def read(self, places: Sequence[Place]) -> tuple[StoredRecord, ...]:
        """The records at these places that are there, in order of time; raises StorageError."""
        return await self._search.read(places)

    async def listing(
        self,
        query: RecordQuery,
        *,
        after: Place | None = None,
        limit: int = 100,
        newest_first: bool = False,
        unstamped: bool = False,
    ) -> Listing:
        """One page of records without their messages, and how each stands; see `listing`."""
        return await list_messages(
            self._pool, query, after=after, limit=limit, newest_first=newest_first,
            unstamped=unstamped,
        )  # fmt: skip

    async def body_of(self, record: StoredRecord, position: int = 1) -> bytes | None:
        """An attachment, counted from 1, that is in the record; None for one that is not.

        Raises StorageError.
        """
        return await self._search.body_of(record, position)

    def file_of(self, body: StoredBody) -> Iterator[bytes]:
        """The pieces of a body that is in a file, to be read in a thread.

        Raises OSError, and StorageError for one that no key of ours opens.
        """
        return self._bodies.pieces(body)
