"""Which of a provider's servers may be asked, and in which order.

The reference shuffles the servers, races them and stays an hour with the winner. We order them by
what we know: those that failed lately come last, the quicker ones first; an unknown one is tried
before a known one, so that everybody gets known. Source: transport.md 12; errors.md 5.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from trust.errors import ExchangeError, UnknownMember
from trust.globalconf import GlobalConf, Server
from trust.ids import ServerId, ServiceId

_FIRST_PENALTY = 5.0  # seconds; doubled with every further failure
_LONGEST_PENALTY = 300.0
_NEWEST_SHARE = 0.3  # of a latency in its moving average


def find_candidates(
    service: ServiceId, target: ServerId | None, conf: GlobalConf, at: datetime
) -> tuple[Server, ...]:
    """The servers that may be asked for a service, at least one.

    Args:
        target: the one server that the request names, if it does.

    Raises ExchangeError with code `unknown_member`, `invalid_security_server` or
    `maintenance_mode`.
    """
    found = [one for one in conf.servers_of(service.provider, at) if one.address]
    if not found:
        raise UnknownMember(f'Could not find addresses for service provider "{service}"')
    if target is not None:
        found = [_named(target, found, conf, at)]
    ready = tuple(server for server in found if server.maintenance is None)
    if not ready:
        raise ExchangeError(_maintenance_notice(found[0]), "maintenance_mode")
    return ready


def _named(
    target: ServerId, candidates: Iterable[Server], conf: GlobalConf, at: datetime
) -> Server:
    server = conf.server(target, at)
    if server is None or not server.address:
        raise ExchangeError(f'Could not find security server "{target}"', "invalid_security_server")
    if server not in candidates:
        raise ExchangeError(f'Invalid security server "{target}"', "invalid_security_server")
    return server


def _maintenance_notice(server: Server) -> str:
    text = f'Security server "{server.id}" with address "{server.address}" is in maintenance mode'
    if server.maintenance:
        text += f'. Message from "{server.id}" administrator: {server.maintenance}'
    return text


@dataclass(slots=True)
class _Record:
    latency: float | None = None  # seconds, moving average
    failures: int = 0  # in a row
    avoid_until: float = 0.0


@dataclass(slots=True)
class Reputation:
    """What we remember of other servers: how quickly they connect, and whether they failed.

    Attributes:
        clock: monotonic seconds.
    """

    clock: Callable[[], float]
    _records: dict[ServerId, _Record] = field(default_factory=dict)

    def connected(self, server: ServerId, seconds: float) -> None:
        """A new connection came about in so many seconds."""
        record = self._records.setdefault(server, _Record())
        known = seconds if record.latency is None else record.latency
        record.latency = known + _NEWEST_SHARE * (seconds - known)
        self.answered(server)

    def answered(self, server: ServerId) -> None:
        """The server works."""
        record = self._records.get(server)
        if record is not None:
            record.failures = 0
            record.avoid_until = 0.0

    def failed(self, server: ServerId) -> None:
        """The server was not there, broke off, or could not prove who it is."""
        record = self._records.setdefault(server, _Record())
        penalty = min(_FIRST_PENALTY * 2**record.failures, _LONGEST_PENALTY)
        record.failures = min(record.failures + 1, 10)
        record.avoid_until = self.clock() + penalty

    def forget_all_but(self, servers: Iterable[ServerId]) -> None:
        """Drop what is remembered of servers that are no longer in the trust list."""
        kept = set(servers)
        self._records = {key: value for key, value in self._records.items() if key in kept}

    def avoids(self, server: ServerId) -> bool:
        """Whether it failed a short while ago."""
        record = self._records.get(server)
        return record is not None and record.avoid_until > self.clock()

    def ordered(self, servers: Iterable[Server]) -> list[Server]:
        """The best first; equal ones in random order."""

        def rank(server: Server) -> tuple[bool, float, float]:
            record = self._records.get(server.id)
            latency = 0.0 if record is None else record.latency or 0.0
            return (self.avoids(server.id), latency, random.random())  # noqa: S311  # no secret

        return sorted(servers, key=rank)
