"""Find services in the catalog: by what they know, what they are called, and whose they are.

    index = SearchIndex(catalog)                      # once for each version
    page = index.search(CatalogQuery(text="birth date", concept="Date of birth"), day)

Words are compared without case and accents; a word may be the beginning of one in the catalog.
Every word of a query must be met somewhere; where it is met decides the order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from catalog.about import LifeState
from catalog.central.entries import Catalog, CatalogService
from catalog.central.search_words import (
    MEMBER,
    Entry,
    LabelText,
    concepts_of,
    entry_of,
    normal,
    words_of,
)
from catalog.meaning.vocabulary import Procedure, Vocabulary
from trust.errors import MalformedMessage
from trust.ids import ClientId

LONGEST_TEXT = 300  # characters of each part of a query
LARGEST_PAGE = 200
LAST_PAGE = 10_000
MAX_WORDS = 10
_STATE = {LifeState.PUBLISHED: 1.0, LifeState.DRAFT: 0.8, LifeState.DEPRECATED: 0.5}


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """What is looked for; each part that is given narrows the rest.

    Attributes:
        text: words in names, titles, descriptions, keywords, fields and labels of concepts.
        concept: URI of a fact that a service has, or its label in any language.
        purpose: URI or label: services with facts that procedures for this purpose need.
        keyword: one of the keywords of a service.
        member: `GOV:1001`, `EX:GOV:1001:persons`, or words of a name.
        territory: code; services for everywhere are found, too.
        drafts, withdrawn: whether services in that state are shown.
        page: from 1 on.

    Raises MalformedMessage for what is out of bounds.
    """

    text: str = ""
    concept: str = ""
    purpose: str = ""
    keyword: str = ""
    member: str = ""
    territory: str = ""
    drafts: bool = False
    withdrawn: bool = False
    page: int = 1
    size: int = 20

    def __post_init__(self) -> None:
        for name in ("text", "concept", "purpose", "keyword", "member", "territory"):
            if len(getattr(self, name)) > LONGEST_TEXT:
                raise _refused(f"'{name}' has more than {LONGEST_TEXT} characters")
        if len(words_of(self.text)) > MAX_WORDS:
            raise _refused(f"'text' has more than {MAX_WORDS} words")
        for name, most in (("page", LAST_PAGE), ("size", LARGEST_PAGE)):
            if not 1 <= getattr(self, name) <= most:
                raise _refused(f"'{name}' is not from 1 to {most}")


def _refused(why: str) -> MalformedMessage:
    return MalformedMessage(f"The search can't be made: {why}", "invalid_request")


@dataclass(frozen=True, slots=True)
class CatalogHit:
    """A service that was found.

    Attributes:
        state: on the day of the search; a deprecated one past its end is withdrawn.
        concepts: URIs that were asked for and that it has, when concepts were asked for.
    """

    service: CatalogService
    score: float
    state: LifeState
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Some of the services that were found, the best first.

    Attributes:
        total: how many there are on all pages.
        pages: how many pages there are, at least 1.
    """

    hits: tuple[CatalogHit, ...]
    total: int
    page: int
    pages: int


def state_on(service: CatalogService, day: date) -> LifeState:
    """Where a service stands on a day."""
    life = service.about.life
    if life.state is LifeState.DEPRECATED and life.ends is not None and life.ends <= day:
        return LifeState.WITHDRAWN
    return life.state


@dataclass
class SearchIndex:
    """The words of one version of the catalog, ready to be searched. It has no state beyond."""

    catalog: Catalog
    _entries: tuple[Entry, ...] = field(init=False, repr=False)
    _labels: "LabelText" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        concepts, members = self.catalog.vocabulary.concept, self.catalog.name_of
        self._labels = LabelText.of(concepts)
        self._entries = tuple(entry_of(one, members, concepts) for one in self.catalog.services)

    def concepts(self, asked: str) -> frozenset[str]:
        """The URIs that a URI or a label stands for; the URI itself when nobody knows it.

        A label that is meant exactly comes before labels that have all of its words.
        """
        if asked in self.catalog.vocabulary.concept or (":" in asked and " " not in asked):
            return frozenset({asked})
        return self._labels.find(normal(asked))

    def search(self, query: CatalogQuery, day: date) -> CatalogPage:
        """One page of the services that a query is about, on a day."""
        hits = self.all(query, day)
        first = (query.page - 1) * query.size
        pages = max(1, -(-len(hits) // query.size))
        return CatalogPage(hits[first : first + query.size], len(hits), query.page, pages)

    def all(self, query: CatalogQuery, day: date) -> tuple[CatalogHit, ...]:
        """The services of all pages, the best first."""
        found = self._hits(query, day)
        return tuple(sorted(found, key=lambda hit: (-hit.score, hit.service.id.colons)))

    def _hits(self, query: CatalogQuery, day: date) -> Iterator[CatalogHit]:
        words, wanted = words_of(query.text), self._wanted(query)
        keyword, member = normal(query.keyword), _MemberTest.of(query.member)
        for service, entry in zip(self.catalog.services, self._entries, strict=True):
            state = state_on(service, day)
            if not _is_shown(state, query) or not _is_there(service, query.territory):
                continue
            if keyword and keyword not in map(normal, service.about.keywords):
                continue
            if not member.holds(service.id.provider, entry):
                continue
            score = entry.score(words) if words else 1.0
            met = () if wanted is None else tuple(_met(service, wanted))
            if score and (wanted is None or met):
                yield CatalogHit(service, score * _STATE.get(state, 0.2), state, met)

    def _wanted(self, query: CatalogQuery) -> frozenset[str] | None:
        """The concepts one of which a service must have; None when any will do."""
        wanted = self.concepts(query.concept) if query.concept.strip() else None
        if query.purpose.strip():
            needed = needed_for(query.purpose, self.catalog.vocabulary)
            wanted = needed if wanted is None else wanted & needed
        return wanted


def needed_for(purpose: str, vocabulary: Vocabulary) -> frozenset[str]:
    """The concepts that procedures for a purpose need, by its URI or its label."""
    asked = normal(purpose)
    meant = {
        one.uri
        for one in vocabulary.purposes
        if one.uri == purpose or (asked and asked in map(normal, one.labels.values()))
    }
    found: set[str] = set()
    for procedure in vocabulary.procedures:
        if procedure.purpose in meant:
            found.update(_needs(procedure, vocabulary))
    return frozenset(found)


def _needs(procedure: Procedure, vocabulary: Vocabulary) -> Iterator[str]:
    for uri in procedure.requirements:
        requirement = vocabulary.requirement.get(uri)
        if requirement is None:
            continue
        yield from requirement.concepts
        for paper in requirement.evidence_types:
            known = vocabulary.evidence_type.get(paper)
            yield from () if known is None else known.concepts


def _is_shown(state: LifeState, query: CatalogQuery) -> bool:
    if state is LifeState.DRAFT:
        return query.drafts
    return state is not LifeState.WITHDRAWN or query.withdrawn


def _is_there(service: CatalogService, territory: str) -> bool:
    return not territory or service.about.territory in ("", territory)


def _met(service: CatalogService, wanted: frozenset[str]) -> Iterator[str]:
    """Those of the wanted concepts that a service has, each once."""
    seen: dict[str, None] = {}
    for concept in concepts_of(service):
        if concept in wanted:
            seen.setdefault(concept)
    yield from seen


@dataclass(frozen=True, slots=True)
class _MemberTest:
    """Whose services are meant: by the parts of an identifier, or by words of a name."""

    parts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: str) -> "_MemberTest":
        if ":" in asked:
            return cls(parts=tuple(asked.split(":")))
        return cls(words=words_of(asked))

    def holds(self, client: ClientId, entry: Entry) -> bool:
        if self.parts:
            whole, count = client.parts, len(self.parts)
            return self.parts in (whole[:count], whole[1 : count + 1])
        return all(f" {word}" in entry.places[MEMBER] for word in self.words)
