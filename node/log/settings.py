"""How the message log is kept and time-stamped."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from trust.settings import Bounds, ByteSize, SettingProblem, setting

MAX_KEPT = ByteSize(64 << 20)  # of one message; more costs more memory than a node should have


class Beyond(StrEnum):
    """What happens to a body that is too large for the record; its digest is always kept."""

    DROP = "drop"
    FOLDER = "folder"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLogSettings:
    """What is kept of each message, and how much may wait."""

    body_limit: Annotated[ByteSize, Bounds(ByteSize(0), MAX_KEPT)] = setting(
        ByteSize(10 << 20), 'largest body or attachment kept in the record itself; "0 B" keeps none'
    )
    body_beyond: Beyond = setting(
        Beyond.DROP, "a larger body: drop keeps its digest, folder a file, refuse fails"
    )
    body_folder: Path | None = setting(
        None, "where larger bodies are kept; needed for folder", example="/var/lib/sacbe/bodies"
    )
    key_ring: Path | None = setting(
        None,
        "file with the keys that encrypt messages and bodies at rest; without it nothing is",
        example="log.keys",
    )
    queue_records: Annotated[int, Bounds(1, 1_000_000)] = setting(
        2000, "records that may wait for the database"
    )
    queue_bytes: Annotated[ByteSize, Bounds(ByteSize(1 << 20), None)] = setting(
        ByteSize(64 << 20), "bytes that may wait for the database"
    )
    queue_wait: Annotated[timedelta, Bounds(timedelta(0), timedelta(minutes=1))] = setting(
        timedelta(seconds=5), "how long a record waits for room in the queue"
    )
    patience: Annotated[timedelta, Bounds(timedelta(milliseconds=10), timedelta(minutes=1))] = (
        setting(timedelta(seconds=10), "how long a lost database may take to come back")
    )
    probe_interval: Annotated[timedelta, Bounds(timedelta(milliseconds=10), None)] = setting(
        timedelta(seconds=2), "how often an idle or failed log is tried"
    )
    replay_window: Annotated[timedelta, Bounds(timedelta(minutes=10), None)] = setting(
        timedelta(hours=2),
        "how long an accepted request is remembered at least, to refuse it when it comes again",
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        if self.body_beyond is Beyond.FOLDER and self.body_folder is None:
            return [
                SettingProblem(("body_folder",), "nothing", 'a folder, or body_beyond = "drop"')
            ]
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampingSettings:
    """Who says when the records of the log were there, and how often."""

    required: bool = setting(
        True, "refuse messages while the trust list names no service and none is given here"
    )
    urls: tuple[str, ...] = setting(
        (), "services to ask, in order; empty: those of the trust list, free ones first"
    )
    interval: Annotated[timedelta, Bounds(timedelta(0), timedelta(days=1))] = setting(
        timedelta(0), 'longest wait of a record for its time-stamp; "0s": as the trust list says'
    )
    immediately: bool = setting(
        False, "a message waits for its time-stamp before it goes on, and fails without"
    )
    acceptable_failure_period: Annotated[timedelta, Bounds(timedelta(0), timedelta(days=365))] = (
        setting(
            timedelta(hours=4),
            'after failing for so long no message is taken until it works again; "0s": no limit',
        )
    )
    retry_delay: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(hours=1))] = setting(
        timedelta(seconds=60), "longest pause between two attempts after a failure"
    )
    records_at_once: Annotated[int, Bounds(1, 1 << 22)] = setting(
        1_000_000, "records under one time-stamp at the most"
    )
    connect_timeout: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(minutes=5))] = (
        setting(timedelta(seconds=20), "to connect to a service")
    )
    answer_timeout: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(minutes=5))] = (
        setting(timedelta(seconds=60), "until a service has answered")
    )
    clock_difference: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(hours=1))] = (
        setting(timedelta(minutes=5), "how far a service's clock may be from ours")
    )

    def problems(self) -> list[SettingProblem]:
        """What no service can be asked by."""
        return [
            SettingProblem(("urls",), f'"{url}"', "http:// or https:// addresses")
            for url in self.urls
            if not url.lower().startswith(("http://", "https://"))
        ]
