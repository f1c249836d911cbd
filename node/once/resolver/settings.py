"""What the resolver may take of time and room, and who confirms previews."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from trust.ids import ClientId
from trust.settings import Bounds, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverSettings:
    """Facts about a subject, asked from the registries that are the authority for them."""

    deadline: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(minutes=5))] = setting(
        timedelta(seconds=20), "longest time for all sources together; who asks may give less"
    )
    side_by_side: Annotated[int, Bounds(1, 100)] = setting(
        16, "exchanges at the same time for one question"
    )
    questions: Annotated[int, Bounds(1, 10_000)] = setting(
        100, "questions at the same time; more are asked to come again"
    )
    preview_portals: tuple[ClientId, ...] = setting(
        (),
        "clients of this node through which citizens confirm what is handed on about them",
        example=["EX:GOV:1000:portal"],
    )
    keep_previews_for: Annotated[timedelta, Bounds(timedelta(minutes=1), timedelta(days=7))] = (
        setting(timedelta(hours=1), "evidence that waits for a citizen is kept encrypted so long")
    )
    previews: Annotated[int, Bounds(1, 1_000_000)] = setting(
        10_000, "previews that wait at the same time"
    )
