"""Which facts a procedure comes to: those of its requirements, each by one kind of evidence."""

from collections.abc import Callable
from dataclasses import dataclass

from catalog.meaning.vocabulary import EvidenceType, Procedure, Requirement, Vocabulary
from node.once.resolver.planning.reasons import Missing, Reason
from trust.ids import ClientId


@dataclass(frozen=True, slots=True)
class Needed:
    """Facts that are needed.

    Attributes:
        evidence_types: those that stand for the alternatives of the requirements.
        missing: requirements that the vocabulary does not let anybody meet, by their URI.
    """

    concepts: tuple[str, ...]
    evidence_types: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()


def needed_for(
    procedure: Procedure, vocabulary: Vocabulary, can_be_had: Callable[[str], bool]
) -> Needed:
    """The facts for all requirements, each fact once.

    Of a requirement's alternatives the first is taken that can be had whole; when none can, the
    one that most of can be had, so that what is missing is told of that one.
    """
    concepts: dict[str, None] = {}
    papers: dict[str, None] = {}
    missing: list[Missing] = []
    for uri in procedure.requirements:
        requirement = vocabulary.requirement.get(uri)
        if requirement is None:
            missing.append(Missing(uri, Reason.UNKNOWN_EVIDENCE_TYPE))
            continue
        concepts |= dict.fromkeys(requirement.concepts)
        if not requirement.evidence_types:
            continue
        chosen = _chosen(requirement, vocabulary, can_be_had)
        if chosen is None:
            missing.append(Missing(uri, Reason.UNKNOWN_EVIDENCE_TYPE))
            continue
        papers[chosen.uri] = None
        concepts |= dict.fromkeys(chosen.concepts)
    return Needed(tuple(concepts), tuple(papers), tuple(missing))


def _chosen(
    requirement: Requirement, vocabulary: Vocabulary, can_be_had: Callable[[str], bool]
) -> EvidenceType | None:
    best: EvidenceType | None = None
    most = -1.0
    for uri in requirement.evidence_types:
        paper = vocabulary.evidence_type.get(uri)
        if paper is None or not paper.concepts:
            continue
        share = sum(map(can_be_had, paper.concepts)) / len(paper.concepts)
        if share > most:
            best, most = paper, share
    return best


def is_offered(procedure: Procedure, client: ClientId) -> bool:
    """Whether a client may offer a procedure: named itself, or by its member."""
    allowed = procedure.offered_by
    return not allowed or client in allowed or client.member in allowed
