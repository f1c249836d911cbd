"""What differs between two states of a node's services, in words for the operator."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple

from catalog.about import About, LifeCycle
from catalog.declared.term_words import words_of
from catalog.mapping import EndpointMapping
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
    yield from _about_facts(name, service.about)
    for mapped in service.mapping.endpoints:
        yield from _mapping_facts(f"{name} mapping", mapped)


def _about_facts(name: str, about: About) -> Iterator[tuple[str, str]]:
    if about.life != LifeCycle():
        ends = f", withdrawn on {about.life.ends}" if about.life.ends else ""
        successor = f", followed by {about.life.successor}" if about.life.successor else ""
        yield f"{name} life cycle", f"{about.life.state}{ends}{successor}"
    said = {
        "about": about.description,
        "contact": ", ".join(filter(None, astuple(about.contact))),
        "terms of use": about.terms,
        "keywords": ", ".join(about.keywords),
        "territory": about.territory,
        "template": about.template,
    }
    yield from ((f"{name} {what}", text) for what, text in said.items() if text)


def _mapping_facts(name: str, endpoint: EndpointMapping) -> Iterator[tuple[str, str]]:
    if endpoint.path:
        name = f"{name} {endpoint.method} {endpoint.path}"
    yield name, ""
    if (subject := endpoint.subject) is not None:
        yield f"{name} subject", f"{subject.name} in {subject.place}, {subject.scheme}"
    for parameter in endpoint.parameters:
        default = "must be given" if parameter.default is None else f"'{parameter.default}'"
        yield f"{name} parameter {parameter.name}", f"in {parameter.place}, {default}"
    for field in endpoint.fields:
        said = (field.path, field.type.value, field.concept)
        yield f"{name} field {field.name}", ", ".join(filter(None, said))
    for view in endpoint.views:
        rule = " ".join(filter(None, (view.rule.value, view.value)))
        yield f"{name} view {view.name}", ", ".join(filter(None, (view.source, rule, view.concept)))


def _right_name(client: str, right: AccessRight) -> str:
    """Everything that tells a right from others; other terms make it another right."""
    name = f"right of {right.subject} to {client}:{right.service_code} {right.endpoint}"
    terms = words_of(right.terms)
    return f"{name} ({terms})" if terms else name
