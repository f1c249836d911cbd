"""The catalog as linked data: DCAT-AP 3, BRegDCAT-AP 3, CPSV-AP 3 with CCCEV 2.

Needs rdflib, which is an extra (`catalog`). Which profile says what:

    dcat-ap   catalog, data services, registers as datasets, publishers, contacts, themes
    breg      all of that, and the registries as public services that produce the registers
    cpsv      procedures as public services with requirements, evidence types and facts

Source: SEMIC's DCAT-AP 3.0.1, BRegDCAT-AP 3.0.0, CPSV-AP 3.2.0, CCCEV 2.1.0.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from threading import Lock

from rdflib import DCAT, DCTERMS, FOAF, OWL, RDF, RDFS, SKOS, XSD, Graph

from catalog.central.entries import Catalog
from catalog.central.faces.export_settings import ExportSettings
from catalog.central.faces.linked.breg_part import add_registries
from catalog.central.faces.linked.cpsv_part import add_procedures
from catalog.central.faces.linked.dcat_part import add_catalog
from catalog.central.faces.linked.sheet import (
    ADMS,
    CPSV,
    CV,
    ELI,
    VCARD,
    Sheet,
)
from catalog.central.faces.linked.turtle import write_turtle
from catalog.central.faces.question import Answer
from catalog.central.faces.view import CatalogView


class Profile(StrEnum):
    """What an export is for."""

    DCAT_AP = "dcat-ap"
    BREG = "breg"
    CPSV = "cpsv"


class Form(StrEnum):
    """How it is written."""

    TURTLE = "turtle"
    JSON_LD = "jsonld"
    XML = "xml"


MEDIA_TYPES = {
    Form.TURTLE: "text/turtle",
    Form.JSON_LD: "application/ld+json",
    Form.XML: "application/rdf+xml",
}
_RDFLIB = {Form.JSON_LD: "json-ld", Form.XML: "xml"}
_PARTS: Mapping[Profile, tuple[Callable[[Sheet], None], ...]] = {
    Profile.DCAT_AP: (add_catalog,),
    Profile.BREG: (add_catalog, add_registries),
    Profile.CPSV: (add_procedures,),
}
_PREFIXES = {
    "adms": ADMS, "cpsv": CPSV, "cv": CV, "dcat": DCAT, "dct": DCTERMS, "eli": ELI, "foaf": FOAF,
    "owl": OWL, "rdf": RDF, "rdfs": RDFS, "skos": SKOS, "vcard": VCARD, "xsd": XSD,
}  # fmt: skip
_FILES = {
    "export.ttl": Form.TURTLE,
    "export.jsonld": Form.JSON_LD,
    "export.rdf": Form.XML,
}


def build_graph(catalog: Catalog, profile: Profile, base: str, settings: ExportSettings) -> Graph:
    """The catalog as a graph.

    Args:
        base: address by which the catalog is reached; its things are named below it.
    """
    sheet = Sheet(CatalogView(catalog), base.rstrip("/"), settings)
    for prefix, namespace in _PREFIXES.items():
        sheet.graph.bind(prefix, namespace)
    for add in _PARTS[profile]:
        add(sheet)
    return sheet.graph


def export_catalog(
    catalog: Catalog, profile: Profile, form: Form, base: str, settings: ExportSettings
) -> bytes:
    """The catalog as a document in UTF-8."""
    graph = build_graph(catalog, profile, base, settings)
    if form is Form.TURTLE:
        return write_turtle(graph)
    return graph.serialize(format=_RDFLIB[form], encoding="utf-8")


class ExportFiles:
    """Exports of the present version by the names of their files, each made once.

    They tell registers and registries (BRegDCAT-AP), with all that DCAT-AP asks for.
    """

    def __init__(self, base: str, settings: ExportSettings) -> None:
        self._base = base
        self._settings = settings
        self._made: dict[str, Answer] = {}
        self._of: Catalog | None = None
        self._lock = Lock()  # answers are made in threads; the second one waits for the first

    def __call__(self, catalog: Catalog, name: str) -> Answer | None:
        """The file of this name; None when there is no such file."""
        form = _FILES.get(name)
        if form is None:
            return None
        with self._lock:
            if self._of is not catalog:
                self._made, self._of = {}, catalog
            if name not in self._made:
                body = export_catalog(catalog, Profile.BREG, form, self._base, self._settings)
                self._made[name] = Answer(body, MEDIA_TYPES[form])
            return self._made[name]
