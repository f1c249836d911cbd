"""Who sees which records, what is refused, and that real collectors can read the answer."""

import asyncio
import gzip
import json
import re
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from node.exchange.builtin import Call, SoapAnswer
from node.messages.rest import RestRequestHead
from node.monitoring import operational_data
from node.monitoring.record import OUTPUT_FIELDS
from node.monitoring.record_search import Wanted
from node.monitoring.settings import MonitoringSettings
from tests.monitoring_stage import (
    CENTRAL,
    COLLECTOR_DATA,
    COLLECTOR_NEXT,
    NOW,
    OWNER,
    POPULATION,
    PORTAL,
    call_of,
    child_text,
    collector_request,
    identifier,
    monitoring_pool,
    on_the_wire,
    operational_body,
    output_spec,
    sample_record,
    service_on,
    stored,
    told_records,
)
from trust.database import Pool
from trust.errors import ExchangeError
from trust.ids import ClientId

SETTINGS = MonitoringSettings()
SERVICE = "getSecurityServerOperationalData"
T0 = 1_760_000_000
STRANGER = ClientId("EX", "COM", "9", "shop")


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    async with monitoring_pool(database_dsn) as opened:
        yield opened


async def ask(
    pool: Pool,
    body: str | None = None,
    client: ClientId = CENTRAL,
    *,
    settings: MonitoringSettings = SETTINGS,
    server: bool = True,
    at: int = NOW,
    **changes: Any,  # noqa: ANN401 - any field of the trust list
) -> SoapAnswer:
    raw = collector_request(body or operational_body(T0, T0 + 3600), SERVICE, client, server=server)
    answer = await service_on(pool, settings, at).answer(call_of(raw, **changes))
    assert isinstance(answer, SoapAnswer)
    return answer


async def refused(pool: Pool, body: str, **changes: Any) -> ExchangeError:  # noqa: ANN401
    with pytest.raises(ExchangeError) as caught:
        await ask(pool, body, **changes)
    return caught.value


# --- what real collectors read --------------------------------------------------------------------


async def test_x_road_metrics_finds_records_and_continuation_in_the_bytes(pool: Pool) -> None:
    await stored(pool, [sample_record(message_id="a ü"), sample_record()], T0 + 5, SETTINGS)
    raw = collector_request(operational_body(T0, NOW), SERVICE)
    answer = await service_on(pool, SETTINGS).answer(call_of(raw))
    assert isinstance(answer, SoapAnswer)
    wire = on_the_wire(raw, answer)
    (data,) = COLLECTOR_DATA.findall(wire)
    records = json.loads(gzip.decompress(data).decode("utf-8"))["records"]
    assert {record["messageId"] for record in records} > {"a ü"}
    assert len(records) == 2
    assert COLLECTOR_NEXT.findall(wire) == [str(NOW - 60).encode()]
    assert re.search(b"<om:recordsCount>2</om:recordsCount>", wire)
    assert b"<om:records>cid:operational-monitoring-data.json.gz</om:records>" in wire
    (part,) = answer.attachments
    assert part.content_type == "application/gzip"
    assert part.fields == (
        ("content-transfer-encoding", "binary"),
        ("content-id", "<operational-monitoring-data.json.gz>"),
    )


async def test_the_reference_s_examples_are_told_as_they_stand_there(pool: Pool) -> None:
    """Source: monitoring.md 4.1."""
    rest = sample_record(
        request_in_ts=1760000101300, request_out_ts=1760000101310, response_in_ts=1760000101390,
        response_out_ts=1760000101400, service_code="personApi", service_version=None,
        rest_method="GET", rest_path="/persons/*",
        message_id="29f4d011-ef17-4f2f-9bb1-0452ce17d3f5", message_issue=None,
        message_protocol_version="1", request_size=264, response_size=540, succeeded=False,
        status_code=404, x_request_id="b5d1f7c2-3b0a-4e0f-8a57-2f3c9a7d5e10",
        service_type="OPENAPI3",
    )  # fmt: skip
    soap = sample_record(message_id="7c0c2e8a-5d0e-4a35-9b52-0a3f1f4c8d11")
    await stored(pool, [soap, rest], 1760000102, SETTINGS)
    body = operational_body(T0, T0 + 3600, output=output_spec(*OUTPUT_FIELDS))
    assert told_records(await ask(pool, body)) == EXAMPLE["records"]
    without = [{k: v for k, v in one.items() if k != "securityServerInternalIp"}
               for one in EXAMPLE["records"]]  # fmt: skip
    assert told_records(await ask(pool, body, PORTAL)) == without
    fields = output_spec("monitoringDataTs", "messageId", "xRequestId", "succeeded")
    chosen = told_records(await ask(pool, operational_body(T0, T0 + 3600, output=fields)))
    assert chosen[0] == {
        "monitoringDataTs": 1760000102, "messageId": "7c0c2e8a-5d0e-4a35-9b52-0a3f1f4c8d11",
        "xRequestId": "9e0b9f1e-1d0f-4a2c-8b2e-6a0c0e4e7f10", "succeeded": True,
    }  # fmt: skip


EXAMPLE = json.loads("""{"records":[
 {"monitoringDataTs":1760000102,"securityServerInternalIp":"10.0.0.12",
  "securityServerType":"Producer",
  "requestInTs":1760000101100,"requestOutTs":1760000101120,"responseInTs":1760000101240,
  "responseOutTs":1760000101250,
  "clientXRoadInstance":"EX","clientMemberClass":"GOV","clientMemberCode":"1234567",
  "clientSubsystemCode":"portal",
  "serviceXRoadInstance":"EX","serviceMemberClass":"GOV","serviceMemberCode":"7654321",
  "serviceSubsystemCode":"population",
  "serviceCode":"personData","serviceVersion":"v1",
  "messageId":"7c0c2e8a-5d0e-4a35-9b52-0a3f1f4c8d11",
  "messageUserId":"EX60001019906","messageIssue":"case-2025/17","messageProtocolVersion":"4.0",
  "clientSecurityServerAddress":"ss1.portal.example",
  "serviceSecurityServerAddress":"ss2.registry.example",
  "requestSize":1249,"responseSize":1486,"requestAttachmentCount":0,"responseAttachmentCount":0,
  "succeeded":true,"xRequestId":"9e0b9f1e-1d0f-4a2c-8b2e-6a0c0e4e7f10","serviceType":"WSDL",
  "xRoadVersion":"7.8.0"},
 {"monitoringDataTs":1760000102,"securityServerInternalIp":"10.0.0.12",
  "securityServerType":"Producer",
  "requestInTs":1760000101300,"requestOutTs":1760000101310,"responseInTs":1760000101390,
  "responseOutTs":1760000101400,
  "clientXRoadInstance":"EX","clientMemberClass":"GOV","clientMemberCode":"1234567",
  "clientSubsystemCode":"portal",
  "serviceXRoadInstance":"EX","serviceMemberClass":"GOV","serviceMemberCode":"7654321",
  "serviceSubsystemCode":"population",
  "serviceCode":"personApi","restMethod":"GET","restPath":"/persons/*",
  "messageId":"29f4d011-ef17-4f2f-9bb1-0452ce17d3f5",
  "messageUserId":"EX60001019906","messageProtocolVersion":"1",
  "clientSecurityServerAddress":"ss1.portal.example",
  "serviceSecurityServerAddress":"ss2.registry.example",
  "requestSize":264,"responseSize":540,"requestAttachmentCount":0,"responseAttachmentCount":0,
  "succeeded":false,"statusCode":404,"xRequestId":"b5d1f7c2-3b0a-4e0f-8a57-2f3c9a7d5e10",
  "serviceType":"OPENAPI3","xRoadVersion":"7.8.0"}
]}""")


async def test_the_moment_of_storing_is_told_only_when_asked_for(pool: Pool) -> None:
    await stored(pool, [sample_record()], T0, SETTINGS)
    assert "monitoringDataTs" in told_records(await ask(pool))[0]
    body = operational_body(T0, T0 + 1, output=output_spec("messageId"))
    assert set(told_records(await ask(pool, body))[0]) == {"messageId"}
    nothing = operational_body(T0, T0 + 1, output="<om:outputSpec/>")
    assert "monitoringDataTs" in told_records(await ask(pool, nothing))[0]


async def test_an_answer_without_records_is_an_empty_list(pool: Pool) -> None:
    answer = await ask(pool)
    assert told_records(answer) == []
    assert child_text(answer, "nextRecordsFrom") is None


# --- who sees what --------------------------------------------------------------------------------


async def visible(pool: Pool, client: ClientId, more: str = "", **how: Any) -> set[str]:  # noqa: ANN401
    found = told_records(await ask(pool, operational_body(T0, T0 + 9, more), client, **how))
    assert len({record["messageId"] for record in found}) == len(found)
    ips = {"securityServerInternalIp" in record for record in found}
    everything = client == CENTRAL or (client == OWNER and how.get("server", True))
    assert ips <= {everything}
    return {record["messageId"] for record in found}


async def test_everybody_sees_what_concerns_them_and_no_more(pool: Pool) -> None:
    members = (("both", POPULATION, POPULATION), ("sub", PORTAL, POPULATION))
    records = [
        *(sample_record(message_id=name, client=client.path, provider=provider.path)
          for name, client, provider in members),
        sample_record(message_id="member", client=PORTAL.member.path, provider=OWNER.path),
        sample_record(message_id="back", client=POPULATION.path, provider=STRANGER.path),
        sample_record(message_id="early", client=None, provider=None, service_code=None),
    ]  # fmt: skip
    await stored(pool, records, T0, SETTINGS)
    everything = {"both", "sub", "member", "back", "early"}
    assert await visible(pool, CENTRAL) == everything
    assert await visible(pool, OWNER) == everything
    assert await visible(pool, OWNER, server=False) == {"member"}
    assert await visible(pool, CENTRAL, server=False) == everything
    assert await visible(pool, POPULATION) == {"both", "sub", "back"}
    assert await visible(pool, PORTAL) == {"sub"}
    assert await visible(pool, PORTAL.member) == {"member"}
    assert await visible(pool, STRANGER) == {"back"}
    assert await visible(pool, CENTRAL.member) == set()
    of_population = identifier("om:client", POPULATION)
    assert await visible(pool, CENTRAL, of_population) == {"both", "sub"}
    assert await visible(pool, POPULATION, of_population) == {"both", "sub"}
    assert await visible(pool, PORTAL, of_population) == {"sub"}
    assert await visible(pool, PORTAL, identifier("om:client", PORTAL)) == set()
    assert await visible(pool, POPULATION, identifier("om:client", STRANGER)) == {"back"}
    assert await visible(pool, CENTRAL, identifier("om:client", OWNER)) == {"member"}


async def test_without_a_central_monitoring_client_it_is_like_anybody(pool: Pool) -> None:
    await stored(pool, [sample_record()], T0, SETTINGS)
    assert told_records(await ask(pool, monitoring_client=None)) == []


async def test_the_internal_address_is_left_out_even_when_asked_for(pool: Pool) -> None:
    await stored(pool, [sample_record()], T0, SETTINGS)
    body = operational_body(T0, T0 + 1, output=output_spec("securityServerInternalIp"))
    assert told_records(await ask(pool, body)) == [{"securityServerInternalIp": "10.0.0.12"}]
    assert told_records(await ask(pool, body, PORTAL)) == [{}]


async def test_identifiers_of_any_length_are_told_apart(pool: Pool) -> None:
    long = [ClientId("EX", "é" * 255, "ü" * 255, "õ" * 254 + end) for end in "ab"]
    await stored(pool, [sample_record(client=one.path) for one in long], T0, SETTINGS)
    for one in long:
        (record,) = told_records(await ask(pool, client=one))
        assert record["clientSubsystemCode"] == one.subsystem_code


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (Wanted(since=T0, until=NOW), ["monitoring_data_ts_idx"]),
        (Wanted(since=T0, until=NOW, party=PORTAL), ["left_monitoring_data_ts_idx"] * 2),
        (Wanted(since=T0, until=NOW, provider=PORTAL), ["left_monitoring_data_ts_idx"]),
    ],
    ids=["all", "party", "provider"],
)
async def test_every_query_has_its_index(pool: Pool, wanted: Wanted, indexes: list[str]) -> None:
    await pool.execute("SELECT ensure_operational_partition('2025-10-09')")
    await pool.execute(
        "INSERT INTO operational_record (monitoring_data_ts, internal_ip, server_type,"
        " request_in_ts, response_out_ts, client, provider, succeeded, x_road_version)"
        " SELECT $1 + n, '', 'Client', 0, 0, 'EX/GOV/' || n % 997, 'EX/COM/' || n % 997, true, ''"
        " FROM generate_series(1, 20000) AS n",
        T0,
    )
    await pool.execute("ANALYZE operational_record")
    sql, values = wanted.select(["client"])
    plan = "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {sql}", *values))
    for index in set(indexes):
        assert plan.count(index) >= indexes.count(index), plan
    assert "Seq Scan" not in plan, plan


# --- time -----------------------------------------------------------------------------------------


async def test_both_ends_of_the_time_are_included(pool: Pool) -> None:
    for second in range(5):
        await stored(pool, [sample_record(message_id=str(second))], T0 + second, SETTINGS)
    found = told_records(await ask(pool, operational_body(T0 + 1, T0 + 3)))
    assert [record["messageId"] for record in found] == ["1", "2", "3"]


async def test_what_is_too_young_is_left_for_the_next_query(pool: Pool) -> None:
    available = NOW - 60
    for second in (available - 1, available):
        await stored(pool, [sample_record(message_id=str(second))], second, SETTINGS)
    answer = await ask(pool, operational_body(T0, available))
    assert [one["messageId"] for one in told_records(answer)] == [str(available - 1)]
    assert child_text(answer, "nextRecordsFrom") == str(available)
    answer = await ask(pool, operational_body(T0, available - 1))
    assert len(told_records(answer)) == 1
    assert child_text(answer, "nextRecordsFrom") is None
    later = await ask(pool, operational_body(available, available), at=NOW + 1)
    assert [one["messageId"] for one in told_records(later)] == [str(available)]


async def test_pages_end_with_a_second_and_lose_and_repeat_nothing(pool: Pool) -> None:
    settings = MonitoringSettings(records_in_answer=10)
    sent = []
    for second, count in enumerate((4, 0, 13, 10, 1, 9, 1)):
        records = [sample_record() for _ in range(count)]
        sent += [record.message_id for record in records]
        await stored(pool, records, T0 + second, SETTINGS)
    since: int | None = T0
    seen: list[str] = []
    sizes = []
    while since is not None:
        answer = await ask(pool, operational_body(since, T0 + 100), settings=settings)
        page = told_records(answer)
        sizes.append((since - T0, len(page)))
        seen += [record["messageId"] for record in page]
        following = child_text(answer, "nextRecordsFrom")
        since = None if following is None else int(following)
    assert sizes == [(0, 17), (3, 10), (4, 10), (6, 1)]
    assert set(seen) == set(sent)
    assert len(seen) == len(sent)


@pytest.mark.parametrize("count", [499, 500, 501, 1000])
async def test_a_limit_is_kept_wherever_the_pages_of_the_database_end(
    pool: Pool, count: int
) -> None:
    await stored(pool, [sample_record() for _ in range(count)], T0, SETTINGS)
    await stored(pool, [sample_record()], T0 + 1, SETTINGS)
    for limit, told, following in (
        (count, count, T0 + 1), (count - 1, count, T0 + 1), (count + 1, count + 1, None),
    ):  # fmt: skip
        settings = MonitoringSettings(records_in_answer=limit)
        answer = await ask(pool, operational_body(T0, T0 + 5), settings=settings)
        assert len(told_records(answer)) == told
        assert child_text(answer, "nextRecordsFrom") == (following and str(following))


async def test_a_limit_counts_what_the_asker_sees(pool: Pool) -> None:
    settings = MonitoringSettings(records_in_answer=2)
    for second in range(4):
        both = [sample_record(), sample_record(client=STRANGER.path)]
        await stored(pool, both, T0 + second, SETTINGS)
    answer = await ask(pool, client=STRANGER, settings=settings)
    assert len(told_records(answer)) == 2
    assert child_text(answer, "nextRecordsFrom") == str(T0 + 2)


async def test_memory_does_not_grow_with_the_number_of_records(pool: Pool) -> None:
    await pool.execute("SELECT ensure_operational_partition('2025-10-09')")
    await stored(pool, [sample_record()], T0, SETTINGS)
    await pool.execute(
        "INSERT INTO operational_record SELECT (r).* FROM (SELECT r FROM operational_record AS r,"
        " generate_series(1, 19999)) AS copies"
    )
    tracemalloc.start()
    try:
        answer = await ask(pool, settings=MonitoringSettings(records_in_answer=20_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert child_text(answer, "recordsCount") == "20000"
    (part,) = answer.attachments
    assert len(gzip.decompress(part.data)) > 18_000_000
    assert peak < 8_000_000 + 2 * len(part.data)


# --- what is refused ------------------------------------------------------------------------------

SUBSYSTEM = identifier("om:client", POPULATION)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (operational_body(-1, T0), "Records from timestamp is a negative number"),
        (operational_body(-1, -2), "Records from timestamp is a negative number"),
        (operational_body(0, -2), "Records to timestamp is a negative number"),
        (
            operational_body(T0, T0 - 1),
            "Records to timestamp is earlier than records from timestamp",
        ),
        (operational_body(NOW - 60, NOW), f"Records not available from {NOW - 60} yet"),
        (operational_body(2**63 - 1, 2**63 - 1), f"Records not available from {2**63 - 1} yet"),
        (
            operational_body(T0, T0, output=output_spec("messageId", "xyz")),
            "Unknown output field in search criteria: xyz",
        ),
        (
            operational_body(T0, T0, output=output_spec("id")),
            "Unknown output field in search criteria: id",
        ),
        (
            operational_body(T0, T0, output=output_spec("")),
            "Unknown output field in search criteria: ",
        ),
        (
            operational_body("now", T0),
            "'now' is no value for 'recordsFrom', which is a whole number",
        ),
        (
            operational_body(T0, 2**63),
            f"'{2**63}' is no value for 'recordsTo', which is a whole number",
        ),
        (
            operational_body(T0, "<om:x/>"),
            "'recordsTo' must hold text alone",
        ),
        (
            operational_body(T0, T0, SUBSYSTEM * 2),
            "'searchCriteria' must not hold '{http://x-road.eu/xsd/op-monitoring.xsd}client',"
            " or not there",
        ),
        (
            operational_body(T0, T0, SUBSYSTEM.replace('"SUBSYSTEM"', '"MEMBER"')),
            "objectType of 'client' is 'MEMBER', but its parts are those of a SUBSYSTEM",
        ),
        (
            operational_body(T0, T0, SUBSYSTEM.replace(' id:objectType="SUBSYSTEM"', "")),
            "objectType of 'client' is 'None', but its parts are those of a SUBSYSTEM",
        ),
        (
            operational_body(T0, T0, SUBSYSTEM.replace("GOV", " ")),
            "'client' is no identifier: 'memberClass' must not be blank",
        ),
        (
            operational_body(T0, T0, SUBSYSTEM.replace("xRoadInstance", "instance")),
            "'client' lacks 'xRoadInstance', or it stands in another place",
        ),
        (
            operational_body(T0, T0, output="<om:outputSpec>all</om:outputSpec>"),
            "'outputSpec' must not hold text",
        ),
        (
            "<om:getSecurityServerOperationalData/>",
            "'getSecurityServerOperationalData' lacks 'searchCriteria', or it stands in another"
            " place",
        ),
        (
            '<getSecurityServerOperationalData xmlns="urn:other"/>',
            "The body holds '{urn:other}getSecurityServerOperationalData' instead of"
            " '{http://x-road.eu/xsd/op-monitoring.xsd}getSecurityServerOperationalData'",
        ),
    ],
)
async def test_a_query_that_can_not_be_answered_is_told_why(
    pool: Pool, body: str, text: str
) -> None:
    error = await refused(pool, body)
    assert (error.code, error.text) == ("opmonitor.client.invalid_request", text)


async def test_order_counts(pool: Pool) -> None:
    body = operational_body(T0, T0)
    lines = body.splitlines()
    lines[2], lines[3] = (
        lines[3].replace("</om:searchCriteria>", ""),
        (lines[2] + "</om:searchCriteria>"),
    )
    error = await refused(pool, "\n".join(lines))
    assert error.text == "'searchCriteria' lacks 'recordsFrom', or it stands in another place"


async def test_a_request_with_attachments_is_refused(pool: Pool) -> None:
    raw = collector_request(operational_body(T0, T0), SERVICE)
    kind = 'multipart/related; type="text/xml"; boundary=x'
    with pytest.raises(ExchangeError) as caught:
        await service_on(pool, SETTINGS).answer(call_of(raw, kind))
    assert caught.value.code == "opmonitor.invalid_content_type"
    assert caught.value.text == f"Invalid content type {kind}, expecting text/xml"


async def test_a_header_that_is_not_strict_is_refused(pool: Pool) -> None:
    raw = collector_request(operational_body(T0, T0), SERVICE).replace(
        b"<xrd:id>", b"<other/><other/><xrd:id>"
    )
    with pytest.raises(ExchangeError) as caught:
        await service_on(pool, SETTINGS).answer(call_of(raw))
    assert caught.value.code == "opmonitor.duplicate_header_field"


async def test_a_database_that_is_away_is_told(pool: Pool) -> None:
    await pool.execute("DROP TABLE operational_record")
    error = await refused(pool, operational_body(T0, T0))
    assert error.code == "opmonitor.internal_error"
    assert error.text.startswith("Failed to get records for response: Operational records can't")
    assert "UndefinedTableError" in error.text


async def test_only_some_queries_are_answered_at_a_time(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(pool, [sample_record()], T0, SETTINGS)
    service = service_on(pool, SETTINGS)
    call = call_of(collector_request(operational_body(T0, T0), SERVICE))
    for _ in range(2):
        await service._turns.acquire()
    monkeypatch.setattr(operational_data, "_PATIENCE", 0.01)
    with pytest.raises(ExchangeError, match="too many queries at once") as caught:
        await service.answer(call)
    assert caught.value.code == "opmonitor.internal_error"
    monkeypatch.undo()
    waiting = asyncio.create_task(service.answer(call))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    service._turns.release()
    answer = await waiting
    assert isinstance(answer, SoapAnswer)
    assert len(told_records(answer)) == 1


@pytest.mark.parametrize(
    ("changed", "to", "taken"),
    [
        (b"", b"", True),
        (b"</id:serviceCode>", b"</id:serviceCode><id:serviceVersion>v1</id:serviceVersion>", True),
        (b"<id:serviceCode>", b"<id:subsystemCode>population</id:subsystemCode><id:serviceCode>",
         False),
        (b"7654321", b"7654322", False),
        (b"OperationalData<", b"Operational<", False),
    ],
    ids=["owner", "version", "subsystem", "other", "code"],
)  # fmt: skip
async def test_only_calls_to_the_owner_are_taken(
    pool: Pool, changed: bytes, to: bytes, taken: bool
) -> None:
    raw = collector_request(operational_body(T0, T0), SERVICE).replace(changed, to, 1)
    service = service_on(pool, SETTINGS)
    assert service.takes(call_of(raw)) is taken
    service.check_access(call_of(raw))


async def test_a_rest_call_is_not_taken(pool: Pool) -> None:
    head = RestRequestHead.parse(
        f"GET\r\n/r1/EX/GOV/7654321/x/{SERVICE}\r\nX-Road-Client:EX/GOV/1/x\r\n"
        "X-Road-Id:1\r\nx-road-request-id:00000000-0000-4000-8000-000000000001\r\n".encode()
    )
    snapshot = call_of(collector_request(operational_body(T0, T0), SERVICE)).snapshot
    assert not service_on(pool, SETTINGS).takes(Call(head, snapshot))
