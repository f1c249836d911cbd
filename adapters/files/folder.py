"""The files of a table as they stand in their folder, and opening exactly those.

A file is known by name, inode, size and time: when none of them differs it is not read again. No
file may be a link, so that nobody who may write into the folder can have others' files read.
"""

import fnmatch
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adapters.files.rows import UnreadableFile
from adapters.files.settings import FolderSettings

_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", "~")


@dataclass(frozen=True, slots=True)
class Seen:
    """One file as it stood there."""

    name: str
    inode: int
    size: int
    changed: int  # nanoseconds

    @property
    def shown(self) -> str:
        """The name for messages: whoever puts files there must not write lines of a log."""
        return shown(self.name)

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> "Seen":
        return cls(name, status.st_ino, status.st_size, status.st_mtime_ns)


def shown(name: str) -> str:
    """A file's name, in one line and of bounded length."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])


class UnfitFolder(Exception):
    """The folder does not hold what the table needs; the text names files, not their contents."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a table's files were at one moment."""

    files: tuple[Seen, ...]
    marker: Seen | None

    def fingerprint(self, schema: bytes) -> bytes:
        """32 bytes that differ when the files or the declaration differ.

        Where there is a marker, it alone speaks for the files.
        """
        digest = hashlib.sha256(schema)
        for seen in self.files if self.marker is None else (self.marker,):
            digest.update(os.fsencode(seen.name))
            digest.update(f"\0{seen.inode} {seen.size} {seen.changed}\0".encode())
        return digest.digest()


def look(folder: FolderSettings, pattern: str) -> Look:
    """Look at the files whose names match; raises UnfitFolder with everything that is wrong.

    Left out: names that begin with a dot or end as those of unfinished files do (`.tmp`, `.part`).
    """
    try:
        with os.scandir(folder.path) as entries:
            wanted = (one for one in entries if _is_wanted(one.name, pattern, folder.marker))
            found = {
                entry.name: entry.stat(follow_symlinks=False)
                for entry in itertools.islice(wanted, folder.max_files + 2)
            }
    except OSError as error:
        raise UnfitFolder(f"the folder can't be read: {error.strerror}") from error
    marker = found.pop(folder.marker, None) if folder.marker else None
    _check(found, folder)
    if folder.marker and marker is None:
        raise UnfitFolder(f"the marker '{folder.marker}' is not there")
    return Look(
        tuple(Seen.of(name, found[name]) for name in sorted(found)),
        Seen.of(folder.marker, marker) if marker is not None else None,
    )


def _is_wanted(name: str, pattern: str, marker: str) -> bool:
    if marker and name == marker:
        return True
    unfinished = name.startswith(".") or name.endswith(_UNFINISHED)
    return fnmatch.fnmatchcase(name, pattern) and not unfinished


def _check(found: dict[str, os.stat_result], folder: FolderSettings) -> None:
    problems = []
    if not found:
        problems.append("no file of that name is there")
    if len(found) > folder.max_files:
        problems.append(f"more than {folder.max_files} files are there")
    for name, status in sorted(found.items())[: folder.max_files]:
        if not stat.S_ISREG(status.st_mode):
            problems.append(f"'{shown(name)}' is no plain file")
        elif status.st_size > folder.max_file:
            problems.append(f"'{shown(name)}' is larger than {folder.max_file!s}")
    if problems:
        raise UnfitFolder("; ".join(problems[:10]))


@contextmanager
def opened(folder: Path, seen: Seen) -> Iterator[BinaryIO]:
    """Open a file that was seen; raises UnreadableFile when it is another one by now, or changes.

    It is judged again at the end, so that nothing is believed of a file that was written meanwhile.
    """
    try:
        descriptor = os.open(
            folder / seen.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError as error:
        reason = error.strerror or "an error"
        raise UnreadableFile(0, f"a file that can't be read: {reason}", "a plain file") from error
    with os.fdopen(descriptor, "rb", buffering=1 << 18) as file:
        _check_same(descriptor, seen)
        yield file
        _check_same(descriptor, seen)


def _check_same(descriptor: int, seen: Seen) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or Seen.of(seen.name, status) != seen:
        found = "a file that changes while it is read"
        raise UnreadableFile(0, found, "a complete file, put in place by a rename")
