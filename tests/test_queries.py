import contextlib
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.operations import BadParameter
from adapters.parameters import Parameter
from adapters.shapes import Scalar, ValueType
from adapters.sql.answers import Answer, Column
from adapters.sql.fitting import fit
from adapters.sql.paging import LIMIT, SKIP, Pages, read_token, write_token
from adapters.sql.settings import ColumnSettings, Paging, Query, QueryMethod, query_problems
from adapters.sql.statements import Grammar, Statement, numbered, read_statement
from adapters.values import read_values

BY_ID = Query(
    name="person",
    path="/persons/{id}",
    sql="SELECT name FROM person WHERE id = :id",
    parameters=(Parameter(name="id"),),
    single=True,
)


PG = Grammar.POSTGRESQL


def read(sql: str, grammar: Grammar = PG) -> Statement:
    return read_statement(sql, grammar)


def test_a_name_becomes_one_number_however_often_it_stands() -> None:
    statement = read("SELECT * FROM t WHERE a = :a AND b > :b AND c < :a;")
    assert numbered(statement) == "SELECT * FROM t WHERE a = $1 AND b > $2 AND c < $1"
    assert statement.names == ("a", "b")
    assert statement.places == ("a", "b", "a")


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (PG, "SELECT ':a'"),
        (PG, "SELECT 'it''s :a'"),
        (PG, r"SELECT E'it\'s :a'"),
        (PG, 'SELECT ":a"'),
        (PG, "SELECT 1 -- :a"),
        (PG, "SELECT 1 /* :a */"),
        (PG, "SELECT $$ :a $$"),
        (PG, "SELECT $x$ :a $$ :b $x$"),
        (PG, "SELECT '1'::int"),
        (Grammar.MARIADB, r"""SELECT 'it\'s :a', "\" :a", `:a` # :a"""),
        (Grammar.SQLITE, "SELECT [:a], `:a`, ':a', \":a\" -- :a"),
    ],
)
def test_what_only_looks_like_a_parameter_stays(grammar: Grammar, text: str) -> None:
    statement = read(text, grammar)
    assert statement.written(lambda name: "?") == text
    assert statement.names == ()


@given(st.sampled_from(Grammar), st.text(alphabet="a:'\"$-/*`#[]\\ \n", max_size=60))
def test_any_text_is_read_in_one_pass(grammar: Grammar, text: str) -> None:
    statement = read(text, grammar)
    assert len(statement.places) <= text.count(":")
    assert statement.written(lambda name: f":{name}") == text.strip().removesuffix(";")


def answer(query: Query) -> Answer:
    return Answer(query, [Column(name, Scalar(ValueType.TEXT), True) for name in ("a", "b")])


def test_a_page_by_key_goes_on_after_the_last_row() -> None:
    query = Query(name="q", path="/q", sql="SELECT a, b FROM t -- :x", paging=Paging.KEYSET,
                  page_by=("b", "a"), max_rows=500)  # fmt: skip
    pages = Pages(query, read(query.sql), lambda name: f'"{name}"')
    given_values = read_values(answer(query).operation, {"after": write_token(["y", "z"])})
    statement, values, size = pages.page(given_values, answer(query).key_types())
    assert size == 100
    assert numbered(statement) == (
        'SELECT * FROM (\nSELECT a, b FROM t -- :x\n) AS answer WHERE ("b", "a") > ($1, $2) '
        'ORDER BY "b", "a" LIMIT $3'
    )
    assert [values[name] for name in statement.names] == ["y", "z", 101]


def test_a_page_by_number_is_counted_from_one() -> None:
    query = Query(name="q", path="/q", sql="SELECT a, b FROM t", paging=Paging.OFFSET)
    pages = Pages(query, read(query.sql), str)
    given_values = read_values(answer(query).operation, {"page": "3", "size": "20"})
    statement, values, _ = pages.page(given_values, ())
    assert numbered(statement) == "\nSELECT a, b FROM t\nLIMIT $1 OFFSET $2"
    assert (values[LIMIT], values[SKIP]) == (21, 40)


KEYS = st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1), st.dates(), st.uuids())
KEY_TYPES = (ValueType.TEXT, ValueType.INTEGER, ValueType.DATE, ValueType.UUID)


@given(KEYS.filter(lambda keys: "\0" not in keys[0]))
def test_a_token_says_what_was_written(keys: tuple[object, ...]) -> None:
    assert read_token(write_token(keys), KEY_TYPES) == list(keys)


@given(st.text(alphabet="Wabc0123456789-_=é", max_size=40))
def test_any_token_is_read_or_refused(token: str) -> None:
    with contextlib.suppress(BadParameter):
        assert len(read_token(token, (ValueType.TEXT,))) == 1


def test_all_problems_are_named_at_once() -> None:
    query = Query(
        name="bad",
        path="/x/{missing}/{opt}",
        sql="SELECT :undeclared, :opt",
        parameters=(
            Parameter(name="opt", required=False),
            Parameter(name="unused"),
            Parameter(name="unused"),
        ),
    )
    problems = query_problems([query, query])
    texts = "\n".join(problem.found for problem in problems)
    for expected in (
        "':undeclared' is not declared",
        "'unused' is not used",
        "'unused' is declared twice",
        "'{missing}' is not declared",
        "'opt' is optional",
        "GET /x/{missing}/{opt} a second time",
        "the name 'bad' a second time",
    ):
        assert expected in texts
    assert {problem.path[:2] for problem in problems} == {("query", 0), ("query", 1)}


def test_no_query_at_all_is_a_problem() -> None:
    assert [problem.found for problem in query_problems([])] == ["no [[query]]"]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (Query(name="q", path="/metrics", sql="SELECT 1"), "path '/metrics'"),
        (Query(name="getWsdl", path="/q", sql="SELECT 1"), "the name 'getWsdl'"),
        (Query(name="q", path="/q", sql="SELECT 1", paging=Paging.KEYSET), "needs columns"),
        (Query(name="q", path="/q", sql="SELECT 1", page_by=("a",)), "needs columns"),
        (Query(name="q", path="/q", sql="SELECT 1", single=True, paging=Paging.OFFSET),
         "paging of a single object"),
        (Query(name="q", path="/q", sql="SELECT :size", paging=Paging.OFFSET,
               parameters=(Parameter(name="size"),)), "'size' is one of paging"),
        (Query(name="q", path="/q", sql="SELECT 1",
               columns=(ColumnSettings(name="a", field="b"), ColumnSettings(name="b"))),
         "the answer has 'b' twice"),
    ],
)  # fmt: skip
def test_what_can_t_be_served_is_a_problem(query: Query, problem: str) -> None:
    (found,) = query_problems([query])
    assert problem in found.found


def test_a_good_query_has_no_problem() -> None:
    assert query_problems([BY_ID]) == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ValueType.INTEGER, "-12", -12),
        (ValueType.NUMBER, "1.50", Decimal("1.50")),
        (ValueType.BOOLEAN, "true", True),
        (ValueType.DATE, "2026-02-28", date(2026, 2, 28)),
        (ValueType.TEXT, "'; DROP TABLE person; --", "'; DROP TABLE person; --"),
    ],
)
def test_a_value_is_read_by_its_type(kind: ValueType, text: str, value: object) -> None:
    query = Query(
        name="q", path="/q", sql="SELECT :v", parameters=(Parameter(name="v", type=kind),)
    )
    assert read_values(answer(query).operation, {"v": text}) == {"v": value}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ValueType.INTEGER, "1.5"),
        (ValueType.INTEGER, "9" * 30),
        (ValueType.NUMBER, "NaN"),
        (ValueType.BOOLEAN, "yes"),
        (ValueType.DATE, "2026-02-30"),
        (ValueType.UUID, "x"),
        (ValueType.TEXT, "a\x00b"),
        (ValueType.TEXT, "a" * 5000),
    ],
)
def test_a_value_of_another_type_is_refused(kind: ValueType, text: str) -> None:
    query = Query(
        name="q", path="/q", sql="SELECT :v", parameters=(Parameter(name="v", type=kind),)
    )
    with pytest.raises(BadParameter) as caught:
        read_values(answer(query).operation, {"v": text})
    assert caught.value.parameter == "v"


def test_unknown_missing_and_composite_values_are_refused() -> None:
    with pytest.raises(BadParameter, match="no parameter 'x'"):
        read_values(answer(BY_ID).operation, {"id": "1", "x": "2"})
    with pytest.raises(BadParameter, match="'id' is missing"):
        read_values(answer(BY_ID).operation, {})
    with pytest.raises(BadParameter, match="single value"):
        read_values(answer(BY_ID).operation, {"id": ["1"]})


def test_an_absent_optional_value_is_null() -> None:
    query = Query(
        name="q",
        path="/q",
        sql="SELECT :v::text",
        method=QueryMethod.POST,
        parameters=(Parameter(name="v", required=False),),
    )
    assert read_values(answer(query).operation, {}) == {"v": None}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (ValueType.TEXT, b"a", "a"),
        (ValueType.TEXT, date(2020, 1, 2), "2020-01-02"),
        (ValueType.INTEGER, "12", 12),
        (ValueType.INTEGER, Decimal("12.0"), 12),
        (ValueType.INTEGER, True, 1),
        (ValueType.NUMBER, "1.5", 1.5),
        (ValueType.DECIMAL, 1.5, Decimal("1.5")),
        (ValueType.BOOLEAN, 1, True),
        (ValueType.BOOLEAN, "F", False),
        (ValueType.DATE, "2020-01-02 00:00:00", date(2020, 1, 2)),
        (ValueType.DATE, datetime(2020, 1, 2, 3, tzinfo=UTC), date(2020, 1, 2)),
        (ValueType.DATETIME, "2020-01-02 03:00:00+00:00", datetime(2020, 1, 2, 3, tzinfo=UTC)),
        (ValueType.UUID, UUID(int=1).bytes, UUID(int=1)),
        (ValueType.UUID, str(UUID(int=1)), UUID(int=1)),
        (ValueType.BINARY, "é", "é".encode()),
        (ValueType.BINARY, memoryview(b"x"), b"x"),
    ],
)
def test_what_a_driver_gives_becomes_what_was_declared(
    kind: ValueType, value: object, expected: object
) -> None:
    assert fit(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ValueType.TEXT, b"\xff"),
        (ValueType.INTEGER, "1.5"),
        (ValueType.INTEGER, "NaN"),
        (ValueType.INTEGER, "Infinity"),
        (ValueType.NUMBER, "x"),
        (ValueType.BOOLEAN, 2),
        (ValueType.DATE, "soon"),
        (ValueType.UUID, b"short"),
    ],
)
def test_what_is_not_of_its_type_is_an_error(kind: ValueType, value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is some library's and goes nowhere
        fit(kind, value)
