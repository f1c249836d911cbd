"""The page on which a citizen reads who used his data: plain HTML that needs no script.

Everything that others said is escaped, cut to a line's length and set apart in its direction, so
that no text can pass for a part of the page. Nothing of it becomes an address to click.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from node.once.citizen.collected import Asked, Collected
from node.once.citizen.names import MemberNames, Words
from node.once.citizen.sources import Standing
from node.once.citizen.told import Part, Usage
from trust.errors import MalformedMessage
from trust.ids import ClientId

_LONGEST = 300  # characters of one text
_MOST_FACTS = 100  # of one use

STYLE = """
:root { color-scheme: light dark; --line: #767676; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 46rem; padding: 1rem; }
ol { list-style: none; padding: 0; }
ol > li { border-top: 1px solid var(--line); padding: .75rem 0; }
h2, h3 { line-height: 1.25; margin: 0 0 .5rem; }
dl { display: grid; gap: .15rem 1rem; grid-template-columns: minmax(7rem, auto) 1fr; margin: 0; }
dt { opacity: .8; }
dd { margin: 0; overflow-wrap: anywhere; }
.note { border: 1px solid var(--line); padding: .75rem; }
@media (max-width: 30rem) { dl { display: block; } dd { margin-bottom: .4rem; } }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
PAGE_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a page puts things: names of purposes and facts, and of institutions."""

    words: Words
    names: MemberNames


def render_usage(found: Collected, reading: Reading) -> str:
    """The whole page, to be sent with PAGE_HEADERS."""
    language = escape(reading.words.language, quote=True)
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Who used your data</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n{render_body(found, reading)}\n</main>\n</body>\n</html>\n"
    )


def render_body(found: Collected, reading: Reading) -> str:
    """What stands in the page, for one that has a frame of its own; it begins with an `h1`."""
    parts = [
        "<h1>Who used your data</h1>",
        f"<p>{_summary(found)}</p>",
        f'<p class="note">{_sealed(found.sealed)}</p>',
        _list(found.usages, reading),
        _absent(found.asked, reading.names),
    ]
    return "\n".join(part for part in parts if part)


def _summary(found: Collected) -> str:
    count = len(found.usages)
    text = f"{_counted(count, 'use')} of your data {_is(count)} shown, the latest first."
    if found.more:
        text += f" {_counted(found.more, 'older use')} {_is(found.more)} not on this page."
    if not found.complete:
        text += " Some institutions did not answer: they are named at the end."
    return text


def _sealed(count: int) -> str:
    if not count:
        return "No use of your data is sealed, as far as the institutions that answered tell."
    return (
        f"{_counted(count, 'more use')} of your data {_is(count)} sealed: a law lets the"
        " institution keep secret who it was and what for. A data protection authority can look"
        " into it for you."
    )


def _list(usages: Sequence[tuple[ClientId, Usage]], reading: Reading) -> str:
    if not usages:
        return ""
    entries = "\n".join(_entry(source, usage, reading) for source, usage in usages)
    return f"<h2>Uses</h2>\n<ol>\n{entries}\n</ol>"


def _entry(source: ClientId, usage: Usage, reading: Reading) -> str:
    who = usage.receiverName or usage.receiverCode
    return f"<li>\n<h3>{_safe(who)}</h3>\n<dl>\n{_facts(source, usage, reading)}\n</dl>\n</li>"


def _facts(source: ClientId, usage: Usage, reading: Reading) -> str:
    words = reading.words
    moment = usage.logtime.strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = usage.logtime.strftime("%d.%m.%Y %H:%M:%S UTC")
    rows = [
        ("When", f'<time datetime="{moment}">{shown}</time>'),
        ("System", _safe(usage.receiverSystem)),
        ("Got it from", _safe(_giver(source, usage, reading.names))),
        ("What", _what(usage.facts, words)),
        ("Only derived", _what(usage.derivedFacts, words)),
        ("Reason", _safe(usage.action)),
        ("Purpose", _safe(words.purpose(usage.purpose) if usage.purpose else "")),
        ("Law", _safe(usage.legalBasis)),
        ("Case", _safe(usage.caseId)),
        ("Proof", _safe(usage.exchangeId)),
    ]
    return "\n".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows if text)


def _what(facts: Sequence[str], words: Words) -> str:
    shown = [_safe(words.fact(fact)) for fact in facts[:_MOST_FACTS]]
    rest = len(facts) - len(shown)
    return ", ".join([*shown, f"and {rest} more"] if rest else shown)


def _giver(source: ClientId, usage: Usage, names: MemberNames) -> str:
    """Whose data it was, as far as that is told: the one who tells, unless he fetched it."""
    giver = source
    if usage.part is Part.FETCHED:
        try:
            giver = ClientId.from_header(usage.source.rpartition("/")[0])
        except MalformedMessage:
            return usage.source
    return ", ".join(text for text in (names.member(giver), names.system(giver)) if text)


def _absent(asked: Iterable[Asked], names: MemberNames) -> str:
    rows = [
        f"<li>{_safe(_called(one.source.client, names))}: {_safe(one.reason)}</li>"
        for one in asked
        if one.standing is not Standing.ANSWERED
    ]
    if not rows:
        return ""
    return "<h2>Who told nothing</h2>\n<ul>\n" + "\n".join(rows) + "\n</ul>"


def _called(client: ClientId, names: MemberNames) -> str:
    member = names.member(client) or client.member_code
    return f"{member}, {names.system(client)}"


def _safe(text: str) -> str:
    """Text of others as it may stand between tags; empty stays empty."""
    if not text:
        return ""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:_LONGEST])
    cut = "…" if len(text) > _LONGEST else ""
    return f"<bdi>{escape(line + cut, quote=True)}</bdi>"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
