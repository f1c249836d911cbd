"""Which places of an answer may go out: those that are granted, of these those that are asked for.

Grants and requests name fields by the names of the mapping, by the URIs of their concepts, or by
their paths. A path that no field of the mapping has means all that stands below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from catalog.fields.paths import is_pointer, steps_of
from catalog.fields.views import Derivation, derivation_of
from catalog.mapping import EndpointMapping, FieldMapping, View
from catalog.meaning.vocabulary import FactType

_LONGEST_NAME = 1000  # characters of what a request names


@dataclass(slots=True, eq=False)
class Spot:
    """A place in all answers of an endpoint.

    Attributes:
        below: by the next step of the path.
        grants, asks: a single value that stands here may go out, or is asked for.
        grants_all, asks_all: the same of all that stands here and below.
        names: of the fields that stand here.
        views: that are put into the object here, each with its source's last step.
        may_grant, may_ask: whether something here or below is granted, or asked for.
    """

    below: dict[str, "Spot"] = field(default_factory=dict)
    grants: bool = False
    grants_all: bool = False
    asks: bool = False
    asks_all: bool = False
    names: tuple[str, ...] = ()
    views: tuple[tuple[Derivation, str], ...] = ()
    may_grant: bool = False
    may_ask: bool = False

    def at(self, path: str) -> "Spot":
        spot = self
        for step in steps_of(path):
            spot = spot.below.setdefault(step, Spot())
        return spot


@dataclass(frozen=True, slots=True)
class Selection:
    """What of an endpoint's answers may go out.

    Attributes:
        grants_all, asks_all: nothing limits what is granted, or what is asked for.
        missing: what is asked for and not granted.
        empty: something is asked for and none of it is granted.
        known: the names that stand in the paths of the mapping.
    """

    mapping: EndpointMapping
    root: Spot
    grants_all: bool
    asks_all: bool
    missing: tuple[str, ...] = ()
    empty: bool = False
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Names:
    """What each name, concept and path of a mapping stands for; looked up once for each name."""

    fields: dict[str, dict[str, FieldMapping]]
    views: dict[str, dict[str, View]]

    @classmethod
    def of(cls, mapping: EndpointMapping) -> "_Names":
        found = cls({}, {})
        for one in mapping.fields:
            for name in (one.name, one.concept):
                found.fields.setdefault(name, {})[one.name] = one
        for view in mapping.views:
            for name in (view.name, view.concept):
                found.views.setdefault(name, {})[view.name] = view
        for one in mapping.fields:  # a name comes before a path that is written alike
            if one.path not in found.fields:
                found.fields[one.path] = {one.name: one}
        return found


@dataclass(slots=True)
class _Meant:
    """What names mean."""

    fields: dict[str, FieldMapping] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    paths: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Sequence[str], known: _Names) -> "_Meant":
        found = cls()
        for name in names:
            fields, views = known.fields.get(name, {}), known.views.get(name, {})
            if not fields and not views and is_pointer(name):
                found.paths[name] = None
            found.fields.update(fields)
            found.views.update(views)
        return found

    @classmethod
    def everything(cls, mapping: EndpointMapping) -> "_Meant":
        return cls(dict(mapping.field), dict(mapping.view))

    def covers(self, path: str) -> bool:
        """Whether all that stands at a path is meant by something at it or above it."""
        whole = [one.path for one in self.fields.values() if one.type is FactType.RECORD]
        return any(_within(path, above) for above in (*whole, *self.paths))

    def touches(self, path: str) -> bool:
        """Whether something at a path or below it is meant."""
        places = (*(one.path for one in self.fields.values()), *self.paths)
        return any(_within(place, path) for place in places)


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(above + "/")


def select(
    mapping: EndpointMapping, granted: Sequence[str] | None, asked: Sequence[str] = ()
) -> Selection:
    """Choose what may go out of the answers of an endpoint.

    Args:
        granted: None for everything.
        asked: empty for all that is granted. Names that the mapping does not have mean nothing.
    """
    grants_all, asks_all = granted is None, not asked
    known = _Names.of(mapping)
    has = _Meant.everything(mapping) if granted is None else _Meant.of(granted, known)
    wants = _Meant.everything(mapping) if asks_all else _Meant.of(asked, known)
    root = Spot()
    for one in mapping.fields:
        root.at(one.path).names += (one.name,)
    _mark(root, has, wants)
    views = [view for name, view in has.views.items() if name in wants.views]
    _place_views(root, mapping, views)
    _close(root)
    missing = tuple(
        shown
        for name in asked
        if (shown := _not_granted(name, known, has, everything=grants_all)) is not None
    )
    empty = not asks_all and len(missing) == len(asked)
    steps = frozenset(step for one in mapping.fields for step in steps_of(one.path))
    return Selection(mapping, root, grants_all, asks_all, missing, empty, steps)


def _mark(root: Spot, has: _Meant, wants: _Meant) -> None:
    for one in has.fields.values():
        spot = root.at(one.path)
        spot.grants = True
        spot.grants_all = spot.grants_all or one.type is FactType.RECORD
    for path in has.paths:
        spot = root.at(path)
        spot.grants = spot.grants_all = True
    for one in wants.fields.values():
        spot = root.at(one.path)
        spot.asks = True
        spot.asks_all = spot.asks_all or one.type is FactType.RECORD
    for path in wants.paths:
        spot = root.at(path)
        spot.asks = spot.asks_all = True
    for path in dict.fromkeys((*has.paths, *wants.paths)):
        root.at(path).names += (path,)


def _place_views(root: Spot, mapping: EndpointMapping, views: Sequence[View]) -> None:
    for view in views:
        derivation = derivation_of(view, mapping)
        if derivation is not None:
            above, _, _ = derivation.field.path.rpartition("/")
            spot = root.at(above)
            spot.views += ((derivation, steps_of(derivation.field.path)[-1]),)


def _close(spot: Spot) -> None:
    """Say of every spot what may come of it, from the lowest ones up."""
    for below in spot.below.values():
        _close(below)
    lower = spot.below.values()
    seen = bool(spot.views)
    spot.may_grant = seen or spot.grants or any(one.may_grant for one in lower)
    spot.may_ask = seen or spot.asks or any(one.may_ask for one in lower)


def _not_granted(name: str, known: _Names, has: _Meant, *, everything: bool) -> str | None:
    """What is said of a name that is asked for and not granted; None when it is granted."""
    meant = _Meant.of((name,), known)
    if meant.views.keys() & has.views.keys():
        return None
    places = [*(one.path for one in meant.fields.values()), *meant.paths]
    if places and everything:
        return None
    if any(has.covers(place) for place in places):
        return None
    if any(one in has.fields for one in meant.fields) or any(map(has.touches, meant.paths)):
        return None
    return (places[0] if places else name)[:_LONGEST_NAME]


def shapes(spots: Sequence[Spot], *, granted: bool, asked: bool) -> bool:
    """Whether an object or a list that stands here has a place for what may go out."""
    return any(
        spot.views
        or any((granted or one.may_grant) and (asked or one.may_ask) for one in spot.below.values())
        for spot in spots
    )


def spots_below(
    spots: Sequence[Spot], steps: Sequence[str], *, granted: bool, asked: bool
) -> tuple[Spot, ...]:
    """The spots at the next step that may still let something out.

    Args:
        steps: what the step is called; an item of a list has two names.
        granted, asked: whether everything below is granted, or asked for, already.
    """
    found = []
    for spot in spots:
        for step in steps:
            below = spot.below.get(step)
            if below and (granted or below.may_grant) and (asked or below.may_ask):
                found.append(below)
    return tuple(found)
