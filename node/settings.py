"""What an operator writes down for one node: `node.toml`."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from node.archive.settings import ArchiveSettings
from node.exchange.settings import SigningSettings
from node.log.settings import MessageLogSettings, TimestampingSettings
from node.metadata.settings import DescriptionSettings
from node.monitoring.settings import MonitoringSettings
from node.once.settings import OnceSettings
from node.transparency.transparency import TransparencySettings
from trust.ids import ClientId, ServerId
from trust.settings import Bounds, ByteSize, ListenPort, Port, SettingProblem, required, setting

_LOOPBACK = ("127.", "::1", "localhost")
Seconds = Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(days=1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where the node keeps its log and its services."""

    dsn_file: Path | None = setting(
        None,
        "file with the address and password; without it a private server is started in data",
        example="database.dsn",
    )
    connections: Annotated[int, Bounds(3, 100)] = setting(8, "connections at the most")
    statement_cache: bool = setting(True, "off behind a pooler that shares connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemsSettings:
    """The ports for the institution's own information systems."""

    host: str = setting("0.0.0.0", "address to listen on")  # noqa: S104 - the reference's default
    http_port: ListenPort = setting(8080, "plain HTTP")
    https_port: ListenPort = setting(8443, "HTTPS with the node's internal TLS certificate")
    idle: Seconds = setting(timedelta(seconds=30), "an idle connection is closed after this")
    wsdl_client: ClientId | None = setting(
        None,
        "a client of this node in whose name GET /wsdl asks; without it there is no such page",
        example="EX:GOV:1000:portal",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersSettings:
    """The ports for other nodes, and how other nodes are reached."""

    host: str = setting("0.0.0.0", "address to listen on")  # noqa: S104 - the reference's default
    port: ListenPort = setting(5500, "messages, mutual TLS")
    ocsp_port: ListenPort = setting(5577, "OCSP responses for other nodes, plain HTTP")
    peer_port: Port = setting(5500, "where other nodes listen for messages")
    peer_ocsp_port: Port = setting(5577, "where other nodes answer with OCSP responses")
    connect_timeout: Seconds = setting(timedelta(seconds=30), "to connect to another node")
    answer_timeout: Seconds = setting(
        timedelta(minutes=5), "longest silence of another node during an exchange"
    )
    request_timeout: Seconds = setting(
        timedelta(seconds=60), "longest silence of another node that sends us a request"
    )
    idle: Seconds = setting(timedelta(seconds=60), "an idle connection is closed after this")
    connections_per_peer: Annotated[int, Bounds(1, 2500)] = setting(
        100, "connections to one other node at the most"
    )
    minimum_version: str = setting(
        "", "lowest X-Road version of a calling server, as 7.6.0; empty: any"
    )
    hash_chain_servers: tuple[ServerId, ...] = setting(
        (), "servers older than 7.6, which read several parts only through a hash chain"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationSettings:
    """How the trust list is fetched."""

    anchor: Path = required("the configuration anchor", example="anchor.xml")
    interval: Seconds = setting(timedelta(seconds=60), "how often it is fetched")
    federations: tuple[str, ...] = setting(
        (), 'other instances to believe; "all" for every one that the registry names'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSettings:
    """Where the keys are and what opens them."""

    folder: Path = required("the key store", example="keys")
    password_file: Path = required("file with the key store's password", example="keys.password")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSettings:
    """What one message may cost."""

    body: ByteSize = setting(
        ByteSize.parse("16 GiB"), "largest body of a message, or all its attachments together"
    )
    memory_body: ByteSize = setting(
        ByteSize.parse("256 KiB"), "larger bodies are kept in the spool folder while in transit"
    )
    soap: Annotated[ByteSize, Bounds(ByteSize.parse("64 KiB"), ByteSize.parse("64 MiB"))] = setting(
        ByteSize.parse("4 MiB"), "largest SOAP envelope, without its attachments; held in memory"
    )
    attachments: Annotated[int, Bounds(1, 10_000)] = setting(
        1000, "attachments of a SOAP message at the most"
    )
    exchanges: Annotated[int, Bounds(1, 100_000)] = setting(
        1000, "requests at the same time on one port; more are asked to come again"
    )
    disk_reserve: ByteSize = setting(
        ByteSize.parse("512 MiB"), "what bodies in transit leave free on their disk"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """The operator's port."""

    host: str = setting("127.0.0.1", "address to listen on")
    port: ListenPort = setting(4000, "metrics and health")
    tls: bool = setting(False, "HTTPS with the internal TLS certificate; a must beyond loopback")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """All of `node.toml`."""

    server: ServerId = required("this node's registered id", example="EX:GOV:1001:NODE1")
    data: Path = required("folder for what the node keeps itself", example="/var/lib/sacbe")
    configuration: ConfigurationSettings = required("how the trust list is fetched")
    keys: KeysSettings = required("where the keys are and what opens them")
    database: DatabaseSettings = setting(DatabaseSettings(), "the node's database")
    systems: SystemsSettings = setting(SystemsSettings(), "ports for information systems")
    peers: PeersSettings = setting(PeersSettings(), "ports for other nodes")
    log: MessageLogSettings = setting(MessageLogSettings(), "what is kept of each message")
    signing: SigningSettings = setting(SigningSettings(), "how messages are signed")
    timestamping: TimestampingSettings = setting(
        TimestampingSettings(), "who says when the records of the log were there"
    )
    transparency: TransparencySettings = setting(
        TransparencySettings(), "checkpoints of the log, and who witnesses them"
    )
    archive: ArchiveSettings = setting(
        ArchiveSettings(), "where records go, and when they leave the database"
    )
    limits: LimitsSettings = setting(LimitsSettings(), "what one message may cost")
    admin: AdminSettings = setting(AdminSettings(), "the operator's port")
    descriptions: DescriptionSettings = setting(
        DescriptionSettings(), "descriptions of the services offered here"
    )
    monitoring: MonitoringSettings = setting(
        MonitoringSettings(), "what is kept of exchanges for monitoring, and told to others"
    )
    once: OnceSettings = setting(
        OnceSettings(), "once-only: facts, grants with terms, and what citizens are told"
    )
    legacy_fault_codes: bool = setting(
        False, "send fault codes to information systems in the spelling before 7.8"
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        found = []
        if not self.admin.tls and not self.admin.host.startswith(_LOOPBACK):
            found.append(
                SettingProblem(
                    ("admin", "tls"),
                    f"false with the address {self.admin.host}",
                    "true, or a loopback address",
                )
            )
        found += [
            SettingProblem(("archive", *problem.path), problem.found, problem.expected)
            for problem in self.archive.problems()
        ]
        found += [
            SettingProblem(("log", *problem.path), problem.found, problem.expected)
            for problem in self.log.problems()
        ]
        found += [
            SettingProblem(("timestamping", *problem.path), problem.found, problem.expected)
            for problem in self.timestamping.problems()
        ]
        found += [
            SettingProblem(("once", *problem.path), problem.found, problem.expected)
            for problem in self.once.problems()
        ]
        return found
