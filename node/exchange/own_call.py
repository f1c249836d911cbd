"""A REST call by the node itself, in the name of the member that owns it.

It is signed, sent, verified and logged like the call of any information system, which it differs
from in three ways: nobody connected to make it, so nobody is authenticated; the owner needs no
entry among the hosted clients; and the answer goes to whoever called `Consumer.ask`.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from node.body import Section
from node.exchange.account import Account
from node.exchange.attachments import AttachmentHead, AttachmentStream, rest_body
from node.exchange.faults import Failure
from node.exchange.received import ReceivedMessage
from node.messages import mediatype
from node.messages.envelope import Headers, build_request_headers
from node.messages.exchange import check_answers
from node.messages.fault import Side
from node.messages.rest import (
    CLIENT,
    SECURITY_SERVER,
    RestRequestHead,
    RestResponseHead,
    request_hash,
)
from node.messages.transport_reader import REST_LIMITS
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId

_HEAD = AttachmentHead(mediatype.REST_REQUEST)


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """What the node asks.

    Attributes:
        client: the member that owns this node.
        server: the node that is to answer, should the provider have several; None for any.
        rest: what follows the service code: path and query, percent-encoded.
        headers: further ones, which are signed as well.
        largest: bytes of an answer's body that are read.
    """

    client: ClientId
    service: ServiceId
    server: ServerId | None = None
    method: str = "GET"
    rest: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    largest: int = 1 << 20


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What came back, verified and in the log; any status."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    exchange_id: str


class OwnCall:
    """One request of the node itself, for `Consumer` to carry."""

    rest = True
    side = Side.CONSUMER
    without_identity = "Security server has no authentication certificate"
    limits = REST_LIMITS
    head = _HEAD

    def __init__(self, request: OwnRequest) -> None:
        self.answer: OwnAnswer | None = None
        self.failure: Failure | None = None
        self._own = request
        self._request: RestRequestHead | None = None
        self._response: RestResponseHead | None = None

    def check_method(self) -> None:
        """Any method is taken; `read` knows those that there are."""

    async def read(self, instance: str, account: Account) -> RestRequestHead:
        own = self._own
        headers = [(CLIENT, own.client.path), *own.headers]
        if own.server is not None:
            headers.append((SECURITY_SERVER, own.server.path))
        self._request = head = RestRequestHead.from_http(
            own.method,
            f"/r1/{own.service.path}{own.rest}",
            [(name.encode(), value.encode()) for name, value in headers],
            request_id=str(uuid.uuid4()),
            instance=instance,
            message_id=str(uuid.uuid4()),
        )
        account.rest_method = head.method
        return head

    async def attachments(self) -> AttachmentStream | None:
        return rest_body(_whole(self._own.body)) if self._own.body else None

    def envelope(self, content_type: str) -> Headers:
        head = self._asked
        return build_request_headers(content_type, head.request_id, head.content_type)

    def read_answer(self, received: ReceivedMessage) -> None:
        self._response = RestResponseHead.parse(received.head)

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        head = self._asked
        hashed = request_hash(head.raw, bodies[0].digest if bodies else None)
        check_answers(head, self._answered, hashed)
        if received.payload_size > self._own.largest:
            raise MalformedMessage(
                f"The answer has {received.payload_size} bytes, more than {self._own.largest}",
                "invalid_message",
            )

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        response = self._answered
        account.status = response.status
        body = received.attachments[0].body if received.attachments else None
        data = b"" if body is None else body.read_at(0, body.size)
        self.answer = OwnAnswer(response.status, response.headers, data, self._asked.request_id)
        return web.Response()  # to nobody

    async def tell_failure(self, failure: Failure) -> web.StreamResponse:
        self.failure = failure
        return web.Response()

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


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
