"""HTML that can't be broken by what it tells: text becomes markup only through this module.

Whatever is no `Markup` is escaped when it is put into an element, so that forgetting is safe.
Characters that no page may hold, or that turn the direction of what follows, are shown as U+FFFD.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

MAX_SHOWN = 4_000  # characters of one text
MAX_NAME = 160  # characters of a name in a heading or a table

# Control characters, what embeds, overrides or isolates a direction, halves of pairs, no characters
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_EMAIL = re.compile(r"[A-Za-z0-9._+\-]{1,64}@[A-Za-z0-9.\-]{1,255}")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./\-]{2,30}")
_VOID = frozenset({"meta", "link", "input", "br", "hr"})


class Markup(str):
    """A piece of HTML; only this module makes one."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def clean(text: str, longest: int = MAX_SHOWN) -> str:
    """Text that any page, JSON or XML document can hold, cut with an ellipsis."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return _UNFIT.sub("\ufffd", text)


def name(text: str) -> str:
    """A name cut for headings and tables, in one line."""
    return " ".join(clean(text, MAX_NAME).split())


def escape(text: str) -> Markup:
    return Markup(html.escape(clean(text)))


def join(*children: Child) -> Markup:
    """Pieces one after another, what is no markup escaped."""
    return Markup("".join(_pieces(children)))


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield escape(child)
        else:
            yield from _pieces(child)


def tag(element: str, *children: Child, **attributes: str | bool | None) -> Markup:
    """An element.

    Args:
        attributes: a final underscore is dropped, others become hyphens; True stands for an
            attribute without value, False and None leave it out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if element in _VOID:
        return Markup(f"<{element}{written}>")
    return Markup(f"<{element}{written}>{join(*children)}</{element}>")


def _attribute(key: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = key.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{html.escape(clean(value))}"'


def worded(text: str, language: str = "") -> Markup:
    """A text of others: its own direction, which ends with it, and its language when known."""
    return tag("bdi", text, lang=language or None)


def link(address: str, *children: Child) -> Markup:
    """A link to a page of ours."""
    return tag("a", *children, href=address)


def is_web_address(text: str) -> bool:
    """Whether a text is an address that a browser may be sent to."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    fits = len(text) <= MAX_SHOWN and not _UNFIT.search(text) and " " not in text
    return fits and parts.scheme in ("http", "https") and bool(parts.netloc)


def address(text: str) -> Markup:
    """A text of others that may be a web address: a link when it is one."""
    if not is_web_address(text):
        return worded(text)
    return tag("a", text, href=text, rel="noreferrer nofollow")


def email(text: str) -> Markup:
    if not _EMAIL.fullmatch(text):
        return worded(text)
    return tag("a", text, href=f"mailto:{text}")


def phone(text: str) -> Markup:
    if not _PHONE.fullmatch(text):
        return worded(text)
    return tag("a", text, href="tel:" + re.sub(r"[^+0-9]", "", text))


def table(head: Sequence[str], rows: Iterable[Iterable[Child]], caption: str = "") -> Markup:
    """A table with a header row; the first cell of every row names the row.

    Roles are written out, since narrow screens show the rows one below the other, and browsers then
    forget that it is a table.
    """
    titles = [tag("th", title, scope="col", role="columnheader") for title in head]
    body = [tag("tr", _cells(head, row), role="row") for row in rows]
    inside = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", titles, role="row"), role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        role="table",
    )
    return tag(
        "div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption or head[0]
    )


def _cells(head: Sequence[str], row: Iterable[Child]) -> Iterator[Markup]:
    for at, (title, cell) in enumerate(zip(head, row, strict=True)):
        if at == 0:
            yield tag("th", cell, scope="row", role="rowheader", data_title=title)
        else:
            inside = join(cell)
            yield tag("td", inside, role="cell", data_title=title if inside else None)


def facts(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Names and values; pairs without a value are left out."""
    told = [(title, value) for title, value in pairs if value]
    return tag("dl", [(tag("dt", title), tag("dd", value)) for title, value in told])
