"""What must hold between the registry's records before a trust list is made of them.

A real server that meets a reference into nothing, two CAs of one name or a certificate profile it
does not know fails in the middle of somebody's exchange; here it fails on the operator's desk.

Source: trust.md 6.3, 7.1, 9.1, 9.3, 16.1.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from trust.configuration.confparts import NEWEST_VERSION, check_part, parse_anchor
from trust.errors import ConfigurationError, ConfigurationProblem, MalformedMessage
from trust.ids import MAX_PART_LENGTH, ClientId, suspicious
from trust.names import subject_name
from trust.pki.certificates import is_auth_certificate, parse_certificate
from trust.pki.profiles import PROFILES
from trust.registry.records import (
    AuthorityRecord,
    CertificationServiceRecord,
    RegistryRecords,
    ServerRecord,
)
from trust.settings import Place, Problems, SettingProblem, format_duration

RESERVED_PARTS = frozenset(("SHARED-PARAMETERS", "PRIVATE-PARAMETERS"))
RESERVED_FILES = frozenset(("shared-params.xml", "private-params.xml"))
MAX_PART_BYTES = 1 << 20


_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PART_IDENTIFIER = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,99}")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


def record_problems(records: RegistryRecords) -> Problems:
    """Everything that is wrong; a path names the place as in the declaration file."""
    yield from _instance(records)
    yield from _member_classes(records)
    yield from _members(records)
    yield from _servers(records)
    yield from _certification_services(records)
    yield from _time_stamping_services(records)
    yield from _groups(records)
    yield from _federation(records)
    yield from part_problems(records)


def problems_error(problems: Iterable[SettingProblem]) -> ConfigurationError:
    """The problems as one error, where no file with lines is at hand: the place is a path."""
    return ConfigurationError(
        [
            ConfigurationProblem(
                ".".join(map(str, problem.path)), 0, problem.found, problem.expected
            )
            for problem in problems
        ]
    )


def _instance(records: RegistryRecords) -> Problems:
    instance = records.instance
    if not _INSTANCE.fullmatch(instance.instance):
        expected = "1 to 50 letters, digits and ._- (it becomes the name of folders)"
        yield SettingProblem(("instance",), f"'{instance.instance}'", expected)
    yield from _code(("owners_group",), instance.owners_group)
    if instance.time_stamping_interval >= instance.ocsp_freshness:
        yield SettingProblem(
            ("time_stamping_interval",),
            format_duration(instance.time_stamping_interval),
            f"less than ocsp_freshness ({format_duration(instance.ocsp_freshness)})",
        )
    for name in ("ocsp_freshness", "time_stamping_interval"):
        if getattr(instance, name) % timedelta(seconds=1):
            yield SettingProblem((name,), "a fraction of a second", "whole seconds")
    place: Place = ("management", "registration_url")
    yield from _url(place, instance.registration_url, ("https",))
    if instance.registration_certificate is not None:
        place = ("management", "registration_certificate_file")
        yield from _certificate(place, instance.registration_certificate)
    if instance.management_provider not in set(records.clients()):
        place = ("management", "provider")
        yield _unknown(place, instance.management_provider)


def _member_classes(records: RegistryRecords) -> Problems:
    codes = [item.code for item in records.member_classes]
    yield from _twice("member_classes", "code", codes)
    for index, code in enumerate(codes):
        yield from _code(("member_classes", index, "code"), code)


def _members(records: RegistryRecords) -> Problems:
    classes = {item.code for item in records.member_classes}
    ids = [f"{member.member_class}/{member.code}" for member in records.members]
    yield from _twice("members", "code", ids)
    for index, member in enumerate(records.members):
        place: Place = ("members", index)
        yield from _code((*place, "code"), member.code)
        if member.member_class not in classes:
            found = f"member class '{member.member_class}'"
            yield SettingProblem((*place, "member_class"), found, _one_of(classes))
        codes = [subsystem.code for subsystem in member.subsystems]
        yield from _twice((*place, "subsystems"), "code", codes)
        for number, code in enumerate(codes):
            yield from _code((*place, "subsystems", number, "code"), code)


def _servers(records: RegistryRecords) -> Problems:
    yield from _twice("servers", "id", [server.id for server in records.servers])
    clients = set(records.clients())
    owners: dict[bytes, str] = {}
    for index, server in enumerate(records.servers):
        place: Place = ("servers", index)
        yield from _code((*place, "id"), server.id.server_code)
        if server.id.owner not in clients:
            yield _unknown((*place, "id"), server.id.owner)
        if server.address is not None and not _HOST.fullmatch(server.address):
            found = f"'{server.address}'"
            yield SettingProblem((*place, "address"), found, "a host name or an IP address")
        yield from _hosted(place, server, clients)
        yield from _auth_certificates(place, server, owners)


def _hosted(place: Place, server: ServerRecord, clients: set[ClientId]) -> Problems:
    ids = [hosted.id for hosted in server.clients]
    yield from _twice((*place, "clients"), None, ids)
    for number, client in enumerate(ids):
        if client not in clients:
            yield _unknown((*place, "clients", number), client)
        elif client == server.id.owner:
            found = f"{client}, the owner of the server"
            yield SettingProblem((*place, "clients", number), found, "other clients only")


def _auth_certificates(place: Place, server: ServerRecord, owners: dict[bytes, str]) -> Problems:
    for number, certificate in enumerate(server.auth_certificates):
        where = (*place, "auth_certificate_files", number)
        wrong = list(_certificate(where, certificate))
        yield from wrong
        if not wrong and not is_auth_certificate(parse_certificate(certificate)):
            found = "a certificate for another use"
            yield SettingProblem(where, found, "one for authentication (digitalSignature)")
        if certificate in owners:
            found = f"a certificate that {owners[certificate]} has already"
            yield SettingProblem(where, found, "a certificate of its own")
        owners[certificate] = str(server.id)


def _certification_services(records: RegistryRecords) -> Problems:
    services = records.certification_services
    yield from _twice("certification_services", "name", [service.name for service in services])
    names: set[bytes] = set()
    for index, service in enumerate(services):
        place: Place = ("certification_services", index)
        if service.profile not in PROFILES:
            expected = _one_of(PROFILES)
            yield SettingProblem((*place, "profile"), f"'{service.profile}'", expected)
        if service.acme is not None:
            url = service.acme.directory_url
            yield from _url((*place, "acme", "directory_url"), url, ("https", "http"))
        yield from _authorities(place, service, names)


def _authorities(place: Place, service: CertificationServiceRecord, names: set[bytes]) -> Problems:
    yield from _authority(place, service.top, names)
    for number, authority in enumerate(service.intermediates):
        yield from _authority((*place, "intermediates", number), authority, names)


def _authority(place: Place, authority: AuthorityRecord, names: set[bytes]) -> Problems:
    where = (*place, "certificate_file")
    wrong = list(_certificate(where, authority.certificate))
    yield from wrong
    if not wrong:
        subject = subject_name(parse_certificate(authority.certificate))
        if subject.public_bytes() in names:
            found = f"a second CA named '{subject.rfc4514_string()}'"
            yield SettingProblem(where, found, "a name of its own, by which CAs are found")
        names.add(subject.public_bytes())
    for number, responder in enumerate(authority.responders):
        at = (*place, "responders", number)
        yield from _url((*at, "url"), responder.url, ("http", "https"))
        if responder.certificate is not None:
            yield from _certificate((*at, "certificate_file"), responder.certificate)


def _time_stamping_services(records: RegistryRecords) -> Problems:
    services = records.time_stamping_services
    yield from _twice("time_stamping_services", "url", [service.url for service in services])
    for index, service in enumerate(services):
        place: Place = ("time_stamping_services", index)
        yield from _url((*place, "url"), service.url, ("http", "https"))
        yield from _certificate((*place, "certificate_file"), service.certificate)


def _groups(records: RegistryRecords) -> Problems:
    clients = set(records.clients())
    yield from _twice("groups", "code", [group.code for group in records.groups])
    for index, group in enumerate(records.groups):
        place: Place = ("groups", index)
        yield from _code((*place, "code"), group.code)
        if group.code == records.instance.owners_group:
            expected = "another code; this group is kept by the registry itself"
            yield SettingProblem((*place, "code"), f"'{group.code}'", expected)
        yield from _twice((*place, "members"), None, list(group.members))
        for number, member in enumerate(group.members):
            if member.instance == records.instance.instance and member not in clients:
                yield _unknown((*place, "members", number), member)


def _federation(records: RegistryRecords) -> Problems:
    names = [record.instance for record in records.federation]
    yield from _twice("federation", "anchor_file", names)
    for index, record in enumerate(records.federation):
        place = ("federation", index, "anchor_file")
        if record.instance == records.instance.instance:
            yield SettingProblem(place, "the anchor of this instance", "one of another instance")
        try:
            anchored = parse_anchor(record.anchor).instance
        except MalformedMessage as error:
            yield SettingProblem(place, error.text, "a configuration anchor")
            continue
        if anchored != record.instance:
            yield SettingProblem(place, f"an anchor of '{anchored}'", f"one of '{record.instance}'")


def part_problems(records: RegistryRecords) -> Problems:
    """What is wrong with the optional parts."""
    yield from _twice("parts", "identifier", [part.identifier for part in records.parts])
    yield from _twice("parts", "file_name", [part.file_name for part in records.parts])
    for index, part in enumerate(records.parts):
        place: Place = ("parts", index)
        if part.identifier in RESERVED_PARTS or not _PART_IDENTIFIER.fullmatch(part.identifier):
            expected = "an identifier of its own, in capital letters"
            yield SettingProblem((*place, "identifier"), f"'{part.identifier}'", expected)
        if part.file_name in RESERVED_FILES or not _FILE_NAME.fullmatch(part.file_name):
            expected = "a file name of its own, of letters, digits and ._-"
            yield SettingProblem((*place, "file_name"), f"'{part.file_name}'", expected)
        if len(part.content) > MAX_PART_BYTES:
            found = f"{len(part.content)} bytes"
            yield SettingProblem((*place, "file"), found, f"at most {MAX_PART_BYTES} bytes")
            continue
        try:
            check_part(part.identifier, part.content, NEWEST_VERSION)
        except MalformedMessage as error:
            yield SettingProblem((*place, "file"), error.text, f"a part {part.identifier}")


def _twice(place: str | Place, key: str | None, names: Sequence[object]) -> Problems:
    """Complain about every name that stands in a list a second time."""
    seen = set()
    start: Place = (place,) if isinstance(place, str) else place
    for index, name in enumerate(names):
        if name in seen:
            where = (*start, index) if key is None else (*start, index, key)
            yield SettingProblem(where, f"'{name}' a second time", "each one once")
        seen.add(name)


def _code(place: Place, code: str) -> Problems:
    if not code.strip() or len(code) > MAX_PART_LENGTH:
        yield SettingProblem(place, f"{len(code)} characters", f"1 to {MAX_PART_LENGTH}")
    elif suspicious((code,)):
        expected = "no colon, semicolon, slash, backslash, percent sign or control character"
        yield SettingProblem(place, repr(code), expected)


def _url(place: Place, url: str, schemes: Sequence[str]) -> Problems:
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\x00-\x20\x7f]", url):
        yield SettingProblem(place, repr(url), "an address such as " + schemes[0] + "://host/path")


def _certificate(place: Place, certificate: bytes) -> Problems:
    try:
        parse_certificate(certificate)
    except MalformedMessage as error:
        yield SettingProblem(place, error.text, "a certificate in DER or PEM")


def _unknown(place: Place, client: ClientId) -> SettingProblem:
    return SettingProblem(place, f"{client}, which is not registered", "a registered client")


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(sorted(names))
