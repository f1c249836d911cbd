"""What differs between two states of the registry's records, in words for the operator."""

import hashlib
import json
from collections.abc import Iterator

from trust.changes import Change, changes_between
from trust.registry.records import (
    AuthorityRecord,
    CertificationServiceRecord,
    MemberRecord,
    RegistryRecords,
    ServerRecord,
)
from trust.settings import format_duration


def difference(before: RegistryRecords | None, after: RegistryRecords) -> tuple[Change, ...]:
    """What has to be told when `after` takes the place of `before`, in the order of names."""
    old = {} if before is None else facts_of(before)
    new = facts_of(after)
    return tuple(changes_between(old, new))


def records_digest(records: RegistryRecords) -> bytes:
    """SHA-256 over everything the records say; the same for the same facts in any order."""
    text = json.dumps(facts_of(records), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).digest()


def facts_of(records: RegistryRecords) -> dict[str, str]:
    """The records as single statements: what it is about, and what is said about it.

    Files and certificates are named by their SHA-256 digest.
    """
    facts = dict(_instance_facts(records))
    for item in records.member_classes:
        facts[f"member class {item.code}"] = item.description
    for member in records.members:
        facts.update(_member_facts(records.instance.instance, member))
    for server in records.servers:
        facts.update(_server_facts(server))
    for number, service in enumerate(records.certification_services, start=1):
        facts.update(_certification_facts(number, service))
    for number, tsa in enumerate(records.time_stamping_services, start=1):
        said = f"{number}, {tsa.name}, {tsa.cost}, certificate {_digest(tsa.certificate)}"
        facts[f"time-stamping service {tsa.url}"] = said
    for group in records.groups:
        facts[f"group {group.code}"] = group.description
        facts.update((f"group {group.code} member {_path(m.parts)}", "") for m in group.members)
    for other in records.federation:
        facts[f"federation with {other.instance}"] = f"anchor {_digest(other.anchor)}"
    for part in records.parts:
        facts[f"part {part.identifier}"] = f"{part.file_name}, {_digest(part.content)}"
    return facts


def _instance_facts(records: RegistryRecords) -> Iterator[tuple[str, str]]:
    instance = records.instance
    certificate = instance.registration_certificate
    yield "instance", instance.instance
    yield "setting ocsp_freshness", format_duration(instance.ocsp_freshness)
    yield "setting time_stamping_interval", format_duration(instance.time_stamping_interval)
    yield "setting owners_group", instance.owners_group
    yield "management registration_url", instance.registration_url
    yield "management provider", _path(instance.management_provider.parts)
    if certificate is not None:
        yield "management registration_certificate", _digest(certificate)


def _member_facts(instance: str, member: MemberRecord) -> Iterator[tuple[str, str]]:
    path = _path(member.id(instance).parts)
    yield f"member {path}", member.name
    for item in member.subsystems:
        yield f"subsystem {path}/{item.code}", item.name or ""


def _server_facts(server: ServerRecord) -> Iterator[tuple[str, str]]:
    path = _path(server.id.parts)
    maintenance = "" if server.maintenance is None else f", in maintenance: {server.maintenance}"
    yield f"server {path}", (server.address or "no address") + maintenance
    for certificate in server.auth_certificates:
        yield f"server {path} certificate {_digest(certificate)}", ""
    for hosted in server.clients:
        yield f"server {path} client {_path(hosted.id.parts)}", _on_off(hosted.enabled)


def _certification_facts(
    number: int, service: CertificationServiceRecord
) -> Iterator[tuple[str, str]]:
    name = f"certification service {service.name}"
    use = "authentication only" if service.authentication_only else "signing and authentication"
    csr_format = service.default_csr_format or "any"
    yield name, f"{number}, {service.profile}, {use}, request format {csr_format}"
    yield from _authority_facts(f"{name} top CA", service.top)
    for index, authority in enumerate(service.intermediates, start=1):
        yield from _authority_facts(f"{name} intermediate CA {index}", authority)
    if service.acme is not None:
        acme = service.acme
        said = (acme.directory_url, acme.ip_address, acme.auth_profile_id, acme.sign_profile_id)
        yield f"{name} ACME", ", ".join(item or "-" for item in said)


def _authority_facts(name: str, authority: AuthorityRecord) -> Iterator[tuple[str, str]]:
    yield name, _digest(authority.certificate)
    for index, responder in enumerate(authority.responders, start=1):
        certificate = "" if responder.certificate is None else ", " + _digest(responder.certificate)
        yield f"{name} OCSP responder {index}", f"{responder.url}, {responder.cost}{certificate}"


def _on_off(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"


def _path(parts: tuple[str, ...]) -> str:
    return "/".join(parts)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
