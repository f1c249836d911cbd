"""Ask today's OCSP responders about the certificates that signed, when the auditor says so."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import aiohttp
from cryptography import x509

from scripts.auditing.worker import Signer
from trust.audit.findings import Finding
from trust.audit.log_records import TrustLists
from trust.audit.revocations import Revocations, issuer_of, read_response, responders_of
from trust.errors import NetworkFailure
from trust.globalconf import GlobalConf
from trust.pki.certificates import describe
from trust.pki.ocsp import MAX_RESPONSE_BYTES, build_ocsp_request
from trust.pki.post import post
from trust.report import Check, failed, warning

_PATIENCE = timedelta(seconds=10)


async def ask_responders(
    signers: Iterable[Signer], trust: TrustLists, at: datetime
) -> list[Finding]:
    """What is known today of each certificate; a good one is no finding."""
    conf = trust.at(at)
    found = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for signer in signers:
            certificate = x509.load_der_x509_certificate(signer.certificate)
            check: Check | None = _unasked(certificate)
            if conf is not None:
                check = await _ask(session, certificate, signer, conf, at)
            if check is not None:
                found.append(Finding(f"certificate {describe(certificate)}", check))
    return found


async def _ask(
    session: aiohttp.ClientSession,
    certificate: x509.Certificate,
    signer: Signer,
    conf: GlobalConf,
    at: datetime,
) -> Check | None:
    issuer = issuer_of(certificate, conf)
    if issuer is None:
        return _unasked(certificate)
    request = build_ocsp_request(certificate, issuer)
    for url in responders_of(certificate, conf):
        try:
            raw = await post(
                session,
                url,
                request,
                "application/ocsp-request",
                max_bytes=MAX_RESPONSE_BYTES,
                connect_timeout=_PATIENCE,
                answer_timeout=_PATIENCE,
            )
        except NetworkFailure:
            continue
        known = read_response(raw, certificate, conf, at)
        if known is not None:
            return _judged(known, certificate, signer)
    return _unasked(certificate)


def _unasked(certificate: x509.Certificate) -> Check:
    until = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}Z"
    text = f"No responder says whether it was revoked; it is valid until {until}"
    return warning("later_revocation", text)


def _judged(known: Revocations, certificate: x509.Certificate, signer: Signer) -> Check | None:
    revoked = known.revoked_at(certificate)
    if revoked is None:
        return None
    when = f"{revoked:%Y-%m-%d %H:%M:%S}Z"
    if signer.last < revoked:
        text = f"It was revoked at {when}; its {signer.records} records are dated before that"
        return warning("later_revocation", text)
    text = (
        f"It was revoked at {when}, and the last of its {signer.records} records is dated"
        f" {signer.last:%Y-%m-%d %H:%M:%S}Z: a revocation list (--revocations) shows which ones"
    )
    return failed("later_revocation", "invalid_cert_path.cert_validation", text)
