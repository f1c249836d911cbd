"""A call by another node, whichever protocol its message is written in.

`Provider` serves every call the same way; what the protocols differ in stands behind `PeerCall`.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from catalog.access import Decision
from catalog.services import Service
from node.exchange.account import Account
from node.exchange.allowance import Allowance, AskedCall
from node.exchange.attachments import AttachmentHead, AttachmentStream
from node.exchange.builtin import Call, RestAnswer, SoapAnswer
from node.exchange.received import ReceivedMessage
from node.exchange.request import Request
from node.exchange.snapshot import Snapshot
from node.messages.intent import Intent
from node.messages.transport_reader import TransportLimits
from node.network.information_system import InformationSystem


@dataclass(frozen=True, slots=True)
class Reply:
    """What is to be signed and sent back.

    Attributes:
        head: content type and other fields of the message part.
        message: the REST head or the SOAP envelope, which names the request that it answers.
        attachments: as they come; None when there are none.
        original_content_type: what the system called its SOAP answer; None for REST.
    """

    head: AttachmentHead
    message: bytes = field(repr=False)
    attachments: AttachmentStream | None = field(repr=False)
    original_content_type: str | None


class PeerCall(Protocol):
    """One call and the answer to it."""

    rest: bool
    limits: TransportLimits

    @property
    def request(self) -> Request:
        """What is asked, once `read` has returned."""

    def read(self, message: ReceivedMessage, account: Account) -> Request:
        """Read the message part; raises MalformedMessage."""

    def built_in(self, snapshot: Snapshot) -> Call:
        """The call as services of the node itself see it."""

    @property
    def intent(self) -> Intent:
        """What the request says it is for."""

    def decide(self, snapshot: Snapshot) -> Decision:
        """The service, if the client may call it; raises what `catalog.access.decide` raises."""

    def covering_path(self, snapshot: Snapshot, service: Service) -> str | None:
        """The path pattern of the endpoint that covers a REST call, for the monitoring record."""

    def ask(
        self,
        systems: InformationSystem,
        service: Service,
        message: ReceivedMessage,
        account: Account,
        allowance: Allowance | None = None,
    ) -> AbstractAsyncContextManager[Reply]:
        """Call the system; the reply's attachments come from it while the context is open.

        Args:
            allowance: what of its answer goes out, and is told; None for all and nothing.
        """

    def asked(self, message: ReceivedMessage | None, peer: str, snapshot: Snapshot) -> AskedCall:
        """The call as terms see it.

        Args:
            message: None as long as it is not whole.
        """

    def reply(self, answer: SoapAnswer | RestAnswer, message: ReceivedMessage) -> Reply:
        """What a service of the node itself answered."""
