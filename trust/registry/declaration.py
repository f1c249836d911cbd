"""What the central operator writes down: `instance.toml`.

Certificates are files, in DER or PEM, named relative to the folder of the declaration;
`trust.registry.declaration_files` reads them.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from trust.ids import ClientId, ServerId
from trust.registry.records import CostType
from trust.settings import Bounds, required, setting

Freshness = Annotated[timedelta, Bounds(timedelta(minutes=2), timedelta(days=7))]
StampingInterval = Annotated[timedelta, Bounds(timedelta(minutes=1), timedelta(days=1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementDeclaration:
    """Where nodes register."""

    registration_url: str = required(
        "address of the registration service",
        example="https://registry.example.org:4001/managementservice/",
    )
    registration_certificate_file: Path | None = setting(
        None, "TLS certificate of that service; nodes accept exactly this one"
    )
    provider: ClientId = required(
        "subsystem that answers the management services", example="EX:GOV:1000:MANAGEMENT"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberClassDeclaration:
    code: str = required("code", example="GOV")
    description: str = required("what it stands for", example="Public sector")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsystemDeclaration:
    code: str = required("code", example="persons")
    name: str | None = setting(None, "name for people", example="Civil register")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDeclaration:
    """An institution and the parts of its systems that talk."""

    member_class: str = required("code of its class", example="GOV")
    code: str = required("its code, unique in the class", example="1000")
    name: str = required("its name", example="Registry Authority")
    subsystems: tuple[SubsystemDeclaration, ...] = setting((), "its subsystems")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDeclaration:
    """A node: where it is, how it identifies itself, whom it speaks for."""

    id: ServerId = required("owner and code", example="EX:GOV:1000:NODE1")
    address: str | None = setting(None, "host name or IP address", example="node.example.org")
    auth_certificate_files: tuple[Path, ...] = setting(
        (), "its TLS certificates", example=["node1-auth.pem"]
    )
    clients: tuple[ClientId, ...] = setting(
        (), "members and subsystems it hosts besides its owner", example=["EX:GOV:1000:persons"]
    )
    disabled_clients: tuple[ClientId, ...] = setting((), "hosted, but not published for now")
    maintenance: str | None = setting(
        None, "notice while it is in maintenance; may be empty", example="Back at noon"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponderDeclaration:
    url: str = required("address", example="http://ocsp.example.org/")
    certificate_file: Path | None = setting(
        None, "its certificate, unless the CA issued it for OCSP signing"
    )
    cost: CostType = setting(CostType.UNDEFINED, "whether an answer costs money")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntermediateDeclaration:
    certificate_file: Path = required("its certificate", example="issuing-ca.pem")
    responders: tuple[ResponderDeclaration, ...] = setting((), "OCSP responders that speak for it")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeDeclaration:
    directory_url: str = required("directory", example="https://acme.example.org/directory")
    ip_address: str | None = setting(None, "where its challenges come from")
    auth_profile_id: str | None = setting(None, "profile for authentication certificates")
    sign_profile_id: str | None = setting(None, "profile for signing certificates")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationServiceDeclaration:
    """A CA whose certificates count in this instance."""

    name: str = required("name for people", example="Example Root CA")
    profile: str = setting(
        "BasicCertificateProfileInfoProvider",
        "how member identifiers stand in its certificates: a class name of X-Road",
    )
    authentication_only: bool = setting(False, "whether its certificates may not sign messages")
    certificate_file: Path = required("certificate of the top CA", example="root-ca.pem")
    responders: tuple[ResponderDeclaration, ...] = setting((), "OCSP responders of the top CA")
    intermediates: tuple[IntermediateDeclaration, ...] = setting((), "CAs below the top CA")
    default_csr_format: Literal["PEM", "DER"] | None = setting(
        None, "form in which it takes certificate requests"
    )
    acme: AcmeDeclaration | None = setting(None, "where it issues certificates by itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStampingServiceDeclaration:
    name: str = required("name for people", example="Example TSA")
    url: str = required("address", example="http://tsa.example.org/")
    certificate_file: Path = required("its certificate", example="tsa.pem")
    cost: CostType = setting(CostType.UNDEFINED, "whether a time-stamp costs money")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDeclaration:
    code: str = required("code", example="municipalities")
    description: str = required("whom it unites", example="All municipalities")
    members: tuple[ClientId, ...] = setting(
        (), "members and subsystems, of any instance", example=["EX:GOV:1000:persons"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationDeclaration:
    anchor_file: Path = required("external anchor of the other instance", example="peer.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDeclaration:
    """A file that every own node gets with the configuration."""

    identifier: str = required("content identifier, in capital letters", example="NEXTUPDATE")
    file_name: str = required("name on the nodes' disks", example="nextupdate-params.xml")
    file: Path = required("the file", example="nextupdate-params.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryDeclaration:
    """What the central operator decided about the instance; taken over by `registry apply`."""

    instance: str = required("identifier of the instance; never changes", example="EX")
    ocsp_freshness: Freshness = setting(
        timedelta(hours=1), "how old an OCSP response may be when a message is judged"
    )
    time_stamping_interval: StampingInterval = setting(
        timedelta(minutes=1), "how often nodes time-stamp their logs; less than ocsp_freshness"
    )
    owners_group: str = setting(
        "security-server-owners", "code of the group of all server owners, which keeps itself"
    )
    management: ManagementDeclaration = required("where nodes register")
    member_classes: tuple[MemberClassDeclaration, ...] = setting((), "kinds of members")
    members: tuple[MemberDeclaration, ...] = setting((), "institutions")
    servers: tuple[ServerDeclaration, ...] = setting((), "nodes")
    certification_services: tuple[CertificationServiceDeclaration, ...] = setting(
        (), "approved CAs"
    )
    time_stamping_services: tuple[TimeStampingServiceDeclaration, ...] = setting(
        (), "approved TSAs"
    )
    groups: tuple[GroupDeclaration, ...] = setting((), "global groups")
    federation: tuple[FederationDeclaration, ...] = setting((), "other instances")
    parts: tuple[PartDeclaration, ...] = setting((), "optional parts of the configuration")
