"""Base64 as it stands in XML: broken into lines by some writers, one text in one way only."""

import binascii


def decode_base64(text: str | None) -> bytes:
    """Decode base64 with or without white space between; raises ValueError for anything else.

    Refused besides foreign characters: missing padding, and unused bits that are not zero, so that
    bytes have one spelling and a changed character is always seen.
    """
    plain = (text or "").encode("ascii").translate(None, b" \t\r\n")
    data = binascii.a2b_base64(plain, strict_mode=True)
    if binascii.b2a_base64(data, newline=False) != plain:
        raise ValueError("not the canonical base64 of its bytes")
    return data


def encode_base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
