"""A database behind named queries, as a source of an adapter."""

import logging
from collections.abc import Mapping, Sequence

from adapters.operations import (
    BadParameter,
    Caller,
    NotThere,
    Operation,
    SourceTimeout,
    SourceUnavailable,
)
from adapters.sql.answers import Answer, answer_problems
from adapters.sql.database import Database
from adapters.sql.paging import Pages, write_token
from adapters.sql.settings import Paging, Query, SqlSettings
from adapters.sql.statements import read_statement
from adapters.values import read_values
from trust.errors import StorageError

log = logging.getLogger("sacbe.adapter")


class SqlSource:
    """Named queries on a database; its password stays in this process."""

    def __init__(self, database: Database, queries: Mapping[str, tuple[Answer, Pages]]) -> None:
        self._database = database
        self._queries = queries

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(answer.operation for answer, _ in self._queries.values())

    async def run(
        self, operation: Operation, values: Mapping[str, object], caller: Caller
    ) -> object:
        answer, pages = self._queries[operation.name]
        statement, bound, size = pages.page(values, answer.key_types())
        found = await self._database.rows(statement, bound, size + 1)
        rows = [answer.row(row) for row in found[:size]]
        if answer.query.single:
            if not rows:
                raise NotThere("there is no such row")
            return rows[0]
        listed: dict[str, object] = {"items": rows, "more": len(found) > size}
        if answer.query.paging is Paging.KEYSET:
            listed["next"] = _token(answer, rows[-1]) if listed["more"] else None
        return listed

    async def problem(self) -> str | None:
        return await self._database.problem()

    async def check(self) -> Sequence[str]:
        """What fails when it is asked with the declared examples; opening has found the rest."""
        problems = []
        for answer, _ in self._queries.values():
            fields = answer.operation.inputs
            if all(field.example is not None for field in fields if field.required):
                given = {f.name: f.example for f in fields if f.example is not None}
                problems += await self._try(answer.operation, given)
        return problems

    async def _try(self, operation: Operation, given: Mapping[str, object]) -> list[str]:
        try:
            await self.run(operation, read_values(operation, given), Caller())
        except NotThere:
            return []
        except (BadParameter, SourceTimeout, SourceUnavailable) as error:
            return [f"query '{operation.name}' with its examples: {error}"]
        return []

    async def close(self) -> None:
        await self._database.close()


def _token(answer: Answer, row: Mapping[str, object]) -> str:
    keys = answer.key_of(row)
    if None in keys:
        text = f"query '{answer.query.name}': a column of page_by is NULL"
        raise SourceUnavailable(text)
    return write_token(keys)


async def open_source(settings: SqlSettings, database: Database) -> SqlSource:
    """Let the database prepare every query; StorageError names all that can't be served."""
    problems = [] if settings.database.allow_privileged else await _too_much(database)
    queries: dict[str, tuple[Answer, Pages]] = {}
    for query in settings.query:
        try:
            answer, pages, found = await _describe(query, database)
        except StorageError as error:
            problems.append(f"query '{query.name}': {error}")
        else:
            problems += found
            queries[query.name] = answer, pages
    if problems:
        raise StorageError("\n".join(problems))
    if settings.database.allow_privileged:
        for one in await database.privileges():
            log.warning("the account %s; it needs SELECT and nothing more", one)
    return SqlSource(database, queries)


async def _too_much(database: Database) -> list[str]:
    found = await database.privileges()
    return [f"the account {one}: give it SELECT only, or set allow_privileged" for one in found]


async def _describe(query: Query, database: Database) -> tuple[Answer, Pages, list[str]]:
    statement = read_statement(query.sql, database.grammar)
    declared = {parameter.name for parameter in query.parameters}
    unknown = [name for name in statement.names if name not in declared]
    if unknown:
        raise StorageError(f"':{unknown[0]}' is not declared")
    fields = [parameter.field for parameter in query.parameters]
    columns, unfit = await database.describe(statement, fields)
    problems = [f"query '{query.name}': {one}" for one in unfit] + answer_problems(query, columns)
    pages = Pages(query, statement, database.quoted)
    if not problems:
        for page in pages.statements:
            await database.describe(page, fields)  # as it will be asked, so that this fits too
    return Answer(query, columns), pages, problems
