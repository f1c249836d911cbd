"""Which node calls us, and whether it may speak for the client that its message names.

The handshake proved possession of the key; the certificate must be registered, and with the OCSP
responses of the message it must hold for exactly this client. Source: transport.md 2.3.
"""

import contextlib
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from trust.errors import EvidenceRejected, MalformedMessage, UntrustedPeer
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId
from trust.pki.authentication import verify_consumer_certificate
from trust.pki.certificates import parse_certificate
from trust.pki.ocsp import parse_ocsp_response, usable_until

_LIFETIME = timedelta(seconds=60)
_CAPACITY = 512


@dataclass(frozen=True, slots=True)
class Caller:
    """The node at the other end of a connection, as TLS shows it."""

    server: Server
    chain: tuple[x509.Certificate, ...]
    chain_digest: bytes


@dataclass(slots=True)
class Callers:
    """Recognises calling nodes, with a short memory for those that passed."""

    _passed: dict[tuple[int, bytes, ClientId, bytes], datetime] = field(default_factory=dict)

    def identify(self, chain: tuple[bytes, ...], conf: GlobalConf, at: datetime) -> Caller | None:
        """The registered server whose certificate heads the chain; None for anybody else."""
        server = conf.server_of_certificate(chain[0], at) if chain else None
        if server is None:
            return None
        try:
            certificates = tuple(parse_certificate(der) for der in chain)
        except MalformedMessage:
            return None
        return Caller(server, certificates, _digest(chain))

    def require_speaks_for(
        self,
        caller: Caller,
        client: ClientId,
        ocsp_responses: tuple[bytes, ...],
        conf: GlobalConf,
        at: datetime,
    ) -> None:
        """Raise UntrustedPeer unless the caller's certificate holds now and hosts the client.

        As at the reference server the code tells no more than that the caller is not trusted; the
        inner code stands in the text.
        """
        key = (conf.number, caller.chain_digest, client, _digest(ocsp_responses))
        good_until = self._passed.get(key)
        if good_until is not None and at <= good_until:
            return
        try:
            verify_consumer_certificate(caller.chain, ocsp_responses, client, conf, at).require()
        except EvidenceRejected as error:
            raise _untrusted(error) from error
        self._remember(key, min(at + _LIFETIME, _good_until(caller, ocsp_responses, conf)))

    def _remember(self, key: tuple[int, bytes, ClientId, bytes], until: datetime) -> None:
        while len(self._passed) >= _CAPACITY:
            del self._passed[next(iter(self._passed))]
        self._passed[key] = until


def _untrusted(error: EvidenceRejected) -> UntrustedPeer:
    group, _, inner = error.code.partition(".")
    return UntrustedPeer(f"{inner}: {error.text}" if inner else error.text, group)


def _good_until(caller: Caller, ocsp_responses: tuple[bytes, ...], conf: GlobalConf) -> datetime:
    """Until when the certificates and all the responses that say something stay good."""
    ends = [certificate.not_valid_after_utc for certificate in caller.chain]
    for raw in ocsp_responses:
        with contextlib.suppress(MalformedMessage):
            ends.append(usable_until(parse_ocsp_response(raw).facts, conf))
    return min(ends)


def _digest(items: tuple[bytes, ...]) -> bytes:
    found = hashlib.sha256()
    for item in items:
        found.update(len(item).to_bytes(4, "big") + item)
    return found.digest()
