"""Keys that encrypt what the log keeps of messages: columns of the database, and files of bodies.

A key ring is a text file: one key a line, a name and 32 bytes in base64. The last one encrypts,
all of them decrypt; behind a last line `plain` nothing is encrypted any more. What is encrypted is
bound to its place, so that rows can't be swapped: it opens in the record, the column and the
position that it was sealed for, and nowhere else.

AES-256-GCM with a key for each value, derived from the ring's key and 16 random bytes that stand in
front of the value; so no nonce is ever used twice, however many values one key of the ring seals.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trust.errors import StorageError
from trust.secrets import read_secret

MAX_KEYS = 1000
_KEY_BYTES, _SALT_BYTES, _TAG_BYTES, _NONCE_BYTES = 32, 16, 16, 12
SEALED_BYTES = _SALT_BYTES + _TAG_BYTES  # by which a sealed value is longer
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_ONLY = bytes(_NONCE_BYTES)  # the nonce of a key that seals one value
_END = b"plain"  # the last line of a ring whose keys only decrypt
_MAGIC = b"sacbe-sealed-1\n"
_CHUNK = 1 << 18  # of a file; each has its tag


class SealBroken(StorageError):
    """Something does not open with the key that has the right name."""


@dataclass(frozen=True, slots=True)
class Seal:
    """By which key something is encrypted, and the place that it is bound to."""

    key_id: str
    place: bytes


def column_place(time: datetime, number: int, column: str, position: int = 0) -> bytes:
    """The place of a value in the record of this time and number.

    Args:
        position: of an attachment, from 1.
    """
    return f"column\n{_moment(time)}\n{number}\n{column}\n{position}".encode()


def file_place(time: datetime, name: str, digest: bytes, position: int) -> bytes:
    """The place of a body's file; it is written before its record has a number."""
    return f"file\n{_moment(time)}\n{name}\n{digest.hex()}\n{position}".encode()


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


class ColumnKey:
    """One key of a ring; its text form never shows it."""

    __slots__ = ("_key", "id")

    def __init__(self, name: str, master: bytes) -> None:
        self.id = name
        info = b"sacbe message log\n" + name.encode()
        self._key = HKDF(SHA256(), _KEY_BYTES, None, info).derive(master)

    def __repr__(self) -> str:
        return f"ColumnKey({self.id!r})"

    def _cipher(self, what: bytes, salt: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._key, what + salt, "sha256"))

    def seal(self, data: bytes, place: bytes) -> bytes:
        """Encrypt a value for its place; it gets 32 bytes longer."""
        salt = os.urandom(_SALT_BYTES)
        return salt + self._cipher(b"value", salt).encrypt(_ONLY, data, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Decrypt a value in its place; raises SealBroken."""
        salt = sealed[:_SALT_BYTES]
        try:
            return self._cipher(b"value", salt).decrypt(_ONLY, sealed[_SALT_BYTES:], place)
        except InvalidTag:
            raise self._unfit() from None

    def seal_pieces(self, pieces: Iterable[bytes], place: bytes) -> Iterator[bytes]:
        """Encrypt a file of any size for its place, in bounded memory."""
        salt = os.urandom(_SALT_BYTES)
        cipher = self._cipher(b"file", salt)
        yield _MAGIC + salt
        waiting = bytearray()
        number = 0
        for piece in pieces:
            waiting += piece
            while len(waiting) > _CHUNK:  # the last one is never empty but in an empty file
                yield cipher.encrypt(_nonce(number, last=False), bytes(waiting[:_CHUNK]), place)
                del waiting[:_CHUNK]
                number += 1
        yield cipher.encrypt(_nonce(number, last=True), bytes(waiting), place)

    def open_file(self, file: BinaryIO, place: bytes) -> Iterator[bytes]:
        """The pieces of a file in its place; raises SealBroken, also for one that was cut."""
        head = file.read(len(_MAGIC) + _SALT_BYTES)
        if not head.startswith(_MAGIC):
            raise SealBroken("The file of a body is not encrypted as its record says")
        cipher = self._cipher(b"file", head[len(_MAGIC) :])
        number = 0
        chunk = file.read(_CHUNK + _TAG_BYTES)
        while True:
            following = file.read(_CHUNK + _TAG_BYTES)
            try:
                piece = cipher.decrypt(_nonce(number, last=not following), chunk, place)
            except InvalidTag:
                raise self._unfit() from None
            if piece:
                yield piece
            if not following:
                return
            chunk = following
            number += 1

    def _unfit(self) -> SealBroken:
        return SealBroken(
            f"The log's key '{self.id}' does not open a record: another key has that name, or the"
            " record was altered"
        )


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NONCE_BYTES - 1, "big") + bytes([last])


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a log.

    Attributes:
        keys: by name, in the order of the file.
        newest: what encrypts; None when nothing is encrypted any more, or ever was.
    """

    keys: Mapping[str, ColumnKey] = field(default_factory=lambda: MappingProxyType({}))
    newest: ColumnKey | None = None

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read a key ring; raises StorageError with the line that is wrong, and not its content."""
        keys: dict[str, ColumnKey] = {}
        ended = False
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith(b"#"):
                continue
            if ended:
                raise StorageError(f"Line {number} of the key ring stands behind its end")
            if ended := line.strip() == _END:
                continue
            key = _parse_key(line, number)
            if key.id in keys:
                raise StorageError(f"Line {number} of the key ring: a second key '{key.id}'")
            if len(keys) == MAX_KEYS:
                raise StorageError(f"The key ring has more than {MAX_KEYS} keys")
            keys[key.id] = key
        if not keys:
            raise StorageError("The key ring has no key")
        newest = None if ended else next(reversed(keys.values()))
        return cls(MappingProxyType(keys), newest)

    def open(self, seal: Seal | None, data: bytes) -> bytes:
        """A value as it was before it was sealed; raises SealBroken, StorageError without the key.

        Args:
            seal: None for a value that is not encrypted.
        """
        return data if seal is None else self.key(seal.key_id).open(data, seal.place)

    def open_file(self, seal: Seal, file: BinaryIO) -> Iterator[bytes]:
        """The pieces of a sealed file; raises SealBroken, StorageError without the key."""
        return self.key(seal.key_id).open_file(file, seal.place)

    def key(self, key_id: str) -> ColumnKey:
        """The key of that name; raises StorageError without one."""
        found = self.keys.get(key_id)
        if found is None:
            where = "is not in the key ring" if self.keys else "is needed, and there is no key ring"
            raise StorageError(f"The log's key '{key_id}' {where}")
        return found


NO_KEYS = KeyRing()


def _parse_key(line: bytes, number: int) -> ColumnKey:
    words = line.split()
    name = words[0].decode("ascii", "replace")
    if len(words) != 2 or not _NAME.fullmatch(name):
        raise StorageError(f"Line {number} of the key ring is no name with a key in base64")
    try:
        master = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        master = b""
    if len(master) != _KEY_BYTES:
        raise StorageError(f"Line {number} of the key ring has no {_KEY_BYTES} bytes in base64")
    return ColumnKey(name, master)


def load_key_ring(path: Path | None) -> KeyRing:
    """Read the key ring of a node; no keys without a path.

    Raises ConfigurationError for a file that is missing or open to every user, StorageError for
    what stands in it.
    """
    return NO_KEYS if path is None else KeyRing.parse(read_secret(path))
