"""Memory of both nodes: over many exchanges, and while large bodies pass.

Quick in the normal suite; with SACBE_SOAK=1 (`make soak`) what issue 2 promises, on a disk: 20 000
exchanges, and a body of 1 GiB in either direction.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.measuring.usage import resident_mb
from tests.database_fixtures import quick_folder
from tests.real_nodes import NODES, RealNodes, fingerprint_of, real_nodes, skip_without_postgres

SOAK = "SACBE_SOAK" in os.environ
CALLERS = 10
EXCHANGES = 20_000 if SOAK else 2_000
BODY = 1024 if SOAK else 128  # MiB
RESIDENT_LIMIT = 150.0  # MB, of each node
GROWTH_LIMIT = 8.0  # MB, once a node has been at work for a while
BODY_LIMIT = 32.0  # MB that a large body adds to a node at the most; 64 were promised
AT_ONCE = 24
SMALLER_BODY = 2  # MiB; together less than may wait for the database
SMALL = 256.0  # MB, what design.md calls small
CLEAR_PEAK = "5"  # proc(5): clear_refs

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.database,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(3600 if SOAK else 300),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here"),
]
_log = logging.getLogger(__name__)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealNodes]:
    skip_without_postgres()
    folder = tmp_path_factory.mktemp("endurance") if SOAK else quick_folder()
    try:
        async with real_nodes(folder / "instance") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_the_memory_of_a_node_does_not_grow_with_the_exchanges(nodes: RealNodes) -> None:
    await nodes.call(EXCHANGES // 4, CALLERS)  # pools, caches and the allocator's arenas are full
    before = resident(nodes)
    made = await nodes.call(EXCHANGES * 3 // 4, CALLERS)
    after = resident(nodes)
    _log.info("%d exchanges: from %s to %s MB resident", EXCHANGES, before, after)
    assert (len(made.answered), made.failed.total()) == (EXCHANGES * 3 // 4, 0)
    for code, size in after.items():
        assert 0 < size < RESIDENT_LIMIT
        assert size - before[code] < GROWTH_LIMIT


@pytest.mark.parametrize("way", [RealNodes.upload, RealNodes.download], ids=["request", "answer"])
async def test_the_memory_of_a_node_does_not_grow_with_the_body(
    nodes: RealNodes, way: Callable[[RealNodes, int], Awaitable[str]]
) -> None:
    await nodes.call(10, CALLERS)
    before = resident(nodes)
    forget_peaks(nodes)
    assert await way(nodes, BODY) == fingerprint_of(BODY)
    peak = {one.server.server_code: peak_mb(nodes.pid(one)) for one in NODES}
    _log.info("%s of %d MiB: from %s to a peak of %s MB", way.__name__, BODY, before, peak)
    for code, size in peak.items():
        assert size >= before[code] - 1, "no peak was measured"
        assert size - before[code] < BODY_LIMIT


async def test_many_bodies_at_a_time_do_not_stay_in_memory(nodes: RealNodes) -> None:
    """Each is small enough to be kept in its record, so they wait for the database in memory."""
    before = resident(nodes)
    for way in (nodes.upload, nodes.download):
        said = await asyncio.gather(*(way(SMALLER_BODY) for _ in range(AT_ONCE)))
        assert set(said) == {fingerprint_of(SMALLER_BODY)}
    after = resident(nodes)
    _log.info("%d bodies at a time: from %s to %s MB resident", AT_ONCE, before, after)
    assert all(0 < size < SMALL for size in after.values())


def forget_peaks(nodes: RealNodes) -> None:
    for one in NODES:
        Path(f"/proc/{nodes.pid(one)}/clear_refs").write_text(CLEAR_PEAK)


def resident(nodes: RealNodes) -> dict[str, float]:
    """Of each node now, in MB."""
    return {one.server.server_code: round(resident_mb(nodes.pid(one)), 1) for one in NODES}


def peak_mb(pid: int) -> float:
    """The most that a process had in RAM since CLEAR_PEAK, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return round(int(size) * 1024 / 1e6, 1)
