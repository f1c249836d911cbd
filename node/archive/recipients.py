"""For whom archive files are encrypted, with age (https://age-encryption.org/v1).

A file of recipients has one in a line, of the form that `age-keygen` prints, for all files; a line
that has a member or subsystem in front counts for its files alone, and then the others do not:

    # the archive's own key
    age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    EX/GOV/1234567 age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg
"""

import importlib
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, BinaryIO

from trust.errors import StorageError

ENDING = ".age"
_LARGEST = 1 << 20


class Recipients:
    """Who can read which archive files."""

    def __init__(self, by_party: dict[str, list[str]]) -> None:
        age = _age()
        self._parsed: dict[str, list[Any]] = {}
        for party, keys in by_party.items():
            try:
                self._parsed[party] = [age.x25519.Recipient.from_str(key) for key in keys]
            except age.RecipientError as error:
                raise StorageError(
                    f"A recipient of the archive{' of ' + party if party else ''} is no age"
                    " recipient (age1…)"
                ) from error

    def of(self, party: str) -> list[Any]:
        """The recipients of a party's files, as `EX/GOV/1234567` or below; "" without grouping.

        Raises StorageError when there are none: nothing is archived in the clear by mistake.
        """
        member = "/".join(party.split("/")[:3])
        for each in (party, member, ""):
            if found := self._parsed.get(each):
                return found
        raise StorageError(f"There is no recipient for archive files of {party or 'the node'}")


def load_recipients(file: Path) -> Recipients:
    """Read a file of recipients; raises StorageError."""
    try:
        if file.stat().st_size > _LARGEST:
            raise StorageError("The file of the archive's recipients is too large")
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("The file of the archive's recipients can't be read") from error
    found = defaultdict(list)
    for line in lines:
        if line.strip() and not line.startswith("#"):
            party, _, key = line.strip().rpartition(" ")
            found[party.strip()].append(key)
    if not found:
        raise StorageError("The file of the archive's recipients has none")
    return Recipients(dict(found))


def encrypt(source: Path, target: Path, recipients: list[Any]) -> None:
    """Encrypt a file in pieces; raises StorageError or OSError."""
    age = _age()
    try:
        with source.open("rb") as plain, _new(target) as encrypted:
            age.encrypt_io(plain, encrypted, recipients)
    except age.EncryptError as error:
        raise StorageError("An archive file can't be encrypted") from error


def decrypt(source: Path, target: Path, identity: Path) -> None:
    """Decrypt a file in pieces into a new one, with an identity as `age-keygen` writes it.

    Raises StorageError or OSError; there is no target then.
    """
    age = _age()
    try:
        keys = [
            age.x25519.Identity.from_str(line.strip())
            for line in identity.read_text(errors="replace").splitlines()
            if line.startswith("AGE-SECRET-KEY-")
        ]
        with source.open("rb") as encrypted, _new(target) as plain:
            age.decrypt_io(encrypted, plain, keys)
    except (age.DecryptError, age.IdentityError, OSError) as error:
        if not isinstance(error, FileExistsError):
            target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise
        raise StorageError("The archive file can't be decrypted with this identity") from error


def _new(path: Path) -> BinaryIO:
    """A new file for our eyes alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _age() -> Any:  # noqa: ANN401 - the package has no types
    try:
        return importlib.import_module("pyrage")
    except ImportError as error:
        raise StorageError(
            "Encrypted archives need the extra `encryption`: pip install 'sacbe[encryption]'"
        ) from error
