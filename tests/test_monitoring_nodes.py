"""Monitoring through two real nodes: what exchanges leave behind, and what others are told."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, Endpoint, HostedClient
from node.log.search import RecordQuery
from node.messages.envelope import PROXY_VERSION
from node.monitoring.settings import MonitoringSettings
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service
from tests.monitoring_stage import COLLECTOR_DATA, collector_request, operational_body, output_spec
from tests.raw_http import Headers, RawMessage, ask, build_head
from tests.scene import System, answering, call, rest_request
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import TEXT, packed, wsdl_service
from trust.ids import ClientId, ServerId, ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER = PROVIDER.member
CENTRAL = ClientId(CONSUMER.instance, "MUN", "2001", "monitoring")
FOREVER = (0, 4_000_000_000)
OPERATIONAL, HEALTH = "getSecurityServerOperationalData", "getSecurityServerHealthData"
METRICS = "getSecurityServerMetrics"
RAW_PATH = "/persons/38001010000"


@dataclass
class Pair:
    civil: NodeUnderTest
    muni: NodeUnderTest
    system: System

    async def rest(self, message_id: str, path: str = RAW_PATH, **more: Any) -> RawMessage:  # noqa: ANN401
        headers = (
            ("X-Road-Client", CONSUMER.path), ("X-Road-Id", message_id),
            ("X-Road-UserId", "EX1"), ("X-Road-Issue", "case 7"),
            ("X-Road-Represented-Party", "COM/99"),
        )  # fmt: skip
        return await call(self.muni, "GET", f"/r1/{SERVICE.path}{path}", headers, **more)


async def soap(
    node: NodeUnderTest, body: bytes, content_type: str = TEXT, headers: Headers = ()
) -> RawMessage:
    """Post as an information system of the node does; collectors send no SOAPAction."""
    whole = (
        ("Host", "node.example"), ("Content-Type", content_type), *headers,
        ("Content-Length", str(len(body))),
    )  # fmt: skip
    port = node.running.ports["systems http"].number
    answer = await ask("127.0.0.1", port, build_head("POST / HTTP/1.1", whole) + body)
    assert answer is not None
    assert answer.status == 200
    return answer


def collector(
    body: str,
    service: str,
    client: ClientId = CONSUMER,
    server: ServerId | None = None,
    provider: ClientId = OWNER,
) -> bytes:
    """The collector's request to this instance's civil registry."""
    raw = collector_request(body, service, client, server=server is not None).decode()
    head, marked, rest = raw.partition("<xrd:service ")
    rest = rest.replace("<id:xRoadInstance>EX", f"<id:xRoadInstance>{provider.instance}")
    rest = rest.replace("<id:memberCode>7654321", f"<id:memberCode>{provider.member_code}")
    if server is not None:
        rest = rest.replace("<id:serverCode>ss2", f"<id:serverCode>{server.server_code}")
    return (head + marked + rest).encode()


def packed_with(envelope: bytes, attachments: list[bytes]) -> tuple[bytes, str]:
    """A package, and its content type."""
    parts = [Part(TEXT, envelope)]
    parts += [
        Part("application/octet-stream", data, (("Content-ID", f"<{number}>"),))
        for number, data in enumerate(attachments)
    ]
    return packed("xyz", parts), 'multipart/related; type="text/xml"; boundary=xyz'


def fault_of(answer: RawMessage) -> tuple[str, str]:
    text = answer.body.decode()
    code = text.partition("<faultcode>")[2].partition("</faultcode>")[0]
    return code, text.partition("<faultstring>")[2].partition("</faultstring>")[0]


async def told(
    node: NodeUnderTest, client: ClientId = CONSUMER, *fields: str, server: ServerId | None = None
) -> list[dict[str, Any]]:
    body = operational_body(*FOREVER, output=output_spec(*fields) if fields else "")
    answer = await soap(node, collector(body, OPERATIONAL, client, server))
    assert not answer.body.startswith(b"<?xml"), answer.body
    (data,) = COLLECTOR_DATA.findall(answer.body)
    records: list[dict[str, Any]] = json.loads(gzip.decompress(data))["records"]
    return records


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("monitoring")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        instance.monitoring_client = CENTRAL
        system = await stack.enter_async_context(System().listening())
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url), wsdl_service(system.url, "getState")),
            rights=(
                AccessRight(CONSUMER, SERVICE.service_code, Endpoint("GET", "/persons/*")),
                AccessRight(CONSUMER, "getState"),
            ),
        )
        owner = HostedClient(OWNER, connection=ConnectionType.HTTP)
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered, owner])
        hosted = [HostedClient(one, connection=ConnectionType.HTTP) for one in (CONSUMER, CENTRAL)]
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        muni.entry = replace(muni.entry, clients=(CONSUMER, CENTRAL))
        for node in (civil, muni):
            settings = MonitoringSettings(available_after=timedelta(0))
            node.settings = replace(node.settings, monitoring=settings)
        await instance.start()
        yield Pair(civil, muni, system)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _as_before(pair: Pair) -> AsyncIterator[None]:
    yield
    pair.system.reset()


async def records_of(node: NodeUnderTest, message_id: str, count: int = 1) -> list[dict[str, Any]]:
    """The rows of one message, once they are stored."""
    connection = await asyncpg.connect(node.dsn)
    rows: list[asyncpg.Record] = []
    try:
        for _ in range(500):
            rows = await connection.fetch(
                "SELECT * FROM operational_record WHERE message_id = $1", message_id
            )
            if len(rows) >= count:
                return [dict(row) for row in rows]
            await asyncio.sleep(0.01)
    finally:
        await connection.close()
    raise AssertionError(f"there are {len(rows)} records")


async def settled(node: NodeUnderTest) -> None:
    """Until everything that ended is stored, and its second is over."""
    store = node.running.monitor._store
    for _ in range(500):
        if not store.waiting:
            break
        await asyncio.sleep(0.01)
    assert not store.waiting
    await asyncio.sleep(1.05)


async def test_a_rest_exchange_leaves_a_record_at_both_nodes(pair: Pair) -> None:
    answer = await pair.rest("rest-1", f"{RAW_PATH}?secret=1")
    assert answer.status == 200
    (ours,) = await records_of(pair.muni, "rest-1")
    (theirs,) = await records_of(pair.civil, "rest-1")
    for record in (ours, theirs):
        assert record["x_request_id"] == answer.first("x-road-request-id")
        assert record["client"] == CONSUMER.path
        assert record["provider"] == PROVIDER.path
        assert (record["service_code"], record["service_version"]) == ("people", None)
        assert (record["message_user_id"], record["message_issue"]) == ("EX1", "case 7")
        assert (record["represented_party_class"], record["represented_party_code"]) == (
            "COM",
            "99",
        )
        assert record["message_protocol_version"] == "1"
        assert record["client_server_address"] == pair.muni.address
        assert record["service_server_address"] == pair.civil.address
        assert (record["succeeded"], record["status_code"]) == (True, 200)
        assert (record["fault_code"], record["rest_method"]) == (None, "GET")
        assert (record["request_attachment_count"], record["request_mime_size"]) == (0, None)
        assert record["x_road_version"] == PROXY_VERSION
        times = [record[f"{name}_ts"] for name in
                 ("request_in", "request_out", "response_in", "response_out")]  # fmt: skip
        assert times == sorted(times)
        assert "38001010000" not in str(record)
        assert "secret" not in str(record)
    assert (ours["server_type"], theirs["server_type"]) == ("Client", "Producer")
    assert (ours["rest_path"], theirs["rest_path"]) == (None, "/persons/*")
    assert theirs["service_type"] == "REST"
    assert ours["request_size"] == theirs["request_size"]
    assert ours["response_size"] == theirs["response_size"]
    (kept,) = (await pair.muni.running.kept.log.find(RecordQuery(message_id="rest-1",
                                                             response=False))).records  # fmt: skip
    assert theirs["request_size"] == len(kept.message)


async def test_a_soap_exchange_with_attachments_says_how_large_it_was(pair: Pair) -> None:
    request = Envelope(message_id="soap-1", issue="case-2025/17").raw
    body, content_type = packed_with(request, [b"x" * 1000, b"y" * 500])
    pair.system.answer = lambda _: answering(answer_to(request), headers=(("Content-Type", TEXT),))
    await soap(pair.muni, body, content_type)
    (ours,) = await records_of(pair.muni, "soap-1")
    (theirs,) = await records_of(pair.civil, "soap-1")
    for record in (ours, theirs):
        assert record["succeeded"], record["fault_string"]
        assert (record["request_size"], record["request_mime_size"]) == (
            len(request), len(request) + 1500,
        )  # fmt: skip
        assert record["request_attachment_count"] == 2
        assert (record["response_attachment_count"], record["response_mime_size"]) == (0, None)
        assert (record["service_version"], record["message_protocol_version"]) == ("v1", "4.0")
        assert (record["status_code"], record["rest_method"]) == (None, None)
        assert record["message_issue"] == "case-2025/17"
    assert theirs["service_type"] == "WSDL"
    assert ours["x_request_id"] == theirs["x_request_id"]


async def test_failures_are_recorded_with_their_codes(pair: Pair) -> None:
    assert (await pair.rest("denied", "/other")).status == 500
    pair.system.answer = lambda _: answering(b"{}", "404 Not Found")
    assert (await pair.rest("missing")).status == 404
    for node in (pair.muni, pair.civil):
        (denied,) = await records_of(node, "denied")
        assert (denied["succeeded"], denied["status_code"]) == (False, None)
        assert denied["fault_code"] == "server.serverproxy.access_denied"
        assert denied["fault_string"].startswith("Request is not allowed")
        assert denied["rest_path"] is None
        (missing,) = await records_of(node, "missing")
        assert (missing["succeeded"], missing["status_code"]) == (False, 404)
        assert missing["fault_code"] is None


async def test_a_soap_fault_of_the_provider_is_a_failure(pair: Pair) -> None:
    fault = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        b"<faultcode>s:Server</faultcode><faultstring>No such person</faultstring></s:Fault>"
        b"</s:Body></s:Envelope>"
    )
    pair.system.answer = lambda _: answering(
        fault, "500 Internal Server Error", (("Content-Type", TEXT),)
    )
    await soap(pair.muni, Envelope(message_id="faulty").raw)
    for node in (pair.muni, pair.civil):
        (record,) = await records_of(node, "faulty")
        assert (record["succeeded"], record["fault_string"]) == (False, "No such person")


async def test_what_the_node_answers_locally_leaves_no_record(pair: Pair) -> None:
    await settled(pair.muni)
    connection = await asyncpg.connect(pair.muni.dsn)
    before = await connection.fetchval("SELECT count(*) FROM operational_record")
    for path in ("/listClients", "/verificationconf", "/asic?queryId=1"):
        answer = await ask(
            "127.0.0.1", pair.muni.running.ports["systems http"].number, rest_request("GET", path)
        )
        assert answer is not None
    await settled(pair.muni)
    assert await connection.fetchval("SELECT count(*) FROM operational_record") == before
    await connection.close()


# --- what others are told -------------------------------------------------------------------------


async def test_a_collector_gets_its_records_over_the_wire(pair: Pair) -> None:
    await pair.rest("collected")
    await records_of(pair.civil, "collected")
    await settled(pair.civil)
    answer = await soap(pair.muni, collector(operational_body(*FOREVER), OPERATIONAL))
    kind = answer.first("content-type") or ""
    assert kind.startswith("multipart/related; ")
    assert "boundary=xroad" in kind
    assert (
        b"\r\ncontent-type:application/gzip\r\ncontent-transfer-encoding: binary\r\n" in answer.body
    )
    (data,) = COLLECTOR_DATA.findall(answer.body)
    found = {record["messageId"]: record for record in json.loads(gzip.decompress(data))["records"]}
    record = found["collected"]
    assert record["restPath"] == "/persons/*"
    assert record["securityServerType"] == "Producer"
    assert "securityServerInternalIp" not in record
    query = RecordQuery(service=ServiceId(OWNER, OPERATIONAL), response=True)
    (kept,) = (await pair.muni.running.kept.log.find(query, limit=1, newest_first=True)).records
    assert [body.size for body in kept.attachments] == [len(data)]


async def test_the_owner_sees_everything_through_its_own_server(pair: Pair) -> None:
    await pair.rest("for the owner")
    await records_of(pair.civil, "for the owner")
    await settled(pair.civil)
    fields = ("messageId", "securityServerInternalIp")
    everything = await told(pair.civil, OWNER, *fields, server=pair.civil.server)
    assert "for the owner" in {record.get("messageId") for record in everything}
    assert all("securityServerInternalIp" in record for record in everything)
    own = await told(pair.civil, OWNER, *fields)
    assert "for the owner" not in {record.get("messageId") for record in own}
    assert all("securityServerInternalIp" not in record for record in own)


async def test_the_central_client_of_the_trust_list_sees_everything(pair: Pair) -> None:
    await pair.rest("for the centre")
    await records_of(pair.civil, "for the centre")
    await settled(pair.civil)
    fields = ("messageId", "securityServerInternalIp")
    everything = await told(pair.muni, CENTRAL, *fields)
    assert "for the centre" in {record.get("messageId") for record in everything}
    assert all("securityServerInternalIp" in record for record in everything)
    body = f'<m:{METRICS} xmlns:m="http://x-road.eu/xsd/monitoring"/>'
    assert b"systemMetrics" in (await soap(pair.muni, collector(body, METRICS, CENTRAL))).body


async def test_queries_are_exchanges_that_are_recorded_themselves(pair: Pair) -> None:
    await told(pair.muni)
    for node, side in ((pair.muni, "Client"), (pair.civil, "Producer")):
        rows = await records_of(node, "b4c7f3a0")
        (record,) = [row for row in rows if row["service_code"] == OPERATIONAL][:1]
        assert record["server_type"] == side
        assert record["succeeded"]
        assert record["response_attachment_count"] == 1
        assert record["response_mime_size"] > record["response_size"]


async def test_health_is_told_to_everybody(pair: Pair) -> None:
    await pair.rest("healthy")
    body = f"<om:{HEALTH}/>"
    answer = await soap(pair.muni, collector(body, HEALTH))
    assert answer.first("content-type") == TEXT
    text = answer.body.decode()
    assert "<om:statisticsPeriodSeconds>600</om:statisticsPeriodSeconds>" in text
    assert "<id:serviceCode>people</id:serviceCode></om:service>" in text
    assert "<om:serviceType>REST</om:serviceType>" in text
    assert "requestHash" in text


async def test_the_machine_is_told_to_the_owner_alone(pair: Pair) -> None:
    body = f'<m:{METRICS} xmlns:m="http://x-road.eu/xsd/monitoring"/>'
    answer = await soap(pair.civil, collector(body, METRICS, OWNER, pair.civil.server))
    text = answer.body.decode()
    assert f"<m:name>SERVER:{'/'.join(pair.civil.server.parts)}</m:name>" in text
    assert text.count("AUTH_OR_SIGN") == 2
    assert "SECURITY_SERVER_TLS" in text
    refused = await soap(pair.muni, collector(body, METRICS))
    assert fault_of(refused) == (
        "server.serverproxy.access_denied",
        "Request is not allowed: SERVICE:TEST/GOV/1001/getSecurityServerMetrics",
    )


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (
            operational_body(5, 4),
            "server.serverproxy.opmonitor.client.invalid_request",
            "Records to timestamp is earlier than records from timestamp",
        ),
        (
            operational_body(4_000_000_000, 4_000_000_000),
            "server.serverproxy.opmonitor.client.invalid_request",
            "Records not available from 4000000000 yet",
        ),
    ],
)
async def test_faults_come_with_their_whole_code(
    pair: Pair, body: str, code: str, text: str
) -> None:
    answer = await soap(pair.muni, collector(body, OPERATIONAL))
    assert fault_of(answer) == (code, text)


async def test_a_query_with_attachments_is_refused(pair: Pair) -> None:
    for service, wrapper in (
        (OPERATIONAL, operational_body(*FOREVER)),
        (HEALTH, f"<om:{HEALTH}/>"),
    ):
        body, content_type = packed_with(collector(wrapper, service), [b"x"])
        code, text = fault_of(await soap(pair.muni, body, content_type))
        assert code == "server.serverproxy.opmonitor.invalid_content_type"
        assert text.startswith("Invalid content type multipart/related")
        assert text.endswith("expecting text/xml")


async def test_another_provider_has_no_such_service(pair: Pair) -> None:
    raw = collector(operational_body(*FOREVER), OPERATIONAL).replace(
        b"<id:serviceCode>", b"<id:subsystemCode>persons</id:subsystemCode><id:serviceCode>", 1
    )
    code, _ = fault_of(await soap(pair.muni, raw))
    assert code == "server.serverproxy.unknown_service"


# --- what the operator sees, and what monitoring costs --------------------------------------------


async def test_services_and_endpoints_are_counted_for_prometheus(pair: Pair) -> None:
    await pair.rest("counted")
    pages = {}
    for node in (pair.civil, pair.muni):
        port = node.running.ports["admin"].number
        answer = await ask("127.0.0.1", port, rest_request("GET", "/metrics"))
        assert answer is not None
        pages[node.server.server_code] = answer.body.decode()
    service = f'service="{PROVIDER.path}/people"'
    assert f'{{code="",endpoint="GET /persons/*",role="provider",{service}}}' in pages["CIVIL"]
    assert f'{{code="",endpoint="",role="consumer",{service}}}' in pages["MUNI"]
    assert "sacbe_service_seconds_bucket" in pages["MUNI"]
    assert "sacbe_monitoring_dropped_records 0.0" in pages["CIVIL"]
    assert "38001010000" not in pages["CIVIL"] + pages["MUNI"]


async def test_an_exchange_does_not_wait_for_monitoring(pair: Pair) -> None:
    connection = await asyncpg.connect(pair.civil.dsn)
    await settled(pair.civil)
    await connection.execute("ALTER TABLE operational_record RENAME TO elsewhere")
    try:
        for number in range(5):
            async with asyncio.timeout(5):
                assert (await pair.rest(f"unrecorded-{number}")).status == 200
        store = pair.civil.running.monitor._store
        assert store.waiting >= 5
    finally:
        await connection.execute("ALTER TABLE elsewhere RENAME TO operational_record")
    for number in range(5):
        assert len(await records_of(pair.civil, f"unrecorded-{number}")) == 1
    await connection.close()


async def test_with_monitoring_off_nothing_is_kept_or_told(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> None:
    async with Instance(tmp_path_factory.mktemp("off"), postgres_server) as instance:
        owner = HostedClient(OWNER, connection=ConnectionType.HTTP)
        civil = await instance.add("CIVIL", PROVIDER, hosted=[owner])
        off = MonitoringSettings(records=False)
        civil.settings = replace(civil.settings, monitoring=off)
        await instance.start()
        for service, body in (
            (OPERATIONAL, operational_body(*FOREVER)),
            (HEALTH, f"<om:{HEALTH}/>"),
        ):
            code, _ = fault_of(await soap(civil, collector(body, service, OWNER, civil.server)))
            assert code == "server.serverproxy.unknown_service"
        body = f'<m:{METRICS} xmlns:m="http://x-road.eu/xsd/monitoring"/>'
        answer = await soap(civil, collector(body, METRICS, OWNER, civil.server))
        assert b"systemMetrics" in answer.body
        connection = await asyncpg.connect(civil.dsn)
        assert await connection.fetchval("SELECT count(*) FROM operational_record") == 0
        await connection.close()
