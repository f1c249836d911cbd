"""`sacbe node`: what it prints, what it refuses, and declarations that reach the database."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import asyncpg
import pytest

from config.describe import describe_settings
from node.settings import NodeSettings
from scripts.cli import main
from scripts.node import apply_services, load_node_settings
from scripts.postgres_binaries import find_binaries
from tests.database_fixtures import quick_folder
from trust.errors import ConfigurationError, StorageError

ROOT = Path(__file__).parents[1]

SETTINGS = """
server = "TEST:GOV:1000:NODE1"
data = "data"
[configuration]
anchor = "anchor.xml"
[keys]
folder = "keys"
password_file = "keys.password"
[database]
dsn_file = "database.dsn"
"""
SERVICES = """
[[clients]]
id = "TEST:GOV:1000:persons"
[[clients.services]]
code = "people"
url = "http://127.0.0.1:9000"
[[clients.access]]
service = "people"
client = "TEST:COM:2000:portal"
endpoints = ["GET /persons/*"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "services.toml").write_text(SERVICES, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("words", [[], ["node"], ["services"]])
def test_an_example_can_be_printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "example", *words]) == 0
    printed = capsys.readouterr().out
    assert tomllib.loads(printed) is not None
    assert (printed == describe_settings(NodeSettings)) is (words != ["services"])


async def test_a_declaration_is_taken_over_and_told(folder: Path, database_dsn: str) -> None:
    settings = load_node_settings(folder / "node.toml")
    services = folder / "services.toml"
    planned = await apply_services(settings, database_dsn, services, dry_run=True)
    assert [str(change) for change in planned] == [
        "+ client TEST:GOV:1000:persons: registered, HTTPS",
        "+ right of SUBSYSTEM:TEST/COM/2000/portal to TEST:GOV:1000:persons:people GET /persons/*",
        "+ service TEST:GOV:1000:persons:people: REST, http://127.0.0.1:9000, 1m",
    ]
    assert await apply_services(settings, database_dsn, services) == planned
    assert await apply_services(settings, database_dsn, services) == ()
    services.write_text(SERVICES.replace("9000", "9001"), encoding="utf-8")
    (change,) = await apply_services(settings, database_dsn, services)
    assert change.kind == "changed"


async def test_a_declaration_with_mistakes_changes_nothing(folder: Path, database_dsn: str) -> None:
    settings = load_node_settings(folder / "node.toml")
    services = folder / "services.toml"
    await apply_services(settings, database_dsn, services)
    services.write_text(SERVICES.replace('service = "people"', 'service = "x"'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"services\.toml:8: found 'x', expected"):
        await apply_services(settings, database_dsn, services)
    connection = await asyncpg.connect(database_dsn)
    assert await connection.fetchval("SELECT count(*) FROM access_right") == 1
    await connection.close()


async def test_a_database_that_is_away_is_told(folder: Path) -> None:
    settings = load_node_settings(folder / "node.toml")
    with pytest.raises(StorageError):
        await apply_services(
            settings, "postgresql://a:secret@127.0.0.1:1/x", folder / "services.toml"
        )


@pytest.mark.database
def test_a_node_without_a_database_address_keeps_a_database_of_its_own() -> None:
    try:
        find_binaries()
    except StorageError as error:
        pytest.skip(str(error))
    folder = quick_folder()
    try:
        text = SETTINGS.partition("[database]")[0]
        (folder / "node.toml").write_text(text, encoding="utf-8")
        (folder / "services.toml").write_text(SERVICES, encoding="utf-8")
        (folder / "keys.password").write_text("open sesame\n", encoding="utf-8")
        (folder / "keys.password").chmod(0o600)
        applied = command(folder, "apply", str(folder / "services.toml"))
        assert (applied.returncode, applied.stdout.count("\n")) == (0, 3), applied.stderr
        again = command(folder, "apply", str(folder / "services.toml"))
        assert (again.returncode, again.stdout) == (0, ""), again.stderr
        assert (folder / "data").stat().st_mode & 0o077 == 0
        started = command(folder, "run")
        assert started.returncode == 2
        assert "anchor.xml: found No such file or directory, expected a conf" in started.stderr
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def command(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", "node", *words, "--config", folder / "node.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("action", [["run"], ["apply", "services.toml"]])
def test_a_mistake_in_the_settings_ends_the_command_with_its_line(
    folder: Path, action: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "node.toml"
    path.write_text(SETTINGS.replace("anchor =", "ancor ="), encoding="utf-8")
    assert main(["node", *action, "--config", str(path)]) == 2
    assert "node.toml:5: found unknown key 'ancor', expected 'anchor'" in capsys.readouterr().err


def test_all_files_that_can_not_be_used_are_told_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "anchor.xml").write_text("hello", encoding="utf-8")
    (folder / "keys.password").write_text("open sesame\n", encoding="utf-8")
    (folder / "keys.password").chmod(0o644)
    (folder / "database.dsn").write_text("a secret", encoding="utf-8")
    (folder / "database.dsn").chmod(0o600)
    assert main(["node", "run", "--config", str(folder / "node.toml")]) == 2
    anchor, password, dsn = capsys.readouterr().err.splitlines()
    assert "anchor.xml: found " in anchor
    assert "expected a configuration anchor" in anchor
    assert "keys.password: found mode 0644, open to every user" in password
    assert "database.dsn: found something else than a database address" in dsn
    assert "secret" not in dsn.replace("postgresql://user:password", "")


def test_settings_that_contradict_each_other_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "node.toml"
    path.write_text(SETTINGS + '[admin]\nhost = "0.0.0.0"\n', encoding="utf-8")
    assert main(["node", "run", "--config", str(path)]) == 2
    assert "expected true, or a loopback address" in capsys.readouterr().err
