"""Two nodes in processes of their own, a service behind them, and callers who keep count.

    async with real_nodes(folder) as nodes:
        async with nodes.calling(12) as calls:      # a closed loop: 12 callers without pause
            await nodes.kill(MUNI) …
        calls.answered                              # message id → exchange id of each 200

The database is durable, as in production. The institution's system runs in the test's own process.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from scripts.ecosystem.institutions import BENEFITS, CIVIL, MUNI, PAIR, PERSONS, Institution
from scripts.ecosystem.places import opened
from scripts.ecosystem.running import Ecosystem, Site
from scripts.node import apply_services, load_node_settings
from scripts.postgres_binaries import find_binaries
from scripts.postgres_process import workers_in
from trust.errors import StorageError
from trust.ids import ServiceId
from trust.secrets import read_secret

NODES = (MUNI, CIVIL)
SERVICE = ServiceId(PERSONS, "counted")
PATIENCE = 60.0  # seconds for anything to get well again
_TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=10, sock_read=PATIENCE)
_PAUSE = 0.02  # seconds after a call that failed
_PIECE = bytes(range(256)) * 4096  # 1 MiB
_DECLARATION = f"""
[[clients]]
id = "{PERSONS.colons}"
connection = "HTTP"

[[clients.services]]
code = "{SERVICE.service_code}"
url = "http://127.0.0.1:{{port}}"

[[clients.access]]
service = "{SERVICE.service_code}"
client = "{BENEFITS.colons}"
"""


@dataclass(slots=True)
class CountingSystem:
    """The provider's information system; remembers who asked."""

    asked: Counter[str] = field(default_factory=Counter)  # message ids
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["CountingSystem"]:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """POST echoes, PUT says what came, GET /N gives N MiB."""
        self.asked[request.headers["X-Road-Id"]] += 1
        if request.method == "POST":
            return web.Response(body=await request.read(), content_type="application/json")
        if request.method == "PUT":
            return web.Response(text=await fingerprint(request.content))
        response = web.StreamResponse()
        await response.prepare(request)
        async for piece in mebibytes(int(request.path[1:])):
            await response.write(piece)
        await response.write_eof()
        return response


async def mebibytes(count: int) -> AsyncIterator[bytes]:
    """So many MiB, piece by piece and no two pieces alike."""
    for number in range(count):
        yield number.to_bytes(8, "big") + _PIECE[8:]


async def fingerprint(stream: aiohttp.StreamReader) -> str:
    """Size and digest of a body that is too large to be kept."""
    size, digest = 0, hashlib.sha256()
    async for piece in stream.iter_chunked(1 << 18):
        size += len(piece)
        digest.update(piece)
    return f"{size} {digest.hexdigest()}"


def fingerprint_of(count: int) -> str:
    """What `fingerprint` says of that many MiB."""
    digest = hashlib.sha256()
    for number in range(count):
        digest.update(number.to_bytes(8, "big") + _PIECE[8:])
    return f"{count << 20} {digest.hexdigest()}"


@dataclass(slots=True)
class Calls:
    """What callers got.

    Attributes:
        answered: exchange ids by message id, of all answers 200 that were received completely.
        failed: how often what came instead: a fault code, or that nothing came.
    """

    answered: dict[str, str] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)

    async def until(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answered) + more
        deadline = time.monotonic() + PATIENCE
        while len(self.answered) < wanted:
            assert time.monotonic() < deadline, f"nothing gets well again: {self.failed}"
            await asyncio.sleep(_PAUSE)


@dataclass(slots=True)
class RealNodes:
    """A sandbox whose provider offers the system of the test."""

    ecosystem: Ecosystem
    system: CountingSystem
    session: aiohttp.ClientSession

    @property
    def site(self) -> Site:
        return self.ecosystem.site

    def pid(self, one: Institution) -> int:
        found = self.ecosystem.node(one).pid
        assert found is not None, f"{one.name}'s node does not run"
        return found

    def url(self, path: str) -> str:
        """Of the service, through the consumer's node."""
        return self.site.url("muni-http", f"/r1/{SERVICE.path}{path}")

    async def dsn(self, one: Institution) -> str:
        return await asyncio.to_thread(self._dsn, one)

    def _dsn(self, one: Institution) -> str:
        return read_secret(self.site.of(one) / "database.dsn").decode()

    # --- calls ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def calling(self, callers: int, most: int = 1_000_000) -> AsyncIterator[Calls]:
        """So many callers at work, each with its next call when the last one is over.

        Args:
            most: calls of each.
        """
        calls = Calls()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._call_on(calls, most)) for _ in range(callers)]
            yield calls
            for task in tasks:
                task.cancel()

    async def call(self, calls: int, callers: int) -> Calls:
        """Make that many calls and wait for all."""
        made = Calls()
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._call_on(made, calls // callers))
        return made

    async def _call_on(self, calls: Calls, most: int) -> None:
        for _ in range(most):
            message_id = str(uuid.uuid4())
            failure = await self._call_once(message_id, calls)
            if failure:
                calls.failed[failure] += 1
                await asyncio.sleep(_PAUSE)

    async def _call_once(self, message_id: str, calls: Calls) -> str:
        """What was wrong; empty when the right answer came."""
        body = f'{{"asked": "{message_id}"}}'.encode()
        try:
            async with self.session.post(
                self.url("/echo"), headers=self.headers(message_id), data=body
            ) as response:
                said = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__
        if response.status != 200:
            return response.headers.get("X-Road-Error", str(response.status))
        assert said == body, "the answer to another call"
        calls.answered[message_id] = response.headers["X-Road-Request-Id"]
        return ""

    def headers(self, message_id: str) -> dict[str, str]:
        return {"X-Road-Client": BENEFITS.path, "X-Road-Id": message_id}

    async def upload(self, count: int) -> str:
        """Send so many MiB; what the provider's system says of them."""
        headers = self.headers(str(uuid.uuid4()))
        async with self.session.put(
            self.url("/body"), headers=headers, data=mebibytes(count)
        ) as response:
            return await response.text()

    async def download(self, count: int) -> str:
        """Ask for so many MiB; their fingerprint."""
        headers = self.headers(str(uuid.uuid4()))
        async with self.session.get(self.url(f"/{count}"), headers=headers) as response:
            assert response.status == 200, await response.text()
            return await fingerprint(response.content)

    # --- kill -9 ----------------------------------------------------------------------------------

    async def kill(self, one: Institution) -> None:
        """End a node without warning and start it again, as a service manager does."""
        node = self.ecosystem.node(one)
        os.kill(self.pid(one), signal.SIGKILL)
        await node.stop()
        await self.ecosystem.start_again(node)

    async def kill_database(self) -> None:
        """End PostgreSQL without warning; its launcher starts it again."""
        victim = self._postmaster()
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while self._postmaster() in (0, victim):
            assert time.monotonic() < deadline, "the launcher starts no server again"
            await asyncio.sleep(_PAUSE)

    async def kill_database_worker(self) -> None:
        """End a process of PostgreSQL that serves a node; the server then begins anew itself."""
        for pid in workers_in(self.site.folder / "postgres" / "data"):
            if _command_line(pid).startswith("postgres: muni"):
                os.kill(pid, signal.SIGKILL)
                return
        raise AssertionError("no process of PostgreSQL serves the consumer's node")

    def _postmaster(self) -> int:
        """Its process id; 0 while there is none."""
        notice = self.site.folder / "postgres" / "data" / "postmaster.pid"
        try:
            return int(notice.read_text(encoding="utf-8").partition("\n")[0])
        except (OSError, ValueError):
            return 0

    async def settle(self, one: Institution, settings: str) -> None:
        """Add to a node's settings and start it again."""
        node = self.ecosystem.node(one)
        path = self.site.of(one) / "node.toml"
        await asyncio.to_thread(path.write_text, await asyncio.to_thread(path.read_text) + settings)
        await node.stop()
        await self.ecosystem.start_again(node)

    async def reasons(self, one: Institution) -> dict[str, str]:
        """Why a node is not ready; empty when it is."""
        url = self.site.url(f"{one.key}-admin", "/health/ready")
        async with self.session.get(url) as response:
            found: dict[str, str] = (await response.json())["reasons"]
            assert response.status == (503 if found else 200)
            return found

    async def all_ready(self) -> None:
        """Wait until every process says that it is well."""
        for child in self.ecosystem.children.values():
            await child.ready(self.session)


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def skip_without_postgres() -> None:
    try:
        find_binaries()
    except StorageError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def real_nodes(folder: Path, database: Path | None = None) -> AsyncIterator[RealNodes]:
    """A sandbox in a new folder, with exchanges that succeed.

    Args:
        database: a folder for PostgreSQL elsewhere, as on a disk of its own.
    """
    with opened(folder) as ports:
        site = Site(folder, ports, PAIR)
        if database is not None:
            (folder / "postgres").symlink_to(database)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            CountingSystem().listening() as system,
            Ecosystem(site, _silently) as ecosystem,
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
        ):
            nodes = RealNodes(ecosystem, system, session)
            await _offer(nodes)
            async with nodes.calling(1) as calls:
                await calls.until(1)
            yield nodes


def _silently(_progress: str) -> None:
    """Nobody is told how the sandbox gets on."""


async def _offer(nodes: RealNodes) -> None:
    """Put the counting system in the place of all that the provider offers."""
    folder = nodes.site.of(CIVIL)
    declaration = folder / "counted.toml"
    declaration.write_text(_DECLARATION.format(port=nodes.system.port), encoding="utf-8")
    settings = load_node_settings(folder / "node.toml")
    await apply_services(settings, await nodes.dsn(CIVIL), declaration)
