"""The adapter's own description, OpenAPI 3.0, made from its operations."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from adapters.operations import Method, Operation
from adapters.shapes import Document, Field, Record, json_schema
from catalog.mapping import View

_TEXT: dict[str, object] = {"type": "string"}
_ERROR = {"$ref": "#/components/schemas/Error"}
_ERROR_SCHEMA: dict[str, object] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": _TEXT, "parameter": _TEXT, "code": _TEXT},
}


def describe(title: str, version: str, operations: Iterable[Operation]) -> dict[str, object]:
    """Build the description."""
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.value.lower()] = _operation(operation)
    return {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR_SCHEMA}},
    }


def _operation(operation: Operation) -> dict[str, object]:
    described: dict[str, object] = {
        "operationId": operation.name,
        "summary": operation.summary or operation.name,
        "parameters": [
            _parameter(field, operation.path_parameters) for field in operation.parameters
        ],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_media(_body(operation.body))}
    if operation.views:
        described["x-once"] = {"views": [_view(view) for view in operation.views]}
    return described


def _view(view: View) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(view).items() if value}


def _parameter(field: Field, in_path: tuple[str, ...]) -> dict[str, object]:
    described: dict[str, object] = {
        "name": field.name,
        "in": "path" if field.name in in_path else "query",
        "required": field.required,
        "description": field.description,
        "schema": json_schema(field.shape),
    }
    if field.example is not None:
        described["example"] = field.example
    if field.concept is not None:
        described["x-concept"] = field.concept
    if field.subject is not None:
        described["x-subject"] = field.subject
    return described


def _body(body: Record) -> dict[str, object]:
    return json_schema(body) | {"additionalProperties": False}


def _responses(operation: Operation) -> dict[str, object]:
    responses: dict[str, object] = {"200": _answer(operation)}
    if operation.inputs or operation.method is not Method.GET:
        responses["400"] = _content("a parameter is missing, unknown or not of its type", _ERROR)
    if operation.may_be_missing:
        responses["404"] = _content("there is nothing that fits", _ERROR)
    return responses | {
        "503": _content("the source does not answer, or too many ask at a time", _ERROR),
        "504": _content("the source took too long", _ERROR),
        "default": _content("another error", _ERROR),
    }


def _answer(operation: Operation) -> dict[str, object]:
    shape = operation.answer
    if isinstance(shape, Document):
        media = {shape.media_type: {"schema": json_schema(shape)}}
        return {"description": "the answer", "content": media}
    return _content("the answer", json_schema(shape))


def _media(schema: Mapping[str, object]) -> dict[str, object]:
    return {"content": {"application/json": {"schema": schema}}}


def _content(description: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"description": description, **_media(dict(schema))}
