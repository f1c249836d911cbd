"""Services that the node itself answers: they come as signed requests like any other.

The provider's side asks each built-in service whether it takes a call. One that does is not looked
up among the hosted services: it has its own rules of access. Everything else is as usual: the
request is verified and logged before `answer` is asked, and the answer is signed and logged.

Source: messages.md 8.1 step 5; metadata.md 1; X-Road 7.8 ServiceHandler.java.
"""

from dataclasses import dataclass, field
from typing import Protocol, Self

from catalog.services import ServiceType
from node.body import Section
from node.exchange.snapshot import Snapshot
from node.messages.rest import RestRequestHead
from node.messages.soap import SoapMessage


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a built-in service, within the snapshot of its exchange.

    Attributes:
        content_type: of the request as its information system sent it.
        body: of a REST request, while it is answered; None before, and when there is none.
    """

    request: SoapMessage | RestRequestHead
    snapshot: Snapshot
    content_type: str = "text/xml"
    body: Section | None = field(default=None, repr=False)

    def is_rest(self, method: str, *codes: str) -> bool:
        """Whether it is a REST call by this method to a service with one of these codes."""
        request = self.request
        return (
            isinstance(request, RestRequestHead)
            and request.method == method
            and request.service.service_code in codes
        )

    @property
    def head(self) -> RestRequestHead:
        """The request of a REST call; for services that take no others."""
        if not isinstance(self.request, RestRequestHead):
            raise AssertionError("only REST calls are taken")
        return self.request


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """An attachment of a SOAP answer.

    Attributes:
        fields: header fields after the content type, spelled and ordered as they are to be sent.
    """

    content_type: str
    fields: tuple[tuple[str, str], ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SoapAnswer:
    """An envelope with the request's header; `requestHash` is inserted by the caller."""

    envelope: bytes = field(repr=False)
    attachments: tuple[AnswerPart, ...] = ()


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What a system would answer; the `x-road-*` headers are added by the caller."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = field(repr=False)

    @classmethod
    def json(cls, body: bytes, status: int = 200) -> Self:
        return cls(status, ((b"content-type", b"application/json"),), body)


class BuiltInService(Protocol):
    """A service of the node."""

    @property
    def type(self) -> ServiceType:
        """For the monitoring record."""

    def takes(self, call: Call) -> bool:
        """Whether this service answers the call; nothing but its identifiers is looked at."""

    def check_access(self, call: Call) -> None:
        """Raise AccessDenied for who may not call; asked before the signature is verified."""

    async def answer(self, call: Call) -> SoapAnswer | RestAnswer:
        """Answer a verified call, or raise an ExchangeError, which becomes a fault."""
