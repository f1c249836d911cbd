"""`sacbe grant`: the operators of two nodes, each with the command alone."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from node.once.granting import sender
from node.settings import DatabaseSettings
from scripts import grant
from scripts.grant import NotDone, add_arguments, carry_out
from scripts.postgres import PostgresServer
from tests.grants_stage import STRANGER, GrantStage, Office, grants_stage
from tests.instance import CONSUMER, SERVICE
from trust.errors import SacbeError

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENT = ("--client", CONSUMER.colons)
WANTED = (
    "request", *CLIENT, "--service", SERVICE.colons, "--endpoint", "get /people/*",
    "--fields", "name", "age", "--purposes", "urn:example:benefit", "--legal-basis", "School Act",
    "--quota", "100 per 1d", "--until", "2099-01-01T00:00Z", "--reason", "For pupils",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[GrantStage]:
    async with grants_stage(tmp_path_factory.mktemp("commands"), postgres_server) as found:
        yield found


@asynccontextmanager
async def sending(*offices: Office) -> AsyncIterator[None]:
    """Let nodes tell each other what there is to be told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "_LOOK", 0.02)
        tasks = [asyncio.create_task(office.sender.run()) for office in offices]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def command(office: Office, *words: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args([*words, "--config", "node.toml"])
    settings = office.node.settings
    file = Path(settings.data) / "database.dsn"
    file.touch(0o600)
    file.write_text(office.node.dsn, encoding="ascii")
    database = DatabaseSettings(dsn_file=file)
    return await carry_out(replace(settings, database=database), arguments)


async def listed(
    office: Office, capsys: pytest.CaptureFixture[str], *more: str
) -> list[dict[str, object]]:
    capsys.readouterr()
    assert await command(office, "list", "--json", *more) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


async def until_told(office: Office, number: int) -> None:
    for _ in range(1000):
        if not await office.book.telling([number]):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody is told")


async def test_two_operators_agree(stage: GrantStage, capsys: pytest.CaptureFixture[str]) -> None:
    async with sending(stage.civil, stage.muni):
        assert await command(stage.muni, *WANTED) == 0
        said = capsys.readouterr().out
        assert "waits for the provider's decision, where it is number" in said
        ours = int(said.split()[1].rstrip(":"))
        (there,) = await listed(stage.civil, capsys, "--state", "waiting", "--side", "provider")
        assert (there["endpoint"], there["reason"]) == ("GET /people/*", "For pupils")
        theirs = str(there["number"])
        with pytest.raises(NotDone, match="income"):
            await command(stage.civil, "approve", theirs, "--fields", "income")
        assert await command(stage.civil, "approve", theirs, "--fields", "name") == 0
        await until_told(stage.civil, int(theirs))
        (here,) = await listed(stage.muni, capsys)
        assert here["state"] == "approved"
        given, asked = here["given"], here["asked"]
        assert isinstance(given, dict)
        assert isinstance(asked, dict)
        assert given.pop("fields") == ["name"]
        assert asked.pop("fields") == ["name", "age"]
        assert given == asked
        assert (
            await command(stage.civil, "revoke", theirs, "--reason", "No more", "--by", "eva") == 0
        )
        await until_told(stage.civil, int(theirs))
    capsys.readouterr()
    assert await command(stage.muni, "show", str(ours)) == 0
    told = capsys.readouterr().out
    assert "revoked; the next call does not have the right: No more" in told
    assert told.count("exchange ") == 3
    assert await command(stage.civil, "show", theirs, "--json") == 0
    history = json.loads(capsys.readouterr().out)["history"]
    assert [step["what"] for step in history] == [
        "asked", "approved", "approved: taken", "revoked", "revoked: taken",
    ]  # fmt: skip
    assert history[3]["who"] == "eva"
    assert await command(stage.civil, "list") == 0
    assert "decides    revoked" in capsys.readouterr().out


async def test_a_refusal_and_a_withdrawal_are_told(
    stage: GrantStage, capsys: pytest.CaptureFixture[str]
) -> None:
    async with sending(stage.civil, stage.muni):
        assert await command(stage.muni, *WANTED) == 0
        assert await command(stage.muni, *WANTED) == 0
        found = await listed(stage.civil, capsys, "--state", "waiting")
        first, second = (str(one["number"]) for one in found)
        assert await command(stage.civil, "refuse", first, "--reason", "Too much") == 0
        await until_told(stage.civil, int(first))
        (refused,) = await listed(stage.muni, capsys, "--state", "refused")
        assert (str(refused["their_number"]), refused["answer"]) == (first, "Too much")
        (waiting,) = await listed(stage.muni, capsys, "--state", "waiting")
        assert await command(stage.muni, "withdraw", str(waiting["number"])) == 0
        await until_told(stage.muni, int(str(waiting["number"])))
    (withdrawn,) = await listed(stage.civil, capsys, "--state", "withdrawn")
    assert str(withdrawn["number"]) == second


async def test_another_kind_of_node_is_said_so_at_once(
    stage: GrantStage, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["request", *CLIENT, "--service", f"{STRANGER.colons}:x", "--legal-basis", "Act",
             "--reason", "Why not"]  # fmt: skip
    async with sending(stage.muni):
        code = await command(stage.muni, *words)
    told = capsys.readouterr()
    assert (code, told.err) == (1, "")
    assert "it is none of our kind" in told.out


async def test_a_request_waits_for_a_node_that_runs(
    stage: GrantStage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant, "_PATIENCE", 0.0)
    assert await command(stage.muni, *WANTED) == 0
    told = capsys.readouterr()
    assert "no running node has tried" in told.err
    assert await command(stage.muni, *WANTED, "--no-wait") == 0
    assert await command(stage.muni, "list") == 0
    assert capsys.readouterr().out.count("waiting, not told yet") == 2


async def test_only_a_hosted_client_gets_rights(stage: GrantStage) -> None:
    words = ["request", "--client", STRANGER.colons, *WANTED[3:]]
    with pytest.raises(NotDone, match="no registered client of this node"):
        await command(stage.muni, *words)
    with pytest.raises(SacbeError, match="without a legal basis"):
        await command(stage.muni, "request", *CLIENT, "--service", SERVICE.colons,
                      "--purposes", "urn:x:y", "--reason", "x")  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        ("--client", "nobody"),
        ("--service", "EX:GOV:1:x"),
        ("--quota", "100"),
        ("--quota", "lots"),
        ("--reason", " "),
        ("--until", "2020-01-01"),
        ("--until", "tomorrow"),
        ("--endpoint", "GET"),
    ],
)
async def test_words_that_mean_nothing_are_bad_usage(
    stage: GrantStage, bad: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, SacbeError)):
        await command(stage.muni, *WANTED, *bad)
    assert "literal" not in capsys.readouterr().err
