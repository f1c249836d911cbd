"""Whether a value is what its type says, and what a text of XML is as a value of a type.

Source: XML Schema part 2 for the texts; ISO 8601 as RFC 3339 narrows it for days and moments.
"""

import re
from datetime import date, datetime

from catalog.fields.json_text import Number
from catalog.meaning.vocabulary import FactType
from trust.errors import MalformedMessage

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ZONED_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
_INTEGER = re.compile(r"-?\d{1,300}", re.ASCII)
_LEXICAL_NUMBER = re.compile(r"([+-]?)0*(\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?)", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def conforms(value: object, kind: FactType) -> bool:
    """Whether a value of JSON, as `read_json` gives it, is of a type."""
    number = isinstance(value, Number) or type(value) is int
    match kind:
        case FactType.TEXT:
            return isinstance(value, str) and not number
        case FactType.INTEGER:
            return number and _INTEGER.fullmatch(str(value)) is not None
        case FactType.NUMBER:
            return number
        case FactType.BOOLEAN:
            return isinstance(value, bool)
        case FactType.DATE:
            return isinstance(value, str) and is_day(value)
        case FactType.DATETIME:
            return isinstance(value, str) and _is_moment(value)
        case FactType.RECORD:
            return isinstance(value, dict | list)


def from_text(text: str, kind: FactType) -> object:
    """The value that an element's text stands for; raises MalformedMessage for another type's.

    An element without text has no value.
    """
    stripped = text.strip(" \t\r\n")
    if kind is FactType.TEXT:
        return text or None
    if not stripped:
        return None
    if kind is FactType.BOOLEAN and stripped in _BOOLEANS:
        return _BOOLEANS[stripped]
    if kind in (FactType.INTEGER, FactType.NUMBER) and (
        found := _LEXICAL_NUMBER.fullmatch(stripped)
    ):
        number = Number(("-" if found[1] == "-" else "") + found[2])
        if conforms(number, kind):  # 1E0 is no whole number
            return number
    if kind is FactType.DATE and (zoned := _ZONED_DAY.fullmatch(stripped)):
        return zoned[1]
    if kind is FactType.DATETIME:
        return stripped
    raise MalformedMessage(f"A text is no {kind}")


def is_day(text: str) -> bool:
    """Whether it is a day as 2027-01-31."""
    try:
        return bool(_DAY.fullmatch(text)) and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _is_moment(text: str) -> bool:
    try:
        return bool(_MOMENT.fullmatch(text)) and datetime.fromisoformat(text.upper()) is not None
    except ValueError:
        return False
