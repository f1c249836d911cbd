"""Read the parts of a global configuration: bytes to the values of `trust.globalconf`.

Every reader raises MalformedMessage with the line and what was expected there; the code is
`malformed_global_conf`, for an anchor `malformed_anchor`. Certificates of authorities must be
readable, since X-Road can't use an instance with one that is not; those that only sign
configurations stay bytes.

Source: trust.md 2, 6, 7; X-Road 7.8 SharedParametersV2…V6Converter.java,
PrivateParametersV2/V3Converter.java, SharedParametersCache.java.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cryptography import x509
from lxml import etree

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
from trust.configuration.confstructure import (
    MALFORMED,
    Record,
    Structure,
    malformed,
    read_structure,
    short,
)
from trust.errors import MalformedMessage
from trust.globalconf import (
    AcmeServer,
    Anchor,
    AnchorSource,
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
from trust.ids import (
    MAX_PART_LENGTH,
    XROAD_NAMESPACE,
    ClientId,
    GlobalGroupId,
    ObjectType,
    ServerId,
)
from trust.pki.certificates import parse_certificate
from trust.xmlbytes import parse_xml

OLDEST_VERSION = 2
NEWEST_VERSION = 6
SHARED_PARAMETERS_ID = "SHARED-PARAMETERS"
PRIVATE_PARAMETERS_ID = "PRIVATE-PARAMETERS"
MONITORING_ID = "MONITORING"
FETCH_INTERVAL_ID = "FETCHINTERVAL"
NEXT_UPDATE_ID = "NEXTUPDATE"

_TELLING = {
    "monitoringClient": MONITORING_ID,
    "ocspFetchInterval": FETCH_INTERVAL_ID,
    "verifyNextUpdate": NEXT_UPDATE_ID,
    "managementService": PRIVATE_PARAMETERS_ID,
}

MAX_PART_BYTES = 32 * 1024 * 1024
MAX_ANCHOR_BYTES = 1024 * 1024
MAX_ELEMENTS = 1_500_000
SHORTEST_FETCH_INTERVAL_SECONDS = 60


def parse_shared_parameters(raw: bytes, version: int) -> SharedParameters:
    """Read `shared-params.xml` by the schema of a version, 2 to 6."""
    record = _read(raw, "conf", SHARED_PARAMETERS, version)
    instance = _instance(record)
    members = _Members(instance)
    for member in record.records("member"):
        members.add(member)
    settings = _required(record, "globalSettings")
    return SharedParameters(
        instance=instance,
        version=version,
        sources=tuple(_source(source) for source in record.records("source")),
        approved_cas=tuple(_approved_ca(ca) for ca in record.records("approvedCA")),
        approved_tsas=tuple(_approved_tsa(tsa) for tsa in record.records("approvedTSA")),
        members=tuple(members.members),
        servers=tuple(_server(server, members) for server in record.records("securityServer")),
        groups=tuple(_group(group, instance) for group in record.records("globalGroup")),
        member_classes={
            item.text("code"): item.text("description") for item in settings.records("memberClass")
        },
        ocsp_freshness_seconds=settings.number("ocspFreshnessSeconds"),
    )


def parse_private_parameters(raw: bytes, version: int) -> PrivateParameters:
    """Read `private-params.xml`; there are schemas for version 2 and for 3 and later."""
    record = _read(raw, "conf", PRIVATE_PARAMETERS, version)
    service = _required(record, "managementService")
    certificates = service.datas("authCertRegServiceCert")
    return PrivateParameters(
        instance=_instance(record),
        federation_anchors=tuple(_anchor(item) for item in record.records("configurationAnchor")),
        registration_url=service.text("authCertRegServiceAddress"),
        registration_certificate=(
            _certificate(certificates[0], service.line) if certificates else None
        ),
        management_provider=_client_id(_required(service, "managementRequestServiceProviderId")),
        time_stamping_interval_seconds=record.number("timeStampingIntervalSeconds"),
    )


def parse_anchor(raw: bytes) -> Anchor:
    """Read a configuration anchor; raises MalformedMessage with code `malformed_anchor`."""
    try:
        if len(raw) > MAX_ANCHOR_BYTES:
            raise malformed(0, f"an anchor is larger than {MAX_ANCHOR_BYTES} bytes")
        return _anchor(_read(raw, "configurationAnchor", ANCHOR, OLDEST_VERSION))
    except MalformedMessage as error:
        raise MalformedMessage(error.text, "malformed_anchor") from error


def anchor_fingerprint(raw: bytes) -> str:
    """The digest by which administrators compare anchor files: SHA-224 over the bytes."""
    return hashlib.sha224(raw).digest().hex(":").upper()


def parse_monitoring(raw: bytes) -> ClientId | None:
    """Who may ask for environment data, or None for nobody."""
    client = _required(_read(raw, "conf", MONITORING, OLDEST_VERSION), "monitoringClient")
    found = client.record("monitoringClientId")
    return None if found is None else _client_id(found)


def parse_fetch_interval(raw: bytes) -> int:
    """Seconds between two OCSP fetches, at least 60."""
    record = _read(raw, "conf", FETCH_INTERVAL, OLDEST_VERSION)
    return max(SHORTEST_FETCH_INTERVAL_SECONDS, record.number("ocspFetchInterval"))


def parse_next_update(raw: bytes) -> bool:
    """Whether the nextUpdate of an OCSP response is verified."""
    return _read(raw, "conf", NEXT_UPDATE, OLDEST_VERSION).truth("verifyNextUpdate")


def part_identifier(raw: bytes) -> str | None:
    """Which part a document is, by its elements; None for one that is not a part (an anchor).

    Raises MalformedMessage for what is no XML.
    """
    root = _root(raw)
    if root.tag != f"{{{XROAD_NAMESPACE}}}conf":
        return None
    names = {child.tag for child in root}
    for name, identifier in _TELLING.items():
        if name in names:
            return identifier
    return SHARED_PARAMETERS_ID


def check_part(identifier: str, raw: bytes, version: int) -> None:
    """Check any part by its identifier; parts that we do not know pass."""
    readers: dict[str, Callable[[], object]] = {
        SHARED_PARAMETERS_ID: lambda: parse_shared_parameters(raw, version),
        PRIVATE_PARAMETERS_ID: lambda: parse_private_parameters(raw, version),
        MONITORING_ID: lambda: parse_monitoring(raw),
        FETCH_INTERVAL_ID: lambda: parse_fetch_interval(raw),
        NEXT_UPDATE_ID: lambda: parse_next_update(raw),
    }
    if identifier in readers:
        readers[identifier]()


def _read(raw: bytes, name: str, structure: Structure, version: int) -> Record:
    if not OLDEST_VERSION <= version <= NEWEST_VERSION:
        known = f"versions {OLDEST_VERSION} to {NEWEST_VERSION} are known"
        raise malformed(0, f"configuration version {version} is not supported: {known}")
    root = _root(raw)
    if root.tag != f"{{{XROAD_NAMESPACE}}}{name}":
        found = short(str(root.tag))
        raise malformed(root.sourceline or 0, f"the root element is '{found}', expected '{name}'")
    return read_structure(root, structure, version)


def _root(raw: bytes) -> etree._Element:
    try:
        return parse_xml(
            raw,
            max_bytes=MAX_PART_BYTES,
            max_tags=2 * MAX_ELEMENTS,
            max_equals=2 * MAX_ELEMENTS,
            what="the configuration part",
        )
    except MalformedMessage as error:
        raise MalformedMessage(error.text, MALFORMED) from error


@contextmanager
def _at_line(line: int) -> Iterator[None]:
    """Turn a defect of a value (identifier, certificate) into one of the configuration."""
    try:
        yield
    except MalformedMessage as error:
        raise malformed(line, error.text) from error


def _required(record: Record, name: str) -> Record:
    """A child that the table requires."""
    return record.records(name)[0]


def _instance(record: Record) -> str:
    name = record.text("instanceIdentifier")
    if not name.strip() or len(name) > MAX_PART_LENGTH:
        limit = f"1 to {MAX_PART_LENGTH} characters"
        raise malformed(record.line, f"'instanceIdentifier' must have {limit}")
    return name


def _certificate(data: bytes, line: int) -> x509.Certificate:
    with _at_line(line):
        return parse_certificate(data)


def _client_id(record: Record) -> ClientId:
    """An identifier element; MEMBER has no subsystem code, SUBSYSTEM has one."""
    subsystem = record.optional(identifier_name("subsystemCode"))
    kind = record.attribute(OBJECT_TYPE_NAME)
    expected = ObjectType.MEMBER if subsystem is None else ObjectType.SUBSYSTEM
    if kind != expected:
        raise malformed(record.line, f"the identifier says {kind}, its elements say {expected}")
    with _at_line(record.line):
        return ClientId(
            record.text(identifier_name("xRoadInstance")),
            record.text(identifier_name("memberClass")),
            record.text(identifier_name("memberCode")),
            subsystem,
        )


def _source(record: Record) -> ConfigurationSource:
    return ConfigurationSource(
        record.text("address"),
        record.datas("internalVerificationCert"),
        record.datas("externalVerificationCert"),
    )


def _authority(record: Record) -> AuthorityCertificate:
    return AuthorityCertificate(
        _certificate(record.datas("cert")[0], record.line),
        tuple(_responder(ocsp) for ocsp in record.records("ocsp")),
    )


def _responder(record: Record) -> OcspResponder:
    certificates = record.datas("cert")
    certificate = _certificate(certificates[0], record.line) if certificates else None
    return OcspResponder(record.text("url"), certificate, record.optional("costType"))


def _approved_ca(record: Record) -> ApprovedCa:
    acme = record.record("acmeServer")
    return ApprovedCa(
        name=record.text("name"),
        authentication_only=record.truth("authenticationOnly"),
        top=_authority(_required(record, "topCA")),
        intermediates=tuple(_authority(ca) for ca in record.records("intermediateCA")),
        profile=record.text("certificateProfileInfo"),
        default_csr_format=record.optional("defaultCsrFormat"),
        acme=None if acme is None else _acme(acme),
    )


def _acme(record: Record) -> AcmeServer:
    return AcmeServer(
        record.text("directoryURL"),
        record.optional("ipAddress"),
        record.optional("authenticationCertificateProfileId"),
        record.optional("signingCertificateProfileId"),
    )


def _approved_tsa(record: Record) -> ApprovedTsa:
    return ApprovedTsa(
        record.text("name"),
        record.text("url"),
        _certificate(record.datas("cert")[0], record.line),
        record.optional("costType"),
    )


@dataclass(slots=True)
class _Members:
    """The members read so far, and whom each XML id stands for."""

    instance: str
    members: list[Member] = field(default_factory=list)
    by_id: dict[str, ClientId] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        member_class = _required(record, "memberClass").text("code")
        with _at_line(record.line):
            client = ClientId(self.instance, member_class, record.text("memberCode"))
        self._name(record, client)
        subsystems = tuple(self._subsystem(item, client) for item in record.records("subsystem"))
        self.members.append(Member(client, record.text("name"), subsystems))

    def _subsystem(self, record: Record, member: ClientId) -> Subsystem:
        code = record.text("subsystemCode")
        with _at_line(record.line):
            client = ClientId(member.instance, member.member_class, member.member_code, code)
        self._name(record, client)
        return Subsystem(client, record.optional("subsystemName"))

    def _name(self, record: Record, client: ClientId) -> None:
        name = record.attribute("id")
        if name is not None:
            if name in self.by_id:
                raise malformed(record.line, f"the id '{name}' is used twice")
            self.by_id[name] = client

    def client(self, name: str, line: int) -> ClientId:
        if name not in self.by_id:
            raise malformed(line, f"no member or subsystem has the id '{name}'")
        return self.by_id[name]


def _server(record: Record, members: _Members) -> Server:
    owner = members.client(record.text("owner"), record.line)
    maintenance = record.record("inMaintenanceMode")
    with _at_line(record.line):
        server = ServerId(owner, record.text("serverCode"))
    return Server(
        id=server,
        address=record.optional("address") or None,
        auth_cert_hashes=record.datas("authCertHash"),
        clients=tuple(members.client(name, record.line) for name in record.texts("client")),
        maintenance=None if maintenance is None else maintenance.optional("message") or "",
    )


def _group(record: Record, instance: str) -> GlobalGroup:
    with _at_line(record.line):
        group = GlobalGroupId(instance, record.text("groupCode"))
    members = frozenset(_group_members(record))
    return GlobalGroup(group, record.text("description"), members)


def _group_members(record: Record) -> Iterator[ClientId]:
    """Members whose type and elements contradict each other are nobody, as they are for X-Road.

    Its own test configurations have such members (vectors dirs/globalconf_good_v2 and others).
    """
    for member in record.records("groupMember"):
        with suppress(MalformedMessage):
            yield _client_id(member)


def _anchor(record: Record) -> Anchor:
    return Anchor(
        _instance(record),
        tuple(
            AnchorSource(source.text("downloadURL"), source.datas("verificationCert"))
            for source in record.records("source")
        ),
        record.time("generatedAt"),
    )
