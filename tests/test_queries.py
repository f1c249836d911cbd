from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.queries import (
    BadParameter,
    Parameter,
    ParameterType,
    Query,
    QueryMethod,
    positional,
    problems_of,
    read_values,
)

BY_ID = Query(
    name="person",
    path="/persons/{id}",
    sql="SELECT name FROM person WHERE id = :id",
    parameters=(Parameter(name="id"),),
    single=True,
)


def test_a_name_becomes_one_number_however_often_it_stands() -> None:
    sql = positional("SELECT * FROM t WHERE a = :a AND b > :b AND c < :a")
    assert sql.text == "SELECT * FROM t WHERE a = $1 AND b > $2 AND c < $1"
    assert sql.names == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ':a'",
        "SELECT 'it''s :a'",
        'SELECT ":a"',
        "SELECT 1 -- :a",
        "SELECT 1 /* :a */",
        "SELECT $$ :a $$",
        "SELECT $x$ :a $$ :b $x$",
        "SELECT '1'::int",
    ],
)
def test_what_only_looks_like_a_parameter_stays(text: str) -> None:
    assert positional(text).text == text
    assert positional(text).names == ()


@given(st.text(alphabet="a:'\"$-/* \n", max_size=60))
def test_any_text_is_read_in_one_pass(text: str) -> None:
    sql = positional(text)
    assert len(sql.names) <= text.count(":")


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
    problems = problems_of([query, query])
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
    assert [problem.found for problem in problems_of([])] == ["no [[query]]"]


@pytest.mark.parametrize("path", ["persons", "/a b", "/a//b", "/{1}", "/a/", "/a?b"])
def test_a_path_that_is_none_is_a_problem(path: str) -> None:
    query = Query(name="q", path=path, sql="SELECT 1")
    assert [problem.found for problem in problems_of([query])] == [f"query 'q': path '{path}'"]


def test_a_good_query_has_no_problem() -> None:
    assert problems_of([BY_ID]) == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ParameterType.INTEGER, "-12", -12),
        (ParameterType.NUMBER, "1.50", Decimal("1.50")),
        (ParameterType.BOOLEAN, "true", True),
        (ParameterType.DATE, "2026-02-28", date(2026, 2, 28)),
        (ParameterType.TEXT, "'; DROP TABLE person; --", "'; DROP TABLE person; --"),
    ],
)
def test_a_value_is_read_by_its_type(kind: ParameterType, text: str, value: object) -> None:
    query = Query(
        name="q", path="/q", sql="SELECT :v", parameters=(Parameter(name="v", type=kind),)
    )
    assert read_values(query, {"v": text}) == {"v": value}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ParameterType.INTEGER, "1.5"),
        (ParameterType.INTEGER, "9" * 30),
        (ParameterType.NUMBER, "NaN"),
        (ParameterType.BOOLEAN, "yes"),
        (ParameterType.DATE, "2026-02-30"),
        (ParameterType.UUID, "x"),
        (ParameterType.TEXT, "a\x00b"),
        (ParameterType.TEXT, "a" * 5000),
    ],
)
def test_a_value_of_another_type_is_refused(kind: ParameterType, text: str) -> None:
    query = Query(
        name="q", path="/q", sql="SELECT :v", parameters=(Parameter(name="v", type=kind),)
    )
    with pytest.raises(BadParameter) as caught:
        read_values(query, {"v": text})
    assert caught.value.parameter == "v"


def test_unknown_missing_and_composite_values_are_refused() -> None:
    with pytest.raises(BadParameter, match="no parameter 'x'"):
        read_values(BY_ID, {"id": "1", "x": "2"})
    with pytest.raises(BadParameter, match="'id' is missing"):
        read_values(BY_ID, {})
    with pytest.raises(BadParameter, match="single value"):
        read_values(BY_ID, {"id": ["1"]})


def test_an_absent_optional_value_is_null() -> None:
    query = Query(
        name="q",
        path="/q",
        sql="SELECT :v::text",
        method=QueryMethod.POST,
        parameters=(Parameter(name="v", required=False),),
    )
    assert read_values(query, {}) == {"v": None}
