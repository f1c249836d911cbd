"""Serve a database, a service or files as an information system."""

import argparse
import os
import sys
import tomllib
from pathlib import Path

from adapters.kinds import DEFAULT, MODULES, Kind, load_kind
from adapters.settings import AdapterSettings
from adapters.shell import build_app, serving
from config.describe import describe_settings
from config.settings import load_settings
from scripts.arguments import add_action, add_config
from scripts.service import log_to_stderr, run_service, run_until_stopped
from trust.errors import ConfigurationError, ConfigurationProblem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_config(add_action(actions, "run", "serve what a file declares"), "adapter.toml")
    example = add_action(actions, "example", "print a commented example file")
    example.add_argument(
        "kind", nargs="?", choices=tuple(MODULES), default=DEFAULT, help="default: %(default)s"
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "example":
        print(describe_settings(load_kind(arguments.kind).settings), end="")
        return 0
    kind, settings = read_declaration(arguments.config)
    log_to_stderr()
    return run_service(_serve(kind, settings))


def read_declaration(path: Path) -> tuple[Kind, AdapterSettings]:
    """The kind that an adapter.toml names, and its settings; raises ConfigurationError."""
    kind = load_kind(_kind_name(path))
    settings = load_settings(
        kind.settings, path, environment=os.environ, check=lambda read: kind.problems(read)
    )
    return kind, settings


def _kind_name(path: Path) -> str:
    """What `kind` says; of a file that can't be read, the reader of all settings tells more."""
    try:
        named = tomllib.loads(path.read_text(encoding="utf-8")).get("kind", DEFAULT)
    except (OSError, ValueError, RecursionError):
        return DEFAULT
    if not isinstance(named, str) or named not in MODULES:
        expected = "one of " + ", ".join(f'"{name}"' for name in MODULES)
        raise ConfigurationError(
            [ConfigurationProblem(str(path), 0, f"kind = {named!r:.60}", expected)]
        )
    return named


async def _serve(kind: Kind, settings: AdapterSettings) -> int:
    source = await kind.open(settings)
    try:
        async with serving(settings, build_app(settings, source)) as address:
            print(f"{settings.title}: {address}", file=sys.stderr)
            await run_until_stopped()
    finally:
        await source.close()
    return 0
