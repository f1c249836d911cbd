"""A message on its way to another node: parts stream out, and the signature leaves last.

The order is the promise: head and body first, digested on the way; then the signature is made and
the log made to hold everything; only then the signature part is given out. Source: design.md 3.4.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from node.body import SpooledBody
from node.exchange.received import BODY_PART, MESSAGE_PART
from node.exchange.signer import SignatureFiles
from node.messages import mediatype
from node.messages.fault import FAULT_PART_CONTENT_TYPE
from node.messages.multipart import MultipartWriter, new_boundary
from trust.digests import sha512
from trust.evidence.hashchain import PartDigest

Sign = Callable[[Sequence[PartDigest]], SignatureFiles]
Log = Callable[[SignatureFiles, SpooledBody | None], Awaitable[None]]


@dataclass(slots=True)
class OutgoingMessage:
    """One message to another node.

    Attributes:
        head_type: media type of the head, REST request or response.
        body: the body's pieces, or None when there is no body part at all.
        kept: where the body is kept for the log while it streams by.
        sign: makes the signature over the parts.
        log: makes everything durable; the signature leaves after it returned.
        complete: whether the whole message was signed, logged and given out.
    """

    head_type: str
    head: bytes
    body: AsyncIterator[bytes] | None
    kept: SpooledBody | None
    sign: Sign
    log: Log
    ocsp_responses: Sequence[bytes] = ()
    boundary: str = field(default_factory=new_boundary)
    complete: bool = field(default=False, init=False)

    @property
    def content_type(self) -> str:
        return f"{mediatype.MULTIPART_MIXED}; charset=UTF-8; boundary={self.boundary}"

    async def pieces(self) -> AsyncIterator[bytes]:
        """The multipart message; errors of signing and logging pass through before its end."""
        writer = MultipartWriter(self.boundary)
        front = bytearray()
        for response in self.ocsp_responses:
            front += writer.open_part(mediatype.OCSP_RESPONSE) + response
        front += writer.open_part(self.head_type) + self.head
        parts = [PartDigest(MESSAGE_PART, sha512(self.head))]
        if self.body is not None and self.kept is not None:
            front += writer.open_part(mediatype.REST_BODY)
            yield bytes(front)
            front.clear()
            async for piece in self.body:
                self.kept.write(piece)
                yield piece
            parts.append(PartDigest(BODY_PART, self.kept.digest))
        files = self.sign(parts)
        await self.log(files, self.kept if self.body is not None else None)
        if files.hash_chain_result is not None and files.hash_chain is not None:
            front += writer.open_part(mediatype.HASH_CHAIN_RESULT) + files.hash_chain_result
            front += writer.open_part(mediatype.HASH_CHAIN) + files.hash_chain
        front += writer.open_part(mediatype.SIGNATURE) + files.signature + writer.close()
        self.complete = True
        yield bytes(front)


def fault_in_place_of_signature(boundary: str, fault_xml: bytes) -> bytes:
    """The end of a message that failed after its first part: a fault where a signature should be.

    The fault is a part of its own, so it begins with the line end that closes the part before.
    """
    writer = MultipartWriter(boundary)
    opened = b"\r\n" + writer.open_part(FAULT_PART_CONTENT_TYPE)
    return opened + fault_xml + writer.close()
