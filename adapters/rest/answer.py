"""The other service's JSON becomes our answer: picked by pointers, and of the declared types.

What is not declared is left out. An answer that does not hold what was declared is an error of the
service, told without its values.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from adapters.jsontext import value_at
from adapters.rest.route import Picked, Route
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, Shape, ValueType

_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")


class UnfitAnswer(Exception):
    """The answer is not what was declared; `place` is a JSON pointer or a header."""

    def __init__(self, place: str, found: str, expected: str) -> None:
        super().__init__(f"at {place or '/'}: found {found}, expected {expected}")


def read_answer(route: Route, document: object, headers: Mapping[str, str]) -> object:
    """Our answer, of the operation's shape; raises UnfitAnswer.

    Args:
        headers: of the answer, by names in lower case.
    """
    value = value_at(document, route.rows)
    place = "".join(f"/{step}" for step in route.rows)
    if route.picked is None:
        return fit(route.operation.answer, value, place)
    if not route.is_list:
        return _record(route.picked, value, headers, place)
    if not isinstance(value, list):
        raise UnfitAnswer(place, _kind(value), "a list")
    if len(value) > route.max_items:
        raise UnfitAnswer(place, f"{len(value)} items", f"at most {route.max_items}")
    rows = [
        _record(route.picked, item, headers, f"{place}/{number}")
        for number, item in enumerate(value)
    ]
    return {"items": rows}


def _record(
    picked: tuple[Picked, ...], value: object, headers: Mapping[str, str], place: str
) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise UnfitAnswer(place, _kind(value), "an object")
    found: dict[str, object] = {}
    for one in picked:
        if one.header:
            raw: object = headers.get(one.header.lower())
            where = f"header {one.header}"
        else:
            raw = value_at(value, one.steps)
            where = place + "".join(f"/{step}" for step in one.steps)
        found[one.field.name] = fit(one.field.shape, raw, where)
    return found


def fit(shape: Shape, raw: object, place: str) -> object:
    """A JSON value as a shape says it; raises UnfitAnswer."""
    if raw is None:
        if isinstance(shape, AnyValue) or getattr(shape, "nullable", False):
            return None
        raise UnfitAnswer(place, "nothing", _expected(shape))
    match shape:
        case Scalar():
            return _scalar(shape, raw, place)
        case ListOf():
            if not isinstance(raw, list):
                raise UnfitAnswer(place, _kind(raw), "a list")
            return [fit(shape.item, item, f"{place}/{n}") for n, item in enumerate(raw)]
        case Record():
            if not isinstance(raw, Mapping):
                raise UnfitAnswer(place, _kind(raw), "an object")
            return {
                one.name: fit(one.shape, raw.get(one.name), f"{place}/{one.name}")
                for one in shape.fields
                if _is_due(one, raw)
            }
        case _:
            return raw


def _is_due(one: Field, raw: Mapping[object, object]) -> bool:
    return one.required or raw.get(one.name) is not None


def _scalar(shape: Scalar, raw: object, place: str) -> object:
    try:
        value = _READERS[shape.type](raw)
    except (ValueError, ArithmeticError, binascii.Error):
        raise UnfitAnswer(place, _kind(raw), _expected(shape)) from None
    if shape.choices and value not in shape.choices:
        raise UnfitAnswer(place, "another value", "one of " + ", ".join(shape.choices))
    return value


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError
    raw.encode()  # a lone surrogate is a ValueError
    return raw


def _integer(raw: object) -> int:
    if isinstance(raw, Decimal) and raw == raw.to_integral_value() and abs(raw) < 1 << 63:
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int) or not -(1 << 63) <= raw < 1 << 63:
        raise ValueError
    return raw


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal):
        raise ValueError
    value = float(raw)
    if not math.isfinite(value):
        raise ValueError
    return value


def _decimal(raw: object) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal | str):
        raise ValueError
    if isinstance(raw, str) and not _DECIMAL.fullmatch(raw):
        raise ValueError
    return Decimal(raw)


def _boolean(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError
    return raw


_READERS: dict[ValueType, Callable[[object], object]] = {
    ValueType.TEXT: _text,
    ValueType.INTEGER: _integer,
    ValueType.NUMBER: _number,
    ValueType.DECIMAL: _decimal,
    ValueType.BOOLEAN: _boolean,
    ValueType.DATE: lambda raw: date.fromisoformat(_text(raw)),
    ValueType.DATETIME: lambda raw: datetime.fromisoformat(_text(raw)),
    ValueType.UUID: lambda raw: UUID(_text(raw)),
    ValueType.BINARY: lambda raw: base64.b64decode(_text(raw), validate=True),
}


def _expected(shape: Shape) -> str:
    match shape:
        case Scalar():
            return f"a value of type {shape.type.value}"
        case ListOf():
            return "a list"
        case Record():
            return "an object"
        case _:
            return "a value"


def _kind(raw: object) -> str:
    match raw:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | Decimal():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
