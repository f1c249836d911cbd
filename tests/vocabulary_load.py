"""How long a vocabulary of a country takes: `python -m tests.vocabulary_load`.

Ten thousand concepts, fifty thousand authorities for three of them each, a template with four
hundred instances: read from TOML, judged, written and read as JSON, applied, applied with a change.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from catalog.meaning.declaration import OnceDeclaration, declared_vocabulary
from catalog.meaning.encoding import from_json, to_json
from catalog.meaning.rules import vocabulary_problems
from catalog.meaning.store import COMPONENT, MIGRATIONS, VocabularyStore
from catalog.meaning.vocabulary import Vocabulary
from config.settings import parse_settings
from scripts.postgres import PostgresServer
from tests.database_fixtures import quick_folder
from trust.database import migrate, open_pool

CONCEPTS, AUTHORITIES, INSTANCES = 10_000, 50_000, 400


def declaration() -> str:
    lines = ['prefixes = { f = "https://facts.example.org/" }']
    for number in range(CONCEPTS):
        lines.append(f'[[concepts]]\nuri = "f:{number}"\nlabels = {{ en = "Fact {number}" }}')
    for number in range(AUTHORITIES):
        facts = ", ".join(f'"f:{(number + step) % CONCEPTS}"' for step in range(3))
        lines.append(
            f'[[authorities]]\nconcepts = [{facts}]\nterritory = "{number}"\n'
            f'service = "EX:MUN:{number}:registers:register"'
        )
    lines.append('[[templates]]\nuri = "f:template"\nlabels = { en = "Register" }')
    lines.append('concepts = ["f:1"]\n[templates.by_territory]')
    lines += [f't{number} = "EX:MUN:{number}:a:b"' for number in range(INSTANCES)]
    return "\n".join(lines) + "\n"


async def main() -> int:
    text = declaration()
    with _timed(f"read {len(text) >> 10} KiB of TOML"):
        declared = parse_settings(OnceDeclaration, text, file="once.toml", folder=Path())
    vocabulary = declared_vocabulary(declared)
    with _timed("judge it"):
        problems = list(vocabulary_problems(vocabulary))
    with _timed("write it as JSON"):
        raw = to_json(vocabulary)
    with _timed(f"read {len(raw) >> 10} KiB of JSON"):
        same = from_json(raw) == vocabulary
    folder = quick_folder()
    try:
        async with PostgresServer(folder) as server:
            await _keep(await server.create_database("load"), vocabulary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if same and not problems else 1


async def _keep(dsn: str, vocabulary: Vocabulary) -> None:
    pool = await open_pool(dsn, "load")
    await migrate(pool, COMPONENT, MIGRATIONS)
    store = VocabularyStore(pool)
    changed = replace(vocabulary, authorities=vocabulary.authorities[1:])
    for name, each in (("apply it", vocabulary), ("apply a change", changed)):
        with _timed(name):
            await store.apply(each, by="load", at=datetime.now(UTC))
    with _timed("load it"):
        await store.load()
    size = await pool.fetchval("SELECT pg_total_relation_size('vocabulary_version')")
    sys.stdout.write(f"two versions take {size >> 10} KiB\n")
    await pool.close()


@contextmanager
def _timed(name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    sys.stdout.write(f"{name}: {time.perf_counter() - begun:.2f} s\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
