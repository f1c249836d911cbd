"""Tables that are files, served as look-ups by key and as lists in pages."""

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from adapters.files.folder import UnfitFolder, look
from adapters.files.index import Index, Page, Row, Test
from adapters.files.indexing import BUILDING
from adapters.files.keeper import SUFFIX, TableKeeper, table_of
from adapters.files.plan import Plan, Positions, answered, positions
from adapters.files.rows import counted
from adapters.files.services import AFTER, LIMIT, build_mark, operations_of, parse_mark
from adapters.files.settings import FilesSettings, FolderSettings, Listing, Lookup, Table
from adapters.operations import BadParameter, Caller, NotThere, Operation, SourceUnavailable
from trust.errors import StorageError

log = logging.getLogger("sacbe.adapter")

T = TypeVar("T")
_THREADS = 4
_ASIDE = ".check-"  # begins the names of index folders that are for a check


class FilesSource:
    """The tables of one adapter; `open_files` makes it."""

    def __init__(self, settings: FilesSettings, lock: int) -> None:
        self.operations = operations_of(settings)
        self._settings = settings
        self._lock = lock
        self._at_end: list[Callable[[], None]] = []
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files-list")
        self._keepers = {
            table.name: TableKeeper(settings.folder, Plan.of(settings, table))
            for table in settings.table
        }
        self._asked: dict[str, Lookup | Listing] = {one.name: one for one in settings.asked}
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read what must be read, then keep looking."""
        for path in self._settings.folder.index.glob(f"*{SUFFIX}"):
            if table_of(path) not in self._keepers:
                path.unlink(missing_ok=True)  # of a table that is not declared any more
        for keeper in self._keepers.values():
            await keeper.start()
            self._watches.append(asyncio.create_task(self._look_again(keeper)))

    async def _look_again(self, keeper: TableKeeper) -> None:
        while True:
            await asyncio.sleep(self._settings.folder.interval.total_seconds())
            try:
                await keeper.attend()
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                log.warning(
                        "table '%s': looking at its files failed: %s",
                        keeper.table.name, type(error).__name__,
                    )  # fmt: skip

    # --- what callers ask ---------------------------------------------------------------------

    async def run(
        self, operation: Operation, values: Mapping[str, object], caller: Caller
    ) -> object:
        asked = self._asked[operation.name]
        keeper = self._keepers[asked.table]
        if isinstance(asked, Lookup):
            return await self._find(asked, keeper, values)
        return await self._page(asked, keeper, values)

    def _index(self, keeper: TableKeeper) -> Index:
        """What is served of a table; raises SourceUnavailable when it is nothing, or too old."""
        if keeper.current is None:
            raise SourceUnavailable(f"table '{keeper.table.name}': {keeper.reason}")
        if self._is_stale(keeper):
            raise SourceUnavailable(f"table '{keeper.table.name}': its rows are too old")
        return keeper.current

    def _is_stale(self, keeper: TableKeeper) -> bool:
        longest = self._settings.folder.stale_after
        age = time.time() - keeper.confirmed
        return longest is not None and bool(keeper.reason) and age > longest.total_seconds()

    async def _find(
        self, lookup: Lookup, keeper: TableKeeper, values: Mapping[str, object]
    ) -> object:
        table, index = keeper.table, self._index(keeper)
        key, shown = positions(table, lookup.by), answered(table, lookup)
        if not lookup.many and not lookup.several:
            rows = index.find(key, [values[name] for name in lookup.by], 1)
            if not rows:
                raise NotThere("there is no such row")
            return _shown(rows[0], table, shown)
        keys = _keys(lookup, values)
        rows = await self._in_thread(index, lambda: _found(index, lookup, key, keys))
        found = [_shown(row, table, shown) for row in rows[: lookup.max_rows]]
        return {"items": found, "more": len(rows) > lookup.max_rows}

    async def _page(
        self, listing: Listing, keeper: TableKeeper, values: Mapping[str, object]
    ) -> object:
        index, after = self._index(keeper), 0
        mark = values[AFTER]
        if isinstance(mark, str):
            version, after = parse_mark(mark)
            begun = keeper.version(version)
            if begun is None:
                raise BadParameter(AFTER, "the rows were replaced meanwhile: begin again")
            index = begun
        limit = _limit(listing, values[LIMIT])
        tests = _tests(listing, keeper.table, values)
        seconds = self._settings.folder.query_timeout.total_seconds()
        page: Page = await self._in_thread(index, lambda: index.page(tests, after, limit, seconds))
        shown = answered(keeper.table, listing)
        return {
            "items": [_shown(row, keeper.table, shown) for row in page.rows],
            "more": page.more,
            "next": build_mark(index.version, page.last) if page.more else None,
        }

    async def _in_thread(self, index: Index, work: Callable[[], T]) -> T:
        """Run what may take a while; the index stays open until it is done, whoever still waits."""
        index.enter()
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        running.add_done_callback(lambda done: _ended(done, index))
        return await asyncio.shield(running)

    # --- what operators ask -------------------------------------------------------------------

    async def problem(self) -> str | None:
        reasons = []
        for keeper in self._keepers.values():
            try:
                self._index(keeper)
            except SourceUnavailable as error:
                reasons.append(str(error))
        return "; ".join(reasons) or None

    def notices(self) -> Sequence[str]:
        """What the operator should know although everything is served."""
        found = []
        for keeper in self._keepers.values():
            name = f"table '{keeper.table.name}'"
            if keeper.reason:
                found.append(f"{name}: the files are not served: {keeper.reason}")
            elif keeper.current is not None and keeper.current.left_out:
                bad = counted(keeper.current.left_out, "bad row")
                found.append(f"{name}: {bad} left out")
            found += [f"{name}: {problem}" for problem in keeper.problems]
        return found

    def metrics(self) -> Iterator[Metric]:
        """Rows, ages and fates of versions, by table."""
        rows = GaugeMetricFamily("sacbe_adapter_rows", "Rows that are served", labels=["table"])
        left_out = GaugeMetricFamily(
            "sacbe_adapter_rows_left_out", "Bad rows that are left out", labels=["table"]
        )
        current = GaugeMetricFamily(
            "sacbe_adapter_files_served", "1 when the files as they are now are what is served",
            labels=["table"],
        )  # fmt: skip
        age = GaugeMetricFamily(
            "sacbe_adapter_rows_age_seconds",
            "Seconds since the files last were what is served", labels=["table"],
        )  # fmt: skip
        versions = CounterMetricFamily(
            "sacbe_adapter_versions", "Versions of the files", labels=["table", "fate"]
        )
        for name, keeper in self._keepers.items():
            index = keeper.current
            rows.add_metric([name], index.rows if index else 0)
            left_out.add_metric([name], index.left_out if index else 0)
            current.add_metric([name], 0 if keeper.reason else 1)
            if index:
                age.add_metric([name], time.time() - keeper.confirmed)
            versions.add_metric([name, "served"], keeper.loaded)
            versions.add_metric([name, "refused"], keeper.refused)
        yield from (rows, left_out, current, age, versions)

    async def check(self) -> Sequence[str]:
        """Look at all files once more and tell everything that is wrong in them."""
        found: list[str] = []
        for keeper in self._keepers.values():
            name = f"table '{keeper.table.name}'"
            try:
                await asyncio.to_thread(look, self._settings.folder, keeper.table.files)
            except UnfitFolder as error:
                found.append(f"{name}: {error}")
                continue
            await keeper.attend(settled=True)
            if keeper.reason:
                found.append(f"{name}: {keeper.reason}")
            found += [f"{name}: {problem}" for problem in keeper.problems]
        return found

    async def close(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._threads.shutdown(wait=True)
        for keeper in self._keepers.values():
            keeper.close()
        os.close(self._lock)
        for work in self._at_end:
            work()

    def at_end(self, work: Callable[[], None]) -> None:
        """Do this when everything is closed."""
        self._at_end.append(work)


def _ended(running: "asyncio.Future[T]", index: Index) -> None:
    if not running.cancelled():
        running.exception()  # seen, even if nobody waits any more
    index.exit()


def _found(index: Index, lookup: Lookup, key: Positions, keys: Sequence[Row]) -> list[Row]:
    """The rows of several keys, one more than may be answered."""
    rows: list[Row] = []
    with index.reading() as find:
        for one in dict.fromkeys(keys):
            left = lookup.max_rows + 1 - len(rows)
            rows += find(key, one, left if lookup.many else 1)
            if len(rows) > lookup.max_rows:
                break
    return rows


def _keys(lookup: Lookup, values: Mapping[str, object]) -> list[Row]:
    """The keys that were given, one or several."""
    if not lookup.several:
        return [tuple(values[name] for name in lookup.by)]
    given = values[lookup.by[0]]
    return [(one,) for one in given] if isinstance(given, list) else []


def _shown(row: Row, table: Table, shown: Positions) -> dict[str, object]:
    return {
        table.field[position].name: _answer(row[position], table, position) for position in shown
    }


def _answer(value: object, table: Table, position: int) -> object:
    if isinstance(value, Decimal) and table.field[position].type == "number":
        return float(value)
    return value


def _limit(listing: Listing, given: object) -> int:
    if given is None:
        return min(listing.page, listing.max_page)
    if not isinstance(given, int) or not 1 <= given <= listing.max_page:
        raise BadParameter(LIMIT, f"parameter '{LIMIT}' is not between 1 and {listing.max_page}")
    return given


def _tests(listing: Listing, table: Table, values: Mapping[str, object]) -> list[Test]:
    return [
        Test(positions(table, (one.field,))[0], one.compare, values[one.name])
        for one in listing.filter
        if values[one.name] is not None
    ]


async def open_files(settings: FilesSettings) -> FilesSource:
    """Take the index folder and serve what can be served; raises StorageError without a folder."""
    source = FilesSource(settings, _take_folder(settings.folder))
    try:
        await source.start()
    except BaseException:
        await source.close()
        raise
    return source


async def open_beside(settings: FilesSettings) -> FilesSource:
    """Read the files into an index folder of its own that goes with the source, for a check."""
    folder = settings.folder
    try:
        folder.index.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = tempfile.TemporaryDirectory(prefix=_ASIDE, dir=folder.index)
    except OSError as error:
        raise StorageError(f"the index folder can't be used: {error.strerror}") from error
    own = dataclasses.replace(folder, index=Path(aside.name))
    try:
        source = await open_files(dataclasses.replace(settings, folder=own))
    except BaseException:
        aside.cleanup()
        raise
    source.at_end(aside.cleanup)
    return source


def _take_folder(folder: FolderSettings) -> int:
    """Lock the index folder for this process, and remove what was not finished."""
    try:
        folder.index.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.index.stat().st_mode) & 0o022:
            raise StorageError(f"others may write into the index folder '{folder.index}'")
        lock = os.open(folder.index / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"the index folder can't be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StorageError("another adapter uses the index folder") from error
    for path in folder.index.glob(f"{BUILDING}*"):
        with contextlib.suppress(OSError):
            path.unlink()
    for path in folder.index.glob(f"{_ASIDE}*"):
        if time.time() - path.stat().st_mtime > folder.build_timeout.total_seconds():
            shutil.rmtree(path, ignore_errors=True)  # of a check that was killed
    return lock
