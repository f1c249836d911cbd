"""From the registry's records to a generation of the configuration: all versions, all signed.

A generation is made whole or not at all, and is read back before it is given out: what X-Road's
servers would refuse must fail here, where the last good generation still stands.

Source: trust.md 4, 6.2, 7.2, 8.1, 8.2.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509

from trust.configuration.confdirectory import (
    Directory,
    DirectoryEntry,
    DirectoryKey,
    build_directory,
    read_directory,
)
from trust.configuration.confparts import (
    NEWEST_VERSION,
    PRIVATE_PARAMETERS_ID,
    SHARED_PARAMETERS_ID,
    check_part,
    parse_anchor,
    parse_private_parameters,
    parse_shared_parameters,
)
from trust.configuration.confpublish import (
    as_version,
    build_private_parameters,
    build_shared_parameters,
)
from trust.digests import sha512
from trust.errors import ExchangeError, SacbeError
from trust.globalconf import (
    AcmeServer,
    ApprovedCa,
    ApprovedTsa,
    AuthorityCertificate,
    ConfigurationSource,
    GlobalGroup,
    Member,
    OcspResponder,
    PrivateParameters,
    Server,
    SharedParameters,
    Subsystem,
)
from trust.ids import ClientId, GlobalGroupId
from trust.pki.certificates import parse_certificate
from trust.registry.records import (
    AcmeRecord,
    AuthorityRecord,
    CertificationServiceRecord,
    RegistryRecords,
    ResponderRecord,
    ServerRecord,
)

Source = Literal["internal", "external"]
SOURCES: tuple[Source, ...] = ("internal", "external")
SHARED_FILE = "shared-params.xml"
PRIVATE_FILE = "private-params.xml"


class PublicationFailed(SacbeError):
    """A configuration could not be made from the records; the one before it stays."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The active key of one source, with the certificate that the anchor names (DER)."""

    key: DirectoryKey
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the configuration, before it has a place."""

    identifier: str
    file_name: str
    content: bytes = field(repr=False)

    @property
    def optional(self) -> bool:
        return self.identifier not in (SHARED_PARAMETERS_ID, PRIVATE_PARAMETERS_ID)


PartsByVersion = Mapping[int, tuple[Part, ...]]


@dataclass(frozen=True, slots=True)
class Generation:
    """One publication: what is answered on every address until the next one.

    Attributes:
        directories: signed, by source and version.
        files: the parts, by location (`/V6/20260131100000123456789/shared-params.xml`).
    """

    made_at: datetime
    expires: datetime
    directories: Mapping[tuple[Source, int], bytes] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)


def build_parts(
    records: RegistryRecords, sources: Sequence[ConfigurationSource], versions: Sequence[int]
) -> PartsByVersion:
    """The parts of every version, each read back; raises PublicationFailed."""
    try:
        shared = shared_parameters(records, sources)
        private = private_parameters(records)
        sha1 = _sha1_hashes(records)
        parts: dict[int, tuple[Part, ...]] = {}
        for version in versions:
            model = as_version(shared, version, sha1)
            main = (_shared_part(model), _private_part(private, version))
            parts[version] = (*main, *_optional_parts(records, version))
    except ExchangeError as error:
        raise PublicationFailed(f"The configuration can't be written: {error.text}") from error
    return parts


def build_generation(
    instance: str,
    parts: PartsByVersion,
    signers: Mapping[Source, Signer],
    at: datetime,
    validity: timedelta,
) -> Generation:
    """Place the parts, sign the directories and verify them; raises PublicationFailed."""
    stamp = f"{at:%Y%m%d%H%M%S}{at.microsecond * 1000:09d}"
    expires = (at + validity).replace(microsecond=0)
    directories: dict[tuple[Source, int], bytes] = {}
    files: dict[str, bytes] = {}
    for version, version_parts in parts.items():
        entries = []
        for part in version_parts:
            location = f"/V{version}/{stamp}/{part.file_name}"
            files[location] = part.content
            entries.append(_entry(instance, part, location))
        for source in SOURCES:
            chosen = tuple(e for e in entries if source == "internal" or _is_shared(e))
            directory = Directory(expires, version, chosen)
            directories[source, version] = _signed(directory, signers[source], at)
    return Generation(at, expires, directories, files)


def _signed(directory: Directory, signer: Signer, at: datetime) -> bytes:
    try:
        raw = build_directory(directory, signer.key, signer.certificate)
        found = read_directory(raw, [signer.certificate], at)
    except ExchangeError as error:
        raise PublicationFailed(f"The directory can't be signed: {error.text}") from error
    if found != directory:
        raise PublicationFailed("The directory says something else when it is read")
    return raw


def _entry(instance: str, part: Part, location: str) -> DirectoryEntry:
    name = part.file_name if part.optional else None
    return DirectoryEntry(part.identifier, instance, location, sha512(part.content), file_name=name)


def _is_shared(entry: DirectoryEntry) -> bool:
    return entry.identifier == SHARED_PARAMETERS_ID


def _shared_part(model: SharedParameters) -> Part:
    raw = build_shared_parameters(model)
    if parse_shared_parameters(raw, model.version) != model:
        raise PublicationFailed(f"Shared parameters of version {model.version} do not read back")
    return Part(SHARED_PARAMETERS_ID, SHARED_FILE, raw)


def _private_part(model: PrivateParameters, version: int) -> Part:
    raw = build_private_parameters(model)
    if parse_private_parameters(raw, version) != model:
        raise PublicationFailed(f"Private parameters of version {version} do not read back")
    return Part(PRIVATE_PARAMETERS_ID, PRIVATE_FILE, raw)


def _optional_parts(records: RegistryRecords, version: int) -> Iterator[Part]:
    for part in records.parts:
        check_part(part.identifier, part.content, version)
        yield Part(part.identifier, part.file_name, part.content)


def private_parameters(records: RegistryRecords) -> PrivateParameters:
    """What only the instance's own servers are told."""
    instance = records.instance
    certificate = instance.registration_certificate
    return PrivateParameters(
        instance=instance.instance,
        federation_anchors=tuple(parse_anchor(item.anchor) for item in records.federation),
        registration_url=instance.registration_url,
        registration_certificate=None if certificate is None else parse_certificate(certificate),
        management_provider=instance.management_provider,
        time_stamping_interval_seconds=int(instance.time_stamping_interval.total_seconds()),
    )


def shared_parameters(
    records: RegistryRecords, sources: Sequence[ConfigurationSource]
) -> SharedParameters:
    """What everybody is told, as the newest version has it."""
    instance = records.instance
    return SharedParameters(
        instance=instance.instance,
        version=NEWEST_VERSION,
        sources=tuple(sources),
        approved_cas=tuple(_approved_ca(item) for item in records.certification_services),
        approved_tsas=tuple(
            ApprovedTsa(item.name, item.url, parse_certificate(item.certificate), item.cost.value)
            for item in records.time_stamping_services
        ),
        members=tuple(_members(records)),
        servers=tuple(_server(server) for server in records.servers),
        groups=(_owners(records), *_groups(records)),
        member_classes={item.code: item.description for item in records.member_classes},
        ocsp_freshness_seconds=int(instance.ocsp_freshness.total_seconds()),
    )


def _approved_ca(service: CertificationServiceRecord) -> ApprovedCa:
    acme = service.acme
    return ApprovedCa(
        name=service.name,
        authentication_only=service.authentication_only,
        top=_authority(service.top),
        intermediates=tuple(_authority(item) for item in service.intermediates),
        profile=service.profile,
        default_csr_format=service.default_csr_format,
        acme=None if acme is None else _acme(acme),
    )


def _acme(acme: AcmeRecord) -> AcmeServer:
    return AcmeServer(
        acme.directory_url, acme.ip_address, acme.auth_profile_id, acme.sign_profile_id
    )


def _authority(authority: AuthorityRecord) -> AuthorityCertificate:
    return AuthorityCertificate(
        parse_certificate(authority.certificate),
        tuple(_responder(item) for item in authority.responders),
    )


def _responder(responder: ResponderRecord) -> OcspResponder:
    certificate: x509.Certificate | None = None
    if responder.certificate is not None:
        certificate = parse_certificate(responder.certificate)
    return OcspResponder(responder.url, certificate, responder.cost.value)


def _members(records: RegistryRecords) -> Iterator[Member]:
    for member in records.members:
        member_id = member.id(records.instance.instance)
        subsystems = (
            Subsystem(_subsystem_id(member_id, item.code), item.name) for item in member.subsystems
        )
        yield Member(member_id, member.name, tuple(subsystems))


def _subsystem_id(member: ClientId, code: str) -> ClientId:
    return ClientId(member.instance, member.member_class, member.member_code, code)


def _server(server: ServerRecord) -> Server:
    return Server(
        id=server.id,
        address=server.address,
        auth_cert_hashes=tuple(hashlib.sha256(der).digest() for der in server.auth_certificates),
        clients=tuple(hosted.id for hosted in server.clients if hosted.enabled),
        maintenance=server.maintenance,
    )


def _sha1_hashes(records: RegistryRecords) -> Mapping[bytes, bytes]:
    """Version 2 names authentication certificates by their SHA-1 digest."""
    return {
        hashlib.sha256(der).digest(): hashlib.sha1(der, usedforsecurity=False).digest()
        for server in records.servers
        for der in server.auth_certificates
    }


def _owners(records: RegistryRecords) -> GlobalGroup:
    owners = frozenset(server.id.owner for server in records.servers)
    group = GlobalGroupId(records.instance.instance, records.instance.owners_group)
    return GlobalGroup(group, "Owners of servers", owners)


def _groups(records: RegistryRecords) -> Iterator[GlobalGroup]:
    for group in records.groups:
        group_id = GlobalGroupId(records.instance.instance, group.code)
        yield GlobalGroup(group_id, group.description, frozenset(group.members))
