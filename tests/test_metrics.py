from datetime import UTC, datetime, timedelta

from prometheus_client import generate_latest

from node.operate.metrics import Expiry, NodeMetrics, StageClock, stage_line


def page(metrics: NodeMetrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_exchanges_are_counted_by_role_outcome_and_code() -> None:
    metrics = NodeMetrics(frozenset({"access_denied", "io_error"}))
    for code in ("", "server.serverproxy.access_denied", "Server.ServerProxy.AccessDenied"):
        metrics.exchange_begins("consumer")
        metrics.exchange_ends("consumer", code, StageClock())
    text = page(metrics)
    assert 'sacbe_exchanges_total{code="",outcome="ok",role="consumer"} 1.0' in text
    line = 'sacbe_exchanges_total{code="access_denied",outcome="fault",role="consumer"} 2.0'
    assert line in text
    assert 'sacbe_exchanges_running{role="consumer"} 0.0' in text


def test_a_peer_can_not_make_series_with_codes_of_its_own() -> None:
    metrics = NodeMetrics(frozenset({"access_denied"}))
    for number in range(20):
        metrics.exchange_begins("provider")
        metrics.exchange_ends("provider", f"server.made_up_{number}", StageClock())
    assert 'code="other",outcome="fault",role="provider"} 20.0' in page(metrics)
    assert "made_up" not in page(metrics)


def test_stages_of_one_exchange_add_up() -> None:
    clock = StageClock()
    clock.mark("parse")
    clock.mark("sign")
    clock.mark("sign")
    assert set(clock.seconds) == {"parse", "sign"}
    assert sum(clock.seconds.values()) <= clock.total
    assert stage_line({"parse": 0.0011, "sign": 0.02}) == "parse=1.1 sign=20.0"
    metrics = NodeMetrics(frozenset())
    metrics.exchange_begins("provider")
    metrics.exchange_ends("provider", "", clock)
    assert 'sacbe_stage_seconds_count{role="provider",stage="sign"} 1.0' in page(metrics)


def test_expiries_and_gauges_are_read_when_asked() -> None:
    metrics = NodeMetrics(frozenset())
    depth = [3.0]
    metrics.gauge("sacbe_log_queue", "Records that wait for a commit", lambda: depth[0])
    ends = datetime.now(UTC) + timedelta(hours=1)
    metrics.expiries(lambda: iter([Expiry("configuration", "EX", ends)]))
    assert "sacbe_log_queue 3.0" in page(metrics)
    depth[0] = 4
    assert "sacbe_log_queue 4.0" in page(metrics)
    line = next(
        text for text in page(metrics).splitlines() if text.startswith("sacbe_expires_in_seconds{")
    )
    assert 'kind="configuration",name="EX"' in line
    assert 3500 < float(line.rpartition(" ")[2]) <= 3600
