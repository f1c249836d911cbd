"""Look-ups in a table through an adapter of twenty lines: that they are right, and how many.

SACBE_BENCH=1 .venv/bin/pytest -q -s tests/test_adapter_bench.py

asks in a table of a million rows and prints a line for each database; without it the table is small
and the time short, and nothing is said of speed. Asking, adapter and database share the machine.
"""

import asyncio
import os
import random
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import psutil
import pytest

from scripts.postgres import PostgresServer
from tests.sql_databases import postgres_reader

BENCH = bool(os.environ.get("SACBE_BENCH"))
ROWS = 1_000_000 if BENCH else 2_000
SECONDS = 10.0 if BENCH else 0.5
CONNECTIONS = 16
DECLARATION = """\
title = "Vehicles"
port = 0

[database]
dsn_file = "database.dsn"

[[query]]
name = "vehicle"
summary = "One vehicle by its plate"
path = "/vehicles/{plate}"
single = true
sql = "SELECT plate, maker, year, owner FROM vehicle WHERE plate = :plate"
parameters = [{ name = "plate", max_length = 8, example = "V0000001" }]
columns = [
    { name = "maker", concept = "http://vehicles.example/maker" },
    { name = "owner", field = "ownerId", concept = "http://vehicles.example/owner" },
]
"""
SCHEMA = "CREATE TABLE vehicle (plate text PRIMARY KEY, maker text, year int, owner text)"
MAKERS = ("Aro", "Brio", "Cor", "Dal")


@pytest.fixture
async def postgres_address(postgres_server: PostgresServer, database_dsn: str) -> str:
    role, address = await postgres_reader(postgres_server, database_dsn)
    owner = await asyncpg.connect(database_dsn)
    await owner.execute(SCHEMA)
    await owner.copy_records_to_table("vehicle", records=(_row(n) for n in range(ROWS)))
    await owner.execute(f"GRANT SELECT ON vehicle TO {role}")
    await owner.execute("ANALYZE vehicle")
    await owner.close()
    return address


@pytest.fixture
def sqlite_address(tmp_path: Path) -> str:
    connection = sqlite3.connect(tmp_path / "vehicles.db")
    connection.execute(SCHEMA)
    rows = (_row(number) for number in range(ROWS))
    connection.executemany("INSERT INTO vehicle VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return "sqlite:///vehicles.db"


def _row(number: int) -> tuple[str, str, int, str]:
    return f"V{number:07d}", MAKERS[number % 4], 1990 + number % 30, f"{number * 7:011d}"


@dataclass(frozen=True, slots=True)
class Figures:
    answered: int
    seconds: float
    milliseconds: list[float]
    cpu: float  # seconds of the adapter's; says more than the rate where others use the machine
    resident: int  # bytes, of the adapter under load

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.milliseconds, n=100)
        rate = self.answered / self.seconds
        return (
            f"{ROWS} rows, {CONNECTIONS} connections: {rate:.0f} look-ups/s,"
            f" p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms,"
            f" {self.cpu / self.answered * 1e6:.0f} µs of CPU each, {self.resident / 1e6:.0f} MB"
        )


@asynccontextmanager
async def adapter(folder: Path, address: str) -> AsyncIterator[tuple[int, psutil.Process]]:
    """`sacbe adapter run` as a process of its own; its port."""
    (folder / "database.dsn").write_text(address)
    (folder / "database.dsn").chmod(0o600)
    (folder / "adapter.toml").write_text(DECLARATION)
    words = ("-m", "scripts.cli", "adapter", "run", "--config", str(folder / "adapter.toml"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        found = re.search(r"http://127\.0\.0\.1:([0-9]+)", line)
        assert found, line
        draining = asyncio.create_task(_drain(process.stderr))
        yield int(found[1]), psutil.Process(process.pid)
        draining.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _drain(log: asyncio.StreamReader) -> None:
    while await log.readline():
        pass


async def ask(port: int, until: float, seed: int, milliseconds: list[float]) -> None:
    """One connection that looks up one row after the other and compares each answer."""
    dice = random.Random(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        row = _row(dice.randrange(ROWS))
        asked = time.perf_counter()
        writer.write(f"GET /vehicles/{row[0]} HTTP/1.1\r\nHost: adapter\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        assert length, head
        body = await reader.readexactly(int(length[1]))
        milliseconds.append((time.perf_counter() - asked) * 1000)
        assert tuple(msgspec.json.decode(body).values()) == row
    writer.close()
    await writer.wait_closed()


async def measure(folder: Path, address: str) -> Figures:
    async with adapter(folder, address) as (port, process):
        await _load(port, SECONDS / 5)  # until every connection to the database is there
        before = process.cpu_times()
        milliseconds, seconds = await _load(port, SECONDS)
        after = process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        resident = process.memory_info().rss
        return Figures(len(milliseconds), seconds, milliseconds, cpu, resident)


async def _load(port: int, seconds: float) -> tuple[list[float], float]:
    milliseconds: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for seed in range(CONNECTIONS):
            group.create_task(ask(port, began + seconds, seed, milliseconds))
    return milliseconds, time.perf_counter() - began


def test_the_declaration_has_twenty_lines() -> None:
    assert len(DECLARATION.splitlines()) <= 20


async def test_look_ups_in_postgresql(
    postgres_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _judge("PostgreSQL", await measure(tmp_path, postgres_address), capsys)


async def test_look_ups_in_sqlite(
    sqlite_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _judge("SQLite", await measure(tmp_path, sqlite_address), capsys)


def _judge(make: str, figures: Figures, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.answered > CONNECTIONS
    assert figures.resident < 150e6
    if BENCH:
        with capsys.disabled():
            sys.stdout.write(f"\n{make}, {figures}\n")
