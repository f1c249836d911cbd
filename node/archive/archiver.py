"""Moves stamped records into archive files, so that nothing is lost or doubled whatever happens.

A file is built in a folder of our own, written down in the database together with the records it
holds, put into the store, read back from there and compared, and written down as stored. Only then
may its records go (`retention`). A process that dies leaves at most one file that is written down
and not stored; the next run finds it in the store, or builds it again from the same records.

One process of a cluster works at a time. Its lease is confirmed in every transaction, so that one
that lost it unawares changes nothing more.

Source: signatures.md 11; X-Road 7.8 LogArchiver.java, LogArchiveWriter.java;
docs/decisions/0096-how-archive-files-become-durable.md.
"""

import asyncio
import contextlib
import hashlib
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from node.archive.book import (
    ArchiveBook,
    ArchiveFile,
    ArchiveState,
    Backlog,
    Leaf,
    WorkerReplaced,
)
from node.archive.recipients import ENDING, Recipients, encrypt, load_recipients
from node.archive.settings import ArchiveSettings
from node.archive.store import ArchiveStore, StoreAddress, open_store
from node.log.containers import Stamp, name_of, write_record_container
from node.log.messagelog import MessageLog
from node.log.records import BodyPlace, StoredRecord
from trust.database import Pool
from trust.digests import SHA512_URI, sha512
from trust.errors import MalformedMessage, StorageError
from trust.evidence.archive_files import ArchiveWriter, archive_file_name
from trust.evidence.asic import parse_container
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.evidence.linkinginfo import ArchiveEnd
from trust.evidence.zipreader import MAX_TOTAL_BYTES
from trust.ids import ClientId

_LOG = logging.getLogger(__name__)
_IN_MEMORY = 4 << 20  # bytes of a container that is built without a file
_PAGE_RECORDS, _PAGE_BYTES = 100, 4 << 20  # read at once
_MOST_CONTAINERS = 10_000  # in one file
_LARGEST = MAX_TOTAL_BYTES - (1 << 20)  # of a record: a larger container can't be judged
_PIECE = 1 << 20
_LOOK = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=10)  # after failures
_LEASE = timedelta(minutes=1)


class StampSource(Protocol):
    """Who knows the time-stamps of records."""

    async def stamps_of(self, numbers: Sequence[int]) -> Mapping[int, Stamp]: ...


class Gauges(Protocol):
    """What takes figures to be watched."""

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None: ...

    def counter(self, name: str, meaning: str, read: Callable[[], float]) -> None: ...


class RecordAltered(StorageError):
    """A record is not what it was when it got its place in the log."""


@dataclass(frozen=True, slots=True)
class _Built:
    """A finished file in the work folder."""

    path: Path
    file: ArchiveFile
    leaves: tuple[int, ...]
    guessed: int  # bytes that its containers were thought to have
    full: bool


class Archiver:
    """One process's archiver.

    Args:
        folder: where files are built; ours alone.
        lease: how long a process that has died keeps others from archiving.
    """

    def __init__(
        self,
        pool: Pool,
        log: MessageLog,
        stamps: StampSource,
        store: ArchiveStore,
        settings: ArchiveSettings,
        folder: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lease: timedelta = _LEASE,
    ) -> None:
        self.book = ArchiveBook(pool, settings.grouping, lease)
        self.state: ArchiveState | None = None  # as it was at the last look
        self.bytes = 0  # stored by this process
        self._log = log
        self._stamps = stamps
        self._store = store
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._lease = lease
        self._at_work = asyncio.Lock()
        self._packed = 1.0  # bytes of containers for each that was guessed, in the last file

    # --- for the operator -------------------------------------------------------------------------

    @property
    def reason(self) -> str | None:
        """Why records are not archived at the moment; None while they are."""
        state = self.state
        if state is None:
            return None
        if state.failing_since is not None:
            return f"Archiving fails since {state.failing_since:%Y-%m-%d %H:%M}Z: {state.failure}"
        if state.troubles:
            return f"{state.troubles} records can't be archived; see `sacbe archive list`"
        return None

    def watch(self, metrics: Gauges) -> None:
        """Give the figures that an operator watches."""
        metrics.gauge(
            "sacbe_archive_backlog_records",
            "Time-stamped records that are in no archive file; -1 before that is known",
            lambda: -1 if self.state is None else self.state.backlog,
        )
        metrics.gauge(
            "sacbe_archive_troubled_records",
            "Records that can't be archived",
            lambda: 0 if self.state is None else self.state.troubles,
        )
        metrics.gauge(
            "sacbe_archive_age_seconds",
            "Seconds since the archive was last brought up to date; -1 before",
            self._age,
        )
        metrics.counter("sacbe_archive_bytes", "Bytes of archive files stored", lambda: self.bytes)

    def _age(self) -> float:
        if self.state is None or self.state.last_success is None:
            return -1.0
        return (self._clock() - self.state.last_success).total_seconds()

    async def run(self) -> None:
        """Archive what is due, until cancelled."""
        pause = first = min(_LOOK, self._settings.interval)
        while True:
            try:
                await self.archive()
                pause = first
            except StorageError as error:
                _LOG.warning("%s; it is tried again", error)
                pause = min(2 * pause, max(first, _LONGEST_PAUSE))
            except Exception as error:  # noqa: BLE001 - an archiver that ended is missed days later
                _LOG.exception("The archiver failed")
                with contextlib.suppress(StorageError):
                    reason = f"Internal error {type(error).__name__}"
                    await self.book.fail(reason, self._clock())
                pause = max(first, _LONGEST_PAUSE)
            with contextlib.suppress(StorageError):
                self.state = await self.book.state()
            await asyncio.sleep(pause.total_seconds())

    # --- a run ------------------------------------------------------------------------------------

    async def archive(self, *, everything: bool = False) -> int | None:
        """Archive what is due; how many files, or None while another process is at it.

        Args:
            everything: also what could wait for more.
        """
        if self._at_work.locked():
            return None
        async with self._at_work, self._leading() as ours:
            if not ours:
                return None
            try:
                files = await self._finish_open_file()
                state = await self.book.state()
                for backlog in await self.book.backlog(state, self._clock()):
                    files += await self._archive_party(backlog, state, everything)
                await self.book.succeed(self._clock())
            except WorkerReplaced:
                raise
            except (StorageError, OSError) as error:
                failure = error if isinstance(error, StorageError) else _no_room(error)
                with contextlib.suppress(StorageError):
                    await self.book.fail(str(failure), self._clock())
                raise failure from error
            return files

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[bool]:
        """Whether we are the one process that archives; the lease is kept while the block runs."""
        if not await self.book.take():
            yield False
            return
        keeping = asyncio.create_task(self._keep_lease(), name="archive lease")
        try:
            yield True
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with contextlib.suppress(StorageError):
                await self.book.give_up()

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 4)
            with contextlib.suppress(StorageError):
                await self.book.take()

    async def _archive_party(self, backlog: Backlog, state: ArchiveState, everything: bool) -> int:
        """Make a party's files: the last one when its oldest record has waited long enough."""
        overdue = everything or backlog.oldest <= self._clock() - self._settings.interval
        left, files = backlog.size, 0
        while overdue or left * self._packed > self._settings.file_size:
            async with self._work_folder() as folder:
                leaves = self.book.open_leaves(backlog.party, state, self._clock())
                end = await self.book.end_of(backlog.party)
                built = await self._build(backlog.party, leaves, end, folder)
                if built is None or not (built.full or overdue):
                    break
                file = await self.book.plan(built.file, built.leaves)
                await self._store_file(file, built.path)
            left -= built.guessed
            files += 1
        return files

    async def _finish_open_file(self) -> int:
        """Bring a file to its end that was written down and, as far as is known, not stored."""
        file = await self.book.in_work()
        if file is None:
            return 0
        if await self._is_stored(file):
            await self.book.settle(file, self._clock())
            return 1
        async with self._work_folder() as folder:
            leaves = self.book.planned_leaves(file)
            end = await self.book.end_of(file.party)
            built = await self._build(file.party, leaves, end, folder, whole=True)
            if built is None or len(built.leaves) != file.containers:
                await self._store.delete(file.name)
                await self.book.discard(file)
                return 0
            again = replace(built.file, id=file.id)
            if again.name != file.name:
                await self._store.delete(file.name)
            await self.book.change(again)
            await self._store_file(again, built.path)
        return 1

    async def _store_file(self, file: ArchiveFile, path: Path) -> None:
        await self._store.put(file.name, path)
        if not await self._is_stored(file):
            raise StorageError(f"{file.name} reads back from the archive store as another file")
        await self.book.settle(file, self._clock())
        self.bytes += file.size
        _LOG.info("archived %d records in %s", file.containers, file.name)

    async def _is_stored(self, file: ArchiveFile) -> bool:
        """Whether the store has exactly this file; every byte is read."""
        if await self._store.size_of(file.name) != file.size:
            return False
        digest = hashlib.sha256()
        async for piece in self._store.get(file.name):
            digest.update(piece)
        return digest.digest() == file.bytes

    # --- building ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def _work_folder(self) -> AsyncIterator[Path]:
        """A folder for one file; what others that died have left is removed."""
        await asyncio.to_thread(_clear, self._folder)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=str(self._folder)))
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _build(
        self,
        party: str,
        leaves: AsyncIterator[Leaf],
        end: ArchiveEnd,
        folder: Path,
        *,
        whole: bool = False,
    ) -> _Built | None:
        """Build a file of the first leaves, or of all; None when there is nothing to put into it.

        Memory is bounded by a page of records, one container and a line for each.
        """
        path = folder / "archive.zip"
        taken: list[Leaf] = []
        with path.open("wb+") as target, ArchiveWriter(target, end) as writer:
            async for leaf, record, stamp in self._records(leaves):
                if not whole and self._is_full(writer):
                    break
                if await self._add(writer, leaf, record, stamp):
                    taken.append(leaf)
            if writer.first is None or writer.last is None:
                return None
            await asyncio.to_thread(writer.finish)
        name = archive_file_name(_party_text(party), writer.first, writer.last, writer.digest)
        path, name = await self._encrypted(party, path, name)
        file = ArchiveFile(
            id=0,
            party=party,
            name=name,
            digest=writer.digest,
            bytes=await asyncio.to_thread(_digest_of, path),
            size=(await asyncio.to_thread(path.stat)).st_size,
            containers=len(writer),
            first_leaf=taken[0].leaf,
            last_leaf=taken[-1].leaf,
            first_time=writer.first,
            last_time=writer.last,
            made=self._clock(),
            stored=None,
        )
        guessed = sum(leaf.size for leaf in taken)
        self._packed = writer.size / max(1, guessed)
        leaves_taken = tuple(leaf.leaf for leaf in taken)
        return _Built(path, file, leaves_taken, guessed, self._is_full(writer))

    def _is_full(self, writer: ArchiveWriter) -> bool:
        return writer.size > self._settings.file_size or len(writer) >= _MOST_CONTAINERS

    async def _records(
        self, leaves: AsyncIterator[Leaf]
    ) -> "AsyncIterator[tuple[Leaf, StoredRecord, Stamp]]":
        """Records with their time-stamps, in order of their leaves; those without are noted."""
        async for page in _pages(leaves):
            records = {
                record.number: record
                for record in await self._log.read([leaf.place for leaf in page])
            }
            stamps = await self._stamps_of(page)
            for leaf in page:
                record, stamp = records.get(leaf.place.number), stamps.get(leaf.place.number)
                if record is None:
                    await self._trouble(leaf, "The record is not in the database any more")
                elif stamp is not None:
                    yield leaf, record, stamp

    async def _stamps_of(self, page: Sequence[Leaf]) -> Mapping[int, Stamp]:
        """The time-stamps of some records; one that can't be had hides no other."""
        try:
            found = await self._stamps.stamps_of([leaf.place.number for leaf in page])
        except StorageError:
            found = {}
        stamps = dict(found)
        for leaf in page:
            number = leaf.place.number
            if number not in stamps:
                try:
                    stamps.update(await self._stamps.stamps_of([number]))
                except StorageError as error:
                    await self._trouble(leaf, str(error))
                else:
                    if number not in stamps:
                        await self._trouble(leaf, "The time-stamp is not in the database any more")
        return stamps

    async def _add(
        self, writer: ArchiveWriter, leaf: Leaf, record: StoredRecord, stamp: Stamp
    ) -> bool:
        """Add a record's container; False, and noted, when that can't be made as it was logged."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._folder)) as spool:
            built = cast(BinaryIO, spool)  # which it is in all but name
            try:
                if leaf.size > _LARGEST:
                    raise StorageError(f"Record {record.number} is larger than a container may be")
                _check_record(record, leaf.hash)
                await write_record_container(self._log, record, built, stamp)
                if record.attachments:
                    await asyncio.to_thread(_check_bodies, record, built)
            except StorageError as error:
                await self._trouble(leaf, str(error))  # which raises when the database is away
                return False
            await asyncio.to_thread(writer.add, name_of(record), record.time, _pieces(built))
        return True

    async def _trouble(self, leaf: Leaf, reason: str) -> None:
        _LOG.warning("The record at leaf %d is not archived: %s", leaf.leaf, reason)
        await self.book.trouble(leaf.leaf, reason, self._clock())

    async def _encrypted(self, party: str, path: Path, name: str) -> tuple[Path, str]:
        """The same file for its recipients' eyes alone, if there are to be any."""
        if self._settings.recipients is None:
            return path, name
        recipients = await asyncio.to_thread(self._recipients_of, self._settings.recipients, party)
        encrypted = path.with_name("archive.age")
        await asyncio.to_thread(encrypt, path, encrypted, recipients)
        await asyncio.to_thread(path.unlink)
        return encrypted, name + ENDING

    def _recipients_of(self, file: Path, party: str) -> list[object]:
        recipients: Recipients = load_recipients(file)
        return recipients.of(_party_text(party))


def open_archive_store(settings: ArchiveSettings) -> ArchiveStore | None:
    """The store that the settings name, or None; raises StorageError."""
    if not settings.store:
        return None
    return open_store(
        StoreAddress(settings.store, settings.endpoint, settings.region, settings.credentials)
    )


def _check_record(record: StoredRecord, expected: bytes) -> None:
    """Raise RecordAltered unless a record is what it was when it got its place in the log."""
    data = leaf_data(
        sha512(record.message),
        sha512(record.signature),
        None if record.hash_chain_result is None else sha512(record.hash_chain_result),
        None if record.hash_chain is None else sha512(record.hash_chain),
        [body.digest for body in record.attachments],
    )
    if leaf_hash(data) != expected:
        raise RecordAltered(f"Record {record.number} is not what was logged")


def _check_bodies(record: StoredRecord, container: BinaryIO) -> None:
    """Raise RecordAltered unless the bodies in a container are those of the record."""
    expected = {
        f"attachment{position}": body.digest
        for position, body in enumerate(record.attachments, 1)
        if body.place is not BodyPlace.NOWHERE
    }
    if not expected:
        return
    try:
        parts = parse_container(container).attachments
    except MalformedMessage as error:
        raise StorageError(
            f"Record {record.number} makes no container that can be read: {error.text}"
        ) from error
    if {part.name: part.digests[SHA512_URI] for part in parts} != expected:
        raise RecordAltered(f"The body of record {record.number} is not what was logged")


async def _pages(leaves: AsyncIterator[Leaf]) -> AsyncIterator[list[Leaf]]:
    """Some leaves at a time, few when they are large."""
    page: list[Leaf] = []
    size = 0
    async for leaf in leaves:
        if page and (len(page) == _PAGE_RECORDS or size + leaf.size > _PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(leaf)
        size += leaf.size
    if page:
        yield page


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    source.seek(0)
    while piece := source.read(_PIECE):
        yield piece


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _clear(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)


def _party_text(party: str) -> str:
    """A party's path form as people write it."""
    return "/".join(ClientId.from_header(party).parts) if party else ""


def _no_room(error: OSError) -> StorageError:
    return StorageError(f"Archive files can't be built: {error.strerror or type(error).__name__}")
