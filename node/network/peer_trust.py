"""Whether the node at the other end of our connection may answer for a provider.

Judged after the handshake and before any application byte; judged again when a kept connection is
used under another trust list, or when what it was judged by is no longer good. The reference judges
a connection once (transport.md 13). Source: transport.md 2.4, 2.6; design.md 3.5.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from trust.errors import EvidenceRejected, MalformedMessage, NetworkFailure, UntrustedPeer
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId
from trust.pki.authentication import verify_provider_certificate
from trust.pki.certificates import MAX_CHAIN, parse_certificate
from trust.pki.ocsp import response_facts, usable_until

_KNOWN_CHAINS = 1024
_GROUP = "ssl_authentication_failed"

FetchOcsp = Callable[[Sequence[bytes]], Awaitable[Sequence[bytes]]]
"""Get the OCSP responses of these DER certificates from their owner."""


@dataclass(slots=True)
class PeerJudgement:
    """What was found out about the other end of one connection.

    Attributes:
        server: whose certificate it showed, by the trust list.
        conf_number: of the trust list it was judged by.
        good_until: until when, for each provider it may answer for.
    """

    server: Server
    conf_number: int
    good_until: dict[ClientId, datetime] = field(default_factory=dict)

    def holds(self, provider: ClientId, conf: GlobalConf, at: datetime) -> bool:
        until = self.good_until.get(provider)
        return until is not None and self.conf_number == conf.number and at <= until


class PeerTrust:
    """Judges peers' TLS certificates, with a memory for the OCSP responses that were good.

    The memory is by the whole chain: what one peer hands out for a CA that it shares with others
    is not used for them.
    """

    def __init__(self) -> None:
        self._responses: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()

    async def judge(
        self,
        chain: Sequence[bytes],
        provider: ClientId,
        conf: GlobalConf,
        at: datetime,
        fetch: FetchOcsp,
    ) -> PeerJudgement:
        """Raise UntrustedPeer unless this chain may answer for `provider` now.

        Args:
            chain: DER, as the peer sent it, its own certificate first.
            fetch: asked for the OCSP responses when those that are known are no longer fresh.
        """
        certificates = _parse(chain)
        server = conf.server_of_certificate(chain[0], at, instance=provider.instance)
        key = _key(chain)
        responses = self._responses.get(key, ())
        try:
            if not responses or _good_until(responses, conf) < at:
                responses = tuple(await fetch(chain))
            verify_provider_certificate(certificates, responses, provider, conf, at).require()
            until = _good_until(responses, conf)
        except NetworkFailure as error:
            text = f"Could not get OCSP responses from server: {error.text}"
            raise UntrustedPeer(text, f"{_GROUP}.internal_error") from error
        except (EvidenceRejected, MalformedMessage, UntrustedPeer) as error:
            raise UntrustedPeer(error.text, error.code).within(_GROUP) from error
        if server is None:  # the verification has a check for it; this is for the type
            raise UntrustedPeer("Peer certificate is not registered for any server")
        self._remember(key, responses)
        ends = (one.not_valid_after_utc for one in certificates)
        return PeerJudgement(server, conf.number, {provider: min(until, *ends)})

    def _remember(self, key: bytes, responses: tuple[bytes, ...]) -> None:
        self._responses[key] = responses
        self._responses.move_to_end(key)
        while len(self._responses) > _KNOWN_CHAINS:
            self._responses.popitem(last=False)


def _key(chain: Sequence[bytes]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(der).digest() for der in chain)).digest()


def _parse(chain: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    if not chain:
        raise UntrustedPeer("Service provider did not provide TLS certificate")
    if len(chain) > MAX_CHAIN:
        raise UntrustedPeer(f"Service provider presented {len(chain)} certificates")
    try:
        return tuple(parse_certificate(der) for der in chain)
    except MalformedMessage as error:
        raise UntrustedPeer(error.text) from error


def _good_until(responses: Sequence[bytes], conf: GlobalConf) -> datetime:
    return min(usable_until(response_facts(one), conf) for one in responses)
