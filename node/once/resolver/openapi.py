"""The OpenAPI description of the resolver's API: `GET /once/v1/openapi.json`."""

from functools import cache

from node.once.resolver.planning.reasons import MEANINGS, Fixer, Reason
from node.once.resolver.question import MAX_CONCEPTS, MAX_PARAMETERS, Wrong

_Json = dict[str, object]
_TEXT: _Json = {"type": "string"}
_TIME: _Json = {"type": "string", "format": "date-time"}
_CONCEPTS: _Json = {"type": "array", "items": _TEXT, "maxItems": MAX_CONCEPTS}


@cache
def openapi_document() -> _Json:
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Facts about a subject, with their proof",
            "version": "1",
            "description": "Facts are asked from the registries that are the authority for them. "
            "The header X-Road-Client says who calls, authenticated as for X-Road's REST calls.",
        },
        "servers": [{"url": "/once/v1"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "parameters": {
                "client": _header("X-Road-Client", "Who calls, in path form"),
                "token": _header("Once-Preview-Token", "What opens the preview"),
                "preview": {"name": "id", "in": "path", "required": True, "schema": _TEXT},
            },
            "responses": {
                "problem": {
                    "description": "Why there is no answer",
                    "content": {"application/problem+json": {"schema": _ref("Problem")}},
                }
            },
        },
    }


def _paths() -> _Json:
    return {
        "/evidence": {
            "post": _operation(
                "Facts about a subject",
                _asked("Question"),
                {
                    "200": _json("What was found", "Answer"),
                    "201": _json("What was found is held until the citizen confirms it", "Held"),
                },
            )
        },
        "/plan": {
            "post": _operation(
                "What would be asked of whom",
                _asked("PlanQuestion"),
                {"200": _json("The plan", "Planned")},
            )
        },
        "/previews/{id}": {
            "get": _operation(
                "What the citizen is asked to confirm",
                None,
                {"200": _json("The evidence that is held", "Shown")},
                preview=True,
            )
        },
        "/previews/{id}/confirm": {
            "post": _operation(
                "Confirm the facts that may be handed on; the others are forgotten",
                _asked("Confirmation"),
                {"200": _json("What was confirmed", "Confirmed")},
                preview=True,
            )
        },
        "/previews/{id}/reject": {
            "post": _operation(
                "Forget all of it",
                None,
                {"200": _json("It is forgotten", "Rejected")},
                preview=True,
            )
        },
        "/previews/{id}/evidence": {
            "post": _operation(
                "Fetch what was confirmed, once",
                None,
                {"200": _json("What was confirmed", "Answer")},
                preview=True,
            )
        },
    }


def _schemas() -> _Json:
    reasons = "\n".join(
        f"* `{one.value}` ({MEANINGS[one][0].value}): {MEANINGS[one][1]}" for one in Reason
    )
    question = {
        "procedure": _said("URI of a procedure; this or concepts"),
        "concepts": _CONCEPTS,
        "subject": _ref("Subject"),
        "purpose": _said("URI; a procedure brings its own"),
        "legal_basis": _said("needed for a purpose that the vocabulary does not have"),
        "case": _said("the number of the case (X-Road-Issue)"),
        "official": _said("who handles it (X-Road-UserId)"),
        "mandate": _said("whom the caller represents: CODE or CLASS/CODE"),
        "parameters": {
            "type": "object",
            "additionalProperties": _TEXT,
            "maxProperties": MAX_PARAMETERS,
        },
        "territory": _said("code of the territory where the subject is at home, if known"),
        "deadline": {"type": "number", "description": "seconds; the node has a longest one"},
        "preview": {"type": "boolean", "description": "hold it until the citizen confirms it"},
    }
    preview = {"id": _TEXT, "expires_at": _TIME}
    return {
        "Subject": _object({"scheme": _TEXT, "value": _TEXT}, "scheme"),
        "Question": _object(question, "subject", "case", "official"),
        "PlanQuestion": _object(question, "subject"),
        "Evidence": _object(
            {
                "concept": _TEXT,
                "value": {"description": "as the concept's type says; a list if it is repeated"},
                "source": _said("the service, in path form"),
                "source_name": _TEXT,
                "valid_at": _TIME,
                "exchange_id": _TEXT,
                "receipt": _said("where on this port its receipt is had"),
                "reduced_here": {
                    "type": "boolean",
                    "description": "the source gave its whole answer; this node took the fact",
                },
            },
            "concept", "value", "source", "valid_at", "exchange_id", "receipt", "reduced_here",
        ),
        "Missing": _object(
            {
                "concept": _TEXT,
                "reason": {
                    "type": "string",
                    "enum": [one.value for one in Reason],
                    "description": reasons,
                },
                "who_can_fix": {"type": "string", "enum": [one.value for one in Fixer]},
                "text": _TEXT,
                "source": _TEXT,
            },
            "concept", "reason", "who_can_fix", "text",
        ),
        "Exchange": _object(
            {
                "stage": {"type": "integer"},
                "service": _TEXT,
                "name": _TEXT,
                "endpoint": _TEXT,
                "scheme": _TEXT,
                "concepts": {"type": "array", "items": _TEXT},
                "fields": {"type": "array", "items": _TEXT},
                "alternates": {"type": "array", "items": _TEXT},
                "plain": {"type": "boolean"},
                "depends_on": _said("the concept that decides who is asked for these"),
            },
            "stage", "concepts",
        ),
        "Answer": _object(
            {
                "evidence": _list("Evidence"),
                "missing": _list("Missing"),
                "plan": _list("Exchange"),
                "spared": {"type": "integer", "description": "submissions that nobody had to make"},
                "catalog_version": {"type": "integer"},
            },
            "evidence", "missing", "plan", "spared",
        ),
        "Planned": _object(
            {
                "plan": _list("Exchange"),
                "missing": _list("Missing"),
                "catalog_version": {"type": "integer"},
            },
            "plan", "missing",
        ),
        "Held": _object(
            {
                "preview": _object({**preview, "token": _TEXT}, "id", "token", "expires_at"),
                "found": _CONCEPTS,
                "missing": _list("Missing"),
                "plan": _list("Exchange"),
            },
            "preview", "found", "missing",
        ),
        "Shown": _object(
            {
                "preview": _object(
                    {**preview, "confirmed": {"type": "boolean"}}, "id", "expires_at", "confirmed"
                ),
                "client": _TEXT,
                "subject": _ref("Subject"),
                "procedure": _TEXT,
                "purpose": _TEXT,
                "legal_basis": _TEXT,
                "case": _TEXT,
                "evidence": _list("Evidence"),
                "missing": _list("Missing"),
            },
            "preview", "client", "subject", "evidence", "missing",
        ),
        "Confirmation": _object({"concepts": _CONCEPTS}, "concepts"),
        "Confirmed": _object({"confirmed": _CONCEPTS}, "confirmed"),
        "Rejected": _object({"rejected": {"type": "boolean"}}, "rejected"),
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "errors": {
                    "type": "array",
                    "items": _object(
                        {
                            "field": _said("a path of names with / between"),
                            "reason": {"type": "string", "enum": [one.value for one in Wrong]},
                            "text": _TEXT,
                        },
                        "field", "reason", "text",
                    ),
                },
            },
            "title", "status", "detail", "errors",
        ),
    }  # fmt: skip


def _operation(summary: str, body: _Json | None, good: _Json, *, preview: bool = False) -> _Json:
    parameters: list[object] = [{"$ref": "#/components/parameters/client"}]
    if preview:
        parameters.append({"$ref": "#/components/parameters/preview"})
        parameters.append({"$ref": "#/components/parameters/token"})
    refused: _Json = {"$ref": "#/components/responses/problem"}
    return {
        "summary": summary,
        "parameters": parameters,
        **({} if body is None else {"requestBody": body}),
        "responses": {**good, "default": refused},
    }


def _asked(schema: str) -> _Json:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema)}}}


def _json(description: str, schema: str) -> _Json:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref(schema)}},
    }


def _header(name: str, description: str) -> _Json:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": _TEXT,
    }


def _object(properties: _Json, *required: str) -> _Json:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(schema: str) -> _Json:
    return {"type": "array", "items": _ref(schema)}


def _ref(schema: str) -> _Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _said(description: str) -> _Json:
    return {"type": "string", "description": description}
