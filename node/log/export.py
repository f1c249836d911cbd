"""Containers taken out of the log into a folder or a ZIP file, for an operator or an auditor.

One record is in memory at a time. A file gets its name when it is complete.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from node.log.containers import ArchiveTooLarge, Document, write_archive
from trust.errors import StorageError
from trust.evidence.zipreader import MAX_TOTAL_BYTES


async def export_folder(documents: AsyncIterator[Document], folder: Path) -> int:
    """Write a file for each container; how many. Files of the same name are replaced.

    Raises StorageError when the log can't be read or the folder not be written.
    """
    count = 0
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async for document in documents:
            async with _Complete(folder / document.name) as target:
                await document.write(target)
            count += 1
    except OSError as error:
        raise StorageError(f"{folder} can't be written: {error.strerror}") from error
    return count


async def export_zip(documents: AsyncIterator[Document], path: Path) -> int:
    """Write one ZIP of containers as `GET /asic` does; how many. An old file is replaced.

    Raises StorageError when the log can't be read or the file not be written, and ArchiveTooLarge
    for more than `sacbe verify` reads in one file.
    """
    try:
        async with _Complete(path) as target:
            return await write_archive(
                documents, target, folder=path.parent, largest=MAX_TOTAL_BYTES
            )
    except ArchiveTooLarge as error:
        raise ArchiveTooLarge(
            f"{error}, which is too much for one ZIP file: export into a folder, or less"
        ) from error
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}") from error


@dataclass(slots=True)
class _Complete:
    """A file that gets its name when everything is in it, and vanishes otherwise."""

    path: Path
    _file: BinaryIO | None = None

    async def __aenter__(self) -> BinaryIO:
        self._file = await asyncio.to_thread(self._open)
        return self._file

    def _open(self) -> BinaryIO:
        return cast(
            BinaryIO,
            tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=".export-", delete=False),
        )

    async def __aexit__(self, kind: object, *_: object) -> None:
        await asyncio.to_thread(self._close, complete=kind is None)

    def _close(self, *, complete: bool) -> None:
        if self._file is None:
            return
        temporary = Path(self._file.name)
        try:
            self._file.flush()
            self._file.close()
            if complete:
                temporary.chmod(0o640)
                os.replace(temporary, self.path)
        finally:
            with suppress(OSError):
                self._file.close()
            temporary.unlink(missing_ok=True)
