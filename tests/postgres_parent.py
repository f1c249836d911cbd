"""A program that starts a server, says so, and waits to be killed. Arguments: folder, way."""

import asyncio
import os
import sys
from pathlib import Path

from scripts.postgres import PostgresServer, PostgresSettings
from scripts.postgres_process import Way


async def run(folder: Path, way: Way | None) -> None:
    server = PostgresServer(folder, PostgresSettings(durable=False, way=way))
    await server.start()
    sys.stdout.write(f"{os.getpid()} {server.pid}\n")
    sys.stdout.flush()
    await server.supervise()


if __name__ == "__main__":
    chosen = Way(sys.argv[2]) if len(sys.argv) > 2 else None
    asyncio.run(run(Path(sys.argv[1]), chosen))
