"""JSON text as adapters take it from files and services: strict, bounded, and asked by pointers."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from catalog.fields.json_text import is_nested_deeper

MAX_DEPTH = 64
MAX_DIGITS = 400  # of a number written out: the largest double has 309


class DuplicateName(ValueError):
    """A JSON object says the same name twice, so readers may differ about its value."""


class TooDeep(ValueError):
    """Lists and objects are nested deeper than is taken."""


def parse_json(raw: bytes, max_depth: int = MAX_DEPTH) -> object:
    """Parse JSON text: numbers keep their digits, no name twice, no NaN; raises ValueError."""
    if is_nested_deeper(raw, max_depth):
        raise TooDeep
    return json.loads(
        raw.decode("utf-8"),
        object_pairs_hook=_object,
        parse_float=_decimal,
        parse_constant=_no_constant,
    )


def told(error: Exception) -> str:
    """Why a text is no JSON, without its values."""
    match error:
        case json.JSONDecodeError():
            return error.msg
        case UnicodeDecodeError():
            return "bytes that are no UTF-8"
        case DuplicateName():
            return "a name twice in one object"
        case TooDeep() | RecursionError():
            return "nested too deeply"
        case _:
            return "a number that is none"


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateName
    return found


def _decimal(text: str) -> Decimal:
    """A number that can be written out: ten bytes may name one with a billion digits."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError(text)
    return number


def _no_constant(name: str) -> object:
    raise ValueError(name)


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """The steps of a JSON pointer (RFC 6901); raises ValueError for a text that is none."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"'{pointer}' does not begin with '/'")
    if re.search(r"~(?![01])", pointer):
        raise ValueError(f"'{pointer}' has a '~' that is neither '~0' nor '~1'")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def value_at(value: object, steps: tuple[str, ...]) -> object:
    """What a pointer leads to; None where there is nothing."""
    for step in steps:
        match value:
            case Mapping():
                value = value.get(step)
            case list() if step.isdecimal() and len(step) < 6 and int(step) < len(value):
                value = value[int(step)]
            case _:
                return None
    return value
