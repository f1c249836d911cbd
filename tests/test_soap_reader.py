"""What information systems send: envelopes and packages, read in pieces of any size."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.multipart import MultipartLimits
from node.messages.soap_reader import SoapEvent, SoapLimits, SoapReader
from node.messages.transport import BodyChunk, BodyEnd, BodyStart, SoapPart
from trust.errors import MalformedMessage

PACKAGE = "multipart/related; boundary=b"
WHOLE = (
    b"--b\r\nContent-Type: text/xml\r\nContent-ID: <a>\r\n\r\n<envelope/>\r\n"
    b"--b\r\ncontent-type: a/b\r\nX: 1\r\n\r\nfirst\r\n"
    b"--b\r\ncontent-type: c/d\r\n\r\n\r\n--b--\r\n"
)
EVENTS = [
    SoapPart(b"<envelope/>", "text/xml", (("Content-ID", "<a>"),)),
    BodyStart("/attachment1", "a/b", (("X", "1"),)),
    BodyChunk(b"first"),
    BodyEnd(),
    BodyStart("/attachment2", "c/d", ()),
    BodyEnd(),
]


def read(content_type: str, raw: bytes, cuts: list[int], limits: SoapLimits | None = None) -> list[
    SoapEvent
]:  # fmt: skip
    """All events, neighbouring chunks joined."""
    reader = SoapReader(content_type, limits)
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    events: list[SoapEvent] = []
    for start, end in itertools.pairwise(places):
        events += reader.feed(raw[start:end])
    events += reader.close()
    joined: list[SoapEvent] = []
    for event in events:
        if isinstance(event, BodyChunk) and joined and isinstance(joined[-1], BodyChunk):
            joined[-1] = BodyChunk(joined[-1].data + event.data)
        else:
            joined.append(event)
    return joined


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_packages_are_read_in_pieces_of_any_size(cuts: list[int]) -> None:
    assert read(PACKAGE, WHOLE, cuts) == EVENTS
    assert read("text/xml; charset=x", b"<envelope/>", cuts) == [
        SoapPart(b"<envelope/>", "text/xml; charset=x", ())
    ]


@given(st.lists(st.sampled_from([b"--b", b"\r\n", b"content-type: a/b", b"--", b"x", b":"])))
def test_any_package_is_read_or_refused_the_same_whatever_the_pieces(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)

    def outcome(cuts: list[int]) -> object:
        try:
            return read(PACKAGE, raw, cuts)
        except MalformedMessage as error:
            return error.code

    assert outcome([]) == outcome(list(range(len(raw))))


@pytest.mark.parametrize("raw", [b"", b"a preamble", b"--b--", b"\r\n--b--\r\n"])
def test_a_package_of_nothing_has_no_event(raw: bytes) -> None:
    assert read(PACKAGE, raw, []) == []


@pytest.mark.parametrize(
    ("content_type", "raw", "code"),
    [
        ("text/plain", b"", "invalid_content_type"),
        ("application/soap+xml", b"", "invalid_content_type"),
        ("multipart/mixed; boundary=b", b"", "invalid_content_type"),
        ("multipart/related", b"", "invalid_content_type"),
        ("", b"", "invalid_content_type"),
        (PACKAGE, b"--b\r\nX: 1\r\n\r\nx\r\n--b--", "invalid_content_type"),
        (PACKAGE, WHOLE.replace(b"content-type: c/d\r\n", b""), "invalid_content_type"),
        (PACKAGE, WHOLE[:-4], "mime_parsing_failed"),
        (PACKAGE, WHOLE[:20], "mime_parsing_failed"),
    ],
)
def test_what_is_no_soap_message_is_refused(content_type: str, raw: bytes, code: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        read(content_type, raw, [])
    assert refused.value.code == code


@pytest.mark.parametrize("content_type", ["text/xml", PACKAGE])
def test_the_envelope_is_bounded_before_it_is_held(content_type: str) -> None:
    reader = SoapReader(content_type, SoapLimits(soap=10))
    if reader.packaged:
        reader.feed(b"--b\r\ncontent-type: text/xml\r\n\r\n")
    reader.feed(b"x" * 10)
    with pytest.raises(MalformedMessage, match="The SOAP message is larger than 10 bytes"):
        reader.feed(b"x")


def test_parts_are_bounded() -> None:
    limits = SoapLimits(multipart=MultipartLimits(parts=2))
    with pytest.raises(MalformedMessage, match="more than 2 parts"):
        read(PACKAGE, WHOLE, [], limits)
