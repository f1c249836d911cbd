"""Read all files of a table into a new index: in a process of its own, so that nothing else waits.

The index holds the rows themselves. What replaces, damages or removes the files afterwards does not
touch what is served. It becomes visible by a rename, when everything in it is on disk.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import msgspec

from adapters.files.cells import BadCell, Cell, cell_of, column_of
from adapters.files.csvrows import csv_rows
from adapters.files.folder import Look, opened
from adapters.files.jsonrows import json_array, json_lines
from adapters.files.plan import Plan, Positions
from adapters.files.rows import RawRow, RowProblem, RowStream, Told, UnreadableFile, counted
from adapters.files.settings import FolderSettings, Format, Table
from adapters.files.xmlrows import xml_rows

MAX_COUNTED = 10_000  # problems after which reading ends
BUILDING = ".building-"  # begins the names of files that are not complete
_CACHE_KIB = 32 * 1024
_ROWS_BETWEEN_LOOKS = 10_000
_READERS: dict[Format, Callable[[BinaryIO, Table, int], RowStream]] = {
    Format.CSV: csv_rows,
    Format.JSON: json_array,
    Format.JSON_LINES: json_lines,
    Format.XML: xml_rows,
}


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be indexed, and where the index goes."""

    plan: Plan
    folder: FolderSettings
    look: Look
    target: Path
    parent: int  # whose child this is; without it there is nobody to index for


@dataclass(frozen=True, slots=True)
class Built:
    """How it ended: the index is at the target unless `refused` says why not."""

    rows: int
    problems: tuple[RowProblem, ...]
    count: int  # of all problems, also those that are not told
    refused: str = ""


class _TooMuch(Exception):
    """Reading ends, for the reason in the text."""


def run_job(job: Job, answer: Connection) -> None:
    """Build, and say how it ended; the whole of a child process."""
    with contextlib.suppress(OSError):
        os.nice(5)
    try:
        built = build_index(job)
    except Orphaned:
        return
    except MemoryError:
        built = Built(0, (), 0, "there is not enough memory")
    except sqlite3.Error as error:
        built = Built(0, (), 0, f"the index can't be written: {error}")
    except OSError as error:
        built = Built(0, (), 0, f"the index can't be written: {error.strerror}")
    answer.send(built)
    answer.close()


class Orphaned(Exception):
    """Whoever wanted the index is gone."""


def build_index(job: Job) -> Built:
    """Read and judge all rows, and put the index in its place if it may be served.

    Raises sqlite3.Error and OSError when the index can't be written.
    """
    unfinished = job.target.with_name(f"{BUILDING}{job.target.name}-{os.getpid()}")
    told = Told()
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(_open(unfinished)) as database:
            try:
                rows = _fill(database, job, told)
            except _TooMuch as error:
                return Built(0, tuple(told.problems), told.count, str(error))
        if told.count > job.plan.table.bad_rows:
            return Built(rows, tuple(told.problems), told.count, _refusal(job.plan.table, told))
        _put_in_place(unfinished, job.target)
        return Built(rows, tuple(told.problems), told.count)
    finally:
        unfinished.unlink(missing_ok=True)


def _refusal(table: Table, told: Told) -> str:
    return f"{counted(told.count, 'bad row')}, at most {table.bad_rows} may be"


def _open(path: Path) -> sqlite3.Connection:
    os.environ["SQLITE_TMPDIR"] = str(path.parent)  # sorting spills beside the index
    database = sqlite3.connect(path, isolation_level=None)
    for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
        database.execute(f"PRAGMA {setting}")
    return database


def _put_in_place(unfinished: Path, target: Path) -> None:
    _sync(unfinished)
    unfinished.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(database: sqlite3.Connection, job: Job, told: Told) -> int:
    """Rows in, orders over them, doubles out; how many rows remain."""
    plan = job.plan
    columns = "".join(f", c{position}" for position in plan.columns)
    places = ", ?" * len(plan.columns)
    database.execute("BEGIN")
    database.execute(
        f"CREATE TABLE row (id INTEGER PRIMARY KEY, file INTEGER, line INTEGER, data BLOB{columns})"
    )
    database.executemany(
        f"INSERT INTO row (file, line, data{columns}) VALUES (?, ?, ?{places})",  # noqa: S608 - numbers
        _records(job, told),
    )
    for number, group in enumerate((*plan.keys, *plan.orders)):
        names = ", ".join(f"c{position}" for position in group)
        database.execute(f"CREATE INDEX order{number} ON row ({names})")
    for key in plan.keys:
        _take_out_doubles(database, job, key, told)
    database.execute(f"PRAGMA user_version = {told.count}")
    database.execute("COMMIT")
    (rows,) = database.execute("SELECT count(*) FROM row").fetchone()
    return int(rows)


def _records(job: Job, told: Told) -> Iterator[tuple[object, ...]]:
    """What is inserted, row after row; bad rows are told and left out."""
    encode = msgspec.msgpack.Encoder().encode
    cells = [cell_of(field, job.plan.table) for field in job.plan.table.field]
    columns = job.plan.columns
    read = 0
    for number, row in _raw_rows(job, told):
        read += 1
        if read % _ROWS_BETWEEN_LOOKS == 0 and os.getppid() != job.parent:
            raise Orphaned
        if read > job.folder.max_rows:
            raise _TooMuch(f"more than {job.folder.max_rows} rows")
        try:
            values = [cell.read(raw) for cell, raw in zip(cells, row.values, strict=True)]
        except BadCell:
            _tell_cells(job.look.files[number].shown, row, cells, told)
            continue
        compared = [column_of(values[position]) for position in columns]
        yield (number, row.line, encode(values), *compared)


def _raw_rows(job: Job, told: Told) -> Iterator[tuple[int, RawRow]]:
    """The rows of all files with the number of their file."""
    table = job.plan.table
    for number, seen in enumerate(job.look.files):
        try:
            with opened(job.folder.path, seen) as file:
                for row in _READERS[table.format](file, table, int(job.folder.max_row)):
                    if isinstance(row, RawRow):
                        yield number, row
                    else:
                        _tell(told, RowProblem(seen.shown, row.line, row.found, row.expected))
        except UnreadableFile as error:
            told.add(RowProblem(seen.shown, error.line, error.found, error.expected))
            raise _TooMuch("a file that can't be read to its end") from error


def _tell_cells(file: str, row: RawRow, cells: Sequence[Cell], told: Told) -> None:
    """Say what is wrong with every value of a bad row."""
    first = True
    for cell, raw in zip(cells, row.values, strict=True):
        try:
            cell.read(raw)
        except BadCell as error:
            found = f"{error.found} as '{cell.field.name}'"
            problem = RowProblem(file, row.line, found, error.expected)
            if first:
                _tell(told, problem)
            else:
                told.add_detail(problem)
            first = False


def _tell(told: Told, problem: RowProblem) -> None:
    told.add(problem)
    if told.count >= MAX_COUNTED:
        raise _TooMuch(f"{MAX_COUNTED} bad rows and perhaps more")


def _take_out_doubles(database: sqlite3.Connection, job: Job, key: Positions, told: Told) -> None:
    """Tell of rows that share a key, and take all of them out: nobody knows which one counts."""
    names = ", ".join(f"c{position}" for position in key)
    given = " AND ".join(f"c{position} IS NOT NULL" for position in key)
    matched = " AND ".join(f"c{position} = ?" for position in key)
    fields = " and ".join(job.plan.table.field[position].name for position in key)
    doubles = database.execute(
        f"SELECT {names} FROM row WHERE {given} GROUP BY {names} HAVING count(*) > 1"  # noqa: S608 - numbers
        f" LIMIT {MAX_COUNTED}"
    ).fetchall()
    for values in doubles:
        rows = database.execute(
            f"SELECT file, line FROM row WHERE {matched} ORDER BY id",  # noqa: S608 - numbers
            values,
        ).fetchall()
        first = f"line {rows[0][1]} of {job.look.files[rows[0][0]].shown}"
        for file, line in rows[1:]:
            name = job.look.files[file].shown
            found = f"the {fields} of {first} again"
            _tell(told, RowProblem(name, line, found, "a key that no other row has"))
        database.execute(f"DELETE FROM row WHERE {matched}", values)  # noqa: S608 - numbers
