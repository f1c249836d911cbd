"""What a node says to a time-stamping service and what it makes of the answer.

The request has a nonce, which X-Road's has not. A service that grants without repeating it is
believed all the same: the imprint of a signature value or of a tree's top is never asked for
twice, so that an old answer would not fit. A nonce that is repeated must be ours.

Source: RFC 3161 2.4; signatures.md 8.4; X-Road 7.8 AbstractTimestampRequest.java,
TimestamperUtil.java.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trust import asn1
from trust.errors import EvidenceRejected
from trust.evidence.timestamps import (
    MAX_TOKEN_BYTES,
    check_timestamp,
    find_signer,
    parse_timestamp,
)
from trust.report import Outcome

MAX_REPLY_BYTES = MAX_TOKEN_BYTES

# AlgorithmIdentifier of SHA-512 with the NULL that every service is used to
_SHA512 = bytes.fromhex("300d06096086480165030402030500")
_GRANTED = (0, 1)  # granted, grantedWithMods
_UTF8_STRING = 0x0C
_CERTIFICATES = 0xA0
_UNPRINTABLE = re.compile(r"[^ -~\u00a0-\uffef]+")
_LONGEST_TEXT = 200


class TimestampRejected(EvidenceRejected):
    """The service says that it does not stamp this; another request may please it more."""

    code = "mlog.timestamp_non_granted_response"


@dataclass(frozen=True, slots=True)
class CheckedTimestamp:
    """A time-stamp that holds.

    Attributes:
        token: DER of the bare token, with the service's certificate inside.
        tsa: the service's certificate in words.
    """

    token: bytes
    gen_time: datetime
    tsa: str


def build_timestamp_request(stamped: bytes, nonce: int | None = None) -> bytes:
    """A TimeStampReq for SHA-512 of these bytes; no policy is asked for and no certificate."""
    digest = asn1.build_element(asn1.OCTET_STRING, hashlib.sha512(stamped).digest())
    imprint = asn1.build_element(asn1.SEQUENCE, _SHA512, digest)
    options = b"" if nonce is None else asn1.build_integer(nonce)
    return asn1.build_element(asn1.SEQUENCE, asn1.build_integer(1), imprint, options)


def check_timestamp_reply(
    reply: bytes,
    stamped: bytes,
    nonce: int | None,
    tsa_certificates: Sequence[x509.Certificate],
    at: datetime,
    apart: timedelta,
) -> CheckedTimestamp:
    """Believe a TimeStampResp, or raise EvidenceRejected with the code that X-Road has for it.

    Args:
        nonce: what the request had.
        at: now; the service's clock may differ from ours by `apart`.
    """
    token = _granted_token(reply)
    _check_nonce(token, nonce)
    verdict = check_timestamp(token, stamped, tsa_certificates)
    if verdict.gen_time is None or verdict.check.outcome is not Outcome.PASSED:
        code = verdict.check.code or ""
        if not code.startswith("mlog."):  # another imprint, for one
            code = "mlog.timestamp_response_validation_failed"
        raise EvidenceRejected(verdict.check.detail, code)
    if abs(verdict.gen_time - at) > apart:
        raise EvidenceRejected(
            f"The time-stamp says {verdict.gen_time:%Y-%m-%dT%H:%M:%SZ}, more than"
            f" {int(apart.total_seconds())} s from {at:%Y-%m-%dT%H:%M:%SZ} here",
            "mlog.timestamp_response_validation_failed",
        )
    whole = _with_certificate(token, tsa_certificates)
    if check_timestamp(whole, stamped, tsa_certificates).gen_time != verdict.gen_time:
        raise EvidenceRejected(
            "Adding signer certificate to timestamp token failed",
            "mlog.adding_signature_to_ts_token_failed",
        )
    return CheckedTimestamp(whole, verdict.gen_time, verdict.tsa)


def _granted_token(reply: bytes) -> bytes:
    """The token inside a reply; raises TimestampRejected when the service refused."""
    try:
        if len(reply) > MAX_REPLY_BYTES:
            raise asn1.NotAsn1(f"it is larger than {MAX_REPLY_BYTES} bytes")
        status_info, *token = asn1.parse_element(reply, asn1.SEQUENCE).children()
        parts = status_info.need(asn1.SEQUENCE).children()
        status = asn1.parse_integer(parts[0]) if parts else -1
        if status not in _GRANTED:
            raise TimestampRejected(
                f"TimeStampResp.status: {status}, .statusString: {_words(parts[1:])}"
            )
        if len(token) != 1:
            raise asn1.NotAsn1("it holds no time-stamp")
        return token[0].need(asn1.SEQUENCE).raw
    except (asn1.NotAsn1, ValueError) as error:
        raise EvidenceRejected(
            f"Could not read time-stamp response: {error}", "mlog.reading_timestamp_response_failed"
        ) from error


def _words(parts: Sequence[asn1.Element]) -> str:
    """What a service says about its refusal, as a short line that is safe to log."""
    if not parts or parts[0].tag != asn1.SEQUENCE:
        return "none"
    texts = [
        part.content.decode("utf-8", "replace")
        for part in parts[0].children()
        if part.tag == _UTF8_STRING
    ]
    return _UNPRINTABLE.sub(" ", ", ".join(f'"{text}"' for text in texts))[:_LONGEST_TEXT]


def _check_nonce(token: bytes, nonce: int | None) -> None:
    try:
        info = parse_timestamp(token).info
        found = [
            asn1.parse_integer(part)
            for part in asn1.parse_element(info, asn1.SEQUENCE).children()[5:]
            if part.tag == asn1.INTEGER
        ]
    except asn1.NotAsn1 as error:
        raise EvidenceRejected(
            f"Could not read time-stamp response: {error}", "mlog.reading_timestamp_response_failed"
        ) from error
    if nonce is not None and found and found != [nonce]:
        raise EvidenceRejected(
            "Timestamp response validation against the request failed: the nonce is another one",
            "mlog.timestamp_response_validation_failed",
        )


def _with_certificate(token: bytes, tsa_certificates: Sequence[x509.Certificate]) -> bytes:
    """The token with its signer's certificate in the certificate set, which no signature covers.

    The two outermost layers, which some services leave with indefinite length, and the set become
    DER; what lies deeper stays as it came.
    """
    parsed = parse_timestamp(token)
    signer = find_signer(parsed, tsa_certificates)
    inside = set(parsed.certificates)
    if signer is not None:
        inside.add(signer.public_bytes(Encoding.DER))
    kind, explicit = asn1.parse_element(token, asn1.SEQUENCE).children()
    (signed_data,) = explicit.children()
    version, digests, content, *optional, signers = signed_data.children()
    others = [part.raw for part in optional if part.tag != _CERTIFICATES]
    return asn1.build_element(
        asn1.SEQUENCE,
        kind.raw,
        asn1.build_element(
            explicit.tag,
            asn1.build_element(
                asn1.SEQUENCE,
                version.raw,
                digests.raw,
                content.raw,
                asn1.build_element(_CERTIFICATES, *sorted(inside)),
                *others,
                signers.raw,
            ),
        ),
    )
