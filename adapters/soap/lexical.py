"""Single values of XML Schema: their text in a message, and the plain values it stands for.

What a type allows is not guessed around: a text that its type does not have is an error, so that a
wrong value of a service never turns into an absent one.

Source: XML Schema 1.0 part 2, 3.2 and 3.3.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from adapters.shapes import Scalar, ValueType

MAX_DIGITS = 400  # of a number: the largest double written out has 309

_INTEGER_RANGES = {
    "byte": (-(1 << 7), (1 << 7) - 1),
    "short": (-(1 << 15), (1 << 15) - 1),
    "int": (-(1 << 31), (1 << 31) - 1),
    "long": (-(1 << 63), (1 << 63) - 1),
    "unsignedByte": (0, (1 << 8) - 1),
    "unsignedShort": (0, (1 << 16) - 1),
    "unsignedInt": (0, (1 << 32) - 1),
    "unsignedLong": (0, (1 << 63) - 1),  # JSON integers are read in 64 bits here
    "integer": (-(1 << 63), (1 << 63) - 1),
    "nonNegativeInteger": (0, (1 << 63) - 1),
    "positiveInteger": (1, (1 << 63) - 1),
    "nonPositiveInteger": (-(1 << 63), 0),
    "negativeInteger": (-(1 << 63), -1),
}
_VALUE_TYPES = dict.fromkeys(_INTEGER_RANGES, ValueType.INTEGER) | {
    "decimal": ValueType.DECIMAL,
    "double": ValueType.NUMBER,
    "float": ValueType.NUMBER,
    "boolean": ValueType.BOOLEAN,
    "date": ValueType.DATE,
    "dateTime": ValueType.DATETIME,
    "base64Binary": ValueType.BINARY,
    "hexBinary": ValueType.BINARY,
}
_VERBATIM = frozenset({"string", "anySimpleType", "anyType"})  # white space counts
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DOUBLE = re.compile(_DECIMAL.pattern + r"(?:[eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,12}))?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


@dataclass(frozen=True, slots=True)
class Simple:
    """The type of a single text.

    Attributes:
        name: the built-in type of XML Schema that it is or is derived from, without prefix.
        choices: its only values, where they are enumerated and texts.
        listed: whether the text holds any number of values between white space.
    """

    name: str = "string"
    choices: tuple[str, ...] = ()
    listed: bool = False

    @property
    def value_type(self) -> ValueType:
        return _VALUE_TYPES.get(self.name, ValueType.TEXT)

    @property
    def scalar(self) -> Scalar:
        """The shape of one value."""
        text = self.value_type is ValueType.TEXT
        return Scalar(self.value_type, choices=self.choices if text else ())


def read_simple(simple: Simple, text: str) -> object:
    """What a text stands for; raises ValueError when its type has no such text."""
    if simple.listed:
        return [_read_one(simple, word) for word in text.split()]
    return _read_one(simple, text)


def _read_one(simple: Simple, text: str) -> object:
    if simple.name not in _VERBATIM:
        text = " ".join(text.split())
    if simple.choices and text not in simple.choices:
        raise ValueError("none of the enumerated values")
    return _READERS[simple.value_type](text, simple.name)


def write_simple(simple: Simple, value: object) -> str:
    """The text of a value; raises ValueError when the type has no such value."""
    if simple.listed:
        if not isinstance(value, list):
            raise ValueError("no list")
        return " ".join(_write_one(simple, item) for item in value)
    return _write_one(simple, value)


def _write_one(simple: Simple, value: object) -> str:
    text = _WRITERS[simple.value_type](value, simple.name)
    if simple.choices and text not in simple.choices:
        raise ValueError("none of the enumerated values")
    if simple.listed and (not text or len(text.split()) != 1 or text.strip() != text):
        raise ValueError("a value with white space can't stand in a list")
    return text


def _read_text(text: str, name: str) -> str:
    return text


def _read_integer(text: str, name: str) -> int:
    if not _INTEGER.fullmatch(text) or len(text) > MAX_DIGITS:
        raise ValueError("no whole number")
    return _within(int(text), name)


def _within(number: int, name: str) -> int:
    low, high = _INTEGER_RANGES[name]
    if not low <= number <= high:
        raise ValueError(f"out of range for {name}")
    return number


def _read_decimal(text: str, name: str) -> Decimal:
    if not _DECIMAL.fullmatch(text) or len(text) > MAX_DIGITS:
        raise ValueError("no decimal number")
    return Decimal(text)


def _read_number(text: str, name: str) -> float:
    number = float(text) if _DOUBLE.fullmatch(text) and len(text) <= MAX_DIGITS else math.inf
    if not math.isfinite(number):
        raise ValueError("no number that JSON has")  # INF and NaN are none
    return number


def _read_boolean(text: str, name: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise ValueError("neither true nor false")
    return text in ("true", "1")


def _read_date(text: str, name: str) -> date:
    """A date; its time zone, which says nothing about a day in a register, is left out."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("no date")
    return date.fromisoformat(match[1])


def _read_moment(text: str, name: str) -> datetime:
    """A moment, to the microsecond; without a zone where the text has none."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError("no date and time")
    fraction = "" if match[2] is None else "." + match[2][:6].ljust(6, "0")
    return datetime.fromisoformat(match[1] + fraction + (match[3] or ""))


def _read_binary(text: str, name: str) -> bytes:
    packed = "".join(text.split())
    try:
        if name == "hexBinary":
            return bytes.fromhex(packed)
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("neither base64 nor hexadecimal") from error


def _write_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _write_integer(value: object, name: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("no whole number")
    return str(_within(value, name))


def _write_number(value: object, name: str) -> str:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float):
        raise ValueError("no number")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError("no number") from error
    if not number.is_finite() or abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError("no number")
    return format(number, "f") if name == "decimal" else str(number)  # no exponent in a decimal


def _write_boolean(value: object, name: str) -> str:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return "true" if value else "false"


def _write_date(value: object, name: str) -> str:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("no date")
    return value.isoformat()


def _write_moment(value: object, name: str) -> str:
    if not isinstance(value, datetime):
        raise ValueError("no date and time")
    return value.isoformat()


def _write_binary(value: object, name: str) -> str:
    if not isinstance(value, bytes):
        raise ValueError("no bytes")
    return value.hex().upper() if name == "hexBinary" else base64.b64encode(value).decode("ascii")


_READERS: dict[ValueType, Callable[[str, str], object]] = {
    ValueType.TEXT: _read_text,
    ValueType.INTEGER: _read_integer,
    ValueType.NUMBER: _read_number,
    ValueType.DECIMAL: _read_decimal,
    ValueType.BOOLEAN: _read_boolean,
    ValueType.DATE: _read_date,
    ValueType.DATETIME: _read_moment,
    ValueType.BINARY: _read_binary,
}
_WRITERS: dict[ValueType, Callable[[object, str], str]] = {
    ValueType.TEXT: _write_text,
    ValueType.INTEGER: _write_integer,
    ValueType.NUMBER: _write_number,
    ValueType.DECIMAL: _write_number,
    ValueType.BOOLEAN: _write_boolean,
    ValueType.DATE: _write_date,
    ValueType.DATETIME: _write_moment,
    ValueType.BINARY: _write_binary,
}
