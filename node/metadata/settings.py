"""How a node deals with the descriptions of its services, as `node.toml` says it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from trust.settings import Bounds, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionSettings:
    """When descriptions of services are downloaded, and how long they are good for."""

    fresh: Annotated[timedelta, Bounds(timedelta(0), timedelta(hours=1))] = setting(
        timedelta(seconds=60), "callers get the same download for so long; 0s: a new one each time"
    )
    keep: Annotated[timedelta, Bounds(timedelta(0), timedelta(days=365))] = setting(
        timedelta(days=1), "how long the last download answers for a system that is down"
    )
    interval: Annotated[timedelta, Bounds(timedelta(seconds=10), timedelta(days=7))] = setting(
        timedelta(minutes=10), "how often each is looked at for changes"
    )
    timeout: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(minutes=5))] = setting(
        timedelta(seconds=30), "how long a download may take"
    )
