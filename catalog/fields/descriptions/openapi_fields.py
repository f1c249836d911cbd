"""What an OpenAPI description says of facts, by three extensions.

* `x-concept` on a schema: the URI of the fact that stands there;
* `x-subject` on a parameter, or on a member of the request's body: the URI of the kind of
  identifier by which it names whom a request is about;
* `x-once` on an operation: `parameters`, with values for parameters by name, and `views`, a list of
  derived facts with `name`, `source`, `rule`, `value` and `concept` as in a mapping file.

Source: OpenAPI 3.0.3 and 3.1.0, specification extensions; docs/mapping.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from catalog.fields.descriptions.described import (
    DescribedEndpoint,
    DescribedField,
    DescribedParameter,
    Warnings,
)
from catalog.fields.descriptions.schema_fields import SchemaReader
from catalog.fields.mapping_rules import METHODS
from catalog.fields.paths import steps_of
from catalog.mapping import Place, Rule, View
from catalog.openapi import MAX_ENDPOINTS
from catalog.uris import is_uri

SUBJECT, ONCE = "x-subject", "x-once"
_PLACES = {"path": Place.PATH, "query": Place.QUERY}
_ANSWERS = ("200", "201", "2XX", "2xx", "default")
_MAX_LISTED = 500  # parameters and views of one operation


@dataclass(frozen=True, slots=True)
class DescribedOpenapi:
    endpoints: tuple[DescribedEndpoint, ...]
    warnings: tuple[str, ...]


def describe_openapi(document: Mapping[str, Any]) -> DescribedOpenapi:
    """What a document says, as plain values; whatever is odd in it is left out and told."""
    warnings = Warnings()
    reader = SchemaReader(document, warnings)
    endpoints = tuple(islice(_endpoints(document, reader), MAX_ENDPOINTS))
    return DescribedOpenapi(endpoints, tuple(warnings.texts))


def _endpoints(document: Mapping[str, Any], reader: SchemaReader) -> Iterator[DescribedEndpoint]:
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        if not isinstance(item, dict) or not str(path).startswith("/"):
            continue
        for method in METHODS:
            operation = item.get(method.lower())
            if isinstance(operation, dict):
                yield _Operation(method, str(path), item, operation, reader).endpoint()


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    path: str
    item: Mapping[str, Any]
    operation: Mapping[str, Any]
    reader: SchemaReader

    def endpoint(self) -> DescribedEndpoint:
        is_open, fields = self._answer()
        defaults, views = self._once()
        parameters = (*self._parameters(), *self._body())
        return DescribedEndpoint(
            self.method,
            self.path,
            parameters=tuple(_with_default(one, defaults) for one in parameters),
            fields=fields,
            open=is_open,
            views=views,
        )

    def _warn(self, text: str) -> None:
        self.reader.warnings.add(f"{self.method} {self.path}: {text}")

    def _answer(self) -> tuple[bool, tuple[DescribedField, ...]]:
        responses = self.operation.get("responses")
        found = responses if isinstance(responses, dict) else {}
        answer = next((found[name] for name in _ANSWERS if name in found), None)
        schema = self._json_schema(answer)
        return (True, ()) if schema is None else self.reader.fields(schema)

    def _json_schema(self, content_holder: object) -> object:
        """The schema of the JSON in a response or request body; None without one."""
        holder = self.reader.follow(content_holder)
        content = holder.get("content") if holder is not None else None
        for name, media in content.items() if isinstance(content, dict) else ():
            if "json" in str(name).lower() and isinstance(media, dict):
                return media.get("schema")
        return None

    def _parameters(self) -> Iterator[DescribedParameter]:
        """Those of the path and query, the operation's own in the place of the path's."""
        found: dict[tuple[object, object], DescribedParameter] = {}
        for listed in (self.item.get("parameters"), self.operation.get("parameters")):
            for one in listed[:_MAX_LISTED] if isinstance(listed, list) else ():
                parameter = self.reader.follow(one)
                if parameter is not None:
                    name, place = parameter.get("name"), parameter.get("in")
                    if isinstance(name, str) and isinstance(place, str):
                        described = self._parameter(name, place, parameter)
                        if described is not None:
                            found[(place, name)] = described
        yield from found.values()

    def _parameter(
        self, name: str, place: str, parameter: Mapping[str, Any]
    ) -> DescribedParameter | None:
        if place not in _PLACES:
            if SUBJECT in parameter:
                self._warn(f"{SUBJECT} in a {place:.20} is not supported")
            return None
        schema = self.reader.follow(parameter.get("schema")) or {}
        return DescribedParameter(
            name,
            _PLACES[place],
            parameter.get("required") is True or place == "path",
            _text(schema.get("default")),
            self._scheme(name, parameter) or self._scheme(name, schema),
        )

    def _scheme(self, name: str, holder: Mapping[str, Any]) -> str:
        scheme = holder.get(SUBJECT)
        if scheme is None:
            return ""
        if isinstance(scheme, str) and is_uri(scheme):
            return str(scheme)
        self._warn(f"{SUBJECT} of '{name:.100}' is no URI")
        return ""

    def _body(self) -> Iterator[DescribedParameter]:
        """The members of a JSON request."""
        schema = self._json_schema(self.operation.get("requestBody"))
        if schema is None:
            return
        required = self.reader.required(schema)
        for one in self.reader.fields(schema)[1]:
            steps = steps_of(one.path)
            inner = self._member(schema, steps)
            scheme = self._scheme(one.path, inner)
            yield DescribedParameter(
                one.path,
                Place.BODY,
                len(steps) == 1 and steps[0] in required,
                _text(inner.get("default")),
                scheme,
            )

    def _member(self, schema: object, steps: tuple[str, ...]) -> Mapping[str, Any]:
        """The schema of a member as far as it is written out or referred to; empty otherwise."""
        found = self.reader.follow(schema)
        for step in steps:
            properties = found.get("properties") if found is not None else None
            inner = properties.get(step) if isinstance(properties, dict) else None
            found = self.reader.follow(inner)
        return found or {}

    def _once(self) -> tuple[Mapping[str, str], tuple[View, ...]]:
        once = self.operation.get(ONCE, {})
        if not isinstance(once, dict):
            self._warn(f"{ONCE} is no object")
            return {}, ()
        given, views = once.get("parameters", {}), once.get("views", [])
        if not isinstance(given, dict) or not isinstance(views, list):
            self._warn(f"parameters of {ONCE} are no object, or its views no list")
            return {}, ()
        defaults = {str(name): text for name, one in given.items() if (text := _text(one))}
        found = (self._view(one) for one in views[:_MAX_LISTED])
        return defaults, tuple(view for view in found if view is not None)

    def _view(self, entry: object) -> View | None:
        given = entry if isinstance(entry, dict) else {}
        said = {name: _text(given.get(name)) or "" for name in View.__dataclass_fields__}
        if not said["name"] or said["rule"] not in list(Rule):
            self._warn(f"a view of {ONCE} has no name, or no rule that is known")
            return None
        if said["concept"] and not is_uri(said["concept"]):
            self._warn(f"the concept of the view '{said['name']:.100}' is no URI")
            return None
        return View(
            said["name"], said["source"], Rule(said["rule"]), said["value"], said["concept"]
        )


def _with_default(parameter: DescribedParameter, defaults: Mapping[str, str]) -> DescribedParameter:
    default = defaults.get(parameter.name)
    if default is None:
        return parameter
    return DescribedParameter(parameter.name, parameter.place, True, default, parameter.scheme)


def _text(value: object) -> str | None:
    """A single value as a request or a mapping file has it; None for everything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        text = str(value)
        return text if len(text) <= 1000 else None
    return None
