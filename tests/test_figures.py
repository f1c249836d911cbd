"""Figures add up, whatever they are told apart by, and their metrics have closed labels."""

import argparse
import csv
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from config.settings import load_settings
from node.log.messagelog import MIGRATIONS
from node.log.uses import DataUse
from node.messages.fault_codes import KNOWN_CODES
from node.messages.intent import Intent
from node.once.figures import OTHERS, By, UseMetrics, figures_of
from node.once.openness import Classes
from node.operate.metrics import NodeMetrics
from node.settings import NodeSettings
from scripts.once_report import add_report, tell_report
from tests.citizen_stage import CLERK, NOW, TAX, fetched, use, write
from tests.test_node_command import SETTINGS
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.errors import SacbeError, StorageError

MONTH = timedelta(days=31)
BENEFIT, LOAN = "urn:proc:benefit", "urn:proc:loan"


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=4))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


def uses() -> list[DataUse]:
    refused = {"given": (), "subject": None}
    return [
        use(1, withheld=("/a", "/b")),
        use(2),
        use(3, refusal="quota_used_up", **refused),
        use(4, refusal="quota_used_up", client=TAX, **refused),
        use(5, refusal="a word of tomorrow", **refused),
        use(6, time=NOW - MONTH, intent=Intent(procedure=LOAN)),
        fetched(7, given=("urn:c:income",), withheld=("/x",), spared=3),
        fetched(8, given=(), refusal="purpose_missing", intent=Intent()),
        use(9, time=NOW - 20 * MONTH),
    ]


async def figures(pool: Pool, by: By, **changes: Any) -> dict[str, tuple[object, ...]]:  # noqa: ANN401
    found = await figures_of(pool, NOW - 12 * MONTH, NOW, by, **changes)
    return {
        one.group: (
            one.answers, one.given, one.withheld, one.questions, one.fetched, one.spared,
            one.refused, one.told_no,
        )
        for one in found
    }  # fmt: skip


async def test_figures_are_told_apart_by_procedure(pool: Pool) -> None:
    await write(pool, uses())
    assert await figures(pool, By.PROCEDURE) == {
        BENEFIT: (2, 4, 2, 1, 1, 3, {"quota_used_up": 2, "other": 1}, {}),
        LOAN: (1, 2, 0, 0, 0, 0, {}, {}),
        "": (0, 0, 0, 0, 0, 0, {}, {"purpose_missing": 1}),
    }


async def test_figures_are_told_apart_by_the_other_institution(pool: Pool) -> None:
    await write(pool, uses())
    assert await figures(pool, By.INSTITUTION) == {
        CLERK.member.path: (3, 6, 2, 0, 0, 0, {"quota_used_up": 1, "other": 1}, {}),
        TAX.member.path: (0, 0, 0, 1, 1, 3, {"quota_used_up": 1}, {"purpose_missing": 1}),
    }


async def test_figures_are_told_apart_by_month(pool: Pool) -> None:
    await write(pool, uses())
    found = await figures(pool, By.MONTH)
    assert list(found) == ["2026-10", "2026-11"]
    assert found["2026-10"] == (1, 2, 0, 0, 0, 0, {}, {})


async def test_many_groups_become_one_after_the_largest(pool: Pool) -> None:
    many = [use(n, intent=Intent(procedure=f"urn:{n // 2}")) for n in range(2, 12)]
    await write(pool, [*many, use(20, intent=Intent(procedure="urn:1"))])
    found = await figures(pool, By.PROCEDURE, most=2)
    assert list(found) == ["urn:1", "urn:2", OTHERS]
    assert [one[0] for one in found.values()] == [3, 2, 6]


async def test_a_database_that_is_gone_is_said(pool: Pool) -> None:
    await pool.close()
    with pytest.raises(StorageError, match="can't be summed up"):
        await figures(pool, By.MONTH)


def test_metrics_count_what_passes_and_have_closed_labels() -> None:
    metrics = NodeMetrics(KNOWN_CODES)
    count = UseMetrics(metrics).counting(Classes((), lambda *_: False).classify)
    assert [count(one).exchange_id for one in uses()] == [one.exchange_id for one in uses()]
    text = generate_latest(metrics.registry).decode()
    for line in (
        'sacbe_once_uses_total{outcome="given",side="provider"} 4.0',
        'sacbe_once_uses_total{outcome="quota_used_up",side="provider"} 2.0',
        'sacbe_once_uses_total{outcome="other",side="provider"} 1.0',
        'sacbe_once_uses_total{outcome="purpose_missing",side="consumer"} 1.0',
        'sacbe_once_facts_total{side="provider",what="given"} 8.0',
        'sacbe_once_facts_total{side="provider",what="withheld"} 2.0',
        "sacbe_once_spared_submissions_total 3.0",
    ):
        assert line in text
    assert "tomorrow" not in text


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path, database_dsn: str) -> NodeSettings:
    (tmp_path / "database.dsn").write_text(database_dsn)
    (tmp_path / "database.dsn").chmod(0o600)
    (tmp_path / "node.toml").write_text(SETTINGS)
    return load_settings(NodeSettings, tmp_path / "node.toml")


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_report(parser.add_subparsers())
    return parser.parse_args(["report", "--config", "node.toml", *words])


async def told(capsys: pytest.CaptureFixture[str], settings: NodeSettings, *words: str) -> str:
    times = ("--since", f"{NOW - 12 * MONTH:%Y-%m-%d}", "--until", f"{NOW:%Y-%m-%dT%H:%M:%SZ}")
    assert await tell_report(settings, arguments(*times, *words)) == 0
    return capsys.readouterr().out


async def test_the_report_is_a_table(
    pool: Pool, settings: NodeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No use was recorded" in await told(capsys, settings)
    await write(pool, uses())
    lines = (await told(capsys, settings)).splitlines()
    assert lines[0] == "From 2025-11-14 00:00:00 to 2026-11-21 12:00:00 UTC"
    assert lines[1].split()[-1] == "PROCEDURE"
    assert lines[2].split() == ["2", "4", "2", "1", "1", "3", "3", BENEFIT]
    assert lines[3].split() == ["1", "refused:", "other"]
    assert lines[5].split()[-1] == "(none)"
    assert lines[6].split() == ["1", "refused", "to", "us:", "purpose_missing"]


async def test_a_report_of_no_time_is_refused(settings: NodeSettings) -> None:
    words = ("--since", "2026-02-01", "--until", "2026-01-01")
    with pytest.raises(SacbeError, match="is not before"):
        await tell_report(settings, arguments(*words))


async def test_the_report_is_json(
    pool: Pool, settings: NodeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    await write(pool, uses())
    found = json.loads(await told(capsys, settings, "--json", "--by", "month"))
    assert found["by"] == "month"
    assert [one["group"] for one in found["groups"]] == ["2026-10", "2026-11"]
    assert found["groups"][1]["refused"] == {"quota_used_up": 2, "other": 1}


async def test_the_report_is_csv_that_no_spreadsheet_runs(
    pool: Pool, settings: NodeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    await write(pool, [*uses(), use(30, intent=Intent(procedure="=cmd()|x, y"))])
    rows = list(csv.DictReader((await told(capsys, settings, "--csv")).splitlines()))
    assert [row["procedure"] for row in rows] == [BENEFIT, "", "'=cmd()|x, y", LOAN]
    assert (rows[0]["given"], rows[0]["refused_quota_used_up"]) == ("4", "2")


def test_times_are_read_by_whoever_typed_them() -> None:
    read = arguments("--since", "2026-03-02").since
    assert read == datetime(2026, 3, 2, tzinfo=UTC)
    with pytest.raises(SystemExit):
        arguments("--by", "subject")
    with pytest.raises(SystemExit):
        arguments("--json", "--csv")
