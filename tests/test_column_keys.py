"""Values and files open by their key, in their place, whole and unchanged; or there is an error."""

import base64
import hmac
import io
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from node.log.column_keys import (
    MAX_KEYS,
    NO_KEYS,
    ColumnKey,
    KeyRing,
    Seal,
    column_place,
    file_place,
    load_key_ring,
)
from trust.errors import ConfigurationError, StorageError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ColumnKey("2026a", bytes(range(32)))
OTHER = ColumnKey("2026a", bytes(32))
PLACE = column_place(NOON, 17, "message")
MASTER = base64.b64encode(bytes(range(32)))
CHUNK = 1 << 18
WRONG = (
    r"^The log's key '2026a' does not open a record: another key has that name, or the record was"
    r" altered$"
)


# --- values ---------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_a_value_comes_back(data: bytes) -> None:
    sealed = KEY.seal(data, PLACE)
    assert len(sealed) == len(data) + 32
    assert KEY.open(sealed, PLACE) == data
    assert KEY.seal(data, PLACE) != sealed
    assert len(data) < 8 or data not in sealed


@given(st.binary(max_size=100), st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_byte_gets_through(data: bytes, at: int, change: int) -> None:
    sealed = bytearray(KEY.seal(data, PLACE))
    sealed[at % len(sealed)] ^= change
    with pytest.raises(StorageError, match=WRONG):
        KEY.open(bytes(sealed), PLACE)


@given(st.binary(max_size=47))
def test_what_was_never_sealed_does_not_open(data: bytes) -> None:
    with pytest.raises(StorageError, match=WRONG):
        KEY.open(data, PLACE)


@pytest.mark.parametrize(
    "place",
    [
        column_place(NOON, 18, "message"),
        column_place(NOON + timedelta(microseconds=1), 17, "message"),
        column_place(NOON, 17, "body"),
        column_place(NOON, 17, "message", 1),
        file_place(NOON, "2026-11-21/17", bytes(64), 1),
        b"",
    ],
)
def test_a_value_opens_in_its_place_alone(place: bytes) -> None:
    with pytest.raises(StorageError, match=WRONG):
        KEY.open(KEY.seal(b"data", PLACE), place)


def test_a_place_is_the_same_in_every_time_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert column_place(elsewhere, 17, "message") == PLACE


def test_places_of_different_things_differ() -> None:
    assert column_place(NOON, 12, "body", 1) != column_place(NOON, 1, "body", 21)
    assert file_place(NOON, "a", b"\1", 1) != file_place(NOON, "a", b"\1", 2)
    assert file_place(NOON, "a", b"\1", 1) != file_place(NOON, "b", b"\1", 1)
    assert file_place(NOON, "a", b"\1", 1) != file_place(NOON, "a", b"\2", 1)


def test_another_key_of_the_same_name_is_told_by_its_name() -> None:
    with pytest.raises(StorageError, match=WRONG):
        OTHER.open(KEY.seal(b"data", PLACE), PLACE)


def test_equal_masters_under_other_names_are_other_keys() -> None:
    named = ColumnKey("2026b", bytes(range(32)))
    with pytest.raises(StorageError, match="'2026b'"):
        named.open(KEY.seal(b"data", PLACE), PLACE)


def test_it_is_aes_256_gcm_as_the_page_says() -> None:
    """Written anew from docs/encryption.md, so that others can open what we sealed."""
    sealed = KEY.seal(b"data", PLACE)
    info = b"sacbe message log\n2026a"
    data_key = HKDF(SHA256(), 32, None, info).derive(bytes(range(32)))
    value_key = hmac.digest(data_key, b"value" + sealed[:16], "sha256")
    assert AESGCM(value_key).decrypt(bytes(12), sealed[16:], PLACE) == b"data"
    assert PLACE == b"column\n2026-11-21T12:00:00.000000+00:00\n17\nmessage\n0"


def test_the_text_form_of_a_key_shows_no_key() -> None:
    assert repr(KEY) == "ColumnKey('2026a')"
    assert repr(KeyRing.parse(b"a " + MASTER)).count("ColumnKey('a')") == 2


# --- files ----------------------------------------------------------------------------------------

FILE = file_place(NOON, "2026-11-21/0123", bytes(64), 1)


def sealed_file(data: bytes, piece: int = 1 << 20) -> bytes:
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    return b"".join(KEY.seal_pieces(pieces, FILE))


def opened_file(sealed: bytes, place: bytes = FILE) -> bytes:
    return b"".join(KEY.open_file(io.BytesIO(sealed), place))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
@pytest.mark.parametrize("piece", [1 << 20, 70_001])
def test_a_file_comes_back(size: int, piece: int) -> None:
    data = os.urandom(size)
    sealed = sealed_file(data, piece)
    assert len(sealed) == len(data) + 31 + 16 * max(1, -(-size // CHUNK))
    assert opened_file(sealed) == data


def test_a_file_in_another_place_does_not_open() -> None:
    with pytest.raises(StorageError, match=WRONG):
        opened_file(sealed_file(b"data"), file_place(NOON, "2026-11-21/0124", bytes(64), 1))


def test_chunks_can_be_neither_cut_nor_swapped_nor_repeated() -> None:
    sealed = sealed_file(os.urandom(3 * CHUNK))
    head, full = sealed[:31], CHUNK + 16
    chunks = [sealed[31 + at * full : 31 + (at + 1) * full] for at in range(3)]
    assert opened_file(head + b"".join(chunks)) == opened_file(sealed)
    for arrangement in (
        [],
        chunks[:2],
        chunks[1:],
        [chunks[1], chunks[0], chunks[2]],
        [*chunks, chunks[2]],
        [*chunks[:2], chunks[2][:-1]],
        [*chunks, b"x"],
    ):
        with pytest.raises(StorageError, match=WRONG):
            opened_file(head + b"".join(arrangement))


@pytest.mark.parametrize("damaged", [b"", b"plain text", b"sacbe-sealed-1", b"sacbe-sealed-2\n"])
def test_a_file_that_is_not_sealed_is_told(damaged: bytes) -> None:
    with pytest.raises(StorageError, match="not encrypted as its record says"):
        opened_file(damaged)


def test_a_head_without_its_salt_does_not_open() -> None:
    with pytest.raises(StorageError, match=WRONG):
        opened_file(b"sacbe-sealed-1\n")


# --- key rings ------------------------------------------------------------------------------------


def ring(*names: str) -> bytes:
    return b"".join(name.encode() + b" " + MASTER + b"\n" for name in names)


def test_the_last_key_is_the_newest() -> None:
    found = KeyRing.parse(b"# made by hand\n\n" + ring("2025a", "2026a") + b"  # that is all\n")
    assert list(found.keys) == ["2025a", "2026a"]
    assert found.newest is found.keys["2026a"]
    sealed = found.keys["2025a"].seal(b"data", PLACE)
    assert found.open(Seal("2025a", PLACE), sealed) == b"data"
    assert found.open(None, b"plain") == b"plain"


def test_a_ring_that_ends_plain_only_decrypts() -> None:
    found = KeyRing.parse(ring("a", "b") + b"plain\n# so it is\n")
    assert list(found.keys) == ["a", "b"]
    assert found.newest is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "The key ring has no key"),
        (b"# nothing\n", "The key ring has no key"),
        (b"plain\n", "The key ring has no key"),
        (b"plain\n" + ring("a"), "Line 2 of the key ring stands behind its end"),
        (ring("a") + b"plain\nplain\n", "Line 3 of the key ring stands behind its end"),
        (ring("a") + b"b\n", "Line 2 of the key ring is no name with a key in base64"),
        (b"a " + MASTER + b" c\n", "Line 1 of the key ring is no name"),
        (b"-a " + MASTER, "Line 1 of the key ring is no name"),
        (b"\xff " + MASTER, "Line 1 of the key ring is no name"),
        (b"a" * 33 + b" " + MASTER, "Line 1 of the key ring is no name"),
        (b"a c2hvcnQ=", "Line 1 of the key ring has no 32 bytes in base64"),
        (b"a " + base64.b64encode(bytes(33)), "Line 1 of the key ring has no 32 bytes"),
        (b"a !!!!", "Line 1 of the key ring has no 32 bytes in base64"),
        (b"a \xff\xff", "Line 1 of the key ring has no 32 bytes in base64"),
        (ring("a", "b", "a"), "Line 3 of the key ring: a second key 'a'"),
        (ring(*(f"k{n}" for n in range(MAX_KEYS + 1))), "more than 1000 keys"),
    ],
)
def test_a_key_ring_that_is_none(text: bytes, reason: str) -> None:
    with pytest.raises(StorageError, match=reason) as told:
        KeyRing.parse(text)
    assert MASTER.decode() not in str(told.value)


@given(st.binary(max_size=120))
def test_any_file_is_a_key_ring_or_refused(text: bytes) -> None:
    try:
        found = KeyRing.parse(text)
    except StorageError:
        return
    assert found.keys


def test_a_missing_key_is_named() -> None:
    seal = Seal("2024z", PLACE)
    with pytest.raises(StorageError, match=r"^The log's key '2024z' is not in the key ring$"):
        KeyRing.parse(ring("2026a")).open(seal, b"")
    with pytest.raises(StorageError, match=r"^The log's key '2024z' is needed, and there is no"):
        NO_KEYS.open_file(seal, io.BytesIO())


def test_a_key_ring_is_read_from_a_file_that_is_the_nodes_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.keys"
    with pytest.raises(ConfigurationError):
        load_key_ring(path)
    path.write_bytes(ring("a", "b"))
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to every user"):
        load_key_ring(path)
    path.chmod(0o600)
    assert list(load_key_ring(path).keys) == ["a", "b"]
    assert load_key_ring(None) is NO_KEYS
