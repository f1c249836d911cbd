"""The OpenAPI description of the catalog's JSON API, as plain values."""

from collections.abc import Mapping

from catalog.about import LifeState
from catalog.central.faces.paging import DEFAULT_SIZE, LARGEST_SIZE
from catalog.central.search import LONGEST_TEXT
from catalog.mapping import Place, Rule
from catalog.meaning.vocabulary import FactType, Sensitivity
from catalog.services import ServiceType

Json = dict[str, object]

_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer", "minimum": 0}
_YES_OR_NO: Json = {"type": "boolean"}
_DAY: Json = {"type": ["string", "null"], "format": "date"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_LABELS: Json = {
    "type": "object",
    "additionalProperties": _TEXT,
    "description": "text by language tag",
}


def _object(**properties: Json) -> Json:
    """An object of which every property is always there."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(value: Json) -> Json:
    return {"oneOf": [value, {"type": "null"}]}


def _one_of(words: type) -> Json:
    return {"type": "string", "enum": [word.value for word in words]}  # type: ignore[attr-defined]  # an enum


_SUMMARY: Mapping[str, Json] = {
    "id": {"type": "string", "description": "identifier in its path form, percent-encoded"},
    "href": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "type": _one_of(ServiceType),
    "provider": _ref("Client"),
    "state": _one_of(LifeState),
    "keywords": _list(_TEXT),
    "territory": {"type": "string", "description": "that it is about; empty for all"},
}

_CONCEPT: Mapping[str, Json] = {
    "uri": _TEXT,
    "href": _TEXT,
    "labels": _LABELS,
    "type": _one_of(FactType),
    "definition": _TEXT,
    "sensitivity": _one_of(Sensitivity),
    "identifies": {
        "type": ["string", "null"],
        "description": "scheme of identifiers that its values belong to",
    },
}

_FACTS = _list(_ref("Fact"))

SCHEMAS: Mapping[str, Json] = {
    "Catalog": _object(
        instance=_TEXT, version=_NUMBER, made_at={"type": "string", "format": "date-time"}
    ),
    "Client": _object(id=_TEXT, name=_TEXT),
    "ServiceSummary": _object(**_SUMMARY),
    "Service": _object(
        **_SUMMARY,
        service_code=_TEXT,
        service_version=_MAYBE_TEXT,
        life=_object(
            state=_one_of(LifeState),
            ends={**_DAY, "description": "from this day on it is withdrawn"},
            successor=_TEXT,
            usable={"type": "boolean", "description": "whether it may be asked today"},
        ),
        contact=_object(name=_TEXT, email=_TEXT, phone=_TEXT, url=_TEXT),
        terms={"type": "string", "description": "address or text of the conditions of use"},
        template=_MAYBE_TEXT,
        plain={"type": "boolean", "description": "its node gives whole answers only"},
        endpoints=_list({"type": "string", "description": "METHOD /path"}),
        answers=_list(_ref("Endpoint")),
        authority_for=_list(_ref("Authority")),
        description_digest=_MAYBE_TEXT,
        availability=_maybe(
            _object(
                since={"type": "string", "format": "date-time"}, calls=_NUMBER, answered=_NUMBER
            )
        ),
        page=_TEXT,
    ),
    "Endpoint": _object(
        method=_TEXT,
        path=_TEXT,
        subject=_maybe(_object(name=_TEXT, scheme=_TEXT, place=_one_of(Place))),
        parameters=_list(_object(name=_TEXT, place=_one_of(Place), default=_MAYBE_TEXT)),
        fields=_list(_object(name=_TEXT, path=_TEXT, concept=_TEXT, type=_one_of(FactType))),
        derived=_list(
            _object(name=_TEXT, source=_TEXT, rule=_one_of(Rule), value=_TEXT, concept=_TEXT)
        ),
    ),
    "Authority": _object(
        concepts=_list(_TEXT),
        service=_TEXT,
        alternates=_list(_TEXT),
        territory={"type": "string", "description": "empty for the whole instance"},
        valid_from=_DAY,
        valid_until={**_DAY, "description": "the first day on which it is none any more"},
    ),
    "Source": _object(
        service=_TEXT,
        territory=_TEXT,
        lack={"type": ["string", "null"], "description": "why it can't be asked"},
    ),
    "ConceptSummary": _object(**_CONCEPT),
    "Concept": _object(
        **_CONCEPT,
        authorities=_list(_ref("Authority")),
        sources={**_list(_ref("Source")), "description": "who counts for it today"},
        services=_list(
            _object(
                service=_TEXT,
                method=_TEXT,
                endpoint=_TEXT,
                name=_TEXT,
                path=_MAYBE_TEXT,
                rule=_MAYBE_TEXT,
            )
        ),
        procedures=_list(_TEXT),
    ),
    "Fact": _object(concept=_TEXT, can_be_had=_YES_OR_NO, sources=_list(_ref("Source"))),
    "Procedure": _object(
        uri=_TEXT,
        labels=_LABELS,
        purpose=_TEXT,
        legal_basis=_TEXT,
        offered_by={**_list(_ref("Client")), "description": "empty: everybody"},
        can_be_met=_YES_OR_NO,
        requirements=_list(
            _object(
                uri=_TEXT,
                labels=_LABELS,
                can_be_met=_YES_OR_NO,
                facts=_FACTS,
                alternatives=_list(
                    _object(
                        evidence_type=_TEXT, labels=_LABELS, can_be_had=_YES_OR_NO, facts=_FACTS
                    )
                ),
                missing=_list(_TEXT),
            )
        ),
    ),
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
        },
    },
}

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
_STATE: Json = {"name": "state", "in": "query", "schema": _one_of(LifeState)}


def _text_parameter(name: str, meaning: str) -> Json:
    schema: Json = {"type": "string", "maxLength": LONGEST_TEXT}
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _wish(name: str) -> Json:
    meaning = f"whether {name} are shown, too"
    schema: Json = {"type": "boolean", "default": False}
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _page(items: str) -> Json:
    return _object(
        catalog=_ref("Catalog"),
        total=_NUMBER,
        page=_NUMBER,
        pages=_NUMBER,
        items=_list(_ref(items)),
    )


def _get(name: str, summary: str, schema: Json, parameters: list[Json]) -> Json:
    problem: Json = {
        "description": "a problem",
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    good: Json = {
        "description": "the answer",
        "headers": {"ETag": {"schema": _TEXT, "description": "the catalog's version"}},
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
    return [{"name": name, "in": "path", "required": True, "description": meaning, "schema": _TEXT}]


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
            _ref("Service"),
            _in_path("id", "as in a list, its slashes as they are"),
        ),
        "/concepts": _get("concepts", "All concepts", _page("ConceptSummary"), _PAGING),
        "/concepts/{uri}": _get(
            "concept", "One concept", _ref("Concept"), _in_path("uri", "percent-encoded")
        ),
        "/procedures": _get("procedures", "All procedures", _page("Procedure"), _PAGING),
        "/procedures/{uri}": _get(
            "procedure", "One procedure", _ref("Procedure"), _in_path("uri", "percent-encoded")
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
