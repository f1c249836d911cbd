"""The proof of an exchange: made when we send, judged when we receive, kept in either case.

Nothing here decides what an exchange may do; it says whether the proof is there.
Source: design.md 3; signatures.md 4, 6.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from node.body import SpooledBody
from node.exchange.received import ReceivedMessage
from node.exchange.signer import SignatureFiles, Signers
from node.log.messagelog import MessageLog
from node.log.records import LoggedBody, MessageRecord, Side
from node.messages.rest import RestRequestHead
from trust.digests import sha512
from trust.errors import EvidenceRejected
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.signature_verifier import judge_signer, verify_content
from trust.globalconf import GlobalConf
from trust.ids import ClientId


@dataclass(slots=True)
class Evidence:
    """Signs, judges and logs for one node."""

    signers: Signers
    log: MessageLog
    clock: Callable[[], datetime]
    verdicts: VerdictCache

    def judge(self, received: ReceivedMessage, sender: ClientId, conf: GlobalConf) -> bytes:
        """Believe that `sender` signed every part received, or raise EvidenceRejected.

        The moment is now, also for a message that took long to arrive. Returns the signature
        value.
        """
        content = verify_content(received.signed)
        report = judge_signer(content, sender, conf, self.clock(), self.verdicts)
        try:
            report.require()
        except EvidenceRejected as error:
            raise error.within("signature_verification") from None
        if content.signature is None:
            raise EvidenceRejected("Signature is not valid", "signature_verification")
        return content.signature.value

    async def keep_sent(
        self,
        side: Side,
        request: RestRequestHead,
        *,
        response: bytes | None,
        files: SignatureFiles,
        body: SpooledBody | None,
        peer: str,
    ) -> None:
        """Make durable what we are about to send; raises LoggingFailed."""
        await self.log.append(self._record(side, request, response, files, body, peer, None))

    async def keep_request(
        self, request: RestRequestHead, received: ReceivedMessage, value: bytes, peer: str
    ) -> None:
        """Make durable, as provider, the request that we believe.

        Raises LoggingFailed, or ReplayDetected when this very request was received before.
        """
        files = _files(received)
        key = replay_key(value, received)
        await self.log.append(
            self._record(Side.PROVIDER, request, None, files, received.body, peer, key)
        )

    async def keep_response(
        self, request: RestRequestHead, received: ReceivedMessage, peer: str
    ) -> None:
        """Make durable, as consumer, the answer that we believe; raises LoggingFailed."""
        files = _files(received)
        await self.log.append(
            self._record(Side.CONSUMER, request, received.head, files, received.body, peer, None)
        )

    def _record(
        self,
        side: Side,
        request: RestRequestHead,
        response: bytes | None,
        files: SignatureFiles,
        body: SpooledBody | None,
        peer: str,
        replay: bytes | None,
    ) -> MessageRecord:
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
            body=None if body is None else LoggedBody.of(body),
            replay_key=replay,
        )


def _files(received: ReceivedMessage) -> SignatureFiles:
    return SignatureFiles(received.signature, received.hash_chain_result, received.hash_chain)


def replay_key(signature_value: bytes, received: ReceivedMessage) -> bytes:
    """What makes a signed request the same: signature value and message (decisions/0002)."""
    return hashlib.sha256(signature_value + sha512(received.head)).digest()
