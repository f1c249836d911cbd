"""A SOAP message in the form in which information systems exchange it.

What came in parts is put together again as it was: the envelope's bytes alone, or a package with
the boundary that the sender chose. Nothing signs that boundary, the other parameters beside it and
the fields of the parts, so a package is refused in which its reader could take for the envelope
what was not judged as one. Source: messages.md 3.6; X-Road 7.8 ProxyMessage.java.
"""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import unquote

from node.exchange.attachments import Attachment, AttachmentHead
from node.exchange.received import ReceivedMessage
from node.messages import mediatype
from node.messages.mediatype import MediaType
from node.messages.multipart import MultipartWriter
from trust.errors import MalformedMessage

_UNFIT = "invalid_content_type"
_ENCODING = "content-transfer-encoding"
_AS_IT_STANDS = ("", "7bit", "8bit", "binary")
_OF_PACKAGES = frozenset({"boundary", "start"})


def soap_content(received: ReceivedMessage) -> tuple[str, int, AsyncIterator[bytes]]:
    """A message of another node in the form in which systems exchange it.

    Returns:
        Content type, length and the bytes.

    Raises:
        MalformedMessage: `invalid_content_type`, when there are attachments and no word of how
            they were packed, or when readers may differ about the envelope; of the pieces, when
            one holds a delimiter.
    """
    original = received.original_content_type
    if original.isprintable() and _packed(original):
        media_type = MediaType.parse(original)
        boundary = media_type.boundary()
        _check_root(media_type, received)
        length, pieces = package(boundary, received.head_type, received.head, received.attachments)
        return original, length, pieces
    if received.attachments:
        raise MalformedMessage(f"Invalid content type: {original[:80]!r}", "invalid_content_type")
    return mediatype.SOAP, len(received.head), _alone(received.head)


class _Seam:
    """Looks for a delimiter in a part that passes: at the beginning of a line, whatever follows."""

    def __init__(self, boundary: str) -> None:
        self._wanted = tuple(mark + b"--" + boundary.encode("ascii") for mark in (b"\n", b"\r"))
        self._tail = b"\n"  # a part begins with a line

    def check(self, piece: bytes) -> None:
        """Look at the next bytes; raises MalformedMessage (`mime_parsing_failed`)."""
        held = self._tail + piece
        if any(wanted in held for wanted in self._wanted):
            raise MalformedMessage("A part holds a delimiter of its package", "mime_parsing_failed")
        self._tail = held[-len(self._wanted[0]) :]


def _packed(content_type: str) -> bool:
    base = content_type.partition(";")[0].strip(" \t").lower()
    return base == mediatype.MULTIPART_RELATED


def _check_root(media_type: MediaType, received: ReceivedMessage) -> None:
    """Whether the first part, as it stands, is the envelope to every reader (RFC 2387 3.2)."""
    if media_type.ambiguous & _OF_PACKAGES:
        raise MalformedMessage("The content type of the package is ambiguous", _UNFIT)
    encodings = [value for name, value in received.head_type.fields if name.lower() == _ENCODING]
    if any(value.strip().lower() not in _AS_IT_STANDS for value in encodings):
        raise MalformedMessage("The SOAP part is encoded for transfer", _UNFIT)
    start = _content_id(media_type.parameters.get("start", ""))
    if start and start in {
        _content_id(value)
        for one in received.attachments
        for name, value in one.head.fields
        if name.lower() == "content-id"
    }:
        raise MalformedMessage("The package starts with another part than the SOAP part", _UNFIT)


def _content_id(text: str) -> str:
    """An identifier in the form in which the most forgiving reader compares it."""
    return unquote(text).strip('<> \t"').lower()


async def _alone(envelope: bytes) -> AsyncIterator[bytes]:
    yield envelope


def package(
    boundary: str, head: AttachmentHead, envelope: bytes, attachments: Sequence[Attachment]
) -> tuple[int, AsyncIterator[bytes]]:
    """A SOAP message with its attachments as information systems send and get it, and its length.

    Raises MalformedMessage (`mime_parsing_failed`), and its pieces do, for a delimiter inside a
    part: it would end there for the reader, and another one begin.

    Source: messages.md 3.6; X-Road 7.8 MultipartOutputStream.java, MultipartEncoder.java for the
    space that stands in a message without attachments alone.
    """
    _Seam(boundary).check(envelope)
    writer = MultipartWriter(boundary, spaced=not attachments)
    first = writer.open_part(head.content_type, head.fields) + envelope
    opened = [writer.open_part(one.head.content_type, one.head.fields) for one in attachments]
    end = writer.close()
    size = len(first) + sum(map(len, opened)) + sum(one.body.size for one in attachments) + len(end)

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        for opening, attachment in zip(opened, attachments, strict=True):
            yield opening
            seam = _Seam(boundary)
            async for piece in attachment.body.pieces():
                seam.check(piece)
                yield piece
        yield end

    return size, pieces()
