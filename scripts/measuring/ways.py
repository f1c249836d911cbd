"""The ways that a load takes: through two nodes, and through two nginx hops.

async with NodesWay.opened(folder, "p256", system) as way:
    round = await way.measure("small", Effort(…))
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import aiohttp

from node.exchange.settings import SigningMode
from scripts.ecosystem.certificates import USES
from scripts.ecosystem.institutions import BENEFITS, CIVIL, MUNI, PAIR, PERSONS
from scripts.ecosystem.places import opened
from scripts.ecosystem.running import Ecosystem, Site
from scripts.measuring.figures import Round
from scripts.measuring.hops import nginx_hops
from scripts.measuring.load import LoadOrder, LoadResult
from scripts.measuring.stages import StageTimes, fetch_stages
from scripts.measuring.usage import cpu_seconds, resident_mb
from scripts.node import apply_services, load_node_settings
from trust.errors import NetworkFailure, StorageError
from trust.ids import ServiceId
from trust.pki.keyfiles import open_folder, write_file
from trust.pki.keys import KeyType
from trust.pki.keystore import KeyStore
from trust.secrets import read_secret

_MODULE = "scripts.measuring.load"
_PATIENCE = 30.0  # seconds
_NODES = {"consumer": MUNI, "provider": CIVIL}
_SERVICE = ServiceId(PERSONS, "load")
_TARGET = f"/r1/{_SERVICE.path}"
_HEADERS = {"X-Road-Client": BENEFITS.path}
_DECLARATION = f"""\
[[clients]]
id = "{PERSONS.colons}"
connection = "HTTP"

[[clients.services]]
code = "{_SERVICE.service_code}"
url = "http://127.0.0.1:{{port}}"

[[clients.access]]
service = "{_SERVICE.service_code}"
client = "{BENEFITS.colons}"
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard and how long one round is."""

    connections: int
    warm_up: float  # seconds
    seconds: float

    def order(self, port: int, target: str, headers: Mapping[str, str], body: str) -> LoadOrder:
        return LoadOrder(
            host="127.0.0.1",
            port=port,
            target=target,
            headers=tuple(headers.items()),
            body=body,
            connections=self.connections,
            warm_up=self.warm_up,
            seconds=self.seconds,
        )


class Way(Protocol):
    """Something between the load and the system that answers."""

    async def measure(self, body: str, effort: Effort) -> Round: ...


@asynccontextmanager
async def answering_system() -> AsyncIterator[int]:
    """The system at the far end, in a process of its own; gives its port on 127.0.0.1."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", _MODULE, "answer",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        line = await process.stdout.readline()
        if not line.strip().isdigit():
            raise StorageError("The answering system did not start")
        yield int(line)
    finally:
        await _end(process)


@dataclass(frozen=True, slots=True)
class _Sight:
    """What the processes have used so far."""

    cpu: Mapping[str, float]
    stages: Mapping[str, StageTimes]


async def _measure(order: LoadOrder, look: Callable[[], Awaitable[_Sight]]) -> Round:
    """Run a load in a process of its own; look when its measured part begins and when it ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", _MODULE, "ask",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        process.stdin.write(f"{order.to_json()}\n".encode())
        await _expect(process.stdout, b"measuring")
        before = await look()
        await _expect(process.stdout, b"measured")
        after = await look()
        found = LoadResult.from_json((await process.stdout.read()).decode())
    finally:
        await _end(process)
    return Round(
        seconds=found.seconds,
        latencies=found.latencies,
        cpu={name: value - before.cpu[name] for name, value in after.cpu.items()},
        stages={node: times.since(before.stages[node]) for node, times in after.stages.items()},
        failed=found.failed,
        failure=found.failure,
    )


async def _expect(output: asyncio.StreamReader, word: bytes) -> None:
    if (await output.readline()).strip() != word:
        raise StorageError("The load broke off; its error stands above")


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


# --- nginx ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NginxWay:
    """Through two plain hops."""

    port: int
    pids: Mapping[str, int]

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, program: str, folder: Path, key_type: KeyType, system: int
    ) -> AsyncIterator[Self]:
        """Both hops in front of the system that answers on the port `system`."""
        async with nginx_hops(program, folder, key_type, system) as hops:
            yield cls(hops.port, hops.pids)

    async def measure(self, body: str, effort: Effort) -> Round:
        return await _measure(effort.order(self.port, f"/{body}", {}, body), self._look)

    async def _look(self) -> _Sight:
        return _Sight({name: cpu_seconds(pid, family=True) for name, pid in self.pids.items()}, {})


# --- nodes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodesWay:
    """Through the nodes of a sandbox."""

    site: Site
    pids: Mapping[str, int]
    database: int
    session: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, folder: Path, key_type: KeyType, system: int, signing: SigningMode
    ) -> AsyncIterator[Self]:
        """A sandbox in a new folder whose one service is the system on the port `system`."""
        settings = f'\n[signing]\nmode = "{signing.value}"\n'
        with opened(folder) as ports:
            site = Site(folder, ports, PAIR)
            _make_keys(site, key_type)
            async with (
                Ecosystem(site, _silently, settings) as ecosystem,
                aiohttp.ClientSession() as session,
            ):
                pids = {role: ecosystem.node(one).pid or 0 for role, one in _NODES.items()}
                way = cls(site, pids, _postmaster(site), session)
                await _offer(site, system)
                await way._wait_until_served()
                yield way

    @property
    def resident_mb(self) -> dict[str, float]:
        """Of each node now."""
        return {role: round(resident_mb(pid), 1) for role, pid in self.pids.items()}

    async def measure(self, body: str, effort: Effort) -> Round:
        return await _measure(
            effort.order(self.site.ports["muni-http"], f"{_TARGET}/{body}", _HEADERS, body),
            self._look,
        )

    async def _look(self) -> _Sight:
        cpu = {role: cpu_seconds(pid) for role, pid in self.pids.items()}
        cpu["postgres"] = cpu_seconds(self.database, family=True)
        stages = {
            role: await fetch_stages(
                self.session, self.site.url(f"{one.key}-admin", "/metrics"), role
            )
            for role, one in _NODES.items()
        }
        return _Sight(cpu, stages)

    async def _wait_until_served(self) -> None:
        """A running node notices within seconds what it is to offer."""
        url = self.site.url("muni-http", f"{_TARGET}/small")
        said = "no answer"
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    async with self.session.post(url, headers=_HEADERS, data=b"{}") as response:
                        said = await response.text()
                        if response.status == 200:
                            return
                    await asyncio.sleep(0.1)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise NetworkFailure(f"The nodes don't exchange: {said}") from error


def _silently(_progress: str) -> None:
    """Nobody is told how the sandbox gets on."""


def _make_keys(site: Site, key_type: KeyType) -> None:
    """Make the keys of both nodes, which a sandbox that finds them takes as they are."""
    for one in PAIR:
        folder = site.of(one)
        open_folder(folder)
        password = secrets.token_urlsafe(32).encode()
        write_file(folder / "keys.password", password)
        store = KeyStore.open(folder / "keys", password)
        for use in USES:
            store.create_key(use, key_type, f"{one.name} {use}")


async def _offer(site: Site, system: int) -> None:
    """Put the measured service in the place of all that the provider offers."""
    folder = site.of(CIVIL)
    declaration = folder / "load.toml"
    declaration.write_text(_DECLARATION.format(port=system), encoding="utf-8")
    dsn = read_secret(folder / "database.dsn").decode()
    await apply_services(load_node_settings(folder / "node.toml"), dsn, declaration)


def _postmaster(site: Site) -> int:
    notice = site.folder / "postgres" / "data" / "postmaster.pid"
    return int(notice.read_text(encoding="utf-8").partition("\n")[0])
