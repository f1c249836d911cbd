"""Small tables in files, declared and served, for the tests of the files adapter."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from adapters.files.folder import look
from adapters.files.index import Index
from adapters.files.indexing import Built, Job, build_index
from adapters.files.plan import Plan
from adapters.files.settings import (
    Compare,
    FilesSettings,
    Filter,
    FolderSettings,
    Format,
    Listing,
    Lookup,
    Table,
    TableField,
)
from adapters.files.source import FilesSource
from adapters.operations import Caller
from adapters.shapes import ValueType

PERSON_FIELDS = (
    TableField(name="id", pattern="[0-9]{3}"),
    TableField(name="name", at="Full name"),
    TableField(name="born", type=ValueType.DATE),
    TableField(name="income", type=ValueType.DECIMAL, required=False),
)
PERSONS = Table(name="person", files="persons*.csv", field=PERSON_FIELDS)
BY_ID = Lookup(name="person", table="person", path="/persons/{id}", by=("id",))
ALL = Listing(
    name="persons",
    table="person",
    path="/persons",
    page=2,
    max_page=3,
    filter=(
        Filter(name="name", field="name"),
        Filter(name="since", field="born", compare=Compare.FROM),
    ),
)
HEADINGS = "id,Full name,born,income\n"
GOOD = HEADINGS + "001,Ann,1990-05-01,10.50\n002,Bo,2000-01-02,\n003,Bo,2010-01-02,1\n"


def declared(
    folder: Path,
    *,
    table: Table = PERSONS,
    lookups: tuple[Lookup, ...] = (BY_ID,),
    lists: tuple[Listing, ...] = (),
    **of_folder: object,
) -> FilesSettings:
    """Settings for `folder/data`, with the index beside it."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return FilesSettings(
        kind="files",
        title="Test",
        folder=FolderSettings(
            path=data,
            index=folder / "index",
            **{"interval": timedelta(milliseconds=50), **of_folder},  # type: ignore[arg-type]
        ),
        table=(table,),
        lookup=lookups,
        list=lists,
    )


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """Put a file into the data folder as it should be done: complete, by a rename."""
    target = folder / "data" / name
    unfinished = target.with_name(name + ".tmp")
    unfinished.write_bytes(text.encode() if isinstance(text, str) else text)
    unfinished.replace(target)
    return target


def indexed(settings: FilesSettings) -> tuple[Built, Index | None]:
    """Index the only table in this process."""
    plan = Plan.of(settings, settings.table[0])
    folder = settings.folder
    folder.index.mkdir(exist_ok=True)
    target = folder.index / "test.index"
    seen = look(folder, plan.table.files)
    built = build_index(Job(plan, folder, seen, target, os.getppid()))
    return built, None if built.refused else Index(target, plan, b"version1")


def rows_of(settings: FilesSettings) -> list[tuple[object, ...]]:
    """All rows of the only table; they must be good."""
    built, index = indexed(settings)
    assert index is not None, (built.refused, *map(str, built.problems))
    rows = index.page([], 0, 1000, 5).rows
    index.close()
    return list(rows)


def problems_in(settings: FilesSettings) -> list[str]:
    """What is wrong in the files of the only table, which must be refused."""
    built, index = indexed(settings)
    assert index is None
    assert built.refused
    return [str(problem) for problem in built.problems]


def table_of(format_: Format, *fields: TableField, files: str = "*", **more: object) -> Table:
    return Table(name="t", files=files, format=format_, field=fields, **more)  # type: ignore[arg-type]


async def ask(source: FilesSource, name: str, /, **values: object) -> object:
    """Call an operation with what a caller gives, the rest being absent."""
    operation = next(one for one in source.operations if one.name == name)
    given = {field.name: values.get(field.name) for field in operation.inputs}
    return await source.run(operation, given, Caller())


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
