"""Keyed pseudonyms: how a node remembers whom a use was about without keeping an identifier.

HMAC-SHA-256 over the scheme and the value, each with its length in front, by a key that never
leaves the node. Who has the database alone can't tell who is meant, not even by trying all national
ids; two nodes have different pseudonyms for one person. All processes of a node share the key.

The key lies in the key folder beside the others, encrypted with the same password: AES-256-GCM by
a key that scrypt makes of the password (RFC 7914, N = 2^15, r = 8, p = 1). Without it, what the
node knows of its citizens can't be found any more: it belongs into the backup of the key folder.
"""

import hmac
import logging
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from trust.errors import StorageError
from trust.pki.keyfiles import open_folder, read_file, remove_file, write_file
from trust.settings import required, setting

_LOG = logging.getLogger(__name__)

KEY_FILE = "pseudonyms.key"
_KEY_BYTES, _SALT_BYTES, _NONCE_BYTES = 32, 16, 12
_MAGIC = b"sacbe-pseudonyms-1\n"
_DOMAIN = b"sacbe subject 1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeAlias:
    """What of differently written identifiers means the same person."""

    scheme: str = required(
        "scheme of the identifiers as requests name it", example="urn:example:national-id"
    )
    same_as: str = setting("", "scheme whose identifiers these are; empty: a scheme of its own")
    prefix: str = setting(
        "", "what some put before a value and others don't; it does not count", example="EE"
    )


class Pseudonyms:
    """Makes pseudonyms; its text form never shows the key.

    Identifiers count byte by byte: no trimming, no change of case. What else is to be the same
    person is declared.
    """

    __slots__ = ("_aliases", "_key")

    def __init__(self, key: bytes, aliases: Iterable[SchemeAlias] = ()) -> None:
        self._key = key
        self._aliases = {alias.scheme: alias for alias in aliases}

    def __repr__(self) -> str:
        return "Pseudonyms()"

    def of(self, scheme: str, value: str) -> bytes:
        """The pseudonym, 32 bytes, of the subject that `value` names in `scheme`."""
        alias = self._aliases.get(scheme)
        if alias is not None:
            scheme = alias.same_as or scheme
            value = value.removeprefix(alias.prefix) or value
        message = _DOMAIN + _counted(scheme) + _counted(value)
        return hmac.digest(self._key, message, "sha256")


def _counted(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "big") + data


def open_pseudonyms(
    folder: Path, password: bytes, aliases: Iterable[SchemeAlias] = ()
) -> Pseudonyms:
    """Read the key, or make it where there is none; raises StorageError.

    Processes that start at the same time get the same key. Takes a tenth of a second.
    """
    open_folder(folder)
    path = folder / KEY_FILE
    sealed = read_file(path)
    if sealed is None:
        _make(path, password)
        _LOG.info("a key for pseudonyms was made; what another key named can't be found with it")
        sealed = read_file(path)
    return Pseudonyms(_unseal(sealed or b"", password), aliases)


def _make(path: Path, password: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_file(fresh, _seal(os.urandom(_KEY_BYTES), password))
    try:
        os.link(fresh, path)  # unlike a renaming, this never takes another one's place
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageError(f"{path.name} can't be written: {error.strerror}") from error
    finally:
        remove_file(fresh)


def _seal(key: bytes, password: bytes) -> bytes:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    return _MAGIC + salt + nonce + _cipher(password, salt).encrypt(nonce, key, _MAGIC)


def _unseal(sealed: bytes, password: bytes) -> bytes:
    if not sealed.startswith(_MAGIC):
        raise StorageError(f"{KEY_FILE} is no key of pseudonyms")
    salt, rest = _cut(sealed[len(_MAGIC) :], _SALT_BYTES)
    nonce, secret = _cut(rest, _NONCE_BYTES)
    try:
        key = _cipher(password, salt).decrypt(nonce, secret, _MAGIC)
    except (InvalidTag, ValueError) as error:
        raise StorageError(f"{KEY_FILE} can't be read; is its password the key store's?") from error
    if len(key) != _KEY_BYTES:
        raise StorageError(f"{KEY_FILE} holds no {_KEY_BYTES} bytes")
    return key


def _cut(data: bytes, length: int) -> tuple[bytes, bytes]:
    return data[:length], data[length:]


def _cipher(password: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt, _KEY_BYTES, n=1 << 15, r=8, p=1).derive(password))
