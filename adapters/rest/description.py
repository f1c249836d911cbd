"""Operations taken from the other service's OpenAPI description: those that are named, no others.

What can't be said with shapes (unions, objects of free names, types that contain themselves)
becomes `AnyValue` and is handed on as it is. References lead into the same document only.

Source: OpenAPI Specification 3.0.3 and 3.1.0.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.operations import Method, Operation
from adapters.rest.request import sent_twice
from adapters.rest.route import WITH_BODY, Route, Sent
from adapters.rest.settings import Target
from adapters.shapes import (
    AnyValue,
    Document,
    Field,
    ListOf,
    Record,
    Scalar,
    Shape,
    ValueType,
)
from catalog.openapi import MAX_BYTES, DocumentType, UnreadableDescription, parse_document
from trust.errors import ConfigurationError, ConfigurationProblem

MAX_SHAPES = 5000  # of one operation; what is beyond is handed on as it is
_MAX_DEPTH = 24
_MAX_NAME = 100  # characters of a field's name; what XML does not have is written otherwise there
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_FORMATS = {
    "date": ValueType.DATE,
    "date-time": ValueType.DATETIME,
    "uuid": ValueType.UUID,
    "byte": ValueType.BINARY,
    "decimal": ValueType.DECIMAL,
}
_TYPES = {
    "string": ValueType.TEXT,
    "integer": ValueType.INTEGER,
    "number": ValueType.NUMBER,
    "boolean": ValueType.BOOLEAN,
}
_JOINS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
Tree = Mapping[str, Any]


class UnfitDescription(Exception):
    """An operation can't be offered as it is described."""


def load_description(file: Path) -> Tree:
    """Read a description from disk; raises ConfigurationError."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
        kind = DocumentType.JSON if file.suffix == ".json" else DocumentType.YAML
        return parse_document(raw, kind)
    except OSError as error:
        raise _unfit(file, [error.strerror or "an unreadable file"]) from error
    except UnreadableDescription as error:
        raise _unfit(file, [error.text]) from error


def routes_of(file: Path, names: Sequence[str]) -> list[Route]:
    """The routes of the operations that are named; ConfigurationError tells all that can't be."""
    document = load_description(file)
    found = {operation.get("operationId"): place for *place, operation in _operations(document)}
    routes: list[Route] = []
    problems: list[str] = []
    for name in dict.fromkeys(names):
        if name not in found:
            problems.append(f"no operation with the operationId '{name}'")
            continue
        path, method = found[name]
        try:
            routes.append(_Reader(document).route(name, path, Method(method.upper())))
        except UnfitDescription as error:
            problems.append(f"operation '{name}': {error}")
    if problems:
        raise _unfit(file, problems)
    return routes


def _unfit(file: Path, problems: Sequence[str]) -> ConfigurationError:
    expected = "an OpenAPI description with the operations that are offered"
    return ConfigurationError(
        [ConfigurationProblem(str(file), 0, problem, expected) for problem in problems]
    )


def _operations(document: Tree) -> Iterator[tuple[str, str, Tree]]:
    """Path, method and description of everything that could be offered."""
    for path, item in _mapping(document.get("paths")).items():
        for method in (one.value.lower() for one in Method):
            operation = _mapping(item).get(method)
            if isinstance(operation, Mapping):
                yield path, method, operation


def _mapping(value: object) -> Tree:
    return value if isinstance(value, Mapping) else {}


class _Reader:
    """Reads one operation; its shapes are counted."""

    def __init__(self, document: Tree) -> None:
        self._document = document
        self._shapes = 0

    def route(self, name: str, path: str, method: Method) -> Route:
        if not _NAME.fullmatch(name):
            raise UnfitDescription("its operationId is no name of a service")
        if not re.fullmatch(r"(?:/(?:[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}))+", path):
            raise UnfitDescription(f"its path '{path:.100}' has other parts than names")
        item = _mapping(self._document["paths"][path])
        operation = _mapping(item.get(method.value.lower()))
        parameters, sent = self._parameters(item, operation)
        body = self._body(operation) if method in WITH_BODY else None
        if body is not None:
            sent |= {one.name: Sent(Target.BODY, one.name, (one.name,)) for one in body.fields}
            doubles = {one.name for one in parameters} & {one.name for one in body.fields}
            if doubles or sent_twice(sent):
                raise UnfitDescription("a parameter and a field of the body share a name")
        answer, missing = self._answer(operation)
        return Route(
            operation=Operation(
                name=name,
                path=path,
                method=method,
                parameters=parameters,
                body=body,
                answer=answer,
                summary=str(operation.get("summary") or ""),
                may_be_missing=missing,
            ),
            method=method,
            template=path,
            sent=sent,
        )

    def _parameters(self, item: Tree, operation: Tree) -> tuple[tuple[Field, ...], dict[str, Sent]]:
        """What callers give outside a body, and where each goes."""
        found: dict[tuple[str, str], Tree] = {}
        for listed in (item.get("parameters"), operation.get("parameters")):
            for one in listed if isinstance(listed, list) else ():
                parameter = self._resolved(one)
                found[str(parameter.get("name")), str(parameter.get("in"))] = parameter
        fields: list[Field] = []
        sent: dict[str, Sent] = {}
        for (name, place), parameter in found.items():
            if place == "cookie" or name.lower() in ("authorization", "accept", "content-type"):
                if parameter.get("required") and place == "cookie":
                    raise UnfitDescription(f"it needs the cookie '{name}'")
                continue
            ours = _NOT_IN_NAMES.sub("_", name)
            if ours in sent or not re.fullmatch(r"[A-Za-z_]\w{0,62}", ours):
                raise UnfitDescription(f"its parameter '{name:.100}' can't be named here")
            try:
                join = _join(ours, place, parameter)
                fields.append(self._parameter(ours, place, parameter))
            except UnfitDescription:
                if parameter.get("required"):
                    raise
                continue  # it need not be given, so it is not offered
            target = {"query": Target.QUERY, "header": Target.HEADER}.get(place)
            sent[ours] = Sent(target, name, join=join)
        return tuple(fields), sent

    def _parameter(self, name: str, place: str, parameter: Tree) -> Field:
        schema = self._resolved(parameter.get("schema") or {})
        shape = self._shape(schema, ())
        plain = shape.item if isinstance(shape, ListOf) else shape
        if isinstance(shape, AnyValue):
            plain = shape = Scalar()
        if not isinstance(plain, Scalar) or (place == "path" and plain is not shape):
            raise UnfitDescription(f"its parameter '{name}' is no single value")
        required = place == "path" or bool(parameter.get("required"))
        return self._field(name, shape, required, parameter, schema)

    def _body(self, operation: Tree) -> Record:
        body = self._resolved(operation.get("requestBody") or {})
        schema = _json_schema(body)
        if not body:
            return Record(())
        shape = self._shape(schema, ()) if schema is not None else None
        if not isinstance(shape, Record):
            raise UnfitDescription("its request body is no JSON object with named fields")
        return shape

    def _answer(self, operation: Tree) -> tuple[Shape, bool]:
        """The shape of the first success that is described, and whether 404 is."""
        responses = _mapping(operation.get("responses"))
        missing = any(str(status) == "404" for status in responses)
        for status in sorted(responses, key=str):
            if not str(status).startswith("2"):
                continue
            response = self._resolved(responses[status])
            schema = _json_schema(response)
            if schema is not None:
                return self._shape(schema, ()), missing
            if response.get("content"):
                return Document(str(next(iter(response["content"])))), missing
        return AnyValue(), missing

    def _resolved(self, value: object) -> Tree:
        """What a reference leads to, within the document."""
        found = _mapping(value)
        for _ in range(_MAX_DEPTH):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            found = self._at(reference)
        raise UnfitDescription("its references go round in circles")

    def _at(self, reference: str) -> Tree:
        if not reference.startswith("#/"):
            raise UnfitDescription("it refers to another document")
        place: Any = self._document
        for step in reference[2:].split("/"):
            place = _mapping(place).get(step.replace("~1", "/").replace("~0", "~"))
        if not isinstance(place, Mapping):
            raise UnfitDescription(f"'{reference:.100}' is not there")
        return place

    def _shape(self, schema: object, within: tuple[str, ...]) -> Shape:
        """What a schema says, as far as shapes can.

        Args:
            within: the references that led here; one of them again is a type in itself.
        """
        given = _mapping(schema)
        reference = given.get("$ref")
        if isinstance(reference, str):
            if reference in within:
                return AnyValue()
            return self._shape(self._at(reference), (*within, reference))
        self._shapes += 1
        if self._shapes > MAX_SHAPES or len(within) > _MAX_DEPTH:
            return AnyValue()
        given, nullable = _without_null(given)
        if isinstance(given.get("$ref"), str):
            return _nullable(self._shape(given, within))
        parts = given.get("allOf")
        if isinstance(parts, list):
            return self._all_of([*parts, {k: v for k, v in given.items() if k != "allOf"}], within)
        if "oneOf" in given or "anyOf" in given:
            return AnyValue()
        shape = self._plain(given, within)
        return _nullable(shape) if nullable else shape

    def _plain(self, given: Tree, within: tuple[str, ...]) -> Shape:
        kind = given.get("type")
        if kind == "array":
            most = given.get("maxItems")
            item = self._shape(given.get("items"), (*within, ""))
            return ListOf(item, max_items=most if isinstance(most, int) else None)
        if kind == "object" or (kind is None and given.get("properties")):
            return self._record(given, within)
        if kind not in _TYPES:
            return AnyValue()
        type_ = _FORMATS.get(str(given.get("format")), _TYPES[kind]) if kind == "string" else None
        choices = given.get("enum") if kind == "string" else None
        texts = tuple(one for one in choices or () if isinstance(one, str))
        longest = given.get("maxLength")
        return Scalar(
            type_ or _TYPES[kind],
            max_length=longest if isinstance(longest, int) and longest > 0 else None,
            choices=texts,
        )

    def _record(self, given: Tree, within: tuple[str, ...]) -> Shape:
        properties = _mapping(given.get("properties"))
        if not properties or len(properties) > 1000:
            return AnyValue()
        needed = given.get("required")
        required = set(map(str, needed)) if isinstance(needed, list) else set()
        fields = []
        for name, inner in properties.items():
            if not 0 < len(str(name)) <= _MAX_NAME or not str(name).isprintable():
                return AnyValue()
            shape = self._shape(inner, (*within, ""))
            fields.append(self._field(str(name), shape, name in required, _mapping(inner)))
        return Record(tuple(fields))

    def _all_of(self, parts: list[object], within: tuple[str, ...]) -> Shape:
        """All parts at once: records are put together, anything else is handed on."""
        shapes = [self._shape(part, within) for part in parts if part]
        records = [shape for shape in shapes if isinstance(shape, Record)]
        others = [shape for shape in shapes if not isinstance(shape, Record | AnyValue)]
        if not records and len(others) == 1:
            return others[0]
        if others or not records:
            return AnyValue()
        fields = {one.name: one for record in records for one in record.fields}
        return Record(tuple(fields.values()))

    def _field(self, name: str, shape: Shape, required: bool, *described: Tree) -> Field:
        def said(key: str) -> str | None:
            found = next((one[key] for one in described if one.get(key) is not None), None)
            single = isinstance(found, str | int | float) and not isinstance(found, bool)
            return str(found) if single else None

        return Field(
            name,
            shape,
            required,
            (said("description") or "")[:1000],
            said("x-concept"),
            said("example"),
            said("x-subject"),
        )


def _join(name: str, place: str, parameter: Tree) -> str:
    """What stands between the items of a list; empty where each is sent for itself."""
    style = parameter.get("style", "form" if place == "query" else "simple")
    if place != "query":
        if style != "simple":
            raise UnfitDescription(f"its parameter '{name}' has the style '{style}'")
        return ""
    if style not in _JOINS:
        raise UnfitDescription(f"its parameter '{name}' has the style '{style}'")
    return "" if parameter.get("explode", style == "form") else _JOINS[style]


def _json_schema(holder: Tree) -> object:
    """The schema of the JSON that a body or an answer is; None when it is something else."""
    for media_type, content in _mapping(holder.get("content")).items():
        plain = str(media_type).partition(";")[0].strip().lower()
        if plain in ("application/json", "*/*") or plain.endswith("+json"):
            return _mapping(content).get("schema") or {}
    return None


def _without_null(given: Tree) -> tuple[Tree, bool]:
    """A schema without the ways to say that null is allowed, and whether one was there."""
    nullable = given.get("nullable") is True
    kind = given.get("type")
    if isinstance(kind, list):  # 3.1
        others = [one for one in kind if one != "null"]
        nullable = nullable or len(others) < len(kind)
        given = {**given, "type": others[0] if len(others) == 1 else None}
    for union in ("oneOf", "anyOf"):
        parts = given.get(union)
        if isinstance(parts, list):
            left = [one for one in parts if _mapping(one).get("type") != "null"]
            if len(left) == 1 and len(parts) == 2:
                return _mapping(left[0]), True
    return given, nullable


def _nullable(shape: Shape) -> Shape:
    match shape:
        case Scalar():
            return Scalar(shape.type, True, shape.max_length, shape.choices)
        case ListOf():
            return ListOf(shape.item, True, shape.max_items)
        case Record():
            return Record(shape.fields, True)
        case _:
            return shape
