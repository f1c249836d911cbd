"""Sign for a member: its certificate, the CAs above it, their OCSP responses, and the form.

Source: signatures.md 4; X-Road 7.8 SigningCtxImpl.java, BatchSigner.java, CachingKeyConfImpl.java.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from trust.digests import sha512
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, PartDigest, build_hash_chains
from trust.evidence.signature import build_signature
from trust.globalconf import GlobalConf
from trust.ids import ClientId
from trust.pki.identities import CachedOcsp, SignIdentity, choose_sign_identity
from trust.pki.keystore import KeyEntry

_LIFETIME = timedelta(seconds=10)


class SignatureForm(Enum):
    """How several parts are covered by one signature."""

    REFERENCES = "references"  # one reference each; read by servers from 7.6 and by others
    HASH_CHAIN = "hash chain"  # the only form that older servers read


@dataclass(frozen=True, slots=True)
class SignatureFiles:
    """What a signature consists of on the wire and in the log."""

    signature: bytes
    hash_chain_result: bytes | None = None
    hash_chain: bytes | None = None


def sign_parts(
    identity: SignIdentity, parts: Sequence[PartDigest], at: datetime, form: SignatureForm
) -> SignatureFiles:
    """Sign the parts of one message; one part is always signed directly."""
    if len(parts) == 1 or form is SignatureForm.REFERENCES:
        return SignatureFiles(_signature(identity, parts, at))
    return sign_together(identity, [parts], at)[0]


def sign_together(
    identity: SignIdentity, messages: Sequence[Sequence[PartDigest]], at: datetime
) -> list[SignatureFiles]:
    """Sign several messages, each given by its parts, with one signature over one hash tree."""
    chains = build_hash_chains(messages)
    covered = [PartDigest(SIGNATURE_CHAIN_RESULT_NAME, sha512(chains.result))]
    signature = _signature(identity, covered, at)
    return [SignatureFiles(signature, chains.result, chain) for chain in chains.chains]


def _signature(identity: SignIdentity, parts: Sequence[PartDigest], at: datetime) -> bytes:
    return build_signature(
        parts,
        certificate=identity.certificate,
        intermediates=identity.intermediates,
        ocsp_responses=identity.ocsp_responses,
        key=identity.key,
        at=at,
    )


@dataclass(slots=True)
class Signers:
    """Finds who signs for a member, and remembers it for some seconds.

    Attributes:
        entries: the key store's keys as they are now.
        cached_ocsp: the last OCSP response for an own certificate.
    """

    entries: Callable[[], Iterable[KeyEntry]]
    cached_ocsp: CachedOcsp
    _known: dict[tuple[ClientId, int], tuple[SignIdentity, datetime]] = field(default_factory=dict)

    def signer_of(self, member: ClientId, conf: GlobalConf, at: datetime) -> SignIdentity:
        """The member's key, certificate and fresh OCSP responses; raises CannotSign."""
        key = (member, conf.number)
        found = self._known.get(key)
        if found is not None and found[1] <= at < found[1] + _LIFETIME:
            return found[0]
        identity = choose_sign_identity(self.entries(), member, conf, self.cached_ocsp, at)
        self._known = {k: v for k, v in self._known.items() if k[1] == conf.number}
        self._known[key] = (identity, at)
        return identity
