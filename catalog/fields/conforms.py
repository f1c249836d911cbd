"""Whether a value is what its type says; a source that answers anything else is not believed."""

import math
import re
from datetime import date, datetime

from catalog.meaning.vocabulary import FactType

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DAY_WITH_ZONE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,12})?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
_WHOLE = re.compile(r"[+-]?\d{1,100}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,100}(\.\d{0,100})?|\.\d{1,100})([eE][+-]?\d{1,3})?", re.ASCII)


def conforms(value: object, kind: FactType) -> bool:
    """Whether a value of a JSON answer is of the type; null is of none."""
    match kind:
        case FactType.TEXT:
            return isinstance(value, str)
        case FactType.BOOLEAN:
            return isinstance(value, bool)
        case FactType.INTEGER:
            return _is_whole(value)
        case FactType.NUMBER:
            return _is_number(value)
        case FactType.DATE:
            return isinstance(value, str) and is_day(value)
        case FactType.DATETIME:
            return isinstance(value, str) and is_moment(value)
        case FactType.RECORD:
            return isinstance(value, dict | list)


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
    )


def _is_whole(value: object) -> bool:
    """Whether it is a whole number; 5.0 is one, as JSON Schema has it."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def is_day(text: str) -> bool:
    """Whether it is a day of the calendar as RFC 3339 writes one."""
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_moment(text: str) -> bool:
    """Whether it is a day and a time, with or without an offset."""
    if not _MOMENT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", text.upper()))
    except ValueError:
        return False
    return True


def value_of_text(text: str, kind: FactType) -> object | None:
    """The JSON value for the text of an element, or None when it is not of the type.

    Source: XML Schema 1.0 part 2; a day may have a time zone there, which is left away.
    """
    said = text.strip()
    match kind:
        case FactType.TEXT:
            return text
        case FactType.BOOLEAN:
            return {"true": True, "1": True, "false": False, "0": False}.get(said)
        case FactType.INTEGER:
            return int(said) if _WHOLE.fullmatch(said) else None
        case FactType.NUMBER:
            return _finite(said) if _NUMBER.fullmatch(said) else None
        case FactType.DATE:
            found = _DAY_WITH_ZONE.fullmatch(said)
            return found[1] if found and is_day(found[1]) else None
        case FactType.DATETIME:
            return said if is_moment(said) else None
        case FactType.RECORD:
            return None


def _finite(text: str) -> int | float | None:
    if _WHOLE.fullmatch(text):
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None
