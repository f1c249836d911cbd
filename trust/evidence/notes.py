"""Signed notes: short texts with Ed25519 signatures below them, a line each.

    <text, some lines>

    — <name of the key> <base64 of key id and signature>

Which signatures count is for the reader to say, by the keys it knows; others are passed over.

Source: C2SP signed-note; C2SP tlog-cosignature for the signatures of witnesses.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trust.base64text import decode_base64, encode_base64
from trust.errors import EvidenceRejected, MalformedMessage

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 256
MAX_NAME_LENGTH = 2048
_LAST_SECOND = 253402300799  # of the year 9999
_DASH = "\N{EM DASH} "
_ID_SIZE = 4
_PUBLIC_SIZE = 32
_SIGNATURE_SIZE = 64

Sign = Callable[[bytes], bytes]  # with an Ed25519 key: the bytes in, the 64 bytes of signature out


class NoteKeyKind(IntEnum):
    """What a key signs: the byte that keeps the two apart where they are the same key."""

    LOG = 1  # the text
    WITNESS = 4  # the text after a line with the time


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key under a name; raises ValueError for a name that can't stand in a note."""

    name: str
    kind: NoteKeyKind
    public: bytes  # the 32 bytes of RFC 8032

    def __post_init__(self) -> None:
        if not _is_name(self.name) or len(self.public) != _PUBLIC_SIZE:
            raise ValueError("no name for a key, or no Ed25519 key")

    @property
    def key_id(self) -> bytes:
        kind = bytes((self.kind,))
        data = self.name.encode() + b"\n" + kind + self.public
        return hashlib.sha256(data).digest()[:_ID_SIZE]

    @property
    def text(self) -> str:
        """The key as it is handed round: name, key id and key, joined by plus signs."""
        encoded = encode_base64(bytes((self.kind,)) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form, or raise MalformedMessage."""
        try:
            name, key_id, encoded = text.split("+", 2)
            data = decode_base64(encoded)
            key = cls(name, NoteKeyKind(data[0]), data[1:])
        except (ValueError, IndexError) as error:
            raise MalformedMessage("not the text of a note's key") from error
        if key.text != text:
            raise MalformedMessage(f"the key id of {name} is not {key_id}")
        return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A line below a note."""

    name: str
    key_id: bytes
    value: bytes  # the signature; of a witness, the time in front

    @property
    def line(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.value)}\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line with or without its end, or raise MalformedMessage."""
        name, _, encoded = line.removesuffix("\n").removeprefix(_DASH).partition(" ")
        try:
            data = decode_base64(encoded)
        except ValueError as error:
            raise MalformedMessage("a note's signature is not base64") from error
        signature = cls(name, data[:_ID_SIZE], data[_ID_SIZE:])
        if (
            not _is_name(name)
            or not signature.value
            or signature.line != line.removesuffix("\n") + "\n"
        ):
            raise MalformedMessage("not a signature line of a note")
        return signature

    def by(self, key: NoteKey) -> bool:
        """Whether the line says to be by the key; whether it is, `check_…` tell."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note as it was read: nothing is believed of it yet."""

    text: str  # with its last line end
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a note, or raise MalformedMessage."""
        if len(raw) > MAX_NOTE_BYTES:
            raise MalformedMessage(f"a note of more than {MAX_NOTE_BYTES} bytes")
        try:
            whole = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedMessage("a note that is not UTF-8") from error
        _check_text(whole)
        text, blank, block = whole.rpartition("\n\n")
        lines = block.split("\n")
        if not text or not blank or lines.pop() or not 1 <= len(lines) <= MAX_SIGNATURES:
            raise MalformedMessage("not a signed note")
        return cls(f"{text}\n", tuple(map(NoteSignature.parse, lines)))

    @property
    def raw(self) -> bytes:
        return (self.text + "\n" + "".join(each.line for each in self.signatures)).encode()

    def signed(self, more: Sequence[NoteSignature]) -> "SignedNote":
        """The note with further signatures below; one that it has already is not doubled."""
        new = [each for each in dict.fromkeys(more) if each not in self.signatures]
        return SignedNote(self.text, (*self.signatures, *new))

    def check_signed(self, key: NoteKey) -> None:
        """Raise EvidenceRejected unless the log's key signed the text."""
        found = [each for each in self.signatures if each.by(key)]
        if key.kind is not NoteKeyKind.LOG or not found:
            raise _unsigned(f"the note is not signed by {key.name}")
        for each in found:
            _check(key, each.value, self.text.encode())

    def cosigned_at(self, key: NoteKey) -> datetime | None:
        """When the witness signed last, None if it did not; EvidenceRejected if it's not true."""
        times = [
            check_cosignature(self.text, each, key) for each in self.signatures if each.by(key)
        ]
        return max(times, default=None)


def sign_note(text: str, key: NoteKey, sign: Sign) -> SignedNote:
    """A note with the signature of the log; `sign` has the private half of `key`."""
    _check_text(text)
    if not text.endswith("\n") or key.kind is not NoteKeyKind.LOG:
        raise ValueError("a note ends with a line end and is signed with a log's key")
    return SignedNote(text, (NoteSignature(key.name, key.key_id, sign(text.encode())),))


def cosign(text: str, key: NoteKey, at: datetime, sign: Sign) -> NoteSignature:
    """A witness's line: at this time, this was the largest tree of the log it had seen."""
    if key.kind is not NoteKeyKind.WITNESS:
        raise ValueError("a cosignature is made with a witness's key")
    seconds = int(at.timestamp())
    value = sign(_cosigned(text, seconds))
    return NoteSignature(key.name, key.key_id, seconds.to_bytes(8, "big") + value)


def check_cosignature(text: str, signature: NoteSignature, key: NoteKey) -> datetime:
    """When the witness signed this text, as it says; EvidenceRejected when it did not."""
    if key.kind is not NoteKeyKind.WITNESS or not signature.by(key):
        raise _unsigned(f"the cosignature is not by {key.name}")
    seconds = int.from_bytes(signature.value[:8], "big")
    if seconds > _LAST_SECOND:
        raise _unsigned(f"the cosignature of {key.name} has no time")
    _check(key, signature.value[8:], _cosigned(text, seconds))
    return datetime.fromtimestamp(seconds, UTC)


def _cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _check(key: NoteKey, signature: bytes, data: bytes) -> None:
    try:
        if len(signature) != _SIGNATURE_SIZE:
            raise InvalidSignature
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise _unsigned(f"the signature of {key.name} does not hold") from error


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= MAX_NAME_LENGTH
        and name.isprintable()  # no control characters, and no lone surrogates
        and "+" not in name
        and not any(character.isspace() for character in name)
    )


def _check_text(text: str) -> None:
    if any(character < " " and character != "\n" for character in text):
        raise MalformedMessage("a note with control characters")


def _unsigned(text: str) -> EvidenceRejected:
    return EvidenceRejected(text, "invalid_signature_value")
