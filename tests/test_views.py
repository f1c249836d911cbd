"""What follows from a value by the rules of a mapping, and that nothing is guessed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.fields.json_text import Number
from catalog.fields.views import derivation_of, derive
from catalog.mapping import EndpointMapping, FieldMapping, Rule, View
from catalog.meaning.vocabulary import FactType

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def derived(
    rule: Rule, text: str, value: object, kind: FactType = FactType.TEXT, at: datetime = AT
) -> object:
    view = View("v", "f", rule, text)
    found = derivation_of(view, EndpointMapping(fields=(FieldMapping("f", "/f", "", kind),)))
    assert found is not None
    return derive(found, value, at)


@pytest.mark.parametrize(
    ("rule", "text", "kind", "value", "expected"),
    [
        (Rule.YEARS_AT_LEAST, "18", "date", "2008-03-01", True),
        (Rule.YEARS_AT_LEAST, "18", "date", "2008-03-02", False),
        (Rule.YEARS_AT_LEAST, "18", "date", "2008-02-29", True),
        (Rule.YEARS_AT_LEAST, "18", "date", "2008-03-01Z", True),
        (Rule.YEARS_AT_LEAST, "18", "datetime", "2008-03-01T23:00:00+02:00", True),
        (Rule.YEARS_AT_LEAST, "0", "date", "2030-01-01", False),
        (Rule.YEARS_AT_LEAST, "18", "date", "2008-3-1", None),
        (Rule.YEARS_AT_LEAST, "18", "date", Number("20080301"), None),
        (Rule.YEARS_AT_LEAST, "x", "date", "2008-03-01", None),
        (Rule.YEAR, "", "date", " 2008-03-01\n", 2008),
        (Rule.YEAR, "", "date", "0000-01-01", None),
        (Rule.BELOW, "10", "number", Number("9.99"), True),
        (Rule.BELOW, "10", "number", Number("1e1"), False),
        (Rule.BELOW, "10", "number", "9", True),
        (Rule.BELOW, "10", "number", "9,5", None),
        (Rule.BELOW, "10", "number", Number("9" * 401), None),
        (Rule.BELOW, "2020-01-01", "date", "2019-12-31", True),
        (Rule.BELOW, "2020-01-01T00:00:00Z", "datetime", "2020-01-01T01:00:00+02:00", True),
        (Rule.BELOW, "2020-01-01T00:00:00Z", "datetime", "2019-01-01", None),
        (Rule.AT_LEAST, "10", "integer", Number("10"), True),
        (Rule.AT_LEAST, "10", "integer", None, None),
        (Rule.EQUALS, "7", "number", Number("7.0"), True),
        (Rule.EQUALS, "7", "text", "7.0", False),
        (Rule.EQUALS, "true", "boolean", True, True),
        (Rule.EQUALS, "a", "text", {"a": 1}, None),
        (Rule.ONE_OF, "a|b", "text", "b", True),
        (Rule.ONE_OF, "a|b", "text", "c", False),
        (Rule.ONE_OF, "1|2", "integer", Number("2"), True),
        (Rule.ONE_OF, "1|2", "integer", "x", None),
        (Rule.PRESENT, "", "record", {"a": 1}, True),
        (Rule.PRESENT, "", "text", "", True),
        (Rule.PRESENT, "", "text", None, False),
    ],
)
def test_a_rule_says_what_follows_from_a_value(
    rule: Rule, text: str, kind: str, value: object, expected: object
) -> None:
    found = derived(rule, text, value, FactType(kind))
    assert found is expected or (expected == 2008 and found == expected)


def test_who_is_born_on_a_leap_day_is_older_on_the_first_of_march() -> None:
    for day, expected in ((28, False), (1, True)):
        at = datetime(2026, 2 if day == 28 else 3, day, tzinfo=UTC)
        assert derived(Rule.YEARS_AT_LEAST, "18", "2008-02-29", FactType.DATE, at) is expected


def test_views_may_follow_from_views_and_never_from_themselves() -> None:
    views = (
        View("year", "birth", Rule.YEAR),
        View("old", "year", Rule.BELOW, "1950"),
        View("known", "old", Rule.PRESENT),
        View("one", "other", Rule.PRESENT),
        View("other", "one", Rule.PRESENT),
        View("lost", "nothing", Rule.PRESENT),
    )
    birth = FieldMapping("birth", "/birth", "", FactType.DATE)
    mapping = EndpointMapping(fields=(birth,), views=views)
    found = {view.name: derivation_of(view, mapping) for view in views}
    assert [name for name, way in found.items() if way is None] == ["one", "other", "lost"]
    old, known = found["old"], found["known"]
    assert old is not None
    assert known is not None
    assert derive(old, "1949-12-31", AT) is True
    assert derive(old, "x", AT) is None
    assert derive(known, "x", AT) is False


@given(
    st.sampled_from(Rule),
    st.text(max_size=12),
    st.none() | st.booleans() | st.text(max_size=12) | st.integers().map(lambda n: Number(str(n))),
    st.sampled_from(FactType),
)
def test_any_value_gives_an_answer_or_null(
    rule: Rule, text: str, value: object, kind: FactType
) -> None:
    found = derived(rule, text, value, kind)
    assert found is None or isinstance(found, (bool, int))
