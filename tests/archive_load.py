"""How fast records are archived: `python -m tests.archive_load [records] [folder]`."""

import asyncio
import resource
import shutil
import sys
import time
from pathlib import Path

from node.archive.settings import ArchiveSettings
from scripts.postgres import PostgresServer, PostgresSettings
from tests.archive_scene import scene
from tests.database_fixtures import quick_folder


async def measure(records: int, folder: Path) -> None:
    async with PostgresServer(folder / "postgres", PostgresSettings(durable=False)) as server:
        dsn = await server.create_database("load")
        async with scene(dsn, folder) as one:
            for _ in range(0, records, 1000):
                await one.log_records(1000)
            await one.stamp()
            archiver = one.archiver(ArchiveSettings(store=one.address.url))
            before, began = _memory(), time.perf_counter()
            files = await archiver.archive(everything=True)
            seconds = time.perf_counter() - began
            print(  # noqa: T201 - what it is for
                f"{records} records in {files} files, {archiver.bytes >> 20} MiB:"
                f" {seconds:.1f} s, {records / seconds:.0f} records/s;"
                f" peak of memory {_memory() - before} MiB above what it was"
            )
            began = time.perf_counter()
            await one.check_complete()
            seconds = time.perf_counter() - began
            print(f"judged with every container: {records / seconds:.0f} records/s")  # noqa: T201


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else quick_folder()
    try:
        asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, place))
    finally:
        shutil.rmtree(place, ignore_errors=True)
