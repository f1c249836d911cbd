"""Signatures with one thing wrong, for messages in either direction.

Each changes a draft that has a body. Source: transport.md 19, rows 30 to 46, 56 and 57.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from scripts.issuing import Identity
from tests.defects import Change, Defect
from tests.drafts import BODY, CHAIN, CHAIN_RESULT, Draft, Part, Parts, encoded
from tests.simulator import LivePki
from trust.digests import SHA256_URI, digest
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import parse_signature
from trust.ids import ClientId, ServerId
from trust.pki.ocsp import CertificateStatus

_FOREIGN = ClientId("TEST", "GOV", "6666")
_HOUR = timedelta(hours=1)


def _only_body(draft: Draft, _: LivePki) -> None:
    draft.edit_digests = lambda digests: digests[1:]


def _only_message(draft: Draft, _: LivePki) -> None:
    draft.edit_digests = lambda digests: digests[:1]


def _unreferenced_chain(draft: Draft, _: LivePki) -> None:
    chain = replace(draft, chained=True).proof()[:2]
    draft.edit_parts = lambda parts: [*parts[:-1], *chain, parts[-1]]


def _document(edit: Callable[[bytes], bytes]) -> Change:
    def checked(document: bytes) -> bytes:
        changed = edit(document)
        assert changed != document
        return changed

    def change(draft: Draft, _: LivePki) -> None:
        draft.edit_signature = checked

    return change


def _without(pattern: bytes) -> Change:
    return _document(lambda document: re.sub(pattern, b"", document, flags=re.DOTALL))


def _by(
    make: Callable[[Draft, LivePki], Identity],
) -> Change:
    """Signed by somebody else, whose OCSP response is good."""

    def change(draft: Draft, pki: LivePki) -> None:
        draft.signer = make(draft, pki)
        draft.signed_ocsp = [pki.ocsp(draft.signer.certificate)]

    return change


def _again(draft: Draft, pki: LivePki, **how: object) -> Identity:
    """Another certificate of the same member."""
    subject = draft.signer.certificate.subject
    return pki.certify(subject, "sign", label="another", **how)  # type: ignore[arg-type]


def _stranger(draft: Draft, pki: LivePki) -> Identity:
    return _again(draft, pki, issuer=pki.stranger)


def _wrong_key(draft: Draft, pki: LivePki) -> None:
    draft.signer = Identity(draft.signer.certificate, pki.stranger.key)


def _changed_value(document: bytes) -> bytes:
    value = parse_signature(document).value
    return document.replace(encoded(value), encoded(value[:-1] + bytes([value[-1] ^ 1])))


def _changed_digest(document: bytes) -> bytes:
    first = parse_signature(document).references[0].digest
    return document.replace(encoded(first), encoded(bytes(reversed(first))))


def _part(kind: str, edit: Callable[[bytes], bytes]) -> Change:
    """Change a part after everything was signed."""

    def change(draft: Draft, _: LivePki) -> None:
        wanted = draft.kind if kind == "head" else kind

        def edited(part: Part) -> Part:
            if part.content_type != wanted:
                return part
            assert edit(part.data) != part.data
            return Part(wanted, edit(part.data))

        draft.edit_parts = lambda parts: [edited(part) for part in parts]

    return change


def _chained(
    then: Change,
) -> Change:
    def change(draft: Draft, pki: LivePki) -> None:
        draft.chained = True
        then(draft, pki)

    return change


def _message_in_a_batch(draft: Draft, pki: LivePki) -> None:
    _only_message(draft, pki)
    draft.beside = [[PartDigest.of("/message.xml", b"another one")]]


def _names_more(draft: Draft, _: LivePki) -> None:
    more = PartDigest.of("/attachment2", b"never sent")
    draft.edit_digests = lambda digests: [*digests, more]


def _sha256(draft: Draft, _: LivePki) -> None:
    data = {"/message.xml": draft.head, "/attachment1": draft.payload}
    draft.edit_digests = lambda _: [
        PartDigest(name, digest(SHA256_URI, one), SHA256_URI) for name, one in data.items()
    ]


def _drop(kind: str) -> Change:
    def without(parts: Parts) -> Parts:
        return [part for part in parts if part.content_type != kind]

    def change(draft: Draft, _: LivePki) -> None:
        draft.edit_parts = without

    return change


def _ocsp(make: Callable[[Draft, LivePki], list[bytes]]) -> Change:
    def change(draft: Draft, pki: LivePki) -> None:
        draft.signed_ocsp = make(draft, pki)

    return change


def _status(**how: object) -> Change:
    return _ocsp(
        lambda draft, pki: [pki.ocsp(draft.signer.certificate, **how)]  # type: ignore[arg-type]
    )


def _embedded(draft: Draft, pki: LivePki) -> None:
    draft.embedded = [pki.root.certificate]
    draft.edit_signature = lambda document: document.replace(
        b'URI="#encapsulated-cert-1"', b'URI="#encapsulated-cert-2"'
    )


def _twin(draft: Draft, pki: LivePki) -> None:
    """Two certificates of one key: the value fits both, but only one was stated."""
    other = _again(draft, pki)
    twin = _again(draft, pki)
    assert other.key is twin.key
    draft.signer = other
    draft.signed_ocsp = [pki.ocsp(other.certificate), pki.ocsp(twin.certificate)]
    draft.edit_signature = lambda document: document.replace(encoded(other.der), encoded(twin.der))


_MALFORMED = "malformed_signature"
_UNUSED = f"{_MALFORMED}.hashchain_unused_inputs"
_BAD_CHAIN = f"{_MALFORMED}.malformed_hash_chain"
_NO_REFERENCE = f"{_MALFORMED}.invalid_reference"
_VALUE = "invalid_signature_value"
_STATUS = "invalid_cert_path.cert_validation"
_INFO = "invalid_cert_path.incorrect_validation_info"

FORGERIES = (
    Defect(30, "references neither message nor chain", _MALFORMED, _only_body),
    Defect(31, "references the message only, a body is there", _UNUSED, _only_message),
    Defect(32, "a chain that nobody references", _UNUSED, _unreferenced_chain),
    Defect(33, "not well-formed", "invalid_xml", _document(lambda xml: xml[:-1])),
    Defect(33, "empty", "invalid_xml", _document(lambda _: b"")),
    Defect(33, "another element", _MALFORMED, _document(
        lambda xml: xml.replace(b"ds:KeyInfo>", b"ds:Key>"))),
    Defect(33, "no ds:Signature", _MALFORMED, _without(rb"<ds:Signature .*</ds:Signature>")),
    Defect(33, "no ds:Object", _MALFORMED, _without(rb"<ds:Object>.*</ds:Object>")),
    Defect(33, "white space in the wrapper", _MALFORMED, _document(
        lambda xml: xml.replace(b"<ds:Signature ", b" <ds:Signature "))),
    Defect(34, "no certificate", _MALFORMED, _without(rb"<ds:X509Data>.*</ds:X509Data>")),
    Defect(34, "an authentication certificate", _MALFORMED, _by(
        lambda draft, pki: pki.auth(ServerId(ClientId("TEST", "GOV", "1001"), "SS9")))),
    Defect(35, "another member's certificate", "incorrect_certificate", _by(
        lambda _, pki: pki.sign(_FOREIGN))),
    Defect(35, "a certificate that names no member", "incorrect_certificate", _by(
        lambda _, pki: pki.certify("nobody", "sign"))),
    Defect(36, "a CA that is not approved", "internal_error", _by(_stranger)),
    Defect(37, "message changed", _VALUE, _part(
        "head", lambda head: head.replace(b"application/json", b"application/jsom").replace(
            b"Accept:*/*", b"Accept:*/+"))),
    Defect(37, "body changed", _VALUE, _part(BODY, lambda body: body[:-1] + b"!")),
    Defect(37, "digest changed", _VALUE, _document(_changed_digest)),
    Defect(37, "value changed", _VALUE, _document(_changed_value)),
    Defect(37, "wrong key", _VALUE, _wrong_key),
    Defect(38, "the chain covers the message only", _UNUSED, _chained(
        _message_in_a_batch)),
    Defect(39, "body changed under a chain", f"{_MALFORMED}.invalid_hash_chain", _chained(
        _part(BODY, lambda body: body[:-1] + b"!"))),
    Defect(39, "chain result changed", _VALUE, _chained(
        _part(CHAIN_RESULT, lambda xml: xml + b" "))),
    Defect(40, "the chain names what was not sent", _NO_REFERENCE, _chained(_names_more)),
    Defect(40, "a reference to what was not sent", _NO_REFERENCE, _names_more),
    Defect(40, "the chain digests otherwise", _NO_REFERENCE, _chained(_sha256)),
    Defect(40, "the chain is missing", _NO_REFERENCE, _chained(_drop(CHAIN))),
    Defect(40, "the chain result is missing", _NO_REFERENCE, _chained(_drop(CHAIN_RESULT))),
    Defect(41, "the chain has another element", _BAD_CHAIN, _chained(
        _part(CHAIN, lambda xml: xml.replace(b"<ns2:HashStep", b"<ns2:Step", 1)))),
    Defect(41, "a step is missing", _BAD_CHAIN, _chained(
        _part(CHAIN, lambda xml: xml.replace(b'"STEP0"', b'"STEP1"')))),
    Defect(42, "an expired certificate", "cannot_create_cert_path", _by(
        lambda draft, pki: _again(draft, pki, days=-1))),
    Defect(42, "a certificate of tomorrow", "cannot_create_cert_path", _by(
        lambda draft, pki: _again(draft, pki, starts=pki.at + 24 * _HOUR))),
    Defect(43, "no OCSP response", _MALFORMED, _without(
        rb"<xades:UnsignedProperties>.*</xades:UnsignedProperties>")),
    Defect(43, "another certificate's OCSP response", _STATUS, _ocsp(
        lambda _, pki: [pki.ocsp(pki.sign(_FOREIGN).certificate)])),
    Defect(43, "no OCSP response but junk", _STATUS, _ocsp(lambda *_: [b"junk"])),
    Defect(44, "OCSP too old", _INFO, _status(age=2 * _HOUR)),
    Defect(44, "OCSP nextUpdate passed", _INFO, _status(next_update=-_HOUR / 60)),
    Defect(44, "OCSP by an unauthorised signer", _INFO, _ocsp(
        lambda draft, pki: [pki.ocsp(draft.signer.certificate, signer=pki.stranger)])),
    Defect(44, "OCSP with a bad signature", _INFO, _ocsp(
        lambda draft, pki: [pki.damaged_ocsp(draft.signer.certificate)])),
    Defect(45, "revoked", _STATUS, _status(status=CertificateStatus.REVOKED)),
    Defect(45, "unknown to its CA", _STATUS, _status(status=CertificateStatus.UNKNOWN)),
    Defect(46, "an embedded CA certificate that does not fit", _MALFORMED, _embedded),
    Defect(56, "OCSP of the future", _INFO, _status(age=-_HOUR / 6)),
    Defect(57, "another certificate is stated", _MALFORMED, _twin),
)  # fmt: skip
