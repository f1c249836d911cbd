"""Disks without room under running nodes: faults, readiness turned off, nothing without proof.

The disks are small and real; where none can be made, the tests are skipped.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.ecosystem.institutions import CIVIL, MUNI
from tests.database_fixtures import quick_folder
from tests.log_counts import check_logs, files_in
from tests.real_nodes import PATIENCE, RealNodes, real_nodes, skip_without_postgres

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.database,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.asyncio(loop_scope="module"),
]
LOST = "logging_failed.database_error"
BODY = 3  # MiB, more than the record takes
SETTINGS = """
[log]
body_limit = "1 MiB"
body_beyond = "folder"
body_folder = "{folder}"
"""


@contextmanager
def disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A small disk of its own."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be made here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@dataclass(frozen=True, slots=True)
class Stage:
    nodes: RealNodes
    database: Path  # the disk of both databases
    bodies: Path  # the disk of the provider's large bodies


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    skip_without_postgres()
    folder = quick_folder()
    try:
        with disk(folder / "database", 256) as database, disk(folder / "bodies", 6) as bodies:
            async with real_nodes(folder / "instance", database) as nodes:
                await nodes.settle(CIVIL, SETTINGS.format(folder=bodies))
                yield Stage(nodes, database, bodies)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path) -> Path:
    """Leave not a page free; the file that has to go for there to be room."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


async def until(happened: Callable[[], Awaitable[object]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


async def test_a_full_disk_of_the_database_stops_exchanges_until_there_is_room(
    stage: Stage,
) -> None:
    nodes = stage.nodes
    async with nodes.calling(4) as calls:
        await calls.until(10)
        filler = fill(stage.database)

        async def refused() -> bool:
            return f"server.clientproxy.{LOST}" in calls.failed

        await until(refused, "no exchange was refused")
    assert "DiskFull" in (await nodes.reasons(MUNI))["log"]
    for _ in range(25):  # longer than the log waits between two trials; nobody calls meanwhile
        assert "log" in await nodes.reasons(MUNI), "ready on a full disk"
        await asyncio.sleep(0.1)
    answered = len(calls.answered)
    refusals = await nodes.call(8, 4)
    assert refusals.answered == {}
    assert set(refusals.failed) == {f"server.clientproxy.{LOST}"}
    filler.unlink()
    await nodes.all_ready()
    again = await nodes.call(40, 4)
    assert (len(again.answered), again.failed.total()) == (40, 0)
    calls.answered |= again.answered
    assert len(calls.answered) == answered + 40
    await check_logs(nodes, calls)


async def test_a_full_disk_for_large_bodies_refuses_them_until_there_is_room(stage: Stage) -> None:
    nodes = stage.nodes
    asked = nodes.system.asked.total()
    filler = fill(stage.bodies)
    said = await nodes.upload(BODY)
    assert "The folder for large bodies takes no files: No space left on device" in said
    assert nodes.system.asked.total() == asked, "the system was called without proof"
    assert files_in(stage.bodies) == [filler], "a piece was left"
    assert "log" in await nodes.reasons(CIVIL)
    filler.unlink()
    await nodes.all_ready()
    assert (await nodes.upload(BODY)).startswith(f"{BODY << 20} ")
    (kept,) = files_in(stage.bodies)
    assert kept.stat().st_size == BODY << 20
