"""SOAP messages between information systems: the envelope's bytes, and what its header says.

The bytes are kept and never written anew: they are what is forwarded, hashed, signed and logged.

Source: messages.md 2.2, 3; X-Road 7.8 SaxSoapParserImpl.java, SoapHeader.java, SoapUtils.java.
"""

from dataclasses import dataclass, field

from node.messages.fault import Fault
from node.messages.rest import RepresentedParty
from trust.ids import ClientId, ServerId, ServiceId


@dataclass(frozen=True, slots=True)
class SoapHeader:
    """The X-Road header fields of a message.

    Attributes:
        message_id: the consumer's own id; may be empty.
        request_hash: base64 text of `requestHash`, which only responses have.
    """

    client: ClientId
    service: ServiceId
    message_id: str
    protocol_version: str
    user_id: str | None = None
    issue: str | None = None
    security_server: ServerId | None = None
    represented_party: RepresentedParty | None = None
    request_hash: str | None = None


@dataclass(frozen=True, slots=True)
class SoapMessage:
    """A well-formed request or response that is no fault; nobody has verified it.

    Attributes:
        raw: the envelope as it came, byte order mark and all.
        charset: of the bytes, in lower case.
        rpc: whether it says to be RPC/encoded; nothing is treated differently for it.
        body_name: local name of the one child of the body.
    """

    raw: bytes = field(repr=False)
    charset: str
    header: SoapHeader
    body_name: str
    rpc: bool = False

    @property
    def client(self) -> ClientId:
        return self.header.client

    @property
    def service(self) -> ServiceId:
        return self.header.service

    @property
    def provider(self) -> ClientId:
        return self.header.service.provider

    @property
    def message_id(self) -> str:
        return self.header.message_id


@dataclass(frozen=True, slots=True)
class SoapFaultMessage:
    """A message whose body is a fault; it needs no header and is passed on byte for byte."""

    raw: bytes = field(repr=False)
    fault: Fault
