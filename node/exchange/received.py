"""A message of another node as it arrives: well-formed, in bounded memory, not yet believed."""

from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from node.body import SpooledBody
from node.messages.fault import Fault
from node.messages.transport import (
    BodyChunk,
    BodyEnd,
    BodyStart,
    FaultPart,
    HashChainPart,
    HashChainResultPart,
    OcspPart,
    RestPart,
    SignaturePart,
    SoapPart,
    TransportEvent,
)
from node.messages.transport_reader import TransportReader
from trust.digests import sha512
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import SignedMessage

MESSAGE_PART = "/message.xml"
BODY_PART = "/attachment1"


@dataclass(slots=True)
class ReceivedMessage:
    """What a node sent: the parts as they stand on the wire.

    Attributes:
        head: the REST request or response head; empty when a fault came instead.
        body: the REST body, or None without one; the receiver of this value closes it.
        fault: what the peer reports instead of a message, or in place of the signature.
        soap: whether a SOAP message came where a REST message was announced.
    """

    head: bytes = b""
    body: SpooledBody | None = None
    hash_chain_result: bytes | None = None
    hash_chain: bytes | None = None
    signature: bytes = b""
    ocsp_responses: list[bytes] = field(default_factory=list)
    fault: Fault | None = None
    soap: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self.body is not None:
            self.body.close()

    @property
    def parts(self) -> Mapping[str, PartDigest]:
        """The digests of every part that the signature must cover."""
        found = {MESSAGE_PART: PartDigest(MESSAGE_PART, sha512(self.head))}
        if self.body is not None:
            found[BODY_PART] = PartDigest(BODY_PART, self.body.digest)
        return found

    @property
    def signed(self) -> SignedMessage:
        return SignedMessage(
            signature=self.signature,
            parts=self.parts,
            hash_chain_result=self.hash_chain_result,
            hash_chain=self.hash_chain,
        )


async def receive(
    source: AsyncIterable[bytes],
    reader: TransportReader,
    new_body: Callable[[], SpooledBody],
    judge_head: Callable[[ReceivedMessage], None],
) -> ReceivedMessage:
    """Read a whole message; a fault or a SOAP message ends it early.

    Args:
        new_body: where a body goes.
        judge_head: called once when the head is there, before any of the body is kept; may raise.

    Raises:
        ExchangeError: of the reader, of `judge_head`, or of the body; nothing stays open.
    """
    message = ReceivedMessage()
    try:
        async for piece in source:
            for event in reader.feed(piece):
                _take(message, event, new_body, judge_head)
            if message.fault is not None or message.soap:
                return message
        for event in reader.close():
            _take(message, event, new_body, judge_head)
    except BaseException:
        message.close()
        raise
    return message


def _take(
    message: ReceivedMessage,
    event: TransportEvent,
    new_body: Callable[[], SpooledBody],
    judge_head: Callable[[ReceivedMessage], None],
) -> None:
    match event:
        case BodyChunk(data):
            if message.body is not None:
                message.body.write(data)
        case OcspPart(der):
            message.ocsp_responses.append(der)
        case RestPart(raw):
            message.head = raw
            judge_head(message)
        case BodyStart() if not message.soap:
            message.body = new_body()
        case BodyStart() | BodyEnd():
            pass
        case HashChainResultPart(raw):
            message.hash_chain_result = raw
        case HashChainPart(raw):
            message.hash_chain = raw
        case SignaturePart(raw):
            message.signature = raw
        case FaultPart(fault):
            message.fault = fault
        case SoapPart():
            message.soap = True
