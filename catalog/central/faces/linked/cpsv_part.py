"""Procedures with requirements, evidence types and facts, as CPSV-AP 3 and CCCEV 2 have them."""

from rdflib import DCTERMS, RDFS, SKOS, Literal, URIRef

from catalog.central.faces.linked.agents import add_member, add_place, add_publisher
from catalog.central.faces.linked.sheet import CPSV, CV, ELI, Sheet, web_iri
from catalog.central.faces.markup import clean
from catalog.central.faces.wording import worded_label
from catalog.meaning.vocabulary import (
    Concept,
    EvidenceType,
    Labels,
    Procedure,
    Requirement,
    Sensitivity,
)

_SENSITIVITY = {
    Sensitivity.PUBLIC: "public",
    Sensitivity.PERSONAL: "personal data",
    Sensitivity.SPECIAL: "special category of personal data",
}


def add_procedures(sheet: Sheet) -> None:
    """All procedures, and everything that they rest upon."""
    vocabulary = sheet.view.catalog.vocabulary
    for concept in vocabulary.concepts:
        _add_concept(sheet, concept)
    for evidence in vocabulary.evidence_types:
        _add_evidence_type(sheet, evidence)
    for requirement in vocabulary.requirements:
        _add_requirement(sheet, requirement)
    for procedure in vocabulary.procedures:
        _add_procedure(sheet, procedure)


def _titled(
    sheet: Sheet, node: URIRef, uri: str, labels: Labels, plainly: URIRef = RDFS.label
) -> None:
    """Identifier and names: in all languages, and once without any, as CCCEV asks for."""
    sheet.identified(node, uri)
    sheet.labelled(node, DCTERMS.title, labels, uri)
    plain = worded_label(labels, (sheet.settings.language.lower(),), uri).text
    sheet.add(node, plainly, Literal(clean(plain)))


def _add_concept(sheet: Sheet, concept: Concept) -> None:
    node = sheet.kinds(sheet.concept(concept.uri), CV.InformationConcept, SKOS.Concept)
    _titled(sheet, node, concept.uri, concept.labels, SKOS.prefLabel)
    if concept.definition:
        sheet.add(node, DCTERMS.description, Literal(clean(concept.definition)))
    sheet.add(node, CV.expressionOfExpectedValue, Literal(concept.type.value))
    kind = sheet.ours(f"sensitivities/{concept.sensitivity.value}")
    sheet.add(node, DCTERMS.type, sheet.word(kind, _SENSITIVITY[concept.sensitivity]))


def _add_evidence_type(sheet: Sheet, evidence: EvidenceType) -> None:
    node = sheet.kinds(sheet.named(evidence.uri, "evidence-types"), CV.EvidenceType)
    _titled(sheet, node, evidence.uri, evidence.labels)
    for concept in evidence.concepts:
        sheet.add(node, DCTERMS.subject, sheet.concept(concept))


def _add_requirement(sheet: Sheet, requirement: Requirement) -> None:
    node = sheet.kinds(
        sheet.named(requirement.uri, "requirements"), CV.Requirement, CV.InformationRequirement
    )
    _titled(sheet, node, requirement.uri, requirement.labels)
    known = sheet.view.catalog.vocabulary
    for concept in requirement.concepts:
        if concept in known.concept:
            sheet.add(node, CV.hasConcept, sheet.concept(concept))
    # Lists are alternatives to each other; each of ours has one evidence type.
    for at, uri in enumerate(requirement.evidence_types):
        if uri in known.evidence_type:
            alternative = sheet.kinds(URIRef(f"{node}#evidence-{at}"), CV.EvidenceTypeList)
            sheet.identified(alternative, f"{requirement.uri}#evidence-{at}")
            evidence = sheet.named(uri, "evidence-types")
            sheet.add(alternative, CV.specifiesEvidenceType, evidence)
            sheet.add(node, CV.hasEvidenceTypeList, alternative)


def _add_procedure(sheet: Sheet, procedure: Procedure) -> None:
    vocabulary = sheet.view.catalog.vocabulary
    node = sheet.kinds(sheet.named(procedure.uri, "procedures"), CPSV.PublicService)
    sheet.identified(node, procedure.uri)
    sheet.labelled(node, DCTERMS.title, procedure.labels, procedure.uri)
    sheet.labelled(node, DCTERMS.description, procedure.labels, procedure.uri)
    sheet.add(node, DCTERMS.spatial, add_place(sheet, ""))
    offering = [add_member(sheet, one) for one in procedure.offered_by]
    for agent in offering or [add_publisher(sheet)]:
        sheet.add(node, CV.hasCompetentAuthority, agent)
    for uri in procedure.requirements:
        requirement = vocabulary.requirement.get(uri)
        if requirement is not None:
            sheet.add(node, CV.holdsRequirement, sheet.named(uri, "requirements"))
            for evidence in requirement.evidence_types:
                if evidence in vocabulary.evidence_type:
                    sheet.add(node, CV.hasInputType, sheet.named(evidence, "evidence-types"))
    purpose = vocabulary.purpose.get(procedure.purpose)
    if purpose is not None:
        sheet.add(
            node, CV.hasLegalResource, _add_legal_basis(sheet, purpose.uri, purpose.legal_basis)
        )


def _add_legal_basis(sheet: Sheet, purpose: str, basis: str) -> URIRef:
    """The law behind a purpose, by its own address where it is told by that."""
    node = web_iri(basis) or URIRef(f"{sheet.named(purpose, 'purposes')}#legal-basis")
    sheet.kinds(node, ELI.LegalResource)
    sheet.add(node, DCTERMS.title, sheet.words(basis))
    return node
