"""The words of once-only: facts, what proves them, who needs them and who is the authority.

All of it is decided by the central operator, kept with its history in the registry, and shipped to
every node with the catalog. URIs name everything, so that other catalogs can mean the same.

Source: design.md 5; CCCEV 2 (concept, evidence type, requirement), CPSV-AP 3 (public service),
BRegDCAT-AP 2 (base registry); the EU's evidence broker and data service directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property

from catalog.grouping import grouped
from trust.ids import ClientId, ServiceId

Labels = Mapping[str, str]  # text by language tag (`en`, `es`)

EVERYWHERE = ""  # the territory of an authority for the whole instance


class FactType(StrEnum):
    """What the value of a fact looks like in JSON."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    RECORD = "record"  # an object or a list, taken as a whole


class Sensitivity(StrEnum):
    PUBLIC = "public"
    PERSONAL = "personal"
    SPECIAL = "special"  # the special categories of GDPR article 9


@dataclass(frozen=True, slots=True)
class Concept:
    """A fact as such.

    Attributes:
        identifies: the scheme of identifiers that the value belongs to, for a concept that names
            the same subject in another registry; empty for all others.
    """

    uri: str
    labels: Labels
    type: FactType = FactType.TEXT
    definition: str = ""
    sensitivity: Sensitivity = Sensitivity.PERSONAL
    identifies: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceType:
    """A set of facts that proves something together: what used to be one paper."""

    uri: str
    labels: Labels
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a procedure must know.

    Attributes:
        concepts: single facts; all of them are needed.
        evidence_types: alternatives; the facts of one of them are needed.
    """

    uri: str
    labels: Labels
    concepts: tuple[str, ...] = ()
    evidence_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Purpose:
    """What facts may be asked for; a purpose without a legal basis is refused."""

    uri: str
    labels: Labels
    legal_basis: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """A public service, and what it must know.

    Attributes:
        purpose: URI of the one purpose that its questions have.
        offered_by: who may ask for it; empty for everybody.
    """

    uri: str
    labels: Labels
    requirements: tuple[str, ...]
    purpose: str
    offered_by: tuple[ClientId, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """The service whose values for some concepts count, in a territory and for a time.

    Attributes:
        alternates: services that have the same facts, asked in this order when it does not answer.
        territory: code of the territory; EVERYWHERE for all that no other authority has.
        valid_until: the first day on which it is no authority any more.
    """

    concepts: tuple[str, ...]
    service: ServiceId
    alternates: tuple[ServiceId, ...] = ()
    territory: str = EVERYWHERE
    valid_from: date | None = None
    valid_until: date | None = None

    def holds(self, day: date) -> bool:
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_until is None or day < self.valid_until)


@dataclass(frozen=True, slots=True)
class TemplateInstance:
    """A service that does what a template says, for one territory."""

    service: ServiceId
    territory: str = EVERYWHERE


@dataclass(frozen=True, slots=True)
class ServiceTemplate:
    """One description for a service that many members offer alike.

    Attributes:
        concepts: what its instances are the authority for, each in its territory; an instance's
            own mapping says where they stand.
        description: address of the common OpenAPI description or WSDL, for people.
    """

    uri: str
    labels: Labels
    concepts: tuple[str, ...] = ()
    description: str = ""
    instances: tuple[TemplateInstance, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None


@dataclass(frozen=True)
class Vocabulary:
    """Everything that the central operator said at one moment.

    Attributes:
        territory_concept: URI of the fact that tells in which territory a subject is at home;
            empty when there is none.
    """

    concepts: tuple[Concept, ...] = ()
    evidence_types: tuple[EvidenceType, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    authorities: tuple[Authority, ...] = ()
    templates: tuple[ServiceTemplate, ...] = ()
    territory_concept: str = ""

    @cached_property
    def concept(self) -> Mapping[str, Concept]:
        """Concepts by URI."""
        return {one.uri: one for one in self.concepts}

    @cached_property
    def evidence_type(self) -> Mapping[str, EvidenceType]:
        return {one.uri: one for one in self.evidence_types}

    @cached_property
    def requirement(self) -> Mapping[str, Requirement]:
        return {one.uri: one for one in self.requirements}

    @cached_property
    def purpose(self) -> Mapping[str, Purpose]:
        return {one.uri: one for one in self.purposes}

    @cached_property
    def procedure(self) -> Mapping[str, Procedure]:
        return {one.uri: one for one in self.procedures}

    @cached_property
    def authorities_of(self) -> Mapping[str, tuple[Authority, ...]]:
        """Authorities by concept URI, those that templates bring included."""
        alone = ((one,) for one in (*self.authorities, *self._of_templates()))
        return grouped((concept, one) for one in alone for concept in one[0].concepts)

    def _of_templates(self) -> tuple[Authority, ...]:
        return tuple(
            Authority(
                template.concepts,
                instance.service,
                territory=instance.territory,
                valid_from=template.valid_from,
                valid_until=template.valid_until,
            )
            for template in self.templates
            for instance in template.instances
        )


NO_VOCABULARY = Vocabulary()
