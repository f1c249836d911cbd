"""What all pages share: head, navigation, policy and style. No script, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from catalog.central.faces.markup import Child, Markup, join, link, tag, worded
from catalog.central.faces.style import STYLE
from catalog.central.faces.view import uri_segment

OWN_STYLE = """
.cards > li { padding: .7rem .8rem; background: var(--soft); border-radius: .3rem; }
.people { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
          gap: .3rem .8rem; }
fieldset { border: 0; padding: 0; margin: 1.2rem 0; min-width: 0; }
legend { padding: 0; font-size: 1.1rem; font-weight: 600; margin-bottom: .4rem; }
label.choice { display: flex; gap: .6rem; align-items: start; color: var(--ink);
               padding: .55rem .7rem; background: var(--soft); border-radius: .3rem; }
label.choice input { width: 1.2rem; height: 1.2rem; min-height: 0; margin: .15rem 0 0;
                     flex: none; accent-color: var(--link); }
label.choice:has(input:checked) { outline: 2px solid var(--link); }
label.choice small { display: block; color: var(--quiet); font-size: .88rem; }
form.inline { display: inline-block; margin: .3rem .6rem .3rem 0; }
.value { font-weight: 600; }
.short { white-space: nowrap; }
th { overflow-wrap: break-word; }
.missing { color: var(--warn); }
.uses ol { list-style: none; padding: 0; }
.uses ol > li { border-top: 1px solid var(--line); padding: .75rem 0; }
.uses .note { background: var(--soft); padding: .6rem .8rem; border-radius: .3rem; }
summary { cursor: pointer; padding: .35rem 0; color: var(--link); }
nav a[aria-current] { font-weight: 650; color: var(--ink); text-decoration: none; }
@media (max-width: 34rem) { .people { grid-template-columns: 1fr; } }
"""
WHOLE_STYLE = STYLE + OWN_STYLE
_DIGEST = base64.b64encode(hashlib.sha256(WHOLE_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
PARTS = (("New case", "/"), ("Cases", "/cases"), ("Citizen", "/citizens"), ("Auditor", "/audit"))


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every page.

    Attributes:
        catalog: address of the catalog at the Municipality's node.
        catalogs: where else the catalog is read: names and addresses.
    """

    catalog: str
    catalogs: Sequence[tuple[str, str]] = ()

    def fact(self, uri: str, name: str) -> Markup:
        """A fact's name, with a link to what the catalog says of it."""
        return link(f"{self.catalog}/concepts/{uri_segment(uri)}", worded(name))

    def source(self, service: str, name: str) -> Markup:
        """The name of who answered, with a link to what the catalog says of the service."""
        return link(f"{self.catalog}/services/{service}", worded(name or service))

    def page(self, title: str, *content: Child, here: str = "") -> str:
        """A whole page.

        Args:
            title: of the window; the page's own heading stands in the content.
            here: the part of the navigation that it belongs to, by its address.
        """
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", f"{title} | Once-only in the sandbox"),
            Markup(f"<style>{WHOLE_STYLE}</style>"),
        )
        body = tag(
            "body",
            tag("a", "To the content", class_="skip", href="#content"),
            tag("header", tag("a", "Once-only in the sandbox", class_="home", href="/"),
                self._navigation(here)),
            tag("main", *content, id="content"),
            tag("footer", tag("p", "Nobody on these pages is real. Every value was fetched through"
                              " the nodes when the case was opened, and is kept only in memory.")),
        )  # fmt: skip
        return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"

    def _navigation(self, here: str) -> Markup:
        items = [
            tag(
                "li", tag("a", name, href=address, aria_current="page" if address == here else None)
            )
            for name, address in PARTS
        ]
        catalogs = (("Catalog at the node", self.catalog), *self.catalogs)
        items += [tag("li", link(address, name)) for name, address in catalogs]
        return tag("nav", tag("ul", items), aria_label="Parts of the story")


def heading(kind: str, text: Child) -> Markup:
    """The page's heading, and above it what kind of thing it is about."""
    return join(tag("p", kind, class_="kind"), tag("h1", text))


def notice(style: str, *content: Child) -> Markup:
    """Something that must not be overlooked: `good`, `warn` or `bad`."""
    return tag("div", *(tag("p", one) for one in content), class_=f"notice {style}")


def cards(numbers: Sequence[tuple[int, str, str]]) -> Markup:
    """Numbers with what is counted, for one and for any other number."""
    items = [
        tag("li", tag("strong", str(count)), one if count == 1 else more)
        for count, one, more in numbers
    ]
    return tag("ul", items, class_="cards")


def commands(*lines: str) -> Markup:
    """Lines for a shell."""
    return tag("pre", tag("code", "\n".join(lines)), tabindex="0")


def wrong(frame: Frame, status: int, text: str) -> str:
    """A page for what can't be shown."""
    phrase = HTTPStatus(status).phrase
    return frame.page(
        phrase,
        heading(f"Status {status}", phrase),
        tag("p", worded(text), class_="lead"),
        tag("p", link("/", "Open a new case")),
    )
