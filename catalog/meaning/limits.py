"""How much a vocabulary may hold: the same for what is declared, kept and shipped."""

from collections.abc import Mapping

from catalog.meaning.vocabulary import Vocabulary

MOST: Mapping[str, int] = {  # by the list's name
    "concepts": 100_000,
    "evidence_types": 10_000,
    "requirements": 10_000,
    "purposes": 10_000,
    "procedures": 10_000,
    "authorities": 100_000,
    "templates": 1_000,
}
MOST_INSTANCES = 20_000  # of one template
MOST_STATEMENTS = 1_000_000  # "this service is an authority for this concept", in all
MOST_REFERENCES = 1_000  # of one thing to others of one kind
MOST_ALTERNATES = 20
MOST_LANGUAGES = 50
LONGEST_URI = 1_000  # characters, as all that follow
LONGEST_LABEL = 500
LONGEST_TEXT = 5_000
LONGEST_TAG = 35
LONGEST_TERRITORY = 200
LARGEST_JSON = 64 << 20  # bytes


def statements_in(vocabulary: Vocabulary) -> int:
    """How often a service is named as an authority for a concept."""
    declared = sum(len(one.concepts) for one in vocabulary.authorities)
    templates = sum(len(one.concepts) * len(one.instances) for one in vocabulary.templates)
    return declared + templates
