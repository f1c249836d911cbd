"""The vocabulary in a real database: whole or not at all, with every version as it was."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.meaning import store as store_module
from catalog.meaning.encoding import to_json
from catalog.meaning.store import COMPONENT, MIGRATIONS, VocabularyStore, load_newest
from catalog.meaning.vocabulary import NO_VOCABULARY
from tests.database_proxy import COMMIT, Cut, database_proxy
from tests.vocabularies import BASE, EXAMPLE
from trust.database import Pool, migrate, open_pool
from trust.errors import ConfigurationError, StorageError

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = datetime(2026, 3, 3, 9, tzinfo=UTC)
SMALLER = replace(EXAMPLE, procedures=())


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "test")
    await migrate(opened, COMPONENT, MIGRATIONS)
    yield opened
    await opened.close()


async def test_every_version_stays_as_it_was(pool: Pool) -> None:
    store = VocabularyStore(pool)
    assert await store.load() == NO_VOCABULARY
    assert await store.at(1) is None
    planned = await store.plan(EXAMPLE)
    assert await store.history() == []

    first = await store.apply(EXAMPLE, by="decree 1", at=AT)
    assert planned == first
    second = await store.apply(SMALLER, by="decree 2", at=LATER)
    assert f"- procedure {BASE}benefit: purpose {BASE}deciding" in map(str, second)

    assert await store.load() == SMALLER
    async with pool.acquire() as connection:
        assert await load_newest(connection) == SMALLER
    assert [await store.at(number) for number in (1, 2, 3)] == [EXAMPLE, SMALLER, None]
    newest, oldest = await store.history()
    assert (newest.number, newest.by, newest.at) == (2, "decree 2", LATER)
    assert newest.changes == tuple(map(str, second))
    assert oldest.digest == hashlib.sha256(to_json(EXAMPLE)).digest()
    assert await store.history(limit=1) == [newest]


async def test_without_a_change_there_is_no_version(pool: Pool) -> None:
    store = VocabularyStore(pool)
    await store.apply(EXAMPLE, by="decree 1", at=AT)
    turned = replace(EXAMPLE, concepts=EXAMPLE.concepts[::-1])
    assert await store.apply(turned, by="decree 2", at=LATER) == ()
    assert [item.by for item in await store.history()] == ["decree 1"]


async def test_what_contradicts_itself_is_not_kept(pool: Pool) -> None:
    store = VocabularyStore(pool)
    await store.apply(EXAMPLE, by="decree 1", at=AT)
    broken = replace(EXAMPLE, concepts=EXAMPLE.concepts[1:])
    for attempt in (store.plan(broken), store.apply(broken, by="x", at=LATER)):
        with pytest.raises(ConfigurationError, match=r"evidence_types\.0\.concepts\.0"):
            await attempt
    assert await store.load() == EXAMPLE


async def test_what_nobody_could_read_again_is_not_kept(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LARGEST_JSON", 100)
    with pytest.raises(ConfigurationError, match="bytes as JSON"):
        await VocabularyStore(pool).apply(EXAMPLE, by="x", at=AT)


async def test_of_very_many_changes_the_first_are_told(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_TOLD", 3)
    store = VocabularyStore(pool)
    changes = await store.apply(EXAMPLE, by="x", at=AT)
    (item,) = await store.history()
    assert item.changes == (*map(str, changes[:3]), f"… and {len(changes) - 3} more")


async def test_two_at_once_are_taken_one_after_the_other(pool: Pool) -> None:
    store = VocabularyStore(pool)
    await asyncio.gather(
        *(store.apply(each, by="x", at=AT) for each in (EXAMPLE, SMALLER, NO_VOCABULARY))
    )
    numbers = [item.number for item in await store.history()]
    assert numbers == list(range(len(numbers), 0, -1))


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_an_apply_that_failed_is_repeated_whatever_became_of_it(
    pool: Pool, database_dsn: str, cut: Cut
) -> None:
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        async with database_proxy(database_dsn, Path(folder)) as (address, proxy):
            broken = await open_pool(address, "test")
            try:
                proxy.cut, proxy.commit_mark = cut, COMMIT
                with pytest.raises(StorageError, match=r"can't be used: .*; apply it again"):
                    await VocabularyStore(broken).apply(EXAMPLE, by="decree 1", at=AT)
                assert proxy.cuts == 1
            finally:
                broken.terminate()
    store = VocabularyStore(pool)
    stored = EXAMPLE if cut is Cut.AFTER_COMMIT else NO_VOCABULARY
    assert await store.load() == stored
    await store.apply(EXAMPLE, by="decree 1, again", at=LATER)
    assert await store.load() == EXAMPLE
    by = "decree 1" if cut is Cut.AFTER_COMMIT else "decree 1, again"
    assert [(item.number, item.by) for item in await store.history()] == [(1, by)]


async def test_a_database_that_is_away_is_told(pool: Pool) -> None:
    store = VocabularyStore(pool)
    await pool.execute("ALTER TABLE vocabulary_version RENAME TO elsewhere")
    for attempt in (
        store.load(), store.at(1), store.history(), store.plan(EXAMPLE),
        store.apply(EXAMPLE, by="x", at=AT),
    ):  # fmt: skip
        with pytest.raises(StorageError, match="The vocabulary's records can't be used"):
            await attempt


async def test_a_version_that_can_not_be_read_is_named(pool: Pool) -> None:
    store = VocabularyStore(pool)
    await store.apply(EXAMPLE, by="x", at=AT)
    await pool.execute("UPDATE vocabulary_version SET content = $1", b'{"facts": []}')
    for attempt in (store.load(), store.at(1)):
        with pytest.raises(
            StorageError, match=r"Version 1 of the vocabulary can't be read: .*facts"
        ):
            await attempt
