from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from node.operate.admin import AdminPages
from node.operate.health import Health
from node.operate.metrics import NodeMetrics

Client = TestClient[aiohttp.web.BaseRequest, None]


@pytest.fixture
async def reasons() -> dict[str, str]:
    return {}


@pytest.fixture
async def client(reasons: dict[str, str]) -> AsyncIterator[Client]:
    health = Health({"log": lambda: reasons.get("log")})
    server = RawTestServer(AdminPages(NodeMetrics(frozenset()), health))
    opened: Client = TestClient(server)
    async with opened:
        yield opened


async def test_the_node_lives_and_is_ready_until_something_is_missing(
    client: Client, reasons: dict[str, str]
) -> None:
    assert (await client.get("/health/live")).status == 200
    assert await (await client.get("/health/ready")).json() == {"ready": True, "reasons": {}}
    reasons["log"] = "the database is away"
    answer = await client.get("/health/ready")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "reasons": {"log": "the database is away"}}
    assert (await client.get("/health/live")).status == 200


async def test_metrics_are_served_in_the_text_format(client: Client) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "sacbe_exchanges_total" in await answer.text()


async def test_other_paths_and_methods_are_refused(client: Client) -> None:
    assert (await client.get("/")).status == 404
    assert (await client.post("/metrics")).status == 405


async def test_further_pages_have_their_paths_and_are_only_read() -> None:
    async def page(request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        return aiohttp.web.Response(text=request.query_string)

    pages = AdminPages(NodeMetrics(frozenset()), Health({}), {"/explain": page})
    client: Client = TestClient(RawTestServer(pages))
    async with client:
        assert await (await client.get("/explain?client=A")).text() == "client=A"
        assert (await client.post("/explain")).status == 405
