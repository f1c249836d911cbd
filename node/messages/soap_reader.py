"""Reads what an information system sends: a SOAP envelope, alone or in front of attachments.

The envelope is held in memory, within a bound; attachments pass through in pieces, and nothing in
them is decoded.

Source: messages.md 3.5, 3.6; X-Road 7.8 SoapMessageDecoder.java.
"""

from dataclasses import dataclass, field
from typing import Self

from node.messages.mediatype import MULTIPART_RELATED, TEXT_XML, XOP_XML, MediaType
from node.messages.multipart import (
    MessageEnd,
    MultipartEvent,
    MultipartLimits,
    MultipartReader,
    PartData,
    PartEnd,
    PartHead,
)
from node.messages.transport import BodyChunk, BodyEnd, BodyStart, SoapPart
from node.messages.transport_reader import TransportLimits
from trust.errors import MalformedMessage

SoapEvent = SoapPart | BodyStart | BodyChunk | BodyEnd

MAX_SOAP_BYTES = 4 * 1024 * 1024
MAX_ATTACHMENTS = 1000


@dataclass(frozen=True, slots=True)
class SoapLimits:
    """What a message may cost in memory: bytes of the envelope, and what belongs to its parts."""

    soap: int = MAX_SOAP_BYTES
    multipart: MultipartLimits = field(default=MultipartLimits(parts=MAX_ATTACHMENTS + 1))

    @classmethod
    def of(cls, limits: TransportLimits) -> Self:
        """The bounds of the message that another node gets of it."""
        return cls(limits.soap, MultipartLimits(parts=limits.attachments + 1))


class SoapReader:
    """Reads one message that arrives in pieces; `feed` and `close` give events.

    The first event is the envelope, unparsed; a message without one has no event at all. Errors
    are MalformedMessage with the codes of X-Road's decoder and no prefix.
    """

    def __init__(self, content_type: str, limits: SoapLimits | None = None) -> None:
        """Prepare for a message with the HTTP header `content_type`."""
        self._limits = limits or SoapLimits()
        self._held = bytearray()
        self._envelope: PartHead | None = None
        self._has_envelope = False
        self._attachments = 0
        media_type = MediaType.parse(content_type)
        self._content_type = content_type
        if media_type.base in (TEXT_XML, XOP_XML):
            self._multipart = None
        elif media_type.base == MULTIPART_RELATED:
            self._multipart = MultipartReader(media_type.boundary(), self._limits.multipart)
        else:
            raise MalformedMessage(
                f"Invalid content type: {media_type.base}", "invalid_content_type"
            )

    @property
    def packaged(self) -> bool:
        """Whether the message is multipart, so that attachments may follow."""
        return self._multipart is not None

    def feed(self, data: bytes) -> list[SoapEvent]:
        """Take the next bytes of the HTTP body."""
        events: list[SoapEvent] = []
        if self._multipart is None:
            self._hold(data)
            return events
        for event in self._multipart.feed(data):
            self._take(event, events)
        return events

    def close(self) -> list[SoapEvent]:
        """Say that the HTTP body ended; a multipart message has its closing delimiter."""
        if self._multipart is None:
            return [SoapPart(bytes(self._held), self._content_type, ())]
        if self._multipart.begun:
            self._multipart.close()
        return []

    def _take(self, event: MultipartEvent, events: list[SoapEvent]) -> None:
        match event:
            case PartHead() if not self._has_envelope:
                self._envelope = event
                event.content_type()
            case PartHead():
                self._attachments += 1
                name = f"/attachment{self._attachments}"
                events.append(BodyStart(name, event.content_type(), event.others()))
            case PartData(data) if not self._has_envelope:
                self._hold(data)
            case PartData(data):
                events.append(BodyChunk(data))
            case PartEnd() if self._envelope is not None and not self._has_envelope:
                head, raw = self._envelope, bytes(self._held)
                self._has_envelope = True
                self._held.clear()
                events.append(SoapPart(raw, head.content_type(), head.others()))
            case PartEnd():
                events.append(BodyEnd())
            case MessageEnd():
                pass

    def _hold(self, data: bytes) -> None:
        limit = self._limits.soap
        if len(self._held) + len(data) > limit:
            raise MalformedMessage(f"The SOAP message is larger than {limit} bytes", "invalid_soap")
        self._held += data
