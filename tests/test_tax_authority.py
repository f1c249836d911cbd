"""The Tax Authority's REST service, and what it says of itself."""

from dataclasses import asdict

import pytest
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from scripts.ecosystem.tax_authority import build_app, description
from scripts.livelihoods import YEARS, income_of
from scripts.people import people


async def test_an_income_is_answered() -> None:
    person = next(people(1))
    async with TestClient(TestServer(build_app("http://tax.example"))) as client:
        for year in YEARS:
            response = await client.get(f"/persons/{person.national_id}/income/{year}")
            assert response.status == 200
            assert await response.json() == asdict(income_of(person, year))


@pytest.mark.parametrize("path", ["nobody/income/2024", "{id}/income/1999", "{id}/income/never"])
async def test_what_is_not_known_is_not_found(path: str) -> None:
    person = next(people(1))
    async with TestClient(TestServer(build_app("http://tax.example"))) as client:
        response = await client.get("/persons/" + path.format(id=person.national_id))
        assert response.status == 404


async def test_the_description_is_served_and_valid() -> None:
    async with TestClient(TestServer(build_app("http://tax.example"))) as client:
        response = await client.get("/openapi.json")
        found = await response.json()
    assert found == description("http://tax.example")
    validate(found)
    schema = found["paths"]["/persons/{id}/income/{year}"]["get"]["responses"]["200"]
    properties = schema["content"]["application/json"]["schema"]["properties"]
    assert set(properties) == set(asdict(income_of(next(people(1)), 2024)))
