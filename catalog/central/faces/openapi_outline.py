"""The outline of an OpenAPI description. References are followed within the document only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.central.entries import CatalogService
from catalog.central.faces.outline import (
    MAX_DEPTH,
    MAX_OPERATIONS,
    MAX_ROWS,
    AnswerOutline,
    OperationOutline,
    Outline,
    Row,
    concepts_at,
)
from catalog.openapi import DocumentType, parse_document

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_MAX_REFERENCES = 10  # that lead from one to the next
_MAX_STEPS = 20_000  # schemas that are looked at in one description


def openapi_outline(raw: bytes, service: CatalogService) -> Outline:
    """Read a description; raises UnreadableDescription."""
    kind = DocumentType.JSON if raw.lstrip()[:1] == b"{" else DocumentType.YAML
    return _Reader(parse_document(raw, kind), service).read()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a body a schema stands.

    Attributes:
        within: the references that it was reached by, so that none is followed in a circle.
    """

    concepts: Mapping[str, str]
    path: str = ""
    required: bool | None = None
    depth: int = 0
    within: frozenset[str] = frozenset()

    def inner(self, segment: str, required: bool | None, reference: str) -> "_Place":
        within = self.within | {reference} if reference else self.within
        return _Place(self.concepts, f"{self.path}/{segment}", required, self.depth + 1, within)

    def row(self, schema: Mapping[str, Any], again: bool) -> Row:
        told = "has again what it stands in" if again else _text(schema, "description")
        return Row(self.path, _type(schema), self.required, told, self.concepts.get(self.path, ""))


@dataclass(slots=True)
class _Reader:
    document: Mapping[str, Any]
    service: CatalogService
    steps: int = field(default=0)

    def read(self) -> Outline:
        found = list(self._found())
        shown = found[:MAX_OPERATIONS]
        info = _mapping(self.document.get("info"))
        return Outline(
            "its OpenAPI description",
            tuple(self._operation(*one) for one in shown),
            len(found),
            _text(info, "description"),
        )

    def _found(self) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
        for path, item in _mapping(self.document.get("paths")).items():
            known = self._resolved(item)
            for method in _METHODS:
                if isinstance(known.get(method), dict):
                    yield method.upper(), str(path), known, known[method]

    def _operation(
        self, method: str, path: str, item: Mapping[str, Any], operation: Mapping[str, Any]
    ) -> OperationOutline:
        parameters = [*_sequence(item.get("parameters")), *_sequence(operation.get("parameters"))]
        answers = _mapping(operation.get("responses"))
        return OperationOutline(
            f"{method} {path}",
            _text(operation, "summary"),
            _text(operation, "description"),
            operation.get("deprecated") is True,
            tuple(self._parameter(one) for one in parameters[:MAX_ROWS]),
            self._content(operation.get("requestBody"), {}),
            tuple(
                self._answer(str(status), answer, concepts_at(self.service, method, path))
                for status, answer in list(answers.items())[:20]
            ),
        )

    def _parameter(self, value: object) -> Row:
        known = self._resolved(value)
        schema = self._resolved(known.get("schema"))
        place = str(known.get("in", ""))
        told = f"{_type(schema)} in the {place}" if place else _type(schema)
        return Row(
            _text(known, "name"), told, known.get("required") is True, _text(known, "description")
        )

    def _answer(self, status: str, value: object, concepts: Mapping[str, str]) -> AnswerOutline:
        known = self._resolved(value)
        good = status.startswith("2") or status == "default"
        rows = self._content(known, concepts if good else {})
        return AnswerOutline(status, _text(known, "description"), rows)

    def _content(self, value: object, concepts: Mapping[str, str]) -> tuple[Row, ...]:
        """What stands in a body: of its JSON form, else of the first there is."""
        content = _mapping(self._resolved(value).get("content"))
        kinds = sorted(content, key=lambda kind: "json" not in str(kind))
        if not kinds:
            return ()
        schema = _mapping(content[kinds[0]]).get("schema")
        rows: list[Row] = []
        self._rows(rows, schema, _Place(concepts))
        return tuple(rows)

    def _rows(self, rows: list[Row], value: object, place: _Place) -> None:
        """Add a row for a place and for every place within it."""
        self.steps += 1
        if len(rows) >= MAX_ROWS or place.depth > MAX_DEPTH or self.steps > _MAX_STEPS:
            return
        schema = self._whole(self._resolved(value))
        reference = _text(_mapping(value), "$ref")
        again = reference in place.within
        if place.path:
            rows.append(place.row(schema, again))
        if again:
            return
        if "items" in schema:
            self._rows(rows, schema["items"], place.inner("*", None, reference))
        needed = _sequence(schema.get("required"))
        for name, part in _mapping(schema.get("properties")).items():
            segment = str(name).replace("~", "~0").replace("/", "~1")
            self._rows(rows, part, place.inner(segment, name in needed, reference))

    def _whole(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """A schema with the properties of all its parts (`allOf`), or of its first choice."""
        choices = _sequence(schema.get("oneOf")) or _sequence(schema.get("anyOf"))
        parts = [*_sequence(schema.get("allOf"))[:MAX_DEPTH], *choices[:1]]
        if not parts:
            return schema
        merged = dict(schema)
        properties = dict(_mapping(schema.get("properties")))
        needed = list(_sequence(schema.get("required")))
        for part in parts:
            known = self._resolved(part)
            merged = {**known, **merged}
            properties = {**_mapping(known.get("properties")), **properties}
            needed += _sequence(known.get("required"))
        return {**merged, "properties": properties, "required": needed}

    def _resolved(self, value: object) -> Mapping[str, Any]:
        """A part of the document, behind all its references; empty when they lead nowhere."""
        for _ in range(_MAX_REFERENCES):
            known = _mapping(value)
            reference = known.get("$ref")
            if not isinstance(reference, str):
                return known
            value = self._at(reference)
        return {}

    def _at(self, reference: str) -> object:
        if not reference.startswith("#/"):
            return {}
        value: object = self.document
        for part in reference[2:].split("/")[:MAX_DEPTH]:
            value = _mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
        return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _type(schema: Mapping[str, Any]) -> str:
    named = schema.get("type", "object" if "properties" in schema else "")
    named = " or ".join(str(one) for one in named) if isinstance(named, list) else str(named)
    form = _text(schema, "format")
    return f"{named} ({form})" if form and named else named
