"""What looking up, summing up and removing uses costs: `python -m tests.citizen_load [USES]`.

The uses are spread over five years and a hundred thousand people; one of them has a thousand. The
database is the node's own kind, with its defaults, durable.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median

from node.log.messagelog import MIGRATIONS
from node.log.uses import DataUse
from node.messages.intent import Intent
from node.once.figures import By, figures_of
from node.once.pseudonyms import Pseudonyms
from node.once.use_queries import Citizen, Period
from node.once.use_retention import UseRetention
from node.once.use_search import UseSearch
from scripts.postgres import PostgresServer, PostgresSettings
from tests.citizen_stage import CIVIL, NOW, OWN, answered, call, tracker, use, write
from trust.database import Pool, migrate, open_pool

_PEOPLE = 100_000
_YEARS = timedelta(days=5 * 365)
_BATCH = 20_000
_OF_ONE = 1000
_NAMED = Pseudonyms(b"k" * 32)


def uses(count: int) -> Iterator[DataUse]:
    """The last thousand are about the one that `call` asks for."""
    for number in range(count):
        at = NOW - timedelta(seconds=1) - _YEARS * (number / count)
        procedure = f"urn:proc:{number % 50}"
        about = {} if number >= count - _OF_ONE else {"subject": _subject(number)}
        yield use(number, time=at, intent=Intent("urn:p", "Act", procedure), **about)


def _subject(number: int) -> bytes:
    return _NAMED.of("id", str(number % _PEOPLE))


async def fill(pool: Pool, count: int) -> None:
    batch: list[DataUse] = []
    for one in uses(count):
        batch.append(one)
        if len(batch) == _BATCH:
            await write(pool, batch)
            batch.clear()
    await write(pool, batch)
    await pool.execute("VACUUM ANALYZE data_use")


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


async def took(what: str, times: int, work: Callable[[], Awaitable[object]]) -> None:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - began)
    tell(f"{what}: {median(seconds) * 1000:.1f} ms in the middle of {times}")


async def measure(pool: Pool) -> None:
    search, service = UseSearch(pool), tracker(pool)
    ordinary = Citizen(_subject(7), CIVIL, NOW - _YEARS, frozenset({str(OWN)}), NOW, NOW)
    whole = Period(NOW - _YEARS, NOW)
    await took("uses of one person", 100, lambda: search.of_citizen(ordinary, whole))
    asked = "/v2/findUsage?userCode=EE12345678901"
    await took("findUsage, 1000 uses", 20, lambda: answered(service, call(asked)))
    await took(
        "findUsage, 10 uses of 1000", 100, lambda: answered(service, call(f"{asked}&limit=10"))
    )
    await took(
        "report by month, all uses", 3, lambda: figures_of(pool, NOW - _YEARS, NOW, By.MONTH)
    )
    began = time.perf_counter()
    kept = _YEARS - timedelta(days=365)
    removed = await UseRetention(pool, kept, clock=lambda: NOW).round()
    tell(f"removed: {removed / (time.perf_counter() - began):.0f} uses a second, {removed} of them")


async def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with PostgresServer(Path(folder), PostgresSettings()) as server:
            pool = await open_pool(await server.create_database("load"), "sacbe-load")
            try:
                await migrate(pool, "node", MIGRATIONS)
                await fill(pool, count)
                size = await pool.fetchval("SELECT pg_total_relation_size('data_use')")
                tell(f"{count} uses, {size / count:.0f} bytes each with their indexes")
                await measure(pool)
            finally:
                await pool.close()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
