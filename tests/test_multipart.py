"""The multipart reader and writer: bytes exact, whatever the pieces, bounded."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.messages.multipart import (
    MessageEnd,
    MultipartEvent,
    MultipartLimits,
    MultipartReader,
    MultipartWriter,
    PartData,
    PartEnd,
    PartHead,
    new_boundary,
)
from trust.errors import MalformedMessage

BOUNDARY = "xtopAb"
Part = tuple[tuple[tuple[str, str], ...], bytes]


def parts_of(events: list[MultipartEvent]) -> tuple[list[Part], bool]:
    """Events as whole parts, and whether the message ended; the order of events is checked."""
    parts: list[Part] = []
    open_head: PartHead | None = None
    body = b""
    ended = False
    for event in events:
        assert not ended
        match event:
            case PartHead():
                assert open_head is None
                open_head, body = event, b""
            case PartData(data):
                assert open_head is not None
                assert data
                body += data
            case PartEnd():
                assert open_head is not None
                parts.append((open_head.fields, body))
                open_head = None
            case MessageEnd():
                assert open_head is None
                ended = True
    return parts, ended


def read(raw: bytes, sizes: list[int] | None = None, boundary: str = BOUNDARY) -> list[Part]:
    reader = MultipartReader(boundary)
    events: list[MultipartEvent] = []
    at = 0
    for size in sizes or [len(raw)]:
        events += reader.feed(raw[at : at + size])
        at += size
    events += reader.feed(raw[at:])
    reader.close()
    parts, ended = parts_of(events)
    assert ended
    return parts


def written(bodies: list[bytes], boundary: str = BOUNDARY) -> bytes:
    writer = MultipartWriter(boundary)
    raw = b"".join(
        writer.open_part("text/plain", [("X-No", str(n))]) + body for n, body in enumerate(bodies)
    )
    return raw + writer.close()


def outcome(raw: bytes, sizes: list[int] | None = None) -> list[Part] | str:
    try:
        return read(raw, sizes)
    except MalformedMessage as error:
        return error.code


def test_the_writer_gives_the_exact_bytes_of_the_protocol() -> None:
    writer = MultipartWriter("xtopB")
    raw = writer.open_part("application/ocsp-response") + b"<DER>"
    raw += writer.open_part("text/xml; charset=UTF-8", [("Content-ID", "<root>")]) + b"<x/>"
    raw += writer.close()
    assert raw == (
        b"--xtopB\r\ncontent-type: application/ocsp-response\r\n\r\n<DER>\r\n"
        b"--xtopB\r\ncontent-type: text/xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n<x/>\r\n"
        b"--xtopB--\r\n"
    )


def test_boundaries_are_xtop_and_thirty_letters_and_differ() -> None:
    one, two = new_boundary(), new_boundary()
    assert one != two
    assert len(one) == 34
    assert one.startswith("xtop")
    assert one.isalpha()


# bodies made of what a delimiter is made of
_BODY = st.lists(
    st.sampled_from(
        [b"\r\n--xtopAb", b"\n--xtopA", b"--xtopAbX", b"\r", b"\n", b"-", b"xtop", b"a", b"\0\xff"]
    ),
    max_size=8,
).map(b"".join)


def _is_content(body: bytes) -> bool:
    """Whether no delimiter stands in the body; one needs white space or a dash behind it."""
    return not re.search(rb"\n--xtopAb[\r\n\t -]", b"\n" + body + b"\r\n")


@given(st.lists(_BODY.filter(_is_content), min_size=1, max_size=4), st.lists(st.integers(1, 40)))
@example([b""], [])
@example([b"\r\n", b"\r", b"\n"], [1] * 80)
def test_what_was_written_is_read_in_pieces_of_any_size(
    bodies: list[bytes], sizes: list[int]
) -> None:
    parts = read(written(bodies), sizes)
    assert [body for _, body in parts] == bodies
    assert [fields[1] for fields, _ in parts] == [("X-No", str(n)) for n in range(len(bodies))]


_DAMAGED = st.lists(
    st.sampled_from(
        [b"--xtopAb", b"--xtopAb--", b"\r\n", b"\n", b"\r", b"a: b", b" c", b":", b"x", b"-", b"\0"]
    ),
    max_size=14,
).map(b"".join)


@given(_DAMAGED, st.lists(st.integers(1, 9), min_size=1))
def test_any_input_is_read_or_refused_the_same_whatever_the_pieces(
    raw: bytes, sizes: list[int]
) -> None:
    whole = outcome(raw)
    assert whole == outcome(raw, sizes) == outcome(raw, [1] * len(raw))
    assert isinstance(whole, list) or whole == "mime_parsing_failed"


def test_line_ends_may_be_lf_alone() -> None:
    raw = b"--xtopAb\nContent-Type: text/xml\n\n<x/>\r\n\n--xtopAb--\n"
    assert read(raw) == [((("Content-Type", "text/xml"),), b"<x/>\r\n")]


def test_only_the_line_end_before_the_delimiter_is_cut_off() -> None:
    raw = b"--xtopAb\r\na: b\r\n\r\nbody\r\n\r\r\n--xtopAb--"
    assert read(raw)[0][1] == b"body\r\n\r"


@pytest.mark.parametrize("empty", [b"", b"\r\n", b"\n"])
def test_a_body_may_be_empty_with_and_without_its_line_end(empty: bytes) -> None:
    assert read(b"--xtopAb\r\na: b\r\n\r\n" + empty + b"--xtopAb--")[0][1] == b""


def test_a_line_that_only_begins_like_a_delimiter_is_content() -> None:
    raw = b"--xtopAb\r\na: b\r\n\r\n--xtopAbc\r\n --xtopAb\r\n--xtopAb--"
    assert read(raw)[0][1] == b"--xtopAbc\r\n --xtopAb"


def test_header_fields_are_unfolded_and_trimmed_and_repeats_are_kept() -> None:
    raw = b"--xtopAb  \r\nA:  one\r\n\ttwo \r\na: three\r\n\r\n\r\n--xtopAb--"
    (fields, _), *_ = read(raw)
    assert fields == (("A", "one\ttwo"), ("a", "three"))
    assert PartHead(fields).values("a") == ("one\ttwo", "three")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"--xtopAb\r\na: b\r\n\r\nbody",
        b"--xtopAb\r\na: b\r\n\r\nbody\r\n--xtopAb\r\n",
        b"--xtopAb\r\na: b\r\n\r\nbody\r\n--xtopAb-",
        b"no delimiter at all",
    ],
)
def test_a_message_without_its_closing_delimiter_is_refused(raw: bytes) -> None:
    assert outcome(raw) == "mime_parsing_failed"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"--xtopAb junk\r\n", "holds more"),
        (b"--xtopAb-x\r\n", "holds more"),
        (b"--xtopAb" + b" " * 300, "does not end"),
        (b"--xtopAb\r\nno colon\r\n\r\n", "has no name"),
        (b"--xtopAb\r\n: value\r\n\r\n", "has no name"),
        (b"--xtopAb\r\na: \x00\r\n\r\n", "control character"),
        (b"--xtopAb\r\na: x\ry\r\n\r\n", "control character"),
        (b"--xtopAb\r\n folded\r\n\r\n", "continuation"),
        (b"--xtopAb\r\na: " + b"x" * 999 + b"\r\n\r\n", "longer than 1000"),
        (b"--xtopAb\r\na: " + b"x" * 2000, "longer than 1000"),
        (b"--xtopAb\r\na: b\r\n" + (b" " + b"x" * 900 + b"\r\n") * 12, "longer than 10000"),
        (b"--xtopAb\r\n" + b"a:\r\n" * 1100 + b"\r\n", "more than 1000"),
        (b"--xtopAb\r\n" + (b"a:" + b"x" * 900 + b"\r\n") * 80, "larger than 65536"),
        (b"x" * 65_537, "outside all parts"),
        (b"--xtopAb--" + b"x" * 65_537, "outside all parts"),
        (b"--xtopAb\r\n\r\n\r\n" * 1100, "more than 1000 parts"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_broken_and_oversized_messages_are_refused(raw: bytes, reason: str, piece: int) -> None:
    reader = MultipartReader(BOUNDARY)
    with pytest.raises(MalformedMessage, match=reason):
        for at in range(0, len(raw), piece):
            reader.feed(raw[at : at + piece])


def test_the_headers_of_all_parts_are_bounded_together() -> None:
    part = b"--xtopAb\r\n" + (b"a:" + b"x" * 900 + b"\r\n") * 60 + b"\r\n\r\n"
    reader = MultipartReader(BOUNDARY)
    for _ in range(19):
        reader.feed(part)
    with pytest.raises(MalformedMessage, match="all parts are larger than 1048576 bytes"):
        reader.feed(part)


def test_a_message_begins_with_its_first_delimiter() -> None:
    reader = MultipartReader(BOUNDARY)
    for piece, begun in ((b"preamble\r\n", False), (b"--xtopA", False), (b"b\r\n", True)):
        reader.feed(piece)
        assert reader.begun is begun


@pytest.mark.parametrize("spaced", [True, False])
def test_the_space_behind_the_first_colon_is_a_choice(spaced: bool) -> None:
    written = MultipartWriter(BOUNDARY, spaced=spaced).open_part("text/xml", [("A", "b")])
    colon = b": " if spaced else b":"
    assert written == b"--xtopAb\r\ncontent-type" + colon + b"text/xml\r\nA: b\r\n\r\n"


def test_a_part_has_one_content_type_and_other_fields() -> None:
    head = PartHead((("A", "1"), ("Content-Type", "text/xml"), ("a", "2")))
    assert head.content_type() == "text/xml"
    assert head.others() == (("A", "1"), ("a", "2"))
    for fields in ((), (("content-type", "a/b"), ("Content-Type", "a/b"))):
        with pytest.raises(MalformedMessage, match="Could not get content type for part"):
            PartHead(fields).content_type()


def test_bytes_around_the_parts_are_ignored_up_to_the_limit() -> None:
    raw = b"preamble\r\n--xtopAb\r\na: b\r\n\r\nbody\r\n--xtopAb--\r\nepilogue"
    assert read(raw)[0][1] == b"body"
    strict = MultipartReader(BOUNDARY, MultipartLimits(around=2))
    with pytest.raises(MalformedMessage, match="outside all parts"):
        strict.feed(raw)


def test_a_body_is_handed_on_without_holding_more_than_a_delimiter_back() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"--xtopAb\r\na: b\r\n\r\n")
    chunk = b"x" * 4096
    (first,) = reader.feed(chunk)
    assert isinstance(first, PartData)
    assert first.data is chunk
    held = b"y" * 100 + b"\r\n--xto"
    (second,) = reader.feed(held)
    assert second == PartData(b"y" * 100)
    (third,) = reader.feed(b"z")
    assert third == PartData(b"\r\n--xtoz")


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a\r\nb", "é", "ends in space "])
def test_a_boundary_that_no_header_could_carry_is_refused(boundary: str) -> None:
    for use in (MultipartReader, MultipartWriter):
        with pytest.raises(MalformedMessage, match="boundary"):
            use(boundary)


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", "b\r\nc: d"), ("a", "b\nc"), ("a b", "c"), ("", "c"), ("a", "\0"), ("a", "čeština")],
)
def test_a_field_that_would_add_another_is_not_written(name: str, value: str) -> None:
    with pytest.raises(MalformedMessage):
        MultipartWriter(BOUNDARY).open_part("text/plain", [(name, value)])
