import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import MalformedMessage
from trust.ids import (
    ClientId,
    GlobalGroupId,
    LocalGroupId,
    ServerId,
    ServiceId,
    decode_segment,
    encode_segment,
    suspicious,
)

PARTS = st.text(min_size=1, max_size=20).filter(
    lambda part: (
        part.strip() != "" and not any(c == "\0" or 0xD800 <= ord(c) <= 0xDFFF for c in part)
    )
)


def test_every_identifier_has_its_spellings() -> None:
    client = ClientId("EX", "GOV", "1234567", "portal")
    assert str(client) == "SUBSYSTEM:EX/GOV/1234567/portal"
    assert str(client.member) == "MEMBER:EX/GOV/1234567"
    assert client.colons == "EX:GOV:1234567:portal"
    service = ServiceId(client, "personData", "v1")
    assert str(service) == "SERVICE:EX/GOV/1234567/portal/personData/v1"
    assert str(ServerId(client.member, "ss2")) == "SERVER:EX/GOV/1234567/ss2"
    assert str(GlobalGroupId("EX", "owners")) == "GLOBALGROUP:EX/owners"
    assert str(LocalGroupId("clerks")) == "LOCALGROUP:clerks"
    assert ClientId("EX", "GOV", "a b/c", "ä").path == "EX/GOV/a%20b%2Fc/%C3%A4"


@given(PARTS, PARTS, PARTS, st.none() | PARTS)
def test_the_path_form_reads_back(
    instance: str, member_class: str, code: str, subsystem: str | None
) -> None:
    client = ClientId(instance, member_class, code, subsystem)
    assert ClientId.from_header(client.path) == client
    server = ServerId(client.member, code)
    assert ServerId.from_header(server.path) == server
    if subsystem is not None:
        service = ServiceId(client, code)
        assert ServiceId.from_header(service.path) == service


@given(st.text(alphabet="aé%80/:;", max_size=40))
def test_any_header_is_read_or_refused(value: str) -> None:
    for read in (ClientId.from_header, ServiceId.from_header, ServerId.from_header):
        try:
            assert read(value).parts
        except MalformedMessage:
            continue


@given(st.text(alphabet="aé:/ ", max_size=40))
def test_any_colon_form_is_read_or_refused(value: str) -> None:
    for read in (ClientId.from_colons, ServiceId.from_colons, ServerId.from_colons):
        try:
            assert read(value).colons == value
        except MalformedMessage:
            continue


@given(PARTS)
def test_a_segment_reads_back(part: str) -> None:
    assert decode_segment(encode_segment(part)) == part


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ("a b", "Invalid character in path segment"),
        ("ä", "Invalid character in path segment"),
        ("%zz", "Invalid percent encoding"),
        ("%", "Invalid percent encoding"),
        ("%ff", "Invalid percent encoding"),
    ],
)
def test_a_bad_segment_is_named(segment: str, text: str) -> None:
    with pytest.raises(MalformedMessage, match=text):
        decode_segment(segment)


@pytest.mark.parametrize("parts", [("", "a", "b"), ("a", " ", "b"), ("a", "b", "c" * 256)])
def test_blank_and_endless_parts_are_refused(parts: tuple[str, str, str]) -> None:
    with pytest.raises(MalformedMessage):
        ClientId(*parts)


def test_a_subsystem_owns_no_server() -> None:
    with pytest.raises(MalformedMessage, match="owned by a member"):
        ServerId(ClientId("a", "b", "c", "d"), "s")


def test_identifiers_are_compared_exactly() -> None:
    assert ClientId("EX", "GOV", "1") != ClientId("EX", "gov", "1")
    assert ClientId("EX", "GOV", "1") != ClientId("EX", "GOV", "1", "x")
    assert suspicious(("a;b",))
    assert not suspicious(("a-b",))


def test_no_part_holds_a_nul_character() -> None:
    member = ClientId("EX", "GOV", "1")
    for build in (
        lambda: ClientId("EX", "GOV", "1\0"),
        lambda: ClientId.from_header("EX/GOV/1/%00a"),
        lambda: ServiceId(member, "a\0b"),
        lambda: ServiceId(member, "a", "v\0"),
        lambda: ServerId(member, "a\0"),
        lambda: GlobalGroupId("EX", "\0a"),
        lambda: LocalGroupId("a\0"),
    ):
        with pytest.raises(MalformedMessage, match="NUL") as refused:
            build()
        assert refused.value.code == "internal_error"
