"""What the JSON of the catalog's API looks like, as schemas of its OpenAPI description."""

from collections.abc import Mapping

from catalog.about import LifeState
from catalog.mapping import Place, Rule
from catalog.meaning.vocabulary import FactType, Sensitivity
from catalog.services import ServiceType

Json = dict[str, object]

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer", "minimum": 0}
_YES_OR_NO: Json = {"type": "boolean"}
_DAY: Json = {"type": ["string", "null"], "format": "date"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_LABELS: Json = {
    "type": "object",
    "additionalProperties": TEXT,
    "description": "text by language tag",
}


def object_of(**properties: Json) -> Json:
    """An object of which every property is always there."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(value: Json) -> Json:
    return {"oneOf": [value, {"type": "null"}]}


def one_of(words: type) -> Json:
    return {"type": "string", "enum": [word.value for word in words]}  # type: ignore[attr-defined]  # an enum


_SUMMARY: Mapping[str, Json] = {
    "id": {"type": "string", "description": "identifier in its path form, percent-encoded"},
    "href": TEXT,
    "title": TEXT,
    "description": TEXT,
    "type": one_of(ServiceType),
    "provider": reference("Client"),
    "state": one_of(LifeState),
    "keywords": list_of(TEXT),
    "territory": {"type": "string", "description": "that it is about; empty for all"},
}

_CONCEPT: Mapping[str, Json] = {
    "uri": TEXT,
    "href": TEXT,
    "labels": _LABELS,
    "type": one_of(FactType),
    "definition": TEXT,
    "sensitivity": one_of(Sensitivity),
    "identifies": {
        "type": ["string", "null"],
        "description": "scheme of identifiers that its values belong to",
    },
}

_FACTS = list_of(reference("Fact"))

SCHEMAS: Mapping[str, Json] = {
    "Catalog": object_of(
        instance=TEXT, version=NUMBER, made_at={"type": "string", "format": "date-time"}
    ),
    "Client": object_of(id=TEXT, name=TEXT),
    "ServiceSummary": object_of(**_SUMMARY),
    "Service": object_of(
        **_SUMMARY,
        service_code=TEXT,
        service_version=_MAYBE_TEXT,
        life=object_of(
            state=one_of(LifeState),
            ends={**_DAY, "description": "from this day on it is withdrawn"},
            successor=TEXT,
            usable={"type": "boolean", "description": "whether it may be asked today"},
        ),
        contact=object_of(name=TEXT, email=TEXT, phone=TEXT, url=TEXT),
        terms={"type": "string", "description": "address or text of the conditions of use"},
        template=_MAYBE_TEXT,
        plain={"type": "boolean", "description": "its node gives whole answers only"},
        endpoints=list_of({"type": "string", "description": "METHOD /path"}),
        answers=list_of(reference("Endpoint")),
        authority_for=list_of(reference("Authority")),
        description_digest=_MAYBE_TEXT,
        availability=_maybe(
            object_of(
                since={"type": "string", "format": "date-time"}, calls=NUMBER, answered=NUMBER
            )
        ),
        unheard_since={
            "type": ["string", "null"],
            "format": "date-time",
            "description": "when its node last told of it, when that is long ago",
        },
        page=TEXT,
    ),
    "Endpoint": object_of(
        method=TEXT,
        path=TEXT,
        subject=_maybe(object_of(name=TEXT, scheme=TEXT, place=one_of(Place))),
        parameters=list_of(object_of(name=TEXT, place=one_of(Place), default=_MAYBE_TEXT)),
        fields=list_of(object_of(name=TEXT, path=TEXT, concept=TEXT, type=one_of(FactType))),
        derived=list_of(
            object_of(name=TEXT, source=TEXT, rule=one_of(Rule), value=TEXT, concept=TEXT)
        ),
    ),
    "Authority": object_of(
        concepts=list_of(TEXT),
        service=TEXT,
        alternates=list_of(TEXT),
        territory={"type": "string", "description": "empty for the whole instance"},
        valid_from=_DAY,
        valid_until={**_DAY, "description": "the first day on which it is none any more"},
    ),
    "Source": object_of(
        service=TEXT,
        territory=TEXT,
        lack={"type": ["string", "null"], "description": "why it can't be asked"},
    ),
    "ConceptSummary": object_of(**_CONCEPT),
    "Concept": object_of(
        **_CONCEPT,
        authorities=list_of(reference("Authority")),
        sources={**list_of(reference("Source")), "description": "who counts for it today"},
        services=list_of(
            object_of(
                service=TEXT,
                method=TEXT,
                endpoint=TEXT,
                name=TEXT,
                path=_MAYBE_TEXT,
                rule=_MAYBE_TEXT,
            )
        ),
        procedures=list_of(TEXT),
    ),
    "Fact": object_of(concept=TEXT, can_be_had=_YES_OR_NO, sources=list_of(reference("Source"))),
    "Procedure": object_of(
        uri=TEXT,
        labels=_LABELS,
        purpose=TEXT,
        legal_basis=TEXT,
        offered_by={**list_of(reference("Client")), "description": "empty: everybody"},
        can_be_met=_YES_OR_NO,
        requirements=list_of(
            object_of(
                uri=TEXT,
                labels=_LABELS,
                can_be_met=_YES_OR_NO,
                facts=_FACTS,
                alternatives=list_of(
                    object_of(
                        evidence_type=TEXT, labels=_LABELS, can_be_had=_YES_OR_NO, facts=_FACTS
                    )
                ),
                missing=list_of(TEXT),
            )
        ),
    ),
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
        },
    },
}
