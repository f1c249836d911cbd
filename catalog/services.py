"""What a node hosts: subsystems, their services, and who may call them. Values without I/O.

Rights belong to the providing client and hang on a service code, so all versions of a service
share them and none is lost when one version goes.

Source: messages.md 7, 8.2, 8.3; X-Road 7.8 ServerConfImpl.java.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property

from catalog.about import NOTHING_SAID, About
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.paths import PathGlob
from catalog.terms import NO_TERMS, Terms
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

ANY_METHOD = "*"
ANY_PATH = "**"
DEFAULT_TIMEOUT = timedelta(seconds=60)

# Service codes that the node itself answers.
RESERVED_CODES = frozenset(
    {
        "listClients", "listMethods", "allowedMethods", "getWsdl", "getOpenAPI",
        "getSecurityServerMetrics", "getSecurityServerOperationalData",
        "getSecurityServerHealthData", "sacbe-catalog",
    }
)  # fmt: skip


class ClientStatus(StrEnum):
    """Only a registered client exchanges messages; the others are kept with all they have."""

    REGISTERED = "registered"
    SAVED = "saved"
    DISABLED = "disabled"


class ConnectionType(StrEnum):
    """How a client's information system must connect to the node."""

    HTTP = "HTTP"
    HTTPS_NO_AUTH = "HTTPS_NO_AUTH"
    HTTPS = "HTTPS"  # with one of the certificates that the client has registered


class ServiceType(StrEnum):
    REST = "REST"  # an address, nothing described
    OPENAPI = "OPENAPI"
    WSDL = "WSDL"

    @property
    def is_rest(self) -> bool:
        return self is not ServiceType.WSDL


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A part of a service: a method (or `*`) and a pattern for the path behind the service code."""

    method: str = ANY_METHOD
    path: str = ANY_PATH

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


BASE_ENDPOINT = Endpoint()  # the whole service


@dataclass(frozen=True, slots=True)
class DescriptionSource:
    """Where a description is had: one download for all services of a client that share it.

    Attributes:
        verify_tls: as the service has it, so that no service gets what came over a connection that
            it would not trust.
    """

    client: ClientId
    type: ServiceType
    url: str
    verify_tls: bool


class Repair(StrEnum):
    """What a node may add to the SOAP calls of a client whose software lacks it."""

    SOAP_ACTION = "soap-action"  # an empty SOAPAction becomes the service code
    XML_DECLARATION = "xml-declaration"  # the declaration before an envelope goes


@dataclass(frozen=True, slots=True)
class Service:
    """A service as one of this node's clients offers it.

    Attributes:
        id: with the version, which only SOAP services have.
        url: where the institution's system answers, empty when not given yet.
        timeout: longest silence of that system.
        verify_tls: for `https`, whether its certificate must be one of `certificates`.
        certificates: DER, those of the providing client.
        notice: why it is disabled; None while it is not.
        endpoints: the parts that are declared, beside those of the description and of rights.
        description_url: where its OpenAPI description or WSDL is; empty when there is none.
        title: a name for people.
        repair_headers: whether the header of a SOAP answer is completed from the request.
        mapping: where facts stand in its answers, and what names the subject.
        about: what is said of it in the catalog.
    """

    id: ServiceId
    type: ServiceType
    url: str
    timeout: timedelta = DEFAULT_TIMEOUT
    verify_tls: bool = True
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    notice: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    description_url: str = ""
    title: str = ""
    repair_headers: bool = False
    mapping: ServiceMapping = NO_MAPPING
    about: About = NOTHING_SAID

    @property
    def description(self) -> DescriptionSource | None:
        if not self.description_url:
            return None
        return DescriptionSource(self.id.provider, self.type, self.description_url, self.verify_tls)


@dataclass(frozen=True, slots=True)
class LocalGroup:
    """Clients of any node that one hosted client treats alike."""

    code: str
    description: str
    members: frozenset[ClientId]


Subject = ClientId | GlobalGroupId | LocalGroupId


@dataclass(frozen=True, slots=True)
class AccessRight:
    """A subject may call an endpoint of a service, in all its versions: a grant.

    Attributes:
        number: of its row, by which records name it; 0 while it has none.
    """

    subject: Subject
    service_code: str
    endpoint: Endpoint = BASE_ENDPOINT
    terms: Terms = NO_TERMS
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class HostedClient:
    """A member or subsystem registered at this node.

    Attributes:
        certificates: DER of its information system's certificates: who may call as this client,
            and whom its services are behind.
        repairs: what is added to its SOAP calls.
        grants: rights that were asked for and approved, beside those that are declared; a new
            declaration leaves them as they are.
    """

    id: ClientId
    status: ClientStatus = ClientStatus.REGISTERED
    connection: ConnectionType = ConnectionType.HTTPS
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    services: tuple[Service, ...] = ()
    local_groups: tuple[LocalGroup, ...] = ()
    rights: tuple[AccessRight, ...] = ()
    repairs: frozenset[Repair] = frozenset()
    grants: tuple[AccessRight, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """An access right, ready to be matched."""

    subject: Subject
    method: str  # upper case, or `*`
    glob: PathGlob
    terms: Terms = NO_TERMS
    number: int = 0

    def covers(self, method: str, path: str) -> bool:
        return self.method in (ANY_METHOD, method.upper()) and self.glob.matches(path)

    @property
    def is_base(self) -> bool:
        return self.method == ANY_METHOD and self.glob.pattern == ANY_PATH


@dataclass(frozen=True)
class ServerConf:
    """One snapshot of everything that this node hosts.

    Attributes:
        version: grows with every change in the database.
        described: the endpoints that descriptions were found to have.
    """

    clients: tuple[HostedClient, ...] = ()
    version: int = 0
    described: Mapping[DescriptionSource, tuple[Endpoint, ...]] = field(default_factory=dict)

    @cached_property
    def _clients(self) -> Mapping[ClientId, HostedClient]:
        return {client.id: client for client in self.clients}

    @cached_property
    def _services(self) -> Mapping[ServiceId, Service]:
        return {service.id: service for client in self.clients for service in client.services}

    @cached_property
    def _rules(self) -> Mapping[tuple[ClientId, str], tuple[Rule, ...]]:
        found: dict[tuple[ClientId, str], list[Rule]] = {}
        for client in self.clients:
            for right in (*client.rights, *client.grants):
                endpoint = right.endpoint
                rule = Rule(
                    right.subject,
                    endpoint.method.upper(),
                    PathGlob.parse(endpoint.path),
                    right.terms,
                    right.number,
                )
                found.setdefault((client.id, right.service_code), []).append(rule)
        return {key: tuple(rules) for key, rules in found.items()}

    @cached_property
    def _groups(self) -> Mapping[tuple[ClientId, LocalGroupId], frozenset[ClientId]]:
        return {
            (client.id, LocalGroupId(group.code)): group.members
            for client in self.clients
            for group in client.local_groups
        }

    def hosted(self, client: ClientId) -> HostedClient | None:
        """A client of this node in any status."""
        return self._clients.get(client)

    def client(self, client: ClientId) -> HostedClient | None:
        """A registered client of this node: one that may exchange messages."""
        found = self._clients.get(client)
        return found if found and found.status is ClientStatus.REGISTERED else None

    def hosts(self, client: ClientId) -> bool:
        """Whether a registered client of this node has exactly this identifier."""
        return self.client(client) is not None

    def service(self, service: ServiceId) -> Service | None:
        """A service of a registered client, by code and version."""
        return self._services.get(service) if self.hosts(service.provider) else None

    @cached_property
    def _parts(self) -> dict[ServiceId, tuple[tuple[str, PathGlob], ...]]:
        return {}  # filled as services are called

    def covering_path(self, service: Service, method: str, readings: Collection[str]) -> str | None:
        """The pattern of a known part that a call is for, the last by name of several.

        Args:
            readings: the path of the call, in every way in which it may be read.
        """
        parts = self._parts.get(service.id)
        if parts is None:
            known = sorted(
                self.endpoints(service), key=lambda one: (one.path, one.method), reverse=True
            )
            parts = tuple((one.method.upper(), PathGlob.parse(one.path)) for one in known)
            self._parts[service.id] = parts
        for offered, glob in parts:
            if offered in (ANY_METHOD, method) and any(map(glob.matches, readings)):
                return glob.pattern
        return None

    def endpoints(self, service: Service) -> tuple[Endpoint, ...]:
        """The known parts of a service: declared, described, or named by a right."""
        described: tuple[Endpoint, ...] = ()
        if (source := service.description) is not None:
            described = self.described.get(source, ())
        named = (Endpoint(rule.method, rule.glob.pattern) for rule in self.rules(service.id))
        return tuple(
            endpoint
            for endpoint in dict.fromkeys((*service.endpoints, *described, *named))
            if endpoint != BASE_ENDPOINT
        )

    def rules(self, service: ServiceId) -> tuple[Rule, ...]:
        """The rights to a service; its version does not count."""
        return self._rules.get((service.provider, service.service_code), ())

    def in_local_group(self, provider: ClientId, group: LocalGroupId, client: ClientId) -> bool:
        return client in self._groups.get((provider, group), ())
