"""How the log is archived, and how long records stay in the database."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from trust.settings import Bounds, ByteSize, SettingProblem, setting


class Grouping(StrEnum):
    """Whose records share an archive file."""

    NONE = "none"
    MEMBER = "member"
    SUBSYSTEM = "subsystem"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Where stamped records go, and when they leave the database."""

    store: str = setting(
        "",
        "file:///folder or s3://bucket/prefix; without it nothing is archived or removed",
        example="file:///var/lib/sacbe-archive",
    )
    endpoint: str = setting(
        "", "address of an S3 service that is not Amazon's", example="https://s3.example.org"
    )
    region: str = setting("", "region of an S3 service", example="eu-north-1")
    credentials: Path | None = setting(
        None,
        "file with access_key_id = … and secret_access_key = …; without it the environment counts",
        example="archive.credentials",
    )
    grouping: Grouping = setting(
        Grouping.NONE, "whose records share a file: none for all, member or subsystem for its own"
    )
    file_size: Annotated[ByteSize, Bounds(ByteSize(1 << 20), ByteSize(1 << 30))] = setting(
        ByteSize(32 << 20), "a file that has become larger than this is closed"
    )
    interval: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(days=7))] = setting(
        timedelta(hours=6), "how long a record waits for its file to become that large"
    )
    recipients: Path | None = setting(
        None,
        "file with age recipients; files are encrypted for them",
        example="archive.recipients",
    )
    keep: Annotated[timedelta, Bounds(timedelta(days=1), timedelta(days=36_500))] = setting(
        timedelta(days=30), "how long records stay in the database at least; they must be archived"
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        if self.store and not self.store.startswith(("file:///", "s3://")):
            expected = "file:///folder or s3://bucket/prefix"
            return [SettingProblem(("store",), f"'{self.store}'", expected)]
        return []
