"""The catalog as linked data: profiles of others, their shapes, and texts that break nothing.

The published shapes are work of SEMIC (CC BY 4.0) and stand in no folder of ours. To have them
checked, name a folder with these files by SACBE_SHAPES:

    dcat-ap-SHACL.ttl, shapes.ttl, range.ttl    SEMICeu/DCAT-AP, releases/3.0.1 (shacl, html/shacl)
    bregdcatap-SHACL.ttl                        BRegDCAT-AP 3.0.0
    cpsv-ap-SHACL.ttl                           SEMICeu/CPSV-AP, releases/3.2.0/shacl
    cccev-ap-SHACL.ttl                          SEMICeu/CCCEV, releases/2.1.0/shacl
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rdflib", reason="exports need sacbe[catalog]")

from rdflib import DCAT, DCTERMS, FOAF, RDF, SKOS, Graph, Literal, Namespace, URIRef

from catalog.central.encoding import encode_catalog
from catalog.central.entries import Catalog
from catalog.central.faces.dcat import ExportFiles, Form, Profile, build_graph, export_catalog
from catalog.central.faces.export_settings import ExportSettings
from catalog.central.faces.exports import exports
from catalog.central.faces.linked.sheet import ADMS, CPSV, CV, STATUS
from catalog.central.faces.site import CatalogSite
from scripts import cli
from tests import faces_stage as stage
from tests.test_catalog_pages import HOSTILE, hostile_catalog

# What rdflib says to itself when it reads and writes JSON-LD.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")

SH = Namespace("http://www.w3.org/ns/shacl#")
BASE = "https://registry.example.org/catalog"
SETTINGS = ExportSettings(publisher="Digital Agency", place="https://example.org/country/XX")
SHAPES = {
    Profile.DCAT_AP: ("dcat-ap-SHACL.ttl", "shapes.ttl", "range.ttl"),
    Profile.BREG: (
        "dcat-ap-SHACL.ttl", "shapes.ttl", "range.ttl", "bregdcatap-SHACL.ttl",
        "cpsv-ap-SHACL.ttl",
    ),
    Profile.CPSV: ("cpsv-ap-SHACL.ttl", "cccev-ap-SHACL.ttl"),
}  # fmt: skip
_READ = {Form.TURTLE: "turtle", Form.JSON_LD: "json-ld", Form.XML: "xml"}

# What the profiles ask for: class, property, how often at least and at the most, and of what class.
MANDATORY = (
    (DCAT.Catalog, DCTERMS.title, 1, None, None),
    (DCAT.Catalog, DCTERMS.description, 1, None, None),
    (DCAT.Catalog, DCTERMS.publisher, 1, 1, FOAF.Agent),
    (DCAT.Catalog, DCAT.service, 1, None, DCAT.DataService),
    (DCAT.Catalog, DCAT.themeTaxonomy, 1, None, SKOS.ConceptScheme),
    (DCAT.DataService, DCTERMS.title, 1, None, None),
    (DCAT.DataService, DCAT.endpointURL, 1, None, None),
    (DCAT.DataService, DCTERMS.publisher, 1, 1, FOAF.Agent),
    (DCAT.DataService, DCAT.servesDataset, 0, None, DCAT.Dataset),
    (DCAT.DataService, DCAT.theme, 0, None, SKOS.Concept),
    (DCAT.DataService, ADMS.status, 1, 1, SKOS.Concept),
    (DCAT.Dataset, DCTERMS.title, 1, None, None),
    (DCAT.Dataset, DCTERMS.description, 1, None, None),
    (DCAT.Dataset, DCTERMS.publisher, 1, 1, FOAF.Agent),
    (DCAT.Dataset, DCAT.distribution, 1, None, DCAT.Distribution),
    (DCAT.Distribution, DCAT.accessURL, 1, None, None),
    (DCAT.Distribution, DCAT.accessService, 1, None, DCAT.DataService),
    (FOAF.Agent, FOAF.name, 1, None, None),
    (FOAF.Agent, DCTERMS.identifier, 1, 1, None),
    (SKOS.Concept, SKOS.prefLabel, 1, None, None),
    (SKOS.ConceptScheme, DCTERMS.title, 1, None, None),
    (CV.PublicOrganisation, DCTERMS.spatial, 1, None, DCTERMS.Location),
    (CPSV.PublicService, DCTERMS.identifier, 1, 1, None),
    (CPSV.PublicService, DCTERMS.title, 1, None, None),
    (CPSV.PublicService, DCTERMS.description, 1, None, None),
    (CPSV.PublicService, CV.hasCompetentAuthority, 1, None, CV.PublicOrganisation),
    (CPSV.PublicService, CPSV.produces, 0, None, DCAT.Resource),
    (CPSV.PublicService, CV.holdsRequirement, 0, None, CV.Requirement),
    (CV.Requirement, DCTERMS.identifier, 1, 1, None),
    (CV.Requirement, DCTERMS.title, 1, None, None),
    (CV.Requirement, CV.hasConcept, 0, None, CV.InformationConcept),
    (CV.Requirement, CV.hasEvidenceTypeList, 0, None, CV.EvidenceTypeList),
    (CV.EvidenceTypeList, CV.specifiesEvidenceType, 1, None, CV.EvidenceType),
    (CV.EvidenceType, DCTERMS.identifier, 1, 1, None),
)


def graph_of(profile: Profile, catalog: Catalog = stage.CATALOG) -> Graph:
    return build_graph(catalog, profile, BASE, SETTINGS)


def complaints(graph: Graph) -> list[str]:
    """What a graph lacks of what the profiles ask for."""
    found = []
    for kind, predicate, least, most, of in MANDATORY:
        for thing in graph.subjects(RDF.type, kind):
            values = list(graph.objects(thing, predicate))
            if len(values) < least or (most is not None and len(values) > most):
                found.append(f"{thing} has {len(values)} {predicate}")
            found += [
                f"{value} of {thing} is no {of}"
                for value in values
                if of is not None and (value, RDF.type, of) not in graph
            ]
    return found


@pytest.mark.parametrize("profile", list(Profile))
def test_all_that_profiles_ask_for_is_there(profile: Profile) -> None:
    assert complaints(graph_of(profile)) == []


def test_a_lack_would_be_noticed() -> None:
    graph = graph_of(Profile.DCAT_AP)
    graph.remove((None, DCAT.endpointURL, None))
    assert len(complaints(graph)) == len(stage.SERVICES)


@pytest.mark.parametrize("profile", list(Profile))
def test_the_published_shapes_hold(profile: Profile) -> None:
    folder = os.environ.get("SACBE_SHAPES")
    if not folder:
        pytest.skip("SACBE_SHAPES names no folder with the published shapes")
    pyshacl = pytest.importorskip("pyshacl", reason="a development dependency")
    for name in SHAPES[profile]:
        shapes = Graph().parse(Path(folder) / name)
        _leave_out_what_has_no_path(shapes)
        sound, _, text = pyshacl.validate(graph_of(profile), shacl_graph=shapes)
        assert sound, f"{name}: {text[:2000]}"


def _leave_out_what_has_no_path(shapes: Graph) -> None:
    """Two constraints of DCAT-AP 3.0.1 speak of no property; pyshacl refuses to go on."""
    for shape, constraint in list(shapes.subject_objects(SH.property)):
        if shapes.value(constraint, SH.path) is None:
            shapes.remove((shape, SH.property, constraint))


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("profile", list(Profile))
def test_every_form_says_the_same(profile: Profile, form: Form) -> None:
    document = export_catalog(stage.CATALOG, profile, form, BASE, SETTINGS)
    assert set(Graph().parse(data=document, format=_READ[form])) == set(graph_of(profile))


def test_services_and_registers_are_told() -> None:
    graph = graph_of(Profile.BREG)
    service = URIRef(f"{BASE}/services/{stage.PERSONS.path}")
    register = URIRef(f"{BASE}/registers/{stage.PERSONS.path}")
    registry = URIRef(f"{BASE}/registries/{stage.PERSONS.path}")
    assert graph.value(service, DCTERMS.title) == Literal("Persons by national id", lang="en")
    assert graph.value(service, DCAT.servesDataset) == register
    assert (service, DCAT.theme, URIRef(stage.BIRTH_DATE)) in graph
    assert (registry, CPSV.produces, register) in graph
    old = URIRef(f"{BASE}/services/{stage.OLD.path}")
    assert graph.value(old, ADMS.status) == STATUS.DEPRECATED
    assert "2027-06-01" in str(graph.value(old, ADMS.versionNotes))
    assert graph.value(URIRef(BASE), DCTERMS.spatial) == URIRef(SETTINGS.place)


def test_procedures_are_told_with_alternatives() -> None:
    graph = graph_of(Profile.CPSV)
    procedure, need = URIRef(stage.BENEFIT), URIRef(stage.NEED)
    assert (procedure, CV.holdsRequirement, need) in graph
    assert Literal("Ayuda escolar", lang="es") in set(graph.objects(procedure, DCTERMS.title))
    lists = set(graph.objects(need, CV.hasEvidenceTypeList))
    assert {graph.value(one, CV.specifiesEvidenceType) for one in lists} == {
        URIRef(stage.TAX_NOTICE),
        URIRef(stage.SOCIAL_NOTICE),
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_break_no_document(text: str) -> None:
    catalog = hostile_catalog(text)
    for profile in Profile:
        for form in Form:
            document = export_catalog(catalog, profile, form, BASE, SETTINGS)
            read = Graph().parse(data=document, format=_READ[form])
            assert set(read) == set(graph_of(profile, catalog))
    assert complaints(graph_of(Profile.BREG, catalog)) == []


def test_the_site_gives_the_export_of_its_version_once() -> None:
    files = exports(BASE, SETTINGS)
    assert isinstance(files, ExportFiles)
    site = CatalogSite(lambda: stage.CATALOG, export=files, clock=lambda: stage.NOW)
    answer = site.answer("/catalog/v1/export.ttl", {})
    assert (answer.status, answer.content_type) == (200, "text/turtle")
    assert len(Graph().parse(data=answer.body, format="turtle")) == len(graph_of(Profile.BREG))
    assert site.answer("/catalog/v1/export.ttl", {}).body is answer.body
    assert site.answer("/catalog/v1/export.exe", {}).status == 404
    newer = replace(stage.CATALOG, version=18)
    again = files(newer, "export.ttl")
    assert again is not None
    assert again.body is not answer.body


def test_without_an_export_there_is_none() -> None:
    site = CatalogSite(lambda: stage.CATALOG, clock=lambda: stage.NOW)
    assert site.answer("/catalog/v1/export.ttl", {}).status == 404


def test_the_command_exports_a_snapshot(tmp_path: Path) -> None:
    snapshot, out = tmp_path / "catalog", tmp_path / "catalog.ttl"
    snapshot.write_bytes(encode_catalog(stage.CATALOG))
    words = ["catalog", "export", "--snapshot", str(snapshot), "--format", "dcat-ap"]
    assert cli.main([*words, "--address", BASE, "--out", str(out)]) == 0
    graph = Graph().parse(out)
    assert (URIRef(BASE), RDF.type, DCAT.Catalog) in graph
    assert complaints(graph) == []


def test_the_command_names_what_it_can_t_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = tmp_path / "catalog"
    snapshot.write_bytes(b"no catalog")
    words = ["catalog", "export", "--snapshot", str(snapshot)]
    assert cli.main(words) == 2
    assert "--address must be given" in capsys.readouterr().err
    assert cli.main([*words, "--address", BASE]) == 2
    assert "sacbe catalog:" in capsys.readouterr().err
