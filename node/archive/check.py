"""Whether the store still has what was archived: every file read, compared and followed."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from node.archive.book import ArchiveBook, ArchiveFile
from node.archive.recipients import ENDING, decrypt
from node.archive.store import ArchiveStore
from trust.errors import StorageError
from trust.evidence.archives import judge_archive
from trust.evidence.linkinginfo import START, ArchiveEnd
from trust.report import Outcome

_PAGE = 200
_IN_MEMORY = 4 << 20


@dataclass(frozen=True, slots=True)
class FileCheck:
    """How a file of the archive was found.

    Attributes:
        containers: how many were compared with the chain; 0 for an encrypted file without identity.
        problem: empty when the file is what was stored.
    """

    name: str
    containers: int
    problem: str


async def check_archive(
    book: ArchiveBook, store: ArchiveStore, folder: Path, identity: Path | None = None
) -> AsyncIterator[FileCheck]:
    """Check every stored file in the order of making, then look for files that are not known.

    Raises StorageError when database or store can't be used at all.

    Args:
        folder: for one file at a time, plain if it could be decrypted.
        identity: opens encrypted files; without it only their bytes are compared.
    """
    ends: dict[str, ArchiveEnd] = {}
    known: set[str] = set()
    after = 0
    while files := await book.files(after=after, limit=_PAGE):
        after = files[-1].id
        for file in files:
            known.add(file.name)
            if file.stored is not None:
                end = ends.get(file.party, START)
                yield await _check_file(file, store, end, folder, identity)
                ends[file.party] = ArchiveEnd(file.digest, file.name)
    async for found in store.list():
        if found.name.startswith("mlog-") and found.name not in known:
            yield FileCheck(found.name, 0, "the database does not know this file")


async def _check_file(
    file: ArchiveFile, store: ArchiveStore, end: ArchiveEnd, folder: Path, identity: Path | None
) -> FileCheck:
    if await store.size_of(file.name) is None:
        return FileCheck(file.name, 0, "the file is not in the store any more")
    with tempfile.TemporaryDirectory(dir=str(folder)) as name:
        path = Path(name) / "fetched"
        if await _fetch(store, file.name, path) != file.bytes:
            return FileCheck(file.name, 0, "the file is not what was stored")
        if file.name.endswith(ENDING):
            if identity is None:
                return FileCheck(file.name, 0, "")
            try:
                await asyncio.to_thread(decrypt, path, path.with_name("plain"), identity)
            except StorageError as error:
                return FileCheck(file.name, 0, str(error))
            path = path.with_name("plain")
        return await asyncio.to_thread(_judge, file, path, end)


async def _fetch(store: ArchiveStore, name: str, path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("wb") as target:
        async for piece in store.get(name):
            digest.update(piece)
            await asyncio.to_thread(target.write, piece)
    return digest.digest()


def _judge(file: ArchiveFile, path: Path, end: ArchiveEnd) -> FileCheck:
    def spool() -> BinaryIO:
        made = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(path.parent))  # noqa: SIM115 - who judges closes it
        return cast(BinaryIO, made)  # which it is in all but name

    with path.open("rb") as source:
        report = judge_archive(source, spool=spool, previous=end, name=file.name)
    problem = "" if report.verdict is Outcome.PASSED else report.reason
    if not problem and (report.end is None or report.end.digest != file.digest):
        problem = "the file ends with another digest than the database has"
    return FileCheck(file.name, report.containers, problem)
