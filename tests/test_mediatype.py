import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.mediatype import MediaType, mixed, with_charset
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/xml", "text/xml;charset=utf-8"),
        ("multipart/related; boundary=b; charset=x", "multipart/related; boundary=b;charset=utf-8"),
        ('a/b ;CharSet="x;y" ; c="; charset=z"', 'a/b; c="; charset=z";charset=utf-8'),
        ("a/b;;", "a/b;charset=utf-8"),
    ],
)
def test_the_charset_is_replaced_and_comes_last(value: str, expected: str) -> None:
    assert with_charset(value) == expected


@given(st.text(alphabet='aB/;= "\\charset', max_size=40))
def test_only_the_charset_changes(value: str) -> None:
    try:
        before = MediaType.parse(value)
    except MalformedMessage:
        with pytest.raises(MalformedMessage):
            with_charset(value)
        return
    after = MediaType.parse(with_charset(value))
    assert after.base == before.base
    assert after.parameters == {**before.parameters, "charset": "utf-8"}
