"""Which of a node's keys signs for a member, and which one identifies the node.

Source: signatures.md 4.2, transport.md 2.2; X-Road 7.8 GetMemberSigningInfoReqHandler.java,
GetAuthKeyReqHandler.java.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from trust.errors import CannotSign, ExchangeError
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId
from trust.pki.certificates import der, describe, issuing_chain, valid_at
from trust.pki.keys import SoftwareKey
from trust.pki.keystore import KeyEntry
from trust.pki.ocsp import check_ocsp
from trust.report import Outcome

CachedOcsp = Callable[[x509.Certificate], bytes | None]


@dataclass(frozen=True, slots=True)
class SignIdentity:
    """What signs for a member, with the evidence that goes into the signature.

    Attributes:
        intermediates: CA certificates from the issuer upwards, without the last one.
        ocsp_responses: DER; of the certificate first, then of each intermediate.
    """

    member: ClientId
    key: SoftwareKey
    certificate: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    ocsp_responses: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthIdentity:
    """What identifies the node in TLS; see SignIdentity."""

    key: SoftwareKey
    certificate: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    ocsp_responses: tuple[bytes, ...] = field(repr=False)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What is presented in TLS, the own certificate first."""
        return (self.certificate, *self.intermediates)


def choose_sign_identity(
    entries: Iterable[KeyEntry],
    member: ClientId,
    conf: GlobalConf,
    cached_ocsp: CachedOcsp,
    at: datetime,
) -> SignIdentity:
    """The member's newest certificate that is active, valid now and good says a fresh OCSP answer.

    Raises CannotSign with the reason each certificate was passed over.
    """
    own = [one for one in entries if one.use == "sign" and one.member == member.member]
    reasons: list[str] = []
    for entry, certificate in _newest_first(own):
        evidence = _evidence(entry, certificate, conf, cached_ocsp, at)
        if isinstance(evidence, _Evidence):
            return SignIdentity(
                member.member,
                entry.key,
                certificate,
                evidence.intermediates,
                evidence.ocsp_responses,
            )
        reasons.append(evidence)
    why = "; ".join(reasons) or "there is no certificate of this member"
    raise CannotSign(f"Failed to get signing info for member '{member.member}': {why}")


def choose_auth_identity(
    entries: Iterable[KeyEntry],
    server: ServerId,
    conf: GlobalConf,
    cached_ocsp: CachedOcsp,
    at: datetime,
) -> AuthIdentity:
    """The newest authentication certificate that is registered for this server and good.

    Raises ExchangeError with code `key_not_found` and the reasons.
    """
    reasons: list[str] = []
    for entry, certificate in _newest_first(one for one in entries if one.use == "auth"):
        evidence = _evidence(entry, certificate, conf, cached_ocsp, at)
        registered = conf.server_of_certificate(der(certificate), at)
        if registered is None or registered.id != server:
            reasons.append(f"{describe(certificate)} is not registered for this server")
        elif isinstance(evidence, _Evidence):
            return AuthIdentity(
                entry.key, certificate, evidence.intermediates, evidence.ocsp_responses
            )
        else:
            reasons.append(evidence)
    why = "; ".join(reasons) or "there is no authentication certificate"
    text = f"Could not find active authentication key for security server '{server}': {why}"
    raise ExchangeError(text, "key_not_found")


def _newest_first(
    entries: Iterable[KeyEntry],
) -> Iterator[tuple[KeyEntry, x509.Certificate]]:
    found = [(one, one.certificate) for one in entries if one.certificate is not None]
    found.sort(key=lambda pair: pair[1].not_valid_before_utc, reverse=True)
    return iter(found)


@dataclass(frozen=True, slots=True)
class _Evidence:
    intermediates: tuple[x509.Certificate, ...]
    ocsp_responses: tuple[bytes, ...]


def _evidence(
    entry: KeyEntry,
    certificate: x509.Certificate,
    conf: GlobalConf,
    cached_ocsp: CachedOcsp,
    at: datetime,
) -> _Evidence | str:
    """The chain of a usable certificate with its OCSP responses, or why it can't be used."""
    if not entry.active:
        return f"{describe(certificate)} is not active"
    if not valid_at(certificate, at):
        return f"{describe(certificate)} is not valid at {at}"
    intermediates = issuing_chain(certificate, conf.own)
    responses = [cached_ocsp(one) for one in (certificate, *intermediates)]
    present = tuple(one for one in responses if one is not None)
    if len(present) < len(responses):
        return f"Could not get OCSP responses for certificates ({describe(certificate)})"
    found = conf.own.issuer_of(certificate)
    if found is None:
        return f"{describe(certificate)} is not issued by an approved CA"
    status = check_ocsp(present[:1], certificate, found[1].certificate, conf, at, instance=conf.own)
    if status.outcome is not Outcome.PASSED:
        return status.detail
    return _Evidence(intermediates, present)
