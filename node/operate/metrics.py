"""What a node counts and times, in Prometheus' words.

Labels come from closed sets only: a fault code that no server of this kind raises counts as
`other`, so a peer can't make series.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

_STAGE_BUCKETS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    60,
)


class StageClock:
    """Time spent in each stage of one exchange; a stage ends where the next mark stands."""

    __slots__ = ("_last", "_started", "seconds")

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """End a stage here; the same stage marked again is added up."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        return time.perf_counter() - self._started


@dataclass(frozen=True, slots=True)
class Expiry:
    """Something that a node needs and that ends at a known time."""

    kind: str  # certificate, ocsp, configuration
    name: str
    ends: datetime


class NodeMetrics:
    """The metrics of one node process."""

    def __init__(self, known_codes: frozenset[str]) -> None:
        self.registry = CollectorRegistry()
        self._known_codes = known_codes
        ProcessCollector(registry=self.registry)
        self._exchanges = Counter(
            "sacbe_exchanges_total",
            "Exchanges by role, outcome and fault code",
            ("role", "outcome", "code"),
            registry=self.registry,
        )
        self._stages = Histogram(
            "sacbe_stage_seconds",
            "Time spent in one stage of an exchange",
            ("role", "stage"),
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self._duration = Histogram(
            "sacbe_exchange_seconds",
            "Time of a whole exchange",
            ("role",),
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self._running = Gauge(
            "sacbe_exchanges_running", "Exchanges in work", ("role",), registry=self.registry
        )
        self._succeeded = {
            role: self._exchanges.labels(role, "ok", "") for role in ("consumer", "provider")
        }
        self._stage_children: dict[tuple[str, str], Histogram] = {}

    def exchange_begins(self, role: str) -> None:
        self._running.labels(role).inc()

    def exchange_ends(self, role: str, code: str, clock: StageClock) -> None:
        """Count one exchange; `code` is empty when it succeeded, else the full fault code."""
        self._running.labels(role).dec()
        if code:
            self._exchanges.labels(role, "fault", self.label_of(code)).inc()
        else:
            self._succeeded[role].inc()
        self._duration.labels(role).observe(clock.total)
        for stage, seconds in clock.seconds.items():
            child = self._stage_children.get((role, stage))
            if child is None:
                child = self._stage_children[role, stage] = self._stages.labels(role, stage)
            child.observe(seconds)

    def label_of(self, code: str) -> str:
        """The word that a full fault code counts as."""
        last = code.rpartition(".")[2].replace("_", "").lower()
        for known in self._known_codes:
            if known.replace("_", "") == last:
                return known
        return "other"

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A value that is read when somebody asks."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def counter(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Something counted elsewhere, read when somebody asks; its name gets `_total`."""
        self.registry.register(_CountCollector(name, meaning, read))

    def expiries(self, read: Callable[[], Iterator[Expiry]]) -> None:
        """Seconds until certificates, OCSP responses and configurations end."""
        self.registry.register(_ExpiryCollector(read))


@dataclass(frozen=True)
class _CountCollector(Collector):
    name: str
    meaning: str
    read: Callable[[], float]

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self.name, self.meaning, value=self.read())


@dataclass(frozen=True)
class _ExpiryCollector(Collector):
    read: Callable[[], Iterator[Expiry]]
    labels: tuple[str, str] = field(default=("kind", "name"))

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "sacbe_expires_in_seconds",
            "Seconds until something that the node needs ends; negative when it has ended",
            labels=self.labels,
        )
        now = datetime.now(UTC)
        for expiry in self.read():
            family.add_metric([expiry.kind, expiry.name], (expiry.ends - now).total_seconds())
        yield family


def stage_line(seconds: Mapping[str, float]) -> str:
    """The stages of one exchange for its log line: `sign=0.8 log=1.2` in milliseconds."""
    return " ".join(f"{stage}={value * 1000:.1f}" for stage, value in seconds.items())
