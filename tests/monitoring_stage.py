"""Operational records, and calls to the monitoring services of a node of instance EX."""

import gzip
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from lxml import etree

from catalog.services import ServerConf
from node.exchange.builtin import Call, SoapAnswer
from node.exchange.snapshot import Snapshot
from node.log.messagelog import MIGRATIONS
from node.messages.soap import SoapMessage, parse_soap
from node.messages.soap_hash import insert_request_hash
from node.monitoring.operational_data import OperationalDataService
from node.monitoring.record import OperationalRecord
from node.monitoring.settings import MonitoringSettings
from node.monitoring.store import RecordStore
from tests.pki import NOON, Pki
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.digests import sha512
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId

OWNER = ClientId("EX", "GOV", "7654321")
SERVER = ServerId(OWNER, "ss2")
POPULATION = ClientId("EX", "GOV", "7654321", "population")
PORTAL = ClientId("EX", "GOV", "1234567", "portal")
CENTRAL = ClientId("EX", "GOV", "0", "monitoring")
NOW = 1_760_010_000  # seconds of the epoch

_NUMBERS = itertools.count(1)

# The request of X-Road-Metrics' collector, blanks and all (monitoring.md 7).
COLLECTOR = """<SOAP-ENV:Envelope
       xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"
       xmlns:id="http://x-road.eu/xsd/identifiers"
       xmlns:xrd="http://x-road.eu/xsd/xroad.xsd"
       xmlns:om="http://x-road.eu/xsd/op-monitoring.xsd">
    <SOAP-ENV:Header>
        {client}
        <xrd:service id:objectType="SERVICE">
            <id:xRoadInstance>EX</id:xRoadInstance>
            <id:memberClass>GOV</id:memberClass>
            <id:memberCode>7654321</id:memberCode>
            <id:serviceCode>{service}</id:serviceCode>
        </xrd:service>
        {server}
        <xrd:id>b4c7f3a0</xrd:id>
        <xrd:protocolVersion>4.0</xrd:protocolVersion>
    </SOAP-ENV:Header>
    <SOAP-ENV:Body>
        {body}
    </SOAP-ENV:Body>
</SOAP-ENV:Envelope>
"""
_SERVER = """<xrd:securityServer id:objectType="SERVER">
         <id:xRoadInstance>EX</id:xRoadInstance>
         <id:memberClass>GOV</id:memberClass>
         <id:memberCode>7654321</id:memberCode>
         <id:serverCode>ss2</id:serverCode>
        </xrd:securityServer>"""


def identifier(name: str, client: ClientId) -> str:
    tags = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
    inside = "".join(
        f"<id:{tag}>{part}</id:{tag}>" for tag, part in zip(tags, client.parts, strict=False)
    )
    return f'<{name} id:objectType="{client.object_type}">{inside}</{name}>'


def collector_request(
    body: str, service: str, client: ClientId = CENTRAL, *, server: bool = True
) -> bytes:
    return COLLECTOR.format(
        client=identifier("xrd:client", client),
        service=service,
        server=_SERVER if server else "",
        body=body,
    ).encode()


def operational_body(since: object, until: object, more: str = "", output: str = "") -> str:
    return (
        "<om:getSecurityServerOperationalData>\n<om:searchCriteria>\n"
        f"<om:recordsFrom>{since}</om:recordsFrom>\n<om:recordsTo>{until}</om:recordsTo>{more}"
        f"</om:searchCriteria>{output}\n</om:getSecurityServerOperationalData>"
    )


def output_spec(*names: str, prefix: str = "om") -> str:
    fields = "".join(f"<{prefix}:outputField>{name}</{prefix}:outputField>" for name in names)
    return f"<{prefix}:outputSpec>{fields}</{prefix}:outputSpec>"


@cache
def _conf() -> GlobalConf:
    pki = Pki(instance="EX")
    return replace(
        pki.conf(servers=[pki.server(SERVER, clients=[POPULATION])]), monitoring_client=CENTRAL
    )


def call_of(
    raw: bytes,
    content_type: str = "text/xml; charset=UTF-8",
    services: ServerConf | None = None,
    **changes: Any,  # noqa: ANN401 - any field of the trust list
) -> Call:
    """A verified call with these bytes."""
    message = parse_soap(raw, "text/xml")
    assert isinstance(message, SoapMessage)
    snapshot = Snapshot(replace(_conf(), **changes), services or ServerConf(), NOON)
    return Call(message, snapshot, content_type)


def on_the_wire(raw: bytes, answer: SoapAnswer) -> bytes:
    """The answer as an information system gets it: with the request's hash, in a multipart."""
    envelope = insert_request_hash(answer.envelope, "utf-8", sha512(raw))
    if not answer.attachments:
        return envelope
    pieces = [b"--xroadQwEr\r\ncontent-type:text/xml; charset=UTF-8\r\n\r\n", envelope]
    for part in answer.attachments:
        fields = "".join(f"\r\n{name}: {value}" for name, value in part.fields)
        pieces.append(f"\r\n--xroadQwEr\r\ncontent-type:{part.content_type}{fields}".encode())
        pieces += [b"\r\n\r\n", part.data]
    return b"".join([*pieces, b"\r\n--xroadQwEr--\r\n"])


def child_text(answer: SoapAnswer, name: str) -> str | None:
    found = etree.fromstring(answer.envelope).find(f".//{{*}}{name}")
    return None if found is None else found.text


def told_records(answer: SoapAnswer) -> list[dict[str, Any]]:
    (part,) = answer.attachments
    found = json.loads(gzip.decompress(part.data))
    assert set(found) == {"records"}
    assert child_text(answer, "recordsCount") == str(len(found["records"]))
    records: list[dict[str, Any]] = found["records"]
    return records


def sample_record(**changes: Any) -> OperationalRecord:  # noqa: ANN401 - any field of the record
    """The first record of monitoring.md 4.1."""
    number = next(_NUMBERS)
    record = OperationalRecord(
        internal_ip="10.0.0.12",
        server_type="Producer",
        request_in_ts=1760000101100,
        request_out_ts=1760000101120,
        response_in_ts=1760000101240,
        response_out_ts=1760000101250,
        client=PORTAL.path,
        provider=POPULATION.path,
        service_code="personData",
        service_version="v1",
        rest_method=None,
        rest_path=None,
        message_id=f"message-{number}",
        message_user_id="EX60001019906",
        message_issue="case-2025/17",
        represented_party_class=None,
        represented_party_code=None,
        message_protocol_version="4.0",
        client_server_address="ss1.portal.example",
        service_server_address="ss2.registry.example",
        request_size=1249,
        response_size=1486,
        request_mime_size=None,
        response_mime_size=None,
        request_attachment_count=0,
        response_attachment_count=0,
        succeeded=True,
        status_code=None,
        fault_code=None,
        fault_string=None,
        service_type="WSDL",
        x_request_id="9e0b9f1e-1d0f-4a2c-8b2e-6a0c0e4e7f10",
        x_road_version="7.8.0",
    )
    return replace(record, **changes)


class Clock:
    """Stands still until it is set."""

    def __init__(self, at: int = NOW) -> None:
        self.at = float(at)

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def step(self, **duration: float) -> None:
        self.at += timedelta(**duration).total_seconds()


@asynccontextmanager
async def monitoring_pool(dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=4))
    try:
        await migrate(pool, "node", MIGRATIONS)
        yield pool
    finally:
        await pool.close()


async def stored(
    pool: Pool, records: Iterable[OperationalRecord], at: int, settings: MonitoringSettings
) -> None:
    """Store records at a given second."""
    async with RecordStore(pool, settings, Clock(at)) as store:
        for record in records:
            store.add(record)
    assert store.waiting == 0


def service_on(pool: Pool, settings: MonitoringSettings, at: int = NOW) -> OperationalDataService:
    return OperationalDataService(SERVER, pool, settings, Clock(at))


# What X-Road-Metrics' collector searches in the bytes of an answer (monitoring.md 7).
COLLECTOR_DATA = re.compile(
    b"content-id: <operational-monitoring-data.json.gz>\r\n\r\n(.+)\r\n--xroad", re.DOTALL
)
COLLECTOR_NEXT = re.compile(b"<om:nextRecordsFrom>(\\d+)</om:nextRecordsFrom>")
