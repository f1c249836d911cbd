"""`sacbe archive`: what is in the archive, whether it is still there, and filling it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scripts.cli import main
from tests.archive_scene import Scene, scene
from tests.test_archive_recipients import new_identity
from tests.test_node_command import SETTINGS

pytestmark = pytest.mark.database


@pytest.fixture
def folder(tmp_path: Path, database_dsn: str) -> Path:
    store = f'\n[archive]\nstore = "file://{tmp_path}/store"\n'
    (tmp_path / "node.toml").write_text(SETTINGS + store, encoding="utf-8")
    (tmp_path / "database.dsn").write_text(database_dsn, encoding="utf-8")
    (tmp_path / "database.dsn").chmod(0o600)
    return tmp_path


def run(folder: Path, action: str, *words: str) -> int:
    return main(["archive", action, "--config", str(folder / "node.toml"), *words])


def on(folder: Path, work: Callable[[Scene], Awaitable[object]]) -> None:
    async def connected() -> None:
        async with scene((folder / "database.dsn").read_text(), folder) as one:
            await work(one)

    asyncio.run(connected())


async def five_records(one: Scene) -> None:
    await one.log_records(5)
    await one.stamp()


def files(folder: Path) -> list[Path]:
    return sorted((folder / "store").glob("mlog-*"))


def test_records_are_archived_now_and_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(folder, five_records)
    assert run(folder, "list") == 0
    assert "5 time-stamped records wait for a file" in capsys.readouterr().err
    assert run(folder, "run") == 0
    assert "1 file\n" in capsys.readouterr().err
    [file] = files(folder)
    assert run(folder, "list") == 0
    printed = capsys.readouterr()
    head, row = printed.out.splitlines()
    assert head.split() == ["MADE", "RECORDS", "BYTES", "STORED", "GROUP", "FILE"]
    assert row.split()[1:3] == ["5", str(file.stat().st_size)]
    assert row.endswith(file.name)
    assert "0 time-stamped records wait" in printed.err
    assert run(folder, "list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["records"], told["group"]) == (file.name, 5, None)
    assert (told["first_leaf"], told["last_leaf"]) == (0, 4)
    assert told["last_digest"][:16] in file.name
    assert run(folder, "run") == 0
    assert "0 files" in capsys.readouterr().err


def test_a_record_that_was_altered_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def tampered(one: Scene) -> None:
        await five_records(one)
        await one.pool.execute(
            "UPDATE message_record SET message = 'x'"
            " WHERE number = (SELECT number FROM log_leaf WHERE leaf = 2)"
        )

    on(folder, tampered)
    assert run(folder, "run") == 1
    assert "1 records can't be archived" in capsys.readouterr().err
    assert run(folder, "list") == 1
    assert "leaf 2 is not archived: Record " in capsys.readouterr().err


async def twice(one: Scene) -> None:
    for _ in range(2):
        await five_records(one)
        await one.archiver().archive(everything=True)


def test_the_archive_reads_back_as_it_was_stored(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(folder, twice)
    assert run(folder, "restore-check") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2 files, 10 containers followed, 0 problems" in printed.err


def remove(file: Path) -> None:
    file.unlink()


def damage(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[1000] ^= 1
    file.write_bytes(raw)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove, "the file is not in the store any more"),
        (damage, "the file is not what was stored"),
        (cut, "the file is not what was stored"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_harmed_file_is_named_and_the_others_hold(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
    said: str,
    place: int,
) -> None:
    on(folder, twice)
    file = files(folder)[place]
    harm(file)
    assert run(folder, "restore-check") == 1
    printed = capsys.readouterr()
    assert printed.out == f"{file.name}: {said}\n"
    assert "2 files, 5 containers followed, 1 problems" in printed.err


def test_a_file_that_nobody_wrote_down_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(folder, twice)
    (folder / "store" / "mlog-more.zip").write_bytes(b"x")
    (folder / "store" / "tile").write_bytes(b"of the log")
    assert run(folder, "restore-check") == 1
    assert capsys.readouterr().out == "mlog-more.zip: the database does not know this file\n"


def test_a_database_with_another_chain_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def rewritten(one: Scene) -> None:
        await twice(one)
        await one.pool.execute(
            "UPDATE archive_file SET digest = repeat('ab', 64) WHERE id = (SELECT min(id) FROM"
            " archive_file)"
        )

    on(folder, rewritten)
    assert run(folder, "restore-check") == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("ends with another digest than the database has")
    assert "continues another state of" in second


def test_encrypted_files_are_followed_with_their_identity(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity, recipient = new_identity(folder)
    other, _ = new_identity(folder, "other")
    (folder / "recipients").write_text(f"{recipient}\n")
    with (folder / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write('recipients = "recipients"\n')
    on(folder, five_records)
    assert run(folder, "run") == 0
    [file] = files(folder)
    assert file.name.endswith(".zip.age")
    capsys.readouterr()
    assert run(folder, "restore-check") == 0
    assert "1 files, 0 containers followed" in capsys.readouterr().err
    assert run(folder, "restore-check", "--identity", str(identity)) == 0
    assert "1 files, 5 containers followed" in capsys.readouterr().err
    assert run(folder, "restore-check", "--identity", str(other)) == 1
    assert "can't be decrypted with this identity" in capsys.readouterr().out
    assert main(["archive", "decrypt", str(file), "--identity", str(identity)]) == 0
    plain = file.with_suffix("")
    assert plain.read_bytes().startswith(b"PK\3\4")
    assert main(["archive", "decrypt", str(file), "--identity", str(identity)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_without_a_store_there_is_nothing_to_see_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "node.toml").write_text(SETTINGS, encoding="utf-8")
    assert run(folder, "list") == 2
    assert "The settings name no archive.store" in capsys.readouterr().err
