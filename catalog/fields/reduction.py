"""A JSON answer cut down to what is granted; what is cut off is named, and views are computed.

What goes out is chosen, what does not is left over: a value goes out only when it stands at a place
that is granted. Objects and lists around such places stay, so that the answer keeps its form.
Lists are cut item by item. What stands where a single value should, and is none, does not go out.

Pure: the same for an exchange, for a preview and for a test.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from catalog.fields.json_text import build_json, parse_json
from catalog.fields.paths import ANY, pointer_to
from catalog.fields.selection import Selection, Spot, shapes, spots_below
from catalog.fields.views import Derivation, derive
from catalog.mapping import EndpointMapping

MAX_NAMED = 1000  # places that are named as withheld
_LONGEST_STEP = 64  # characters of a name that a system chose
_WORD = re.compile(r"\*|@?[A-Za-z_][A-Za-z_\-]*(?:[0-9]{1,3}[A-Za-z_\-]+){0,4}(?:[0-9]{1,3})?")
_UNKNOWN = "?"
_LONGEST_PATH = 1000
_ROOT = "/"  # how a document is named that is a single value


@dataclass(slots=True)
class Places:
    """A tree of places in an answer, of which some are withheld, by names that may be told.

    Names may be values: children by their national ids, incomes by the names of those who pay. What
    neither the mapping knows nor looks like a name that a programmer chose is one place, `?`.

    Attributes:
        known: names that the mapping has.
        withheld: whether a value here did not go out.
    """

    known: frozenset[str] = frozenset()
    below: dict[str, "Places"] = field(default_factory=dict)
    withheld: bool = False

    def at(self, step: str) -> "Places":
        found = self.below.get(step)
        if found is not None:
            return found
        shown = step if step in self.known or _is_word(step) else _UNKNOWN
        return self.below.setdefault(shown, Places(self.known))

    def paths(self, steps: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """Every place that is withheld, once."""
        if self.withheld:
            yield steps
        for step, below in self.below.items():
            yield from below.paths((*steps, step))


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is left of an answer.

    Attributes:
        data: the document.
        given: names of the fields and views that are in it, with a value or with null.
        derived: those of them that are views.
        untold: views that are null for want of a value that fits.
        withheld: paths that did not go out, `*` for the items of lists.
        unnamed: how many more of such paths there are than are named.
    """

    data: bytes = field(repr=False)
    given: tuple[str, ...]
    derived: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    unnamed: int = 0


@dataclass(slots=True)
class Tally:
    """What became of an answer so far."""

    at: datetime
    places: Places
    given: dict[str, None] = field(default_factory=dict)
    derived: dict[str, None] = field(default_factory=dict)
    untold: dict[str, None] = field(default_factory=dict)

    def give(self, spots: Sequence[Spot]) -> None:
        for spot in spots:
            for name in spot.names:
                self.given[name] = None

    def derive(self, derivation: Derivation, value: object) -> bool | int | None:
        """Compute a view that goes out."""
        name = derivation.view.name
        found = derive(derivation, value, self.at)
        self.given[name] = self.derived[name] = None
        if found is None:
            self.untold[name] = None
        return found

    def total(self, data: bytes) -> Reduction:
        paths = list(dict.fromkeys(map(shown_path, self.places.paths())))
        named = tuple(paths[:MAX_NAMED])
        return Reduction(
            data,
            tuple(self.given),
            tuple(self.derived),
            tuple(self.untold),
            named,
            len(paths) - len(named),
        )


@lru_cache(4096)  # an endpoint withholds the same places again and again
def shown_path(steps: tuple[str, ...]) -> str:
    """A path as it may stand in a header, a database and a line."""
    return pointer_to(steps)[:_LONGEST_PATH] or _ROOT


def _is_word(step: str) -> bool:
    return len(step) <= _LONGEST_STEP and _WORD.fullmatch(step) is not None


def reduce_json(raw: bytes, selection: Selection, at: datetime) -> Reduction:
    """Cut a JSON document down to a selection; raises `json_text.NoJson`.

    Args:
        at: for views, aware.
    """
    tally = Tally(at, Places(selection.known))
    cutter = _Cutter(selection.mapping, tally)
    document = parse_json(raw)
    granted, asked = selection.grants_all, selection.asks_all
    found = cutter.value(document, (selection.root,), granted, asked, tally.places)
    return tally.total(build_json(_empty(document) if found is _OUT else found))


class _Nothing:
    """In the place of a value that does not go out; null is one that does."""


_OUT = _Nothing()


def _empty(document: object) -> object:
    """A document of which nothing may go out keeps its outermost form."""
    return {} if isinstance(document, dict) else [] if isinstance(document, list) else None


@dataclass(frozen=True, slots=True)
class _Cutter:
    mapping: EndpointMapping
    tally: Tally

    def value(
        self, value: object, spots: tuple[Spot, ...], granted: bool, asked: bool, place: Places
    ) -> object:
        """What of a value goes out, or _OUT.

        Args:
            spots: the places where it stands, as far as something may go out there.
            granted, asked: whether a spot above grants, or asks for, all below.
        """
        single = not isinstance(value, (dict, list))
        granted = granted or any(one.grants_all or (single and one.grants) for one in spots)
        asked = asked or any(one.asks_all or (single and one.asks) for one in spots)
        whole = granted and asked
        if single or not (whole or shapes(spots, granted=granted, asked=asked)):
            if single and whole:
                self.tally.give(spots)
                return value
            _withhold(value, place)
            return _OUT
        if whole:
            self.tally.give(spots)
            if not spots:
                return value
        if isinstance(value, dict):
            return self._object(value, spots, granted, asked, place)
        if isinstance(value, list):
            return self._list(value, spots, granted, asked, place)
        raise AssertionError("what is no single value is an object or a list")

    def _object(
        self,
        value: dict[str, object],
        spots: tuple[Spot, ...],
        granted: bool,
        asked: bool,
        place: Places,
    ) -> dict[str, object]:
        kept: dict[str, object] = {}
        whole = granted and asked
        for name, item in value.items():
            below = spots_below(spots, (name,), granted=granted, asked=asked)
            if not below and not whole:
                _withhold(item, place.at(name))
                continue
            found = self.value(item, below, granted, asked, place.at(name))
            if found is not _OUT:
                kept[name] = found
        for spot in spots:
            for derivation, source in spot.views:
                found = self.tally.derive(derivation, value.get(source))
                kept[derivation.view.name] = found
        return kept

    def _list(
        self,
        value: list[object],
        spots: tuple[Spot, ...],
        granted: bool,
        asked: bool,
        place: Places,
    ) -> list[object]:
        kept: list[object] = []
        items = place.at(ANY)
        each = spots_below(spots, (ANY,), granted=granted, asked=asked)
        counted = any(step.isdigit() for spot in spots for step in spot.below)
        for position, item in enumerate(value):
            below = each
            if counted:
                below += spots_below(spots, (str(position),), granted=granted, asked=asked)
            found = self.value(item, below, granted, asked, items)
            if found is not _OUT:
                kept.append(found)
        return kept


def _withhold(value: object, place: Places) -> None:
    """Name everything of a value that does not go out."""
    if not value or not isinstance(value, (dict, list)):
        place.withheld = True
    elif isinstance(value, dict):
        for name, item in value.items():
            _withhold(item, place.at(name))
    else:
        items = place.at(ANY)
        for item in value:
            _withhold(item, items)
