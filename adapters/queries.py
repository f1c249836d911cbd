"""Named queries: SQL text with named parameters, read once; values typed before they reach it.

A parameter stands in the SQL as `:name` and becomes a positional parameter of the driver, so a
value never becomes part of the text. Quoted strings, comments, dollar quotes and `::type` casts
are left alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from trust.settings import Bounds, SettingProblem, required, setting

MAX_TEXT = 4096

_SQL_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'                      # a string
    | "(?:[^"]|"")*"                      # a quoted name
    | --[^\n]*                            # a comment
    | /\*.*?\*/
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$
    | ::                                  # a cast
    | :(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_PATH_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}))+")


class ParameterType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    UUID = "uuid"


class QueryMethod(StrEnum):
    GET = "GET"  # parameters in path and query
    POST = "POST"  # parameters in path and a JSON object


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a caller may give; a parameter without default is required."""

    name: str = required(
        "as it stands in the SQL behind a colon, and in path or query", example="county"
    )
    type: ParameterType = setting(ParameterType.TEXT, "how its text is read")
    required: bool = setting(True, "an absent optional parameter is NULL in the SQL")
    max_length: Annotated[int, Bounds(1, 1_000_000)] = setting(MAX_TEXT, "characters, for text")
    description: str = setting("", "for the API description")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One named read-only query and the address it is served under."""

    name: str = required("stable name, for logs and the API description", example="towns")
    path: str = required(
        "address, with {parameter} where a segment is a parameter", example="/towns"
    )
    sql: str = required("one SELECT statement", example="SELECT code, name FROM town ORDER BY name")
    method: QueryMethod = setting(QueryMethod.GET, "GET, or POST with a JSON object")
    parameters: tuple[Parameter, ...] = setting((), "what callers give")
    single: bool = setting(False, "answer one object, 404 when there is none")
    max_rows: Annotated[int, Bounds(1, 100_000)] = setting(1000, "rows at the most in one answer")
    summary: str = setting("", "for the API description")

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(_PATH_PARAMETER.findall(self.path))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a query's answer, as the database describes it."""

    name: str
    type: str  # PostgreSQL's name: `text`, `int4`, `date`, …


class BadParameter(Exception):
    """A value that a caller gave is missing, unknown or not of its type."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class PositionalSql:
    """SQL with `$1`, `$2` … and the names that stand behind the numbers."""

    text: str
    names: tuple[str, ...] = field(default=())


def positional(sql: str) -> PositionalSql:
    """Replace `:name` by the driver's positional parameters; the same name has one number."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return PositionalSql(_SQL_TOKEN.sub(number, sql), tuple(names))


def problems_of(queries: Sequence[Query]) -> list[SettingProblem]:
    """Everything that is wrong in a set of queries, before a database is asked."""
    found: list[SettingProblem] = []
    if not queries:
        found.append(SettingProblem((), "no [[query]]", "at least one named query"))
    addresses: set[tuple[QueryMethod, str]] = set()
    names: set[str] = set()
    for index, query in enumerate(queries):
        place = ("query", index)
        found += [
            SettingProblem((*place, key), f"query '{query.name}': {text}", expected)
            for key, text, expected in _problems(query)
        ]
        address = (query.method, _PATH_PARAMETER.sub("{}", query.path))
        if address in addresses:
            text = f"{query.method} {query.path} a second time"
            found.append(SettingProblem((*place, "path"), text, "one query per address"))
        if query.name in names:
            text = f"the name '{query.name}' a second time"
            found.append(SettingProblem((*place, "name"), text, "a name of its own"))
        addresses.add(address)
        names.add(query.name)
    return found


def _problems(query: Query) -> Iterator[tuple[str, str, str]]:
    """Key, what is wrong and what was expected, for one query."""
    if not _PATH.fullmatch(query.path):
        yield "path", f"path '{query.path}'", "an absolute path of plain segments and {names}"
    declared = [parameter.name for parameter in query.parameters]
    used = positional(query.sql).names
    for name in _repeated(declared):
        yield "parameters", f"parameter '{name}' is declared twice", "one declaration"
    for name in used:
        if name not in declared:
            yield "sql", f"':{name}' is not declared", f"a parameter named '{name}'"
    for name in sorted(set(declared)):
        if name not in used:
            yield "parameters", f"parameter '{name}' is not used", f"':{name}' in the SQL"
    for name in query.path_parameters:
        if name not in declared:
            yield "path", f"'{{{name}}}' is not declared", f"a parameter named '{name}'"
    for parameter in query.parameters:
        if parameter.name in query.path_parameters and not parameter.required:
            yield "parameters", f"'{parameter.name}' is optional", "required, as part of the path"


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def read_values(query: Query, given: Mapping[str, object]) -> dict[str, object]:
    """Turn what a caller gave (texts, or JSON values) into typed values by parameter name.

    Raises BadParameter for an unknown name, a missing required value or a wrong type.
    """
    declared = {parameter.name: parameter for parameter in query.parameters}
    for name in given:
        if name not in declared:
            raise BadParameter(name, f"there is no parameter '{name}'")
    values: dict[str, object] = {}
    for name, parameter in declared.items():
        value = given.get(name)
        if value is None:
            if parameter.required:
                raise BadParameter(name, f"parameter '{name}' is missing")
            values[name] = None
        else:
            values[name] = _read_value(parameter, value)
    return values


def _read_value(parameter: Parameter, value: object) -> object:
    if isinstance(value, (dict, list)):
        raise BadParameter(parameter.name, f"parameter '{parameter.name}' must be a single value")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > parameter.max_length:
        raise BadParameter(
            parameter.name,
            f"parameter '{parameter.name}' is longer than {parameter.max_length} characters",
        )
    try:
        return _READERS[parameter.type](text)
    except (ValueError, InvalidOperation) as error:
        raise BadParameter(
            parameter.name, f"parameter '{parameter.name}' is no {parameter.type.value}"
        ) from error


def _text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("NUL")
    return text


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> Decimal:
    if not re.fullmatch(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", text):
        raise ValueError(text)
    return Decimal(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


_READERS = {
    ParameterType.TEXT: _text,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMBER: _number,
    ParameterType.BOOLEAN: _boolean,
    ParameterType.DATE: date.fromisoformat,
    ParameterType.DATETIME: datetime.fromisoformat,
    ParameterType.UUID: UUID,
}
