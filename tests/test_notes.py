"""Signed notes and cosignatures: a note signed elsewhere, and everything that is not one."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from trust.base64text import encode_base64
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.notes import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    NoteKey,
    NoteKeyKind,
    NoteSignature,
    SignedNote,
    check_cosignature,
    cosign,
    sign_note,
)

# signed by the Go team's implementation of signed notes (golang.org/x/mod/sumdb/note)
_NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
_SIGNED = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
_NOTE = f"{_TEXT}\n— PeterNeumann {_SIGNED}\n".encode()
_AT = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)

_PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_PUBLIC = _PRIVATE.public_key().public_bytes_raw()
LOG = NoteKey("sacbe/EX/GOV/1001/SS1", NoteKeyKind.LOG, _PUBLIC)
WITNESS = NoteKey("sacbe/EX/GOV/1001/SS1", NoteKeyKind.WITNESS, _PUBLIC)


def test_a_note_of_another_implementation_holds() -> None:
    note, key = SignedNote.parse(_NOTE), NoteKey.parse(_NEUMANN)
    note.check_signed(key)
    assert note.text == _TEXT
    assert note.raw == _NOTE
    assert key.text == _NEUMANN


def test_what_is_signed_here_is_read_and_holds() -> None:
    note = sign_note("one\n\ntwo\n", LOG, _PRIVATE.sign)
    assert SignedNote.parse(note.raw) == note
    note.check_signed(LOG)
    with pytest.raises(EvidenceRejected, match="not signed by"):
        note.check_signed(NoteKey.parse(_NEUMANN))
    with pytest.raises(EvidenceRejected, match="not signed by"):
        note.check_signed(WITNESS)


def test_no_changed_byte_of_text_or_signature_goes_unseen() -> None:
    key = NoteKey.parse(_NEUMANN)
    for place in range(len(_NOTE)):
        changed = bytearray(_NOTE)
        changed[place] ^= 1
        with pytest.raises((MalformedMessage, EvidenceRejected)):
            SignedNote.parse(bytes(changed)).check_signed(key)


def test_a_second_signature_by_the_same_key_must_hold_too() -> None:
    note = sign_note("one\n", LOG, _PRIVATE.sign)
    forged = note.signed([NoteSignature(LOG.name, LOG.key_id, bytes(64))])
    with pytest.raises(EvidenceRejected, match="does not hold"):
        forged.check_signed(LOG)
    short = SignedNote("one\n", (NoteSignature(LOG.name, LOG.key_id, bytes(63)),))
    with pytest.raises(EvidenceRejected, match="does not hold"):
        short.check_signed(LOG)


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    note = sign_note("one\n", LOG, _PRIVATE.sign)
    more = note.signed([NoteSignature("stranger", b"abcd", b"x"), note.signatures[0]])
    assert len(more.signatures) == 2
    SignedNote.parse(more.raw).check_signed(LOG)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        _NOTE[:-1],
        _NOTE + b"\n",
        _NOTE.replace(b"\n\n", b"\n"),
        _NOTE.replace("— ".encode(), b"- "),
        _NOTE.replace("— ".encode(), "—".encode()),
        _NOTE.replace(b"PeterNeumann", b"Peter+Neumann"),
        _NOTE.replace(b"PeterNeumann", b"Peter\xc2\xa0Neumann"),
        _NOTE.replace(b"PeterNeumann", b""),
        _NOTE.replace(b"If", b"\tIf"),
        _NOTE.replace(b"\n", b"\r\n"),
        _NOTE.replace(b"If", b"\xff"),
        _NOTE.replace(b"AM=", b"AM"),
        _NOTE.replace(b"AM=", b"AN="),
        _NOTE.replace(_SIGNED.encode(), b"x08gow=="),
        "\n\n— PeterNeumann x\n".encode(),
        b"text\n\n" + f"— a {encode_base64(b'12345')}\n".encode() * (MAX_SIGNATURES + 1),
        b"x" * MAX_NOTE_BYTES + _NOTE,
    ],
)
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        SignedNote.parse(raw)


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a+b", "a+b+c", _NEUMANN + "A", _NEUMANN.replace("c74f", "C74F"),
        _NEUMANN.replace("c74f", "c74e"), _NEUMANN.replace("+ARpc", "+AhpcA"), " " + _NEUMANN,
        "a+00000000+", "é\u2003b+00000000+AQ==",
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        NoteKey.parse(text)


@given(st.text(alphabet="— ab\n=+c1\t", max_size=60))
def test_any_note_is_read_or_refused(text: str) -> None:
    try:
        note = SignedNote.parse(text.encode())
    except MalformedMessage:
        return
    assert note.raw == text.encode()


# --- witnesses --------------------------------------------------------------------------------


def test_a_witness_signs_text_and_time() -> None:
    text = "origin\n5\nroot\n"
    signature = cosign(text, WITNESS, _AT, _PRIVATE.sign)
    assert check_cosignature(text, signature, WITNESS) == _AT
    assert signature.value[:8] == int(_AT.timestamp()).to_bytes(8, "big")
    _PRIVATE.public_key().verify(
        signature.value[8:], f"cosignature/v1\ntime {int(_AT.timestamp())}\n{text}".encode()
    )


def test_the_last_cosignature_of_a_witness_counts() -> None:
    note = sign_note("one\n", LOG, _PRIVATE.sign)
    assert note.cosigned_at(WITNESS) is None
    lines = [cosign("one\n", WITNESS, _AT + timedelta(hours=h), _PRIVATE.sign) for h in (1, 3, 2)]
    cosigned = SignedNote.parse(note.signed(lines).raw)
    assert cosigned.cosigned_at(WITNESS) == _AT + timedelta(hours=3)
    cosigned.check_signed(LOG)  # the same key under the same name, told apart by its id


def test_a_cosignature_of_another_text_time_or_key_does_not_hold() -> None:
    signature = cosign("one\n", WITNESS, _AT, _PRIVATE.sign)
    later = NoteSignature(
        signature.name, signature.key_id, signature.value[:7] + b"\xff" + signature.value[8:]
    )
    endless = NoteSignature(signature.name, signature.key_id, b"\xff" * 72)
    for text, line, key in (
        ("two\n", signature, WITNESS),
        ("one\n", later, WITNESS),
        ("one\n", endless, WITNESS),
        ("one\n", signature, LOG),
        ("one\n", signature, NoteKey("other", NoteKeyKind.WITNESS, _PUBLIC)),
    ):
        with pytest.raises(EvidenceRejected):
            check_cosignature(text, line, key)


def test_a_log_key_does_not_cosign_and_a_witness_key_does_not_sign() -> None:
    with pytest.raises(ValueError, match="witness's key"):
        cosign("one\n", LOG, _AT, _PRIVATE.sign)
    with pytest.raises(ValueError, match="log's key"):
        sign_note("one\n", WITNESS, _PRIVATE.sign)
    with pytest.raises(ValueError, match="line end"):
        sign_note("one", LOG, _PRIVATE.sign)
