"""The global configuration: an instance's signed trust list, as one immutable value.

`GlobalConf` is what an exchange sees: the own instance and the federated ones, each with its
members, servers, trust services and groups, indexed for the questions that nodes ask. It is built
from bytes and replaced whole by `trust.configuration`.

Source: trust.md 6.3; X-Road 7.8 SharedParametersCache.java, GlobalConfImpl.java.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

from cryptography import x509

from trust.ids import ClientId, GlobalGroupId, ServerId

DEFAULT_OCSP_FETCH_INTERVAL_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """A host that publishes the configuration, with the certificates that may sign there.

    Certificates are the DER bytes as published; their dates and usages mean nothing.
    """

    address: str
    internal_certificates: tuple[bytes, ...]
    external_certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OcspResponder:
    url: str
    certificate: x509.Certificate | None  # listed: authorised without being issued by the CA
    cost_type: str | None = None  # FREE, PAID or UNDEFINED


@dataclass(frozen=True, slots=True)
class AuthorityCertificate:
    """A CA certificate (top or intermediate) with the OCSP responders that speak for it."""

    certificate: x509.Certificate
    responders: tuple[OcspResponder, ...]


@dataclass(frozen=True, slots=True)
class AcmeServer:
    directory_url: str
    ip_address: str | None = None
    auth_profile_id: str | None = None
    sign_profile_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovedCa:
    """A certification service that the central operator approved."""

    name: str
    authentication_only: bool
    top: AuthorityCertificate
    intermediates: tuple[AuthorityCertificate, ...]
    profile: str  # `certificateProfileInfo`, a full Java class name: the key of trust.pki.profiles
    default_csr_format: str | None = None
    acme: AcmeServer | None = None

    @property
    def authorities(self) -> tuple[AuthorityCertificate, ...]:
        return (self.top, *self.intermediates)


@dataclass(frozen=True, slots=True)
class ApprovedTsa:
    name: str
    url: str
    certificate: x509.Certificate
    cost_type: str | None = None  # FREE, PAID or UNDEFINED


@dataclass(frozen=True, slots=True)
class Subsystem:
    id: ClientId
    name: str | None


@dataclass(frozen=True, slots=True)
class Member:
    id: ClientId
    name: str
    subsystems: tuple[Subsystem, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A registered node: where it is, which TLS certificates are its own, whom it hosts.

    Attributes:
        auth_cert_hashes: digests of the DER of its authentication certificates; SHA-1 in
            configurations of version 2, SHA-256 later.
        clients: members and subsystems registered there, without the owner, who always is one.
        maintenance: None, or the administrator's notice (may be empty) while in maintenance.
    """

    id: ServerId
    address: str | None
    auth_cert_hashes: tuple[bytes, ...]
    clients: tuple[ClientId, ...]
    maintenance: str | None = None

    def hosts(self, client: ClientId) -> bool:
        return client == self.id.owner or client in self.clients


@dataclass(frozen=True, slots=True)
class GlobalGroup:
    id: GlobalGroupId
    description: str
    members: frozenset[ClientId]


@dataclass(frozen=True, slots=True)
class SharedParameters:
    """`shared-params.xml` of one instance."""

    instance: str
    version: int  # 2 to 6, of the schema it was read with
    sources: tuple[ConfigurationSource, ...]
    approved_cas: tuple[ApprovedCa, ...]
    approved_tsas: tuple[ApprovedTsa, ...]
    members: tuple[Member, ...]
    servers: tuple[Server, ...]
    groups: tuple[GlobalGroup, ...]
    member_classes: Mapping[str, str]  # code to description
    ocsp_freshness_seconds: int


@dataclass(frozen=True, slots=True)
class AnchorSource:
    download_url: str
    certificates: tuple[bytes, ...]  # DER


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where an instance's configuration is to be had and who signs it."""

    instance: str
    sources: tuple[AnchorSource, ...]
    generated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PrivateParameters:
    """`private-params.xml`: what only the instance's own servers get."""

    instance: str
    federation_anchors: tuple[Anchor, ...]
    registration_url: str
    registration_certificate: x509.Certificate | None
    management_provider: ClientId
    time_stamping_interval_seconds: int


@dataclass(frozen=True)
class InstanceConf:
    """Everything known about one instance, with the time until which it may be believed.

    Attributes:
        valid_until: the directory's `Expire-date` (aware, UTC); None where a configuration on disk
            says nothing, as test data and `/verificationconf` downloads do: never expires.
        shared_raw, private_raw: the files as they were signed.
        optional_parts: further parts by content identifier.
    """

    shared: SharedParameters
    private: PrivateParameters | None
    valid_until: datetime | None
    shared_raw: bytes = field(default=b"", repr=False)
    private_raw: bytes = field(default=b"", repr=False)
    optional_parts: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def expired(self, at: datetime) -> bool:
        return self.valid_until is not None and at > self.valid_until

    @cached_property
    def authorities(self) -> Mapping[str, tuple[ApprovedCa, AuthorityCertificate]]:
        """CA certificates by subject name (RFC 4514 text); the last of two with one name wins."""
        found = {
            _name_key(authority.certificate.subject): (ca, authority)
            for ca in self.shared.approved_cas
            for authority in ca.authorities
        }
        return MappingProxyType(found)

    def issuer_of(
        self, certificate: x509.Certificate
    ) -> tuple[ApprovedCa, AuthorityCertificate] | None:
        """The approved CA whose subject is the certificate's issuer, by name as X-Road does."""
        return self.authorities.get(_name_key(certificate.issuer))


def _name_key(name: x509.Name) -> str:
    return name.public_bytes().hex()


def no_expiry(conf: InstanceConf) -> InstanceConf:
    """The same configuration, believed for ever: for judging evidence of another time."""
    return InstanceConf(
        conf.shared, conf.private, None, conf.shared_raw, conf.private_raw, conf.optional_parts
    )


@dataclass(frozen=True)
class GlobalConf:
    """One snapshot of all configurations a node believes; federated ones that expired are hidden.

    Attributes:
        own_instance: the instance of the anchor.
        instances: by instance identifier.
        verify_next_update: whether an OCSP response past its nextUpdate is refused (optional
            part NEXTUPDATE of the own instance; true without it).
        ocsp_fetch_interval_seconds: optional part FETCHINTERVAL.
        monitoring_client: optional part MONITORING: who, besides the owner of a node, may ask it
            for its environment data.
        skipped: what was there and is not believed, with the reason: an instance, or a part as
            `INSTANCE/IDENTIFIER`.
        number: grows with every replacement in this process; keys caches.
    """

    own_instance: str
    instances: Mapping[str, InstanceConf]
    verify_next_update: bool = True
    ocsp_fetch_interval_seconds: int = DEFAULT_OCSP_FETCH_INTERVAL_SECONDS
    number: int = 0
    monitoring_client: ClientId | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> InstanceConf:
        return self.instances[self.own_instance]

    def valid(self, at: datetime) -> bool:
        """Whether messages may be exchanged: the own instance is complete and not expired."""
        own = self.instances.get(self.own_instance)
        return own is not None and own.private is not None and not own.expired(at)

    def visible(self, at: datetime) -> Iterator[InstanceConf]:
        """The own instance, and the federated ones that are not expired."""
        for name, conf in self.instances.items():
            if name == self.own_instance or not conf.expired(at):
                yield conf

    @property
    def ocsp_freshness_seconds(self) -> int:
        """Of the own instance, also for foreign certificates."""
        return self.own.shared.ocsp_freshness_seconds

    @property
    def auth_hash_name(self) -> str:
        """The digest of `authCertHash`: decided by the own instance's version, as X-Road does."""
        return "sha1" if self.own.shared.version <= 2 else "sha256"

    @cached_property
    def _servers_by_client(self) -> Mapping[ClientId, tuple[Server, ...]]:
        found: dict[ClientId, list[Server]] = {}
        for conf in self.instances.values():
            for server in conf.shared.servers:
                for client in {server.id.owner, *server.clients}:
                    found.setdefault(client, []).append(server)
        return {client: tuple(servers) for client, servers in found.items()}

    @cached_property
    def _servers_by_hash(self) -> Mapping[bytes, tuple[Server, ...]]:
        """All servers that claim a certificate, own ones first."""
        found: dict[bytes, list[Server]] = {}
        for name in sorted(self.instances, key=lambda name: name != self.own_instance):
            for server in self.instances[name].shared.servers:
                for digest in server.auth_cert_hashes:
                    found.setdefault(digest, []).append(server)
        return {digest: tuple(servers) for digest, servers in found.items()}

    @cached_property
    def _servers_by_id(self) -> Mapping[ServerId, Server]:
        return {s.id: s for conf in self.instances.values() for s in conf.shared.servers}

    @cached_property
    def _groups(self) -> Mapping[GlobalGroupId, GlobalGroup]:
        return {g.id: g for conf in self.instances.values() for g in conf.shared.groups}

    def instance(self, name: str, at: datetime) -> InstanceConf | None:
        """An instance's configuration, or None when it is unknown or (federated) expired."""
        conf = self.instances.get(name)
        if conf is None or (name != self.own_instance and conf.expired(at)):
            return None
        return conf

    def servers_of(self, client: ClientId, at: datetime) -> tuple[Server, ...]:
        """The servers on which exactly this client is registered or which it owns."""
        found = self._servers_by_client.get(client, ())
        return tuple(s for s in found if self.instance(s.id.owner.instance, at) is not None)

    def server(self, server: ServerId, at: datetime) -> Server | None:
        found = self._servers_by_id.get(server)
        return found if found and self.instance(server.owner.instance, at) is not None else None

    def server_of_certificate(
        self, der: bytes, at: datetime, *, instance: str = ""
    ) -> Server | None:
        """Which server owns an authentication certificate, over all visible instances.

        Args:
            instance: whose word counts when several foreign instances claim the certificate: that
                of the member for whom the server is to speak, so that no third instance can take
                a server from it. The own instance's word comes before all.
        """
        digest = hashlib.new(self.auth_hash_name, der, usedforsecurity=False).digest()
        found = self._servers_by_hash.get(digest, ())
        visible = [s for s in found if self.instance(s.id.owner.instance, at) is not None]
        order = (self.own_instance, instance)
        preferred = (s for name in order for s in visible if s.id.owner.instance == name)
        return next(preferred, visible[0] if visible else None)

    def in_group(self, client: ClientId, group: GlobalGroupId, at: datetime) -> bool:
        if self.instance(group.instance, at) is None:
            return False
        found = self._groups.get(group)
        return found is not None and client in found.members

    def tsa_certificates(self, at: datetime) -> tuple[x509.Certificate, ...]:
        """The approved TSAs of all visible instances: X-Road accepts any for any signature."""
        return tuple(
            tsa.certificate for conf in self.visible(at) for tsa in conf.shared.approved_tsas
        )
