"""A message on its way to another node: parts stream out, and the signature leaves last.

The order is the promise: message and attachments first, digested on the way; then the signature is
made and the log made to hold everything; only then the signature part is given out.
Source: design.md 3.4; transport.md 4.1, 5, 6.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from node.body import Section, SpooledBody
from node.exchange.attachments import (
    MESSAGE_PART,
    AttachmentHead,
    AttachmentStream,
    attachment_digests,
)
from node.exchange.signer import SignatureFiles
from node.messages import mediatype
from node.messages.fault import FAULT_PART_CONTENT_TYPE
from node.messages.multipart import (
    ATTACHMENTS_PREFIX,
    BOUNDARY_PREFIX,
    MultipartWriter,
    new_boundary,
)
from trust.digests import sha512
from trust.evidence.hashchain import PartDigest

Sign = Callable[[Sequence[PartDigest]], Awaitable[SignatureFiles]]
Log = Callable[[SignatureFiles, Sequence[Section]], Awaitable[None]]


@dataclass(slots=True)
class OutgoingMessage:
    """One message to another node.

    Attributes:
        head: content type and other fields of the message part.
        message: the REST head or the SOAP envelope.
        attachments: the attachments as they come, or None when there are none; the body of a REST
            message is the only one.
        store: keeps them for the log while they stream by; None without attachments.
        nested: whether attachments go into a multipart of their own, as those of SOAP do.
        hold: bytes that stay here until all is logged; what is longer begins to leave before.
        sign: makes the signature over the parts, as soon as the key is free.
        log: makes everything durable; the signature leaves after it returned.
        complete: whether the whole message was signed, logged and given out.
    """

    head: AttachmentHead
    message: bytes
    attachments: AttachmentStream | None
    store: SpooledBody | None
    sign: Sign
    log: Log
    nested: bool = False
    hold: int = 0
    ocsp_responses: Sequence[bytes] = ()
    boundary: str = field(default_factory=new_boundary)
    bodies: list[Section] = field(default_factory=list, init=False)
    complete: bool = field(default=False, init=False)
    _writer: MultipartWriter = field(init=False)
    _inner: MultipartWriter | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._writer = MultipartWriter(self.boundary)

    @property
    def content_type(self) -> str:
        return mediatype.mixed(self.boundary)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The multipart message; errors of signing and logging pass through before its end."""
        writer = self._writer
        front = bytearray()
        for response in self.ocsp_responses:
            front += writer.open_part(mediatype.OCSP_RESPONSE) + response
        front += writer.open_part(self.head.content_type, self.head.fields) + self.message
        held = self.hold > 0
        async for piece in self._payload():
            held = held and len(front) + len(piece) <= self.hold
            if held:
                front += piece
                continue
            yield bytes(front) + piece if front else piece
            front.clear()
        parts = [PartDigest(MESSAGE_PART, sha512(self.message)), *attachment_digests(self.bodies)]
        files = await self.sign(parts)
        await self.log(files, self.bodies)
        if files.hash_chain_result is not None and files.hash_chain is not None:
            front += writer.open_part(mediatype.HASH_CHAIN_RESULT) + files.hash_chain_result
            front += writer.open_part(mediatype.HASH_CHAIN) + files.hash_chain
        front += writer.open_part(mediatype.SIGNATURE) + files.signature + writer.close()
        self.complete = True
        yield bytes(front)

    async def _payload(self) -> AsyncIterator[bytes]:
        """The attachments, each behind its head; what passes is kept and digested."""
        store = self.store
        if self.attachments is None or store is None:
            return
        begun = False
        async for piece in self.attachments:
            if isinstance(piece, bytes):
                store.write(piece)
                yield piece
                continue
            if begun:
                self.bodies.append(store.cut())
            begun = True
            yield self._open_attachment(piece)
        if begun:
            self.bodies.append(store.cut())
        if self._inner is not None:  # closed before anything can fail that is no attachment
            yield self._close_attachments()

    def _open_attachment(self, head: AttachmentHead) -> bytes:
        if not self.nested:
            return self._writer.open_part(head.content_type, head.fields)
        opening = b""
        if self._inner is None:
            boundary = ATTACHMENTS_PREFIX + self.boundary.removeprefix(BOUNDARY_PREFIX)
            self._inner = MultipartWriter(boundary)
            opening = self._writer.open_part(mediatype.mixed(boundary)) + b"\r\n"
        return opening + self._inner.open_part(head.content_type, head.fields)

    def _close_attachments(self) -> bytes:
        inner, self._inner = self._inner, None
        return b"" if inner is None else inner.close()

    def fault_in_place_of_signature(self, fault_xml: bytes) -> bytes:
        """The end of a message that failed after its first part had left.

        The fault is a part of its own, so it begins with the line end that closes the part before.
        """
        opened = self._close_attachments() + self._writer.open_part(FAULT_PART_CONTENT_TYPE)
        return opened + fault_xml + self._writer.close()
