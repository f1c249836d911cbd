"""Words of services and of facts, ready to be compared: what a search looks through."""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog.central.entries import CatalogService
from catalog.meaning.vocabulary import Concept, Labels
from trust.ids import ClientId

_MAX_CONCEPTS = 2_000  # that a label may stand for
_PREFIX = 0.6  # what the beginning of a word counts against the whole of it
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")


def normal(text: str) -> str:
    """A text as it is compared: no case, no accents, words with one space between them."""
    if text.isascii():
        return " ".join(_WORD.findall(text.lower()))
    folded = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(_WORD.findall("".join(c for c in folded if not unicodedata.combining(c))))


def words_of(text: str) -> tuple[str, ...]:
    """The different words of a text as they are compared."""
    return tuple(dict.fromkeys(normal(text).split()))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a word may be met, and what that is worth."""

    name: str
    worth: float


_PLACES = (
    _Place("code", 10), _Place("title", 8), _Place("keywords", 6), _Place("concepts", 5),
    _Place("fields", 4), _Place("member", 3), _Place("description", 2),
)  # fmt: skip
MEMBER = 5  # place of the words about who offers a service


@dataclass(frozen=True, slots=True)
class Entry:
    """The words of one service: ` birth date ` for each place."""

    places: tuple[str, ...]

    def score(self, words: Sequence[str]) -> float:
        """What all words are worth together; 0 when one is not met."""
        whole = 0.0
        for word in words:
            worth = self._worth(word)
            if not worth:
                return 0.0
            whole += worth
        return whole

    def _worth(self, word: str) -> float:
        """What the best place of a word is worth; 0 when it is not met."""
        beginning, best = f" {word}", 0.0
        for place, text in zip(_PLACES, self.places, strict=True):
            if place.worth > best and beginning in text:
                best = max(best, place.worth * (1.0 if f"{beginning} " in text else _PREFIX))
        return best


@dataclass(frozen=True, slots=True)
class LabelText:
    """The labels of all concepts in one text, a line for each concept: ` one label | other `.

    A country has tens of thousands of concepts; one text is small, and quickly looked through.
    """

    text: str
    uris: tuple[str, ...]

    @classmethod
    def of(cls, concepts: Mapping[str, Concept]) -> "LabelText":
        lines = (
            f"\n{number}\t| {' | '.join(labels_of(one.labels))} |"
            for number, one in enumerate(concepts.values())
        )
        text = io.StringIO()
        text.writelines(lines)
        text.write("\n")
        return cls(text.getvalue(), tuple(concepts))

    def find(self, label: str) -> frozenset[str]:
        """The concepts with exactly this label, or else those that have all its words."""
        words = label.split()
        if not words:
            return frozenset()
        exact = frozenset(self._with(f"| {label} |", ()))
        return exact or frozenset(self._with(f" {words[0]}", words[1:]))

    def _with(self, piece: str, words: Sequence[str]) -> Iterator[str]:
        place, found = self.text.find(piece), 0
        while place >= 0 and found < _MAX_CONCEPTS:
            start = self.text.rfind("\n", 0, place) + 1
            end = self.text.find("\n", place)
            line = self.text[start:end]
            if all(f" {word}" in line for word in words):
                found += 1
                yield self.uris[int(line.partition("\t")[0])]
            place = self.text.find(piece, end)


def concepts_of(service: CatalogService) -> Iterator[str]:
    for endpoint in service.mapping.endpoints:
        yield from (one.concept for one in endpoint.fields if one.concept)
        yield from (one.concept for one in endpoint.views if one.concept)


def labels_of(labels: Labels) -> tuple[str, ...]:
    return tuple(dict.fromkeys(normal(text) for text in labels.values()))


def entry_of(
    service: CatalogService,
    members: Mapping[ClientId, str],
    concepts: Mapping[str, Concept],
) -> Entry:
    about, provider = service.about, service.id.provider
    fields = [one.name for endpoint in service.mapping.endpoints for one in endpoint.fields]
    fields += [one.name for endpoint in service.mapping.endpoints for one in endpoint.views]
    texts = {
        "code": _apart([service.id.service_code]),
        "title": [service.title],
        "keywords": about.keywords,
        "concepts": [
            text
            for uri in concepts_of(service)
            if uri in concepts
            for text in concepts[uri].labels.values()
        ],
        "fields": _apart(fields),
        "member": [members.get(provider, ""), members.get(provider.member, ""), *provider.parts],
        "description": [about.description],
    }
    places = tuple(_joined(texts[place.name]) for place in _PLACES)
    return Entry(places)


def _apart(names: Iterable[str]) -> Iterator[str]:
    """Names of programs as they are, and in the words that they are made of."""
    for name in names:
        yield name
        if (split := _HUMP.sub(" ", name)) != name:
            yield split


def _joined(texts: Iterable[str]) -> str:
    """All different words, with a space before and after each; empty without any."""
    words = dict.fromkeys(word for text in texts for word in normal(text).split())
    return f" {' '.join(words)} " if words else ""
