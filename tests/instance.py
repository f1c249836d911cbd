"""A whole instance in one process: test CA, a published configuration, nodes with real ports.

    async with Instance(folder, postgres) as instance:
        civil = await instance.add("CIVIL", PROVIDER, services=[…])
        muni = await instance.add("MUNI", CONSUMER)
        await instance.publish()                     # both nodes are registered now
        answer = await muni.call("GET", f"/r1/{SERVICE.path}/x", client=CONSUMER)

Every node has a loopback address of its own, for all peers have the same ports.
"""

import asyncio
import itertools
import socket
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from catalog.services import (
    ConnectionType,
    HostedClient,
    Service,
    ServiceType,
)
from catalog.stored.store import ServiceStore
from node.app import Node
from node.parts.database import open_database
from node.settings import (
    AdminSettings,
    ConfigurationSettings,
    KeysSettings,
    NodeSettings,
    PeersSettings,
    SystemsSettings,
)
from scripts.authority import TestAuthority
from scripts.postgres import PostgresServer
from scripts.testca import running
from tests.pki import Identity, Pki
from trust.configuration.confdirectory import Directory, DirectoryEntry, build_directory
from trust.configuration.confpublish import (
    build_anchor,
    build_monitoring,
    build_private_parameters,
    build_shared_parameters,
)
from trust.digests import SHA512_URI, digest
from trust.globalconf import (
    Anchor,
    AnchorSource,
    ApprovedCa,
    ApprovedTsa,
    AuthorityCertificate,
    ConfigurationSource,
    GlobalConf,
    GlobalGroup,
    InstanceConf,
    Member,
    OcspResponder,
    PrivateParameters,
    Server,
    SharedParameters,
    Subsystem,
)
from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId
from trust.pki import profiles
from trust.pki.certificates import certificate_hash
from trust.pki.keys import KeyType
from trust.pki.keystore import KeyStore
from trust.pki.subjects import Applicant, subject_for_auth, subject_for_sign

PASSWORD = b"not secret"
NAME = "TEST"
PROVIDER = ClientId(NAME, "GOV", "1001", "persons")
CONSUMER = ClientId(NAME, "MUN", "2001", "benefits")
SERVICE = ServiceId(PROVIDER, "people")
_ADDRESSES = itertools.count(2)


def utc_now() -> datetime:
    return datetime.now(UTC)


def free_ports(address: str) -> tuple[int, int]:
    """Two ports that are free on an address."""
    with socket.socket() as first, socket.socket() as second:
        first.bind((address, 0))
        second.bind((address, 0))
        return first.getsockname()[1], second.getsockname()[1]


def rest_service(url: str, code: str = "people", **changes: object) -> Service:
    service = Service(ServiceId(PROVIDER, code), ServiceType.REST, url)
    return replace(service, **changes)  # type: ignore[arg-type]


@dataclass
class NodeUnderTest:
    """One node of the instance, with what a test needs of it."""

    server: ServerId
    client: ClientId
    address: str
    keys: KeyStore
    settings: NodeSettings
    dsn: str
    entry: Server
    node: Node | None = None
    session: aiohttp.ClientSession | None = field(default=None, repr=False)

    @property
    def running(self) -> Node:
        assert self.node is not None
        return self.node

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.running.ports['systems http'].number}"

    async def start(self) -> None:
        self.node = Node(self.settings, self.dsn, PASSWORD)
        await self.node.__aenter__()

    async def stop(self) -> None:
        node, self.node = self.node, None
        if node is not None:
            await node.__aexit__(None, None, None)


@dataclass
class Instance:
    """The central operator's side, and the list of nodes."""

    folder: Path
    postgres: PostgresServer
    key_type: KeyType = "p256"
    valid_for: timedelta = timedelta(minutes=10)
    intermediate: bool = False  # whether the CA issues from one below the root
    name: str = NAME
    members: list[NodeUnderTest] = field(default_factory=list)
    groups: dict[str, frozenset[ClientId]] = field(default_factory=dict)
    monitoring_client: ClientId | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    further: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # parts: file and bytes
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _generation: int = 0

    async def __aenter__(self) -> Self:
        self.authority = TestAuthority.open(
            self.folder / "ca", utc_now(), intermediate=self.intermediate
        )
        self.ca_url = await self._stack.enter_async_context(running(self.authority))
        self.pki = Pki(utc_now(), self.name)
        self.signer: Identity = self.pki.certify("conf", "ca", issuer=None, label="conf")
        self.ports = free_ports("0.0.0.0")
        runner = web.ServerRunner(web.Server(self._serve, access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._stack.push_async_callback(runner.cleanup)
        self.registry = f"127.0.0.1:{runner.addresses[0][1]}"
        self.anchor = self.folder / "anchor.xml"
        self.anchor.write_bytes(build_anchor(self._anchor()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in reversed(self.members):
            await member.stop()
        await self._stack.aclose()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = self.files.get(request.raw_path)
        return web.Response(status=404) if body is None else web.Response(body=body)

    async def add(
        self,
        code: str,
        client: ClientId,
        *,
        hosted: Sequence[HostedClient] = (),
        **peers: object,
    ) -> NodeUnderTest:
        """Make a node's keys, folder and database; it is registered by `publish`, not started."""
        address = f"127.0.0.{next(_ADDRESSES)}"
        server = ServerId(client.member, code)
        folder = self.folder / code
        keys = KeyStore.open(folder / "keys", PASSWORD)
        auth = self._certified(keys, "auth", client.member, server)
        self._certified(keys, "sign", client.member, server)
        dsn = await self.postgres.create_database(f"node_{code.lower()}_{address[8:]}")
        password_file = folder / "password"
        password_file.write_bytes(PASSWORD)
        settings = NodeSettings(
            server=server,
            data=folder / "data",
            configuration=ConfigurationSettings(anchor=self.anchor, interval=timedelta(seconds=1)),
            keys=KeysSettings(folder=folder / "keys", password_file=password_file),
            systems=SystemsSettings(host="127.0.0.1", http_port=0, https_port=0),
            peers=PeersSettings(
                host=address,
                port=self.ports[0],
                ocsp_port=self.ports[1],
                peer_port=self.ports[0],
                peer_ocsp_port=self.ports[1],
                **peers,  # type: ignore[arg-type]
            ),
            admin=AdminSettings(port=0),
        )
        entry = Server(server, address, (certificate_hash(auth, "sha256"),), (client,))
        member = NodeUnderTest(server, client, address, keys, settings, dsn, entry)
        self.members.append(member)
        await self.apply(member, hosted or [HostedClient(client, connection=ConnectionType.HTTP)])
        return member

    def _certified(
        self, keys: KeyStore, use: str, member: ClientId, server: ServerId
    ) -> x509.Certificate:
        entry = keys.create_key("auth" if use == "auth" else "sign", self.key_type, use)
        who = Applicant(member, server, f"Member {member.member_code}", "XX", "node.example.test")
        propose = subject_for_auth if use == "auth" else subject_for_sign
        request = keys.request(entry.id, propose(profiles.BASIC, who))
        certificate = self.authority.certify(request, entry.use, utc_now())
        keys.import_certificate(certificate.public_bytes(Encoding.DER), self.conf(), utc_now())
        return certificate

    async def apply(self, member: NodeUnderTest, hosted: Iterable[HostedClient]) -> None:
        """Replace what a node hosts; a running one notices at once."""
        pool = await open_database(member.dsn, member.settings)
        try:
            await ServiceStore(pool).replace(tuple(hosted))
        finally:
            await pool.close()
        if member.node is not None:
            await member.node.services.refresh()

    # --- the trust list -------------------------------------------------------------------------

    def _anchor(self) -> Anchor:
        certificate = self.signer.certificate.public_bytes(Encoding.DER)
        source = AnchorSource(f"http://{self.registry}/internalconf", (certificate,))
        return Anchor(self.name, (source,), utc_now())

    def conf(self) -> GlobalConf:
        """What the nodes are to believe now."""
        until = utc_now() + self.valid_for
        own = InstanceConf(self._shared(), self._private(), until)
        return GlobalConf(self.name, {self.name: own})

    def _shared(self) -> SharedParameters:
        certificate = self.signer.certificate.public_bytes(Encoding.DER)
        responder = OcspResponder(f"{self.ca_url}/ocsp", None)
        root, issuing = self.authority.root, self.authority.issuing
        top = AuthorityCertificate(root.certificate, (responder,))
        below = (
            () if issuing == root else (AuthorityCertificate(issuing.certificate, (responder,)),)
        )
        clients: dict[ClientId, list[str]] = {}
        for member in self.members:
            for one in (member.client, *member.entry.clients):
                codes = clients.setdefault(one.member, [])
                if one.subsystem_code and one.subsystem_code not in codes:
                    codes.append(one.subsystem_code)
        return SharedParameters(
            instance=self.name,
            version=6,
            sources=(ConfigurationSource(self.registry, (certificate,), ()),),
            approved_cas=(ApprovedCa("Test CA", False, top, below, profiles.BASIC),),
            approved_tsas=(
                ApprovedTsa("TSA", f"{self.ca_url}/tsa", self.authority.tsa.certificate),
            ),
            members=tuple(_member(one, codes) for one, codes in clients.items()),
            servers=tuple(member.entry for member in self.members),
            groups=tuple(
                GlobalGroup(GlobalGroupId(self.name, code), code, members)
                for code, members in self.groups.items()
            ),
            member_classes={"GOV": "Government", "MUN": "Municipalities"},
            ocsp_freshness_seconds=3600,
        )

    def _private(self) -> PrivateParameters:
        return PrivateParameters(
            instance=self.name,
            federation_anchors=(),
            registration_url="https://registry.example.test:4001/managementservice/",
            registration_certificate=None,
            management_provider=ClientId(self.name, "GOV", "1000", "MANAGEMENT"),
            time_stamping_interval_seconds=60,
        )

    async def publish(self) -> None:
        """Sign and serve the present state; running nodes take it over before this returns."""
        self._generation += 1
        place = f"/V6/{self._generation:020d}"
        parts = {
            "SHARED-PARAMETERS": ("shared-params.xml", build_shared_parameters(self._shared())),
            "PRIVATE-PARAMETERS": (
                "private-params.xml", build_private_parameters(self._private()),
            ),
        }  # fmt: skip
        if self.monitoring_client is not None:
            raw = build_monitoring(self.monitoring_client)
            parts["MONITORING"] = ("monitoring-params.xml", raw)
        parts |= self.further
        entries = tuple(
            DirectoryEntry(name, self.name, f"{place}/{file}", digest(SHA512_URI, raw))
            for name, (file, raw) in parts.items()
        )
        directory = Directory(
            utc_now() + self.valid_for + timedelta(seconds=self._generation), 6, entries
        )
        files = {f"{place}/{file}": raw for file, raw in parts.values()}
        files["/internalconf?version=6"] = build_directory(
            directory, self.signer.key, self.signer.certificate.public_bytes(Encoding.DER)
        )
        self.files |= files
        for member in self.members:
            if member.node is not None:
                updater = member.node.who.updater
                assert await updater.update(), updater.last_error

    async def start(self, *members: NodeUnderTest) -> None:
        """Publish, start these nodes (or every one) and wait until each is ready."""
        await self.publish()
        for member in members or self.members:
            if member.node is None:
                await member.start()
        for member in members or self.members:
            await ready(member)


async def ready(member: NodeUnderTest, patience: float = 20) -> None:
    """Wait until a node says that it is ready."""
    node = member.running
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        await node.who.updater.update()
        await node.who.ocsp.update()
        node.who.identity.update()
        found = await node.health.readiness()
        if found.ready:
            return
        assert asyncio.get_running_loop().time() < deadline, found.reasons
        await asyncio.sleep(0.1)


def _member(member: ClientId, codes: Sequence[str]) -> Member:
    subsystems = tuple(
        Subsystem(replace(member, subsystem_code=code), code) for code in sorted(set(codes))
    )
    return Member(member, f"Member {member.member_code}", subsystems)
