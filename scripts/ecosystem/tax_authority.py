"""The Tax Authority's REST services; they run in a process of their own.

    python -m scripts.ecosystem.tax_authority --port 9002

`GET /openapi.json` describes the older one, income by person and year, as anybody would. The newer
one, about households and debts, says in `/assessments.json` also which facts its answers hold.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from scripts.arguments import whole_number
from scripts.ecosystem.concepts import (
    HOUSEHOLD_INCOME,
    HOUSEHOLD_SIZE,
    LOW_INCOME,
    LOW_INCOME_BELOW,
    NATIONAL_ID,
    TAX_DEBT,
)
from scripts.ecosystem.places import LOCAL
from scripts.livelihoods import (
    YEARS,
    debt_of,
    household_of,
    income_of,
    inhabitants,
    minors_of,
)
from scripts.people import Person
from scripts.service import run_service, run_until_stopped

ANNOUNCEMENT = "Tax Authority: "
_PEOPLE = web.AppKey("people", Mapping[str, Person])
_MINORS = web.AppKey("minors", Mapping[str, int])
_SUBJECT = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "x-subject": NATIONAL_ID,
}
_INCOME = {
    "type": "object",
    "required": ["national_id", "year", "wages", "benefits"],
    "properties": {
        "national_id": {"type": "string"},
        "year": {"type": "integer"},
        "wages": {"type": "integer", "description": "paid by employers, in whole units of money"},
        "benefits": {"type": "integer", "description": "paid by the state"},
    },
}


def description(address: str) -> Mapping[str, Any]:
    """The OpenAPI description."""
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        {
            "name": "year",
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": YEARS.start, "maximum": YEARS.stop - 1},
        },
    ]
    answer = {"description": "Income", "content": {"application/json": {"schema": _INCOME}}}
    operation = {
        "operationId": "income",
        "summary": "What a person was paid in one year",
        "parameters": parameters,
        "responses": {"200": answer, "404": {"description": "Nobody, or no year, of that kind"}},
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "Tax Authority", "version": "1"},
        "servers": [{"url": address}],
        "paths": {"/persons/{id}/income/{year}": {"get": operation}},
    }


_HOUSEHOLD = {
    "type": "object",
    "required": ["national_id", "year", "members", "income"],
    "properties": {
        "national_id": {"type": "string"},
        "year": {"type": "integer"},
        "members": {"type": "integer", "x-concept": HOUSEHOLD_SIZE},
        "income": {
            "type": "integer",
            "description": "of all members, in whole units of money",
            "x-concept": HOUSEHOLD_INCOME,
        },
    },
}
_DEBT = {
    "type": "object",
    "required": ["national_id", "debt"],
    "properties": {
        "national_id": {"type": "string"},
        "debt": {"type": "integer", "x-concept": TAX_DEBT},
    },
}


def assessments(address: str) -> Mapping[str, Any]:
    """The OpenAPI description of the newer service."""
    year = {
        "name": "year",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": YEARS.start, "maximum": YEARS.stop - 1},
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "Assessments", "version": "1"},
        "servers": [{"url": address}],
        "paths": {
            "/persons/{id}/household/{year}": {
                "get": {
                    "operationId": "household",
                    "summary": "What a household lived on in one year",
                    "parameters": [_SUBJECT, year],
                    "responses": _answers("Household", _HOUSEHOLD),
                    "x-once": {
                        "parameters": {"year": str(YEARS[-1])},
                        "views": [
                            {
                                "name": "low_income",
                                "source": "income",
                                "rule": "below",
                                "value": str(LOW_INCOME_BELOW),
                                "concept": LOW_INCOME,
                            }
                        ],
                    },
                }
            },
            "/persons/{id}/debt": {
                "get": {
                    "operationId": "debt",
                    "summary": "What a person owes in taxes",
                    "parameters": [_SUBJECT],
                    "responses": _answers("Debt", _DEBT),
                }
            },
        },
    }


def _answers(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = {"description": name, "content": {"application/json": {"schema": schema}}}
    return {"200": found, "404": {"description": "Nobody, or no year, of that kind"}}


async def _income(request: web.Request) -> web.Response:
    person, year = _asked(request)
    if person is None or year not in YEARS:
        return _nothing()
    return web.json_response(asdict(income_of(person, year)))


async def _household(request: web.Request) -> web.Response:
    person, year = _asked(request)
    if person is None or year not in YEARS:
        return _nothing()
    minors = request.app[_MINORS].get(person.national_id, 0)
    return web.json_response(asdict(household_of(person, year, minors)))


async def _debt(request: web.Request) -> web.Response:
    person = request.app[_PEOPLE].get(request.match_info["id"])
    return _nothing() if person is None else web.json_response(asdict(debt_of(person)))


def _asked(request: web.Request) -> tuple[Person | None, int]:
    found = request.match_info
    return request.app[_PEOPLE].get(found["id"]), int(found["year"])


def _nothing() -> web.Response:
    return web.json_response({"title": "Nothing is known of that"}, status=404)


def build_app(address: str) -> web.Application:
    async def describe(_request: web.Request) -> web.Response:
        return web.json_response(description(address))

    async def describe_assessments(_request: web.Request) -> web.Response:
        return web.json_response(assessments(address))

    app = web.Application()
    app[_PEOPLE] = inhabitants()
    app[_MINORS] = minors_of(app[_PEOPLE])
    app.router.add_get("/openapi.json", describe)
    app.router.add_get("/assessments.json", describe_assessments)
    app.router.add_get("/persons/{id}/income/{year:[0-9]{4}}", _income)
    app.router.add_get("/persons/{id}/household/{year:[0-9]{4}}", _household)
    app.router.add_get("/persons/{id}/debt", _debt)
    return app


async def _serve(port: int) -> int:
    address = f"http://{LOCAL}:{port}"
    runner = web.AppRunner(build_app(address), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOCAL, port).start()
        print(f"{ANNOUNCEMENT}{address}", file=sys.stderr, flush=True)
        await run_until_stopped()
    finally:
        await runner.cleanup()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tax-authority", description=__doc__)
    parser.add_argument("--port", type=whole_number(1, 65535), required=True)
    return run_service(_serve(parser.parse_args().port))


if __name__ == "__main__":
    sys.exit(main())
