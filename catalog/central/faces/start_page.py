"""The catalog's front door, what a search found, and the lists of everything."""

from collections.abc import Sequence

from catalog.central.faces.layout import (
    Desk,
    heading,
    html_answer,
    search_form,
    service_item,
    steps,
)
from catalog.central.faces.markup import Child, Markup, link, name, tag, worded
from catalog.central.faces.paging import Page, page_of
from catalog.central.faces.question import Answer, Question
from catalog.central.search import CatalogPage
from catalog.meaning.vocabulary import Concept, Procedure


def start_page(desk: Desk) -> Answer:
    catalog = desk.view.catalog
    vocabulary = catalog.vocabulary
    counts = (
        ("services", len(catalog.services), "services"),
        ("concepts", len(vocabulary.concepts), "facts"),
        ("procedures", len(vocabulary.procedures), "procedures"),
        ("members", len(desk.view.members), "institutions"),
    )
    cards = [
        tag("li", link(f"{desk.root}/{address}", tag("strong", str(count)), " ", what))
        for address, count, what in counts
    ]
    return html_answer(
        desk,
        "Start",
        tag("h1", "Who knows what"),
        tag(
            "p",
            "Services that institutions offer to each other, the facts that they know,"
            " and who is the authority for which fact.",
            class_="lead",
        ),
        search_form(desk),
        tag("ul", cards, class_="cards"),
        tag("h2", "Procedures"),
        _procedure_list(desk, vocabulary.procedures[:10]),
    )


def found_page(desk: Desk, question: Question, found: CatalogPage) -> Answer:
    """What a search found."""
    text = question.text("q")
    matching = _concepts_called(desk, text)
    facts: list[Child] = []
    if matching:
        facts = [tag("h2", "Facts"), tag("ul", [tag("li", desk.concept(uri)) for uri in matching])]
    services = [service_item(desk, hit.service) for hit in found.hits]
    page: Page[object] = Page((), found.page, question.number("size", 50, 200), found.total)
    return html_answer(
        desk,
        f"Search: {name(text)}" if text else "Search",
        tag("h1", "Search"),
        search_form(desk, text),
        facts,
        tag("h2", f"Services ({found.total})"),
        tag("ul", services, class_="list") if services else _nothing(),
        steps(page, question, f"{desk.root}/search"),
    )


def _nothing() -> Markup:
    return tag("p", "Nothing was found. Try fewer words, or the beginnings of words.")


def _concepts_called(desk: Desk, text: str) -> Sequence[str]:
    """Concepts with a label that has all of a text's words."""
    if not text:
        return ()
    known = desk.view.catalog.vocabulary.concept
    return sorted(uri for uri in desk.view.index.concepts(text) if uri in known)[:10]


# --- lists ----------------------------------------------------------------------------------------


def services_page(desk: Desk, question: Question) -> Answer:
    page = page_of(desk.view.by_title, question)
    items = [service_item(desk, one) for one in page.items]
    return _list_page(desk, question, "Services", page, items)


def concepts_page(desk: Desk, question: Question) -> Answer:
    concepts = _by_label(desk, desk.view.catalog.vocabulary.concepts)
    page = page_of(concepts, question)
    items = [_concept_item(desk, one) for one in page.items]
    return _list_page(desk, question, "Facts", page, items)


def _by_label(desk: Desk, concepts: Sequence[Concept]) -> Sequence[Concept]:
    return sorted(concepts, key=lambda one: desk.plain_words(one.labels, one.uri).casefold())


def _concept_item(desk: Desk, concept: Concept) -> Markup:
    return tag(
        "li",
        tag("p", desk.concept(concept.uri), " ", tag("span", concept.type, class_="quiet")),
        concept.definition and tag("p", worded(name(concept.definition))),
    )


def procedures_page(desk: Desk, question: Question) -> Answer:
    page = page_of(desk.view.catalog.vocabulary.procedures, question)
    items = [_procedure_item(desk, one) for one in page.items]
    return _list_page(desk, question, "Procedures", page, items)


def _procedure_list(desk: Desk, procedures: Sequence[Procedure]) -> Markup:
    if not procedures:
        return tag("p", "No procedure has been declared.")
    return tag("ul", [_procedure_item(desk, one) for one in procedures], class_="list")


def _procedure_item(desk: Desk, procedure: Procedure) -> Markup:
    words = desk.words(procedure.labels, procedure.uri)
    return tag("li", link(desk.procedure_address(procedure.uri), words))


def members_page(desk: Desk, question: Question) -> Answer:
    page = page_of(desk.view.members, question)
    items = []
    for member in page.items:
        count = len(desk.view.services_of.get(member, ()))
        told = f" {count} service{'' if count == 1 else 's'}"
        items.append(tag("li", desk.client(member), tag("span", told, class_="quiet")))
    return _list_page(desk, question, "Institutions", page, items)


def _list_page(
    desk: Desk, question: Question, title: str, page: Page[object], items: Sequence[Markup]
) -> Answer:
    address = f"{desk.root}{question.path}"
    return html_answer(
        desk,
        title,
        tag("h1", title),
        tag("p", f"{page.total} in this version of the catalog.", class_="quiet"),
        tag("ul", items, class_="list") if items else tag("p", "There is nothing on this page."),
        steps(page, question, address),
    )


def not_found_page(desk: Desk) -> Answer:
    return html_answer(
        desk,
        "Not found",
        tag("h1", "There is no such page"),
        tag("p", "The catalog has nothing by this address. It may have had, in another version."),
        search_form(desk),
        status=404,
    )


def bad_question_page(desk: Desk, why: str) -> Answer:
    return html_answer(
        desk,
        "Not understood",
        heading("Not understood", why),
        search_form(desk),
        status=400,
    )
