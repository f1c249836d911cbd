"""What an exchange is about, whichever protocol the request is written in."""

from dataclasses import dataclass
from typing import Protocol

from node.messages.represented_party import RepresentedParty
from node.messages.soap import SoapMessage
from trust.ids import ClientId, ServerId, ServiceId


class Request(Protocol):
    """A request as the node sees it; `RestRequestHead` is one, and `SoapRequest`."""

    @property
    def raw(self) -> bytes:
        """The message part: what is signed and logged."""

    @property
    def client(self) -> ClientId: ...

    @property
    def service(self) -> ServiceId: ...

    @property
    def provider(self) -> ClientId: ...

    @property
    def message_id(self) -> str:
        """The consumer's own id."""

    @property
    def request_id(self) -> str:
        """The id of the exchange, which the consumer's node made."""

    @property
    def security_server(self) -> ServerId | None: ...

    @property
    def user_id(self) -> str | None: ...

    @property
    def issue(self) -> str | None: ...

    @property
    def represented_party(self) -> RepresentedParty | None: ...


@dataclass(frozen=True, slots=True)
class SoapRequest:
    """A SOAP message that asks for something, with the id of its exchange."""

    message: SoapMessage
    request_id: str

    @property
    def raw(self) -> bytes:
        return self.message.raw

    @property
    def client(self) -> ClientId:
        return self.message.client

    @property
    def service(self) -> ServiceId:
        return self.message.service

    @property
    def provider(self) -> ClientId:
        return self.message.provider

    @property
    def message_id(self) -> str:
        return self.message.message_id

    @property
    def security_server(self) -> ServerId | None:
        return self.message.header.security_server

    @property
    def user_id(self) -> str | None:
        return self.message.header.user_id

    @property
    def issue(self) -> str | None:
        return self.message.header.issue

    @property
    def represented_party(self) -> RepresentedParty | None:
        return self.message.header.represented_party
