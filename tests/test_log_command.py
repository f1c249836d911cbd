"""`sacbe log`: what is there, why it has no time-stamp, and taking it out."""

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.log import containers
from node.log.listing import Standing
from node.log.messagelog import MIGRATIONS, MessageLog, MessageLogSettings, RecordQuery
from node.log.records import Side
from scripts.cli import main
from tests.message_records import (
    CLIENT,
    PEER,
    PROVIDER,
    SERVICE,
    bodies_of,
    message_log,
    quick,
    sample_record,
)
from tests.signing import MESSAGE
from tests.stamping_stage import SIGNATORY, SIGNATURE, Stage, quickly
from tests.test_node_command import SETTINGS
from trust.database import PoolSettings, migrate, open_pool
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container

AT = datetime(2026, 3, 1, 12, 30, 10, 123000, tzinfo=UTC)
OTHER = "SERVER:EX/COM/1/other"

Fill = Callable[[Stage, MessageLog], Awaitable[None]]


@asynccontextmanager
async def stage_of(
    dsn: str, settings: MessageLogSettings | None = None
) -> AsyncIterator[tuple[Stage, MessageLog]]:
    pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=8))
    await migrate(pool, "node", MIGRATIONS)
    try:
        async with message_log(dsn, settings) as log:
            yield Stage(pool, quickly()), log
    finally:
        await pool.close()


async def three(stage: Stage, log: MessageLog) -> None:
    """Two records under one time-stamp, and one that waits."""
    signed = {"message": MESSAGE, "signature": SIGNATURE}
    await log.append(sample_record(time=AT, message_id="one", exchange_id="x-1", **signed))
    await log.append(
        sample_record(
            time=AT + timedelta(seconds=1), message_id="two", response=True, peer=OTHER,
            side=Side.PROVIDER, local=PROVIDER, attachments=bodies_of(b"12345", b"678"), **signed,
        )
    )  # fmt: skip
    await stage.sequencer.step()
    await stage.pass_time(seconds=61)
    await log.append(sample_record(time=AT + timedelta(hours=1), message_id="three", **signed))
    await stage.sequencer.step()


def filled(dsn: str, fill: Fill = three, settings: MessageLogSettings | None = None) -> None:
    async def work() -> None:
        async with stage_of(dsn, settings) as (stage, log):
            await fill(stage, log)

    asyncio.run(work())


@pytest.fixture
def folder(tmp_path: Path, database_dsn: str) -> Path:
    (tmp_path / "node.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "database.dsn").write_text(database_dsn, encoding="utf-8")
    (tmp_path / "database.dsn").chmod(0o600)
    return tmp_path


def run(folder: Path, action: str, *words: str) -> int:
    return main(["log", action, "--config", str(folder / "node.toml"), *words])


def found(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The message ids of what is listed, in order."""
    run(folder, "search", "--json", *words)
    return [json.loads(line)["message_id"] for line in capsys.readouterr().out.splitlines()]


# --- search ---------------------------------------------------------------------------------------


def test_the_table_is_one_that_people_read(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database_dsn)
    assert run(folder, "search") == 0
    printed = capsys.readouterr()
    head, *rows = printed.out.splitlines()
    assert head.split() == [
        "TIME", "RECORD", "ROLE", "WHAT", "BYTES", "TIME-STAMP", "CLIENT", "SERVICE", "MESSAGE",
        "ID",
    ]  # fmt: skip
    cells = [row.split() for row in rows]
    assert [line[0] for line in cells] == [
        "2026-03-01T13:30:10.123Z", "2026-03-01T12:30:11.123Z", "2026-03-01T12:30:10.123Z",
    ]  # fmt: skip
    assert [line[2:5] for line in cells] == [
        ["consumer", "request", str(len(MESSAGE))],
        ["provider", "response", str(len(MESSAGE) + 8)],
        ["consumer", "request", str(len(MESSAGE))],
    ]
    assert cells[0][5] == "waiting"
    assert cells[1][5] == cells[2][5]
    assert cells[0][6:] == [CLIENT.colons, SERVICE.colons, "three"]
    assert "3 records" in printed.err
    assert "1 without time-stamp: it waits for the next round" in printed.err


def test_every_filter_narrows_what_is_listed(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database_dsn)
    for words, expected in (
        ((), ["three", "two", "one"]),
        (("--oldest",), ["one", "two", "three"]),
        (("--limit", "2"), ["three", "two"]),
        (("--message-id", "two"), ["two"]),
        (("--exchange-id", "x-1"), ["one"]),
        (("--peer", "EX:COM:1:other"), ["two"]),
        (("--peer", "EX:GOV:7654321:node1"), ["three", "one"]),
        (("--client", CLIENT.colons, "--responses"), ["two"]),
        (("--client", "EX:GOV:1"), []),
        (("--service", SERVICE.colons), ["three", "two", "one"]),
        (("--service", f"{SERVICE.colons}:v1"), []),
        (("--role", "consumer", "--requests"), ["three", "one"]),
        (("--from", "2026-03-01T12:30:11Z"), ["three", "two"]),
        (("--until", "2026-03-01T12:30:11Z"), ["one"]),
        (("--unstamped",), ["three"]),
    ):
        assert found(folder, capsys, *words) == expected, words


def test_the_same_is_told_as_json(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database_dsn)
    assert run(folder, "search", "--json", "--oldest") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    numbers = [line.pop("record") for line in lines]
    assert numbers == sorted(numbers)
    stamped = lines[0].pop("timestamp")
    assert datetime.fromisoformat(stamped).tzinfo is not None
    assert lines[0] == {
        "time": "2026-03-01T12:30:10.123Z", "role": "consumer", "response": False,
        "message_id": "one", "exchange_id": "x-1", "client": CLIENT.colons,
        "service": SERVICE.colons, "local": CLIENT.colons, "peer": PEER, "bytes": len(MESSAGE),
        "leaf": 0, "standing": "stamped", "tsa": lines[0]["tsa"], "reason": None, "archive": None,
    }  # fmt: skip
    assert lines[0]["tsa"]
    assert (lines[2]["leaf"], lines[2]["standing"], lines[2]["timestamp"]) == (2, "waiting", None)


def test_the_reasons_for_a_missing_time_stamp_are_told(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def failing(stage: Stage, log: MessageLog) -> None:
        await stage.append(log)
        stage.service.failing = True
        await stage.pass_time(seconds=61)
        await log.append(sample_record(message_id="without place"))

    filled(database_dsn, failing)
    assert run(folder, "search") == 0
    said = capsys.readouterr().err
    assert "2 without time-stamp: no time-stamp could be had since" in said
    assert "nobody there" in said

    async def queued(stage: Stage, log: MessageLog) -> None:
        await stage.pool.execute("UPDATE log_size SET failing_since = NULL")

    filled(database_dsn, queued)
    assert found(folder, capsys, "--unstamped")[0] == "without place"
    run(folder, "search", "--message-id", "without place")
    assert "it has no place in the log yet" in capsys.readouterr().err


def test_where_an_archived_message_is_is_told(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def archived(one: Stage, log: MessageLog) -> None:
        (number,) = await one.append(log)
        await one.pass_time(seconds=61)
        await one.pool.execute(
            "INSERT INTO archive_file (party, name, digest, bytes, size, containers, first_leaf,"
            " last_leaf, first_time, last_time, made, stored) VALUES"
            " ('', 'mlog-1.zip.age', '', '', 1, 1, 0, 0, now(), now(), now(), now())"
        )
        await one.pool.execute(
            "INSERT INTO archived_message SELECT 'one', local_client, response, time, number, 1"
            " FROM message_record WHERE number = $1",
            number,
        )
        await one.pool.execute("DELETE FROM message_record")

    filled(database_dsn, archived)
    assert run(folder, "search", "--message-id", "one") == 0
    said = capsys.readouterr().err
    assert "0 records" in said
    assert "one is in the archive file mlog-1.zip.age" in said
    assert run(folder, "search", "--message-id", "two") == 1


def test_an_empty_log_is_a_negative_answer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "search") == 1
    assert "0 records" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--from", "yesterday"], ["--service", "EX:GOV:1"], ["--peer", "EX"],
              ["--limit", "0"], ["--role", "judge"]]
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(folder, "search", *words)
    assert words[1] in capsys.readouterr().err


def test_what_others_chose_does_not_move_the_cursor(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def nasty(_: Stage, log: MessageLog) -> None:
        await log.append(sample_record(message_id="a\x1b[2Jb\nc"))

    filled(database_dsn, nasty)
    run(folder, "search")
    assert capsys.readouterr().out.splitlines()[1].endswith("a?[2Jb?c")


async def test_a_listing_goes_on_where_the_page_before_ended(database_dsn: str) -> None:
    async with stage_of(database_dsn) as (stage, log):
        numbers = await stage.append(log, 7)
        for newest_first in (False, True):
            seen: list[int] = []
            page = await log.listing(RecordQuery(), limit=3, newest_first=newest_first)
            seen += [message.number for message in page.messages]
            while page.next is not None:
                page = await log.listing(
                    RecordQuery(), after=page.next, limit=3, newest_first=newest_first
                )
                seen += [message.number for message in page.messages]
                assert {message.standing for message in page.messages} == {Standing.WAITING}
            assert seen == (numbers[::-1] if newest_first else numbers)


# --- export ---------------------------------------------------------------------------------------


def test_containers_are_taken_out_into_a_folder(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database_dsn)
    target = folder / "out" / "deep"
    assert run(folder, "export", "--to", str(target)) == 1
    said = capsys.readouterr().err
    assert "2 records in" in said
    assert "1 record without time-stamp left out" in said
    names = sorted(path.name.rpartition("-")[0] for path in target.iterdir())
    assert names == ["one-request", "two-response"]
    for path in target.iterdir():
        container = parse_container(path.read_bytes())
        verdict = verify_container(container, SIGNATORY.conf, datetime.now(UTC))
        assert verdict.timestamp is not None, verdict.reason
    before = {path: path.read_bytes() for path in target.iterdir()}
    assert run(folder, "export", "--to", str(target), "--unstamped") == 0
    assert [path.name.rpartition("-")[0] for path in target.iterdir() if path not in before] == [
        "three-request"
    ]
    assert run(folder, "export", "--to", str(target), "--message-id", "one") == 0
    assert {path: path.read_bytes() for path in before} == before


def test_containers_are_taken_out_into_a_zip(
    folder: Path, database_dsn: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    filled(database_dsn)
    target = folder / "out.zip"
    target.write_bytes(b"old")
    words = ("--to", str(target), "--until", "2026-03-01T13:00:00Z")
    assert run(folder, "export", *words) == 0
    with zipfile.ZipFile(io.BytesIO(target.read_bytes())) as archive:
        assert [name.rpartition("-")[0] for name in archive.namelist()] == [
            "one-request", "two-response",
        ]  # fmt: skip
    good = target.read_bytes()
    monkeypatch.setattr(containers, "MAX_RECORDS", 1)
    assert run(folder, "export", *words) == 2
    assert "export into a folder" in capsys.readouterr().err
    assert target.read_bytes() == good
    assert not list(folder.glob(".export-*"))


def test_an_encrypted_log_is_listed_and_taken_out_alike(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = folder / "log.keys"
    ring.write_text(f"first {base64.b64encode(bytes(32)).decode()}\n", encoding="utf-8")
    ring.chmod(0o600)
    settings = folder / "node.toml"
    settings.write_text(f'{SETTINGS}[log]\nkey_ring = "{ring}"\n', encoding="utf-8")

    async def sealed(_: Stage, log: MessageLog) -> None:
        await log.append(sample_record(message=MESSAGE, attachments=bodies_of(b"1234")))

    filled(database_dsn, sealed, quick(key_ring=ring))
    run(folder, "search", "--json")
    assert json.loads(capsys.readouterr().out)["bytes"] == len(MESSAGE) + 4
    assert run(folder, "export", "--to", str(folder / "out"), "--unstamped") == 0
    (path,) = (folder / "out").iterdir()
    assert parse_container(path.read_bytes()).message == MESSAGE


def test_a_place_that_can_not_be_written_is_told(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database_dsn)
    (folder / "file").write_bytes(b"")
    for place in ("file/out", "file/out.zip"):
        assert run(folder, "export", "--to", str(folder / place)) == 2
        assert "can't be written" in capsys.readouterr().err
