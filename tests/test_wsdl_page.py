"""`GET /wsdl` and repaired headers, each through two real nodes."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio
from lxml import etree

from catalog.services import AccessRight, ConnectionType, HostedClient, Repair
from node.log.search import RecordQuery
from node.metadata.wsdl_page import build_request
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, Instance
from tests.metadata_stage import IDENTIFIERS, WSDL, XROAD, Library, Stage, soap_service
from tests.raw_http import RawMessage
from tests.scene import answering, records
from tests.soap_messages import Envelope, answer_to
from trust.ids import ClientId, ServiceId

LOOP = pytest.mark.asyncio(loop_scope="module")
KIND, UNKIND = ServiceId(PROVIDER, "kind", "v1"), ServiceId(PROVIDER, "unkind", "v1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("wsdl")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        library = Library()
        await stack.enter_async_context(library.listening())
        library.put("/a?wsdl", WSDL, "text/xml")
        url = library.url
        services = (
            soap_service(
                url, "kind", repair_headers=True, description_url=library.where("/a?wsdl")
            ),
            soap_service(url, "unkind"),
        )
        civil = await instance.add(
            "CIVIL",
            PROVIDER,
            hosted=[
                HostedClient(
                    PROVIDER,
                    services=services,
                    rights=tuple(AccessRight(CONSUMER, one.id.service_code) for one in services),
                )
            ],
        )
        own = HostedClient(CONSUMER, connection=ConnectionType.HTTP, repairs=frozenset(Repair))
        muni = await instance.add("MUNI", CONSUMER, hosted=[own])
        muni.settings = replace(
            muni.settings, systems=replace(muni.settings.systems, wsdl_client=CONSUMER)
        )
        await instance.start()
        yield Stage(instance, civil, muni, library)


def test_the_call_for_a_wsdl_is_escaped() -> None:
    client = ClientId("A&B", "<c>", "d'\"", "e")
    raw = build_request(client, ServiceId(client, "a<b", "1&2"), "id")
    envelope = etree.fromstring(raw)
    assert [part.text for part in envelope.iter(f"{{{IDENTIFIERS}}}memberClass")] == ["<c>", "<c>"]
    assert envelope.findtext(f".//{{{XROAD}}}serviceCode") == "a<b"


PARAMETERS = "?" + "&".join(
    f"{name}={value}"
    for name, value in zip(
        ("xRoadInstance", "memberClass", "memberCode", "subsystemCode"), PROVIDER.parts, strict=True
    )
)


@LOOP
async def test_a_wsdl_leads_its_reader_to_the_node(stage: Stage) -> None:
    answer = await stage.ask("GET", f"/wsdl{PARAMETERS}&serviceCode=kind&version=v1")
    assert (answer.status, answer.first("Content-Type")) == (200, "text/xml; charset=UTF-8")
    assert answer.body == WSDL.replace(
        b'<?xml version="1.0"?>', b'<?xml version="1.0" encoding="UTF-8"?>'
    ).replace(b"http://10.1.2.3/", b"http://node.example/")
    node = stage.consumer.running
    kept = await node.kept.log.find(_query("getWsdl"))
    assert [one.response for one in kept.records] == [False, True]
    assert kept.records[0].client == CONSUMER


@LOOP
@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("", "server.clientproxy.invalid_request", "Missing parameter xRoadInstance"),
        (PARAMETERS, "server.clientproxy.invalid_request", "Missing parameter serviceCode"),
        (f"{PARAMETERS}&serviceCode=kind", "server.serverproxy.unknown_service",
         f"Could not find wsdl URL for service SERVICE:{PROVIDER.path}/kind"),
        (f"{PARAMETERS}x&serviceCode=kind", "server.clientproxy.unknown_member", ""),
    ],
)  # fmt: skip
async def test_why_there_is_no_wsdl_is_a_fault(
    stage: Stage, query: str, code: str, text: str
) -> None:
    answer = await stage.ask("GET", f"/wsdl{query}")
    fault = etree.fromstring(answer.body)
    assert (answer.status, fault.findtext(".//faultcode")) == (200, code)
    assert (fault.findtext(".//faultstring") or "").startswith(text)


@LOOP
async def test_the_client_in_whose_name_is_asked_keeps_its_rules_of_connection(
    stage: Stage,
) -> None:
    """The page opens nothing that the client itself could not do over the same connection."""
    hosted = [HostedClient(CONSUMER, connection=ConnectionType.HTTPS)]
    before = stage.consumer.running.services.conf.clients
    await stage.instance.apply(stage.consumer, hosted)
    try:
        answer = await stage.ask("GET", f"/wsdl{PARAMETERS}&serviceCode=kind&version=v1")
        fault = etree.fromstring(answer.body)
        assert fault.findtext(".//faultcode") == "server.clientproxy.ssl_authentication_failed"
    finally:
        await stage.instance.apply(stage.consumer, before)


# --- repaired headers -----------------------------------------------------------------------------


def forgetful(request: RawMessage) -> bytes:
    """A system that echoes neither issue nor user, nor anything it does not know."""
    body = re.sub(rb"<xro:(issue|userId)>[^<]*</xro:\1>", b"", answer_to(request.body))
    return answering(body, headers=(("Content-Type", "text/xml"),))


@LOOP
async def test_a_forgetful_system_is_repaired_where_that_is_declared(stage: Stage) -> None:
    stage.library.answer = forgetful
    sent = Envelope(service=KIND, issue="case 5", message_id="repaired", declaration="")
    answer = etree.fromstring((await stage.soap(sent.raw)).body)
    assert answer.findtext(f".//{{{XROAD}}}issue") == "case 5"
    assert answer.findtext(f".//{{{XROAD}}}userId") == sent.user_id
    plain = await stage.soap(Envelope(service=UNKIND, issue="case 5").raw)
    assert etree.fromstring(plain.body).findtext(".//faultcode") == (
        "server.clientproxy.service_failed.inconsistent_response"
    )


@LOOP
async def test_what_is_added_to_a_request_is_what_is_signed_and_forwarded(stage: Stage) -> None:
    stage.library.answer = forgetful
    stage.library.requests.clear()
    sent = Envelope(service=KIND, message_id="declared")
    answer = await stage.soap(sent.raw)
    assert etree.fromstring(answer.body).find(f".//{{{XROAD}}}requestHash") is not None
    cut = sent.raw.partition(b"?>\n")[2]
    (forwarded,) = [one for one in stage.library.requests if one.method == "POST"]
    assert forwarded.body == cut
    assert forwarded.first("SOAPAction") == '"kind"'
    for node in (stage.consumer, stage.provider):
        request, response = await records(node, message_id="declared")
        assert request.message == cut
        assert b"requestHash" in response.message


def _query(code: str) -> RecordQuery:
    return RecordQuery(service=ServiceId(PROVIDER, code))
