"""What an institution's operator writes down about its services: `services.toml`.

Certificates are files, in DER or PEM, named relative to the folder of the declaration.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from catalog.declared.declared_access import AccessDeclaration, declared_rights, declared_terms
from catalog.declared.declared_services import Code, ServiceDeclaration, declared_service
from catalog.declared.rules import client_problems
from catalog.declared.term_rules import term_problems, unknown_fields
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    HostedClient,
    LocalGroup,
    Repair,
)
from catalog.terms import NO_TERMS
from trust.errors import ConfigurationError, ConfigurationProblem, MalformedMessage
from trust.ids import ClientId
from trust.pki.certificates import der, parse_certificate
from trust.registry.record_rules import problems_error
from trust.settings import Place, SettingProblem, required, setting

Problem = SettingProblem | ConfigurationProblem
# Reads a mapping file; raises ConfigurationError with every problem of it.
ReadMapping = Callable[[Path], ServiceMapping]


def no_mapping(path: Path) -> ServiceMapping:
    """For whoever has no reader of mapping files at hand: none can be had."""
    raise ConfigurationError([ConfigurationProblem(str(path), 0, "a mapping file", "none here")])


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalGroupDeclaration:
    code: Code = required("code", example="clerks")
    description: str = setting("", "whom it unites", example="Everybody at a desk")
    members: tuple[ClientId, ...] = setting(
        (), "members and subsystems of any node", example=["EX:GOV:2000:portal"]
    )


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


def declaration_problems(
    declaration: ServicesDeclaration, read_mapping: ReadMapping = no_mapping
) -> Iterator[Problem]:
    """Everything that is wrong with a declaration and the files it names."""
    reader = _Reader(read_mapping)
    clients = reader.clients(declaration)
    yield from reader.problems
    yield from client_problems(clients)
    for index, client in enumerate(declaration.clients):
        yield from _access_problems(client, clients[index], ("clients", index))


def hosted_clients(
    declaration: ServicesDeclaration, read_mapping: ReadMapping = no_mapping
) -> tuple[HostedClient, ...]:
    """What a declaration stands for; raises ConfigurationError with every problem."""
    problems = tuple(declaration_problems(declaration, read_mapping))
    if problems:
        located = [one for one in problems if isinstance(one, ConfigurationProblem)]
        unlocated = problems_error(one for one in problems if isinstance(one, SettingProblem))
        raise ConfigurationError([*unlocated.problems, *located])
    return clients_as_written(declaration, read_mapping)


def clients_as_written(
    declaration: ServicesDeclaration, read_mapping: ReadMapping
) -> tuple[HostedClient, ...]:
    """What a declaration stands for, whatever is wrong with it: to look for more of that."""
    return _Reader(read_mapping).clients(declaration)


def _access_problems(
    client: ClientDeclaration, hosted: HostedClient, place: Place
) -> Iterator[SettingProblem]:
    """Rights that lead nowhere or contradict themselves, each with its terms."""
    codes = {service.code for service in client.services}
    groups = {group.code for group in client.local_groups}
    seen: set[AccessRight] = set()
    for index, access in enumerate(client.access):
        here = (*place, "access", index)
        if access.service not in codes:
            expected = _one_of("service", codes)
            yield SettingProblem((*here, "service"), f"'{access.service}'", expected)
        if access.local_group is not None and access.local_group not in groups:
            expected = _one_of("local group", groups)
            yield SettingProblem((*here, "local_group"), f"'{access.local_group}'", expected)
        yield from _terms(access, hosted, here)
        rights = {right for right in declared_rights(access) if right.terms != NO_TERMS}
        if rights & seen:
            yield SettingProblem(here, "the same right with the same terms again", "each once")
        seen |= rights


def _terms(
    access: AccessDeclaration, hosted: HostedClient, place: Place
) -> Iterator[SettingProblem]:
    terms = declared_terms(access)
    yield from term_problems(terms, place)
    mappings = [one.mapping for one in hosted.services if one.id.service_code == access.service]
    yield from unknown_fields(terms, mappings, place)


def _one_of(what: str, names: set[str]) -> str:
    if not names:
        return f"a {what} of this client, which has none"
    return f"a {what} of this client: " + ", ".join(sorted(names))


@dataclass(slots=True)
class _Reader:
    """Makes clients of declarations and collects which files can't be read."""

    read_mapping: ReadMapping
    problems: list[Problem] = field(default_factory=list)

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
                declared_service(client.id, service, certificates, self._mapping(service.mapping))
                for service in client.services
            ),
            local_groups=tuple(
                LocalGroup(group.code, group.description, frozenset(group.members))
                for group in client.local_groups
            ),
            rights=tuple(right for access in client.access for right in declared_rights(access)),
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

    def _mapping(self, path: Path | None) -> ServiceMapping:
        """What a mapping file says; nothing when it is wrong, which is then among the problems."""
        if path is None:
            return NO_MAPPING
        try:
            return self.read_mapping(path)
        except ConfigurationError as error:
            self.problems += error.problems
        return NO_MAPPING
