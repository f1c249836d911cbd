"""What URIs, labels and other texts of a vocabulary must look like.

Source: RFC 3986 2, 3; RFC 8141 2 (URN); RFC 5646 2.1 (language tags).
"""

import re

from catalog.meaning.limits import (
    LONGEST_LABEL,
    LONGEST_TAG,
    LONGEST_TERRITORY,
    LONGEST_TEXT,
    LONGEST_URI,
    MOST_LANGUAGES,
)
from catalog.meaning.vocabulary import EVERYWHERE, Labels
from trust.settings import Place, Problems, SettingProblem

# No comma: requests name facts in a header as a list with commas.
_CHARACTER = r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+;=]|%[0-9A-Fa-f]{2})"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_URI = re.compile(
    rf"https?://{_HOST}(?:[/?#]{_CHARACTER}*)?|urn:[A-Za-z0-9][A-Za-z0-9-]{{0,31}}:{_CHARACTER}+"
)
_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
# Control characters, halves of characters and what no XML can hold.
_UNFIT_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SHOWN = 60  # characters of a wrong text that a problem repeats


def uri_problems(place: Place, uri: str) -> Problems:
    """A URI names something in other catalogs too, so it must be one everywhere."""
    if len(uri) > LONGEST_URI:
        yield SettingProblem(place, f"{len(uri)} characters", f"at most {LONGEST_URI}")
    elif not _URI.fullmatch(uri):
        expected = "an absolute URI (http, https or urn) without blanks and commas"
        yield SettingProblem(place, quoted(uri), expected)


def label_problems(place: Place, labels: Labels) -> Problems:
    """At least one language, and a text in each."""
    if not labels:
        yield SettingProblem(place, "no language", 'a text in one at least: { en = "…" }')
    if len(labels) > MOST_LANGUAGES:
        yield SettingProblem(place, f"{len(labels)} languages", f"at most {MOST_LANGUAGES}")
        return
    for tag, text in labels.items():
        here = (*place, tag)
        if len(tag) > LONGEST_TAG or not _TAG.fullmatch(tag):
            yield SettingProblem(here, quoted(tag), 'a language tag such as "en" or "es-GT"')
        if not text.strip():
            yield SettingProblem(here, quoted(text), "a text")
        elif len(text) > LONGEST_LABEL:
            yield SettingProblem(here, f"{len(text)} characters", f"at most {LONGEST_LABEL}")
        elif _UNFIT_IN_LINE.search(text):
            yield SettingProblem(here, quoted(text), "one line without control characters")


def text_problems(place: Place, text: str) -> Problems:
    """A longer text for people; it may be empty."""
    if len(text) > LONGEST_TEXT:
        yield SettingProblem(place, f"{len(text)} characters", f"at most {LONGEST_TEXT}")
    elif _UNFIT.search(text):
        yield SettingProblem(place, quoted(text), "a text without control characters")


def territory_problems(place: Place, territory: str) -> Problems:
    """A territory is compared with the value of a fact, so any text that stands in one line."""
    if territory == EVERYWHERE:
        return
    too_long = len(territory) > LONGEST_TERRITORY
    if too_long or territory != territory.strip() or _UNFIT_IN_LINE.search(territory):
        expected = f"a code of 1 to {LONGEST_TERRITORY} characters without blanks around it"
        yield SettingProblem(place, quoted(territory), expected)


def quoted(text: str) -> str:
    """A wrong text as a problem repeats it: cut, and in one line."""
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
