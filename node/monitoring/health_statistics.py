"""How the services of this node did lately: counts, durations and sizes over a sliding time.

Kept in memory from the start of the process, in slices of the period, so that no number of
requests takes more room. A service is remembered once it was called; of those that never
succeeded, which a peer may have invented, only the latest are.

Source: monitoring.md 5; X-Road 7.8 HealthDataMetrics.java, SlidingTimeWindowCounter.java.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from node.monitoring.record import PRODUCER, OperationalRecord
from trust.ids import ClientId, ServiceId

_SLICES = 60  # of a period
_Name = tuple[str, str, str | None]  # path of the provider, code and version of the service
MAX_SERVICES = 2000  # that have succeeded
MAX_FAILING = 200  # that never have


@dataclass(slots=True)
class Tally:
    """Whole numbers, as exactly as their least, largest, mean and deviation need."""

    count: int = 0
    total: int = 0
    squares: int = 0
    least: int = 0
    most: int = 0

    def add(self, value: int) -> None:
        self.least = value if not self.count else min(self.least, value)
        self.most = value if not self.count else max(self.most, value)
        self.count += 1
        self.total += value
        self.squares += value * value

    @classmethod
    def sum(cls, tallies: Iterable[Self]) -> Self:
        found = cls()
        for tally in tallies:
            if tally.count:
                found.least = min(found.least, tally.least) if found.count else tally.least
                found.most = max(found.most, tally.most) if found.count else tally.most
                found.count += tally.count
                found.total += tally.total
                found.squares += tally.squares
        return found

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def deviation(self) -> float:
        """Of a sample, as X-Road reckons it; 0 for one value."""
        if self.count < 2:
            return 0.0
        spread = self.count * self.squares - self.total * self.total
        return math.sqrt(spread / (self.count * (self.count - 1)))


@dataclass(slots=True)
class _Slice:
    number: int
    failures: int = 0
    durations: Tally = field(default_factory=Tally)
    requests: Tally = field(default_factory=Tally)
    responses: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class _Service:
    type: str | None = None
    last_success: int | None = None
    last_failure: int | None = None
    slices: deque[_Slice] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """What is known of one service.

    Attributes:
        last_success, last_failure: when its last answer left, in milliseconds of the epoch.
        failures: in the period, as the tallies are of its successes.
    """

    service: ServiceId
    type: str | None
    last_success: int | None
    last_failure: int | None
    failures: int
    durations: Tally
    requests: Tally
    responses: Tally


class HealthStatistics:
    """The services of one process.

    Args:
        period: seconds that count.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self._width = period / _SLICES
        self._proven: OrderedDict[_Name, _Service] = OrderedDict()
        self._failing: OrderedDict[_Name, _Service] = OrderedDict()

    def add(self, record: OperationalRecord, at: float) -> None:
        """Count an exchange in which this node was the provider's; others are passed over.

        Args:
            at: seconds on any clock that only goes forward, as for `services`.
        """
        if record.server_type != PRODUCER or record.provider is None or not record.service_code:
            return
        name = (record.provider, record.service_code, record.service_version)
        service = self._service(name, succeeded=record.succeeded)
        service.type = record.service_type or service.type  # unknown when it was refused early
        now = self._slice_of(service, at)
        if not record.succeeded:
            service.last_failure = record.response_out_ts
            now.failures += 1
            return
        service.last_success = record.response_out_ts
        now.durations.add(record.duration)
        if record.request_size is not None:
            now.requests.add(record.request_size)
        if record.response_size is not None:
            now.responses.add(record.response_size)

    def services(self, at: float, provider: ClientId | None = None) -> list[ServiceHealth]:
        """All services, or those of one provider, in order of their names."""
        oldest = int(at / self._width) - _SLICES
        found = []
        for name, service in (*self._proven.items(), *self._failing.items()):
            if provider is None or name[0] == provider.path:
                slices = [one for one in service.slices if one.number > oldest]
                found.append(_health(name, service, slices))
        return sorted(found, key=lambda health: health.service.parts)

    def _service(self, name: _Name, *, succeeded: bool) -> _Service:
        """The entry of a service, made when it is missing; the longest unused one gives way."""
        known = self._proven.get(name)
        if known is not None:
            self._proven.move_to_end(name)
            return known
        found = self._failing.pop(name, None) or _Service()
        place, most = (self._proven, MAX_SERVICES) if succeeded else (self._failing, MAX_FAILING)
        place[name] = found
        if len(place) > most:
            place.popitem(last=False)
        return found

    def _slice_of(self, service: _Service, at: float) -> _Slice:
        number = int(at / self._width)
        slices = service.slices
        if not slices or slices[-1].number < number:
            slices.append(_Slice(number))
        while slices[0].number <= number - _SLICES:
            slices.popleft()
        return slices[-1]


def _health(name: _Name, service: _Service, slices: list[_Slice]) -> ServiceHealth:
    provider, code, version = name
    return ServiceHealth(
        ServiceId(ClientId.from_header(provider), code, version),
        service.type,
        service.last_success,
        service.last_failure,
        sum(one.failures for one in slices),
        Tally.sum(one.durations for one in slices),
        Tally.sum(one.requests for one in slices),
        Tally.sum(one.responses for one in slices),
    )
