"""For whom archive files are encrypted, and how they are opened again."""

import importlib
import os
import tracemalloc
from pathlib import Path

import pytest

from node.archive.recipients import Recipients, decrypt, encrypt, load_recipients
from trust.errors import StorageError

pyrage = pytest.importorskip("pyrage")


def new_identity(folder: Path, name: str = "identity") -> tuple[Path, str]:
    """An identity's file as age-keygen writes it, and its recipient."""
    identity = pyrage.x25519.Identity.generate()
    file = folder / name
    file.write_text(f"# created: 2026-01-01\n# public key: {identity.to_public()}\n{identity}\n")
    return file, str(identity.to_public())


def recipients(folder: Path, text: str) -> Recipients:
    (folder / "recipients").write_text(text)
    return load_recipients(folder / "recipients")


def test_what_was_encrypted_for_several_opens_for_each(tmp_path: Path) -> None:
    one, first = new_identity(tmp_path, "one")
    two, second = new_identity(tmp_path, "two")
    other, _ = new_identity(tmp_path, "other")
    found = recipients(tmp_path, f"{first}\n{second}\n").of("")
    source = tmp_path / "source"
    source.write_bytes(b"archive" * 100_000)
    encrypt(source, tmp_path / "a.age", found)
    assert (tmp_path / "a.age").stat().st_mode & 0o777 == 0o600
    for identity in (one, two):
        target = tmp_path / f"{identity.name}.zip"
        decrypt(tmp_path / "a.age", target, identity)
        assert target.read_bytes() == source.read_bytes()
        assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="can't be decrypted with this identity"):
        decrypt(tmp_path / "a.age", tmp_path / "other.zip", other)
    assert not (tmp_path / "other.zip").exists()


def test_a_damaged_file_leaves_nothing_that_could_be_taken_for_the_archive(tmp_path: Path) -> None:
    identity, recipient = new_identity(tmp_path)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    encrypt(source, tmp_path / "a.age", recipients(tmp_path, recipient).of(""))
    raw = bytearray((tmp_path / "a.age").read_bytes())
    raw[250_000] ^= 1
    (tmp_path / "a.age").write_bytes(raw)
    with pytest.raises((StorageError, OSError)):
        decrypt(tmp_path / "a.age", tmp_path / "plain", identity)
    assert not (tmp_path / "plain").exists()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    identity, recipient = new_identity(tmp_path)
    (tmp_path / "source").write_bytes(b"x")
    encrypt(tmp_path / "source", tmp_path / "a.age", recipients(tmp_path, recipient).of(""))
    (tmp_path / "plain").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        decrypt(tmp_path / "a.age", tmp_path / "plain", identity)
    assert (tmp_path / "plain").read_bytes() == b"mine"


def test_a_large_file_passes_in_pieces(tmp_path: Path) -> None:
    identity, recipient = new_identity(tmp_path)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 20) * 40)
    found = recipients(tmp_path, recipient).of("")
    tracemalloc.start()
    try:
        encrypt(source, tmp_path / "a.age", found)
        decrypt(tmp_path / "a.age", tmp_path / "plain", identity)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "plain").read_bytes() == source.read_bytes()
    assert most < 8 << 20


def test_who_is_nearest_counts(tmp_path: Path) -> None:
    keys = {name: new_identity(tmp_path, name)[1] for name in ("all", "member", "desk")}
    found = recipients(
        tmp_path,
        f"# of the archive\n{keys['all']}\n\nEX/GOV/1 2 {keys['member']}\n"
        f"EX/GOV/1 2/desk {keys['desk']}\n",
    )

    def of(party: str) -> list[str]:
        return [str(each) for each in found.of(party)]

    assert of("") == of("EX/GOV/3") == of("EX/GOV/3/x") == [keys["all"]]
    assert of("EX/GOV/1 2") == of("EX/GOV/1 2/other") == [keys["member"]]
    assert of("EX/GOV/1 2/desk") == [keys["desk"]]


def test_without_a_recipient_of_its_own_or_for_all_a_group_has_none(tmp_path: Path) -> None:
    _, key = new_identity(tmp_path)
    found = recipients(tmp_path, f"EX/GOV/1 {key}\n")
    for party, said in (("", "the node"), ("EX/GOV/2", "EX/GOV/2")):
        with pytest.raises(StorageError, match=f"no recipient for archive files of {said}"):
            found.of(party)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has none"),
        ("# nothing\n\n", "has none"),
        ("age1xyz\n", "A recipient of the archive is no age recipient"),
        ("EX/GOV/1 ssh-rsa\n", "A recipient of the archive of EX/GOV/1 is no age recipient"),
        ("x" * (1 << 20) + "y", "too large"),
    ],
)
def test_other_files_of_recipients_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StorageError, match=reason):
        recipients(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be read"):
        load_recipients(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match="can't be read"):
        load_recipients(tmp_path / "binary")


def test_without_the_extra_it_says_which_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    _, key = new_identity(tmp_path)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(StorageError, match=r"need the extra `encryption`"):
        recipients(tmp_path, key)
