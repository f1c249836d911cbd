"""XML that an adversary may have written is bounded before a tree is built."""

import pytest

from trust.errors import MalformedMessage
from trust.xmlbytes import MAX_EQUALS, MAX_TAGS, parse_xml


def _refusal(raw: bytes, max_tags: int | None = None, max_equals: int | None = None) -> str:
    with pytest.raises(MalformedMessage) as refused:
        parse_xml(raw, max_tags=max_tags, max_equals=max_equals)
    assert refused.value.code == "invalid_xml"
    return refused.value.text


def test_as_many_tags_as_the_bound_are_read_and_one_more_is_refused() -> None:
    at_bound = b"<a>" + b"<b/>" * (MAX_TAGS - 2) + b"</a>"
    assert len(parse_xml(at_bound)) == MAX_TAGS - 2
    assert _refusal(at_bound.replace(b"<b/>", b"<b/><b/>", 1)) == "XML has more than 500000 '<'"


def test_as_many_equals_signs_as_the_bound_are_read_and_one_more_is_refused() -> None:
    at_bound = b"<a>" + b"=" * MAX_EQUALS + b"</a>"
    assert parse_xml(at_bound).text == "=" * MAX_EQUALS
    assert _refusal(at_bound.replace(b"<a>", b"<a>=")) == "XML has more than 1000000 '='"


def test_a_caller_may_have_other_bounds() -> None:
    raw = b"<a><b c='1' d='2'/></a>"
    assert "more than 2 '<'" in _refusal(raw, max_tags=2)
    assert "more than 1 '='" in _refusal(raw, max_equals=1)
    assert parse_xml(raw, max_tags=3, max_equals=2).tag == "a"


def test_a_caller_with_its_own_size_counts_markup_itself() -> None:
    raw = b"<a>" + b"<b/>" * MAX_TAGS + b"</a>"
    assert len(parse_xml(raw, max_bytes=len(raw))) == MAX_TAGS
    with pytest.raises(MalformedMessage, match="larger"):
        parse_xml(raw, max_bytes=len(raw) - 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"<?xml version='1.0' encoding='UTF-7'?><a>+ADw-b/+AD4-</a>",
        b'\xef\xbb\xbf<?xml version="1.0" encoding = "utf-7"?><a/>',
        "<?xml version='1.0' encoding='cp037'?><a/>".encode("cp037"),
        b"<?xml version='1.0' encoding='cp037'?><a/>",
    ],
)
def test_an_encoding_that_hides_markup_is_refused(raw: bytes) -> None:
    assert "encoding" in _refusal(raw)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "ISO-8859-1", "windows-1252", "us-ascii"])
def test_usual_encodings_are_read(encoding: str) -> None:
    raw = f"<?xml version='1.0' encoding='{encoding}'?><a>x</a>".encode(encoding)
    assert parse_xml(raw).text == "x"


def test_a_document_type_is_refused() -> None:
    assert "document type" in _refusal(b"<!DOCTYPE a><a/>")
