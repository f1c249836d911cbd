"""The two sides of a REST exchange that this node's side began: what was asked, what came back.

Whoever asks, a system or the node itself, the answer is judged in the same way.
Source: messages.md 5; transport.md 9; X-Road 7.8 ClientRestMessageProcessor.java.
"""

from collections.abc import Sequence

from node.body import Section
from node.exchange.attachments import AttachmentHead
from node.exchange.received import ReceivedMessage
from node.exchange.sides import Sides
from node.messages import mediatype
from node.messages.envelope import Headers, build_request_headers
from node.messages.exchange import check_answers
from node.messages.rest import RestRequestHead, RestResponseHead, request_hash
from node.messages.transport_reader import REST_LIMITS

_HEAD = AttachmentHead(mediatype.REST_REQUEST)


class RestSides(Sides[RestRequestHead]):
    """Request and response of one exchange, as far as they are known."""

    rest = True
    without_identity = "Security server has no authentication certificate"
    limits = REST_LIMITS
    head = _HEAD

    def __init__(self) -> None:
        self._response: RestResponseHead | None = None

    def check_method(self) -> None:
        """Any method is taken; reading the request knows those that there are."""

    def envelope(self, content_type: str) -> Headers:
        head = self._asked
        return build_request_headers(content_type, head.request_id, head.content_type)

    def read_answer(self, received: ReceivedMessage) -> None:
        self._response = RestResponseHead.parse(received.head)

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        head = self._asked
        hashed = request_hash(head.raw, bodies[0].digest if bodies else None)
        check_answers(head, self._answered, hashed)

    @property
    def _answered(self) -> RestResponseHead:
        if self._response is None:
            raise AssertionError("the answer has not been read yet")
        return self._response
