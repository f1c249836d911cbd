"""The two hash chain files as values: read strictly, by a structure check of our own.

Source: signatures.md 5.4; X-Road 7.8 hashchain.xsd, for what is allowed where.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from lxml import etree

from trust.base64text import decode_base64
from trust.digests import digest_name
from trust.errors import EvidenceRejected, MalformedMessage
from trust.xmlbytes import MAX_EQUALS, MAX_TAGS, parse_xml

HASH_CHAIN_NAMESPACE = "http://cyber.ee/hashchain"
XMLDSIG_NAMESPACE = "http://www.w3.org/2000/09/xmldsig#"
MAX_CHAIN_BYTES = 4 * 1024 * 1024

_INCLUSIVE_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"


@dataclass(frozen=True, slots=True)
class Entry:
    kind: str  # local name: HashValue, StepRef, DataRef
    algorithm: str
    uri: str = ""
    digest: bytes = b""
    transformed: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    uri: str
    algorithm: str
    digest: bytes


Chain = Mapping[str, tuple[Entry, ...]]


def malformed_chain(reason: str) -> NoReturn:
    raise EvidenceRejected(f"Parsing hash chain failed: {reason}", "malformed_hash_chain")


def _names(element: etree._Element, *allowed: str) -> None:
    """Refuse attributes other than those, and text between the children."""
    for name in element.keys():  # noqa: SIM118 - an element is no mapping
        if name not in allowed:
            malformed_chain(f"unexpected attribute {name}")
    if (text := element.text) and text.strip():
        malformed_chain("unexpected text")
    for child in element:
        if (text := child.tail) and text.strip():
            malformed_chain("unexpected text")


_PREFIXES = {HASH_CHAIN_NAMESPACE: "", XMLDSIG_NAMESPACE: "ds:"}


def _tags(element: etree._Element) -> list[str]:
    """The children's names, `ds:` for those of XMLDSig; comments and the like are refused."""
    tags = []
    for child in element:
        if not isinstance(child.tag, str):
            malformed_chain("a comment or processing instruction")
        space, _, local = child.tag[1:].rpartition("}")
        prefix = _PREFIXES.get(space)
        if prefix is None:
            malformed_chain(f"unexpected element {local}")
        tags.append(prefix + local)
    return tags


def _method(element: etree._Element) -> str:
    _names(element, "Algorithm")
    uri = element.get("Algorithm", "")
    if len(element) or digest_name(uri) is None:
        malformed_chain(f"digest algorithm {uri!r} is not accepted")
    return uri


def _value(element: etree._Element) -> bytes:
    if len(element) or element.keys():
        malformed_chain("unexpected content in DigestValue")
    try:
        return decode_base64(element.text)
    except ValueError:
        malformed_chain("DigestValue is not base64")


def _root(raw: bytes, name: str) -> etree._Element:
    root = parse_xml(
        raw, max_bytes=MAX_CHAIN_BYTES, max_tags=MAX_TAGS, max_equals=MAX_EQUALS, what="Hash chain"
    )
    if root.tag != f"{{{HASH_CHAIN_NAMESPACE}}}{name}":
        malformed_chain(f"the root element is not {name}")
    return root


def parse_result(raw: bytes) -> Result:
    try:
        root = _root(raw, "HashChainResult")
    except MalformedMessage as error:
        raise EvidenceRejected(f"Hash chain result: {error.text}", "invalid_xml") from error
    _names(root, "URI")
    if _tags(root) != ["ds:DigestMethod", "ds:DigestValue"]:
        malformed_chain("unexpected content of HashChainResult")
    return Result(root.get("URI", ""), _method(root[0]), _value(root[1]))


def parse_chain(raw: bytes) -> Chain:
    try:
        root = _root(raw, "HashChain")
    except MalformedMessage as error:
        malformed_chain(error.text)
    _names(root)
    tags = _tags(root)
    default: str | None = None
    steps = list(root)
    if tags[:1] == ["DefaultDigestMethod"]:
        default = _method(steps.pop(0))
        tags.pop(0)
    if set(tags) - {"HashStep"}:
        malformed_chain("unexpected content of HashChain")
    chain: dict[str, tuple[Entry, ...]] = {}
    for step in steps:
        _names(step, "id")
        name = step.get("id", "")
        if not name or name in chain:
            malformed_chain("a hash step without an id of its own")
        chain[name] = tuple(
            _entry(element, tag, default) for element, tag in zip(step, _tags(step), strict=True)
        )
    return chain


_CONTENT = {"HashValue": ["ds:DigestValue"], "StepRef": [], "DataRef": ["ds:DigestValue"]}


def _entry(element: etree._Element, kind: str, default: str | None) -> Entry:
    if kind not in _CONTENT:
        malformed_chain(f"unexpected element {kind}")
    _names(element, *(() if kind == "HashValue" else ("URI",)))
    tags = _tags(element)
    rest = list(element)
    algorithm = default
    if tags[:1] == ["ds:DigestMethod"]:
        algorithm = _method(rest.pop(0))
        tags.pop(0)
    transformed = kind == "DataRef" and tags[:1] == ["ds:Transforms"]
    if transformed:
        _check_transforms(rest.pop(0))
        tags.pop(0)
    if tags != _CONTENT[kind]:
        malformed_chain(f"unexpected content of {kind}")
    uri = element.get("URI")
    if algorithm is None or (kind != "HashValue" and not uri):
        malformed_chain(f"{kind} without digest algorithm or URI")
    value = _value(rest[0]) if rest else b""
    return Entry(kind, algorithm, uri or "", value, transformed)


def _check_transforms(element: etree._Element) -> None:
    _names(element)
    methods = [child.get("Algorithm") for child in element]
    if _tags(element) != ["ds:Transform"] or methods != [_INCLUSIVE_C14N] or len(element[0]):
        malformed_chain("transforms are not accepted")
    _names(element[0], "Algorithm")
