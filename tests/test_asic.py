"""Containers: their names, what is written, what is read, what is refused."""

import contextlib
import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vector_files import vector_path
from trust.digests import SHA256_URI, SHA512_URI, digest
from trust.errors import MalformedMessage
from trust.evidence.asic import (
    Attachment,
    Container,
    build_container,
    container_name,
    parse_container,
    write_container,
)
from trust.evidence.manifests import (
    build_asic_manifest,
    build_manifest,
    find_asic_manifest_oddities,
    find_manifest_oddities,
)

_LOADING = "asic/src/lib/asic-core/src/test/resources"
TIME = datetime(2026, 3, 2, 9, 15, 2, tzinfo=UTC)
PLAIN = Container(b"<message/>", b"<signature/>", time=TIME)
FULL = Container(
    message=b"POST\r\n",
    signature=b"<signature/>",
    signature_chain_result=b"<result/>",
    signature_chain=b"<chain/>",
    timestamp_chain_result=b"<stamped/>",
    timestamp_chain=b"<leads/>",
    timestamp=b"\x30\x00",
    attachments=(Attachment.of(1, b"body"), Attachment.of(2, b"")),
    time=TIME,
)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query_id", "response", "record", "name"),
    [
        ("ID1234", False, 3, "ID1234-request-3.asice"),
        ("a b/ä*~", True, 17, "a+b%2F%C3%A4*%7E-response-h.asice"),
        ("x", True, 0, "x-response-0.asice"),
        ("x", False, 32 * 32 + 31, "x-request-10v.asice"),
        ("é" * 100, False, 1, ("%C3%A9" * 100)[:226] + "-request-1.asice"),
    ],
)
def test_names_are_those_of_the_reference_server(
    query_id: str, response: bool, record: int, name: str
) -> None:
    assert container_name(query_id, response=response, record=record) == name


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [PLAIN, FULL], ids=["plain", "full"])
def test_what_is_written_is_read_again(container: Container) -> None:
    read = parse_container(build_container(container), keep_attachments=True)
    assert read == container
    assert [body.data for body in read.attachments] == [b.data for b in container.attachments]
    assert (read.packing.damage, read.packing.others) == ((), ())


@given(st.binary(min_size=1).filter(bytes.strip), st.lists(st.binary(), max_size=3))
def test_any_content_survives(message: bytes, bodies: list[bytes]) -> None:
    attachments = tuple(Attachment.of(n, body) for n, body in enumerate(bodies, 1))
    container = replace(PLAIN, message=message, attachments=attachments)
    raw = build_container(container)
    assert parse_container(raw) == container
    assert parse_container(raw).packing.damage == ()


def test_entries_stand_in_the_order_of_the_reference_server() -> None:
    with zipfile.ZipFile(io.BytesIO(build_container(FULL))) as archive:
        assert archive.namelist() == [
            "mimetype", "message.xml", "META-INF/signatures.xml", "sig-hashchainresult.xml",
            "sig-hashchain.xml", "ts-hashchainresult.xml", "ts-hashchain.xml",
            "META-INF/manifest.xml", "META-INF/ASiCManifest.xml", "META-INF/timestamp.tst",
            "attachment1", "attachment2",
        ]  # fmt: skip
        assert archive.comment == b"mimetype=application/vnd.etsi.asic-e+zip"


def test_the_type_stands_in_the_clear_at_the_start() -> None:
    """The ASiC standard: stored, first, without further fields, so at offset 38."""
    raw = build_container(PLAIN)
    assert raw[30:69] == b"mimetype" + b"application/vnd.etsi.asic-e+zip"


def test_the_same_record_gives_the_same_bytes() -> None:
    assert build_container(FULL) == build_container(replace(FULL, packing=PLAIN.packing))


def test_large_bodies_are_written_in_pieces() -> None:
    pieces = [b"x" * 1000] * 5
    body = replace(Attachment.of(1, b"".join(pieces)), data=None)
    target = io.BytesIO()
    write_container(replace(PLAIN, attachments=(body,)), target, {"attachment1": iter(pieces)})
    (read,) = parse_container(target).attachments
    assert read.digests[SHA512_URI] == body.digests[SHA512_URI]


def test_a_body_that_is_not_there_is_not_written() -> None:
    body = replace(Attachment.of(1, b"body"), data=None)
    with pytest.raises(ValueError, match="attachment1"):
        build_container(replace(PLAIN, attachments=(body,)))


@pytest.mark.parametrize(
    "half", [replace(FULL, signature_chain=None), replace(FULL, timestamp_chain_result=None)]
)
def test_half_a_chain_is_not_written(half: Container) -> None:
    with pytest.raises(ValueError, match="together"):
        build_container(half)


def test_attachments_are_digested_and_not_kept() -> None:
    read = parse_container(build_container(FULL))
    assert [body.data for body in read.attachments] == [None, None]
    assert read.attachments[0].digests[SHA256_URI] == digest(SHA256_URI, b"body")


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no-mimetype", "asic_mime_type_not_found"),
        ("not-asic", "asic_mime_type_not_found"),
        ("no-message", "asic_message_not_found"),
        ("no-signature", "asic_signature_not_found"),
    ],
)
def test_reference_containers_that_do_not_load(name: str, code: str) -> None:
    raw = vector_path(f"{_LOADING}/{name}.asice").read_bytes()
    with pytest.raises(MalformedMessage) as refused:
        parse_container(raw)
    assert refused.value.code == code


@pytest.mark.interop
def test_an_old_reference_container_loads_and_can_be_written_again() -> None:
    container = parse_container(vector_path(f"{_LOADING}/valid-signed-message.asice").read_bytes())
    assert parse_container(build_container(container)) == container


def _zip(**files: bytes) -> bytes:
    names = {"signature": "META-INF/signatures.xml", "sig_result": "sig-hashchainresult.xml",
             "sig_chain": "sig-hashchain.xml", "ts_result": "ts-hashchainresult.xml",
             "ts_chain": "ts-hashchain.xml", "message": "message.xml",
             "timestamp": "META-INF/timestamp.tst", "manifest": "META-INF/manifest.xml",
             "asic_manifest": "META-INF/ASiCManifest.xml"}  # fmt: skip
    files = {"mimetype": b"application/vnd.etsi.asic-e+zip", "message": b"m",
             "signature": b"s", **files}  # fmt: skip
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(names.get(name, name), data)
    return target.getvalue()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"mimetype": b" "}, "asic_mime_type_not_found"),
        ({"mimetype": b"text/plain"}, "asic_invalid_mime_type"),
        ({"message": b""}, "asic_message_not_found"),
        ({"signature": b"\n"}, "asic_signature_not_found"),
        ({"sig_chain": b"c"}, "asic_hash_chain_result_not_found"),
        ({"sig_result": b"r"}, "asic_hash_chain_not_found"),
        ({"ts_chain": b"c"}, "asic_hash_chain_result_not_found"),
        ({"ts_result": b"r"}, "asic_hash_chain_not_found"),
        ({"timestamp": b""}, "asic_timestamp_not_found"),
        ({"manifest": b""}, "asic_manifest_not_found"),
        ({"asic_manifest": b" "}, "asic_manifest_not_found"),
        ({"signature": b"s" * (4 * 1024 * 1024 + 1)}, "asic_invalid_container"),
    ],
)
def test_containers_with_missing_or_blank_parts_are_refused(
    files: dict[str, bytes], code: str
) -> None:
    with pytest.raises(MalformedMessage) as refused:
        parse_container(_zip(**files))
    assert refused.value.code == code


def test_entries_that_no_container_has_are_named() -> None:
    read = parse_container(_zip(**{"attachment0": b"x", "notes.txt": b"y", "message2.xml": b"z"}))
    assert read.packing.others == ("attachment0", "notes.txt", "message2.xml")


def test_attachments_come_in_the_order_of_their_numbers() -> None:
    numbers = (10, 2, 1)
    read = parse_container(_zip(**{f"attachment{number}": b"x" for number in numbers}))
    assert [body.name for body in read.attachments] == [
        "attachment1",
        "attachment2",
        "attachment10",
    ]


# --- manifests ------------------------------------------------------------------------------------


def test_manifests_that_were_written_fit() -> None:
    manifest = build_manifest(["message.xml", "attachment1"])
    assert not list(find_manifest_oddities(manifest, ["message.xml", "attachment1"], []))
    assert not list(find_manifest_oddities(manifest, ["message.xml"], ["attachment1"]))
    stamped = b"<result/>"
    assert not list(find_asic_manifest_oddities(build_asic_manifest(stamped), stamped, b"token"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('full-path="message.xml"', 'full-path="other.xml"'),
        ('full-path="attachment1"', 'full-path="message.xml"'),
        ("application/octet-stream", "text/xml"),
        ('full-path="/"', 'full-path="./"'),
        ('manifest:version="1.2"', 'manifest:version="1.3"'),
        ('manifest:version="1.2"', 'version="1.2"'),
        ("</manifest:manifest>", "x</manifest:manifest>"),
        ("</manifest:manifest>", "<!-- --></manifest:manifest>"),
        ("</manifest:manifest>", "</manifest:manifest><!-- -->"),
        ("</manifest:manifest>", ""),
        ('1.0" manifest', '1.1" manifest'),
    ],
)
def test_a_manifest_that_does_not_fit_is_odd(old: str, new: str) -> None:
    names = ["message.xml", "attachment1"]
    manifest = build_manifest(names).decode()
    assert old in manifest
    assert list(find_manifest_oddities(manifest.replace(old, new).encode(), names, []))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timestamp.tst", "other.tst"),
        ("vnd.etsi.timestamp-token", "text/xml"),
        ("xmlenc#sha512", "xmlenc#sha256"),
        ("xmlenc#sha512", "xmldsig#sha1"),
        ("<ds:DigestValue>", "<ds:DigestValue>AAAA"),
        ("<ds:DigestValue>", "<ds:DigestValue>!"),
        ("<ds:DigestValue>", '<ds:DigestValue Id="a">'),
        ("asic:SigReference", "asic:Other"),
        ("</asic:DataObjectReference>", "x</asic:DataObjectReference>"),
        ("</asic:ASiCManifest>", "x</asic:ASiCManifest>"),
        ("ts-hashchainresult.xml", "message.xml"),
        ("2918", "02918"),
    ],
)
def test_an_asic_manifest_that_does_not_fit_is_odd(old: str, new: str) -> None:
    manifest = build_asic_manifest(b"<result/>").decode()
    assert old in manifest
    damaged = manifest.replace(old, new).encode()
    assert list(find_asic_manifest_oddities(damaged, b"<result/>", b"token"))


def test_an_asic_manifest_without_time_stamp_is_odd() -> None:
    manifest = build_asic_manifest(b"<result/>")
    assert list(find_asic_manifest_oddities(manifest, b"<result/>", None))
    assert list(find_asic_manifest_oddities(manifest, None, b"token"))


@given(st.integers(0, 1500), st.integers(0, 40), st.binary(max_size=6))
def test_any_damaged_container_is_read_or_refused(start: int, length: int, other: bytes) -> None:
    raw = build_container(FULL)
    damaged = raw[:start] + other + raw[start + length :]
    with contextlib.suppress(MalformedMessage):
        read = parse_container(damaged)
        assert read == FULL or read.packing.damage
