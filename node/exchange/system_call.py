"""A call by one of the institution's own systems, whichever protocol it speaks.

`Consumer` carries every call the same way; what the protocols differ in stands behind `SystemCall`.
"""

from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from node.body import Section
from node.exchange.account import Account
from node.exchange.attachments import AttachmentHead, AttachmentStream
from node.exchange.faults import Failure
from node.exchange.received import ReceivedMessage
from node.exchange.request import Request
from node.log.uses import DataUse
from node.messages.envelope import Headers
from node.messages.fault import Side
from node.messages.transport_reader import TransportLimits


class SystemCall(Protocol):
    """One call and the answer to it.

    The order of the methods is the order in which they are used.
    """

    rest: bool
    without_identity: str  # what to say while the node has no authentication certificate
    limits: TransportLimits  # for the answer of the other node

    @property
    def largest(self) -> int | None:
        """Bytes that the answer's bodies may have; None for as many as the node takes."""

    @property
    def side(self) -> Side:
        """Whose error it is, should something fail now."""

    def check_method(self) -> None:
        """Refuse a method that the protocol has not, before anything is read."""

    async def read(self, instance: str, account: Account) -> Request:
        """Read what is asked: all that says who asks for what. Raises ExchangeError.

        Args:
            instance: our own.
        """

    async def attachments(self) -> AttachmentStream | None:
        """What follows, as it arrives; None when nothing does. Read once, after `read`."""

    @property
    def head(self) -> AttachmentHead:
        """Content type and other fields of the message part, once it was read."""

    def envelope(self, content_type: str) -> Headers:
        """The HTTP headers of the message to the other node, which has this content type."""

    def read_answer(self, received: ReceivedMessage) -> None:
        """Read the answer's message part; raises MalformedMessage."""

    def check_answers(self, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        """Whether the answer, whose signature holds, belongs to the request and can be handed on.

        Raises EvidenceRejected or MalformedMessage.

        Args:
            bodies: the attachments that were sent.
        """

    def use(self, received: ReceivedMessage, peer: str) -> DataUse | None:
        """What the answer, which is believed, is a use of; kept with it in one commit."""

    async def tell(self, received: ReceivedMessage, account: Account) -> web.StreamResponse:
        """Hand the answer to the system."""

    async def tell_failure(self, failure: Failure) -> web.StreamResponse:
        """Tell the system that there is no answer."""
