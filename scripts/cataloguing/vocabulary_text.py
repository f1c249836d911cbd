"""A vocabulary as text for a person."""

from collections.abc import Iterable, Iterator
from datetime import date

from catalog.meaning.vocabulary import (
    EVERYWHERE,
    Authority,
    Labels,
    Procedure,
    Requirement,
    ServiceTemplate,
    Vocabulary,
)
from catalog.meaning.words import label_of

_INDENT = "    "


def vocabulary_lines(vocabulary: Vocabulary, language: str) -> Iterator[str]:
    """Everything that is said, by kinds; facts are named by their labels in this language."""
    yield from _Teller(vocabulary, language).lines()


class _Teller:
    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        self.vocabulary = vocabulary
        self.language = language

    def lines(self) -> Iterator[str]:
        told = self.vocabulary
        yield from _section("Concepts", self._concepts())
        yield from _section(
            "Evidence types",
            (
                f"{self._name(one.labels)}  <{one.uri}>: {self._facts(one.concepts)}"
                for one in told.evidence_types
            ),
        )
        yield from _section("Requirements", map(self._requirement, told.requirements))
        yield from _section(
            "Purposes",
            (f"{self._name(one.labels)}  <{one.uri}>: {one.legal_basis}" for one in told.purposes),
        )
        yield from _section("Procedures", map(self._procedure, told.procedures))
        yield from _section("Authorities", map(self._authority, told.authorities))
        for template in told.templates:
            yield from self._template(template)

    def _concepts(self) -> Iterator[str]:
        for one in self.vocabulary.concepts:
            said = [one.type.value, one.sensitivity.value]
            if one.identifies:
                said.append(f"identifies by {one.identifies}")
            if one.uri == self.vocabulary.territory_concept:
                said.append("tells the territory")
            yield f"{self._name(one.labels)}  <{one.uri}>: {', '.join(said)}"

    def _requirement(self, one: Requirement) -> str:
        known = self.vocabulary.evidence_type
        proofs = [self._name(known[uri].labels) for uri in one.evidence_types if uri in known]
        needs = [self._facts(one.concepts)] if one.concepts else []
        needs += [" or ".join(proofs)] if proofs else []
        return f"{self._name(one.labels)}  <{one.uri}>: {'; '.join(needs)}"

    def _procedure(self, one: Procedure) -> str:
        known = self.vocabulary.requirement
        needs = [self._name(known[uri].labels) for uri in one.requirements if uri in known]
        by = ", ".join(client.colons for client in one.offered_by) or "everybody"
        told = f"{self._name(one.labels)}  <{one.uri}>: {', '.join(needs)}"
        return f"{told}; for {one.purpose}; asked by {by}"

    def _authority(self, one: Authority) -> str:
        services = ", else ".join(each.colons for each in (one.service, *one.alternates))
        when = _when(one.valid_from, one.valid_until)
        return f"{services}  {_where(one.territory)}{when}: {self._facts(one.concepts)}"

    def _template(self, one: ServiceTemplate) -> Iterator[str]:
        when = _when(one.valid_from, one.valid_until)
        title = f"{self._name(one.labels)}  <{one.uri}>{when}: {self._facts(one.concepts)}"
        instances = (f"{each.service.colons}  {_where(each.territory)}" for each in one.instances)
        yield from _section(f"Template {title}", instances)

    def _facts(self, concepts: Iterable[str]) -> str:
        known = self.vocabulary.concept
        names = (self._name(known[uri].labels) if uri in known else uri for uri in concepts)
        return ", ".join(names) or "no facts"

    def _name(self, labels: Labels) -> str:
        return label_of(labels, self.language)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    told = [_INDENT + line for line in lines]
    yield f"{title} ({len(told)})"
    yield from told


def _where(territory: str) -> str:
    return "everywhere" if territory == EVERYWHERE else f"in {territory}"


def _when(begins: date | None, ends: date | None) -> str:
    since = f" from {begins}" if begins else ""
    return since + (f" until {ends}" if ends else "")
