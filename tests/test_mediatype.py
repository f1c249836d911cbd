import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.mediatype import MediaType, mixed
from trust.errors import MalformedMessage


@pytest.mark.parametrize(
    ("value", "base", "parameters"),
    [
        ("text/xml", "text/xml", {}),
        ("TEXT/XML ;Charset=UTF-8", "text/xml", {"charset": "UTF-8"}),
        ("signature/bdoc-1.0/ts", "signature/bdoc-1.0/ts", {}),
        ("multipart/mixed; boundary=one; boundary=two", "multipart/mixed", {"boundary": "one"}),
        (
            'multipart/related; type="text/xml"; start="<a;\\"b>"; boundary=MIME_b0 ;',
            "multipart/related",
            {"type": "text/xml", "start": '<a;"b>', "boundary": "MIME_b0"},
        ),
    ],
)
def test_types_and_parameters_are_read(value: str, base: str, parameters: dict[str, str]) -> None:
    assert MediaType.parse(value) == MediaType(base, parameters)


def test_the_type_we_write_is_the_one_we_read() -> None:
    assert mixed("xtopB") == "multipart/mixed; charset=UTF-8; boundary=xtopB"
    assert MediaType.parse(mixed("xtopB")).boundary() == "xtopB"


@pytest.mark.parametrize("value", ["", "  ", "; a=b", 'a/b; c="open', "a/b; c", "x" * 9000])
def test_what_is_no_type_is_refused(value: str) -> None:
    with pytest.raises(MalformedMessage, match="Invalid content type") as refused:
        MediaType.parse(value)
    assert refused.value.code == "invalid_content_type"


@pytest.mark.parametrize("value", ["multipart/mixed", 'multipart/mixed; boundary=""'])
def test_a_multipart_type_needs_a_boundary(value: str) -> None:
    with pytest.raises(MalformedMessage, match="missing required boundary"):
        MediaType.parse(value).boundary()


@given(st.text(alphabet='a/;= "\\\t', max_size=30))
def test_any_value_is_read_or_refused(value: str) -> None:
    with contextlib.suppress(MalformedMessage):
        assert MediaType.parse(value).base
