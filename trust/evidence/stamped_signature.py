"""A time-stamp inside a signature: put in and taken out without touching any other byte.

Parsing and writing the document again would change bytes that nobody signed and some keep a digest
of. Here the place is found by a parser that tells where in the file it is, and the element is
written there.

Source: signatures.md 8.2; X-Road 7.8 TimestampVerifier.java, Signature.java (addTimestampValue).
"""

import re
from xml.parsers import expat

from trust.base64text import encode_base64
from trust.errors import EvidenceRejected
from trust.evidence.xades_form import XADES, malformed

_PLACE = f"{XADES} UnsignedSignatureProperties xades"
_START_TAG = re.compile(
    rb"""<xades:UnsignedSignatureProperties(?:\s+[^\s=<>"']+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*>"""
)
_BEFORE = b"<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>"
_AFTER = b"</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>"
_STAMP = re.compile(re.escape(_BEFORE) + rb"[A-Za-z0-9+/]+={0,2}" + re.escape(_AFTER))


def insert_timestamp(signature: bytes, token: bytes) -> bytes:
    """The signature with a token (DER) as the first of its unsigned properties.

    Raises EvidenceRejected, `malformed_signature`, for a document that has no one place for it.
    """
    place = _place_in(signature)
    element = _BEFORE + encode_base64(token).encode("ascii") + _AFTER
    return signature[:place] + element + signature[place:]


def remove_timestamp(signature: bytes) -> bytes:
    """The signature as it was before `insert_timestamp`; the same where nothing was inserted.

    Raises as `insert_timestamp` does.
    """
    place = _place_in(signature)
    found = _STAMP.match(signature, place)
    return signature if found is None else signature[:place] + signature[found.end() :]


def _place_in(signature: bytes) -> int:
    """Where the content of the unsigned signature properties begins, in bytes."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.namespace_prefixes = True
    starts: list[int] = []

    def start(name: str, _: object) -> None:
        if name == _PLACE:
            starts.append(parser.CurrentByteIndex)

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(signature, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        text = f"The signature is not well-formed: {error}"
        raise EvidenceRejected(text, "invalid_xml") from error
    tag = _START_TAG.match(signature, starts[0]) if len(starts) == 1 else None
    if tag is None:  # also when it is not written as ASCII is
        malformed("Could not find one element xades:UnsignedSignatureProperties")
    return tag.end()


def _refuse_doctype(*_: object) -> None:
    malformed("a document type declaration in the signature")
