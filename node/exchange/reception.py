"""Another node's message while it arrives, and who may have it served.

Who sends it is judged as soon as its head is there, and access before anything behind the head is
kept, so nobody fills the spool of a node that does not serve him. Source: transport.md 10.1.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from aiohttp import web

from catalog.access import Decision
from node.body import SpooledBody
from node.exchange.account import Account
from node.exchange.builtin import BuiltInService
from node.exchange.callers import Caller, Callers
from node.exchange.evidence import Evidence
from node.exchange.peer_call import PeerCall
from node.exchange.received import ReceivedMessage, receive
from node.exchange.respond import request_pieces
from node.exchange.snapshot import Snapshot
from node.messages.envelope import RequestEnvelope
from node.messages.transport import Direction
from node.messages.transport_reader import TransportReader
from node.spool import Spool
from trust.errors import (
    AccessDenied,
    ExchangeError,
    LoggingFailed,
    MalformedMessage,
    ServiceDisabled,
    UnknownMember,
    UnknownService,
    UntrustedPeer,
    WrongServiceType,
)
from trust.ids import ServerId
from trust.pki.identities import SignIdentity

_GROUP = "service_failed"
_REFUSALS = (AccessDenied, ServiceDisabled, UnknownService, WrongServiceType)


class WrongServer(ExchangeError):
    """The request names another security server as its destination."""

    code = "invalid_security_server"


class Host(Protocol):
    """What a node has that receives messages."""

    @property
    def own_server(self) -> ServerId: ...

    @property
    def callers(self) -> Callers: ...

    @property
    def evidence(self) -> Evidence: ...

    @property
    def spool(self) -> Spool: ...

    @property
    def patience(self) -> timedelta:
        """Longest silence of a peer that sends a request."""

    @property
    def built_in(self) -> Sequence[BuiltInService]: ...


class Reception:
    """One message that another node sends.

    Attributes:
        signer: who will sign the answer; known once the head was judged.
        message: as far as it came whole.
        decision: by which the call was let through.
        snapshot: by which its head was judged.
    """

    def __init__(
        self,
        host: Host,
        call: PeerCall,
        caller: Caller,
        snapshot: Snapshot,
        account: Account,
    ) -> None:
        self.call = call
        self._host = host
        self._caller = caller
        self._account = account
        self.snapshot = snapshot
        self.signer: SignIdentity | None = None
        self.message: ReceivedMessage | None = None
        self.decision: Decision | None = None

    async def receive(self, request: web.BaseRequest, envelope: RequestEnvelope) -> ReceivedMessage:
        """Read the whole message; who sends it is judged as soon as its head is there."""
        call = self.call
        try:
            reader = TransportReader(Direction.REQUEST, envelope.content_type, call.limits)
            message = await receive(
                request_pieces(request, self._host.patience),
                reader,
                self._new_store,
                self._judge_head,
                rest=call.rest,
                original_content_type=envelope.original_content_type,
            )
        except (LoggingFailed, *_REFUSALS):
            raise
        except ExchangeError as error:
            raise error.within(_GROUP) from error.__cause__
        try:
            if message.fault is not None:
                raise _reported(message)
            reader.check_complete(rest=call.rest)
        except ExchangeError:
            message.close()
            raise
        self._account.request_is(message.head, [one.body for one in message.attachments])
        self.message = message
        return message

    def _judge_head(self, message: ReceivedMessage) -> None:
        """Steps 8 to 12 of the reference's order: what needs neither body nor signature."""
        request = self.call.read(message, self._account)
        self._account.about(request)
        host, snapshot = self._host, self.snapshot
        if request.security_server not in (None, host.own_server):
            raise WrongServer(
                f"Invalid security server identifier '{request.security_server}'"
                f" expected '{host.own_server}'"
            )
        owner = host.own_server.owner  # a client of its server, whatever else is declared
        if request.provider != owner and not snapshot.services.hosts(request.provider):
            raise UnknownMember(f"Client '{request.provider}' not found")
        self.signer = host.evidence.signers.signer_of(
            request.provider.member, snapshot.conf, snapshot.at
        )
        self.judge_sender(message, snapshot)

    def judge_sender(self, message: ReceivedMessage, snapshot: Snapshot) -> None:
        """Whether the node at the other end may speak for the client that the head names."""
        try:
            self._host.callers.require_speaks_for(
                self._caller,
                self.call.request.client,
                tuple(message.ocsp_responses),
                snapshot.conf,
                snapshot.at,
            )
        except UntrustedPeer as error:
            raise error.within(_GROUP) from error.__cause__

    def decide_access(self, snapshot: Snapshot) -> Decision | BuiltInService:
        """Who answers, if the client may ask; raises what `catalog.access.decide` raises."""
        call = self.call.built_in(snapshot)
        for service in self._host.built_in:
            if service.takes(call):
                service.check_access(call)
                return service
        return self.call.decide(snapshot)

    def _new_store(self) -> SpooledBody:
        """Room for attachments; there is none for a client that may not call the service at all."""
        self.decide_access(self.snapshot)
        return self._host.spool.body()


def _reported(message: ReceivedMessage) -> MalformedMessage:
    """What a consumer's node lacks that reports a fault of its own instead of asking.

    Its code is not passed on: what we answer are our own findings.
    """
    if message.head:
        return MalformedMessage("Request does not have signature", "missing_signature")
    word = "REST" if message.rest else "SOAP"
    return MalformedMessage(f"Request does not have {word} message", f"missing_{word.lower()}")
