"""The cases of X-Road's own proxy tests between two real nodes, with exactly the codes named there.

The messages are X-Road's, so the instance is called EE, and its members are `consumer` and
`producer`. Rows are called as X-Road's test classes. Here: what comes through, and what the
consumer's node refuses.

Source: errors.md 11; messages.md 10; vectors/asic/INDEX.md 8.
"""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from lxml import etree

from catalog.services import ConnectionType, Service, ServiceType
from node.network.tls import system_client
from scripts.postgres import PostgresServer
from tests.proxy_stage import (
    CONSUMER_PART,
    EXPIRED,
    KNOWN,
    OTHER,
    PRODUCER_PART,
    Stage,
    call,
    callers,
    code_of,
    producer,
    producer_part,
    proxy_stage,
    registered,
    says,
    usual,
)
from tests.raw_http import Headers, RawMessage, ask, build_head
from tests.reference_queries import (
    MTOM,
    RELATED,
    Said,
    attachment_behind_mark,
    attachment_with_faulty_soap,
    cdata,
    default_namespace,
    edited,
    envelope_of,
    escaped,
    for_folded_headers,
    latin_1,
    packed,
    parts_of,
    query,
    represented,
    rpc,
    several_lines,
    small_mantis,
    with_comment,
    with_mark,
    without_white_space,
)
from tests.scene import records, unexpected
from tests.tls_certificates import Issued, identity
from tests.vector_files import vector_path
from trust.ids import ServiceId

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.interop]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with proxy_stage(tmp_path_factory.mktemp("proxy"), postgres_server) as stage:
        yield stage


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


def said_by(message: RawMessage) -> Said:
    return Said(message.body, message.first("content-type") or "")


def fields_and_body(envelope: bytes) -> list[bytes]:
    """Header fields and body in canonical form, without `requestHash`."""
    root = etree.fromstring(envelope)
    header, body = root.find("{*}Header"), root.find("{*}Body")
    assert header is not None
    assert body is not None
    wanted = [one for one in header if isinstance(one.tag, str) and "requestHash" not in one.tag]
    return [etree.tostring(one, method="c14n", exclusive=True) for one in (*wanted, body)]


def request_hashes(envelope: bytes) -> list[tuple[str, str | None]]:
    root = etree.fromstring(envelope)
    return [
        (one.text or "", one.get("algorithmId"))
        for one in root.findall("{*}Header/{http://x-road.eu/xsd/xroad.xsd}requestHash")
    ]


async def comes_through(
    stage: Stage, request: Said, answer: Said, headers: Headers = ()
) -> tuple[RawMessage, RawMessage]:
    """Call, and check all that both systems and both logs get; what came to them."""
    stage.system.answer = says(answer)
    told = await call(stage.consumer, request, headers=headers)
    assert told.status == 200
    assert b"faultcode" not in told.body, told.body[200:600]
    (asked,) = stage.system.requests
    check_delivery(request, said_by(asked))
    check_delivery(answer, said_by(told), changed=True)
    envelope = envelope_of(said_by(told))
    expected = base64.b64encode(hashlib.sha512(envelope_of(request)).digest()).decode()
    assert request_hashes(envelope) == [(expected, "http://www.w3.org/2001/04/xmlenc#sha512")]
    assert fields_and_body(envelope) == fields_and_body(envelope_of(answer))
    message_id = etree.fromstring(envelope).findtext("{*}Header/{http://x-road.eu/xsd/xroad.xsd}id")
    for node in (stage.consumer, stage.provider):
        kept = (await records(node, message_id=message_id))[-2:]
        assert [one.response for one in kept] == [False, True]
        assert [one.message for one in kept] == [envelope_of(request), envelope]
    return asked, told


def check_delivery(sent: Said, got: Said, *, changed: bool = False) -> None:
    """Whether a message arrived as it was sent.

    Args:
        changed: the envelope is not looked at: a node wrote its hash into it.
    """
    if not sent.content_type.lower().startswith("multipart/"):
        assert got.content_type.lower() == "text/xml; charset=utf-8"
        assert changed or got.body == sent.body
        return
    given = got.content_type
    assert given == sent.content_type or (
        changed and label_of(given) == label_of(sent.content_type)
    )
    before, after = parts_of(sent), parts_of(got)
    assert len(before) == len(after)
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        assert (changed and number == 0) or other.data == one.data
        assert fields_of(other.head) == fields_of(one.head)


def label_of(content_type: str) -> set[str]:
    """Type and parameters; the charset is the node's own affair."""
    parameters = {one.strip() for one in content_type.split(";")}
    return {one for one in parameters if not one.lower().startswith("charset=")}


def fields_of(head: bytes) -> dict[str, str]:
    """The fields of a part by name in lower case, folded ones on one line."""
    lines = re.sub(rb"\r?\n[ \t]+", b" ", head).decode().splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}


# --- what must come through -----------------------------------------------------------------------

GOOD: dict[str, Callable[[], tuple[Said, Said]]] = {
    "Attachment": lambda: (query("attachm.query", RELATED), query("attachm.answer")),
    "Attachment2": lambda: (
        query("attachm2.query", RELATED), query("attachm2.answer", RELATED),
    ),
    "AttachmentMTOM": lambda: (
        query("attachm-mtom.query", MTOM),
        edited(  # X-Road's tests give every message a new id
            query("attachm-mtom.answer", f"{MTOM};charset=UTF-8"), ("9876543210", "1234567890")
        ),
    ),
    "AttachmentSmallMantis": lambda: (small_mantis(), query("attachment-small-mantis.answer")),
    "CDATAMessage": cdata,
    "CommentMessage": lambda: (query("simple.query"), with_comment()),
    "DefaultNamespaceMessage": lambda: (default_namespace(), query("getstate.answer")),
    "MimeSoap": lambda: (packed(query("simple.query")), packed(query("simple.answer"))),
    "MissingUserIdHeader": lambda: (query("missing-userId.query"), query("missing-userId.answer")),
    "NoWhitespaceMessage": without_white_space,
    "NonUtf8ResponseContentType": lambda: (query("getstate.query"), latin_1()),
    "NormalMessage": lambda: (query("getstate.query"), query("getstate.answer")),
    "NormalSubsystem": lambda: (
        query("getstate-subsystem.query"), query("getstate-subsystem.answer"),
    ),
    "RequestSuffix": lambda: (query("request-suffix.query"), query("simple.answer")),
    "ResponseWithRequestHash": lambda: (query("getstate.query"), query("requesthash.answer")),
    "RepresentedParty": represented,
    "RpcEncoded": lambda: (rpc(), query("simple.answer")),
    "SeveralAttachments": lambda: (
        query("attachments.query", RELATED), query("attachm.answer"),
    ),
    "SeveralAttachmentsResponse": lambda: (
        query("attachments.query", RELATED), query("attachments.answer", RELATED),
    ),
    "Simple": lambda: (query("simple.query"), query("simple.answer")),
    "SplitHeaderMessage": several_lines,
    "Utf8BomAttachment2": lambda: (attachment_behind_mark(), query("attachm2.answer", RELATED)),
    "Utf8BomNormalSubsystem": lambda: (
        with_mark(query("getstate-subsystem.query")),
        with_mark(query("getstate-subsystem.answer")),
    ),
    "XmlEncodedMessage": escaped,
    "Xop": lambda: (
        for_folded_headers(),
        query(
            "xop.answer",
            'multipart/related; type="application/xop+xml"; start-info="text/xml"; '
            'boundary="MIMEBoundaryurn_uuid_0FE43E4D025F0BF3DC11582467646812"',
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", GOOD)
async def test_a_good_pair_comes_through(stage: Stage, row: str) -> None:
    request, answer = GOOD[row]()
    await comes_through(stage, request, answer)


@pytest.mark.parametrize(
    ("sent", "given"),
    [(None, ""), ("", ""), ('""', '""'), ('"urn:x-road:getState"', '"urn:x-road:getState"')],
)
async def test_the_soap_action_goes_along(stage: Stage, sent: str | None, given: str) -> None:
    """SoapActionEmptyHeader, SoapActionHeader."""
    headers = () if sent is None else (("SOAPAction", sent),)
    asked, _ = await comes_through(
        stage, query("getstate.query"), query("getstate.answer"), headers
    )
    assert asked.all("soapaction") == [given]


async def test_a_large_attachment_comes_through(stage: Stage) -> None:
    """AttachmentBig, of a size that this machine sends in a second."""
    whole = query("attachm.query", RELATED)
    data = bytes(range(256)) * 40_000
    assert b"\r\n--" not in data
    request = Said(whole.body.replace(b"blaah\n", data), RELATED)
    await comes_through(stage, request, query("attachm.answer"))


# --- what the consumer's node refuses -------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Said], str]] = {
    "AttachmentFaulty": (
        lambda: query("attachm-error.query", RELATED), "client.invalid_content_type",
    ),
    "AttachmentFaultySoap": (attachment_with_faulty_soap, "client.missing_header_field"),
    "AttachmentNoSoap": (
        lambda: query("attachm-no-soap.query", RELATED), "client.invalid_content_type",
    ),
    "EmptyMultipartRequest": (lambda: query("empty.query", RELATED), "client.missing_soap"),
    "EmptyQuery": (lambda: query("empty.query"), "client.invalid_soap"),
    "FaultyHeader": (lambda: query("faulty-header2.query"), "client.duplicate_header_field"),
    "FaultyRequestContentType": (
        lambda: query("getstate.query", "blah"), "client.invalid_content_type",
    ),
    "MalformedBody1": (lambda: query("malformed-body1.query"), "client.invalid_body"),
    "MalformedBody2": (lambda: query("malformed-body2.query"), "client.invalid_body"),
    "MalformedBody3": (
        lambda: edited(query("getstate.query"), ("xroad:getState>", "xroad:blaah>")),
        "client.inconsistent_headers",
    ),
    "MalformedProtocolVersionHeader": (
        lambda: query("malformed-protocolVersion.query"), "client.invalid_protocol_version",
    ),
    "MissingBody": (lambda: query("missing-body.query"), "client.missing_body"),
    "MissingHeader": (lambda: query("no-header.query"), "client.missing_header"),
    "MissingObjectTypeMessage": (lambda: query("missingobjecttype.query"), "client.invalid_xml"),
    "MissingOrg": (
        lambda: edited(query("getstate.query"), (">consumer<", ">this-org-does-not-exist<")),
        "server.clientproxy.unknown_member",
    ),
    "MissingProtocolVersionHeader": (
        lambda: query("missing-protocolVersion.query"), "client.missing_header_field",
    ),
    "SoapFaultToClientProxy": (lambda: query("fault.query"), "client.code"),
    "WrongProtocolVersionHeader": (
        lambda: query("wrong-protocolVersion.query"), "client.invalid_protocol_version",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED)
async def test_the_consumer_s_node_refuses(stage: Stage, row: str) -> None:
    make, code = REFUSED[row]
    assert code_of(await call(stage.consumer, make())) == code
    assert stage.system.connections == 0


async def test_only_post_carries_a_message(stage: Stage) -> None:
    """WrongHttpMethod."""
    answer = await call(stage.consumer, query("getstate.query"), method="GET")
    assert code_of(answer) == "client.invalid_http_method"


async def test_a_soap_action_without_quotes_is_refused(stage: Stage) -> None:
    """SoapActionMalformedHeader."""
    headers = (("SOAPAction", "http://example.org/action"),)
    answer = await call(stage.consumer, query("getstate.query"), headers=headers)
    assert code_of(answer) == "client.invalid_soap_action"
    assert stage.system.connections == 0


@pytest.mark.parametrize(
    ("shown", "accepted"),
    [(KNOWN, True), (None, False), (OTHER, False), (EXPIRED, True)],
    ids=["known", "none", "another", "expired"],
)
async def test_a_system_must_prove_who_it_is(
    stage: Stage, shown: Issued | None, accepted: bool
) -> None:
    """SslClientAuthNoISCert, SslClientAuthWrongISCert, SslClientAuthExpiredISCert.

    The last is about a switch of X-Road's, which is off there too unless somebody turns it on.
    """
    await stage.instance.apply(stage.consumer, callers(ConnectionType.HTTPS))
    stage.system.answer = says(query("getstate.answer"))
    context = system_client(None if shown is None else identity(shown))
    try:
        answer = await call(stage.consumer, query("getstate.query"), tls=context)
    finally:
        await stage.instance.apply(stage.consumer, callers())
    assert len(stage.system.requests) == accepted
    if accepted:
        assert b"faultcode" not in answer.body, answer.body[200:600]
    else:
        assert code_of(answer) == "server.clientproxy.ssl_authentication_failed"


async def test_a_provider_without_an_address_is_unknown(stage: Stage) -> None:
    """InvalidProviderAddress3."""
    async with registered(stage, address=None):
        answer = await call(stage.consumer, query("attachm.query", RELATED))
    assert code_of(answer) == "server.clientproxy.unknown_member"


async def test_a_provider_in_maintenance_is_not_called(stage: Stage) -> None:
    """ServerProxyMaintenanceMode."""
    async with registered(stage, maintenance="Maintenance mode is on"):
        answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.clientproxy.maintenance_mode"
    assert b"Maintenance mode is on" in answer.body


@pytest.mark.parametrize(
    ("side", "code"),
    [
        ("consumer", "server.clientproxy.cannot_create_signature"),
        ("provider", "server.serverproxy.service_failed.cannot_create_signature"),
    ],
)
async def test_nothing_leaves_without_a_signature(stage: Stage, side: str, code: str) -> None:
    """SigningFailsInClientProxy, SigningFailsInServerProxy.

    X-Road's case has the provider's signer break after the system was called. Here it is known
    before, from where X-Road's codes have `service_failed` too (messages.md 8.1 step 4).
    """
    node = stage.provider if side == "provider" else stage.consumer
    signing = next(entry for entry in node.running.who.keys.entries if entry.use == "sign")
    node.running.who.keys.set_active(signing.id, False)
    await stage.instance.publish()  # what was found out about keys is forgotten
    stage.system.answer = says(query("getstate.answer"))
    try:
        assert code_of(await call(stage.consumer, query("getstate.query"))) == code
        assert stage.system.connections == 0
    finally:
        node.running.who.keys.set_active(signing.id, True)
        await stage.instance.publish()


# --- REST, where the case is about both -----------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/r1/EE/BUSINESS/producer/subsys2/getState", True, "server.serverproxy.service_type"),
        ("/r1/EE/BUSINESS/producer/subsys2/closed", True, "server.serverproxy.access_denied"),
        (
            "/r1/EE/BUSINESS/producer/subsys2/getState",
            False,
            "server.clientproxy.invalid_client_identifier",
        ),
        ("/r1/EE/BUSINESS/producer", True, "server.clientproxy.internal_error"),
    ],
)
async def test_rest_calls_of_the_reference(
    stage: Stage, target: str, headers: bool, code: str
) -> None:
    """RestProxyTest: a SOAP service by REST, no right, no client, a path that is too short."""
    closed = Service(ServiceId(PRODUCER_PART, "closed"), ServiceType.REST, stage.system.url)
    part = producer_part(stage.system)
    with_closed = replace(part, services=(*part.services, closed))
    hosted = [producer(*usual(stage.system)), with_closed]
    await stage.instance.apply(stage.provider, hosted)
    fields = [("Host", "x")]
    if headers:
        fields.append(("X-Road-Client", CONSUMER_PART.path))
    port = stage.consumer.running.ports["systems http"].number
    answer = await ask("127.0.0.1", port, build_head(f"GET {target} HTTP/1.1", fields))
    await stage.offer(*usual(stage.system))
    assert answer is not None
    assert (answer.status, answer.first("x-road-error")) == (500, code)


# --- whether anything is left out -----------------------------------------------------------------


async def test_every_row_of_the_index_is_here() -> None:
    index = vector_path("asic/INDEX.md").read_text(encoding="utf-8")
    table = index.partition("\n## 8. ")[2].partition("\n## 9. ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    names = {name for cell in cells for name in re.findall(r"\b[A-Z][A-Za-z0-9]{4,}\b", cell)}
    here = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_whole_*.py")
    )
    assert len(names) > 50
    assert sorted(name for name in names if name not in here) == []
