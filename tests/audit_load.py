"""What auditing a large log costs: a log of really signed records, and `sacbe audit` over it.

    .venv/bin/python -m tests.audit_load 1000000 FOLDER

Two thousand different requests are signed (P-256); the log has them again and again under other
numbers and times. Every record is judged in full all the same: the audit remembers verdicts on
certificates and nothing on messages. There is a time-stamp over each ten thousand leaves and a
checkpoint at each fifty thousand. FOLDER gets the database (about 8 kB a record) and is kept: a
second run with the same folder audits it again.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from node.log.bodies import KeptBody
from node.log.rows import COLUMNS, build_row
from scripts.postgres import PostgresServer, PostgresSettings
from tests.audit_stage import AuditStage, request_record
from tests.pki import NOON

DIFFERENT = 2000
STAMPED = 10_000  # leaves under one time-stamp
CHECKPOINT = 50_000  # leaves from one to the next
APART = timedelta(milliseconds=3)
_CONFIG = """
server = "TEST:GOV:1001:NODE1"
data = "{folder}"
[configuration]
anchor = "{folder}/anchor.xml"
[keys]
folder = "{folder}/keys"
password_file = "{folder}/password"
[database]
dsn_file = "{folder}/dsn"
"""


async def fill(stage: AuditStage, count: int) -> None:
    """Put so many records into the log, as the node's own modules would have written them."""
    kept: list[KeptBody] = []
    rows = [build_row(request_record(stage.signatory, n), kept) for n in range(DIFFERENT)]
    await stage.pool.execute("SELECT ensure_message_partition($1)", NOON.date())
    for first in range(0, count, STAMPED):
        numbers = range(first, min(first + STAMPED, count))

        def records(numbers: range = numbers) -> Iterator[tuple[object, ...]]:
            for number in numbers:
                row = rows[number % DIFFERENT]
                yield (number + 1, NOON + number * APART, *row.values[1:])

        def leaves(numbers: range = numbers) -> Iterator[tuple[object, ...]]:
            for number in numbers:
                leaf_hash, digest = rows[number % DIFFERENT].leaf
                yield (number, number + 1, NOON + number * APART, leaf_hash, digest)

        async with stage.pool.acquire() as connection:
            await connection.copy_records_to_table(
                "message_record", columns=COLUMNS, records=records()
            )
            await connection.copy_records_to_table("log_leaf", records=leaves())
            await connection.execute("UPDATE log_size SET leaves = $1", numbers[-1] + 1)
        await stage.stamp(at=NOON + (numbers[-1] + 1000) * APART)
        if (numbers[-1] + 1) % CHECKPOINT == 0 or numbers[-1] + 1 == count:
            await stage.checkpoint()
        sys.stdout.write(f"\r{numbers[-1] + 1} of {count}")
        sys.stdout.flush()


async def run(count: int, folder: Path) -> int:
    done = folder / "filled"
    async with PostgresServer(folder / "postgres", PostgresSettings(durable=False)) as server:
        dsn = await server.create_database("load")
        if not done.exists():
            began = time.monotonic()
            async with AuditStage.open(dsn, folder / "trust-lists") as stage:
                await fill(stage, count)
            sys.stdout.write(f", written in {time.monotonic() - began:.0f} s\n")
            done.touch()
        (folder / "dsn").write_text(dsn)
        (folder / "dsn").chmod(0o600)
        (folder / "node.toml").write_text(_CONFIG.format(folder=folder))
        command = [
            sys.executable, "-m", "scripts.cli", "audit", "--config", str(folder / "node.toml"),
            "--quiet",
        ]  # fmt: skip
        began = time.monotonic()
        found = await asyncio.to_thread(subprocess.run, command, check=False)
        seconds = time.monotonic() - began
        largest = resource.getrusage(resource.RUSAGE_CHILDREN)  # the server still runs
    sys.stdout.write(
        f"{' '.join(command[1:])}\n{count} records in {seconds:.0f} s: {count / seconds:.0f}/s on"
        f" {os.cpu_count()} cores; largest process {largest.ru_maxrss / 1024:.0f} MiB;"
        f" exit code {found.returncode}\n"
    )
    return found.returncode


if __name__ == "__main__":
    place = Path(sys.argv[2]).resolve()
    place.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(run(int(sys.argv[1]), place)))
