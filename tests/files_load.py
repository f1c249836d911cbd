"""How many look-ups a table in a file takes, and how much memory; its own process, for its memory.

python -m tests.files_load 1000000
"""

import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psutil

from adapters.files.settings import (
    FilesSettings,
    Filter,
    FolderSettings,
    Listing,
    Lookup,
    Table,
    TableField,
)
from adapters.files.source import open_files
from adapters.operations import Caller
from adapters.shapes import ValueType

_ASKED = 20_000


def write_rows(path: Path, rows: int) -> None:
    chance = random.Random(1)
    with path.open("w") as file:
        file.write("id,name,born,county,income\n")
        for number in range(rows):
            born = f"{1930 + number % 80}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
            county = f"C{chance.randrange(50):02d}"
            file.write(f"{number:011d},Name {number % 5003},{born},{county},{number % 99999}.50\n")


async def measure(folder: Path, rows: int) -> dict[str, object]:
    data = folder / "data"
    data.mkdir()
    write_rows(data / "persons.csv", rows)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    source = await open_files(_settings(data, folder / "index"))
    built = time.perf_counter() - started
    person, persons = source.operations
    chance = random.Random(2)
    keys = [f"{chance.randrange(rows):011d}" for _ in range(_ASKED)]
    started = time.perf_counter()
    for key in keys:
        await source.run(person, {"id": key}, Caller())
    found = time.perf_counter() - started
    started = time.perf_counter()
    for number in range(200):
        await source.run(
            persons, {"county": f"C{number % 50:02d}", "limit": None, "after": None}, Caller()
        )
    listed = time.perf_counter() - started
    grown = psutil.Process().memory_info().rss - before
    reader = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    index = next((folder / "index").glob("*.index")).stat().st_size
    await source.close()
    return {
        "rows": rows,
        "file_mb": round((data / "persons.csv").stat().st_size / 1e6, 1),
        "index_mb": round(index / 1e6, 1),
        "build_s": round(built, 2),
        "look_ups_per_s": round(_ASKED / found),
        "pages_of_100_per_s": round(200 / listed),
        "rss_grown_mb": round(grown / 1e6, 1),
        "reader_rss_mb": round(reader * 1024 / 1e6, 1),
    }


def _settings(data: Path, index: Path) -> FilesSettings:
    fields = (
        TableField(name="id", pattern="[0-9]{11}"),
        TableField(name="name"),
        TableField(name="born", type=ValueType.DATE),
        TableField(name="county"),
        TableField(name="income", type=ValueType.DECIMAL),
    )
    return FilesSettings(
        kind="files",
        title="Load",
        folder=FolderSettings(path=data, index=index, interval=timedelta(hours=1)),
        table=(Table(name="person", files="persons.csv", field=fields),),
        lookup=(Lookup(name="person", table="person", path="/p/{id}", by=("id",)),),
        list=(
            Listing(
                name="persons", table="person", path="/p",
                filter=(Filter(name="county", field="county"),),
            ),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(asyncio.run(measure(Path(place), int(sys.argv[1])))))  # noqa: T201
