"""The adapter's own description, OpenAPI 3.0, made from the queries and what they answer."""

from collections.abc import Mapping

from adapters.queries import Column, ParameterType, Query, QueryMethod

_PARAMETER_SCHEMAS: dict[ParameterType, dict[str, object]] = {
    ParameterType.TEXT: {"type": "string"},
    ParameterType.INTEGER: {"type": "integer", "format": "int64"},
    ParameterType.NUMBER: {"type": "number"},
    ParameterType.BOOLEAN: {"type": "boolean"},
    ParameterType.DATE: {"type": "string", "format": "date"},
    ParameterType.DATETIME: {"type": "string", "format": "date-time"},
    ParameterType.UUID: {"type": "string", "format": "uuid"},
}
_COLUMN_SCHEMAS: dict[str, dict[str, object]] = {
    "bool": {"type": "boolean"},
    "int2": {"type": "integer", "format": "int32"},
    "int4": {"type": "integer", "format": "int32"},
    "int8": {"type": "integer", "format": "int64"},
    "float4": {"type": "number"},
    "float8": {"type": "number"},
    "numeric": {"type": "string", "format": "decimal"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "timestamptz": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "bytea": {"type": "string", "format": "byte"},
    "json": {},
    "jsonb": {},
}
_TEXT: dict[str, object] = {"type": "string"}
_ERROR = {"$ref": "#/components/schemas/Error"}


def describe(
    title: str,
    version: str,
    queries: Mapping[str, Query],
    columns: Mapping[str, tuple[Column, ...]],
) -> dict[str, object]:
    """Build the description; `columns` by query name, as `SqlSource.describe` found them."""
    paths: dict[str, dict[str, object]] = {}
    for name, query in queries.items():
        operation = _operation(query, columns[name])
        paths.setdefault(query.path, {})[query.method.value.lower()] = operation
    return {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": _TEXT, "parameter": _TEXT},
                }
            }
        },
    }


def _operation(query: Query, columns: tuple[Column, ...]) -> dict[str, object]:
    row: dict[str, object] = {
        "type": "object",
        "required": [column.name for column in columns],
        "properties": {
            column.name: {**_COLUMN_SCHEMAS.get(column.type, _TEXT), "nullable": True}
            for column in columns
        },
    }
    answer = row if query.single else _list_of(row)
    responses: dict[str, object] = {
        "200": _content("the answer", answer),
        "400": _content("a parameter is missing, unknown or not of its type", _ERROR),
        "503": _content("the database does not answer", _ERROR),
        "504": _content("the query took too long", _ERROR),
    }
    if query.single:
        responses["404"] = _content("there is no such row", _ERROR)
    operation: dict[str, object] = {
        "operationId": query.name,
        "summary": query.summary or query.name,
        "parameters": _parameters(query),
        "responses": responses,
    }
    if query.method is QueryMethod.POST:
        operation["requestBody"] = {"required": True, **_media(_body(query))}
    return operation


def _list_of(row: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "required": ["items", "more"],
        "properties": {"items": {"type": "array", "items": row}, "more": {"type": "boolean"}},
    }


def _parameters(query: Query) -> list[dict[str, object]]:
    return [
        {
            "name": parameter.name,
            "in": "path" if parameter.name in query.path_parameters else "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": _PARAMETER_SCHEMAS[parameter.type],
        }
        for parameter in query.parameters
        if parameter.name in query.path_parameters or query.method is QueryMethod.GET
    ]


def _body(query: Query) -> dict[str, object]:
    inside = [p for p in query.parameters if p.name not in query.path_parameters]
    return {
        "type": "object",
        "required": [parameter.name for parameter in inside if parameter.required],
        "properties": {p.name: _PARAMETER_SCHEMAS[p.type] for p in inside},
        "additionalProperties": False,
    }


def _media(schema: dict[str, object]) -> dict[str, object]:
    return {"content": {"application/json": {"schema": schema}}}


def _content(description: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"description": description, **_media(dict(schema))}
