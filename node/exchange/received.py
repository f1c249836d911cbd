"""A message of another node as it arrives: well-formed, in bounded memory, not yet believed."""

from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from node.body import SpooledBody
from node.exchange.attachments import (
    MESSAGE_PART,
    Attachment,
    AttachmentHead,
    attachment_digests,
)
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

_NO_TYPE = AttachmentHead("")


@dataclass(slots=True)
class ReceivedMessage:
    """What a node sent: the parts as they stand on the wire.

    Attributes:
        rest: whether a REST message is expected, not a SOAP message.
        head: the REST head or the SOAP envelope; empty when a fault came instead.
        head_type: content type and other fields of the SOAP part.
        attachments: of a SOAP message; the body of a REST message is the only one.
        fault: what the peer reports instead of a message, or in place of the signature.
        original_content_type: what a system called its SOAP message, as the other node says in an
            HTTP header that nothing signs.
        stray: whether a message of the other protocol came.
    """

    rest: bool
    head: bytes = b""
    head_type: AttachmentHead = _NO_TYPE
    attachments: list[Attachment] = field(default_factory=list)
    hash_chain_result: bytes | None = None
    hash_chain: bytes | None = None
    signature: bytes = b""
    ocsp_responses: list[bytes] = field(default_factory=list)
    fault: FaultPart | None = None
    original_content_type: str = ""
    stray: bool = False
    _store: SpooledBody | None = None
    _arriving: AttachmentHead | None = None

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
        """Give back what the attachments take; they can't be read any more."""
        if self._store is not None:
            self._store.close()

    @property
    def payload_size(self) -> int:
        """Bytes of all attachments."""
        return 0 if self._store is None else self._store.size

    @property
    def parts(self) -> Mapping[str, PartDigest]:
        """The digests of every part that the signature must cover."""
        message = PartDigest(MESSAGE_PART, sha512(self.head))
        others = attachment_digests(one.body for one in self.attachments)
        return {part.name: part for part in (message, *others)}

    @property
    def signed(self) -> SignedMessage:
        return SignedMessage(
            signature=self.signature,
            parts=self.parts,
            hash_chain_result=self.hash_chain_result,
            hash_chain=self.hash_chain,
        )

    def begin(self, start: BodyStart, new_store: Callable[[], SpooledBody]) -> None:
        """Make room for an attachment; all of them share it."""
        if self._store is None:
            self._store = new_store()
        self._arriving = AttachmentHead(start.content_type, start.fields)

    def add(self, data: bytes) -> None:
        """Take the next bytes of the attachment that arrives; those of a stray one are dropped."""
        if self._store is not None:
            self._store.write(data)

    def end(self) -> None:
        """The attachment that arrives is complete."""
        if self._store is not None and self._arriving is not None:
            self.attachments.append(Attachment(self._arriving, self._store.cut()))


async def receive(
    source: AsyncIterable[bytes],
    reader: TransportReader,
    new_store: Callable[[], SpooledBody],
    judge_head: Callable[[ReceivedMessage], None],
    *,
    rest: bool = True,
    original_content_type: str = "",
) -> ReceivedMessage:
    """Read a whole message; a fault or a message of the other protocol ends it early.

    Args:
        new_store: where the attachments go; called before the first one.
        judge_head: called once when the head is there, before anything behind it is kept; may
            raise.

    Raises:
        ExchangeError: of the reader, of `judge_head`, or of the store; nothing stays open.
    """
    message = ReceivedMessage(rest, original_content_type=original_content_type)
    try:
        async for piece in source:
            for event in reader.feed(piece):
                _take(message, event, new_store, judge_head)
            if message.fault is not None or message.stray:
                return message
        for event in reader.close():
            _take(message, event, new_store, judge_head)
    except BaseException:
        message.close()
        raise
    return message


def _take(
    message: ReceivedMessage,
    event: TransportEvent,
    new_store: Callable[[], SpooledBody],
    judge_head: Callable[[ReceivedMessage], None],
) -> None:
    match event:
        case BodyChunk(data):
            message.add(data)
        case OcspPart(der):
            message.ocsp_responses.append(der)
        case RestPart(raw) if message.rest:
            message.head = raw
            judge_head(message)
        case SoapPart(raw, content_type, fields) if not message.rest:
            message.head = raw
            message.head_type = AttachmentHead(content_type, fields)
            judge_head(message)
        case RestPart() | SoapPart():
            message.stray = True
        case BodyStart() if not message.stray:
            message.begin(event, new_store)
        case BodyStart():
            pass
        case BodyEnd():
            message.end()
        case HashChainResultPart(raw):
            message.hash_chain_result = raw
        case HashChainPart(raw):
            message.hash_chain = raw
        case SignaturePart(raw):
            message.signature = raw
        case FaultPart():
            message.fault = event
