"""The cases of X-Road's own proxy tests between two real nodes, with exactly the codes named there.

The messages are X-Road's, so the instance is called EE, and its members are `consumer` and
`producer`. Rows are called as X-Road's test classes. Here: what the provider's node refuses of
its system and of other nodes, and what the consumer's node refuses of a provider's.

Source: errors.md 11; messages.md 10; vectors/asic/INDEX.md 8.
"""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.proxy_stage import (
    CODES,
    KNOWN,
    OTHER,
    RogueStage,
    Stage,
    call,
    code_of,
    http,
    offering,
    proxy_stage,
    rogue_stage,
    says,
    soap_service,
    usual,
)
from tests.raw_http import build_head
from tests.reference_queries import (
    MIXED,
    MTOM,
    RELATED,
    XML,
    Said,
    attachment_with_faulty_soap,
    boundary_that_never_comes,
    fault_with_attachment_type,
    query,
)
from tests.scene import System, answering, unexpected
from tests.simulator import RogueConsumer
from tests.tls_certificates import identity
from trust.pki.ocsp import CertificateStatus

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


# --- what the provider's node finds in its system's answer ----------------------------------------

ANSWERED: dict[str, tuple[Callable[[], Said], str]] = {
    "AttachmentFaultySoapResponse": (attachment_with_faulty_soap, "missing_header_field"),
    "AttachmentNoSoapResponse": (
        lambda: query("attachm-no-soap.query", RELATED), "invalid_content_type",
    ),
    "EmptyMultipartResponse": (lambda: query("empty.query", RELATED), "invalid_message"),
    "EmptyResponse": (lambda: query("empty.query"), "invalid_soap"),
    "FaultyHeaderResponse": (lambda: query("faulty-header.query"), "missing_header_field"),
    "FaultyResponseContentType": (
        lambda: query("getstate.answer", "blah"), "invalid_content_type",
    ),
    "MalformedBodyResponse": (lambda: query("malformed-body2.query"), "invalid_body"),
    "MissingBodyResponse": (lambda: query("missing-body.query"), "missing_body"),
    "MissingHeaderResponse": (lambda: query("no-header.query"), "missing_header"),
    "ServerProxyAttachmentError": (
        lambda: query("attachm-error.query", RELATED), "invalid_content_type",
    ),
    "ServiceFaultyMultipart": (boundary_that_never_comes, "invalid_message"),
}  # fmt: skip


@pytest.mark.parametrize("row", ANSWERED)
async def test_the_provider_s_node_refuses_an_answer(stage: Stage, row: str) -> None:
    make, code = ANSWERED[row]
    stage.system.answer = says(make())
    answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == f"server.serverproxy.service_failed.{code}"


async def test_an_empty_answer_to_a_longer_request_is_no_soap(stage: Stage) -> None:
    """ServerProxyEmptyResponse."""
    stage.system.answer = says(query("empty.query"))
    answer = await call(stage.consumer, query("proxyemulator.query"))
    assert code_of(answer) == "server.serverproxy.service_failed.invalid_soap"


@pytest.mark.parametrize(
    ("row", "status", "code"),
    [("ServiceFaultyFault", "200 OK", "soap:Server"), ("ServiceReturnsFault", "500 Error", "CODE")],
)
async def test_a_fault_of_the_system_is_handed_on(
    stage: Stage, row: str, status: str, code: str
) -> None:
    fault = query(
        "faulty-fault.answer" if row == "ServiceFaultyFault" else "fault.query", "text/xml"
    )
    stage.system.answer = says(fault, status)
    answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == code
    assert answer.body == fault.body


async def test_a_fault_in_a_multipart_answer_is_handed_on(stage: Stage) -> None:
    """SoapFaultInMultipartResponse."""
    stage.system.answer = says(fault_with_attachment_type())
    answer = await call(stage.consumer, query("attachm-mtom.query", MTOM))
    assert b"<faultcode>CODE</faultcode>" in answer.body


async def test_an_answer_to_another_request_is_refused(stage: Stage) -> None:
    """ServerClientInconsistency."""
    stage.system.answer = says(query("getstate.query"))
    answer = await call(stage.consumer, query("xml.query"))
    assert code_of(answer) == "server.clientproxy.service_failed.inconsistent_response"


async def test_a_system_that_answers_with_an_http_error_has_failed(stage: Stage) -> None:
    """ServiceHttpError."""
    stage.system.answer = says(Said(b"", "text/html"), "502 Bad Gateway")
    answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.serverproxy.service_failed.http_error"


async def test_a_system_that_goes_away_within_its_answer_has_failed(stage: Stage) -> None:
    """ServiceConnectionAborted: it has not said yet of what type its answer is."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(build_head("HTTP/1.1 200 OK", [("Content-Length", "1000")]))
        await writer.drain()

    stage.system.visit = visit
    answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.serverproxy.service_failed.invalid_content_type"


# --- what the provider's node offers --------------------------------------------------------------


NOWHERE = "http://non.existing.site.invalid/service"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("InvalidServiceAddress", lambda: query("getstate.query")),
        ("InvalidServiceAddress2", lambda: query("attachm.query", RELATED)),
    ],
)
async def test_a_system_with_an_unknown_name_is_not_reached(
    stage: Stage, row: str, said: Callable[[], Said]
) -> None:
    async with offering(stage, *(soap_service(NOWHERE, code) for code in CODES)):
        answer = await call(stage.consumer, said())
    assert code_of(answer) == "server.serverproxy.service_failed.unknown_host"


async def test_a_client_without_a_right_is_refused(stage: Stage) -> None:
    """NotAllowed."""
    async with offering(stage, *usual(stage.system), rights=False):
        answer = await call(stage.consumer, query("notAllowed.query"))
    assert code_of(answer) == "server.serverproxy.access_denied"
    assert stage.system.connections == 0


async def test_a_service_that_is_switched_off_says_why(stage: Stage) -> None:
    """ServiceDisabled."""
    notice = "Service is disabled"
    services = (replace(one, notice=notice) for one in usual(stage.system))
    async with offering(stage, *services):
        answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.serverproxy.service_disabled"
    assert notice.encode() in answer.body


async def test_a_service_that_nobody_offers_is_unknown(stage: Stage) -> None:
    """UnknownService."""
    async with offering(stage, soap_service(stage.system.url, "test")):
        answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.serverproxy.unknown_service"


@pytest.mark.parametrize("known", [False, True], ids=["no certificate", "another certificate"])
async def test_a_system_over_https_must_be_known(stage: Stage, known: bool) -> None:
    """SslToServiceNoISCerts, SslToServiceWrongISCert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_NONE
    identity(OTHER).load_into(context)
    certificates = (KNOWN.der,) if known else ()
    async with System().listening(context) as secure:
        service = soap_service(f"https://127.0.0.1:{secure.port}/", "getState")
        async with offering(stage, service, certificates=certificates):
            answer = await call(stage.consumer, query("getstate.query"))
    assert code_of(answer) == "server.serverproxy.service_failed.ssl_authentication_failed"
    assert secure.requests == []


# --- straight to the provider's node --------------------------------------------------------------


def to_provider(rogue: RogueConsumer, said: Said, method: str = "POST") -> bytes:
    """A message as it stands, behind the OCSP response for the connection that every node sends."""
    found = re.search(r"boundary=([^;]+)", said.content_type)
    if found is not None and said.body.startswith(b"--" + found[1].encode()):
        ocsp = rogue.pki.ocsp(rogue.auth.certificate)
        head = f"--{found[1]}\r\ncontent-type:application/ocsp-response\r\n\r\n".encode()
        said = Said(head + ocsp + b"\r\n" + said.body, said.content_type)
    headers = [
        ("x-hash-algorithm", "SHA-512"),
        ("x-proxy-version", "7.8.0"),
        ("x-original-content-type", XML),
    ]
    return http(said, method, headers)


STRAIGHT: dict[str, tuple[Callable[[], Said], str]] = {
    "InvalidContentTypeFromClientProxy": (
        lambda: query("getstate.query"), "service_failed.invalid_content_type",
    ),
    "NoSignatureToServerProxy": (
        lambda: query(
            "no-signature.query",
            "multipart/mixed; boundary=jetty42534330h7vzfqv2;charset=ISO-8859-1",
        ),
        "missing_signature",
    ),
    "NoSoapToServerProxy": (
        lambda: query("no-soap.query", MIXED), "service_failed.invalid_soap",
    ),
    "ServerProxyProcessingError": (
        lambda: query("getstate.query", "multipart/mixed; boundary=foobar"), "missing_soap",
    ),
    "UnsignedMessageFromClientProxy": (lambda: query("attachm.query", MIXED), "missing_signature"),
}  # fmt: skip


@pytest.mark.parametrize("row", STRAIGHT)
async def test_the_provider_s_node_refuses_a_request(stage: Stage, row: str) -> None:
    make, code = STRAIGHT[row]
    answer = await stage.rogue.send_bytes(to_provider(stage.rogue, make()))
    assert answer is not None
    assert code_of(answer) == f"server.serverproxy.{code}"
    assert stage.system.connections == 0


async def test_only_post_carries_a_message_between_nodes(stage: Stage) -> None:
    """WrongHttpMethodServerProxy."""
    wire = to_provider(stage.rogue, query("getstate.query"), "GET")
    answer = await stage.rogue.send_bytes(wire)
    assert answer is not None
    assert code_of(answer) == "server.serverproxy.invalid_http_method"


# --- providers' nodes that misbehave --------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_rogue_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[RogueStage]:
    async with rogue_stage(tmp_path_factory.mktemp("rogue"), postgres_server) as stage:
        yield stage


@pytest.fixture
def beside(module_rogue_stage: RogueStage) -> RogueStage:
    module_rogue_stage.rogue.reset()
    return module_rogue_stage


def node_says(said: Said, status: str = "200 OK") -> Callable[[object], bytes]:
    headers = [("x-hash-algorithm", "SHA-512"), ("Content-Type", said.content_type)]
    return lambda _: answering(said.body, status, headers)


def breaking_off(content_type: str) -> Callable[[object], bytes]:
    """An answer of a thousand bytes that ends before the first."""
    fields = [("Content-Type", content_type), ("Content-Length", "1000"), ("Connection", "close")]
    return lambda _: build_head("HTTP/1.1 200 OK", fields)


MISBEHAVING: dict[str, tuple[Callable[[], Said], Callable[[], Callable[[object], bytes]], str]] = {
    "InvalidContentTypeFromServerProxy": (
        lambda: query("proxyemulator.query"),
        lambda: node_says(query("getstate.query", "oih")),
        "service_failed.invalid_content_type",
    ),
    "ServerProxyConnectionAborted2": (
        lambda: query("getstate.query"),
        lambda: breaking_off("text/xml"),
        "service_failed.io_error",
    ),
    "ServerProxyConnectionAborted3": (
        lambda: query("getstate.query"),
        lambda: breaking_off("multipart/mixed; boundary=foobar"),
        "service_failed.io_error",
    ),
    "ServerProxyEmptyFault": (
        lambda: query("getstate.query"),
        lambda: node_says(query("empty.query")),
        "service_failed.invalid_soap",
    ),
    "ServerProxyFaultyAttachment": (
        lambda: query("getstate.query"),
        lambda: node_says(query("attachm-error.query", MIXED)),
        "service_failed.invalid_content_type",
    ),
    "ServerProxyHttpError": (
        lambda: query("getstate.query"),
        lambda: node_says(Said(b"", "text/html"), "502 Bad Gateway"),
        "http_error",
    ),
    "ServerProxyInvalidFault": (
        lambda: query("getstate.query"),
        lambda: node_says(query("getstate.query", 'text/xml; charset="UTF-8"; boundary=foobar')),
        "service_failed.invalid_message",
    ),
    "ServerProxyMissingBody": (
        lambda: query("getstate.query"),
        lambda: node_says(query("missing-body.query", f"text/xml; boundary={RELATED[-24:]}")),
        "service_failed.missing_body",
    ),
    "ServerProxyNoBoundary": (
        lambda: query("getstate.query"),
        lambda: node_says(Said(b"", "multipart/mixed")),
        "service_failed.invalid_content_type",
    ),
    "UnsignedMessageFromServerProxy": (
        lambda: query("getstate.query"),
        lambda: node_says(
            query(
                "no-signature.query",
                "multipart/mixed; charset=UTF-8; boundary=jetty42534330h7vzfqv2",
            )
        ),
        "missing_signature",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", MISBEHAVING)
async def test_an_answer_that_is_none_is_refused(beside: RogueStage, row: str) -> None:
    request, answer, code = MISBEHAVING[row]
    beside.rogue.answer = answer()
    assert await beside.code(request()) == f"server.clientproxy.{code}"


async def test_a_node_that_drops_the_connection_at_once_is_not_reached(beside: RogueStage) -> None:
    """ServerProxyConnectionAborted: it reads a little and resets the connection."""

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        reset(writer)

    beside.rogue.visit = drop
    assert await beside.code(query("getstate.query")) == "server.clientproxy.network_error"


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset instead of a goodbye."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def test_a_node_that_does_not_listen_is_not_reached(beside: RogueStage) -> None:
    """SslSelectFastestProxyNoConnections."""
    answer = await call(beside.consumer, query("getstate.query"))
    assert code_of(answer) == "server.clientproxy.network_error"


@pytest.mark.parametrize("row", ["not registered", "unknown authority", "revoked"])
async def test_a_node_must_prove_who_it_is(beside: RogueStage, row: str) -> None:
    """SslAuthCertNotMatchesOrg, SslAuthTrustManagerError, SslClientCertVerificationError."""
    rogue, pki = beside.rogue, beside.pki
    if row == "not registered":
        rogue.show(pki.certify("somebody else", "auth"))
    elif row == "unknown authority":
        rogue.show(pki.certify("unapproved", "auth", issuer=pki.stranger))
    else:
        rogue.show(beside.revoked)
        rogue.ocsp = [pki.ocsp(beside.revoked.certificate, status=CertificateStatus.REVOKED)]
    code = await beside.code(query("getstate.query"))
    assert code.startswith("server.clientproxy.ssl_authentication_failed")
    assert rogue.asked == []
