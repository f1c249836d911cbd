"""Signed messages for tests: a member of a small PKI signs parts, in one form or another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.pki import NOON, Identity, Pki
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, PartDigest, build_hash_chains
from trust.evidence.signature import SignedMessage, build_signature
from trust.evidence.signature_verifier import verify_signature
from trust.globalconf import GlobalConf
from trust.ids import ClientId
from trust.report import VerificationReport

SENDER = ClientId("TEST", "GOV", "1001", "portal")
MESSAGE = b"GET\r\n/r1/TEST/COM/2002/registry/people\r\nX-Road-Client:TEST/GOV/1001/portal\r\n"
PARTS = {"/message.xml": MESSAGE, "/attachment1": b'{"code":1}'}


def digests(parts: Mapping[str, bytes]) -> dict[str, PartDigest]:
    return {name: PartDigest.of(name, data) for name, data in parts.items()}


@dataclass
class Signatory:
    """A member with a signing certificate and its OCSP response."""

    pki: Pki = field(default_factory=Pki)
    sender: ClientId = SENDER
    signer: Identity = field(init=False)
    ocsp: bytes = field(init=False)
    conf: GlobalConf = field(init=False)

    def __post_init__(self) -> None:
        self.signer = self.pki.sign(self.sender)
        self.ocsp = self.pki.ocsp(self.signer.certificate)
        self.conf = self.pki.conf(members={self.sender.member: ("portal",)})

    def document(self, parts: Mapping[str, bytes]) -> bytes:
        """A signature over the parts, one reference each."""
        return build_signature(
            tuple(digests(parts).values()),
            certificate=self.signer.certificate,
            intermediates=self.pki.chain,
            ocsp_responses=[self.ocsp],
            key=self.signer.key,
            at=self.pki.at,
        )

    def direct(self, parts: Mapping[str, bytes] = PARTS) -> SignedMessage:
        return SignedMessage(self.document(parts), digests(parts))

    def chained(self, parts: Mapping[str, bytes] = PARTS) -> SignedMessage:
        chains = build_hash_chains([list(digests(parts).values())])
        document = self.document({SIGNATURE_CHAIN_RESULT_NAME: chains.result})
        return SignedMessage(
            document,
            digests(parts),
            hash_chain_result=chains.result,
            hash_chain=chains.chains[0],
        )

    def verify(self, message: SignedMessage, *, container: bool = False) -> VerificationReport:
        return verify_signature(
            message, self.sender, self.conf, NOON, unused_chain_is_warning=container
        )
