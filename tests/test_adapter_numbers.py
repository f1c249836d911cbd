"""Values that are short and well-formed, and beyond what can be reckoned with."""

import time
from decimal import Decimal

import pytest

from adapters.jsontext import parse_json
from adapters.operations import BadParameter
from adapters.shapes import Scalar, ValueType
from adapters.sql.fitting import fit
from adapters.values import read_value


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


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_utc_does_not_have_is_a_bad_parameter(text: str) -> None:
    with pytest.raises(BadParameter):
        read_value(Scalar(ValueType.DATETIME), text, "at")
