"""Pseudonyms: the same for the same subject and node, different for everything else."""

import hmac
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.once.pseudonyms import KEY_FILE, Pseudonyms, SchemeAlias, open_pseudonyms
from trust.errors import StorageError

ALIASES = (
    SchemeAlias(scheme="national-id", prefix="EE"),
    SchemeAlias(scheme="urn:ee:person", same_as="national-id", prefix="EE"),
)
_TEXT = st.text(alphabet="ab1\0:\ud800é", max_size=6)


def test_a_pseudonym_is_an_hmac_over_counted_parts() -> None:
    message = b"sacbe subject 1\n" + (2).to_bytes(8, "big") + b"id" + (3).to_bytes(8, "big")
    expected = hmac.digest(b"k" * 32, message + b"123", "sha256")
    assert Pseudonyms(b"k" * 32).of("id", "123") == expected


@given(_TEXT, _TEXT, _TEXT, _TEXT)
def test_only_the_same_scheme_and_value_have_the_same_pseudonym(
    scheme: str, value: str, other_scheme: str, other: str
) -> None:
    pseudonyms = Pseudonyms(b"k" * 32)
    same = pseudonyms.of(scheme, value) == pseudonyms.of(other_scheme, other)
    assert same == ((scheme, value) == (other_scheme, other))


def test_another_node_has_another_pseudonym() -> None:
    assert Pseudonyms(b"k" * 32).of("id", "1") != Pseudonyms(b"l" * 32).of("id", "1")


def test_nothing_is_trimmed_or_folded() -> None:
    pseudonyms = Pseudonyms(b"k" * 32, ALIASES)
    plain = pseudonyms.of("national-id", "3801A")
    assert plain not in (
        pseudonyms.of("national-id", "3801a"),
        pseudonyms.of("national-id", " 3801A"),
        pseudonyms.of("national-id", "ee3801A"),
        pseudonyms.of("National-Id", "3801A"),
    )


def test_declared_spellings_are_one_person() -> None:
    pseudonyms = Pseudonyms(b"k" * 32, ALIASES)
    plain = pseudonyms.of("national-id", "12345678901")
    assert pseudonyms.of("national-id", "EE12345678901") == plain
    assert pseudonyms.of("urn:ee:person", "EE12345678901") == plain
    assert pseudonyms.of("urn:ee:person", "12345678901") == plain
    assert pseudonyms.of("other", "12345678901") != plain
    assert pseudonyms.of("national-id", "EE") != pseudonyms.of("national-id", "")


def test_the_key_is_made_once_and_opened_with_its_password(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = open_pseudonyms(folder, b"secret").of("id", "1")
    assert open_pseudonyms(folder, b"secret").of("id", "1") == first
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="its password"):
        open_pseudonyms(folder, b"wrong")


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = pool.map(lambda _: open_pseudonyms(tmp_path / "keys", b"secret"), range(4))
        assert len({pseudonyms.of("id", "1") for pseudonyms in opened}) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
def test_a_damaged_key_is_not_replaced(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "keys"
    open_pseudonyms(folder, b"secret")
    path = folder / KEY_FILE
    good = path.read_bytes()
    bad = {
        "empty": b"",
        "cut": good[:40],
        "flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "foreign": b"-----BEGIN PRIVATE KEY-----",
    }[damage]
    path.write_bytes(bad)
    with pytest.raises(StorageError, match=KEY_FILE):
        open_pseudonyms(folder, b"secret")
    assert path.read_bytes() == bad


def test_its_text_form_shows_no_key() -> None:
    assert "kkk" not in repr(Pseudonyms(b"k" * 32, ALIASES))
