"""What a large catalog costs a whole node: `python -m tests.catalog_node_load [services] [fields]`.

A node runs as operators run it (`sacbe node run`), fetches the trust list with the catalog in it,
takes over new versions, plans and serves the pages. Told is its memory at each point, and the most
since the point before.
"""

import argparse
import asyncio
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import aiohttp

from catalog.central.encoding import PART_FILE, PART_IDENTIFIER, encode_catalog
from catalog.central.entries import Catalog
from catalog.central.snapshot.reading import read_catalog
from catalog.central.snapshot.writing import write_catalog
from catalog.services import ConnectionType, HostedClient
from scripts.postgres import PostgresServer, PostgresSettings
from tests.instance import CONSUMER, NAME, PASSWORD, Instance, NodeUnderTest
from tests.large_catalog import CONCEPT, PERSON, PURPOSE, large_catalog, procedure

_PATIENCE = 120.0  # seconds
_HEAD = {"X-Road-Client": CONSUMER.path}


@dataclass
class RunningNode:
    """The node's own process, watched from outside."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str

    def memory(self) -> tuple[float, float]:
        """Megabytes now, and the most since this was asked last."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = dict(re.findall(r"(VmHWM|VmRSS):\s+(\d+) kB", status))
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")
        return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024

    def tell(self, what: str) -> None:
        now, most = self.memory()
        _tell(f"{now:8.0f} MiB now {most:8.0f} MiB at the most   {what}")

    async def says(self, text: str) -> None:
        """Wait until the node's log has a text."""
        deadline = time.monotonic() + _PATIENCE
        while text not in self.log.read_text(encoding="utf-8"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(self.log.read_text(encoding="utf-8")[-3000:])
            await asyncio.sleep(0.05)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", type=int, nargs="?", default=5_000)
    parser.add_argument("fields", type=int, nargs="?", default=10, help="of each service")
    asyncio.run(_measure(parser.parse_args()))


async def _measure(arguments: argparse.Namespace) -> None:
    first = replace(large_catalog(arguments.services, arguments.fields), instance=NAME)
    _tell(f"{arguments.services} services, {arguments.services * arguments.fields} fields")
    with tempfile.TemporaryDirectory(prefix="node-load-") as folder:
        files = Path(folder)
        (files / "database").mkdir()
        async with PostgresServer(files / "database", PostgresSettings()) as postgres:
            instance = Instance(files, postgres, valid_for=timedelta(hours=1))
            async with instance:
                hosted = [HostedClient(CONSUMER, connection=ConnectionType.HTTP)]
                member = await instance.add("NODE", CONSUMER, hosted=hosted)
                await instance.publish()
                node = _start(instance, member, files)
                try:
                    await _watch(instance, node, first)
                finally:
                    node.process.terminate()
                    await asyncio.to_thread(node.process.wait)


async def _watch(instance: Instance, node: RunningNode, first: Catalog) -> None:
    await node.says("systems http")
    await asyncio.sleep(3)
    node.tell("without a catalog")
    await _published(instance, node, first)
    node.tell("the first version was read")
    async with aiohttp.ClientSession() as session:
        for version in (2, 3):
            await _plans(session, node)
            node.tell("facts of all procedures were planned")
            await _pages(session, node)
            node.tell("and the pages and the search were used")
            await _side_by_side(
                _published(instance, node, _changed(first, version)),
                lambda: _used(session, node),
            )
            node.tell("a new version was read, while all were used")
        await _used(session, node)
        node.tell("and all were used again")
        await _side_by_side(
            _published(instance, node, await asyncio.to_thread(_another, first)),
            lambda: _used(session, node),
        )
        node.tell("a version came in which everything is different, while all were used")
        await asyncio.sleep(5)
        await _used(session, node)
        node.tell("and all were used again")


def _changed(catalog: Catalog, version: int) -> Catalog:
    """The next day: some services are gone, some others say something else."""
    services = [
        replace(one, title=f"{one.title}, version {version}") if place % 50 == version else one
        for place, one in enumerate(catalog.services)
        if place % 500 != version
    ]
    return replace(catalog, version=version, services=tuple(services))


def _another(catalog: Catalog) -> Catalog:
    """A version in which no concept, field and service is as it was."""
    text = b"".join(write_catalog(replace(catalog, version=9)))
    for old, new in ((CONCEPT, f"{CONCEPT}x:"), ("fact ", "truth "), ("Facts of", "Truths of")):
        text = text.replace(old.encode(), new.encode())
    return read_catalog((text,))


async def _published(instance: Instance, node: RunningNode, catalog: Catalog) -> None:
    raw = await asyncio.to_thread(encode_catalog, catalog)
    instance.further = {PART_IDENTIFIER: (PART_FILE, raw)}
    await instance.publish()
    await node.says(f"Catalog version {catalog.version}:")
    await asyncio.sleep(2)


async def _side_by_side(work: Awaitable[None], use: Callable[[], Awaitable[None]]) -> None:
    using = asyncio.create_task(_again(use))
    await work
    using.cancel()
    with suppress(asyncio.CancelledError):
        await using


async def _again(use: Callable[[], Awaitable[None]]) -> None:
    while True:
        await use()


async def _used(session: aiohttp.ClientSession, node: RunningNode) -> None:
    await _plans(session, node, 5)
    await _pages(session, node)


async def _plans(session: aiohttp.ClientSession, node: RunningNode, count: int = 100) -> None:
    for number in range(count):
        question = {
            "subject": {"scheme": PERSON, "value": "1"},
            "procedure": procedure(number),
        }
        async with session.post(f"{node.url}/once/v1/plan", json=question, headers=_HEAD) as said:
            assert said.status == 200, await said.text()


async def _pages(session: aiohttp.ClientSession, node: RunningNode) -> None:
    concept = quote(f"{CONCEPT}77:1", safe="")
    for target in (
        "/catalog", "/catalog/v1/search?q=dato", f"/catalog/v1/search?purpose={quote(PURPOSE)}",
        f"/catalog/v1/concepts/{concept}", "/catalog/v1/procedures", "/catalog/v1/authorities",
        "/catalog/v1/services?size=200", f"/catalog/v1/procedures/{quote(procedure(1), safe='')}",
    ):  # fmt: skip
        async with session.get(node.url + target) as said:
            assert said.status in (200, 404), await said.text()
            await said.read()


def _start(instance: Instance, member: NodeUnderTest, folder: Path) -> RunningNode:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings, log = folder / "node.toml", folder / "node.log"
    secret = member.settings.keys.password_file
    dsn = folder / "node.dsn"
    for path, content in ((dsn, member.dsn.encode()), (secret, PASSWORD)):
        path.write_bytes(content)
        path.chmod(0o600)
    settings.write_text(
        _SETTINGS.format(
            server=member.server.colons, member=member, dsn=dsn, secret=secret,
            anchor=instance.anchor, port=port, ports=instance.ports,
        ),
        encoding="utf-8",
    )  # fmt: skip
    command = [sys.executable, "-m", "scripts.cli", "node", "run", "--config", str(settings)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    return RunningNode(process, log, f"http://127.0.0.1:{port}")


_SETTINGS = """
server = "{server}"
data = "{member.settings.data}"
[configuration]
anchor = "{anchor}"
interval = "1s"
[keys]
folder = "{member.settings.keys.folder}"
password_file = "{secret}"
[database]
dsn_file = "{dsn}"
[systems]
host = "127.0.0.1"
http_port = {port}
https_port = 0
[peers]
host = "{member.address}"
port = {ports[0]}
ocsp_port = {ports[1]}
peer_port = {ports[0]}
peer_ocsp_port = {ports[1]}
[admin]
port = 0
"""


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
