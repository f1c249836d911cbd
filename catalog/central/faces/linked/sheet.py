"""A graph under construction, and how things of the catalog are named and worded in it.

Every IRI and every text passes here: what no RDF document can hold is encoded or replaced.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote

from rdflib import DCTERMS, RDF, SKOS, Graph, Literal, Namespace, URIRef

from catalog.central.faces.export_settings import LANGUAGE_TAG, ExportSettings
from catalog.central.faces.markup import clean
from catalog.central.faces.view import CatalogView
from catalog.meaning.vocabulary import Labels
from trust.ids import ClientId, ServiceId

ADMS = Namespace("http://www.w3.org/ns/adms#")
CPSV = Namespace("http://purl.org/vocab/cpsv#")
CV = Namespace("http://data.europa.eu/m8g/")
ELI = Namespace("http://data.europa.eu/eli/ontology#")
VCARD = Namespace("http://www.w3.org/2006/vcard/ns#")
_EU = "http://publications.europa.eu/resource/authority/"
STATUS = Namespace(_EU + "distribution-status/")
ACCESS = Namespace(_EU + "access-right/")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.")
_ALLOWED = "!#$%&'()*+,/:;=?@[]~-._"  # of an IRI; the rest is percent-encoded
_LANGUAGE = re.compile(LANGUAGE_TAG)
_LONGEST = 4_000


@dataclass(frozen=True)
class Sheet:
    """What is written so far.

    Attributes:
        base: address of the catalog, without a slash at its end; its things are named below it.
    """

    view: CatalogView
    base: str
    settings: ExportSettings
    graph: Graph = field(default_factory=lambda: Graph(bind_namespaces="none"))

    def add(self, subject: URIRef, predicate: URIRef, value: URIRef | Literal | None) -> None:
        """Say something; nothing when there is no value."""
        if value is not None:
            self.graph.add((subject, predicate, value))

    def kinds(self, subject: URIRef, *kinds: URIRef) -> URIRef:
        for kind in kinds:
            self.graph.add((subject, RDF.type, kind))
        return subject

    # --- names ---

    @property
    def catalog(self) -> URIRef:
        return URIRef(self.base)

    def ours(self, path: str) -> URIRef:
        """A thing of the catalog by its path, which is encoded already."""
        return URIRef(f"{self.base}/{iri(path)}")

    def service(self, service: ServiceId) -> URIRef:
        return self.ours(f"services/{service.path}")

    def register(self, service: ServiceId) -> URIRef:
        """The data that a service is the authority for."""
        return self.ours(f"registers/{service.path}")

    def registry(self, service: ServiceId) -> URIRef:
        """The public service of keeping these data."""
        return self.ours(f"registries/{service.path}")

    def member(self, client: ClientId) -> URIRef:
        return self.ours(f"members/{client.member.path}")

    def named(self, uri: str, kind: str) -> URIRef:
        """A thing by the URI that its declaration gave it; below our own when it gave none."""
        if _SCHEME.match(uri):
            return URIRef(iri(uri))
        return self.ours(f"{kind}/{quote(uri, safe='', errors='replace')}")

    def concept(self, uri: str) -> URIRef:
        return self.named(uri, "concepts")

    def place(self, territory: str) -> URIRef:
        """Where something holds: a territory, or the whole instance."""
        if territory:
            return self.named(territory, "territories")
        if self.settings.place:
            return URIRef(iri(self.settings.place))
        return self.ours("territory")

    # --- texts ---

    def words(self, text: str) -> Literal | None:
        """A text in the language of the instance; None for an empty one."""
        return Literal(clean(text), lang=self.settings.language) if text.strip() else None

    def labelled(self, subject: URIRef, predicate: URIRef, labels: Labels, otherwise: str) -> None:
        """A text in every language that it has."""
        told = [
            Literal(clean(text), lang=language)
            for language, text in labels.items()
            if text.strip() and _LANGUAGE.fullmatch(language)
        ]
        for literal in told:
            self.add(subject, predicate, literal)
        if not told:
            self.add(subject, predicate, self.words(otherwise))

    def identified(self, subject: URIRef, identifier: str) -> None:
        self.add(subject, DCTERMS.identifier, Literal(clean(identifier)))

    def word(self, concept: URIRef, label: str) -> URIRef:
        """A term of a public vocabulary, with the label that checks of exports ask for."""
        self.kinds(concept, SKOS.Concept)
        self.add(concept, SKOS.prefLabel, Literal(label, lang="en"))
        return concept


def iri(text: str) -> str:
    """A URI with all that no IRI may hold percent-encoded."""
    return quote(text[:_LONGEST], safe=_ALLOWED, errors="replace")


def web_iri(text: str) -> URIRef | None:
    """An address that can be given as such; None for any other text."""
    return URIRef(iri(text)) if _SCHEME.match(text) and " " not in text else None
