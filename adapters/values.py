"""What a caller gave becomes typed values, or BadParameter says what is wrong with it.

Texts (of a path, a query, an XML element) and JSON values are read by the same rules: a number may
stand there as a text and a date is always one.
"""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from adapters.operations import BadParameter, Operation
from adapters.shapes import MAX_TEXT, Field, ListOf, Record, Scalar, Shape, ValueType

MAX_ITEMS = 10_000


def read_values(operation: Operation, given: Mapping[str, object]) -> dict[str, object]:
    """Read everything that a caller may give, by name; what is absent and optional is None."""
    return read_fields(operation.inputs, given)


def read_fields(
    fields: tuple[Field, ...], given: Mapping[str, object], prefix: str = ""
) -> dict[str, object]:
    """Read the fields of a record; raises BadParameter for an unknown, missing or wrong one.

    Args:
        prefix: what stands before the names in what is told to the caller: `address.`
    """
    declared = {field.name for field in fields}
    for name in given:
        if name not in declared:
            raise BadParameter(prefix + name, f"there is no parameter '{prefix}{name:.100}'")
    values: dict[str, object] = {}
    for field in fields:
        value = given.get(field.name)
        place = prefix + field.name
        if value is not None:
            values[field.name] = read_value(field.shape, value, place)
        elif field.required and not (_nullable(field.shape) and field.name in given):
            raise BadParameter(place, f"parameter '{place}' is missing")
        else:
            values[field.name] = None
    return values


def _nullable(shape: Shape) -> bool:
    return isinstance(shape, Scalar | ListOf | Record) and shape.nullable


def read_value(shape: Shape, value: object, place: str) -> object:
    """Read one value that is not None."""
    match shape:
        case Record():
            if not isinstance(value, Mapping):
                raise BadParameter(place, f"parameter '{place}' must be an object")
            return read_fields(shape.fields, value, f"{place}.")
        case ListOf():
            return _read_list(shape, value, place)
        case Scalar():
            return _read_scalar(shape, value, place)
        case _:
            return value


def _read_list(shape: ListOf, value: object, place: str) -> list[object]:
    items = value if isinstance(value, list) else [value]
    most = shape.max_items if shape.max_items is not None else MAX_ITEMS
    if len(items) > most:
        raise BadParameter(place, f"parameter '{place}' has more than {most} items")
    return [_read_item(shape.item, item, f"{place}.{n}") for n, item in enumerate(items)]


def _read_item(shape: Shape, value: object, place: str) -> object:
    if value is not None:
        return read_value(shape, value, place)
    if _nullable(shape):
        return None
    raise BadParameter(place, f"parameter '{place}' is missing")


def _read_scalar(shape: Scalar, value: object, place: str) -> object:
    if not isinstance(value, str | bool | int | float | Decimal):
        raise BadParameter(place, f"parameter '{place}' must be a single value")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    longest = shape.max_length if shape.max_length is not None else MAX_TEXT
    if len(text) > longest and shape.type is not ValueType.BINARY:
        raise BadParameter(place, f"parameter '{place}' is longer than {longest} characters")
    if shape.choices and text not in shape.choices:
        raise BadParameter(place, f"parameter '{place}' is none of the values that are allowed")
    try:
        return _READERS[shape.type](text)
    except (ValueError, InvalidOperation) as error:
        raise BadParameter(place, f"parameter '{place}' is no {shape.type.value}") from error


def _text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("NUL")
    text.encode()  # a lone surrogate is a ValueError
    return text


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueError(text)
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(text)
    return number


def _number(text: str) -> Decimal:
    if not re.fullmatch(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", text):
        raise ValueError(text)
    return Decimal(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _datetime(text: str) -> datetime:
    """A moment that there is in UTC as well, in which databases and indexes compare."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        try:
            moment.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(text) from error
    return moment


def _binary(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_READERS = {
    ValueType.TEXT: _text,
    ValueType.INTEGER: _integer,
    ValueType.NUMBER: _number,
    ValueType.DECIMAL: _number,
    ValueType.BOOLEAN: _boolean,
    ValueType.DATE: date.fromisoformat,
    ValueType.DATETIME: _datetime,
    ValueType.UUID: UUID,
    ValueType.BINARY: _binary,
}
