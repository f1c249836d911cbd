"""The load, the figures made of it, the nginx hops, and the whole command once, briefly."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from node.operate.metrics import NodeMetrics, StageClock
from scripts.measuring.figures import Case, Round, percentile, summarise
from scripts.measuring.hops import find_nginx, nginx_hops
from scripts.measuring.load import BODY_SIZES, LoadOrder, LoadResult
from scripts.measuring.report import Conditions, as_json, as_text
from scripts.measuring.stages import StageTimes, fetch_stages, read_stages
from scripts.measuring.usage import cpu_seconds, family_of, resident_mb
from scripts.measuring.ways import Effort, NginxWay, answering_system
from trust.errors import NetworkFailure

_BRIEFLY = Effort(connections=2, warm_up=0.05, seconds=0.2)
_CONDITIONS = Conditions(seconds=1, rounds=1, connections=2, nginx=False)


# --- figures --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    values: list[int], percent: int
) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_rounds_are_put_together_as_medians_and_costs_of_one_exchange() -> None:
    rounds = [
        Round(1.0, [1000] * 10, {"consumer": 0.02}, {"consumer": StageTimes({"sign": 0.01}, 10)}),
        Round(1.0, [2000] * 30, {"consumer": 0.06}, {"consumer": StageTimes({"sign": 0.03}, 30)}),
        Round(1.0, [3000] * 20, {"consumer": 0.04}, {"consumer": StageTimes({"log": 0.02}, 20)}),
    ]
    found = summarise(rounds)
    assert found.exchanges == 60
    assert found.per_second == 20
    assert found.latency_ms == {"p50": 2.0, "p95": 3.0, "p99": 3.0}
    assert found.cpu_ms == pytest.approx({"consumer": 2.0})
    assert found.stages_ms["consumer"] == pytest.approx({"sign": 40 / 60, "log": 20 / 60})


def test_messages_per_signature_are_those_of_all_rounds() -> None:
    metrics = NodeMetrics(frozenset())
    made = [3, 5]
    metrics.counter("sacbe_signatures", "signatures", lambda: made[0])
    metrics.counter("sacbe_signed_messages", "messages", lambda: made[1])
    earlier = read_stages(generate_latest(metrics.registry).decode(), "consumer")
    made[:] = [4, 25]
    later = read_stages(generate_latest(metrics.registry).decode(), "consumer")
    one = Round(1.0, [1000], {}, {"consumer": later.since(earlier)})
    other = Round(1.0, [1000], {}, {"consumer": StageTimes({}, 1, 3, 4)})
    assert summarise([one, other]).messages_per_signature == {"consumer": 6.0}
    case = Case("rsa2048", "small", nodes=[one, other])
    assert "consumer 6.00" in as_text([case], _CONDITIONS)
    assert StageTimes({}, 1).messages_per_signature == 0


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    case = Case("p256", "small")
    assert case.ratio is None
    for ours, theirs in ((1, 10), (5, 10), (2, 10)):
        case.nodes.append(Round(1.0, [1] * ours, {}))
        case.nginx.append(Round(1.0, [1] * theirs, {}))
    assert case.ratio == pytest.approx(0.2)


def test_a_failed_exchange_is_told_everywhere() -> None:
    case = Case("p256", "small", nodes=[Round(1.0, [], {}, {}, 1, "status 500")])
    assert as_json([case], _CONDITIONS)["ok"] is False
    assert "FAILED p256 small: status 500" in as_text([case], _CONDITIONS)


def test_stage_times_are_read_from_the_metrics_page() -> None:
    metrics = NodeMetrics(frozenset())
    clock = StageClock()
    clock.seconds = {"sign": 0.25, "log": 0.5}
    earlier = read_stages(generate_latest(metrics.registry).decode(), "consumer")
    for _ in range(2):
        metrics.exchange_begins("consumer")
        metrics.exchange_ends("consumer", "", clock)
    metrics.exchange_begins("provider")
    metrics.exchange_ends("provider", "", clock)
    later = read_stages(generate_latest(metrics.registry).decode(), "consumer")
    assert later.since(earlier).per_exchange() == {"sign": 250.0, "log": 500.0}


async def test_a_node_that_is_gone_tells_no_metrics() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NetworkFailure, match="provider"):
            await fetch_stages(session, "http://127.0.0.1:1/metrics", "provider")


def test_nothing_is_said_of_the_stages_of_no_exchange() -> None:
    assert StageTimes({"sign": 0.0}, 0).per_exchange() == {}


# --- processes ------------------------------------------------------------------------------------


async def test_what_a_process_and_its_children_use_is_read() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c",
        "sum(range(10**7)); print('done', flush=True); input()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    await child.stdout.readline()
    assert child.pid in family_of(os.getpid())
    assert family_of(child.pid) == {child.pid}
    used = cpu_seconds(child.pid)
    assert used > 0
    assert cpu_seconds(child.pid, family=True) >= used
    assert resident_mb(child.pid) > 1
    child.stdin.close()
    await child.wait()
    assert cpu_seconds(child.pid) == 0
    assert resident_mb(child.pid) == 0


# --- the load -------------------------------------------------------------------------------------


async def _ask(order: LoadOrder) -> LoadResult:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "scripts.measuring.load", "ask",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(f"{order.to_json()}\n".encode())
    begun, ended, result = output.decode().splitlines()
    assert (begun, ended) == ("measuring", "measured")
    return LoadResult.from_json(result)


@pytest.mark.parametrize("body", BODY_SIZES)
async def test_the_load_counts_what_the_system_answered(body: str) -> None:
    async with answering_system() as port:
        found = await _ask(_BRIEFLY.order(port, f"/{body}", {"X-Name": "value"}, body))
    assert found.failed == 0
    assert found.latencies
    assert found.seconds > 0


async def test_an_answer_of_another_status_or_size_is_a_failure() -> None:
    async with answering_system() as port:
        missing = await _ask(_BRIEFLY.order(port, "/nothing", {}, "small"))
        larger = await _ask(_BRIEFLY.order(port, "/100k", {}, "small"))
    assert missing.failed > 0
    assert missing.failure.startswith("status 404, 0 bytes")
    assert not missing.latencies
    assert larger.failure.startswith("status 200, 100000 bytes")


# --- nginx ----------------------------------------------------------------------------------------

needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")


@needs_nginx
async def test_the_load_passes_through_both_hops(tmp_path: Path) -> None:
    async with (
        answering_system() as system,
        NginxWay.opened(find_nginx() or "", tmp_path / "hops", "p256", system) as way,
    ):
        found = await way.measure("100k", _BRIEFLY)
    assert (found.failed, found.failure) == (0, "")
    assert found.latencies
    assert set(found.cpu) == {"consumer", "provider"}


@needs_nginx
async def test_the_second_hop_serves_nobody_without_a_certificate(tmp_path: Path) -> None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    async with (
        answering_system() as system,
        nginx_hops(find_nginx() or "", tmp_path / "hops", "rsa2048", system) as hops,
        aiohttp.ClientSession() as session,
    ):
        first = f"http://127.0.0.1:{hops.port}/small"
        async with session.post(first, data=b"x") as response:
            assert response.status == 200
        second = f"https://127.0.0.1:{hops.provider_port}/small"
        async with session.post(second, data=b"x", ssl=anybody) as response:
            assert response.status == 400
            assert "No required SSL certificate" in await response.text()
    assert resident_mb(hops.pids["consumer"]) == resident_mb(hops.pids["provider"]) == 0


# --- the whole command ----------------------------------------------------------------------------


def _bench(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "scripts.cli", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.sandbox
@pytest.mark.xdist_group("sandbox")
def test_the_command_measures_two_nodes_and_tells_it_as_json(tmp_path: Path) -> None:
    done = _bench(
        "--json", "--dir", str(tmp_path), "--seconds", "0.5", "--rounds", "1",
        "--connections", "2", "--keys", "p256", "--bodies", "small",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert (found["seconds"], found["rounds"], found["connections"]) == (0.5, 1, 2)
    assert found["nginx"] is (find_nginx() is not None)
    (case,) = found["cases"]
    assert (case["keys"], case["body"], case["body_bytes"]) == ("p256", "small", 100)
    nodes = case["nodes"]
    assert nodes["exchanges"] > 0
    assert nodes["failed"] == 0
    assert 0 < nodes["p50_ms"] <= nodes["p95_ms"] <= nodes["p99_ms"]
    assert set(nodes["cpu_ms"]) == {"consumer", "provider", "postgres"}
    assert set(nodes["rss_mb"]) == {"consumer", "provider"}
    assert found["signing"] == "auto"
    assert nodes["messages_per_signature"] == {"consumer": 1.0, "provider": 1.0}
    assert {"sign", "log", "verify"} <= set(nodes["stages_ms"]["consumer"])
    assert {"verify", "log", "system", "sign", "send"} <= set(nodes["stages_ms"]["provider"])
    if found["nginx"]:
        assert case["nginx"]["exchanges"] > 0
        assert case["ratio"] > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.sandbox
@pytest.mark.xdist_group("sandbox")
def test_ctrl_c_leaves_neither_process_nor_file(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "scripts.cli", "bench", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 1" in line:
                break
        family = family_of(process.pid) - {process.pid}
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert family
    assert not [pid for pid in family if resident_mb(pid)]
    assert not list(tmp_path.iterdir())


def test_bad_options_are_refused_with_the_choices() -> None:
    done = _bench("--bodies", "small,huge")
    assert done.returncode == 2
    assert "'huge' is none of small, 100k" in done.stderr
    assert "'-1' is no number of seconds up to 3600" in _bench("--seconds", "-1").stderr
