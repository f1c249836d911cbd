"""A SOAP message of an information system while it arrives.

The envelope comes first, whole and bounded, then the attachments as they arrive.
"""

from collections import deque
from collections.abc import AsyncIterator

from node.exchange.attachments import AttachmentHead, AttachmentStream
from node.messages.soap_reader import SoapEvent, SoapReader
from node.messages.transport import BodyChunk, BodyStart, SoapPart


class SoapStream:
    """Joins a reader with the pieces that it reads."""

    def __init__(self, reader: SoapReader, source: AsyncIterator[bytes]) -> None:
        self._reader = reader
        self._source = source
        self._events: deque[SoapEvent] = deque()
        self._ended = False

    @property
    def packaged(self) -> bool:
        """Whether attachments may follow."""
        return self._reader.packaged

    async def envelope(self) -> SoapPart | None:
        """The envelope, once; None for a package of nothing. Raises what reader and source do."""
        event = await self._next()
        if event is not None and not isinstance(event, SoapPart):
            raise AssertionError("the envelope is the first event")
        return event

    async def attachments(self) -> AttachmentStream:
        """What follows the envelope; raises what reader and source do."""
        while (event := await self._next()) is not None:
            if isinstance(event, BodyChunk):
                yield event.data
            elif isinstance(event, BodyStart):
                yield AttachmentHead(event.content_type, event.fields)

    async def _next(self) -> SoapEvent | None:
        while not self._events and not self._ended:
            piece = await anext(self._source, b"")
            if piece:
                self._events += self._reader.feed(piece)
            else:
                self._ended = True
                self._events += self._reader.close()
        return self._events.popleft() if self._events else None
