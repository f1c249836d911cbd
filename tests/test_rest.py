"""REST heads: made from HTTP, read from a peer, hashed; the worked examples of the protocol."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.exchange import check_answers
from node.messages.represented_party import RepresentedParty
from node.messages.rest import (
    DROPPED_HEADERS,
    MAX_HEAD_BYTES,
    METHODS,
    RestRequestHead,
    RestResponseHead,
    request_hash,
)
from trust.digests import sha512
from trust.errors import EvidenceRejected, MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId

REQUEST_ID = "6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22"
POST_TARGET = "/r1/EX/COM/2002/registry/people/v2/persons?dry=true"
POST_HEADERS = [
    (b"X-Road-Client", b"EX/GOV/1001/portal"),
    (b"X-Road-Id", b"4f5a2f5e-0002"),
    (b"Content-Type", b"application/json"),
    (b"Accept", b"application/json"),
]
POST_RAW = (
    b"POST\r\n/r1/EX/COM/2002/registry/people/v2/persons?dry=true\r\n"
    b"X-Road-Client:EX/GOV/1001/portal\r\nX-Road-Id:4f5a2f5e-0002\r\n"
    b"Content-Type:application/json\r\nAccept:application/json\r\n"
    b"x-road-request-id:6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22\r\n"
)
POST_HASH = (
    "THrT6cPum3hk+bjzuOeaD6A6hn26IM1AM9DCg0B/4SxCkBrp8Q8Aa97mEKHEZP3Y51Yc2S08YT1fz4Vqk3PT/w=="
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def outgoing(
    method: str = "POST",
    target: str = POST_TARGET,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> RestRequestHead:
    return RestRequestHead.from_http(
        method,
        target,
        POST_HEADERS if headers is None else headers,
        request_id=REQUEST_ID,
        instance="EX",
        message_id="5a4f2d0c-6c7b-4d1e-8a0f-1b2c3d4e5f60",
    )


def test_the_worked_post_has_its_bytes_fields_and_hashes() -> None:
    head = outgoing()
    body = b'{"code":1}'
    assert head.raw == POST_RAW
    assert len(head.raw) == 230
    assert b64(sha512(head.raw)) == (
        "RntjLrquWkYHR1QGHs2Os2pRHu+Jxld1yM05eezlA3ImM6F62QvIIBof/cr5dRO8TCdT7L0Yo0zSaf7um/HUOw=="
    )
    assert b64(request_hash(head.raw, sha512(body))) == POST_HASH
    assert head.client == ClientId("EX", "GOV", "1001", "portal")
    assert head.service == ServiceId(ClientId("EX", "COM", "2002", "registry"), "people")
    assert head.provider == ClientId("EX", "COM", "2002", "registry")
    assert head.path == "/r1/EX/COM/2002/registry/people/v2/persons"
    assert (head.service_path, head.query, head.target) == ("/v2/persons", "dry=true", POST_TARGET)
    assert (head.message_id, head.request_id) == ("4f5a2f5e-0002", REQUEST_ID)
    assert head.content_type == "application/json"
    assert RestRequestHead.parse(head.raw) == head


def test_the_worked_response_has_its_bytes() -> None:
    head = RestResponseHead.build(
        201,
        "Created",
        [
            (b"Content-Type", b"application/json"),
            (b"Date", b"Mon, 02 Mar 2026 09:15:01 GMT"),
            (b"Server", b"nginx"),
            (b"Content-Length", b"8"),
            (b"X-Road-Id", b"of the service"),
            (b"x-road-client", b"X/Y/Z"),
            (b"X-ROAD-REQUEST-HASH", b"AAAA"),
            (b"x-road-request-id", b"other"),
        ],
        outgoing(),
        base64.b64decode(POST_HASH),
    )
    assert len(head.raw) == 350
    assert b64(sha512(head.raw)) == (
        "BNMyaQkN7BBIYTbOH04Ioakzve8Z+AyVEI1sfNkS+Tes9KgnHrNbIOD8zwsvTX9fLOfNovmZH2/VQdJTV7li/A=="
    )
    assert (head.status, head.reason) == (201, "Created")
    assert RestResponseHead.parse(head.raw) == head


def test_the_worked_get_without_body_is_its_own_hash() -> None:
    head = RestRequestHead.from_http(
        "GET",
        "/r1/EX/COM/2002/registry/people/v2/persons/1",
        [
            (b"X-Road-Client", b"EX/GOV/1001/portal"),
            (b"X-Road-Id", b"4f5a2f5e-0003"),
            (b"Accept", b"application/json"),
        ],
        request_id="0c1f1a3e-2b1d-4f0a-9a5e-7d1f8f7a0b11",
        instance="EX",
    )
    assert len(head.raw) == 191
    assert b64(request_hash(head.raw, None)) == (
        "KlJ3PHVrcmtKN4YNscxRQYr8flhQqur2VgkPubmuhuBx6oihbHlHPx6g0xWL54EeGHM9qt9DsA7RW0cFAI4sdg=="
    )


def test_the_worked_get_of_the_message_protocol() -> None:
    head = RestRequestHead.from_http(
        "GET",
        "/r1/EX/GOV/7654321/population/personApi/persons/39?fields=name",
        [
            (b"Host", b"node.portal.example:8080"),
            (b"User-Agent", b"curl/8.5.0"),
            (b"Accept", b"application/json"),
            (b"X-Road-Client", b"EX/GOV/1234567/portal"),
            (b"X-Road-Id", b"29f4d011-ef17-4f2f-9bb1-0452ce17d3f5"),
            (b"X-Road-UserId", b"EX60001019906"),
        ],
        request_id="b5d1f7c2-3b0a-4e0f-8a57-2f3c9a7d5e10",
        instance="EX",
    )
    assert len(head.raw) == 264
    assert head.user_id == "EX60001019906"
    assert b64(request_hash(head.raw, None)) == (
        "fFFJwqEs69PggSA9C9lgq4F9KjOwaVi7pAY8Dp6r8USSWxquZZFX4wb8qH6nF/vBfMaKCa1IRurU6MaDSTnGkw=="
    )


def test_the_worked_post_without_a_message_id_gets_one_after_the_request_id() -> None:
    body = b'{"code":"39","name":"Mari"}'
    head = RestRequestHead.from_http(
        "POST",
        "/r1/EX/GOV/7654321/population/personApi/persons",
        [
            (b"Host", b"node.portal.example:8080"),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"application/json"),
            (b"Content-Length", b"27"),
            (b"X-Road-Client", b"EX/GOV/1234567/portal"),
        ],
        request_id="c0ffee00-8d5e-4b53-9a55-6f2f8c1d0001",
        instance="EX",
        message_id="5a4f2d0c-6c7b-4d1e-8a0f-1b2c3d4e5f60",
    )
    assert len(head.raw) == 255
    assert head.message_id == "EX-5a4f2d0c-6c7b-4d1e-8a0f-1b2c3d4e5f60"
    assert b64(sha512(head.raw)) == (
        "84fXaXEOOVdKP99YHBL3usxfRIk7/VJexqmz2l/3iWKDHgZDvDEk9odeCnBlxGb7P8RAqsxGJbpt8b4lwzfMxQ=="
    )
    assert b64(request_hash(head.raw, sha512(body))) == (
        "+wqrPDgmpcLp23NxqjFCxBMYDQ4ZtzkA93HN8/Ozjat1nLQjThwH+V36PcbS9jVmpTTz0XR7LVynC6/I9nYOoQ=="
    )


def test_dropped_headers_do_not_travel_and_all_others_keep_order_case_and_repeats() -> None:
    dropped = [(name.title().encode(), b"x") for name in sorted(DROPPED_HEADERS)]
    kept = [(b"Accept", b"a"), (b"Cookie", b"b"), (b"accept", b"c"), (b"X-Empty", b" ")]
    mine = [(b"X-Road-Client", b"EX/GOV/1001"), (b"X-Road-Id", b"1")]
    forged = [(b"X-Road-Request-Id", b"forged"), (b"x-road-request-hash", b"forged")]
    head = outgoing(headers=dropped + kept + forged + mine)
    assert head.headers == (
        ("Accept", "a"),
        ("Cookie", "b"),
        ("accept", "c"),
        ("X-Empty", ""),
        ("X-Road-Client", "EX/GOV/1001"),
        ("X-Road-Id", "1"),
        ("x-road-request-id", REQUEST_ID),
    )


def test_of_repeated_x_road_headers_the_last_one_counts() -> None:
    more = [(b"x-road-CLIENT", b"EX/GOV/1002"), (b"X-ROAD-ID", b"second")]
    head = outgoing(headers=POST_HEADERS + more)
    assert (head.client, head.message_id) == (ClientId("EX", "GOV", "1002"), "second")


def test_optional_headers_are_read() -> None:
    head = outgoing(
        headers=[
            *POST_HEADERS,
            (b"X-Road-Security-Server", b"EX/COM/2002/ss%2F1"),
            (b"X-Road-Represented-Party", b"COM/123"),
            (b"X-Road-Issue", b"case 7"),
        ]
    )
    assert head.security_server == ServerId(ClientId("EX", "COM", "2002"), "ss/1")
    assert head.represented_party == RepresentedParty("COM", "123")
    assert head.issue == "case 7"
    assert RepresentedParty.from_header("123") == RepresentedParty(None, "123")


@pytest.mark.parametrize(
    ("sent", "text"),
    [("Jõgeva".encode(), "Jõgeva"), ("Jõgeva".encode("latin-1"), "Jõgeva"), (b"\tx y ", "x y")],
)
def test_header_values_are_utf_8_or_else_latin_1_and_travel_as_utf_8(
    sent: bytes, text: str
) -> None:
    head = outgoing(headers=[*POST_HEADERS, (b"X-Place", sent)])
    assert ("X-Place", text) in head.headers
    assert f"\r\nX-Place:{text}\r\n".encode() in head.raw


@pytest.mark.parametrize("value", [b"a\r\nX-Road-Client:EX/GOV/6", b"a\nb", b"a\rb", b"a\0b"])
def test_a_header_that_would_add_a_line_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        outgoing(headers=[*POST_HEADERS, (b"X-Any", value)])
    assert refused.value.code == "internal_error"
    with pytest.raises(MalformedMessage):
        RestResponseHead.build(200, "OK", [(b"X-Any", value)], outgoing(), b"h")
    with pytest.raises(MalformedMessage):
        RestResponseHead.build(200, value.decode(), [], outgoing(), b"h")


@pytest.mark.parametrize(
    ("target", "path", "query", "service_path"),
    [
        ("/r1/EX/COM/2002/registry/people", "/r1/EX/COM/2002/registry/people", None, ""),
        ("/r1/EX/COM/2002/registry/people?", "/r1/EX/COM/2002/registry/people", "", ""),
        ("/r1/EX/COM/2002/registry/people/", "/r1/EX/COM/2002/registry/people/", None, "/"),
        (
            "/r1/EX/COM/2002/registry/people/a%2Fb//c;d?q=%20?/[]",
            "/r1/EX/COM/2002/registry/people/a%2Fb//c;d",
            "q=%20?/[]",
            "/a%2Fb//c;d",
        ),
    ],
)
def test_path_and_query_stay_as_they_are(
    target: str, path: str, query: str | None, service_path: str
) -> None:
    head = outgoing(target=target)
    assert (head.path, head.query, head.service_path, head.target) == (
        path,
        query,
        service_path,
        target,
    )


def test_identifiers_in_the_path_are_percent_decoded() -> None:
    head = outgoing(target="/r1/EX/COM/2002/re%2Fg%C3%B5/p+e~")
    assert head.service == ServiceId(ClientId("EX", "COM", "2002", "re/gõ"), "p+e~")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_of_the_protocol_is_taken(method: str) -> None:
    assert outgoing(method).method == method


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("PROPFIND", POST_TARGET, "method"),
        ("get", POST_TARGET, "method"),
        ("", POST_TARGET, "method"),
        ("GET", "", "URI"),
        ("GET", "/r1/EX/COM/2002/registry", "URI"),
        ("GET", "r1/EX/COM/2002/registry/people", "URI"),
        ("GET", "http://h/r1/EX/COM/2002/registry/people", "URI"),
        ("GET", "//h/r1/EX/COM/2002/registry/people", "protocol version"),
        ("GET", "/r2/EX/COM/2002/registry/people", "protocol version r2"),
        ("GET", "/r11/EX/COM/2002/registry/people", "protocol version"),
        ("GET", "/x/EX/COM/2002/registry/people", "protocol version"),
        ("GET", "/r1/EX/COM/2002//people", "must not be blank"),
        ("GET", "/r1/EX/COM/2002/registry/people/a b", "URI"),
        ("GET", "/r1/EX/COM/2002/registry/people/a#b", "URI"),
        ("GET", "/r1/EX/COM/2002/registry/people/%4", "URI"),
        ("GET", "/r1/EX/COM/2002/registry/people?%zz", "URI"),
        ("GET", "/r1/EX/COM/2002/reg%C3/people", "percent encoding"),
        ("GET", "/r1/EX/COM/2002/registry/people/é", "URI"),
        ("GET", "/r1/EX/COM/2002/registry/people/\udce9", "URI"),
    ],
)
def test_bad_methods_and_targets_are_refused(method: str, target: str, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason) as refused:
        outgoing(method, target)
    assert refused.value.code == "internal_error"


@pytest.mark.parametrize(
    ("header", "code", "reason"),
    [
        (None, "invalid_client_identifier", "The client identifier is missing"),
        ((b"X-Road-Client", b"EX/GOV"), "internal_error", "Invalid Client Id"),
        ((b"X-Road-Client", b"EX/GOV/1/s/t"), "internal_error", "Invalid Client Id"),
        ((b"X-Road-Client", b"EX/G V/1"), "internal_error", "Invalid character"),
        ((b"X-Road-Security-Server", b"EX/GOV/1"), "internal_error", "Invalid SecurityServer Id"),
        ((b"X-Road-Represented-Party", b"a/b/c"), "internal_error", "Invalid RepresentedParty Id"),
        ((b"X-Road-Id", b""), "internal_error", "x-road-id"),
        ((b"X-Road-Id", b"x" * 256), "internal_error", "x-road-id"),
    ],
)
def test_bad_x_road_headers_are_refused(
    header: tuple[bytes, bytes] | None, code: str, reason: str
) -> None:
    headers = [] if header is None else [*POST_HEADERS, header]
    with pytest.raises(MalformedMessage, match=reason) as refused:
        outgoing(headers=headers)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        POST_RAW[:-2],
        POST_RAW + b"\r\n",
        POST_RAW.replace(b"\r\n", b"\n"),
        POST_RAW.replace(b"Accept:", b"Accept:\r"),
        POST_RAW + b"no colon\r\n",
        POST_RAW + b": no name\r\n",
        POST_RAW + b"two words: x\r\n",
        POST_RAW + b"X-Any:\xff\r\n",
        POST_RAW + b"X-Any:\0\r\n",
        POST_RAW.replace(b"X-Road-Client:", b"X-Road-Client: "),
        POST_RAW.replace(b"x-road-request-id", b"X-Road-Request-Id"),
        POST_RAW + b"X-Any:a\r\n" * 1000,
        POST_RAW + b"X-Any:" + b"a" * MAX_HEAD_BYTES + b"\r\n",
    ],
)
def test_what_is_not_canonical_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        RestRequestHead.parse(raw)
    assert refused.value.code == "internal_error"


@pytest.mark.parametrize("name", sorted(DROPPED_HEADERS))
def test_a_dropped_header_in_a_message_is_refused(name: str) -> None:
    with pytest.raises(MalformedMessage, match="Invalid header"):
        RestRequestHead.parse(POST_RAW + name.title().encode() + b":x\r\n")


_RESPONSE = (
    b"200\r\nOK\r\nContent-Type:text/plain\r\nx-road-id:1\r\nx-road-client:EX/GOV/1001/portal\r\n"
    b"x-road-service:EX/COM/2002/registry/people\r\nx-road-request-id:2\r\n"
    b"x-road-request-hash:AAAA\r\n"
)


def test_a_response_may_lack_what_only_the_comparison_needs() -> None:
    head = RestResponseHead.parse(b"204\r\n\r\nX-Road-Id:1\r\nx-road-request-hash:AAAA\r\n")
    assert (head.status, head.reason) == (204, "")
    assert (head.client, head.service, head.request_id) == (None, None, None)
    assert head.request_hash == b"\0\0\0"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"200", b"20"),
        (b"200", b"100"),
        (b"200", b"+20"),
        (b"200", "\uff12\uff10\uff10".encode()),
        (b"x-road-id:1\r\n", b""),
        (b"x-road-id:1\r\n", b"x-road-id:\r\n"),
        (b"AAAA", b""),
        (b"AAAA", b"A"),
        (b"AAAA", b"A-A_"),
        (b"registry/people", b"registry"),
        (b"registry/people", b"registry/people/v1"),
        (b"EX/GOV/1001/portal", b"EX"),
        (b"OK", b"O\0K"),
        (b"Content-Type", b"Server"),
    ],
)
def test_bad_responses_are_refused(old: bytes, new: bytes) -> None:
    assert RestResponseHead.parse(_RESPONSE).status == 200
    with pytest.raises(MalformedMessage) as refused:
        RestResponseHead.parse(_RESPONSE.replace(old, new))
    assert refused.value.code == "internal_error"


def test_identifiers_in_a_response_are_percent_encoded_by_segment() -> None:
    request = outgoing(
        target="/r1/EX/COM/2002/re%2Fg/p%20e",
        headers=[(b"X-Road-Client", b"EX/GOV/%C3%B5"), (b"X-Road-Id", b"1")],
    )
    head = RestResponseHead.build(200, None, [], request, b"h")
    named = dict(head.headers)
    assert named["x-road-client"] == "EX/GOV/%C3%B5"
    assert named["x-road-service"] == "EX/COM/2002/re%2Fg/p%20e"
    assert (head.client, head.service) == (request.client, request.service)
    assert head.reason == ""


def test_the_services_own_x_road_service_stays_and_ours_wins() -> None:
    head = RestResponseHead.build(
        200, "OK", [(b"X-Road-Service", b"EX/COM/2002/other/x")], outgoing(), b"h"
    )
    assert [name for name, _ in head.headers][:2] == ["X-Road-Service", "x-road-id"]
    assert head.service == outgoing().service


def answer(**changes: str) -> RestResponseHead:
    raw = RestResponseHead.build(200, "OK", [], outgoing(), b"hash").raw.decode()
    for old, new in changes.items():
        assert old in raw
        raw = raw.replace(old, new)
    return RestResponseHead.parse(raw.encode())


def test_an_answer_to_the_request_is_accepted() -> None:
    check_answers(outgoing(), answer(), b"hash")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"1001": "1002"}, "Response client id does not match request message"),
        ({"4f5a2f5e": "4f5a2f5f"}, "Response message id does not match request message"),
        ({"people": "others"}, "Response service id does not match request message"),
        ({"6b4a7e0a": "6b4a7e0b"}, "Response message request id does not match request message"),
        ({"aGFzaA": "aGFzaQ"}, "Response message hash does not match request message"),
    ],
)
def test_an_answer_to_another_request_is_refused(changes: dict[str, str], text: str) -> None:
    with pytest.raises(EvidenceRejected, match=text) as refused:
        check_answers(outgoing(), answer(**changes), b"hash")
    assert refused.value.code == "inconsistent_response"


_VALUE = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=20)
_HEADER = st.tuples(st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True), _VALUE)


@given(st.lists(_HEADER, max_size=6), st.sampled_from(sorted(METHODS)))
def test_any_headers_survive_the_way_to_the_provider(
    headers: list[tuple[str, str]], method: str
) -> None:
    sent = [(name.encode(), value.strip(" \t").encode()) for name, value in headers]
    head = outgoing(method, headers=POST_HEADERS + sent)
    kept = [
        (name, value.strip(" \t")) for name, value in headers if name.lower() not in DROPPED_HEADERS
    ]
    assert list(head.headers[4:-1]) == kept
    assert RestRequestHead.parse(head.raw) == head


_PIECES = [b"GET", b"200", b"\r\n", b"\r", b"\n", b"/r1/EX/A/1/s/t", b"/", b"%2F", b"?", b"x:y",
           b"X-Road-Client:EX/A/1\r\n", b"x-road-id:1\r\n", b"x-road-request-id:1\r\n",
           b"x-road-request-hash:AAAA\r\n", b"Host:x\r\n", b"\xff"]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=14).map(b"".join))
def test_any_head_is_read_or_refused(raw: bytes) -> None:
    for kind in (RestRequestHead, RestResponseHead):
        with contextlib.suppress(MalformedMessage):
            assert kind.parse(raw).raw == raw
