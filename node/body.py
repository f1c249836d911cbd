"""A body that is kept: in memory while it is small, in an unlinked file beyond, and digested.

The memory of a node does not grow with the bodies that pass through it. A file has no name from the
start, so a killed node leaves nothing behind. Writes go to the page cache piece by piece, directly
from the event loop: for pieces up to 1 MiB that takes less time than handing them to a thread.

Source: design.md 3.3; transport.md 15.
"""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from trust.errors import LoggingFailed

MEMORY_LIMIT = 256 * 1024
PIECE = 64 * 1024
_LARGEST_WRITE = 1024 * 1024
_ROOM_STEP = 16 * 1024 * 1024  # bytes written between two looks at the free room


class BodyTooLarge(LoggingFailed):
    """The body is longer than this node keeps, so the exchange does not happen."""

    def __init__(self) -> None:
        super().__init__("Message size exceeds maximum loggable size")


@dataclass(frozen=True, slots=True)
class Section:
    """A run of bytes of a spooled body, readable until that is closed: one body of a message.

    Attributes:
        digest: SHA-512 of the run alone.
    """

    size: int
    digest: bytes = field(repr=False)
    source: "SpooledBody" = field(repr=False, compare=False)
    start: int = 0

    @property
    def spooled(self) -> bool:
        """Whether the bytes are in a file and not in memory."""
        return self.source.spooled

    def read_at(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; raises LoggingFailed when the file can't be read."""
        return self.source.read_at(self.start + start, max(0, min(length, self.size - start)))

    async def pieces(self, size: int = PIECE) -> AsyncIterator[bytes]:
        """The bytes from the beginning, at most `size` at a time; may be called again and again."""
        for start in range(0, self.size, size):
            yield self.read_at(start, size)


class SpooledBody:
    """Bytes written once, piece by piece, and read as often as needed.

    The bodies of one message may share one of these: `cut` ends one, and the next begins. So what
    a message costs in memory, in files and on the disk is bounded however many parts it has.

    Args:
        folder: where a large body is spooled; must exist.
        size_limit: bytes beyond which `write` raises BodyTooLarge; None for no limit.
        memory_limit: bytes up to which no file is made.
        reserve: bytes of the folder's disk that must stay free: the log may be on it, too.
    """

    __slots__ = (
        "_cut_at", "_file", "_folder", "_hash", "_memory", "_memory_limit", "_reserve",
        "_room_until", "_size_limit", "size",
    )  # fmt: skip

    def __init__(
        self,
        folder: Path,
        size_limit: int | None = None,
        memory_limit: int = MEMORY_LIMIT,
        reserve: int = 0,
    ) -> None:
        self.size = 0
        self._folder = folder
        self._size_limit = size_limit
        self._memory_limit = memory_limit
        self._reserve = reserve
        self._room_until = 0  # the size up to which room was found
        self._memory: bytearray | None = bytearray()  # None once closed or spooled
        self._file: int | None = None  # descriptor
        self._hash = hashlib.sha512()
        self._cut_at = 0

    async def fill(self, source: AsyncIterable[bytes]) -> Self:
        """Write everything that `source` yields; its errors pass through, and those of `write`."""
        async for piece in source:
            self.write(piece)
        return self

    def write(self, piece: bytes) -> None:
        """Add bytes at the end; raises BodyTooLarge, or LoggingFailed when the disk is full."""
        size = self.size + len(piece)
        if self._size_limit is not None and size > self._size_limit:
            raise BodyTooLarge
        if self._memory is None and self._file is None:
            raise ValueError("the body is closed")
        if self._memory is not None and size > self._memory_limit:
            self._spool(self._memory)
        if self._memory is not None:
            self._memory += piece
        elif self._file is not None:
            self._check_room(self._file, size)
            _write_at(self._file, piece, self.size)
        self._hash.update(piece)
        self.size = size

    def cut(self) -> Section:
        """What was written since the last cut, as a body of its own."""
        start, self._cut_at = self._cut_at, self.size
        found = Section(self.size - start, self._hash.digest(), self, start)
        self._hash = hashlib.sha512()
        return found

    @property
    def digest(self) -> bytes:
        """SHA-512 of what was written since the last cut."""
        return self._hash.digest()

    @property
    def spooled(self) -> bool:
        """Whether the bytes are in a file and no longer in memory."""
        return self._file is not None

    async def pieces(self, size: int = PIECE) -> AsyncIterator[bytes]:
        """The bytes from the beginning, at most `size` at a time; may be called again and again."""
        for start in range(0, self.size, size):
            yield self.read_at(start, min(size, self.size - start))

    def read_at(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; raises LoggingFailed when the file can't be read."""
        if self._memory is not None:
            return bytes(memoryview(self._memory)[start : start + length])
        if self._file is None:
            raise ValueError("the body is closed")
        try:
            found = os.pread(self._file, length, start)
        except OSError as error:
            raise LoggingFailed("A stored body can't be read back") from error
        if len(found) < min(length, self.size - start):
            raise LoggingFailed("A stored body can't be read back")
        return found

    def close(self) -> None:
        """Give memory and file back; may be called twice."""
        self._memory = None
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()

    def _check_room(self, file: int, size: int) -> None:
        if size <= self._room_until:
            return
        found = os.fstatvfs(file)
        if found.f_bavail * found.f_frsize < self._reserve + _ROOM_STEP:
            raise LoggingFailed("The spool folder's disk is nearly full; the body can't be kept")
        self._room_until = size + _ROOM_STEP

    def _spool(self, so_far: bytearray) -> None:
        try:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as unlinked:
                file = os.dup(unlinked.fileno())
        except OSError as error:
            raise LoggingFailed("The spool folder takes no file; the body can't be kept") from error
        self._file = file
        self._check_room(file, len(so_far))
        _write_at(file, so_far, 0)
        self._memory = None


def _write_at(file: int, piece: bytes | bytearray, start: int) -> None:
    """Write all of `piece` at an offset, so that a failed write can't shift what follows."""
    with memoryview(piece) as view:
        written = 0
        try:
            while written < len(view):
                part = view[written : written + _LARGEST_WRITE]
                written += os.pwrite(file, part, start + written)
        except OSError as error:
            raise LoggingFailed("The spool folder is full; the body can't be kept") from error
