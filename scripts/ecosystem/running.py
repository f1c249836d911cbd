"""A whole instance on this machine: brought up side by side as far as one thing allows the next.

database ──┬─ people ── adapter ──┬─ services ─────────┐
           │   systems of others ─┘                    │
           └──────────┬─ registry ── certificates ── nodes ── bridge, catalog
test CA ── requests ──┘
"""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from scripts.ecosystem.adapter_files import (
    adapter_settings,
    bridge_settings,
    tax_adapter_settings,
)
from scripts.ecosystem.case_page.places import places_text
from scripts.ecosystem.central import declare
from scripts.ecosystem.certificates import certify, import_certificates
from scripts.ecosystem.civil_registry import fill_persons
from scripts.ecosystem.institutions import (
    CIVIL,
    INSTITUTIONS,
    MUNI,
    SOCIAL,
    TAX,
    Institution,
    instance_declaration,
    node_settings,
    registry_settings,
)
from scripts.ecosystem.mappings import mapping_files
from scripts.ecosystem.offers import services_of
from scripts.ecosystem.places import LOCAL, Ports, own_command
from scripts.ecosystem.processes import Child, ProcessFailed
from scripts.ecosystem.tax_authority import description
from scripts.ecosystem.vocabulary import vocabulary_declaration
from scripts.node import apply_services, load_node_settings
from scripts.postgres import PostgresServer
from trust.pki.keyfiles import open_folder, read_file, write_file
from trust.pki.keystore import KeyStore
from trust.secrets import read_secret

_PLACES = "places.json"  # what the pages of the cases are told
_GLANCE = 0.2  # seconds between two looks at all processes
# Systems that are no adapters: whose, the module, its port, and where it answers.
_SYSTEMS = (
    (SOCIAL, "scripts.ecosystem.social_security", "social-security", "/soap?wsdl"),
    (TAX, "scripts.ecosystem.tax_authority", "tax-authority", "/openapi.json"),
)
# Adapters between REST and SOAP: for whose service, the folder and the port, the title.
_BRIDGES = ((SOCIAL, "bridge", "Social Security"), (TAX, "tax-adapter", "Tax Authority"))


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of the sandbox by their folders and addresses."""

    folder: Path
    ports: Ports
    institutions: tuple[Institution, ...] = INSTITUTIONS

    def url(self, port: str, path: str = "") -> str:
        """An address on the loopback interface, by the port's name."""
        return f"http://{LOCAL}:{self.ports[port]}{path}"

    def of(self, one: Institution) -> Path:
        return self.folder / one.key

    def configuration(self, one: Institution) -> Path:
        """The trust list that a node keeps on disk, in X-Road's layout."""
        return self.of(one) / "data" / "globalconf"

    @property
    def has_cases(self) -> bool:
        """Whether everybody is there whom a clerk's case needs."""
        return {CIVIL, MUNI, SOCIAL, TAX} <= set(self.institutions)

    @property
    def anchor(self) -> Path:
        return self.of(MUNI) / "anchor.xml"

    @property
    def addresses(self) -> Path:
        """A file of shell variables, one for each address."""
        return self.folder / "addresses"

    def address_lines(self) -> str:
        """What stands in the file of addresses: `MUNI=http://127.0.0.1:8080` and so on."""
        ports = {name.upper(): name for name in ("ca", "registry", "adapter")}
        for one in self.institutions:
            key = one.key.upper()
            ports |= {key: f"{one.key}-http", f"{key}_ADMIN": f"{one.key}-admin"}
        if self.has_cases:
            ports["CASES"] = "cases"
        return "".join(f"{name}={self.url(port)}\n" for name, port in ports.items())


class Ecosystem:
    """All processes of a sandbox: `async with Ecosystem(site, tell): …`.

    Args:
        tell: is given a line of progress now and then.
        node_tables: TOML tables that every node's settings have besides.
    """

    def __init__(self, site: Site, tell: Callable[[str], None], node_tables: str = "") -> None:
        self.site = site
        self._tell = tell
        self._node_tables = node_tables
        self._database = PostgresServer(site.folder / "postgres")
        self._supervision: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._began = time.monotonic()
        self.children = {child.name: child for child in self._children()}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell("stopping …")
        await self._stop()

    async def broken(self) -> ProcessFailed:
        """Wait until a process ends that nobody stopped, and say so."""
        while True:
            for child in self.children.values():
                if child.failed:
                    return child.failure()
            await asyncio.sleep(_GLANCE)

    @property
    def _systems(self) -> list[str]:
        """The children that serve what an institution has of its own."""
        there = self.site.institutions
        systems = [f"{one.name}'s system" for one, *_ in _SYSTEMS if one in there]
        return systems + ["tax-adapter"] * (TAX in there)

    def node(self, one: Institution) -> Child:
        return self.children[f"node {one.server.server_code}"]

    async def start_again(self, child: Child) -> None:
        """Start a process that was stopped, and wait until it is ready."""
        child.start()
        await child.ready(self._http)

    # --- up ---------------------------------------------------------------------------------------

    def _children(self) -> list[Child]:
        site, logs = self.site, self.site.folder / "logs"
        config = {
            name: str(site.folder / name / f"{name}.toml") for name in ("registry", "adapter")
        }
        authority = ("--dir", str(site.folder / "ca"), "--port", str(site.ports["ca"]))
        children = [
            Child(
                "test CA",
                ("testca", "run", *authority),
                "test CA: ",
                site.url("ca", "/root.pem"),
                logs / "ca.log",
            ),
            Child(
                "registry",
                ("registry", "run", "--config", config["registry"]),
                "Registry: ",
                site.url("registry", "/health/ready"),
                logs / "registry.log",
            ),
            Child(
                "adapter",
                ("adapter", "run", "--config", config["adapter"]),
                f"{CIVIL.name}: ",
                site.url("adapter", "/health/ready"),
                logs / "adapter.log",
            ),
        ]
        children += [
            Child(
                name,
                ("adapter", "run", "--config", str(site.folder / name / "adapter.toml")),
                f"{title}: ",
                site.url(name, "/health/ready"),
                logs / f"{name}.log",
            )
            for one, name, title in _BRIDGES
            if one in site.institutions
        ]
        children += [
            Child(
                f"{one.name}'s system",
                ("--port", str(site.ports[port])),
                f"{one.name}: ",
                site.url(port, path),
                logs / f"{port}.log",
                module,
            )
            for one, module, port, path in _SYSTEMS
            if one in site.institutions
        ]
        children += [self._node_child(one) for one in site.institutions]
        return children + [self._cases_child()] * site.has_cases

    def _cases_child(self) -> Child:
        site = self.site
        return Child(
            "cases",
            ("--port", str(site.ports["cases"]), "--places", str(site.folder / _PLACES)),
            "Cases: ",
            site.url("cases", "/health"),
            site.folder / "logs" / "cases.log",
            "scripts.ecosystem.case_page",
        )

    def _node_child(self, one: Institution) -> Child:
        return Child(
            f"node {one.server.server_code}",
            ("node", "run", "--config", str(self.site.of(one) / "node.toml")),
            f"Node {one.server.colons}: ",
            self.site.url(f"{one.key}-admin", "/health/ready"),
            self.site.folder / "logs" / f"{one.key}.log",
        )

    async def _start(self) -> None:
        self._began = time.monotonic()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._write_settings()
        try:
            async with asyncio.TaskGroup() as group:
                database = group.create_task(self._start_database())
                authority = group.create_task(self._start_authority())
                people = group.create_task(self._start_adapter(database))
                systems = [group.create_task(self._start_child(name)) for name in self._systems]
                services = group.create_task(self._apply_services((database, people, *systems)))
                group.create_task(self._start_trust(database, authority, services))
        except BaseExceptionGroup as error:
            raise _first(error) from None

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the sandbox was not started")
        return self._session

    def _write_settings(self) -> None:
        """Write what the operators would have written; the same at every start.

        What the nodes offer is written once: from then on it is for whoever plays with the sandbox.
        """
        site = self.site
        bridges = [name for one, name, _ in _BRIDGES if one in site.institutions]
        keys = [one.key for one in site.institutions]
        for name in ("ca", "registry", "adapter", *bridges, *keys, "logs"):
            open_folder(site.folder / name)
        texts = {
            "registry/registry.toml": registry_settings(site.ports),
            "registry/instance.toml": instance_declaration(
                site.ports, site.folder, site.institutions
            ),
            "registry/once.toml": vocabulary_declaration(),
            "adapter/adapter.toml": adapter_settings(site.ports),
            site.addresses.name: site.address_lines(),
            _PLACES: places_text(site.institutions, site.folder, site.url, own_command()),
        }
        offered = {
            f"{one.key}/services.toml": services_of(one, site.ports) for one in site.institutions
        }
        offered |= {
            name: text
            for name, text in mapping_files().items()
            if (site.folder / name).parent.is_dir()
        }
        texts |= {name: text for name, text in offered.items() if not (site.folder / name).exists()}
        texts |= self._bridge_texts()
        texts |= {
            f"{one.key}/node.toml": node_settings(one, site.ports, site.folder) + self._node_tables
            for one in site.institutions
        }
        for name, text in texts.items():
            (site.folder / name).write_text(text, encoding="utf-8")
        for name in ("registry", *(one.key for one in site.institutions)):
            password = site.folder / name / "keys.password"
            if read_file(password) is None:
                write_file(password, secrets.token_urlsafe(32).encode())

    def _bridge_texts(self) -> dict[str, str]:
        """What the adapters between REST and SOAP read."""
        ports = self.site.ports
        texts = {}
        if SOCIAL in self.site.institutions:
            texts["bridge/adapter.toml"] = bridge_settings(ports)
        if TAX in self.site.institutions:
            described = description(self.site.url("tax-authority"))
            texts["tax-adapter/adapter.toml"] = tax_adapter_settings(ports)
            texts["tax-adapter/openapi.json"] = json.dumps(described)
        return texts

    async def _start_database(self) -> None:
        began = time.monotonic()
        await self._database.start()
        self._supervision = asyncio.create_task(self._database.supervise())
        for name in ("registry", *(one.key for one in self.site.institutions)):
            dsn = await self._database.create_database(name)
            write_file(self.site.folder / name / "database.dsn", dsn.encode())
        self._done("database", began)

    async def _start_authority(self) -> None:
        await self._start_child("test CA")

    async def _start_adapter(self, database: Awaitable[None]) -> None:
        await database
        folder = self.site.folder / "adapter"
        dsn, count = await fill_persons(self._database, folder)
        write_file(folder / "database.dsn", dsn.encode())
        await self._start_child("adapter", f"{count} people")

    async def _apply_services(self, needed: Sequence[Awaitable[None]]) -> None:
        """Tell all nodes what they host, as `sacbe node apply` does.

        Args:
            needed: the databases and the systems, whose descriptions are looked at.
        """
        for each in needed:
            await each
        for one in self.site.institutions:
            folder = self.site.of(one)
            settings = load_node_settings(folder / "node.toml")
            dsn = read_secret(folder / "database.dsn").decode()
            await apply_services(settings, dsn, folder / "services.toml")

    async def _start_trust(
        self,
        database: Awaitable[None],
        authority: Awaitable[None],
        services: Awaitable[None],
    ) -> None:
        """The registry with everybody's certificates in it, then the nodes that believe it."""
        await authority
        stores = {one: self._key_store(one) for one in self.site.institutions}
        for one, store in stores.items():
            await certify(one, store, self.site.of(one), self.site.url("ca"), self._http)
        await database
        anchor = await declare(self.site.folder / "registry")
        for one in self.site.institutions:
            write_file(self.site.of(one) / "anchor.xml", anchor)
        await self._start_child("registry")
        for one, store in stores.items():
            await import_certificates(store, self.site.of(one))
        await services
        async with asyncio.TaskGroup() as group:
            for one in self.site.institutions:
                group.create_task(self._start_child(self.node(one).name, one.name))
        if SOCIAL in self.site.institutions:
            await self._start_child("bridge")  # which is ready when the Municipality's node is
        if self.site.has_cases:
            await self._start_child("cases")

    def _key_store(self, one: Institution) -> KeyStore:
        folder = self.site.of(one)
        return KeyStore.open(folder / "keys", read_secret(folder / "keys.password"))

    async def _start_child(self, name: str, note: str = "") -> None:
        began = time.monotonic()
        child = self.children[name]
        child.start()
        await child.ready(self._http)
        self._done(f"{name} ({note})" if note else name, began)

    def _done(self, what: str, began: float) -> None:
        self._tell(f"{what} ready in {time.monotonic() - began:.1f} s")

    # --- down -------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Stop everything: first whoever calls, then what is called, the database last."""
        if self._session is not None:
            await self._session.close()
        caller = self.node(MUNI)
        nodes = [self.node(one) for one in self.site.institutions if one != MUNI]
        others = [one for one in self.children.values() if one not in (caller, *nodes)]
        for children in ((caller,), nodes, others):
            await asyncio.gather(*(child.stop() for child in children))
        await self._database.stop()
        if self._supervision is not None:
            self._supervision.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervision


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of several failures; the others mostly follow from it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
