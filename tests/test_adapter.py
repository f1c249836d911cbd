"""The adapter over real HTTP in front of real databases of three makes."""

import itertools
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from adapters.operations import Caller, Source
from adapters.parameters import Parameter
from adapters.settings import LimitSettings
from adapters.shapes import Record, Scalar, ValueType
from adapters.shell import build_app
from adapters.sql.kind import open_sql
from adapters.sql.mariadb import literal, rights_beyond_reading
from adapters.sql.settings import (
    ColumnSettings,
    DatabaseSettings,
    Paging,
    Query,
    QueryMethod,
    SqlSettings,
)
from scripts.postgres import PostgresServer
from tests.sql_databases import (
    MariaServer,
    maria_register,
    maria_server,
    postgres_register,
    sqlite_register,
    wait_for,
)
from trust.errors import ConfigurationError, StorageError

Client = TestClient[web.Request, web.Application]
JSON = {"Content-Type": "application/json"}
MAKES = ("postgresql", "sqlite", "mariadb")
_NUMBERS = itertools.count(1)

ID = Parameter(name="id")
BORN = ColumnSettings(name="born", field="birthDate", type=ValueType.DATE, concept="urn:born")
INCOME = ColumnSettings(name="income", type=ValueType.DECIMAL)
PERSON = Query(
    name="person",
    path="/persons/{id}",
    sql="SELECT id, name, born, income FROM person WHERE id = :id",
    parameters=(ID,),
    columns=(BORN, INCOME),
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
        Parameter(name="since", type=ValueType.DATE, required=False),
    ),
    max_rows=2,
)
PAGES = Query(
    name="pages",
    path="/pages",
    sql="SELECT id, name FROM person -- in an order",
    paging=Paging.KEYSET,
    page_by=("name", "id"),
    max_rows=3,
)
NUMBERED = Query(
    name="numbered",
    path="/numbered",
    sql="SELECT id FROM person WHERE name <> :not ORDER BY id DESC;",
    parameters=(Parameter(name="not"),),
    paging=Paging.OFFSET,
    max_rows=3,
)
DIGITS = "(" + " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(30)) + ")"
SLOW = Query(
    name="slow",
    path="/slow",
    sql="SELECT sum(a.d + b.d * c.d + d.d + e.d * f.d) AS n FROM "
    + ", ".join(f"{DIGITS} {name}" for name in "abcdef"),
)
WRITING = (
    "DELETE FROM person",
    "PRAGMA query_only = OFF",
    "CREATE TABLE x (y int)",
    "SELECT 1 AS n; DELETE FROM person",
    "SELECT 1 AS n) AS x; DELETE FROM person; SELECT * FROM (SELECT 1 AS n",
)
ECHO = Query(
    name="echo",
    path="/echo",
    sql="SELECT id FROM person WHERE id = :id OR name = :id",
    method=QueryMethod.POST,
    parameters=(ID,),
)


@pytest.fixture(scope="module")
def maria() -> Iterator[MariaServer]:
    with maria_server() as server:
        yield server


@pytest.fixture(params=MAKES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """What a register of one make is made from."""
    match request.param:
        case "postgresql":
            names = ("postgres_server", "database_dsn")
            return tuple(request.getfixturevalue(name) for name in names)
        case "mariadb":
            return request.getfixturevalue("maria")
        case _:
            return tmp_path / "register.db"


@pytest.fixture
async def address(empty: object) -> str:
    """The address of a small register, for an account that only reads."""
    match empty:
        case (PostgresServer() as server, str() as dsn):
            return await postgres_register(server, dsn)
        case MariaServer():
            await wait_for(empty)
            return await maria_register(empty, f"register_{next(_NUMBERS)}")
        case Path():
            return sqlite_register(empty)
        case _:
            raise AssertionError


def settings(address: str, folder: Path, *queries: Query, **values: object) -> SqlSettings:
    file = folder / "database.dsn"
    file.write_text(address)
    file.chmod(0o600)
    limits = values.pop("limits", LimitSettings())
    seconds = values.pop("timeout", 5)
    assert isinstance(limits, LimitSettings)
    assert isinstance(seconds, int | float)
    database = DatabaseSettings(
        dsn_file=file,
        connections=2,
        timeout=timedelta(seconds=seconds),
        allow_privileged=bool(values.pop("allow_privileged", False)),
    )
    assert not values
    return SqlSettings(title="Persons", database=database, query=queries, limits=limits)


@asynccontextmanager
async def serving(chosen: SqlSettings) -> AsyncIterator[tuple[Client, Source]]:
    source = await open_sql(chosen)
    try:
        opened: Client = TestClient(TestServer(build_app(chosen, source)))
        async with opened:
            yield opened, source
    finally:
        await source.close()


@pytest.fixture
async def client(address: str, tmp_path: Path) -> AsyncIterator[Client]:
    chosen = settings(address, tmp_path, PERSON, SEARCH, PAGES, NUMBERED, SLOW, ECHO, timeout=1)
    async with serving(chosen) as (opened, _):
        yield opened


async def test_one_row_is_answered_as_an_object(client: Client) -> None:
    answer = await client.get("/persons/1")
    assert answer.status == 200
    assert await answer.json() == {
        "id": "1", "name": "Ann", "birthDate": "1990-05-01", "income": "10.50",
    } or await answer.json() == {
        "id": "1", "name": "Ann", "birthDate": "1990-05-01", "income": "10.5",
    }  # fmt: skip
    assert (await client.get("/persons/9")).status == 404


async def test_many_rows_are_cut_at_the_limit_and_say_so(client: Client) -> None:
    answer = await client.post("/persons/search", json={"name": "Bo"})
    assert await answer.json() == {
        "items": [{"id": "2", "name": "Bo"}, {"id": "3", "name": "Bo"}], "more": True,
    }  # fmt: skip
    answer = await client.post("/persons/search", json={"name": "Bo", "since": "2011-01-01"})
    assert await answer.json() == {"items": [{"id": "4", "name": "Bo"}], "more": False}


async def test_pages_follow_each_other_by_key(client: Client) -> None:
    first = await (await client.get("/pages", params={"size": "3"})).json()
    assert [row["id"] for row in first["items"]] == ["1", "2", "3"]
    assert first["more"] is True
    onwards = {"size": "3", "after": first["next"]}
    second = await (await client.get("/pages", params=onwards)).json()
    assert second == {"items": [{"id": "4", "name": "Bo"}], "more": False, "next": None}


async def test_pages_by_number(client: Client) -> None:
    async def page(number: int) -> object:
        query = {"not": "Ann", "size": "2", "page": str(number)}
        return await (await client.get("/numbered", params=query)).json()

    assert await page(1) == {"items": [{"id": "4"}, {"id": "3"}], "more": True}
    assert await page(2) == {"items": [{"id": "2"}], "more": False}
    assert await page(3) == {"items": [], "more": False}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"size": "4"}, "size"),
        ({"size": "0"}, "size"),
        ({"after": "x"}, "after"),
        ({"after": "WyJBbm4iXQ"}, "after"),
        ({"after": "W251bGwsbnVsbF0"}, "after"),
        ({"after": "é"}, "after"),
    ],
)
async def test_a_page_that_is_none_is_the_caller_s_fault(
    client: Client, query: dict[str, str], parameter: str
) -> None:
    answer = await client.get("/pages", params=query)
    assert answer.status == 400
    assert (await answer.json())["parameter"] == parameter


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


async def test_a_query_that_takes_too_long_is_stopped_by_the_database(client: Client) -> None:
    answer = await client.get("/slow")
    assert answer.status == 504
    assert (await client.get("/persons/1")).status == 200


HOSTILE = st.text(
    alphabet=st.sampled_from("'\"`\\%;:#-/*()$?\n\x1a\x08é¿߿\U0001f600 AaZz019_="), max_size=40
)


async def test_no_value_ever_becomes_sql(client: Client) -> None:
    """Whatever is given comes back as the value that it is, or finds nothing."""
    values = [
        "' OR '1'='1", "\\' OR 1=1 -- ", "1; DROP TABLE person", "%s", "%(id)s", ":id", "$1", "?",
        "`", '"', "\\", "*/ 1 /*", "¿' OR 1=1 #", "\ubf27 OR 1=1", "{0}", "x'41'", "\x1a",
    ]  # fmt: skip
    for value in values:
        answer = await client.post("/echo", json={"id": value})
        assert (answer.status, await answer.json()) == (200, {"items": [], "more": False}), value
    assert (await (await client.get("/persons/1")).json())["name"] == "Ann"


async def test_any_text_finds_itself_and_nothing_else(address: str, tmp_path: Path) -> None:
    """A query that answers what it was given: the database has seen exactly that text."""
    cast = "CAST(:word AS char(200))" if address.startswith("mariadb") else "CAST(:word AS text)"
    echo = Query(
        name="word",
        path="/word",
        sql=f"SELECT {cast} AS word, '%s :word' AS fixed",
        parameters=(Parameter(name="word"),),
        single=True,
    )
    async with serving(settings(address, tmp_path, echo)) as (_, source):
        (operation,) = source.operations
        seen: list[str] = []

        @given(HOSTILE)
        @bounded(
            max_examples=150,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        def collect(word: str) -> None:
            seen.append(word)

        collect()
        for word in seen:
            answer = await source.run(operation, {"word": word}, Caller())
            assert answer == {"word": word, "fixed": "%s :word"}


async def test_the_adapter_describes_itself(client: Client) -> None:
    found = await (await client.get("/openapi.json")).json()
    assert found["openapi"] == "3.0.3"
    get = found["paths"]["/persons/{id}"]["get"]
    assert get["parameters"][0] == {
        "name": "id", "in": "path", "required": True, "description": "",
        "schema": {"type": "string", "maxLength": 4096},
    }  # fmt: skip
    columns = get["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    assert columns["birthDate"] == {
        "type": "string", "format": "date", "nullable": True, "x-concept": "urn:born",
    }  # fmt: skip
    assert columns["name"] == {"type": "string", "nullable": True}
    post = found["paths"]["/persons/search"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name"]
    assert "404" not in post["responses"]


async def test_health_tells_whether_the_database_answers(client: Client) -> None:
    assert (await client.get("/health/live")).status == 200
    assert await (await client.get("/health/ready")).json() == {"ready": True}


async def test_every_query_that_the_database_refuses_is_named_at_the_start(
    address: str, tmp_path: Path
) -> None:
    chosen = settings(
        address,
        tmp_path,
        Query(name="first", path="/a", sql="SELECT * FROM nowhere"),
        Query(name="second", path="/b", sql="SELEKT"),
        Query(name="third", path="/c", sql="SELECT id, name AS id FROM person"),
        Query(name="fourth", path="/d", sql="SELECT id FROM person",
              columns=(ColumnSettings(name="lost"),)),
        Query(name="fifth", path="/e", sql="SELECT id FROM person", paging=Paging.KEYSET,
              page_by=("born",)),
        Query(name="sixth", path="/f", sql="DELETE FROM person"),
    )  # fmt: skip
    with pytest.raises(StorageError) as caught:
        await open_sql(chosen)
    for name in ("first", "second", "third", "fourth", "fifth", "sixth"):
        assert f"query '{name}': " in str(caught.value)
    assert "there is no column 'lost'" in str(caught.value)


async def test_a_query_can_t_write(address: str, tmp_path: Path) -> None:
    """Not even where the account may: what is opened is a session that only reads."""
    for sql in WRITING:
        with pytest.raises(StorageError, match="query 'write'"):
            await open_sql(settings(address, tmp_path, Query(name="write", path="/write", sql=sql)))


async def test_an_account_that_may_write_is_refused_unless_it_is_allowed(
    empty: object, address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    match empty:
        case (_, str() as owner):
            powerful = owner
        case MariaServer() as server:
            powerful = server.address("root", "", "mysql")
        case _:
            pytest.skip("SQLite has no accounts; a file is opened for reading alone")
    query = Query(name="one", path="/one", sql="SELECT 1 AS n")
    with pytest.raises(StorageError, match="give it SELECT only, or set allow_privileged"):
        await open_sql(settings(powerful, tmp_path, query))
    allowed = settings(powerful, tmp_path, query, allow_privileged=True)
    async with serving(allowed) as (client, _):
        assert (await client.get("/one")).status == 200
    assert "it needs SELECT and nothing more" in caplog.text


@pytest.mark.parametrize(
    ("grant", "found"),
    [
        ("GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*00'", []),
        ("GRANT SELECT, SHOW VIEW ON `land`.* TO `a`@`%`", []),
        ("GRANT SELECT (`a`, `b`) ON `land`.`t` TO `a`@`%`", []),
        ("GRANT SELECT, INSERT (`a`, `b`) ON `land`.`t` TO `a`@`%`", ["may INSERT on `land`.`t`"]),
        ("GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", ["may ALL PRIVILEGES on *.*"]),
        ("GRANT SELECT ON *.* TO `a`@`%` WITH GRANT OPTION", ["may grant rights on *.*"]),
        ("GRANT EXECUTE ON PROCEDURE `l`.`p` TO `a`@`%`", ["may EXECUTE on PROCEDURE `l`.`p`"]),
        ("GRANT PROXY ON ''@'%' TO `a`@`%`", ["may PROXY on ''@'%'"]),
    ],
)
def test_a_right_that_an_adapter_does_not_need_is_named(grant: str, found: list[str]) -> None:
    assert rights_beyond_reading(grant) == found


async def test_the_rights_of_a_role_count(maria: MariaServer, tmp_path: Path) -> None:
    await wait_for(maria)
    address = await maria_register(maria, "with_role")
    await maria.execute(
        "CREATE ROLE writer_role", "GRANT INSERT ON with_role.* TO writer_role",
        "GRANT writer_role TO with_role@localhost",
    )  # fmt: skip
    with pytest.raises(StorageError, match="may INSERT on `with_role`"):
        await open_sql(settings(address, tmp_path, PERSON))


@given(st.one_of(HOSTILE, st.binary(max_size=20), st.datetimes(), st.dates(), st.integers()))
def test_no_character_of_a_value_stands_in_sql_for_mariadb(value: object) -> None:
    assert re.fullmatch(r"(_utf8mb4 )?X'[0-9a-f]*'|'[0-9:. -]+'|-?[0-9]+", literal(value))


async def test_a_session_only_reads_even_where_the_account_may_write(
    database_dsn: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("CREATE SEQUENCE s")
    await connection.close()
    query = Query(name="write", path="/write", sql="SELECT nextval('s')::text AS n")
    chosen = settings(database_dsn, tmp_path, query, allow_privileged=True)
    async with serving(chosen) as (client, _):
        assert (await client.get("/write")).status == 503


NUMBERS = Query(
    name="numbers",
    path="/numbers",
    sql="SELECT (:small::int4 * :factor::int4)::text AS n, :word::text AS w",
    parameters=(
        Parameter(name="small", type=ValueType.INTEGER),
        Parameter(name="factor", type=ValueType.INTEGER),
        Parameter(name="word"),
    ),
)


@pytest.fixture
async def postgres(postgres_server: PostgresServer, database_dsn: str) -> str:
    return await postgres_register(postgres_server, database_dsn)


@pytest.mark.parametrize(
    ("grant", "found"),
    [
        ("GRANT INSERT ON person TO {role}", "may write to public.person"),
        ("GRANT UPDATE (name) ON person TO {role}", "may write to public.person"),
        ("GRANT DELETE ON person TO PUBLIC", "may write to public.person"),
        ("GRANT TRUNCATE ON person TO {other}; GRANT {other} TO {role}",
         "may write to public.person"),
        ("ALTER ROLE {role} NOINHERIT; GRANT INSERT ON person TO {other}; GRANT {other} TO {role}",
         "may write to public.person"),
        ("GRANT pg_write_server_files TO {role}", "is a member of pg_write_server_files"),
        ("ALTER ROLE {role} CREATEROLE", "may create roles"),
    ],
)  # fmt: skip
async def test_every_way_to_write_is_found_in_postgresql(
    postgres_server: PostgresServer, database_dsn: str, tmp_path: Path, grant: str, found: str
) -> None:
    address = await postgres_register(postgres_server, database_dsn)
    role, database = f"reader_{_name_of(database_dsn)}", _name_of(database_dsn)
    root = await asyncpg.connect(
        postgres_server.superuser_dsn.replace("/postgres?", f"/{database}?")
    )
    await root.execute(f"CREATE ROLE other_{role}")
    try:
        await root.execute(grant.format(role=role, other=f"other_{role}"))
        with pytest.raises(StorageError, match=f"the account {found}: give it SELECT only"):
            await open_sql(settings(address, tmp_path, PERSON))
    finally:
        await root.execute(f"DROP OWNED BY other_{role}; DROP ROLE other_{role}")
        await root.execute(f"ALTER ROLE {role} NOCREATEROLE")
        await root.close()


def _name_of(dsn: str) -> str:
    return dsn.partition("?")[0].rpartition("/")[2]


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
    postgres: str, tmp_path: Path, values: dict[str, str], parameter: str | None
) -> None:
    async with serving(settings(postgres, tmp_path, NUMBERS)) as (client, _):
        answer = await client.get("/numbers", params=values)
        assert answer.status == 400
        assert (await answer.json()).get("parameter") == parameter


async def test_a_parameter_of_another_type_than_the_sql_s_is_found_at_the_start(
    postgres: str, tmp_path: Path
) -> None:
    query = Query(
        name="typed",
        path="/typed",
        sql="SELECT name FROM person WHERE id = :id",
        parameters=(Parameter(name="id", type=ValueType.INTEGER),),
    )
    with pytest.raises(StorageError, match="'id' is declared as integer and the SQL makes text"):
        await open_sql(settings(postgres, tmp_path, query))


async def test_every_type_of_postgresql_is_answered(postgres: str, tmp_path: Path) -> None:
    query = Query(
        name="types",
        path="/types",
        single=True,
        sql="""SELECT 1::int8 AS i, 1.5::float8 AS f, 1.50::numeric AS n, true AS b, 'x'::text AS t,
            '2020-01-02'::date AS d, '2020-01-02 03:04:05Z'::timestamptz AS m,
            '00000000-0000-0000-0000-000000000001'::uuid AS u, '\\x00ff'::bytea AS y,
            '{"a": [1]}'::jsonb AS j, ARRAY[1, 2] AS l, '1 day'::interval AS v,
            '10.0.0.1'::inet AS a, ROW(1, 'x') AS r, '[1,3)'::int4range AS g""",
    )
    async with serving(settings(postgres, tmp_path, query)) as (client, _):
        answer = await (await client.get("/types")).json()
        assert {name: answer[name] for name in "ifnbtdmuyjla"} == {
            "i": 1, "f": 1.5, "n": "1.50", "b": True, "t": "x", "d": "2020-01-02",
            "m": "2020-01-02T03:04:05Z", "u": "00000000-0000-0000-0000-000000000001",
            "y": "AP8=", "j": {"a": [1]}, "l": [1, 2], "a": "10.0.0.1",
        }  # fmt: skip


async def test_every_type_of_mariadb_is_answered(maria: MariaServer, tmp_path: Path) -> None:
    await wait_for(maria)
    address = await maria_register(maria, "with_types")
    await maria.execute(
        "CREATE TABLE t (i bigint, f double, n decimal(6, 2), t text, c char(3), b blob, d date,"
        " m datetime(3), v varbinary(9), e enum('x', 'y'), j json, y year)",
        "INSERT INTO t VALUES (1, 1.5, 1.50, 'long', 'abc', x'00ff', '2020-01-02',"
        " '2020-01-02 03:04:05.5', x'01', 'x', '{\"a\": [1]}', 2020)",
        database="with_types",
    )
    query = Query(name="types", path="/types", single=True, sql="SELECT * FROM t")
    async with serving(settings(address, tmp_path, query)) as (client, source):
        assert await (await client.get("/types")).json() == {
            "i": 1, "f": 1.5, "n": "1.50", "t": "long", "c": "abc", "b": "AP8=",
            "d": "2020-01-02", "m": "2020-01-02T03:04:05.500000", "v": "AQ==", "e": "x",
            "j": '{"a": [1]}', "y": 2020,
        }  # fmt: skip
        (operation,) = source.operations
        assert isinstance(operation.answer, Record)
        shapes = {field.name: field.shape for field in operation.answer.fields}
        assert shapes["t"] == shapes["c"] == shapes["j"] == Scalar(ValueType.TEXT, nullable=True)
        assert shapes["b"] == shapes["v"] == Scalar(ValueType.BINARY, nullable=True)


async def test_paging_needs_a_known_type(tmp_path: Path) -> None:
    address = sqlite_register(tmp_path / "register.db")
    query = Query(name="q", path="/q", sql="SELECT length(id) AS n, id FROM person",
                  paging=Paging.KEYSET, page_by=("n", "id"))  # fmt: skip
    with pytest.raises(StorageError, match="'n' to page by has no known type"):
        await open_sql(settings(address, tmp_path, query))
    columns = (ColumnSettings(name="n", type=ValueType.INTEGER),)
    async with serving(settings(address, tmp_path, replace(query, columns=columns))) as (client, _):
        first = await (await client.get("/q?size=3")).json()
        onwards = await client.get("/q", params={"after": first["next"]})
        assert [row["id"] for row in (await onwards.json())["items"]] == ["4"]


async def test_an_error_of_the_database_is_logged_without_the_values_of_callers(
    postgres: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Query(
        name="broken",
        path="/broken",
        sql="SELECT (:word::text)::regclass::text AS n",
        parameters=(Parameter(name="word"),),
    )
    async with serving(settings(postgres, tmp_path, broken)) as (client, _):
        with caplog.at_level("INFO"):
            answer = await client.get("/broken", params={"word": "p38001010000"})
        assert answer.status == 503
        told = [entry.getMessage() for entry in caplog.records if entry.name == "sacbe.adapter"]
        assert "failure='UndefinedTableError, SQLSTATE 42P01'" in told[-1]
        assert "38001010000" not in "".join(told)
        assert "38001010000" not in await answer.text()


async def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    for scheme in ("postgresql", "mariadb"):
        dsn = f"{scheme}://someone:very-secret@127.0.0.1:1/x"
        with pytest.raises(StorageError) as caught:
            await open_sql(settings(dsn, tmp_path, PERSON))
        assert "can't be opened" in str(caught.value)
        assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["nonsense", "nonsense://x", "sqlite+nothing:///x"])
async def test_an_address_that_is_none_is_told_without_it(dsn: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, StorageError)) as caught:
        await open_sql(settings(dsn, tmp_path, PERSON))
    assert "database address" in str(caught.value)


async def test_a_database_that_goes_away_is_told_as_503(postgres: str, tmp_path: Path) -> None:
    async with serving(settings(postgres, tmp_path, PERSON)) as (client, source):
        await source.close()
        assert (await client.get("/persons/1")).status == 503
        assert (await client.get("/health/ready")).status == 503


async def test_a_sqlite_value_that_is_not_of_its_type_is_told_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = sqlite_register(tmp_path / "register.db")
    connection = sqlite3.connect(tmp_path / "register.db")
    connection.execute("INSERT INTO person VALUES ('9', 'Odd', 'some day', NULL)")
    connection.commit()
    connection.close()
    async with serving(settings(address, tmp_path, PERSON)) as (client, _):
        assert (await client.get("/persons/9")).status == 503
    assert "query 'person': column 'born' holds what is no date" in caplog.text
    assert "some day" not in caplog.text


async def test_a_sqlite_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no readable database"):
        await open_sql(settings(f"sqlite:///{tmp_path}/none.db", tmp_path, PERSON))
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "none.db").write_text("no database " * 100)
    with pytest.raises(StorageError, match="no readable database"):
        await open_sql(settings(f"sqlite:///{tmp_path}/none.db", tmp_path, PERSON))


async def test_any_other_engine_works_where_its_rights_are_answered_for(tmp_path: Path) -> None:
    """Here SQLite without what is special for it, as an engine that nobody knows."""
    address = sqlite_register(tmp_path / "register.db").replace("sqlite:", "sqlite+aiosqlite:")
    with pytest.raises(StorageError, match="rights that can't be found out on sqlite"):
        await open_sql(settings(address, tmp_path, PERSON))
    async with serving(settings(address, tmp_path, PERSON, allow_privileged=True)) as (client, _):
        assert (await (await client.get("/persons/1")).json())["birthDate"] == "1990-05-01"
        assert (await client.get("/persons/9")).status == 404


async def test_a_mysql_is_reached_by_naming_its_driver(maria: MariaServer, tmp_path: Path) -> None:
    await wait_for(maria)
    address = await maria_register(maria, "as_mysql")
    other = address.replace("mariadb:", "mysql+aiomysql:")
    chosen = settings(other, tmp_path, PERSON, SEARCH, allow_privileged=True)
    async with serving(chosen) as (client, _):
        assert (await (await client.get("/persons/1")).json())["income"] == "10.50"
        assert (await client.get("/persons/9")).status == 404
        found = await client.post("/persons/search", json={"name": "Bo"})
        assert (await found.json())["more"] is True
