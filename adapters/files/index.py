"""An index of one version of a table, open for reading: by keys, and page by page.

The file never changes once it has its name, so it is read without locks.
"""

import contextlib
import functools
import queue
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from adapters.files.cells import column_of
from adapters.files.plan import Plan, Positions
from adapters.files.settings import Compare
from adapters.operations import SourceTimeout, SourceUnavailable

Row = tuple[object, ...]
Find = Callable[[Positions, Sequence[object], int], list[Row]]

_STEPS_BETWEEN_LOOKS = 2000  # of SQLite's machine, between two looks at the clock
_CACHE_KIB = 4 * 1024
_CONNECTIONS = 4  # kept for lists
_TESTS = {
    Compare.EQUAL: "c{0} = ?",
    Compare.FROM: "c{0} >= ?",
    Compare.TO: "c{0} <= ?",
    Compare.PREFIX: "c{0} >= ? AND c{0} < ?",
}


@dataclass(frozen=True, slots=True)
class Test:
    """A field compared with a value."""

    position: int
    compare: Compare
    value: object

    @property
    def arguments(self) -> tuple[object, ...]:
        value = column_of(self.value)
        return (value, f"{value}\U0010ffff") if self.compare is Compare.PREFIX else (value,)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order of the files; `last` is the place of the last one, for the next page."""

    rows: tuple[Row, ...]
    last: int
    more: bool


class Index:
    """One version of a table's rows.

    Attributes:
        version: 8 bytes that no other version has, for the marks of pages.
        rows: how many there are.
        left_out: bad rows that were left out.
        built: when, in seconds of the clock.
    """

    def __init__(self, path: Path, plan: Plan, version: bytes) -> None:
        """Open an index that was built; raises SourceUnavailable for a file that is none."""
        self.path = path
        self.version = version
        self._decode = msgspec.msgpack.Decoder(plan.row_type).decode
        self._spare: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._readers = 0
        self._leaving = False
        try:
            self._connection = self._connect()
            (self.rows,) = self._connection.execute("SELECT count(*) FROM row").fetchone()
            (self.left_out,) = self._connection.execute("PRAGMA user_version").fetchone()
            self.built = path.stat().st_mtime
        except (sqlite3.Error, OSError) as error:
            raise SourceUnavailable(f"the index can't be opened: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{_quoted(self.path)}?mode=ro&immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        return connection

    def enter(self) -> None:
        """A reader begins in a thread; the file stays until `exit`, whatever takes its place."""
        self._readers += 1

    def exit(self) -> None:
        """A reader has ended."""
        self._readers -= 1
        if self._leaving and not self._readers:
            self._end()

    def leave(self) -> None:
        """Close and remove it as soon as its last reader is done."""
        self._leaving = True
        if not self._readers:
            self._end()

    def _end(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close without removing: it may be served again after a restart."""
        self._connection.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._spare.get_nowait().close()

    def find(self, key: Positions, values: Sequence[object], limit: int) -> list[Row]:
        """The first rows with a key: a few probes of one order, on the thread of the loop."""
        return self._find(self._connection, key, values, limit)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Find]:
        """A `find` for another thread, with a connection of its own."""
        connection = self._spare_connection()
        try:
            yield functools.partial(self._find, connection)
        finally:
            self._give_back(connection)

    def _find(
        self, connection: sqlite3.Connection, key: Positions, values: Sequence[object], limit: int
    ) -> list[Row]:
        tests = " AND ".join(f"c{position} = ?" for position in key)
        try:
            found = connection.execute(
                f"SELECT data FROM row WHERE {tests} ORDER BY id LIMIT ?",  # noqa: S608 - numbers
                (*map(column_of, values), limit),
            ).fetchall()
            return [self._decode(data) for (data,) in found]
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise SourceUnavailable(f"the index can't be read: {type(error).__name__}") from error

    def page(self, tests: Sequence[Test], after: int, limit: int, seconds: float) -> Page:
        """The rows behind a place that pass all tests; in a thread, and for a bounded time."""
        where = "".join(f" AND {_TESTS[test.compare].format(test.position)}" for test in tests)
        arguments = [value for test in tests for value in test.arguments]
        connection = self._spare_connection()
        end = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
        try:
            found = connection.execute(
                f"SELECT id, data FROM row WHERE id > ?{where} ORDER BY id LIMIT ?",  # noqa: S608 - numbers
                (after, *arguments, limit + 1),
            ).fetchall()
            rows = tuple(self._decode(data) for _, data in found[:limit])
        except sqlite3.OperationalError as error:
            if time.monotonic() > end:
                raise SourceTimeout("the list took too long") from error
            raise SourceUnavailable(f"the index can't be read: {type(error).__name__}") from error
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise SourceUnavailable(f"the index can't be read: {type(error).__name__}") from error
        finally:
            connection.set_progress_handler(None, 0)
            self._give_back(connection)
        last = found[len(rows) - 1][0] if rows else after
        return Page(rows, last, more=len(found) > limit)

    def _spare_connection(self) -> sqlite3.Connection:
        try:
            return self._spare.get_nowait()
        except queue.Empty:
            return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._spare.qsize() < _CONNECTIONS:
            self._spare.put(connection)
        else:
            connection.close()


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
