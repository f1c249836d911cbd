"""What a consumer's node refuses below the messages: broken and slow connections, TLS, routing.

Rows are those of transport.md 19.
"""

import asyncio
import json
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import pytest_asyncio

from node.network.outbound import Timeouts
from scripts.issuing import Identity
from scripts.postgres import PostgresServer
from tests.consumer_stage import NUMBERS, Stage, consumer_stage
from tests.defects import (
    GROUP,
)
from tests.drafts import RESPONSE, split_parts
from tests.instance import PROVIDER
from tests.raw_http import read_message
from tests.scene import CLIENT, PATH, call, records, unexpected
from tests.simulator import Asked, good_answer, ocsp_http
from trust.ids import ServerId
from trust.pki.certificates import certificate_hash
from trust.pki.ocsp import CertificateStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

TLS = "ssl_authentication_failed"
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with consumer_stage(tmp_path_factory.mktemp("consumer"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.rogue.reset()
    return module_stage


# --- broken and slow connections --------------------------------------------------------------


def saying(data: Callable[[Asked], bytes]) -> Callable[[Stage], None]:
    """Say this much to a whole request, then cut the connection."""

    def prepare(stage: Stage) -> None:
        async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            message = await read_message(reader)
            assert message is not None
            writer.write(data(Asked(message, split_parts(message), stage.rogue)))
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()

        stage.rogue.visit = visit

    return prepare


def share(of: float) -> Callable[[Asked], bytes]:
    def data(asked: Asked) -> bytes:
        wire = replace(asked.response(bytes(50_000)), framing="length").http()
        return wire[: int(len(wire) * of)]

    return data


def in_the_head(asked: Asked) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-T"


def in_a_part(asked: Asked) -> bytes:
    wire = asked.response().http()
    return wire[: wire.index(RESPONSE.encode()) + 60]


def without_an_end(asked: Asked) -> bytes:
    """Complete by its delimiters, ended by a cut: only the framing misses its end."""
    return asked.response().http().removesuffix(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (lambda _: b"", "network_error"),
        (in_the_head, "io_error"),
        (in_a_part, f"{GROUP}io_error"),
        (share(0.5), f"{GROUP}io_error"),
        (share(0.999), f"{GROUP}io_error"),
        (without_an_end, f"{GROUP}io_error"),
        (lambda _: b"SSH-2.0-hello\r\n\r\n", "io_error"),
        (lambda asked: good_answer(asked).replace(b"HTTP/1.1", b"HTTP/3.0"), "io_error"),
        (lambda asked: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "io_error"),
    ],
)
async def test_row_54_a_connection_that_is_cut(
    stage: Stage, data: Callable[[Asked], bytes], code: str
) -> None:
    saying(data)(stage)
    await stage.refuses(code)
    assert stage.rogue.connections == 1


async def test_row_54_a_connection_that_is_cut_before_the_request_was_read(stage: Stage) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    stage.rogue.visit = visit
    answer = await stage.call("POST", body=bytes(2_000_000))
    assert answer.first("x-road-error") in (
        "server.clientproxy.network_error",
        "server.clientproxy.io_error",
    )
    kept = await records(stage.consumer, message_id=stage.message_id)
    assert len(kept) <= 1  # it was sent whole, or it was not
    assert stage.rogue.connections == 1


@pytest.fixture
def impatient(stage: Stage) -> Iterator[Stage]:
    """A node that waits half a second for a peer."""
    peers = stage.consumer.running.exchanges.peers
    before, peers._timeouts = peers._timeouts, Timeouts(read=timedelta(seconds=0.5))
    yield stage
    peers._timeouts = before


@pytest.mark.parametrize("of", [0.0, 0.9])
async def test_a_provider_that_stands_still_is_given_up(impatient: Stage, of: float) -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await read_message(reader)
        assert message is not None
        asked = Asked(message, split_parts(message), impatient.rogue)
        writer.write(share(of)(asked))
        await asyncio.sleep(30)

    impatient.rogue.visit = stalls
    await impatient.refuses(f"{GROUP}io_error" if of else "io_error")


# --- TLS --------------------------------------------------------------------------------------


async def registers(stage: Stage, *identities: Identity) -> None:
    """Make these certificates those of the provider's server, and let the node know."""
    civil = stage.rogue.member
    hashes = (certificate_hash(one.certificate, "sha256") for one in identities)
    civil.entry = replace(civil.entry, auth_cert_hashes=tuple(hashes))
    await stage.instance.publish()


def fresh(stage: Stage, **how: object) -> Identity:
    """A certificate of the provider's server that nobody has seen before."""
    subject = stage.rogue.auth.certificate.subject
    return stage.pki.certify(subject, "auth", label="fresh", **how)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Shown:
    """What is wrong with the certificate or its OCSP responses."""

    name: str
    code: str
    make: Callable[[Stage], Identity] = fresh
    ocsp: Callable[[Stage, Identity], bytes] | None = None  # the OCSP port's whole answer

    def __str__(self) -> str:
        return self.name


def responses(make: Callable[[Stage, Identity], list[bytes]]) -> Callable[[Stage, Identity], bytes]:
    return lambda stage, identity: ocsp_http(make(stage, identity))


def status(**how: object) -> Callable[[Stage, Identity], bytes]:
    return responses(
        lambda stage, shown: [stage.pki.ocsp(shown.certificate, **how)]  # type: ignore[arg-type]
    )


_STATUS = f"{TLS}.invalid_cert_path.cert_validation"
_UNPROVEN = f"{TLS}.internal_error"
_INFO = f"{TLS}.invalid_cert_path.incorrect_validation_info"

SHOWN = (
    Shown("no authentication certificate", TLS,
        lambda stage: stage.pki.certify("no auth", "sign", label="fresh")),
    Shown("expired", f"{TLS}.cannot_create_cert_path", lambda stage: fresh(stage, days=-1)),
    Shown("of a CA that is not approved", _UNPROVEN,
        lambda stage: fresh(stage, issuer=stage.pki.stranger)),
    Shown("self-signed", _UNPROVEN, lambda stage: fresh(stage, issuer=None)),
    Shown("no OCSP response", _UNPROVEN, ocsp=responses(lambda *_: [])),
    Shown("one OCSP response too many", _UNPROVEN,
        ocsp=responses(lambda stage, shown: [stage.pki.ocsp(shown.certificate)] * 2)),
    Shown("OCSP of junk", _STATUS, ocsp=responses(lambda *_: [b"junk"])),
    Shown("an OCSP port that fails", _UNPROVEN, ocsp=lambda *_: (
        b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nnone")),
    Shown("an OCSP port that answers otherwise", _UNPROVEN, ocsp=lambda *_: (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")),
    Shown("an OCSP port that hangs up", _UNPROVEN, ocsp=lambda *_: b""),
    Shown("OCSP of another certificate", _STATUS, ocsp=responses(
        lambda stage, _: [stage.pki.ocsp(stage.rogue.signer.certificate)])),
    Shown("OCSP too old", _INFO, ocsp=status(age=2 * HOUR)),
    Shown("OCSP nextUpdate passed", _INFO, ocsp=status(next_update=-HOUR / 60)),
    Shown("OCSP of the future", _INFO, ocsp=status(age=-HOUR / 6)),
    Shown("OCSP by an unauthorised signer", _INFO, ocsp=responses(
        lambda stage, shown: [stage.pki.ocsp(shown.certificate, signer=stage.pki.stranger)])),
    Shown("OCSP with a bad signature", _INFO, ocsp=responses(
        lambda stage, shown: [stage.pki.damaged_ocsp(shown.certificate)])),
    Shown("revoked", _STATUS, ocsp=status(status=CertificateStatus.REVOKED)),
)  # fmt: skip


@pytest.mark.parametrize("case", SHOWN, ids=str)
async def test_row_19_certificates_that_do_not_count(stage: Stage, case: Shown) -> None:
    identity = case.make(stage)
    await registers(stage, identity)
    stage.rogue.show(identity)
    if case.ocsp is not None:
        said = case.ocsp(stage, identity)
        stage.rogue.ocsp_answer = lambda: said
    await stage.refuses(case.code, sent=False)
    assert stage.rogue.asked == []


async def test_row_19_a_certificate_that_is_registered_for_another_server(stage: Stage) -> None:
    await registers(stage, stage.rogue.auth)
    stage.rogue.show(stage.pki.auth(ServerId(PROVIDER.member, "UNREGISTERED")))
    await stage.refuses(TLS, sent=False)
    own = next(one for one in stage.consumer.keys.entries if one.use == "auth")
    assert own.certificate is not None
    stage.rogue.show(Identity(own.certificate, own.key))  # of a server without this provider
    await stage.refuses(TLS, sent=False)
    stage.rogue.show(stage.rogue.auth)
    assert (await stage.call()).status == 200


async def test_row_19_an_ocsp_port_that_says_nothing(stage: Stage) -> None:
    await registers(stage, identity := fresh(stage))
    stage.rogue.show(identity)
    nothing = asyncio.Event()

    async def silence() -> bytes:
        await nothing.wait()
        return b""

    stage.rogue.ocsp_answer = silence
    peers = stage.consumer.running.exchanges.peers
    before, peers._routes = peers._routes, replace(peers._routes, connect=timedelta(seconds=0.5))
    try:
        await stage.refuses("network_error", sent=False)
    finally:
        peers._routes = before
        nothing.set()
    assert stage.rogue.asked == []


@pytest.mark.parametrize(
    ("version", "ciphers", "taken"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384", True),  # all that 7.8 offers
        (ssl.TLSVersion.TLSv1_3, None, True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
    ],
)
async def test_row_1_versions_and_ciphers_of_the_provider(
    stage: Stage, version: ssl.TLSVersion, ciphers: str | None, taken: bool
) -> None:
    await registers(stage, stage.rogue.auth)
    # the version is that of the context which listens, the ciphers of the one that it chooses
    listening, chosen = stage.rogue.listener.context, stage.rogue.listener._current
    if ciphers is not None:
        chosen.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tested
        listening.minimum_version = min(version, ssl.TLSVersion.TLSv1_2)
        listening.maximum_version = version
        listening.minimum_version = version
    try:
        if taken:
            assert (await stage.call()).status == 200
        else:
            await stage.refuses(TLS, sent=False)
    finally:
        listening.maximum_version = ssl.TLSVersion.TLSv1_3
        listening.minimum_version = ssl.TLSVersion.TLSv1_2


async def test_row_19_no_tls_at_all(stage: Stage) -> None:
    stage.rogue.listener.replace(None)
    await stage.refuses(TLS, sent=False)


# --- before anything is sent ------------------------------------------------------------------


async def test_row_60_where_a_request_can_not_go(stage: Stage) -> None:
    await registers(stage, stage.rogue.auth)
    civil = stage.rogue.member
    nowhere = "/r1/TEST/GOV/1001/nobody/people"
    for target, server, maintenance, code, text in (
        (nowhere, None, None, "unknown_member", "Could not find addresses for service provider "),
        (PATH, "TEST/GOV/1001/CIVIL", None, "", ""),
        (PATH, "TEST/GOV/1001/NONE", None, "invalid_security_server", "Could not find security "),
        (PATH, "TEST/MUN/2001/MUNI", None, "invalid_security_server", "Invalid security server "),
        (PATH, None, "back at noon", "maintenance_mode", "back at noon"),
        (PATH, "TEST/GOV/1001/CIVIL", "", "maintenance_mode", "is in maintenance mode"),
    ):
        if civil.entry.maintenance != maintenance:
            civil.entry = replace(civil.entry, maintenance=maintenance)
            await stage.instance.publish()
        named = () if server is None else (("X-Road-Security-Server", server),)
        message_id = ("X-Road-Id", f"call-{next(NUMBERS)}")
        answer = await call(stage.consumer, "GET", target, (CLIENT, message_id, *named))
        if not code:
            assert answer.status == 200
            continue
        assert answer.first("x-road-error") == f"server.clientproxy.{code}"
        assert text in json.loads(answer.body)["message"]
        assert await records(stage.consumer, message_id=message_id[1]) == ()
    civil.entry = replace(civil.entry, maintenance=None)
    await stage.instance.publish()
