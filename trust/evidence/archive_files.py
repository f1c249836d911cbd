"""Write archive files: containers in a ZIP, chained by the linking info that ends it.

Source: signatures.md 11.1; X-Road 7.8 LogArchiveCache.java, LogArchiveWriter.java.
"""

import contextlib
import hashlib
import re
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import BinaryIO, Self

from trust.evidence.linkinginfo import (
    ALGORITHM,
    LINKING_INFO,
    MAX_CONTAINERS,
    ArchiveEnd,
    LinkedFile,
    LinkingInfo,
    hash_name,
    next_digest,
)

ENCRYPTIONS = (".gpg", ".age")  # endings of encrypted files: X-Road's and ours

_LONGEST_GROUP = 200
_UNFIT = re.compile(r"[\0\\<>/:|*?\s\x01-\x1f\x7f-\x9f]")
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # of ZIP
_LATEST = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


def archive_file_name(group: str, first: datetime, last: datetime, digest: str) -> str:
    """The name that X-Road gives an archive file: group, times and the end of its chain.

    The times are in UTC, where X-Road takes the zone of its server. White space in a group becomes
    `_` as well: X-Road's reader of the linking info would stop at it.

    Args:
        group: as `EX/GOV/1234567`; empty when records are not grouped.
        first, last: times of the earliest and the latest record.
        digest: the last one of the chain.
    """
    named = f"{_UNFIT.sub('_', group)[:_LONGEST_GROUP]}-" if group else ""
    times = "-".join(f"{each.astimezone(UTC):%Y%m%d%H%M%S}" for each in (first, last))
    return f"mlog-{named}{times}-{digest[:16]}.zip"


class ArchiveWriter:
    """One archive file being written to a seekable file; memory grows by a line a container.

    with ArchiveWriter(target, previous) as writer: … writer.finish()

    Containers are packed already and stored as they are. X-Road means the same by deflating them
    at level 0; its readers take both.
    """

    def __init__(self, target: BinaryIO, previous: ArchiveEnd) -> None:
        self.size = 0  # bytes of all containers so far
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._previous = previous
        self._files: list[LinkedFile] = []
        self._zip = zipfile.ZipFile(target, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the target, whether the file was finished or not."""
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()

    def __len__(self) -> int:
        return len(self._files)

    @property
    def digest(self) -> str:
        """The last digest of the chain so far."""
        return self._files[-1].digest if self._files else self._previous.digest

    def add(self, name: str, time: datetime, pieces: Iterable[bytes]) -> None:
        """Add a container with the time of its record; raises ValueError when there is no room."""
        if len(self._files) == MAX_CONTAINERS:
            raise ValueError(f"an archive file holds {MAX_CONTAINERS} containers at the most")
        digest = hashlib.new(hash_name(ALGORITHM))
        with self._zip.open(_info(name, time), "w") as entry:
            for piece in pieces:
                digest.update(piece)
                self.size += entry.write(piece)
        self._files.append(LinkedFile(next_digest(self.digest, digest.digest()), name))
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)

    def finish(self) -> None:
        """Add the linking info and end the ZIP; raises ValueError for a file without containers."""
        if self.last is None:
            raise ValueError("an archive file holds one container at least")
        linking = LinkingInfo(self._previous, ALGORITHM, tuple(self._files))
        with self._zip.open(_info(LINKING_INFO, self.last), "w") as entry:
            entry.write(linking.build())
        self._zip.close()


def _info(name: str, time: datetime) -> zipfile.ZipInfo:
    at = min(max(time.astimezone(UTC), _EARLIEST), _LATEST)
    info = zipfile.ZipInfo(name, (at.year, at.month, at.day, at.hour, at.minute, at.second))
    info.compress_type = zipfile.ZIP_STORED
    info.create_system = 3  # Unix, whatever we run on
    info.external_attr = 0o100644 << 16
    return info
