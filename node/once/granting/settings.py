"""How many requests for grants a node takes, how it tells others, and what it remembers."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from trust.settings import Bounds, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSettings:
    """Grants that are asked for and approved, and the history of all rights."""

    waiting_per_member: Annotated[int, Bounds(1, 1000)] = setting(
        20, "requests of one member that may wait for a decision"
    )
    waiting: Annotated[int, Bounds(1, 100_000)] = setting(
        1000, "requests of all members that may wait for a decision"
    )
    asked_per_day: Annotated[int, Bounds(1, 10_000)] = setting(
        100, "requests of one member in a day, whatever becomes of them"
    )
    retry: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(hours=1))] = setting(
        timedelta(seconds=30), "pause after a first failure to tell another node; it doubles"
    )
    give_up: Annotated[timedelta, Bounds(timedelta(hours=1), timedelta(days=90))] = setting(
        timedelta(days=14), "how long another node is told again until it takes a message"
    )
    keep_history: Annotated[timedelta, Bounds(timedelta(days=1), timedelta(days=36_600))] = setting(
        timedelta(days=3653), "how long past rights, and grants that have ended, are remembered"
    )
    most_history: Annotated[int, Bounds(1000, 10_000_000)] = setting(
        200_000, "past states of hosted clients at the most; beyond, the oldest are forgotten"
    )
