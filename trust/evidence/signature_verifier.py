"""Did the sender's member sign exactly these parts?

Two questions make one report. Whether the key of the certificate signed what was received needs
nothing but the bytes (`verify_content`). Whose certificate it is, and whether it counted then,
needs the trust list (`verify_signature`). The order of the checks is the reference server's, so
that the first failure has its fault code; what it does not check is closed here.

Source: signatures.md 6, 7, 13; transport.md 19, rows 30 to 46, 56, 57; X-Road 7.8
SignatureVerifier.java, Verifier.java, AsicContainerVerifier.java.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from trust.digests import KeyKind, digest
from trust.errors import EvidenceRejected
from trust.evidence.certificate_verdicts import VerdictCache, judge_certificate
from trust.evidence.hashchain import (
    SIGNATURE_CHAIN_NAME,
    SIGNATURE_CHAIN_RESULT_NAME,
    HashChainVerdict,
    PartDigest,
    verify_hash_chain,
)
from trust.evidence.signature import Signature, SignedMessage, parse_signature
from trust.evidence.verified_batches import VerifiedBatch, VerifiedBatches
from trust.evidence.xades_form import Form
from trust.globalconf import ApprovedCa, AuthorityCertificate, GlobalConf, InstanceConf
from trust.ids import ClientId
from trust.pki.certificates import der, describe, is_sign_certificate
from trust.pki.profiles import member_of
from trust.report import Check, Outcome, VerificationReport, failed, passed, warning

MESSAGE_NAME = "/message.xml"
NOT_APPROVED = "Certificate is not issued by approved certification service provider."

_COVERAGE_CHECKS = ("hash_chain", "coverage", "stated_certificate")
_SIGNER_CHECKS = ("certificate_usage", "signer")
_VALUE_CHECKS = ("signature_value", "references")
_CERTIFICATE_CHECKS = ("certificate_path", "ocsp_response")
_GROUP = "malformed_signature"


@dataclass(frozen=True, slots=True)
class ContentVerdict:
    """Whether the bytes belong together; who signed them is not judged.

    Attributes:
        signature: None when the document is no signature.
        coverage, values: the checks before and after those of the signer in a whole report.
        covered: the received parts that the signature reaches, directly or by its hash chain.
        absent: parts that a container's hash chain names and nobody has; with their digests.
    """

    signature: Signature | None
    coverage: tuple[Check, ...]
    values: tuple[Check, ...]
    covered: frozenset[str] = frozenset()
    absent: tuple[PartDigest, ...] = ()

    @property
    def report(self) -> VerificationReport:
        return VerificationReport((*self.coverage, *self.values))


def verify_content(
    message: SignedMessage,
    form: Form = Form.TRANSPORT,
    *,
    batches: VerifiedBatches | None = None,
) -> ContentVerdict:
    """Judge form, hash chain, coverage, digests and signature value, without a trust list.

    Every part received must be covered. On the transport the hash chain may name nothing else, and
    chain files that the signature does not reference are refused; in a container absent parts are
    told, an unused chain is a warning, and parts in `message.data` are digested anew.

    Args:
        batches: remembers signatures over batches; for the transport only, where it belongs to
            one form.
    """
    known = None
    if batches is not None and form is Form.TRANSPORT:
        known = batches.find(message.signature, message.hash_chain_result)
    try:
        signature = known.signature if known else parse_signature(message.signature, form)
    except EvidenceRejected as error:
        problem = failed("signature_form", error.code, error.text)
        return ContentVerdict(None, (problem, *_skipped(_COVERAGE_CHECKS)), _skipped(_VALUE_CHECKS))
    chain_check, chain = _check_hash_chain(signature, message, form)
    direct = {part.name for part in signature.references} & message.parts.keys()
    covered = direct | (chain.covered & message.parts.keys() if chain else frozenset())
    chain_fails = chain_check.outcome is Outcome.FAILED
    coverage = (
        passed("signature_form", f"{len(signature.references)} references to parts"),
        chain_check,
        *(
            _skipped(("coverage",))
            if chain_fails
            else (_check_coverage(signature, message, covered),)
        ),
        known.stated_certificate if known else _check_stated_certificate(signature),
    )
    values = (
        known.values if known else (_check_value(signature), _check_references(signature, message))
    )
    if batches is not None and form is Form.TRANSPORT and not known:
        _remember(batches, message, signature, coverage[-1], values)
    return ContentVerdict(
        signature, coverage, values, frozenset(covered), chain.unresolved if chain else ()
    )


def _remember(
    batches: VerifiedBatches,
    message: SignedMessage,
    signature: Signature,
    stated: Check,
    values: tuple[Check, ...],
) -> None:
    """Remember what does not depend on the message's own parts, if all of it held."""
    result = message.hash_chain_result
    alone = [part.name for part in signature.references] == [SIGNATURE_CHAIN_RESULT_NAME]
    held = all(check.outcome is Outcome.PASSED for check in (stated, *values))
    if result is not None and alone and held:
        batches.remember(result, VerifiedBatch(signature, stated, values))


def verify_signature(
    message: SignedMessage,
    sender: ClientId,
    conf: GlobalConf,
    at: datetime,
    *,
    unused_chain_is_warning: bool = False,
    cache: VerdictCache | None = None,
) -> VerificationReport:
    """Judge whether `sender`'s member signed these parts, as of `at`; every step is reported.

    Args:
        sender: the client of a request, the service's provider for a response; a member signs for
            all its subsystems.
        conf: the trust list of the time that is judged.
        at: now for a live message, the time of its time-stamp for one from a container.
        unused_chain_is_warning: the message comes from a container: judged by its more tolerant
            form, see `verify_content`.
        cache: remembers good verdicts on certificates between messages.

    Codes are those of signatures.md 6.1, without the `signature_verification` that the transport
    puts in front.
    """
    form = Form.CONTAINER if unused_chain_is_warning else Form.TRANSPORT
    return judge_signer(verify_content(message, form), sender, conf, at, cache)


def judge_signer(
    content: ContentVerdict,
    sender: ClientId,
    conf: GlobalConf,
    at: datetime,
    cache: VerdictCache | None = None,
) -> VerificationReport:
    """Complete a content verdict to the report of `verify_signature`."""
    return VerificationReport(tuple(_all_checks(content, sender, conf, at, cache)))


def _all_checks(
    content: ContentVerdict,
    sender: ClientId,
    conf: GlobalConf,
    at: datetime,
    cache: VerdictCache | None,
) -> Iterator[Check]:
    yield from content.coverage
    if content.signature is None:
        yield from _skipped(_SIGNER_CHECKS + _VALUE_CHECKS + _CERTIFICATE_CHECKS)
        return
    certificate = content.signature.certificate
    instance = conf.instance(sender.instance, at)
    issuer = _issuer(certificate, instance)
    yield _check_usage(certificate)
    yield _check_signer(certificate, issuer, sender)
    yield from content.values
    if issuer is None or instance is None:
        yield from _skipped(_CERTIFICATE_CHECKS)
        return
    judge = cache.judge if cache is not None else judge_certificate
    responses = content.signature.ocsp_responses
    verdict = judge(certificate, issuer[1].certificate, responses, conf, at, instance=instance)
    yield verdict.path
    yield verdict.ocsp


def _skipped(names: tuple[str, ...]) -> tuple[Check, ...]:
    return tuple(Check(name, Outcome.SKIPPED, "An earlier check failed") for name in names)


# --- what is covered ------------------------------------------------------------------------------


def _check_hash_chain(
    signature: Signature, message: SignedMessage, form: Form
) -> tuple[Check, HashChainVerdict | None]:
    name = "hash_chain"
    if not signature.references_part(SIGNATURE_CHAIN_RESULT_NAME):
        return _check_unused_chain(message, form), None
    if message.hash_chain_result is None:
        text = f"Cannot resolve URI: {SIGNATURE_CHAIN_RESULT_NAME}"
        return failed(name, f"{_GROUP}.invalid_reference", text), None
    try:
        verdict = _verify_chain(message.hash_chain_result, message, form)
    except EvidenceRejected as error:
        return failed(name, f"{_GROUP}.{error.code}", error.text), None
    if verdict.unresolved and form is Form.TRANSPORT:
        text = f"Cannot resolve URI: {verdict.unresolved[0].name}"
        return failed(name, f"{_GROUP}.invalid_reference", text), verdict
    return passed(name, f"leads to {', '.join(sorted(verdict.covered))}"), verdict


def _verify_chain(result: bytes, message: SignedMessage, form: Form) -> HashChainVerdict:
    chain = message.hash_chain
    files = {} if chain is None else {SIGNATURE_CHAIN_NAME: chain}
    loadable: Mapping[str, bytes] = message.data if form is Form.CONTAINER else {}
    inputs = {name: None if name in loadable else part for name, part in message.parts.items()}
    return verify_hash_chain(result, files, inputs, loadable.get)


def _check_unused_chain(message: SignedMessage, form: Form) -> Check:
    if message.hash_chain is None and message.hash_chain_result is None:
        return passed("hash_chain", "not used")
    text = "A hash chain came along that the signature does not reference"
    if form is Form.CONTAINER:
        return warning("hash_chain", text)
    return failed("hash_chain", f"{_GROUP}.hashchain_unused_inputs", text)


def _check_coverage(signature: Signature, message: SignedMessage, covered: set[str]) -> Check:
    """Check that every received part is signed, and that nothing else is named.

    The reference server asks for neither on the transport (transport.md 19, rows 30 to 32).
    """
    name = "coverage"
    known = {*message.parts, SIGNATURE_CHAIN_RESULT_NAME}
    if not any(signature.references_part(n) for n in (MESSAGE_NAME, SIGNATURE_CHAIN_RESULT_NAME)):
        text = f"Signature does not reference '{MESSAGE_NAME}' or '{SIGNATURE_CHAIN_RESULT_NAME}'"
        return failed(name, _GROUP, text)
    if foreign := [part.name for part in signature.references if part.name not in known]:
        text = f"Signature references what was not received: {', '.join(foreign)}"
        return failed(name, f"{_GROUP}.invalid_reference", text)
    if MESSAGE_NAME not in message.parts:
        return failed(name, f"{_GROUP}.invalid_reference", "There is no message")
    if uncovered := message.parts.keys() - covered:
        text = f"Some parts are not covered by the signature: {', '.join(sorted(uncovered))}"
        return failed(name, f"{_GROUP}.hashchain_unused_inputs", text)
    return passed(name, f"signed are {', '.join(sorted(covered))}")


def _check_stated_certificate(signature: Signature) -> Check:
    """Check that the signed properties mean the certificate that is judged (row 57)."""
    stated = signature.certificate_digest
    if digest(stated.algorithm, der(signature.certificate)) == stated.digest:
        return passed("stated_certificate", describe(signature.certificate))
    text = "The signed properties state another certificate than the one in KeyInfo"
    return failed("stated_certificate", _GROUP, text)


# --- digests and value ----------------------------------------------------------------------------


def _check_references(signature: Signature, message: SignedMessage) -> Check:
    if wrong := list(_wrong_references(signature, message)):
        text = f"Signature is not valid: the digest of {', '.join(wrong)} differs"
        return failed("references", "invalid_signature_value", text)
    return passed("references", f"{len(signature.references)} parts and the signed properties")


def _wrong_references(signature: Signature, message: SignedMessage) -> Iterator[str]:
    own = signature.properties_digest
    if digest(own.algorithm, signature.signed_properties) != own.digest:
        yield own.name
    for reference in signature.references:
        if _received_digest(reference, message) != reference.digest:
            yield reference.name


def _received_digest(reference: PartDigest, message: SignedMessage) -> bytes | None:
    """The digest of what was received, in the reference's algorithm; None if it can't be had."""
    part = message.parts.get(reference.name)
    if part is not None and part.algorithm == reference.algorithm:
        return part.digest
    data = message.data.get(reference.name)
    if reference.name == SIGNATURE_CHAIN_RESULT_NAME:
        data = message.hash_chain_result
    return None if data is None else digest(reference.algorithm, data)


def _check_value(signature: Signature) -> Check:
    try:
        _verify_value(signature)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
        text = f"Signature is not valid{f': {error}' if str(error) else ''}"
        return failed("signature_value", "invalid_signature_value", text)
    return passed("signature_value", signature.algorithm.uri.rpartition("#")[2])


def _verify_value(signature: Signature) -> None:
    """Raise InvalidSignature, or ValueError with a reason, unless the key made the value."""
    algorithm, key = signature.algorithm, signature.certificate.public_key()
    value, data = signature.value, signature.signed_info
    if algorithm.kind is KeyKind.EC and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(_der_value(value, key.curve.key_size), data, ec.ECDSA(algorithm.hash))
    elif algorithm.kind is KeyKind.RSA and isinstance(key, rsa.RSAPublicKey):
        key.verify(value, data, padding.PKCS1v15(), algorithm.hash)
    elif algorithm.kind is KeyKind.RSA_PSS and isinstance(key, rsa.RSAPublicKey):
        salted = padding.PSS(padding.MGF1(algorithm.hash), algorithm.hash.digest_size)
        key.verify(value, data, salted, algorithm.hash)
    else:
        raise ValueError("the key of the certificate is of another kind")


def _der_value(value: bytes, field_bits: int) -> bytes:
    """Take r and s of equal length, up to the field's: Java strips zeros that both have."""
    half, odd = divmod(len(value), 2)
    if odd or not 0 < half <= (field_bits + 7) // 8:
        raise ValueError(f"{len(value)} bytes are no r and s of this curve")
    return encode_dss_signature(
        int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big")
    )


# --- the signer -----------------------------------------------------------------------------------

_Issuer = tuple[ApprovedCa, AuthorityCertificate]


def _issuer(certificate: x509.Certificate, instance: InstanceConf | None) -> _Issuer | None:
    """The CA of the sender's instance that issued the certificate and may issue such ones."""
    found = None if instance is None else instance.issuer_of(certificate)
    return None if found is None or found[0].authentication_only else found


def _check_usage(certificate: x509.Certificate) -> Check:
    if is_sign_certificate(certificate):
        return passed("certificate_usage", "nonRepudiation")
    text = f"Certificate {describe(certificate)} is not a signing certificate"
    return failed("certificate_usage", _GROUP, text)


def _check_signer(certificate: x509.Certificate, issuer: _Issuer | None, sender: ClientId) -> Check:
    if issuer is None:
        return failed("signer", "internal_error", NOT_APPROVED)
    try:
        member = member_of(certificate, issuer[0].profile, sender.instance)
    except EvidenceRejected as error:
        return failed("signer", error.code, error.text)
    if member != sender.member:
        text = f"Name in certificate ({member}) does not match name in message ({sender})"
        return failed("signer", "incorrect_certificate", text)
    return passed("signer", str(member))
