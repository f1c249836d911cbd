"""Hash trees: how one signature covers several parts of a message, or several messages.

A tree's top stands in the hash chain result, which is what gets signed or time-stamped; a hash
chain leads from the top to the parts of one message. A step of the tree is an ordered list of
digests, and its value is the digest of their DER.

Source: signatures.md 5; X-Road 7.8 HashChainBuilder.java, HashChainVerifier.java, DigestList.java.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from lxml import etree

from trust.base64text import encode_base64
from trust.digests import SHA512_URI, digest, sha512
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.hashchain_files import (
    HASH_CHAIN_NAMESPACE,
    XMLDSIG_NAMESPACE,
    Chain,
    Entry,
    malformed_chain,
    parse_chain,
    parse_result,
)
from trust.xmlbytes import parse_xml

SIGNATURE_CHAIN_NAME = "/sig-hashchain.xml"
SIGNATURE_CHAIN_RESULT_NAME = "/sig-hashchainresult.xml"

MAX_STEPS = 64  # on the way from one top; a tree of 2^64 messages is not deeper
_PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/#")


@dataclass(frozen=True, slots=True)
class PartDigest:
    """The digest of one part of a message, under the name that signatures give it."""

    name: str  # `/message.xml`, `/attachment1`
    digest: bytes
    algorithm: str = SHA512_URI

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        return cls(name, sha512(data))


# --- making ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HashChains:
    """What comes of one tree: the file to be signed, and a chain for each message in order."""

    result: bytes
    chains: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TreeNode:
    """An inner node with its two children, or a leaf with the parts of its message.

    Attributes:
        stepped: a leaf of one part that has a step all the same, so that it is a tree by itself.
    """

    digest: bytes
    children: tuple["TreeNode", ...] = ()
    parts: tuple[PartDigest, ...] = ()
    stepped: bool = False

    @property
    def has_step(self) -> bool:
        return self.stepped or bool(self.children) or len(self.parts) > 1


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def step_der(digests: Sequence[tuple[str, bytes]]) -> bytes:
    """The DER of a step's (algorithm URI, digest) pairs; its digest is the step's value."""
    return _der(
        0x30,
        b"".join(
            # the empty sequence is a place for transforms that nobody fills
            _der(0x30, _der(0x04, value) + _der(0x0C, uri.encode()) + b"\x30\x00")
            for uri, value in digests
        ),
    )


def build_hash_chains(
    leaves: Sequence[Sequence[PartDigest]],
    *,
    result_uri: str = f"{SIGNATURE_CHAIN_NAME}#STEP0",
    algorithm: str = SHA512_URI,
) -> HashChains:
    """Build the tree over messages, each given by the digests of its parts.

    Raises ValueError for what needs no tree (one message of one part), for a message without parts
    or with a name twice, for a name that is not plain, and for digests of another algorithm.
    Serialised as X-Road does, for comfort: only the bytes of the result are ever signed.
    """
    for leaf in leaves:
        _check_leaf(leaf, algorithm)
    if sum(map(len, leaves)) < 2:
        raise ValueError("a single part is signed without a hash chain")
    top = join_nodes([_leaf(leaf, algorithm) for leaf in leaves], algorithm)
    return HashChains(
        result=result_text(result_uri, algorithm, top.digest).encode("ascii"),
        chains=tuple(chain_text(path, algorithm).encode("ascii") for path in _paths((top,))),
    )


def _check_leaf(parts: Sequence[PartDigest], algorithm: str) -> None:
    names = [part.name for part in parts]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"a message with parts {names} has no hash chain")
    for part in parts:
        if part.algorithm != algorithm:
            raise ValueError(f"{part.name} is digested with {part.algorithm}, not {algorithm}")
        check_plain_name(part.name)


def check_plain_name(name: str) -> None:
    """Raise ValueError for a part's name that would need escaping in XML; ours never do."""
    if not name or not _PLAIN_NAME.issuperset(name):
        raise ValueError(f"{name!r} is no name of a message part")


def step_value(algorithm: str, digests: Sequence[bytes]) -> bytes:
    """The value of a step over digests that are all of one algorithm."""
    return digest(algorithm, step_der([(algorithm, value) for value in digests]))


def _leaf(parts: Sequence[PartDigest], algorithm: str) -> TreeNode:
    digests = [part.digest for part in parts]
    value = digests[0] if len(digests) == 1 else step_value(algorithm, digests)
    return TreeNode(value, parts=tuple(parts))


def join_nodes(level: list[TreeNode], algorithm: str) -> TreeNode:
    """Join neighbours level by level; an odd last node moves up unchanged."""
    while len(level) > 1:
        joined = [
            TreeNode(step_value(algorithm, (left.digest, right.digest)), (left, right))
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = joined + level[len(joined) * 2 :]
    return level[0]


def _paths(path: tuple[TreeNode, ...]) -> Iterator[tuple[TreeNode, ...]]:
    """All ways from the top to a leaf, in the order of the leaves."""
    if not path[-1].children:
        yield path
    for child in path[-1].children:
        yield from _paths((*path, child))


_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_NAMESPACES = f'xmlns="{XMLDSIG_NAMESPACE}" xmlns:ns2="{HASH_CHAIN_NAMESPACE}"'


def result_text(uri: str, algorithm: str, top: bytes) -> str:
    """The file of a tree's top, as X-Road writes it."""
    check_plain_name(uri)
    return (
        f'{_DECLARATION}<ns2:HashChainResult URI="{uri}" {_NAMESPACES}>\n'
        f'    <DigestMethod Algorithm="{algorithm}"/>\n'
        f"    <DigestValue>{encode_base64(top)}</DigestValue>\n"
        "</ns2:HashChainResult>\n"
    )


def chain_text(path: tuple[TreeNode, ...], algorithm: str) -> str:
    """The file of the way from a tree's top to one leaf, as X-Road writes it.

    Args:
        path: the top, then one of its children, and so on down to the leaf.
    """
    steps = [
        "".join(
            _link_text(child, depth + 1) if child is below else _value_text(child.digest)
            for child in node.children
        )
        for depth, (node, below) in enumerate(pairwise(path))
    ]
    leaf = path[-1]
    if leaf.has_step:
        steps.append("".join(map(_data_text, leaf.parts)))
    body = "".join(
        f'    <ns2:HashStep id="STEP{number}">\n{step}    </ns2:HashStep>\n'
        for number, step in enumerate(steps)
    )
    return (
        f"{_DECLARATION}<ns2:HashChain {_NAMESPACES}>\n"
        f'    <ns2:DefaultDigestMethod Algorithm="{algorithm}"/>\n{body}</ns2:HashChain>\n'
    )


def _link_text(node: TreeNode, depth: int) -> str:
    if node.has_step:
        return f'        <ns2:StepRef URI="#STEP{depth}"/>\n'
    return _data_text(node.parts[0])


def _data_text(part: PartDigest) -> str:
    return (
        f'        <ns2:DataRef URI="{part.name}">\n'
        f"            <DigestValue>{encode_base64(part.digest)}</DigestValue>\n"
        "        </ns2:DataRef>\n"
    )


def _value_text(value: bytes) -> str:
    return (
        "        <ns2:HashValue>\n"
        f"            <DigestValue>{encode_base64(value)}</DigestValue>\n"
        "        </ns2:HashValue>\n"
    )


# --- verifying ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HashChainVerdict:
    """What a chain that holds says.

    Attributes:
        covered: names whose digest was compared: given by the caller, or loaded and digested.
        unresolved: digests of further names that nobody could load, as the chain states them; the
            top covers them, so they can be compared later.
    """

    covered: frozenset[str]
    unresolved: tuple[PartDigest, ...]


def verify_hash_chain(
    result: bytes,
    files: Mapping[str, bytes],
    inputs: Mapping[str, PartDigest | None],
    load: Callable[[str], bytes | None],
    *,
    allow_transforms: bool = False,
) -> HashChainVerdict:
    """Check that the chain leads from `result` to every name of `inputs`, or raise.

    Args:
        result: the hash chain result; that it is signed is another question.
        files: the chain files by name; a chain may go on in another file.
        inputs: names that must be reached, with their digests or None to have them loaded.
        load: the bytes of a part, or None when they are not at hand.
        allow_transforms: run inclusive canonicalisation where a reference asks for it. X-Road does,
            but never writes one; off everywhere but for its test vector.

    Raises:
        EvidenceRejected: with the code of signatures.md 5.6. Stricter than X-Road: at most
            MAX_STEPS steps, each visited once; a name reached once; the chain's digest of a given
            part must equal the given one.
    """
    top = parse_result(result)
    walk = _Walk(files, inputs, load, allow_transforms)
    if digest(top.algorithm, walk.step(top.uri, "")) != top.digest:
        raise EvidenceRejected(
            "Hash chain result does not match hash chain calculation", "invalid_hash_chain"
        )
    if unused := inputs.keys() - walk.reached:
        raise EvidenceRejected(
            f"Some inputs were not referenced by hash chain: {', '.join(sorted(unused))}",
            "hashchain_unused_inputs",
        )
    unresolved = frozenset(part.name for part in walk.unresolved)
    return HashChainVerdict(frozenset(walk.reached - unresolved), tuple(walk.unresolved))


class _Walk:
    """One way down from a top; remembers where it has been."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        inputs: Mapping[str, PartDigest | None],
        load: Callable[[str], bytes | None],
        allow_transforms: bool,
    ) -> None:
        self._files = files
        self._inputs = inputs
        self._load = load
        self._allow_transforms = allow_transforms
        self._chains: dict[str, Chain] = {}
        self._visited: set[tuple[str, str]] = set()
        self.reached: set[str] = set()
        self.unresolved: list[PartDigest] = []

    def step(self, uri: str, current: str) -> bytes:
        """The DER of a step; `current` is the file that a bare `#id` means."""
        name, _, fragment = uri.partition("#")
        place = (name or current, fragment)
        entries = self._chain(place[0]).get(fragment) if fragment and place[0] else None
        if entries is None:
            raise EvidenceRejected(f"Invalid hash step URI: {uri}", "malformed_hash_chain")
        if place in self._visited or len(self._visited) == MAX_STEPS:
            malformed_chain("steps that run in a circle, or too many of them")
        self._visited.add(place)
        return step_der([(entry.algorithm, self._digest(entry, place[0])) for entry in entries])

    def _chain(self, name: str) -> Chain:
        if name not in self._chains:
            if name not in self._files:
                raise EvidenceRejected(f"Cannot resolve URI: {name}", "invalid_reference")
            self._chains[name] = parse_chain(self._files[name])
        return self._chains[name]

    def _digest(self, entry: Entry, current: str) -> bytes:
        if entry.kind == "HashValue":
            return entry.digest
        if entry.kind == "StepRef":
            return digest(entry.algorithm, self.step(entry.uri, current))
        return self._part(entry)

    def _part(self, entry: Entry) -> bytes:
        if entry.transformed and not self._allow_transforms:
            malformed_chain("transforms are not accepted")
        if entry.uri in self.reached:
            malformed_chain(f"{entry.uri} is referenced twice")
        self.reached.add(entry.uri)
        given = self._inputs.get(entry.uri)
        if given is not None and given.algorithm == entry.algorithm:
            if given.digest != entry.digest:
                raise EvidenceRejected(
                    f"The digest of {entry.uri} is not the one in the hash chain",
                    "invalid_hash_chain",
                )
            return entry.digest
        return self._loaded(entry)

    def _loaded(self, entry: Entry) -> bytes:
        data = self._load(entry.uri)
        if data is None:
            if entry.uri in self._inputs:
                raise EvidenceRejected(f"Cannot resolve URI: {entry.uri}", "invalid_reference")
            self.unresolved.append(PartDigest(entry.uri, entry.digest, entry.algorithm))
            return entry.digest
        if entry.transformed:
            data = _canonical(data)
        if digest(entry.algorithm, data) != entry.digest:
            raise EvidenceRejected(
                f"Invalid digest value in hash chain reference to {entry.uri}",
                "invalid_hash_chain_ref",
            )
        return entry.digest


def _canonical(data: bytes) -> bytes:
    try:
        root = parse_xml(data, what="Referenced part")
        return etree.tostring(
            root.getroottree(), method="c14n", exclusive=False, with_comments=False
        )
    except (MalformedMessage, etree.LxmlError) as error:
        raise EvidenceRejected(
            f"A part can't be canonicalised: {error}", "invalid_hash_chain_ref"
        ) from error
