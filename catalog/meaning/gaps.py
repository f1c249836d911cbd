"""What a vocabulary leaves open: allowed, since registries join one by one, and worth a word."""

from collections.abc import Iterable, Iterator
from datetime import date

from catalog.meaning.texts import quoted
from catalog.meaning.vocabulary import Requirement, Vocabulary
from trust.settings import SettingProblem

_SHOWN = 3  # facts that one sentence names


def vocabulary_gaps(vocabulary: Vocabulary, day: date) -> Iterator[SettingProblem]:
    """Requirements of procedures that nobody can meet on this day or later, each at its place.

    A fact counts as known when it has an authority in some territory. Of the alternatives of a
    requirement one that is whole is enough.
    """
    known = {
        concept
        for concept, authorities in vocabulary.authorities_of.items()
        if any(one.valid_until is None or day < one.valid_until for one in authorities)
    }
    for index, procedure in enumerate(vocabulary.procedures):
        for number, uri in enumerate(procedure.requirements):
            requirement = vocabulary.requirement.get(uri)
            open_facts = () if requirement is None else _open(requirement, vocabulary, known)
            if open_facts:
                place = ("procedures", index, "requirements", number)
                found = f"{quoted(uri)}, which needs {_some_of(open_facts)}"
                yield SettingProblem(place, found, "an authority for each, which there is not")


def _open(requirement: Requirement, vocabulary: Vocabulary, known: set[str]) -> tuple[str, ...]:
    """The facts that stand in the way, of the alternative with the fewest of them."""
    single = [concept for concept in requirement.concepts if concept not in known]
    proofs = [
        [concept for concept in proof.concepts if concept not in known]
        for proof in map(vocabulary.evidence_type.get, requirement.evidence_types)
        if proof is not None
    ]
    return tuple(dict.fromkeys([*single, *min(proofs, key=len, default=[])]))


def _some_of(facts: Iterable[str]) -> str:
    named = list(facts)
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return ", ".join(named[:_SHOWN]) + more
