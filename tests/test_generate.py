"""What is generated is what is in the repository, and the examples are what their readers take."""

import shutil
from pathlib import Path

import pytest

from adapters.sql.settings import SqlSettings, problems_of
from config.settings import load_settings
from scripts.generate import FILES, ROOT, SettingsFile, generated
from trust.errors import ConfigurationError


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], "run `make docs`"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_file_can_be_read(file: SettingsFile, tmp_path: Path) -> None:
    copy = tmp_path / f"{file.name}.toml"
    shutil.copy(ROOT / "config" / f"{file.name}.example.toml", copy)
    assert load_settings(file.settings, copy) is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_an_example_shows_commented_out_can_be_switched_on(
    file: SettingsFile, tmp_path: Path
) -> None:
    """All keys with their example or default at once; contradictions are told, nothing else."""
    example = (ROOT / "config" / f"{file.name}.example.toml").read_text(encoding="utf-8")
    lines = [line.removeprefix("#") if _is_setting(line) else line for line in example.splitlines()]
    everything = tmp_path / f"{file.name}.toml"
    everything.write_text("\n".join(lines), encoding="utf-8")
    assert _problems(file, everything) <= {"a table that contradicts itself"}


def _problems(file: SettingsFile, path: Path) -> set[str]:
    try:
        load_settings(file.settings, path)
    except ConfigurationError as error:
        return {problem.found for problem in error.problems}
    return set()


def test_the_query_of_the_adapter_example_is_sound(tmp_path: Path) -> None:
    copy = tmp_path / "adapter.toml"
    shutil.copy(ROOT / "config" / "adapter.example.toml", copy)
    settings = load_settings(SqlSettings, copy, check=problems_of)
    assert [query.path for query in settings.query] == ["/towns"]


def _is_setting(line: str) -> bool:
    return line.startswith("#") and not line.startswith("# ")
