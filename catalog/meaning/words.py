"""Which of the labels of a thing a person gets to read."""

from catalog.meaning.vocabulary import Labels

COMMON = "en"  # what most people may understand, when their own language is not there


def label_of(labels: Labels, *languages: str) -> str:
    """The label in the first of these languages that there is, else in any; empty without labels.

    A label in `es` serves `es-GT` and the other way round, an exact one before both; English comes
    before other languages that were not asked for. Case of language tags does not count.

    Source: RFC 4647 3.4 (lookup).
    """
    return labels.get(tag_of(labels, *languages), "")


def tag_of(labels: Labels, *languages: str) -> str:
    """The language of the label that `label_of` gives, as it is written there."""
    known = {tag.lower(): tag for tag in labels}
    for language in (*languages, COMMON):
        found = _nearest(known, language.lower())
        if found:
            return known[found]
    return next(iter(labels), "")


def _nearest(known: dict[str, str], language: str) -> str:
    tag = language
    while tag:
        if tag in known:
            return tag
        tag = tag.rpartition("-")[0]
    primary = language.partition("-")[0]
    return next((tag for tag in sorted(known) if tag.startswith(f"{primary}-")), "")
