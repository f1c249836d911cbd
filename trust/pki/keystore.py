"""A node's keys on disk: encrypted key files, certificate requests, certificates.

One key is four files in the store's folder: `<id>.json` (what it is for), `<id>.key.pem` (PKCS#8,
encrypted with the store's password), `<id>.csr.pem` while a request is under way, `<id>.cert.pem`
once it is certified. Two processes may work on one store: every file is replaced whole, and
`reload` reads what the other one wrote.
"""

import json
import re
import secrets
from collections.abc import Container
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from trust.errors import EvidenceRejected, MalformedMessage, StorageError
from trust.globalconf import GlobalConf
from trust.ids import ClientId
from trust.pki.certificates import describe, parse_certificate
from trust.pki.keyfiles import open_folder, read_file, remove_file, write_file
from trust.pki.keyimport import check_import
from trust.pki.keys import KeyType, KeyUse, SoftwareKey, build_csr, generate_key
from trust.pki.subjects import SubjectProposal

_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of the store.

    Attributes:
        use: `auth` for TLS between nodes, `sign` for a member's signature.
        active: whether the operator lets it be used.
        certificate: None until one is imported.
        member: whom the certificate of a sign key was issued to.
        requested: whether a certificate request is stored.
    """

    id: str
    use: KeyUse
    label: str
    created: datetime
    active: bool
    key: SoftwareKey = field(repr=False)
    certificate: x509.Certificate | None = None
    member: ClientId | None = None
    requested: bool = False


class KeyStore:
    """The keys of one node, read once and after every change."""

    def __init__(self, folder: Path, password: bytes) -> None:
        self._folder = folder
        self._password = password
        self.entries: tuple[KeyEntry, ...] = ()

    def __repr__(self) -> str:
        return f"KeyStore({len(self.entries)} keys)"

    @classmethod
    def open(cls, folder: Path, password: bytes) -> Self:
        """Open a store, made where it is missing.

        Raises StorageError for a password that doesn't open its keys, for a folder that every
        user may enter and for damaged files. The first key made decides the password.
        """
        if not password:
            raise StorageError("The password of the key store is empty")
        open_folder(folder)
        store = cls(folder, password)
        store.reload()
        return store

    def reload(self) -> None:
        """Read all files again; `entries` is replaced whole, oldest key first."""
        names = (path.stem for path in self._folder.glob("*.json"))
        entries = [self._load(name) for name in names if _ID.fullmatch(name)]
        self.entries = tuple(sorted(entries, key=lambda entry: (entry.created, entry.id)))

    def entry(self, key_id: str) -> KeyEntry:
        """The key of that id; raises StorageError without one."""
        for entry in self.entries:
            if entry.id == key_id:
                return entry
        raise StorageError(f"The key store has no key '{key_id}'")

    def create_key(
        self, use: KeyUse, key_type: KeyType, label: str, at: datetime | None = None
    ) -> KeyEntry:
        """Make a key and keep it; it is on the disk when this returns."""
        entry = KeyEntry(
            id=secrets.token_hex(8),
            use=use,
            label=label,
            created=(at or datetime.now(UTC)).replace(microsecond=0),
            active=True,
            key=generate_key(key_type),
        )
        write_file(self._path(entry.id, "key.pem"), entry.key.pem(self._password))
        return self._keep(entry)

    def request(self, key_id: str, proposal: SubjectProposal) -> bytes:
        """Build the certificate request of a key; it is stored in PEM and returned in DER."""
        entry = self.entry(key_id)
        request = build_csr(entry.key, entry.use, proposal)
        pem = x509.load_der_x509_csr(request).public_bytes(Encoding.PEM)
        write_file(self._path(key_id, "csr.pem"), pem)
        self.reload()
        return request

    def import_certificate(
        self,
        data: bytes,
        conf: GlobalConf,
        at: datetime,
        *,
        local_members: Container[ClientId] | None = None,
    ) -> KeyEntry:
        """Keep a certificate (DER or PEM) with the key it was issued for.

        Args:
            local_members: who may have sign keys here; None lets every member.

        A certificate that the key already has is replaced, as a renewal. Raises EvidenceRejected
        (`key_not_found`, `cert_exists` and the codes of `check_import`), MalformedMessage
        (`incorrect_certificate`), GlobalConfOutdated.
        """
        certificate = parse_certificate(data)
        entry = next((entry for entry in self.entries if entry.key.fits(certificate)), None)
        if entry is None:
            text = f"No key of this store belongs to certificate {describe(certificate)}"
            raise EvidenceRejected(text, "key_not_found")
        if entry.certificate == certificate:
            text = f"Certificate already exists under key '{entry.label or entry.id}'"
            raise EvidenceRejected(text, "cert_exists")
        member = check_import(certificate, entry.use, conf, at, local_members)
        pem = certificate.public_bytes(Encoding.PEM)
        write_file(self._path(entry.id, "cert.pem"), pem)
        remove_file(self._path(entry.id, "csr.pem"))
        return self._keep(replace(entry, member=member))

    def set_active(self, key_id: str, active: bool) -> KeyEntry:
        """Let a key be used, or keep it from being used, from the next choice on."""
        return self._keep(replace(self.entry(key_id), active=active))

    def _path(self, key_id: str, ending: str) -> Path:
        return self._folder / f"{key_id}.{ending}"

    def _keep(self, entry: KeyEntry) -> KeyEntry:
        description = {
            "use": entry.use,
            "label": entry.label,
            "created": entry.created.isoformat(),
            "active": entry.active,
            "member": None if entry.member is None else list(entry.member.parts),
        }
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        write_file(self._path(entry.id, "json"), text.encode())
        self.reload()
        return self.entry(entry.id)

    def _load(self, key_id: str) -> KeyEntry:
        pem = read_file(self._path(key_id, "key.pem"))
        description = read_file(self._path(key_id, "json"))
        certificate = read_file(self._path(key_id, "cert.pem"))
        if pem is None or description is None:
            raise StorageError(f"The key store has only a part of key '{key_id}'")
        key = _open_key(key_id, pem, self._password)
        try:
            return KeyEntry(
                id=key_id,
                key=key,
                certificate=None if certificate is None else parse_certificate(certificate),
                requested=self._path(key_id, "csr.pem").exists(),
                **_read_description(description),
            )
        except (ValueError, KeyError, TypeError, MalformedMessage) as error:
            raise StorageError(f"The files of key '{key_id}' are damaged: {error}") from error


def _read_description(raw: bytes) -> dict[str, Any]:
    found = json.loads(raw)
    use, member = found["use"], found["member"]
    if use not in ("auth", "sign"):
        raise ValueError(f"use '{use}'")
    return {
        "use": use,
        "label": str(found["label"]),
        "created": datetime.fromisoformat(found["created"]).astimezone(UTC),
        "active": found["active"] is True,
        "member": None if member is None else ClientId(*member),
    }


def _open_key(key_id: str, pem: bytes, password: bytes) -> SoftwareKey:
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" not in pem:
        raise StorageError(f"The file of key '{key_id}' is no encrypted key")
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # what the library says about a wrong password helps nobody and might quote the file
        raise StorageError(
            f"The password doesn't open key '{key_id}', or its file is damaged"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise StorageError(f"Key '{key_id}' is neither RSA nor EC")
    return SoftwareKey(key)
