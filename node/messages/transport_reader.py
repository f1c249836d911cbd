"""Reads a transport message from a stream: the multipart reader joined with the state machine.

Only what is bounded is held in memory; bodies and attachments pass through in pieces.

Source: transport.md 4.3, 6, 19 rows 8 to 14 and 27, 28, 55; X-Road 7.8 ProxyMessageDecoder.java.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.x509 import ocsp

from node.messages import mediatype
from node.messages.fault import MAX_FAULT_BYTES, parse_fault
from node.messages.mediatype import MediaType
from node.messages.multipart import (
    MessageEnd,
    MultipartEvent,
    MultipartLimits,
    MultipartReader,
    PartData,
    PartEnd,
    PartHead,
)
from node.messages.soap import parse_soap
from node.messages.transport import (
    KINDS,
    BodyChunk,
    BodyEnd,
    BodyStart,
    Direction,
    FaultPart,
    HashChainPart,
    HashChainResultPart,
    OcspPart,
    PartKind,
    RestPart,
    SignaturePart,
    SoapPart,
    State,
    TransportEvent,
    advance,
)
from trust.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """How much of a message may stand in memory, in bytes, and how many parts it may have.

    Honest messages stay far below: a REST head is a request line and headers, an OCSP response
    some kilobytes, a signature some tens of kilobytes.
    """

    rest_head: int = 256 * 1024
    soap: int = 4 * 1024 * 1024
    ocsp: int = 64 * 1024
    ocsp_count: int = 10
    hash_chain_result: int = 64 * 1024
    hash_chain: int = 1024 * 1024
    signature: int = 1024 * 1024
    attachments: int = 1000
    multipart: MultipartLimits = field(default=MultipartLimits(parts=32))


_Sink = Callable[[bytes, list[TransportEvent]], None]
_Finish = Callable[[list[TransportEvent]], None]


SOAP_LIMITS = TransportLimits()
# a REST exchange has no SOAP message, only faults
REST_LIMITS = TransportLimits(soap=MAX_FAULT_BYTES)


class TransportReader:
    """Reads one message that arrives in pieces; `feed` and `close` give events.

    Errors are MalformedMessage with the codes of X-Road's decoder; a node puts `service_failed`
    in front of those of `feed` and `close`, and nothing in front of those of `check_complete`.
    """

    def __init__(
        self, direction: Direction, content_type: str, limits: TransportLimits | None = None
    ) -> None:
        """Prepare for a message with the HTTP header `content_type`.

        A response may also be a bare fault (`text/xml`), whose event comes from `close`.
        """
        self._direction = direction
        self._limits = limits or TransportLimits()
        media_type = MediaType.parse(content_type)
        bare = media_type.base == mediatype.TEXT_XML and direction is Direction.RESPONSE
        if not bare and media_type.base != mediatype.MULTIPART_MIXED:
            raise MalformedMessage(
                f"Invalid content type: {media_type.base}", "invalid_content_type"
            )
        self._multipart = (
            None if bare else MultipartReader(media_type.boundary(), self._limits.multipart)
        )
        self._state = State.BEGUN
        self._message: State | None = None  # REST_READ or SOAP_READ once the message is there
        self._signed = False
        self._failed = False
        self._ocsp_count = 0
        self._attachments = 0
        self._held = bytearray()
        self._sink: _Sink = self._no_part
        self._finish: _Finish = self._no_finish

    def feed(self, data: bytes) -> list[TransportEvent]:
        """Take the next bytes of the HTTP body."""
        events: list[TransportEvent] = []
        if self._multipart is None:
            self._hold(data, self._limits.soap, "fault")
            return events
        for event in self._multipart.feed(data):
            self._take(event, events)
        return events

    def close(self) -> list[TransportEvent]:
        """Say that the HTTP body ended; refuses a message without its closing delimiter."""
        if self._multipart is not None:
            if self._multipart.begun:
                self._multipart.close()
            return []
        raw = bytes(self._held)
        fault = parse_fault(raw)
        if fault is None:
            parse_soap(raw, mediatype.TEXT_XML)  # what is wrong with it comes first
            # the reference has a typing error in this sentence, which programs may know
            raise MalformedMessage(
                "Expected fault message, but got reqular SOAP message", "invalid_message"
            )
        self._failed = True
        return [FaultPart(fault, raw)]

    def check_complete(self, *, rest: bool) -> None:
        """Check that message and signature came; a fault needs neither.

        Args:
            rest: whether the HTTP headers announced a REST message.

        Raises:
            MalformedMessage: `missing_rest`, `missing_soap` or `missing_signature`.
        """
        if self._failed:
            return
        side = self._direction.value
        verb = "does not have"
        if self._message is not (State.REST_READ if rest else State.SOAP_READ):
            word = "REST" if rest else "SOAP"
            raise MalformedMessage(f"{side} {verb} {word} message", f"missing_{word.lower()}")
        if not self._signed:
            raise MalformedMessage(f"{side} {verb} signature", "missing_signature")

    def _take(self, event: MultipartEvent, events: list[TransportEvent]) -> None:
        match event:
            case PartData(data):
                self._sink(data, events)
            case PartHead():
                self._begin(event, events)
            case PartEnd():
                self._finish(events)
            case MessageEnd():
                pass

    def _begin(self, head: PartHead, events: list[TransportEvent]) -> None:
        content_type = head.content_type()
        media_type = MediaType.parse(content_type)
        kind = KINDS.get(media_type.base, PartKind.OTHER)
        before = self._state
        self._state = advance(self._direction, before, kind, media_type.base)
        self._held = bytearray()
        limits = self._limits
        match kind:
            case PartKind.OCSP:
                self._collect(limits.ocsp, "OCSP response", self._end_ocsp)
            case PartKind.REST_REQUEST | PartKind.REST_RESPONSE:
                self._collect(limits.rest_head, "REST message", self._end_rest)
            case PartKind.XML | PartKind.XOP if before is State.BEGUN:
                fields = head.others()
                self._collect(
                    limits.soap,
                    "SOAP message",
                    lambda events: self._end_soap(content_type, fields, events),
                )
            case PartKind.XML:
                self._collect(limits.soap, "fault", self._end_fault)
            case PartKind.REST_BODY:
                events.append(BodyStart(self._next_name(), content_type, ()))
                self._sink = _body_chunk
                self._finish = _body_end
            case PartKind.ATTACHMENTS:
                self._begin_attachments(media_type)
            case PartKind.HASH_CHAIN_RESULT:
                self._collect(limits.hash_chain_result, "hash chain result", self._end_result)
            case PartKind.HASH_CHAIN:
                self._collect(limits.hash_chain, "hash chain", self._end_chain)
            case _:  # the table lets no other kind come so far
                self._collect(limits.signature, "signature", self._end_signature)

    def _begin_attachments(self, media_type: MediaType) -> None:
        """Attachments are a multipart message of their own inside the part's body."""
        limits = MultipartLimits(parts=self._limits.attachments)
        inner = MultipartReader(media_type.boundary(), limits)

        def sink(data: bytes, events: list[TransportEvent]) -> None:
            for event in inner.feed(data):
                self._take_attachment(event, events)

        def finish(_: list[TransportEvent]) -> None:
            inner.close()

        self._sink, self._finish = sink, finish

    def _take_attachment(self, event: MultipartEvent, events: list[TransportEvent]) -> None:
        match event:
            case PartData(data):
                events.append(BodyChunk(data))
            case PartHead():
                events.append(BodyStart(self._next_name(), event.content_type(), event.others()))
            case PartEnd():
                events.append(BodyEnd())
            case MessageEnd():
                pass

    def _next_name(self) -> str:
        self._attachments += 1
        return f"/attachment{self._attachments}"

    def _collect(self, limit: int, what: str, finish: _Finish) -> None:
        """Hold the part in memory up to `limit` bytes; `finish` makes its event of it."""
        self._sink = lambda data, _: self._hold(data, limit, what)
        self._finish = finish

    def _hold(self, data: bytes, limit: int, what: str) -> None:
        if len(self._held) + len(data) > limit:
            raise MalformedMessage(f"The {what} is larger than {limit} bytes", "invalid_message")
        self._held += data

    def _end_ocsp(self, events: list[TransportEvent]) -> None:
        self._ocsp_count += 1
        if self._ocsp_count > self._limits.ocsp_count:
            raise MalformedMessage(
                f"More than {self._limits.ocsp_count} OCSP responses", "invalid_message"
            )
        der = bytes(self._held)
        try:
            ocsp.load_der_ocsp_response(der)
        except ValueError as error:
            raise MalformedMessage("Malformed OCSP response", "io_error") from error
        events.append(OcspPart(der))

    def _end_rest(self, events: list[TransportEvent]) -> None:
        self._message = State.REST_READ
        events.append(RestPart(bytes(self._held)))

    def _end_soap(
        self,
        content_type: str,
        fields: tuple[tuple[str, str], ...],
        events: list[TransportEvent],
    ) -> None:
        raw = bytes(self._held)
        fault = parse_fault(raw)
        if fault is not None:
            self._failed = True
            events.append(FaultPart(fault, raw))
            return
        self._message = State.SOAP_READ
        events.append(SoapPart(raw, content_type, fields))

    def _end_fault(self, events: list[TransportEvent]) -> None:
        raw = bytes(self._held)
        fault = parse_fault(raw)
        if fault is None:
            raise MalformedMessage(
                "Received invalid content type instead of signature: text/xml",
                "invalid_content_type",
            )
        self._failed = True
        events.append(FaultPart(fault, raw))

    def _end_result(self, events: list[TransportEvent]) -> None:
        events.append(HashChainResultPart(bytes(self._held)))

    def _end_chain(self, events: list[TransportEvent]) -> None:
        events.append(HashChainPart(bytes(self._held)))

    def _end_signature(self, events: list[TransportEvent]) -> None:
        self._signed = True
        events.append(SignaturePart(bytes(self._held)))

    @staticmethod
    def _no_part(data: bytes, events: list[TransportEvent]) -> None:
        raise AssertionError("the multipart reader gives data only inside a part")

    @staticmethod
    def _no_finish(events: list[TransportEvent]) -> None:
        raise AssertionError("the multipart reader ends only a part that began")


def _body_chunk(data: bytes, events: list[TransportEvent]) -> None:
    events.append(BodyChunk(data))


def _body_end(events: list[TransportEvent]) -> None:
    events.append(BodyEnd())
