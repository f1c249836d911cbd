"""Which certificates were revoked, and when: what an auditor knows that the record could not.

A revocation list or an OCSP response of today tells of certificates that were good when they
signed. What was time-stamped before the revocation stands; what came after it does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from trust.asn1 import NotAsn1
from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf
from trust.pki.certificates import UNREADABLE
from trust.pki.ocsp import CertificateStatus, cert_id_of, check_ocsp, parse_ocsp_response
from trust.report import Outcome

MAX_BYTES = 64 << 20  # of one list

_Key = tuple[bytes, int]  # the DER of the issuer's name, and the serial number


@dataclass(frozen=True, slots=True)
class Revocations:
    """Revocations by issuer and serial number; the earliest counts.

    Attributes:
        asked: for which issuers something is known.
    """

    known: Mapping[_Key, datetime] = field(default_factory=dict)
    asked: frozenset[bytes] = frozenset()

    def revoked_at(self, certificate: x509.Certificate) -> datetime | None:
        """When the certificate was revoked; None as far as is known."""
        if not self.known:
            return None
        return self.known.get((certificate.issuer.public_bytes(), certificate.serial_number))

    def covers(self, certificate: x509.Certificate) -> bool:
        """Whether a list of its issuer was given."""
        return certificate.issuer.public_bytes() in self.asked

    def joined(self, other: "Revocations") -> "Revocations":
        known = dict(self.known)
        for key, moment in other.known.items():
            known[key] = min(moment, known.get(key, moment))
        return Revocations(known, self.asked | other.asked)


def parse_revocations(raw: bytes, authorities: Iterable[x509.Certificate]) -> Revocations:
    """Read a revocation list (DER or PEM) that one of the authorities signed.

    Raises MalformedMessage for what is none, or by nobody who is listed.
    """
    try:
        if raw.lstrip().startswith(b"-----BEGIN"):
            crl = x509.load_pem_x509_crl(raw)
        else:
            crl = x509.load_der_x509_crl(raw)
        issuer = crl.issuer.public_bytes()
        signers = [each for each in authorities if each.subject.public_bytes() == issuer]
        if not any(_signed(crl, each) for each in signers):
            raise MalformedMessage(
                f"No authority of the trust list signed the revocation list of {crl.issuer}"
            )
        known = {(issuer, each.serial_number): each.revocation_date_utc for each in crl}
    except (*UNREADABLE, NotAsn1) as error:
        raise MalformedMessage("It is no revocation list") from error
    return Revocations(known, frozenset({issuer}))


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    try:
        return crl.is_signature_valid(key)  # type: ignore[arg-type] # of whatever kind it is
    except TypeError:
        return False


def read_response(
    raw: bytes, certificate: x509.Certificate, conf: GlobalConf, at: datetime
) -> Revocations | None:
    """What a fresh OCSP response says of a certificate; None when it can't be believed."""
    for instance in conf.instances.values():
        issuer = instance.issuer_of(certificate)
        if issuer is None:
            continue
        anchor = issuer[1].certificate
        check = check_ocsp([raw], certificate, anchor, conf, at, instance=instance, any_status=True)
        if check.outcome is not Outcome.PASSED:
            continue
        try:
            response = parse_ocsp_response(raw)
        except MalformedMessage:
            continue
        if response.cert_id != cert_id_of(certificate, anchor):
            continue
        facts = response.facts
        if facts.status is CertificateStatus.REVOKED and facts.revoked_at is not None:
            key = (certificate.issuer.public_bytes(), certificate.serial_number)
            return Revocations({key: facts.revoked_at})
        return Revocations()
    return None


def issuer_of(certificate: x509.Certificate, conf: GlobalConf) -> x509.Certificate | None:
    """The authority of any instance that issued a certificate, by name."""
    for instance in conf.instances.values():
        issuer = instance.issuer_of(certificate)
        if issuer is not None:
            return issuer[1].certificate
    return None


def responders_of(certificate: x509.Certificate, conf: GlobalConf) -> tuple[str, ...]:
    """Where the status of a certificate can be asked for."""
    found = []
    for instance in conf.instances.values():
        issuer = instance.issuer_of(certificate)
        if issuer is not None:
            found += [responder.url for responder in issuer[1].responders if responder.url]
    return tuple(dict.fromkeys(found))
