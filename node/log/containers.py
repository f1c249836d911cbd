"""What the log hands out: a record as an ASiC-E container, and the ZIP of `GET /asic`.

Containers of large bodies are written in pieces and in a thread: no event loop waits for a disk.
Source: signatures.md 8.2, 8.3, 9; metadata.md 7; X-Road 7.8 AsicContainer.java.
"""

import asyncio
import dataclasses
import io
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from node.log.messagelog import MessageLog
from node.log.records import BodyPlace, StoredBody, StoredRecord
from node.log.search import Place
from trust.digests import SHA512_URI
from trust.errors import EvidenceRejected, StorageError
from trust.evidence.asic import Attachment, Container, container_name, form_encode, write_container
from trust.evidence.stamped_signature import insert_timestamp

_IN_MEMORY = 4 << 20  # bytes of a container that is built without a file
MAX_RECORDS = 1000  # in one archive
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # of ZIP


class Stamp(Protocol):
    """The time-stamp of a record: over its signature value, or over a hash chain result."""

    @property
    def token(self) -> bytes:
        """DER of the bare token."""

    @property
    def chain_result(self) -> bytes | None:
        """The stamped `ts-hashchainresult.xml`; None in the single form."""

    @property
    def chain(self) -> bytes | None:
        """`ts-hashchain.xml`, which leads from the result to this record; None likewise."""


class StampSource(Protocol):
    """Where time-stamps are looked up."""

    async def stamp_of(self, number: int) -> Stamp | None:
        """The time-stamp of a record by its number, None while it has none; StorageError."""


class ArchiveTooLarge(StorageError):
    """What was asked for is more than one archive may hold."""


def name_of(record: StoredRecord) -> str:
    """The file name of a record's container, as X-Road gives it."""
    return container_name(record.message_id, response=record.response, record=record.number)


def archive_name(message_id: str, response: bool | None = None) -> str:
    """The file name of the ZIP for a message id; `response` when it holds one direction alone."""
    direction = "" if response is None else "-response" if response else "-request"
    return f"{form_encode(message_id)}{direction}.zip"


@dataclass(frozen=True, slots=True)
class Document:
    """A container that can be written: its file name, its record's time, and how.

    Attributes:
        write: writes it to a seekable file; raises StorageError, and OSError for the file.
    """

    name: str
    time: datetime
    write: Callable[[BinaryIO], Awaitable[None]]


async def stamped_documents(
    log: MessageLog, stamps: StampSource, places: Sequence[Place]
) -> AsyncIterator[Document]:
    """The records at these places with their time-stamps, one at a time in memory.

    A record that has left the log meanwhile is passed over. Raises StorageError.
    """
    for place in places:
        for record in await log.read([place]):
            stamp = await stamps.stamp_of(record.number)
            write = partial(_write, log, record, stamp)
            yield Document(name_of(record), record.time, write)


async def _write(
    log: MessageLog, record: StoredRecord, stamp: Stamp | None, target: BinaryIO
) -> None:
    await write_record_container(log, record, target, stamp)


async def write_record_container(
    log: MessageLog, record: StoredRecord, target: BinaryIO, stamp: Stamp | None
) -> None:
    """Write one container to a seekable file: the same bytes for the same record and stamp.

    Raises StorageError when a body can't be read, OSError when the file can't be written.
    A body that was not kept is left out; a verifier then says that it was not checked.

    Args:
        stamp: the record's time-stamp; None for a container without one, which X-Road refuses.
    """
    kept = {
        f"attachment{position}": (position, body)
        for position, body in enumerate(record.attachments, 1)
        if body.place is not BodyPlace.NOWHERE
    }
    loop = asyncio.get_running_loop()

    def fetch(position: int) -> bytes | None:
        return asyncio.run_coroutine_threadsafe(log.body_of(record, position), loop).result()

    bodies = {
        name: _pieces(log, record, position, body, fetch) for name, (position, body) in kept.items()
    }
    container = _container(record, {name: body for name, (_, body) in kept.items()}, stamp)
    try:
        await asyncio.to_thread(write_container, container, target, bodies)
    except ValueError as error:  # another size than the record says
        raise _unreadable(record) from error


def _pieces(
    log: MessageLog,
    record: StoredRecord,
    position: int,
    body: StoredBody,
    fetch: Callable[[int], bytes | None],
) -> Iterator[bytes]:
    """The bytes of an attachment, read when it is its turn: one at a time is in memory.

    The disk's troubles while reading are not those of the target.
    """
    if body.place is BodyPlace.RECORD:
        data = fetch(position)
        if data is None:
            raise _unreadable(record)
        yield data
        return
    try:
        yield from log.file_of(body)
    except OSError as error:
        raise _unreadable(record) from error


def _unreadable(record: StoredRecord) -> StorageError:
    return StorageError(f"The body of record {record.number} can't be read")


async def write_archive(
    documents: AsyncIterator[Document], target: BinaryIO, *, folder: Path, largest: int
) -> int:
    """Write containers into one uncompressed ZIP; how many.

    Raises ArchiveTooLarge for more than MAX_RECORDS, or for more than one that are larger than
    `largest` bytes together; else as writing a document does.

    Args:
        folder: where large containers are built; the files in it have no names.
    """
    count = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        async for document in documents:
            if count == MAX_RECORDS:
                raise ArchiveTooLarge(f"There are more than {MAX_RECORDS} signed documents")
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)) as spool:
                built = cast(BinaryIO, spool)  # which it is in all but name
                await document.write(built)
                if count and target.tell() + built.seek(0, io.SEEK_END) > largest:
                    raise ArchiveTooLarge(
                        f"The signed documents are larger than {largest} bytes together"
                    )
                await asyncio.to_thread(_add_entry, archive, document, built)
            count += 1
    return count


def _add_entry(archive: zipfile.ZipFile, document: Document, built: BinaryIO) -> None:
    at = max(document.time.astimezone(UTC), _EARLIEST)
    info = zipfile.ZipInfo(
        document.name, (at.year, at.month, at.day, at.hour, at.minute, at.second)
    )
    info.create_system = 3  # Unix, whatever we run on
    info.external_attr = 0o100644 << 16
    info.file_size = built.seek(0, io.SEEK_END)  # a large file's entry says so in advance
    built.seek(0)
    with archive.open(info, "w") as entry:
        shutil.copyfileobj(built, entry)


def _container(
    record: StoredRecord, bodies: Mapping[str, StoredBody], stamp: Stamp | None
) -> Container:
    container = Container(
        message=record.message,
        signature=record.signature,
        signature_chain_result=record.hash_chain_result,
        signature_chain=record.hash_chain,
        attachments=tuple(
            Attachment(name, body.size, {SHA512_URI: body.digest}) for name, body in bodies.items()
        ),
        time=record.time,
    )
    if stamp is None:
        return container
    if stamp.chain_result is None:
        return dataclasses.replace(container, signature=_with_token(record, stamp.token))
    return dataclasses.replace(
        container,
        timestamp_chain_result=stamp.chain_result,
        timestamp_chain=stamp.chain,
        timestamp=stamp.token,
    )


def _with_token(record: StoredRecord, token: bytes) -> bytes:
    """The record's signature with a token of its own; it had a place for it when it was stamped."""
    try:
        return insert_timestamp(record.signature, token)
    except EvidenceRejected as error:
        raise StorageError(
            f"The signature of record {record.number} is not what was time-stamped: {error.text}"
        ) from error
