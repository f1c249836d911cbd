"""The account of one call: who asked what, how it ended; one log line and one set of counts.

No value of a caller and none of an answer stands in it.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector

from adapters.operations import Caller

log = logging.getLogger("sacbe.adapter")

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
UNKNOWN = "unknown"  # an address that is none
ABANDONED = 499  # nobody waits for the answer any more


class AdapterMetrics:
    """The metrics of one adapter process; labels come from the declaration alone."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "sacbe_adapter_calls_total",
            "Calls by operation, face and status",
            ("operation", "face", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sacbe_adapter_call_seconds",
            "Time of a whole call, the wait for its turn included",
            ("operation",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.running = Gauge(
            "sacbe_adapter_running", "Calls that are worked on", registry=self.registry
        )
        self.waiting = Gauge(
            "sacbe_adapter_waiting", "Calls that wait for their turn", registry=self.registry
        )

    def ended(self, operation: str, face: str, status: int, seconds: float) -> None:
        self._calls.labels(operation, face, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)


@runtime_checkable
class Measuring(Protocol):
    """A source with metrics of its own, beside those of its calls."""

    def metrics(self) -> Iterator[Metric]:
        """Read when somebody asks; labels come from the declaration alone."""


@dataclass(slots=True)
class Account:
    """What is known of a call while it runs; written once, at its end."""

    face: str  # rest or soap
    metrics: AdapterMetrics
    caller: Caller = field(default_factory=Caller)
    operation: str = UNKNOWN
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    failure: str = ""  # for the operator: a kind of error, without values
    started: float = field(default_factory=time.perf_counter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self.started
        status = self.status or ABANDONED
        self.metrics.ended(self.operation, self.face, status, seconds)
        line = (
            f"operation={self.operation} face={self.face} status={status}"
            f" in={self.request_bytes} out={self.response_bytes} ms={seconds * 1000:.1f}"
            f" client={self.caller.client!r:.300} id={self.caller.message_id!r:.300}"
        )
        if self.failure:
            log.warning("%s failure=%.500r", line, self.failure)
        else:
            log.info("%s", line)
