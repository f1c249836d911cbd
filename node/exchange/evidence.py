"""The proof of an exchange: made when we send, judged when we receive, kept in either case.

Nothing here decides what an exchange may do; it says whether the proof is there.
Source: design.md 3; signatures.md 4, 6.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from node.body import Section
from node.exchange.received import ReceivedMessage
from node.exchange.request import Request, SoapRequest
from node.exchange.signer import SignatureFiles, Signers
from node.exchange.signing import SigningQueues
from node.log.messagelog import MessageLog
from node.log.records import LoggedBody, MessageRecord, Side
from node.log.uses import DataUse
from trust.digests import sha512
from trust.errors import EvidenceRejected, ExchangeError
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.signature import Signature
from trust.evidence.signature_verifier import judge_signer, verify_content
from trust.evidence.verified_batches import VerifiedBatches
from trust.globalconf import GlobalConf
from trust.ids import ClientId


@dataclass(slots=True)
class Evidence:
    """Signs, judges and logs for one node."""

    signers: Signers
    signing: SigningQueues
    log: MessageLog
    clock: Callable[[], datetime]
    verdicts: VerdictCache
    batches: VerifiedBatches

    def judge(self, received: ReceivedMessage, sender: ClientId, conf: GlobalConf) -> Signature:
        """Believe that `sender` signed every part received, or raise EvidenceRejected.

        The moment is now, also for a message that took long to arrive.
        """
        content = verify_content(received.signed, batches=self.batches)
        report = judge_signer(content, sender, conf, self.clock(), self.verdicts)
        try:
            report.require()
        except EvidenceRejected as error:
            raise error.within("signature_verification") from None
        if content.signature is None:
            raise EvidenceRejected("Signature is not valid", "signature_verification")
        return content.signature

    async def keep_sent(
        self,
        side: Side,
        request: Request,
        *,
        response: bytes | None,
        files: SignatureFiles,
        bodies: Sequence[Section],
        peer: str,
        use: DataUse | None = None,
    ) -> None:
        """Make durable what we are about to send; raises LoggingFailed.

        Args:
            use: of somebody's data, for the same commit.
        """
        record = self._record(side, request, response, files, bodies, peer, None)
        await self.log.append(record if use is None else replace(record, use=use))

    async def keep_request(
        self, request: Request, received: ReceivedMessage, signature: Signature, peer: str
    ) -> None:
        """Make durable, as provider, the request that we believe.

        Raises StaleRequest, LoggingFailed, or ReplayDetected when this very request was received
        before.
        """
        check_signing_time(signature, self.clock(), self.log.replay_retention / 2)
        files = _files(received)
        key = replay_key(signature, received)
        bodies = _bodies(received)
        await self.log.append(self._record(Side.PROVIDER, request, None, files, bodies, peer, key))

    async def keep_response(
        self,
        request: Request,
        received: ReceivedMessage,
        peer: str,
        use: DataUse | None = None,
    ) -> None:
        """Make durable, as consumer, the answer that we believe; raises LoggingFailed.

        Args:
            use: of somebody's data, for the same commit.
        """
        files = _files(received)
        bodies = _bodies(received)
        record = self._record(Side.CONSUMER, request, received.head, files, bodies, peer, None)
        await self.log.append(record if use is None else replace(record, use=use))

    def _record(
        self,
        side: Side,
        request: Request,
        response: bytes | None,
        files: SignatureFiles,
        bodies: Sequence[Section],
        peer: str,
        replay: bytes | None,
    ) -> MessageRecord:
        soap = isinstance(request, SoapRequest)
        return MessageRecord(
            time=self.clock(),
            side=side,
            response=response is not None,
            exchange_id=request.request_id,
            message_id=request.message_id,
            client=request.client,
            service=request.service,
            local=request.client if side is Side.CONSUMER else request.provider,
            peer=peer,
            message=request.raw if response is None else response,
            signature=files.signature,
            hash_chain_result=files.hash_chain_result,
            hash_chain=files.hash_chain,
            attachments=tuple(LoggedBody.of(body, soap=soap) for body in bodies),
            replay_key=replay,
        )


def _bodies(received: ReceivedMessage) -> Sequence[Section]:
    return tuple(attachment.body for attachment in received.attachments)


def _files(received: ReceivedMessage) -> SignatureFiles:
    return SignatureFiles(received.signature, received.hash_chain_result, received.hash_chain)


class StaleRequest(ExchangeError):
    """A request that says it was signed at another time; it may be an old one sent again."""

    code = "invalid_message"


def check_signing_time(signature: Signature, at: datetime, apart: timedelta) -> None:
    """Refuse a request whose signing time is missing or further than `apart` from now.

    The signing time is signed; the OCSP response beside it is not, and anybody can put a fresh one
    there. Replay keys are kept for twice that time (decisions/0008).
    """
    signed_at = signature.signing_time
    if signed_at is None:
        raise StaleRequest("The signature does not say when it was made")
    if abs(at - signed_at) > apart:
        raise StaleRequest(
            f"The signature was made at {signed_at:%Y-%m-%dT%H:%M:%SZ}, more than"
            f" {int(apart.total_seconds()) // 60} minutes from {at:%Y-%m-%dT%H:%M:%SZ} here"
        )


def replay_key(signature: Signature, received: ReceivedMessage) -> bytes:
    """What makes a signed request the same: what was signed, and the message (decisions/0008).

    The signature value is no part of it: from one value for an EC key anybody can make another.
    """
    return hashlib.sha256(sha512(signature.signed_info) + sha512(received.head)).digest()
