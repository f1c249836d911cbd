"""Which facts of a procedure can be had, from whom, and what is in the way of the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from catalog.central.entries import CatalogService
from catalog.central.faces.view import CatalogView
from catalog.meaning.vocabulary import Authority, EvidenceType, Procedure, Requirement
from trust.ids import ServiceId


class Lack(StrEnum):
    """Why a source can't be asked."""

    NO_AUTHORITY = "no service is the authority for it"
    NOT_LISTED = "its service is not in the catalog"
    NOT_USABLE = "its service is a draft or was withdrawn"
    NO_FIELD = "its service does not say where the fact stands in its answers"


@dataclass(frozen=True, slots=True)
class Source:
    """A service that counts for a fact, in a territory.

    Attributes:
        lack: why it can't be asked; None when it can.
    """

    id: ServiceId
    authority: Authority
    service: CatalogService | None
    lack: Lack | None


@dataclass(frozen=True, slots=True)
class FactSources:
    """A fact, and those who count for it on a day."""

    concept: str
    sources: tuple[Source, ...]

    @property
    def can_be_had(self) -> bool:
        return any(source.lack is None for source in self.sources)


@dataclass(frozen=True, slots=True)
class Proof:
    """An evidence type, which is one of several ways to meet a requirement."""

    evidence_type: EvidenceType
    facts: tuple[FactSources, ...]

    @property
    def can_be_had(self) -> bool:
        return all(fact.can_be_had for fact in self.facts)


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement: its single facts, all needed, and alternatives, one of which is needed."""

    requirement: Requirement
    facts: tuple[FactSources, ...]
    proofs: tuple[Proof, ...]

    @property
    def can_be_met(self) -> bool:
        proved = not self.proofs or any(proof.can_be_had for proof in self.proofs)
        return proved and all(fact.can_be_had for fact in self.facts)

    @property
    def missing(self) -> tuple[FactSources, ...]:
        """The facts that stand in the way, each once."""
        if self.can_be_met:
            return ()
        single = [fact for fact in self.facts if not fact.can_be_had]
        if not any(proof.can_be_had for proof in self.proofs):
            single += [one for proof in self.proofs for one in proof.facts if not one.can_be_had]
        return tuple({one.concept: one for one in single}.values())


def needs_of(view: CatalogView, procedure: Procedure, day: date) -> tuple[Need, ...]:
    """The requirements of a procedure as they can be met on a day."""
    known = view.catalog.vocabulary.requirement
    return tuple(_need(view, known[uri], day) for uri in procedure.requirements if uri in known)


def _need(view: CatalogView, requirement: Requirement, day: date) -> Need:
    known = view.catalog.vocabulary.evidence_type
    proofs = [known[uri] for uri in requirement.evidence_types if uri in known]
    return Need(
        requirement,
        _facts(view, requirement.concepts, day),
        tuple(Proof(one, _facts(view, one.concepts, day)) for one in proofs),
    )


def _facts(view: CatalogView, concepts: Iterable[str], day: date) -> tuple[FactSources, ...]:
    return tuple(FactSources(concept, sources_of(view, concept, day)) for concept in concepts)


def sources_of(view: CatalogView, concept: str, day: date) -> tuple[Source, ...]:
    """Who counts for a fact on a day: authorities first, each with its alternates behind it."""
    having = {service.id for service in view.services_with.get(concept, ())}
    found = []
    for authority in view.catalog.vocabulary.authorities_of.get(concept, ()):
        if authority.holds(day):
            for service in (authority.service, *authority.alternates):
                known = view.catalog.service.get(service)
                found.append(Source(service, authority, known, _lack(known, having, day)))
    return tuple(found)


def _lack(service: CatalogService | None, having: set[ServiceId], day: date) -> Lack | None:
    if service is None:
        return Lack.NOT_LISTED
    if not service.about.life.usable(day):
        return Lack.NOT_USABLE
    return None if service.id in having else Lack.NO_FIELD
