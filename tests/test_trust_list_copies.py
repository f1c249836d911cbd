"""The history of trust lists in the archive store: whole, in order, and tried again."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from node.archive.store import StoreAddress, open_store
from node.archive.trust_list_copies import TrustListCopies
from scripts.auditing.trust_source import TrustSource, fetch_history
from tests.log_leaves import MemoryStore
from tests.pki import NOON, Pki
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.confparts import SHARED_PARAMETERS_ID
from trust.configuration.confpublish import build_shared_parameters
from trust.configuration.confset import ConfigurationSet, Part
from trust.errors import StorageError

HOUR = timedelta(hours=1)


def _set(seconds: int) -> ConfigurationSet:
    shared = build_shared_parameters(Pki(freshness_seconds=seconds).conf().own.shared)
    part = Part(SHARED_PARAMETERS_ID, "TEST", "shared-params.xml", shared, 6, None)
    return ConfigurationSet("TEST", (part,))


@pytest.fixture
def keeper(tmp_path: Path) -> TrustListKeeper:
    kept = TrustListKeeper(tmp_path / "history")
    kept.keep(_set(60), NOON)
    kept.keep(_set(120), NOON + HOUR)
    return kept


async def test_each_file_is_copied_once_and_parts_before_versions(keeper: TrustListKeeper) -> None:
    store = MemoryStore()
    copies = TrustListCopies(keeper, store, asyncio.Event())
    assert await copies.copy() == 4
    assert [name.split("/")[1] for name in store.files] == ["parts"] * 2 + ["versions"] * 2
    assert await copies.copy() == 0
    again = TrustListCopies(keeper, store, asyncio.Event())
    assert await again.copy() == 0
    keeper.keep(_set(180), NOON + 2 * HOUR)
    assert await copies.copy() == 2


async def test_a_store_that_fails_is_tried_again_when_a_list_comes(keeper: TrustListKeeper) -> None:
    store = MemoryStore()
    store.broken = True
    changed = asyncio.Event()
    copies = TrustListCopies(keeper, store, changed)
    with pytest.raises(StorageError):
        await copies.copy()
    task = asyncio.create_task(copies.run())
    try:
        async with asyncio.timeout(5):
            while copies.problem is None:  # noqa: ASYNC110 - the other task's
                await asyncio.sleep(0.01)
            store.broken = False
            changed.set()
            while len(store.files) < 4 or copies.problem is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_an_auditor_reads_the_history_out_of_the_store(
    keeper: TrustListKeeper, tmp_path: Path
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path / 'store'}"))
    await TrustListCopies(keeper, store, asyncio.Event()).copy()
    await store.put("trust-lists/versions/evil/parts", b"x")
    await store.put("trust-lists/parts/other", b"x")
    assert await fetch_history(store, tmp_path / "fetched") == 4
    lists = TrustSource(tmp_path / "fetched").open()
    confs = [lists.at(NOON), lists.at(NOON + HOUR)]
    assert [conf and conf.ocsp_freshness_seconds for conf in confs] == [60, 120]
