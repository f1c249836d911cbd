"""From the vocabulary to rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct

from catalog.central.snapshot.forms import (
    AuthorityRow,
    ConceptRow,
    EvidenceTypeRow,
    ProcedureRow,
    PurposeRow,
    RequirementRow,
    TemplateRow,
)
from catalog.central.snapshot.placing import Placing
from catalog.meaning.vocabulary import (
    Authority,
    Concept,
    EvidenceType,
    Labels,
    Procedure,
    Purpose,
    Requirement,
    ServiceTemplate,
    Vocabulary,
)


def concept_rows(vocabulary: Vocabulary) -> Iterator[tuple[str, Struct]]:
    """They name nothing by its place."""
    return (("concept", _concept(one)) for one in vocabulary.concepts)


def _concept(one: Concept) -> ConceptRow:
    labels = _labels(one.labels)
    return ConceptRow(one.uri, labels, one.type, one.definition, one.sensitivity, one.identifies)


def _labels(labels: Labels) -> tuple[str, ...]:
    return tuple(text for pair in labels.items() for text in pair)


@dataclass(slots=True)
class VocabularyWriter:
    """Makes rows of a vocabulary."""

    placing: Placing

    def rows(self, vocabulary: Vocabulary) -> Iterator[tuple[str, Struct]]:
        """Kind and row of each of its parts but concepts."""
        yield from (("evidence_type", self._evidence(one)) for one in vocabulary.evidence_types)
        yield from (("requirement", self._requirement(one)) for one in vocabulary.requirements)
        yield from (("purpose", self._purpose(one)) for one in vocabulary.purposes)
        yield from (("procedure", self._procedure(one)) for one in vocabulary.procedures)
        yield from (("authority", self._authority(one)) for one in vocabulary.authorities)
        yield from (("template", self._template(one)) for one in vocabulary.templates)

    def _evidence(self, one: EvidenceType) -> EvidenceTypeRow:
        every = self.placing.all
        return EvidenceTypeRow(self.placing.text(one.uri), _labels(one.labels), every(one.concepts))

    def _requirement(self, one: Requirement) -> RequirementRow:
        every = self.placing.all
        return RequirementRow(
            self.placing.text(one.uri),
            _labels(one.labels),
            every(one.concepts),
            every(one.evidence_types),
        )

    def _purpose(self, one: Purpose) -> PurposeRow:
        text = self.placing.text
        return PurposeRow(text(one.uri), _labels(one.labels), text(one.legal_basis))

    def _procedure(self, one: Procedure) -> ProcedureRow:
        text = self.placing.text
        return ProcedureRow(
            text(one.uri),
            _labels(one.labels),
            self.placing.all(one.requirements),
            text(one.purpose),
            tuple(self.placing.client(client) for client in one.offered_by),
        )

    def _authority(self, one: Authority) -> AuthorityRow:
        placing = self.placing
        return AuthorityRow(
            placing.all(one.concepts),
            placing.service(one.service),
            tuple(placing.service(service) for service in one.alternates),
            placing.text(one.territory),
            placing.day(one.valid_from),
            placing.day(one.valid_until),
        )

    def _template(self, one: ServiceTemplate) -> TemplateRow:
        placing = self.placing
        return TemplateRow(
            placing.text(one.uri),
            _labels(one.labels),
            placing.all(one.concepts),
            placing.text(one.description),
            tuple(
                (placing.service(each.service), placing.text(each.territory))
                for each in one.instances
            ),
            placing.day(one.valid_from),
            placing.day(one.valid_until),
        )
