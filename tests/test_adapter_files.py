"""Tables that are files: looked up, listed, replaced under readers, refused when they are bad."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from adapters.files.folder import look
from adapters.files.indexing import Job, Orphaned, build_index
from adapters.files.plan import Plan
from adapters.files.settings import Compare, Filter, Listing, Lookup, Table
from adapters.files.source import FilesSource, open_beside, open_files
from adapters.operations import BadParameter, NotThere, SourceTimeout, SourceUnavailable
from tests.file_tables import (
    ALL,
    BY_ID,
    GOOD,
    HEADINGS,
    PERSON_FIELDS,
    PERSONS,
    ask,
    declared,
    until,
    write,
)
from trust.errors import StorageError
from trust.settings import ByteSize

SEVERAL = Lookup(name="some", table="person", path="/some", by=("id",), several=3, fields=("name",))
NAMESAKES = Lookup(
    name="namesakes", table="person", path="/n/{name}", by=("name",), many=True, max_rows=1
)
BOTH = Lookup(name="both", table="person", path="/b/{name}/{born}", by=("name", "born"))
LOOKUPS = (BY_ID, SEVERAL, NAMESAKES, BOTH)
BAD = HEADINGS + "001,Ann,never,10.50\n"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Path, FilesSource]]:
    """Three persons, with all kinds of questions."""
    chosen = declared(tmp_path, lookups=LOOKUPS, lists=(ALL,))
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    yield tmp_path, source
    await source.close()


def seen(source: FilesSource, name: str = "person") -> Callable[[int], bool]:
    """Whether so many versions of the only table were loaded."""
    return lambda count: source._keepers[name].loaded >= count


async def test_a_row_is_found_by_its_key(served: tuple[Path, FilesSource]) -> None:
    _, source = served
    assert await ask(source, "person", id="001") == {
        "id": "001", "name": "Ann", "born": date(1990, 5, 1),
        "income": Decimal("10.50"),
    }  # fmt: skip
    with pytest.raises(NotThere):
        await ask(source, "person", id="009")


async def test_rows_by_several_keys_by_shared_keys_and_by_two_fields(
    served: tuple[Path, FilesSource],
) -> None:
    _, source = served
    found = await ask(source, "some", id=["003", "009", "001", "003"])
    assert found == {"items": [{"name": "Bo"}, {"name": "Ann"}], "more": False}
    found = await ask(source, "namesakes", name="Bo")
    assert isinstance(found, dict)
    assert [row["id"] for row in found["items"]] == ["002"]
    assert found["more"]
    born = date(2010, 1, 2)
    both = await ask(source, "both", name="Bo", born=born)
    assert isinstance(both, dict)
    assert both["id"] == "003"


async def test_a_list_comes_in_pages(served: tuple[Path, FilesSource]) -> None:
    _, source = served
    first = await ask(source, "persons")
    assert isinstance(first, dict)
    assert [row["id"] for row in first["items"]] == ["001", "002"]
    assert first["more"]
    second = await ask(source, "persons", after=first["next"])
    assert isinstance(second, dict)
    assert [row["id"] for row in second["items"]] == ["003"]
    assert (second["more"], second["next"]) == (False, None)


async def test_a_list_is_narrowed_by_filters(served: tuple[Path, FilesSource]) -> None:
    _, source = served
    since = date(2005, 1, 1)
    found = await ask(source, "persons", name="Bo", since=since)
    assert isinstance(found, dict)
    assert [row["id"] for row in found["items"]] == ["003"]
    assert await ask(source, "persons", name="' OR 1=1 --") == {
        "items": [], "more": False, "next": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "values", [{"limit": 0}, {"limit": 4}, {"after": "x"}, {"after": "é"}, {"after": "A" * 19}]
)
async def test_a_bad_limit_or_mark_is_named(
    served: tuple[Path, FilesSource], values: dict[str, object]
) -> None:
    with pytest.raises(BadParameter) as caught:
        await ask(served[1], "persons", **values)
    assert caught.value.parameter == next(iter(values))


async def test_numbers_are_compared_by_value_and_texts_by_beginning(tmp_path: Path) -> None:
    listing = Listing(
        name="l", table="person", path="/l",
        filter=(
            Filter(name="income", field="income"),
            Filter(name="name", field="name", compare=Compare.PREFIX),
        ),
    )  # fmt: skip
    write_to = declared(tmp_path, lookups=(), lists=(listing,))
    write(tmp_path, "persons.csv", GOOD + "004,Bob,2000-01-01,10.5\n005,B%,2000-01-01,010.500\n")
    source = await open_files(write_to)
    found = await ask(source, "l", income=Decimal("10.50000"))
    assert isinstance(found, dict)
    assert [row["id"] for row in found["items"]] == ["001", "004", "005"]
    found = await ask(source, "l", name="B%")
    assert isinstance(found, dict)
    assert [row["id"] for row in found["items"]] == ["005"]
    await source.close()


async def test_new_files_replace_the_old_ones_and_begun_pages_go_on(
    served: tuple[Path, FilesSource],
) -> None:
    folder, source = served
    first = await ask(source, "persons")
    assert isinstance(first, dict)
    write(folder, "persons.csv", HEADINGS + "777,Cy,2000-01-01,\n")
    await until(lambda: seen(source)(2))
    with pytest.raises(NotThere):
        await ask(source, "person", id="001")
    assert await ask(source, "person", id="777")
    second = await ask(source, "persons", after=first["next"])
    assert isinstance(second, dict)
    assert [row["id"] for row in second["items"]] == ["003"]
    assert source.notices() == []


async def test_a_begun_page_whose_rows_are_gone_says_so(tmp_path: Path) -> None:
    chosen = declared(tmp_path, lists=(ALL,), kept=timedelta(0))
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    first = await ask(source, "persons")
    assert isinstance(first, dict)
    write(tmp_path, "persons.csv", GOOD + "004,Di,2000-01-01,\n")
    await until(lambda: seen(source)(2))
    with pytest.raises(BadParameter, match="begin again"):
        await ask(source, "persons", after=first["next"])
    assert len(list((tmp_path / "index").glob("*.index"))) == 1
    await source.close()


async def test_a_bad_version_keeps_the_old_one_and_tells_why(
    served: tuple[Path, FilesSource], caplog: pytest.LogCaptureFixture
) -> None:
    folder, source = served
    with caplog.at_level("INFO", "sacbe.adapter"):
        write(folder, "persons.csv", BAD)
        await until(lambda: source._keepers["person"].refused == 1)
        await asyncio.sleep(0.2)  # it is not read again and again
    assert source._keepers["person"].refused == 1
    assert await ask(source, "person", id="003")
    assert await source.problem() is None
    assert source.notices() == [
        "table 'person': the files are not served: 1 bad row, at most 0 may be",
        "table 'person': persons.csv:2: found a text of 5 characters as 'born', "
        "expected a date such as 2024-01-31",
    ]
    assert "the last version stays" in caplog.text
    assert "never" not in caplog.text
    assert sample(source, "sacbe_adapter_files_served") == 0
    assert sample(source, "sacbe_adapter_versions_total", fate="refused") == 1
    write(folder, "persons.csv", GOOD)
    await until(lambda: not source.notices())
    assert sample(source, "sacbe_adapter_files_served") == 1
    assert sample(source, "sacbe_adapter_rows") == 3


def sample(source: FilesSource, name: str, **labels: str) -> float:
    wanted = {"table": "person", **labels}
    return next(
        one.value
        for family in source.metrics()
        for one in family.samples
        if one.name == name and one.labels == wanted
    )


async def test_files_that_go_away_keep_being_served_until_they_are_stale(tmp_path: Path) -> None:
    chosen = declared(tmp_path, stale_after=timedelta(seconds=1))
    file = write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    file.unlink()
    await until(lambda: bool(source.notices()))
    assert await ask(source, "person", id="001")
    await asyncio.sleep(1)
    with pytest.raises(SourceUnavailable, match="too old"):
        await ask(source, "person", id="001")
    assert await source.problem() == "table 'person': its rows are too old"
    await source.close()


async def test_an_adapter_without_files_waits_for_them(tmp_path: Path) -> None:
    source = await open_files(declared(tmp_path))
    assert await source.problem() == "table 'person': no file of that name is there"
    assert await source.check() == ["table 'person': no file of that name is there"]
    with pytest.raises(SourceUnavailable):
        await ask(source, "person", id="001")
    write(tmp_path, "persons.csv", GOOD)
    await until(lambda: seen(source)(1))
    assert await source.problem() is None
    assert await source.check() == []
    await source.close()


async def test_a_file_that_is_written_in_place_is_waited_for(tmp_path: Path) -> None:
    chosen = declared(tmp_path, interval=timedelta(milliseconds=300))
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    with (tmp_path / "data" / "persons.csv").open("a") as file:
        for number in range(100, 130):
            file.write(f"{number},New,2000-01-01,")
            file.flush()
            await asyncio.sleep(0.03)
            file.write("\n")
            file.flush()
    await until(lambda: seen(source)(2))
    assert await ask(source, "person", id="129")
    assert source._keepers["person"].refused == 0
    await source.close()


async def test_with_a_marker_nothing_is_looked_at_before_it_is_written_anew(tmp_path: Path) -> None:
    chosen = declared(tmp_path, marker="READY")
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    assert await source.problem() == "table 'person': the marker 'READY' is not there"
    write(tmp_path, "READY", "")
    await until(lambda: seen(source)(1))
    write(tmp_path, "persons.csv", GOOD + "004,Di,2000-01-01,\n")
    await asyncio.sleep(0.3)
    assert seen(source)(2) is False
    write(tmp_path, "READY", "")
    await until(lambda: seen(source)(2))
    await source.close()


async def test_after_a_restart_the_index_is_used_again(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    await (await open_files(chosen)).close()
    (index,) = (tmp_path / "index").glob("*.index")
    built = index.stat().st_mtime_ns
    source = await open_files(chosen)
    assert await ask(source, "person", id="001")
    assert index.stat().st_mtime_ns == built
    await source.close()


async def test_after_a_restart_with_bad_files_the_last_good_version_is_served(
    tmp_path: Path,
) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    await (await open_files(chosen)).close()
    write(tmp_path, "persons.csv", BAD)
    source = await open_files(chosen)
    assert await ask(source, "person", id="001")
    assert "the files are not served" in source.notices()[0]
    assert any("persons.csv:2" in line for line in await source.check())
    await source.close()


async def test_an_index_of_another_declaration_is_not_used(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    await (await open_files(chosen)).close()
    fewer = Table(name="person", files="persons*.csv", field=PERSON_FIELDS[:2])
    source = await open_files(declared(tmp_path, table=fewer))
    assert await ask(source, "person", id="001") == {"id": "001", "name": "Ann"}
    await source.close()


async def test_rows_of_a_table_that_is_not_declared_any_more_are_removed(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    await (await open_files(chosen)).close()
    other = Table(name="person.old", files="persons*.csv", field=PERSON_FIELDS)
    asked = Lookup(name="p", table="person.old", path="/p/{id}", by=("id",))
    source = await open_files(declared(tmp_path, table=other, lookups=(asked,)))
    (index,) = (tmp_path / "index").glob("*.index")
    assert index.name.startswith("person.old.")
    await source.close()


async def test_a_damaged_index_is_built_anew(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    await (await open_files(chosen)).close()
    (index,) = (tmp_path / "index").glob("*.index")
    index.write_bytes(b"not a database")
    source = await open_files(chosen)
    await until(lambda: source._keepers["person"].current is not None)
    assert await ask(source, "person", id="001")
    await source.close()


async def test_two_adapters_can_t_share_an_index_folder(served: tuple[Path, FilesSource]) -> None:
    with pytest.raises(StorageError, match="another adapter"):
        await open_files(declared(served[0]))


async def test_a_check_reads_the_files_beside_an_adapter_that_serves_them(
    served: tuple[Path, FilesSource],
) -> None:
    folder, source = served
    chosen = declared(folder, lookups=LOOKUPS, lists=(ALL,))
    beside = await open_beside(chosen)
    assert await beside.check() == []
    await beside.close()
    write(folder, "persons.csv", BAD)
    beside = await open_beside(chosen)
    assert "persons.csv:2" in (await beside.check())[1]
    await beside.close()
    assert not list((folder / "index").glob(".check-*"))
    assert await ask(source, "person", id="001")


async def test_an_index_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index").chmod(0o777)
    with pytest.raises(StorageError, match="others may write"):
        await open_files(declared(tmp_path))


async def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(GOOD)
    chosen = declared(tmp_path)
    (tmp_path / "data" / "persons1.csv").symlink_to(secret)
    os.mkfifo(tmp_path / "data" / "persons2.csv")
    source = await open_files(chosen)
    assert await source.problem() == (
        "table 'person': 'persons1.csv' is no plain file; 'persons2.csv' is no plain file"
    )
    await source.close()


async def test_names_of_files_write_no_lines_of_a_log(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    (tmp_path / "data" / "persons\n2026 INFO.csv").write_text(BAD)
    (tmp_path / "data" / os.fsdecode(b"persons\xff.csv")).write_text(GOOD)
    source = await open_files(chosen)
    told = await source.check()
    assert told[1].startswith("table 'person': persons?2026 INFO.csv:2: ")
    assert all(line.isprintable() for line in told)
    await source.close()


async def test_bounds_of_files_and_rows(tmp_path: Path) -> None:
    write_to = declared(tmp_path, max_rows=2)
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(write_to)
    assert await source.problem() == "table 'person': more than 2 rows"
    await source.close()
    write(tmp_path, "persons2.csv", GOOD)
    source = await open_files(declared(tmp_path, max_files=1))
    assert "more than 1 files are there" in str(await source.problem())
    await source.close()
    source = await open_files(declared(tmp_path, max_file=ByteSize(10)))
    assert "'persons.csv' is larger than 10 B" in str(await source.problem())
    await source.close()


async def test_a_killed_reader_of_files_changes_nothing_that_is_served(
    served: tuple[Path, FilesSource],
) -> None:
    folder, source = served
    rows = "".join(f"{n % 1000:03d}x,Name,2000-01-01,1\n" for n in range(300_000))
    write(folder, "persons.csv", HEADINGS + rows)
    await until(lambda: bool(readers()))
    for child in readers():
        child.send_signal(signal.SIGKILL)
    await until(lambda: source._keepers["person"].refused > 0)
    assert await ask(source, "person", id="001")
    assert "ended before its time" in source.notices()[0]
    write(folder, "persons.csv", GOOD + "004,Di,2000-01-01,\n")
    await until(lambda: seen(source)(2))
    assert not list((folder / "index").glob(".building-*-99999"))


async def test_closing_while_files_are_read_leaves_no_process(
    tmp_path: Path,
) -> None:
    chosen = declared(tmp_path)
    source = await open_files(chosen)
    rows = "".join(f"{n:06d},Name,2000-01-01,1\n" for n in range(300_000))
    write(tmp_path, "persons.csv", HEADINGS + rows)
    await until(lambda: bool(readers()))
    started = time.monotonic()
    await source.close()
    assert time.monotonic() - started < 3
    assert not readers()


async def test_a_reader_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    chosen = declared(tmp_path, build_timeout=timedelta(milliseconds=10))
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    assert await source.problem() == "table 'person': it took too long"
    assert not readers()
    await source.close()


def test_a_reader_whose_adapter_is_gone_ends(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    rows = "".join(f"{n:06d},Name,2000-01-01,1\n" for n in range(15_000))
    write(tmp_path, "persons.csv", HEADINGS + rows)
    chosen = declared(tmp_path, table=replace(PERSONS, field=PERSON_FIELDS[1:]), lookups=())
    plan = Plan.of(chosen, chosen.table[0])
    chosen.folder.index.mkdir()
    target = chosen.folder.index / "t.index"
    seen = look(chosen.folder, plan.table.files)
    with pytest.raises(Orphaned):
        build_index(Job(plan, chosen.folder, seen, target, parent=1))
    assert not list(chosen.folder.index.iterdir())


def readers() -> list[psutil.Process]:
    """The processes that read files for this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


async def test_an_index_that_can_t_be_written_is_told(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    shutil.rmtree(tmp_path / "index")
    write(tmp_path, "persons.csv", GOOD + "004,Di,2000-01-01,\n")
    await until(lambda: bool(source.notices()))
    assert "the index can't be written" in source.notices()[0]
    assert await ask(source, "person", id="001")
    (tmp_path / "index").mkdir()
    await until(lambda: seen(source)(2))
    await source.close()


async def test_replacing_in_the_midst_of_look_ups_is_never_seen(tmp_path: Path) -> None:
    """Each version holds one name for all rows; a page or a list of keys must never mix them."""
    lookup = Lookup(name="some", table="person", path="/some", by=("id",), several=50)
    listing = Listing(name="all", table="person", path="/all", page=100)
    chosen = declared(tmp_path, lookups=(lookup,), lists=(listing,), kept=timedelta(0))

    def version(number: int) -> str:
        return HEADINGS + "".join(f"{n:03d},v{number},2000-01-01,\n" for n in range(100))

    write(tmp_path, "persons.csv", version(0))
    source = await open_files(chosen)
    names: set[str] = set()
    stop = asyncio.Event()

    async def ask_on() -> int:
        asked = 0
        while not stop.is_set():
            for answer in (
                await ask(source, "some", id=[f"{n:03d}" for n in range(50)]),
                await ask(source, "all"),
            ):
                assert isinstance(answer, dict)
                found = {row["name"] for row in answer["items"]}
                assert len(found) == 1
                assert len(answer["items"]) in (50, 100)
                names.update(found)
                asked += 1
            await asyncio.sleep(0)
        return asked

    askers = [asyncio.create_task(ask_on()) for _ in range(4)]
    for number in range(1, 4):
        write(tmp_path, "persons.csv", version(number))
        await until(lambda name=f"v{number}": name in names)  # type: ignore[misc]
    stop.set()
    assert min(await asyncio.gather(*askers)) > 10
    assert names == {"v0", "v1", "v2", "v3"}
    await source.close()
    assert len(list((tmp_path / "index").glob("*.index"))) == 1


async def test_a_list_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    chosen = declared(tmp_path, lookups=(), lists=(ALL,), query_timeout=timedelta(0))
    rows = "".join(f"{n % 1000:03d},Name,2000-01-01,1\n" for n in range(20_000))
    write(tmp_path, "persons.csv", HEADINGS + rows)
    source = await open_files(chosen)
    late = date(2020, 1, 1)
    with pytest.raises(SourceTimeout):
        await ask(source, "persons", name="Name", since=late)
    await source.close()


async def test_an_abandoned_list_ends_before_its_index_closes(tmp_path: Path) -> None:
    chosen = declared(tmp_path, lists=(ALL,), kept=timedelta(0))
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(chosen)
    index = source._keepers["person"].current
    assert index is not None
    asking = asyncio.create_task(ask(source, "persons"))
    await asyncio.sleep(0)
    asking.cancel()
    index.leave()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not index.path.exists())
    with pytest.raises(sqlite3.ProgrammingError):
        index._connection.execute("SELECT 1")
    source._keepers["person"].current = None
    await source.close()


def test_memory_does_not_grow_with_the_rows() -> None:
    """Run as `python -m tests.files_load 1000000` for the figures of a million rows."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.files_load", "50000"],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent.parent,
    )
    figures = json.loads(ran.stdout)
    assert figures["rss_grown_mb"] < 30
    assert figures["reader_rss_mb"] < 120
    assert figures["look_ups_per_s"] > 1000
