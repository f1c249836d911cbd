"""From rows to the vocabulary."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from catalog.central.snapshot.forms import (
    AuthorityRow,
    ConceptRow,
    EvidenceTypeRow,
    ProcedureRow,
    PurposeRow,
    RequirementRow,
    TemplateRow,
)
from catalog.central.snapshot.places import NotUnderstood, Places, same
from catalog.meaning.labels import CompactLabels
from catalog.meaning.limits import MOST_STATEMENTS, statements_in
from catalog.meaning.vocabulary import (
    Authority,
    Concept,
    EvidenceType,
    FactType,
    Procedure,
    Purpose,
    Requirement,
    Sensitivity,
    ServiceTemplate,
    TemplateInstance,
    Vocabulary,
)


class VocabularyReader:
    """Makes the parts of a vocabulary of rows.

    Attributes:
        reads: how each kind of row is read.
    """

    def __init__(self, places: Places, before: Vocabulary) -> None:
        """Read beside an earlier version."""
        self._places, self._before = places, before
        self._authorities = {one: one for one in before.authorities}
        self._tags: dict[str, str] = {}
        self.reads: dict[str, Callable[[Any], object]] = {
            "concept": self._concept,
            "evidence_type": self._evidence_type,
            "requirement": self._requirement,
            "purpose": self._purpose,
            "procedure": self._procedure,
            "authority": self._authority,
            "template": self._template,
        }

    def _labels(self, read: Sequence[str]) -> CompactLabels:
        once = self._tags.setdefault
        tags = (once(tag, tag) for tag in read[::2])
        return CompactLabels(tuple(chain.from_iterable(zip(tags, read[1::2], strict=True))))

    def _concept(self, read: ConceptRow) -> Concept:
        """One that is not understood has its place, too."""
        places, known = self._places, self._before.concept.get(read.uri)
        uri = known.uri if known else read.uri
        places.texts.append(uri)
        concept = Concept(
            uri,
            self._labels(read.labels),
            places.word(FactType, read.type, FactType.TEXT),
            read.definition,
            self._sensitivity(read.sensitivity),
            read.identifies,
        )
        return same(concept, known)

    def _sensitivity(self, word: str) -> Sensitivity:
        """One that is not known is taken for the strictest."""
        try:
            return self._places.word(Sensitivity, word, Sensitivity.PERSONAL)
        except NotUnderstood:
            self._places.left_out += 1
            return Sensitivity.SPECIAL

    def _evidence_type(self, read: EvidenceTypeRow) -> EvidenceType:
        texts, every = self._places.texts, self._places.all
        one = EvidenceType(texts[read.uri], self._labels(read.labels), every(read.concepts))
        return same(one, self._before.evidence_type.get(one.uri))

    def _requirement(self, read: RequirementRow) -> Requirement:
        texts, every = self._places.texts, self._places.all
        one = Requirement(
            texts[read.uri],
            self._labels(read.labels),
            every(read.concepts),
            every(read.evidence_types),
        )
        return same(one, self._before.requirement.get(one.uri))

    def _purpose(self, read: PurposeRow) -> Purpose:
        texts = self._places.texts
        one = Purpose(texts[read.uri], self._labels(read.labels), texts[read.legal_basis])
        return same(one, self._before.purpose.get(one.uri))

    def _procedure(self, read: ProcedureRow) -> Procedure:
        texts, clients = self._places.texts, self._places.clients
        one = Procedure(
            texts[read.uri],
            self._labels(read.labels),
            self._places.all(read.requirements),
            texts[read.purpose],
            tuple(clients[each] for each in read.offered_by),
        )
        return same(one, self._before.procedure.get(one.uri))

    def _authority(self, read: AuthorityRow) -> Authority:
        places = self._places
        authority = Authority(
            places.all(read.concepts),
            places.service(read.service),
            tuple(places.service(one) for one in read.alternates),
            places.texts[read.territory],
            places.day(read.valid_from),
            places.day(read.valid_until),
        )
        return self._authorities.get(authority, authority)

    def _template(self, read: TemplateRow) -> ServiceTemplate:
        places, texts = self._places, self._places.texts
        return ServiceTemplate(
            texts[read.uri],
            self._labels(read.labels),
            places.all(read.concepts),
            texts[read.description],
            tuple(
                TemplateInstance(places.service(service), texts[territory])
                for service, territory in read.instances
            ),
            places.day(read.valid_from),
            places.day(read.valid_until),
        )


def whole_vocabulary(found: Mapping[str, Sequence[Any]], territory_concept: str) -> Vocabulary:
    """All of it; raises ValueError for more than a vocabulary may say."""
    vocabulary = Vocabulary(
        concepts=tuple(found["concept"]),
        evidence_types=tuple(found["evidence_type"]),
        requirements=tuple(found["requirement"]),
        purposes=tuple(found["purpose"]),
        procedures=tuple(found["procedure"]),
        authorities=tuple(found["authority"]),
        templates=tuple(found["template"]),
        territory_concept=territory_concept,
    )
    if statements_in(vocabulary) > MOST_STATEMENTS:
        raise ValueError(f"it has more than {MOST_STATEMENTS} authorities")
    return vocabulary
