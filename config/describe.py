"""Say what can be set: an example file and a page of documentation, made from the classes.

The example file is itself a settings file: required keys stand there with an example value, all
others are commented out with their default.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path

from config.shapes import Key, Shape, environment_name, expectation, keys_of, shape_of
from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId
from trust.settings import ByteSize, format_duration

_WIDTH = 96


def describe_settings(cls: type) -> str:
    """A commented example file in TOML."""
    lines: list[str] = []
    if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        lines += [*_comment(cls.__doc__.strip().splitlines()[0]), ""]
    lines += _table(cls, "", False, {})
    return "\n".join(lines).strip("\n") + "\n"


def settings_table(cls: type) -> str:
    """All keys as a Markdown table: key, what may stand there, default, meaning."""
    rows = ["| Key | Value | Default | Meaning |", "| --- | --- | --- | --- |"]
    rows += _rows(cls, "", True)
    return "\n".join(rows) + "\n"


def _table(cls: type, prefix: str, off: bool, given: Mapping[str, object]) -> Iterator[str]:
    """The lines of a table: its own keys first, then the tables in it.

    Args:
        off: whether everything is commented out, because the whole table may be left away.
        given: values to show instead of those of the class, by key.
    """
    keys = keys_of(cls)
    for key in keys:
        if not _has_header(key.shape):
            yield from _line(key, off, given)
    for key in keys:
        if _has_header(key.shape):
            yield from _sub_table(key, f"{prefix}{key.name}", off, given)


def _line(key: Key, off: bool, given: Mapping[str, object]) -> Iterator[str]:
    words = expectation(key.shape)
    yield from _comment(f"{key.meaning}: {words}" if key.meaning else words)
    shown = given.get(key.name, key.example)
    if shown is None:
        shown = key.default
    if shown is None:
        shown = _sample(key.shape)
    mark = "" if key.required and not off else "#"
    yield f"{mark}{key.name} = {toml_value(shown)}"
    yield ""


def _sub_table(key: Key, name: str, off: bool, given: Mapping[str, object]) -> Iterator[str]:
    repeated = key.shape.kind is tuple
    shape = shape_of(key.shape.element) if repeated else key.shape
    away = off or not key.required or key.shape.optional
    if key.meaning:
        yield from _comment(key.meaning)
    header = f"[[{name}]]" if repeated else f"[{name}]"
    # A table that may be left away and has keys that are required can't stand there half empty.
    hidden = off or (away and (repeated or key.shape.optional or _needs_something(shape.kind)))
    yield ("#" if hidden else "") + header
    values = given.get(key.name)
    if values is None and dataclasses.is_dataclass(key.default):
        values = {f.name: getattr(key.default, f.name) for f in dataclasses.fields(key.default)}
    yield from _table(shape.kind, f"{name}.", hidden, values if isinstance(values, dict) else {})


_SAMPLES = {
    str: "text",
    bool: False,
    int: 1,
    float: 1.0,
    Path: Path("file"),
    timedelta: timedelta(seconds=30),
    ByteSize: ByteSize(1 << 20),
    date: date(2027, 1, 31),
    datetime: datetime(2027, 1, 31, 8, tzinfo=UTC),
    tuple: (),
    dict: {},
    ClientId: ClientId("EX", "GOV", "1234567", "portal"),
    ServiceId: ServiceId(ClientId("EX", "GOV", "1234567", "persons"), "person"),
    ServerId: ServerId(ClientId("EX", "GOV", "1234567"), "NODE1"),
    GlobalGroupId: GlobalGroupId("EX", "GROUP"),
}


def _sample(shape: Shape) -> object:
    """Something that may stand there, for a key that has neither an example nor a default."""
    if shape.choices:
        return shape.choices[0]
    if issubclass(shape.kind, Enum):
        return next(iter(shape.kind))
    return _SAMPLES[shape.kind]


def _has_header(shape: Shape) -> bool:
    return shape.is_table or (shape.kind is tuple and shape_of(shape.element).is_table)


def _needs_something(cls: type) -> bool:
    return any(key.required for key in keys_of(cls))


def _rows(cls: type, prefix: str, single: bool) -> Iterator[str]:
    for key in keys_of(cls):
        name = f"{prefix}{key.name}"
        if _has_header(key.shape):
            repeated = key.shape.kind is tuple
            kind = shape_of(key.shape.element).kind if repeated else key.shape.kind
            title = f"[[{name}]]" if repeated else f"[{name}]"
            yield f"| **`{title}`** | | | {key.meaning} |"
            yield from _rows(kind, f"{name}.", single and not repeated)
            continue
        default = "required" if key.required else _default_words(key.default)
        words = expectation(key.shape).replace("|", "\\|")
        variable = environment_name(tuple(name.split(".")))
        hint = f" (`{variable}`)" if single and key.shape.is_scalar else ""
        yield f"| `{name}`{hint} | {words} | {default} | {key.meaning} |"


def _default_words(default: object) -> str:
    return "none" if default is None else f"`{toml_value(default)}`"


def toml_value(value: object) -> str:
    """A value as it is written in a settings file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, ByteSize):
        return json.dumps(str(value))
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(_text_of(value), ensure_ascii=False)


def _text_of(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, ClientId | ServiceId | ServerId | GlobalGroupId):
        return ":".join(value.parts)
    return str(value)


def _comment(text: str) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + len(word) >= _WIDTH:
            yield line
            line = "#"
        line += " " + word
    yield line
