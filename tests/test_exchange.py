"""Two real nodes in one process: the whole path of a REST exchange."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from catalog.services import AccessRight, ConnectionType, HostedClient
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service

HEADERS = {"X-Road-Client": CONSUMER.path}


@dataclass
class Registry:
    """The provider's system: answers what a test wants, remembers what it was asked."""

    url: str = ""
    requests: list[tuple[str, str, list[tuple[str, str]], bytes]] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        headers = [(n.decode(), v.decode()) for n, v in request.raw_headers]
        self.requests.append((request.method, request.raw_path, headers, body))
        return web.json_response({"path": request.raw_path, "size": len(body)})


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    system = Registry()
    runner = web.ServerRunner(web.Server(system.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    system.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    yield system
    await runner.cleanup()


@pytest.fixture
async def two(
    tmp_path: Path, postgres_server: PostgresServer, registry: Registry
) -> AsyncIterator[tuple[NodeUnderTest, NodeUnderTest]]:
    async with Instance(tmp_path, postgres_server) as instance:
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(registry.url),),
            rights=(AccessRight(CONSUMER, SERVICE.service_code),),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        muni = await instance.add("MUNI", CONSUMER)
        await instance.start()
        yield civil, muni


async def test_a_request_and_its_answer_travel_whole(
    two: tuple[NodeUnderTest, NodeUnderTest], registry: Registry
) -> None:
    _, muni = two
    async with aiohttp.ClientSession() as session:
        url = URL(f"{muni.url}/r1/{SERVICE.path}/a%20b?x=1", encoded=True)
        answer = await session.get(url, headers=HEADERS)
        assert answer.status == 200, await answer.text()
        assert await answer.json() == {"path": "/api/a%20b?x=1", "size": 0}
        assert answer.headers["x-road-client"] == CONSUMER.path
        assert answer.headers["x-road-service"] == SERVICE.path
        body = io.BytesIO(b"x" * 700_000)
        answer = await session.post(f"{muni.url}/r1/{SERVICE.path}", headers=HEADERS, data=body)
        assert answer.status == 200, await answer.text()
        assert await answer.json() == {"path": "/api", "size": 700_000}
    assert [request[0] for request in registry.requests] == ["GET", "POST"]
