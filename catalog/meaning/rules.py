"""What must hold for a vocabulary, found when it is declared and not when somebody is at a counter.

Source: design.md 5; CCCEV 2; CPSV-AP 3.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from catalog.meaning.authority_rules import authority_problems
from catalog.meaning.limits import (
    MOST,
    MOST_INSTANCES,
    MOST_REFERENCES,
    MOST_STATEMENTS,
    statements_in,
)
from catalog.meaning.texts import label_problems, quoted, text_problems, uri_problems
from catalog.meaning.vocabulary import Labels, Vocabulary
from trust.ids import suspicious
from trust.settings import Place, Problems, SettingProblem


class _Named(Protocol):
    @property
    def uri(self) -> str: ...
    @property
    def labels(self) -> Labels: ...


def vocabulary_problems(vocabulary: Vocabulary) -> Problems:
    """Everything that is wrong; a path names the place as in the declaration file.

    What is too large is only said to be so, and not looked into.
    """
    too_large = list(_sizes(vocabulary))
    yield from too_large
    if too_large:
        return
    yield from _names(vocabulary)
    yield from _concepts(vocabulary)
    yield from _needs(vocabulary)
    yield from _procedures(vocabulary)
    for index, authority in enumerate(vocabulary.authorities):
        place: Place = ("authorities", index, "concepts")
        yield from _references(place, authority.concepts, vocabulary.concept, "concept")
    for index, template in enumerate(vocabulary.templates):
        place = ("templates", index, "concepts")
        yield from _references(place, template.concepts, vocabulary.concept, "concept")
    yield from authority_problems(vocabulary)


def _sizes(vocabulary: Vocabulary) -> Problems:
    counts = {
        "concepts": len(vocabulary.concepts),
        "evidence_types": len(vocabulary.evidence_types),
        "requirements": len(vocabulary.requirements),
        "purposes": len(vocabulary.purposes),
        "procedures": len(vocabulary.procedures),
        "authorities": len(vocabulary.authorities),
        "templates": len(vocabulary.templates),
    }
    for kind, count in counts.items():
        if count > MOST[kind]:
            yield SettingProblem((kind,), f"{count} of them", f"at most {MOST[kind]}")
    for index, template in enumerate(vocabulary.templates):
        count = len(template.instances)
        if count > MOST_INSTANCES:
            place = ("templates", index, "instances")
            yield SettingProblem(place, f"{count} of them", f"at most {MOST_INSTANCES}")
    count = statements_in(vocabulary)
    if count > MOST_STATEMENTS:
        found = f"authorities for {count} concepts, those of templates counted for each instance"
        yield SettingProblem(("authorities",), found, f"at most {MOST_STATEMENTS}")


def _names(vocabulary: Vocabulary) -> Problems:
    """URIs and labels; a URI means one thing, whatever its kind."""
    seen: dict[str, str] = {}
    for kind, what, things in _named(vocabulary):
        for index, one in enumerate(things):
            place = (kind, index, "uri")
            yield from uri_problems(place, one.uri)
            yield from label_problems((kind, index, "labels"), one.labels)
            if one.uri in seen:
                found = f"{quoted(one.uri)} a second time"
                yield SettingProblem(place, found, f"a URI that no {seen[one.uri]} has yet")
            seen.setdefault(one.uri, what)


def _named(vocabulary: Vocabulary) -> Iterable[tuple[str, str, Sequence[_Named]]]:
    yield "concepts", "concept", vocabulary.concepts
    yield "evidence_types", "evidence type", vocabulary.evidence_types
    yield "requirements", "requirement", vocabulary.requirements
    yield "purposes", "purpose", vocabulary.purposes
    yield "procedures", "procedure", vocabulary.procedures
    yield "templates", "template", vocabulary.templates


def _concepts(vocabulary: Vocabulary) -> Problems:
    for index, concept in enumerate(vocabulary.concepts):
        yield from text_problems(("concepts", index, "definition"), concept.definition)
        if concept.identifies:
            yield from uri_problems(("concepts", index, "identifies"), concept.identifies)
    told = vocabulary.territory_concept
    if told and told not in vocabulary.concept:
        yield _unknown(("territory_concept",), told, "concept")


def _needs(vocabulary: Vocabulary) -> Problems:
    """Evidence types and requirements: what they consist of."""
    for index, proof in enumerate(vocabulary.evidence_types):
        place: Place = ("evidence_types", index, "concepts")
        yield from _some(place, proof.concepts, "concept")
        yield from _references(place, proof.concepts, vocabulary.concept, "concept")
    for index, need in enumerate(vocabulary.requirements):
        place = ("requirements", index)
        if not need.concepts and not need.evidence_types:
            yield SettingProblem(place, "no facts", "concepts, evidence_types or both")
        here = (*place, "concepts")
        yield from _references(here, need.concepts, vocabulary.concept, "concept")
        here = (*place, "evidence_types")
        known = vocabulary.evidence_type
        yield from _references(here, need.evidence_types, known, "evidence type")


def _procedures(vocabulary: Vocabulary) -> Problems:
    for index, purpose in enumerate(vocabulary.purposes):
        place: Place = ("purposes", index, "legal_basis")
        yield from text_problems(place, purpose.legal_basis)
        if not purpose.legal_basis.strip():
            yield SettingProblem(place, "no legal basis", "what allows it: an act and its article")
    for index, procedure in enumerate(vocabulary.procedures):
        place = ("procedures", index, "requirements")
        yield from _some(place, procedure.requirements, "requirement")
        known = vocabulary.requirement
        yield from _references(place, procedure.requirements, known, "requirement")
        if procedure.purpose not in vocabulary.purpose:
            yield _unknown(("procedures", index, "purpose"), procedure.purpose, "purpose")
        place = ("procedures", index, "offered_by")
        yield from _many(place, procedure.offered_by)
        for number, client in enumerate(procedure.offered_by):
            if suspicious(client.parts):
                expected = "an identifier without control characters and without any of % : ; / \\"
                yield SettingProblem((*place, number), quoted(client.colons), expected)


def _references(place: Place, uris: Sequence[str], known: Collection[str], what: str) -> Problems:
    """Each names something that is declared, and each once."""
    yield from _many(place, uris)
    for index, uri in enumerate(uris[:MOST_REFERENCES]):
        if uri not in known:
            yield _unknown((*place, index), uri, what)


def _some(place: Place, uris: Sequence[str], what: str) -> Problems:
    if not uris:
        yield SettingProblem(place, "an empty list", f"one {what} at least")


def _many(place: Place, items: Sequence[object]) -> Problems:
    if len(items) > MOST_REFERENCES:
        yield SettingProblem(place, f"{len(items)} of them", f"at most {MOST_REFERENCES}")
        return
    seen = set()
    for index, item in enumerate(items):
        if item in seen:
            yield SettingProblem((*place, index), f"{quoted(str(item))} a second time", "each once")
        seen.add(item)


def _unknown(place: Place, uri: str, what: str) -> SettingProblem:
    return SettingProblem(place, quoted(uri), f"the URI of a declared {what}")
