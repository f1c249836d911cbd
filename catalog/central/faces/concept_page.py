"""The page of one fact: what it means, who counts for it, who has it, who needs it."""

from catalog.central.faces.coverage import Source, sources_of
from catalog.central.faces.layout import Desk, and_more, heading, html_answer, life_mark
from catalog.central.faces.markup import (
    Child,
    Markup,
    clean,
    facts,
    join,
    link,
    name,
    table,
    tag,
    worded,
)
from catalog.central.faces.question import Answer
from catalog.central.faces.view import Holding
from catalog.meaning.vocabulary import EVERYWHERE, Authority, Concept, Sensitivity

_SENSITIVITY = {
    Sensitivity.PUBLIC: "public: anybody may know it",
    Sensitivity.PERSONAL: "personal data",
    Sensitivity.SPECIAL: "personal data of a special category (GDPR article 9)",
}
_MOST_ROWS = 200


def concept_page(desk: Desk, concept: Concept) -> Answer:
    return html_answer(
        desk,
        desk.plain_words(concept.labels, concept.uri),
        heading("Fact", desk.words(concept.labels, concept.uri)),
        concept.definition and tag("p", worded(concept.definition), class_="lead"),
        facts(
            [
                ("Identifier", tag("code", concept.uri, class_="id")),
                ("Value", concept.type.value),
                ("Sensitivity", _SENSITIVITY[concept.sensitivity]),
                ("Identifies", concept.identifies and tag("code", name(concept.identifies))),
                ("In other languages", _labels(concept)),
            ]
        ),
        tag("h2", "Who is the authority"),
        _authorities(desk, concept),
        tag("h2", "Services that have it"),
        _holdings(desk, concept),
        tag("h2", "Procedures that may need it"),
        _procedures(desk, concept),
    )


def _labels(concept: Concept) -> Markup | None:
    if len(concept.labels) < 2:
        return None
    items = [
        tag("li", f"{clean(language, 40)}: ", worded(name(text), clean(language, 40)))
        for language, text in sorted(concept.labels.items())
    ]
    return tag("ul", items)


def _authorities(desk: Desk, concept: Concept) -> Child:
    authorities = desk.view.catalog.vocabulary.authorities_of.get(concept.uri, ())
    if not authorities:
        return tag("p", "No service is the authority for this fact.")
    lacks = {
        (source.id, id(source.authority)): source
        for source in sources_of(desk.view, concept.uri, desk.day)
    }
    rows = [
        (
            desk.service(one.service),
            desk.client(one.service.provider),
            territory(one.territory),
            _dates(desk, one),
            _state(lacks.get((one.service, id(one)))),
        )
        for one in sorted(authorities, key=lambda one: (one.territory, one.service))[:_MOST_ROWS]
    ]
    head = ("Service", "Institution", "Where", "When", "Today")
    return table(head, rows, _counted("Authorities", len(authorities)))


def territory(code: str) -> Markup | str:
    return "everywhere" if code == EVERYWHERE else worded(name(code))


def _dates(desk: Desk, authority: Authority) -> str:
    since = f"since {authority.valid_from}" if authority.valid_from else "from the beginning"
    if authority.valid_from is not None and authority.valid_from > desk.day:
        since = f"from {authority.valid_from} on"
    return since + (f", before {authority.valid_until}" if authority.valid_until else "")


def _state(source: Source | None) -> Markup:
    if source is None:
        return tag("span", "not now", class_="mark plain")
    if source.lack is None:
        return tag("span", "can be asked", class_="mark good")
    return join(tag("span", "can't be asked", class_="mark bad"), f" {source.lack.value}")


def _counted(what: str, count: int) -> str:
    return what if count <= _MOST_ROWS else f"{what}, the first {_MOST_ROWS} of {count}"


def _holdings(desk: Desk, concept: Concept) -> Child:
    holdings = desk.view.holdings(concept.uri)
    if not holdings:
        return tag("p", "No service in the catalog says that it has this fact.")
    rows = [
        (
            [desk.service(one.service.id), " ", life_mark(one.service.about.life)],
            desk.client(one.service.id.provider),
            tag("code", name(one.name)),
            _place(one),
        )
        for one in holdings[:_MOST_ROWS]
    ]
    head = ("Service", "Institution", "Field", "Where it stands")
    return table(head, rows, _counted("Services", len(holdings)))


def _place(holding: Holding) -> Child:
    endpoint = " ".join(part for part in (holding.endpoint.method, holding.endpoint.path) if part)
    where = tag("code", name(holding.path)) if holding.path else f"derived: {name(holding.rule)}"
    return [endpoint and [tag("code", name(endpoint)), " "], where]


def _procedures(desk: Desk, concept: Concept) -> Child:
    procedures = desk.view.procedures_with.get(concept.uri, ())
    if not procedures:
        return tag("p", "No procedure asks for it.")
    links = [
        link(desk.procedure_address(one.uri), desk.words(one.labels, one.uri)) for one in procedures
    ]
    return tag("ul", [tag("li", one) for one in and_more(links, len(procedures))])
