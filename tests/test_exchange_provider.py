"""What a provider's node refuses: a registered node does one thing wrong, and gets its code.

Rows are those of transport.md 19. Nothing that was refused is in the log or reaches the system.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from cryptography import x509

from scripts.postgres import PostgresServer
from tests.defects import (
    CONTENT_TYPE,
    GROUP,
    Change,
    Defect,
    envelope,
    header,
    http,
    lines,
    parts,
    raw_head,
    retyped,
    without,
)
from tests.drafts import BODY, OCSP, REQUEST, SIGNATURE, Draft, Part, split_parts
from tests.forged_signatures import FORGERIES
from tests.instance import CONSUMER, SERVICE
from tests.provider_stage import OTHER_CLIENT, Stage, provider_stage
from tests.scene import PATH, records, unexpected
from tests.simulator import LivePki, exchange_id_of, fault_code, tls_identity
from tests.soap_messages import Envelope
from trust.ids import ServerId
from trust.pki.ocsp import CertificateStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTH = f"{GROUP}ssl_authentication_failed"
HEAD = f"{GROUP}internal_error"
TOO_OLD = "Server.ServerProxy.ClientProxyVersionNotSupported"  # in the words of such a server
HOUR = timedelta(hours=1)
OTHER_VALUE = re.compile(rb'(?<=<ds:SignatureValue Id="signature-value">)[^<]+')
ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FAULT = (
    b'<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<SOAP-ENV:Body><SOAP-ENV:Fault><faultcode>Server.ClientProxy.Mine</faultcode>"
    b"<faultstring>x</faultstring></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
)


def mirrored(value: bytes) -> bytes:
    """The other value that verifies wherever this one does."""
    raw = base64.b64decode(value)
    assert len(raw) == 64, "an ECDSA value over P-256"
    other = ORDER_OF_P256 - int.from_bytes(raw[32:])
    return base64.b64encode(raw[:32] + other.to_bytes(32))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with provider_stage(tmp_path_factory.mktemp("provider"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


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
async def test_forged_signatures(stage: Stage, forgery: Defect) -> None:
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


async def test_row_58_a_request_with_the_other_value_of_its_ec_signature(stage: Stage) -> None:
    """From (r, s) anybody makes (r, n - s), which verifies, too: it is the same request."""
    draft = stage.rogue.draft("POST", PATH, b'{"code":1}')
    draft.framing = "length"
    wire = draft.http()
    other = OTHER_VALUE.sub(lambda found: mirrored(found[0]), wire)
    assert other != wire
    assert (await stage.rogue.send_bytes(other)) is not None
    assert len(stage.system.requests) == 1
    code = fault_code(await stage.rogue.send_bytes(wire))
    assert code == "server.serverproxy.invalid_message"
    assert len(stage.system.requests) == 1


@pytest.mark.parametrize("apart", [timedelta(days=1), timedelta(hours=2), -timedelta(hours=2)])
async def test_row_58_a_signature_of_another_time(stage: Stage, apart: timedelta) -> None:
    """Its OCSP response is fresh, for that is not signed and can be replaced."""
    draft = stage.rogue.draft("POST", PATH, b'{"code":1}')
    draft.signed_at = datetime.now(UTC) - apart
    await stage.refuses(draft, "invalid_message")


@pytest.mark.parametrize("apart", [timedelta(minutes=30), -timedelta(minutes=30)])
async def test_a_clock_that_is_wrong_by_half_an_hour_is_borne(
    stage: Stage, apart: timedelta
) -> None:
    draft = stage.rogue.draft("POST", PATH, b'{"code":1}')
    draft.signed_at = datetime.now(UTC) - apart
    answer = await stage.rogue.send(draft)
    assert answer is not None
    assert split_parts(answer)[-1].content_type == SIGNATURE


# --- the envelope and the parts ---------------------------------------------------------------


def bare_soap_action(draft: Draft, _: LivePki) -> None:
    del draft.headers["x-road-message-type"]
    draft.headers["x-original-soapaction"] = "urn:x"


def xml_request(draft: Draft, _: LivePki) -> None:
    draft.content_type = "text/xml; charset=utf-8"
    draft.edit_bytes = lambda _: FAULT


ENVELOPES = (
    Defect(3, "GET", "invalid_http_method", envelope(start="GET / HTTP/1.1")),
    Defect(3, "PUT", "invalid_http_method", envelope(start="PUT / HTTP/1.1")),
    Defect(5, "too old", TOO_OLD, http(x_proxy_version="7.5.1")),
    Defect(5, "a snapshot of the oldest", TOO_OLD,
        http(x_proxy_version="7.6.0-SNAPSHOT-20250101")),
    Defect(5, "no version", "internal_error", http(x_proxy_version=None)),
    Defect(5, "no semantic version", "internal_error", http(x_proxy_version="newest")),
    Defect(6, "no hash algorithm", "internal_error", http(x_hash_algorithm=None)),
    Defect(6, "a weak hash algorithm", "internal_error", http(x_hash_algorithm="SHA-1")),
    Defect(7, "a bare SOAPAction", "invalid_soap_action", bare_soap_action),
    Defect(8, "another multipart type", CONTENT_TYPE,
        envelope(content_type="multipart/related; boundary={boundary}")),
    Defect(8, "no content type", CONTENT_TYPE, envelope(content_type=None)),
    Defect(8, "JSON", CONTENT_TYPE, envelope(content_type="application/json")),
    Defect(8, "a bare fault", CONTENT_TYPE, xml_request),
    Defect(10, "no boundary", CONTENT_TYPE, envelope(content_type="multipart/mixed")),
    Defect(10, "an empty boundary", CONTENT_TYPE,
        envelope(content_type='multipart/mixed; boundary=""')),
    Defect(11, "a message of another type", CONTENT_TYPE, retyped(REQUEST, "application/json")),
    Defect(11, "an answer as a request", CONTENT_TYPE,
        retyped(REQUEST, "application/x-road-rest-response")),
    Defect(11, "a message without a type", CONTENT_TYPE, retyped(REQUEST, None)),
    Defect(12, "a part after the signature", f"{GROUP}invalid_message",
        parts(lambda found: [*found, Part(BODY, b"x")])),
    Defect(12, "two signatures", f"{GROUP}invalid_message",
        parts(lambda found: [*found, found[-1]])),
    Defect(13, "no signature at the end", CONTENT_TYPE, retyped(SIGNATURE, "text/plain")),
    Defect(13, "a body of another type", CONTENT_TYPE, retyped(BODY, "application/json"), b"{}"),
    Defect(13, "two bodies", CONTENT_TYPE,
        parts(lambda found: [*found[:3], *found[2:]]), b"{}"),
    Defect(13, "two messages", CONTENT_TYPE, parts(lambda found: [*found[:2], *found[1:]])),
    Defect(13, "a second OCSP response behind the message", CONTENT_TYPE,
        parts(lambda found: [found[0], found[1], found[0], found[2]])),
    Defect(14, "an OCSP part of junk", f"{GROUP}io_error",
        parts(lambda found: [Part(OCSP, b"junk"), *found])),
    Defect(27, "nothing but an OCSP response", "missing_rest", parts(lambda found: found[:1])),
    Defect(27, "no part at all", "missing_rest", envelope(edit_bytes=lambda _: b"")),
    Defect(27, "a fault in place of the message", "missing_rest",
        parts(lambda found: [found[0], Part("text/xml; charset=UTF-8", FAULT)])),
    Defect(28, "no signature", "missing_signature", without(SIGNATURE)),
    Defect(28, "no signature behind a body", "missing_signature", without(SIGNATURE), b"{}"),
    Defect(28, "a fault in place of the signature", "missing_signature",
        parts(lambda found: [*found[:-1], Part("text/xml; charset=UTF-8", FAULT)])),
    Defect(55, "no closing delimiter", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-6])),
    Defect(55, "cut in the signature", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data[:-500])),
)  # fmt: skip


@pytest.mark.parametrize("case", ENVELOPES, ids=str)
async def test_envelopes_and_parts(stage: Stage, case: Defect) -> None:
    draft = stage.rogue.draft("POST", PATH, case.body)
    case.change(draft, stage.pki)
    await stage.refuses(draft, case.code)


# --- who sends it -----------------------------------------------------------------------------


def ocsp(make: Callable[[LivePki, x509.Certificate], list[bytes]]) -> Change:
    """Other OCSP responses for the TLS certificate."""

    def change(draft: Draft, pki: LivePki) -> None:
        assert draft.sender is not None
        draft.ocsp = make(pki, draft.sender.certificate)

    return change


def status(**how: object) -> Change:
    return ocsp(lambda pki, shown: [pki.ocsp(shown, **how)])  # type: ignore[arg-type]


def foreign(pki: LivePki, _: x509.Certificate) -> list[bytes]:
    return [pki.ocsp(pki.sign(CONSUMER).certificate)]


def target(path: str) -> Change:
    return lines(lambda found: [found[0], path, *found[2:]])


def extra(*more: str) -> Change:
    return lines(lambda found: [*found[:-1], *more, found[-1]])


_ROOT = "/r1/TEST/GOV/1001/persons"
SAID_ONCE = (
    f"X-Road-Client:{CONSUMER.path}",
    "x-road-id:1",
    "x-road-request-id:1",
    "X-Road-UserId:EX1",
    "X-Road-Security-Server:TEST/GOV/1001/CIVIL",
    "X-Road-Represented-Party:COM/33",
)
DROPPED = (
    "transfer-encoding", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "upgrade", "connection", "user-agent", "host", "content-length", "server", "expect",
)  # fmt: skip

SENDERS = (
    Defect(15, "no OCSP response", AUTH, ocsp(lambda *_: [])),
    Defect(16, "OCSP of another certificate", AUTH, ocsp(foreign)),
    Defect(16, "OCSP too old", AUTH, status(age=2 * HOUR)),
    Defect(16, "OCSP nextUpdate passed", AUTH, status(next_update=-HOUR / 60)),
    Defect(16, "OCSP by an unauthorised signer", AUTH,
        ocsp(lambda pki, shown: [pki.ocsp(shown, signer=pki.stranger)])),
    Defect(16, "OCSP with a bad signature", AUTH,
        ocsp(lambda pki, shown: [pki.damaged_ocsp(shown)])),
    Defect(16, "revoked", AUTH, status(status=CertificateStatus.REVOKED)),
    Defect(16, "unknown to its CA", AUTH, status(status=CertificateStatus.UNKNOWN)),
    Defect(56, "OCSP of the future", AUTH, status(age=-HOUR / 6)),
    Defect(18, "a client of another server", AUTH, header("X-Road-Client", OTHER_CLIENT.path)),
    Defect(18, "a client of nobody", AUTH, header("X-Road-Client", "TEST/MUN/2001/nobody")),
    Defect(17, "a client of an unknown instance", HEAD, header("X-Road-Client", "EE/MUN/2001/x")),
    Defect(24, "another verb", HEAD, lines(lambda found: ["BREW", *found[1:]])),
    Defect(24, "a lower-case verb", HEAD, lines(lambda found: ["get", *found[1:]])),
    Defect(24, "another version", HEAD, target("/r2/TEST/GOV/1001/persons/people")),
    Defect(24, "four segments", HEAD, target(_ROOT)),
    Defect(24, "an empty service code", HEAD, target(f"{_ROOT}/")),
    Defect(24, "an absolute URI", HEAD, target(f"http://node.example{PATH}")),
    Defect(24, "no slash in front", HEAD, target(PATH[1:])),
    Defect(24, "a fragment", HEAD, target(f"{PATH}/a#b")),
    Defect(24, "white space in the path", HEAD, target(f"{PATH}/a b")),
    Defect(24, "bad percent-encoding", HEAD, target(f"{PATH}/%zz")),
    Defect(24, "cut percent-encoding", HEAD, target(f"{PATH}/%4")),
    Defect(24, "bad percent-encoding in an id", HEAD, target("/r1/TEST/GOV/1001/persons/%zz")),
    Defect(24, "no UTF-8 in an id", HEAD, target("/r1/TEST/GOV/1001/persons/%ff")),
    Defect(24, "no UTF-8 in the path", HEAD, target(f"{PATH}/%ff")),
    Defect(24, "an overlong slash", HEAD, target(f"{PATH}/a%c0%af..")),
    Defect(24, "a line without colon", HEAD, extra("nonsense")),
    Defect(24, "a name with white space", HEAD, extra("X Y:1")),
    Defect(24, "a continuation line", HEAD, extra(" more")),
    Defect(24, "LF instead of CRLF", HEAD, raw_head(lambda raw: raw.replace(b"\r\n", b"\n"))),
    Defect(24, "a lone CR", HEAD, raw_head(lambda raw: raw.replace(b"*/*", b"*\r*"))),
    Defect(24, "an empty line", HEAD, raw_head(lambda raw: raw + b"\r\n")),
    Defect(24, "no line end", HEAD, raw_head(lambda raw: raw[:-2])),
    Defect(24, "empty", HEAD, raw_head(lambda _: b"")),
    Defect(24, "no UTF-8", HEAD, raw_head(lambda raw: raw.replace(b"*/*", b"\xff"))),
    Defect(24, "no request id", HEAD, header("x-road-request-id", None)),
    Defect(24, "the request id in other letters", HEAD,
        raw_head(lambda raw: raw.replace(b"x-road-request-id", b"X-Road-Request-Id"))),
    Defect(24, "no message id", HEAD, header("X-Road-Id", None)),
    Defect(24, "three parts of a server", HEAD, extra("X-Road-Security-Server:TEST/GOV/1001")),
    Defect(24, "a represented party of three", HEAD, extra("X-Road-Represented-Party:a/b/c")),
    *(Defect(24, f"with {name}", HEAD, extra(f"{name.title()}:1")) for name in DROPPED),
    *(Defect(24, f"two {line}", HEAD, extra(line, line)) for line in SAID_ONCE),
    *(Defect(24, f"underscores {line}", HEAD, extra(line.replace("-", "_"))) for line in SAID_ONCE),
    Defect(24, "no client", f"{GROUP}invalid_client_identifier", header("X-Road-Client", None)),
    Defect(24, "a client of two parts", HEAD, header("X-Road-Client", "TEST/MUN")),
    Defect(24, "a client with an empty part", HEAD, header("X-Road-Client", "TEST/MUN//x")),
    Defect(25, "another server", f"{GROUP}invalid_security_server",
        extra("X-Road-Security-Server:TEST/GOV/1001/OTHER")),
    Defect(26, "a provider of another server", f"{GROUP}unknown_member",
        target("/r1/TEST/MUN/2002/taxes/people")),
    Defect(26, "a subsystem that is not here", f"{GROUP}unknown_member",
        target("/r1/TEST/GOV/1001/other/people")),
)  # fmt: skip


@pytest.mark.parametrize("case", SENDERS, ids=str)
async def test_senders_and_heads(stage: Stage, case: Defect) -> None:
    draft = stage.rogue.draft("POST", PATH, case.body)
    case.change(draft, stage.pki)
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


async def test_row_2_a_certificate_that_nobody_registered_gets_no_answer(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sacbe.exchange")
    stranger = stage.pki.auth(ServerId(CONSUMER.member, "UNREGISTERED"))
    for identity in (stranger, stage.pki.stranger, stage.rogue.signer):
        draft = stage.rogue.draft("GET", PATH)
        assert await stage.rogue.send(draft, shown=tls_identity(identity)) is None
        await stage.kept_nothing(draft)
    told = [one.getMessage() for one in caplog.records if one.name == "sacbe.exchange"]
    assert len(told) == 3
    assert all("TLS certificate is not registered for any server" in line for line in told)


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
    request = Envelope(service=SERVICE)
    await stage.refuses(stage.rogue.soap_draft(request.raw), "service_type")


async def test_row_27_a_rest_message_is_no_soap_message(stage: Stage) -> None:
    draft = stage.rogue.draft("POST", PATH)
    del draft.headers["x-road-message-type"]
    draft.headers["x-original-soapaction"] = '""'
    await stage.refuses(draft, "missing_soap")


async def test_access_is_decided_before_the_signature(stage: Stage) -> None:
    draft = stage.rogue.draft("GET", f"{_ROOT}/closed")
    draft.edit_signature = lambda _: b"<no signature/>"
    await stage.refuses(draft, "access_denied")
