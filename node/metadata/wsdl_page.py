"""`GET /wsdl`: a WSDL of another institution, for programs that know no other way to get one.

X-Road had this page up to 6.23. It is off unless the operator names a client in whose name the node
asks; that client's rules of connection hold as in every call, and the exchange is signed and logged
like any other.

Source: metadata.md 9; messages.md 9.1.
"""

import asyncio
import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from xml.sax.saxutils import escape

from aiohttp import web

from catalog.wsdl import HIDDEN_ADDRESS, MAX_BYTES, hide_addresses
from node.exchange.account import Account
from node.exchange.consumer import Consumer
from node.exchange.received import ReceivedMessage
from node.exchange.request import SoapRequest
from node.exchange.respond import respond_bytes
from node.exchange.soap_call import SoapCall
from node.messages import mediatype
from node.messages.fault import SOAP_ENVELOPE, Side
from node.messages.soap import SoapFaultMessage, parse_soap
from node.messages.transport import SoapPart
from trust.errors import ExchangeError, MalformedMessage
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId, ServiceId

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.\-]{1,253})(?::[0-9]{1,5})?")
_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
_LARGEST = MAX_BYTES + (1 << 20)  # a description with its addresses replaced


@dataclass(frozen=True, slots=True)
class WsdlPage:
    """Asks for a WSDL in the name of one client of this node."""

    consumer: Consumer
    client: ClientId
    patience: timedelta

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.consumer.carry(request, _WsdlCall(request, self.patience, self.client))


class _WsdlCall(SoapCall):
    """A call of `getWsdl` that the node itself writes."""

    def __init__(self, request: web.BaseRequest, patience: timedelta, client: ClientId) -> None:
        super().__init__(request, patience)
        self._client = client
        self._content_type = mediatype.SOAP
        self._soap_action = ""

    def check_method(self) -> None:
        self.side = Side.CONSUMER

    async def read(self, instance: str, account: Account) -> SoapRequest:
        wanted = _wanted(self._http)
        raw = build_request(self._client, wanted, f"{instance}-{uuid.uuid4()}")
        message = parse_soap(raw, mediatype.SOAP)
        if isinstance(message, SoapFaultMessage):
            raise AssertionError("what was built is no fault")
        self._part = SoapPart(raw, mediatype.SOAP, ())
        self._request = SoapRequest(message, str(uuid.uuid4()))
        return self._request

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        if len(received.attachments) != 1:
            raise MalformedMessage("The answer does not have one WSDL", "invalid_message")
        body = received.attachments[0].body
        if body.size > _LARGEST:
            raise MalformedMessage(f"WSDL is larger than {_LARGEST} bytes", "invalid_xml")
        wsdl = await asyncio.to_thread(
            lambda: hide_addresses(body.read_at(0, body.size), _address(self._http))
        )
        return await respond_bytes(self._http, 200, (("Content-Type", mediatype.SOAP),), wsdl)


def _wanted(request: web.BaseRequest) -> ServiceId:
    query = request.query
    for name in (*_PARTS[:3], "serviceCode"):
        if not query.get(name, "").strip():
            raise ExchangeError(f"Missing parameter {name}", "invalid_request")
    provider = ClientId(*(query[name] for name in _PARTS if query.get(name)))
    return ServiceId(provider, query["serviceCode"], query.get("version") or None)


def _address(request: web.BaseRequest) -> str:
    """Where the reader of a WSDL reaches this node; any path of it takes SOAP calls."""
    host = request.headers.get("Host", "")
    return f"{request.scheme}://{host}/" if _HOST.fullmatch(host) else HIDDEN_ADDRESS


def build_request(client: ClientId, wanted: ServiceId, message_id: str) -> bytes:
    """The envelope that asks a provider for the WSDL of one of its services."""
    version = wanted.service_version
    said = "" if version is None else f"<xro:serviceVersion>{escape(version)}</xro:serviceVersion>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP_ENVELOPE}" xmlns:xro="{XROAD_NAMESPACE}"'
        f' xmlns:iden="{IDENTIFIERS_NAMESPACE}"><soapenv:Header>'
        f'<xro:client iden:objectType="{client.object_type}">{_parts(client)}</xro:client>'
        f'<xro:service iden:objectType="SERVICE">{_parts(wanted.provider)}'
        "<iden:serviceCode>getWsdl</iden:serviceCode></xro:service>"
        f"<xro:id>{escape(message_id)}</xro:id>"
        "<xro:protocolVersion>4.0</xro:protocolVersion></soapenv:Header><soapenv:Body><xro:getWsdl>"
        f"<xro:serviceCode>{escape(wanted.service_code)}</xro:serviceCode>{said}"
        "</xro:getWsdl></soapenv:Body></soapenv:Envelope>"
    ).encode("utf-8", "replace")


def _parts(client: ClientId) -> str:
    return "".join(
        f"<iden:{name}>{escape(value)}</iden:{name}>"
        for name, value in zip(_PARTS, client.parts, strict=False)
    )
