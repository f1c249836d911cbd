"""The OpenAPI description of what a portal gets from its own node."""

from typing import Any

import msgspec

from node.once.citizen.questions import MAX_CODE
from node.once.citizen.sources import Standing
from node.once.citizen.told import Usage

_Json = dict[str, Any]
_REFERENCE = "#/components/schemas/{name}"
_TEXT: _Json = {"type": "string"}
_COUNT: _Json = {"type": "integer", "minimum": 0}
_CODE: _Json = {"type": "string", "minLength": 1, "maxLength": MAX_CODE}
_MOMENT: _Json = {"type": "string", "format": "date-time"}


def build_portal_description(path: str) -> _Json:
    """The document; `path` is where the node answers."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Uses of a citizen's data at all nodes",
            "description": "For citizens' portals; the node asks findUsage of all others",
            "version": "1",
        },
        "paths": {path: {"get": _operation()}},
        "components": {"schemas": _schemas()},
    }


def _operation() -> _Json:
    schema = {"$ref": _REFERENCE.format(name="Found")}
    texts = {"text/plain": {"schema": _TEXT}}
    return {
        "operationId": "usage",
        "summary": "Who used somebody's data, anywhere",
        "parameters": _parameters(),
        "responses": {
            "200": {
                "description": "What those told who answered, and who did not",
                "content": {
                    "application/json": {"schema": schema},
                    "text/html": {"schema": _TEXT},
                },
            },
            "400": {"description": "A parameter or header is wrong", "content": texts},
            "401": {"description": "The system may not speak for the client", "content": texts},
            "403": {"description": "The client is no citizens' portal", "content": texts},
            "503": {"description": "Nobody can be asked now; come again", "content": texts},
        },
    }


def _parameters() -> list[_Json]:
    return [
        _parameter("X-Road-Client", "header", "The portal, in path form", _TEXT, required=True),
        _parameter("X-Road-UserId", "header", "Who sits at the portal", _CODE, required=True),
        _parameter("X-Road-Represented-Party", "header", "In whose name", _TEXT),
        _parameter("scheme", "query", "What kind of identifier value is", _TEXT, required=True),
        _parameter("value", "query", "Whose data it is about", _CODE, required=True),
        _parameter("since", "query", "Uses from this moment on", _MOMENT),
        _parameter("until", "query", "Uses before this moment", _MOMENT),
        _parameter("as", "query", "A page for people, not JSON", {"enum": ["page"]}),
    ]


def _parameter(name: str, place: str, meaning: str, schema: _Json, **more: object) -> _Json:
    return {"name": name, "in": place, "description": meaning, "schema": schema, **more}


def _schemas() -> _Json:
    _, components = msgspec.json.schema_components((Usage,), ref_template=_REFERENCE)
    return {**components, "ToldUsage": _told_usage(), "Source": _source(), "Found": _found()}


def _told_usage() -> _Json:
    """A use with who told it, and with names from the catalog."""
    names = {"type": "array", "items": _TEXT}
    added = {"toldBy": _TEXT, "purposeName": _TEXT, "procedureName": _TEXT, "factNames": names}
    return {"allOf": [{"$ref": _REFERENCE.format(name="Usage")}, _whole(added)]}


def _source() -> _Json:
    return _whole(
        {
            "client": _TEXT,
            "server": _TEXT,
            "memberName": _TEXT,
            "standing": {"enum": [one.value for one in Standing]},
            "reason": _TEXT,
            "totalUsages": _COUNT,
        }
    )


def _found() -> _Json:
    return _whole(
        {
            "usages": {"type": "array", "items": {"$ref": _REFERENCE.format(name="ToldUsage")}},
            "moreUsages": _COUNT,
            "sealedUsages": _COUNT,
            "complete": {"type": "boolean"},
            "sources": {"type": "array", "items": {"$ref": _REFERENCE.format(name="Source")}},
        }
    )


def _whole(properties: _Json) -> _Json:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}
