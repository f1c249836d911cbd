"""The central operator's records as one value: what the trust list is built from.

Records come from a declaration file (`trust.registry.declaration`) or from the database
(`trust.registry.registry`); `trust.registry.record_rules` says what must hold between them.

Source: trust.md 6, 7, 9.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from trust.ids import ClientId, ServerId


class CostType(StrEnum):
    """Whether a trust service asks money per answer; nodes may prefer the free ones."""

    FREE = "FREE"
    PAID = "PAID"
    UNDEFINED = "UNDEFINED"


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """What holds for the whole instance.

    Attributes:
        registration_certificate: TLS certificate (DER) of the registration service; nodes send
            registration requests to exactly this one.
        management_provider: who answers the management services.
        owners_group: code of the global group of all server owners, which keeps itself.
    """

    instance: str
    ocsp_freshness: timedelta
    time_stamping_interval: timedelta
    registration_url: str
    registration_certificate: bytes | None
    management_provider: ClientId
    owners_group: str = "security-server-owners"


@dataclass(frozen=True, slots=True)
class MemberClassRecord:
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class SubsystemRecord:
    code: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class MemberRecord:
    member_class: str
    code: str
    name: str
    subsystems: tuple[SubsystemRecord, ...] = ()

    def id(self, instance: str) -> ClientId:
        return ClientId(instance, self.member_class, self.code)


@dataclass(frozen=True, slots=True)
class HostedRecord:
    """A client registered at a server; a disabled one is kept and not published."""

    id: ClientId
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ServerRecord:
    id: ServerId
    address: str | None
    auth_certificates: tuple[bytes, ...]  # DER
    clients: tuple[HostedRecord, ...]  # without the owner, who always is one
    maintenance: str | None = None  # the notice, may be empty; None when not in maintenance


@dataclass(frozen=True, slots=True)
class ResponderRecord:
    url: str
    certificate: bytes | None = None
    cost: CostType = CostType.UNDEFINED


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    certificate: bytes  # DER
    responders: tuple[ResponderRecord, ...]


@dataclass(frozen=True, slots=True)
class AcmeRecord:
    directory_url: str
    ip_address: str | None = None
    auth_profile_id: str | None = None
    sign_profile_id: str | None = None


@dataclass(frozen=True, slots=True)
class CertificationServiceRecord:
    name: str
    profile: str
    authentication_only: bool
    top: AuthorityRecord
    intermediates: tuple[AuthorityRecord, ...] = ()
    default_csr_format: str | None = None
    acme: AcmeRecord | None = None


@dataclass(frozen=True, slots=True)
class TimeStampingServiceRecord:
    name: str
    url: str
    certificate: bytes  # DER
    cost: CostType = CostType.UNDEFINED


@dataclass(frozen=True, slots=True)
class GroupRecord:
    code: str
    description: str
    members: tuple[ClientId, ...]  # may be of other instances


@dataclass(frozen=True, slots=True)
class FederationRecord:
    instance: str
    anchor: bytes  # the other instance's external anchor, as the file is


@dataclass(frozen=True, slots=True)
class PartRecord:
    """An optional part of the configuration: published to the own servers, not interpreted."""

    identifier: str
    file_name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class RegistryRecords:
    """Everything the central operator decided, at one moment."""

    instance: InstanceRecord
    member_classes: tuple[MemberClassRecord, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    servers: tuple[ServerRecord, ...] = ()
    certification_services: tuple[CertificationServiceRecord, ...] = ()
    time_stamping_services: tuple[TimeStampingServiceRecord, ...] = ()
    groups: tuple[GroupRecord, ...] = ()
    federation: tuple[FederationRecord, ...] = ()
    parts: tuple[PartRecord, ...] = ()

    def clients(self) -> Iterator[ClientId]:
        """Every member and subsystem of the instance."""
        for member in self.members:
            owner = member.id(self.instance.instance)
            yield owner
            for item in member.subsystems:
                yield ClientId(owner.instance, owner.member_class, owner.member_code, item.code)
