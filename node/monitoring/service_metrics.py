"""Exchanges by service and endpoint, in Prometheus' words.

Labels are bounded: services of this node are named when it offers them, services of others once
an answer of theirs came, and of each only so many; everything else counts as `other`. An endpoint
is its pattern, never the path that was called.
"""

from prometheus_client import Counter, Histogram

from node.monitoring.record import PRODUCER, OperationalRecord
from node.operate.metrics import NodeMetrics
from trust.ids import encode_segment

MAX_SERVICES = 300  # with a name, for each side
MAX_ENDPOINTS = 50  # with a name, for each service
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_LABELS = ("role", "service", "endpoint")


class ServiceMetrics:
    """The counters of one process, shown with the node's others."""

    def __init__(self, metrics: NodeMetrics) -> None:
        self._metrics = metrics
        self._requests = Counter(
            "sacbe_service_requests_total",
            "Exchanges by service, endpoint and fault code; the code is empty for a success",
            (*_LABELS, "code"),
            registry=metrics.registry,
        )
        self._seconds = Histogram(
            "sacbe_service_seconds",
            "Time from a request's arrival to its answer's departure",
            _LABELS,
            buckets=_BUCKETS,
            registry=metrics.registry,
        )
        self._named: dict[str, dict[str, set[str]]] = {"provider": {}, "consumer": {}}

    def add(self, record: OperationalRecord) -> None:
        role = "provider" if record.server_type == PRODUCER else "consumer"
        service, endpoint = self._labels(role, record)
        self._requests.labels(role, service, endpoint, self._code(record)).inc()
        self._seconds.labels(role, service, endpoint).observe(record.duration / 1000)

    def _labels(self, role: str, record: OperationalRecord) -> tuple[str, str]:
        named = self._named[role]
        service = _service_of(record)
        known = record.service_type if role == "provider" else record.response_in_ts
        if service not in named and (known is None or len(named) >= MAX_SERVICES):
            return OTHER, ""
        endpoints = named.setdefault(service, set())
        endpoint = _endpoint_of(record)
        if endpoint not in endpoints and len(endpoints) >= MAX_ENDPOINTS:
            return service, OTHER
        endpoints.add(endpoint)
        return service, endpoint

    def _code(self, record: OperationalRecord) -> str:
        if record.succeeded:
            return ""
        if record.fault_code is not None:
            return self._metrics.label_of(record.fault_code)
        if record.status_code is not None and record.status_code >= 400:
            return f"http_{record.status_code // 100}xx"
        return "abandoned"


def _service_of(record: OperationalRecord) -> str:
    parts = [record.service_code, record.service_version]
    return "/".join([str(record.provider), *(encode_segment(part) for part in parts if part)])


def _endpoint_of(record: OperationalRecord) -> str:
    """The method with the pattern; a consumer's node knows none."""
    if record.rest_path is None or record.rest_method is None:
        return ""
    method = record.rest_method.upper()
    return f"{method if method in _METHODS else OTHER} {record.rest_path}"
