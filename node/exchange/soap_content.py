"""A SOAP message in the form in which information systems exchange it.

What came in parts is put together again as it was: the envelope's bytes alone, or a package with
the boundary that the sender chose. Source: messages.md 3.6; X-Road 7.8 ProxyMessage.java.
"""

from collections.abc import AsyncIterator, Sequence

from node.exchange.attachments import Attachment, AttachmentHead
from node.exchange.received import ReceivedMessage
from node.messages import mediatype
from node.messages.mediatype import MediaType
from node.messages.multipart import MultipartWriter
from trust.errors import MalformedMessage


def soap_content(received: ReceivedMessage) -> tuple[str, int, AsyncIterator[bytes]]:
    """A message of another node in the form in which systems exchange it.

    Returns:
        Content type, length and the bytes.

    Raises:
        MalformedMessage: `invalid_content_type`, when there are attachments and no word of how
            they were packed.
    """
    original = received.original_content_type
    if original.isprintable() and _packed(original):
        boundary = MediaType.parse(original).boundary()
        length, pieces = package(boundary, received.head_type, received.head, received.attachments)
        return original, length, pieces
    if received.attachments:
        raise MalformedMessage(f"Invalid content type: {original[:80]!r}", "invalid_content_type")
    return mediatype.SOAP, len(received.head), _alone(received.head)


def _packed(content_type: str) -> bool:
    base = content_type.partition(";")[0].strip(" \t").lower()
    return base == mediatype.MULTIPART_RELATED


async def _alone(envelope: bytes) -> AsyncIterator[bytes]:
    yield envelope


def package(
    boundary: str, head: AttachmentHead, envelope: bytes, attachments: Sequence[Attachment]
) -> tuple[int, AsyncIterator[bytes]]:
    """A SOAP message with its attachments as information systems send and get it, and its length.

    Source: messages.md 3.6; X-Road 7.8 MultipartOutputStream.java, MultipartEncoder.java for the
    space that stands in a message without attachments alone.
    """
    writer = MultipartWriter(boundary, spaced=not attachments)
    first = writer.open_part(head.content_type, head.fields) + envelope
    opened = [writer.open_part(one.head.content_type, one.head.fields) for one in attachments]
    end = writer.close()
    size = len(first) + sum(map(len, opened)) + sum(one.body.size for one in attachments) + len(end)

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        for opening, attachment in zip(opened, attachments, strict=True):
            yield opening
            async for piece in attachment.body.pieces():
                yield piece
        yield end

    return size, pieces()
