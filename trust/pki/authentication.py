"""Whether a TLS certificate chain identifies a node that speaks for a member.

Source: transport.md 2.3, 2.4, 2.6; X-Road 7.8 CertHelper.java, ServerMessageProcessor.java,
AuthTrustVerifier.java.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509

from trust.globalconf import GlobalConf, InstanceConf
from trust.ids import ClientId
from trust.pki.certificates import (
    MAX_CHAIN,
    der,
    describe,
    find_path,
    is_auth_certificate,
)
from trust.pki.ocsp import check_ocsp
from trust.report import Check, Outcome, VerificationReport, failed, passed

_GROUP = "ssl_authentication_failed"
_NOT_APPROVED = "Certificate is not issued by approved certification service provider."


def verify_consumer_certificate(
    chain: Sequence[x509.Certificate],
    ocsp_responses: Sequence[bytes],
    client: ClientId,
    conf: GlobalConf,
    at: datetime,
) -> VerificationReport:
    """Judge, as provider, the chain that a consumer's node presented for a client's message.

    The anchor is the approved CA of the client's instance that issued the last certificate of the
    chain; without any OCSP response nothing is judged. Codes: `ssl_authentication_failed`, alone
    or in front of the path's or the OCSP check's; `internal_error` for a CA that isn't approved.
    """
    if not ocsp_responses:
        text = "Cannot verify TLS certificate, corresponding OCSP response is missing"
        return _rejected("ocsp_response", _GROUP, text)
    last = chain[-1] if chain else None
    return _verify(chain, last, ocsp_responses, client, conf, at)


def verify_provider_certificate(
    chain: Sequence[x509.Certificate],
    ocsp_responses: Sequence[bytes],
    provider: ClientId,
    conf: GlobalConf,
    at: datetime,
) -> VerificationReport:
    """Judge, as consumer, the chain that a provider's node presented.

    The anchor is the approved CA of the provider's instance that issued the first certificate;
    the others can't matter to the path then. Codes as in `verify_consumer_certificate`.
    """
    first = chain[0] if chain else None
    return _verify(chain, first, ocsp_responses, provider, conf, at)


def _verify(
    chain: Sequence[x509.Certificate],
    below_anchor: x509.Certificate | None,
    ocsp_responses: Sequence[bytes],
    member: ClientId,
    conf: GlobalConf,
    at: datetime,
) -> VerificationReport:
    if below_anchor is None:
        return _rejected("auth_certificate", _GROUP, "Peer presented no TLS certificate")
    if len(chain) > MAX_CHAIN:
        return _rejected("auth_certificate", _GROUP, f"Peer presented {len(chain)} certificates")
    instance = conf.instance(member.instance, at)
    found = instance.issuer_of(below_anchor) if instance is not None else None
    if instance is None or found is None:
        return _rejected("trust_anchor", "internal_error", _NOT_APPROVED)
    anchor = found[1].certificate
    return VerificationReport(
        tuple(_checks(chain, anchor, ocsp_responses, member, instance, conf, at))
    )


def _checks(  # usage, path, OCSP of every element below the anchor, binding
    chain: Sequence[x509.Certificate],
    anchor: x509.Certificate,
    ocsp_responses: Sequence[bytes],
    member: ClientId,
    instance: InstanceConf,
    conf: GlobalConf,
    at: datetime,
) -> Iterator[Check]:
    certificate = chain[0]
    yield _usage(certificate)
    path, elements = find_path(certificate, chain[1:], anchor, at)
    yield _grouped(path, _GROUP)
    for element in elements:
        found = instance.issuer_of(element)
        status = (
            failed("ocsp_response", "internal_error", _NOT_APPROVED)
            if found is None
            else check_ocsp(
                ocsp_responses, element, found[1].certificate, conf, at, instance=instance
            )
        )
        yield _grouped(status, f"{_GROUP}.invalid_cert_path")
    yield check_member(certificate, member, conf, at)


def _usage(certificate: x509.Certificate) -> Check:
    if is_auth_certificate(certificate):
        return passed("auth_certificate", f"{describe(certificate)} may authenticate")
    return failed(
        "auth_certificate", _GROUP, "Peer certificate is not an authentication certificate"
    )


def check_member(
    certificate: x509.Certificate, member: ClientId, conf: GlobalConf, at: datetime
) -> Check:
    """Check that the certificate is registered for a server where exactly this member is."""
    server = conf.server_of_certificate(der(certificate), at, instance=member.instance)
    if server is None:
        text = (
            f"Authentication certificate {describe(certificate)} "
            "is not associated with any security server"
        )
        return failed("registered_server", _GROUP, text)
    if not server.hosts(member):
        text = f"Client '{member}' is not registered at security server {server.id}"
        return failed("registered_server", _GROUP, text)
    return passed("registered_server", f"{member} is registered at {server.id}")


def _grouped(check: Check, group: str) -> Check:
    if check.outcome is Outcome.PASSED:
        return check
    return Check(check.name, check.outcome, check.detail, f"{group}.{check.code}")


def _rejected(name: str, code: str, text: str) -> VerificationReport:
    return VerificationReport((failed(name, code, text),))
