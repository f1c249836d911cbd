"""Checkpoints: what a log says about itself in a signed note, and what is handed round with them.

    <origin: the name of the log>
    <size of the tree in leaves>
    <base64 of its root>
    <further lines, if any: nobody reads them, all sign them>

Source: C2SP tlog-checkpoint; tlog-witness for `CheckpointOffer`; tlog-proof for `InclusionProof`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from trust.base64text import decode_base64, encode_base64
from trust.errors import MalformedMessage
from trust.evidence.merkle import (
    HASH_SIZE,
    MAX_LEAVES,
    MAX_PROOF_HASHES,
    check_consistency,
    check_inclusion,
)
from trust.evidence.notes import MAX_NOTE_BYTES, SignedNote

MAX_OFFER_BYTES = MAX_NOTE_BYTES + 4096
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_PROOF_FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and root of a log's tree.

    Raises ValueError for what can't stand in a note.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if any(not line or not line.isprintable() for line in lines):
            raise ValueError("a checkpoint with an empty line or one that is not a line")
        if not 0 <= self.size <= MAX_LEAVES or len(self.root) != HASH_SIZE:
            raise ValueError("a checkpoint without size or root")

    @property
    def text(self) -> str:
        """The text of its note."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a note's text, or raise MalformedMessage."""
        origin, size, root, *extensions = _lines(text, at_least=3)
        try:
            checkpoint = cls(origin, _number(size), _hash(root), tuple(extensions))
        except ValueError as error:
            raise MalformedMessage(f"not a checkpoint: {error}") from error
        if checkpoint.text != text:
            raise MalformedMessage("not the text of a checkpoint")
        return checkpoint

    def check_follows(self, older: "Checkpoint", proof: Sequence[bytes]) -> None:
        """Raise EvidenceRejected unless the proof shows this log to be the older one, grown."""
        check_consistency(older.size, older.root, self.size, self.root, proof)

    def check_includes(self, leaf: bytes, index: int, proof: Sequence[bytes]) -> None:
        """Raise EvidenceRejected unless the proof shows the leaf hash to be in this tree."""
        check_inclusion(leaf, index, self.size, proof, self.root)


@dataclass(frozen=True, slots=True)
class CheckpointOffer:
    """What a log sends to a witness: its newest checkpoint, and how it follows from an older one.

    old <size that the witness has seen last>
    <base64 of a hash of the consistency proof>     each, if any
    <empty line>
    <the signed note>
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def raw(self) -> bytes:
        return _framed(f"old {self.old}", self.proof, self.note)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read an offer, or raise MalformedMessage; the note is read by `SignedNote.parse`."""
        head, proof, note = _unframed(raw, "old ")
        return cls(head, proof, note)


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a leaf is in a log's tree, in one text: its place, the way up, the signed checkpoint."""

    index: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def raw(self) -> bytes:
        return f"{_PROOF_FIRST_LINE}\n".encode() + _framed(
            f"index {self.index}", self.proof, self.note
        )

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the text, or raise MalformedMessage; extra data is refused: it has no use here."""
        first, _, rest = raw.partition(b"\n")
        if first != _PROOF_FIRST_LINE.encode():
            raise MalformedMessage("not an inclusion proof")
        return cls(*_unframed(rest, "index "))

    @property
    def checkpoint(self) -> Checkpoint:
        """What the note says; MalformedMessage when it is none. Who signed it is not looked at."""
        return Checkpoint.parse(SignedNote.parse(self.note).text)

    def check(self, leaf: bytes) -> Checkpoint:
        """The checkpoint that includes the leaf hash, or EvidenceRejected."""
        checkpoint = self.checkpoint
        checkpoint.check_includes(leaf, self.index, self.proof)
        return checkpoint


def _framed(head: str, proof: Sequence[bytes], note: bytes) -> bytes:
    lines = (head, *map(encode_base64, proof), "")
    return "".join(f"{line}\n" for line in lines).encode() + note


def _unframed(raw: bytes, prefix: str) -> tuple[int, tuple[bytes, ...], bytes]:
    if len(raw) > MAX_OFFER_BYTES:
        raise MalformedMessage(f"more than {MAX_OFFER_BYTES} bytes around a checkpoint")
    head, blank, note = raw.partition(b"\n\n")
    try:
        first, *hashes = head.decode("ascii").split("\n")
        if not blank or not first.startswith(prefix) or len(hashes) > MAX_PROOF_HASHES:
            raise ValueError("the lines in front")
        return _number(first.removeprefix(prefix)), tuple(map(_hash, hashes)), note
    except ValueError as error:
        raise MalformedMessage(f"not a proof with a checkpoint: {error}") from error


def _lines(text: str, at_least: int) -> list[str]:
    lines = text.split("\n")
    if lines.pop() or len(lines) < at_least:
        raise MalformedMessage("not the text of a checkpoint")
    return lines


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_LEAVES:
        raise ValueError("a size or place is not a plain number")
    return int(text)


def _hash(text: str) -> bytes:
    value = decode_base64(text)
    if len(value) != HASH_SIZE or encode_base64(value) != text:
        raise ValueError("a hash has another length")
    return value
