"""A node that is older than its registry: what it understands is planned with and shown."""

from datetime import date
from urllib.parse import quote

import pytest

from catalog.central.entries import Catalog
from catalog.central.faces.site import CatalogSite
from catalog.central.snapshot.reading import read_catalog
from catalog.central.snapshot.writing import write_catalog
from node.once.resolver.planning.index import CatalogIndex
from node.once.resolver.planning.plan import Plan, Wish, make_plan
from node.once.resolver.planning.reasons import Reason
from tests.large_catalog import CONCEPT, PERSON, large_catalog, procedure

DAY = date(2026, 6, 1)
WRITTEN = large_catalog(services=40, fields=4)
TEXT = b"".join(write_catalog(WRITTEN))
WORDS = ("text", "integer", "date", "personal", "published", "OPENAPI", "WSDL", "path", "body",
         "query", "present")  # fmt: skip


def in_new_words(*words: str) -> Catalog:
    """The catalog as a registry writes it that has other words for these."""
    text = TEXT
    for one in words:
        assert f'"{one}"'.encode() in text
        text = text.replace(f'"{one}"'.encode(), b'"unheard-of"')
    return read_catalog((text,))


def plan(catalog: Catalog, *concepts: str) -> Plan:
    return make_plan(CatalogIndex(catalog), Wish(concepts, PERSON, DAY))


@pytest.mark.parametrize(
    ("word", "concept", "reason"),
    [
        ("integer", f"{CONCEPT}7:1", Reason.UNKNOWN_CONCEPT),
        ("published", f"{CONCEPT}7:1", Reason.SERVICE_NOT_IN_CATALOG),
        ("OPENAPI", f"{CONCEPT}7:1", Reason.SERVICE_NOT_IN_CATALOG),
        ("path", f"{CONCEPT}7:1", Reason.NO_FIELD),
        ("present", f"{CONCEPT}7:derived", Reason.NO_FIELD),
    ],
)
def test_what_is_missing_has_its_reason(word: str, concept: str, reason: Reason) -> None:
    assert plan(WRITTEN, concept).missing == ()
    (missing,) = plan(in_new_words(word), concept).missing
    assert (missing.concept, missing.reason) == (concept, reason)


def test_all_other_facts_are_found_as_before() -> None:
    other = f"{CONCEPT}7:2"
    found = plan(in_new_words("integer", "present", "personal"), other)
    assert found.missing == ()
    (asked,), (as_before,) = found.exchanges, plan(WRITTEN, other).exchanges
    assert (asked.service.id, asked.asked) == (as_before.service.id, as_before.asked)
    assert (asked.endpoint.path, asked.scheme) == (as_before.endpoint.path, as_before.scheme)


@pytest.mark.parametrize("word", WORDS)
def test_procedures_are_planned_and_pages_shown_whatever_is_missing(word: str) -> None:
    catalog = in_new_words(word)
    assert catalog.left_out > 0
    index = CatalogIndex(catalog)
    for number in range(5):
        make_plan(index, Wish((), PERSON, DAY, procedure=procedure(number)))
    site = CatalogSite(lambda: catalog)
    services = [f"/services/{one.id.path}" for one in WRITTEN.services[:11]]
    facts = [f"/concepts/{quote(one.uri, safe='')}" for one in WRITTEN.vocabulary.concepts[:20]]
    procedures = [f"/procedures/{quote(procedure(one), safe='')}" for one in range(5)]
    members = [f"/members/{one.id.path}" for one in WRITTEN.members[:3]]
    lists = ["", "/services", "/concepts", "/procedures", "/members", "/search?q=fact"]
    for page in (*lists, *services, *facts, *procedures, *members):
        assert site.answer(f"/catalog{page}", {}).status in (200, 404), page
    for page in (*lists[1:], *services, *facts, *procedures, "/authorities"):
        assert site.answer(f"/catalog/v1{page}", {}).status in (200, 404), page
