"""Read a TOML file into the settings classes that live beside the code they configure.

Every problem is found in one go, each with file, line, what stands there and what should.
Single values may be given by the environment instead, which wins over the file: the key `dsn` of
the table `[database]` is `SACBE_DATABASE_DSN`. Lists and tables of free keys are for the file only.
"""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from config.shapes import (
    IDENTIFIERS,
    Key,
    Shape,
    environment_name,
    expectation,
    keys_of,
    scalars_of,
    shape_of,
)
from config.toml_lines import find_lines
from config.values import EnvironmentText, Unfit, convert_scalar, shown
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.settings import Place, SettingProblem

T = TypeVar("T")
# What is wrong between settings, here or (with its own line) in a file that they name.
Check = Callable[[T], Iterable[SettingProblem | ConfigurationProblem]]

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")


def load_settings(
    cls: type[T],
    path: Path,
    *,
    environment: Mapping[str, str] | None = None,
    check: Check[T] | None = None,
) -> T:
    """Read settings from a file, or raise ConfigurationError with everything that is wrong.

    Args:
        environment: where `SACBE_…` variables are looked up; none when not given.
        check: finds what is wrong between settings that are well-formed each for itself.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        found = error.strerror or "an unreadable file"
        raise _whole_file(str(path), found, "a readable TOML file") from error
    except UnicodeDecodeError as error:
        raise _whole_file(str(path), f"bytes that are no UTF-8 at {error.start}", "TOML") from error
    return parse_settings(
        cls, text, file=str(path), folder=path.parent, environment=environment, check=check
    )


def parse_settings(
    cls: type[T],
    text: str,
    *,
    file: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    check: Check[T] | None = None,
) -> T:
    """Read settings from TOML text; relative paths in it are taken from `folder`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(file, text, str(error)) from error
    except RecursionError as error:
        raise _whole_file(file, "lists or tables nested too deeply", "TOML") from error
    reader = _Reader(file, folder, find_lines(text))
    overlay_environment(cls, document, environment or {})
    settings = reader.table(cls, document, ())
    if not reader.problems and check is not None:
        reader.check(check(settings))
    if reader.problems:
        raise ConfigurationError(sorted(reader.problems, key=lambda p: (p.file != file, p.line)))
    return cast(T, settings)


def located(
    path: Path, problems: Iterable[SettingProblem | ConfigurationProblem]
) -> list[ConfigurationProblem]:
    """The same with the lines of a file that has been read; what has its own line keeps it."""
    reader = _Reader(str(path), path.parent, find_lines(path.read_text("utf-8")))
    reader.check(problems)
    return reader.problems


def overlay_environment(
    cls: type, document: dict[str, Any], environment: Mapping[str, str]
) -> None:
    """Put the values that the environment gives into a document, making tables as needed."""
    for path, _ in scalars_of(cls):
        value = environment.get(environment_name(path))
        if value is None:
            continue
        table: Any = document
        for key in path[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[path[-1]] = EnvironmentText(value)


def _whole_file(file: str, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(file, 0, found, expected)])


def _syntax_error(file: str, text: str, message: str) -> ConfigurationError:
    match = _AT_LINE.search(message)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    found = "no TOML here: " + _AT_LINE.sub("", message)
    return ConfigurationError([ConfigurationProblem(file, line, found, "TOML 1.0")])


class _Reader:
    """Turns TOML values into settings and collects what does not fit."""

    def __init__(self, file: str, folder: Path, lines: Mapping[Place, int]) -> None:
        self.file = file
        self.folder = folder
        self.lines = lines
        self.problems: list[ConfigurationProblem] = []

    def check(self, problems: Iterable[SettingProblem | ConfigurationProblem]) -> None:
        """Keep what a check found; what is in another file already knows its line."""
        for problem in problems:
            if isinstance(problem, ConfigurationProblem):
                self.problems.append(problem)
            else:
                self.complain(problem.path, problem.found, problem.expected)

    def complain(self, place: Place, found: str, expected: str) -> None:
        while place and place not in self.lines:
            place = place[:-1]
        line = self.lines.get(place, 0)
        self.problems.append(ConfigurationProblem(self.file, line, found, expected))

    def table(self, cls: type, raw: Mapping[str, object], place: Place) -> Any:  # noqa: ANN401
        """An instance of a settings class; meaningless once there are problems."""
        keys = {key.name: key for key in keys_of(cls)}
        for name in raw:
            if name not in keys:
                self.complain((*place, name), f"unknown key '{name}'", _guess(name, list(keys)))
        before = len(self.problems)
        values = {name: self._key(key, raw, place) for name, key in keys.items()}
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except ValueError as error:
            self.complain(place, "a table that contradicts itself", str(error))
            return None

    def _key(self, key: Key, raw: Mapping[str, object], place: Place) -> object:
        if key.name in raw:
            return self.value(key.shape, raw[key.name], (*place, key.name))
        if key.required and key.shape.is_table and not key.shape.optional:
            return self.table(key.shape.kind, {}, (*place, key.name))
        if key.required:
            meaning = f" ({key.meaning})" if key.meaning else ""
            found = f"no key '{key.name}' in {_table_name(place)}"
            self.complain(place, found, expectation(key.shape) + meaning)
            return None
        return _anchored(key.default, self.folder)

    def value(self, shape: Shape, raw: object, place: Place) -> object:
        """What one key or list element stands for; None once there is a problem with it."""
        try:
            if shape.is_scalar:
                return convert_scalar(shape, raw, self.folder)
            if shape.kind is tuple:
                return self._list(shape, raw, place)
            if not isinstance(raw, dict):
                raise Unfit
            if shape.is_table:
                return self.table(shape.kind, raw, place)
            return self._free_keys(shape, raw, place)
        except Unfit:
            self._complain_about(raw, expectation(shape), place)
            return None

    def _list(self, shape: Shape, raw: object, place: Place) -> tuple[object, ...]:
        if not isinstance(raw, list) or not all(limit.hold(len(raw)) for limit in shape.limits):
            raise Unfit
        element = shape_of(shape.element)
        return tuple(self.value(element, item, (*place, i)) for i, item in enumerate(raw))

    def _free_keys(
        self, shape: Shape, raw: Mapping[str, object], place: Place
    ) -> Mapping[str, object]:
        element = shape_of(shape.element)
        return {name: self.value(element, item, (*place, name)) for name, item in raw.items()}

    def _complain_about(self, raw: object, expected: str, place: Place) -> None:
        if isinstance(raw, EnvironmentText):
            name = environment_name(tuple(str(step) for step in place))
            self.problems.append(ConfigurationProblem(name, 0, shown(raw), expected))
        else:
            self.complain(place, shown(raw), expected)


def _table_name(place: Place) -> str:
    if not place:
        return "the file"
    name = ".".join(step for step in place if isinstance(step, str))
    return f"this [[{name}]]" if isinstance(place[-1], int) else f"[{name}]"


def _guess(name: str, known: list[str]) -> str:
    """What the writer of an unknown key may have meant."""
    close = difflib.get_close_matches(name.replace("-", "_"), known, 1)
    if close:
        return f"'{close[0]}' (did you mean that?)"
    return "one of " + ", ".join(known)


def _anchored(value: object, folder: Path) -> object:
    """A default with its relative paths taken from the folder of the file, as given ones are."""
    if isinstance(value, Path):
        return folder / value
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, *IDENTIFIERS)):
        parts = {
            field.name: _anchored(getattr(value, field.name), folder)
            for field in dataclasses.fields(value)
            if field.init
        }
        replaced: object = dataclasses.replace(cast(Any, value), **parts)
        return replaced
    if isinstance(value, tuple):
        return tuple(_anchored(item, folder) for item in value)
    return value
