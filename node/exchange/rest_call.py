"""What is REST about a call by one of the institution's own systems.

Source: messages.md 5; transport.md 9; X-Road 7.8 ClientRestMessageProcessor.java.
"""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

from aiohttp import web

from node.exchange.account import Account
from node.exchange.attachments import AttachmentStream, rest_body
from node.exchange.faults import Failure, tell_system
from node.exchange.received import ReceivedMessage
from node.exchange.respond import origin_target, request_pieces, respond
from node.exchange.rest_sides import RestSides
from node.messages.rest import DROPPED_HEADERS, RestRequestHead


class RestCall(RestSides):
    """One request under `/r1/`."""

    def __init__(self, request: web.BaseRequest, patience: timedelta) -> None:
        super().__init__()
        self._http = request
        self._patience = patience

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

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        response = self._answered
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
