"""Whether a certificate may be imported for a key of this node.

Source: trust.md 9.2; X-Road 7.8 ImportCertReqHandler.java, TokenCertificateService.java. The
reference also takes self-signed certificates, unchecked; we take none, since no peer would.
"""

from collections.abc import Container
from datetime import datetime

from cryptography import x509

from trust.errors import EvidenceRejected, GlobalConfOutdated
from trust.globalconf import ApprovedCa, GlobalConf
from trust.ids import ClientId
from trust.pki.certificates import check_path, describe, is_auth_certificate, is_sign_certificate
from trust.pki.keys import KeyUse
from trust.pki.profiles import member_of
from trust.report import Outcome


def check_import(
    certificate: x509.Certificate,
    use: KeyUse,
    conf: GlobalConf,
    at: datetime,
    local_members: Container[ClientId] | None,
) -> ClientId | None:
    """Return the member of a sign certificate, None for an auth certificate.

    Raises EvidenceRejected: `wrong_cert_usage`, `cert_import_failed` (no approved CA of the own
    instance, not valid now), `client_not_found` (of a member that isn't here), the codes of
    `profiles.member_of`; GlobalConfOutdated.
    """
    _check_usage(certificate, use)
    if not conf.valid(at):
        raise GlobalConfOutdated
    found = conf.own.issuer_of(certificate)
    if found is None:
        raise _refused(certificate, "it is not issued by an approved CA")
    ca, authority = found
    path = check_path(certificate, (), authority.certificate, at)
    if path.outcome is not Outcome.PASSED:
        raise EvidenceRejected(f"Certificate is not valid: {path.detail}", "cert_import_failed")
    return _signer(certificate, ca, conf, local_members) if use == "sign" else None


def _check_usage(certificate: x509.Certificate, use: KeyUse) -> None:
    signs, authenticates = is_sign_certificate(certificate), is_auth_certificate(certificate)
    if signs and authenticates:
        text = "Certificate is for both signing and authentication, only one of them is allowed"
    elif not signs and not authenticates:
        text = "Certificate cannot be used for signing nor authentication"
    elif authenticates and use == "sign":
        text = "Authentication certificate cannot be imported to signing keys"
    elif signs and use == "auth":
        text = "Signing certificate cannot be imported to authentication keys"
    else:
        return
    raise EvidenceRejected(text, "wrong_cert_usage")


def _signer(
    certificate: x509.Certificate,
    ca: ApprovedCa,
    conf: GlobalConf,
    local_members: Container[ClientId] | None,
) -> ClientId:
    if ca.authentication_only:
        raise _refused(certificate, f"CA '{ca.name}' may only certify authentication keys")
    member = member_of(certificate, ca.profile, conf.own_instance)
    if local_members is not None and member not in local_members:
        raise EvidenceRejected(f"{member} is no client of this node", "client_not_found")
    return member


def _refused(certificate: x509.Certificate, why: str) -> EvidenceRejected:
    text = f"Certificate {describe(certificate)} is not imported: {why}"
    return EvidenceRejected(text, "cert_import_failed")
