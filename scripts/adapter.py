"""Serve a database, a service or files as an information system."""

import argparse
import json
import os
import sys
import tomllib
from pathlib import Path

from adapters.faces.samples import rest_sample, soap_sample
from adapters.faces.wsdl import SoapService
from adapters.kinds import DEFAULT, MODULES, Kind, load_kind
from adapters.operations import Operation
from adapters.settings import AdapterSettings
from adapters.shell import build_app, serving
from config.describe import describe_settings
from config.settings import load_settings
from scripts.arguments import add_action, add_config
from scripts.service import log_to_stderr, run_service, run_until_stopped
from scripts.wsdl import add_wsdl_actions, ask_for_wsdl, fetch_wsdl
from trust.errors import ConfigurationError, ConfigurationProblem, StorageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_config(add_action(actions, "run", "serve what a file declares"), "adapter.toml")
    check = add_action(
        actions, "check", "compare a file with the source, show a call of each service"
    )
    add_config(check, "adapter.toml")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    example = add_action(actions, "example", "print a commented example file")
    example.add_argument(
        "kind", nargs="?", choices=tuple(MODULES), default=DEFAULT, help="default: %(default)s"
    )
    add_wsdl_actions(actions)


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "example":
        print(describe_settings(load_kind(arguments.kind).settings), end="")
        return 0
    if arguments.action == "fetch-wsdl":
        return fetch_wsdl(arguments)
    if arguments.action == "get-wsdl":
        return ask_for_wsdl(arguments)
    kind, settings = read_declaration(arguments.config)
    log_to_stderr()
    if arguments.action == "check":
        return run_service(_check(kind, settings, arguments.json))
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


async def _check(kind: Kind, settings: AdapterSettings, as_json: bool) -> int:
    """Tell every problem, or one call of each service; 1 when there are problems."""
    problems, samples = await _examine(kind, settings)
    if as_json:
        print(json.dumps({"problems": problems, "services": samples}, indent=2))
    else:
        for problem in problems:
            print(problem, file=sys.stderr)
        for sample in samples:
            print("\n".join((f"# {sample['name']}", *list(sample.values())[1:])))
    return 1 if problems else 0


async def _examine(kind: Kind, settings: AdapterSettings) -> tuple[list[str], list[dict[str, str]]]:
    try:
        source = await (kind.beside or kind.open)(settings)
    except StorageError as error:
        return str(error).splitlines(), []
    try:
        problems = [*await source.check()]
        return problems, [_sample(one, settings) for one in source.operations]
    finally:
        await source.close()


def _sample(operation: Operation, settings: AdapterSettings) -> dict[str, str]:
    sample = {"name": operation.name, "rest": rest_sample(operation)}
    if settings.soap.enabled:
        service = SoapService(settings.title, settings.soap.namespace, settings.soap.version)
        sample["soap"] = soap_sample(operation, service)
    return sample
