"""The command line as a whole: help, exit codes, sentences instead of tracebacks."""

import argparse
import importlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.sql.settings import SqlSettings
from catalog.central.harvest.settings import CentralSettings
from config.describe import describe_settings
from scripts.cli import COMMANDS, main
from trust.registry.declaration import RegistryDeclaration


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its actions, and of theirs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


@pytest.fixture(params=COMMANDS)
def declared(request: pytest.FixtureRequest) -> list[argparse.ArgumentParser]:
    """All parsers of one command."""
    parser = argparse.ArgumentParser(prog=request.param, description="x")
    importlib.import_module(f"scripts.{request.param}").add_arguments(parser)
    return list(parsers(parser))


def test_every_action_and_option_says_what_it_is_for(
    declared: list[argparse.ArgumentParser],
) -> None:
    silent = [
        (parser.prog, action.dest)
        for parser in declared
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert silent == []
    assert [parser.prog for parser in declared if not parser.description] == []
    assert all(parser.format_help() for parser in declared)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_no_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "usage: sacbe" in capsys.readouterr().out


def test_who_interrupts_before_anything_began_sees_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["once", "--help"]) == 130


def test_the_version_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("sacbe 0.")


@pytest.mark.parametrize("words", [[], ["nothing"], ["node"], ["node", "run"]])
def test_bad_usage_gives_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: sacbe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["registry", "example"], CentralSettings),
        (["registry", "example", "instance"], RegistryDeclaration),
        (["adapter", "example"], SqlSettings),
    ],
)
def test_an_example_can_be_printed(
    words: list[str], settings: type, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == describe_settings(settings)


def test_a_port_that_is_taken_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["testca", "run", "--dir", str(tmp_path / "ca"), "--port", port]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sacbe testca: Address already in use")
    assert port in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["testca", "run", "--dir", "x", "--port", "65536"], "'65536' is no whole number from 0"),
        (["testca", "run", "--dir", "x", "--port", "http"], "'http' is no whole number from 0"),
        (["registry", "history", "--config", "x", "--limit", "0"], "'0' is no whole number from 1"),
        (["bench", "--seconds", "long"], "'long' is no number of seconds"),
        (["verify", "x", "--conf", "y", "--at", "noon"], "'noon' is no time"),
    ],
)
def test_a_bad_value_is_repeated_with_what_is_wanted(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_can_not_be_made_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["bench", "--dir", str(file), "--seconds", "1"]) == 2
    assert "Not a directory" in capsys.readouterr().err
