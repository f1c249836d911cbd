"""What a node tells the catalog of its services: the JSON of it, the service, and the figures."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.about import About, Contact, LifeCycle, LifeState
from catalog.central.entries import Availability, CatalogService
from catalog.central.wire import (
    MAX_ENTRY_BYTES,
    SERVICE_CODE,
    decode_entry,
    encode_entry,
)
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType
from catalog.services import (
    AccessRight,
    ClientStatus,
    DescriptionSource,
    Endpoint,
    HostedClient,
    ServerConf,
    Service,
    ServiceType,
)
from catalog.terms import Terms
from node.exchange.builtin import Call, RestAnswer
from node.exchange.snapshot import Snapshot
from node.messages.rest import RestRequestHead
from node.monitoring.settings import MonitoringSettings
from node.once.catalog_service import CatalogTelling
from node.once.traffic import Traffic
from tests.monitoring_stage import NOW, POPULATION, PORTAL, monitoring_pool, sample_record, stored
from tests.pki import NOON, Pki
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId, ServiceId

PERSONS = ClientId("EX", "GOV", "1000", "persons")
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
MAPPING = ServiceMapping(
    (
        EndpointMapping(
            "GET",
            "/persons/{id}",
            SubjectParameter("id", "urn:example:national-id"),
            (FixedParameter("year", default="{today}"),),
            (FieldMapping("born", "/birthDate", "urn:example:birth-date", FactType.DATE),),
            (View("adult", "born", Rule.YEARS_AT_LEAST, "18"),),
        ),
    )
)
SERVICES = (
    CatalogService(
        ServiceId(PERSONS, "persons"),
        ServiceType.OPENAPI,
        "Persons",
        About(
            "Who is who",
            LifeCycle(LifeState.DEPRECATED, date(2027, 1, 31), "new"),
            Contact(email="desk@registry.example"),
            keywords=("person",),
        ),
        ("GET /persons/*",),
        MAPPING,
        description_digest="ab" * 32,
        availability=Availability(AT, 120, 119),
    ),
    CatalogService(ServiceId(PERSONS, "getPension", "v1"), ServiceType.WSDL),
)


def test_an_entry_is_read_as_it_was_written() -> None:
    assert decode_entry(encode_entry(SERVICES), PERSONS) == SERVICES
    assert decode_entry(encode_entry(()), PERSONS) == ()


def test_what_is_empty_is_left_away_and_what_is_unknown_is_skipped() -> None:
    told = json.loads(encode_entry(SERVICES))
    assert told["services"][1] == {"code": "getPension", "version": "v1", "type": "WSDL"}
    told["later"] = told["services"][0]["later"] = {"x": 1}
    assert decode_entry(json.dumps(told).encode(), PERSONS) == SERVICES


def test_another_provider_is_never_spoken_for() -> None:
    other = ClientId("EX", "GOV", "2000")
    found = decode_entry(encode_entry(SERVICES), other)
    assert {service.id.provider for service in found} == {other}


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("format",), 2, "the format 2"),
        (("services", 0, "code"), "", "can't be read"),
        (("services", 0, "code"), "listMethods", "no code of a service"),
        (("services", 0, "code"), "a/b", "no code of a service"),
        (("services", 0, "type"), "GRAPHQL", "can't be read"),
        (("services", 0, "version"), "v1", "a REST service with a version"),
        (("services", 0, "title"), "x" * 1001, "can't be read"),
        (("services", 0, "endpoints"), ["x"] * 5001, "can't be read"),
        (("services", 0, "description_digest"), "AB" * 32, "can't be read"),
        (("services", 0, "availability", "answered"), 121, "answered more calls"),
        (("services", 0, "availability", "calls"), -1, "can't be read"),
        (("services", 0, "availability", "since"), "2026-03-02T09:00:00", "can't be read"),
        (("services", 0, "about", "life", "state"), "gone", "can't be read"),
        (("services", 0, "mapping", "endpoints", 0, "views", 0, "source"), "adult", "the circle"),
        (("services", 0, "mapping", "endpoints", 0, "fields", 0, "path"), "x", "found 'x'"),
        (("services", 0, "mapping", "endpoints", 0, "path"), "", "another kind of service"),
        (("services", 1, "code"), "persons", "REST service with a version"),
        (("services",), {}, "can't be read"),
    ],
)
def test_what_is_wrong_is_refused(path: tuple[str | int, ...], value: object, text: str) -> None:
    told = json.loads(encode_entry(SERVICES))
    holder: Any = told
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    if path[1:] == (1, "code"):
        told["services"][1]["type"] = "REST"
    with pytest.raises(MalformedMessage, match=text):
        decode_entry(json.dumps(told).encode(), PERSONS)


def test_a_service_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="twice"):
        decode_entry(encode_entry((SERVICES[1], SERVICES[1])), PERSONS)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[" * 200_000, b"\xff", b" " * (MAX_ENTRY_BYTES + 1)])
def test_what_is_no_entry_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_entry(raw, PERSONS)


@given(st.integers(0, 900), st.integers(0, 20), st.binary(max_size=4))
def test_any_damaged_entry_is_read_or_refused(start: int, length: int, instead: bytes) -> None:
    raw = encode_entry(SERVICES)
    try:
        decode_entry(raw[:start] + instead + raw[start + length :], PERSONS)
    except MalformedMessage:
        return


# --- the service ----------------------------------------------------------------------------------

URL = "http://127.0.0.1:9000/openapi.json"
DECLARED = Service(
    ServiceId(PERSONS, "persons"),
    ServiceType.OPENAPI,
    "http://127.0.0.1:9000/",
    endpoints=(Endpoint("GET", "/open"),),
    description_url=URL,
    title="Persons",
    mapping=MAPPING,
    about=About(life=LifeCycle(LifeState.DRAFT)),
)
SOURCE = DescriptionSource(PERSONS, ServiceType.OPENAPI, URL, verify_tls=True)
RIGHT = AccessRight(PORTAL, "persons", Endpoint("GET", "/secret/*"), Terms(("born",)))
CONF = ServerConf(
    (HostedClient(PERSONS, services=(DECLARED,), rights=(RIGHT,)),),
    described={SOURCE: (Endpoint("GET", "/persons/*"),)},
)


def call(method: str = "GET", code: str = SERVICE_CODE, conf: ServerConf = CONF) -> Call:
    head = RestRequestHead.parse(
        f"{method}\r\n/r1/{PERSONS.path}/{code}\r\nX-Road-Client:{PORTAL.path}\r\n"
        "X-Road-Id:1\r\nx-road-request-id:00000000-0000-4000-8000-000000000001\r\n".encode()
    )
    return Call(head, Snapshot(Pki(instance="EX").conf(), conf, NOON))


def telling(figures: dict[ServiceId, Availability] | StorageError) -> CatalogTelling:
    async def digests(client: ClientId) -> dict[DescriptionSource, str]:
        assert client == PERSONS
        return {SOURCE: "cd" * 32}

    async def availability(_client: ClientId) -> dict[ServiceId, Availability]:
        if isinstance(figures, StorageError):
            raise figures
        return figures

    return CatalogTelling(digests, availability)


async def test_everything_is_told_but_rights() -> None:
    service = telling({DECLARED.id: Availability(AT, 3, 2)})
    answer = await service.answer(call())
    assert isinstance(answer, RestAnswer)
    assert (answer.status, dict(answer.headers)) == (200, {b"content-type": b"application/json"})
    (told,) = decode_entry(answer.body, PERSONS)
    assert told == CatalogService(
        DECLARED.id,
        ServiceType.OPENAPI,
        "Persons",
        DECLARED.about,
        ("GET /open", "GET /persons/*"),
        MAPPING,
        description_digest="cd" * 32,
        availability=Availability(AT, 3, 2),
    )
    for secret in (b"secret", PORTAL.member_code.encode()):
        assert secret not in answer.body


async def test_figures_that_can_not_be_had_are_left_out() -> None:
    answer = await telling(StorageError("away")).answer(call())
    assert isinstance(answer, RestAnswer)
    assert decode_entry(answer.body, PERSONS)[0].availability is None


async def test_a_provider_that_is_not_registered_tells_nothing() -> None:
    (client,) = CONF.clients
    conf = replace(CONF, clients=(replace(client, status=ClientStatus.DISABLED),))
    answer = await telling({}).answer(call(conf=conf))
    assert isinstance(answer, RestAnswer)
    assert decode_entry(answer.body, PERSONS) == ()


def test_only_that_question_is_taken() -> None:
    service = telling({})
    assert service.takes(call())
    assert not service.takes(call("POST"))
    assert not service.takes(call(code="persons"))


# --- figures --------------------------------------------------------------------------------------


async def test_calls_are_counted_that_reached_the_service(database_dsn: str) -> None:
    now = datetime.fromtimestamp(NOW, UTC)
    good = sample_record()
    records = [
        good,
        good,
        replace(good, succeeded=False, fault_code="Server.ServerProxy.ServiceFailed.NetworkError"),
        replace(good, succeeded=False, fault_code="server.serverproxy.service_failed"),
        replace(good, succeeded=False, fault_code="Server.ServerProxy.AccessDenied"),
        replace(good, server_type="Client"),
        replace(good, provider=PORTAL.path),
    ]
    async with monitoring_pool(database_dsn) as pool:
        await stored(pool, records, NOW - 60, MonitoringSettings())
        await stored(pool, [good], NOW - 8 * 86400, MonitoringSettings())
        clock = [now]
        traffic = Traffic(pool, lambda: clock[0])
        found = await traffic.of(POPULATION)
        service = ServiceId(POPULATION, good.service_code or "", good.service_version)
        assert found == {service: Availability(now - timedelta(days=7), 4, 2)}
        await stored(pool, [good], NOW, MonitoringSettings())
        assert await traffic.of(POPULATION) is found
        clock[0] += timedelta(minutes=6)
        assert (await traffic.of(POPULATION))[service].calls == 5
        await pool.execute("DROP TABLE operational_record CASCADE")
        with pytest.raises(StorageError, match="can't be counted"):
            await traffic.of(PORTAL)
