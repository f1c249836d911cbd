"""What a settings dataclass is written with: defaults, meanings, bounds and units.

A settings class lives beside the code it configures and is read by `config.settings`:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class ListenSettings:
        host: str = required("address to listen on", example="127.0.0.1")
        port: Port = setting(5500, "port for peers")
        patience: timedelta = setting(timedelta(seconds=30), "longest wait for a request head")

In the file a duration is written "30s", a size "10 MiB", an identifier in its colon form.
"""

import copy
import dataclasses
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Self, TypeAlias, TypeVar

T = TypeVar("T")

MEANING = "meaning"
EXAMPLE = "example"


def setting(default: T, meaning: str, *, example: object = None) -> T:
    """Declare a setting with its default and its meaning in one line.

    Args:
        example: what the example file shows instead of the default, commented out; worth giving
            where the default is None or empty. A plain TOML value.
    """
    metadata = {MEANING: meaning, EXAMPLE: example}
    # A field specifier returns a Field and is declared to return the value, as dataclasses.field.
    field: Any
    if isinstance(default, Hashable):
        field = dataclasses.field(default=default, metadata=metadata)
    else:
        field = dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)
    result: T = field
    return result


def required(meaning: str, *, example: object = None) -> Any:  # noqa: ANN401 - stands for any type
    """Declare a setting that the operator must give; `example` is shown in the example file."""
    return dataclasses.field(metadata={MEANING: meaning, EXAMPLE: example})


@dataclass(frozen=True, slots=True)
class Bounds:
    """The smallest and largest value allowed, both included; for numbers, durations and sizes."""

    low: Any = None
    high: Any = None

    def hold(self, value: Any) -> bool:  # noqa: ANN401 - compares whatever the setting's type is
        if self.low is not None and value < self.low:
            return False
        return self.high is None or bool(value <= self.high)


@dataclass(frozen=True, slots=True)
class Matching:
    """A regular expression that the whole text must match, and how to say it to a person."""

    pattern: str
    expected: str

    def hold(self, value: Any) -> bool:  # noqa: ANN401 - as Bounds.hold
        return re.fullmatch(self.pattern, str(value)) is not None


Port = Annotated[int, Bounds(1, 65535)]
ListenPort = Annotated[int, Bounds(0, 65535)]  # 0: any free one


# Keys and list positions from the top: ("servers", 2, "owner").
Place: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """Something wrong with settings that are well-formed each for itself.

    Attributes:
        path: the reader of the file turns it into a line.
    """

    path: Place
    found: str
    expected: str


Problems: TypeAlias = Iterator[SettingProblem]

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}) ?(B|KiB|MiB|GiB|TiB)")


class ByteSize(int):
    """A number of bytes, written `512 B`, `64 KiB`, `10 MiB`, `2 GiB`, `1 TiB`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form; raises ValueError."""
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' is no size such as '10 MiB'")
        return cls(int(match[1]) * _UNITS[match[2]])

    def __str__(self) -> str:
        unit, worth = max(
            (
                (unit, worth)
                for unit, worth in _UNITS.items()
                if self % worth == 0 and self >= worth
            ),
            key=lambda pair: pair[1],
            default=("B", 1),
        )
        return f"{self // worth} {unit}"

    def __repr__(self) -> str:
        return f"ByteSize({int(self)})"


_DURATION_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION = re.compile(r"(\d{1,9})(d|h|m|s|ms)")


def parse_duration(text: str) -> timedelta:
    """Read `1d`, `2h`, `5m`, `30s` or `250ms`; raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no duration such as '30s'")
    try:
        return int(match[1]) * _DURATION_UNITS[match[2]]
    except OverflowError as error:
        raise ValueError(f"'{text}' is longer than any clock runs") from error


def format_duration(value: timedelta) -> str:
    """Write a duration of whole milliseconds in the largest unit that divides it."""
    for unit, worth in _DURATION_UNITS.items():
        if value % worth == timedelta(0) and (value or unit == "s"):
            return f"{value // worth}{unit}"
    raise ValueError(f"{value} is no whole number of milliseconds")
