"""`kill -9` under load: what was answered 200 is in both logs, and nothing needs a person after.

Real processes and a durable database. Quick in the normal suite; with SACBE_SOAK=1 (`make soak`) on
a disk, with many more kills and two at once.
"""

import asyncio
import logging
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.ecosystem.institutions import CIVIL, MUNI
from tests.database_fixtures import quick_folder
from tests.log_counts import (
    check_body_files,
    check_containers,
    check_events,
    check_logs,
)
from tests.real_nodes import NODES, RealNodes, real_nodes, skip_without_postgres

_log = logging.getLogger(__name__)
SOAK = "SACBE_SOAK" in os.environ
CALLERS = 12
ROUNDS = 10 if SOAK else 1
SAMPLE = 100 if SOAK else 10  # exchanges of which every container is verified

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.database,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.timeout(3600 if SOAK else 300),
]


@pytest_asyncio.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[RealNodes]:
    skip_without_postgres()
    folder = tmp_path if SOAK else quick_folder()
    try:
        async with real_nodes(folder / "instance") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_every_answered_exchange_is_complete_in_both_logs_whoever_is_killed(
    nodes: RealNodes,
) -> None:
    chance = random.Random()
    async with nodes.calling(CALLERS) as calls:
        for _ in range(ROUNDS):
            for kill in chance.sample(victims(nodes), k=len(victims(nodes))):
                await calls.until(30)
                await asyncio.sleep(chance.uniform(0, 0.5))
                await kill()
                await calls.until(30)
    _log.info("%d answered, not answered: %s", len(calls.answered), dict(calls.failed))
    assert calls.failed, "no kill met a call"
    await nodes.all_ready()
    await check_logs(nodes, calls)
    check_events(nodes)
    await check_containers(nodes, chance.sample(sorted(calls.answered), SAMPLE))


async def test_a_body_in_a_file_is_there_with_its_record_whoever_is_killed(
    nodes: RealNodes, tmp_path: Path
) -> None:
    for one in NODES:
        await nodes.settle(one, BODIES_IN_FILES.format(folder=tmp_path / one.key))
    async with nodes.calling(CALLERS) as calls:
        for _ in range(ROUNDS):
            for kill in (nodes.kill_database, lambda: nodes.kill(MUNI), lambda: nodes.kill(CIVIL)):
                await calls.until(30)
                await kill()
                await calls.until(30)
    await nodes.all_ready()
    await check_logs(nodes, calls)
    for one in NODES:
        kept = await check_body_files(nodes, one, tmp_path / one.key)
        _log.info("%s: %d files of records, %d without", one.name, *kept)
        assert kept[0] >= 2 * len(calls.answered)


BODIES_IN_FILES = """
[log]
body_limit = "0 B"
body_beyond = "folder"
body_folder = "{folder}"
"""


def victims(nodes: RealNodes) -> list[Callable[[], Awaitable[object]]]:
    """What is killed in each round, in any order."""

    async def both_nodes() -> None:
        await asyncio.gather(*(nodes.kill(one) for one in NODES))

    async def provider_and_database() -> None:
        await asyncio.gather(nodes.kill(CIVIL), nodes.kill_database())

    kills: list[Callable[[], Awaitable[object]]] = [
        lambda: nodes.kill(MUNI),
        lambda: nodes.kill(CIVIL),
        nodes.kill_database,
        nodes.kill_database_worker,
    ]
    return [*kills, both_nodes, provider_and_database] if SOAK else kills * 2
