"""Secrets of an operator: files that settings name, never values in the settings."""

import stat
from pathlib import Path

from trust.errors import ConfigurationError, ConfigurationProblem

MAX_SECRET_BYTES = 64 * 1024


def read_secret(path: Path) -> bytes:
    """Read a secret from its file, without the one newline that editors put at the end.

    Raises ConfigurationError when the file is missing, empty, larger than 64 KiB or open to every
    user of the machine; the error never shows what the file holds.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            secret = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise _unfit(
            path, error.strerror or "an unreadable file", "a file with a secret"
        ) from error
    if mode & stat.S_IRWXO:
        raise _unfit(path, f"mode {mode:04o}, open to every user", "mode 0600 or 0640")
    if len(secret) > MAX_SECRET_BYTES:
        raise _unfit(path, "a larger file", f"at most {MAX_SECRET_BYTES} bytes")
    secret = secret.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise _unfit(path, "an empty file", "a secret")
    return secret


def _unfit(path: Path, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(str(path), 0, found, expected)])
