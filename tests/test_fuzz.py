"""Damaged and invented messages are read or refused: nothing else rises, and nothing is kept.

A few thousand of each in every run; 100 000 of each with SACBE_FUZZ=1, from another seed each time
(`make fuzz`). SACBE_FUZZ_SEED repeats one.
"""

from contextlib import suppress
from random import Random

import pytest
from lxml import etree

from node.messages import mediatype
from node.messages.fault import Fault, build_fault_xml
from node.messages.mediatype import mixed
from node.messages.multipart import MultipartReader
from node.messages.rest import RestRequestHead, RestResponseHead
from node.messages.soap import SoapMessage, check_strict, insert_request_hash, parse_soap
from node.messages.soap_answer import build_answer
from node.messages.soap_reader import SoapReader
from node.messages.transport import Direction
from node.messages.transport_reader import TransportReader
from tests.fuzzing import COUNT, LONG, SEED, Target, check, fixtures, own, run
from trust.base64text import encode_base64
from trust.digests import sha512
from trust.errors import MalformedMessage

DIGEST = sha512(b"request")
HASH = encode_base64(DIGEST)

SOAP_WORDS = (
    b"<", b">", b"/>", b"</", b"&amp;", b"&#x41;", b"&#0;", b"&x;", b"'", b'"', b"<!--", b"-->",
    b"<![CDATA[", b"]]>", b"<?", b"?>", b"<!DOCTYPE a [", b"<!ENTITY b 'c'>", b"]>", b"\x00", b" ",
    b"<xro:id>", b"</xro:id>", b"<xro:id/>", b"<xro:requestHash>", b"</xro:requestHash>", b"xmlns=",
    b"<soapenv:Header>", b"</soapenv:Header>", b"<soapenv:Body>", b"</soapenv:Body>", b"xmlns:xro=",
    b"<soapenv:Fault>", b"</soapenv:Fault>", b"<faultcode>X</faultcode>", b"MEMBER", b"SUBSYSTEM",
    b"SERVER", b"http://x-road.eu/xsd/xroad.xsd", b"http://x-road.eu/xsd/identifiers", b"utf-16",
    b"http://schemas.xmlsoap.org/soap/envelope/", b"encoding=", b"iso-8859-1", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xe9", "é".encode(), b"xml:id='a'", b"algorithmId='x'", b"<a>", b"</a>", b"\r\n",
)  # fmt: skip
_FIELDS = (
    '<x:client i:objectType="MEMBER">{p}</x:client>',
    '<x:client i:objectType="SUBSYSTEM">{p}<i:subsystemCode>s</i:subsystemCode></x:client>',
    '<x:service i:objectType="SERVICE">{p}<i:serviceCode>call</i:serviceCode></x:service>',
    "<x:id>{t}</x:id>", "<x:id xmlns:y='urn:y' {a}>{t}</x:id>", "<x:id {a}/>",
    '<id xmlns="http://x-road.eu/xsd/xroad.xsd" {a}>{t}</id>', "<x:userId>{t}</x:userId>",
    "<x:issue>{t}</x:issue>", "<x:protocolVersion>4.0</x:protocolVersion>",
    "<x:protocolVersion>{t}</x:protocolVersion>", "<x:requestHash {a}>{t}</x:requestHash>",
    "<x:requestHash/>", "<x:u>{t}</x:u>", "<!-- <x:id> -->", "<?p {a}?>", "{t}", "\n  ",
    "<x:o><x:id/></x:o>",
)  # fmt: skip
_NEEDED = (0, 2, 3, 9)
_TEXTS = (
    "",
    " ",
    "1",
    "é",
    "&lt;",
    "<![CDATA[<x:id>]]>",
    "<!-- c -->",
    "a" * 300,
    "<b/>",
    ">",
    "'",
)
_ATTRIBUTES = ("", "a='>'", 'b="/"', "xml:id='n'", "algorithmId='q'", "xml:lang = 'es'")
_PARTS = (
    "<i:xRoadInstance>EX</i:xRoadInstance><i:memberClass>GOV</i:memberClass>"
    "<i:memberCode>{t}</i:memberCode>"
)


def grow_soap(random: Random) -> bytes:
    """An envelope whose header is mostly complete, in some charset."""

    def filled(text: str) -> str:
        text = text.replace("{p}", _PARTS).replace("{a}", random.choice(_ATTRIBUTES))
        return text.replace("{t}", random.choice(_TEXTS) if random.random() < 0.15 else "1")

    chosen = [n for n in _NEEDED if random.random() < 0.95]
    chosen += random.choices(range(len(_FIELDS)), k=random.choice((0, 0, 1, 3)))
    random.shuffle(chosen)
    header = f"<s:Header>{''.join(filled(_FIELDS[n]) for n in chosen)}</s:Header>"
    wrapper = random.choice(
        (
            "<call/>",
            "<callResponse>{t}</callResponse>",
            "<o:call xmlns:o='o:o'/>",
            "<other/>",
            "<s:Fault><faultcode>{t}</faultcode></s:Fault>",
            "",
        )
    )
    body = f"<s:Body>{filled(wrapper) * (1 if random.random() < 0.95 else 2)}</s:Body>"
    parts = [header, body] if random.random() < 0.9 else random.choices([header, body, ""], k=3)
    charset = random.choice(("utf-8",) * 6 + ("utf-16", "iso-8859-1", "utf-8-sig", "utf-32"))
    declared = charset if random.random() < 0.9 else random.choice(("utf-8", "utf-16"))
    text = (
        f"<?xml version='1.0' encoding='{declared.removesuffix('-sig')}'?>"
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:i="http://x-road.eu/xsd/identifiers">'
        f"{''.join(parts)}</s:Envelope>"
    )
    return text.encode(charset)


def take_soap(data: bytes, random: Random) -> None:
    charset = random.choice(("", "; charset=utf-8", "; charset=ISO-8859-1"))
    message = parse_soap(data, f"text/xml{charset}")
    if not isinstance(message, SoapMessage):
        return
    with_hash = parse_soap(insert_request_hash(data, message.charset, DIGEST), "text/xml")
    assert isinstance(with_hash, SoapMessage)
    assert with_hash.header.request_hash == HASH
    assert with_hash.header.message_id == message.header.message_id
    with suppress(MalformedMessage):
        check_strict(message)
    answer = parse_soap(build_answer(message, lambda wrapper: None), "text/xml")
    assert isinstance(answer, SoapMessage)
    assert answer.header == message.header


B = "xtopQwErTyUiOpAsDfGhJkLzXcVbNmQwEr"
PART_WORDS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"--", b"--" + B.encode(), b"--" + B.encode() + b"--",
    b"--in", b"--in--", b"content-type:", b"Content-Type: ", b":", b" ", b"\t", b"\x00", b"\xff",
    b"text/xml", b"multipart/mixed; boundary=in", b"application/x-road-rest-request", b"; charset=",
    b"application/x-road-rest-body", b"signature/bdoc-1.0/ts", b"application/hash-chain-result",
    b"application/hash-chain", b"application/ocsp-response", b"X-Field: v\r\n ", b"a" * 1100,
)  # fmt: skip
_FAULT_XML = build_fault_xml(Fault("server.serverproxy.access_denied", "no", "id"))
_BODIES: tuple[tuple[str, bytes], ...] = (
    (mediatype.REST_REQUEST, b"GET\r\n/r1/a\r\n"), (mediatype.REST_RESPONSE, b"200\r\nOK\r\n"),
    (mediatype.REST_BODY, b"body\r\n--xtop"), (mediatype.SIGNATURE, b"<s/>"),
    (mediatype.HASH_CHAIN, b"<c/>"), (mediatype.HASH_CHAIN_RESULT, b"<r/>"),
    (mediatype.OCSP_RESPONSE, b"\x30\x03\x0a\x01\x03"), (mediatype.TEXT_XML, _FAULT_XML),
    (mediatype.TEXT_XML, own("soap")[0]), (mediatype.XOP_XML, own("soap")[0]),
    (mixed("in"), b"--in\r\nContent-Type: a/b\r\nX: y\r\n\r\nbytes\r\n--in--\r\n"), ("a/b", b""),
)  # fmt: skip
_USUAL = ((6, 0, 2, 3), (0, 3), (8, 10, 3), (8, 5, 4, 3), (1, 2, 3), (7,), (8,))


def grow_multipart(random: Random) -> bytes:
    """A message whose parts are mostly in a legal order."""
    parts = [_BODIES[n] for n in random.choice(_USUAL)]
    if random.random() < 0.3:
        parts.insert(random.randrange(len(parts) + 1), random.choice(_BODIES))
    end = random.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
    pieces = [random.choice((b"", b"", b"preamble" + end))]
    for content_type, body in parts:
        fields = [f"content-type: {content_type}".encode(), b"content-id: <a>", b"X-Long: a\r\n b"]
        head = end.join(fields[: random.randint(0 if random.random() < 0.05 else 1, 3)])
        pieces.append(b"--" + B.encode() + end + head + end + end + body + end)
    closing = random.choice((b"--", b"--", b"--", b"-", b""))
    return b"".join([*pieces, b"--", B.encode(), closing, end])


def take_multipart(data: bytes, random: Random) -> None:
    """In pieces of any size, to the reader alone, to that of peers, and to that of systems."""
    step = random.choice((len(data) // 300 + 1, 100, 1000, 10_000))
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    failures = []
    for reader in (
        MultipartReader(B),
        TransportReader(random.choice(list(Direction)), mixed(B)),
        TransportReader(Direction.RESPONSE, "text/xml"),
        SoapReader(f"multipart/related; boundary={B}"),
    ):
        try:
            for piece in pieces:
                reader.feed(piece)
            reader.close()
            if isinstance(reader, TransportReader):
                reader.check_complete(rest=random.random() < 0.5)
        except MalformedMessage as error:
            failures.append(error)
    if len(failures) == 4:
        raise failures[1]


REST_WORDS = (
    b"\r\n", b"\n", b"\r", b":", b"%", b"%2F", b"%2e", b"%00", b"%ff", b"/", b"//", b"/../", b"?",
    b"#", b"/r1/", b"/r2/", b"GET", b"POST", b"PATCH", b"X-Road-Client:",
    b"x-road-client:EX/GOV/1/s\r\n", b"x_road_client:a", b"x-road-id:", b"x-road-request-id:",
    b"x-road-represented-party:a/b/c",
    b"X-Road-Security-Server:EX/GOV/1/s\r\n", b"Host:a", b"\x00", b"\xff", "é".encode(), b" ",
    b"\t", b"200", b"99", b"x-road-request-hash:AAAA\r\n", b"a" * 300,
)  # fmt: skip
_REQUEST = (
    b"POST\r\n/r1/EX/COM/2002/registry/people/v2/persons?dry=true\r\n"
    b"X-Road-Client:EX/GOV/1001/portal\r\nX-Road-Id:4f5a2f5e-0002\r\n"
    b"X-Road-Represented-Party:COM/1\r\nX-Road-Security-Server:EX/COM/2002/ss\r\n"
    b"Content-Type:application/json\r\nx-road-request-id:6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22\r\n"
)
_RESPONSE = (
    b"200\r\nOK\r\nContent-Type:application/json\r\nx-road-id:4f5a2f5e-0002\r\n"
    b"x-road-client:EX/GOV/1001/portal\r\nx-road-service:EX/COM/2002/registry/people\r\n"
    b"x-road-request-id:6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22\r\nx-road-request-hash:AAAA\r\n"
)


def grow_rest(random: Random) -> bytes:
    """A head of headers that are known or not, some of them twice."""
    segments = (
        "EX",
        "GOV",
        "1001",
        "portal",
        "people",
        "a%20b",
        "%C3%A9",
        "",
        "..",
        "a+b",
        "%zz",
        "é",
    )
    path = "/".join(random.choices(segments[:7] if random.random() < 0.8 else segments, k=5))
    names = [
        b"X-Road-Client",
        b"x-road-id",
        b"x-road-request-id",
        b"Accept",
        b"X-Road-UserId",
        b"X-Road-Issue",
        b"X-Road-Security-Server",
        b"Content-Length",
        b"X-Road-Represented-Party",
    ]
    values = [
        b"EX/GOV/1001/portal",
        b"EX/GOV/1001",
        b"1",
        b"",
        b" v",
        b"a%2Fb/c",
        "é".encode(),
        b"\xe9",
    ]
    chosen = names[:3] + random.choices(names, k=random.randrange(6))
    lines = [random.choice((b"GET",) * 8 + (b"POST", b"get", b"")), f"/r1/{path}".encode()]
    lines += [
        name + b":" + random.choice(values[:2] if name == names[0] else values) for name in chosen
    ]
    return b"".join(line + b"\r\n" for line in lines)


def take_rest(data: bytes, random: Random) -> None:
    """As a head of either direction, and as what an HTTP server would make of the lines."""
    with suppress(MalformedMessage):
        RestResponseHead.parse(data)
    method, target, *lines = [*data.split(b"\r\n"), b"", b""]
    parted = (line.partition(b":") for line in lines if line)
    headers = [(name, value) for name, _, value in parted]
    with suppress(MalformedMessage):
        made = RestRequestHead.from_http(
            method.decode("latin-1"), target.decode("utf-8", "surrogateescape"), headers,
            request_id="6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22", instance="EX",
        )  # fmt: skip
        assert RestRequestHead.parse(made.raw) == made
    head = RestRequestHead.parse(data)
    assert head.raw == data
    answer = RestResponseHead.build(200, "OK", headers, head, DIGEST)
    assert answer.request_hash == DIGEST


TARGETS = (
    Target("soap", own("soap") + fixtures("queries"), SOAP_WORDS, grow_soap, take_soap),
    Target(
        "multipart",
        (*(grow_multipart(Random(n)) for n in range(20)), *fixtures("proxymessages")),
        PART_WORDS, grow_multipart, take_multipart,
    ),
    Target("rest", (_REQUEST, _RESPONSE), REST_WORDS, grow_rest, take_rest),
)  # fmt: skip


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_input_is_read_or_refused(target: Target) -> None:
    account = run(target, COUNT, SEED)
    check(account, f"{target.name}, seed {SEED}: {account}")


def test_the_harness_finds_a_reader_that_breaks() -> None:
    def take(data: bytes, random: Random) -> None:
        etree.fromstring(data)

    broken = Target("broken", (b"<a/>",), (b"<",), lambda random: b"<a/>", take)
    with pytest.raises(AssertionError, match="broken, seed 7, number"):
        run(broken, 200, 7)
