"""Count in the logs of both nodes what callers and the provider's system know of."""

import asyncio
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from scripts.ecosystem.institutions import BENEFITS, CIVIL, MUNI, PERSONS, Institution
from scripts.ecosystem.system import InformationSystem
from scripts.trustlist import load_trust_list
from tests.real_nodes import Calls, RealNodes
from trust.digests import sha512
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.globalconf import GlobalConf
from trust.report import Outcome

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


async def check_body_files(nodes: RealNodes, one: Institution, folder: Path) -> tuple[int, int]:
    """Compare every body file that a record names with its digest.

    Returns:
        How many there are, and how many files no record names: a killed node may leave those.
    """
    connection = await asyncpg.connect(await nodes.dsn(one))
    try:
        rows = await connection.fetch(
            "SELECT body_file, body_size, body_digest FROM message_record"
            " WHERE body_file IS NOT NULL UNION ALL"
            " SELECT body_file, body_size, body_digest FROM message_attachment"
            " WHERE body_file IS NOT NULL"
        )
    finally:
        await connection.close()
    files = {row["body_file"]: row for row in rows}
    for name, row in files.items():
        body = await asyncio.to_thread((folder / name).read_bytes)
        assert (len(body), sha512(body)) == (row["body_size"], row["body_digest"])
    assert len(files) == len(rows)
    return len(files), len(files_in(folder)) - len(files)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


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


def check_events(nodes: RealNodes) -> None:
    """What the processes said of all this is for people: no traceback stands in their logs."""
    for log in sorted((nodes.site.folder / "logs").glob("*.log")):
        assert "Traceback" not in log.read_text(encoding="utf-8"), log.name
