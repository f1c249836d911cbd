"""What `sacbe adapter` reads for a database: where it is, and the named queries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from adapters.operations import PATH_PARAMETER, is_own_path
from adapters.parameters import DerivedFact, Parameter, ServiceName, ServicePath, ValueName
from adapters.settings import AdapterSettings
from adapters.shapes import ValueType
from adapters.sql.statements import Grammar, read_statement
from catalog.services import RESERVED_CODES
from trust.settings import Bounds, SettingProblem, required, setting


class QueryMethod(StrEnum):
    GET = "GET"  # parameters in path and query
    POST = "POST"  # parameters in path and a JSON object


class Paging(StrEnum):
    NONE = "none"
    KEYSET = "keyset"  # onwards from the last row; as quick for the last page as for the first
    OFFSET = "offset"  # by number; the database walks over all that is left out


PAGING_NAMES = {
    Paging.NONE: frozenset[str](),
    Paging.KEYSET: frozenset({"size", "after"}),
    Paging.OFFSET: frozenset({"size", "page"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The database that is asked."""

    dsn_file: Path = required(
        "file with the address and password: postgresql://user:secret@host/db,"
        " mariadb://user:secret@host/db or sqlite:///towns.db",
        example="database.dsn",
    )
    connections: Annotated[int, Bounds(1, 1000)] = setting(4, "connections at the most")
    timeout: Annotated[timedelta, Bounds(timedelta(milliseconds=1))] = setting(
        timedelta(seconds=10), "longest run of one query, enforced by the database"
    )
    allow_privileged: bool = setting(
        False, "start although the account may do more than read; a warning stays"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSettings:
    """What a column of the answer means, and how it is called outside."""

    name: str = required("the column, as the query names it", example="birth_date")
    field: ValueName | None = setting(
        None, "its name in the answer, instead of the column's", example="birthDate"
    )
    type: ValueType | None = setting(
        None, "its type, where the database can't tell or tells another", example="date"
    )
    nullable: bool = setting(True, "whether NULL may stand there")
    description: str = setting("", "for the descriptions")
    concept: str | None = setting(
        None,
        "URI of the fact that it is",
        example="http://data.europa.eu/m8g/person/dateOfBirth",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One named read-only query and the address it is served under."""

    name: ServiceName = required("stable name: of the SOAP service, for logs", example="towns")
    path: ServicePath = required(
        "address, with {parameter} where a segment is a parameter", example="/towns"
    )
    sql: str = required(
        "one SELECT, with :name for a parameter",
        example="SELECT code, name FROM town ORDER BY name",
    )
    method: QueryMethod = setting(QueryMethod.GET, "GET, or POST with a JSON object")
    parameters: tuple[Parameter, ...] = setting((), "what callers give; an absent one is NULL")
    columns: tuple[ColumnSettings, ...] = setting((), "what more is known of columns")
    single: bool = setting(False, "answer one object, 404 when there is none")
    max_rows: Annotated[int, Bounds(1, 100_000)] = setting(1000, "rows at the most in one answer")
    paging: Paging = setting(Paging.NONE, "how callers get what is beyond one answer")
    page_by: tuple[str, ...] = setting(
        (), "columns that order the rows, together unique and never NULL, for keyset",
        example=("code",),
    )  # fmt: skip
    views: tuple[DerivedFact, ...] = setting((), "facts that follow from fields of the answer")
    summary: str = setting("", "for the descriptions")

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(PATH_PARAMETER.findall(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSettings(AdapterSettings):
    """What `sacbe adapter` reads for a database."""

    kind: Literal["sql"] = setting("sql", "what stands behind the adapter")
    database: DatabaseSettings = required("the database that is asked")
    query: tuple[Query, ...] = required("the named queries")


def problems_of(settings: SqlSettings) -> list[SettingProblem]:
    """Everything that is wrong, before a database is asked."""
    return query_problems(settings.query)


def query_problems(queries: Sequence[Query]) -> list[SettingProblem]:
    """Everything that is wrong in a set of queries."""
    found: list[SettingProblem] = []
    if not queries:
        found.append(SettingProblem((), "no [[query]]", "at least one named query"))
    addresses: set[tuple[QueryMethod, str]] = set()
    names: set[str] = set()
    for index, query in enumerate(queries):
        place = ("query", index)
        found += [
            SettingProblem((*place, key), f"query '{query.name}': {text}", expected)
            for key, text, expected in (*_problems(query), *_answer_problems(query))
        ]
        address = (query.method, PATH_PARAMETER.sub("{}", query.path))
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
    """Key, what is wrong and what was expected, of what goes in."""
    if query.name in RESERVED_CODES:
        yield "name", f"the name '{query.name}'", "none of the services that every node has"
    if is_own_path(query.path):
        yield "path", f"path '{query.path}'", "none of the adapter's own addresses"
    declared = [parameter.name for parameter in query.parameters]
    used = {name for grammar in Grammar for name in read_statement(query.sql, grammar).names}
    for name in _repeated(declared):
        yield "parameters", f"parameter '{name}' is declared twice", "one declaration"
    for name in sorted(_certainly_used(query.sql)):
        if name not in declared:
            yield "sql", f"':{name}' is not declared", f"a parameter named '{name}'"
    for name in sorted(set(declared)):
        if name not in used:
            yield "parameters", f"parameter '{name}' is not used", f"':{name}' in the SQL"
        if name in PAGING_NAMES[query.paging]:
            yield "parameters", f"parameter '{name}' is one of paging", "another name"
    for name in query.path_parameters:
        if name not in declared:
            yield "path", f"'{{{name}}}' is not declared", f"a parameter named '{name}'"
    for parameter in query.parameters:
        if parameter.name in query.path_parameters and not parameter.required:
            yield "parameters", f"'{parameter.name}' is optional", "required, as part of the path"


def _certainly_used(sql: str) -> set[str]:
    """Parameters by the rules of every database: which one it will be stands in a secret file."""
    by_grammar = (set(read_statement(sql, grammar).names) for grammar in Grammar)
    return set.intersection(*by_grammar)


def _answer_problems(query: Query) -> Iterator[tuple[str, str, str]]:
    """Key, what is wrong and what was expected, of what comes out."""
    for name in _repeated([column.name for column in query.columns]):
        yield "columns", f"column '{name}' stands there twice", "one entry"
    for name in _repeated([column.field or column.name for column in query.columns]):
        yield "columns", f"the answer has '{name}' twice", "names of their own"
    if query.single and query.paging is not Paging.NONE:
        yield "paging", "paging of a single object", 'single = false, or paging = "none"'
    if (query.paging is Paging.KEYSET) != bool(query.page_by):
        yield "page_by", "paging by keyset needs columns", "page_by with keyset, and only there"


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
