"""What a call through the REST adapter costs: CPU of its process, beside a service in another.

python -m tests.rest_load 2000
"""

import asyncio
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

from aiohttp.test_utils import TestClient, TestServer

from adapters.rest.source import open_rest
from adapters.shell import build_app
from tests.rest_upstream import ask, declared, upstream_at


def serve(told: Connection) -> None:
    """The service, until it is killed."""

    async def run() -> None:
        async with upstream_at() as state:
            told.send(state.url)
            while True:
                await asyncio.sleep(1)
                state.requests.clear()
                state.bodies.clear()

    asyncio.run(run())


async def measure(url: str, calls: int) -> dict[str, float]:
    settings = declared(url)
    source = await open_rest(settings)
    await ask(source, "person", id="1")
    cpu, started = time.process_time(), time.perf_counter()
    for _ in range(calls):
        await ask(source, "person", id="1")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    async with TestClient(TestServer(build_app(settings, source))) as client:
        whole = time.perf_counter()
        for _ in range(calls):
            async with client.get("/persons/1") as answer:
                await answer.read()
        whole = time.perf_counter() - whole
    await source.close()
    return {
        "calls": calls,
        "cpu_us_per_call": round(cpu / calls * 1e6),
        "calls_per_s_one_after_another": round(calls / wall),
        "over_http_per_s_client_included": round(calls / whole),
    }


if __name__ == "__main__":
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe(duplex=False)
    service = processes.Process(target=serve, args=(there,), daemon=True)
    service.start()
    try:
        print(json.dumps(asyncio.run(measure(here.recv(), int(sys.argv[1])))))  # noqa: T201
    finally:
        service.kill()
