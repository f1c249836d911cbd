"""The adapter over real HTTP in front of a real database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from adapters.app import AdapterSettings, DatabaseSettings, build_app, open_source
from adapters.queries import Parameter, ParameterType, Query, QueryMethod
from trust.errors import StorageError

Client = TestClient[web.Request, web.Application]
JSON = {"Content-Type": "application/json"}

PERSON = Query(
    name="person",
    path="/persons/{id}",
    sql="SELECT id, name, born, income FROM person WHERE id = :id",
    parameters=(Parameter(name="id"),),
    single=True,
)
SEARCH = Query(
    name="search",
    path="/persons/search",
    method=QueryMethod.POST,
    sql="SELECT id, name FROM person WHERE name = :name AND born >= coalesce(:since, born)"
    " ORDER BY id",
    parameters=(
        Parameter(name="name"),
        Parameter(name="since", type=ParameterType.DATE, required=False),
    ),
    max_rows=2,
)
SLOW = Query(name="slow", path="/slow", sql="SELECT pg_sleep(20)::text AS slept")
NUMBERS = Query(
    name="numbers",
    path="/numbers",
    sql="SELECT (:small::int4 * :factor::int4)::text AS n, :word::text AS w",
    parameters=(
        Parameter(name="small", type=ParameterType.INTEGER),
        Parameter(name="factor", type=ParameterType.INTEGER),
        Parameter(name="word"),
    ),
)
BROKEN = Query(
    name="broken",
    path="/broken",
    sql="SELECT (:word::text)::regclass::text AS n",
    parameters=(Parameter(name="word"),),
)
WRITE = Query(
    name="write", path="/write", sql="WITH gone AS (SELECT 1) SELECT nextval('s')::text AS n"
)


def settings(*queries: Query, timeout: float = 5) -> AdapterSettings:
    database = DatabaseSettings(
        dsn_file=Path("unused"), connections=2, timeout=timedelta(seconds=timeout)
    )
    return AdapterSettings(title="Persons", database=database, query=queries)


@pytest.fixture
async def persons(database_dsn: str) -> str:
    connection = await asyncpg.connect(database_dsn)
    await connection.execute(
        """
        CREATE SEQUENCE s;
        CREATE TABLE person (id text PRIMARY KEY, name text, born date, income numeric);
        INSERT INTO person VALUES
            ('1', 'Ann', '1990-05-01', 10.50), ('2', 'Bo', '2000-01-02', NULL),
            ('3', 'Bo', '2010-01-02', 1), ('4', 'Bo', '2020-01-02', 2);
        """
    )
    await connection.close()
    return database_dsn


@pytest.fixture
async def client(persons: str) -> AsyncIterator[Client]:
    chosen = settings(PERSON, SEARCH, SLOW, WRITE, NUMBERS, BROKEN, timeout=1)
    source = await open_source(chosen, persons)
    opened: Client = TestClient(TestServer(await build_app(chosen, source)))
    async with opened:
        yield opened
    await source.close()


async def test_one_row_is_answered_as_an_object(client: Client) -> None:
    answer = await client.get("/persons/1")
    assert answer.status == 200
    assert await answer.json() == {
        "id": "1", "name": "Ann", "born": "1990-05-01", "income": "10.50",
    }  # fmt: skip
    assert (await client.get("/persons/9")).status == 404


async def test_many_rows_are_cut_at_the_limit_and_say_so(client: Client) -> None:
    answer = await client.post("/persons/search", json={"name": "Bo"})
    assert await answer.json() == {
        "items": [{"id": "2", "name": "Bo"}, {"id": "3", "name": "Bo"}], "more": True,
    }  # fmt: skip
    answer = await client.post("/persons/search", json={"name": "Bo", "since": "2011-01-01"})
    assert await answer.json() == {"items": [{"id": "4", "name": "Bo"}], "more": False}


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ('{"name": "Bo", "since": "soon"}', "since"),
        ("{}", "name"),
        ('{"name": "Bo", "x": 1}', "x"),
        ("[]", None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
async def test_a_bad_body_is_named(client: Client, body: str, parameter: str | None) -> None:
    answer = await client.post("/persons/search", data=body, headers=JSON)
    assert answer.status == 400
    assert (await answer.json()).get("parameter") == parameter


async def test_text_from_outside_never_becomes_sql(client: Client) -> None:
    answer = await client.get("/persons/' OR '1'='1")
    assert answer.status == 404
    answer = await client.get("/persons/1?id=2")
    assert answer.status == 400


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"small": "2", "factor": "3000000000", "word": "x"}, "factor"),
        ({"small": "-99999999999999999999", "factor": "1", "word": "x"}, "small"),
        ({"small": "2000000000", "factor": "2", "word": "x"}, None),
        ({"small": "2", "factor": "2", "word": "a\0b"}, "word"),
    ],
)
async def test_a_value_that_the_database_does_not_take_is_the_caller_s_fault(
    client: Client, values: dict[str, str], parameter: str | None
) -> None:
    answer = await client.get("/numbers", params=values)
    assert answer.status == 400
    assert (await answer.json()).get("parameter") == parameter


async def test_an_error_of_the_database_is_logged_without_the_values_of_callers(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        answer = await client.get("/broken", params={"word": "p38001010000"})
    assert answer.status == 503
    told = [entry.getMessage() for entry in caplog.records if entry.name == "sacbe.adapter"]
    assert "database: query 'broken': UndefinedTableError, SQLSTATE 42P01" in told
    assert "38001010000" not in "".join(told)
    assert "38001010000" not in await answer.text()


async def test_headers_are_logged_bounded_and_on_one_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "sacbe.adapter"):
        headers = {"X-Road-Client": "EX/GOV/1", "X-Road-Id": "\t\x85" + "x" * 5000}
        await client.get("/persons/1", headers=headers)
    (line,) = (entry.getMessage() for entry in caplog.records if entry.name == "sacbe.adapter")
    assert "client='EX/GOV/1'" in line
    assert line.isprintable()
    assert len(line) < 450


async def test_a_query_that_writes_or_takes_too_long_is_stopped(client: Client) -> None:
    assert (await client.get("/write")).status == 503
    assert (await client.get("/slow")).status == 504


async def test_the_adapter_describes_itself(client: Client) -> None:
    found = await (await client.get("/openapi.json")).json()
    assert found["openapi"] == "3.0.3"
    get = found["paths"]["/persons/{id}"]["get"]
    assert get["parameters"][0] == {
        "name": "id", "in": "path", "required": True, "description": "",
        "schema": {"type": "string"},
    }  # fmt: skip
    columns = get["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    assert columns["born"] == {"type": "string", "format": "date", "nullable": True}
    post = found["paths"]["/persons/search"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name"]
    assert "404" not in post["responses"]


async def test_health_tells_whether_the_database_answers(client: Client) -> None:
    assert (await client.get("/health/live")).status == 200
    assert await (await client.get("/health/ready")).json() == {"ready": True}


async def test_every_query_that_the_database_refuses_is_named_at_the_start(persons: str) -> None:
    chosen = settings(
        Query(name="first", path="/a", sql="SELECT * FROM nowhere"),
        Query(name="second", path="/b", sql="SELEKT"),
    )
    source = await open_source(chosen, persons)
    with pytest.raises(StorageError) as caught:
        await build_app(chosen, source)
    assert "query 'first'" in str(caught.value)
    assert "query 'second'" in str(caught.value)
    await source.close()


async def test_a_database_that_is_away_is_told_without_its_password() -> None:
    dsn = "postgresql://someone:very-secret@127.0.0.1:1/x"
    with pytest.raises(StorageError) as caught:
        await open_source(settings(PERSON), dsn)
    assert "can't be opened" in str(caught.value)
    assert "very-secret" not in str(caught.value)


async def test_a_database_that_goes_away_is_told_as_503(persons: str) -> None:
    chosen = settings(PERSON)
    source = await open_source(chosen, persons)
    app = await build_app(chosen, source)
    opened: Client = TestClient(TestServer(app))
    async with opened:
        await source.close()
        assert (await opened.get("/persons/1")).status == 503
        answer = await opened.get("/health/ready")
        assert answer.status == 503
        assert isinstance(answer, aiohttp.ClientResponse)
