"""Which of several languages a reader gets. Source: RFC 9110 12.5.4, RFC 4647 3.4 (lookup)."""

import re
from dataclasses import dataclass

from catalog.meaning.vocabulary import Labels
from catalog.meaning.words import tag_of

_LONGEST_HEADER = 500
_MOST = 10  # languages that are looked at
_RANGE = re.compile(
    r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4}|\*)"
    r"(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


@dataclass(frozen=True, slots=True)
class Worded:
    """A label, and its language; empty when it is none of the labels."""

    text: str
    language: str = ""


def languages_of(header: str) -> tuple[str, ...]:
    """The languages of an `Accept-Language`, the dearest first; what is malformed is left out."""
    found: list[tuple[float, str]] = []
    for part in header[:_LONGEST_HEADER].split(",")[:_MOST]:
        match = _RANGE.fullmatch(part.strip())
        if match and match[1] != "*" and (weight := float(match[2] or 1)) > 0:
            found.append((weight, match[1].lower()))
    return tuple(language for _weight, language in sorted(found, key=lambda one: -one[0]))


def worded_label(labels: Labels, languages: tuple[str, ...], otherwise: str) -> Worded:
    """The label that a reader understands best.

    Args:
        otherwise: what is said where there is no label at all.
    """
    written = {tag: text for tag, text in labels.items() if text.strip()}
    tag = tag_of(written, *languages)
    return Worded(written[tag], tag) if written else Worded(otherwise)
