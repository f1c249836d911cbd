"""What is kept for monitoring, for how long, and what others are told."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from trust.settings import Bounds, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringSettings:
    """The operational records of exchanges, and the services that tell of them."""

    records: bool = setting(
        True, "keep a record of every exchange, and answer who asks for them by a service"
    )
    keep_records_for: Annotated[timedelta, Bounds(timedelta(hours=1), timedelta(days=3660))] = (
        setting(timedelta(days=7), "older records are removed")
    )
    buffer_records: Annotated[int, Bounds(100, 1_000_000)] = setting(
        20_000, "records that may wait for the database; beyond, the oldest are dropped"
    )
    records_in_answer: Annotated[int, Bounds(1, 100_000)] = setting(
        10_000, "records in one answer; those of its last second are all in it"
    )
    available_after: Annotated[timedelta, Bounds(timedelta(0), timedelta(hours=1))] = setting(
        timedelta(seconds=60), "records are told when they are that old, so that none comes late"
    )
    statistics_period: Annotated[timedelta, Bounds(timedelta(minutes=1), timedelta(days=1))] = (
        setting(timedelta(seconds=600), "what the health of services is reckoned over")
    )
    limit_remote_data: bool = setting(
        False, "tell the central monitoring client of certificates, versions and the system alone"
    )
