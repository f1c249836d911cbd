"""What is REST about a call by one of the institution's own systems.

Source: messages.md 5; transport.md 9; X-Road 7.8 ClientRestMessageProcessor.java.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from aiohttp import web

from node.body import Section
from node.exchange.account import Account
from node.exchange.attachments import AttachmentHead, AttachmentStream, rest_body
from node.exchange.faults import Failure, tell_system
from node.exchange.received import ReceivedMessage
from node.exchange.respond import origin_target, request_pieces, respond
from node.messages import mediatype
from node.messages.envelope import Headers, build_request_headers
from node.messages.exchange import check_answers
from node.messages.fault import Side
from node.messages.rest import DROPPED_HEADERS, RestRequestHead, RestResponseHead, request_hash
from node.messages.transport_reader import REST_LIMITS

_HEAD = AttachmentHead(mediatype.REST_REQUEST)


class RestCall:
    """One request under `/r1/`."""

    rest = True
    side = Side.CONSUMER
    without_identity = "Security server has no authentication certificate"
    limits = REST_LIMITS
    head = _HEAD

    def __init__(self, request: web.BaseRequest, patience: timedelta) -> None:
        self._http = request
        self._patience = patience
        self._request: RestRequestHead | None = None
        self._response: RestResponseHead | None = None

    def check_method(self) -> None:
        """Any method is taken; `read` knows those that there are."""

    async def read(self, instance: str, account: Account) -> RestRequestHead:
        self._request = head = RestRequestHead.from_http(
            self._http.method,
            origin_target(self._http),
            self._http.raw_headers,
            request_id=str(uuid.uuid4()),
            instance=instance,
            message_id=str(uuid.uuid4()),
        )
        account.rest_method = head.method
        return head

    async def attachments(self) -> AttachmentStream | None:
        """The body; None when it has not a single byte."""
        pieces = request_pieces(self._http, self._patience)
        try:
            first = await anext(pieces)
        except StopAsyncIteration:
            return None

        async def all_of_it() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        return rest_body(all_of_it())

    def envelope(self, content_type: str) -> Headers:
        head = self._asked
        return build_request_headers(content_type, head.request_id, head.content_type)

    def read_answer(self, received: ReceivedMessage) -> None:
        self._response = RestResponseHead.parse(received.head)

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        head = self._asked
        hashed = request_hash(head.raw, bodies[0].digest if bodies else None)
        check_answers(head, self._answer, hashed)

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        response = self._answer
        account.status = response.status
        headers = [item for item in response.headers if item[0].lower() not in DROPPED_HEADERS]
        body = received.attachments[0].body if received.attachments else None
        return await respond(
            self._http,
            response.status,
            headers,
            None if body is None else body.pieces(),
            received.payload_size,
        )

    async def tell_failure(self, failure: Failure) -> web.StreamResponse:
        return await tell_system(self._http, failure)

    @property
    def _asked(self) -> RestRequestHead:
        if self._request is None:
            raise AssertionError("the request has not been read yet")
        return self._request

    @property
    def _answer(self) -> RestResponseHead:
        if self._response is None:
            raise AssertionError("the answer has not been read yet")
        return self._response
