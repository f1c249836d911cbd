"""`sacbe catalog vocabulary` as the central operator uses it, on the registry's database."""

import hashlib
from pathlib import Path

import pytest

from catalog.meaning.encoding import from_json
from scripts.cataloguing import vocabulary as command
from scripts.cli import main
from tests.test_vocabulary_declaration import TEXT
from tests.vocabularies import EXAMPLE

pytestmark = pytest.mark.database
SETTINGS = """
address = "127.0.0.1:1"
data = "data"
[keys]
folder = "keys"
password_file = "keys.password"
[database]
dsn_file = "database.dsn"
"""
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, database_dsn: str) -> Path:
    (tmp_path / "registry.toml").write_text(SETTINGS, "utf-8")
    (tmp_path / "database.dsn").write_text(database_dsn, "ascii")
    (tmp_path / "database.dsn").chmod(0o600)
    (tmp_path / "once.toml").write_text(TEXT, "utf-8")
    return tmp_path


def done(folder: Path, *words: str) -> int:
    config = ["--config", str(folder / "registry.toml")]
    return main(["catalog", "vocabulary", *words, *config])


def test_a_vocabulary_is_planned_applied_and_shown(folder: Path, capsys: Capture) -> None:
    declaration = folder / "once.toml"
    assert done(folder, "plan", str(declaration)) == 0
    planned = capsys.readouterr()
    assert planned.err.endswith("36 statements would change\n")
    assert done(folder, "apply", str(declaration), "--by", "decree 1") == 0
    assert capsys.readouterr().out == planned.out

    declaration.write_text(TEXT.replace("Act 1, article 4", "Act 2, article 9"), "utf-8")
    assert done(folder, "apply", str(declaration)) == 0
    assert capsys.readouterr().out == (
        "~ purpose https://facts.example.org/deciding: Act 1, article 4 → Act 2, article 9\n"
    )
    assert done(folder, "apply", str(declaration)) == 0
    assert capsys.readouterr().err.endswith("Nothing changes\n")

    assert done(folder, "history", "--limit", "5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2  ")
    assert lines[1].startswith("    ~ purpose https://facts.example.org/deciding: Act 1")
    assert lines[2].startswith("1  ")
    assert "  decree 1  " in lines[2]

    assert done(folder, "show", "--language", "es") == 0
    shown = capsys.readouterr().out
    assert "    Fecha de nacimiento  <https://facts.example.org/birth>: date, personal\n" in shown
    assert "    EX:MUN:13002:school:pupils  in 13002\n" in shown
    assert "Deciding  <https://facts.example.org/deciding>: Act 2, article 9\n" in shown
    assert (
        "    EX:GOV:1000:persons:person, else EX:GOV:1000:persons:copy:v1  everywhere until "
        "2027-01-01: Fecha de nacimiento, Town\n"
    ) in shown
    assert done(folder, "show", "--version", "3") == 1
    assert "no version 3" in capsys.readouterr().err

    assert done(folder, "show", "--version", "1", "--json") == 0
    told = capsys.readouterr().out
    assert from_json(told.encode()) == EXAMPLE
    assert hashlib.sha256(told.removesuffix("\n").encode()).hexdigest() in lines[2]


def test_what_is_wrong_is_told_before_the_database_is_asked(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "registry.toml").write_text(SETTINGS, "utf-8")
    (tmp_path / "once.toml").write_text(TEXT.replace('"f:paper"]', '"f:letter"]'), "utf-8")
    assert done(tmp_path, "apply", str(tmp_path / "once.toml")) == 2
    assert "once.toml:20: found 'https://facts.example.org/letter'" in capsys.readouterr().err


def test_what_is_left_open_is_a_warning(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    declaration = folder / "once.toml"
    declaration.write_text(TEXT[: TEXT.index("[[authorities]]")], "utf-8")
    assert done(folder, "plan", str(declaration)) == 0
    told = capsys.readouterr().err
    assert (
        f"Warning: {declaration}:32: found 'https://facts.example.org/age', which needs "
        "https://facts.example.org/birth, https://facts.example.org/town, expected an authority"
    ) in told
    monkeypatch.setattr(command, "_GAPS_TOLD", 1)
    assert done(folder, "plan", str(declaration)) == 0
    assert "Warning: 1 more of the same kind" in capsys.readouterr().err


def test_the_example_is_printed(capsys: Capture) -> None:
    assert main(["catalog", "vocabulary", "example"]) == 0
    assert "#[[concepts]]" in capsys.readouterr().out
