"""`sacbe catalog vocabulary`: what counts as a fact, who needs it, who is the authority for it."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from catalog.central.harvest.settings import CentralSettings
from catalog.meaning.declaration import OnceDeclaration, declaration_problems, declared_vocabulary
from catalog.meaning.encoding import to_json
from catalog.meaning.gaps import vocabulary_gaps
from catalog.meaning.store import COMPONENT, MIGRATIONS, VocabularyStore
from catalog.meaning.vocabulary import Vocabulary
from config.settings import load_settings, located
from scripts.arguments import (
    Actions,
    account,
    add_action,
    add_example,
    add_registry_action,
    print_example,
    whole_number,
)
from scripts.cataloguing.vocabulary_text import vocabulary_lines
from scripts.databases import database_address
from scripts.service import log_to_stderr, run_service
from scripts.telling import tell_changes
from trust.database import PoolSettings, migrate, open_pool
from trust.registry.registry_app import RegistrySettings

_EXAMPLES = {"once": OnceDeclaration}
_GAPS_TOLD = 20
_VERSIONS = whole_number(1, 2_000_000_000)


def add_vocabulary(actions: Actions) -> None:
    """Declare the action `vocabulary` with its own actions."""
    meaning = "what counts as a fact, and who is the authority for it"
    parser = add_action(actions, "vocabulary", meaning)
    inner = parser.add_subparsers(dest="vocabulary_action", metavar="ACTION", required=True)
    add_example(inner, _EXAMPLES)
    apply = add_registry_action(inner, "apply", "take over what a declaration says")
    apply.add_argument("declaration", type=Path, metavar="ONCE.TOML", help="everything decided")
    apply.add_argument("--by", default="", metavar="NAME", help="who decided, for the history")
    plan = add_registry_action(
        inner, "plan", "only say what taking over a declaration would change"
    )
    plan.add_argument("declaration", type=Path, metavar="ONCE.TOML", help="everything decided")
    show = add_registry_action(inner, "show", "show what counts now, or counted")
    show.add_argument("--version", type=_VERSIONS, metavar="N", help="a past one, by its number")
    show.add_argument("--language", default="en", metavar="TAG", help="default %(default)s")
    show.add_argument("--json", action="store_true", help="for programs")
    history = add_registry_action(inner, "history", "show who changed what")
    history.add_argument(
        "--limit",
        type=whole_number(1, 1_000_000),
        default=20,
        metavar="N",
        help="only the latest (default %(default)d)",
    )


def tell_vocabulary(arguments: argparse.Namespace) -> int:
    """Do what the arguments of `vocabulary` say."""
    if arguments.vocabulary_action == "example":
        return print_example(_EXAMPLES, arguments)
    settings = load_settings(
        CentralSettings,
        arguments.config,
        environment=os.environ,
        check=CentralSettings.problems,
    )
    log_to_stderr()
    return run_service(_act(settings, arguments), stopped=130)


async def _act(settings: RegistrySettings, arguments: argparse.Namespace) -> int:
    action = arguments.vocabulary_action
    if action in ("apply", "plan"):
        declared = read_vocabulary(arguments.declaration)
        async with _opened(settings) as store:
            await _take_over(store, declared, arguments)
        return 0
    async with _opened(settings) as store:
        if action == "history":
            await _history(store, arguments.limit)
            return 0
        return await _show(store, arguments)


@asynccontextmanager
async def _opened(settings: RegistrySettings) -> AsyncIterator[VocabularyStore]:
    """The versions in the registry's database, with its tables brought up to date."""
    pool_settings = PoolSettings(
        max_connections=settings.database.connections,
        statement_cache=200 if settings.database.statement_cache else 0,
    )
    dsn_file = settings.database.dsn_file
    async with database_address(settings.data, "registry", dsn_file) as dsn:
        pool = await open_pool(dsn, "sacbe-catalog", pool_settings)
        try:
            await migrate(pool, COMPONENT, MIGRATIONS)
            yield VocabularyStore(pool)
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pool.close(), 10)


def read_vocabulary(path: Path) -> Vocabulary:
    """What a declaration stands for, with a warning for what it leaves open.

    Raises ConfigurationError with every problem and its line.
    """
    declaration = load_settings(OnceDeclaration, path, check=declaration_problems)
    vocabulary = declared_vocabulary(declaration)
    _warn(path, vocabulary, datetime.now(UTC).date())
    return vocabulary


def _warn(path: Path, vocabulary: Vocabulary, today: date) -> None:
    gaps = located(path, vocabulary_gaps(vocabulary, today))
    for gap in gaps[:_GAPS_TOLD]:
        print(f"Warning: {gap}", file=sys.stderr)
    if len(gaps) > _GAPS_TOLD:
        print(f"Warning: {len(gaps) - _GAPS_TOLD} more of the same kind", file=sys.stderr)


async def _take_over(
    store: VocabularyStore, declared: Vocabulary, arguments: argparse.Namespace
) -> None:
    planned = arguments.vocabulary_action == "plan"
    if planned:
        changes = await store.plan(declared)
    else:
        by = arguments.by or account()
        changes = await store.apply(declared, by=by, at=datetime.now(UTC))
    tell_changes(changes, planned=planned)


async def _show(store: VocabularyStore, arguments: argparse.Namespace) -> int:
    version = arguments.version
    shown = await (store.load() if version is None else store.at(version))
    if shown is None:
        print(f"There is no version {version} of the vocabulary", file=sys.stderr)
        return 1
    if arguments.json:
        sys.stdout.buffer.write(to_json(shown) + b"\n")
        sys.stdout.flush()
        return 0
    for line in vocabulary_lines(shown, arguments.language):
        print(line)
    return 0


async def _history(store: VocabularyStore, limit: int) -> None:
    for item in await store.history(limit):
        print(f"{item.number}  {item.at:%Y-%m-%d %H:%M:%S}Z  {item.by}  {item.digest.hex()}")
        for change in item.changes:
            print(f"    {change}")
