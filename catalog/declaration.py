"""What an institution's operator writes down about its services: `services.toml`.

Certificates are files, in DER or PEM, named relative to the folder of the declaration.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from catalog.rules import client_problems
from catalog.services import (
    BASE_ENDPOINT,
    DEFAULT_TIMEOUT,
    AccessRight,
    ClientStatus,
    ConnectionType,
    Endpoint,
    HostedClient,
    LocalGroup,
    Repair,
    Service,
    ServiceType,
    Subject,
)
from trust.errors import MalformedMessage
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId
from trust.pki.certificates import der, parse_certificate
from trust.registry.record_rules import problems_error
from trust.settings import Bounds, Matching, SettingProblem, required, setting

Place = tuple[str | int, ...]
Code = Annotated[str, Matching(r"(?=.*\S).{1,255}", "of 1 to 255 characters")]
Title = Annotated[str, Matching(r"[^\x00-\x1f\x7f]{0,1000}", "of at most 1000 characters")]
Timeout = Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(days=1))]
EndpointText = Annotated[
    str,
    Matching(
        r"(\*|[A-Za-z]{1,20}) [/*][^\x00-\x1f\x7f]{0,2000}", 'as "GET /persons/*" or "* /open/**"'
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalGroupDeclaration:
    code: Code = required("code", example="clerks")
    description: str = setting("", "whom it unites", example="Everybody at a desk")
    members: tuple[ClientId, ...] = setting(
        (), "members and subsystems of any node", example=["EX:GOV:2000:portal"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDeclaration:
    code: Code = required("service code", example="persons")
    version: str | None = setting(None, "version, of a SOAP service only", example="v1")
    type: ServiceType = setting(ServiceType.REST, "what kind of service it is")
    url: str = required("where the system answers", example="http://127.0.0.1:9000/")
    timeout: Timeout = setting(DEFAULT_TIMEOUT, "longest silence of that system")
    verify_tls: bool = setting(
        True, "whether its TLS certificate must be one of the client's certificate_files"
    )
    disabled: str | None = setting(
        None, "notice to callers while it is switched off", example="Out of order"
    )
    endpoints: tuple[EndpointText, ...] = setting(
        (), "known parts: method and path pattern", example=["GET /persons/*"]
    )
    title: Title = setting("", "name for people", example="Persons by national id")
    description: str = setting(
        "",
        "where its OpenAPI description or WSDL is",
        example="http://127.0.0.1:9000/openapi.json",
    )
    repair_headers: bool = setting(
        False, "complete the header of its SOAP answers with what they lack of the request's"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDeclaration:
    """Who may call what: exactly one of client, global_group and local_group is given."""

    service: Code = required("service code, in all its versions", example="persons")
    client: ClientId | None = setting(None, "a member or subsystem", example="EX:GOV:2000:portal")
    global_group: GlobalGroupId | None = setting(
        None, "a group of the central operator", example="EX:municipalities"
    )
    local_group: Code | None = setting(None, "a group of this client", example="clerks")
    endpoints: tuple[EndpointText, ...] = setting(
        (), "the parts meant; the whole service without", example=["GET /persons/*"]
    )

    def __post_init__(self) -> None:
        given = (self.client, self.global_group, self.local_group)
        if sum(item is not None for item in given) != 1:
            raise ValueError("exactly one of client, global_group and local_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDeclaration:
    """A member or subsystem that this node hosts."""

    id: ClientId = required("identifier", example="EX:GOV:1000:persons")
    status: ClientStatus = setting(
        ClientStatus.REGISTERED, "only a registered client exchanges messages"
    )
    connection: ConnectionType = setting(
        ConnectionType.HTTPS, "how its information system must connect"
    )
    certificate_files: tuple[Path, ...] = setting(
        (), "TLS certificates of its information systems", example=["system.pem"]
    )
    repairs: tuple[Repair, ...] = setting(
        (), "what to add to its SOAP calls; see docs/metadata.md", example=["soap-action"]
    )
    local_groups: tuple[LocalGroupDeclaration, ...] = setting((), "groups for its access rights")
    services: tuple[ServiceDeclaration, ...] = setting((), "what it offers")
    access: tuple[AccessDeclaration, ...] = setting((), "who may call that")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesDeclaration:
    """Everything that a node hosts."""

    clients: tuple[ClientDeclaration, ...] = setting((), "members and subsystems hosted here")


def declaration_problems(declaration: ServicesDeclaration) -> Iterator[SettingProblem]:
    """Everything that is wrong with a declaration and the files it names."""
    reader = _Reader()
    clients = reader.clients(declaration)
    yield from reader.problems
    yield from client_problems(clients)
    for index, client in enumerate(declaration.clients):
        yield from _access_problems(client, ("clients", index))


def hosted_clients(declaration: ServicesDeclaration) -> tuple[HostedClient, ...]:
    """What a declaration stands for; raises ConfigurationError with every problem."""
    problems = tuple(declaration_problems(declaration))
    if problems:
        raise problems_error(problems)
    return _Reader().clients(declaration)


def _access_problems(client: ClientDeclaration, place: Place) -> Iterator[SettingProblem]:
    """Rights that lead nowhere: a service or a local group that the client does not have."""
    codes = {service.code for service in client.services}
    groups = {group.code for group in client.local_groups}
    for index, access in enumerate(client.access):
        here = (*place, "access", index)
        if access.service not in codes:
            expected = _one_of("service", codes)
            yield SettingProblem((*here, "service"), f"'{access.service}'", expected)
        if access.local_group is not None and access.local_group not in groups:
            expected = _one_of("local group", groups)
            yield SettingProblem((*here, "local_group"), f"'{access.local_group}'", expected)


def _one_of(what: str, names: set[str]) -> str:
    if not names:
        return f"a {what} of this client, which has none"
    return f"a {what} of this client: " + ", ".join(sorted(names))


@dataclass(slots=True)
class _Reader:
    """Makes clients of declarations and collects which files can't be read."""

    problems: list[SettingProblem] = field(default_factory=list)

    def clients(self, declaration: ServicesDeclaration) -> tuple[HostedClient, ...]:
        return tuple(
            self._client(client, ("clients", index))
            for index, client in enumerate(declaration.clients)
        )

    def _client(self, client: ClientDeclaration, place: Place) -> HostedClient:
        found = (
            self._certificate(path, (*place, "certificate_files", index))
            for index, path in enumerate(client.certificate_files)
        )
        certificates = tuple(certificate for certificate in found if certificate)
        return HostedClient(
            id=client.id,
            status=client.status,
            connection=client.connection,
            certificates=certificates,
            services=tuple(
                _service(client.id, service, certificates) for service in client.services
            ),
            local_groups=tuple(
                LocalGroup(group.code, group.description, frozenset(group.members))
                for group in client.local_groups
            ),
            rights=tuple(right for access in client.access for right in _rights(access)),
            repairs=frozenset(client.repairs),
        )

    def _certificate(self, path: Path, place: Place) -> bytes:
        """A certificate as DER; empty when it can't be read, which is then among the problems."""
        try:
            return der(parse_certificate(path.read_bytes()))
        except OSError as error:
            found = error.strerror or "an unreadable file"
        except MalformedMessage as error:
            found = error.text
        self.problems.append(
            SettingProblem(place, f"'{path.name}': {found}", "a certificate in DER or PEM")
        )
        return b""


def _service(
    client: ClientId, service: ServiceDeclaration, certificates: tuple[bytes, ...]
) -> Service:
    return Service(
        id=ServiceId(client, service.code, service.version),
        type=service.type,
        url=service.url,
        timeout=service.timeout,
        verify_tls=service.verify_tls,
        certificates=certificates,
        notice=service.disabled,
        endpoints=tuple(_endpoint(text) for text in service.endpoints),
        description_url=service.description,
        title=service.title,
        repair_headers=service.repair_headers,
    )


def _rights(access: AccessDeclaration) -> Iterator[AccessRight]:
    subject: Subject
    if access.client is not None:
        subject = access.client
    elif access.global_group is not None:
        subject = access.global_group
    else:
        subject = LocalGroupId(access.local_group or "")
    endpoints = tuple(_endpoint(text) for text in access.endpoints) or (BASE_ENDPOINT,)
    for endpoint in endpoints:
        yield AccessRight(subject, access.service, endpoint)


def _endpoint(text: str) -> Endpoint:
    method, _, path = text.partition(" ")
    return Endpoint(method.upper(), path)
