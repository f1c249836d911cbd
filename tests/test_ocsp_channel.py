"""Port 5577, asked and answered over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from node.network.ocsp_channel import (
    build_ocsp_answer,
    fetch_ocsp_responses,
    ocsp_target,
    parse_ocsp_answer,
)
from node.network.ocsp_responder import OcspResponder
from trust.errors import MalformedMessage, NetworkFailure, UntrustedPeer


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=10))
def test_what_is_built_is_parsed(responses: list[bytes]) -> None:
    assert parse_ocsp_answer(*build_ocsp_answer(responses)) == tuple(responses)


def test_the_answer_has_the_reference_form() -> None:
    content_type, body = build_ocsp_answer([b"one", b"two"])
    boundary = content_type.partition("boundary=")[2]
    assert content_type == (
        f'multipart/related; type="application/ocsp-response"; charset=UTF-8; boundary={boundary}'
    )
    assert body.decode() == (
        f"--{boundary}\r\nContent-Type: application/ocsp-response\r\n\r\none\r\n"
        f"--{boundary}\r\nContent-Type: application/ocsp-response\r\n\r\ntwo\r\n--{boundary}--\r\n"
    )


def test_parts_of_other_types_are_skipped() -> None:
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nno\r\n--b\r\n\r\nnone\r\n--b--\r\n"
    assert parse_ocsp_answer("multipart/related; boundary=b", body) == ()


LETTERS = [b"--b", b"\r\n", b"--", b"Content-Type: application/ocsp-response", b"x", b"\n", b":"]


@given(st.lists(st.sampled_from(LETTERS), max_size=15).map(b"".join))
def test_any_body_is_read_or_rejected(body: bytes) -> None:
    try:
        found = parse_ocsp_answer("multipart/related; boundary=b", body)
    except MalformedMessage:
        return
    assert all(isinstance(one, bytes) for one in found)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<p>"),
        ("", b""),
        ("multipart/related", b"--b--"),
        ("multipart/related; boundary=b", b"--b\r\n\r\ncut"),
        build_ocsp_answer([b"x"] * 11),
        build_ocsp_answer([b"x" * 70_000]),
    ],
)
def test_answers_of_another_form_are_rejected(content_type: str, body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_ocsp_answer(content_type, body)


def test_both_digests_are_asked_for_in_order() -> None:
    target = ocsp_target([b"cert", b"other"])
    names = [pair.partition("=")[0] for pair in target.removeprefix("/?").split("&")]
    assert names == ["cert", "cert", "cert_hash", "cert_hash"]
    assert target.startswith("/?cert=" + ocsp_target([b"cert"])[7:47])
    assert len(ocsp_target([b"cert"])) == len("/?cert=&cert_hash=") + 40 + 64


@asynccontextmanager
async def serving(
    handler: Callable[[web.BaseRequest], object],
) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(handler))  # type: ignore[arg-type]  # async handlers only
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def responder(known: dict[str, bytes]) -> OcspResponder:
    return OcspResponder(known.get)


def digests(*certificates: bytes) -> list[tuple[str, str]]:
    """SHA-1 and SHA-256 of each."""
    pairs = ocsp_target(certificates).removeprefix("/?").split("&")
    values = [pair.partition("=")[2] for pair in pairs]
    half = len(certificates)
    return list(zip(values[:half], values[half:], strict=True))


async def test_a_peer_gets_the_responses_it_asks_for_in_order() -> None:
    (first, _), (second, _) = digests(b"one", b"two")
    async with serving(responder({first: b"A", second: b"B"}).handle) as port:
        got = await fetch_ocsp_responses("127.0.0.1", port, "peer:5577", [b"two", b"one"])
        assert got == (b"B", b"A")


async def raw(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_sha1_counts_and_sha256_where_it_is_absent() -> None:
    ((sha1, sha256),) = digests(b"one")
    async with serving(responder({sha1: b"by sha1", sha256: b"by sha256"}).handle) as port:
        query = f"GET /?cert={sha1}&cert_hash={sha256} HTTP/1.1".encode()
        status, body = await raw(port, query)
        assert status == 200
        assert b"by sha1" in body
        assert b"by sha256" not in body
        status, body = await raw(port, f"GET /?cert_hash={sha256.upper()} HTTP/1.1".encode())
        assert status == 200
        assert b"by sha256" in body


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"GET / HTTP/1.1", b"Could not get cert hashes"),
        (b"POST / HTTP/1.1", b"Invalid request method: POST"),
        (b"GET /?cert=nonsense HTTP/1.1", b"Could not find OCSP response for certificate"),
        (b"GET /?cert=" + b"0" * 40 + b" HTTP/1.1", b"Could not find OCSP response"),
        (b"GET /?" + b"cert=1&" * 11 + b" HTTP/1.1", b"Too many cert hashes"),
    ],
)
async def test_what_is_not_to_be_had_is_500_with_the_reason(line: bytes, reason: bytes) -> None:
    async with serving(responder({}).handle) as port:
        status, body = await raw(port, line)
        assert status == 500
        assert reason in body


async def test_one_unknown_certificate_gets_no_partial_answer() -> None:
    ((sha1, _),) = digests(b"one")
    async with serving(responder({sha1: b"A"}).handle) as port:
        with pytest.raises(UntrustedPeer, match="expected 2, but got 0") as caught:
            await fetch_ocsp_responses("127.0.0.1", port, "peer", [b"one", b"two"])
        assert caught.value.code == "internal_error"


async def test_head_is_a_sign_of_life() -> None:
    async with serving(responder({}).handle) as port:
        assert await raw(port, b"HEAD / HTTP/1.1") == (200, b"")


async def test_another_number_of_responses_is_refused() -> None:
    async def too_few(_request: web.BaseRequest) -> web.Response:
        content_type, body = build_ocsp_answer([b"only one"])
        return web.Response(body=body, headers={"Content-Type": content_type})

    async with serving(too_few) as port:
        with pytest.raises(UntrustedPeer, match="expected 2, but got 1"):
            await fetch_ocsp_responses("127.0.0.1", port, "peer", [b"one", b"two"])


async def test_an_answer_without_end_is_refused() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "multipart/related; boundary=b"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with serving(endless) as port:
        with pytest.raises(NetworkFailure, match="longer than"):
            await fetch_ocsp_responses("127.0.0.1", port, "peer", [b"one"])


async def test_a_closed_port_is_a_network_error(unused_tcp_port: int) -> None:
    with pytest.raises(NetworkFailure) as caught:
        await fetch_ocsp_responses("127.0.0.1", unused_tcp_port, "peer", [b"one"])
    assert caught.value.code == "network_error"
