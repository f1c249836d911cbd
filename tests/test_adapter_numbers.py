"""Numbers of a source that are a few bytes long and would be written out in a billion digits."""

import time
from decimal import Decimal

import pytest

from adapters.jsontext import parse_json
from adapters.shapes import ValueType
from adapters.sql.fitting import fit


@pytest.mark.parametrize(
    "number", ["1e999999999", "-1e-999999999", "0e999999999", "1e9999999999999999999", "1e401"]
)
def test_json_with_a_number_beyond_all_digits_is_refused(number: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of json: whatever is no JSON
        parse_json(f'{{"a": {number}}}'.encode())


def test_json_keeps_the_digits_of_the_largest_double() -> None:
    assert parse_json(b"[1.50, -1.7976931348623157e308, 5e-324]") == [
        Decimal("1.50"), Decimal("-1.7976931348623157e308"), Decimal("5e-324"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [ValueType.INTEGER, ValueType.DECIMAL])
@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1e9999999"])
def test_a_column_with_such_a_number_does_not_fit(kind: ValueType, text: str) -> None:
    started = time.process_time()
    for value in (text, Decimal(text)):
        with pytest.raises(ValueError):  # noqa: PT011 - what `fit` raises
            fit(kind, value)
    assert time.process_time() - started < 1


def test_the_largest_numbers_of_a_database_fit() -> None:
    largest = Decimal("9" * 131072)
    assert fit(ValueType.DECIMAL, largest) == largest
    assert fit(ValueType.INTEGER, "9223372036854775807.0") == 9223372036854775807
    assert Decimal(str(fit(ValueType.DECIMAL, "NaN"))).is_nan()
