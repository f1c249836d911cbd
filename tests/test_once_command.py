"""`sacbe once plan` and `sacbe once evidence` against a node."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scripts import once
from scripts.cli import main
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER
from tests.once_stage import (
    BORN,
    CAR,
    HEIGHT,
    INCOME,
    NAME,
    NUMBER,
    PERSON,
    PURPOSE,
    SCHOOL,
    Stage,
    answer,
    once_stage,
)
from tests.scene import answering

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with once_stage(tmp_path_factory.mktemp("command"), postgres_server) as made:
        made.system.answer = answer
        yield made


async def run(stage: Stage, action: str, *words: str) -> int:
    parser = argparse.ArgumentParser()
    once.add_arguments(parser)
    whom = ("--node", f"{stage.consumer.url}/", "--client", CONSUMER.colons)
    subject = ("--subject", f"{PERSON}={NUMBER if action == 'evidence' else ''}")
    arguments = parser.parse_args([action, *whom, *subject, *words])
    return await asyncio.to_thread(once.run, arguments)


def concepts(*uris: str) -> list[str]:
    return [word for uri in uris for word in ("--concept", uri)]


CASE = ("--purpose", PURPOSE, "--case", "17", "--official", "clerk7")


async def test_a_plan_is_shown(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(stage, "plan", *concepts(NAME, CAR, SCHOOL)) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"stage 1: {PROVIDER.path}/people (Civil Registry) GET /{{id}}: {NAME}, urn:t:territory",
        f"stage 1: {PROVIDER.path}/down (Civil Registry) GET /{{id}}: {CAR}",
        f"    else {PROVIDER.path}/spare",
        f"stage 2: {SCHOOL}: asked when urn:t:territory is known",
    ]


async def test_facts_and_receipts_are_fetched(
    stage: Stage, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [*concepts(NAME, BORN, HEIGHT), *CASE, "--receipts", str(tmp_path / "receipts")]
    assert await run(stage, "evidence", *words) == 1
    out = capsys.readouterr().out
    assert f'{NAME}: "Ana Chel"\n    Civil Registry, 20' in out
    assert f"{HEIGHT}: missing: The source answered what its description forbids [wrong_t" in out
    assert out.endswith("Submissions spared: 1\n")
    (receipt,) = (tmp_path / "receipts").iterdir()
    anchor = stage.consumer.settings.configuration.anchor
    words = ["verify", str(receipt), "--anchor", str(anchor)]
    assert await asyncio.to_thread(main, words) == 0


async def test_the_answer_is_told_as_it_came(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(stage, "evidence", *concepts(INCOME), *CASE, "--json") == 0
    assert json.loads(capsys.readouterr().out)["evidence"][0]["value"] == 1234.5


async def test_values_do_nothing_to_a_terminal(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = b'{"name":"a\\u009b2J\\u001b[2J\\u202eb"}'
    monkeypatch.setattr(stage.system, "answer", lambda _: answering(hostile))
    assert await run(stage, "evidence", *CASE, *concepts(NAME)) == 0
    told = capsys.readouterr().out
    assert all(line.isprintable() for line in told.splitlines())
    assert "2J" in told


async def test_a_preview_is_told_with_its_token(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(stage, "evidence", *concepts(NAME), *CASE, "--preview") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{NAME}: waits for the citizen"
    assert second.startswith("preview ")
    assert " token " in second


async def test_every_problem_is_a_line(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--procedure", "urn:t:none", "--parameter", "year=1", "--territory", "a\nb"]
    assert await run(stage, "plan", *words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["procedure", "territory"]


def _words(*more: str) -> list[str]:
    return [
        "once", "plan", "--node", "http://127.0.0.1:9", "--client", "A:B:C",
        "--subject", "a=b", "--concept", "x", *more,
    ]  # fmt: skip


async def test_a_node_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(main, _words()) == 2
    assert "does not answer" in capsys.readouterr().err


async def test_a_file_that_is_no_certificate_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for words in (("--ca", "nowhere.pem"), ("--ca", str(empty)), ("--certificate", str(empty))):
        assert await asyncio.to_thread(main, _words(*words)) == 2
        assert words[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--client", "A"),
        ("--subject", "a"),
        ("--parameter", "="),
        ("--node", "nonsense"),
        ("--node", "http://[::1"),
    ],
)
async def test_bad_arguments(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        await asyncio.to_thread(main, _words(*words))
