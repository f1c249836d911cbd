"""What one exchange goes by from its beginning to its end: trust list, services, moment."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from catalog.services import ServerConf
from trust.errors import GlobalConfOutdated
from trust.globalconf import GlobalConf


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable view; what changes meanwhile counts for the next exchange."""

    conf: GlobalConf
    services: ServerConf
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Takes snapshots of what the node believes now."""

    conf: Callable[[], GlobalConf | None]
    services: Callable[[], ServerConf]
    clock: Callable[[], datetime]

    def take(self) -> Snapshot:
        """The present state, or GlobalConfOutdated while nothing may be exchanged."""
        conf = self.conf()
        at = self.clock()
        if conf is None or not conf.valid(at):
            raise GlobalConfOutdated
        return Snapshot(conf, self.services(), at)
