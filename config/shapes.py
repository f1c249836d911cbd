"""What a settings class looks like from outside: its keys, their types and their meanings."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId
from trust.settings import EXAMPLE, MEANING, Bounds, ByteSize, Matching, format_duration

SCALARS = (str, bool, int, float, Path, timedelta, ByteSize, date, datetime)
IDENTIFIERS = {
    ClientId: "an identifier INSTANCE:CLASS:CODE[:SUBSYSTEM]",
    ServiceId: "an identifier INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]",
    ServerId: "an identifier INSTANCE:CLASS:CODE:SERVER",
    GlobalGroupId: "an identifier INSTANCE:GROUP",
}
ENVIRONMENT_PREFIX = "SACBE"
Type = Any  # a type expression: a class, or what `typing` makes of one
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape:
    """A type expression taken apart.

    Attributes:
        kind: the plain type: a class, `tuple`, `dict` or `Literal`.
        element: what a list or table holds; None for everything else.
        choices: the values of a Literal.
        limits: what `Annotated` adds.
        optional: whether None is allowed (and means that the key is absent).
    """

    kind: Type
    element: Type = None
    choices: tuple[object, ...] = ()
    limits: tuple[Bounds | Matching, ...] = ()
    optional: bool = False

    @property
    def is_table(self) -> bool:
        return dataclasses.is_dataclass(self.kind) and self.kind not in IDENTIFIERS

    @property
    def is_scalar(self) -> bool:
        return not self.is_table and self.kind not in (tuple, dict)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    shape: Shape
    required: bool
    default: object
    meaning: str
    example: object


def shape_of(expression: Type) -> Shape:
    """Take a type expression apart; raises TypeError for one that settings do not support."""
    limits: tuple[Any, ...] = ()
    optional = False
    while True:
        origin: Any = get_origin(expression)
        if origin is Annotated:
            expression, *added = get_args(expression)
            limits += tuple(limit for limit in added if isinstance(limit, Bounds | Matching))
        elif origin in (Union, types.UnionType):
            options = [option for option in get_args(expression) if option is not types.NoneType]
            if len(options) != 1:
                raise TypeError(f"{expression} can't be a setting")
            expression, optional = options[0], True
        else:
            break
    return _plain_shape(expression, limits, optional)


def _plain_shape(expression: Type, limits: tuple[Bounds | Matching, ...], optional: bool) -> Shape:
    origin: Any = get_origin(expression)
    arguments = get_args(expression)
    if origin is Literal:
        return Shape(Literal, choices=arguments, limits=limits, optional=optional)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return Shape(tuple, arguments[0], limits=limits, optional=optional)
    if origin in (dict, Mapping) and arguments[0] is str:
        return Shape(dict, arguments[1], limits=limits, optional=optional)
    if isinstance(expression, type) and (
        expression in SCALARS
        or expression in IDENTIFIERS
        or issubclass(expression, Enum)
        or dataclasses.is_dataclass(expression)
    ):
        return Shape(expression, limits=limits, optional=optional)
    raise TypeError(f"{expression} can't be a setting")


def keys_of(cls: type) -> tuple[Key, ...]:
    """The keys of a settings class, in the order in which they are declared."""
    shapes = _shapes_of(cls)
    return tuple(_key(field, shapes[field.name]) for field in dataclasses.fields(cls) if field.init)


@cache  # a declaration may have a hundred thousand tables of one class
def _shapes_of(cls: type) -> Mapping[str, Shape]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {
        field.name: shape_of(hints[field.name]) for field in dataclasses.fields(cls) if field.init
    }


def _key(field: "dataclasses.Field[Any]", shape: Shape) -> Key:
    default: object = None
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    absent = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return Key(
        name=field.name,
        shape=shape,
        required=absent,
        default=default,
        meaning=field.metadata.get(MEANING, ""),
        example=field.metadata.get(EXAMPLE),
    )


def scalars_of(cls: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Every single-valued setting with its path, tables entered, lists left out."""
    for key in keys_of(cls):
        if key.shape.is_table:
            yield from scalars_of(key.shape.kind, (*path, key.name))
        elif key.shape.is_scalar:
            yield (*path, key.name), key


def environment_name(path: tuple[str, ...]) -> str:
    """The environment variable that stands in for a key: `SACBE_DATABASE_DSN`."""
    return "_".join((ENVIRONMENT_PREFIX, *path)).upper()


def expectation(shape: Shape) -> str:
    """What may stand there, in words."""
    if shape.is_table:
        return "a table"
    limits = "".join(_in_words(limit) for limit in shape.limits)
    if shape.kind is tuple:
        return "a list, of " + expectation(shape_of(shape.element)) + limits
    if shape.kind is dict:
        return "a table, with values of " + expectation(shape_of(shape.element)) + limits
    if shape.kind in IDENTIFIERS:
        return IDENTIFIERS[shape.kind] + limits
    if shape.choices or issubclass(shape.kind, Enum):
        choices = shape.choices or tuple(member.value for member in shape.kind)
        return "one of " + ", ".join(f'"{choice}"' for choice in choices)
    return _SCALAR_WORDS[shape.kind] + limits


_SCALAR_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    timedelta: 'a duration such as "30s", "5m", "2h", "1d"',
    ByteSize: 'a size such as "64 KiB", "10 MiB"',
    date: "a day such as 2027-01-31, without quotes",
    datetime: "a day such as 2027-01-31, or a moment such as 2027-01-31T08:00:00Z, without quotes",
}


def _in_words(limit: Bounds | Matching) -> str:
    if isinstance(limit, Matching):
        return f", {limit.expected}"
    low, high = (_bound(value) for value in (limit.low, limit.high))
    if limit.high is None:
        return f", at least {low}"
    if limit.low is None:
        return f", at most {high}"
    return f", {low} to {high}"


def _bound(value: object) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)
