"""requestHash is put behind id, and nothing else of a response changes by a byte."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.soap import SoapMessage, insert_request_hash, parse_soap
from tests.own_vectors import Vector, load, vector
from tests.vector_files import vector_path
from trust.base64text import encode_base64
from trust.digests import sha512
from trust.errors import MalformedMessage

DIGEST = sha512(b"request")
HASH = encode_base64(DIGEST)
ALGORITHM = "http://www.w3.org/2001/04/xmlenc#sha512"
NEW = re.compile(rb"\s*<([^ >:]+:)?requestHash [^>]*>[^<]*</([^ >:]+:)?requestHash>")
PARTS = (
    '<i:xRoadInstance xmlns:i="http://x-road.eu/xsd/identifiers">EX</i:xRoadInstance>'
    '<i:memberClass xmlns:i="http://x-road.eu/xsd/identifiers">GOV</i:memberClass>'
    '<i:memberCode xmlns:i="http://x-road.eu/xsd/identifiers">1</i:memberCode>'
)


def envelope(fields: str, declared: str = "") -> str:
    """An answer whose header has these fields besides client, service and version."""
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:x="http://x-road.eu/xsd/xroad.xsd"{declared}><s:Header>'
        '<x:client xmlns:i="http://x-road.eu/xsd/identifiers" i:objectType="MEMBER">'
        f'{PARTS}</x:client><x:service xmlns:i="http://x-road.eu/xsd/identifiers" '
        f'i:objectType="SERVICE">{PARTS}<i:serviceCode>call</i:serviceCode></x:service>'
        f"{fields}<x:protocolVersion>4.0</x:protocolVersion></s:Header>"
        "<s:Body><callResponse>&lt;x:id&gt;</callResponse></s:Body></s:Envelope>"
    )


def inserted(raw: bytes) -> bytes:
    """The response with the hash; it is read again and says what was to be inserted."""
    before = parse_soap(raw, "text/xml")
    assert isinstance(before, SoapMessage)
    after = insert_request_hash(raw, before.charset, DIGEST)
    message = parse_soap(after, "text/xml")
    assert isinstance(message, SoapMessage)
    assert message.header.request_hash == HASH
    assert message.charset == before.charset
    assert message.header.message_id == before.header.message_id
    assert message.body_name == before.body_name
    return after


def new_part(fields: str, declared: str = "") -> str:
    """What stands between the end of id and the next field after the insertion."""
    after = inserted(envelope(fields, declared).encode()).decode()
    return after[after.index("</x:service>") + len("</x:service>") : after.index("<x:protocol")]


@pytest.mark.parametrize("vector", load("soap", "accepted"), ids=str)
def test_all_but_the_new_element_stays(vector: Vector) -> None:
    after = inserted(vector.payload)
    if vector.name == "good-utf-16":
        after = after[2:].decode("utf-16-le").encode()
        before = vector.payload[2:].decode("utf-16-le").encode()
    else:
        before = vector.payload
    assert NEW.sub(b"", after) == NEW.sub(b"", before)


@pytest.mark.interop
def test_the_fixtures_of_the_reference_take_a_hash() -> None:
    folder = vector_path("asic/src/service/proxy/proxy-core/src/test/queries")
    taken = 0
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        try:
            message = parse_soap(raw, "text/xml")
        except MalformedMessage:
            continue
        if isinstance(message, SoapMessage):
            assert NEW.sub(b"", inserted(raw)) == NEW.sub(b"", raw)
            taken += 1
    assert taken == 25


def test_the_worked_example_comes_out_byte_for_byte() -> None:
    request = vector("soap/example-request").payload
    answer = vector("soap/example-answer").payload
    # the reference also ends its document with a line feed, which ours does not need
    expected = vector("soap/example-response").payload.removesuffix(b"\n")
    assert insert_request_hash(answer, "utf-8", sha512(request)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("<x:id>1</x:id>", f'<x:id>1</x:id><x:requestHash algorithmId="{ALGORITHM}">{HASH}'
         "</x:requestHash>"),
        ("\n\t<x:id />\n\t", f'\n\t<x:id />\n\t<x:requestHash algorithmId="{ALGORITHM}">{HASH}'
         "</x:requestHash>\n\t"),
        ("<x:id a='>' xml:id=\"b\" algorithmId='c'\n d = \"'\"/>",
         "<x:id a='>' xml:id=\"b\" algorithmId='c'\n d = \"'\"/>"
         f"<x:requestHash a='>' d=\"'\" algorithmId=\"{ALGORITHM}\">{HASH}</x:requestHash>"),
        ('<n:id xmlns:n="http://x-road.eu/xsd/xroad.xsd">1</n:id>',
         '<n:id xmlns:n="http://x-road.eu/xsd/xroad.xsd">1</n:id>'
         f'<n:requestHash xmlns:n="http://x-road.eu/xsd/xroad.xsd" algorithmId="{ALGORITHM}">'
         f"{HASH}</n:requestHash>"),
        ("<id xmlns='http://x-road.eu/xsd/xro&#97;d.xsd'>1</id>",
         "<id xmlns='http://x-road.eu/xsd/xro&#97;d.xsd'>1</id>"
         "<requestHash xmlns='http://x-road.eu/xsd/xro&#97;d.xsd' "
         f'algorithmId="{ALGORITHM}">{HASH}</requestHash>'),
        ("<!-- <x:id>2</x:id> --><?x <x:id> ?><x:id><![CDATA[</x:id>]]></x:id >",
         "<!-- <x:id>2</x:id> --><?x <x:id> ?><x:id><![CDATA[</x:id>]]></x:id >"
         f'<x:requestHash algorithmId="{ALGORITHM}">{HASH}</x:requestHash>'),
        ("<o><x:id>0</x:id></o> <x:id>1</x:id>",
         "<o><x:id>0</x:id></o> <x:id>1</x:id>"
         f' <x:requestHash algorithmId="{ALGORITHM}">{HASH}</x:requestHash>'),
        ("<x:id>1</x:id>\n <x:requestHash algorithmId='old'>AA<!-- --></x:requestHash>\n",
         None),
        ("<x:id>1</x:id>\n <x:requestHash a='/'>AA</x:requestHash>\n",
         f'<x:id>1</x:id><x:requestHash algorithmId="{ALGORITHM}">{HASH}</x:requestHash>\n'),
        ("\n<x:requestHash/>\n <x:id>1</x:id>",
         f'\n <x:id>1</x:id>\n <x:requestHash algorithmId="{ALGORITHM}">{HASH}</x:requestHash>'),
    ],
)  # fmt: skip
def test_the_element_looks_like_id_and_stands_behind_it(fields: str, expected: str | None) -> None:
    if expected is None:  # a comment inside a field: refused when it is read
        with pytest.raises(MalformedMessage, match="must hold text alone"):
            new_part(fields)
    else:
        assert new_part(fields) == expected


def test_a_default_namespace_and_a_prefix_with_another_meaning_inside() -> None:
    declared = ' xmlns="http://x-road.eu/xsd/xroad.xsd"'
    assert new_part("<id>1</id>", declared) == (
        f'<id>1</id><requestHash algorithmId="{ALGORITHM}">{HASH}</requestHash>'
    )
    part = new_part('<a xmlns:x="urn:x"><x:id/></a><x:id/>')
    assert part.endswith(f'<x:id/><x:requestHash algorithmId="{ALGORITHM}">{HASH}</x:requestHash>')


def test_a_body_in_front_is_passed_over() -> None:
    raw = vector("soap/good-body-before-header").payload
    raw = raw.replace(b"<pop:code>", b'<xro:id>no</xro:id><!-- " --><pop:code>')
    after = inserted(raw)
    assert after.index(b"requestHash") > after.index(b"7c0c2e8a")


def test_an_endless_indentation_is_not_repeated() -> None:
    after = new_part(" " * 5000 + "<x:id>1</x:id>")
    assert after.startswith(" " * 5000 + "<x:id>1</x:id>" + " " * 100 + "<x:requestHash")


@pytest.mark.parametrize(
    ("raw", "charset", "code"),
    [
        (b"<a/>", "utf-8", "invalid_soap"),
        (envelope("").encode(), "utf-8", "missing_header_field"),
        (vector("soap/no-header").payload, "utf-8", "missing_header_field"),
        (vector("soap/good-utf-16").payload, "utf-8", "invalid_soap"),
        (envelope("<x:id/>").encode(), "utf-16", "invalid_soap"),
        (envelope("<x:id/>").encode() + b" ", "utf-16", "invalid_soap"),
    ],
)
def test_what_cannot_take_a_hash_is_refused(raw: bytes, charset: str, code: str) -> None:
    with pytest.raises(MalformedMessage) as error:
        insert_request_hash(raw, charset, DIGEST)
    assert error.value.code == code


CHARSETS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "windows-1252")


def _declaration(charset: str) -> str:
    """With the name that the bytes go by; the codecs of Python also name a byte order."""
    name = {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(charset)
    return f"<?xml version='1.0' encoding='{name or charset}'?>"


@pytest.mark.parametrize("charset", CHARSETS)
def test_every_charset_keeps_its_bytes(charset: str) -> None:
    message_id, issue = "<x:id>Perón</x:id>", "<x:issue>ñ°</x:issue>"
    new = f'<x:requestHash algorithmId="{ALGORITHM}">{HASH}</x:requestHash>'
    text = _declaration(charset) + envelope(message_id + issue)
    after = inserted(text.encode(charset))
    assert after == text.replace(message_id, message_id + new).encode(charset)


_VALUE = st.sampled_from(["v", "&gt;>", "&quot;", "&#x3c;", "é", "a=b", "/", " ", ""])
_ATTRIBUTE = st.builds(
    lambda name, value, quote: (name, f"{quote}{value}{quote}"),
    st.sampled_from(["a", "b", "xml:lang", "x:c", "algorithmId"]),
    _VALUE,
    st.sampled_from("'\""),
)
_SPARE = st.sampled_from([("xmlns:y", "'urn:a=b'"), ("xmlns:z", '"urn:z"'), ("xml:id", "'n1'")])
_ATTRIBUTES = st.lists(_ATTRIBUTE | _SPARE, max_size=4, unique_by=lambda pair: pair[0])
_NOISE = st.lists(
    st.sampled_from(
        ["\n  ", "\t", "<!-- <x:id> '\" -->", "<?p > <x:id ?>", "<o/>", "<o><x:id>'</x:id></o>",
         "text", "<![CDATA[<x:id>]]>", "<x:other a='>'>\"</x:other>", "&lt;x:id&gt;", "é"]
    ),
    max_size=4,
).map("".join)  # fmt: skip
_HELD = st.sampled_from(["", "1", "&amp;", "<![CDATA[</x:id>]]>", "é", "a > b ' \" /"])
_STALE = st.sampled_from(["", "<x:requestHash/>", " <x:requestHash a='>'>AA</x:requestHash>"])
_NAMES = st.sampled_from(
    [("x:", ()), ("n:", (("xmlns:n", "'http://x-road.eu/xsd/xroad.xsd'"),)),
     ("", (("xmlns", '"http://x-road.eu/xsd/xroad.xsd"'),))]
)  # fmt: skip
_WHITE = " \t\n"


def _written(attributes: Iterable[tuple[str, str]]) -> str:
    return "".join(f" {name}={value}" for name, value in attributes)


@given(
    _NOISE, _NAMES, _ATTRIBUTES, _HELD, _NOISE, _STALE, st.booleans(), st.sampled_from(CHARSETS)
)  # fmt: skip
def test_any_header_takes_a_hash_and_keeps_the_rest(
    before: str,
    name: tuple[str, tuple[tuple[str, str], ...]],
    attributes: list[tuple[str, str]],
    held: str,
    behind: str,
    stale: str,
    stale_first: bool,
    charset: str,
) -> None:
    prefix, declared = name
    every = [*declared, *attributes]
    message_id = f"<{prefix}id{_written(every)}>{held}</{prefix}id>"
    copied = _written(pair for pair in every if pair[0] not in ("algorithmId", "xml:id"))
    new = (
        before[len(before.rstrip(_WHITE)) :]
        + f'<{prefix}requestHash{copied} algorithmId="{ALGORITHM}">{HASH}</{prefix}requestHash>'
    )
    if stale_first:
        sent = stale + before + message_id + behind
        expected = before + message_id + new + behind
    else:
        sent = before + message_id + behind + stale
        expected = before + message_id + new + (behind.rstrip(_WHITE) if stale else behind)
    declaration = "" if "8" in charset and "utf" in charset else _declaration(charset)
    raw = (declaration + envelope(sent)).encode(charset)
    assert inserted(raw) == (declaration + envelope(expected)).encode(charset)
