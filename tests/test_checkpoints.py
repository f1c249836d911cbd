"""Checkpoints, what is sent to witnesses with them, and inclusion proofs in one text."""

from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.checkpoints import (
    MAX_OFFER_BYTES,
    Checkpoint,
    CheckpointOffer,
    InclusionProof,
)
from trust.evidence.evidence_leaf import leaf_hash
from trust.evidence.merkle import (
    EMPTY_ROOT,
    MAX_LEAVES,
    Subtree,
    build_consistency,
    build_inclusion,
    root_of,
)
from trust.evidence.notes import NoteKey, NoteKeyKind, SignedNote, sign_note

# the example of the specification
_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
_NOTE = (
    f"{_TEXT}\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q"
    "1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
    "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()
_OFFER = (
    b"old 20852014\n"
    b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    b"jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    b"5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    b"/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
) + _NOTE

_LEAVES = [leaf_hash(b"%d" % index) for index in range(21)]


def node(subtree: Subtree) -> bytes:
    start = subtree.index << subtree.level
    return root_of(_LEAVES[start : start + (1 << subtree.level)])


def checkpoint_of(size: int) -> Checkpoint:
    return Checkpoint("sacbe/EX/GOV/1001/SS1", size, root_of(_LEAVES[:size]))


def test_the_example_of_the_specification_is_read() -> None:
    note = SignedNote.parse(_NOTE)
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == _TEXT
    assert [each.name for each in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert note.raw == _NOTE


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "a\n1\n", _TEXT[:-1], _TEXT + "\n", _TEXT.replace("20852163", "020852163"),
        _TEXT.replace("20852163", "-1"), _TEXT.replace("20852163", "+1"),
        _TEXT.replace("20852163", "2_0"), _TEXT.replace("20852163", "\u0661"),
        _TEXT.replace("20852163", ""), _TEXT.replace("20852163", str(MAX_LEAVES + 1)),
        _TEXT.replace("CsU", "Cs"), _TEXT.replace("I=\n", "J=\n"), _TEXT.replace("I=", "I= "),
        _TEXT.replace("CsUY", ""), "\n" + _TEXT.partition("\n")[2], _TEXT + "more\n\n",
        _TEXT.replace("sofa", "so\rfa"), _TEXT.replace("sofa", "so\x7ffa"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        Checkpoint.parse(text)


@given(st.integers(0, MAX_LEAVES), st.binary(min_size=32, max_size=32), st.lists(st.just("x y")))
def test_what_is_written_is_read(size: int, root: bytes, more: list[str]) -> None:
    checkpoint = Checkpoint("sacbe/EX/GOV/1001/SS1", size, root, tuple(more))
    assert Checkpoint.parse(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "make",
    [
        partial(Checkpoint, "", 1, EMPTY_ROOT),
        partial(Checkpoint, "a\nb", 1, EMPTY_ROOT),
        partial(Checkpoint, "a", -1, EMPTY_ROOT),
        partial(Checkpoint, "a", 1, EMPTY_ROOT[:-1]),
        partial(Checkpoint, "a", 1, EMPTY_ROOT, ("",)),
    ],
)
def test_what_cannot_be_written_is_not_made(make: partial[Checkpoint]) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        make()


def test_a_checkpoint_follows_an_older_one_and_no_other() -> None:
    old, new = checkpoint_of(13), checkpoint_of(21)
    proof = build_consistency(13, 21, node)
    new.check_follows(old, proof)
    for older, newer in ((checkpoint_of(12), new), (old, checkpoint_of(20)), (new, old)):
        with pytest.raises(EvidenceRejected):
            newer.check_follows(older, proof)


# --- offers -----------------------------------------------------------------------------------


def test_the_offer_of_the_specification_is_read() -> None:
    offer = CheckpointOffer.parse(_OFFER)
    assert (offer.old, len(offer.proof), offer.note) == (20852014, 4, _NOTE)
    assert offer.raw == _OFFER


def test_a_first_offer_has_no_proof() -> None:
    offer = CheckpointOffer(0, (), _NOTE)
    assert offer.raw.startswith(b"old 0\n\nexample.com")
    assert CheckpointOffer.parse(offer.raw) == offer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"old 1\n",
        _OFFER.replace(b"old ", b"new "),
        _OFFER.replace(b"old 2", b"old 02"),
        _OFFER.replace(b"PlRN", b"PlR"),
        _OFFER.replace(b"kaw=\n", b"kaw= \n"),
        _OFFER.replace(b"\n\n", b"\r\n\r\n"),
        b"old 1\n" + _OFFER.split(b"\n")[1] * 65 + b"\n\n" + _NOTE,
        b"old 1\n" + b"\n".join([_OFFER.split(b"\n")[1]] * 65) + b"\n\n" + _NOTE,
        b"x" * MAX_OFFER_BYTES + _OFFER,
        b"old 1\n\xff\n\n",
    ],
)
def test_what_is_no_offer_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CheckpointOffer.parse(raw)


@given(st.text(alphabet="old 1\nA=—", max_size=60))
def test_any_offer_is_read_or_refused(text: str) -> None:
    try:
        offer = CheckpointOffer.parse(text.encode())
    except MalformedMessage:
        return
    assert offer.raw == text.encode()


# --- inclusion proofs -------------------------------------------------------------------------


def proved(index: int) -> InclusionProof:
    private = Ed25519PrivateKey.generate()
    key = NoteKey("a", NoteKeyKind.LOG, private.public_key().public_bytes_raw())
    note = sign_note(checkpoint_of(21).text, key, private.sign)
    return InclusionProof(index, build_inclusion(index, 21, node), note.raw)


@pytest.mark.parametrize("index", [0, 7, 16, 20])
def test_a_proof_in_one_text_holds_for_its_leaf_alone(index: int) -> None:
    proof = InclusionProof.parse(proved(index).raw)
    assert proof.raw.startswith(f"c2sp.org/tlog-proof@v1\nindex {index}\n".encode())
    assert proof.check(_LEAVES[index]) == checkpoint_of(21)
    for other, leaf in enumerate(_LEAVES):
        if other != index:
            with pytest.raises(EvidenceRejected, match="does not lead"):
                proof.check(leaf)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"tlog-proof@v1", b"tlog-proof@v2"),
        (b"index 7", b"index -7"),
        (b"index 7\n", b"extra eA==\nindex 7\n"),
        (b"index 7", b"index 99999999999999999999"),
        (b"21\n", b"21"),
    ],
)
def test_what_is_no_proof_is_refused(old: bytes, new: bytes) -> None:
    raw = proved(7).raw
    assert old in raw
    with pytest.raises(MalformedMessage):
        InclusionProof.parse(raw.replace(old, new)).check(_LEAVES[7])
