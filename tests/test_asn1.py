"""The ASN.1 reader: what it reads, and that it reads it in one way only."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.asn1 import (
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Element,
    NotAsn1,
    parse_element,
    parse_integer,
    parse_octets,
    parse_oid,
)


def test_a_sequence_gives_its_parts_with_their_bytes() -> None:
    sequence = parse_element(bytes.fromhex("3007020105 0402abcd".replace(" ", "")), SEQUENCE)
    number, octets = sequence.children()
    assert (parse_integer(number), number.raw) == (5, b"\x02\x01\x05")
    assert parse_octets(octets) == b"\xab\xcd"


def test_an_indefinite_length_ends_at_its_mark() -> None:
    outer = parse_element(bytes.fromhex("3080308002010100000000"), SEQUENCE)
    (inner,) = outer.children()
    assert [parse_integer(part) for part in inner.children()] == [1]


def test_octets_in_pieces_are_put_together() -> None:
    pieces = parse_element(bytes.fromhex("24800402abcd0401ef0000"), OCTET_STRING | 0x20)
    assert parse_octets(pieces) == b"\xab\xcd\xef"


@pytest.mark.parametrize(
    ("dotted", "content"),
    [
        ("1.2.840.113549.1.7.2", "2a864886f70d010702"),
        ("2.16.840.1.101.3.4.2.1", "608648016503040201"),
        ("2.999.3", "883703"),
        ("0.9", "09"),
    ],
)
def test_object_identifiers(dotted: str, content: str) -> None:
    raw = bytes.fromhex(content)
    assert parse_oid(Element(6, b"", raw)) == dotted


@pytest.mark.parametrize(
    "content",
    ["", "80", "8001", "2a80864806", "2a86"],
    ids=["empty", "cut off", "leading zeros", "inner leading zeros", "cut off inside"],
)
def test_object_identifiers_in_another_form_are_refused(content: str) -> None:
    with pytest.raises(NotAsn1):
        parse_oid(Element(6, b"", bytes.fromhex(content)))


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        ("empty", ""),
        ("no length", "30"),
        ("content cut off", "30020101"[:6]),
        ("bytes behind", "300000"),
        ("another tag", "0400"),
        ("length of a short one in the long form", "30810100"),
        ("length with leading zero", "3082007f" + "00" * 0x7F),
        ("length in five bytes", "308500000000 01".replace(" ", "")),
        ("length cut off", "3082"),
        ("long tag", "3f8101 00".replace(" ", "")),
        ("indefinite without mark", "3080020101"),
    ],
)
def test_malformed_elements_are_refused(defect: str, data: str) -> None:
    with pytest.raises(NotAsn1):
        parse_element(bytes.fromhex(data), SEQUENCE)


def test_indefinite_length_on_a_primitive_is_refused() -> None:
    with pytest.raises(NotAsn1):
        parse_element(bytes.fromhex("04800000"), OCTET_STRING)


def test_nesting_has_a_bound() -> None:
    deep = b"\x30\x80" * 40 + b"\0\0" * 40
    with pytest.raises(NotAsn1, match="deep"):
        parse_element(deep, SEQUENCE)


@pytest.mark.parametrize("content", ["", "0001", "ff80"])
def test_integers_in_a_longer_form_are_refused(content: str) -> None:
    with pytest.raises(NotAsn1):
        parse_integer(Element(INTEGER, b"", bytes.fromhex(content)))


@given(st.integers(-(2**70), 2**70))
def test_every_integer_is_read(value: int) -> None:
    size = (value + (value < 0)).bit_length() // 8 + 1
    assert parse_integer(Element(INTEGER, b"", value.to_bytes(size, "big", signed=True))) == value


@given(st.binary(max_size=60), st.binary(max_size=3))
def test_any_bytes_are_read_or_refused(data: bytes, start: bytes) -> None:
    with contextlib.suppress(NotAsn1):
        for element in parse_element(b"\x30" + start + data, SEQUENCE).children():
            parse_oid(element)
