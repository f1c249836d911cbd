"""Write the parts of a global configuration: values to the XML that X-Road's servers read.

What is written follows the same tables that are used for reading, so a newer element never gets
into an older version. `as_version` says what an older version can carry of a configuration.

Source: trust.md 6.1, 6.2; X-Road 7.8 SharedParametersV2…V6ToXmlConverter.java.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trust.configuration.confparts import NEWEST_VERSION, OLDEST_VERSION
from trust.configuration.confschema import (
    ANCHOR,
    FETCH_INTERVAL,
    MONITORING,
    NEXT_UPDATE,
    OBJECT_TYPE_NAME,
    PRIVATE_PARAMETERS,
    SHARED_PARAMETERS,
    identifier_name,
)
from trust.configuration.confstructure import Record, malformed, write_structure
from trust.configuration.conftypes import Value
from trust.globalconf import (
    AcmeServer,
    Anchor,
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
)
from trust.ids import ClientId

SOURCES_SINCE = 3
ACME_SINCE = 3
ACME_PROFILES_SINCE = 4
NAMES_SINCE = 5
MAINTENANCE_SINCE = 5
COSTS_SINCE = 6
_HASH_BYTES = {2: 20}  # SHA-1; SHA-256 in every later version


def as_version(
    parameters: SharedParameters, version: int, sha1_hashes: Mapping[bytes, bytes] | None = None
) -> SharedParameters:
    """What a version can carry of newer parameters, with the replacements old readers need.

    Before version 5 a server in maintenance loses its subsystems, so that old nodes find no
    address. Version 2 names authentication certificates by SHA-1.

    Args:
        sha1_hashes: for version 2, the SHA-1 digest of a certificate by its SHA-256 digest;
            certificates without one are left out.
    """
    _check_version(version)
    return replace(
        parameters,
        version=version,
        sources=parameters.sources if version >= SOURCES_SINCE else (),
        approved_cas=tuple(_ca_as_version(ca, version) for ca in parameters.approved_cas),
        approved_tsas=tuple(
            tsa if version >= COSTS_SINCE else replace(tsa, cost_type=None)
            for tsa in parameters.approved_tsas
        ),
        members=tuple(_member_as_version(member, version) for member in parameters.members),
        servers=tuple(
            _server_as_version(server, version, sha1_hashes or {}) for server in parameters.servers
        ),
    )


def _check_version(version: int) -> None:
    if not OLDEST_VERSION <= version <= NEWEST_VERSION:
        raise malformed(0, f"configuration version {version} can't be written")


def _ca_as_version(ca: ApprovedCa, version: int) -> ApprovedCa:
    if version >= COSTS_SINCE:
        return ca
    acme = ca.acme if version >= ACME_SINCE else None
    if acme is not None and version < ACME_PROFILES_SINCE:
        acme = replace(acme, auth_profile_id=None, sign_profile_id=None)
    return replace(
        ca,
        top=_without_costs(ca.top),
        intermediates=tuple(_without_costs(authority) for authority in ca.intermediates),
        default_csr_format=None,
        acme=acme,
    )


def _without_costs(authority: AuthorityCertificate) -> AuthorityCertificate:
    responders = tuple(replace(responder, cost_type=None) for responder in authority.responders)
    return replace(authority, responders=responders)


def _member_as_version(member: Member, version: int) -> Member:
    if version >= NAMES_SINCE:
        return member
    subsystems = tuple(replace(subsystem, name=None) for subsystem in member.subsystems)
    return replace(member, subsystems=subsystems)


def _server_as_version(server: Server, version: int, sha1: Mapping[bytes, bytes]) -> Server:
    if version < MAINTENANCE_SINCE and server.maintenance is not None:
        members = tuple(client for client in server.clients if client.subsystem_code is None)
        server = replace(server, clients=members, maintenance=None)
    if version == OLDEST_VERSION:
        hashes = tuple(sha1[known] for known in server.auth_cert_hashes if known in sha1)
        server = replace(server, auth_cert_hashes=hashes)
    return server


def build_shared_parameters(parameters: SharedParameters) -> bytes:
    """Write `shared-params.xml` of the version that the parameters say.

    Raises MalformedMessage for a version without what it requires (a source from 3 on), for a
    digest of the wrong length, and for a client that is no member or subsystem of the instance.
    """
    _check_version(parameters.version)
    identities = _identities(parameters.members)
    classes = parameters.member_classes
    record = Record(
        {
            "instanceIdentifier": [parameters.instance],
            "source": [_source(source) for source in parameters.sources],
            "approvedCA": [_approved_ca(ca) for ca in parameters.approved_cas],
            "approvedTSA": [_approved_tsa(tsa) for tsa in parameters.approved_tsas],
            "member": [_member(member, classes, identities) for member in parameters.members],
            "securityServer": [
                _server(server, parameters.version, identities) for server in parameters.servers
            ],
            "globalGroup": [_group(group) for group in parameters.groups],
            "globalSettings": [
                Record(
                    {
                        "memberClass": [_member_class(code, classes) for code in classes],
                        "ocspFreshnessSeconds": [parameters.ocsp_freshness_seconds],
                    }
                )
            ],
        }
    )
    return write_structure("conf", SHARED_PARAMETERS, record, parameters.version)


def build_private_parameters(parameters: PrivateParameters) -> bytes:
    """Write `private-params.xml`; the same bytes serve every version."""
    service = Record(
        {
            "authCertRegServiceAddress": [parameters.registration_url],
            "authCertRegServiceCert": _ders([parameters.registration_certificate]),
            "managementRequestServiceProviderId": [_client_id(parameters.management_provider)],
        }
    )
    record = Record(
        {
            "instanceIdentifier": [parameters.instance],
            "configurationAnchor": [_anchor(anchor) for anchor in parameters.federation_anchors],
            "managementService": [service],
            "timeStampingIntervalSeconds": [parameters.time_stamping_interval_seconds],
        }
    )
    return write_structure("conf", PRIVATE_PARAMETERS, record, OLDEST_VERSION)


def build_anchor(anchor: Anchor) -> bytes:
    """Write an anchor; real servers need `generated_at` and an `http://` source in it."""
    return write_structure("configurationAnchor", ANCHOR, _anchor(anchor), OLDEST_VERSION)


def build_monitoring(client: ClientId | None) -> bytes:
    clients = [] if client is None else [_client_id(client)]
    record = Record({"monitoringClient": [Record({"monitoringClientId": clients})]})
    return write_structure("conf", MONITORING, record, OLDEST_VERSION)


def build_fetch_interval(seconds: int) -> bytes:
    record = Record({"ocspFetchInterval": [seconds]})
    return write_structure("conf", FETCH_INTERVAL, record, OLDEST_VERSION)


def build_next_update(verify: bool) -> bytes:
    record = Record({"verifyNextUpdate": [verify]})
    return write_structure("conf", NEXT_UPDATE, record, OLDEST_VERSION)


def _maybe(value: Value | None) -> Sequence[Value]:
    return [] if value is None else [value]


def _ders(certificates: Iterable[x509.Certificate | None]) -> Sequence[bytes]:
    return [item.public_bytes(Encoding.DER) for item in certificates if item is not None]


def _client_id(client: ClientId) -> Record:
    names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
    parts = dict(zip(names, client.parts, strict=False))
    return Record(
        {identifier_name(name): [part] for name, part in parts.items()},
        {OBJECT_TYPE_NAME: client.object_type.value},
    )


def _source(source: ConfigurationSource) -> Record:
    return Record(
        {
            "address": [source.address],
            "internalVerificationCert": source.internal_certificates,
            "externalVerificationCert": source.external_certificates,
        }
    )


def _approved_ca(ca: ApprovedCa) -> Record:
    return Record(
        {
            "name": [ca.name],
            "authenticationOnly": [ca.authentication_only],
            "topCA": [_authority(ca.top)],
            "intermediateCA": [_authority(authority) for authority in ca.intermediates],
            "certificateProfileInfo": [ca.profile],
            "defaultCsrFormat": _maybe(ca.default_csr_format),
            "acmeServer": [] if ca.acme is None else [_acme(ca.acme)],
        }
    )


def _authority(authority: AuthorityCertificate) -> Record:
    return Record(
        {
            "cert": _ders([authority.certificate]),
            "ocsp": [_responder(responder) for responder in authority.responders],
        }
    )


def _responder(responder: OcspResponder) -> Record:
    return Record(
        {
            "url": [responder.url],
            "cert": _ders([responder.certificate]),
            "costType": _maybe(responder.cost_type),
        }
    )


def _acme(acme: AcmeServer) -> Record:
    return Record(
        {
            "directoryURL": [acme.directory_url],
            "ipAddress": _maybe(acme.ip_address),
            "authenticationCertificateProfileId": _maybe(acme.auth_profile_id),
            "signingCertificateProfileId": _maybe(acme.sign_profile_id),
        }
    )


def _approved_tsa(tsa: ApprovedTsa) -> Record:
    return Record(
        {
            "name": [tsa.name],
            "url": [tsa.url],
            "cert": _ders([tsa.certificate]),
            "costType": _maybe(tsa.cost_type),
        }
    )


def _identities(members: Iterable[Member]) -> Mapping[ClientId, str]:
    """The XML ids: `id0`, `id1`, … over members and their subsystems."""
    numbers = count()
    return {client: f"id{next(numbers)}" for client in _clients(members)}


def _clients(members: Iterable[Member]) -> Iterator[ClientId]:
    for member in members:
        yield member.id
        yield from (subsystem.id for subsystem in member.subsystems)


def _member_class(code: str, classes: Mapping[str, str]) -> Record:
    return Record({"code": [code], "description": [classes.get(code, code)]})


def _member(
    member: Member, classes: Mapping[str, str], identities: Mapping[ClientId, str]
) -> Record:
    subsystems = [
        Record(
            {
                "subsystemCode": _maybe(subsystem.id.subsystem_code),
                "subsystemName": _maybe(subsystem.name),
            },
            {"id": identities[subsystem.id]},
        )
        for subsystem in member.subsystems
    ]
    return Record(
        {
            "memberClass": [_member_class(member.id.member_class, classes)],
            "memberCode": [member.id.member_code],
            "name": [member.name],
            "subsystem": subsystems,
        },
        {"id": identities[member.id]},
    )


def _server(server: Server, version: int, identities: Mapping[ClientId, str]) -> Record:
    length = _HASH_BYTES.get(version, 32)
    if any(len(known) != length for known in server.auth_cert_hashes):
        raise malformed(0, f"version {version} needs certificate digests of {length} bytes")
    unknown = {server.id.owner, *server.clients} - identities.keys()
    if unknown:
        raise malformed(0, f"{min(unknown)} at {server.id} is no member or subsystem")
    maintenance = []
    if server.maintenance is not None:
        maintenance = [Record({"message": _maybe(server.maintenance or None)})]
    return Record(
        {
            "owner": [identities[server.id.owner]],
            "serverCode": [server.id.server_code],
            "address": _maybe(server.address),
            "authCertHash": server.auth_cert_hashes,
            "client": [identities[client] for client in server.clients],
            "inMaintenanceMode": maintenance,
        }
    )


def _group(group: GlobalGroup) -> Record:
    return Record(
        {
            "groupCode": [group.id.group_code],
            "description": [group.description],
            "groupMember": [_client_id(member) for member in sorted(group.members, key=_order)],
        }
    )


def _order(client: ClientId) -> tuple[str, ...]:
    return client.parts


def _anchor(anchor: Anchor) -> Record:
    return Record(
        {
            "generatedAt": _maybe(anchor.generated_at),
            "instanceIdentifier": [anchor.instance],
            "source": [
                Record(
                    {
                        "downloadURL": [source.download_url],
                        "verificationCert": source.certificates,
                    }
                )
                for source in anchor.sources
            ],
        }
    )
