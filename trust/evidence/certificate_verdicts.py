"""Whether a signing certificate counted at a moment, with a short memory for repeated answers.

A member signs thousands of messages with one certificate and one OCSP response; the signatures on
those two need not be verified for each message. The reference server remembers for a minute too.
What depends on the moment is judged every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from cryptography import x509

from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf, InstanceConf
from trust.pki.certificates import check_path, der
from trust.pki.ocsp import CLOCK_SKEW, cert_id_of, check_ocsp, parse_ocsp_response, usable_until
from trust.report import Check, Outcome

LIFETIME = timedelta(seconds=60)
CAPACITY = 256


@dataclass(frozen=True, slots=True)
class CertificateVerdict:
    """The two checks that need the trust list's CA."""

    path: Check
    ocsp: Check

    @property
    def passed(self) -> bool:
        return self.path.outcome is Outcome.PASSED and self.ocsp.outcome is Outcome.PASSED


def judge_certificate(
    certificate: x509.Certificate,
    anchor: x509.Certificate,
    ocsp_responses: Sequence[bytes],
    conf: GlobalConf,
    at: datetime,
    *,
    instance: InstanceConf,
) -> CertificateVerdict:
    """Check path and OCSP status of a signing certificate that `anchor` is to have issued.

    The anchor is the CA of the instance's list that the certificate names as its issuer, so the
    path is one step long and embedded intermediates are not needed.
    Source: signatures.md 7.2; X-Road 7.8 CertChainVerifier.java.
    """
    ocsp = check_ocsp(ocsp_responses, certificate, anchor, conf, at, instance=instance)
    if ocsp.outcome is not Outcome.PASSED:
        ocsp = replace(ocsp, code=f"invalid_cert_path.{ocsp.code}")
    return CertificateVerdict(check_path(certificate, (), anchor, at), ocsp)


@dataclass(frozen=True, slots=True)
class _Remembered:
    verdict: CertificateVerdict
    first: datetime  # the moments for which the verdict holds
    last: datetime


_Key = tuple[int, str, bytes, bytes, tuple[bytes, ...]]


class VerdictCache:
    """Verdicts that were good, for a minute and no longer than dates and freshness allow.

    One cache belongs to one node and sees one sequence of global configurations: their `number` is
    part of the key.
    """

    def __init__(self, lifetime: timedelta = LIFETIME, capacity: int = CAPACITY) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._remembered: dict[_Key, _Remembered] = {}
        self._lock = Lock()

    def judge(
        self,
        certificate: x509.Certificate,
        anchor: x509.Certificate,
        ocsp_responses: Sequence[bytes],
        conf: GlobalConf,
        at: datetime,
        *,
        instance: InstanceConf,
    ) -> CertificateVerdict:
        """As `judge_certificate`; bad verdicts are never remembered."""
        name = instance.shared.instance
        key = (conf.number, name, der(certificate), der(anchor), tuple(ocsp_responses))
        found = self._remembered.get(key)
        if found is not None and found.first <= at <= found.last:
            return found.verdict
        verdict = judge_certificate(
            certificate, anchor, ocsp_responses, conf, at, instance=instance
        )
        if verdict.passed:
            first, last = _good_while(certificate, anchor, ocsp_responses, conf)
            last = min(last, at + self._lifetime)
            self._remember(key, _Remembered(verdict, max(first, at), last))
        return verdict

    def _remember(self, key: _Key, remembered: _Remembered) -> None:
        with self._lock:
            self._remembered.pop(key, None)
            while len(self._remembered) >= self._capacity:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = remembered


def _good_while(
    certificate: x509.Certificate,
    anchor: x509.Certificate,
    ocsp_responses: Sequence[bytes],
    conf: GlobalConf,
) -> tuple[datetime, datetime]:
    """Between which moments a good verdict stays good: dates, freshness, nextUpdate."""
    wanted = cert_id_of(certificate, anchor)
    for raw in ocsp_responses:
        try:
            response = parse_ocsp_response(raw)
        except MalformedMessage:
            continue
        if response.cert_id == wanted:  # the first that fits is the one that was judged
            return (
                max(certificate.not_valid_before_utc, response.facts.this_update - CLOCK_SKEW),
                min(certificate.not_valid_after_utc, usable_until(response.facts, conf)),
            )
    raise AssertionError("a good verdict without its OCSP response")
