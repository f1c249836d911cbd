"""The OpenAPI description of the catalog's JSON API, as plain values."""

from catalog.about import LifeState
from catalog.central.faces.paging import DEFAULT_SIZE, LARGEST_SIZE
from catalog.central.faces.schemas import (
    NUMBER,
    SCHEMAS,
    TEXT,
    Json,
    list_of,
    object_of,
    one_of,
    reference,
)
from catalog.central.search import LONGEST_TEXT

_PAGING: list[Json] = [
    {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 1}},
    {
        "name": "size",
        "in": "query",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": LARGEST_SIZE,
            "default": DEFAULT_SIZE,
        },
    },
]
_STATE: Json = {"name": "state", "in": "query", "schema": one_of(LifeState)}


def _text_parameter(name: str, meaning: str) -> Json:
    schema: Json = {"type": "string", "maxLength": LONGEST_TEXT}
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _wish(name: str) -> Json:
    meaning = f"whether {name} are shown, too"
    schema: Json = {"type": "boolean", "default": False}
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _page(items: str) -> Json:
    return object_of(
        catalog=reference("Catalog"),
        total=NUMBER,
        page=NUMBER,
        pages=NUMBER,
        items=list_of(reference(items)),
    )


def _get(name: str, summary: str, schema: Json, parameters: list[Json]) -> Json:
    problem: Json = {
        "description": "a problem",
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    }
    good: Json = {
        "description": "the answer",
        "headers": {"ETag": {"schema": TEXT, "description": "the catalog's version"}},
        "content": {"application/json": {"schema": schema}},
    }
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": good,
                "304": {"description": "unchanged since the version in If-None-Match"},
                "default": problem,
            },
        }
    }


def _in_path(name: str, meaning: str) -> list[Json]:
    return [{"name": name, "in": "path", "required": True, "description": meaning, "schema": TEXT}]


def describe_api(root: str) -> Json:
    """The description, for a catalog that is reached by a path."""
    words = [
        _text_parameter("q", "words, all of which must occur"),
        _text_parameter("concept", "URI of a fact, or its label"),
        _text_parameter("purpose", "URI of a purpose, or its label"),
        _text_parameter("keyword", "a keyword of the service"),
        _text_parameter("member", "CLASS:CODE, a whole identifier with colons, or words of a name"),
        _text_parameter("territory", "code of a territory"),
        _wish("drafts"),
        _wish("withdrawn"),
    ]
    paths = {
        "/services": _get("services", "All services", _page("ServiceSummary"), [_STATE, *_PAGING]),
        "/services/{id}": _get(
            "service",
            "One service",
            reference("Service"),
            _in_path("id", "as in a list, its slashes as they are"),
        ),
        "/concepts": _get("concepts", "All concepts", _page("ConceptSummary"), _PAGING),
        "/concepts/{uri}": _get(
            "concept", "One concept", reference("Concept"), _in_path("uri", "percent-encoded")
        ),
        "/procedures": _get("procedures", "All procedures", _page("Procedure"), _PAGING),
        "/procedures/{uri}": _get(
            "procedure", "One procedure", reference("Procedure"), _in_path("uri", "percent-encoded")
        ),
        "/authorities": _get(
            "authorities", "Who counts for which facts", _page("Authority"), _PAGING
        ),
        "/members": _get("members", "Institutions", _page("Client"), _PAGING),
        "/search": _get(
            "search", "Services by text, fact and member", _page("ServiceSummary"), words + _PAGING
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Catalog of services and facts",
            "version": "1",
            "description": "What is offered in an instance, by whom, and who is the authority for"
            " which fact. Every answer is from one version of the catalog.",
        },
        "servers": [{"url": f"{root}/v1"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }
