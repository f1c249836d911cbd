"""`kill -9` under load: what was answered 200 is in both logs, and nothing needs a person after.

Real processes and a durable database. Quick in the normal suite; with SACBE_SOAK=1 (`make soak`) on
a disk, with many more kills and two at once.
"""

import asyncio
import io
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from scripts.ecosystem.institutions import BENEFITS, CIVIL, MUNI, PERSONS, Institution
from scripts.ecosystem.system import InformationSystem
from scripts.trustlist import load_trust_list
from tests.database_fixtures import quick_folder
from tests.real_nodes import NODES, Calls, RealNodes, real_nodes, skip_without_postgres
from trust.asic import parse_container
from trust.container import verify_container
from trust.globalconf import GlobalConf
from trust.report import Outcome

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
    assert calls.failed, "no kill met a call"
    await nodes.all_ready()
    await check_logs(nodes, calls)
    await check_containers(nodes, chance.sample(sorted(calls.answered), SAMPLE))


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


# --- what is left ---------------------------------------------------------------------------------

_COMPLETE = """
SELECT count(*) FROM unnest($1::text[], $2::text[]) AS seen (message_id, exchange_id)
WHERE 1 = (SELECT count(*) FROM message_record AS r WHERE NOT response AND side = $3
           AND r.message_id = seen.message_id AND r.exchange_id = seen.exchange_id)
AND 1 = (SELECT count(*) FROM message_record AS r WHERE response AND side = $3
         AND r.message_id = seen.message_id AND r.exchange_id = seen.exchange_id)
"""
_DOUBLED = """
SELECT count(*) FROM (SELECT FROM message_record GROUP BY message_id, response HAVING count(*) > 1)
AS doubled
"""
_REQUESTS = """
SELECT count(*) FROM unnest($1::text[]) AS asked (message_id)
WHERE EXISTS (SELECT FROM message_record AS r WHERE NOT response
              AND r.message_id = asked.message_id)
"""
_ORPHANS = """
SELECT count(*) FROM message_record AS answer WHERE response AND NOT EXISTS
(SELECT FROM message_record AS r WHERE NOT response AND r.exchange_id = answer.exchange_id)
"""
SIDES = {MUNI: "consumer", CIVIL: "provider"}


async def check_logs(nodes: RealNodes, calls: Calls) -> None:
    """Count in both logs what callers and system know of."""
    asked = nodes.system.asked
    assert set(calls.answered) <= set(asked)
    assert max(asked.values()) == 1, "an exchange was acted on twice"
    for one, side in SIDES.items():
        connection = await asyncpg.connect(await nodes.dsn(one))
        try:
            assert await connection.fetchval("SHOW fsync") == "on"
            complete = await connection.fetchval(
                _COMPLETE, list(calls.answered), list(calls.answered.values()), side
            )
            assert complete == len(calls.answered), f"{one.name} lacks proof of what was answered"
            assert await connection.fetchval(_DOUBLED) == 0
            assert await connection.fetchval(_ORPHANS) == 0
            # evidence first: nothing reached the provider's system that either node can't prove
            assert await connection.fetchval(_REQUESTS, list(asked)) == len(asked)
        finally:
            await connection.close()


async def check_containers(nodes: RealNodes, message_ids: Iterable[str]) -> None:
    """Judge the proof of some exchanges as an auditor would."""
    conf = await asyncio.to_thread(load_trust_list, str(nodes.site.anchor))
    for message_id in message_ids:
        for one, party in ((MUNI, BENEFITS), (CIVIL, PERSONS)):
            system = InformationSystem(nodes.session, nodes.site.url(f"{one.key}-http"))
            for direction, signer in (("request", MUNI), ("response", CIVIL)):
                raw = await system.container(message_id, party, direction)
                assert raw is not None, f"{one.name} has no container of the {direction}"
                check_container(raw, signer, conf)


def check_container(raw: bytes, signer: Institution, conf: GlobalConf) -> None:
    verdict = verify_container(parse_container(io.BytesIO(raw)), conf, datetime.now(UTC))
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert verdict.signer == signer.owner
