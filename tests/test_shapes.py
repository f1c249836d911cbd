"""Shapes as JSON Schema, and values that are read by them."""

import contextlib
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.operations import BadParameter
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, ValueType, json_schema
from adapters.values import read_fields, read_value

ADDRESS = Record((Field("street"), Field("number", Scalar(ValueType.INTEGER), required=False)))
PERSON = (
    Field("id", Scalar(max_length=11)),
    Field("addresses", ListOf(ADDRESS, max_items=2), required=False),
    Field("note", Scalar(nullable=True)),
    Field("rest", AnyValue(), required=False),
)


def test_a_record_is_described_with_its_meanings() -> None:
    record = Record(
        (
            Field("id", Scalar(max_length=11), concept="urn:id", description="the number"),
            Field("sex", Scalar(choices=("F", "M"), nullable=True), required=False),
            Field("tags", ListOf(Scalar(ValueType.DATE))),
        )
    )
    assert json_schema(record) == {
        "type": "object",
        "required": ["id", "tags"],
        "properties": {
            "id": {"type": "string", "maxLength": 11, "description": "the number",
                   "x-concept": "urn:id"},
            "sex": {"type": "string", "enum": ["F", "M"], "nullable": True},
            "tags": {"type": "array", "items": {"type": "string", "format": "date"}},
        },
    }  # fmt: skip


def test_nested_values_are_read_and_absent_ones_are_none() -> None:
    given_values = {"id": "1", "addresses": [{"street": "A", "number": "3"}], "note": None}
    assert read_fields(PERSON, given_values) == {
        "id": "1", "addresses": [{"street": "A", "number": 3}], "note": None, "rest": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"note": "x"}, "id"),
        ({"id": "1"}, "note"),
        ({"id": "1", "note": "x", "other": 1}, "other"),
        ({"id": "1", "note": "x", "addresses": [{"street": "A", "number": "x"}]},
         "addresses.0.number"),
        ({"id": "1", "note": "x", "addresses": [{}]}, "addresses.0.street"),
        ({"id": "1", "note": "x", "addresses": [None]}, "addresses.0"),
        ({"id": "1", "note": "x", "addresses": [{"street": "A"}] * 3}, "addresses"),
        ({"id": "1", "note": "x", "addresses": "A"}, "addresses.0"),
        ({"id": {"a": 1}, "note": "x"}, "id"),
        ({"id": "1" * 12, "note": "x"}, "id"),
        ({"id": "\ud800", "note": "x"}, "id"),
        ({"id": "a\0", "note": "x"}, "id"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_its_place(values: dict[str, object], place: str) -> None:
    with pytest.raises(BadParameter) as caught:
        read_fields(PERSON, values)
    assert caught.value.parameter == place


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ValueType.INTEGER, "-9223372036854775808", -(2**63)),
        (ValueType.NUMBER, "1.50", Decimal("1.50")),
        (ValueType.NUMBER, 1e-7, Decimal("1e-7")),
        (ValueType.BOOLEAN, True, True),
        (ValueType.DATE, "2020-02-29", date(2020, 2, 29)),
        (ValueType.DATETIME, "2020-02-29T01:02:03Z", datetime(2020, 2, 29, 1, 2, 3, tzinfo=UTC)),
        (ValueType.UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (ValueType.BINARY, "AAE=", b"\0\1"),
    ],
)
def test_every_type_is_read(kind: ValueType, text: object, value: object) -> None:
    assert read_value(Scalar(kind), text, "x") == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ValueType.INTEGER, "9223372036854775808"),
        (ValueType.INTEGER, "1.0"),
        (ValueType.INTEGER, "1_000"),
        (ValueType.NUMBER, "NaN"),
        (ValueType.NUMBER, "1e9999"),
        (ValueType.BOOLEAN, "yes"),
        (ValueType.DATE, "2021-02-29"),
        (ValueType.DATETIME, "soon"),
        (ValueType.UUID, "1"),
        (ValueType.BINARY, "A*=="),
    ],
)
def test_a_value_of_another_type_is_refused(kind: ValueType, text: str) -> None:
    with pytest.raises(BadParameter, match=f"'x' is no {kind.value}"):
        read_value(Scalar(kind), text, "x")


@given(st.sampled_from(ValueType), st.text(alphabet="0123456789-+.eET:Zé\0\ud800 ", max_size=24))
def test_any_text_is_read_or_refused(kind: ValueType, text: str) -> None:
    with contextlib.suppress(BadParameter):
        assert read_value(Scalar(kind), text, "x") is not None
