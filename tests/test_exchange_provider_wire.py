"""What a provider's node refuses below the messages: sizes, time, HTTP and TLS.

Rows are those of transport.md 19.
"""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import pytest
import pytest_asyncio

from node.network.tls import peer_client
from scripts.postgres import PostgresServer
from tests.defects import GROUP, Defect, envelope, lines, parts, retyped
from tests.drafts import OCSP, REQUEST, SIGNATURE, Part, split_parts
from tests.provider_stage import LARGEST, Stage, provider_stage
from tests.raw_http import ask, read_message
from tests.scene import PATH, unexpected
from tests.simulator import fault_code, tls_identity

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = f"{GROUP}internal_error"


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
    Defect(59, "a head beyond its limit", f"{GROUP}invalid_message",
        lines(lambda found: [*found[:-1], "X-Long:" + "x" * (256 << 10), found[-1]])),
    Defect(59, "too many headers", HEAD, lines(
        lambda found: [*found[:-1], *(f"X-{n}:1" for n in range(1000)), found[-1]])),
    Defect(59, "a signature beyond its limit", f"{GROUP}invalid_message",
        parts(lambda found: [*found[:-1], Part(SIGNATURE, bytes(1 << 20) + b"x")])),
    Defect(59, "an OCSP response beyond its limit", f"{GROUP}invalid_message",
        parts(lambda found: [Part(OCSP, bytes(1 << 17)), *found])),
    Defect(59, "too many OCSP responses", f"{GROUP}invalid_message",
        parts(lambda found: [found[0]] * 11 + found)),
    Defect(59, "a long line in the head of a part", f"{GROUP}mime_parsing_failed",
        retyped(REQUEST, "x" * 1100)),
    Defect(59, "much before the first part", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: b"x" * 70_000 + b"\r\n" + data)),
    Defect(59, "much after the last part", f"{GROUP}mime_parsing_failed",
        envelope(edit_bytes=lambda data: data + b"x" * 70_000)),
)  # fmt: skip


@pytest.mark.parametrize("case", HUGE, ids=str)
async def test_row_59_huge_parts(stage: Stage, case: Defect) -> None:
    draft = stage.rogue.draft("POST", PATH)
    case.change(draft, stage.pki)
    await stage.refuses(draft, case.code)


@pytest.fixture
def impatient(stage: Stage) -> Iterator[Stage]:
    provider = stage.provider.running.exchanges.provider
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
    impatient.provider.running.exchanges.provider.patience = timedelta(seconds=1)
    draft = impatient.rogue.draft("POST", PATH, b"{}")
    wire = draft.http()
    async with impatient.rogue.connected() as (reader, writer):
        step = len(wire) // 8 + 1
        for start in range(0, len(wire), step):
            writer.write(wire[start : start + step])
            await asyncio.sleep(0.15)
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
    await stage.quiet()
    await stage.kept_nothing(draft)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


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
