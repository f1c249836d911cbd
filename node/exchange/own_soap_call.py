"""A SOAP call by the node itself, for a client that it knows; `own_call` says what that means."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from node.body import Section
from node.exchange.account import Account
from node.exchange.attachments import AttachmentStream
from node.exchange.own_call import Outcome, OwnAnswer, UseOf, of_nobody
from node.exchange.received import ReceivedMessage
from node.exchange.request import SoapRequest
from node.exchange.soap_sides import SoapSides
from node.log.uses import DataUse
from node.messages import mediatype
from node.messages.intent import NO_INTENT, Intent
from node.messages.soap import SoapFaultMessage, parse_soap
from node.messages.soap_request import RequestHeader, build_body, build_soap_request
from node.messages.transport import SoapPart
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId


@dataclass(frozen=True, slots=True)
class OwnSoapRequest:
    """What the node asks.

    Attributes:
        client: in whose name.
        values: by the paths of local names below the soap:Body.
        namespace, qualified: of those elements, as `catalog.mapping.EndpointMapping` has them.
        intent: what it is for; with case, official and mandate.
        largest: bytes of an answer's envelope that are read.
    """

    client: ClientId
    service: ServiceId
    values: Mapping[str, str] = field(repr=False)
    namespace: str = ""
    qualified: bool = True
    intent: Intent = NO_INTENT
    largest: int = 1 << 20


class OwnSoapCall(Outcome, SoapSides):
    """One SOAP request of the node itself, for `Consumer` to carry."""

    def __init__(self, request: OwnSoapRequest, use_of: UseOf = of_nobody) -> None:
        super().__init__()
        self._content_type = mediatype.SOAP
        self._own = request
        self._use_of = use_of

    @property
    def client(self) -> ClientId:
        return self._own.client

    @property
    def largest(self) -> int | None:
        return self._own.largest

    def check_method(self) -> None:
        """There is no method that could be wrong."""

    async def read(self, instance: str, account: Account) -> SoapRequest:
        own = self._own
        header = RequestHeader(own.client, own.service, f"{instance}-{uuid.uuid4()}", own.intent)
        body = build_body(own.values, own.namespace, qualified=own.qualified)
        raw = build_soap_request(header, body)
        message = parse_soap(raw, mediatype.SOAP)
        if isinstance(message, SoapFaultMessage):
            raise MalformedMessage("A mapping makes a fault of a request")
        self._part = SoapPart(raw, mediatype.SOAP, ())
        self._request = SoapRequest(message, str(uuid.uuid4()))
        return self._request

    async def attachments(self) -> AttachmentStream | None:
        return None

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        super().check_answers(received, bodies)
        if len(received.head) > self._own.largest:
            raise MalformedMessage(
                f"The answer has {len(received.head)} bytes, more than {self._own.largest}",
                "invalid_message",
            )

    def use(self, received: ReceivedMessage, peer: str) -> DataUse | None:
        request = self._asked
        self.answer = OwnAnswer(
            200, (), received.head, request.request_id, request.message_id, peer
        )
        return self._use_of(self.answer)

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        return web.Response()  # to nobody
