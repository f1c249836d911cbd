"""Registries as public services that keep data, as BRegDCAT-AP 3 and CPSV-AP 3 have them."""

from rdflib import DCAT, DCTERMS, URIRef

from catalog.central.entries import CatalogService
from catalog.central.faces.linked.agents import add_contact, add_member, add_place
from catalog.central.faces.linked.sheet import CPSV, CV, Sheet
from catalog.central.faces.view import title_of


def add_registries(sheet: Sheet) -> None:
    """One for every service that is the authority for a fact."""
    for service in sheet.view.catalog.services:
        if service.id in sheet.view.authority_of:
            _add_registry(sheet, service)


def _add_registry(sheet: Sheet, service: CatalogService) -> URIRef:
    node = sheet.kinds(sheet.registry(service.id), CPSV.PublicService)
    title = f"Keeping of the register: {title_of(service)}"
    sheet.identified(node, f"{service.id.colons}:registry")
    sheet.add(node, DCTERMS.title, sheet.words(title))
    sheet.add(node, DCTERMS.description, sheet.words(service.about.description or title))
    sheet.add(node, CV.hasCompetentAuthority, add_member(sheet, service.id.provider))
    sheet.add(node, CV.contactPoint, add_contact(sheet, node, service.about.contact))
    for territory in dict.fromkeys(one.territory for one in sheet.view.authority_of[service.id]):
        sheet.add(node, DCTERMS.spatial, add_place(sheet, territory))
    for keyword in service.about.keywords:
        sheet.add(node, DCAT.keyword, sheet.words(keyword))
    # What it produces is a catalogued resource (BRegDCAT-AP) and an output (CPSV-AP).
    register = sheet.kinds(sheet.register(service.id), DCAT.Resource, CV.Output)
    sheet.add(node, CPSV.produces, register)
    return node
