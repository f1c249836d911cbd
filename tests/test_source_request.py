"""Requests to sources: where the subject and the parameters stand in them."""

import json
from datetime import date
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.central.entries import CatalogService
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Place,
    ServiceMapping,
    SubjectParameter,
)
from catalog.paths import ServicePath
from catalog.services import ServiceType
from node.exchange.own_call import OwnRequest
from node.exchange.own_soap_call import OwnSoapRequest
from node.messages.intent import Intent
from node.once.resolver.planning.plan import PlannedExchange
from node.once.resolver.sources.source_request import build_request
from tests.instance import CONSUMER, PROVIDER
from trust.errors import MalformedMessage
from trust.ids import ServiceId

DAY = date(2026, 6, 1)
INTENT = Intent("urn:p", "Act", "", (), "1", "o")


def request(
    *parameters: FixedParameter,
    subject: SubjectParameter | None = None,
    path: str = "/a/{id}",
    method: str = "GET",
    identifier: str = "4711",
    **given: str,
) -> OwnRequest:
    names = subject or SubjectParameter("id", "urn:s")
    fields = (FieldMapping("name", "/name", "urn:n"), FieldMapping("town", "/town", "urn:t"))
    endpoint = EndpointMapping(method, path, names, parameters, fields)
    service = CatalogService(
        ServiceId(PROVIDER, "people"), ServiceType.OPENAPI, mapping=ServiceMapping((endpoint,))
    )
    exchange = PlannedExchange(
        0, service, endpoint, "urn:s", (("urn:n", "name"), ("urn:t", "town"))
    )
    built = build_request(exchange, identifier, CONSUMER, INTENT, given, DAY)
    assert isinstance(built, OwnRequest)
    return built


def test_the_intent_stands_in_headers() -> None:
    assert dict(request().headers) == {
        "Accept": "application/json",
        "Once-Purpose": "urn:p",
        "Once-Legal-Basis": "Act",
        "Once-Fields": "name,town",
        "X-Road-Issue": "1",
        "X-Road-UserId": "o",
    }


def test_defaults_know_the_day() -> None:
    parameters = (
        FixedParameter("year", default="{last_year}"),
        FixedParameter("until", default="x{today}"),
        FixedParameter("kind", Place.PATH, "all"),
    )
    made = request(*parameters, path="/{kind}/{id}")
    assert made.rest == "/all/4711?year=2025&until=x2026-06-01"
    assert request(*parameters, path="/{kind}/{id}", year="1999").rest.startswith(
        "/all/4711?year=1999"
    )


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12))
def test_any_identifier_stays_one_value_or_is_refused(value: str) -> None:
    try:
        path = request(identifier=value).rest
    except MalformedMessage:
        return
    assert path.startswith("/a/")
    assert unquote(path[3:]) == value
    assert "/" not in path[3:]
    assert ServicePath.parse(path).readings
    query = request(
        subject=SubjectParameter("q", "urn:s", Place.QUERY), path="/a", identifier=value
    )
    assert parse_qsl(query.rest.partition("?")[2], keep_blank_values=True) == [("q", value)]


@pytest.mark.parametrize("value", ["..", ".", "../x", "a/../b", "%2e%2e", "x\\..\\y"])
def test_what_would_lead_elsewhere_is_refused(value: str) -> None:
    with pytest.raises(MalformedMessage, match="another path"):
        request(identifier=value)


def test_a_body_is_written_from_its_pointers() -> None:
    made = request(
        FixedParameter("/query/year", Place.BODY, "{last_year}"),
        FixedParameter("/a~1b", Place.BODY, "x"),
        subject=SubjectParameter("/query/person/id", "urn:s", Place.BODY),
        path="/search",
        method="POST",
    )
    assert (made.method, made.rest) == ("POST", "/search")
    assert json.loads(made.body) == {
        "query": {"person": {"id": "4711"}, "year": "2025"},
        "a/b": "x",
    }
    assert ("Content-Type", "application/json") in made.headers


@pytest.mark.parametrize("name", ["/query/person/id", "/query/person", "/query/person/id/x", ""])
def test_pointers_that_contradict_each_other_are_refused(name: str) -> None:
    with pytest.raises(MalformedMessage):
        request(
            FixedParameter(name, Place.BODY, "x"),
            subject=SubjectParameter("/query/person/id", "urn:s", Place.BODY),
            path="/search",
        )


def test_a_path_that_needs_more_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="'kind'"):
        request(path="/{kind}/{id}")


def test_soap_takes_what_stands_in_its_body() -> None:
    endpoint = EndpointMapping(
        subject=SubjectParameter("/get/id", "urn:s", Place.BODY),
        parameters=(FixedParameter("/get/year", Place.BODY, "1"), FixedParameter("q", default="2")),
        fields=(FieldMapping("name", "/r/name", "urn:n"),),
        namespace="urn:x",
        qualified=False,
    )
    service = CatalogService(
        ServiceId(PROVIDER, "get"), ServiceType.WSDL, mapping=ServiceMapping((endpoint,))
    )
    exchange = PlannedExchange(0, service, endpoint, "urn:s", (("urn:n", "name"),))
    made = build_request(exchange, "7", CONSUMER, INTENT, {}, DAY)
    assert isinstance(made, OwnSoapRequest)
    assert (made.values, made.qualified) == ({"/get/id": "7", "/get/year": "1"}, False)
    assert made.intent.fields == ("name",)


def test_a_parameter_never_takes_the_place_of_the_subject() -> None:
    made = request(FixedParameter("id", Place.QUERY), id="another")
    assert made.rest == "/a/4711?id=another"
    with pytest.raises(MalformedMessage, match="twice"):
        request(FixedParameter("id", Place.PATH), id="another")
