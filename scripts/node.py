"""Run an institution's node, and tell it what it offers to whom."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from catalog.declared.changes import difference
from catalog.declared.declaration import (
    ServicesDeclaration,
    clients_as_written,
    declaration_problems,
    hosted_clients,
)
from catalog.fields.mapping_file import MappingFile
from catalog.stored.store import ServiceStore
from config.mapping_files import MappingFiles
from config.settings import load_settings, located
from node.app import Node
from node.parts.database import open_database
from node.settings import NodeSettings
from scripts.arguments import add_action, add_config, add_example, print_example
from scripts.databases import read_dsn
from scripts.descriptions import add_services, check, describe
from scripts.mapped_services import judge_declaration
from scripts.monitoring import add_monitoring, tell_monitoring
from scripts.node_database import node_address
from scripts.service import log_to_stderr, run_service, run_until_stopped
from scripts.telling import tell_changes
from scripts.witnesses import add_witness, tell_node
from trust.changes import Change
from trust.configuration.confparts import MAX_ANCHOR_BYTES, parse_anchor
from trust.errors import ConfigurationError, ConfigurationProblem, MalformedMessage
from trust.globalconf import Anchor
from trust.secrets import read_secret

_EXAMPLES = {"node": NodeSettings, "services": ServicesDeclaration, "mapping": MappingFile}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    run_parser = add_action(actions, "run", "carry exchanges until stopped")
    apply = add_action(actions, "apply", "replace what is offered to whom by what a file says")
    apply.add_argument(
        "declaration", type=Path, metavar="SERVICES.TOML", help="everything that this node offers"
    )
    apply.add_argument("--dry-run", action="store_true", help="only say what would change")
    apply.add_argument(
        "--unchecked",
        action="store_true",
        help="take mapping files that no description can be had for",
    )
    for action in (run_parser, apply):
        add_config(action, "node.toml")
    add_services(actions)
    add_monitoring(actions)
    add_witness(actions, "node.toml")
    add_example(actions, _EXAMPLES)


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    if arguments.action == "example":
        return print_example(_EXAMPLES, arguments)
    log_to_stderr()
    if arguments.action == "services" and arguments.look == "describe":
        known = None if arguments.config is None else load_node_settings(arguments.config)
        return run_service(describe(arguments.url, arguments.code, known), stopped=130)
    settings = load_node_settings(arguments.config)
    if arguments.action == "services":
        return run_service(check(settings), stopped=130)
    if arguments.action == "witness":
        return run_service(tell_node(settings, arguments), stopped=130)
    if arguments.action == "monitoring":
        return run_service(tell_monitoring(settings, arguments), stopped=130)
    if arguments.action == "apply":
        return run_service(_apply(settings, arguments), stopped=130)
    return run_service(_serve(settings))


def load_node_settings(path: Path) -> NodeSettings:
    """Read `node.toml` and the environment; raises ConfigurationError."""
    return load_settings(NodeSettings, path, environment=os.environ, check=NodeSettings.problems)


def check_files(settings: NodeSettings) -> None:
    """Look into the files that the settings name; raises ConfigurationError for all at once."""
    problems: list[ConfigurationProblem] = []
    readers: list[tuple[Callable[[Path], object], Path | None]] = [
        (load_anchor, settings.configuration.anchor),
        (read_secret, settings.keys.password_file),
        (read_dsn, settings.database.dsn_file),
    ]
    for read, path in readers:
        try:
            if path is not None:
                read(path)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)


def load_anchor(path: Path) -> Anchor:
    """Read a configuration anchor; raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            return parse_anchor(file.read(MAX_ANCHOR_BYTES + 1))
    except OSError as error:
        found = error.strerror or "an unreadable file"
    except MalformedMessage as error:
        found = error.text
    problem = ConfigurationProblem(str(path), 0, found, "a configuration anchor")
    raise ConfigurationError([problem])


async def _serve(settings: NodeSettings) -> int:
    check_files(settings)
    password = read_secret(settings.keys.password_file)
    async with (
        node_address(settings) as dsn,
        Node(settings, dsn, password) as node,
    ):
        ports = ", ".join(f"{name} {listener.number}" for name, listener in node.ports.items())
        print(f"Node {settings.server.colons}: {ports}", file=sys.stderr, flush=True)
        await run_until_stopped()
    return 0


async def _apply(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    async with node_address(settings) as dsn:
        changes = await apply_services(
            settings,
            dsn,
            arguments.declaration,
            dry_run=arguments.dry_run,
            unchecked=arguments.unchecked,
        )
    tell_changes(changes, planned=arguments.dry_run)
    return 0


def _in_order(
    declaration: Path, problems: Iterable[ConfigurationProblem]
) -> list[ConfigurationProblem]:
    """Each once: the declaration's own first, of one file by line."""
    each = list(dict.fromkeys(problems))
    files = [str(declaration), *(problem.file for problem in each)]
    return sorted(each, key=lambda problem: (files.index(problem.file), problem.line))


async def apply_services(
    settings: NodeSettings,
    dsn: str,
    declaration: Path,
    *,
    dry_run: bool = False,
    unchecked: bool = False,
) -> tuple[Change, ...]:
    """Put what a declaration says in the place of all that a node hosts; says what changed.

    A node that runs on the database notices it within seconds. Raises ConfigurationError with
    every problem of the declaration, of its mapping files and of what the descriptions of services
    say against them, and StorageError.

    Args:
        unchecked: whether mapping files count that nothing could be compared with.
    """
    declared, files = load_settings(ServicesDeclaration, declaration), MappingFiles()
    problems = located(declaration, declaration_problems(declared, files.read)) + files.problems
    pool = await open_database(dsn, settings)
    try:
        written = clients_as_written(declared, files.read)
        judged = await judge_declaration(settings, pool, declared, written, declaration)
        for note in judged.notes:
            print(f"note: {note}", file=sys.stderr)
        problems += [*judged.problems, *(() if unchecked else judged.unchecked)]
        if problems:
            raise ConfigurationError(_in_order(declaration, problems))
        clients = hosted_clients(declared, files.read)
        store = ServiceStore(pool)
        if dry_run:
            return difference((await store.load_declared()).clients, clients)
        return await store.replace(clients)
    finally:
        await pool.close()
