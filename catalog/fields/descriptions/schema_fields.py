"""The fields of a JSON answer, out of the schemas of an OpenAPI description.

References within the document are followed, whatever they form: a type that contains itself ends
where it begins anew, and all looking is bounded.

Source: OpenAPI 3.0.3 and 3.1.0, schema object; JSON Schema 2020-12.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.fields.descriptions.described import MAX_DEPTH, Budget, DescribedField, Warnings
from catalog.fields.paths import ANY, MAX_PATH, is_pointer, pointer_to, steps_of
from catalog.meaning.vocabulary import FactType
from catalog.uris import is_uri

CONCEPT = "x-concept"
_MAX_FACETS = 200  # schemas that one place has, by allOf and the like
_COMBINED = ("allOf", "anyOf", "oneOf")
_TYPES = {
    "string": FactType.TEXT,
    "integer": FactType.INTEGER,
    "number": FactType.NUMBER,
    "boolean": FactType.BOOLEAN,
    "object": FactType.RECORD,
    "array": FactType.RECORD,
}
_FORMATS = {"date": FactType.DATE, "date-time": FactType.DATETIME}


_Trail = frozenset[str]  # references
_Facet = tuple[Mapping[str, Any], _Trail]


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in an answer, with everything that is said of it.

    Attributes:
        facets: all schemas that hold there, references followed, the outermost first, each with
            the references that led to it.
        circular: whether a type begins anew here.
    """

    steps: tuple[str, ...]
    facets: tuple[_Facet, ...]
    circular: bool

    @property
    def schemas(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(schema for schema, _ in self.facets)


@dataclass(slots=True)
class SchemaReader:
    """Reads the schemas of one document.

    Args:
        document: as plain values.
    """

    document: Mapping[str, Any]
    warnings: Warnings
    budget: Budget = field(default_factory=Budget)

    def follow(self, value: object) -> Mapping[str, Any] | None:
        """What stands there, or where its reference leads; None for what is no object."""
        seen = set()
        while isinstance(value, dict) and isinstance(value.get("$ref"), str):
            reference = value["$ref"]
            if reference in seen:
                return None
            seen.add(reference)
            value = self._target(reference)
        return value if isinstance(value, dict) else None

    def _target(self, reference: str) -> object:
        if not reference.startswith("#/") or len(reference) > MAX_PATH:
            self.warnings.add(f"the reference '{reference:.200}' leads outside: not followed")
            return None
        found: object = self.document
        for step in steps_of(reference[1:]):
            if not isinstance(found, dict) or step not in found:
                self.warnings.add(f"the reference '{reference:.200}' leads nowhere")
                return None
            found = found[step]
        return found

    def fields(self, schema: object) -> tuple[bool, tuple[DescribedField, ...]]:
        """Whether the answer may hold more than is told, and all places in it but the root."""
        root = self._place((), [(schema, frozenset())])
        return _is_open(root), tuple(self._below(root))

    def required(self, schema: object) -> frozenset[str]:
        """The names of members that an object must have."""
        root = self._place((), [(schema, frozenset())])
        listed = [one.get("required") for one in root.schemas]
        return frozenset(
            name for names in listed if isinstance(names, list) for name in names
            if isinstance(name, str)
        )  # fmt: skip

    def _below(self, place: _Place) -> Iterator[DescribedField]:
        if place.circular:
            return
        for step, found in _parts(place):
            if len(place.steps) >= MAX_DEPTH:
                self.warnings.add("an answer is nested too deep: the rest is left out")
                return
            if not self.budget.take():
                self.warnings.add("the description holds too much: the rest is left out")
                return
            inner = self._place((*place.steps, step), found)
            path = pointer_to(inner.steps)
            if is_pointer(path):
                yield DescribedField(path, _type(inner), self._concept(inner), _is_open(inner))
                yield from self._below(inner)

    def _place(self, steps: tuple[str, ...], waiting: list[tuple[object, _Trail]]) -> _Place:
        """Everything that holds at a place; a reference that led here is not followed again."""
        found: list[_Facet] = []
        circular = False
        while waiting and len(found) < _MAX_FACETS:
            one, trail = waiting.pop(0)
            if not isinstance(one, dict):
                continue
            found.append((one, trail))
            reference = one.get("$ref")
            if isinstance(reference, str):
                if reference in trail:
                    circular = True
                else:
                    waiting.insert(0, (self._target(reference), trail | {reference}))
            for key in _COMBINED:
                alternatives = one.get(key)
                if isinstance(alternatives, list):
                    waiting += [(each, trail) for each in alternatives[:_MAX_FACETS]]
        return _Place(steps, tuple(found), circular)

    def _concept(self, place: _Place) -> str:
        for schema in place.schemas:
            concept = schema.get(CONCEPT)
            if concept is None:
                continue
            if isinstance(concept, str) and is_uri(concept):
                return str(concept)
            self.warnings.add(f"{CONCEPT} at '{pointer_to(place.steps)}' is no URI")
        return ""


def _parts(place: _Place) -> Iterator[tuple[str, list[tuple[object, _Trail]]]]:
    """The places right below: members by name, and the items of a list as one."""
    members: dict[str, list[tuple[object, _Trail]]] = {}
    items: list[tuple[object, _Trail]] = []
    for schema, trail in place.facets:
        properties = schema.get("properties")
        for name, inner in properties.items() if isinstance(properties, dict) else ():
            members.setdefault(str(name), []).append((inner, trail))
        if isinstance(schema.get("items"), dict):
            items.append((schema["items"], trail))
    yield from members.items()
    if items:
        yield ANY, items


def _is_open(place: _Place) -> bool:
    """Whether it may hold members or items that nothing is said about."""
    if place.circular:
        return True
    if any(schema.get("additionalProperties") not in (None, False) for schema in place.schemas):
        return True
    told = any("properties" in schema or "items" in schema for schema in place.schemas)
    return not told and _type(place) in (None, FactType.RECORD)


def _type(place: _Place) -> FactType | None:
    for schema in place.schemas:
        name = schema.get("type")
        if isinstance(name, list):  # 3.1: several, "null" among them
            name = next((one for one in name if one != "null"), None)
        if isinstance(name, str) and name in _TYPES:
            kind = _TYPES[name]
            said = schema.get("format")
            if kind is FactType.TEXT and isinstance(said, str):
                return _FORMATS.get(said, kind)
            return kind
        if "properties" in schema or "items" in schema:
            return FactType.RECORD
    return None
