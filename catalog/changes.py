"""What differs between two states of a node's services, in words for the operator."""

import hashlib
from collections.abc import Iterable, Iterator

from catalog.services import AccessRight, HostedClient, Service
from trust.changes import Change, changes_between
from trust.settings import format_duration


def difference(before: Iterable[HostedClient], after: Iterable[HostedClient]) -> tuple[Change, ...]:
    """What has to be told when `after` takes the place of `before`, in the order of names."""
    old, new = facts_of(before), facts_of(after)
    return tuple(changes_between(old, new))


def facts_of(clients: Iterable[HostedClient]) -> dict[str, str]:
    """Single statements: what it is about, and what is said; certificates by their SHA-256."""
    facts: dict[str, str] = {}
    for client in clients:
        name = client.id.colons
        facts[f"client {name}"] = ", ".join(
            (
                client.status,
                client.connection,
                *(f"repairs {one}" for one in sorted(client.repairs)),
            )
        )
        for certificate in client.certificates:
            facts[f"client {name} certificate {hashlib.sha256(certificate).hexdigest()}"] = ""
        for group in client.local_groups:
            facts[f"client {name} local group {group.code}"] = group.description
            for member in group.members:
                facts[f"client {name} local group {group.code} member {member.colons}"] = ""
        for service in client.services:
            facts.update(_service_facts(service))
        facts.update((_right_name(name, right), "") for right in client.rights)
    return facts


def _service_facts(service: Service) -> Iterator[tuple[str, str]]:
    name = f"service {service.id.colons}"
    said = [service.type.value, service.url or "no address", format_duration(service.timeout)]
    if not service.verify_tls:
        said.append("TLS certificate not verified")
    if service.description_url:
        said.append(f"described by {service.description_url}")
    if service.title:
        said.append(f"title {service.title}")
    if service.repair_headers:
        said.append("headers repaired")
    if service.notice is not None:
        said.append(f"disabled: {service.notice}")
    yield name, ", ".join(said)
    for endpoint in service.endpoints:
        yield f"{name} endpoint {endpoint}", ""


def _right_name(client: str, right: AccessRight) -> str:
    return f"right of {right.subject} to {client}:{right.service_code} {right.endpoint}"
