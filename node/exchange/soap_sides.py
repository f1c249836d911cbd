"""The two sides of a SOAP exchange that this node's side began: what was asked, what came back.

Whoever asks, a system or the node itself, the answer is judged in the same way.
Source: messages.md 3; transport.md 5, 8; X-Road 7.8 ClientMessageProcessor.java.
"""

from collections.abc import AsyncIterator, Sequence

from node.body import Section
from node.exchange.attachments import AttachmentHead
from node.exchange.received import ReceivedMessage
from node.exchange.request import SoapRequest
from node.exchange.sides import Sides
from node.exchange.soap_content import soap_content
from node.messages.envelope import Headers, build_request_headers
from node.messages.exchange import check_soap_answers
from node.messages.soap import SoapFaultMessage, SoapMessage, parse_soap
from node.messages.transport import SoapPart
from node.messages.transport_reader import SOAP_LIMITS, TransportLimits
from trust.digests import sha512
from trust.errors import MalformedMessage


class SoapSides(Sides[SoapRequest]):
    """Request and response of one exchange, as far as they are known."""

    rest = False
    without_identity = "Security server has no valid authentication certificate"

    def __init__(self, limits: TransportLimits = SOAP_LIMITS) -> None:
        self.limits = limits
        self._content_type: str | None = None
        self._soap_action = ""
        self._part: SoapPart | None = None
        self._response: SoapMessage | None = None
        self._content: tuple[str, int, AsyncIterator[bytes]] | None = None

    @property
    def head(self) -> AttachmentHead:
        if self._part is None:
            raise AssertionError("the request has not been read yet")
        return AttachmentHead(self._part.content_type, self._part.fields)

    def envelope(self, content_type: str) -> Headers:
        return build_request_headers(
            content_type,
            self._asked.request_id,
            self._content_type or "",
            soap_action=self._soap_action,
        )

    def read_answer(self, received: ReceivedMessage) -> None:
        message = parse_soap(received.head, received.head_type.content_type)
        if isinstance(message, SoapFaultMessage):
            raise AssertionError("a fault is a part of its own kind")
        self._response = message

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        if self._response is None:
            raise AssertionError("the answer has not been read yet")
        request = self._asked.message
        check_soap_answers(request, self._response, sha512(request.raw))
        try:
            self._content = soap_content(received)
        except MalformedMessage as error:
            raise error.within("service_failed") from error.__cause__
