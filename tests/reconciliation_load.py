"""What it costs to count a day: seconds and memory for so many exchanges with one other node.

    .venv/bin/python -m tests.reconciliation_load 100000

The records have real signatures, each the same bytes; they are put into the table by SQL.
"""

import asyncio
import resource
import shutil
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

from node.reconciliation.wire import Comparison, RangeQuestion
from scripts.postgres import PostgresServer, PostgresSettings
from tests.database_fixtures import quick_folder
from tests.test_reconciliation_days import DAY, HERE, MIDNIGHT, THERE, Site, signed
from trust.evidence.exchange_tree import Range

_FILL = """
INSERT INTO message_record (number, time, side, response, exchange_id, message_id, client, provider,
    service_code, local_client, peer, message, signature)
SELECT 2 * n + response, $1::timestamptz + n * $2::interval, 'provider', response = 1,
    md5(n::text), n::text, 'EX/GOV/1234567/portal', 'EX/GOV/7654321/population', 'personApi',
    'EX/GOV/7654321/population', $3, convert_to(repeat('m', 400) || n || response, 'UTF8'), $4
FROM generate_series(1, $5::int) AS n, generate_series(0, 1) AS response
"""


async def measure(folder: Path, count: int) -> None:
    async with PostgresServer(folder, PostgresSettings(durable=False)) as server:
        dsn = await server.create_database("load")
        async with Site.opened(THERE, HERE, dsn) as site:
            await site.pool.execute("SELECT ensure_message_partition($1)", DAY)
            step = timedelta(hours=23) / count
            signature = signed(b"message", MIDNIGHT + timedelta(minutes=1))
            values = (MIDNIGHT, step, str(HERE), signature, count)
            await site.pool.execute(_FILL, *values, timeout=3600)
            await site.pool.execute("ANALYZE message_record", timeout=600)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            began, cpu = time.perf_counter(), time.process_time()
            question = RangeQuestion(Comparison(HERE, str(uuid.uuid4()), DAY), b"")
            await site.answer(question)
            await asyncio.gather(*site.service._tasks)
            found = await site.answer(question)
            if not isinstance(found, Range):
                raise RuntimeError(f"nothing was counted: {found}")
            took, used = time.perf_counter() - began, time.process_time() - cpu
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(  # noqa: T201 - what it is for
                f"{found.count} exchanges ({len(signature)} bytes of signature) counted in"
                f" {took:.1f} s, {used:.1f} s of them CPU of the node;"
                f" memory {before} MB before, {after} MB at the most"
            )


def main() -> int:
    folder = quick_folder()
    try:
        asyncio.run(measure(folder, int(sys.argv[1])))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
