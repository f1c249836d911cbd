"""A REST call by the node itself: in its owner's name, or for a client that it knows.

It is signed, sent, verified and logged like the call of any information system, which it differs
from in two ways: nobody connected to make it, so nobody is authenticated here, and the answer goes
to whoever called `Consumer.ask` or `Consumer.ask_for`.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from node.body import Section
from node.exchange.account import Account
from node.exchange.attachments import AttachmentStream, rest_body
from node.exchange.faults import Failure
from node.exchange.received import ReceivedMessage
from node.exchange.rest_sides import RestSides
from node.log.uses import DataUse
from node.messages.rest import CLIENT, SECURITY_SERVER, RestRequestHead
from trust.errors import MalformedMessage, PeerFault
from trust.ids import ClientId, ServerId, ServiceId


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """What the node asks.

    Attributes:
        client: in whose name.
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
    """What came back, verified; any status. In the log once `Consumer` hands it out.

    Attributes:
        status: of the provider's system; 200 of a SOAP answer.
        headers: of a REST answer.
        body: of a REST answer; of a SOAP answer its envelope.
        message_id: the consumer's own id, by which the exchange is found beside `exchange_id`.
        peer: the other server.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    exchange_id: str
    message_id: str = ""
    peer: str = ""


UseOf = Callable[[OwnAnswer], DataUse | None]  # what an answer is a use of, before it is logged


def of_nobody(_answer: OwnAnswer) -> None:
    """The answer is about nobody."""


class Outcome:
    """How a call of the node itself ended, once it was carried."""

    answer: OwnAnswer | None = None
    failure: Failure | None = None

    def result(self) -> OwnAnswer:
        """The answer, or PeerFault with the fault that an information system would have got."""
        if self.failure is not None:
            fault = self.failure.fault
            raise PeerFault(fault.code, fault.text, fault.detail, fault.actor)
        if self.answer is None:
            raise AssertionError("a call that did not fail was answered")
        return self.answer

    async def tell_failure(self, failure: Failure) -> web.StreamResponse:
        self.failure = failure
        return web.Response()


class OwnCall(Outcome, RestSides):
    """One request of the node itself, for `Consumer` to carry."""

    def __init__(self, request: OwnRequest, use_of: UseOf = of_nobody) -> None:
        super().__init__()
        self._own = request
        self._use_of = use_of

    @property
    def client(self) -> ClientId:
        return self._own.client

    @property
    def largest(self) -> int | None:
        return self._own.largest

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

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        super().check_answers(received, bodies)
        if received.payload_size > self._own.largest:
            raise MalformedMessage(
                f"The answer has {received.payload_size} bytes, more than {self._own.largest}",
                "invalid_message",
            )

    def use(self, received: ReceivedMessage, peer: str) -> DataUse | None:
        response = self._answered
        body = received.attachments[0].body if received.attachments else None
        data = b"" if body is None else body.read_at(0, body.size)
        request = self._asked
        self.answer = OwnAnswer(
            response.status, response.headers, data, request.request_id, request.message_id, peer
        )
        return self._use_of(self.answer)

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        account.status = self._answered.status
        return web.Response()  # to nobody


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
