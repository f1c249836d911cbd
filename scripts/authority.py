"""The test CA as a folder: its own keys, what it issued and what it revoked.

Keys lie there unencrypted; the folder is for sandboxes and tests alone.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp

from scripts.issuing import (
    CertificateOrder,
    Identity,
    StatusAnswer,
    Use,
    build_ocsp_response,
    issue,
    malformed_ocsp_request,
    plain_name,
)
from scripts.stamping import TimestampRequest, build_rejection, build_timestamp_reply
from trust.errors import EvidenceRejected, MalformedMessage, StorageError
from trust.names import subject_name
from trust.pki.certificates import parse_certificate
from trust.pki.keyfiles import open_folder, read_file, write_file
from trust.pki.keys import KeyUse, SoftwareKey, generate_key
from trust.pki.ocsp import CertificateStatus
from trust.pki.profiles import member_of

_CA_LIFE = timedelta(days=3650)
_SKEW = timedelta(minutes=5)  # certificates begin a little earlier than now
DEFAULT_LIFE = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class TestAuthority:
    """CA, OCSP responder and TSA over one folder.

    Attributes:
        root, issuing: the same identity unless the folder was made with an intermediate CA.
        responder, tsa: issued by `issuing`.
        next_update: how long after thisUpdate an OCSP response says it is outdated.
    """

    __test__ = False  # no test class, says pytest's convention

    folder: Path
    root: Identity
    issuing: Identity
    responder: Identity
    tsa: Identity
    next_update: timedelta = timedelta(hours=1)
    ocsp_url: str | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        at: datetime,
        *,
        intermediate: bool = False,
        next_update: timedelta = timedelta(hours=1),
        ocsp_url: str | None = None,
    ) -> "TestAuthority":
        """Open the folder's CA, made now where there is none; raises StorageError."""
        open_folder(folder)
        for name in ("issued", "revoked"):
            open_folder(folder / name)
        root = _own(folder, "root", "ca", "Test Root CA", None, at)
        issuing = root
        if intermediate or (folder / "issuing.cert.pem").exists():
            issuing = _own(folder, "issuing", "ca", "Test Issuing CA", root, at)
        return cls(
            folder=folder,
            root=root,
            issuing=issuing,
            responder=_own(folder, "ocsp", "ocsp", "Test OCSP", issuing, at),
            tsa=_own(folder, "tsa", "tsa", "Test TSA", issuing, at),
            next_update=next_update,
            ocsp_url=ocsp_url,
        )

    @property
    def certificates(self) -> Mapping[str, x509.Certificate]:
        """By name, for who fills in a trust list."""
        own = {"root": self.root, "issuing": self.issuing, "ocsp": self.responder, "tsa": self.tsa}
        return {name: identity.certificate for name, identity in own.items()}

    def certify(
        self,
        request: bytes,
        use: KeyUse,
        at: datetime,
        *,
        profile: str | None = None,
        life: timedelta = DEFAULT_LIFE,
    ) -> x509.Certificate:
        """Certify a request (DER or PEM) as it asks; raises MalformedMessage, EvidenceRejected.

        Args:
            profile: full class name; a sign certificate whose subject it can't read is refused.
        """
        csr = _parse_request(request)
        order = CertificateOrder(
            subject=subject_name(csr),
            use=use,
            first=at - _SKEW,
            last=at + life,
            dns_name=_dns_name(csr),
            ocsp_url=self.ocsp_url,
        )
        certificate = issue(self.issuing, csr.public_key(), order)
        if profile is not None and use == "sign":
            member_of(certificate, profile, "ANY")
        self._record(certificate)
        return certificate

    def _record(self, certificate: x509.Certificate) -> None:
        path = self.folder / "issued" / f"{certificate.serial_number:x}.pem"
        write_file(path, certificate.public_bytes(Encoding.PEM))

    def revoke(self, serial: int, at: datetime) -> None:
        """Revoke a certificate of this CA; raises EvidenceRejected for a serial it didn't issue."""
        if not (self.folder / "issued" / f"{serial:x}.pem").exists():
            raise EvidenceRejected(f"No certificate with serial number {serial}", "cert_not_found")
        text = json.dumps({"revoked": at.astimezone(UTC).isoformat()})
        write_file(self.folder / "revoked" / f"{serial:x}.json", text.encode())

    def answer_ocsp(self, request: bytes, at: datetime) -> bytes:
        """An OCSPResponse to an OCSPRequest, also to one that can't be read."""
        try:
            asked = ocsp.load_der_ocsp_request(request)
            signer = self._responder_for(asked)
            status, revoked_at = self._status(asked)
            now = at.replace(microsecond=0)
            answer = StatusAnswer(status, now, now + self.next_update, revoked_at)
            return build_ocsp_response(request, signer, answer)
        except ValueError:
            return malformed_ocsp_request()

    def _responder_for(self, asked: ocsp.OCSPRequest) -> Identity:
        """The responder; the root itself when asked about the intermediate."""
        key = self.root.key.private_key.public_key()
        digest = x509.SubjectKeyIdentifier.from_public_key(key).digest
        about_root = asked.issuer_key_hash == digest
        return self.root if about_root and self.issuing != self.root else self.responder

    def _status(self, asked: ocsp.OCSPRequest) -> tuple[CertificateStatus, datetime | None]:
        serial = asked.serial_number
        revoked = read_file(self.folder / "revoked" / f"{serial:x}.json")
        if revoked is not None:
            moment = datetime.fromisoformat(json.loads(revoked)["revoked"])
            return CertificateStatus.REVOKED, moment.replace(microsecond=0)
        own = {certificate.serial_number for certificate in self.certificates.values()}
        if serial in own or (self.folder / "issued" / f"{serial:x}.pem").exists():
            return CertificateStatus.GOOD, None
        return CertificateStatus.UNKNOWN, None

    def stamp(self, request: bytes, at: datetime) -> bytes:
        """A TimeStampResp to a TimeStampReq; a rejection for one that can't be read."""
        try:
            asked = TimestampRequest.parse(request)
        except ValueError as error:
            return build_rejection(str(error))
        return build_timestamp_reply(asked, self.tsa, secrets.randbits(63), at)


def _own(
    folder: Path, name: str, use: Use, common_name: str, issuer: Identity | None, at: datetime
) -> Identity:
    """One of the CA's own certificates with its key, from the folder or new."""
    key_path, certificate_path = folder / f"{name}.key.pem", folder / f"{name}.cert.pem"
    key_pem, certificate_pem = read_file(key_path), read_file(certificate_path)
    if key_pem is not None and certificate_pem is not None:
        return Identity(parse_certificate(certificate_pem), _read_key(key_pem))
    key = generate_key("p256")
    order = CertificateOrder(plain_name(common_name), use, at - _SKEW, at + _CA_LIFE)
    certificate = issue(issuer, key.private_key.public_key(), order, key)
    write_file(key_path, key.pem(None))
    write_file(certificate_path, certificate.public_bytes(Encoding.PEM))
    return Identity(certificate, key)


def _read_key(pem: bytes) -> SoftwareKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise StorageError("The test CA's key is neither RSA nor EC")
    return SoftwareKey(key)


def _parse_request(data: bytes) -> x509.CertificateSigningRequest:
    try:
        load = x509.load_pem_x509_csr if b"-----BEGIN" in data else x509.load_der_x509_csr
        csr = load(data)
        sound = csr.is_signature_valid
    except (ValueError, TypeError) as error:
        text = f"Certificate request can't be read: {error}"
        raise MalformedMessage(text, "invalid_request") from error
    if not sound or not isinstance(csr.signature_hash_algorithm, hashes.SHA256):
        raise MalformedMessage("The request isn't signed by its key", "invalid_request")
    return csr


def _dns_name(csr: x509.CertificateSigningRequest) -> str | None:
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    return next(iter(names.get_values_for_type(x509.DNSName)), None)
