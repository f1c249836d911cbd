"""What all pages share: head, navigation, notices, and pages of lists."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from catalog.about import LifeCycle, LifeState
from catalog.central.entries import CatalogService
from catalog.central.faces.markup import Child, Markup, join, link, name, tag, worded
from catalog.central.faces.paging import Page
from catalog.central.faces.question import Answer, Question
from catalog.central.faces.view import CatalogView, title_of, uri_segment
from catalog.central.faces.wording import Worded, worded_label
from catalog.central.search import LONGEST_TEXT
from catalog.meaning.vocabulary import Labels
from trust.ids import ClientId, ServiceId

POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)

MOST_SHOWN = 20  # of what belongs to one thing, before the rest is only counted


@dataclass(frozen=True)
class Desk:
    """What a page is written with.

    Attributes:
        root: path by which the catalog is reached.
        day: on which life cycles and authorities are judged.
    """

    view: CatalogView
    root: str
    languages: tuple[str, ...]
    day: date

    def words(self, labels: Labels, otherwise: str) -> Markup:
        """A label, marked with its language when that is not the page's."""
        return written(worded_label(labels, self.languages, otherwise))

    def plain_words(self, labels: Labels, otherwise: str) -> str:
        return name(worded_label(labels, self.languages, otherwise).text)

    def concept(self, uri: str) -> Markup:
        """A concept's label, with a link where it is known."""
        known = self.view.catalog.vocabulary.concept.get(uri)
        if known is None:
            return tag("code", name(uri))
        return link(self.concept_address(uri), self.words(known.labels, uri))

    def concept_address(self, uri: str) -> str:
        return f"{self.root}/concepts/{uri_segment(uri)}"

    def procedure_address(self, uri: str) -> str:
        return f"{self.root}/procedures/{uri_segment(uri)}"

    def service(self, service: ServiceId) -> Markup:
        """A service's title, with a link where it is known."""
        known = self.view.catalog.service.get(service)
        if known is None:
            return tag("code", name(service.colons))
        return link(self.service_address(service), worded(name(title_of(known))))

    def service_address(self, service: ServiceId) -> str:
        return f"{self.root}/services/{service.path}"

    def client(self, client: ClientId) -> Markup:
        """A member's or subsystem's name, with a link."""
        named = worded(name(self.view.full_name(client)))
        return link(f"{self.root}/members/{client.path}", named)


def written(words: Worded) -> Markup:
    return worded(name(words.text), "" if words.language == "en" else words.language)


def html_answer(desk: Desk, title: str, *content: Child, status: int = 200) -> Answer:
    """A whole page.

    Args:
        title: of the window; the page's own heading stands in the content.
    """
    catalog = desk.view.catalog
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", f"{name(title)} | {name(catalog.instance)} catalog"),
            tag("link", rel="stylesheet", href=f"{desk.root}/style.css"),
        ),
        tag(
            "body",
            tag("a", "To the content", class_="skip", href="#content"),
            tag("header", _home(desk), _navigation(desk)),
            tag("main", *content, id="content"),
            tag(
                "footer",
                tag(
                    "p",
                    f"Version {catalog.version} of the catalog of {name(catalog.instance)}, made ",
                    f"{catalog.made_at:%Y-%m-%d %H:%M} UTC. ",
                    link(f"{desk.root}/v1/openapi.json", "For programs (OpenAPI)"),
                ),
            ),
        ),
        lang="en",
    )
    return Answer(
        ("<!DOCTYPE html>\n" + page + "\n").encode(),
        "text/html",
        status,
        {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"},
        varies=True,
    )


def _home(desk: Desk) -> Markup:
    return tag("a", f"{name(desk.view.catalog.instance)} catalog", class_="home", href=desk.root)


def _navigation(desk: Desk) -> Markup:
    parts = ("Services", "Facts", "Procedures", "Institutions")
    addresses = ("services", "concepts", "procedures", "members")
    items = [
        tag("li", link(f"{desk.root}/{address}", part))
        for part, address in zip(parts, addresses, strict=True)
    ]
    return tag("nav", tag("ul", items), aria_label="Parts of the catalog")


def heading(kind: str, text: Child) -> Markup:
    """The page's heading, and above it what kind of thing it is about."""
    return join(tag("p", kind, class_="kind"), tag("h1", text))


def search_form(desk: Desk, text: str = "") -> Markup:
    return tag(
        "form",
        tag(
            "label",
            "Search services, facts and institutions",
            tag("input", type="search", name="q", value=text, maxlength=str(LONGEST_TEXT)),
        ),
        tag("button", "Search", type="submit"),
        class_="search",
        role="search",
        method="get",
        action=f"{desk.root}/search",
    )


def steps(page: Page[object], question: Question, address: str) -> Markup | None:
    """Links to the pages before and behind; None when there is only one."""
    if page.last == 1:
        return None

    def to(number: int, text: str, rel: str) -> Markup:
        query = urlencode({**question.query, "page": str(number)})
        return tag("li", tag("a", text, href=f"{address}?{query}", rel=rel))

    items = []
    if page.number > 1:
        items.append(to(min(page.number - 1, page.last), "Previous", "prev"))
    items.append(tag("li", f"Page {page.number} of {page.last}"))
    if page.number < page.last:
        items.append(to(page.number + 1, "Next", "next"))
    return tag("nav", tag("ul", items), class_="steps", aria_label="Pages of this list")


def and_more(rows: Iterable[Child], total: int) -> list[Child]:
    """The first of many, and how many more there are."""
    shown = list(rows)[:MOST_SHOWN]
    if total > len(shown):
        shown.append(tag("span", f"and {total - len(shown)} more", class_="quiet"))
    return shown


# --- life cycle -----------------------------------------------------------------------------------

_MARKS = {LifeState.DRAFT: "warn", LifeState.DEPRECATED: "warn", LifeState.WITHDRAWN: "bad"}


def life_mark(life: LifeCycle) -> Markup | None:
    """A word beside the name of a service that is not simply published."""
    style = _MARKS.get(life.state)
    return None if style is None else tag("span", life.state.value, class_=f"mark {style}")


def life_notice(life: LifeCycle, day: date) -> Markup | None:
    """What readers must know before they build upon a service."""
    if life.state is LifeState.PUBLISHED:
        return None
    told = {
        LifeState.DRAFT: "This is a draft. It may change or never come; nothing should rely on it.",
        LifeState.WITHDRAWN: "This service was withdrawn. It is not to be called any more.",
        LifeState.DEPRECATED: _deprecated(life, day),
    }[life.state]
    successor = life.successor and tag("p", "Use instead: ", worded(life.successor))
    style = "bad" if not life.usable(day) and life.state is not LifeState.DRAFT else "warn"
    return tag("div", tag("p", tag("strong", told)), successor, class_=f"notice {style}")


def _deprecated(life: LifeCycle, day: date) -> str:
    if life.ends is None:
        return "This service is deprecated. Nothing new should use it."
    if life.ends <= day:
        return f"This service was deprecated and is withdrawn since {life.ends}."
    told = f"This service is deprecated and will be withdrawn on {life.ends}."
    return f"{told} Nothing new should use it."


def service_item(desk: Desk, service: CatalogService) -> Markup:
    """A service in a list."""
    return tag(
        "li",
        tag("p", desk.service(service.id), " ", life_mark(service.about.life)),
        tag(
            "p",
            desk.client(service.id.provider),
            " · ",
            service.type.value,
            " · ",
            tag("code", name(service.id.service_code)),
            class_="quiet",
        ),
        service.about.description and tag("p", worded(name(service.about.description))),
    )
