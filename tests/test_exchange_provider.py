"""What a provider's node refuses: a registered node does one thing wrong, and gets its code.

Rows are those of transport.md 19. Nothing that was refused is in the log or reaches the system.
"""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, Endpoint, HostedClient, ServiceType
from node.exchange.tls import peer_client
from node.settings import LimitsSettings
from scripts.issuing import Identity
from scripts.postgres import PostgresServer
from tests.drafts import BODY, OCSP, REQUEST, SIGNATURE, Draft, Part, split_parts
from tests.forged_signatures import FORGERIES, Forgery
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest, rest_service
from tests.raw_http import ask, read_message
from tests.scene import PATH, System, records
from tests.simulator import LivePki, RogueConsumer, exchange_id_of, fault_code, tls_identity
from trust.certificates import certificate_hash
from trust.ids import ClientId, ServerId
from trust.ocsp import CertificateStatus
from trust.settings import ByteSize

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUP = "service_failed."
AUTH = f"{GROUP}ssl_authentication_failed"
CONTENT_TYPE = f"{GROUP}invalid_content_type"
HEAD = f"{GROUP}internal_error"
OTHER_CLIENT = ClientId("TEST", "MUN", "2002", "taxes")
TOO_OLD = "Server.ServerProxy.ClientProxyVersionNotSupported"  # in the words of such a server
HOUR = timedelta(hours=1)
LARGEST = 3_000_000  # bytes of a body
FAULT = (
    b'<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<SOAP-ENV:Body><SOAP-ENV:Fault><faultcode>Server.ClientProxy.Mine</faultcode>"
    b"<faultstring>x</faultstring></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
)


@dataclass
class Stage:
    """A real provider's node and a rogue that is registered as a consumer's."""

    provider: NodeUnderTest
    system: System
    pki: LivePki
    rogue: RogueConsumer
    unapproved: Identity  # certificates that are registered for the rogue's server
    expired: Identity
    signing: Identity

    async def refuses(self, draft: Draft, code: str) -> None:
        """Send it; the code must come, and nothing may have happened."""
        expected = code if code.startswith("Server.") else f"server.serverproxy.{code}"
        assert fault_code(await self.rogue.send(draft)) == expected
        await self.kept_nothing(draft)

    async def kept_nothing(self, draft: Draft) -> None:
        assert await records(self.provider, exchange_id=exchange_id_of(draft)) == ()
        assert self.system.connections == 0


def offered(system: System) -> HostedClient:
    """One service for each question about access."""
    right, url = AccessRight, system.url
    return HostedClient(
        PROVIDER,
        connection=ConnectionType.HTTP,
        services=(
            rest_service(url),
            rest_service(url, "closed"),
            rest_service(url, "disabled", notice="moved house"),
            rest_service(url, "disabledclosed", notice="moved house"),
            rest_service(url, "parts"),
            rest_service(url, "soap", type=ServiceType.WSDL),
            rest_service("", "nowhere"),
            rest_service("gopher://127.0.0.1/", "gopher"),
        ),
        rights=(
            *(right(CONSUMER, code) for code in ("people", "disabled", "soap")),
            *(right(CONSUMER, code) for code in ("nowhere", "gopher")),
            right(CONSUMER, "parts", Endpoint("GET", "/v1/persons/*")),
            right(CONSUMER, "parts", Endpoint("POST", "/v1/**")),
            right(CONSUMER.member, "closed"),  # a member's right is not its subsystem's
        ),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("provider")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        civil = await instance.add(
            "CIVIL", PROVIDER, hosted=[offered(system)], minimum_version="7.6.0"
        )
        civil.settings = replace(
            civil.settings,
            limits=LimitsSettings(body=ByteSize(LARGEST), memory_body=ByteSize(65_536)),
        )
        muni = await instance.add("MUNI", CONSUMER)
        await instance.add("TAXES", OTHER_CLIENT)
        pki = LivePki.of(instance)
        unapproved = pki.certify("unapproved", "auth", issuer=pki.stranger)
        expired = pki.certify("expired", "auth", days=-1)
        signing = pki.certify("no auth", "sign")
        hashes = (certificate_hash(one.certificate, "sha256") for one in (
            unapproved, expired, signing))  # fmt: skip
        muni.entry = replace(muni.entry, auth_cert_hashes=(*muni.entry.auth_cert_hashes, *hashes))
        await instance.start(civil)
        rogue = RogueConsumer(pki, muni, civil.address, instance.ports[0])
        yield Stage(civil, system, pki, rogue, unapproved, expired, signing)


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


async def test_the_right_request_is_carried(stage: Stage) -> None:
    """What all refusals are measured by: without a defect the same message passes."""
    for body, chained in ((None, False), (b"{}", False), (b"{}", True)):
        draft = stage.rogue.draft("POST", f"{PATH}/v1?x=1", body)
        draft.chained = chained
        answer = await stage.rogue.send(draft)
        assert answer is not None
        kinds = [part.content_type for part in split_parts(answer)]
        assert kinds[0] == "application/x-road-rest-response"
        assert kinds[-1] == SIGNATURE
        kept = await records(stage.provider, exchange_id=exchange_id_of(draft))
        assert next((one.response, one.message) for one in kept) == (False, draft.head)
        assert [one.response for one in kept] == [False, True]
    assert [request.target for request in stage.system.requests] == ["/api/v1?x=1"] * 3


# --- signatures -------------------------------------------------------------------------------


@pytest.mark.parametrize("forgery", FORGERIES, ids=str)
async def test_forged_signatures(stage: Stage, forgery: Forgery) -> None:
    draft = stage.rogue.draft("POST", PATH, b'{"code":1}')
    forgery.change(draft, stage.pki)
    await stage.refuses(draft, f"signature_verification.{forgery.code}")


async def test_row_58_a_request_that_was_received_before(stage: Stage) -> None:
    draft = stage.rogue.draft("POST", PATH, b'{"code":1}')
    wire = draft.http()
    assert (await stage.rogue.send_bytes(wire)) is not None
    assert len(stage.system.requests) == 1
    for again in (wire, wire.replace(b"x-proxy-version: 7.8.0", b"x-proxy-version: 7.9.0")):
        code = fault_code(await stage.rogue.send_bytes(again))
        assert code == "server.serverproxy.invalid_message"
    assert len(stage.system.requests) == 1
    assert len(await records(stage.provider, exchange_id=exchange_id_of(draft))) == 2


async def test_row_58_the_same_request_many_times_at_once_is_acted_on_once(stage: Stage) -> None:
    wire = stage.rogue.draft("POST", PATH, b'{"code":1}').http()
    answers = await asyncio.gather(*(stage.rogue.send_bytes(wire) for _ in range(8)))
    kinds = sorted(((answer and answer.first("content-type")) or "")[:9] for answer in answers)
    assert kinds == ["multipart", *["text/xml;"] * 7]
    assert len(stage.system.requests) == 1


# --- the envelope and the parts ---------------------------------------------------------------

Change = Callable[[Draft, Stage], None]


@dataclass(frozen=True)
class Refused:
    """One defect of a request; the code is without the side."""

    row: int
    name: str
    code: str
    change: Change
    body: bytes | None = None

    def __str__(self) -> str:
        return f"row {self.row} {self.name}"


def http(**headers: str | None) -> Change:
    """Other HTTP headers; None removes one."""

    def change(draft: Draft, _: Stage) -> None:
        for name, value in headers.items():
            draft.headers.pop(name.replace("_", "-"))
            if value is not None:
                draft.headers[name.replace("_", "-")] = value

    return change


def envelope(**changes: object) -> Change:
    def change(draft: Draft, _: Stage) -> None:
        for name, value in changes.items():
            setattr(draft, name, value)

    return change


def parts(edit: Callable[[list[Part]], list[Part]]) -> Change:
    return envelope(edit_parts=edit)


def without(kind: str) -> Change:
    return parts(lambda found: [part for part in found if part.content_type != kind])


def retyped(kind: str, other: str | None) -> Change:
    return parts(
        lambda found: [
            Part(other, part.data) if part.content_type == kind else part for part in found
        ]
    )


def bare_soap_action(draft: Draft, _: Stage) -> None:
    del draft.headers["x-road-message-type"]
    draft.headers["x-original-soapaction"] = "urn:x"


def xml_request(draft: Draft, _: Stage) -> None:
    draft.content_type = "text/xml; charset=utf-8"
    draft.edit_bytes = lambda _: FAULT


ENVELOPES = (
    Refused(3, "GET", "invalid_http_method", envelope(start="GET / HTTP/1.1")),
    Refused(3, "PUT", "invalid_http_method", envelope(start="PUT / HTTP/1.1")),
    Refused(5, "too old", TOO_OLD, http(x_proxy_version="7.5.1")),
    Refused(5, "a snapshot of the oldest", TOO_OLD,
        http(x_proxy_version="7.6.0-SNAPSHOT-20250101")),
    Refused(5, "no version", "internal_error", http(x_proxy_version=None)),
    Refused(5, "no semantic version", "internal_error", http(x_proxy_version="newest")),
    Refused(6, "no hash algorithm", "internal_error", http(x_hash_algorithm=None)),
    Refused(6, "a weak hash algorithm", "internal_error", http(x_hash_algorithm="SHA-1")),
    Refused(7, "a bare SOAPAction", "invalid_soap_action", bare_soap_action),
    Refused(8, "another multipart type", CONTENT_TYPE,
        envelope(content_type="multipart/related; boundary={boundary}")),
    Refused(8, "no content type", CONTENT_TYPE, envelope(content_type=None)),
    Refused(8, "JSON", CONTENT_TYPE, envelope(content_type="application/json")),
    Refused(8, "a bare fault", CONTENT_TYPE, xml_request),
    Refused(10, "no boundary", CONTENT_TYPE, envelope(content_type="multipart/mixed")),
    Refused(10, "an empty boundary", CONTENT_TYPE,
        envelope(content_type='multipart/mixed; boundary=""')),
    Refused(11, "a message of another type", CONTENT_TYPE, retyped(REQUEST, "application/json")),
    Refused(11, "an answer as a request", CONTENT_TYPE,
        retyped(REQUEST, "application/x-road-rest-response")),
    Refused(11, "a message without a type", CONTENT_TYPE, retyped(REQUEST, None)),
    Refused(12, "a part after the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, Part(BODY, b"x")])),
    Refused(12, "two signatures", f"{GROUP}invalid_message",
        parts(lambda found: [*found, found[-1]])),
    Refused(13, "no signature at the end", CONTENT_TYPE, retyped(SIGNATURE, "text/plain")),
    Refused(13, "a body of another type", CONTENT_TYPE, retyped(BODY, "application/json"), b"{}"),
    Refused(13, "two bodies", CONTENT_TYPE,
        parts(lambda found: [*found[:3], *found[2:]]), b"{}"),
    Refused(13, "two messages", CONTENT_TYPE, parts(lambda found: [*found[:2], *found[1:]])),
    Refused(13, "a second OCSP response behind the message", CONTENT_TYPE,
        parts(lambda found: [found[0], found[1], found[0], found[2]])),
    Refused(14, "an OCSP part of junk", f"{GROUP}io_error",
        parts(lambda found: [Part(OCSP, b"junk"), *found])),
    Refused(27, "nothing but an OCSP response", "missing_rest", parts(lambda found: found[:1])),
    Refused(27, "no part at all", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda _: b"")),
    Refused(27, "a fault in place of the message", "missing_rest",
        parts(lambda found: [found[0], Part("text/xml; charset=UTF-8", FAULT)])),
    Refused(28, "no signature", "missing_signature", without(SIGNATURE)),
    Refused(28, "no signature behind a body", "missing_signature", without(SIGNATURE), b"{}"),
    Refused(28, "a fault in place of the signature", "missing_signature",
        parts(lambda found: [*found[:-1], Part("text/xml; charset=UTF-8", FAULT)])),
    Refused(55, "no closing delimiter", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6])),
    Refused(55, "cut in the signature", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-500])),
)  # fmt: skip


@pytest.mark.parametrize("case", ENVELOPES, ids=str)
async def test_envelopes_and_parts(stage: Stage, case: Refused) -> None:
    draft = stage.rogue.draft("POST", PATH, case.body)
    case.change(draft, stage)
    await stage.refuses(draft, case.code)


# --- who sends it -----------------------------------------------------------------------------


def shown(draft: Draft, stage: Stage, identity: Identity) -> None:
    draft.ocsp = [stage.pki.ocsp(identity.certificate)]


def ocsp(**how: object) -> Change:
    """Another OCSP response for the TLS certificate."""

    def change(draft: Draft, stage: Stage) -> None:
        certificate = stage.rogue.auth.certificate
        draft.ocsp = [stage.pki.ocsp(certificate, **how)]  # type: ignore[arg-type]

    return change


def no_ocsp(draft: Draft, _: Stage) -> None:
    draft.ocsp = []


def foreign_ocsp(draft: Draft, stage: Stage) -> None:
    draft.ocsp = [stage.pki.ocsp(stage.rogue.signer.certificate)]


def stranger_ocsp(draft: Draft, stage: Stage) -> None:
    draft.ocsp = [stage.pki.ocsp(stage.rogue.auth.certificate, signer=stage.pki.stranger)]


def damaged_ocsp(draft: Draft, stage: Stage) -> None:
    draft.ocsp = [stage.pki.damaged_ocsp(stage.rogue.auth.certificate)]


def header(name: str, value: str | None) -> Change:
    return lambda draft, _: draft.set_header(name, value)


def lines(edit: Callable[[list[str]], list[str]]) -> Change:
    def change(draft: Draft, _: Stage) -> None:
        draft.lines = edit(draft.lines)

    return change


def target(path: str) -> Change:
    return lines(lambda found: [found[0], path, *found[2:]])


def extra(line: str) -> Change:
    return lines(lambda found: [*found[:-1], line, found[-1]])


def raw_head(edit: Callable[[bytes], bytes]) -> Change:
    """Another head than the signed one: it is refused before the signature is looked at."""
    return parts(
        lambda found: [
            Part(REQUEST, edit(part.data)) if part.content_type == REQUEST else part
            for part in found
        ]
    )


_ROOT = "/r1/TEST/GOV/1001/persons"
DROPPED = (
    "transfer-encoding", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "upgrade", "connection", "user-agent", "host", "content-length", "server", "expect",
)  # fmt: skip

SENDERS = (
    Refused(15, "no OCSP response", AUTH, no_ocsp),
    Refused(16, "OCSP of another certificate", AUTH, foreign_ocsp),
    Refused(16, "OCSP too old", AUTH, ocsp(age=2 * HOUR)),
    Refused(16, "OCSP nextUpdate passed", AUTH, ocsp(next_update=-HOUR / 60)),
    Refused(16, "OCSP by an unauthorised signer", AUTH, stranger_ocsp),
    Refused(16, "OCSP with a bad signature", AUTH, damaged_ocsp),
    Refused(16, "revoked", AUTH, ocsp(status=CertificateStatus.REVOKED)),
    Refused(16, "unknown to its CA", AUTH, ocsp(status=CertificateStatus.UNKNOWN)),
    Refused(56, "OCSP of the future", AUTH, ocsp(age=-HOUR / 6)),
    Refused(18, "a client of another server", AUTH, header("X-Road-Client", OTHER_CLIENT.path)),
    Refused(18, "a client of nobody", AUTH, header("X-Road-Client", "TEST/MUN/2001/nobody")),
    Refused(17, "a client of an unknown instance", HEAD, header("X-Road-Client", "EE/MUN/2001/x")),
    Refused(24, "another verb", HEAD, lines(lambda found: ["BREW", *found[1:]])),
    Refused(24, "a lower-case verb", HEAD, lines(lambda found: ["get", *found[1:]])),
    Refused(24, "another version", HEAD, target("/r2/TEST/GOV/1001/persons/people")),
    Refused(24, "four segments", HEAD, target(_ROOT)),
    Refused(24, "an empty service code", HEAD, target(f"{_ROOT}/")),
    Refused(24, "an absolute URI", HEAD, target(f"http://node.example{PATH}")),
    Refused(24, "no slash in front", HEAD, target(PATH[1:])),
    Refused(24, "a fragment", HEAD, target(f"{PATH}/a#b")),
    Refused(24, "white space in the path", HEAD, target(f"{PATH}/a b")),
    Refused(24, "bad percent-encoding", HEAD, target(f"{PATH}/%zz")),
    Refused(24, "cut percent-encoding", HEAD, target(f"{PATH}/%4")),
    Refused(24, "bad percent-encoding in an id", HEAD, target("/r1/TEST/GOV/1001/persons/%zz")),
    Refused(24, "no UTF-8 in an id", HEAD, target("/r1/TEST/GOV/1001/persons/%ff")),
    Refused(24, "no UTF-8 in the path", HEAD, target(f"{PATH}/%ff")),
    Refused(24, "an overlong slash", HEAD, target(f"{PATH}/a%c0%af..")),
    Refused(24, "a line without colon", HEAD, extra("nonsense")),
    Refused(24, "a name with white space", HEAD, extra("X Y:1")),
    Refused(24, "a continuation line", HEAD, extra(" more")),
    Refused(24, "LF instead of CRLF", HEAD, raw_head(lambda raw: raw.replace(b"\r\n", b"\n"))),
    Refused(24, "a lone CR", HEAD, raw_head(lambda raw: raw.replace(b"*/*", b"*\r*"))),
    Refused(24, "an empty line", HEAD, raw_head(lambda raw: raw + b"\r\n")),
    Refused(24, "no line end", HEAD, raw_head(lambda raw: raw[:-2])),
    Refused(24, "empty", HEAD, raw_head(lambda _: b"")),
    Refused(24, "no UTF-8", HEAD, raw_head(lambda raw: raw.replace(b"*/*", b"\xff"))),
    Refused(24, "no request id", HEAD, header("x-road-request-id", None)),
    Refused(24, "the request id in other letters", HEAD,
        raw_head(lambda raw: raw.replace(b"x-road-request-id", b"X-Road-Request-Id"))),
    Refused(24, "no message id", HEAD, header("X-Road-Id", None)),
    Refused(24, "three parts of a server", HEAD, extra("X-Road-Security-Server:TEST/GOV/1001")),
    Refused(24, "a represented party of three", HEAD, extra("X-Road-Represented-Party:a/b/c")),
    *(Refused(24, f"with {name}", HEAD, extra(f"{name.title()}:1")) for name in DROPPED),
    Refused(24, "no client", f"{GROUP}invalid_client_identifier", header("X-Road-Client", None)),
    Refused(24, "a client of two parts", HEAD, header("X-Road-Client", "TEST/MUN")),
    Refused(24, "a client with an empty part", HEAD, header("X-Road-Client", "TEST/MUN//x")),
    Refused(25, "another server", f"{GROUP}invalid_security_server",
        extra("X-Road-Security-Server:TEST/GOV/1001/OTHER")),
    Refused(26, "a provider of another server", f"{GROUP}unknown_member",
        target("/r1/TEST/MUN/2002/taxes/people")),
    Refused(26, "a subsystem that is not here", f"{GROUP}unknown_member",
        target("/r1/TEST/GOV/1001/other/people")),
)  # fmt: skip


@pytest.mark.parametrize("case", SENDERS, ids=str)
async def test_senders_and_heads(stage: Stage, case: Refused) -> None:
    draft = stage.rogue.draft("POST", PATH, case.body)
    case.change(draft, stage)
    await stage.refuses(draft, case.code)


async def test_rows_16_17_certificates_that_are_registered_and_do_not_count(stage: Stage) -> None:
    for identity, code in (
        (stage.unapproved, f"{GROUP}internal_error"),  # row 17
        (stage.expired, AUTH),
        (stage.signing, AUTH),
    ):
        draft = stage.rogue.draft("GET", PATH)
        draft.ocsp = [stage.pki.ocsp(identity.certificate)]
        answer = await stage.rogue.send(draft, shown=tls_identity(identity))
        assert fault_code(answer) == f"server.serverproxy.{code}"
        await stage.kept_nothing(draft)


async def test_row_2_a_certificate_that_nobody_registered_gets_no_answer(stage: Stage) -> None:
    stranger = stage.pki.auth(ServerId(CONSUMER.member, "UNREGISTERED"))
    for identity in (stranger, stage.pki.stranger, stage.rogue.signer):
        draft = stage.rogue.draft("GET", PATH)
        assert await stage.rogue.send(draft, shown=tls_identity(identity)) is None
        await stage.kept_nothing(draft)


# --- access -----------------------------------------------------------------------------------

ACCESS = (
    ("GET", "nothing", "unknown_service"),
    ("GET", "soap", "service_type"),
    ("GET", "closed", "access_denied"),
    ("GET", "disabled", "service_disabled"),
    ("GET", "disabledclosed", "access_denied"),  # who may not call learns nothing of the notice
    ("GET", "nowhere", "service_missing_url"),
    ("GET", "gopher", "service_malformed_url"),
    ("GET", "parts", "access_denied"),
    ("GET", "parts/v1/persons", "access_denied"),
    ("GET", "parts/v1/persons/1/pets", "access_denied"),
    ("DELETE", "parts/v1/persons/1", "access_denied"),
    ("POST", "parts/v2/persons", "access_denied"),
    ("GET", "parts/v1/persons/1%2Fpets", "access_denied"),
    ("GET", "parts/v1/persons/%2e%2e%2fsecret", "access_denied"),
    ("POST", "parts/v1/../v2/persons", "access_denied"),
    ("POST", "parts/v1/%2e%2e/v2/persons", "access_denied"),
    ("POST", "parts/v1/.%2E/v2/persons", "access_denied"),
    ("POST", "parts/v1/%252e%252e/v2/persons", "access_denied"),
    ("POST", "parts/v1/..;a=b/v2/persons", "access_denied"),
    ("POST", "parts/v1/..%5Cv2/persons", "access_denied"),
    ("POST", "parts/v1/./persons", "access_denied"),
    ("POST", "parts/v1/%00", "access_denied"),
)


@pytest.mark.parametrize(("method", "path", "code"), ACCESS)
async def test_row_29_access(stage: Stage, method: str, path: str, code: str) -> None:
    draft = stage.rogue.draft(method, f"{_ROOT}/{path}")
    answer = await stage.rogue.send(draft)
    assert fault_code(answer) == f"server.serverproxy.{code}"
    assert answer is not None
    assert (b"moved house" in answer.body) == (code == "service_disabled")
    assert stage.system.connections == 0
    if not code.startswith("service_m"):  # by then the request is in the log
        await stage.kept_nothing(draft)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/persons/1"),
        ("GET", "/v1/persons/1?x=/../"),
        ("POST", "/v1/persons/1/pets"),
        ("POST", "/v1/a%2Fb"),
    ],
)
async def test_row_29_what_endpoint_rights_let_pass(stage: Stage, method: str, path: str) -> None:
    answer = await stage.rogue.send(stage.rogue.draft(method, f"{_ROOT}/parts{path}"))
    assert answer is not None
    assert len(split_parts(answer)) == 3
    assert stage.system.last.target == f"/api{path}"


async def test_row_29_a_soap_call_of_a_rest_service(stage: Stage) -> None:
    draft = stage.rogue.draft("POST", PATH)
    del draft.headers["x-road-message-type"]
    draft.headers["x-original-soapaction"] = '""'
    await stage.refuses(draft, "service_type")


async def test_access_is_decided_before_the_signature(stage: Stage) -> None:
    draft = stage.rogue.draft("GET", f"{_ROOT}/closed")
    draft.edit_signature = lambda _: b"<no signature/>"
    await stage.refuses(draft, "access_denied")


# --- sizes, time and broken connections -------------------------------------------------------


async def test_row_59_a_body_beyond_the_limit_is_refused_while_it_comes(stage: Stage) -> None:
    draft = stage.rogue.draft("POST", PATH, bytes(LARGEST))
    answer = await stage.rogue.send(draft)
    assert answer is not None
    assert len(split_parts(answer)) == 3
    stage.system.reset()
    draft = stage.rogue.draft("POST", PATH, bytes(LARGEST + 1))
    await stage.refuses(draft, "logging_failed")


HUGE = (
    Refused(59, "a head beyond its limit", f"{GROUP}invalid_message",
        extra("X-Long:" + "x" * (256 << 10))),
    Refused(59, "too many headers", HEAD, lines(
        lambda found: [*found[:-1], *(f"X-{n}:1" for n in range(1000)), found[-1]])),
    Refused(59, "a signature beyond its limit", f"{GROUP}invalid_message",
        parts(lambda found: [*found[:-1], Part(SIGNATURE, bytes(1 << 20) + b"x")])),
    Refused(59, "an OCSP response beyond its limit", f"{GROUP}invalid_message",
        parts(lambda found: [Part(OCSP, bytes(1 << 17)), *found])),
    Refused(59, "too many OCSP responses", f"{GROUP}invalid_message",
        parts(lambda found: [found[0]] * 11 + found)),
    Refused(59, "a long line in the head of a part", f"{GROUP}mime_parsing_failed",
        retyped(REQUEST, "x" * 1100)),
    Refused(59, "much before the first part", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: b"x" * 2000 + b"\r\n" + data)),
    Refused(59, "much after the last part", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data + b"x" * 2000)),
)  # fmt: skip


@pytest.mark.parametrize("case", HUGE, ids=str)
async def test_row_59_huge_parts(stage: Stage, case: Refused) -> None:
    draft = stage.rogue.draft("POST", PATH)
    case.change(draft, stage)
    await stage.refuses(draft, case.code)


@pytest.fixture
def impatient(stage: Stage) -> Iterator[Stage]:
    provider = stage.provider.running.provider
    before, provider.patience = provider.patience, timedelta(seconds=0.4)
    yield stage
    provider.patience = before


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
async def test_a_sender_that_stands_still_is_told_so(impatient: Stage, share: float) -> None:
    draft = impatient.rogue.draft("POST", PATH, bytes(30_000))
    wire = draft.http()
    begun = wire.index(b"\r\n\r\n") + 4
    async with impatient.rogue.connected() as (reader, writer):
        writer.write(wire[: begun + int((len(wire) - begun) * share)])
        answer = await read_message(reader, answer_to="POST")
    assert fault_code(answer) == f"server.serverproxy.{GROUP}io_error"
    await impatient.kept_nothing(draft)


async def test_a_sender_that_is_slow_but_moves_is_waited_for(impatient: Stage) -> None:
    draft = impatient.rogue.draft("POST", PATH, b"{}")
    wire = draft.http()
    async with impatient.rogue.connected() as (reader, writer):
        step = len(wire) // 8 + 1
        for start in range(0, len(wire), step):
            writer.write(wire[start : start + step])
            await asyncio.sleep(0.07)
        answer = await read_message(reader, answer_to="POST")
    assert answer is not None
    assert len(split_parts(answer)) == 3


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
async def test_a_connection_that_is_cut_leaves_nothing(
    stage: Stage, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    draft = stage.rogue.draft("POST", PATH, bytes(200_000))
    wire = draft.http()
    async with stage.rogue.connected() as (_, writer):
        writer.write(wire[: int(len(wire) * share)])
        await writer.drain()
    await quiet(stage)
    await stage.kept_nothing(draft)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


async def quiet(stage: Stage) -> None:
    """Wait until the node is at work for nobody."""
    registry = stage.provider.running.metrics.registry
    for _ in range(400):
        if not registry.get_sample_value("sacbe_exchanges_running", {"role": "provider"}):
            return
        await asyncio.sleep(0.01)
    pytest.fail("an exchange does not end")


NO_HTTP = {
    "chunk size": lambda wire: wire.partition(b"\r\n\r\n")[0] + b"\r\n\r\nzz\r\nxx\r\n",
    "version": lambda wire: wire.replace(b"POST / HTTP/1.1", b"POST / HTTP/9.9"),
    "TLS in TLS": lambda wire: b"\x16\x03\x01" + wire,
    "two framings": lambda wire: wire.replace(b"Transfer-E", b"Content-Length: 5\r\nTransfer-E"),
    "a long line": lambda wire: wire.replace(b"POST /", b"POST /" + b"x" * 20_000),
}


@pytest.mark.parametrize("garble", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_refused_in_few_words(
    stage: Stage, garble: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    draft = stage.rogue.draft("POST", PATH)
    answer = await stage.rogue.send_bytes(garble(draft.http()))
    assert answer is not None
    assert answer.status == 400
    assert answer.body == b""
    assert answer.first("server") is None
    await stage.kept_nothing(draft)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


async def test_a_body_that_stops_being_http_is_given_up(
    impatient: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    draft = impatient.rogue.draft("POST", PATH, bytes(30_000))
    wire = draft.http()
    async with impatient.rogue.connected() as (reader, writer):
        writer.write(wire[:20_000])
        await asyncio.sleep(0.05)
        writer.write(b"\r\n" * 10_000)
        answer = await read_message(reader, answer_to="POST")
    assert fault_code(answer) == f"server.serverproxy.{GROUP}io_error"
    await impatient.kept_nothing(draft)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


# --- TLS --------------------------------------------------------------------------------------


def client_tls(stage: Stage, version: ssl.TLSVersion, ciphers: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tested
        context.minimum_version = context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    tls_identity(stage.rogue.auth).load_into(context)
    return context


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384"),  # all that a 7.8 server offers
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (ssl.TLSVersion.TLSv1_3, None),
    ],
)
async def test_row_1_what_both_can_is_taken(
    stage: Stage, version: ssl.TLSVersion, ciphers: str | None
) -> None:
    wire = stage.rogue.draft("GET", PATH).http()
    context = client_tls(stage, version, ciphers)
    answer = await ask(stage.rogue.host, stage.rogue.port, wire, tls=context)
    assert answer is not None
    assert len(split_parts(answer)) == 3


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES256-SHA"),
    ],
)
async def test_row_1_old_versions_and_other_ciphers_get_no_session(
    stage: Stage, version: ssl.TLSVersion, ciphers: str
) -> None:
    context = client_tls(stage, version, ciphers)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):  # asyncio may not send the alert
        await ask(stage.rogue.host, stage.rogue.port, b"GET / HTTP/1.1\r\n\r\n", tls=context)


async def test_row_1_without_a_certificate_nothing_is_answered(stage: Stage) -> None:
    draft = stage.rogue.draft("GET", PATH)
    context = peer_client(tls_identity(stage.rogue.auth))
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.verify_mode = ssl.CERT_NONE
    host, port = stage.rogue.host, stage.rogue.port
    assert await ask(host, port, draft.http(), tls=context) is not None
    stage.system.reset()
    draft = stage.rogue.draft("GET", PATH)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        bare.minimum_version = bare.maximum_version = version
        answer = None
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            answer = await ask(host, port, draft.http(), tls=bare)
        assert answer is None
    await stage.kept_nothing(draft)
