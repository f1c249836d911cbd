"""The OpenAPI description of what a portal gets from its own node."""

import msgspec

from node.once.citizen.description import CODE, MOMENT, REFERENCE, Json, parameter
from node.once.citizen.sources import Standing
from node.once.citizen.told import Usage

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}


def build_portal_description(path: str) -> Json:
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


def _operation() -> Json:
    schema = {"$ref": REFERENCE.format(name="Found")}
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


def _parameters() -> list[Json]:
    return [
        parameter("X-Road-Client", "header", "The portal, in path form", _TEXT, required=True),
        parameter("X-Road-UserId", "header", "Who sits at the portal", CODE, required=True),
        parameter("X-Road-Represented-Party", "header", "In whose name", _TEXT),
        parameter("scheme", "query", "What kind of identifier value is", _TEXT, required=True),
        parameter("value", "query", "Whose data it is about", CODE, required=True),
        parameter("since", "query", "Uses from this moment on", MOMENT),
        parameter("until", "query", "Uses before this moment", MOMENT),
        parameter("as", "query", "A page for people, not JSON", {"enum": ["page"]}),
    ]


def _schemas() -> Json:
    _, components = msgspec.json.schema_components((Usage,), ref_template=REFERENCE)
    return {**components, "ToldUsage": _told_usage(), "Source": _source(), "Found": _found()}


def _told_usage() -> Json:
    """A use with who told it, and with names from the catalog."""
    names = {"type": "array", "items": _TEXT}
    added = {"toldBy": _TEXT, "purposeName": _TEXT, "procedureName": _TEXT, "factNames": names}
    return {"allOf": [{"$ref": REFERENCE.format(name="Usage")}, _whole(added)]}


def _source() -> Json:
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


def _found() -> Json:
    return _whole(
        {
            "usages": {"type": "array", "items": {"$ref": REFERENCE.format(name="ToldUsage")}},
            "moreUsages": _COUNT,
            "sealedUsages": _COUNT,
            "complete": {"type": "boolean"},
            "sources": {"type": "array", "items": {"$ref": REFERENCE.format(name="Source")}},
        }
    )


def _whole(properties: Json) -> Json:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}
