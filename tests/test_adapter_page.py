"""docs/adapter.md: what it says is what happens."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from adapters.faces.soap import PATHS
from adapters.settings import LimitSettings, TlsSettings
from adapters.shell import build_app
from adapters.sql.settings import SqlSettings
from catalog.declared.declaration import ServicesDeclaration, declaration_problems
from config.settings import parse_settings
from scripts.adapter import read_declaration
from scripts.postgres import PostgresServer

PAGE = (Path(__file__).parents[1] / "docs" / "adapter.md").read_text(encoding="utf-8")
Client = TestClient[web.Request, web.Application]
TABLE = """
CREATE TABLE town (code text PRIMARY KEY, name text, county text, founded date);
INSERT INTO town VALUES ('0101', 'Southdale', 'SOUTH', '1871-05-01'),
    ('0102', 'Southport', 'SOUTH', '1902-01-01'), ('0201', 'Northport', 'NORTH', '1850-01-01');
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
async def declaration(postgres_server: PostgresServer, database_dsn: str, tmp_path: Path) -> Path:
    """The page's own file beside a database with the page's own account."""
    database = database_dsn.partition("?")[0].rpartition("/")[2]
    owner, root = (
        await asyncpg.connect(database_dsn),
        await asyncpg.connect(postgres_server.superuser_dsn),
    )
    await owner.execute(TABLE)
    create, connect, select = blocks("sql")[0].strip().split("\n")
    await root.execute("DROP ROLE IF EXISTS town_reader")
    await root.execute(create)
    await root.execute(connect.replace("DATABASE land", f"DATABASE {database}"))
    await owner.execute(select)
    await owner.close()
    await root.close()
    address = postgres_server.dsn(database, "town_reader", "take-a-better-one")
    (tmp_path / "database.dsn").write_text(address)
    (tmp_path / "database.dsn").chmod(0o600)
    (tmp_path / "adapter.toml").write_text(blocks("toml")[0])
    return tmp_path / "adapter.toml"


@pytest.fixture
async def client(declaration: Path) -> AsyncIterator[Client]:
    kind, settings = read_declaration(declaration)
    source = await kind.open(settings)
    assert await source.check() == []
    opened: Client = TestClient(TestServer(build_app(settings, source)))
    async with opened:
        yield opened
    await source.close()


async def test_every_call_on_the_page_is_answered_as_it_says(client: Client) -> None:
    calls = re.findall(r"```sh\ncurl '([^']+)'\n```\n\n```json\n(.*?)\n```", PAGE)
    assert len(calls) == 4
    for address, expected in calls:
        parts = urlsplit(address)
        answer = await client.get(f"{parts.path}?{parts.query}")
        assert await answer.json() == json.loads(expected), address


async def test_every_address_on_the_page_is_there(client: Client) -> None:
    for path in ("/openapi.json", "/soap?wsdl", "/health/live", "/health/ready", "/metrics"):
        assert f"`{path.partition('?')[0]}" in PAGE
        assert (await client.get(path)).status == 200
    assert PATHS == ("/", "/soap")


def test_the_other_settings_on_the_page_are_ones() -> None:
    first, limits, _ = blocks("toml")
    settings = parse_settings(SqlSettings, first + limits, file="x", folder=Path("x"))
    assert settings.limits != LimitSettings()
    assert isinstance(settings.tls, TlsSettings)


def test_the_service_at_the_node_is_one() -> None:
    text = '[[clients]]\nid = "EX:GOV:1001:towns"\n' + blocks("toml")[2]
    services = parse_settings(ServicesDeclaration, text, file="x", folder=Path("x"))
    assert list(declaration_problems(services)) == []
