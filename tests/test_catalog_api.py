"""The catalog for programs: what it answers stands in its own description."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from catalog.central.entries import Catalog, CatalogService
from catalog.central.faces.fetched import described_by
from catalog.central.faces.openapi import describe_api
from catalog.central.faces.question import Answer
from catalog.central.faces.site import CatalogSite
from catalog.central.faces.view import uri_segment
from catalog.services import HostedClient, ServerConf, Service, ServiceType
from node.metadata.descriptions import Published
from node.once.catalog_page import CatalogPage, open_catalog_page
from tests import faces_stage as stage
from tests.test_catalog_pages import DESCRIPTION, HOSTILE, hostile_catalog
from trust.errors import ExchangeError
from trust.ids import ServiceId

API = describe_api("/catalog")
PATHS: Mapping[str, Any] = API["paths"]  # type: ignore[assignment]  # plain values


def site_of(catalog: Catalog | None = stage.CATALOG) -> CatalogSite:
    return CatalogSite(lambda: catalog, clock=lambda: stage.NOW)


def ask(address: str, catalog: Catalog | None = stage.CATALOG, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return site_of(catalog).answer("/catalog/v1" + address, named)


def told(address: str, catalog: Catalog = stage.CATALOG) -> Any:  # noqa: ANN401 - JSON
    answer = ask(address, catalog)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def check(path: str, value: object) -> None:
    """That an answer is as the description says."""
    schema = PATHS[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": API["components"]}
    errors = [one.message for one in OAS31Validator(whole).iter_errors(value)]
    assert errors == []


def test_the_description_is_sound() -> None:
    validate(told("/openapi.json"))
    assert told("/openapi.json") == API


@pytest.mark.parametrize("catalog", [stage.CATALOG, hostile_catalog(HOSTILE[0])])
def test_every_answer_is_as_described(catalog: Catalog) -> None:
    for path in PATHS:
        if "{" not in path:
            check(path, told(path + ("?q=e" if path == "/search" else ""), catalog))
    for service in catalog.services:
        check("/services/{id}", told(f"/services/{service.id.path}", catalog))
    for kind in ("concepts", "procedures"):
        for one in getattr(catalog.vocabulary, kind):
            check(f"/{kind}/{{uri}}", told(f"/{kind}/{uri_segment(one.uri)}", catalog))


def test_a_service_is_told_whole() -> None:
    service = told(f"/services/{stage.PERSONS.path}")
    assert service["provider"] == {
        "id": "SANDBOX/GOV/1001/population",
        "name": "Civil Registry: Population register",
    }
    assert service["answers"][0]["fields"][0]["concept"] == stage.BIRTH_DATE
    assert service["answers"][0]["derived"][0]["rule"] == "years-at-least"
    assert service["authority_for"][0]["valid_from"] == "2020-01-01"
    assert service["availability"]["answered"] == 4203


def test_an_identifier_may_be_encoded_in_more_ways_than_one() -> None:
    odd = replace(stage.SERVICES[0], id=ServiceId(stage.CIVIL, "a b/\u00e9!"))
    catalog = replace(stage.CATALOG, services=(odd,))
    base = f"/services/{stage.CIVIL.path}"
    for written in (odd.id.path.rpartition("population/")[2], "a%20b%2f%c3%a9%21"):
        assert told(f"{base}/{written}", catalog)["service_code"] == odd.id.service_code


def test_a_procedure_says_what_can_t_be_had() -> None:
    procedure = told(f"/procedures/{uri_segment(stage.BENEFIT)}")
    assert procedure["can_be_met"] is False
    assert [need["missing"] for need in procedure["requirements"]] == [[], [], [stage.SCHOOL]]
    lacks = procedure["requirements"][2]["facts"][0]["sources"]
    assert lacks[0]["lack"] == "its service is a draft or was withdrawn"


def test_services_are_found_by_words_facts_and_institutions() -> None:
    def found(query: str) -> list[str]:
        return [one["title"] for one in told(f"/search?{query}")["items"]]

    assert found("q=national+id")[0] == "Persons by national id"
    assert found(f"concept={uri_segment(stage.HOUSEHOLD)}") == ["Income of a household"]
    assert "Schools" not in found("member=SANDBOX:MUN:2001")
    assert "Schools" in found("member=SANDBOX:MUN:2001&drafts=true")


def test_services_are_narrowed_by_state() -> None:
    assert [one["id"] for one in told("/services?state=draft")["items"]] == [stage.DRAFT.path]


def test_long_lists_come_in_pages() -> None:
    catalog = stage.large_catalog(5_000, 4)
    seen: list[str] = []
    page = told("/services?size=200", catalog)
    assert (page["total"], page["pages"]) == (5_000, 25)
    site = site_of(catalog)
    for number in range(1, 26):
        answer = site.answer(f"/catalog/v1/services?size=200&page={number}", {})
        seen += [one["id"] for one in json.loads(answer.body)["items"]]
    assert len(set(seen)) == 5_000
    assert told("/services?size=200&page=26", catalog)["items"] == []
    answer = site.answer("/catalog/concepts?page=3", {})
    assert b"Page 3 of 100" in answer.body
    assert b"page=4" in answer.body
    assert len(answer.body) < 50_000


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("/services?page=0", "'page' must be a whole number"),
        ("/services?size=201", "'size' must be a whole number from 1 to 200"),
        ("/services?page=%C2%B2", "'page' must be"),
        ("/services?state=lost", "'state' must be one of"),
        ("/search?q=" + "a" * 301, "more than 300 characters"),
        ("/search?q=a&drafts=maybe", "'drafts' must be true or false"),
        ("/search?q=%FF", "The query can't be read"),
        ("/concepts/%FF", "no UTF-8"),
        ("/services?" + "&".join(f"a{number}=1" for number in range(30)), "query can't be read"),
        ("/" + "a" * 9_000, "too long"),
    ],
)
def test_bad_questions_are_told(address: str, detail: str) -> None:
    answer = ask(address)
    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    assert detail in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    "address", ["", "/", "/nothing", "/services/SANDBOX", "/concepts/x", "/members/x", "/search/x"]
)
def test_what_is_not_there_is_a_problem(address: str) -> None:
    answer = ask(address)
    assert answer.status == 404
    assert json.loads(answer.body)["status"] == 404


def test_without_a_catalog_there_is_a_reason() -> None:
    assert ask("/services", None).status == 503


def test_an_answer_that_is_known_is_not_sent_again() -> None:
    tag = ask("/services").headers["ETag"]
    again = ask("/services", If_None_Match=f'W/"x", {tag}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    newer = replace(stage.CATALOG, version=18)
    assert ask("/services", newer, If_None_Match=tag).status == 200
    other = ask("/services", Accept_Language="es").headers["ETag"]
    assert other != tag


@given(st.text(alphabet="/?&=%v1services.x\u00e9+#", max_size=60))
def test_any_address_is_answered(address: str) -> None:
    assert site_of().answer("/catalog" + address, {}).status in (200, 400, 404)


# --- behind a server ------------------------------------------------------------------------------


async def test_the_registry_serves_it() -> None:
    app = web.Application()
    site_of().add_to(app)
    async with TestClient(TestServer(app)) as client:
        page = await client.get("/catalog")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Vary"] == "Accept-Language"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        known = await client.get("/catalog/v1/services")
        assert known.headers["Content-Type"] == "application/json"
        again = await client.get(
            "/catalog/v1/services", headers={"If-None-Match": known.headers["ETag"]}
        )
        assert again.status == 304
        concept = await client.get(f"/catalog/v1/concepts/{uri_segment(stage.BIRTH_DATE)}")
        assert concept.status == 200
        head = await client.head("/catalog/v1/services")
        assert (head.status, await head.read()) == (200, b"")


async def test_the_node_serves_it_to_be_read_only() -> None:
    page = CatalogPage(site_of())
    async with TestClient(TestServer(_plain(page))) as client:
        assert (await client.get("/catalog/services")).status == 200
        refused = await client.post("/catalog/services", data=b"x")
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def _plain(page: CatalogPage) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", page.__call__)
    return app


class Shelf:
    """Descriptions as a node has them; one can't be had."""

    async def get(self, service: Service) -> Published:
        if service.id != stage.PERSONS:
            raise ExchangeError("the system does not answer")
        return Published(json.dumps(DESCRIPTION).encode(), None)


async def test_the_node_tells_the_descriptions_of_its_own_services() -> None:
    services = tuple(
        Service(one, ServiceType.OPENAPI, "http://10.0.0.7/", description_url="http://10.0.0.7/d")
        for one in (stage.PERSONS, stage.OLD)
    )
    hosted = ServerConf((HostedClient(stage.CIVIL, services=services),))
    page = open_catalog_page(lambda: stage.CATALOG, Shelf(), lambda: hosted, lambda: stage.NOW)
    async with TestClient(TestServer(_plain(page))) as client:

        async def origin(service: ServiceId) -> str:
            found = await client.get(f"/catalog/descriptions/{service.path}")
            return (await found.text()).partition("Told from ")[2].partition(".")[0]

        assert await origin(stage.PERSONS) == "its OpenAPI description"
        assert await origin(stage.OLD) == "what the catalog knows"
        assert await origin(stage.INCOME) == "what the catalog knows"


async def test_a_description_is_not_waited_for_without_end() -> None:
    async def never(_service: CatalogService) -> bytes | None:
        await asyncio.Event().wait()
        return None

    describe = described_by(never, timedelta(milliseconds=1))
    assert await asyncio.to_thread(describe, stage.SERVICES[0]) is None


async def test_too_many_at_once_are_told_so() -> None:
    site = CatalogSite(lambda: stage.CATALOG, clock=lambda: stage.NOW)
    site._waiting = 100
    async with TestClient(TestServer(_plain(CatalogPage(site)))) as client:
        assert (await client.get("/catalog")).status == 503


def test_a_service_that_nobody_describes_has_no_description() -> None:
    service: CatalogService = stage.SERVICES[0]
    assert site_of().describe(service) is None
