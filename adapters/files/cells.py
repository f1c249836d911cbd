"""What stands in one place of a row becomes a typed value, or it is said what was expected there.

A value of a file is a text, or what JSON knows besides: numbers (`int`, `Decimal`), booleans,
nothing. What is wrong is told without the value: rows hold personal data, and the reasons stand in
logs.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from adapters.files.rows import counted
from adapters.files.settings import Table, TableField
from adapters.shapes import ValueType

Read = Callable[[object], object]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORM_PARTS = {
    "%d": r"(?P<day>[0-9]{1,2})",
    "%m": r"(?P<month>[0-9]{1,2})",
    "%Y": r"(?P<year>[0-9]{4})",
    "%H": r"(?P<hour>[0-9]{1,2})",
    "%M": r"(?P<minute>[0-9]{2})",
    "%S": r"(?P<second>[0-9]{2})",
}
_FORM = re.compile(r"%.")


class BadCell(Exception):
    """What stands there is not what the field takes; both sides in words, without the value."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Cell:
    """How the value of one field is read."""

    field: TableField
    expected: str
    trim: bool  # whether spaces around a text are none of it
    _read: Read

    def read(self, raw: object) -> object:
        """The typed value; None where there is none. Raises BadCell."""
        if self.trim and isinstance(raw, str):
            raw = raw.strip(" \t")
        if raw is None or raw == "":
            if self.field.required:
                raise BadCell("nothing", self.expected)
            return None
        try:
            return self._read(raw)
        except (ValueError, ArithmeticError):
            raise BadCell(found(raw), self.expected) from None


def found(raw: object) -> str:
    """What kind of thing stands there, in words."""
    match raw:
        case str():
            if _SURROGATE.search(raw):
                return "bytes that are not of the encoding"
            return f"a text of {counted(len(raw), 'character')}"
        case bool():
            return "true or false"
        case int() | Decimal():
            return "a number"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return "nothing"


def cell_of(field: TableField, table: Table) -> Cell:
    """How a table's field is read; raises ValueError for a pattern, form or zone that is none."""
    read, expected = _MAKERS[field.type](field, table)
    if field.choices:
        expected = "one of " + ", ".join(field.choices)
    return Cell(field, expected, table.trim, read)


def _text_only(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError
    return raw


def _text(field: TableField, table: Table) -> tuple[Read, str]:
    pattern = re.compile(field.pattern) if field.pattern else None
    choices = frozenset(field.choices)
    longest = field.max_length

    def read(raw: object) -> object:
        if not isinstance(raw, str) or len(raw) > longest or "\0" in raw:
            raise ValueError
        if not raw.isascii() and _SURROGATE.search(raw):
            raise ValueError
        if (choices and raw not in choices) or (pattern and not pattern.fullmatch(raw)):
            raise ValueError
        return raw

    limit = f"a text of at most {longest} characters"
    return read, f"{limit}, like {field.pattern}" if pattern else limit


def _integer(field: TableField, table: Table) -> tuple[Read, str]:
    def read(raw: object) -> object:
        if isinstance(raw, str):
            if not _INTEGER.fullmatch(raw):
                raise ValueError
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise ValueError
        if not -(1 << 63) <= raw < 1 << 63:
            raise ValueError
        return raw

    return read, "a whole number within 64 bits"


def _number(field: TableField, table: Table) -> tuple[Read, str]:
    comma = table.decimal == ","

    def read(raw: object) -> object:
        if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
            raise ValueError
        text = str(raw)
        if comma and isinstance(raw, str):
            if "." in text:
                raise ValueError
            text = text.replace(",", ".")
        if not _NUMBER.fullmatch(text):
            raise ValueError
        return Decimal(text)

    return read, f"a number such as 12{table.decimal}5"


def _boolean(field: TableField, table: Table) -> tuple[Read, str]:
    words = {**dict.fromkeys(table.false, False), **dict.fromkeys(table.true, True)}

    def read(raw: object) -> object:
        value = words.get(raw) if isinstance(raw, str) else raw
        if not isinstance(value, bool):
            raise ValueError
        return value

    return read, "one of " + ", ".join((*table.true, *table.false))


def _date(field: TableField, table: Table) -> tuple[Read, str]:
    form = _form(field.form)

    def read(raw: object) -> object:
        text = _text_only(raw)
        if form is not None:
            return date(**_parts(form, text))
        if len(text) != 10 or text[4] != "-" or text[7] != "-":
            raise ValueError  # weeks and dates without hyphens are no dates here
        return date.fromisoformat(text)

    return read, "a date such as " + date(2024, 1, 31).strftime(field.form or "%Y-%m-%d")


def _datetime(field: TableField, table: Table) -> tuple[Read, str]:
    form = _form(field.form)
    zone: tzinfo | None = ZoneInfo(field.zone) if field.zone else None

    def read(raw: object) -> object:
        text = _text_only(raw)
        value = datetime.fromisoformat(text) if form is None else _naive(form, text)
        if value.tzinfo is None:
            if zone is None:
                raise ValueError
            value = value.replace(tzinfo=zone)
        return value.astimezone(UTC)  # OverflowError at the ends of time is an ArithmeticError

    example = datetime(2024, 1, 31, 12, 30, tzinfo=None if zone else UTC)
    shown = example.strftime(field.form) if field.form else example.isoformat()
    return read, f"a date and time such as {shown}" + ("" if zone else ", with its zone")


def _naive(form: re.Pattern[str], text: str) -> datetime:
    parts = _parts(form, text)
    day = date(parts["year"], parts["month"], parts["day"])
    hour, minute, second = (parts.get(name, 0) for name in ("hour", "minute", "second"))
    return datetime.combine(day, time(hour, minute, second))


def _form(form: str) -> re.Pattern[str] | None:
    """A form of dates as a regular expression; raises ValueError for one that is none."""
    if not form:
        return None
    pattern, end = "", 0
    for match in _FORM.finditer(form):
        if match[0] not in _FORM_PARTS:
            raise ValueError(f"'{match[0]}' is none of {', '.join(_FORM_PARTS)}")
        pattern += re.escape(form[end : match.start()]) + _FORM_PARTS[match[0]]
        end = match.end()
    try:
        compiled = re.compile(pattern + re.escape(form[end:]))
    except re.error as error:
        raise ValueError("a part stands there twice") from error
    if not {"year", "month", "day"} <= compiled.groupindex.keys():
        raise ValueError("%Y, %m and %d must all be there")
    return compiled


def _parts(form: re.Pattern[str], text: str) -> dict[str, int]:
    match = form.fullmatch(text)
    if match is None:
        raise ValueError
    return {name: int(value) for name, value in match.groupdict().items()}


def _uuid(field: TableField, table: Table) -> tuple[Read, str]:
    return lambda raw: UUID(_text_only(raw)), "a UUID"


def _binary(field: TableField, table: Table) -> tuple[Read, str]:
    def read(raw: object) -> object:
        try:
            return base64.b64decode(_text_only(raw), validate=True)
        except binascii.Error as error:
            raise ValueError from error

    return read, "base64"


_MAKERS: dict[ValueType, Callable[[TableField, Table], tuple[Read, str]]] = {
    ValueType.TEXT: _text,
    ValueType.INTEGER: _integer,
    ValueType.NUMBER: _number,
    ValueType.DECIMAL: _number,
    ValueType.BOOLEAN: _boolean,
    ValueType.DATE: _date,
    ValueType.DATETIME: _datetime,
    ValueType.UUID: _uuid,
    ValueType.BINARY: _binary,
}


def column_of(value: object) -> object:
    """A typed value as it stands in an index: equal values are equal there, and in their order."""
    match value:
        case bool():
            return int(value)
        case Decimal():
            return format(value.normalize() + 0, "f")  # 1.50 and 1.5 are one number, -0 is 0
        case datetime():
            if value.tzinfo is not None:
                value = value.astimezone(UTC)
            return value.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value
