"""Base64 in XML: white space tolerated, one spelling per value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.base64text import decode_base64, encode_base64


@given(st.binary(max_size=100), st.lists(st.sampled_from([" ", "\t", "\r", "\n", "\r\n"])))
def test_what_is_written_is_read_back_with_white_space_anywhere(
    data: bytes, blanks: list[str]
) -> None:
    text = encode_base64(data)
    for place, blank in enumerate(blanks):
        text = text[: place * 3] + blank + text[place * 3 :]
    assert decode_base64(text) == data


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "Q===", "QQ==QQ==", "Q_==", "ä", "=QQ="])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_base64(text)


def test_no_text_is_no_bytes() -> None:
    assert decode_base64(None) == b""


@given(st.text(alphabet="QRab+/= \n\u00e4", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        data = decode_base64(text)
    except ValueError:
        return
    assert encode_base64(data) == "".join(text.split())
