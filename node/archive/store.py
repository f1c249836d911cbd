"""Where archive files are kept: a folder or a bucket of an S3 service, behind one small interface.

What `put` returned from is durable. A folder's files and the folders that name them are synced
here, since obstore leaves that out (docs/decisions/0096-how-archive-files-become-durable.md); an
S3 service has an object wholly or not at all.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from trust.errors import StorageError

_LOG = logging.getLogger(__name__)
_PIECE = 1 << 20
_PART = 8 << 20  # of an upload; an S3 service takes 10 000 parts
_UPLOADS = 2  # parts at the same time: they are in memory
_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token")
_ERRORS = (exceptions.BaseError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store."""

    name: str
    size: int
    changed: datetime


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is.

    Attributes:
        url: `file:///folder` or `s3://bucket/prefix`, percent-encoded where a URL must be.
        endpoint: of an S3 service that is not Amazon's, as `https://s3.example.org`.
        credentials: a file with `access_key_id = …` and `secret_access_key = …`; without it the
            environment and the machine's role count.
    """

    url: str
    endpoint: str = ""
    region: str = ""
    credentials: Path | None = None


class ArchiveStore:
    """A store that is open; every method raises StorageError."""

    def __init__(self, store: LocalStore | S3Store, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, name: str, content: bytes | Path, *, overwrite: bool = True) -> None:
        """Keep a file durably; large ones are given as a path and read in pieces.

        Args:
            name: with `/` between folders.
            overwrite: else a file of that name is an error.
        """
        mode: Literal["overwrite", "create"] = "overwrite" if overwrite else "create"
        with _telling("written", name):
            if not overwrite and await self.size_of(name) is not None:
                raise StorageError(f"The archive store has {name} already")
            parted = overwrite and await asyncio.to_thread(_size_of, content) > _PART
            await obstore.put_async(
                self._store,
                name,
                content,
                mode=None if parted else mode,
                use_multipart=parted,
                chunk_size=_PART,
                max_concurrency=_UPLOADS,
            )
            if self._folder is not None:
                await asyncio.to_thread(_sync, self._folder, name)

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """The bytes of a file, in pieces of about a mebibyte."""
        with _telling("read", name):
            found = await obstore.get_async(self._store, name)
            async for piece in found.stream(min_chunk_size=_PIECE):
                yield bytes(piece)

    async def read(self, name: str, largest: int) -> bytes:
        """A small file whole; one larger than `largest` bytes is refused."""
        size = await self.size_of(name)
        if size is None:
            raise StorageError(f"The archive store has no {name}")
        if size > largest:
            raise StorageError(f"{name} is larger than {largest} bytes")
        return b"".join([piece async for piece in self.get(name)])

    async def size_of(self, name: str) -> int | None:
        """How many bytes a file has; None when there is none."""
        with _telling("read", name):
            try:
                found = await obstore.head_async(self._store, name)
            except FileNotFoundError:
                return None
            return int(found["size"])

    async def list(self, prefix: str = "") -> AsyncIterator[StoredFile]:
        """The files whose folder is `prefix` or below it, in no order."""
        with _telling("read", prefix or "its list"):
            async for page in obstore.list(self._store, prefix or None):
                for each in page:
                    yield StoredFile(each["path"], int(each["size"]), each["last_modified"])

    async def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _telling("changed", name):
            try:
                await obstore.delete_async(self._store, name)
            except FileNotFoundError:
                return
            if self._folder is not None:
                await asyncio.to_thread(_sync_folders, self._folder, name)


def open_store(address: StoreAddress) -> ArchiveStore:
    """Open the store; a folder is made when it is not there. Raises StorageError."""
    parts = urlsplit(address.url)
    path = unquote(parts.path)
    if parts.scheme == "file" and not parts.netloc and path.startswith("/"):
        folder = Path(path)
        with _telling("opened", "its folder"):
            _make(folder)
            return ArchiveStore(LocalStore(folder), folder)
    if parts.scheme == "s3" and parts.netloc:
        with _telling("opened", "its bucket"):
            return ArchiveStore(_open_bucket(address, parts.netloc, path.strip("/")), None)
    raise StorageError(f"'{address.url}' is neither file:///folder nor s3://bucket/prefix")


def _open_bucket(address: StoreAddress, bucket: str, prefix: str) -> S3Store:
    config = {} if address.credentials is None else _read_credentials(address.credentials)
    if address.endpoint:
        config["endpoint"] = address.endpoint
    if address.region:
        config["region"] = address.region
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "allow_http": address.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(minutes=2),
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(minutes=1)},
        **config,  # type: ignore[arg-type] # the keys are texts that S3Config has
    )


def _read_credentials(file: Path) -> dict[str, str]:
    """Read lines of `key = value`; the values are never told."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("The credentials of the archive store can't be read") from error
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if key not in _CREDENTIALS or not equals or not value:
            raise StorageError(
                "The credentials of the archive store must be lines of"
                f" {', '.join(f'{each} = …' for each in _CREDENTIALS)}"
            )
        found[key] = value
    return found


def _size_of(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _sync(folder: Path, name: str) -> None:
    """Sync a file and the folders from its own up to the store's."""
    _sync_one(folder / name)
    _sync_folders(folder, name)


def _sync_folders(folder: Path, name: str) -> None:
    for place in (folder / name).parents:
        _sync_one(place)
        if place == folder:
            break


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    """Make a folder for our eyes alone, durably, with those above it that are missing."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_one(folder.parent)


@contextmanager
def _telling(done: str, what: str) -> Iterator[None]:
    """Turn the store's errors into one that says what happened; details go into the log."""
    try:
        yield
    except _ERRORS as error:
        _LOG.warning("Archive store, %s: %s", what, str(error).split("\n")[0])
        raise StorageError(f"The archive store can't be {done}: {_in_words(error)}") from error


def _in_words(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
        return "the credentials do not allow it"
    return {"ValueError": "a name does not fit"}.get(type(error).__name__, type(error).__name__)
