"""The vocabulary in the registry's database: each version whole, with who decided it and when."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

from catalog.meaning.changes import difference
from catalog.meaning.encoding import from_json, to_json
from catalog.meaning.limits import LARGEST_JSON
from catalog.meaning.rules import vocabulary_problems
from catalog.meaning.vocabulary import NO_VOCABULARY, Vocabulary
from trust.changes import Change
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe, storage_errors
from trust.errors import MalformedMessage, StorageError
from trust.registry.record_rules import problems_error
from trust.settings import SettingProblem

COMPONENT = "catalog-central"  # of the migrations, which lie beside the central catalog
MIGRATIONS = Path(__file__).parents[1] / "central" / "migrations"
MOST_TOLD = 10_000  # changes that the history of a version keeps in words

_NEWEST = "SELECT number, content FROM vocabulary_version ORDER BY number DESC LIMIT 1"
_UNUSABLE = "The vocabulary's records can't be used"


@dataclass(frozen=True, slots=True)
class VocabularyVersion:
    """One line of the vocabulary's history.

    Attributes:
        digest: SHA-256 of the version's JSON form.
    """

    number: int
    at: datetime
    by: str
    digest: bytes
    changes: tuple[str, ...]


class VocabularyStore:
    """All versions of the vocabulary; the newest counts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> Vocabulary:
        """What counts now; nothing at all before the first version. Raises StorageError."""
        with storage_errors(_UNUSABLE):
            row = await self._pool.fetchrow(_NEWEST)
        return await _read_newest(row)

    async def at(self, version: int) -> Vocabulary | None:
        """A version as it was, None when there is no such one; raises StorageError."""
        with storage_errors(_UNUSABLE):
            content = await self._pool.fetchval(
                "SELECT content FROM vocabulary_version WHERE number = $1", version
            )
        return None if content is None else await asyncio.to_thread(_read, version, content)

    async def plan(self, vocabulary: Vocabulary) -> tuple[Change, ...]:
        """What applying this one would change; raises as `apply` does."""
        _checked(vocabulary)
        return difference(await self.load(), vocabulary)

    async def apply(self, vocabulary: Vocabulary, *, by: str, at: datetime) -> tuple[Change, ...]:
        """Put this vocabulary in the place of the one before, and say what changed.

        Without a change there is no new version. Raises ConfigurationError with every problem when
        it contradicts itself, and StorageError when the database does not take it or does not say
        that it has; to repeat it is then always right.
        """
        content = _checked(vocabulary)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                # One after the other; readers are not kept waiting.
                await connection.execute("LOCK TABLE vocabulary_version IN EXCLUSIVE MODE")
                changes = difference(await load_newest(connection), vocabulary)
                if changes:
                    await _remember(connection, content, changes, by, at)
        except DATABASE_ERRORS as error:
            raise StorageError(f"{_unusable(error)}; apply it again") from error
        return changes

    async def history(self, limit: int = 100) -> Sequence[VocabularyVersion]:
        """The latest versions, newest first; raises StorageError."""
        with storage_errors(_UNUSABLE):
            rows = await self._pool.fetch(
                "SELECT number, applied_at, applied_by, digest, changes FROM vocabulary_version "
                "ORDER BY number DESC LIMIT $1",
                limit,
            )
        return [
            VocabularyVersion(
                row["number"],
                row["applied_at"],
                row["applied_by"],
                row["digest"],
                tuple(row["changes"]),
            )
            for row in rows
        ]


async def load_newest(connection: PooledConnection) -> Vocabulary:
    """What counts now, in a transaction of the caller's; raises what the database raises."""
    return await _read_newest(await connection.fetchrow(_NEWEST))


async def _read_newest(row: asyncpg.Record | None) -> Vocabulary:
    """Beside the event loop, since a vocabulary may have millions of bytes."""
    if row is None:
        return NO_VOCABULARY
    return await asyncio.to_thread(_read, row["number"], row["content"])


def _read(number: int, content: bytes) -> Vocabulary:
    try:
        return from_json(content)
    except MalformedMessage as error:
        raise StorageError(f"Version {number} of the vocabulary can't be read: {error}") from error


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The vocabulary's records can't be used: {describe(error)}")


def _checked(vocabulary: Vocabulary) -> bytes:
    """The JSON form of a sound vocabulary; raises ConfigurationError."""
    problems = list(vocabulary_problems(vocabulary))
    if problems:
        raise problems_error(problems)
    content = to_json(vocabulary)
    if len(content) > LARGEST_JSON:
        found = f"{len(content)} bytes as JSON"
        raise problems_error([SettingProblem((), found, f"at most {LARGEST_JSON}")])
    return content


async def _remember(
    connection: PooledConnection,
    content: bytes,
    changes: Sequence[Change],
    by: str,
    at: datetime,
) -> None:
    told = [str(change) for change in changes[:MOST_TOLD]]
    if len(changes) > MOST_TOLD:
        told.append(f"… and {len(changes) - MOST_TOLD} more")
    await connection.execute(
        "INSERT INTO vocabulary_version (number, applied_at, applied_by, changes, content) "
        "SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4 FROM vocabulary_version",
        at,
        by,
        told,
        content,
    )
