"""What is SOAP about a call by one of the institution's own systems.

Source: messages.md 3; transport.md 5, 8; X-Road 7.8 ClientMessageProcessor.java.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection
from datetime import timedelta

from aiohttp import web

from catalog.services import Repair
from node.exchange.account import Account
from node.exchange.attachments import AttachmentStream
from node.exchange.faults import Failure, tell_soap_system
from node.exchange.received import ReceivedMessage
from node.exchange.request import SoapRequest
from node.exchange.respond import request_pieces, respond
from node.exchange.soap_sides import SoapSides
from node.exchange.soap_stream import SoapStream
from node.messages import mediatype
from node.messages.envelope import check_method, check_soap_action
from node.messages.fault import Side
from node.messages.soap import SoapFaultMessage, parse_soap
from node.messages.soap_reader import SoapLimits, SoapReader
from node.messages.soap_repair import repair_request
from node.messages.transport import SoapPart
from node.messages.transport_reader import SOAP_LIMITS, TransportLimits
from trust.errors import ExchangeError, MalformedMessage
from trust.ids import ClientId


class SoapCall(SoapSides):
    """One SOAP request; its path, query and host say nothing."""

    def __init__(
        self,
        request: web.BaseRequest,
        patience: timedelta,
        limits: TransportLimits = SOAP_LIMITS,
        repairs: Callable[[ClientId], Collection[Repair]] = lambda _: (),
    ) -> None:
        """Take a request.

        Args:
            limits: for the request and for its answer.
            repairs: what to add to the calls of a client.
        """
        super().__init__(limits)
        self.side = Side.REQUESTER
        self._http = request
        self._patience = patience
        self._repairs = repairs
        self._content_type = request.headers.get("Content-Type")
        self._soap_action = request.headers.get("SOAPAction", "")
        self._stream: SoapStream | None = None

    def check_method(self) -> None:
        check_method(self._http.method)
        self.side = Side.CONSUMER

    async def read(self, instance: str, account: Account) -> SoapRequest:
        if not self._content_type:
            raise ExchangeError("Content type may not be null")
        self.side = Side.REQUESTER
        reader = SoapReader(self._content_type, SoapLimits.of(self.limits))
        check_soap_action(self._soap_action)
        self._stream = SoapStream(reader, request_pieces(self._http, self._patience))
        part = await self._envelope(self._stream)
        message = parse_soap(part.raw, part.content_type)
        if isinstance(message, SoapFaultMessage):
            raise ExchangeError(message.fault.text, message.fault.code.lower())
        self.side = Side.CONSUMER
        if repairs := self._repairs(message.client):
            message, self._soap_action = repair_request(
                message, part.content_type, self._soap_action, repairs
            )
        self._part = part
        self._request = SoapRequest(message, str(uuid.uuid4()))
        return self._request

    async def _envelope(self, stream: SoapStream) -> SoapPart:
        """The consumer's own envelope: here its bytes enter, and nowhere else."""
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                part = await stream.envelope()
        except TimeoutError as error:
            self.side = Side.CONSUMER
            raise ExchangeError("Reading SOAP from request timed out") from error
        if part is None:
            raise MalformedMessage("Request does not contain SOAP message", "missing_soap")
        return part

    async def attachments(self) -> AttachmentStream | None:
        stream = self._stream
        return self._arriving(stream) if stream is not None and stream.packaged else None

    async def _arriving(self, stream: SoapStream) -> AttachmentStream:
        try:
            async for piece in stream.attachments():
                yield piece
        except ExchangeError:
            self.side = Side.REQUESTER  # what the system sent can't be read
            raise

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        if self._content is None:
            raise AssertionError("the answer has not been checked yet")
        content_type, length, pieces = self._content
        if content_type != mediatype.SOAP:
            content_type = mediatype.with_charset(content_type)
        return await respond(self._http, 200, [("Content-Type", content_type)], pieces, length)

    async def tell_failure(self, failure: Failure) -> web.StreamResponse:
        return await tell_soap_system(self._http, failure)
