"""The OpenAPI description of what the data tracker answers here: the protocol's, and our members.

Bounds and members are those of `questions` and `told`; a test holds them against the protocol's own
description.
"""

from typing import Any

import msgspec

from node.once.citizen.questions import MAX_CODE, MAX_OFFSET, Path
from node.once.citizen.told import FindUsageAnswer, HeartbeatAnswer, UsagePeriodAnswer
from node.once.use_queries import MAX_PAGE

PROTOCOL_VERSION = "2.1.0"  # of dumonitor-openapi.yaml
Json = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"


def build_description(service_code: str) -> Json:
    """The document, for the service of one node."""
    answers = (FindUsageAnswer, UsagePeriodAnswer, HeartbeatAnswer)
    _, components = msgspec.json.schema_components(answers, ref_template=REFERENCE)
    components["HeartbeatAnswer"]["properties"]["status"]["enum"] = ["OK", "FAIL"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Uses of a citizen's data",
            "description": "The data tracker protocol of e-gov/AJ with further members in answers",
            "version": PROTOCOL_VERSION,
        },
        "servers": [{"url": f"/{service_code}"}],
        "paths": {
            Path.FIND_USAGE.value: _operation(
                "findUsage", "Uses of somebody's data, the latest first", "FindUsageAnswer", _ASKED
            ),
            Path.USAGE_PERIOD.value: _operation(
                "usagePeriod", "Since when uses can be asked for", "UsagePeriodAnswer"
            ),
            Path.HEARTBEAT.value: _operation(
                "heartbeat", "Whether uses can be asked for", "HeartbeatAnswer"
            ),
        },
        "components": {"schemas": components},
    }


def _operation(name: str, summary: str, answer: str, parameters: list[Json] | None = None) -> Json:
    schema = {"$ref": REFERENCE.format(name=answer)}
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "parameters": parameters or [],
            "responses": {
                "200": {
                    "description": "The answer",
                    "content": {"application/json": {"schema": schema}},
                },
                "400": {"description": "The question is not the protocol's; the text says why"},
                "500": {"description": "The node can't answer now"},
            },
        }
    }


def parameter(name: str, place: str, meaning: str, schema: Json, **more: object) -> Json:
    return {"name": name, "in": place, "description": meaning, "schema": schema, **more}


CODE: Json = {"type": "string", "minLength": 1, "maxLength": MAX_CODE}
MOMENT: Json = {"type": "string", "format": "date-time"}
_ASKED = [
    parameter("X-Road-UserId", "header", "Who asks", CODE, required=True),
    parameter("userCode", "query", "Whose data it is about", CODE, required=True),
    parameter("periodStart", "query", "Uses from this moment on", MOMENT),
    parameter("periodEnd", "query", "Uses before this moment", MOMENT),
    parameter(
        "offset",
        "query",
        "So many uses are passed over",
        {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
    ),
    parameter(
        "limit",
        "query",
        "So many uses are told at the most",
        {"type": "integer", "minimum": 0, "maximum": MAX_PAGE, "default": MAX_PAGE},
    ),
]
