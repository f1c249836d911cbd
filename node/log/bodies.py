"""What is kept of a body: in the record, in a file, or its digest alone."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from node.log.column_keys import NO_KEYS, KeyRing, file_place
from node.log.records import BodyPlace, LoggedBody, StoredBody
from node.log.settings import MAX_KEPT, Beyond, MessageLogSettings
from trust.errors import LoggingFailed

_PIECE = 1 << 20
_READ_AT_ONCE = 256 << 10  # more than this is read in a thread


@dataclass(frozen=True, slots=True)
class KeptBody:
    """What goes into the row."""

    digest: bytes
    size: int
    data: bytes | None = field(default=None, repr=False)
    file: str | None = None


class Bodies:
    """Applies the settings for bodies, and keeps the folder of those in files."""

    def __init__(self, settings: MessageLogSettings, keys: KeyRing = NO_KEYS) -> None:
        self._settings = settings
        self._keys = keys
        self.problem: str | None = None  # why the folder takes no files; cleared by `probe`

    def places_of(self, bodies: Sequence[LoggedBody]) -> tuple[BodyPlace, ...]:
        """Where the bodies of a message will be kept.

        Raises LoggingFailed when one of them may not be logged at all. Those that would make the
        record larger than MAX_KEPT count as too large.
        """
        room: int = MAX_KEPT
        places = []
        for body in bodies:
            if body.size <= min(self._settings.body_limit, room):
                places.append(BodyPlace.RECORD)
                room -= body.size
            else:
                places.append(self._place_of_large(body))
        return tuple(places)

    def _place_of_large(self, body: LoggedBody) -> BodyPlace:
        if self._settings.body_beyond is Beyond.REFUSE:
            what = "Message attachment size" if body.soap else "Message size"
            raise LoggingFailed(f"{what} exceeds maximum loggable size")
        if self._settings.body_beyond is Beyond.FOLDER:
            return BodyPlace.FILE
        return BodyPlace.NOWHERE

    async def keep(self, bodies: Sequence[LoggedBody], at: datetime) -> tuple[KeptBody, ...]:
        """Read the bodies of a message, or make their files durable; raises LoggingFailed."""
        at_once = sum(body.size for body in bodies) <= _READ_AT_ONCE
        kept: list[KeptBody] = []
        try:
            for body, place in zip(bodies, self.places_of(bodies), strict=True):
                if place is BodyPlace.FILE:
                    kept.append(await self._keep_in_file(body, at, len(kept) + 1))
                else:
                    kept.append(await self._keep(body, place, at_once=at_once))
        except BaseException:
            await self.discard(kept)
            raise
        return tuple(kept)

    async def _keep(self, body: LoggedBody, place: BodyPlace, *, at_once: bool) -> KeptBody:
        if place is BodyPlace.NOWHERE:
            return KeptBody(body.digest, body.size)
        data = _read(body) if at_once else await asyncio.to_thread(_read, body)
        return KeptBody(body.digest, body.size, data=data)

    async def _keep_in_file(self, body: LoggedBody, at: datetime, position: int) -> KeptBody:
        name = f"{at.astimezone(UTC):%Y-%m-%d}/{uuid.uuid4().hex}"
        pieces, key = _complete(body), self._keys.newest
        if key is not None:
            pieces = key.seal_pieces(pieces, file_place(at, name, body.digest, position))
        await self._write(self._folder() / name, pieces)
        return KeptBody(body.digest, body.size, file=name)

    async def discard(self, kept: Sequence[KeptBody]) -> None:
        """Remove the files of a record that was not stored after all."""
        for body in kept:
            if body.file is not None:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread((self._folder() / body.file).unlink, missing_ok=True)

    async def probe(self) -> None:
        """Try the folder again after a failure."""
        if self.problem is not None:
            try:
                await asyncio.to_thread(_try_folder, self._folder())
            except OSError as error:
                self.problem = _problem(error)
            else:
                self.problem = None

    def pieces(self, body: StoredBody) -> Iterator[bytes]:
        """The bytes of a body in a file; raises OSError, StorageError for a key that is missing."""
        with (self._folder() / body.file).open("rb") as stream:
            if body.seal is not None:
                yield from self._keys.open_file(body.seal, stream)
                return
            while piece := stream.read(_PIECE):
                yield piece

    async def _write(self, path: Path, pieces: Iterator[bytes]) -> None:
        writing = asyncio.ensure_future(asyncio.to_thread(_write_durably, path, pieces))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError, LoggingFailed):
                await writing  # the thread reads the source, which is ours until we return
                await asyncio.to_thread(path.unlink)
            raise
        except OSError as error:
            self.problem = _problem(error)
            raise LoggingFailed(self.problem) from error

    def _folder(self) -> Path:
        folder = self._settings.body_folder
        if folder is None:
            raise LoggingFailed("There is no folder for large bodies")
        return folder


def _problem(error: OSError) -> str:
    return f"The folder for large bodies takes no files: {error.strerror or 'error'}"


def _read(body: LoggedBody) -> bytes:
    data = body.source.read_at(0, body.size)
    if len(data) != body.size:
        raise LoggingFailed("A body changed while it was logged")
    return data


def _complete(body: LoggedBody) -> Iterator[bytes]:
    """The pieces of a body; raises LoggingFailed at the end when they were not all of it."""
    seen = 0
    for piece in body.pieces(_PIECE):
        seen += len(piece)
        yield piece
    if seen != body.size:
        raise LoggingFailed("A body changed while it was logged")


def _write_durably(path: Path, pieces: Iterator[bytes]) -> None:
    """Write and sync a file and the folders that name it; leaves nothing when that fails."""
    new_day = not path.parent.is_dir()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
        if new_day:
            _sync_folder(path.parent.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _try_folder(folder: Path) -> None:
    """Write as much as shows whether a disk is full, and take it away again."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"probe-{uuid.uuid4().hex}"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(bytes(_PIECE))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
