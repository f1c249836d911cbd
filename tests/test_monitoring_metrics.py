"""Counts by service for Prometheus: named as far as they are real, and never too many."""

import time

import pytest
from prometheus_client import generate_latest

from node.exchange.account import Account, MessageSize
from node.messages.fault_codes import KNOWN_CODES
from node.monitoring import service_metrics
from node.monitoring.health_statistics import HealthStatistics
from node.monitoring.record import OperationalRecord, record_of
from node.monitoring.service_metrics import ServiceMetrics
from node.operate.metrics import NodeMetrics
from tests.monitoring_stage import POPULATION, PORTAL, sample_record
from trust.ids import ServiceId

DATA = 'service="EX/GOV/7654321/population/personData/v1"'


def counted(*records: OperationalRecord) -> str:
    metrics = NodeMetrics(KNOWN_CODES)
    counts = ServiceMetrics(metrics)
    for record in records:
        counts.add(record)
    return generate_latest(metrics.registry).decode()


def requests(page: str) -> dict[str, float]:
    """The counts by their labels."""
    lines = [line for line in page.splitlines() if line.startswith("sacbe_service_requests_total{")]
    pairs = [line.removeprefix("sacbe_service_requests_total").rsplit(" ", 1) for line in lines]
    return {labels: float(count) for labels, count in pairs}


def test_successes_and_failures_are_counted_by_code() -> None:
    failed = {"succeeded": False, "fault_code": "server.serverproxy.access_denied"}
    page = counted(
        sample_record(),
        sample_record(),
        sample_record(**failed),
        sample_record(**failed | {"fault_code": "made.up.by_a_peer"}),
        sample_record(**failed | {"fault_code": None, "status_code": 503}),
        sample_record(**failed | {"fault_code": None}),
    )
    labels = f'endpoint="",role="provider",{DATA}}}'
    assert requests(page) == {
        f'{{code="",{labels}': 2, f'{{code="access_denied",{labels}': 1,
        f'{{code="other",{labels}': 1, f'{{code="http_5xx",{labels}': 1,
        f'{{code="abandoned",{labels}': 1,
    }  # fmt: skip
    assert f'sacbe_service_seconds_sum{{endpoint="",role="provider",{DATA}}} 0.9' in page
    assert (
        f'sacbe_service_seconds_bucket{{endpoint="",le="0.25",role="provider",{DATA}}} 6.0' in page
    )


def test_an_endpoint_is_its_pattern() -> None:
    rest = {"service_code": "a/b", "service_version": None, "rest_path": "/persons/*"}
    page = counted(
        sample_record(**rest, rest_method="get"),
        sample_record(**rest, rest_method="PROPFIND"),
        sample_record(**rest | {"rest_path": None}, rest_method="GET"),
    )
    service = 'role="provider",service="EX/GOV/7654321/population/a%2Fb"'
    assert requests(page) == {
        f'{{code="",endpoint="GET /persons/*",{service}}}': 1,
        f'{{code="",endpoint="other /persons/*",{service}}}': 1,
        f'{{code="",endpoint="",{service}}}': 1,
    }


def test_a_peer_can_not_make_series_of_services_that_are_not_here() -> None:
    unknown = {"succeeded": False, "service_type": None, "fault_code": "x.unknown_service"}
    invented = [sample_record(service_code=f"x{n}", **unknown) for n in range(50)]
    early = sample_record(provider=None, service_code=None, service_version=None, **unknown)
    page = counted(*invented, early)
    assert requests(page) == {
        '{code="unknown_service",endpoint="",role="provider",service="other"}': 51
    }


def test_a_system_can_not_make_series_of_services_that_never_answered() -> None:
    asked = {"server_type": "Client", "service_type": None}
    failed = {**asked, "succeeded": False, "response_in_ts": None, "fault_code": "x.unknown_member"}
    invented = [sample_record(service_code=f"x{n}", **failed) for n in range(50)]
    page = counted(*invented, sample_record(**asked), sample_record(**failed))
    assert requests(page) == {
        '{code="unknown_member",endpoint="",role="consumer",service="other"}': 50,
        f'{{code="",endpoint="",role="consumer",{DATA}}}': 1,
        f'{{code="unknown_member",endpoint="",role="consumer",{DATA}}}': 1,
    }


def test_even_real_services_and_endpoints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_metrics, "MAX_SERVICES", 2)
    monkeypatch.setattr(service_metrics, "MAX_ENDPOINTS", 2)
    rest = {"rest_method": "GET", "service_version": None}
    page = counted(
        *(sample_record(service_code=code, rest_path=f"/{n}", **rest)
          for code in "abc" for n in range(4))
    )  # fmt: skip
    assert sum(requests(page).values()) == 12
    assert len(requests(page)) == 2 * 3 + 1
    assert requests(page)['{code="",endpoint="",role="provider",service="other"}'] == 4


def test_taking_note_of_an_exchange_costs_next_to_nothing() -> None:
    counts, kept = ServiceMetrics(NodeMetrics(KNOWN_CODES)), HealthStatistics(600)
    account = Account("provider", NodeMetrics(KNOWN_CODES), client=PORTAL)
    account.service_id = ServiceId(POPULATION, "personData", "v1")
    account.request_size = account.response_size = MessageSize(100, 1000)
    account.response_out = account.request_in
    rounds = 2000
    started = time.perf_counter()
    for _ in range(rounds):
        record = record_of(account, "10.0.0.1")
        counts.add(record)
        kept.add(record, time.monotonic())
    each = (time.perf_counter() - started) / rounds
    assert each < 0.001, f"{each * 1e6:.0f} µs"
