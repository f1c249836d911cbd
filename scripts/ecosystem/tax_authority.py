"""The Tax Authority's REST service: income by person and year; runs in a process of its own.

    python -m scripts.ecosystem.tax_authority --port 9002

`GET /openapi.json` describes it.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from scripts.arguments import whole_number
from scripts.ecosystem.places import LOCAL
from scripts.livelihoods import YEARS, income_of, inhabitants
from scripts.people import Person
from scripts.service import run_service, run_until_stopped

ANNOUNCEMENT = "Tax Authority: "
_PEOPLE = web.AppKey("people", Mapping[str, Person])
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


async def _income(request: web.Request) -> web.Response:
    person = request.app[_PEOPLE].get(request.match_info["id"])
    year = int(request.match_info["year"])
    if person is None or year not in YEARS:
        return web.json_response({"title": "Nothing is known of that"}, status=404)
    return web.json_response(asdict(income_of(person, year)))


def build_app(address: str) -> web.Application:
    async def describe(_request: web.Request) -> web.Response:
        return web.json_response(description(address))

    app = web.Application()
    app[_PEOPLE] = inhabitants()
    app.router.add_get("/openapi.json", describe)
    app.router.add_get("/persons/{id}/income/{year:[0-9]{4}}", _income)
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
