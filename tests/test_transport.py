"""The order of parts, and the reader that makes typed events of a stream."""

import itertools

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from node.messages import mediatype
from node.messages.fault import Fault, build_fault_xml
from node.messages.mediatype import mixed
from node.messages.multipart import MultipartWriter
from node.messages.transport import (
    NEXT,
    BodyChunk,
    BodyEnd,
    BodyStart,
    Direction,
    FaultPart,
    HashChainPart,
    HashChainResultPart,
    OcspPart,
    PartKind,
    RestPart,
    SignaturePart,
    SoapPart,
    State,
    TransportEvent,
    advance,
)
from node.messages.transport_reader import TransportLimits, TransportReader
from tests.soap_messages import Envelope
from tests.vector_files import vector_path
from trust.errors import MalformedMessage

FOLDER = "asic/src/service/proxy/proxy-core/src/test/proxymessages"
QUERIES = "asic/src/service/proxy/proxy-core/src/test/queries"
BOUNDARY = "xtopQwErTyUiOpAsDfGhJkLzXcVbNmQwEr"
SOAP = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><x/></e:Body>'
    b"</e:Envelope>"
)
FAULT = Fault("server.serverproxy.access_denied", "no", "id")
OCSP = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
    Encoding.DER
)

MESSAGES: list[tuple[Direction, list[tuple[str, bytes]], list[TransportEvent]]] = [
    (
        Direction.REQUEST,
        [
            (mediatype.OCSP_RESPONSE, OCSP),
            (mediatype.OCSP_RESPONSE, OCSP),
            (mediatype.REST_REQUEST, b"GET\r\n"),
            (mediatype.REST_BODY, b"body\r\n--xtop"),
            (mediatype.HASH_CHAIN_RESULT, b"<r/>\n"),
            (mediatype.HASH_CHAIN, b"<c/>\n"),
            (mediatype.SIGNATURE, b"<s/>"),
        ],
        [
            OcspPart(OCSP),
            OcspPart(OCSP),
            RestPart(b"GET\r\n"),
            BodyStart("/attachment1", mediatype.REST_BODY, ()),
            BodyChunk(b"body\r\n--xtop"),
            BodyEnd(),
            HashChainResultPart(b"<r/>\n"),
            HashChainPart(b"<c/>\n"),
            SignaturePart(b"<s/>"),
        ],
    ),
    (
        Direction.REQUEST,
        [(mediatype.REST_REQUEST, b"GET\r\n"), ("Signature/BDOC-1.0/ts", b"<s/>")],
        [RestPart(b"GET\r\n"), SignaturePart(b"<s/>")],
    ),
    (
        Direction.RESPONSE,
        [
            (mediatype.REST_RESPONSE, b"200\r\n"),
            (mediatype.REST_BODY, b""),
            (mediatype.SIGNATURE, b"<s/>"),
        ],
        [
            RestPart(b"200\r\n"),
            BodyStart("/attachment1", mediatype.REST_BODY, ()),
            BodyEnd(),
            SignaturePart(b"<s/>"),
        ],
    ),
    (
        Direction.RESPONSE,
        [
            ("text/xml; charset=UTF-8", SOAP),
            (
                mixed("xattB"),
                b"\r\n--xattB\r\ncontent-type: application/pdf\r\nContent-ID: <a>\r\n\r\nPDF"
                b"\r\n--xattB\r\ncontent-type: text/plain\r\n\r\n\r\n--xattB--\r\n",
            ),
            (mediatype.SIGNATURE, b"<s/>"),
        ],
        [
            SoapPart(SOAP, "text/xml; charset=UTF-8", ()),
            BodyStart("/attachment1", "application/pdf", (("Content-ID", "<a>"),)),
            BodyChunk(b"PDF"),
            BodyEnd(),
            BodyStart("/attachment2", "text/plain", ()),
            BodyEnd(),
            SignaturePart(b"<s/>"),
        ],
    ),
    (
        Direction.RESPONSE,
        [
            (mediatype.REST_RESPONSE, b"200\r\n"),
            (mediatype.REST_BODY, b"half"),
            ("text/xml; charset=UTF-8", build_fault_xml(FAULT)),
        ],
        [
            RestPart(b"200\r\n"),
            BodyStart("/attachment1", mediatype.REST_BODY, ()),
            BodyChunk(b"half"),
            BodyEnd(),
            FaultPart(FAULT, build_fault_xml(FAULT)),
        ],
    ),
    (
        Direction.RESPONSE,
        [("text/xml; charset=UTF-8", build_fault_xml(FAULT))],
        [FaultPart(FAULT, build_fault_xml(FAULT))],
    ),
]


def message(parts: list[tuple[str, bytes]], boundary: str = BOUNDARY) -> bytes:
    writer = MultipartWriter(boundary)
    return b"".join(writer.open_part(kind) + body for kind, body in parts) + writer.close()


def joined(events: list[TransportEvent]) -> list[TransportEvent]:
    """Events with neighbouring chunks put together."""
    found: list[TransportEvent] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, BodyChunk) and isinstance(last, BodyChunk):
            found[-1] = BodyChunk(last.data + event.data)
        else:
            found.append(event)
    return found


def read(
    reader: TransportReader, raw: bytes, sizes: list[int] | None = None
) -> list[TransportEvent]:
    events: list[TransportEvent] = []
    at = 0
    for size in itertools.chain(sizes or [], [len(raw)]):
        events += reader.feed(raw[at : at + size])
        at += size
    return joined(events + reader.close())


@pytest.mark.parametrize(("direction", "parts", "events"), MESSAGES)
@given(sizes=st.lists(st.integers(1, 60)))
def test_messages_are_read_in_pieces_of_any_size(
    direction: Direction,
    parts: list[tuple[str, bytes]],
    events: list[TransportEvent],
    sizes: list[int],
) -> None:
    reader = TransportReader(direction, mixed(BOUNDARY))
    assert read(reader, message(parts), sizes) == events
    reader.check_complete(rest=any(isinstance(event, RestPart) for event in events))


def test_one_byte_at_a_time_gives_the_same() -> None:
    for direction, parts, events in MESSAGES:
        raw = message(parts)
        reader = TransportReader(direction, mixed(BOUNDARY))
        assert read(reader, raw, [1] * len(raw)) == events


def test_other_fields_of_soap_and_attachment_parts_are_kept() -> None:
    writer = MultipartWriter(BOUNDARY)
    raw = writer.open_part("text/xml", [("Content-ID", "<root>")]) + SOAP
    raw += writer.open_part(mediatype.SIGNATURE) + b"<s/>" + writer.close()
    reader = TransportReader(Direction.REQUEST, mixed(BOUNDARY))
    assert read(reader, raw)[0] == SoapPart(SOAP, "text/xml", (("Content-ID", "<root>"),))


_TYPES = [
    mediatype.OCSP_RESPONSE, mediatype.REST_REQUEST, mediatype.REST_RESPONSE, "text/xml",
    mediatype.XOP_XML, mediatype.REST_BODY, mixed("xattB"), mediatype.HASH_CHAIN_RESULT,
    mediatype.HASH_CHAIN, mediatype.SIGNATURE, "text/plain", "application/octet-stream",
]  # fmt: skip
_BODIES = [b"", OCSP, SOAP, build_fault_xml(FAULT), b"x", b"--xattB--"]
_CODES = {"invalid_content_type", "invalid_message", "invalid_soap", "io_error",
          "mime_parsing_failed", "missing_rest", "missing_soap", "missing_signature"}  # fmt: skip


@given(
    st.sampled_from(Direction),
    st.lists(st.tuples(st.sampled_from(_TYPES), st.sampled_from(_BODIES)), max_size=6),
    st.lists(st.integers(1, 80)),
)
def test_any_sequence_of_parts_is_read_or_refused_with_a_code_of_the_protocol(
    direction: Direction, parts: list[tuple[str, bytes]], sizes: list[int]
) -> None:
    def outcome(sizes: list[int]) -> list[TransportEvent] | str:
        reader = TransportReader(direction, mixed(BOUNDARY))
        try:
            events = read(reader, message(parts), sizes)
            reader.check_complete(rest=True)
        except MalformedMessage as error:
            return error.code
        return events

    whole = outcome([])
    assert whole == outcome(sizes)
    if isinstance(whole, str):
        assert whole in _CODES
    else:
        assert isinstance(whole[-1], SignaturePart | FaultPart) or any(
            isinstance(event, FaultPart) for event in whole
        )


@pytest.mark.parametrize(
    ("direction", "parts", "code", "reason"),
    [
        (Direction.REQUEST, [("text/plain", b"")], "invalid_content_type", "for SOAP message"),
        (Direction.REQUEST, [(mediatype.REST_RESPONSE, b"")], "invalid_content_type", "for SOAP"),
        (Direction.RESPONSE, [(mediatype.REST_REQUEST, b"")], "invalid_content_type", "for SOAP"),
        (Direction.RESPONSE, [(mediatype.OCSP_RESPONSE, OCSP)], "invalid_content_type", "for SO"),
        (Direction.REQUEST, [(mediatype.OCSP_RESPONSE, b"DUMMY")], "io_error", "OCSP"),
        (Direction.REQUEST, [(mediatype.OCSP_RESPONSE, OCSP)] * 11, "invalid_message", "than 10"),
        (
            Direction.REQUEST,
            [(mediatype.REST_REQUEST, b""), (mediatype.OCSP_RESPONSE, OCSP)],
            "invalid_content_type",
            "instead of signature: application/ocsp-response",
        ),
        (
            Direction.REQUEST,
            [(mediatype.REST_REQUEST, b""), (mixed("xattB"), b"--xattB--")],
            "invalid_content_type",
            "instead of signature: multipart/mixed",
        ),
        (
            Direction.REQUEST,
            [
                (mediatype.REST_REQUEST, b""),
                (mediatype.HASH_CHAIN, b""),
                (mediatype.REST_BODY, b""),
            ],
            "invalid_content_type",
            "instead of signature",
        ),
        (
            Direction.REQUEST,
            [(mediatype.REST_REQUEST, b""), ("text/xml", SOAP)],
            "invalid_content_type",
            "instead of signature: text/xml",
        ),
        (
            Direction.REQUEST,
            [(mediatype.REST_REQUEST, b""), (mediatype.SIGNATURE, b""), ("Text/Plain", b"")],
            "invalid_message",
            r"Extra content \(text/plain\) after signature",
        ),
        (Direction.REQUEST, [("text/xml", b"<x")], "invalid_soap", "well-formed"),
        (
            Direction.REQUEST,
            [("text/xml", SOAP), (mixed("xattB"), b"--xattB\r\ncontent-type: a/b\r\n\r\ncut")],
            "mime_parsing_failed",
            "closing delimiter",
        ),
        (
            Direction.REQUEST,
            [("text/xml", SOAP), ("multipart/mixed", b"")],
            "invalid_content_type",
            "boundary",
        ),
    ],
)
def test_parts_out_of_place_are_refused(
    direction: Direction, parts: list[tuple[str, bytes]], code: str, reason: str
) -> None:
    with pytest.raises(MalformedMessage, match=reason) as refused:
        read(TransportReader(direction, mixed(BOUNDARY)), message(parts))
    assert refused.value.code == code


@pytest.mark.parametrize("fields", [b"X: y\r\n", b"content-type: a/b\r\nContent-Type: a/b\r\n"])
def test_a_part_has_exactly_one_content_type(fields: bytes) -> None:
    raw = b"--" + BOUNDARY.encode() + b"\r\n" + fields + b"\r\n"
    with pytest.raises(MalformedMessage, match="Could not get content type for part"):
        TransportReader(Direction.REQUEST, mixed(BOUNDARY)).feed(raw)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (TransportLimits(ocsp=5), mediatype.OCSP_RESPONSE),
        (TransportLimits(rest_head=5), mediatype.REST_REQUEST),
        (TransportLimits(soap=5), "text/xml"),
    ],
)
def test_what_is_held_in_memory_is_bounded(limits: TransportLimits, kind: str) -> None:
    reader = TransportReader(Direction.REQUEST, mixed(BOUNDARY), limits)
    with pytest.raises(MalformedMessage, match="larger than 5 bytes"):
        read(reader, message([(kind, b"123456")]))


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (TransportLimits(hash_chain_result=5), mediatype.HASH_CHAIN_RESULT),
        (TransportLimits(hash_chain=5), mediatype.HASH_CHAIN),
        (TransportLimits(signature=5), mediatype.SIGNATURE),
        (TransportLimits(soap=5), "text/xml"),
    ],
)
def test_evidence_is_bounded_too(limits: TransportLimits, kind: str) -> None:
    reader = TransportReader(Direction.REQUEST, mixed(BOUNDARY), limits)
    with pytest.raises(MalformedMessage, match="larger than 5 bytes"):
        read(reader, message([(mediatype.REST_REQUEST, b""), (kind, b"123456")]))


@pytest.mark.parametrize(
    ("content_type", "direction"),
    [
        ("tsdfsdfsdf", Direction.REQUEST),
        ("text/xml", Direction.REQUEST),
        ("multipart/related; boundary=b", Direction.RESPONSE),
        ("multipart/mixed", Direction.RESPONSE),
    ],
)
def test_other_content_types_are_refused(content_type: str, direction: Direction) -> None:
    with pytest.raises(MalformedMessage) as refused:
        TransportReader(direction, content_type)
    assert refused.value.code == "invalid_content_type"


def test_a_bare_fault_is_the_whole_answer() -> None:
    raw = build_fault_xml(FAULT)
    reader = TransportReader(Direction.RESPONSE, "text/xml; charset=utf-8")
    assert read(reader, raw, [10, 10]) == [FaultPart(FAULT, raw)]
    reader.check_complete(rest=True)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (Envelope().raw, "invalid_message"),
        (SOAP, "missing_header"),
        (b"", "invalid_soap"),
        (b"<x", "invalid_soap"),
    ],
)
def test_a_bare_answer_that_is_no_fault_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        read(TransportReader(Direction.RESPONSE, "text/xml"), raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("direction", "parts", "rest", "code", "text"),
    [
        (Direction.REQUEST, [], True, "missing_rest", "Request does not have REST message"),
        (Direction.REQUEST, [], False, "missing_soap", "Request does not have SOAP message"),
        (
            Direction.RESPONSE,
            [("text/xml", SOAP), (mediatype.SIGNATURE, b"")],
            True,
            "missing_rest",
            "Response does not have REST message",
        ),
        (
            Direction.REQUEST,
            [(mediatype.REST_REQUEST, b""), (mediatype.REST_BODY, b"")],
            True,
            "missing_signature",
            "Request does not have signature",
        ),
    ],
)
def test_a_message_without_its_parts_is_incomplete(
    direction: Direction, parts: list[tuple[str, bytes]], rest: bool, code: str, text: str
) -> None:
    reader = TransportReader(direction, mixed(BOUNDARY))
    writer_close = b"--" + BOUNDARY.encode() + b"--"
    read(reader, message(parts) if parts else writer_close)
    with pytest.raises(MalformedMessage, match=text) as refused:
        reader.check_complete(rest=rest)
    assert refused.value.code == code


def test_a_message_that_was_cut_is_refused() -> None:
    reader = TransportReader(Direction.REQUEST, mixed(BOUNDARY))
    reader.feed(message([(mediatype.REST_REQUEST, b""), (mediatype.SIGNATURE, b"")])[:-6])
    with pytest.raises(MalformedMessage, match="closing delimiter"):
        reader.close()


def test_every_state_of_both_tables_ends_or_goes_on() -> None:
    for direction in Direction:
        assert set(NEXT[direction]) == set(State)
        for state in State:
            allowed = {k for k in PartKind if _allowed(direction, state, k)}
            assert allowed == set(NEXT[direction][state])
            assert (PartKind.SIGNATURE in allowed) is (state not in (State.BEGUN, State.ENDED))


def _allowed(direction: Direction, state: State, kind: PartKind) -> bool:
    try:
        advance(direction, state, kind, "a/b")
    except MalformedMessage:
        return False
    return True


VECTOR_TYPE = mixed("xtop1357783211hcn1yiro")
FOUND = {
    "normal.request": [SoapPart, SignaturePart],
    "normal-soapfault.request": [FaultPart, SignaturePart],
    "attachment.request": [SoapPart, BodyStart, BodyChunk, BodyEnd, SignaturePart],
    "ocsp.request": [OcspPart, SoapPart, SignaturePart],
    "fault-signature.request": [SoapPart, FaultPart],
}


@pytest.mark.interop
@pytest.mark.parametrize(("name", "kinds"), FOUND.items())
def test_decoder_vectors_are_read(name: str, kinds: list[type]) -> None:
    raw = vector_path(f"{FOLDER}/{name}").read_bytes()
    content_type = mixed("xtop569125687hcu8vfma") if "attachment" in name else VECTOR_TYPE
    for sizes in ([], [1] * len(raw)):
        events = read(TransportReader(Direction.REQUEST, content_type), raw, sizes)
        assert [type(event) for event in events] == kinds


REFUSED = {
    f"{FOLDER}/extracontent.request": (VECTOR_TYPE, "invalid_message"),
    f"{FOLDER}/invalid-ocsp.request": (VECTOR_TYPE, "io_error"),
    f"{FOLDER}/invalid-soap-contenttype.request": (VECTOR_TYPE, "invalid_content_type"),
    f"{FOLDER}/invalid-contenttype-signature.request": (VECTOR_TYPE, "invalid_content_type"),
    f"{QUERIES}/simple.query": ("text/xml", "invalid_message"),
    f"{QUERIES}/attachm-error.query": ("multipart/mixed", "invalid_content_type"),
    f"{FOLDER}/normal.request": ("tsdfsdfsdf", "invalid_content_type"),
}


@pytest.mark.interop
@pytest.mark.parametrize("name", REFUSED)
def test_decoder_vectors_are_refused(name: str) -> None:
    raw = vector_path(name).read_bytes()
    content_type, code = REFUSED[name]
    with pytest.raises(MalformedMessage) as refused:
        read(TransportReader(Direction.RESPONSE if "/queries/" in name else Direction.REQUEST,
                             content_type), raw)  # fmt: skip
    assert refused.value.code == code


@pytest.mark.interop
def test_the_bare_fault_vector_is_a_fault() -> None:
    raw = vector_path(f"{QUERIES}/fault.query").read_bytes()
    (event,) = read(TransportReader(Direction.RESPONSE, "text/xml"), raw)
    assert isinstance(event, FaultPart)
    assert event.fault.code == "CODE"
