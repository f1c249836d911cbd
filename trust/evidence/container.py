"""Judge a container: was this message signed by its sender, and when did that count?

The order is the reference verifier's, so that the first failure has its fault code. What it only
prints or does not look at is closed here: attachments must fit, everything in the container must be
covered, and the file itself must be whole.

Source: signatures.md 9.4 and 13; X-Road 7.8 AsicContainerVerifier.java.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from trust.digests import SHA512_URI
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.asic import (
    OLD_SIGNATURE_CHAIN,
    SIGNATURE,
    SIGNATURE_CHAIN,
    SIGNATURE_CHAIN_RESULT,
    TIMESTAMP_CHAIN,
    Attachment,
    Container,
)
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.hashchain import PartDigest, verify_hash_chain
from trust.evidence.hashchain_files import parse_chain, parse_result
from trust.evidence.manifests import find_asic_manifest_oddities, find_manifest_oddities
from trust.evidence.sender import sender_of
from trust.evidence.signature import Signature, SignedMessage, parse_signature
from trust.evidence.signature_verifier import (
    MESSAGE_NAME,
    ContentVerdict,
    judge_signer,
    verify_content,
)
from trust.evidence.timestamps import check_timestamp
from trust.evidence.xades_form import Form
from trust.globalconf import GlobalConf, no_expiry
from trust.ids import ClientId
from trust.report import (
    Check,
    Outcome,
    Verdict,
    VerificationReport,
    failed,
    indeterminate,
    passed,
    warning,
)

NO_TRUST_LIST = "unknown_instance"  # of Sacbe alone: X-Road calls it an internal error
INVALID_CONTAINER = "asic_invalid_container"
_UNDECIDABLE = ("mlog.tsp_certificate_not_found", "mlog.no_timestamping_provider_found")


@dataclass(frozen=True, slots=True)
class ContainerPart:
    """One part of the message: present and proven, or not."""

    name: str  # as signatures name it: `/message.xml`, `/attachment1`
    covered: bool


@dataclass(frozen=True, slots=True)
class ContainerVerdict(Verdict):
    """What a container proves.

    Attributes:
        report: every step in order; the verdict, its code and reason follow from it.
        signer: the member whose certificate signed, when that is established.
        signed_at: as the signer claims it (aware, UTC), when the signature is over this message.
        timestamp: when a time-stamping service saw the signature; None without a good time-stamp.
        parts: of the message, and whatever else the container holds that is no evidence.
    """

    report: VerificationReport
    signer: ClientId | None
    signed_at: datetime | None
    timestamp: datetime | None
    parts: tuple[ContainerPart, ...]


def unreadable(error: MalformedMessage) -> ContainerVerdict:
    """The verdict on a file that could not be read as a container."""
    report = VerificationReport((failed("container", error.code, error.text),))
    return ContainerVerdict(report, None, None, None, ())


def verify_container(
    container: Container, conf: GlobalConf, at: datetime, cache: VerdictCache | None = None
) -> ContainerVerdict:
    """Judge a container with a trust list of its time, or one that still has its services.

    Args:
        at: the moment (aware, UTC) for which a container without time-stamp is judged; one with a
            time-stamp is judged for the time that it proves. An expired trust list is used
            nevertheless, and the report says so.
        cache: remembers good verdicts on certificates between containers.
    """
    content = verify_content(_signed_message(container), Form.CONTAINER)
    holds = content.report.verdict is Outcome.PASSED
    sender, sender_check = _find_sender(container.message)
    believed = _without_expiry(conf)
    stamp = _Stamp(None, ())
    checks = [passed("container", f"{len(container.message)} bytes of message"), sender_check]
    checks += content.coverage
    if content.signature is not None:
        stamp = _judge_time(container, content.signature, believed, at)
    known = sender is None or believed.instance(sender.instance, at) is not None
    checks += stamp.checks if sender is None or known else _undecided_time(stamp.checks, sender)
    signer = None
    if sender is not None and known and not stamp.failed:
        report = judge_signer(content, sender, believed, stamp.time or at, cache)
        checks += report.checks[len(content.coverage) :]
        signer = _established(report, sender) if holds else None
    else:
        checks += (*content.values, *_unjudged_signer(sender, known))
    checks += _check_surroundings(container, content)
    checks += _check_trust_list(conf, at)
    return ContainerVerdict(
        report=VerificationReport(tuple(checks)),
        signer=signer,
        signed_at=content.signature.signing_time if content.signature and holds else None,
        timestamp=stamp.time,
        parts=_parts(container, content),
    )


def _find_sender(message: bytes) -> tuple[ClientId | None, Check]:
    try:
        sender = sender_of(message)
    except MalformedMessage as error:
        return None, failed("message", error.code, error.text)
    return sender, passed("message", f"must be signed by {sender.member}")


def _without_expiry(conf: GlobalConf) -> GlobalConf:
    instances = {name: no_expiry(instance) for name, instance in conf.instances.items()}
    return dataclasses.replace(conf, instances=MappingProxyType(instances))


def _established(report: VerificationReport, sender: ClientId) -> ClientId | None:
    outcomes = {check.name: check.outcome for check in report.checks}
    return sender.member if outcomes.get("signer") is Outcome.PASSED else None


def _unjudged_signer(sender: ClientId | None, known: bool) -> Iterator[Check]:
    if sender is None or known:
        yield _skipped("signer")
    else:
        yield indeterminate("signer", NO_TRUST_LIST, _no_trust_list(sender))
    yield _skipped("certificate_path")
    yield _skipped("ocsp_response")


def _skipped(name: str) -> Check:
    return Check(name, Outcome.SKIPPED, "An earlier check failed")


def _no_trust_list(sender: ClientId) -> str:
    return f"There is no trust list for instance {sender.instance}"


# --- parts ----------------------------------------------------------------------------------------


def _signed_message(container: Container) -> SignedMessage:
    parts = {MESSAGE_NAME: PartDigest.of(MESSAGE_NAME, container.message)}
    used = _used_algorithms(container) if container.attachments else {}
    for attachment in container.attachments:
        name = f"/{attachment.name}"
        parts[name] = _part(attachment, used.get(name, SHA512_URI))
    return SignedMessage(
        signature=container.signature,
        parts=parts,
        data={MESSAGE_NAME: container.message},
        hash_chain_result=container.signature_chain_result,
        hash_chain=container.signature_chain,
    )


def _part(attachment: Attachment, algorithm: str) -> PartDigest:
    return PartDigest(f"/{attachment.name}", attachment.digests[algorithm], algorithm)


def _used_algorithms(container: Container) -> Mapping[str, str]:
    """Which digest the signature or its chain uses for a part; empty when they can't be read."""
    try:
        references = parse_signature(container.signature, Form.CONTAINER).references
        steps = parse_chain(container.signature_chain) if container.signature_chain else {}
    except EvidenceRejected:
        return {}
    chained = {entry.uri: entry.algorithm for step in steps.values() for entry in step}
    return chained | {reference.name: reference.algorithm for reference in references}


def _parts(container: Container, content: ContentVerdict) -> tuple[ContainerPart, ...]:
    """What there is, with whether it is proven: covered, and its digest right."""
    proven = content.covered if content.report.verdict is Outcome.PASSED else frozenset()
    names = [MESSAGE_NAME, *(f"/{attachment.name}" for attachment in container.attachments)]
    names += [part.name for part in content.absent]
    names += [f"/{name}" for name in _unused_chain(container, content)]
    names += [f"/{name}" for name in container.packing.others]
    return tuple(ContainerPart(name, name in proven) for name in names)


def _unused_chain(container: Container, content: ContentVerdict) -> dict[str, bytes]:
    """Chain files that the signature does not refer to, by name."""
    used = content.signature is not None and content.signature.references_part(
        f"/{SIGNATURE_CHAIN_RESULT}"
    )
    files = {} if used else container.files()
    chain = (SIGNATURE_CHAIN_RESULT, SIGNATURE_CHAIN)
    named = {name: files[name] for name in chain if name in files}
    return {**named, **container.packing.old_chain}


# --- time -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stamp:
    time: datetime | None
    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        return any(check.outcome is Outcome.FAILED for check in self.checks)


def _judge_time(
    container: Container, signature: Signature, conf: GlobalConf, at: datetime
) -> _Stamp:
    """Judge the time-stamp: over a hash chain result in a batch, else over the signature value."""
    stamped = container.timestamp_chain_result
    token = container.timestamp or signature.timestamp
    chain: tuple[Check, ...] = ()
    if stamped is not None:
        chain = (_check_timestamp_chain(container, stamped),)
    if token is None:
        text = f"There is none: judged for {at:%Y-%m-%d %H:%M:%S}Z. X-Road refuses it like that"
        lone = failed("timestamp", "malformed_signature", "There is a hash chain and no time-stamp")
        return _Stamp(None, (*chain, lone if chain else warning("timestamp", text)))
    verdict = check_timestamp(
        token, signature.value if stamped is None else stamped, conf.tsa_certificates(at)
    )
    stamp = _Stamp(verdict.gen_time, (*chain, verdict.check))
    return dataclasses.replace(stamp, time=None) if stamp.failed else stamp


def _check_timestamp_chain(container: Container, result: bytes) -> Check:
    """Check that the stamped hash chain result leads to this very signature."""
    name = f"/{SIGNATURE}"
    files = {f"/{TIMESTAMP_CHAIN}": container.timestamp_chain or b""}
    try:
        verify_hash_chain(result, files, {name: None}, {name: container.signature}.get)
    except EvidenceRejected as error:
        text = f"Failed to verify time-stamp hash chain: {error.text}"
        return failed("timestamp_chain", "malformed_signature", text)
    return passed("timestamp_chain", f"leads to {name}")


def _undecided_time(checks: tuple[Check, ...], sender: ClientId) -> Iterator[Check]:
    """Without the instance's trust list nobody can say whether its services made the time-stamp."""
    for check in checks:
        if check.outcome is Outcome.FAILED and check.code in _UNDECIDABLE:
            yield indeterminate(check.name, NO_TRUST_LIST, _no_trust_list(sender))
        else:
            yield check


# --- the container itself -------------------------------------------------------------------------


def _check_surroundings(container: Container, content: ContentVerdict) -> Iterator[Check]:
    """What is in the file besides the evidence, and whether the file is whole."""
    for part in content.absent:
        text = f"{part.name} is not in the container; its digest should be {part.digest.hex()}"
        yield warning("absent_part", text)
    if old := container.packing.old_chain:
        yield warning("hash_chain", f"Nothing refers to {', '.join(old)}")
    unused = _unused_chain(container, content)
    pretending = [name for name, data in unused.items() if not _is_chain_file(name, data)]
    if foreign := [*pretending, *container.packing.others]:
        text = f"The signature does not cover {', '.join(foreign)}"
        yield failed("foreign_entries", INVALID_CONTAINER, text)
    yield _sound("manifest", _manifest_oddities(container, content), "fits the container")
    yield _sound("packing", container.packing.damage, "whole")
    if container.packing.incomparable:
        names = ", ".join(container.packing.incomparable)
        text = f"{names}: packed by another program than usual; the packed bytes were not compared"
        yield warning("packing", text)


def _is_chain_file(name: str, data: bytes) -> bool:
    """Whether a file is what its name says; nothing else may go unproven by the name of a chain."""
    try:
        if name in (SIGNATURE_CHAIN, OLD_SIGNATURE_CHAIN):
            parse_chain(data)
        else:
            parse_result(data)
    except EvidenceRejected:
        return False
    return True


def _sound(name: str, oddities: Iterator[str] | tuple[str, ...], good: str) -> Check:
    found = list(oddities)
    return failed(name, INVALID_CONTAINER, "; ".join(found)) if found else passed(name, good)


def _manifest_oddities(container: Container, content: ContentVerdict) -> Iterator[str]:
    packing = container.packing
    optional = list(_unused_chain(container, content))
    names = [*container.files(), *(attachment.name for attachment in container.attachments)]
    present = [name for name in names if name not in optional]
    if packing.manifest is not None:
        yield from find_manifest_oddities(packing.manifest, present, optional)
    if packing.asic_manifest is not None:
        stamped = container.timestamp_chain_result
        yield from find_asic_manifest_oddities(packing.asic_manifest, stamped, container.timestamp)


def _check_trust_list(conf: GlobalConf, at: datetime) -> Iterator[Check]:
    for name, instance in conf.instances.items():
        if instance.expired(at) and instance.valid_until is not None:
            until = f"{instance.valid_until:%Y-%m-%d %H:%M:%S}Z"
            yield warning("trust_list", f"That of {name} expired at {until}; it was used still")
