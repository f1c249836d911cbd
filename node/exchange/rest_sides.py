"""The two sides of a REST exchange that this node's side began: what was asked, what came back.

Whoever asks, a system or the node itself, the answer is judged in the same way.
Source: messages.md 5; transport.md 9; X-Road 7.8 ClientRestMessageProcessor.java.
"""

from collections.abc import Sequence

from node.body import Section
from node.exchange.attachments import AttachmentHead
from node.exchange.received import ReceivedMessage
from node.log.uses import DataUse
from node.messages import mediatype
from node.messages.envelope import Headers, build_request_headers
from node.messages.exchange import check_answers
from node.messages.fault import Side
from node.messages.rest import RestRequestHead, RestResponseHead, request_hash
from node.messages.transport_reader import REST_LIMITS

_HEAD = AttachmentHead(mediatype.REST_REQUEST)


class RestSides:
    """Request and response of one exchange, as far as they are known."""

    rest = True
    side = Side.CONSUMER
    without_identity = "Security server has no authentication certificate"
    limits = REST_LIMITS
    head = _HEAD

    def __init__(self) -> None:
        self._request: RestRequestHead | None = None
        self._response: RestResponseHead | None = None

    @property
    def largest(self) -> int | None:
        """What a system asks for may be as large as the node takes."""
        return None

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

    def use(self, received: ReceivedMessage, peer: str) -> DataUse | None:
        """Nothing is known of what a system's own call is about."""
        return None

    @property
    def ids(self) -> tuple[str, str]:
        """Exchange id and message id; empty while the request has not been read."""
        request = self._request
        return ("", "") if request is None else (request.request_id, request.message_id)

    @property
    def _asked(self) -> RestRequestHead:
        if self._request is None:
            raise AssertionError("the request has not been read yet")
        return self._request

    @property
    def _answered(self) -> RestResponseHead:
        if self._response is None:
            raise AssertionError("the answer has not been read yet")
        return self._response
