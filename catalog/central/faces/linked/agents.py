"""Institutions, where they are, and how they are reached."""

from rdflib import DCTERMS, FOAF, SKOS, Literal, URIRef

from catalog.about import Contact
from catalog.central.faces.linked.sheet import CV, VCARD, Sheet, iri, web_iri
from catalog.central.faces.markup import clean
from trust.ids import ClientId


def add_publisher(sheet: Sheet) -> URIRef:
    """Who publishes the catalog."""
    name = sheet.settings.publisher or f"Central operator of {sheet.view.catalog.instance}"
    agent = sheet.ours("publisher")
    _add_organisation(sheet, agent, name, sheet.view.catalog.instance)
    return agent


def add_member(sheet: Sheet, client: ClientId) -> URIRef:
    """The institution that a subsystem belongs to, or that it is."""
    agent, member = sheet.member(client), client.member
    if (agent, None, None) not in sheet.graph:
        _add_organisation(sheet, agent, sheet.view.name_of(member), member.colons)
    return agent


def _add_organisation(sheet: Sheet, agent: URIRef, name: str, identifier: str) -> None:
    sheet.kinds(agent, FOAF.Agent, CV.PublicOrganisation)
    sheet.identified(agent, identifier)
    sheet.add(agent, FOAF.name, Literal(clean(name)))
    sheet.add(agent, DCTERMS.title, sheet.words(name))
    sheet.add(agent, SKOS.prefLabel, sheet.words(name))
    sheet.add(agent, DCTERMS.spatial, add_place(sheet, ""))


def add_place(sheet: Sheet, territory: str) -> URIRef:
    """A territory; empty for that of the instance."""
    place = sheet.kinds(sheet.place(territory), DCTERMS.Location)
    sheet.add(place, SKOS.prefLabel, sheet.words(territory or sheet.view.catalog.instance))
    return place


def add_contact(sheet: Sheet, owner: URIRef, contact: Contact) -> URIRef | None:
    """Who is asked about a thing; None when nothing is known of them."""
    if contact == Contact():
        return None
    point = sheet.kinds(URIRef(f"{owner}#contact"), VCARD.Kind, VCARD.Organization, CV.ContactPoint)
    name = contact.name or contact.email or contact.phone or contact.url
    sheet.add(point, VCARD.fn, Literal(clean(name)))
    if contact.email:
        sheet.add(point, VCARD.hasEmail, URIRef("mailto:" + iri(contact.email)))
        sheet.add(point, CV.email, Literal(clean(contact.email)))
    if contact.phone:
        sheet.add(point, CV.telephone, Literal(clean(contact.phone)))
    if contact.url and (page := web_iri(contact.url)) is not None:
        sheet.add(point, VCARD.hasURL, page)
        sheet.add(point, CV.contactPage, sheet.kinds(page, FOAF.Document))
    return point
