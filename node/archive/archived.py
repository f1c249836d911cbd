"""Containers whose records have left the database: found by their message, read from the archive.

A file that is encrypted to recipients can't be read here and counts as not there.
"""

import asyncio
import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from node.archive.store import ArchiveStore
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.evidence.asic import container_name
from trust.ids import ClientId

_IN_MEMORY = 4 << 20  # bytes of an archive file that is read without a file
_FIND = """
SELECT a.message_id, a.response, a.time, a.number, f.name AS file, f.size, f.bytes AS digest
FROM archived_message AS a JOIN archive_file AS f ON f.id = a.file
WHERE a.message_id = $1 AND a.local_client = $2 AND ($3::boolean IS NULL OR a.response = $3)
  AND f.stored IS NOT NULL AND f.name LIKE '%.zip'
  AND NOT EXISTS (SELECT FROM message_record AS r WHERE r.time = a.time AND r.number = a.number)
ORDER BY a.time, a.number LIMIT $4
"""


_FILES = """
SELECT DISTINCT f.name FROM archived_message AS a JOIN archive_file AS f ON f.id = a.file
WHERE a.message_id = $1 AND f.stored IS NOT NULL ORDER BY f.name LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class ArchivedMessage:
    """A container in an archive file.

    Attributes:
        file, size, digest: the file's name in the store, its bytes and their SHA-256.
    """

    message_id: str
    response: bool
    time: datetime
    number: int
    file: str
    size: int
    digest: bytes

    @property
    def name(self) -> str:
        return container_name(self.message_id, response=self.response, record=self.number)


async def archive_files_of(pool: Pool, message_id: str, limit: int = 100) -> list[str]:
    """The archive files that hold containers of a message, encrypted ones too; StorageError."""
    try:
        rows = await pool.fetch(_FILES, message_id, limit)
    except DATABASE_ERRORS as error:
        raise _unusable(error) from error
    return [row["name"] for row in rows]


class ArchivedContainers:
    """Reads an archive store.

    Args:
        folder: where files of the store are put for a moment; they have no names there.
        largest: bytes of a file that is read at all.
    """

    def __init__(self, pool: Pool, store: ArchiveStore, folder: Path, largest: int) -> None:
        self._pool = pool
        self._store = store
        self._folder = folder
        self._largest = largest

    async def find(
        self, message_id: str, local: ClientId, response: bool | None, limit: int
    ) -> list[ArchivedMessage]:
        """What the store alone has of a message, in order of time; raises StorageError."""
        try:
            rows = await self._pool.fetch(_FIND, message_id, local.path, response, limit)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return [ArchivedMessage(**row) for row in rows]

    async def write(self, message: ArchivedMessage, target: BinaryIO) -> None:
        """Write a container as it was archived; raises StorageError, OSError for the target."""
        async with self._fetched(message) as file:
            try:
                await asyncio.to_thread(_copy_entry, file, message.name, target)
            except (KeyError, zipfile.BadZipFile) as error:
                raise StorageError(f"{message.file} does not hold {message.name}") from error

    @asynccontextmanager
    async def _fetched(self, message: ArchivedMessage) -> AsyncIterator[BinaryIO]:
        """The archive file, which is the one that was written."""
        if message.size > self._largest:
            raise StorageError(f"{message.file} has more than {self._largest} bytes")
        digest = hashlib.sha256()
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._folder)) as spool:
            async for piece in self._store.get(message.file):
                digest.update(piece)
                await asyncio.to_thread(spool.write, piece)
                if spool.tell() > message.size:
                    break
            if digest.digest() != message.digest:
                raise StorageError(f"{message.file} in the archive store is not what was stored")
            yield cast(BinaryIO, spool)  # which it is in all but name


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The archive's tables can't be used: {describe(error)}")


def _copy_entry(file: BinaryIO, name: str, target: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive, archive.open(name) as entry:
        shutil.copyfileobj(entry, target)
