"""From a declaration to the records it stands for, by reading the files it names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trust.configuration.confparts import parse_anchor
from trust.errors import MalformedMessage
from trust.pki.certificates import der, parse_certificate
from trust.pki.profiles import PROFILES
from trust.registry.declaration import (
    AcmeDeclaration,
    CertificationServiceDeclaration,
    IntermediateDeclaration,
    MemberDeclaration,
    RegistryDeclaration,
    ServerDeclaration,
    TimeStampingServiceDeclaration,
)
from trust.registry.record_rules import MAX_PART_BYTES, problems_error, record_problems
from trust.registry.records import (
    AcmeRecord,
    AuthorityRecord,
    CertificationServiceRecord,
    FederationRecord,
    GroupRecord,
    HostedRecord,
    InstanceRecord,
    MemberClassRecord,
    MemberRecord,
    PartRecord,
    RegistryRecords,
    ResponderRecord,
    ServerRecord,
    SubsystemRecord,
    TimeStampingServiceRecord,
)
from trust.settings import Place, SettingProblem

_PROFILES_BY_SHORT_NAME = {name.rpartition(".")[2]: name for name in PROFILES}


def declaration_problems(declaration: RegistryDeclaration) -> Iterator[SettingProblem]:
    """Everything that is wrong with a declaration and the files it names."""
    files = _Files()
    records = files.records(declaration)
    yield from files.problems
    places = {problem.path for problem in files.problems}
    yield from (found for found in record_problems(records) if found.path not in places)


def load_records(declaration: RegistryDeclaration) -> RegistryRecords:
    """The records that a declaration stands for; raises ConfigurationError for a bad file."""
    files = _Files()
    records = files.records(declaration)
    if files.problems:
        raise problems_error(files.problems)
    return records


@dataclass(slots=True)
class _Files:
    """Reads what a declaration names and collects what can't be read."""

    problems: list[SettingProblem] = field(default_factory=list)

    def records(self, declaration: RegistryDeclaration) -> RegistryRecords:
        return RegistryRecords(
            instance=self._instance(declaration),
            member_classes=tuple(
                MemberClassRecord(item.code, item.description)
                for item in declaration.member_classes
            ),
            members=tuple(_member(member) for member in declaration.members),
            servers=tuple(
                self._server(server, ("servers", index))
                for index, server in enumerate(declaration.servers)
            ),
            certification_services=tuple(
                self._certification(service, ("certification_services", index))
                for index, service in enumerate(declaration.certification_services)
            ),
            time_stamping_services=tuple(
                self._time_stamping(service, ("time_stamping_services", index))
                for index, service in enumerate(declaration.time_stamping_services)
            ),
            groups=tuple(
                GroupRecord(group.code, group.description, group.members)
                for group in declaration.groups
            ),
            federation=tuple(
                self._federation(item.anchor_file, ("federation", index, "anchor_file"))
                for index, item in enumerate(declaration.federation)
            ),
            parts=tuple(
                PartRecord(p.identifier, p.file_name, self._read(p.file, ("parts", index, "file")))
                for index, p in enumerate(declaration.parts)
            ),
        )

    def _instance(self, declaration: RegistryDeclaration) -> InstanceRecord:
        management = declaration.management
        return InstanceRecord(
            instance=declaration.instance,
            ocsp_freshness=declaration.ocsp_freshness,
            time_stamping_interval=declaration.time_stamping_interval,
            registration_url=management.registration_url,
            registration_certificate=self._optional_certificate(
                management.registration_certificate_file,
                ("management", "registration_certificate_file"),
            ),
            management_provider=management.provider,
            owners_group=declaration.owners_group,
        )

    def _server(self, server: ServerDeclaration, place: Place) -> ServerRecord:
        return ServerRecord(
            id=server.id,
            address=server.address,
            auth_certificates=tuple(
                self._certificate(path, (*place, "auth_certificate_files", index))
                for index, path in enumerate(server.auth_certificate_files)
            ),
            clients=(
                *(HostedRecord(client) for client in server.clients),
                *(HostedRecord(client, enabled=False) for client in server.disabled_clients),
            ),
            maintenance=server.maintenance,
        )

    def _certification(
        self, service: CertificationServiceDeclaration, place: Place
    ) -> CertificationServiceRecord:
        return CertificationServiceRecord(
            name=service.name,
            profile=_PROFILES_BY_SHORT_NAME.get(service.profile, service.profile),
            authentication_only=service.authentication_only,
            top=self._authority(service, place),
            intermediates=tuple(
                self._authority(item, (*place, "intermediates", index))
                for index, item in enumerate(service.intermediates)
            ),
            default_csr_format=service.default_csr_format,
            acme=None if service.acme is None else _acme(service.acme),
        )

    def _authority(
        self, authority: CertificationServiceDeclaration | IntermediateDeclaration, place: Place
    ) -> AuthorityRecord:
        return AuthorityRecord(
            self._certificate(authority.certificate_file, (*place, "certificate_file")),
            tuple(
                ResponderRecord(
                    item.url,
                    self._optional_certificate(
                        item.certificate_file, (*place, "responders", index, "certificate_file")
                    ),
                    item.cost,
                )
                for index, item in enumerate(authority.responders)
            ),
        )

    def _time_stamping(
        self, service: TimeStampingServiceDeclaration, place: Place
    ) -> TimeStampingServiceRecord:
        certificate = self._certificate(service.certificate_file, (*place, "certificate_file"))
        return TimeStampingServiceRecord(service.name, service.url, certificate, service.cost)

    def _federation(self, path: Path, place: Place) -> FederationRecord:
        raw = self._read(path, place)
        try:
            return FederationRecord(parse_anchor(raw).instance, raw)
        except MalformedMessage as error:
            if raw:  # an unreadable file was complained about already
                self._complain(place, error.text, "a configuration anchor")
            return FederationRecord("", raw)

    def _optional_certificate(self, path: Path | None, place: Place) -> bytes | None:
        return None if path is None else self._certificate(path, place)

    def _certificate(self, path: Path, place: Place) -> bytes:
        data = self._read(path, place)
        if not data:
            return b""
        try:
            return der(parse_certificate(data))
        except MalformedMessage as error:
            self._complain(place, f"'{path.name}': {error.text}", "a certificate in DER or PEM")
            return b""

    def _read(self, path: Path, place: Place) -> bytes:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_PART_BYTES + 1)
        except OSError as error:
            self._complain(place, f"'{path.name}': {error.strerror}", "a readable file")
            return b""
        if not 0 < len(data) <= MAX_PART_BYTES:
            found = f"'{path.name}' of {len(data)} bytes or more"
            self._complain(place, found, f"1 to {MAX_PART_BYTES} bytes")
            return b""
        return data

    def _complain(self, place: Place, found: str, expected: str) -> None:
        self.problems.append(SettingProblem(place, found, expected))


def _member(member: MemberDeclaration) -> MemberRecord:
    return MemberRecord(
        member.member_class,
        member.code,
        member.name,
        tuple(SubsystemRecord(item.code, item.name) for item in member.subsystems),
    )


def _acme(acme: AcmeDeclaration) -> AcmeRecord:
    return AcmeRecord(
        acme.directory_url, acme.ip_address, acme.auth_profile_id, acme.sign_profile_id
    )
