"""`sacbe node monitoring`: the operator's own view of the records."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from node.monitoring.report import summarize
from node.monitoring.settings import MonitoringSettings
from scripts.cli import main
from tests.monitoring_stage import NOW, monitoring_pool, sample_record, stored
from tests.test_node_command import SETTINGS
from trust.database import Pool
from trust.errors import StorageError
from trust.ids import ServiceId

SINCE, UNTIL = datetime.fromtimestamp(NOW, UTC), datetime.fromtimestamp(NOW + 100, UTC)
PATH = "EX/GOV/7654321/population"
SERVICE = ServiceId.from_colons("EX:GOV:7654321:population:personData")


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    async with monitoring_pool(database_dsn) as opened:
        yield opened


def took(milliseconds: int, **changes: object) -> object:
    return sample_record(request_in_ts=1760000101250 - milliseconds, **changes)


async def fill(pool: Pool) -> None:
    fast = [took(number) for number in range(1, 21)]
    rest = {"service_code": "personApi", "service_version": None, "rest_method": "GET",
            "rest_path": "/persons/*", "service_type": "OPENAPI3"}  # fmt: skip
    failed = {"succeeded": False, "fault_code": "server.serverproxy.access_denied"}
    records = [
        *fast,
        took(5, service_version="v2"),
        *(took(8, **rest) for _ in range(3)),
        took(9, **rest, succeeded=False, status_code=404),
        *(took(7, **rest, **failed) for _ in range(2)),
        took(3, server_type="Client", succeeded=False),
        took(1, server_type="Client", client=None, provider=None, service_code=None,
             service_version=None, succeeded=False, fault_code="client.invalid_soap"),
    ]  # fmt: skip
    await stored(pool, records, NOW, MonitoringSettings())  # type: ignore[arg-type]
    await stored(pool, [sample_record()], NOW - 1, MonitoringSettings())
    await stored(pool, [sample_record()], NOW + 100, MonitoringSettings())


async def test_exchanges_are_summed_up_by_service_endpoint_and_side(pool: Pool) -> None:
    await fill(pool)
    found = await summarize(pool, SINCE, UNTIL)
    by_name = {(one.role, one.service.rpartition("population/")[2], one.endpoint): one
               for one in found}  # fmt: skip
    assert list(by_name)[:2] == [
        ("provider", "personData/v1", ""), ("provider", "personApi", "GET /persons/*"),
    ]  # fmt: skip
    first = by_name["provider", "personData/v1", ""]
    assert (first.requests, first.failures, first.codes) == (20, 0, {})
    assert (first.shortest, first.mean, first.most_within, first.longest) == (1, 10.5, 19, 20)
    api = by_name["provider", "personApi", "GET /persons/*"]
    assert (api.requests, api.failures) == (6, 3)
    assert api.codes == {"server.serverproxy.access_denied": 2, "http_404": 1}
    assert by_name["consumer", "personData/v1", ""].codes == {"abandoned": 1}
    assert by_name["consumer", "", ""].codes == {"client.invalid_soap": 1}
    assert len(found) == 5


async def test_one_service_is_shown_in_all_versions_or_in_one(pool: Pool) -> None:
    await fill(pool)
    found = await summarize(pool, SINCE, UNTIL, SERVICE)
    assert [one.requests for one in found] == [20, 1, 1]
    found = await summarize(pool, SINCE, UNTIL, replace(SERVICE, service_version="v2"))
    assert [one.requests for one in found] == [1]
    assert await summarize(pool, SINCE, UNTIL, replace(SERVICE, service_code="other")) == []


async def test_a_database_that_can_not_be_read_is_told(pool: Pool) -> None:
    await pool.execute("DROP TABLE operational_record")
    with pytest.raises(StorageError, match="Operational records can't be read: Undefined"):
        await summarize(pool, SINCE, UNTIL)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, database_dsn: str) -> Path:
    (tmp_path / "node.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "database.dsn").write_text(database_dsn, encoding="utf-8")
    (tmp_path / "database.dsn").chmod(0o600)
    return tmp_path


def run(folder: Path, *words: str) -> int:
    return main(["node", "monitoring", "--config", str(folder / "node.toml"), *words])


TIME = ("--from", f"{SINCE:%Y-%m-%dT%H:%M:%S}", "--to", f"{UNTIL:%Y-%m-%dT%H:%M:%SZ}")


def test_the_table_is_one_that_people_read(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_from_outside(database_dsn)
    assert run(folder, *TIME) == 0
    assert capsys.readouterr().out.splitlines() == [
        "From 2025-10-09 11:40:00 to 2025-10-09 11:41:40 UTC",
        "REQUESTS  FAILED  MEAN ms  95% ms  MAX ms  ROLE      SERVICE AND ENDPOINT",
        f"      20       0       10      19      20  provider  {PATH}/personData/v1",
        f"       6       3        8       9       9  provider  {PATH}/personApi GET /persons/*",
        "               2  server.serverproxy.access_denied",
        "               1  http_404",
        f"       1       1        3       3       3  consumer  {PATH}/personData/v1",
        "               1  abandoned",
        "       1       1        1       1       1  consumer  (none)",
        "               1  client.invalid_soap",
        f"       1       0        5       5       5  provider  {PATH}/personData/v2",
    ]


def test_the_same_is_told_as_json(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_from_outside(database_dsn)
    assert run(folder, *TIME, "--json", "--service", f"{SERVICE.colons}:v1") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["from"] == "2025-10-09T11:40:00+00:00"
    assert found["services"][0] == {
        "role": "provider", "service": f"{PATH}/personData/v1", "endpoint": "",
        "requests": 20, "failures": 0, "shortest": 1, "mean": 10.5, "most_within": 19,
        "longest": 20, "codes": {},
    }  # fmt: skip
    assert len(found["services"]) == 2


def test_a_time_without_exchanges_is_said_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder) == 0
    assert "No exchange was recorded in this time." in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--from", "yesterday"], ["--service", "EX:GOV:1"]])
def test_options_that_mean_nothing_are_refused(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(folder, *words)
    assert words[1] in capsys.readouterr().err


def fill_from_outside(dsn: str) -> None:
    async def fill_it() -> None:
        async with monitoring_pool(dsn) as pool:
            await fill(pool)

    asyncio.run(fill_it())
