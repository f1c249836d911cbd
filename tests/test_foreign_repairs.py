"""What header repair is for: a common client and fastapi-xroad-soap, through two real nodes."""

import re
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

import pytest
import pytest_asyncio
from lxml import etree

from catalog.services import AccessRight, ConnectionType, HostedClient, Repair
from scripts.postgres import PostgresServer
from tests.foreign_programs import serving
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest
from tests.metadata_stage import IDENTIFIERS, SOAP_NS, XROAD, identifier, soap_service
from tests.raw_http import ask, build_head

CALL = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<soapenv:Envelope xmlns:soapenv="{SOAP_NS}" xmlns:xro="{XROAD}" xmlns:iden="{IDENTIFIERS}"'
    ' xmlns:body="http://archive.example/v1"><soapenv:Header>'
    f'<xro:client iden:objectType="SUBSYSTEM">{identifier(CONSUMER)}</xro:client>'
    f'<xro:service iden:objectType="SERVICE">{identifier(PROVIDER)}'
    "<iden:serviceCode>countLetters</iden:serviceCode>"
    "<iden:serviceVersion>v1</iden:serviceVersion></xro:service>"
    "<xro:userId>EX1</xro:userId><xro:id>repair-1</xro:id><xro:issue>case 5</xro:issue>"
    "<xro:protocolVersion>4.0</xro:protocolVersion></soapenv:Header><soapenv:Body>"
    "<body:countLetters><Text>käsi</Text></body:countLetters></soapenv:Body></soapenv:Envelope>"
)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    url: str

    async def declared(self, repairs: Collection[Repair], *, repair_headers: bool) -> None:
        service = soap_service(self.url, "countLetters", repair_headers=repair_headers)
        offered = HostedClient(
            PROVIDER, services=(service,), rights=(AccessRight(CONSUMER, "countLetters"),)
        )
        await self.instance.apply(self.provider, [offered])
        client = HostedClient(CONSUMER, connection=ConnectionType.HTTP, repairs=frozenset(repairs))
        await self.instance.apply(self.consumer, [client])

    async def call(self) -> etree._Element:
        """Call as most programs do: with a declaration, an empty SOAPAction, and an issue."""
        body = CALL.encode()
        head = build_head(
            "POST / HTTP/1.1",
            (
                ("Host", "node.example"),
                ("Content-Type", "text/xml; charset=UTF-8"),
                ("SOAPAction", '""'),
                ("Content-Length", str(len(body))),
            ),
        )
        port = self.consumer.running.ports["systems http"].number
        answer = await ask("127.0.0.1", port, head + body)
        assert answer is not None
        return etree.fromstring(answer.body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("repairs")
    async with (
        serving("fastapi-xroad-soap", "fastapi_provider.py") as port,
        Instance(folder, postgres_server) as instance,
    ):
        provider = await instance.add("CIVIL", PROVIDER)
        consumer = await instance.add("MUNI", CONSUMER)
        await instance.start()
        yield Stage(instance, provider, consumer, f"http://127.0.0.1:{port}/service")


async def test_with_all_repairs_a_common_client_can_call(stage: Stage) -> None:
    await stage.declared(tuple(Repair), repair_headers=True)
    answer = await stage.call()
    assert answer.findtext(".//{*}Count") == "4"
    assert answer.findtext(f".//{{{XROAD}}}issue") == "case 5"


@pytest.mark.parametrize(
    ("repairs", "repair_headers", "text"),
    [
        ({Repair.XML_DECLARATION}, True, "error 400"),
        ({Repair.SOAP_ACTION}, True, "error 400|Unexpected envelope structure"),
        (set(Repair), False, "is not consistent with request"),
    ],
)
async def test_without_any_one_of_them_it_can_not(
    stage: Stage, repairs: set[Repair], repair_headers: bool, text: str
) -> None:
    await stage.declared(repairs, repair_headers=repair_headers)
    answer = await stage.call()
    assert re.search(text, answer.findtext(".//faultstring") or "")
