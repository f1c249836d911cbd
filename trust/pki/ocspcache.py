"""OCSP responses for the node's own certificates, kept over restarts.

They go into every signature, before every message in TLS, and to peers that ask on port 5577.
Files are named `<SHA-1 of the certificate in hex>.ocsp`, as the reference server's cache.
Source: trust.md 10.1, transport.md 2.5; X-Road 7.8 FileBasedOcspCache.java.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf
from trust.pki.certificates import certificate_hash
from trust.pki.keyfiles import open_folder, read_file, remove_file, write_file
from trust.pki.ocsp import OcspFacts, response_facts, usable_until

_NAME = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class CachedResponse:
    raw: bytes = field(repr=False)
    facts: OcspFacts


class OcspCache:
    """Responses by certificate; what is on disk from before is there at once."""

    def __init__(self, folder: Path) -> None:
        """Open the cache; raises StorageError. A file that is no OCSP response is dropped."""
        open_folder(folder)
        self._folder = folder
        self._responses: dict[str, CachedResponse] = {}  # by SHA-1 in hex
        self._sha1_of: dict[str, str] = {}  # SHA-256 to SHA-1, both in hex
        for path in folder.glob("*.ocsp"):
            if _NAME.fullmatch(path.stem):
                self._load(path)

    def _load(self, path: Path) -> None:
        raw = read_file(path)
        if raw is None:
            return
        try:
            self._responses[path.stem] = CachedResponse(raw, response_facts(raw))
        except MalformedMessage:
            remove_file(path)

    def know(self, certificates: Iterable[x509.Certificate]) -> None:
        """Learn which certificates are the node's own; what is kept of others is dropped."""
        own = {
            certificate_hash(one, "sha256").hex(): certificate_hash(one, "sha1").hex()
            for one in certificates
        }
        self._sha1_of = own
        for name in self._responses.keys() - own.values():
            del self._responses[name]
            remove_file(self._folder / f"{name}.ocsp")

    def put(self, certificate: x509.Certificate, raw: bytes) -> None:
        """Keep a response that was verified; raises MalformedMessage, StorageError."""
        name = certificate_hash(certificate, "sha1").hex()
        facts = response_facts(raw)
        write_file(self._folder / f"{name}.ocsp", raw)
        self._responses[name] = CachedResponse(raw, facts)

    def get(self, certificate: x509.Certificate) -> bytes | None:
        """The last response for a certificate, however old: whoever uses it judges it."""
        found = self._responses.get(certificate_hash(certificate, "sha1").hex())
        return None if found is None else found.raw

    def facts(self, certificate: x509.Certificate) -> OcspFacts | None:
        found = self._responses.get(certificate_hash(certificate, "sha1").hex())
        return None if found is None else found.facts

    def for_peer(self, digest: str, conf: GlobalConf, at: datetime) -> bytes | None:
        """The response that a peer asks for by SHA-1 or SHA-256 in hex, if it is still usable."""
        name = digest.lower()
        found = self._responses.get(self._sha1_of.get(name, name))
        if found is None or usable_until(found.facts, conf) < at:
            return None
        return found.raw
