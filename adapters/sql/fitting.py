"""What a driver gave becomes what was declared, where the two differ."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from adapters.shapes import ValueType

_MAX_DIGITS = 200_000  # of a number written out: PostgreSQL has 131072 before the point


def fit(kind: ValueType, value: object) -> object:
    """The value as that type; raises ValueError or TypeError where it is none."""
    try:
        return _FITTERS[kind](value)
    except (InvalidOperation, OverflowError) as error:
        raise ValueError from error


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return value.isoformat() if isinstance(value, date) else str(value)


def _integer(value: object) -> int:
    number = int(value) if isinstance(value, bool) else _decimal(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _number(value: object) -> float:
    return value if isinstance(value, float) else float(_text(value))


def _decimal(value: object) -> Decimal:
    number = value if isinstance(value, Decimal) else Decimal(_text(value))
    if number.is_finite() and abs(number.adjusted()) > _MAX_DIGITS:
        raise ValueError  # it would be written out
    return number


_TRUTH = {"1": True, "true": True, "t": True, "y": True, "yes": True} | {
    "0": False, "false": False, "f": False, "n": False, "no": False,
}  # fmt: skip


def _boolean(value: object) -> bool:
    try:
        return value if isinstance(value, bool) else _TRUTH[_text(value).lower()]
    except KeyError:
        raise ValueError from None


def _date(value: object) -> date:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(_text(value)[:10])


def _datetime(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))


def _uuid(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(_text(value))


def _binary(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else _text(value).encode()


_FITTERS: dict[ValueType, Callable[[object], object]] = {
    ValueType.TEXT: _text,
    ValueType.INTEGER: _integer,
    ValueType.NUMBER: _number,
    ValueType.DECIMAL: _decimal,
    ValueType.BOOLEAN: _boolean,
    ValueType.DATE: _date,
    ValueType.DATETIME: _datetime,
    ValueType.UUID: _uuid,
    ValueType.BINARY: _binary,
}
