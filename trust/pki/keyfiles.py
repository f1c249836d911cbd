"""Files of a node alone: written whole or not at all, readable by their owner only."""

import os
import secrets
import stat
from pathlib import Path

from trust.errors import StorageError

MAX_FILE_BYTES = 64 * 1024


def open_folder(folder: Path) -> None:
    """Make the folder (0700) where it is missing; raises StorageError when others may enter."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise StorageError(f"The folder {folder} can't be used: {error.strerror}") from error
    if mode & stat.S_IRWXO:
        raise StorageError(f"The folder {folder} is open to every user: mode {mode:04o}, not 0700")


def read_file(path: Path) -> bytes | None:
    """The content of a file, None when it doesn't exist; raises StorageError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path.name} can't be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise StorageError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
    return data


def write_file(path: Path, data: bytes) -> None:
    """Put `data` in the file's place at once, mode 0600, on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path.name} can't be written: {error.strerror}") from error


def remove_file(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path.name} can't be removed: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
