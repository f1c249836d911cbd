"""Which of the labels of a thing a person gets to read."""

from catalog.meaning.vocabulary import Labels

COMMON = "en"  # what most people may understand, when their own language is not there


def label_of(labels: Labels, *languages: str) -> str:
    """The label in the first of these languages that there is, else in any; empty without labels.

    A label in `es` serves `es-GT` and the other way round, an exact one before both; English comes
    before other languages that were not asked for. Case of language tags does not count.

    Source: RFC 4647 3.4 (lookup).
    """
    by_tag = {tag.lower(): text for tag, text in labels.items()}
    for language in (*languages, COMMON):
        found = _in_language(by_tag, language.lower())
        if found is not None:
            return found
    return next(iter(labels.values()), "")


def _in_language(by_tag: dict[str, str], language: str) -> str | None:
    tag = language
    while tag:
        if tag in by_tag:
            return by_tag[tag]
        tag = tag.rpartition("-")[0]
    primary = language.partition("-")[0]
    return next((by_tag[tag] for tag in sorted(by_tag) if tag.startswith(f"{primary}-")), None)
