"""What a signature document may look like: our own structure check, in place of a schema.

It accepts what X-Road 7.x writes and what it reads of its successor (signatures.md 3.1 to 3.8), and
little more. The transport's form is strict. The form of containers lets the unsigned properties be
what they are, because old ones hold time-stamp elements that no standard knows.

Source: X-Road 7.8 xades-schema.xsd and Signature.java, for what is allowed where and in which
prefixes; signatures.md 6.3 for the closures.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from lxml import etree

from trust.errors import EvidenceRejected

DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
ASIC = "http://uri.etsi.org/02918/v1.2.1#"
_OLD_ASIC = "http://uri.etsi.org/02918/v1.1.1#"

MAX_ELEMENTS = 10_000
_PREFIXES = {DS: "ds", XADES: "xades", ASIC: "asic", _OLD_ASIC: "asic"}
_XML_ATTRIBUTE = "{http://www.w3.org/XML/"  # xml:id, xml:base, xml:lang, xml:space
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9._\-]{0,255}")


class Form(Enum):
    """How strict the check is."""

    TRANSPORT = "transport"
    CONTAINER = "container"


def malformed(reason: str) -> NoReturn:
    raise EvidenceRejected(reason, "malformed_signature")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an element may hold.

    Attributes:
        children: matches the names of the children, each followed by a blank; None for any.
        text: whether text may stand in it.
        attributes, required: by name; attributes with a namespace are always refused.
    """

    children: re.Pattern[str] | None
    text: bool
    attributes: frozenset[str]
    required: frozenset[str]


def _shape(content: str | None, attributes: str = "", *, text: bool = False) -> _Shape:
    """Content as `a b? c|d*`: names in order with their counts; a required attribute ends in !."""
    names = attributes.split()
    return _Shape(
        children=None if content is None else re.compile("".join(map(_counted, content.split()))),
        text=text or content is None,
        attributes=frozenset(name.rstrip("!") for name in names),
        required=frozenset(name[:-1] for name in names if name.endswith("!")),
    )


def _counted(token: str) -> str:
    count = token[-1] if token[-1] in "?*+" else ""
    return f"(?:(?:{token.rstrip('?*+')}) ){count}"


_TEXT = _shape("", "Id Encoding", text=True)
_PLAIN_TEXT = _shape("", text=True)
_ANY = _shape(None, "Id")

_STRICT = {
    "asic:XAdESSignatures": _shape("ds:Signature"),
    "ds:Signature": _shape("ds:SignedInfo ds:SignatureValue ds:KeyInfo ds:Object", "Id!"),
    "ds:SignedInfo": _shape("ds:CanonicalizationMethod ds:SignatureMethod ds:Reference+", "Id"),
    "ds:CanonicalizationMethod": _shape("", "Algorithm!"),
    "ds:SignatureMethod": _shape("", "Algorithm!"),
    "ds:Reference": _shape("ds:Transforms? ds:DigestMethod ds:DigestValue", "Id Type URI!"),
    "ds:Transforms": _shape("ds:Transform"),
    "ds:Transform": _shape("", "Algorithm!"),
    "ds:DigestMethod": _shape("", "Algorithm!"),
    "ds:DigestValue": _PLAIN_TEXT,
    "ds:SignatureValue": _shape("", "Id", text=True),
    "ds:KeyInfo": _shape("ds:X509Data", "Id"),
    "ds:X509Data": _shape("ds:X509Certificate"),
    "ds:X509Certificate": _PLAIN_TEXT,
    "ds:X509IssuerName": _PLAIN_TEXT,
    "ds:X509SerialNumber": _PLAIN_TEXT,
    "ds:Object": _shape("xades:QualifyingProperties", "Id"),
    "xades:QualifyingProperties": _shape(
        "xades:SignedProperties xades:UnsignedProperties?", "Id Target!"
    ),
    "xades:SignedProperties": _shape(
        "xades:SignedSignatureProperties xades:SignedDataObjectProperties?", "Id!"
    ),
    "xades:SignedSignatureProperties": _shape(
        "xades:SigningTime? xades:SigningCertificate|xades:SigningCertificateV2"
        " xades:SignaturePolicyIdentifier?"
        " xades:SignatureProductionPlace|xades:SignatureProductionPlaceV2?"
        " xades:SignerRole|xades:SignerRoleV2?",
        "Id",
    ),
    "xades:SigningTime": _PLAIN_TEXT,
    "xades:SigningCertificate": _shape("xades:Cert+"),
    "xades:SigningCertificateV2": _shape("xades:Cert+"),
    "xades:Cert": _shape("xades:CertDigest xades:IssuerSerial|xades:IssuerSerialV2", "URI"),
    "xades:CertDigest": _shape("ds:DigestMethod ds:DigestValue"),
    "xades:IssuerSerial": _shape("ds:X509IssuerName ds:X509SerialNumber"),
    "xades:IssuerSerialV2": _PLAIN_TEXT,
    "xades:SignaturePolicyIdentifier": _shape("xades:SignaturePolicyId"),
    "xades:SignaturePolicyId": _shape(
        "xades:SigPolicyId xades:SigPolicyHash xades:SigPolicyQualifiers?"
    ),
    "xades:SigPolicyId": _shape("xades:Identifier xades:Description?"),
    "xades:SigPolicyHash": _shape("ds:DigestMethod ds:DigestValue"),
    "xades:SigPolicyQualifiers": _shape("xades:SigPolicyQualifier+"),
    "xades:SigPolicyQualifier": _ANY,
    "xades:Identifier": _shape("", "Qualifier", text=True),
    "xades:Description": _PLAIN_TEXT,
    "xades:SignatureProductionPlace": _ANY,
    "xades:SignatureProductionPlaceV2": _ANY,
    "xades:SignerRole": _ANY,
    "xades:SignerRoleV2": _ANY,
    "xades:SignedDataObjectProperties": _shape(
        "xades:DataObjectFormat* xades:CommitmentTypeIndication*", "Id"
    ),
    "xades:DataObjectFormat": _shape(
        "xades:Description? xades:MimeType? xades:Encoding?", "ObjectReference!"
    ),
    "xades:MimeType": _PLAIN_TEXT,
    "xades:Encoding": _PLAIN_TEXT,
    "xades:CommitmentTypeIndication": _ANY,
    "xades:UnsignedProperties": _shape("xades:UnsignedSignatureProperties", "Id"),
    "xades:UnsignedSignatureProperties": _shape(
        "xades:SignatureTimeStamp|xades:CompleteCertificateRefs|xades:CompleteRevocationRefs"
        "|xades:CertificateValues|xades:RevocationValues+",
        "Id",
    ),
    "xades:SignatureTimeStamp": _shape(
        "ds:CanonicalizationMethod? xades:EncapsulatedTimeStamp", "Id"
    ),
    "xades:EncapsulatedTimeStamp": _TEXT,
    "xades:CompleteCertificateRefs": _shape("xades:CertRefs", "Id"),
    "xades:CertRefs": _shape("xades:Cert+"),
    "xades:CompleteRevocationRefs": _ANY,
    "xades:CertificateValues": _shape("xades:EncapsulatedX509Certificate*", "Id"),
    "xades:EncapsulatedX509Certificate": _TEXT,
    "xades:RevocationValues": _shape("xades:OCSPValues", "Id"),
    "xades:OCSPValues": _shape("xades:EncapsulatedOCSPValue+", "Id"),
    "xades:EncapsulatedOCSPValue": _TEXT,
}
_TOLERANT = {
    **_STRICT,
    "xades:UnsignedProperties": _ANY,
    "xades:UnsignedSignatureProperties": _ANY,
    "xades:SignatureTimeStamp": _ANY,
}
_ONCE = frozenset({
    "ds:Signature", "ds:Object", "xades:QualifyingProperties", "xades:SignedProperties",
    "xades:UnsignedSignatureProperties", "xades:CompleteCertificateRefs",
    "xades:CertificateValues", "xades:RevocationValues",
})  # fmt: skip
# in containers the first counts: a signature may come with one, and gets another one in the log
_ONCE_ON_THE_WAY = frozenset({"xades:SignatureTimeStamp", "xades:EncapsulatedTimeStamp"})


def _short_names() -> dict[str, str]:
    names = {}
    for name in _STRICT:
        prefix, local = name.split(":")
        for space, its_prefix in _PREFIXES.items():
            if prefix == its_prefix:
                names[f"{{{space}}}{local}"] = name
    return names


_NAMES = _short_names()


def check_form(root: etree._Element, form: Form) -> Mapping[str, etree._Element]:
    """Check a signature document and give its elements by `Id`, or raise `malformed_signature`.

    After it, children may be taken by their position down to the unsigned properties. What holds:
    one `ds:Signature`, the root or the root's only child, and one of each thing that a verifier
    looks for; no comments and processing instructions; no attribute and no text where none belongs;
    prefixes as X-Road's reader wants them; every `Id` unique.
    """
    on_the_way = form is Form.TRANSPORT
    shapes, once = (_STRICT, _ONCE | _ONCE_ON_THE_WAY) if on_the_way else (_TOLERANT, _ONCE)
    name = _name(root)
    if name not in ("ds:Signature", "asic:XAdESSignatures"):
        malformed("Could not find element ds:Signature")
    if form is Form.TRANSPORT and name != "ds:Signature" and root.text:
        malformed("white space before ds:Signature")
    seen: set[str] = set()
    by_id: dict[str, etree._Element] = {}
    waiting = [(root, name)]
    for element, name in waiting:  # grows while it is read: breadth first
        waiting += _checked_children(element, name, shapes.get(name))
        if len(waiting) > MAX_ELEMENTS:
            malformed(f"more than {MAX_ELEMENTS} elements")
        if name in once:
            if name in seen:
                malformed(f"{name} stands there twice")
            seen.add(name)
        identifier = element.get("Id")
        if identifier is not None:
            if identifier in by_id or not _ID.fullmatch(identifier):
                malformed(f"Id {identifier!r} is no unique identifier")
            by_id[identifier] = element
    return by_id


def _name(element: etree._Element) -> str:
    """The short name of an element that has one here, else `?`."""
    tag = element.tag
    if not isinstance(tag, str):
        malformed("a comment or processing instruction in the signature")
    return _NAMES.get(tag, "?")


def _checked_children(
    element: etree._Element, name: str, shape: _Shape | None
) -> list[tuple[etree._Element, str]]:
    """Check one element, and give its children; a foreign one (`?`) gets by in a free place."""
    if present := element.keys():
        _check_names(present, shape, name)
    children = []
    content = ""
    for child in element:
        child_name = _name(child)
        children.append((child, child_name))
        content += child_name + " "
        if (tail := child.tail) and tail.strip():
            malformed(f"text between the children of {name}")
    if shape is not None:
        if not shape.required.issubset(present):
            malformed(f"{name} lacks an attribute: {', '.join(sorted(shape.required))}")
        if element.prefix != name.partition(":")[0]:
            malformed(f"{name} has another prefix")
        if not shape.text and (text := element.text) and text.strip():
            malformed(f"text in {name}")
        if shape.children is not None and not shape.children.fullmatch(content):
            malformed(f"unexpected content of {name}: {content[:200].strip() or 'nothing'}")
    return children


def _check_names(present: Sequence[str], shape: _Shape | None, name: str) -> None:
    for attribute in present:
        if attribute.startswith(_XML_ATTRIBUTE):
            malformed("an attribute of the namespace xml")
        if shape is not None and attribute not in shape.attributes:
            malformed(f"unexpected attribute of {name}: {attribute[:200]}")
