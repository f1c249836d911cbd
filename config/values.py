"""One TOML value becomes one setting: numbers, texts, durations, days, sizes, identifiers."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from config.shapes import Shape
from trust.errors import MalformedMessage
from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId
from trust.settings import ByteSize, parse_duration

T = TypeVar("T")

MAX_SHOWN = 60  # characters of a wrong value that an error repeats


class EnvironmentText(str):
    """A value that the environment gave; numbers and booleans come as text there."""

    __slots__ = ()


class Unfit(Exception):
    """A value that is not what its setting takes."""


def convert_scalar(shape: Shape, raw: object, folder: Path) -> object:
    """The setting that a single TOML value stands for, or raise Unfit.

    Args:
        folder: what a relative path is relative to.
    """
    if shape.choices:
        value = _choice(shape, raw)
    elif issubclass(shape.kind, Enum):
        value = _member(shape.kind, raw)
    else:
        value = _CONVERTERS[shape.kind](raw)
    if isinstance(value, Path):
        value = folder / value
    if not all(limit.hold(value) for limit in shape.limits):
        raise Unfit
    return value


def shown(raw: object) -> str:
    """A value as an error repeats it: cut, and in one line."""
    if isinstance(raw, str):
        text = repr(str(raw))
    elif isinstance(raw, bool):
        text = str(raw).lower()
    elif isinstance(raw, list | dict):
        return "a list" if isinstance(raw, list) else "a table"
    else:
        text = str(raw)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _choice(shape: Shape, raw: object) -> object:
    for choice in shape.choices:
        same = str(choice) == raw if isinstance(raw, EnvironmentText) else choice == raw
        if same and (isinstance(raw, EnvironmentText) or type(choice) is type(raw)):
            return choice
    raise Unfit


def _member(enum: type[Enum], raw: object) -> Enum:
    for member in enum:
        if member.value == raw or (isinstance(raw, EnvironmentText) and str(member.value) == raw):
            return member
    raise Unfit


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise Unfit
    return str(raw)


def _boolean(raw: object) -> bool:
    if isinstance(raw, EnvironmentText) and raw in ("true", "false"):
        return raw == "true"
    if not isinstance(raw, bool):
        raise Unfit
    return raw


def _whole(raw: object) -> int:
    if isinstance(raw, EnvironmentText):
        return _parsed(int, raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Unfit
    return raw


def _number(raw: object) -> float:
    if isinstance(raw, EnvironmentText):
        return _parsed(float, raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise Unfit
    return _parsed(float, raw)


def _path(raw: object) -> Path:
    text = _text(raw)
    if not text or "\0" in text:
        raise Unfit
    return Path(text)


def _day(raw: object) -> date:
    if isinstance(raw, EnvironmentText):
        return _parsed(date.fromisoformat, raw)
    if isinstance(raw, datetime) or not isinstance(raw, date):
        raise Unfit
    return raw


def _moment(raw: object) -> datetime:
    """A moment in UTC; a day is its first moment, and one without an offset might be any."""
    if isinstance(raw, EnvironmentText):
        raw = _parsed(datetime.fromisoformat, raw)
    if isinstance(raw, datetime):
        if raw.tzinfo is None:
            raise Unfit
        return _parsed(_in_utc, raw)
    return datetime.combine(_day(raw), datetime.min.time(), UTC)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _global_group(text: str) -> GlobalGroupId:
    return GlobalGroupId(*_exactly(text.split(":"), 2))


def _exactly(parts: list[str], count: int) -> list[str]:
    if len(parts) != count:
        raise ValueError(f"{len(parts)} parts where {count} must be")
    return parts


def _parsed(parse: Callable[[Any], T], raw: object) -> T:
    try:
        return parse(raw)
    except (ValueError, OverflowError, MalformedMessage) as error:
        raise Unfit from error


def _written(parse: Callable[[str], object]) -> Callable[[object], object]:
    """A converter for what is written as a text with a form of its own."""
    return lambda raw: _parsed(parse, _text(raw))


_CONVERTERS: Mapping[type, Callable[[object], object]] = {
    str: _text,
    bool: _boolean,
    int: _whole,
    float: _number,
    Path: _path,
    timedelta: _written(parse_duration),
    ByteSize: _written(ByteSize.parse),
    date: _day,
    datetime: _moment,
    ClientId: _written(ClientId.from_colons),
    ServiceId: _written(ServiceId.from_colons),
    ServerId: _written(ServerId.from_colons),
    GlobalGroupId: _written(_global_group),
}
