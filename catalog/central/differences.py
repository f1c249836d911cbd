"""What differs between two catalogs, in words: for the history of versions.

Availability is no difference: it changes with every call. A service that came or went is told in
one line, whatever it has.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from catalog.about import About
from catalog.central.entries import Catalog, CatalogService
from catalog.mapping import EndpointMapping
from catalog.meaning.changes import facts_of
from trust.changes import Change, changes_between

MAX_TOLD = 10_000  # changes that are kept of one version
_SHOWN = 300  # characters of a text that is told


def differences(before: Catalog | None, after: Catalog) -> tuple[Change, ...]:
    """What has to be told when `after` takes the place of `before`, in the order of names."""
    old, new = _facts(before), _facts(after)
    return (
        *changes_between(old, new),
        *service_differences(() if before is None else before.services, after.services),
    )


def service_differences(
    before: Iterable[CatalogService], after: Iterable[CatalogService]
) -> tuple[Change, ...]:
    """The same for services alone."""
    old = {one.id: one for one in before}
    new = {one.id: one for one in after}
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    for facts, ours, theirs in ((first, old, new), (second, new, old)):
        for service, one in ours.items():
            facts[f"service {service.colons}"] = one.type.value
            if service in theirs and theirs[service] != one:
                facts.update(_service_facts(one))
    return tuple(changes_between(first, second))


def told(changes: Sequence[Change]) -> tuple[str, ...]:
    """The lines that are kept; beyond MAX_TOLD their number alone."""
    lines = tuple(str(change) for change in islice(changes, MAX_TOLD))
    left = len(changes) - len(lines)
    return (*lines, f"and {left} more") if left else lines


def _facts(catalog: Catalog | None) -> dict[str, str]:
    if catalog is None:
        return {}
    facts = {f"member {one.id.colons}": one.name for one in catalog.members}
    return {**facts, **facts_of(catalog.vocabulary)}


def _service_facts(service: CatalogService) -> Iterator[tuple[str, str]]:
    name = f"service {service.id.colons}"
    yield f"{name} terms", "not known to its node" if service.plain else "enforced by its node"
    unheard = service.unheard_since
    said = {
        "unheard since": "" if unheard is None else f"{unheard:%Y-%m-%d %H:%M}Z",
        "title": service.title,
        "description": service.description_digest,
        **_about(service.about),
    }
    yield from ((f"{name} {what}", _short(text)) for what, text in said.items() if text)
    yield from ((f"{name} endpoint {one}", "") for one in service.endpoints)
    for endpoint in service.mapping.endpoints:
        yield from _endpoint_facts(name, endpoint)


def _about(about: About) -> dict[str, str]:
    life = about.life
    ends = "" if life.ends is None else f" until {life.ends}"
    return {
        "about": about.description,
        "life cycle": f"{life.state}{ends}",
        "successor": life.successor,
        "contact": str(about.contact),
        "conditions": about.terms,
        "keywords": ", ".join(about.keywords),
        "territory": about.territory,
        "template": about.template,
    }


def _endpoint_facts(service: str, endpoint: EndpointMapping) -> Iterator[tuple[str, str]]:
    where = f"{endpoint.method} {endpoint.path}".strip()
    name = f"{service} {where}" if where else service
    subject = endpoint.subject
    if subject is not None:
        yield f"{name} subject", f"{subject.name} in the {subject.place}, {subject.scheme}"
    if endpoint.namespace:
        yield f"{name} namespace", endpoint.namespace
    for parameter in endpoint.parameters:
        default = "required" if parameter.default is None else f"'{parameter.default}'"
        yield f"{name} parameter {parameter.name}", f"in the {parameter.place}, {default}"
    for field in endpoint.fields:
        yield f"{name} field {field.name}", f"{field.path}, {field.type}, {field.concept or '-'}"
    for view in endpoint.views:
        rule = f"{view.rule} {view.value}".strip()
        yield f"{name} view {view.name}", f"{view.source}, {rule}, {view.concept or '-'}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
