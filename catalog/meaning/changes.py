"""What differs between two states of the vocabulary, in words for the central operator."""

from collections.abc import Iterator
from datetime import date

from catalog.meaning.vocabulary import (
    EVERYWHERE,
    Authority,
    Concept,
    Labels,
    ServiceTemplate,
    Vocabulary,
)
from trust.changes import Change, changes_between

Statements = Iterator[tuple[str, str]]


def difference(before: Vocabulary, after: Vocabulary) -> tuple[Change, ...]:
    """What has to be told when `after` takes the place of `before`, in the order of names."""
    return tuple(changes_between(facts_of(before), facts_of(after)))


def facts_of(vocabulary: Vocabulary) -> dict[str, str]:
    """Everything as single statements: what it is about, and what is said about it."""
    facts: dict[str, str] = {}
    if vocabulary.territory_concept:
        facts["setting territory_concept"] = vocabulary.territory_concept
    for concept in vocabulary.concepts:
        facts.update(_concept(concept))
    facts.update(_needs(vocabulary))
    for purpose in vocabulary.purposes:
        name = f"purpose {purpose.uri}"
        facts[name] = purpose.legal_basis
        facts.update(_labels(name, purpose.labels))
    for procedure in vocabulary.procedures:
        name = f"procedure {procedure.uri}"
        facts[name] = f"purpose {procedure.purpose}"
        facts.update(_labels(name, procedure.labels))
        facts.update((f"{name} requirement {uri}", "") for uri in procedure.requirements)
        facts.update((f"{name} offered by {one.colons}", "") for one in procedure.offered_by)
    for authority in vocabulary.authorities:
        facts.update(_authority(authority))
    for template in vocabulary.templates:
        facts.update(_template(template))
    return facts


def _labels(name: str, labels: Labels) -> Statements:
    for tag, text in labels.items():
        yield f"{name} label {tag}", text


def _concept(concept: Concept) -> Statements:
    name = f"concept {concept.uri}"
    said = [concept.type.value, concept.sensitivity.value]
    if concept.identifies:
        said.append(f"identifies by {concept.identifies}")
    yield name, ", ".join(said)
    if concept.definition:
        yield f"{name} definition", concept.definition
    yield from _labels(name, concept.labels)


def _needs(vocabulary: Vocabulary) -> Statements:
    for proof in vocabulary.evidence_types:
        name = f"evidence type {proof.uri}"
        yield name, ""
        yield from _labels(name, proof.labels)
        yield from ((f"{name} concept {uri}", "") for uri in proof.concepts)
    for need in vocabulary.requirements:
        name = f"requirement {need.uri}"
        yield name, ""
        yield from _labels(name, need.labels)
        yield from ((f"{name} concept {uri}", "") for uri in need.concepts)
        yield from ((f"{name} evidence type {uri}", "") for uri in need.evidence_types)


def _authority(authority: Authority) -> Statements:
    """One statement for each concept, since at one time and place each has one authority."""
    since = f" from {authority.valid_from}" if authority.valid_from else ""
    services = ", else ".join(one.colons for one in (authority.service, *authority.alternates))
    for concept in authority.concepts:
        about = f"authority for {concept} {_where(authority.territory)}{since}"
        yield about, services + _until(authority.valid_until)


def _template(template: ServiceTemplate) -> Statements:
    name = f"template {template.uri}"
    since = f"from {template.valid_from}" if template.valid_from else ""
    said = (template.description, since, _until(template.valid_until).strip())
    yield name, ", ".join(part for part in said if part)
    yield from _labels(name, template.labels)
    yield from ((f"{name} concept {uri}", "") for uri in template.concepts)
    for one in template.instances:
        yield f"{name} instance {one.service.colons} {_where(one.territory)}", ""


def _where(territory: str) -> str:
    return "everywhere" if territory == EVERYWHERE else f"in {territory!r}"


def _until(end: date | None) -> str:
    return f" until {end}" if end else ""
