"""The Ed25519 key with which a log signs its checkpoints and a witness those of others.

It lies in the key folder beside the certified keys, encrypted with the same password, and has no
certificate: the owner's sign key stands for it (trust/witness/announcement.py).
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from trust.errors import StorageError
from trust.pki.keyfiles import open_folder, read_file, remove_file, write_file

KEY_FILE = "checkpoint.key.pem"


def open_note_key(folder: Path, password: bytes) -> Ed25519PrivateKey:
    """Read the key, or make it where there is none; raises StorageError.

    Processes that start at the same time get the same key.
    """
    open_folder(folder)
    path = folder / KEY_FILE
    pem = read_file(path)
    if pem is None:
        _make(path, password)
        pem = read_file(path)
    try:
        key = load_pem_private_key(pem or b"", password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StorageError(f"{KEY_FILE} can't be read; is its password the key store's?") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageError(f"{KEY_FILE} is no Ed25519 key")
    return key


def _make(path: Path, password: bytes) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_file(fresh, pem)
    try:
        os.link(fresh, path)  # unlike a renaming, this never takes another one's place
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageError(f"{path.name} can't be written: {error.strerror}") from error
    finally:
        remove_file(fresh)
