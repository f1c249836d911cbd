"""The page that tells a service's operations: from its description, else from what is known."""

from collections.abc import Callable

from catalog.central.entries import CatalogService
from catalog.central.faces.layout import Desk, heading, html_answer, life_mark, life_notice
from catalog.central.faces.markup import (
    Child,
    Markup,
    clean,
    escape,
    join,
    name,
    table,
    tag,
    worded,
)
from catalog.central.faces.openapi_outline import openapi_outline
from catalog.central.faces.outline import (
    AnswerOutline,
    OperationOutline,
    Outline,
    Row,
    mapping_outline,
)
from catalog.central.faces.question import Answer
from catalog.central.faces.view import title_of
from catalog.central.faces.wsdl_outline import wsdl_outline
from catalog.services import ServiceType
from trust.errors import ExchangeError

Describe = Callable[[CatalogService], bytes | None]

MAX_DESCRIPTION = 2 << 20  # bytes; beyond them the description is not read for a page


def outline_of(service: CatalogService, describe: Describe) -> Outline:
    """From its description when there is one that can be read; else what the catalog knows."""
    raw = describe(service)
    if not raw or len(raw) > MAX_DESCRIPTION:
        return mapping_outline(service)
    try:
        if service.type is ServiceType.WSDL:
            return wsdl_outline(raw, service)
        return openapi_outline(raw, service)
    except ExchangeError:
        return mapping_outline(service)


def description_page(desk: Desk, service: CatalogService, outline: Outline) -> Answer:
    return html_answer(
        desk,
        f"Operations of {title_of(service)}",
        heading(
            "Operations of a service",
            [desk.service(service.id), " ", life_mark(service.about.life)],
        ),
        life_notice(service.about.life, desk.day),
        tag("p", f"Told from {outline.origin}.", class_="quiet"),
        outline.text and _paragraphs(outline.text),
        _contents(outline),
        [_operation(desk, one, at) for at, one in enumerate(outline.operations)],
    )


def _contents(outline: Outline) -> Child:
    if not outline.operations:
        return tag("p", "Nothing is known of its operations.")
    items = [
        tag("li", tag("a", tag("code", name(one.name)), href=f"#operation-{at}"))
        for at, one in enumerate(outline.operations)
    ]
    more = outline.total - len(items)
    return [
        tag("h2", "All operations"),
        tag("ul", items),
        tag("p", f"and {more} more, which its description has", class_="quiet") if more else None,
    ]


def _operation(desk: Desk, operation: OperationOutline, at: int) -> Markup:
    return join(
        tag("h2", tag("code", name(operation.name)), id=f"operation-{at}"),
        tag("p", tag("span", "deprecated", class_="mark warn")) if operation.deprecated else None,
        operation.title and tag("p", worded(name(operation.title))),
        operation.text and _paragraphs(operation.text),
        _rows(desk, "Parameters", operation.parameters),
        _rows(desk, "Request", operation.request),
        [_answer(desk, answer) for answer in operation.answers],
    )


def _answer(desk: Desk, answer: AnswerOutline) -> Child:
    if not answer.status:
        return _rows(desk, "Answer", answer.rows)
    title = f"Answer {clean(answer.status, 20)}"
    if not answer.rows:
        return tag("p", tag("strong", title), " ", worded(name(answer.text)))
    return [
        tag("h3", title),
        tag("p", worded(name(answer.text))),
        _rows(desk, "What stands in it", answer.rows),
    ]


def _rows(desk: Desk, caption: str, rows: tuple[Row, ...]) -> Markup | None:
    told = [
        (
            tag("code", clean(row.path, 300)),
            name(row.type),
            {True: "yes", False: "no", None: None}[row.required],
            desk.concept(row.concept) if row.concept else None,
            worded(clean(row.text, 300)) if row.text else None,
        )
        for row in rows
    ]
    head = ("Name", "Value", "Always there", "Fact", "Meaning")
    return table(head, told, caption) if told else None


def _paragraphs(text: str) -> Markup:
    """A longer text with its paragraphs; whatever language it is marked up in stays as it is."""
    parts = [part for part in clean(text).split("\n\n") if part.strip()]
    return join([tag("p", worded(escape(part))) for part in parts[:20]])
