"""Stamping and archiving of real nodes that lose the time-stamping service, PostgreSQL, themselves.

Nothing is lost and nothing is doubled: by SQL counts and by `sacbe audit`. Quick in the normal
suite; with SACBE_SOAK=1 (`make soak`) on a disk, with many more kills.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from scripts.ecosystem.evidence import Ran, sacbe
from scripts.ecosystem.institutions import Institution
from tests.database_fixtures import quick_folder
from tests.log_counts import check_events, check_logs
from tests.real_nodes import (
    NODES,
    PATIENCE,
    Calls,
    RealNodes,
    real_nodes,
    skip_without_postgres,
)

_log = logging.getLogger(__name__)
SOAK = "SACBE_SOAK" in os.environ
CALLERS = 8 if SOAK else 2  # every record is judged in the end
ROUNDS = 8  # of a soak

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.database,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.timeout(3600 if SOAK else 300),
]
TIMESTAMPING = """
[timestamping]
urls = ["{url}/{key}"]
interval = "1s"
retry_delay = "1s"
acceptable_failure_period = "{grace}s"

"""
GRACE = 5  # seconds
NO_GRACE = 3600
REFUSED = "logging_failed.timestamping_failed"
_STAMPED_ONCE = """
SELECT (SELECT count(*) FROM message_record) AS records,
       (SELECT count(DISTINCT number) FROM message_record) AS numbers,
       (SELECT count(*) FROM evidence_queue) AS queued,
       (SELECT count(*) FROM log_leaf) AS leaves,
       (SELECT count(*) FROM log_leaf JOIN message_record USING (number, time)) AS known,
       (SELECT coalesce(max(leaf) + 1, 0) FROM log_leaf) AS past,
       (SELECT coalesce(sum(leaves), 0) FROM log_stamp) AS stamped,
       (SELECT count(*) FROM leaf_stamp WHERE stamp IS NOT NULL) AS with_stamp,
       leaves AS said, stamped AS said_stamped
FROM log_size
"""
_ARCHIVED_ONCE = """
SELECT (SELECT count(*) FROM log_leaf) AS leaves,
       (SELECT count(*) FROM archive_entry) AS entries,
       (SELECT count(DISTINCT leaf) FROM archive_entry) AS distinct_entries,
       (SELECT coalesce(sum(containers), 0) FROM archive_file WHERE stored IS NOT NULL) AS stored,
       (SELECT count(*) FROM archive_file WHERE stored IS NULL) AS in_work,
       (SELECT count(*) FROM archive_trouble) AS troubles
"""


@dataclass(slots=True)
class Relay:
    """Between the nodes and the time-stamping service.

    Attributes:
        up: whether it passes anything on.
        before: by the key of a node: is done once, while its request waits for an answer.
    """

    target: str
    session: aiohttp.ClientSession
    up: bool = True
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    url: str = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Relay"]:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.up:
            return web.Response(status=503)
        raw, kind = await request.read(), request.headers["Content-Type"]
        before = self.before.pop(request.path.rpartition("/")[2], None)
        if before is not None:
            await before()
        async with self.session.post(
            self.target, data=raw, headers={"Content-Type": kind}
        ) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={"Content-Type": answer.headers["Content-Type"]},
            )


@pytest_asyncio.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[RealNodes]:
    skip_without_postgres()
    folder = tmp_path if SOAK else quick_folder()
    try:
        async with real_nodes(folder / "instance") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def relay(nodes: RealNodes) -> AsyncIterator[Relay]:
    made = Relay(nodes.site.url("ca", "/tsa"), nodes.session)
    async with made.listening():
        yield made


async def settle(nodes: RealNodes, relay: Relay, grace: int) -> None:
    """Stamp through the relay, archive at once."""
    for one in NODES:
        path = nodes.site.of(one) / "node.toml"
        text = await asyncio.to_thread(path.read_text)
        before, _, after = text.partition("[timestamping]\n")
        after = after[after.index("\n[") + 1 :]
        told = TIMESTAMPING.lstrip().format(url=relay.url, key=one.key, grace=grace)
        changed = before + told + after.replace('interval = "6h"', 'interval = "2s"')
        await asyncio.to_thread(path.write_text, changed)
        await nodes.settle(one, "")


# --- the time-stamping service --------------------------------------------------------------------


async def test_without_time_stamps_no_message_is_taken_after_the_grace_until_they_are_back(
    nodes: RealNodes, relay: Relay
) -> None:
    await settle(nodes, relay, GRACE)
    async with nodes.calling(CALLERS) as calls:
        await calls.until(30)
        relay.up = False
        down = time.monotonic()
        await calls.until(30)  # within the grace all goes on
        assert time.monotonic() - down < GRACE, "the machine is too slow for this test"
        for one in NODES:
            while not any("time-stamp" in why for why in (await nodes.reasons(one)).values()):
                assert time.monotonic() - down < PATIENCE, f"{one.name} takes messages for ever"
                await asyncio.sleep(0.1)
        assert time.monotonic() - down > GRACE
        await refused(calls)
        answered = len(calls.answered)
        await asyncio.sleep(1)
        assert len(calls.answered) == answered, "a message was taken after the grace"
        relay.up = True
        await calls.until(30)
    _log.info("%d answered, not answered: %s", len(calls.answered), dict(calls.failed))
    await nodes.all_ready()
    await check_logs(nodes, calls)
    check_events(nodes)
    for one in NODES:
        await check_evidence(nodes, one)


async def refused(calls: Calls) -> None:
    """Wait until a caller was told why."""
    deadline = time.monotonic() + PATIENCE
    while not any(code.endswith(REFUSED) for code in calls.failed):
        assert time.monotonic() < deadline, calls.failed
        await asyncio.sleep(0.1)


# --- PostgreSQL and the nodes ---------------------------------------------------------------------


async def test_killed_in_the_middle_of_stamping(nodes: RealNodes, relay: Relay) -> None:
    """The victim dies while the service has its question and before it answers."""
    await settle(nodes, relay, NO_GRACE)
    async with nodes.calling(CALLERS) as calls:
        for one, kill in victims(nodes):
            await calls.until(20)
            done = asyncio.Event()
            relay.before[one.key] = _while_asked(kill, done)
            async with asyncio.timeout(PATIENCE):
                await done.wait()
            await calls.until(20)
    await check_everything(nodes, calls)


@pytest.mark.skipif(not SOAK, reason="takes minutes; `make soak` runs it")
async def test_killed_in_the_middle_of_archiving(nodes: RealNodes, relay: Relay) -> None:
    """The victim dies as soon as a new file begins to show in its archive."""
    await settle(nodes, relay, NO_GRACE)
    async with nodes.calling(CALLERS) as calls:
        for one, kill in victims(nodes):
            await calls.until(20)
            await _new_file(nodes, one)
            await kill()
            await calls.until(20)
    await check_everything(nodes, calls)


def victims(nodes: RealNodes) -> list[tuple[Institution, Callable[[], Awaitable[None]]]]:
    """At whose work somebody is killed, and who: PostgreSQL, or that node itself."""
    each: list[tuple[Institution, Callable[[], Awaitable[None]]]] = []
    for one in NODES:
        each += [(one, nodes.kill_database), (one, partial(nodes.kill, one))]
    return each * ROUNDS if SOAK else [each[0], each[-1]]


def _while_asked(
    kill: Callable[[], Awaitable[None]], done: asyncio.Event
) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        await kill()
        done.set()

    return act


async def _new_file(nodes: RealNodes, one: Institution) -> None:
    """Wait until the archive or what is built for it has a file that was not there."""
    folders = (nodes.site.of(one) / "archive", nodes.site.of(one) / "data" / "archive")

    def files() -> set[Path]:
        return {path for folder in folders for path in folder.rglob("*")}

    before = files()
    deadline = time.monotonic() + PATIENCE
    while not files() - before:
        assert time.monotonic() < deadline, f"the {one.name}'s node archives nothing"
        await asyncio.sleep(0.002)


async def check_everything(nodes: RealNodes, calls: Calls) -> None:
    _log.info("%d answered, not answered: %s", len(calls.answered), dict(calls.failed))
    await nodes.all_ready()
    await check_logs(nodes, calls)
    check_events(nodes)
    for one in NODES:
        await check_evidence(nodes, one)


async def check_evidence(nodes: RealNodes, one: Institution) -> None:
    """Every record has one place, one time-stamp and is in one archive file, and all of it holds.

    Nodes go on handing checkpoints to each other for a while, so this waits for a moment in which
    nothing is left to be done.
    """
    connection = await asyncpg.connect(await nodes.dsn(one))
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            stamped, archived = [
                dict((await connection.fetch(sql))[0]) for sql in (_STAMPED_ONCE, _ARCHIVED_ONCE)
            ]
            if _once(stamped, "queued") and _once(archived, "in_work", "troubles"):
                break
            assert time.monotonic() < deadline, f"{one.name}: {stamped}, {archived}"
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
    assert archived["leaves"] >= stamped["leaves"] > 0
    audited = await audit(nodes, one)
    assert audited.code == 0, audited.out[-3000:] + audited.err[-1000:]


def _once(counts: dict[str, int], *nothing: str) -> bool:
    """Whether these are 0 and all the others the same."""
    return all(counts[name] == 0 for name in nothing) and (
        len({count for name, count in counts.items() if name not in nothing}) == 1
    )


async def audit(nodes: RealNodes, one: Institution) -> Ran:
    """Both the database and the archive, by the node's own history of trust lists."""
    folder = nodes.site.of(one)
    return await sacbe(
        "audit", "--config", str(folder / "node.toml"), "--archive", str(folder / "archive"),
        "--quiet", "--jobs", "0",
    )  # fmt: skip
