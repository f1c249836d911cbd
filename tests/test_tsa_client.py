"""Time-stamping services that are good, and those that are slow, broken or false."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding

from node.network.tsa_client import TimestampingFailed, TsaClient, TsaTiming, services_of
from scripts.stamping import (
    TimestampRequest,
    build_imprint_request,
    build_rejection,
    build_timestamp_reply,
    build_timestamp_token,
    encode,
    encode_integer,
)
from tests.pki import NOON, Pki
from tests.scripted_server import Scripted, serving
from tests.vector_files import vector_path
from trust.asn1 import SEQUENCE
from trust.configuration.confparts import parse_shared_parameters
from trust.errors import EvidenceRejected, ExchangeError
from trust.evidence.timestamp_exchange import build_timestamp_request, check_timestamp_reply
from trust.evidence.timestamps import check_timestamp, parse_timestamp
from trust.globalconf import ApprovedTsa

DATA = b"what is stamped"
Answer = Callable[[TimestampRequest], bytes]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[TsaClient]:
    async with aiohttp.ClientSession() as session:
        timing = TsaTiming(connect=timedelta(seconds=0.5), answer=timedelta(seconds=0.5))
        yield TsaClient(session, lambda: NOON, timing)


def http(body: bytes, status: str = "200 OK", kind: str = "application/timestamp-reply") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def service(answer: Answer) -> Callable[..., Awaitable[None]]:
    """A script that reads requests and answers each with what `answer` makes of it."""

    async def script(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            request = await state.read_request(reader)
            body = request.partition(b"\r\n\r\n")[2]
            writer.write(answer(TimestampRequest.parse(body)))
            await writer.drain()

    return script


def good(pki: Pki) -> Answer:
    return lambda asked: http(build_timestamp_reply(asked, pki.tsa, 7, NOON))


async def reason_of(client: TsaClient, pki: Pki, answer: Answer) -> ExchangeError:
    """What the client says of a service that gives this answer."""
    async with serving(service(answer)) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        with pytest.raises(TimestampingFailed) as caught:
            await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert caught.value.code == "timestamping_failed"
    assert caught.value.text == "Failed to get time stamp from any time-stamping providers"
    (reason,) = caught.value.reasons.values()
    assert str(caught.value).endswith(f"({reason.code})")
    return reason


# --- good services --------------------------------------------------------------------------------


async def test_a_time_stamp_comes_with_the_certificate_of_its_service(
    client: TsaClient, pki: Pki
) -> None:
    async with serving(service(good(pki))) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        found = await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert found.gen_time == NOON
    assert parse_timestamp(found.token).certificates == (
        pki.tsa.certificate.public_bytes(Encoding.DER),
    )
    assert check_timestamp(found.token, DATA, [pki.tsa.certificate]).gen_time == NOON
    request = server.requests[0]
    assert b"POST /tsa HTTP/1.1\r\n" in request
    assert b"Content-Type: application/timestamp-query\r\n" in request


def test_a_request_without_nonce_is_that_of_a_security_server() -> None:
    assert build_timestamp_request(DATA) == build_imprint_request(DATA)
    assert build_timestamp_request(DATA, 5) == build_imprint_request(DATA, nonce=5)
    asked = TimestampRequest.parse(build_timestamp_request(DATA, 5))
    assert not asked.wants_certificate


async def test_a_service_that_sends_its_certificate_anyway_is_understood(
    client: TsaClient, pki: Pki
) -> None:
    def answer(asked: TimestampRequest) -> bytes:
        asked = TimestampRequest(asked.imprint, asked.nonce, wants_certificate=True)
        return http(build_timestamp_reply(asked, pki.tsa, 7, NOON))

    async with serving(service(answer)) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        found = await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert len(parse_timestamp(found.token).certificates) == 1


async def test_a_service_that_does_not_repeat_the_nonce_is_believed(
    client: TsaClient, pki: Pki
) -> None:
    def answer(asked: TimestampRequest) -> bytes:
        return http(
            build_timestamp_reply(TimestampRequest(asked.imprint, b"", False), pki.tsa, 7, NOON)
        )

    async with serving(service(answer)) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        assert (await client.stamp(DATA, [url], [pki.tsa.certificate])).gen_time == NOON


async def test_a_service_that_refuses_nonces_is_asked_without_and_remembered(
    client: TsaClient, pki: Pki
) -> None:
    def answer(asked: TimestampRequest) -> bytes:
        if asked.nonce:
            return http(build_rejection("no nonces here"))
        return http(build_timestamp_reply(asked, pki.tsa, 7, NOON))

    async with serving(service(answer)) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        for _ in range(2):
            await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert len(server.requests) == 3


async def test_the_next_service_is_asked_when_one_fails(client: TsaClient, pki: Pki) -> None:
    async with (
        serving(service(lambda _: http(b"no", "503 Busy"))) as broken,
        serving(service(good(pki))) as server,
    ):
        urls = [f"http://127.0.0.1:{each.port}/tsa" for each in (broken, server)]
        assert (await client.stamp(DATA, urls, [pki.tsa.certificate])).gen_time == NOON
    assert (len(broken.requests), len(server.requests)) == (1, 1)


@pytest.mark.interop
def test_a_token_with_indefinite_lengths_becomes_one_without() -> None:
    folder = "asic/src/lib/globalconf-impl/src/test/timestamps"
    token = vector_path(f"{folder}/valid").read_bytes()
    stamped = vector_path(f"{folder}/stamped-data").read_bytes()
    shared = [
        parse_shared_parameters(path.read_bytes(), 2)
        for path in vector_path(
            "asic/src/lib/globalconf-core/src/test/resources/globalconf_good_v2"
        ).glob("*/shared-params.xml")
    ]
    services = [tsa.certificate for conf in shared for tsa in conf.approved_tsas]
    at = check_timestamp(token, stamped, services).gen_time
    assert at is not None
    reply = encode(SEQUENCE, encode(SEQUENCE, encode_integer(0)), token)
    found = check_timestamp_reply(reply, stamped, None, services, at, timedelta(0))
    assert token[1] == 0x80
    assert found.token[1] != 0x80
    assert len(parse_timestamp(found.token).certificates) == 1
    assert check_timestamp(found.token, stamped, services).gen_time == at


# --- bad ones -------------------------------------------------------------------------------------


async def test_a_time_stamp_over_something_else_is_refused(client: TsaClient, pki: Pki) -> None:
    other = TimestampRequest.parse(build_imprint_request(b"something else"))
    found = await reason_of(
        client, pki, lambda _: http(build_timestamp_reply(other, pki.tsa, 7, NOON))
    )
    assert found.code == "mlog.timestamp_response_validation_failed"
    assert found.text == "Timestamp hashes do not match"


async def test_another_nonce_is_refused(client: TsaClient, pki: Pki) -> None:
    other = TimestampRequest.parse(build_imprint_request(DATA, nonce=12345))
    found = await reason_of(
        client, pki, lambda _: http(build_timestamp_reply(other, pki.tsa, 7, NOON))
    )
    assert found.code == "mlog.timestamp_response_validation_failed"
    assert "nonce is another one" in found.text


async def test_a_signer_that_the_trust_list_does_not_name_is_refused(
    client: TsaClient, pki: Pki
) -> None:
    other = pki.certify("Another TSA", "tsa")
    found = await reason_of(
        client, pki, lambda asked: http(build_timestamp_reply(asked, other, 7, NOON))
    )
    assert found.code == "mlog.tsp_certificate_not_found"


async def test_a_forged_signature_is_refused(client: TsaClient, pki: Pki) -> None:
    def answer(asked: TimestampRequest) -> bytes:
        reply = bytearray(build_timestamp_reply(asked, pki.tsa, 7, NOON))
        reply[-1] ^= 1
        return http(bytes(reply))

    found = await reason_of(client, pki, answer)
    assert found.code == "mlog.timestamp_signer_verification_failed"


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_a_clock_that_is_far_from_ours_is_refused(
    client: TsaClient, pki: Pki, minutes: int
) -> None:
    at = NOON + timedelta(minutes=minutes)
    found = await reason_of(
        client, pki, lambda asked: http(build_timestamp_reply(asked, pki.tsa, 7, at))
    )
    assert found.code == "mlog.timestamp_response_validation_failed"
    assert "more than 300 s from" in found.text


async def test_a_refusal_is_told_in_the_words_of_the_service(client: TsaClient, pki: Pki) -> None:
    found = await reason_of(client, pki, lambda _: http(build_rejection("closed\n\x1b[2Jtoday")))
    assert found.code == "mlog.timestamp_non_granted_response"
    assert found.text == 'TimeStampResp.status: 2, .statusString: "closed [2Jtoday"'


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>It works!</body></html>", b"\x30\x80", b"\x30\x03\x02\x01\x00"]
)
async def test_what_is_no_reply_is_refused(client: TsaClient, pki: Pki, body: bytes) -> None:
    found = await reason_of(client, pki, lambda _: http(body, kind="text/html"))
    assert found.code == "mlog.reading_timestamp_response_failed"


async def test_a_bare_token_is_no_reply(client: TsaClient, pki: Pki) -> None:
    found = await reason_of(
        client, pki, lambda asked: http(build_timestamp_token(asked, pki.tsa, 7, NOON))
    )
    assert found.code == "mlog.reading_timestamp_response_failed"


async def test_a_redirect_is_not_followed(client: TsaClient, pki: Pki) -> None:
    async with serving(service(good(pki))) as other:
        redirect = f"307 Go\r\nLocation: http://127.0.0.1:{other.port}/tsa"
        found = await reason_of(client, pki, lambda _: http(b"", redirect))
        assert other.connections == 0
    assert found.code == "mlog.timestamping_non_ok_response"
    assert "HTTP status 307" in found.text


async def test_an_answer_that_never_ends_is_cut_off(client: TsaClient, pki: Pki) -> None:
    found = await reason_of(client, pki, lambda _: http(bytes(300_000)))
    assert found.code == "mlog.timestamp_provider_connection_failed"
    assert "more than 262144 bytes" in found.text


async def test_a_slow_service_is_given_up(client: TsaClient, pki: Pki) -> None:
    async def silent(
        state: Scripted, reader: asyncio.StreamReader, _: asyncio.StreamWriter
    ) -> None:
        await state.read_request(reader)
        await reader.read()

    async with serving(silent) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        with pytest.raises(TimestampingFailed) as caught:
            await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert caught.value.reasons[url].code == "mlog.timestamp_request_timed_out"


async def test_a_service_that_drips_is_given_up(client: TsaClient, pki: Pki) -> None:
    async def dripping(
        state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await state.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        while True:
            writer.write(b"\x30")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with serving(dripping) as server:
        url = f"http://127.0.0.1:{server.port}/tsa"
        with pytest.raises(TimestampingFailed) as caught:
            await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert caught.value.reasons[url].code == "mlog.timestamp_request_timed_out"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:1/", "mlog.timestamp_provider_connection_failed"),
        ("ftp://127.0.0.1/", "mlog.malformed_timestamp_server_url"),
        ("http://[/", "mlog.timestamp_provider_connection_failed"),
    ],
)
async def test_an_address_where_nobody_is(client: TsaClient, pki: Pki, url: str, code: str) -> None:
    with pytest.raises(TimestampingFailed) as caught:
        await client.stamp(DATA, [url], [pki.tsa.certificate])
    assert caught.value.reasons[url].code == code


async def test_without_services_nothing_is_stamped(client: TsaClient, pki: Pki) -> None:
    with pytest.raises(TimestampingFailed) as caught:
        await client.stamp(DATA, [], [pki.tsa.certificate])
    assert not caught.value.reasons


def test_without_listed_services_no_answer_is_believed(pki: Pki) -> None:
    reply = build_timestamp_reply(
        TimestampRequest.parse(build_timestamp_request(DATA)), pki.tsa, 1, NOON
    )
    with pytest.raises(EvidenceRejected) as caught:
        check_timestamp_reply(reply, DATA, None, [], NOON, timedelta(minutes=5))
    assert caught.value.code == "mlog.no_timestamping_provider_found"


# --- which are asked ------------------------------------------------------------------------------


def test_free_services_are_asked_first_and_those_of_unknown_cost_last(pki: Pki) -> None:
    listed = [
        ApprovedTsa(name, f"http://{name}/", pki.tsa.certificate, cost)
        for name, cost in (("a", None), ("b", "PAID"), ("c", "FREE"), ("d", "UNDEFINED"))
    ]
    conf = pki.conf()
    object.__setattr__(conf.own.shared, "approved_tsas", (*listed, listed[2]))
    assert services_of(conf) == ("http://c/", "http://b/", "http://a/", "http://d/")
    assert services_of(conf, ["http://z/", "http://y/", "http://z/"]) == ("http://z/", "http://y/")


def test_a_service_of_a_federated_instance_is_not_asked() -> None:
    other = Pki(instance="OTHER").instance_conf()
    service = ApprovedTsa("TSA", "http://other/", other.shared.approved_tsas[0].certificate)
    object.__setattr__(other.shared, "approved_tsas", (service,))
    assert services_of(Pki().conf(federated=[other])) == ("http://tsa.example.test/",)
