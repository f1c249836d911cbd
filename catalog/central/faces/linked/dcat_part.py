"""The catalog, its services and the data of its registers, as DCAT-AP 3 has them."""

from collections.abc import Iterable

from rdflib import DCAT, DCTERMS, FOAF, OWL, RDFS, SKOS, XSD, Literal, URIRef

from catalog.about import About, LifeState
from catalog.central.entries import CatalogService
from catalog.central.faces.linked.agents import add_contact, add_member, add_place, add_publisher
from catalog.central.faces.linked.sheet import ACCESS, ADMS, STATUS, Sheet, web_iri
from catalog.central.faces.markup import clean
from catalog.central.faces.view import title_of
from catalog.meaning.vocabulary import Authority, Concept
from catalog.services import ServiceType

_PROTOCOLS = {
    ServiceType.WSDL: (
        "https://docs.x-road.global/Protocols/pr-mess_x-road_message_protocol.html",
        "X-Road: Message Protocol v4.0",
    ),
    ServiceType.REST: (
        "https://docs.x-road.global/Protocols/pr-rest_x-road_message_protocol_for_rest.html",
        "X-Road: Message Protocol for REST",
    ),
}
_STATES = {
    LifeState.DRAFT: (STATUS.DEVELOP, "in development"),
    LifeState.PUBLISHED: (STATUS.COMPLETED, "completed"),
    LifeState.DEPRECATED: (STATUS.DEPRECATED, "deprecated"),
    LifeState.WITHDRAWN: (STATUS.WITHDRAWN, "withdrawn"),
}


def add_catalog(sheet: Sheet) -> None:
    """The catalog with everything that it lists."""
    catalog = sheet.view.catalog
    node = sheet.kinds(sheet.catalog, DCAT.Catalog)
    sheet.identified(node, f"{catalog.instance}:catalog")
    sheet.add(node, DCTERMS.title, Literal(f"Catalog of {clean(catalog.instance)}", lang="en"))
    told = "Services that institutions offer to each other, and the facts that they know."
    sheet.add(node, DCTERMS.description, Literal(told, lang="en"))
    sheet.add(node, DCTERMS.publisher, add_publisher(sheet))
    sheet.add(node, DCTERMS.spatial, add_place(sheet, ""))
    sheet.add(node, DCTERMS.modified, Literal(catalog.made_at.isoformat(), datatype=XSD.dateTime))
    sheet.add(node, OWL.versionInfo, Literal(str(catalog.version)))
    sheet.add(node, FOAF.homepage, sheet.kinds(sheet.ours(""), FOAF.Document))
    sheet.add(node, DCAT.themeTaxonomy, _add_concepts(sheet))
    for service in catalog.services:
        sheet.add(node, DCAT.service, _add_service(sheet, service))
        if service.id in sheet.view.authority_of:
            sheet.add(node, DCAT.dataset, _add_register(sheet, service))


def _add_concepts(sheet: Sheet) -> URIRef:
    """The facts as themes that things are about."""
    scheme = sheet.kinds(sheet.ours("concepts"), SKOS.ConceptScheme)
    sheet.add(scheme, DCTERMS.title, Literal("Facts", lang="en"))
    for concept in sheet.view.catalog.vocabulary.concepts:
        _add_concept(sheet, concept, scheme)
    return scheme


def _add_concept(sheet: Sheet, concept: Concept, scheme: URIRef) -> None:
    node = sheet.kinds(sheet.concept(concept.uri), SKOS.Concept)
    sheet.labelled(node, SKOS.prefLabel, concept.labels, concept.uri)
    sheet.add(node, SKOS.definition, sheet.words(concept.definition))
    sheet.add(node, SKOS.inScheme, scheme)


def _themes(sheet: Sheet, node: URIRef, concepts: Iterable[str]) -> None:
    known = sheet.view.catalog.vocabulary.concept
    for concept in concepts:
        if concept in known:
            sheet.add(node, DCAT.theme, sheet.concept(concept))


def _concepts_of(service: CatalogService) -> dict[str, None]:
    found: dict[str, None] = {}
    for endpoint in service.mapping.endpoints:
        found.update((one.concept, None) for one in endpoint.fields if one.concept)
        found.update((one.concept, None) for one in endpoint.views if one.concept)
    return found


# --- services -------------------------------------------------------------------------------------


def _add_service(sheet: Sheet, service: CatalogService) -> URIRef:
    node, about = sheet.kinds(sheet.service(service.id), DCAT.DataService), service.about
    sheet.identified(node, service.id.colons)
    sheet.add(node, DCTERMS.title, sheet.words(title_of(service)))
    sheet.add(node, DCTERMS.description, sheet.words(about.description))
    sheet.add(node, DCTERMS.publisher, add_member(sheet, service.id.provider))
    # Where it answers is told to nobody: everybody calls it through a node of their own.
    sheet.add(node, DCAT.endpointURL, URIRef(f"{node}#calling"))
    sheet.add(node, DCAT.endpointDescription, sheet.ours(f"descriptions/{service.id.path}"))
    sheet.add(node, DCAT.landingPage, sheet.kinds(URIRef(f"{node}#page"), FOAF.Document))
    sheet.add(node, DCTERMS.conformsTo, _add_protocol(sheet, service.type))
    if service.id in sheet.view.authority_of:
        sheet.add(node, DCAT.servesDataset, sheet.register(service.id))
    _add_about(sheet, node, about)
    _themes(sheet, node, _concepts_of(service))
    return node


def _add_protocol(sheet: Sheet, kind: ServiceType) -> URIRef:
    address, title = _PROTOCOLS[ServiceType.REST if kind.is_rest else ServiceType.WSDL]
    node = sheet.kinds(URIRef(address), DCTERMS.Standard)
    sheet.add(node, DCTERMS.title, Literal(title, lang="en"))
    return node


def _add_about(sheet: Sheet, node: URIRef, about: About) -> None:
    """What institutions say of a service: contact, terms, keywords, life cycle."""
    sheet.add(node, DCAT.contactPoint, add_contact(sheet, node, about.contact))
    sheet.add(node, DCTERMS.accessRights, _add_access(sheet))
    if about.terms:
        sheet.add(node, DCTERMS.rights, _add_terms(sheet, node, about.terms))
    for keyword in about.keywords:
        sheet.add(node, DCAT.keyword, sheet.words(keyword))
    if about.territory:
        sheet.add(node, DCTERMS.spatial, add_place(sheet, about.territory))
    term, label = _STATES[about.life.state]
    sheet.add(node, ADMS.status, sheet.word(term, label))
    sheet.add(node, ADMS.versionNotes, _life_note(about))


def _life_note(about: About) -> Literal | None:
    life = about.life
    told = [f"Withdrawn from {life.ends} on." if life.ends else ""]
    told.append(f"To be used instead: {clean(life.successor)}" if life.successor else "")
    text = " ".join(part for part in told if part)
    return Literal(text, lang="en") if text else None


def _add_access(sheet: Sheet) -> URIRef:
    """Every service asks for a right that its institution grants."""
    node = sheet.kinds(ACCESS.RESTRICTED, DCTERMS.RightsStatement)
    sheet.add(node, RDFS.label, Literal("restricted", lang="en"))
    return node


def _add_terms(sheet: Sheet, owner: URIRef, terms: str) -> URIRef:
    address = web_iri(terms)
    node = URIRef(f"{owner}#terms") if address is None else address
    sheet.kinds(node, DCTERMS.RightsStatement)
    sheet.add(node, RDFS.label, None if address else sheet.words(terms))
    return node


# --- registers ------------------------------------------------------------------------------------


def _add_register(sheet: Sheet, service: CatalogService) -> URIRef:
    """The data that a service is the authority for."""
    node = sheet.kinds(sheet.register(service.id), DCAT.Dataset)
    authorities = sheet.view.authority_of[service.id]
    concepts = {concept: None for one in authorities for concept in one.concepts}
    sheet.identified(node, f"{service.id.colons}:register")
    sheet.add(node, DCTERMS.title, sheet.words(f"Register: {title_of(service)}"))
    sheet.add(node, DCTERMS.description, _register_words(sheet, service, concepts))
    sheet.add(node, DCTERMS.publisher, add_member(sheet, service.id.provider))
    sheet.add(node, DCTERMS.accessRights, _add_access(sheet))
    sheet.add(node, DCAT.contactPoint, add_contact(sheet, node, service.about.contact))
    for keyword in service.about.keywords:
        sheet.add(node, DCAT.keyword, sheet.words(keyword))
    for at, authority in enumerate(authorities):
        _add_scope(sheet, node, authority, at)
    sheet.add(node, DCAT.distribution, _add_distribution(sheet, node, service))
    _themes(sheet, node, concepts)
    return node


def _register_words(
    sheet: Sheet, service: CatalogService, concepts: dict[str, None]
) -> Literal | None:
    known = sheet.view.catalog.vocabulary.concept
    labels = [
        next(iter(known[uri].labels.values()), uri) if uri in known else uri for uri in concepts
    ]
    told = f"Authoritative source for: {', '.join(labels[:50])}."
    return sheet.words(f"{service.about.description} {told}".strip())


def _add_scope(sheet: Sheet, node: URIRef, authority: Authority, at: int) -> None:
    """Where and when it counts."""
    sheet.add(node, DCTERMS.spatial, add_place(sheet, authority.territory))
    if authority.valid_from is None and authority.valid_until is None:
        return
    period = sheet.kinds(URIRef(f"{node}#period-{at}"), DCTERMS.PeriodOfTime)
    sheet.add(node, DCTERMS.temporal, period)
    if authority.valid_from is not None:
        sheet.add(period, DCAT.startDate, Literal(authority.valid_from))
    if authority.valid_until is not None:
        sheet.add(period, DCAT.endDate, Literal(authority.valid_until))


def _add_distribution(sheet: Sheet, register: URIRef, service: CatalogService) -> URIRef:
    node = sheet.kinds(URIRef(f"{register}#distribution"), DCAT.Distribution)
    sheet.add(node, DCTERMS.title, sheet.words(title_of(service)))
    sheet.add(node, DCAT.accessURL, sheet.service(service.id))
    sheet.add(node, DCAT.accessService, sheet.service(service.id))
    term, label = _STATES[service.about.life.state]
    sheet.add(node, ADMS.status, sheet.word(term, label))
    return node
