"""Containers for tests: what a node would write, with and without time-stamp."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from tests.pki import NOON
from tests.signing import MESSAGE, Signatory
from trust.base64text import encode_base64
from trust.evidence.asic import Attachment, Container
from trust.evidence.hashchain import PartDigest, build_hash_chains
from trust.evidence.signature import parse_signature

BODIES = (b'{"code":1}', b"second")


def plain(signatory: Signatory, message: bytes = MESSAGE) -> Container:
    """One message, signed directly."""
    signature = signatory.direct({"/message.xml": message}).signature
    return Container(message, signature, time=NOON)


def parts_of(message: bytes, bodies: tuple[bytes, ...]) -> Mapping[str, bytes]:
    named = {f"/attachment{number}": body for number, body in enumerate(bodies, 1)}
    return {"/message.xml": message, **named}


def with_bodies(signatory: Signatory, bodies: tuple[bytes, ...] = BODIES) -> Container:
    """A message with attachments, each referenced by the signature."""
    signature = signatory.direct(parts_of(MESSAGE, bodies)).signature
    return replace(plain(signatory), signature=signature, attachments=attached(bodies))


def attached(bodies: tuple[bytes, ...]) -> tuple[Attachment, ...]:
    return tuple(Attachment.of(number, body) for number, body in enumerate(bodies, 1))


def chained(signatory: Signatory, bodies: tuple[bytes, ...] = BODIES) -> Container:
    """A message with attachments, referenced through a hash chain."""
    signed = signatory.chained(parts_of(MESSAGE, bodies))
    return replace(
        plain(signatory),
        signature=signed.signature,
        signature_chain_result=signed.hash_chain_result,
        signature_chain=signed.hash_chain,
        attachments=attached(bodies),
    )


def stamped(signatory: Signatory, container: Container, at: datetime | None = None) -> Container:
    """The same container with a time-stamp of its own, inside the signature."""
    value = parse_signature(container.signature).value
    token = encode_base64(signatory.pki.timestamp(value, at=at)).encode()
    start = b"<xades:UnsignedSignatureProperties>"
    element = (
        b"<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>" + token
        + b"</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>"
    )  # fmt: skip
    assert container.signature.count(start) == 1
    return replace(container, signature=container.signature.replace(start, start + element))


def batch_stamped(signatory: Signatory, container: Container) -> Container:
    """The same container, time-stamped together with another one."""
    name = "/META-INF/signatures.xml"
    leaves = [[PartDigest.of(name, container.signature)], [PartDigest.of(name, b"another")]]
    chains = build_hash_chains(leaves, result_uri="/ts-hashchain.xml#STEP0")
    return replace(
        container,
        timestamp_chain_result=chains.result,
        timestamp_chain=chains.chains[0],
        timestamp=signatory.pki.timestamp(chains.result),
    )
