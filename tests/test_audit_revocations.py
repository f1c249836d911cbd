"""Certificates that were revoked later: lists that are given, responders that are asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.auditing.ocsp import ask_responders
from scripts.auditing.worker import Signer
from tests.pki import NOON, Identity
from tests.signing import Signatory
from trust.audit.log_records import OneTrustList
from trust.audit.revocations import parse_revocations
from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf
from trust.pki.certificates import der
from trust.pki.ocsp import CertificateStatus
from trust.report import Outcome

HOUR = timedelta(hours=1)


def crl(issuer: Identity, *revoked: x509.Certificate) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOON)
        .next_update(NOON + HOUR)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(each.serial_number)
            .revocation_date(NOON - HOUR)
            .build()
        )
    return builder.sign(issuer.key.private_key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


def test_a_list_tells_what_its_issuer_revoked(signatory: Signatory) -> None:
    pki, certificate = signatory.pki, signatory.signer.certificate
    raw = crl(pki.authority, certificate)
    known = parse_revocations(raw, [pki.authority.certificate])
    for form in (raw, x509.load_der_x509_crl(raw).public_bytes(Encoding.PEM)):
        known = parse_revocations(form, [pki.authority.certificate])
        assert known.revoked_at(certificate) == NOON - HOUR
        assert known.covers(certificate)
        assert known.revoked_at(pki.tsa.certificate) is None
    nothing = parse_revocations(crl(pki.authority), [pki.authority.certificate])
    assert nothing.covers(certificate)
    assert nothing.joined(known).revoked_at(certificate) == NOON - HOUR


def test_a_list_by_somebody_else_is_refused(signatory: Signatory) -> None:
    pki = signatory.pki
    forged = Identity(pki.authority.certificate, pki.stranger.key)
    for raw in (crl(pki.stranger), crl(forged), b"", b"-----BEGIN X509 CRL-----", bytes(100)):
        with pytest.raises(MalformedMessage):
            parse_revocations(raw, [pki.authority.certificate])


@asynccontextmanager
async def _responder(answer: bytes) -> AsyncIterator[str]:
    async def respond(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=answer)

    runner = web.ServerRunner(web.Server(respond))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _conf(signatory: Signatory, url: str) -> GlobalConf:
    own = signatory.conf.own
    ca = own.shared.approved_cas[0]
    responders = tuple(replace(each, url=url) for each in ca.top.responders)
    top = replace(ca.top, responders=responders)
    shared = replace(own.shared, approved_cas=(replace(ca, top=top),))
    return replace(signatory.conf, instances={"TEST": replace(own, shared=shared)})


@pytest.mark.parametrize(
    ("status", "last", "outcome", "text"),
    [
        (CertificateStatus.GOOD, NOON, None, ""),
        (CertificateStatus.REVOKED, NOON, Outcome.FAILED, "the last of its 7 records"),
        (CertificateStatus.REVOKED, NOON - 48 * HOUR, Outcome.WARNING, "dated before that"),
    ],
)
async def test_a_responder_is_asked_for_each_certificate(
    signatory: Signatory,
    status: CertificateStatus,
    last: datetime,
    outcome: Outcome | None,
    text: str,
) -> None:
    certificate = signatory.signer.certificate
    async with _responder(signatory.pki.ocsp(certificate, status=status)) as url:
        signer = Signer(der(certificate), 7, last)
        trust = OneTrustList(_conf(signatory, url))
        found = await ask_responders([signer], trust, NOON)
    if outcome is None:
        assert found == []
    else:
        assert [each.check.outcome for each in found] == [outcome]
        assert text in found[0].check.detail


@pytest.mark.parametrize("answer", [b"", b"nonsense"])
async def test_an_answer_that_is_none_is_told_as_not_known(
    signatory: Signatory, answer: bytes
) -> None:
    certificate = signatory.signer.certificate
    async with _responder(answer) as url:
        trust = OneTrustList(_conf(signatory, url))
        (found,) = await ask_responders([Signer(der(certificate), 1, NOON)], trust, NOON)
    assert found.check.outcome is Outcome.WARNING
    assert "No responder says" in found.check.detail
